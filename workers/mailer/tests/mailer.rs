//! Registers on their way to mailboxes, against a real PostgreSQL and an SMTP server that does as it is told.

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
use serde_json::json;
use sha2::{Digest, Sha256};
use store::artifacts::{Artifact, Finished, Lies};
use store::mailings::requeue_mail;
use store::registers::{self, BuiltPart, Part};
use store::{Store, StoreSettings, declarations, scratch};
use testkit::mail::{Behaviour, Greeting, Mail, MailServer, Step};

const LONG: Duration = Duration::from_secs(20);
const FILE: &[u8] = b"number;account\r\n1;A-1\r\n";

struct Stand {
    store: Store,
    settings: StoreSettings,
    server: MailServer,
    courier: MailCourier,
    register: RegisterId,
}

/// Runs a test with a register built for `to`, on a database of its own that is dropped afterwards.
async fn on_stand<F>(to: &'static [&'static str], timeout: Duration, test: impl FnOnce(Arc<Stand>) -> F)
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
    let relay = Relay::from_url(&SecretString::from(format!("smtp://{}?tls=none", server.addr))).unwrap();
    let courier = MailCourier::new(
        store.clone(),
        Artifacts::in_database(store.clone()),
        Some(relay.with_timeout(timeout)),
        "Unigate <unigate@example.org>",
    );
    let register = built_register(&store, to).await;
    let stand = Arc::new(Stand {
        store,
        settings,
        server,
        courier,
        register,
    });
    let ended = AssertUnwindSafe(Box::pin(test(stand.clone()))).catch_unwind().await;
    store::drop_database(&stand.settings).await.unwrap();
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed);
    }
}

/// A register as the builder leaves it.
async fn built_register(store: &Store, to: &[&str]) -> RegisterId {
    let payee: Payee = serde_json::from_value(json!({
        "id": "gvk", "name": "Горводоканал", "gateway": "registers", "currency": "RUB",
        "account": { "pattern": "^.{1,40}$" }, "amount": { "min": 1, "max": 100_000_000 },
        "register": { "schedule": "0 0 * * *", "time_zone": "Europe/Moscow", "mail_to": to },
    }))
    .unwrap();
    let tx = store.begin().await.unwrap();
    declarations::apply_payee(&tx, &payee, "test").await.unwrap();
    tx.commit().await.unwrap();
    let paid = "UPDATE ledger SET last_position = 1;
        INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount, currency,
            paid_at, accepted_at, series_id, position)
        SELECT gen_random_uuid(), 1, 'gvk', 1, 'registers', 'T-1', 'A-1', 15000, 'RUB', now(), clock, series_id, 1
        FROM series, ledger";
    scratch::sql(store, paid).await.unwrap();
    let gvk = PayeeId::parse("gvk").unwrap();
    let register = registers::close_now(store, &gvk, "test").await.unwrap()[0];
    let build = registers::claim_builds(store, LONG, 1, 1).await.unwrap().remove(0);
    let built = BuiltPart {
        part: Part {
            part: 1,
            parts: 1,
            count: 1,
            total: 15_000,
        },
        file_name: "gvk-main-000001.csv".to_owned(),
        artifact: Artifact {
            id: uuid::Uuid::now_v7(),
            finished: Finished {
                sha256: Sha256::digest(FILE).into(),
                bytes: FILE.len() as i64,
            },
            lies: Lies::Held(vec![FILE.into()]),
        },
        message_id: format!("<{register}@example.org>"),
    };
    let tx = store.begin().await.unwrap();
    let recorded = registers::record_built(&tx, &[(&build, &[built])]).await.unwrap();
    assert_eq!(recorded, [register].into());
    tx.commit().await.unwrap();
    register
}

impl Stand {
    /// Makes everything due, claims it, sends it, records it: what the courier's loop does.
    async fn round(&self) -> Vec<Report> {
        self.sql("UPDATE mailing SET due_at = now() WHERE state = 'waiting'")
            .await;
        let mut reports = Vec::new();
        for job in self.courier.claim(&wanted(64)).await.unwrap().jobs {
            let report = self.courier.call(&job).await;
            let done = [Done { job, report }];
            self.courier.record(&done).await.unwrap();
            reports.extend(done.map(|done| done.report));
        }
        reports
    }

    async fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        scratch::sql(&self.store, sql).await.unwrap()
    }

    async fn value(&self, sql: &str) -> String {
        self.sql(sql).await[0][0].clone().unwrap_or_default()
    }

    async fn register_state(&self) -> String {
        self.value("SELECT state || CASE WHEN mailed_at IS NULL THEN '' ELSE ' at' END FROM register")
            .await
    }

    async fn events(&self) -> String {
        self.value("SELECT coalesce(string_agg(kind, ' ' ORDER BY sequence), '') FROM event")
            .await
    }

    fn message_id(&self) -> String {
        format!("{}@example.org", self.register)
    }
}

#[track_caller]
fn wanted(most: usize) -> [Wanted; 1] {
    let lane = "mail".to_owned();
    [Wanted { lane, most }]
}

fn assert_same(mails: &[Mail]) {
    assert!(
        mails.windows(2).all(|pair| pair[0].raw == pair[1].raw),
        "different bytes"
    );
}

fn raw(mail: &Mail) -> String {
    String::from_utf8(mail.raw.to_vec()).unwrap()
}

#[tokio::test]
async fn a_register_is_mailed_to_everybody_and_then_it_is_mailed() {
    on_stand(&["a@example.org", "b@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("b@example.org", 450);
        let reports = stand.round().await;
        assert_eq!(reports.len(), 2);
        assert_eq!(stand.register_state().await, "built", "one is missing");
        assert_eq!(stand.events().await, "");

        stand.server.accept_recipient("b@example.org");
        assert!(matches!(stand.round().await[..], [Report::Sent]));
        assert_eq!(stand.register_state().await, "mailed at");
        assert_eq!(stand.events().await, "register.mailed");
        let mails = stand.server.inbox();
        assert_eq!(mails.len(), 2);
        assert_same(&mails);
        let raw = raw(&mails[0]);
        for header in [
            format!("Message-ID: <{}>", stand.message_id()),
            format!("X-Unigate-Register: {}", stand.register),
            "X-Unigate-Kind: regular".to_owned(),
            "X-Unigate-Count: 1".to_owned(),
            "X-Unigate-Total: 15000".to_owned(),
        ] {
            assert!(raw.contains(&header), "{header} in {raw}");
        }
        assert!(stand.round().await.is_empty());
        assert_eq!(
            stand
                .value("SELECT count(*) FROM payment_view WHERE shown_state = 'reported'")
                .await,
            "1"
        );
    })
    .await;
}

#[tokio::test]
async fn what_may_have_been_sent_is_sent_again_the_same() {
    on_stand(&["a@example.org"], Duration::from_secs(1), |stand| async move {
        stand.server.script([
            Behaviour::Answer {
                at: Step::Kept,
                code: 451,
            },
            Behaviour::Silent { at: Step::Kept },
            Behaviour::Close { at: Step::Kept },
        ]);
        for _ in 0..3 {
            assert!(matches!(stand.round().await[..], [Report::Later(_)]));
        }
        assert!(matches!(stand.round().await[..], [Report::Sent]));
        let mails = stand.server.inbox();
        assert_eq!(mails.len(), 4);
        assert_same(&mails);
        assert_eq!(stand.value("SELECT attempts FROM mailing").await, "4");
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_an_operators_business_and_can_be_requeued() {
    on_stand(&["gone@example.org", "b@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("gone@example.org", 550);
        let reports = stand.round().await;
        assert!(matches!(
            reports[..],
            [Report::Refused(_), Report::Sent] | [Report::Sent, Report::Refused(_)]
        ));
        assert_eq!(stand.register_state().await, "failed");
        assert_eq!(stand.events().await, "register.failed");
        assert!(
            stand
                .value("SELECT last_error FROM register")
                .await
                .starts_with("gone@example.org: ")
        );
        assert!(stand.round().await.is_empty(), "never again by itself");

        stand.server.accept_recipient("gone@example.org");
        assert_eq!(requeue_mail(&stand.store, stand.register, "anna").await.unwrap(), 1);
        assert!(matches!(stand.round().await[..], [Report::Sent]));
        assert_eq!(stand.register_state().await, "mailed at");
        assert_eq!(stand.events().await, "register.failed register.mailed");
        assert!(requeue_mail(&stand.store, stand.register, "anna").await.is_err());
        assert_same(&stand.server.inbox());
    })
    .await;
}

#[tokio::test]
async fn after_four_days_it_is_given_up() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("a@example.org", 451);
        assert!(matches!(stand.round().await[..], [Report::Later(_)]));
        stand.sql("UPDATE mailing SET give_up_at = now()").await;
        stand.round().await;
        assert_eq!(stand.register_state().await, "failed");
        assert!(
            stand
                .value("SELECT last_error FROM mailing")
                .await
                .starts_with("given up after 2 attempts: ")
        );
        assert_eq!(stand.events().await, "register.failed");
    })
    .await;
}

#[tokio::test]
async fn a_dead_relay_costs_no_mail_a_try() {
    on_stand(&["a@example.org", "b@example.org"], LONG, |stand| async move {
        stand.server.down().await;
        let reports = stand.round().await;
        assert!(matches!(reports[..], [Report::Unreachable(_), Report::Unreachable(_)]));
        assert!(stand.round().await.is_empty(), "left alone for a while");
        assert_eq!(
            stand
                .value("SELECT count(*) FROM mailing WHERE attempts = 0 AND state = 'waiting'")
                .await,
            "2"
        );
        let due = stand.courier.lanes_due().await.unwrap();
        assert!(due[0].due_in > Duration::ZERO);

        stand.server.up().unwrap();
        stand.server.greet([Greeting::Answer(421)]);
        testkit::wait_for("both mails", LONG, async || {
            Box::pin(stand.round()).await;
            (stand.server.inbox().len() == 2).then_some(())
        })
        .await;
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn a_killed_mailers_mail_is_sent_by_another() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        let mut killed = stand.courier.claim(&wanted(64)).await.unwrap().jobs;
        assert_eq!(killed.len(), 1);
        assert!(stand.round().await.is_empty(), "it is somebody's");
        stand.sql("UPDATE mailing SET lease_until = now()").await;
        assert!(matches!(stand.round().await[..], [Report::Sent]));
        // The killed one was only slow: what it says about its try changes nothing any more.
        let late = Done {
            job: killed.remove(0),
            report: Report::Refused("late".to_owned()),
        };
        stand.courier.record(&[late]).await.unwrap();
        assert_eq!(stand.register_state().await, "mailed at");
        assert_eq!(stand.events().await, "register.mailed");
    })
    .await;
}

#[tokio::test]
async fn without_a_relay_mails_wait() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        let courier = MailCourier::new(
            stand.store.clone(),
            Artifacts::in_database(stand.store.clone()),
            None,
            "unigate@example.org",
        );
        assert!(courier.lanes_due().await.unwrap().is_empty());
        assert!(courier.claim(&wanted(1)).await.unwrap().jobs.is_empty());
        assert_eq!(stand.value("SELECT state FROM mailing").await, "waiting");
    })
    .await;
}
