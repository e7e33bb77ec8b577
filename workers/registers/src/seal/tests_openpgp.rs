//! OpenPGP messages opened by gpg, and keys of its making that nobody should encrypt to.

use std::path::PathBuf;
use std::process::Command;

use super::tests::{Scratch, reads, refused, sealed, text};

/// A key of gpg's own making in a home of its own: the home, and the armoured public key.
fn gpg_key(scratch: &Scratch, name: &str, expires: &str) -> (PathBuf, String) {
    let home = scratch.path().join(name);
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let gpg = [
        "gpg",
        "--batch",
        "--quiet",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
    ];
    let user = format!("{name}@example.org");
    reads(
        &[&gpg[..], &["--quick-gen-key", &user, "default", "default", expires]].concat(),
        Some(&home),
    );
    let armoured = reads(&[&gpg[..], &["--armor", "--export", &user]].concat(), Some(&home));
    (home, String::from_utf8(armoured).unwrap())
}

#[test]
fn every_key_of_openpgp_opens_it_in_gpg() {
    let (scratch, data) = (Scratch::new(), text(20_000));
    let (home, key) = gpg_key(&scratch, "one", "never");
    let (second, other) = gpg_key(&scratch, "two", "1y");
    let kept = scratch.file("two.asc", other);
    let declared = format!("[[seal]]\nwith = \"openpgp\"\nkeys = ['''{key}''', \"file:{kept}\"]");
    for data in [&data[..], b"", b"x"] {
        let file = scratch.file("a.pgp", sealed(&declared, data).unwrap());
        for home in [&home, &second] {
            assert!(reads(&["gpg", "--batch", "--quiet", "--decrypt", &file], Some(home)) == data);
        }
    }
    let (stranger, _) = gpg_key(&scratch, "three", "never");
    let file = scratch.path().join("a.pgp");
    let wrong = Command::new("gpg")
        .arg("--decrypt")
        .arg(file)
        .env("GNUPGHOME", stranger)
        .output()
        .unwrap();
    assert!(!wrong.status.success() && wrong.stdout.is_empty());
}

#[test]
fn keys_that_nobody_should_encrypt_to_are_refused() {
    let scratch = Scratch::new();
    let declared = |key: &str| format!("[[seal]]\nwith = \"openpgp\"\nkeys = ['''{key}''']");
    // Expired: made in the past, for a day.
    let home = scratch.path().join("old");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let gpg = [
        "gpg",
        "--batch",
        "--quiet",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
    ];
    let old = [
        "--faked-system-time",
        "20200101T000000",
        "--quick-gen-key",
        "old@example.org",
        "default",
        "default",
        "1d",
    ];
    reads(&[&gpg[..], &old].concat(), Some(&home));
    let old = String::from_utf8(reads(&["gpg", "--armor", "--export"], Some(&home))).unwrap();
    let why = refused(&declared(&old), b"x");
    assert!(why.contains("keys[0]") && why.contains("has expired"), "{why}");
    // Signing only.
    let signs = ["--quick-gen-key", "sign@example.org", "ed25519", "sign", "never"];
    reads(&[&gpg[..], &signs].concat(), Some(&home));
    let signs = reads(&["gpg", "--armor", "--export", "sign@example.org"], Some(&home));
    let why = refused(&declared(&String::from_utf8(signs).unwrap()), b"x");
    assert!(why.contains("no subkey that may be encrypted to"), "{why}");
    // Revoked, by the certificate that gpg makes with the key.
    let (home, _) = gpg_key(&scratch, "gone", "never");
    let revocations = home.join("openpgp-revocs.d");
    let certificate = std::fs::read_dir(revocations).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(certificate)
        .unwrap()
        .replace(":-----BEGIN", "-----BEGIN");
    reads(
        &[
            "gpg",
            "--batch",
            "--quiet",
            "--import",
            &scratch.file("revoke.asc", text),
        ],
        Some(&home),
    );
    let gone = String::from_utf8(reads(&["gpg", "--armor", "--export"], Some(&home))).unwrap();
    let why = refused(&declared(&gone), b"x");
    assert!(why.contains("is revoked"), "{why}");
    let why = refused(&declared("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQEN\n"), b"x");
    assert!(
        why.contains("stage 1 (openpgp): keys[0]: is not an OpenPGP public key"),
        "{why}"
    );
}

#[test]
fn a_key_file_is_read_as_far_as_a_key_goes() {
    let scratch = Scratch::new();
    let pipe = scratch.path().join("pipe").display().to_string();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let large = scratch.file("large.asc", vec![b'x'; 2 << 20]);
    for (path, expected) in [
        (&*large, "is larger than 1 MiB"),
        (&*pipe, "is no plain file"),
        ("/dev/null", "is no plain file"),
        (scratch.path().to_str().unwrap(), "is no plain file"),
    ] {
        let why = refused(&format!("[[seal]]\nwith = \"openpgp\"\nkeys = [\"file:{path}\"]"), b"x");
        assert!(why.contains(&format!("keys[0]: {path}: {expected}")), "{why}");
    }
}
