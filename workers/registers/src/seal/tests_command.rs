//! Programs as stages: GOST by OpenSSL's engine, verified by decrypting; and programs that fail, hang, lie and leave
//! children behind.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::tests::{Scratch, reads, refused, sealed, text, tried};

const OPENSSL: &str = "/usr/bin/openssl";

/// Runs OpenSSL with its GOST engine, as a person would.
fn gost(arguments: &[&str]) -> Vec<u8> {
    reads(&[&[OPENSSL], arguments].concat(), None)
}

/// A key of GOST R 34.10-2012 with its certificate: the paths of both.
fn gost_key(scratch: &Scratch, name: &str) -> (String, String) {
    let (key, certificate) = (
        scratch.file(&format!("{name}.key"), ""),
        scratch.file(&format!("{name}.pem"), ""),
    );
    let subject = format!("/CN={name}");
    let made = [
        "req",
        "-engine",
        "gost",
        "-x509",
        "-newkey",
        "gost2012_256",
        "-pkeyopt",
        "paramset:A",
        "-nodes",
    ];
    gost(
        &[
            &made[..],
            &["-subj", &subject, "-days", "30", "-keyout", &key, "-out", &certificate],
        ]
        .concat(),
    );
    (key, certificate)
}

/// A stage that runs a shell script: it stands for any program.
fn script(lines: &str, more: &str) -> String {
    format!("[[seal]]\nwith = \"command\"\nargv = [\"/bin/sh\", \"-c\", '''{lines}''']\n{more}\n")
}

#[test]
fn gost_signs_and_encrypts_and_the_payee_decrypts_and_verifies() {
    let (scratch, data) = (Scratch::new(), text(20_000));
    let (our_key, our_certificate) = gost_key(&scratch, "agent");
    let (their_key, their_certificate) = gost_key(&scratch, "gvk");
    // Signed through pipes, encrypted through files.
    let declared = format!(
        "[[seal]]\nwith = \"command\"\nextension = \"p7s\"\n\
         argv = [\"{OPENSSL}\", \"cms\", \"-sign\", \"-engine\", \"gost\", \"-binary\", \"-nodetach\", \"-outform\", \"DER\",\n\
                 \"-md\", \"md_gost12_256\", \"-signer\", \"{our_certificate}\", \"-inkey\", \"{our_key}\"]\n\
         verify = [\"{OPENSSL}\", \"cms\", \"-verify\", \"-engine\", \"gost\", \"-inform\", \"DER\", \"-CAfile\", \"{our_certificate}\",\n\
                   \"-purpose\", \"any\", \"-out\", \"/dev/null\"]\n\
         [[seal]]\nwith = \"command\"\nextension = \"p7m\"\n\
         argv = [\"{OPENSSL}\", \"cms\", \"-encrypt\", \"-engine\", \"gost\", \"-binary\", \"-outform\", \"DER\", \"-gost89\",\n\
                 \"-in\", \"{{in}}\", \"-out\", \"{{out}}\", \"{their_certificate}\"]\n"
    );
    let sealed = sealed(&declared, &data).unwrap();
    let clear = "Иванов".as_bytes();
    assert!(!sealed.windows(clear.len()).any(|window| window == clear));
    let file = scratch.file("a.p7m", &sealed);
    let signed = scratch.file(
        "a.p7s",
        gost(&[
            "cms",
            "-decrypt",
            "-engine",
            "gost",
            "-inform",
            "DER",
            "-in",
            &file,
            "-inkey",
            &their_key,
            "-recip",
            &their_certificate,
        ]),
    );
    let verified = gost(&[
        "cms",
        "-verify",
        "-engine",
        "gost",
        "-inform",
        "DER",
        "-in",
        &signed,
        "-CAfile",
        &our_certificate,
        "-purpose",
        "any",
    ]);
    assert!(verified == data);
}

#[test]
fn what_comes_out_is_judged_by_a_second_program() {
    let (scratch, data) = (Scratch::new(), text(10));
    let (key, certificate) = gost_key(&scratch, "agent");
    let (_, other) = gost_key(&scratch, "other");
    let declared = |trusted: &str| {
        format!(
            "[[seal]]\nwith = \"command\"\n\
             argv = [\"{OPENSSL}\", \"cms\", \"-sign\", \"-engine\", \"gost\", \"-binary\", \"-nodetach\", \"-outform\", \"DER\",\n\
                     \"-md\", \"md_gost12_256\", \"-signer\", \"{certificate}\", \"-inkey\", \"{key}\"]\n\
             verify = [\"{OPENSSL}\", \"cms\", \"-verify\", \"-engine\", \"gost\", \"-inform\", \"DER\", \"-in\", \"{{in}}\",\n\
                       \"-CAfile\", \"{trusted}\", \"-purpose\", \"any\", \"-out\", \"/dev/null\"]\n"
        )
    };
    sealed(&declared(&certificate), &data).unwrap();
    let why = refused(&declared(&other), &data);
    assert!(
        why.contains("stage 1 (command): what it made is not right: verify: /usr/bin/openssl ended with exit code"),
        "{why}"
    );
}

#[test]
fn files_and_pipes_go_together_in_every_way() {
    let data = text(30_000);
    for (argv, makes) in [
        ("rev <{in} >{out}", "files"),
        ("rev <{in}", "in"),
        ("rev >{out}", "out"),
        ("rev", "pipes"),
    ] {
        let out = sealed(&script(argv, ""), &data).unwrap();
        let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!((out.len(), lines(&out)), (data.len(), lines(&data)), "{makes}");
        assert!(out.starts_with(b"\r00.051;"), "{makes}");
    }
}

#[test]
fn a_program_that_fails_fails_the_build_and_tells_nobody_what_it_was_given() {
    let data = "1;1920679795;Иванов\r\n".as_bytes();
    let told = script(
        "head -c 100 >/dev/null; echo cannot seal 1920679795 of Иванов >&2; echo half; exit 3",
        "",
    );
    let why = refused(&told, data);
    assert_eq!(
        why,
        "seal, stage 1 (command): /bin/sh ended with exit code 3: cannot seal *** of ***"
    );
    let declared = script("cat >/dev/null; echo sealed; exit 3", "exit_codes = [3]");
    assert_eq!(sealed(&declared, data).unwrap(), b"sealed\n");
    let why = refused(&script("cat >/dev/null; kill -SEGV $$", ""), data);
    assert!(why.contains("was ended by signal 11"), "{why}");
    for (lines, expected) in [
        ("cat >/dev/null", "made nothing"),
        ("cat", "gave back what it was given"),
        ("cat >{out} <{in}", "gave back what it was given"),
        ("true >{out}; cat >/dev/null", "made nothing"),
    ] {
        let why = refused(&script(lines, ""), data);
        assert!(why.contains(expected), "{lines}: {why}");
    }
    let why = refused("[[seal]]\nwith = \"command\"\nargv = [\"/usr/bin/no-such\"]", data);
    assert!(why.contains("argv: /usr/bin/no-such: No such file"), "{why}");
    let why = refused("[[seal]]\nwith = \"command\"\nargv = [\"/etc/hostname\"]", data);
    assert!(why.contains("/etc/hostname cannot be run"), "{why}");
}

#[test]
fn what_is_given_back_gets_nowhere() {
    // Several chunks.
    let data = text(100_000);
    for lines in ["cat", "cat <{in}", "cat >{out}", "cat <{in} >{out}"] {
        let (sealed, stored) = tried(&script(lines, ""), &data);
        let why = sealed.unwrap_err().to_string();
        assert_eq!(
            why, "seal, stage 1 (command): /bin/sh gave back what it was given",
            "{lines}"
        );
        assert_eq!(stored.len(), 0, "{lines}");
    }
    // What only begins alike is something else.
    let other = "head -c 60; echo; cat";
    assert_eq!(sealed(&script(other, ""), &data).unwrap().len(), data.len() + 1);
}

#[test]
fn a_program_that_does_not_read_to_the_end_fails_the_build() {
    // More than any pipe holds.
    let data = text(100_000);
    let why = refused(&script("echo no licence >&2; exit 1", ""), &data);
    assert!(why.contains("ended with exit code 1: no licence"), "{why}");
    let why = refused(&script("exec >/dev/null; exec </dev/null; exit 0", ""), &data);
    assert!(why.contains("ended before it had read everything"), "{why}");
}

#[test]
fn a_program_that_hangs_is_killed_with_its_children() {
    let scratch = Scratch::new();
    let child = scratch.path().join("child").to_str().unwrap().to_owned();
    let hangs = format!("sleep 1000 & echo $! >{child}; cat >/dev/null; wait");
    let began = Instant::now();
    let why = refused(&script(&hangs, "timeout_seconds = 5"), b"x;y\r\n");
    assert!(why.contains("was killed when its time was over"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_gone(&child);
    // One that reads nothing blocks whoever writes to it, and no longer than that.
    let why = refused(&script("exec sleep 1000", "timeout_seconds = 1"), &text(100_000));
    assert!(why.contains("was killed when its time was over"), "{why}");
    // What a program leaves running does not stay either.
    let leaves = format!("cat >/dev/null; sleep 1000 & echo $! >{child}; echo sealed");
    assert_eq!(sealed(&script(&leaves, ""), b"x;y\r\n").unwrap(), b"sealed\n");
    assert_gone(&child);
}

/// The process whose number is in this file has been killed: it is gone, or a zombie until somebody reaps it.
fn assert_gone(file: &str) {
    let pid = std::fs::read_to_string(file).unwrap();
    let began = Instant::now();
    let runs = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z")
    };
    while runs() {
        assert!(began.elapsed() < Duration::from_secs(10), "{pid} still runs");
        std::thread::yield_now();
    }
}

#[test]
fn a_build_that_breaks_off_leaves_no_program_running() {
    let scratch = Scratch::new();
    let pid = scratch.path().join("pid").to_str().unwrap().to_owned();
    let lines = format!("echo $$ >{pid}; cat");
    let declared = script(&lines, "");
    let stages = toml::from_str::<domain::declaration::RegisterProfile>(&format!("every_payments = 1\n{declared}"));
    let (chunks_in, _chunks) = tokio::sync::mpsc::channel(1);
    let stages = stages.unwrap().stages();
    let wrapping = super::Wrapping {
        stages: &stages,
        inner_name: "gvk.csv",
        dated: &"2026-11-24T00:00:00+03:00[Europe/Moscow]".parse().unwrap(),
        is_large: false,
    };
    let prepared = super::prepare_all(&stages).unwrap();
    let out = crate::chunks::ChunkWriter::new(chunks_in);
    let out = wrapping.begin(prepared, out, &super::Trouble::default());
    let began = Instant::now();
    while std::fs::read_to_string(&pid).unwrap_or_default().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(10), "it never ran");
        std::thread::yield_now();
    }
    drop(out);
    assert_gone(&pid);
}

#[test]
fn a_program_gets_a_clean_environment_and_no_shell() {
    let seen =
        String::from_utf8(sealed("[[seal]]\nwith = \"command\"\nargv = [\"/usr/bin/env\"]", b"").unwrap()).unwrap();
    let mut names: Vec<&str> = seen.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["LANG", "PATH"], "{seen}");
    let passed = sealed(
        "[[seal]]\nwith = \"command\"\nargv = [\"/usr/bin/env\"]\nenvironment = [\"CARGO_PKG_NAME\"]",
        b"",
    );
    assert!(
        String::from_utf8(passed.unwrap())
            .unwrap()
            .contains("CARGO_PKG_NAME=registers")
    );
    let why = refused(
        "[[seal]]\nwith = \"command\"\nargv = [\"/usr/bin/env\"]\nenvironment = [\"NO_SUCH_THING\"]",
        b"",
    );
    assert!(why.contains("environment: NO_SUCH_THING is not set here"), "{why}");
    let why = refused(
        "[[seal]]\nwith = \"command\"\nargv = [\"/usr/bin/env\"]\nenvironment = [\"UNIGATE_DATABASE_URL\"]",
        b"",
    );
    assert!(why.contains("a setting of unigate's own"), "{why}");
    let echoed = sealed(
        "[[seal]]\nwith = \"command\"\nargv = [\"/bin/echo\", \"$HOME; id\"]",
        b"",
    )
    .unwrap();
    assert_eq!(echoed, b"$HOME; id\n");
}

#[test]
fn files_of_a_program_have_no_disk_behind_them() {
    // What the program sees of its files: memory, both of them, and no name in any directory.
    let looks = "stat -f -c %T -L {in} >{out}; readlink {in} {out} >>{out}; cat {in} >/dev/null";
    let seen = String::from_utf8(sealed(&script(looks, ""), b"number;account\r\n").unwrap()).unwrap();
    assert_eq!(
        seen.lines().collect::<Vec<_>>(),
        ["tmpfs", "/memfd:register (deleted)", "/memfd:register (deleted)"]
    );
    let big = vec![b'x'; 200 * 1024 * 1024];
    let why = refused(&script("cat {in}", ""), &big);
    assert!(why.contains("{in}: it is larger than"), "{why}");
}

#[test]
fn the_gost_engine_is_what_debian_ships() {
    let engine = Command::new(OPENSSL)
        .args(["engine", "gost"])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&engine.stdout);
    assert!(
        said.contains("GOST engine"),
        "{said}: scripts/tools test installs libengine-gost-openssl"
    );
}
