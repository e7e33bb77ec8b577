//! A register on its way, on a database of its own, and an SMTP server that does as it is told.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use artifacts::Artifacts;
use domain::declaration::Payee;
use domain::{PayeeId, RegisterId};
use futures::FutureExt;
use mailer::relay::Relay;
use mailer::{MailCourier, Report};
use runtime::courier::{Courier, Done, Wanted};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::artifacts::{Artifact, Finished, Lies};
use store::mailings::Requeue;
use store::registers::{self, BuiltPart, Part};
use store::{Store, StoreError, StoreSettings, declarations, scratch};
use testkit::mail::{Mail, MailServer};

pub(crate) const LONG: Duration = Duration::from_secs(20);
pub(crate) const FILE: &[u8] = b"number;account\r\n1;A-1\r\n";
pub(crate) const FROM: &str = "Unigate <unigate@example.org>";

pub(crate) struct Stand {
    pub(crate) store: Store,
    settings: StoreSettings,
    pub(crate) server: MailServer,
    pub(crate) courier: MailCourier,
    pub(crate) register: RegisterId,
    timeout: Duration,
}

/// Runs a test with a register built for `to`.
pub(crate) async fn on_stand<F>(to: &[&str], timeout: Duration, test: impl FnOnce(Arc<Stand>) -> F)
where
    F: Future<Output = ()>,
{
    with_register(json!({ "mail_to": to }), timeout, test).await;
}

/// Runs a test with a register of a payee whose `[register]` says this, on a database that is dropped afterwards.
pub(crate) async fn with_register<F>(register: Value, timeout: Duration, test: impl FnOnce(Arc<Stand>) -> F)
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
        application_name: "mailer tests".to_owned(),
    };
    store::migrate(&settings).await.unwrap();
    let store = Store::connect(&settings).unwrap();
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    let courier = courier(&store, &server, timeout, FROM);
    declare(&store, "gvk", register).await;
    let register = built_register(&store, "gvk").await;
    let stand = Arc::new(Stand {
        store,
        settings,
        server,
        courier,
        register,
        timeout,
    });
    let ended = AssertUnwindSafe(Box::pin(test(stand.clone()))).catch_unwind().await;
    store::drop_database(&stand.settings).await.unwrap();
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed);
    }
}

/// A process's courier.
fn courier(store: &Store, server: &MailServer, timeout: Duration, from: &str) -> MailCourier {
    let relay = Relay::from_url(&SecretString::from(format!("smtp://{}?tls=none", server.addr))).unwrap();
    MailCourier::new(
        store.clone(),
        Artifacts::in_database(store.clone()),
        Some(relay.with_timeout(timeout)),
        from,
    )
}

/// Declares a payee the way `payees apply` does.
pub(crate) async fn declare(store: &Store, id: &str, register: Value) {
    let mut declared = json!({
        "id": id, "name": "Горводоканал", "gateway": "registers", "currency": "RUB",
        "account": { "pattern": "^.{1,40}$" }, "amount": { "min": 1, "max": 100_000_000 },
        "register": { "schedule": "0 0 * * *", "time_zone": "Europe/Moscow" },
    });
    for (key, value) in register.as_object().unwrap() {
        declared["register"][key] = value.clone();
    }
    let payee: Payee = serde_json::from_value(declared).unwrap();
    payee.check().unwrap();
    let tx = store.begin().await.unwrap();
    declarations::apply_payee(&tx, &payee, "test").await.unwrap();
    tx.commit().await.unwrap();
}

/// A register as the builder leaves it, with one payment.
pub(crate) async fn built_register(store: &Store, id: &str) -> RegisterId {
    built_in_parts(store, id, &[(1, 15_000)]).await
}

/// A register in files that are said to hold so many payments and so much.
pub(crate) async fn built_in_parts(store: &Store, id: &str, parts: &[(i64, i64)]) -> RegisterId {
    let paid = format!(
        "UPDATE ledger SET last_position = last_position + 1;
         INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount, currency,
             paid_at, accepted_at, series_id, position)
         SELECT gen_random_uuid(), last_position, '{id}', 1, 'registers', 'T-1', 'A-1', 15000, 'RUB', now(), clock, series_id,
             last_position
         FROM series, ledger WHERE payee_id = '{id}'"
    );
    scratch::sql(store, &paid).await.unwrap();
    let register = registers::close_now(store, &PayeeId::parse(id).unwrap(), "test")
        .await
        .unwrap()[0];
    let build = registers::claim_builds(store, LONG, 1, 1).await.unwrap().remove(0);
    let files = parts.iter().zip(1..).map(|((count, total), part)| BuiltPart {
        part: Part {
            part,
            parts: parts.len() as i32,
            count: *count,
            total: *total,
        },
        file_name: format!(
            "{id}-main-000001{}.csv",
            if parts.len() > 1 {
                format!("-{part}")
            } else {
                String::new()
            }
        ),
        artifact: artifact(),
        message_id: format!(
            "<{register}{}@example.org>",
            if part > 1 { format!(".{part}") } else { String::new() }
        ),
    });
    let files: Vec<BuiltPart> = files.collect();
    let tx = store.begin().await.unwrap();
    let recorded = registers::record_built(&tx, &[(&build, &files)]).await.unwrap();
    assert_eq!(recorded, [register].into());
    tx.commit().await.unwrap();
    register
}

fn artifact() -> Artifact {
    Artifact {
        id: uuid::Uuid::now_v7(),
        finished: Finished {
            sha256: Sha256::digest(FILE).into(),
            bytes: FILE.len() as i64,
        },
        lies: Lies::Held(vec![FILE.into()]),
    }
}

/// Sends what was claimed and records it: what the courier's loop does.
pub(crate) async fn carry(courier: &MailCourier, lanes: &[&str]) -> Vec<Report> {
    let mut reports = Vec::new();
    for job in courier.claim(&wanted(lanes)).await.unwrap().jobs {
        let report = courier.call(&job).await;
        let done = [Done { job, report }];
        courier.record(&done).await.unwrap();
        reports.extend(done.map(|done| done.report));
    }
    reports
}

pub(crate) fn wanted(lanes: &[&str]) -> Vec<Wanted> {
    let wanted = |lane: &&str| Wanted {
        lane: (*lane).to_owned(),
        most: 64,
        ended: Vec::new(),
    };
    lanes.iter().map(wanted).collect()
}

impl Stand {
    /// Makes everything due that goes through the installation's relay, and carries it out.
    pub(crate) async fn round(&self) -> Vec<Report> {
        self.round_by(&self.courier).await
    }

    /// The same by another courier.
    pub(crate) async fn round_by(&self, courier: &MailCourier) -> Vec<Report> {
        self.all_due().await;
        carry(courier, &[""]).await
    }

    /// The same for every lane.
    pub(crate) async fn round_of_all(&self) -> Vec<Report> {
        self.round_of_all_by(&self.courier).await
    }

    /// The same by another courier.
    pub(crate) async fn round_of_all_by(&self, courier: &MailCourier) -> Vec<Report> {
        self.all_due().await;
        let lanes = courier.lanes_due(&[]).await.unwrap();
        let now: Vec<&str> = lanes
            .iter()
            .filter(|due| due.due_in.is_zero())
            .map(|due| due.lane.as_str())
            .collect();
        carry(courier, &now).await
    }

    pub(crate) async fn all_due(&self) {
        self.sql("UPDATE mailing SET due_at = now() WHERE state = 'waiting'")
            .await;
    }

    /// A courier that waits no longer than this: for what is silent. What has to succeed is given [`LONG`].
    pub(crate) fn within(&self, timeout: Duration) -> MailCourier {
        courier(&self.store, &self.server, timeout, FROM)
    }

    /// A courier that leaves what is away alone for this long: for what has to find it resting still, on any machine.
    pub(crate) fn resting(&self, rest: Duration) -> MailCourier {
        self.another(FROM).with_rest(rest)
    }

    /// Another process's courier, which may be set otherwise.
    pub(crate) fn another(&self, from: &str) -> MailCourier {
        courier(&self.store, &self.server, self.timeout, from)
    }

    pub(crate) async fn requeue(&self, recipient: Option<&str>, instead: Option<&str>) -> Result<u64, StoreError> {
        let wanted = Requeue {
            register: self.register,
            recipient,
            instead,
            who: "anna",
        };
        let tx = self.store.begin().await?;
        let requeued = store::mailings::requeue(&tx, &wanted).await?;
        tx.commit().await?;
        Ok(requeued.mails)
    }

    pub(crate) async fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        scratch::sql(&self.store, sql).await.unwrap()
    }

    pub(crate) async fn value(&self, sql: &str) -> String {
        self.sql(sql).await[0][0].clone().unwrap_or_default()
    }

    pub(crate) async fn register_state(&self) -> String {
        self.value("SELECT state || CASE WHEN mailed_at IS NULL THEN '' ELSE ' at' END FROM register ORDER BY closed_at LIMIT 1")
            .await
    }

    pub(crate) async fn events(&self) -> String {
        self.value("SELECT coalesce(string_agg(kind, ' ' ORDER BY sequence), '') FROM event")
            .await
    }

    /// Kinds and subjects of what people are told.
    pub(crate) async fn notices(&self) -> String {
        self.value("SELECT coalesce(string_agg(kind || ' ' || subject || ' x' || times, ', ' ORDER BY first_at), '') FROM notice")
            .await
    }

    pub(crate) fn message_id(&self) -> String {
        format!("{}@example.org", self.register)
    }
}

#[track_caller]
pub(crate) fn assert_same(mails: &[Mail]) {
    assert!(
        mails.windows(2).all(|pair| pair[0].raw == pair[1].raw),
        "different bytes"
    );
}

pub(crate) fn raw(mail: &Mail) -> String {
    String::from_utf8(mail.raw.to_vec()).unwrap()
}
