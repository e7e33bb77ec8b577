//! A database of its own with a payee in it, and payments taken at any time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use artifacts::Artifacts;
use domain::declaration::Payee;
use domain::{PayeeId, RegisterId};
use futures::{FutureExt, TryStreamExt};
use registers::{Builder, Built};
use secrecy::SecretString;
use serde_json::{Value, json};
use store::registers::{Listed, ListedPart};
use store::{Store, StoreSettings, declarations, scratch};

/// How long anything may take on a machine that does many things at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

pub(crate) struct Stand {
    pub(crate) store: Store,
    settings: StoreSettings,
}

/// Runs a test on a database of its own, which is dropped afterwards, also when the test fails.
pub(crate) async fn on_stand<F>(test: impl FnOnce(Arc<Stand>) -> F)
where
    F: Future<Output = ()>,
{
    let server = runtime::settings::environment("UNIGATE_DATABASE_URL");
    let server = server.unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/unigate".to_owned());
    let (server, _) = server.rsplit_once('/').unwrap();
    let settings = StoreSettings {
        url: SecretString::from(format!("{server}/unigate_test_{}", uuid::Uuid::new_v4().simple())),
        pool_size: 8,
        ca_file: None,
        application_name: "registers tests".to_owned(),
    };
    store::migrate(&settings).await.unwrap();
    let stand = Arc::new(Stand {
        store: Store::connect(&settings).unwrap(),
        settings: settings.clone(),
    });
    let ended = AssertUnwindSafe(test(stand.clone())).catch_unwind().await;
    store::drop_database(&stand.settings).await.unwrap();
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed);
    }
}

pub(crate) fn gvk() -> PayeeId {
    PayeeId::parse("gvk").unwrap()
}

/// The payee `gvk`: registers daily at midnight in Moscow, unless `register` says otherwise.
pub(crate) fn payee(register: Value) -> Payee {
    let mut declared = json!({
        "id": "gvk", "name": "Горводоканал", "gateway": "registers", "currency": "RUB",
        "account": { "pattern": "^.{1,40}$" }, "amount": { "min": 1, "max": 100_000_000 },
        "field": [{ "name": "meter_cold", "label": "Cold water meter", "required": false }],
        "register": { "schedule": "0 0 * * *", "time_zone": "Europe/Moscow", "mail_to": ["buh@example.org"] },
    });
    for (key, value) in register.as_object().unwrap() {
        declared["register"][key] = value.clone();
    }
    serde_json::from_value(declared).unwrap()
}

impl Stand {
    /// Declares a payee the way `payees apply` does.
    pub(crate) async fn declare(&self, payee: &Payee) -> Vec<RegisterId> {
        let tx = self.store.begin().await.unwrap();
        declarations::lock_for_apply(&tx).await.unwrap();
        let closed = store::registers::close_before_change(&self.store, &tx, std::slice::from_ref(payee))
            .await
            .unwrap();
        declarations::apply_payee(&tx, payee, "test").await.unwrap();
        tx.commit().await.unwrap();
        closed
    }

    /// The clock of the ledger and of the series as they were on 1 March 2020, noon, and the payee declared a day before.
    pub(crate) async fn back_in_2020(&self) {
        self.sql(
            "UPDATE ledger SET clock = '2020-03-01T12:00:00Z';
             UPDATE payee SET updated_at = '2020-02-29T12:00:00Z';
             UPDATE series SET last_cutoff = '2020-03-01T12:00:00Z', planned_version = NULL",
        )
        .await;
    }

    /// Takes `count` payments of 100.00 each in one batch, accepted at `at` or, should that be later, by the ledger's clock.
    pub(crate) async fn pay(&self, at: &str, count: i64) {
        self.pay_into("main", at, count).await;
    }

    /// The same into a series.
    pub(crate) async fn pay_into(&self, series: &str, at: &str, count: i64) {
        self.sql(&format!(
            "WITH dealt AS (
                 UPDATE ledger SET last_position = last_position + {count}, clock = greatest(clock, '{at}')
                 RETURNING last_position - {count} AS before, clock)
             INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount,
                 currency, fields, receipt_number, paid_at, accepted_at, series_id, position)
             SELECT gen_random_uuid(), nextval('payment_number'), 'gvk', y.version, 'registers', 'T-1', 'A-' || n, 10000,
                 'RUB', '{{\"meter_cold\": \"00123\"}}', '000' || n, '{at}', dealt.clock, s.series_id, dealt.before + n
             FROM dealt, generate_series(1, {count}) n, series s JOIN payee y USING (payee_id)
             WHERE s.payee_id = 'gvk' AND s.name = '{series}'"
        ))
        .await;
    }

    /// Revokes the payment at a position, as intake does.
    pub(crate) async fn revoke(&self, position: i64) {
        self.sql(&format!(
            "UPDATE payment SET state = 'revoked' WHERE position = {position}"
        ))
        .await;
    }

    pub(crate) async fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        scratch::sql(&self.store, sql).await.unwrap()
    }

    /// The one value a query finds.
    pub(crate) async fn value(&self, sql: &str) -> String {
        self.sql(sql).await[0][0].clone().unwrap_or_default()
    }

    pub(crate) async fn list(&self) -> Vec<Listed> {
        store::registers::list(&self.store, Some(&gvk())).await.unwrap()
    }

    /// (sequence, lo..hi, count, total, cut-off) of the regular registers.
    pub(crate) async fn ranges(&self) -> Vec<String> {
        let rows = self
            .sql(
                "SELECT sequence || ': ' || lo || '-' || hi || ' ' || payment_count || ' ' || total || ' '
                     || to_char(cutoff AT TIME ZONE 'UTC', 'MM-DD HH24:MI')
                 FROM register WHERE kind = 'regular' ORDER BY sequence",
            )
            .await;
        rows.into_iter().map(|row| row[0].clone().unwrap()).collect()
    }

    pub(crate) fn builder(&self) -> Builder {
        self.builder_into(self.artifacts())
    }

    /// A builder that keeps files somewhere else than all others.
    pub(crate) fn builder_into(&self, artifacts: Artifacts) -> Builder {
        Builder::new(self.store.clone(), artifacts, "Unigate <unigate@example.org>")
    }

    pub(crate) fn artifacts(&self) -> Artifacts {
        Artifacts::in_database(self.store.clone())
    }

    /// Builds everything that waits.
    pub(crate) async fn build_all(&self) -> Vec<Built> {
        let builder = self.builder();
        let mut built = Vec::new();
        loop {
            let builds = builder.claim().await.unwrap();
            if builds.is_empty() {
                return built;
            }
            built.extend(builder.build(&builds).await.unwrap());
        }
    }

    /// A register's file with its name.
    pub(crate) async fn file(&self, register: RegisterId) -> (String, Vec<u8>) {
        let mut files = self.files(register).await;
        assert_eq!(files.len(), 1);
        let (part, bytes) = files.remove(0);
        (part.file_name, bytes)
    }

    /// The files of a register.
    pub(crate) async fn files(&self, register: RegisterId) -> Vec<(ListedPart, Vec<u8>)> {
        let mut files = Vec::new();
        for part in store::registers::parts_of(&self.store, register).await.unwrap() {
            let chunks: Vec<_> = self.artifacts().read(&part.sha256).try_collect().await.unwrap();
            let bytes = chunks.concat();
            assert_eq!(bytes.len() as i64, part.bytes);
            files.push((part, bytes));
        }
        files
    }

    /// The kinds of events that were written, in order.
    pub(crate) async fn events(&self) -> Vec<String> {
        let rows = self.sql("SELECT kind FROM event ORDER BY sequence").await;
        rows.into_iter().map(|row| row[0].clone().unwrap()).collect()
    }
}
