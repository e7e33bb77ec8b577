//! The rights of `deploy/grants.sql` are enough for the databases worker and the operator who compares books. On a private
//! server: roles belong to all databases of one.

use bus::frontend::{Frontend, Message};
use serde_json::{Value, json};
use store::{Store, scratch};
use testkit::process::{Process, run};
use testkit::proxy::FaultProxy;
use testkit::stand::Stand;
use testkit::wait_for;
use url::Url;

use super::books::{Backend, Books};
use super::{check, payment, utility};
use crate::fixtures::new_id;
use crate::restarts::{Private, Service};
use crate::world::{PATIENCE, ask_through, declare_payee, reaches};

const GRANTS: &str = include_str!("../../../deploy/grants.sql");

/// As psql would run it: with its variables filled in.
fn grants(database: &str) -> String {
    let mut text = GRANTS.replace(":\"DBNAME\"", database);
    let (mut workers, mut all) = (String::new(), String::new());
    for line in GRANTS.lines() {
        if let Some(roles) = line.strip_prefix("\\set workers ") {
            workers = roles.trim_matches('\'').to_owned();
        } else if line.starts_with("\\set all_roles ") {
            all = format!("{workers}, unigate_operator, unigate_readonly");
            assert!(
                line.contains(":workers ', unigate_operator, unigate_readonly'"),
                "{line}"
            );
        }
        if line.starts_with('\\') {
            text = text.replace(line, "");
        }
    }
    text.replace(":workers", &workers).replace(":all_roles", &all)
}

/// The stand's environment for a process of this role.
fn environment_of(stand: &Stand, role: &str) -> Vec<(String, String)> {
    let mut environment = stand.environment();
    for (name, value) in &mut environment {
        if name == "UNIGATE_DATABASE_URL" {
            let mut url = Url::parse(value).unwrap();
            url.set_username(&format!("login_{role}")).unwrap();
            *value = url.to_string();
        }
    }
    environment
}

/// An installation whose processes have the rights of their roles.
struct Site {
    stand: Stand,
    store: Store,
    frontend: Frontend,
}

impl Site {
    async fn on(private: &Private) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stand = Stand::on(private.settings()).await;
        let (store, frontend) = (stand.store(), stand.frontend().await);
        let site = Self { stand, store, frontend };
        let database = site.value("SELECT current_database()").await;
        site.sql(&grants(&database)).await;
        for role in ["intake", "databases", "operator"] {
            site.sql(&format!("CREATE ROLE login_{role} LOGIN IN ROLE unigate_{role}"))
                .await;
        }
        site
    }

    async fn sql(&self, sql: &str) {
        scratch::sql(&self.store, sql).await.unwrap();
    }

    async fn value(&self, sql: &str) -> String {
        let found = scratch::sql(&self.store, sql).await.unwrap();
        found[0][0].clone().unwrap_or_default()
    }

    async fn becomes(&self, wanted: &str, sql: &str) {
        wait_for(sql, PATIENCE, async || (self.value(sql).await == wanted).then_some(())).await;
    }

    async fn say(&self, key: &str, body: &Value) -> Value {
        ask_through(&self.frontend, &Message::new(key, body.to_string())).await
    }

    async fn pay(&self) -> String {
        let id = new_id();
        let told = payment(&id, "vodokanal", "1001", &json!({"meter_cold": "130"}));
        assert_eq!(self.say("payment.accepted", &told).await["outcome"], "accepted");
        id
    }

    /// A dialogue, a payment, and one that is taken back.
    async fn works(&self) {
        let asked = self.say("payment.check", &check("vodokanal", "1001", &json!({}))).await;
        assert_eq!(asked["outcome"], "ask", "{asked}");
        for _ in 0..2 {
            let id = self.pay().await;
            reaches(&self.store, &id, "delivered").await;
        }
        let id = self.pay().await;
        reaches(&self.store, &id, "delivered").await;
        self.sql(&format!(
            "UPDATE payment SET state = 'unknown', maybes = 1, generation = generation + 1 WHERE payment_id = '{id}'"
        ))
        .await;
        let revoke = json!({"payment_id": id, "terminal": "T-0001", "reason": "a mistake"});
        assert_eq!(self.say("payment.revoke", &revoke).await["outcome"], "revoking");
        reaches(&self.store, &id, "revoked").await;
    }

    /// An outage: told, waited out, and over.
    async fn outlives(&self, proxy: &FaultProxy) {
        proxy.cut().await;
        let mut waiting = Vec::new();
        for _ in 0..6 {
            waiting.push(self.pay().await);
        }
        self.becomes(
            "true",
            "SELECT (opened_at IS NOT NULL)::text FROM lane WHERE lane_id = 'vodokanal'",
        )
        .await;
        proxy.mend();
        for id in &waiting {
            reaches(&self.store, id, "delivered").await;
        }
        self.becomes("0", "SELECT count(*)::text FROM event").await;
        self.becomes(
            "2",
            "SELECT count(DISTINCT kind)::text FROM notice WHERE kind LIKE 'payee.%'",
        )
        .await;
    }
}

#[tokio::test]
async fn the_worker_needs_no_more_rights_than_it_is_granted() {
    let private = Private::start(Service::PostgreSql).await;
    let site = Site::on(&private).await;
    let books = Books::utility(Backend::Mariadb).await;
    let proxy = FaultProxy::start(books.server()).await.unwrap();
    let url = books.by_way_of(&proxy.addr);
    declare_payee(&site.store, &utility("vodokanal", url.as_str(), "")).await;
    let intake = Process::start_ready(&environment_of(&site.stand, "intake"), &["run", "intake"]).await;
    let worker = Process::start_ready(&environment_of(&site.stand, "databases"), &["run", "databases"]).await;
    site.works().await;
    site.outlives(&proxy).await;
    // The operator compares books.
    let period = ["--from", "2020-01-01", "--to", "2099-01-01"];
    let reconcile = [&["deliveries", "reconcile", "vodokanal"][..], &period].concat();
    let compared = run(&environment_of(&site.stand, "operator"), &reconcile).await;
    assert_eq!(compared.code, Some(0), "{compared:?}");
    assert!(compared.stdout.contains("matched: 8,"), "{compared:?}");
    // And finds its payee down: two lists that nobody gives are more failures than a breaker takes.
    proxy.cut().await;
    site.sql("DELETE FROM notice").await;
    for _ in 0..2 {
        let compared = run(&environment_of(&site.stand, "operator"), &reconcile).await;
        assert_eq!(compared.code, Some(1), "{compared:?}");
        assert!(!compared.stderr.contains("denied"), "{compared:?}");
    }
    assert_eq!(
        site.value("SELECT string_agg(kind, ' ') FROM notice").await,
        "payee.down"
    );
    proxy.mend();
    for process in [intake, worker] {
        let lines = process.log_lines();
        let denied: Vec<_> = lines.iter().filter(|line| line.contains("denied")).collect();
        assert!(denied.is_empty(), "{denied:?}");
        assert!(process.end().await.success());
    }
}
