//! Payees, products and terminals as declared, and the snapshot of them that workers decide by.

mod card;
mod payee;
mod product;

use std::collections::HashMap;
use std::sync::Arc;

use domain::declaration::{Declaration, Payee, Product, Terminal, TerminalGroup, TerminalLimits, Zone};
use domain::ids::{PayeeId, ProductId, TerminalId};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::audit::{self, Act};
use crate::parked::{self, SettledContents};
use crate::{Store, StoreError, Tx};

pub use card::{PayeeCard, payee_card, payee_cards};
pub use payee::apply_payee;
pub use product::apply_product;

/// A declaration with its version, counted from 1.
#[derive(Clone, Debug)]
pub struct Declared<T> {
    /// Raised by every change.
    pub version: i32,
    /// What was declared.
    pub value: Arc<T>,
}

/// Everything declared at one moment, and what messages are judged by besides.
#[derive(Clone, Debug, Default)]
pub struct Declarations {
    /// Raised by every `apply` that changed something.
    pub generation: i64,
    /// By id.
    pub payees: HashMap<PayeeId, Declared<Payee>>,
    /// By id.
    pub products: HashMap<ProductId, Declared<Product>>,
    /// By id.
    pub terminals: HashMap<TerminalId, Declared<Terminal>>,
    /// Of terminals, by name.
    pub groups: HashMap<String, Declared<TerminalGroup>>,
    /// What operators settled of facts that nobody had a right to say.
    pub settled: SettledContents,
}

impl Declarations {
    /// The group of a terminal, where it is declared and in one.
    pub fn group_of(&self, terminal: &TerminalId) -> Option<&str> {
        self.terminals.get(terminal)?.value.group.as_deref()
    }

    /// What a terminal may take: as it says, else as its group says, else as the installation does.
    pub fn limits_of(&self, terminal: &TerminalId, installation: TerminalLimits) -> TerminalLimits {
        let Some(declared) = self.terminals.get(terminal).map(|terminal| &terminal.value) else {
            return installation;
        };
        let group = declared.group.as_ref().and_then(|group| self.groups.get(group));
        let of_group = group.map(|group| group.value.limits).unwrap_or_default();
        declared.limits.or(of_group).or(installation)
    }
}

/// What applying a declaration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was not there before.
    Created,
    /// It replaced another version.
    Changed,
    /// It said what was there already.
    Unchanged,
}

/// Has this transaction fail with [`StoreError::Outdated`] if the generation is another one by now; said together with its
/// next statement.
pub async fn expect_generation(tx: &Tx, generation: i64) -> Result<(), StoreError> {
    tx.execute_later("SELECT declarations_are($1)", &[&generation]).await
}

/// The generation of the declarations now.
pub async fn generation(store: &Store) -> Result<i64, StoreError> {
    Ok(store
        .query_one("SELECT generation FROM declaration_generation", &[])
        .await?
        .get(0))
}

/// Everything declared, as one consistent snapshot.
pub async fn load(store: &Store) -> Result<Declarations, StoreError> {
    let tx = store.begin().await?;
    let loaded = load_in(&tx).await?;
    tx.commit().await?;
    Ok(loaded)
}

/// Everything declared that can be read, as this transaction sees it.
pub async fn load_in(tx: &Tx) -> Result<Declarations, StoreError> {
    // A share lock keeps an `apply` from committing between the reads.
    let row = tx
        .query_one("SELECT generation FROM declaration_generation FOR SHARE", &[])
        .await?;
    let payees = rows_of::<Payee>(tx, "SELECT version, declaration FROM payee").await?;
    let products = rows_of::<Product>(tx, "SELECT version, declaration FROM product").await?;
    let terminals = rows_of::<Terminal>(tx, "SELECT version, declaration FROM terminal").await?;
    let groups = rows_of::<TerminalGroup>(tx, "SELECT version, declaration FROM terminal_group").await?;
    Ok(Declarations {
        generation: row.get(0),
        payees: payees
            .into_iter()
            .map(|declared| (declared.value.id.clone(), declared))
            .collect(),
        products: products
            .into_iter()
            .map(|declared| (declared.value.id.clone(), declared))
            .collect(),
        terminals: terminals
            .into_iter()
            .map(|declared| (declared.value.id.clone(), declared))
            .collect(),
        groups: groups
            .into_iter()
            .map(|declared| (declared.value.id.clone(), declared))
            .collect(),
        settled: parked::settled_contents(tx).await?,
    })
}

/// A payee as it was declared in one version: registers are rendered with the version they were closed under.
pub async fn payee_version(store: &Store, payee: &PayeeId, version: i32) -> Result<Payee, StoreError> {
    let row = store
        .query_one(
            "SELECT declaration FROM payee_version WHERE payee_id = $1 AND version = $2",
            &[&payee.as_str(), &version],
        )
        .await?;
    Ok(serde_json::from_value(row.get(0))?)
}

/// A payee as it is declared now, locked until the transaction ends. None: it is not, or by a version whose words are not ours.
pub async fn payee_for_update(tx: &Tx, payee: &PayeeId) -> Result<Option<Payee>, StoreError> {
    let sql = "SELECT declaration FROM payee WHERE payee_id = $1 FOR NO KEY UPDATE";
    let row = tx.query_opt(sql, &[&payee.as_str()]).await?;
    Ok(row.and_then(|row| serde_json::from_value(row.get(0)).ok()))
}

/// A product as it is declared now.
pub async fn product(tx: &Tx, product: &ProductId) -> Result<Product, StoreError> {
    let row = tx
        .query_one(
            "SELECT declaration FROM product WHERE product_id = $1",
            &[&product.as_str()],
        )
        .await?;
    Ok(serde_json::from_value(row.get(0))?)
}

/// The database works out which day it is in a zone, for many at once: one that only the program knows would stop the
/// building of everybody's registers, and the selling of everybody's cards.
async fn check_zone(tx: &Tx, zone: &Zone, place: impl FnOnce() -> String) -> Result<(), StoreError> {
    let zone = zone.name();
    let known = tx
        .query_one("SELECT date_trunc('day', clock_timestamp(), $1)", &[&zone])
        .await;
    known.map(drop).map_err(|error| match error {
        StoreError::Data(_) => StoreError::Changed(format!("{}: the database does not know `{zone}`", place())),
        other => other,
    })
}

/// Declares a terminal.
pub async fn apply_terminal(tx: &Tx, terminal: &Terminal, who: &str) -> Result<Applied, StoreError> {
    let sql = Plain {
        current: "SELECT version, declaration FROM terminal WHERE terminal_id = $1 FOR NO KEY UPDATE",
        write: "INSERT INTO terminal (terminal_id, version, declaration) VALUES ($1, $2, $3)
                ON CONFLICT (terminal_id) DO UPDATE SET version = excluded.version, declaration = excluded.declaration,
                    updated_at = clock_timestamp()",
    };
    apply_plain(tx, sql, terminal, who).await
}

/// Declares a group of terminals.
pub async fn apply_group(tx: &Tx, group: &TerminalGroup, who: &str) -> Result<Applied, StoreError> {
    let sql = Plain {
        current: "SELECT version, declaration FROM terminal_group WHERE group_id = $1 FOR NO KEY UPDATE",
        write: "INSERT INTO terminal_group (group_id, version, declaration) VALUES ($1, $2, $3)
                ON CONFLICT (group_id) DO UPDATE SET version = excluded.version, declaration = excluded.declaration,
                    updated_at = clock_timestamp()",
    };
    apply_plain(tx, sql, group, who).await
}

/// How a declaration is kept that nothing else follows from.
struct Plain {
    current: &'static str,
    write: &'static str,
}

async fn apply_plain<T: Declaration>(tx: &Tx, sql: Plain, declared: &T, who: &str) -> Result<Applied, StoreError> {
    let id = declared.id();
    let before = lock_current(tx, sql.current, id).await?;
    let declaration = serde_json::to_value(declared)?;
    let Some((applied, version)) = next_version(&before, &declaration) else {
        return Ok(Applied::Unchanged);
    };
    tx.execute(sql.write, &[&id, &version, &declaration]).await?;
    let act = format!("{}s apply", T::KIND);
    finish(tx, &act, T::KIND, id, who, before.map(|(_, old)| old), declaration).await?;
    Ok(applied)
}

/// Serialises every `apply`: taken first, so two of them never wait for each other in a circle.
pub async fn lock_for_apply(tx: &Tx) -> Result<(), StoreError> {
    tx.query_one("SELECT generation FROM declaration_generation FOR UPDATE", &[])
        .await
        .map(drop)
}

/// Has workers read everything anew.
pub(crate) async fn raise_generation(tx: &Tx) -> Result<(), StoreError> {
    let sql = "UPDATE declaration_generation SET generation = generation + 1";
    tx.execute(sql, &[]).await.map(drop)
}

/// Waits until the batches at work are over, two seconds at most, before the statement that comes next, in the same flight. From then
/// on new ones wait for the end of this transaction: an operator whose line breaks just then is given up as soon.
pub(crate) async fn outlast_batches(tx: &Tx) -> Result<(), StoreError> {
    tx.execute_later(
        "SELECT set_config('idle_in_transaction_session_timeout', '2s', true)",
        &[],
    )
    .await?;
    tx.execute_later("SELECT batches_wait()", &[]).await
}

/// When a payee, product or terminal was last changed, for the lists: (kind-specific id, version, time).
pub async fn updated(store: &Store, kind: &str) -> Result<Vec<(String, i32, Timestamp)>, StoreError> {
    let sql = match kind {
        "payee" => "SELECT payee_id, version, updated_at FROM payee ORDER BY 1",
        "product" => "SELECT product_id, version, updated_at FROM product ORDER BY 1",
        _ => "SELECT terminal_id, version, updated_at FROM terminal ORDER BY 1",
    };
    Ok(store
        .query(sql, &[])
        .await?
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect())
}

async fn rows_of<T: DeserializeOwned>(tx: &Tx, sql: &str) -> Result<Vec<Declared<T>>, StoreError> {
    let rows = tx.query(sql, &[]).await?;
    Ok(rows.iter().filter_map(readable).collect())
}

/// One declaration that this version of the program cannot read (a newer one applied it) must not stop everybody else's
/// work: it counts as not declared here, and loudly so. This happens once per generation, not per batch.
fn readable<T: DeserializeOwned>(row: &tokio_postgres::Row) -> Option<Declared<T>> {
    let (version, declaration): (i32, Value) = (row.get(0), row.get(1));
    let id = declaration["id"].as_str().unwrap_or_default().to_owned();
    match serde_json::from_value(declaration) {
        Ok(value) => Some(Declared {
            version,
            value: Arc::new(value),
        }),
        Err(error) => {
            tracing::error!(id, version, %error, "a declaration cannot be read by this version: treated as not declared");
            metrics::counter!("unigate_unreadable_declarations_total").increment(1);
            None
        }
    }
}

type Before = Option<(i32, Value)>;

async fn lock_current(tx: &Tx, sql: &str, id: &str) -> Result<Before, StoreError> {
    Ok(tx.query_opt(sql, &[&id]).await?.map(|row| (row.get(0), row.get(1))))
}

fn next_version(before: &Before, declaration: &Value) -> Option<(Applied, i32)> {
    match before {
        None => Some((Applied::Created, 1)),
        Some((_, old)) if old == declaration => None,
        Some((version, _)) => Some((Applied::Changed, version + 1)),
    }
}

async fn finish(
    tx: &Tx,
    act: &str,
    kind: &str,
    id: &str,
    who: &str,
    before: Option<Value>,
    after: Value,
) -> Result<(), StoreError> {
    raise_generation(tx).await?;
    let act = Act {
        who,
        act,
        subject_kind: kind,
        subject: id,
        reason: None,
        before,
        after: Some(after),
    };
    audit::record(tx, &act).await
}
