//! What `doctor` asks the database server about itself: who we are there, what we may do, and whether a commit lasts.

use crate::{Store, StoreError};

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
    /// `max_connections`.
    pub max_connections: i32,
    /// Tables of ours the role may not read and write.
    pub forbidden_tables: Vec<String>,
}

/// Asks.
pub async fn look(store: &Store) -> Result<Server, StoreError> {
    let row = store
        .query_one(
            "SELECT current_setting('server_version'), current_user::text,
                    pg_is_in_recovery() OR current_setting('transaction_read_only')::bool,
                    current_setting('synchronous_commit') <> 'off' AND current_setting('fsync')::bool,
                    current_setting('max_connections')::int4,
                    coalesce((SELECT array_agg(c.relname::text ORDER BY c.relname) FROM pg_class c
                        WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
                          AND c.relname <> 'refinery_schema_history'
                          AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                               AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))), '{}')",
            &[],
        )
        .await?;
    Ok(Server {
        version: row.get(0),
        role: row.get(1),
        read_only: row.get(2),
        durable: row.get(3),
        max_connections: row.get(4),
        forbidden_tables: row.get(5),
    })
}
