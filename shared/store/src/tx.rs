//! Transactions, and how few round trips one takes.
//!
//! On a busy machine a round trip costs more than a row. So BEGIN goes out with the first statement, and a statement
//! whose result nobody reads ([`Tx::execute_later`]) goes out with the next one that is read, or with COMMIT. The order
//! of statements is always the order of the calls. A transaction of one such statement is that statement, with neither BEGIN
//! nor COMMIT.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::future::{join, join_all, try_join_all};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{CopyInSink, Row, Statement};

use crate::StoreError;
use crate::lent::Lent;

/// `join_all` starts so many in their order; more are sent on before.
const MOST_PENDING: usize = 16;

/// A transaction with the session it runs in.
#[derive(Debug)]
pub struct Tx {
    // Given back once it has ended; dropped before, the transaction is rolled back by closing the session.
    client: Lent,
    begun: AtomicBool,
    pending: Mutex<Vec<Pending>>,
    afterwards: Afterwards,
    expects_repeats: bool,
}

/// What is done once the transaction is true, and never if it is not.
#[derive(Default)]
struct Afterwards(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl Afterwards {
    fn run(&self) {
        for act in std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            act();
        }
    }
}

impl std::fmt::Debug for Afterwards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Afterwards")
    }
}

/// A statement that goes out with the next one.
#[derive(Debug)]
struct Pending {
    statement: Statement,
    params: Vec<Encoded>,
}

impl Pending {
    async fn run(&self, client: &Lent) -> Result<(), tokio_postgres::Error> {
        let params: Vec<&(dyn ToSql + Sync)> = self.params.iter().map(|param| param as _).collect();
        client.execute(&self.statement, &params).await.map(drop)
    }
}

/// A parameter as it goes over the line: the caller's value need not live until then.
#[derive(Debug)]
struct Encoded(Option<BytesMut>);

impl ToSql for Encoded {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(bytes) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl Tx {
    /// A transaction that begins with its first statement.
    pub(crate) fn on(client: Lent) -> Self {
        Self {
            client,
            begun: AtomicBool::new(false),
            pending: Mutex::default(),
            afterwards: Afterwards::default(),
            expects_repeats: true,
        }
    }

    /// For whoever does the same again, with a transaction that looks first, after [`StoreError::Repeated`]: ids that come in
    /// are taken for new ones, which saves the look. Almost all of them are.
    #[must_use]
    pub fn expecting_new(mut self) -> Self {
        self.expects_repeats = false;
        self
    }

    /// Whether ids that come in may be known already and are looked for.
    pub(crate) fn expects_repeats(&self) -> bool {
        self.expects_repeats
    }

    /// Makes it all true. An error leaves open whether it became true; every caller's work can be done again.
    pub async fn commit(self) -> Result<(), StoreError> {
        if let Some(only) = self.only_statement() {
            self.client.answered(only.run(&self.client)).await??;
        } else if self.is_used() {
            // Behind a statement that fails, COMMIT rolls back, and the statement's error is the one returned.
            self.in_transaction(self.client.batch_execute("COMMIT")).await?;
        }
        self.committed();
        Ok(())
    }

    fn committed(self) {
        self.client.give_back();
        self.afterwards.run();
    }

    /// Has this done once the transaction has been committed; not if it is rolled back, or if nobody knows.
    pub(crate) fn once_committed(&self, act: impl FnOnce() + Send + 'static) {
        let mut afterwards = self.afterwards.0.lock().unwrap_or_else(PoisonError::into_inner);
        afterwards.push(Box::new(act));
    }

    /// Undoes it all and keeps the session, for dry runs. What was to be sent later is not sent.
    pub async fn rollback(self) -> Result<(), StoreError> {
        if self.begun.load(Ordering::Relaxed) {
            self.client.answered(self.client.batch_execute("ROLLBACK")).await??;
        }
        self.client.give_back();
        Ok(())
    }

    pub(crate) async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let statement = self.client.prepared(sql).await?;
        self.in_transaction(self.client.query(&statement, params)).await
    }

    /// The last query of a transaction, and COMMIT in the same flight: for what nobody looks at before it is true.
    pub(crate) async fn query_last(self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let statement = self.client.prepared(sql).await?;
        let both = async {
            let client = &self.client;
            // Behind a query that fails, COMMIT rolls back, and the query's error is the one returned.
            let (found, committed) = join(client.query(&statement, params), client.batch_execute("COMMIT")).await;
            let found = found?;
            committed.map(|()| found)
        };
        let found = self.in_transaction(both).await?;
        self.committed();
        Ok(found)
    }

    pub(crate) async fn query_one(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, StoreError> {
        let statement = self.client.prepared(sql).await?;
        self.in_transaction(self.client.query_one(&statement, params)).await
    }

    pub(crate) async fn query_opt(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, StoreError> {
        let statement = self.client.prepared(sql).await?;
        self.in_transaction(self.client.query_opt(&statement, params)).await
    }

    /// Queries in one flight, run one behind the other. Each sees what those before it found locked or wrote.
    pub(crate) async fn query_each<const N: usize>(
        &self,
        queries: [(&str, &[&(dyn ToSql + Sync)]); N],
    ) -> Result<[Vec<Row>; N], StoreError> {
        let mut prepared = Vec::with_capacity(N);
        for (sql, params) in queries {
            prepared.push((self.client.prepared(sql).await?, params));
        }
        // Prepared before, so that all are sent when first polled, in this order.
        let client = &self.client;
        let each = prepared
            .iter()
            .map(|(statement, params)| client.query(statement, params));
        let found = self.in_transaction(try_join_all(each)).await?;
        found
            .try_into()
            .map_err(|_| StoreError::unreadable("a query without a result"))
    }

    /// Prepares a statement of this transaction alone: what a cursor's name stands for is another thing in the next one.
    pub(crate) async fn prepare(&self, sql: &str) -> Result<Statement, StoreError> {
        Ok(self.client.answered(self.client.prepare(sql)).await??)
    }

    /// Runs a statement without parameters that [`Tx::prepare`] gave.
    pub(crate) async fn query_prepared(&self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        self.in_transaction(self.client.query(statement, &[])).await
    }

    /// Lets the statements of this transaction take as long as what an operator asks of millions of rows needs, and wait for
    /// others as long.
    pub(crate) async fn allow_time(&self) -> Result<(), StoreError> {
        self.allow(600).await
    }

    /// Lets each statement of this transaction take so many seconds, and wait for others as long.
    pub(crate) async fn allow(&self, seconds: u64) -> Result<(), StoreError> {
        self.client.allow(seconds);
        let settings = format!("SET LOCAL statement_timeout = '{seconds}s'; SET LOCAL lock_timeout = '{seconds}s'");
        self.batch(&settings).await
    }

    pub(crate) async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        let statement = self.client.prepared(sql).await?;
        self.in_transaction(self.client.execute(&statement, params)).await
    }

    /// Runs statements without parameters that are not worth being prepared.
    pub(crate) async fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.in_transaction(self.client.batch_execute(sql)).await
    }

    /// Begins a COPY; its sink has to be finished before the next statement.
    pub(crate) async fn copy_in(&self, sql: &str) -> Result<CopyInSink<Bytes>, StoreError> {
        self.in_transaction(self.client.copy_in(sql)).await
    }

    /// A statement whose result nobody reads. It goes out with the next one or with the commit, whose error is then its
    /// error; locks that it takes are held that much shorter.
    pub(crate) async fn execute_later(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<(), StoreError> {
        let statement = self.client.prepared(sql).await?;
        let params = params
            .iter()
            .zip(statement.params())
            .map(|(param, kind)| encoded(*param, kind))
            .collect::<Result<_, _>>()?;
        let full = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.push(Pending { statement, params });
            pending.len() >= MOST_PENDING
        };
        if full {
            self.in_transaction(std::future::ready(Ok(()))).await?;
        }
        Ok(())
    }

    /// What is to be sent, where it is all that ever was.
    fn only_statement(&self) -> Option<Pending> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = pending.len() == 1 && !self.begun.load(Ordering::Relaxed);
        if alone { pending.pop() } else { None }
    }

    fn is_used(&self) -> bool {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        self.begun.load(Ordering::Relaxed) || !pending.is_empty()
    }

    /// Runs a statement together with all that goes out before it: BEGIN, and what was left for later. Everything is sent
    /// when first polled, in this order. The first error stands: those after it follow from it.
    async fn in_transaction<T>(
        &self,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        let client = &self.client;
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        let first = !self.begun.swap(true, Ordering::Relaxed);
        if !first && pending.is_empty() {
            return Ok(client.answered(statement).await??);
        }
        let begin = async {
            if first {
                client.batch_execute("BEGIN").await?;
            }
            Ok::<_, tokio_postgres::Error>(())
        };
        let before = join_all(pending.iter().map(|one| one.run(client)));
        let ((begun, before), done) = client.answered(join(join(begin, before), statement)).await?;
        begun?;
        for done_before in before {
            done_before?;
        }
        Ok(done?)
    }
}

fn encoded(param: &(dyn ToSql + Sync), kind: &Type) -> Result<Encoded, StoreError> {
    let mut bytes = BytesMut::new();
    let encoded = param.to_sql_checked(kind, &mut bytes).map_err(StoreError::Data)?;
    Ok(Encoded(matches!(encoded, IsNull::No).then_some(bytes)))
}
