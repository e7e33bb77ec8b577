//! Alerts on their way to people, against a real PostgreSQL and an SMTP server that does as it is told.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use mailer::relay::Relay;
use mailer::{NoticeCourier, Report};
use runtime::courier::{Courier, Done, Wanted};
use secrecy::SecretString;
use store::notices::{self, NewNotice};
use store::{Store, StoreSettings, scratch};
use testkit::mail::{Behaviour, MailServer, Step};

mod waiting;

const PAUSE: Duration = Duration::from_secs(600);
/// For what has to succeed on a machine that does many things at once.
const LONG: Duration = Duration::from_secs(20);
const FROM: &str = "Unigate <unigate@example.org>";

struct Stand {
    store: Store,
    settings: StoreSettings,
    server: MailServer,
}

async fn on_stand<F: Future<Output = ()>>(test: impl FnOnce(Arc<Stand>) -> F) {
    let server = runtime::settings::environment("UNIGATE_DATABASE_URL");
    let server = server.unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/unigate".to_owned());
    let (server, _) = server.rsplit_once('/').unwrap();
    let settings = StoreSettings {
        url: SecretString::from(format!("{server}/unigate_test_{}", uuid::Uuid::new_v4().simple())),
        pool_size: 8,
        ca_file: None,
        application_name: "notices tests".to_owned(),
    };
    store::migrate(&settings).await.unwrap();
    let stand = Arc::new(Stand {
        store: Store::connect(&settings).unwrap(),
        settings,
        server: MailServer::start("127.0.0.1:0").await.unwrap(),
    });
    let ended = AssertUnwindSafe(test(stand.clone())).catch_unwind().await;
    store::drop_database(&stand.settings).await.unwrap();
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed);
    }
}

impl Stand {
    fn courier(&self, to: &[&str]) -> NoticeCourier {
        self.courier_from(FROM, to)
    }

    fn courier_from(&self, from: &str, to: &[&str]) -> NoticeCourier {
        self.courier_within(LONG, from, to)
    }

    fn courier_within(&self, timeout: Duration, from: &str, to: &[&str]) -> NoticeCourier {
        let relay = Relay::from_url(&SecretString::from(format!("smtp://{}?tls=none", self.server.addr))).unwrap();
        let relay = Some(relay.with_timeout(timeout));
        let to = to.iter().map(|address| (*address).to_owned()).collect();
        NoticeCourier::new(self.store.clone(), relay, from, to, PAUSE)
    }

    async fn notice(&self, subject: &str, mail_to: &[String]) {
        let tx = self.store.begin().await.unwrap();
        let notice = NewNotice {
            kind: "stock.low",
            subject,
            title: format!("{subject} is low"),
            lines: vec!["line".to_owned()],
            mail_to,
        };
        notices::add(&tx, &notice).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        scratch::sql(&self.store, sql).await.unwrap()
    }

    /// What the courier's loop does, with every retry due now.
    async fn round(&self, courier: &NoticeCourier) -> Vec<Report> {
        self.sql("UPDATE notice_mail SET due_at = now() WHERE state = 'waiting'")
            .await;
        courier.lanes_due(&[]).await.unwrap();
        let mut reports = Vec::new();
        for job in courier.claim(&wanted(64)).await.unwrap().jobs {
            let report = courier.call(&job).await;
            let done = [Done { job, report }];
            courier.record(&done).await.unwrap();
            reports.extend(done.map(|done| done.report));
        }
        reports
    }

    async fn states(&self) -> Vec<(String, String, i32)> {
        let listed = notices::list(&self.store, false, 100).await.unwrap();
        let mut states: Vec<_> = listed
            .into_iter()
            .map(|one| (one.subject, one.state, one.times))
            .collect();
        states.sort();
        states
    }

    fn raw(&self) -> Vec<String> {
        let mails = self.server.inbox();
        mails
            .iter()
            .map(|mail| String::from_utf8(mail.raw.to_vec()).unwrap())
            .collect()
    }
}

fn wanted(most: usize) -> [Wanted; 1] {
    let lane = "notices".to_owned();
    [Wanted {
        lane,
        most,
        ended: Vec::new(),
    }]
}

fn state(subject: &str, state: &str, times: i32) -> (String, String, i32) {
    (subject.to_owned(), state.to_owned(), times)
}

#[tokio::test]
async fn a_flood_of_alerts_is_a_mail_at_once_and_one_after_the_pause() {
    on_stand(|stand| async move {
        let courier = stand.courier(&["a@example.org", "b@example.org"]);
        stand.notice("p0", &[]).await;
        assert!(matches!(stand.round(&courier).await[..], [Report::Sent, Report::Sent]));
        for at in 0..60 {
            stand
                .notice(
                    &format!("p{}", at % 3),
                    &["b@example.org".to_owned(), "c@example.org".to_owned()],
                )
                .await;
            assert!(stand.round(&courier).await.is_empty(), "within the pause");
        }
        let due = courier.lanes_due(&[]).await.unwrap();
        assert!(due[0].due_in > Duration::ZERO && due[0].due_in <= PAUSE, "{due:?}");
        assert_eq!(
            stand.states().await,
            [
                state("p0", "mailed", 1),
                state("p0", "waiting", 20),
                state("p1", "waiting", 20),
                state("p2", "waiting", 20)
            ]
        );
        stand.sql("UPDATE notice_pause SET until = now()").await;
        assert_eq!(stand.round(&courier).await.len(), 3);
        let raw = stand.raw();
        assert_eq!(raw.len(), 5, "two, and three with the product's own recipient");
        assert!(
            raw[2..]
                .iter()
                .all(|raw| raw.contains("X-Unigate-Notices: 3") && raw.contains("20 times"))
        );
        assert!(stand.states().await.iter().all(|(_, state, _)| state == "mailed"));
    })
    .await;
}

#[tokio::test]
async fn nothing_is_lost_while_nobody_can_be_told() {
    Box::pin(on_stand(|stand| async move {
        stand.notice("p", &[]).await;
        stand.notice("q", &["q@example.org".to_owned()]).await;
        let no_relay = NoticeCourier::new(
            stand.store.clone(),
            None,
            "u@example.org",
            vec!["a@example.org".into()],
            PAUSE,
        );
        assert!(no_relay.lanes_due(&[]).await.unwrap().is_empty());
        assert!(no_relay.claim(&wanted(1)).await.unwrap().jobs.is_empty());
        let nobody = stand.courier(&[]);
        assert_eq!(stand.round(&nobody).await.len(), 1);
        assert_eq!(
            stand.states().await,
            [state("p", "waiting", 1), state("q", "mailed", 1)]
        );
        stand.sql("UPDATE notice_pause SET until = now()").await;
        assert!(stand.round(&nobody).await.is_empty());
        assert_eq!(stand.round(&stand.courier(&["a@example.org"])).await.len(), 1);
        assert_eq!(stand.states().await, [state("p", "mailed", 1), state("q", "mailed", 1)]);
        // Not committed, not told.
        let tx = stand.store.begin().await.unwrap();
        let notice = NewNotice {
            kind: "stock.low",
            subject: "r",
            title: "r".into(),
            lines: vec![],
            mail_to: &[],
        };
        notices::add(&tx, &notice).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(stand.states().await.len(), 2);
    }))
    .await;
}

#[tokio::test]
async fn a_mail_of_alerts_is_sent_again_the_same_and_a_refusal_is_seen() {
    on_stand(|stand| async move {
        let courier = stand.courier(&["a@example.org"]);
        stand.notice("p", &[]).await;
        stand.server.script([
            Behaviour::Answer {
                at: Step::Kept,
                code: 451,
            },
            Behaviour::Silent { at: Step::Kept },
        ]);
        let reports = stand.round(&courier).await;
        assert!(matches!(reports[..], [Report::Later(_)]), "{reports:?}");
        // The mail has to be there before the silence.
        let hasty = stand.courier_within(Duration::from_secs(5), FROM, &["a@example.org"]);
        let reports = stand.round(&hasty).await;
        assert!(matches!(reports[..], [Report::Maybe(_)]), "{reports:?}");
        // Claimed by one that was killed; another, set otherwise, has it when the lease is over, and the late word changes
        // nothing.
        stand.sql("UPDATE notice_mail SET due_at = now()").await;
        let killed = courier.claim(&wanted(1)).await.unwrap().jobs.pop().unwrap();
        assert!(stand.round(&courier).await.is_empty(), "it is somebody's");
        stand.sql("UPDATE notice_mail SET lease_until = now()").await;
        let another = stand.courier_from("Other <other@example.com>", &["a@example.org"]);
        assert!(matches!(stand.round(&another).await[..], [Report::Sent]));
        let late = Done {
            job: killed,
            report: Report::Refused("late".to_owned()),
        };
        courier.record(&[late]).await.unwrap();
        assert_eq!(stand.states().await, [state("p", "mailed", 1)]);
        let raw = stand.raw();
        assert_eq!(raw.len(), 3);
        assert!(raw.windows(2).all(|pair| pair[0] == pair[1]), "different bytes");

        stand.server.refuse_recipient("a@example.org", 550);
        stand.sql("UPDATE notice_pause SET until = now()").await;
        stand.notice("q", &[]).await;
        assert!(matches!(stand.round(&courier).await[..], [Report::Refused(_)]));
        assert!(stand.round(&courier).await.is_empty(), "never again by itself");
        assert_eq!(stand.states().await, [state("p", "mailed", 1), state("q", "failed", 1)]);
        assert_eq!(notices::list(&stand.store, true, 10).await.unwrap().len(), 1);

        stand.server.accept_recipient("a@example.org");
        stand.server.down().await;
        stand.sql("UPDATE notice_pause SET until = now()").await;
        stand.notice("r", &[]).await;
        assert!(matches!(stand.round(&courier).await[..], [Report::Away(_)]));
        let untried = stand
            .sql("SELECT attempts FROM notice_mail WHERE state = 'waiting'")
            .await;
        assert_eq!(untried, [[Some("0".to_owned())]]);
    })
    .await;
}

#[tokio::test]
async fn no_alert_overtakes_an_older_one_to_the_same_recipient() {
    on_stand(|stand| async move {
        let courier = stand.courier(&["a@example.org"]);
        stand.server.script([Behaviour::Answer {
            at: Step::Rcpt,
            code: 451,
        }]);
        stand.notice("down", &[]).await;
        assert!(matches!(stand.round(&courier).await[..], [Report::Later(_)]));
        stand
            .sql("UPDATE notice_mail SET due_at = now() + interval '1 hour'")
            .await;
        stand.notice("back", &["b@example.org".to_owned()]).await;
        stand.sql("UPDATE notice_pause SET until = now()").await;
        // What comes after it is a reason to try it at once, and not to wait for its next try.
        let due = courier.lanes_due(&[]).await.unwrap();
        assert!(due[0].due_in < LONG, "{due:?}");
        let mut told = Vec::new();
        for _ in 0..2 {
            for job in courier.claim(&wanted(64)).await.unwrap().jobs {
                told.push(format!("{}: {}", job.recipient, job.subject));
                let report = courier.call(&job).await;
                courier.record(&[Done { job, report }]).await.unwrap();
            }
        }
        told[..2].sort();
        let expected = [
            "a@example.org: [unigate] down is low",
            "b@example.org: [unigate] back is low",
            "a@example.org: [unigate] back is low",
        ];
        assert_eq!(told, expected);
        assert!(courier.lanes_due(&[]).await.unwrap().is_empty());

        // One that is refused for good, or waits, is in nobody else's way.
        stand.server.script([Behaviour::Answer {
            at: Step::Rcpt,
            code: 451,
        }]);
        stand.notice("down again", &[]).await;
        stand.sql("UPDATE notice_pause SET until = now()").await;
        assert!(matches!(stand.round(&courier).await[..], [Report::Later(_)]));
        stand.notice("back again", &[]).await;
        stand.sql("UPDATE notice_pause SET until = now()").await;
        stand.server.script([Behaviour::Answer {
            at: Step::Rcpt,
            code: 550,
        }]);
        assert!(matches!(stand.round(&courier).await[..], [Report::Refused(_)]));
        assert!(matches!(stand.round(&courier).await[..], [Report::Sent]));
    })
    .await;
}

#[tokio::test]
async fn an_alert_that_a_relay_puts_off_again_and_again_keeps_no_later_one_back() {
    on_stand(|stand| async move {
        let courier = stand.courier(&["a@example.org"]);
        let put_off = || Behaviour::Answer {
            at: Step::Kept,
            code: 451,
        };
        stand.notice("spam", &[]).await;
        stand.server.script([put_off()]);
        assert!(matches!(stand.round(&courier).await[..], [Report::Later(_)]));
        stand.notice("down", &[]).await;
        stand.sql("UPDATE notice_pause SET until = now()").await;
        // For some tries it may be the relay that is slow.
        for _ in 2..=6 {
            stand.server.script([put_off()]);
            assert!(matches!(stand.round(&courier).await[..], [Report::Later(_)]));
        }
        assert_eq!(
            stand.states().await,
            [state("down", "mailing", 1), state("spam", "mailing", 1)]
        );
        stand
            .sql("UPDATE notice_mail SET due_at = now() + interval '1 hour' WHERE attempts = 6")
            .await;
        assert!(courier.lanes_due(&[]).await.unwrap()[0].due_in < LONG);
        let job = courier.claim(&wanted(64)).await.unwrap().jobs.remove(0);
        let report = courier.call(&job).await;
        courier.record(&[Done { job, report }]).await.unwrap();
        assert_eq!(
            stand.states().await,
            [state("down", "mailed", 1), state("spam", "mailing", 1)]
        );
        assert!(
            matches!(stand.round(&courier).await[..], [Report::Sent]),
            "it is tried on"
        );
    })
    .await;
}

#[tokio::test]
async fn two_mailers_put_one_mail_together() {
    on_stand(|stand| async move {
        let couriers: Vec<_> = (0..6).map(|_| stand.courier(&["a@example.org"])).collect();
        for at in 0..20 {
            stand.notice(&format!("p{at}"), &[]).await;
        }
        let made = futures::future::join_all(couriers.iter().map(NoticeCourier::gather)).await;
        assert_eq!(made.into_iter().map(Result::unwrap).sum::<usize>(), 1);
        let mails = stand.sql("SELECT cardinality(notices) FROM notice_mail").await;
        assert_eq!(mails, [[Some("20".to_owned())]]);
    })
    .await;
}
