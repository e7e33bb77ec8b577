//! Registers sealed by the real executable: nothing in the clear survives a crash, and what cannot seal is found beforehand.

use std::path::Path;

use store::registers::Listed;
use testkit::process::Process;
use testkit::wait_for;

use crate::cli::{Files, done, failed, unigate};
use crate::faults::{bare, environment, expire_leases};
use crate::fixtures::{new_id, utility_payment};
use crate::registers::every;
use crate::world::{PATIENCE, World};

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

/// Seals by `rev`, the third time. The first time it has read what there is, and is at work when its worker dies; the second
/// time it says what it was given, and fails.
fn seal_at_last(files: &str, mark: &str) -> String {
    // What comes through a pipe ends only when everything was written.
    let (some, from) = match files {
        "-" => ("head -c 200".to_owned(), String::new()),
        _ => (format!("cat {files}"), format!(" {files}")),
    };
    let script = format!(
        "if [ -e {mark}-2 ]; then rev{from}; elif [ -e {mark}-1 ]; then touch {mark}-2; cat{from} >&2; exit 3; \
         else {some} >/dev/null; touch {mark}-1; exec sleep 30; fi"
    );
    sealed_by(&format!("[\"/bin/sh\", \"-c\", \"{script}\"]"))
}

/// Whether something in the clear was told: in a log, to operators, to recipients or to listeners; or lies in the database's
/// own files of registers.
async fn tells_clear(world: &World, log: &[String]) -> bool {
    let clear = std::str::from_utf8(CLEAR).unwrap();
    let told = format!(
        "SELECT (SELECT count(*) FROM artifact_chunk WHERE position('{clear}'::bytea IN data) > 0)
              + (SELECT count(*) FROM letter WHERE position('{clear}'::bytea IN head || tail) > 0)
              + (SELECT count(*) FROM register r WHERE position('{clear}' IN r::text) > 0)
              + (SELECT count(*) FROM notice n WHERE position('{clear}' IN n::text) > 0)
              + (SELECT count(*) FROM event WHERE kind LIKE 'register.%' AND position('{clear}' IN body::text) > 0)"
    );
    log.iter().any(|line| line.contains(clear)) || world.value(&told).await != "0"
}

async fn register_in(world: &World, state: &str) -> Listed {
    wait_for(&format!("the register to be {state}"), PATIENCE, async || {
        let listed = store::registers::list(world.store(), None).await.unwrap();
        listed.into_iter().find(|register| register.state == state)
    })
    .await
}

/// `files`: what the command reads; `outside`: whether its file lies in a directory, and not in the database.
async fn nothing_clear_survives(files: &str, outside: bool) {
    let world = bare().await;
    let scratch = Files::new();
    let (temporary, kept) = (scratch.path().join("tmp"), scratch.path().join("artifacts"));
    std::fs::create_dir(&temporary).unwrap();
    std::fs::create_dir(&kept).unwrap();
    let mark = scratch.path().join("mark").display().to_string();
    world.payee(&seal_at_last(files, &mark)).await;
    let place = format!("file://{}", kept.display());
    let mut settings = vec![("TMPDIR", temporary.to_str().unwrap()), ("UNIGATE_LOG", "debug")];
    if outside {
        settings.extend([
            ("UNIGATE_ARTIFACTS_URL", &*place),
            ("UNIGATE_ARTIFACTS_ABOVE_BYTES", "0"),
        ]);
    }
    let process = Process::start_ready(&environment(&world, &settings), &["run", "intake", "registers"]).await;
    world.tell("payment.accepted", &utility_payment(&new_id())).await;
    wait_for("the command to be at work", PATIENCE, async || {
        Path::new(&format!("{mark}-1")).exists().then_some(())
    })
    .await;
    process.signal("KILL").await;
    assert!(!holds_clear(scratch.path()));
    assert!(!tells_clear(&world, &process.log_lines()).await);
    drop(process);

    expire_leases(&world).await;
    let process = Process::start_ready(&environment(&world, &settings), &["run", "registers"]).await;
    let failed = register_in(&world, "failed").await;
    let why = failed.last_error.unwrap();
    assert!(why.contains("exit code 3") && why.contains("***"), "{why}");
    assert!(!holds_clear(scratch.path()));
    assert!(!tells_clear(&world, &process.log_lines()).await);

    let id = failed.summary.register_id;
    store::registers::requeue_build(world.store(), id, "test")
        .await
        .unwrap();
    let register = register_in(&world, "built").await;
    assert_eq!(register.file.as_deref(), Some("gorvodokanal-main-000001.csv.rev"));
    let sealed: String = std::str::from_utf8(CLEAR).unwrap().chars().rev().collect();
    let stored = format!("SELECT count(*) FROM artifact_chunk WHERE position('{sealed}'::bytea IN data) > 0");
    assert_eq!(world.value(&stored).await, if outside { "0" } else { "1" });
    let log = process.log_lines();
    assert!(
        log.iter().any(|line| line.contains("a register cannot be built")),
        "{log:?}"
    );
    assert!(process.end().await.success());
    assert!(!holds_clear(scratch.path()));
    assert!(!tells_clear(&world, &log).await);
}

#[tokio::test]
async fn a_worker_killed_while_it_seals_leaves_nothing_in_the_clear() {
    for (files, outside) in [("{in}", true), ("-", true), ("{in}", false)] {
        nothing_clear_survives(files, outside).await;
    }
}

#[tokio::test]
async fn a_worker_that_crashes_leaves_no_core_file() {
    let world = bare().await;
    let process = Process::start_ready(&environment(&world, &[]), &["run", "registers"]).await;
    leaves_no_core_file(&process);
    assert!(process.end().await.success());
}

/// Neither now nor later: the hard limit is 0.
#[track_caller]
pub(crate) fn leaves_no_core_file(process: &Process) {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
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

    // Nothing it was closed with can ever seal it.
    let id = register.summary.register_id.to_string();
    let requeue = ["registers", "requeue", &id, "--as-declared-now"];
    let refused = unigate(&world, &requeue).await;
    failed(&refused, 1, "it was closed with version 1 of its payee");
    files.write("payees/gvk.toml", &every(1));
    done(&world, &["payees", "apply", &directory]).await;
    let told = done(&world, &requeue).await;
    assert!(told.stdout.contains("with version 2 of its payee"), "{told:?}");
    assert_eq!(register_in(&world, "built").await.payee_version, 2);
    failed(
        &unigate(&world, &requeue).await,
        1,
        "has its file, which goes out as it is",
    );
    let acts =
        "SELECT string_agg(act || ' ' || allowed, ', ' ORDER BY audit_id) FROM audit WHERE subject_kind = 'register'";
    assert_eq!(
        world.value(acts).await,
        "registers requeue false, registers rebuild true, registers requeue false"
    );
    assert!(process.end().await.success());
}
