//! What terminals have taken, for their limits. Counted, not kept: by indexes that hold only what is held now, or was sold
//! lately, and never further than the limit.

use std::collections::HashMap;

use domain::card::Usage;
use domain::declaration::TerminalLimits;
use domain::ids::TerminalId;

use crate::{StoreError, Tx};

/// What these terminals have taken, of what their limits ask for. Locks them: until this transaction ends nobody else is
/// told, so of two who ask at once the second one sees what the first one took. Taken before any other lock.
pub async fn lock_usage(
    tx: &Tx,
    limited: &[(TerminalId, TerminalLimits)],
) -> Result<HashMap<TerminalId, Usage>, StoreError> {
    let mut sorted: Vec<&(TerminalId, TerminalLimits)> = limited.iter().collect();
    sorted.sort_by(|left, right| left.0.cmp(&right.0));
    let ids: Vec<&str> = sorted.iter().map(|(id, _)| id.as_str()).collect();
    let most = |limit: Option<u32>| i64::from(limit.unwrap_or(0));
    let holds: Vec<i64> = sorted.iter().map(|(_, limits)| most(limits.holds)).collect();
    let sales: Vec<i64> = sorted.iter().map(|(_, limits)| most(limits.sales_per_hour)).collect();
    // Goes out with the next statement, and before it.
    tx.execute_later(
        // A row that is there is locked, though nothing is written; one that is not, is made. Always in one order.
        "INSERT INTO terminal_gate (terminal_id) SELECT id FROM UNNEST($1::text[]) AS asked (id)
         ORDER BY id COLLATE \"C\"
         ON CONFLICT (terminal_id) DO UPDATE SET terminal_id = excluded.terminal_id WHERE false",
        &[&ids],
    )
    .await?;
    let rows = tx
        .query(
            // On a snapshot of its own, taken when the locks are held. The order keeps the planner on the indexes.
            "SELECT asked.id,
                    (SELECT count(*) FROM (SELECT FROM reservation r WHERE r.terminal_id = asked.id AND r.state = 'held'
                         AND r.held_until > statement_timestamp() ORDER BY r.held_until LIMIT asked.holds) held),
                    (SELECT count(*) FROM (SELECT FROM reservation r WHERE r.terminal_id = asked.id AND r.state = 'sold'
                         AND r.ended_at > statement_timestamp() - interval '1 hour' AND NOT r.gratis
                         ORDER BY r.ended_at LIMIT asked.sales) sold)
             FROM UNNEST($1::text[], $2::bigint[], $3::bigint[]) AS asked (id, holds, sales)",
            &[&ids, &holds, &sales],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let count = |at: usize| u32::try_from(row.get::<_, i64>(at)).unwrap_or(u32::MAX);
            let usage = Usage {
                holds: count(1),
                sales: count(2),
            };
            Ok((TerminalId::parse(row.get(0))?, usage))
        })
        .collect()
}
