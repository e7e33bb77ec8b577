//! The checks themselves: tables of queries, each of which counts what it looked at and what it found broken. This one is of
//! what the workers do.

use super::acts::ACTS;
use super::secrets::SECRETS;
use crate::{Store, StoreError};

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which invariant of the design it is about.
    pub invariant: u8,
    /// What must hold, in words.
    pub what: &'static str,
    /// How many things were looked at.
    pub looked_at: i64,
    /// For how many it does not hold.
    pub broken: i64,
    /// One of them.
    pub example: Option<String>,
}

/// A query that returns three columns: looked at, broken, an example of what is broken.
pub(super) struct Check {
    pub(super) invariant: u8,
    pub(super) what: &'static str,
    pub(super) sql: &'static str,
}

/// Every check there is.
fn checks() -> impl Iterator<Item = &'static Check> {
    CHECKS.iter().chain(ACTS).chain(SECRETS)
}

/// Runs every check, each on its own snapshot.
pub async fn check_all(store: &Store) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for Check { invariant, what, sql } in checks() {
        let row = store.query_one(sql, &[]).await?;
        let finding = Finding {
            invariant: *invariant,
            what,
            looked_at: row.get(0),
            broken: row.get(1),
            example: row.get(2),
        };
        findings.push(finding);
    }
    Ok(findings)
}

/// What is only late is broken after a minute: sweeps come every few seconds.
const CHECKS: &[Check] = &[
    Check {
        invariant: 1,
        what: "every accepted id has its payment under the same number",
        sql: "SELECT count(*), count(*) FILTER (WHERE p.number IS DISTINCT FROM i.number),
                     min(i.payment_id::text) FILTER (WHERE p.number IS DISTINCT FROM i.number)
              FROM payment_identity i LEFT JOIN payment p USING (payment_id)
              WHERE i.disposition = 'accepted' AND i.accepted_at > clock_timestamp() - interval '30 days'",
    },
    Check {
        invariant: 1,
        what: "every payment has its identity",
        sql: "SELECT count(*), count(*) FILTER (WHERE i.payment_id IS NULL),
                     min(p.payment_id::text) FILTER (WHERE i.payment_id IS NULL)
              FROM payment p LEFT JOIN payment_identity i ON i.payment_id = p.payment_id AND i.disposition = 'accepted'",
    },
    Check {
        invariant: 1,
        what: "an unfinished online payment has a next step or an open call",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT cared_for), min(payment_id::text) FILTER (WHERE NOT cared_for)
              FROM (SELECT payment_id, due_at IS NOT NULL OR EXISTS (SELECT FROM attempt a
                         WHERE a.payment_id = p.payment_id AND a.ending = 'open') AS cared_for
                    FROM payment p
                    WHERE gateway <> 'registers' AND state IN ('accepted', 'delivering', 'waiting', 'revoking')) open",
    },
    Check {
        invariant: 2,
        what: "a card is sold to one reservation at most",
        sql: "SELECT count(*), count(*) FILTER (WHERE sales > 1), min(card_id::text) FILTER (WHERE sales > 1)
              FROM (SELECT card_id, count(*) AS sales FROM reservation WHERE state = 'sold' GROUP BY card_id) sold",
    },
    Check {
        invariant: 2,
        what: "a card and its reservation say the same",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT agreed), min(card_id::text) FILTER (WHERE NOT agreed)
              FROM (SELECT c.card_id, coalesce(r.card_id = c.card_id AND r.state = CASE c.state
                         WHEN 'reserved' THEN 'held' WHEN 'lapsed' THEN 'lapsed' ELSE 'sold' END, false) AS agreed
                    FROM card c LEFT JOIN reservation r USING (reservation_id)
                    WHERE c.state IN ('reserved', 'lapsed', 'sold')) taken",
    },
    Check {
        invariant: 2,
        what: "a reservation that is held, in grace or sold has its card",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT has_it), min(reservation_id::text) FILTER (WHERE NOT has_it)
              FROM (SELECT r.reservation_id, coalesce(c.reservation_id = r.reservation_id, false) AS has_it
                    FROM reservation r LEFT JOIN card c USING (card_id)
                    WHERE r.state IN ('held', 'lapsed', 'sold')) live",
    },
    Check {
        invariant: 2,
        what: "the card of what was superseded, or paid for in vain, was bought by another",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT bought), min(reservation_id::text) FILTER (WHERE NOT bought)
              FROM (SELECT r.reservation_id, EXISTS (SELECT FROM reservation o
                         WHERE o.card_id = r.card_id AND o.state = 'sold') AS bought
                    FROM reservation r WHERE r.state IN ('superseded', 'conflict')) lost",
    },
    Check {
        invariant: 2,
        what: "nothing is held, or kept in grace, a minute past its end",
        sql: "SELECT count(*), count(*) FILTER (WHERE overdue), min(reservation_id::text) FILTER (WHERE overdue)
              FROM (SELECT reservation_id, clock_timestamp() - interval '1 minute' >
                         CASE state WHEN 'held' THEN held_until ELSE grace_until END AS overdue
                    FROM reservation WHERE state IN ('held', 'lapsed')) live",
    },
    Check {
        invariant: 2,
        what: "the kept count of sold cards is that of the sales",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT agreed), min(product_id) FILTER (WHERE NOT agreed)
              FROM (SELECT s.product_id, s.sold_settled = (SELECT count(*) FROM reservation r
                         WHERE r.product_id = s.product_id AND r.state = 'sold' AND r.ended_at < s.settled_until) AS agreed
                    FROM product_stock s) kept",
    },
    Check {
        invariant: 2,
        what: "every conflict, every sale above the price and every faulty card that was sold has its case",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT has_it), min(reservation_id::text) FILTER (WHERE NOT has_it)
              FROM (SELECT w.reservation_id, EXISTS (SELECT FROM card_case c
                         WHERE c.reservation_id = w.reservation_id AND c.kind = w.kind) AS has_it
                    FROM (SELECT reservation_id, 'conflict' FROM reservation WHERE state = 'conflict'
                          UNION ALL
                          SELECT reservation_id, 'surplus' FROM reservation WHERE state = 'sold' AND surplus > 0
                          UNION ALL
                          SELECT r.reservation_id, 'faulty' FROM card_fault f
                          JOIN reservation r ON r.card_id = f.card_id AND r.state = 'sold') w (reservation_id, kind)) wanted",
    },
    Check {
        invariant: 2,
        what: "a case is resolved once, by somebody, and what it came to is there",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT agreed), min(case_id::text) FILTER (WHERE NOT agreed)
              FROM (SELECT c.case_id, coalesce(CASE c.resolution
                         WHEN 'replaced' THEN given.state = 'sold' AND given.ended_by = 'replacement'
                              AND given.terminal_id = r.terminal_id
                         WHEN 'refunded' THEN (SELECT sum(o.refund_amount) FROM card_case o
                              WHERE o.reservation_id = c.reservation_id) <= r.amount
                         ELSE true END, false) AND (c.opened_by IS NULL AND c.resolution IS NULL
                         OR (SELECT count(*) FROM audit a WHERE a.allowed AND a.subject_kind = 'case'
                              AND a.subject = c.case_id::text AND a.act = 'cards cases resolve')
                            = (c.resolution IS NOT NULL)::int) AS agreed
                    FROM card_case c JOIN reservation r USING (reservation_id)
                    LEFT JOIN reservation given ON given.reservation_id = c.replacement_reservation_id) cases",
    },
    Check {
        invariant: 2,
        what: "a card given in place of another is given for one case, and for nothing where the sale stands",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT agreed), min(reservation_id::text) FILTER (WHERE NOT agreed)
              FROM (SELECT given.reservation_id, count(c.case_id) = 1
                         AND bool_and(given.gratis = (r.state = 'sold')) AS agreed
                    FROM reservation given LEFT JOIN card_case c ON c.replacement_reservation_id = given.reservation_id
                    LEFT JOIN reservation r ON r.reservation_id = c.reservation_id
                    WHERE given.ended_by = 'replacement' GROUP BY given.reservation_id) replaced",
    },
    Check {
        invariant: 3,
        what: "a payee that is not idempotent got no second payment by itself after a maybe",
        sql: "SELECT count(*), count(*) FILTER (WHERE again), min(payment_id::text) FILTER (WHERE again)
              FROM (SELECT p.payment_id, EXISTS (SELECT FROM attempt a JOIN attempt b USING (payment_id)
                         WHERE a.payment_id = p.payment_id AND a.act = 'pay' AND a.ending = 'maybe'
                           AND coalesce(a.http_status, 0) NOT IN (408, 425, 429)
                           AND b.act = 'pay' AND b.automatic AND b.ordinal > a.ordinal
                           -- As the payee was declared then.
                           AND NOT (SELECT CASE WHEN p.gateway = 'databases'
                                   THEN jsonb_path_exists(v.declaration, '$.databases.pay.statement[*] ? (@.unique == true)')
                                   ELSE coalesce((v.declaration #>> '{unikassa,idempotent}')::boolean,
                                            coalesce(v.declaration #>> '{unikassa,dialect}', 'unikassa') = 'unikassa') END
                                FROM payee_version v WHERE v.payee_id = p.payee_id AND v.applied_at <= b.started_at
                                ORDER BY v.version DESC LIMIT 1)
                           AND NOT EXISTS (SELECT FROM attempt s WHERE s.payment_id = p.payment_id AND s.act = 'status'
                                 AND s.result = 'not_found' AND s.ordinal BETWEEN a.ordinal AND b.ordinal)) AS again
                    FROM payment p WHERE p.gateway <> 'registers') online",
    },
    Check {
        invariant: 3,
        what: "a delivered payment has an answer of its payee to show, or the word of an operator",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT shown), min(payment_id::text) FILTER (WHERE NOT shown)
              FROM (SELECT payment_id, EXISTS (SELECT FROM attempt a
                         WHERE a.payment_id = p.payment_id AND a.ending = 'answered')
                         OR EXISTS (SELECT FROM audit a WHERE a.subject_kind = 'payment' AND a.subject = p.payment_id::text
                              AND a.act IN ('deliveries reconcile', 'deliveries settle') AND a.allowed) AS shown
                    FROM payment p WHERE gateway <> 'registers' AND state = 'delivered') delivered",
    },
    Check {
        invariant: 4,
        what: "a position is in one regular register once closed, in none before",
        sql: "SELECT count(*), count(*) FILTER (WHERE n <> expected), min(payment_id::text) FILTER (WHERE n <> expected)
              FROM (SELECT p.payment_id, (p.position <= s.last_hi)::int AS expected,
                         (SELECT count(*) FROM register r WHERE r.kind = 'regular' AND r.series_id = p.series_id
                              AND p.position BETWEEN r.lo AND r.hi) AS n
                    FROM payment p JOIN series s USING (series_id)) positions",
    },
    Check {
        invariant: 4,
        what: "a regular register's count and total are those of its payments",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT equal), min(register_id::text) FILTER (WHERE NOT equal)
              FROM (SELECT r.register_id, r.payment_count = count(p.*) AND r.total = coalesce(sum(p.amount), 0) AS equal
                    FROM register r LEFT JOIN payment p ON p.series_id = r.series_id AND p.position BETWEEN r.lo AND r.hi
                         AND p.state <> 'revoked'
                    WHERE r.kind = 'regular' AND (SELECT holds FROM series s WHERE s.series_id = r.series_id) = 'accepted'
                    GROUP BY r.register_id) registers",
    },
    Check {
        invariant: 4,
        what: "a built register's files are whole, and hold what was frozen",
        sql: "SELECT count(*), count(*) FILTER (WHERE NOT whole), min(register_id::text) FILTER (WHERE NOT whole)
              FROM (SELECT r.register_id, coalesce(sum(p.payment_count) = r.payment_count AND sum(p.total) = r.total
                         AND max(p.part) = count(*) AND bool_and(a.place IS NOT NULL OR a.bytes = (
                             SELECT sum(octet_length(data)) FROM artifact_chunk c WHERE c.artifact_id = a.artifact_id)),
                         false) AS whole
                    FROM register r LEFT JOIN register_part p USING (register_id) LEFT JOIN artifact a USING (sha256)
                    WHERE r.state IN ('built', 'mailed') GROUP BY r.register_id) built",
    },
    Check {
        invariant: 4,
        what: "no open position waits a day longer than its series' interval",
        sql: "SELECT count(*), count(*) FILTER (WHERE late), min(payment_id::text) FILTER (WHERE late)
              FROM (SELECT p.payment_id, p.accepted_at < clock_timestamp() - interval '1 day'
                         AND s.next_cutoff < clock_timestamp() - interval '1 day' AS late
                    FROM payment p JOIN series s USING (series_id) JOIN payee y ON y.payee_id = p.payee_id
                    WHERE p.position > s.last_hi AND p.state <> 'revoked' AND NOT y.suspended) open",
    },
    Check {
        invariant: 5,
        what: "no event waits a minute to be published",
        sql: "SELECT count(*), count(*) FILTER (WHERE late), min(event_id::text) FILTER (WHERE late)
              FROM (SELECT event_id, occurred_at < clock_timestamp() - interval '1 minute' AS late FROM event) waiting",
    },
    Check {
        invariant: 7,
        what: "no call is open a minute past its lease",
        sql: "SELECT count(*), count(*) FILTER (WHERE late), min(attempt_id::text) FILTER (WHERE late)
              FROM (SELECT attempt_id, lease_until < clock_timestamp() - interval '1 minute' AS late
                    FROM attempt WHERE ending = 'open') open",
    },
    Check {
        invariant: 7,
        what: "no mail is being sent a minute past its lease",
        sql: "SELECT count(*), count(*) FILTER (WHERE late), min(mailing_id::text) FILTER (WHERE late)
              FROM (SELECT mailing_id, lease_until < clock_timestamp() - interval '1 minute' AS late
                    FROM mailing WHERE state = 'sending') sending",
    },
    Check {
        invariant: 7,
        what: "no register is due to be built for ten minutes",
        sql: "SELECT count(*), count(*) FILTER (WHERE late), min(register_id::text) FILTER (WHERE late)
              FROM (SELECT register_id, due_at < clock_timestamp() - interval '10 minutes' AS late
                    FROM register WHERE state = 'frozen' AND due_at IS NOT NULL) frozen",
    },
];

#[cfg(test)]
mod tests {
    use super::checks;

    #[test]
    fn every_invariant_of_the_data_has_a_check() {
        for invariant in 1..=8 {
            assert!(checks().any(|check| check.invariant == invariant), "{invariant}");
        }
        let mut names: Vec<_> = checks().map(|check| check.what).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), checks().count());
    }
}
