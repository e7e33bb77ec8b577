//! The check of secrets (invariant 8) that the data can answer. Secrets of cards are sealed before they get here; that none
//! gets out, here or anywhere else, is shown by tests, which know them.

use super::checks::Check;

pub(super) const SECRETS: &[Check] = &[Check {
    invariant: 8,
    // A short one may be a word that comes up by chance. Of a database's address only the password is a secret.
    what: "no secret that stands in a payee's declaration stands in what is kept or told besides",
    sql: r"SELECT count(*), count(*) FILTER (WHERE told), min(payee_id) FILTER (WHERE told)
           FROM (SELECT payee_id,
                      EXISTS (SELECT FROM payment p LEFT JOIN attempt a USING (payment_id) WHERE p.payee_id = s.payee_id
                           AND position(secret IN concat_ws(' ', p.last_error, a.error, a.request, a.response)) > 0)
                      OR EXISTS (SELECT FROM audit a WHERE a.subject_kind = 'payee' AND a.subject = s.payee_id
                           AND position(secret IN concat_ws(' ', a.before, a.after, a.reason)) > 0)
                      OR EXISTS (SELECT FROM lane WHERE lane_id = s.payee_id AND position(secret IN last_error) > 0)
                      OR EXISTS (SELECT FROM event WHERE position(secret IN body) > 0)
                      OR EXISTS (SELECT FROM notice WHERE position(secret IN concat_ws(' ', title, lines)) > 0)
                      OR EXISTS (SELECT FROM notice_mail WHERE position(secret IN concat_ws(' ', subject, body)) > 0) AS told
                 FROM (SELECT DISTINCT payee_id, secret FROM payee_version, LATERAL (VALUES
                            (declaration #>> '{unikassa,secret}'),
                            (declaration #>> '{unikassa,previous_secret}'),
                            (declaration #>> '{unikassa,basic,password}'),
                            (substring(declaration #>> '{databases,url}' FROM '://[^:/@]*:([^@]+)@')),
                            (substring(declaration #>> '{databases,read_url}' FROM '://[^:/@]*:([^@]+)@'))) AS v (secret)
                       WHERE secret !~ '^(env|file):' AND length(secret) >= 12) s) declared",
}];
