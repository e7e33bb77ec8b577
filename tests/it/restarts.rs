//! RabbitMQ and PostgreSQL killed in the middle of the work and started again: everything drains without a human.
//!
//! Services that other tests share are not killed. Each test starts a private one through `scripts/services`, as a person
//! without any would, and takes it away again, also when it fails or is killed.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use bus::frontend::{Frontend, Message};
use futures::future::join_all;
use runtime::Settings;
use secrecy::SecretString;
use serde_json::{Value, json};
use store::{Store, invariants, scratch};
use testkit::payee::Payee;
use testkit::process::Process;
use testkit::stand::Stand;
use testkit::wait_for;
use tokio::process::Command;

use crate::fixtures::{
    MTS, UTILITY, internet_provider, new_id, new_ids, online_payment, reservation, sale, utility_payment,
};
use crate::world::{PATIENCE, ask_through, declare_payee, declare_product, stock_up, with};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    RabbitMq,
    PostgreSql,
    MariaDb,
}

impl Service {
    /// Where the script is told of it, and tells of it.
    fn variable(self) -> &'static str {
        match self {
            Self::RabbitMq => "UNIGATE_BROKER_URL",
            Self::PostgreSql => "UNIGATE_DATABASE_URL",
            Self::MariaDb => "UNIGATE_TEST_MARIADB_URL",
        }
    }

    /// What the script calls it.
    fn word(self) -> &'static str {
        match self {
            Self::RabbitMq => "rabbitmq",
            Self::PostgreSql => "postgres",
            Self::MariaDb => "mariadb",
        }
    }

    /// What readiness calls it.
    fn part(self) -> &'static str {
        match self {
            Self::RabbitMq => "broker",
            Self::PostgreSql => "database",
            Self::MariaDb => "none of ours",
        }
    }

    /// Where it writes down its process, within its directory.
    fn pid_file(self) -> &'static str {
        match self {
            Self::RabbitMq | Self::MariaDb => "pid",
            Self::PostgreSql => "cluster/postmaster.pid",
        }
    }
}

/// A private service, gone with this.
pub(crate) struct Private {
    service: Service,
    data: PathBuf,
    url: String,
    /// Waits for the end of its input, which also comes when this process is killed, and cleans up.
    keeper: Child,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services")
}

impl Private {
    pub(crate) async fn start(service: Service) -> Self {
        let data = std::env::temp_dir().join(format!("unigate-private-{}", new_id()));
        let keeper = std::process::Command::new("bash")
            .args(["-c", r#"read -r; "$0" clean; rm -rf "$UNIGATE_DATA_DIR""#])
            .arg(script())
            .env("UNIGATE_DATA_DIR", &data)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut private = Self {
            service,
            data,
            url: String::new(),
            keeper,
        };
        private.url = private.up().await;
        private
    }

    /// Starts it, unless it runs, and says where it is.
    async fn up(&self) -> String {
        let said = self.run(&["run", "printenv", self.service.variable()]).await;
        said.trim().to_owned()
    }

    /// The process to be killed.
    pub(crate) async fn pid(&self) -> String {
        let status = self.run(&["status"]).await;
        let name = format!("private {:?}: running", self.service).to_lowercase();
        let line = status.lines().find(|line| line.to_lowercase().starts_with(&name));
        let directory = line.and_then(|line| line.split_once("data in ")).expect("it runs").1;
        let file = std::fs::read_to_string(Path::new(directory).join(self.service.pid_file())).unwrap();
        file.lines().next().expect("its process").to_owned()
    }

    /// Kills it at once, as a machine that loses its power does; its process was looked up before.
    pub(crate) async fn kill(&self, pid: &str) {
        let killed = Command::new("kill").args(["-KILL", pid]).status().await.unwrap();
        assert!(killed.success(), "process {pid}");
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Starts it again after a kill: the same data at the same place.
    pub(crate) async fn up_again(&self) {
        assert_eq!(self.up().await, self.url, "it moved");
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::load().unwrap();
        let url = SecretString::from(self.url.as_str());
        match self.service {
            Service::RabbitMq => settings.bus.url = url,
            Service::PostgreSql => settings.store.url = url,
            Service::MariaDb => {}
        }
        settings
    }

    async fn run(&self, arguments: &[&str]) -> String {
        let done = Command::new(script())
            .args(arguments)
            .env("UNIGATE_DATA_DIR", &self.data)
            .env("UNIGATE_SERVICES", self.service.word())
            .env("UNIGATE_SERVICES_SKIP_STANDARD", "1")
            .env_remove(self.service.variable())
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        assert!(
            done.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Payments in each round of publishing, half of them online.
const ROUND: usize = 10;
/// No more rounds than this before the kill.
const MOST_ROUNDS: usize = 50;
/// Cards that are paid for, and cards that nobody pays for.
const CARDS: usize = 10;
/// By how much a hold may be over once everything is back.
const LATE_SECONDS: f64 = 5.0;

/// An installation on a private service.
struct Site {
    process: Process,
    payee: Payee,
    stand: Stand,
    // Last: the stand is taken away from it.
    private: Private,
}

/// What front-ends have published, whether or not the broker has confirmed it.
#[derive(Default)]
struct Told {
    online: Vec<Value>,
    listed: Vec<Value>,
    sales: Vec<Value>,
}

impl Told {
    fn facts(&self) -> impl Iterator<Item = Message> {
        let payments = self.online.iter().chain(&self.listed);
        let payments = payments.map(|body| Message::new("payment.accepted", body.to_string()));
        payments.chain(
            self.sales
                .iter()
                .map(|body| Message::new("card.sell", body.to_string())),
        )
    }
}

impl Site {
    async fn on(private: Private) -> Self {
        // Several tests of one process install it; the first one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stand = Stand::on(private.settings()).await;
        let payee = Payee::start().await.unwrap();
        let store = stand.store();
        declare_payee(&store, &internet_provider(&payee.url(), "")).await;
        let listed = UTILITY.replace("schedule = \"0 0 * * *\"", "every_payments = 1");
        declare_payee(&store, &listed).await;
        declare_product(&store, MTS).await;
        stock_up(&store, &stand.settings(), "mts-100", 1, 2 * CARDS).await;
        let process = Process::start_ready(&stand.environment(), &["run"]).await;
        Self {
            process,
            payee,
            stand,
            private,
        }
    }

    /// Takes cards for a short time.
    async fn reserve(&self, frontend: &Frontend, count: usize) -> Vec<String> {
        let ids = new_ids(count);
        for id in &ids {
            let body = with(reservation(id), "hold_seconds", json!(15));
            let answer = ask_through(frontend, &Message::new("card.reserve", body.to_string())).await;
            assert_eq!(answer["outcome"], "reserved", "{answer}");
        }
        ids
    }

    /// Publishes as fast as the broker confirms, and kills the service when the first payments have come to their payee.
    async fn publish_and_kill(&self, frontend: &Frontend, sold: &[String]) -> Told {
        let publishing = async {
            let mut told = Told {
                sales: sold.iter().map(|id| sale(id)).collect(),
                ..Told::default()
            };
            let sales: Vec<_> = told.facts().collect();
            let mut sent = join_all(sales.iter().map(|fact| frontend.send(fact))).await;
            while sent.iter().all(Result::is_ok) && told.online.len() < MOST_ROUNDS * ROUND / 2 {
                let round = Told {
                    online: new_ids(ROUND / 2).iter().map(|id| online_payment(id)).collect(),
                    listed: new_ids(ROUND / 2).iter().map(|id| utility_payment(id)).collect(),
                    sales: Vec::new(),
                };
                let facts: Vec<_> = round.facts().collect();
                sent = join_all(facts.iter().map(|fact| frontend.send(fact))).await;
                told.online.extend(round.online);
                told.listed.extend(round.listed);
            }
            told
        };
        let pid = self.private.pid().await;
        let killing = async {
            self.payee.wait_for_credits(1, PATIENCE).await;
            self.private.kill(&pid).await;
            self.payee.ledger().len()
        };
        let both = async { tokio::join!(publishing, killing) };
        let ended = tokio::time::timeout(PATIENCE, both).await;
        let (told, credited) = ended.expect("a front-end that is told of the broker's end");
        assert!(
            credited < told.online.len(),
            "the kill came after the work: {credited} were credited"
        );
        told
    }

    /// Red, and green again once the service is back.
    async fn recovers(&self) {
        self.process.wait_for_readiness(503).await;
        let (_, why) = self.process.get("/readyz").await.unwrap();
        assert!(why.contains(self.private.service.part()), "{why}");
        assert_eq!(
            self.process.get("/healthz").await.unwrap().0,
            200,
            "the process is well"
        );
        self.private.up_again().await;
        self.process.wait_for_readiness(200).await;
    }
}

async fn value(store: &Store, query: &str) -> String {
    scratch::sql(store, query).await.unwrap()[0][0]
        .clone()
        .unwrap_or_default()
}

async fn becomes(store: &Store, query: &str, expected: usize) {
    wait_for(&format!("{expected}: {query}"), PATIENCE, async || {
        (value(store, query).await == expected.to_string()).then_some(())
    })
    .await;
}

/// Says everything again, as front-ends do that heard no answer.
async fn repeat_all(frontend: &Frontend, told: &Told) {
    let facts: Vec<_> = told.facts().collect();
    for answer in join_all(facts.iter().map(|fact| ask_through(frontend, fact))).await {
        let outcome = answer["outcome"].as_str().unwrap_or_default();
        let expected = ["accepted", "already_accepted", "sold", "already_sold"];
        assert!(expected.contains(&outcome), "{answer}");
    }
}

async fn is_killed_and_comes_back(service: Service) {
    let site = Site::on(Private::start(service).await).await;
    let frontend = site.stand.frontend().await;
    let (sold, unpaid) = (
        site.reserve(&frontend, CARDS).await,
        site.reserve(&frontend, CARDS).await,
    );
    let told = site.publish_and_kill(&frontend, &sold).await;
    site.recovers().await;

    // The connections of before are gone with the service.
    let (store, frontend) = (site.stand.store(), site.stand.frontend().await);
    repeat_all(&frontend, &told).await;
    let stored = "SELECT count(*) || ' ' || count(DISTINCT number) FROM payment";
    let accepted = told.online.len() + told.listed.len();
    assert_eq!(
        value(&store, stored).await,
        format!("{accepted} {accepted}"),
        "each once"
    );
    becomes(
        &store,
        "SELECT count(*) FROM payment WHERE state = 'delivered'",
        told.online.len(),
    )
    .await;
    let registered = "SELECT count(*) FROM payment_view WHERE shown_state = 'registered'";
    becomes(&store, registered, told.listed.len()).await;
    let credited = site.payee.ledger();
    assert_eq!(credited.len(), told.online.len());
    assert!(credited.values().all(|entry| entry.credits == 1), "{credited:?}");

    wait_for("no hold to be over and not ended", PATIENCE, async || {
        let overdue = invariants::longest_overdue_hold(&store).await.unwrap();
        (overdue < LATE_SECONDS).then_some(())
    })
    .await;
    becomes(&store, "SELECT count(*) FROM reservation WHERE state = 'held'", 0).await;
    let ended = invariants::reservations(&store).await.unwrap();
    let of_state = |state: &str| -> BTreeSet<String> {
        let these = ended.iter().filter(|row| row.state == state);
        these.map(|row| row.reservation_id.to_string()).collect()
    };
    assert_eq!(of_state("sold"), sold.into_iter().collect());
    assert_eq!(of_state("lapsed"), unpaid.into_iter().collect());

    becomes(&store, "SELECT count(*) FROM event", 0).await;
    becomes(&store, "SELECT count(*) FROM parked", 0).await;
    for finding in invariants::check_all(&store).await.unwrap() {
        assert_eq!(finding.broken, 0, "{finding:?}");
    }
    assert!(site.process.end().await.success());
}

#[tokio::test]
async fn rabbitmq_is_killed_under_load_and_comes_back() {
    is_killed_and_comes_back(Service::RabbitMq).await;
}

#[tokio::test]
async fn postgresql_is_killed_under_load_and_comes_back() {
    is_killed_and_comes_back(Service::PostgreSql).await;
}
