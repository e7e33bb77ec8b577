//! Registers that are put into a directory, instead of a mail or besides.

use std::fs;

use mailer::Report;
use serde_json::json;
use testkit::mail::Behaviour;
use testkit::mail::Step;

use crate::stand::{FILE, LONG, with_register};

#[tokio::test]
async fn a_file_in_its_directory_is_a_mailed_register() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    with_register(json!({ "directory": { "path": path } }), LONG, |stand| async move {
        assert!(matches!(stand.round_of_all().await[..], [Report::Sent]));
        assert_eq!(fs::read(path.join("gvk-main-000001.csv")).unwrap(), FILE);
        assert_eq!(
            (stand.register_state().await, stand.events().await),
            ("mailed at".into(), "register.mailed".into())
        );
        assert_eq!(
            stand
                .value("SELECT count(*) FROM payment_view WHERE shown_state = 'reported'")
                .await,
            "1"
        );
        assert_eq!(stand.server.connections(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_mailer_that_died_after_the_file_was_there_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    with_register(json!({ "directory": { "path": path } }), LONG, |stand| async move {
        stand.round_of_all().await;
        stand
            .sql("UPDATE mailing SET state = 'sending', sent_at = NULL, lease_until = now()")
            .await;
        stand.sql("UPDATE register SET state = 'built', mailed_at = NULL").await;
        // Whoever comes next finds it there.
        assert!(matches!(stand.round_of_all().await[..], [Report::Sent]));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn mail_and_directory_are_both_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let register = json!({ "mail_to": ["a@example.org"], "directory": { "path": path } });
    with_register(register, LONG, |stand| async move {
        stand.server.script([Behaviour::Answer {
            at: Step::Rcpt,
            code: 450,
        }]);
        assert_eq!(stand.round_of_all().await.len(), 2);
        assert!(path.join("gvk-main-000001.csv").exists());
        assert_eq!(stand.register_state().await, "built", "the mail is missing");
        assert!(matches!(stand.round_of_all().await[..], [Report::Sent]));
        assert_eq!(stand.register_state().await, "mailed at");
        let mail = stand.server.inbox().remove(0);
        assert_eq!(mail.header("To"), Some("a@example.org"), "a directory is no address");
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_taken_is_an_operators_business_and_a_missing_directory_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let place = path.join("gvk-main-000001.csv");
    with_register(json!({ "directory": { "path": path } }), LONG, |stand| async move {
        fs::write(&place, "another's").unwrap();
        assert!(matches!(stand.round_of_all().await[..], [Report::Refused(_)]));
        assert_eq!(
            (stand.register_state().await, stand.events().await),
            ("failed".into(), "register.failed".into())
        );
        assert_eq!(fs::read(&place).unwrap(), b"another's");
        fs::remove_file(&place).unwrap();
        fs::remove_dir(&path).unwrap();
        stand.requeue(None, None).await.unwrap();
        assert!(matches!(&stand.round_of_all().await[..], [Report::Away(away)] if away.tell));
        assert_eq!(
            stand.value("SELECT state || ' ' || attempts FROM mailing").await,
            "waiting 0"
        );
        let told = stand.notices().await;
        assert!(
            told.contains(&format!("mail.down directory:{} x1", path.display())),
            "{told}"
        );
        fs::create_dir(&path).unwrap();
        testkit::wait_for("the file", LONG, async || {
            stand.round_of_all().await;
            place.exists().then_some(())
        })
        .await;
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn a_share_that_is_not_mounted_gets_nothing_and_is_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let register = json!({ "directory": { "path": path, "mark": ".unigate" } });
    with_register(register, LONG, |stand| async move {
        assert!(matches!(&stand.round_of_all().await[..], [Report::Away(away)] if away.tell));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        let told = stand.notices().await;
        assert!(told.starts_with("mail.down directory:"), "{told}");
        assert_eq!(
            (stand.register_state().await, stand.events().await),
            ("built".into(), String::new())
        );
        fs::write(path.join(".unigate"), "").unwrap();
        testkit::wait_for("the file", LONG, async || {
            stand.round_of_all().await;
            path.join("gvk-main-000001.csv").exists().then_some(())
        })
        .await;
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn what_was_begun_in_a_directory_that_hung_does_not_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    with_register(json!({ "directory": { "path": path } }), LONG, |stand| async move {
        let mailing = stand.value("SELECT mailing_id FROM mailing").await;
        fs::write(path.join(format!(".unigate-{mailing}-abc.part")), "half of it").unwrap();
        // A try that found the directory away counts for none: the next one is the first again.
        assert_eq!(stand.value("SELECT attempts FROM mailing").await, "0");
        assert!(matches!(stand.round_of_all().await[..], [Report::Sent]));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    })
    .await;
}
