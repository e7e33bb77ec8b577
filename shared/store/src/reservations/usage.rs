//! What terminals have taken, for their limits. Counted, not kept: by indexes that hold only what is held now, was sold, or
//! was shown and not sold, and never further than the limit.

use std::collections::HashMap;

use domain::card::Usage;
use domain::declaration::TerminalLimits;
use domain::ids::TerminalId;

use crate::{Store, StoreError, Tx};

/// Of the cards that `asked.id` was shown within the last hour, those it neither sold nor holds any more, up to `asked.unsold`. A
/// hold that is over counts, whether or not a sweep came by.
const UNSOLD: &str = "
        (SELECT FROM reservation r WHERE r.terminal_id = asked.id AND r.card_id IS NOT NULL
             AND r.state IN ('lapsed', 'released', 'expired', 'superseded')
             AND r.created_at > statement_timestamp() - interval '1 hour' ORDER BY r.created_at DESC LIMIT asked.unsold)
        UNION ALL
        (SELECT FROM reservation r WHERE r.terminal_id = asked.id AND r.state = 'held'
             AND r.held_until <= statement_timestamp() ORDER BY r.held_until DESC LIMIT asked.unsold)";
/// Of the same cards those it holds. A hold may last for an hour: when it is over, what it showed is of the hour before.
const HELD: &str = "
        (SELECT FROM reservation r WHERE r.terminal_id = asked.id AND r.state = 'held'
             AND r.held_until > statement_timestamp() AND r.created_at > statement_timestamp() - interval '1 hour'
             ORDER BY r.held_until DESC LIMIT asked.unsold)";

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
    let unsold: Vec<i64> = sorted.iter().map(|(_, limits)| most(limits.unsold_per_hour)).collect();
    // Goes out with the next statement, and before it.
    tx.execute_later(
        // A row that is there is locked, though nothing is written; one that is not, is made. Always in one order.
        "INSERT INTO terminal_gate (terminal_id) SELECT id FROM UNNEST($1::text[]) AS asked (id)
         ORDER BY id COLLATE \"C\"
         ON CONFLICT (terminal_id) DO UPDATE SET terminal_id = excluded.terminal_id WHERE false",
        &[&ids],
    )
    .await?;
    let sql = format!(
        // On a snapshot of its own, taken when the locks are held. The order keeps the planner on the indexes.
        "SELECT asked.id,
                    (SELECT count(*) FROM (SELECT FROM reservation r WHERE r.terminal_id = asked.id AND r.state = 'held'
                         AND r.held_until > statement_timestamp() ORDER BY r.held_until
                         LIMIT greatest(asked.holds, asked.sales, asked.unsold)) held),
                    (SELECT count(*) FROM (SELECT FROM reservation r WHERE r.terminal_id = asked.id AND r.state = 'sold'
                         AND r.ended_at > statement_timestamp() - interval '1 hour' AND NOT r.gratis
                         ORDER BY r.ended_at LIMIT asked.sales) sold),
                    (SELECT count(*) FROM ({UNSOLD}) seen)
             FROM UNNEST($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS asked (id, holds, sales, unsold)"
    );
    let rows = tx.query(&sql, &[&ids, &holds, &sales, &unsold]).await?;
    rows.iter()
        .map(|row| {
            let count = |at: usize| u32::try_from(row.get::<_, i64>(at)).unwrap_or(u32::MAX);
            let usage = Usage {
                holds: count(1),
                sales: count(2),
                unsold: count(3),
            };
            Ok((TerminalId::parse(row.get(0))?, usage))
        })
        .collect()
}

/// A terminal that was shown cards and has not sold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsold {
    /// Which.
    pub terminal: TerminalId,
    /// So many within the last hour, those that it holds among them; it may be more, where these are as many as were asked about.
    pub cards: u32,
}

/// Those of these terminals that were shown so many cards within the last hour that they have not sold; what they hold counts, as it
/// does for the limit.
pub async fn unsold(store: &Store, asked: &[(TerminalId, u32)]) -> Result<Vec<Unsold>, StoreError> {
    let ids: Vec<&str> = asked.iter().map(|(id, _)| id.as_str()).collect();
    let most: Vec<i64> = asked.iter().map(|(_, most)| i64::from(*most)).collect();
    let sql = format!(
        "SELECT id, cards FROM (
             SELECT asked.id, asked.unsold, (SELECT count(*) FROM ({UNSOLD} UNION ALL {HELD}) seen) AS cards
             FROM UNNEST($1::text[], $2::bigint[]) AS asked (id, unsold)) counted
         WHERE cards >= unsold ORDER BY id"
    );
    let rows = store.query(&sql, &[&ids, &most]).await?;
    rows.iter()
        .map(|row| {
            Ok(Unsold {
                terminal: TerminalId::parse(row.get(0))?,
                cards: u32::try_from(row.get::<_, i64>(1)).unwrap_or(u32::MAX),
            })
        })
        .collect()
}
