//! Databases for tests and demos, which need many and need them fast: copies of a template that is migrated once per set
//! of migrations.
//!
//! Templates of other migrations (older ones, those of other checkouts) pile up on a server. So each says in its comment
//! when it was last copied, and who makes a new one drops those that nobody has copied for a day. Everything here is done
//! under the advisory lock of migrations: no template goes away between somebody's look and his copy.

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::Client;

use super::{MIGRATION_LOCK, connect, embedded, migrate, quoted, server_of};
use crate::{StoreError, StoreSettings};

/// What the names of templates begin with; a fingerprint of the migrations follows, and of one that is not whole
/// [`DRAFT`].
const PREFIX: &str = "unigate_template_";
const DRAFT: &str = "_draft";
/// A template that was not copied for so long goes when another one is made, in seconds.
const UNUSED: i64 = 24 * 60 * 60;
/// How exactly a template says when it was last copied, in seconds.
const EXACTNESS: i64 = 60 * 60;
/// The comment of a template, before the second of its last use by the server's clock.
const LAST_USED: &str = "unigate: last copied at Unix second ";

/// Creates the database the settings name as a copy of a template with this program's schema, made when there is none
/// yet.
pub async fn create_from_template(settings: &StoreSettings) -> Result<(), StoreError> {
    let (server, name) = server_of(settings)?;
    let template = format!("{PREFIX}{}", fingerprint_of_migrations());
    let client = connect(&server).await?;
    // Held over making and copying: a template somebody is connected to cannot be copied.
    client
        .batch_execute("SET statement_timeout = 0; SET lock_timeout = 0")
        .await?;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .await?;
    let all = Template::all(&client).await?;
    let known = all.iter().find(|known| known.name == template);
    if known.is_none() {
        drop_unused(&client, &all).await;
        make(&server, &client, &template).await?;
    }
    client
        .batch_execute(&format!(
            "CREATE DATABASE {} TEMPLATE {}",
            quoted(&name),
            quoted(&template)
        ))
        .await?;
    if known.is_none_or(|known| known.unused_for.is_none_or(|unused| unused > EXACTNESS)) {
        note_use(&client, &template).await?;
    }
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK])
        .await?;
    Ok(())
}

/// A template that is there, or one that somebody did not finish.
struct Template {
    name: String,
    /// Seconds since it was last copied; none when it does not say.
    unused_for: Option<i64>,
    /// It says something else: somebody keeps it for a reason.
    is_kept: bool,
}

impl Template {
    async fn all(client: &Client) -> Result<Vec<Self>, StoreError> {
        let rows = client
            .query(
                "SELECT datname::text, extract(epoch FROM clock_timestamp())::bigint
                            - substring(comment FROM '^' || $2::text || '([0-9]{1,12})$')::bigint,
                        comment IS NOT NULL AND comment !~ ('^' || $2::text || '[0-9]{1,12}$')
                 FROM (SELECT datname, shobj_description(oid, 'pg_database') AS comment FROM pg_database) d
                 WHERE datname ~ ('^' || $1::text || '[0-9a-f]{12}(' || $3::text || ')?$')",
                &[&PREFIX, &LAST_USED, &DRAFT],
            )
            .await?;
        let template = |row: &tokio_postgres::Row| Self {
            name: row.get(0),
            unused_for: row.get(1),
            is_kept: row.get(2),
        };
        Ok(rows.iter().map(template).collect())
    }
}

/// Drops what nobody has copied for a day. What does not say when it was copied last gets a day from now on. Whatever
/// cannot be dropped (somebody is connected to it, or it is another user's) is left to the next one who makes a template.
async fn drop_unused(client: &Client, all: &[Template]) {
    for old in all.iter().filter(|old| !old.is_kept) {
        let done = match old.unused_for {
            None => note_use(client, &old.name).await,
            Some(unused) if unused > UNUSED => {
                let sql = format!("DROP DATABASE IF EXISTS {}", quoted(&old.name));
                client.batch_execute(&sql).await.map_err(StoreError::from)
            }
            Some(_) => Ok(()),
        };
        if let Err(error) = done {
            tracing::debug!(template = old.name, %error, "an old template database is left alone");
        }
    }
}

/// Writes the server's time into the template's comment.
async fn note_use(client: &Client, template: &str) -> Result<(), StoreError> {
    let now: i64 = client
        .query_one("SELECT extract(epoch FROM clock_timestamp())::bigint", &[])
        .await?
        .get(0);
    let sql = format!("COMMENT ON DATABASE {} IS '{LAST_USED}{now}'", quoted(template));
    Ok(client.batch_execute(&sql).await?)
}

/// Under another name until it is whole: a killed test run leaves no half-made template behind under the right one.
async fn make(server: &StoreSettings, client: &Client, template: &str) -> Result<(), StoreError> {
    let draft = format!("{template}{DRAFT}");
    client
        .batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(&draft)))
        .await?;
    let mut url = url::Url::parse(server.url.expose_secret()).map_err(StoreError::unreadable)?;
    url.set_path(&draft);
    migrate(&StoreSettings {
        url: SecretString::from(url.to_string()),
        ..server.clone()
    })
    .await?;
    // The migrating session may take a moment to be gone.
    client
        .execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1",
            &[&draft],
        )
        .await?;
    Ok(client
        .batch_execute(&format!(
            "ALTER DATABASE {} RENAME TO {}",
            quoted(&draft),
            quoted(template)
        ))
        .await?)
}

fn fingerprint_of_migrations() -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for migration in embedded::migrations::runner().get_migrations() {
        hash.update(migration.to_string());
        hash.update(migration.checksum().to_be_bytes());
    }
    hex::encode(&hash.finalize()[..6])
}
