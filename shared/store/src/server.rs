//! What the database server is asked about itself: who we are there, what we may do, whether a commit lasts, and what time it is.

use jiff::{SignedDuration, Timestamp};

use crate::{Store, StoreError};

/// Clocks that are kept in step are never so far apart.
pub const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(1);

/// How far this machine's clock is ahead of the server's, at least; behind it where negative. Zero where the answer may have been
/// given at the moment that it tells.
pub async fn clock_ahead(store: &Store) -> Result<SignedDuration, StoreError> {
    let asked = domain::clock::now();
    let told = store.query_one("SELECT clock_timestamp()", &[]).await?.get(0);
    Ok(apart(asked, told, domain::clock::now()))
}

fn apart(asked: Timestamp, told: Timestamp, answered: Timestamp) -> SignedDuration {
    asked.max(told.min(answered)).duration_since(told)
}

/// The server as this session sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `server_version`.
    pub version: String,
    /// The role we act as.
    pub role: String,
    /// A standby, or a database set to refuse writing.
    pub read_only: bool,
    /// `synchronous_commit` and `fsync` as we get them: when either is off, what is acknowledged can be lost.
    pub durable: bool,
    /// Whether dead rows are cleared away by themselves.
    pub autovacuum: bool,
    /// Tables of ours that are set to be left out of that.
    pub untended_tables: Vec<String>,
    /// `max_connections`.
    pub max_connections: i32,
    /// Tables of ours the role may not read and write.
    pub forbidden_tables: Vec<String>,
    /// The roles of `deploy/grants.sql` that we are in.
    pub least_roles: Vec<String>,
    /// Tables of ours that none of those roles may read: they are newer than its last run.
    pub ungranted_tables: Vec<String>,
    /// Whether we may see which migrations were applied.
    pub sees_migrations: bool,
}

/// The roles of `deploy/grants.sql`, but for the owner's.
const LEAST_ROLES: [&str; 8] = [
    "unigate_intake",
    "unigate_cards",
    "unigate_unikassa",
    "unigate_databases",
    "unigate_registers",
    "unigate_mailer",
    "unigate_operator",
    "unigate_readonly",
];

/// Asks.
pub async fn look(store: &Store) -> Result<Server, StoreError> {
    let row = store
        .query_one(
            "WITH ours AS (SELECT oid, relname::text, reloptions FROM pg_class
                 WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND relname <> 'refinery_schema_history'),
             least AS (SELECT oid, rolname::text FROM pg_roles WHERE rolname = ANY($1))
             SELECT current_setting('server_version'), current_user::text,
                    pg_is_in_recovery() OR current_setting('transaction_read_only')::bool,
                    current_setting('synchronous_commit') <> 'off' AND current_setting('fsync')::bool,
                    current_setting('max_connections')::int4,
                    coalesce((SELECT array_agg(c.relname ORDER BY c.relname) FROM ours c
                        WHERE NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                               AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))), '{}'),
                    coalesce((SELECT array_agg(rolname ORDER BY rolname) FROM least WHERE pg_has_role(oid, 'USAGE')), '{}'),
                    coalesce((SELECT array_agg(c.relname ORDER BY c.relname) FROM ours c WHERE NOT EXISTS (
                        SELECT FROM least r WHERE has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE')
                            OR has_table_privilege(r.oid, c.oid, 'DELETE'))), '{}'),
                    coalesce(has_table_privilege(to_regclass('refinery_schema_history'), 'SELECT'), true),
                    current_setting('autovacuum')::bool AND current_setting('track_counts')::bool,
                    coalesce((SELECT array_agg(c.relname ORDER BY c.relname) FROM ours c WHERE EXISTS (
                        SELECT FROM pg_options_to_table(c.reloptions)
                        WHERE option_name = 'autovacuum_enabled' AND NOT option_value::bool)), '{}')",
            &[&&LEAST_ROLES[..]],
        )
        .await?;
    Ok(Server {
        version: row.get(0),
        role: row.get(1),
        read_only: row.get(2),
        durable: row.get(3),
        max_connections: row.get(4),
        forbidden_tables: row.get(5),
        least_roles: row.get(6),
        ungranted_tables: row.get(7),
        sees_migrations: row.get(8),
        autovacuum: row.get(9),
        untended_tables: row.get(10),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_as_far_apart_as_they_must_be() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (told, ahead) in [(10, 0), (11, 0), (13, 0), (4, 6), (20, -7)] {
            assert_eq!(
                apart(at(10), at(told), at(13)),
                SignedDuration::from_secs(ahead),
                "{told}"
            );
        }
    }
}
