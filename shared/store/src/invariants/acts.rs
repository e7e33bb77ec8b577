//! Checks of what operators do (invariant 6): what stands in the tables is in the audit log, as often as it was done. That
//! an act is done once per click is not to be seen in the data; tests show it.

use super::checks::Check;

pub(super) const ACTS: &[Check] = &[
    Check {
        invariant: 6,
        what: "a parked fact that was discarded is in the audit log once",
        sql: "SELECT count(*), count(*) FILTER (WHERE n <> 1), min(parked_id::text) FILTER (WHERE n <> 1)
              FROM (SELECT parked_id, (SELECT count(*) FROM audit a WHERE a.allowed AND a.subject_kind = 'parked'
                         AND a.subject = parked_id::text AND a.act = 'parked discard') AS n
                    FROM parked WHERE state = 'discarded') discarded",
    },
    Check {
        invariant: 6,
        what: "a parked fact that was corrected was put back by somebody in the audit log",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT noted), min(parked_id::text) FILTER (WHERE NOT noted)
              FROM (SELECT parked_id, EXISTS (SELECT FROM audit a WHERE a.allowed AND a.subject_kind = 'parked'
                         AND a.subject = parked_id::text AND a.act = 'parked put-back') AS noted
                    FROM parked WHERE corrected_body IS NOT NULL) corrected",
    },
    Check {
        invariant: 6,
        what: "every version of a payee is in the audit log once",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT agreed), min(payee_id) FILTER (WHERE NOT agreed)
              FROM (SELECT v.payee_id, count(*) = (SELECT count(*) FROM audit a WHERE a.allowed AND a.subject_kind = 'payee'
                         AND a.subject = v.payee_id AND a.act = 'payees apply') AS agreed
                    FROM payee_version v GROUP BY v.payee_id) declared",
    },
    Check {
        invariant: 6,
        what: "an act on many payments is in the audit log once, and so is each payment it was done to",
        sql: "SELECT count(*), count(*) FILTER (WHERE n <> 1), min(subject) FILTER (WHERE n <> 1)
              FROM (SELECT act_id::text AS subject, (SELECT count(*) FROM audit a WHERE a.allowed AND a.subject_kind = 'act'
                         AND a.subject = act_id::text AND a.act = 'deliveries ' || kind) AS n
                    FROM act
                    UNION ALL
                    SELECT payment_id::text, (SELECT count(*) FROM audit a WHERE a.allowed AND a.subject_kind = 'payment'
                         AND a.subject = payment_id::text AND a.after ->> 'act_id' = act_id::text)
                    FROM act_item WHERE outcome = 'done') done",
    },
    Check {
        invariant: 6,
        what: "a payment that was settled by hand is in the audit log",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT noted), min(payment_id::text) FILTER (WHERE NOT noted)
              FROM (SELECT payment_id, EXISTS (SELECT FROM audit a WHERE a.allowed AND a.subject_kind = 'payment'
                         AND a.subject = payment_id::text AND a.act = 'deliveries settle') AS noted
                    FROM payment WHERE 'settled_by_operator' = ANY(flags)) settled",
    },
    Check {
        invariant: 6,
        what: "a payee that is held back is so by somebody in the audit log",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT noted), min(lane_id) FILTER (WHERE NOT noted)
              FROM (SELECT lane_id, EXISTS (SELECT FROM audit a WHERE a.allowed AND a.subject_kind = 'payee'
                         AND a.subject = lane_id AND a.act = 'deliveries pause' AND a.who = held_by) AS noted
                    FROM lane WHERE held_by IS NOT NULL) held",
    },
    Check {
        invariant: 6,
        what: "a look at cards was asked for once in the audit log, and what was answered is there too",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT noted), min(disclosure_id::text) FILTER (WHERE NOT noted)
              FROM (SELECT d.disclosure_id, coalesce(l.asked = 1 AND (d.state <> 'done' OR l.answered > 0), false) AS noted
                    FROM disclosure d LEFT JOIN (
                         SELECT coalesce(after ->> 'disclosure', subject) AS id,
                                count(*) FILTER (WHERE act IN ('cards show (asked)', 'cards return')) AS asked,
                                count(*) FILTER (WHERE act IN ('cards show (answered)', 'cards return (answered)')) AS answered
                         FROM audit WHERE allowed AND act IN ('cards show (asked)', 'cards return', 'cards show (answered)',
                                                              'cards return (answered)')
                         GROUP BY 1) l ON l.id = d.disclosure_id::text) looks",
    },
];
