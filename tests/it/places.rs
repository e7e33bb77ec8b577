//! Places for files outside of the database: nobody deletes what another installation keeps there, and no test can.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use artifacts::MARK;
use runtime::Settings;
use serde_json::{Value, json};
use testkit::process::{Process, executable, keep_apart, run};
use testkit::stand::Stand;
use testkit::wait_for;
use tokio::process::Command;

use crate::cli::Files;
use crate::faults::{bare, environment};
use crate::fixtures::new_id;
use crate::registers::every;
use crate::rights::Site;
use crate::world::PATIENCE;

/// A register file of somebody's, in the way files outside are named.
fn somebodys(directory: &Path) -> PathBuf {
    let file = directory.join(format!("{}-{}", "0a".repeat(32), new_id()));
    std::fs::write(&file, "a register of an installation that is not ours").unwrap();
    let long_ago = SystemTime::from(domain::clock::now() - Duration::from_secs(7200));
    let opened = std::fs::File::options().write(true).open(&file).unwrap();
    opened.set_modified(long_ago).unwrap();
    file
}

/// What `doctor` found of files.
fn artifacts_of(told: &str) -> Value {
    let rows = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.into_iter().find(|row| row["check"] == "artifacts").unwrap()
}

#[tokio::test]
async fn a_worker_that_is_led_to_another_installations_files_leaves_them_and_says_so() {
    let site = Site::found().await;
    let world = &site.world;
    let files = Files::new();
    let kept = somebodys(files.path());
    let url = format!("file://{}", files.path().display());
    // With no more rights than such a worker has.
    site.grant().await;
    let worker = site.user("unigate_registers").await;
    let led = environment(
        world,
        &[("UNIGATE_ARTIFACTS_URL", &url), ("UNIGATE_DATABASE_URL", &worker.url)],
    );
    for marked in [false, true] {
        if marked {
            files.write(MARK, &new_id());
        }
        let process = Process::start_ready(&led, &["run", "registers"]).await;
        process
            .wait_for_log("the place for large files belongs to another installation")
            .await;
        assert!(process.end().await.success());
        assert!(kept.exists());
    }
    // Told once in a day, with what to do.
    let notice = wait_for("a notice", PATIENCE, async || {
        let rows = world
            .sql("SELECT subject, times::text, array_to_string(lines, ' ') FROM notice")
            .await;
        rows.into_iter().next()
    })
    .await;
    assert_eq!(notice[..2], [Some(url.clone()), Some("1".to_owned())]);
    let id = world.value("SELECT installation_id FROM installation").await;
    assert!(
        notice[2].as_ref().unwrap().ends_with(&format!("{url}/{MARK} say {id}")),
        "{notice:?}"
    );

    let told = artifacts_of(&run(&led, &["doctor", "--format", "json"]).await.stdout);
    assert_eq!(told["result"], "FAIL");
    assert!(
        told["found"].as_str().unwrap().contains("not this installation's"),
        "{told}"
    );

    // As the notice says.
    files.write(MARK, &id);
    let told = artifacts_of(&run(&led, &["doctor", "--format", "json"]).await.stdout);
    assert_eq!(told["result"], "ok", "{told}");
}

#[tokio::test]
async fn a_directory_that_is_not_mounted_is_told_of() {
    let site = Site::found().await;
    let world = &site.world;
    let files = Files::new();
    let url = format!("file://{}", files.path().display());
    let whole = format!(
        "INSERT INTO artifact (artifact_id, sha256, bytes, place) VALUES ('{}', sha256('x'), 1, '{url}')",
        new_id()
    );
    world.sql(&whole).await;
    site.grant().await;
    let worker = site.user("unigate_registers").await;
    let led = environment(
        world,
        &[("UNIGATE_ARTIFACTS_URL", &url), ("UNIGATE_DATABASE_URL", &worker.url)],
    );
    let process = Process::start_ready(&led, &["run", "registers"]).await;
    process
        .wait_for_log("the place for large files holds none of them")
        .await;
    assert!(process.end().await.success());
    let told = wait_for("a notice", PATIENCE, async || {
        let rows = world
            .sql("SELECT subject, lines[1] FROM notice WHERE kind = 'artifacts.bare'")
            .await;
        rows.into_iter().next()
    })
    .await;
    let id = world.value("SELECT installation_id FROM installation").await;
    let why = told[1].as_deref().unwrap();
    assert_eq!(told[0].as_deref(), Some(&*url));
    assert!(
        why.contains("is it mounted?") && why.ends_with(&format!("let {MARK} there say {id}")),
        "{why}"
    );
    let told = artifacts_of(&run(&led, &["doctor", "--format", "json"]).await.stdout);
    assert_eq!(told["result"], "FAIL");
    assert!(told["found"].as_str().unwrap().contains("is it mounted?"), "{told}");
    assert_eq!(
        std::fs::read_dir(files.path()).unwrap().count(),
        0,
        "nothing is written there"
    );
}

#[tokio::test]
async fn no_test_is_led_to_an_installations_files() {
    let files = Files::new();
    let url = format!("file://{}/artifacts", files.path().display());
    let mut settings = Settings::load().unwrap();
    settings.artifacts.url = Some(url.clone());
    let stand = Stand::on(settings).await;
    assert_eq!(stand.settings().artifacts.url, None);
    // Nor a process of one, by its environment or by a file where it is started.
    files.write("unigate.toml", &format!("artifacts_url = \"{url}\"\n"));
    let mut command = Command::new(executable());
    command.env("UNIGATE_ARTIFACTS_URL", &url);
    let told = keep_apart(&mut command)
        .envs(stand.environment())
        .args(["doctor", "--format", "json"])
        .current_dir(files.path())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let found = artifacts_of(&String::from_utf8(told.stdout).unwrap());
    assert_eq!(found["found"], json!("all files of registers lie in the database"));
}

#[tokio::test]
async fn a_key_that_a_register_is_encrypted_to_lies_where_declarations_may_name_it() {
    let (world, files) = (bare().await, Files::new());
    let key = files.write("gvk.asc", "no key, which is told of where it may be read");
    let sealed = format!("[[register.seal]]\nwith = \"openpgp\"\nkeys = [\"file:{key}\"]");
    world
        .payee(&format!("{}\n{sealed}", every(2).replace("zip = true", "")))
        .await;
    let named = files.path().join("named");
    std::fs::create_dir(&named).unwrap();
    for (place, expected) in [
        (&*named, "is in none of the places"),
        (files.path(), "is not an OpenPGP public key"),
    ] {
        let confined = environment(&world, &[("UNIGATE_DECLARED_PLACES", place.to_str().unwrap())]);
        let told = run(&confined, &["doctor"]).await.stdout;
        assert!(told.contains("keys[0]: ") && told.contains(expected), "{told}");
    }
}
