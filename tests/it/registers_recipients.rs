//! Recipients of registers as operators see them: who has it, who does not, and what is done about that; and the relays and
//! directories of payees, looked at by `doctor`.

use serde_json::{Value, json};
use testkit::mail::{MailServer, MailSettings};
use testkit::process::{Process, run};
use testkit::wait_for;

use crate::cli::{Files, done, failed, rows, unigate};
use crate::faults::{bare, environment};
use crate::fixtures::{new_id, utility_payment};
use crate::registers::every;
use crate::world::{PATIENCE, World};

async fn shown(world: &World, register: &str) -> Value {
    rows(world, &["registers", "show", register]).await.remove(0)
}

fn states(register: &Value) -> Vec<String> {
    let mailings = register["mailings"].as_array().unwrap().iter();
    let mut states: Vec<String> = mailings
        .map(|of| {
            format!(
                "{} {}",
                of["recipient"].as_str().unwrap(),
                of["state"].as_str().unwrap()
            )
        })
        .collect();
    states.sort();
    states
}

#[tokio::test]
async fn a_recipient_that_does_not_get_it_is_shown_replaced_and_forgone() {
    let world = bare().await;
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    for address in ["gone@example.org", "away@example.org"] {
        server.refuse_recipient(address, 550);
    }
    let files = Files::new();
    let directory = files.path().join("registers");
    std::fs::create_dir(&directory).unwrap();
    let to = "[\"buh@example.org\", \"gone@example.org\", \"away@example.org\"]";
    let declared = every(1).replace("[\"buh@example.org\"]", to);
    let declared = format!("{declared}\n[register.directory]\npath = \"{}\"\n", directory.display());
    world.payee(&declared).await;
    let smtp = format!("smtp://{}?tls=none", server.addr);
    let settings = environment(&world, &[("UNIGATE_SMTP_URL", &smtp)]);
    let process = Process::start_ready(&settings, &["run", "intake", "registers", "mailer"]).await;
    let payment = new_id();
    world.tell("payment.accepted", &utility_payment(&payment)).await;
    let register = wait_for("everybody to be tried", PATIENCE, async || {
        let listed = rows(&world, &["registers", "list"]).await;
        let id = listed.first()?["register_id"].as_str()?.to_owned();
        let register = shown(&world, &id).await;
        let decided = |state: &String| state.ends_with(" sent") || state.ends_with(" failed");
        let states = states(&register);
        (states.len() == 4 && states.iter().all(decided)).then_some(register)
    })
    .await;
    let id = register["register_id"].as_str().unwrap();
    let in_directory = format!("directory:{}", directory.display());
    assert_eq!(
        states(&register),
        [
            "away@example.org failed".to_owned(),
            "buh@example.org sent".to_owned(),
            format!("{in_directory} sent"),
            "gone@example.org failed".to_owned(),
        ]
    );
    assert_eq!(register["state"], "failed");
    let file = std::fs::read(directory.join(register["file"].as_str().unwrap())).unwrap();
    assert_eq!(file, server.inbox()[0].attachments[0].bytes);

    let replace = [
        "registers",
        "requeue",
        id,
        "--recipient",
        "gone@example.org",
        "--instead",
        "new@example.org",
    ];
    done(&world, &replace).await;
    failed(&unigate(&world, &replace).await, 1, "already");
    server.wait_for_mails(2, PATIENCE).await;
    let forgo = [
        "registers",
        "forgo",
        id,
        "--recipient",
        "away@example.org",
        "--reason",
        "left",
    ];
    let told = done(&world, &forgo).await;
    assert!(told.stdout.contains("away@example.org"), "{told:?}");
    failed(&unigate(&world, &forgo).await, 1, "no mail to away@example.org");
    wait_for("the register to be mailed", PATIENCE, async || {
        (shown(&world, id).await["state"] == "mailed").then_some(())
    })
    .await;
    let explained = rows(&world, &["registers", "explain", &payment]).await.remove(0);
    let to = format!("to buh@example.org, {in_directory}, new@example.org.");
    assert!(explained["why"].as_str().unwrap().contains(&to), "{explained}");
    assert_eq!(
        explained["register"]["recipients"][0]["state"], "forgone",
        "{explained}"
    );
    let acts = shown(&world, id).await["audit"].to_string();
    assert!(
        acts.contains("registers forgo") && acts.contains("left") && acts.contains("new@example.org"),
        "{acts}"
    );
    assert!(process.end().await.success());
}

#[tokio::test]
async fn doctor_tries_relays_and_directories_of_payees() {
    let world = bare().await;
    let settings = MailSettings {
        login: Some(("user".to_owned(), "hunter2".to_owned())),
        ..MailSettings::default()
    };
    let server = MailServer::start_with("127.0.0.1:0", settings).await.unwrap();
    let files = Files::new();
    let password = files.write("password", "hunter2\n");
    let wrong = files.write("wrong", "guess\n");
    for (id, password, directory) in [
        ("right", &password, files.path().display().to_string()),
        ("wrong", &wrong, "/no/such/directory".to_owned()),
    ] {
        let declared = every(1).replace("\"gorvodokanal\"", &format!("\"{id}\""));
        world
            .payee(&format!(
                "{declared}\n[register.mail]\nrelay = \"smtp://user@{}?tls=none\"\nrelay_password = \"file:{password}\"\n\
                 [register.directory]\npath = \"{directory}\"\n",
                server.addr
            ))
            .await;
    }
    let large = files.path().join("nowhere");
    let place = format!("file://{}", large.display());
    let elsewhere = environment(&world, &[("UNIGATE_ARTIFACTS_URL", &place)]);
    let told = run(&elsewhere, &["doctor", "--format", "json"]).await;
    assert!(
        !told.stdout.contains("hunter2") && !told.stdout.contains("guess"),
        "{told:?}"
    );
    let found: Vec<Value> = told
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |check: &str| {
        found
            .iter()
            .find(|one| one["check"] == check)
            .unwrap_or_else(|| panic!("{check}: {found:?}"))
    };
    assert_eq!(of("mail of right")["result"], json!("ok"));
    assert_eq!(of("directory of right")["result"], json!("ok"));
    assert_eq!(of("mail of wrong")["result"], json!("FAIL"));
    assert!(
        of("mail of wrong")["found"].as_str().unwrap().contains("535"),
        "{found:?}"
    );
    assert_eq!(of("directory of wrong")["result"], json!("warn"));
    assert_eq!(of("artifacts")["result"], json!("warn"));
    assert!(!large.exists());
    assert!(
        std::fs::read_dir(files.path()).unwrap().count() == 2,
        "nothing is left behind"
    );
    assert_eq!(server.messages(), 0);
}
