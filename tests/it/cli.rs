//! The executable by hand: setting an installation up, and how commands end.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use testkit::process::{Done, Process, run};
use testkit::stand::with_database;

use crate::faults::{bare, environment};
use crate::fixtures::{MTS, UTILITY, new_id, utility_payment};
use crate::world::World;

/// Files for one test, gone with it.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("unigate-test-{}", new_id()));
        std::fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.write(name, "");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a command in a world, as an operator called `tester`.
pub(crate) async fn unigate(world: &World, arguments: &[&str]) -> Done {
    run(&environment(world, &[("UNIGATE_OPERATOR", "tester")]), arguments).await
}

/// The same, which must succeed.
pub(crate) async fn done(world: &World, arguments: &[&str]) -> Done {
    let done = unigate(world, arguments).await;
    assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    done
}

/// The rows of a list as JSON.
pub(crate) async fn rows(world: &World, arguments: &[&str]) -> Vec<Value> {
    done(world, &[arguments, &["--format", "json"]].concat()).await.rows()
}

/// Checks that a command failed with this code and said why.
#[track_caller]
pub(crate) fn failed(done: &Done, code: i32, why: &str) {
    assert_eq!(done.code, Some(code), "{done:?}");
    assert!(done.stderr.contains(why), "{done:?} should say {why}");
}

#[tokio::test]
async fn migrations_may_be_run_twice_and_at_once() {
    let world = bare().await;
    let settings = world.stand.settings().store;
    let name = format!("unigate_test_fresh_{}", &new_id().replace('-', "")[20..]);
    let fresh = with_database(&settings, &name);
    let environment = environment(&world, &[("UNIGATE_DATABASE_URL", fresh.url.expose_secret())]);
    let unmigrated = run(&environment, &["migrate", "--check"]).await;
    let both = tokio::join!(run(&environment, &["migrate"]), run(&environment, &["migrate"]));
    let again = run(&environment, &["migrate"]).await;
    let checked = run(&environment, &["migrate", "--check"]).await;
    store::drop_database(&fresh).await.unwrap();
    assert_eq!(unmigrated.code, Some(1), "{unmigrated:?}");
    assert_eq!((both.0.code, both.1.code), (Some(0), Some(0)), "{both:?}");
    assert_eq!((again.code, checked.code), (Some(0), Some(0)), "{again:?} {checked:?}");
    assert_eq!(again.stdout, "nothing to do\n");
}

#[tokio::test]
async fn the_topology_is_declared_and_compared() {
    let world = bare().await;
    done(&world, &["topology", "check"]).await;
    bus::topology::delete(world.stand.bus()).await.unwrap();
    let missing = unigate(&world, &["topology", "check"]).await;
    failed(&missing, 1, "intake.facts");
    let both = tokio::join!(
        unigate(&world, &["topology", "apply"]),
        unigate(&world, &["topology", "apply"])
    );
    assert_eq!((both.0.code, both.1.code), (Some(0), Some(0)), "{both:?}");
    done(&world, &["topology", "check"]).await;
}

#[tokio::test]
async fn declarations_are_applied_all_or_none() {
    let world = bare().await;
    let files = Files::new();
    files.write("payees/utility.toml", UTILITY);
    let bad = files.write(
        "payees/bad.toml",
        &UTILITY
            .replace("gorvodokanal", "other")
            .replace("min = 100", "min = -1"),
    );
    let payees = files.path().join("payees").display().to_string();
    let refused = unigate(&world, &["payees", "apply", &payees]).await;
    failed(&refused, 64, "bad.toml");
    assert!(refused.stderr.contains("amount"), "the place: {refused:?}");
    assert!(
        rows(&world, &["payees", "list"]).await.is_empty(),
        "nothing was applied"
    );

    for (text, place) in [
        ("id = ", "bad.toml"),
        (
            &*UTILITY.replace("gorvodokanal", "b").replace("mail_to", "mail_too"),
            "mail_too",
        ),
        (
            &*UTILITY.replace("gorvodokanal", "b").replace("0 0 * * *", "0 0 * *"),
            "schedule",
        ),
        (
            &*UTILITY
                .replace("gorvodokanal", "b")
                .replace("Europe/Moscow", "Europe/Nowhere"),
            "time_zone",
        ),
        (&*UTILITY.replace("gorvodokanal", "b c"), "id"),
    ] {
        std::fs::write(&bad, text).unwrap();
        let refused = unigate(&world, &["payees", "apply", &payees]).await;
        failed(&refused, 64, "bad.toml");
        assert!(refused.stderr.contains(place), "{refused:?} should name {place}");
    }
    std::fs::remove_file(&bad).unwrap();
    let apply = ["payees", "apply", &*payees];
    let both = tokio::join!(unigate(&world, &apply), unigate(&world, &apply));
    assert_eq!((both.0.code, both.1.code), (Some(0), Some(0)), "{both:?}");
    done(&world, &["payees", "apply", &payees]).await;
    let listed = rows(&world, &["payees", "list"]).await;
    assert_eq!(
        (&listed[0]["payee"], &listed[0]["version"]),
        (&json!("gorvodokanal"), &json!(1))
    );
    assert_eq!(listed.len(), 1);
    let audited = world
        .value("SELECT count(*) FROM audit WHERE subject_kind = 'payee' AND who = 'tester'")
        .await;
    assert_eq!(audited, "1", "what changed nothing is no act");

    let several = files.write(
        "products/all.toml",
        &format!("[[product]]\n{MTS}\n[[product]]\n{}", MTS.replace("mts-100", "b")),
    );
    done(&world, &["products", "apply", &several]).await;
    assert_eq!(rows(&world, &["products", "list"]).await.len(), 2);
    let terminals = files.write(
        "terminals/t.toml",
        "[[terminal]]\nid = \"T-0001\"\ngroup = \"center\"\nusers = [\"guest\"]",
    );
    done(&world, &["terminals", "apply", &terminals]).await;
    let shown = done(&world, &["terminals", "show", "T-0001"]).await;
    assert!(
        shown.stdout.contains("center") && shown.stdout.contains("guest"),
        "{shown:?}"
    );
}

#[tokio::test]
async fn what_is_applied_reaches_workers_that_run() {
    let world = bare().await;
    let process = Process::start_ready(&environment(&world, &[]), &["run", "intake"]).await;
    let payment = utility_payment(&new_id());
    assert_eq!(
        world.tell("payment.accepted", &payment).await["reason"],
        "unknown_payee"
    );
    let files = Files::new();
    done(&world, &["payees", "apply", &files.write("utility.toml", UTILITY)]).await;
    assert_eq!(world.tell("payment.accepted", &payment).await["outcome"], "accepted");
    done(&world, &["payees", "suspend", "gorvodokanal", "--reason", "a dispute"]).await;
    let status = json!({"payment_id": payment["payment_id"], "terminal": "T-0001"});
    assert_eq!(world.ask("payment.status", &status).await["state"], "stopped");
    done(&world, &["payees", "resume", "gorvodokanal", "--reason", "settled"]).await;
    assert_eq!(world.ask("payment.status", &status).await["state"], "accepted");
    assert!(process.end().await.success());
}

#[tokio::test]
async fn a_currency_can_be_put_right_until_something_was_taken_in_it() {
    let world = bare().await;
    let files = Files::new();
    let apply = async |currency: &str| {
        let declared = UTILITY.replace("RUB", currency);
        unigate(&world, &["payees", "apply", &files.write("utility.toml", &declared)]).await
    };
    assert_eq!(apply("USD").await.code, Some(0));
    assert_eq!(apply("RUB").await.code, Some(0), "nobody has paid yet");
    let process = Process::start_ready(&environment(&world, &[]), &["run", "intake"]).await;
    let accepted = world.tell("payment.accepted", &utility_payment(&new_id())).await;
    assert_eq!(accepted["outcome"], "accepted");
    let refused = apply("USD").await;
    failed(
        &refused,
        1,
        "payee gorvodokanal: the currency cannot change from RUB to USD",
    );
    assert_eq!(rows(&world, &["payees", "list"]).await[0]["currency"], "RUB");
    assert!(process.end().await.success());
}

#[tokio::test]
async fn secrets_are_not_shown() {
    let world = bare().await;
    let files = Files::new();
    let declared = crate::fixtures::internet_provider("http://127.0.0.1:9/unikassa", "");
    done(&world, &["payees", "apply", &files.write("isp.toml", &declared)]).await;
    for arguments in [
        &["payees", "show", "isp"][..],
        &["payees", "show", "isp", "--format", "json"],
        &["doctor"],
    ] {
        let shown = unigate(&world, arguments).await;
        assert!(
            !format!("{shown:?}").contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            "{shown:?}"
        );
    }
    let audited = world.value("SELECT string_agg(a::text, ' ') FROM audit a").await;
    assert!(!audited.contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "{audited}");
}

#[tokio::test]
async fn exit_codes_tell_what_kind_of_trouble_it_is() {
    let world = bare().await;
    assert_eq!(unigate(&world, &["--help"]).await.code, Some(0));
    assert_eq!(unigate(&world, &["--version"]).await.code, Some(0));
    for usage in [
        &["nonsense"][..],
        &["run", "nobody"],
        &["payments", "list", "--format", "xml"],
        &["parked", "discard"],
        &[],
    ] {
        assert_eq!(unigate(&world, usage).await.code, Some(2), "{usage:?}");
    }
    failed(&unigate(&world, &["payments", "show", &new_id()]).await, 1, "unknown");
    for (name, value) in [
        ("UNIGATE_HTTP_ADDRESS", "nowhere"),
        ("UNIGATE_SWEEP_SECONDS", "often"),
        ("UNIGATE_LOG", "unikassa=loud"),
        ("UNIGATE_LOG_FORMAT", "xml"),
        ("UNIGATE_DATABASE_URL", "not a url"),
        ("UNIGATE_BROKER_URL", "http://example.org"),
        ("UNIGATE_BROKER_NAMESPACE", "a b"),
        ("UNIGATE_CONFIG", "/no/such/file.toml"),
    ] {
        let done = run(&environment(&world, &[(name, value)]), &["payments", "list"]).await;
        let named = if name == "UNIGATE_CONFIG" { value } else { name };
        failed(&done, 64, named);
    }
    let nobody = environment(&world, &[("UNIGATE_MAIL_FROM", "nobody")]);
    failed(
        &run(&nobody, &["run", "mailer"]).await,
        64,
        "UNIGATE_MAIL_FROM: \"nobody\" is no mail address",
    );
    let away = [("UNIGATE_DATABASE_URL", "postgres://postgres@127.0.0.1:9/nothing")];
    let listed = run(&environment(&world, &away), &["payments", "list"]).await;
    failed(
        &listed,
        1,
        "PostgreSQL at 127.0.0.1:9, database nothing, as postgres: error connecting",
    );
    let away = [("UNIGATE_BROKER_URL", "amqp://guest:hunter2@127.0.0.1:9")];
    let checked = run(&environment(&world, &away), &["topology", "check"]).await;
    failed(&checked, 1, "RabbitMQ at 127.0.0.1:9: ");
    assert!(!checked.stderr.contains("hunter2"), "{checked:?}");
}

#[tokio::test]
async fn the_doctor_looks_at_everything_and_says_what_to_do() {
    let world = bare().await;
    world.cards_vault().await;
    let well = unigate(&world, &["doctor"]).await;
    assert_eq!(well.code, Some(0), "{well:?}");
    assert!(well.stdout.contains("no alert is mailed"), "{well:?}");
    let nobody = run(&environment(&world, &[("UNIGATE_MAIL_FROM", "nobody")]), &["doctor"]).await;
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert!(nobody.stdout.contains("UNIGATE_MAIL_FROM"), "{nobody:?}");
    bus::topology::delete(world.stand.bus()).await.unwrap();
    let ill = unigate(&world, &["doctor"]).await;
    assert_eq!(ill.code, Some(1), "{ill:?}");
    assert!(ill.stdout.contains("topology apply"), "{}", ill.stdout);
    let away = [("UNIGATE_DATABASE_URL", "postgres://postgres@127.0.0.1:9/nothing")];
    let ill = run(&environment(&world, &away), &["doctor"]).await;
    assert_eq!(ill.code, Some(1), "{ill:?}");
}

#[tokio::test]
async fn a_process_tells_how_it_is() {
    let world = bare().await;
    let process = Process::start_ready(&environment(&world, &[]), &["run"]).await;
    assert_eq!(process.get("/healthz").await.unwrap().0, 200);
    world.payee(UTILITY).await;
    world.tell("payment.accepted", &utility_payment(&new_id())).await;
    let (status, metrics) = process.get("/metrics").await.unwrap();
    assert_eq!(status, 200);
    assert!(
        metrics.contains("unigate_messages_total") && metrics.contains("unigate_ready"),
        "{metrics}"
    );
    assert!(!metrics.contains("1920679795"), "no account in a metric");
    assert!(process.end().await.success());
}
