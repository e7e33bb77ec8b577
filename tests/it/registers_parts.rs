//! Registers of several files, kept outside of the database, by workers that die at the worst moments.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use testkit::mail::{Mail, MailServer};
use testkit::process::{Process, executable, run};
use testkit::wait_for;
use tokio::process::Command;

use crate::faults::{bare, environment, expire_leases, publish_all};
use crate::fixtures::{UTILITY, new_ids, utility_payment};
use crate::world::{PATIENCE, World};

const PAYMENTS: usize = 5;

/// A directory for files, taken away at the end.
struct Outside(PathBuf);

impl Outside {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("unigate-outside-{}", uuid::Uuid::new_v4().simple())))
    }

    /// What is in it, but for what says whose it is.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().map(Result::unwrap);
        let files = entries.filter(|entry| entry.path().is_file());
        let mut names: Vec<String> = files.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.retain(|name| name != artifacts::MARK);
        names.sort();
        names
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Five payments, two to a file, in a directory; the first process dies at the point. Every payment is mailed once, in
/// three parts of one build.
async fn parts_killed_at(point: &str) {
    let world = bare().await;
    let outside = Outside::new();
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    world.payee(&limited()).await;
    let (smtp, url) = (
        format!("smtp://{}?tls=none", server.addr),
        format!("file://{}", outside.0.display()),
    );
    let settings = [
        ("UNIGATE_SMTP_URL", &*smtp),
        ("UNIGATE_MAIL_FROM", "unigate@example.net"),
        ("UNIGATE_ARTIFACTS_URL", &*url),
        ("UNIGATE_ARTIFACTS_ABOVE_BYTES", "0"),
    ];
    let workers = ["run", "intake", "registers", "mailer"];
    let dying = [&settings[..], &[("UNIGATE_TEST_DIE_AT", point)]].concat();
    let mut doomed = Process::start(&environment(&world, &dying), &workers);
    let ids = new_ids(PAYMENTS);
    let payments: Vec<Value> = ids.iter().map(|id| utility_payment(id)).collect();
    publish_all(&world, "payment.accepted", &payments).await;
    doomed.dies().await;
    let healthy = Process::start_ready(&environment(&world, &settings), &workers).await;
    expire_leases(&world).await;
    for id in &ids {
        world.reaches(id, "reported").await;
    }
    let mails = server.wait_for_mails(3, PATIENCE).await;
    assert!(healthy.end().await.success());
    are_the_parts(&world, &mails).await;
    let whole = world.value("SELECT string_agg(encode(sha256, 'hex') || '-' || artifact_id, ',' ORDER BY sha256) FROM artifact WHERE sha256 IS NOT NULL").await;
    let named: Vec<&str> = whole.split(',').collect();
    assert_eq!(named.len(), 3);
    let files = outside.files();
    assert!(
        named.iter().all(|name| files.iter().any(|file| file == name)),
        "{files:?}"
    );
    saved_like_the_mails(&world, &settings, &mails).await;
}

fn limited() -> String {
    UTILITY
        .replace("schedule = \"0 0 * * *\"", &format!("every_payments = {PAYMENTS}"))
        .replace("zip = true", "max_rows = 2")
}

async fn are_the_parts(world: &World, mails: &[Mail]) {
    let name = |mail: &Mail| mail.attachments[0].file_name.clone();
    let mut names: Vec<String> = mails.iter().map(name).collect();
    names.sort();
    let of = |part| format!("gorvodokanal-main-000001-{part}of3.csv");
    assert_eq!(names, [of(1), of(2), of(3)]);
    let rows: usize = mails
        .iter()
        .map(|mail| String::from_utf8_lossy(&mail.attachments[0].bytes).lines().count() - 1)
        .sum();
    assert_eq!(rows, PAYMENTS);
    let registers = store::registers::list(world.store(), None).await.unwrap();
    assert_eq!((registers.len(), registers[0].parts), (1, 3));
}

/// `registers save` into a directory: all parts, as they were mailed.
async fn saved_like_the_mails(world: &World, settings: &[(&str, &str)], mails: &[Mail]) {
    let saved = Outside::new();
    std::fs::create_dir(&saved.0).unwrap();
    let id = world.value("SELECT register_id FROM register").await;
    let target = saved.0.display().to_string();
    let done = run(&environment(world, settings), &["registers", "save", &id, &target]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    for mail in mails {
        let file = &mail.attachments[0];
        assert_eq!(std::fs::read(saved.0.join(&file.file_name)).unwrap(), file.bytes);
    }
    let one = saved.0.join("one.csv").display().to_string();
    let refused = run(&environment(world, settings), &["registers", "save", &id, &one]).await;
    assert_eq!(refused.code, Some(1));
    let done = run(
        &environment(world, settings),
        &["registers", "save", &id, &one, "--part", "3"],
    )
    .await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let third = mails
        .iter()
        .find(|mail| mail.attachments[0].file_name.contains("3of3"))
        .unwrap();
    assert_eq!(std::fs::read(&one).unwrap(), third.attachments[0].bytes);
}

#[tokio::test]
async fn parts_whose_worker_died_between_two_of_them() {
    parts_killed_at("registers:after_part").await;
}

#[tokio::test]
async fn parts_whose_worker_died_before_they_were_recorded() {
    parts_killed_at("registers:before_record").await;
}

#[tokio::test]
async fn parts_whose_worker_died_right_after_they_were_recorded() {
    parts_killed_at("registers:after_record").await;
}

#[tokio::test]
async fn a_full_disk_keeps_a_register_waiting() {
    let world = bare().await;
    world.payee(&limited()).await;
    let full = Outside::new();
    std::fs::create_dir(&full.0).unwrap();
    let url = format!("file://{}", full.0.display());
    let settings = [("UNIGATE_ARTIFACTS_URL", &*url), ("UNIGATE_ARTIFACTS_ABOVE_BYTES", "0")];
    // A file system of the process's own, on which nothing has room.
    let mount = "mount -t tmpfs -o nr_inodes=1 none \"$0\" && exec \"$@\"";
    let mut confined = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", mount])
        .args([&*full.0, &executable()])
        .args(["run", "intake", "registers"])
        .envs(environment(&world, &settings))
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ids = new_ids(PAYMENTS);
    let payments: Vec<Value> = ids.iter().map(|id| utility_payment(id)).collect();
    publish_all(&world, "payment.accepted", &payments).await;
    let waiting = wait_for("the register to wait", PATIENCE, async || {
        let registers = store::registers::list(world.store(), None).await.unwrap();
        registers.into_iter().find(|register| register.last_error.is_some())
    })
    .await;
    let error = waiting.last_error.unwrap();
    assert!(
        error.starts_with(&url) && error.contains("No space left on device"),
        "{error}"
    );
    assert_eq!((waiting.state.as_str(), waiting.parts), ("frozen", 0));
    confined.kill().await.unwrap();

    let healthy = Process::start_ready(&environment(&world, &settings), &["run", "registers"]).await;
    world
        .sql("UPDATE register SET due_at = now(), lease_until = now()")
        .await;
    wait_for("the register to be built", PATIENCE, async || {
        let registers = store::registers::list(world.store(), None).await.unwrap();
        (registers[0].state == "built").then_some(())
    })
    .await;
    assert!(healthy.end().await.success());
    assert_eq!(full.files().len(), 3);
}
