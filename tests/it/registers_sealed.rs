//! Registers sealed by the real executable: nothing in the clear survives a crash, and what cannot seal is found beforehand.

use std::path::Path;

use testkit::process::Process;
use testkit::wait_for;

use crate::cli::{Files, done, failed, unigate};
use crate::faults::{bare, environment, expire_leases};
use crate::fixtures::{new_id, utility_payment};
use crate::registers::every;
use crate::world::PATIENCE;

/// What a payer has entered.
const CLEAR: &[u8] = b"1920679795";

/// Whether any file below a directory holds something in the clear.
fn holds_clear(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds_clear(&path);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(CLEAR.len()).any(|window| window == CLEAR)
    })
}

fn sealed_by(argv: &str) -> String {
    every(1).replace("zip = true\n", "")
        + &format!("[[register.seal]]\nwith = \"command\"\nextension = \"rev\"\nargv = {argv}\n")
}

#[tokio::test]
async fn a_worker_killed_while_it_seals_leaves_nothing_in_the_clear() {
    for files in ["{in}", "-"] {
        let world = bare().await;
        let scratch = Files::new();
        let (temporary, kept) = (scratch.path().join("tmp"), scratch.path().join("artifacts"));
        std::fs::create_dir(&temporary).unwrap();
        std::fs::create_dir(&kept).unwrap();
        let mark = scratch.path().join("mark").display().to_string();
        // The first time it has read everything and is at work when it dies; the second time it does its work.
        let script =
            format!("if [ -e {mark} ]; then rev {files}; else cat {files} >/dev/null; touch {mark}; exec sleep 30; fi");
        let script = if files == "-" {
            script.replace(" -; else cat -", "; else head -c 200")
        } else {
            script
        };
        world
            .payee(&sealed_by(&format!("[\"/bin/sh\", \"-c\", \"{script}\"]")))
            .await;
        let settings = [
            ("TMPDIR", temporary.to_str().unwrap()),
            ("UNIGATE_ARTIFACTS_URL", &*format!("file://{}", kept.display())),
            ("UNIGATE_ARTIFACTS_ABOVE_BYTES", "0"),
        ];
        let process = Process::start_ready(&environment(&world, &settings), &["run", "intake", "registers"]).await;
        let id = new_id();
        world.tell("payment.accepted", &utility_payment(&id)).await;
        wait_for("the command to be at work", PATIENCE, async || {
            Path::new(&mark).exists().then_some(())
        })
        .await;
        process.signal("KILL").await;
        drop(process);
        assert!(!holds_clear(scratch.path()), "{files}");

        expire_leases(&world).await;
        let process = Process::start_ready(&environment(&world, &settings), &["run", "registers"]).await;
        let register = wait_for("the register to be built", PATIENCE, async || {
            let listed = store::registers::list(world.store(), None).await.unwrap();
            listed.into_iter().find(|register| register.state == "built")
        })
        .await;
        assert_eq!(register.file.as_deref(), Some("gorvodokanal-main-000001.csv.rev"));
        assert!(process.end().await.success());
        assert!(!holds_clear(scratch.path()), "{files}");
    }
}

#[tokio::test]
async fn what_cannot_seal_is_refused_or_found_and_never_sent_otherwise() {
    let world = bare().await;
    let files = Files::new();
    let bad = every(1).replace("zip = true\n", "")
        + "[[register.seal]]\nwith = \"gzip\"\n[[register.seal]]\nwith = \"age\"\nrecipients = [\"age1qqqqqqqq\"]\n";
    files.write("payees/gvk.toml", &bad);
    let directory = files.path().join("payees").display().to_string();
    let refused = unigate(&world, &["payees", "apply", &directory]).await;
    failed(&refused, 64, "register.seal[1].recipients[0]: is not an age recipient");
    assert_eq!(world.value("SELECT count(*) FROM payee").await, "0");

    files.write("payees/gvk.toml", &sealed_by("[\"/usr/bin/no-such-seal\"]"));
    done(&world, &["payees", "apply", &directory]).await;
    let looked = unigate(&world, &["doctor", "--format", "json"]).await;
    assert_eq!(looked.code, Some(1), "{looked:?}");
    assert!(
        looked
            .stdout
            .contains("seal, stage 1 (command): argv: /usr/bin/no-such-seal"),
        "{looked:?}"
    );
    let process = Process::start_ready(&environment(&world, &[]), &["run", "intake", "registers"]).await;
    world.tell("payment.accepted", &utility_payment(&new_id())).await;
    let register = wait_for("the build to fail", PATIENCE, async || {
        let listed = store::registers::list(world.store(), None).await.unwrap();
        listed.into_iter().find(|register| register.state == "failed")
    })
    .await;
    let why = register.last_error.unwrap();
    assert!(why.contains("seal, stage 1 (command)"), "{why}");
    assert_eq!(register.parts, 0);
    assert_eq!(world.value("SELECT count(*) FROM artifact").await, "0");
    assert_eq!(world.value("SELECT count(*) FROM mailing").await, "0");
    assert!(process.end().await.success());
}
