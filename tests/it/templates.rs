//! Template databases of other migrations do not pile up on a server, and nobody loses one that is in use. On a private
//! server: others on a shared one have templates of their own.

use secrecy::ExposeSecret;
use store::{Store, StoreSettings, scratch};
use testkit::stand::with_database;

use crate::restarts::{Private, Service};

const DAY: i64 = 24 * 60 * 60;

struct Server {
    settings: StoreSettings,
    store: Store,
    _private: Private,
}

impl Server {
    async fn start() -> Self {
        let private = Private::start(Service::PostgreSql).await;
        let settings = private.settings().store;
        assert!(settings.url.expose_secret().ends_with("/postgres"));
        Self {
            store: Store::connect(&settings).unwrap(),
            settings,
            _private: private,
        }
    }

    async fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        scratch::sql(&self.store, sql).await.unwrap()
    }

    /// A database with this comment.
    async fn has(&self, name: &str, comment: Option<&str>) {
        self.sql(&format!("CREATE DATABASE {name}")).await;
        if let Some(comment) = comment {
            self.sql(&format!("COMMENT ON DATABASE {name} IS '{comment}'")).await;
        }
    }

    /// The comment of a template that was last copied so many seconds ago.
    async fn copied(&self, seconds_ago: i64) -> String {
        let second = format!("SELECT extract(epoch FROM clock_timestamp())::bigint - {seconds_ago}");
        let second = self.sql(&second).await[0][0].clone().unwrap();
        format!("unigate: last copied at Unix second {second}")
    }

    /// All databases of ours, with their comments.
    async fn databases(&self) -> Vec<(String, String)> {
        let all = "SELECT datname, coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database
                   WHERE datname LIKE 'unigate%' ORDER BY datname";
        let text = |column: &Option<String>| column.clone().unwrap_or_default();
        self.sql(all)
            .await
            .iter()
            .map(|row| (text(&row[0]), text(&row[1])))
            .collect()
    }

    async fn copy(&self, name: &str) {
        let settings = with_database(&self.settings, name);
        store::create_from_template(&settings).await.unwrap();
    }
}

#[tokio::test]
async fn templates_that_nobody_copied_for_a_day_go_when_a_new_one_is_made() {
    let server = Server::start().await;
    let (old, recent) = (server.copied(2 * DAY).await, server.copied(DAY / 2).await);
    server.has("unigate_template_0000000000aa", Some(&old)).await;
    server.has("unigate_template_0000000000ab_draft", Some(&old)).await;
    server.has("unigate_template_0000000000ba", Some(&recent)).await;
    server.has("unigate_template_0000000000bb", None).await;
    server
        .has("unigate_template_0000000000bc", Some("for the auditors"))
        .await;
    server.has("unigate_template_0000000000bd", Some(&old)).await;
    server.has("unigate_template_of_mine", Some(&old)).await;
    server.has("unigate_test_0000000000aa", Some(&old)).await;
    let busy = Store::connect(&with_database(&server.settings, "unigate_template_0000000000bd")).unwrap();
    let _in_use = busy.begin().await.unwrap();
    busy.ping().await.unwrap();

    server.copy("unigate_test_first").await;
    let there = server.databases().await;
    let names: Vec<&str> = there.iter().map(|(name, _)| name.as_str()).collect();
    let new = *names
        .iter()
        .find(|name| name.starts_with("unigate_template_") && !name.contains("_0000000000") && !name.ends_with("mine"))
        .unwrap();
    let mut expected = vec![
        "unigate_template_0000000000ba",
        "unigate_template_0000000000bb",
        "unigate_template_0000000000bc",
        "unigate_template_0000000000bd",
        new,
        "unigate_template_of_mine",
        "unigate_test_0000000000aa",
        "unigate_test_first",
    ];
    expected.sort_unstable();
    assert_eq!(names, expected);
    let comment = |of: &str| there.iter().find(|(name, _)| name == of).unwrap().1.clone();
    assert_eq!(comment("unigate_template_0000000000bc"), "for the auditors");
    assert_eq!(comment("unigate_template_0000000000ba"), recent);
    for said in [comment(new), comment("unigate_template_0000000000bb")] {
        assert!(said.starts_with("unigate: last copied at Unix second "), "{said}");
    }

    // One that is copied again says so.
    server.sql(&format!("COMMENT ON DATABASE {new} IS '{old}'")).await;
    server.copy("unigate_test_second").await;
    let there = server.databases().await;
    let said = &there.iter().find(|(name, _)| name == new).unwrap().1;
    assert!(*said != old && said.starts_with("unigate: last copied"), "{said}");
}
