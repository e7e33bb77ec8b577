//! Every wrapping, opened by readers that are not ours: Python, 7z, gzip, age, ssh-keygen. `scripts/tools test`
//! installs them; without one of them these tests fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ::age::x25519::Identity;
use bytes::Bytes;
use domain::declaration::RegisterProfile;

use super::*;

/// A directory for what readers want as files; gone with the test.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("unigate-seal-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and tells its path.
    pub(super) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a reader, which has to succeed, and returns what it writes.
pub(super) fn reads(argv: &[&str], home: Option<&Path>) -> Vec<u8> {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]).stdin(Stdio::null());
    if let Some(home) = home {
        command.env("GNUPGHOME", home);
    }
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}: run scripts/tools test", argv[0]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{argv:?}: {said}");
    output.stdout
}

fn stages(declared: &str) -> Vec<SealStage> {
    let text = format!("every_payments = 1\n{declared}");
    toml::from_str::<RegisterProfile>(&text).unwrap().stages()
}

/// Seals `data`, written in pieces, under the name `gvk.csv`.
pub(super) fn sealed(declared: &str, data: &[u8]) -> Result<Vec<u8>, BuildError> {
    let (sealed, file) = tried(declared, data);
    assert_eq!(sealed?.bytes, file.len() as i64);
    Ok(file)
}

/// The same, with what came out before it failed.
pub(super) fn tried(declared: &str, data: &[u8]) -> (Result<Finished, BuildError>, Vec<u8>) {
    let stages = stages(declared);
    let dated = "2026-11-24T00:00:00+03:00[Europe/Moscow]".parse::<Zoned>().unwrap();
    let (chunks_in, mut chunks) = tokio::sync::mpsc::channel::<Bytes>(1);
    std::thread::scope(|scope| {
        let file = scope.spawn(move || {
            let mut file = Vec::new();
            while let Some(chunk) = chunks.blocking_recv() {
                file.extend_from_slice(&chunk);
            }
            file
        });
        let trouble = Trouble::default();
        let wrapping = Wrapping {
            stages: &stages,
            inner_name: "gvk.csv",
            dated: &dated,
            is_large: false,
        };
        let written = (|| {
            let prepared = prepare_all(&stages)?;
            let mut out = wrapping.begin(prepared, ChunkWriter::new(chunks_in), &trouble)?;
            for piece in data.chunks(10_000) {
                out.write_all(piece).map_err(BuildError::Write)?;
            }
            out.finish()
        })();
        (written.map_err(|error| trouble.or(error)), file.join().unwrap())
    })
}

/// Why it cannot be sealed.
pub(super) fn refused(declared: &str, data: &[u8]) -> String {
    sealed(declared, data).unwrap_err().to_string()
}

/// A register of so many rows; no two alike, or archives would be too small.
pub(super) fn text(rows: usize) -> Vec<u8> {
    let row = |at: usize| {
        format!(
            "{at};{};Иванов И. И.;150.00\r\n",
            at.wrapping_mul(2_654_435_761) % 1_000_003
        )
    };
    (0..rows).map(row).collect::<String>().into_bytes()
}

/// Bit 3 of the first entry's flags: the sizes follow the data.
fn has_descriptor(archive: &[u8]) -> bool {
    archive[6] & 8 != 0
}

/// The name and content of the only entry, as Python reads it.
fn unzipped(scratch: &Scratch, archive: &[u8]) -> Vec<u8> {
    let file = scratch.file("a.zip", archive);
    let script = "import sys, zipfile\n\
        archive = zipfile.ZipFile(sys.argv[1])\n\
        assert archive.testzip() is None\n\
        [entry] = archive.infolist()\n\
        assert entry.date_time == (2026, 11, 24, 0, 0, 0), entry\n\
        sys.stdout.buffer.write(entry.filename.encode() + b'\\n' + archive.read(entry))";
    reads(&["python3", "-c", script, &file], None)
}

fn named(name: &str, data: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"\n", data].concat()
}

/// More than an archive holds.
const MANY_ROWS: usize = 300_000;

#[test]
fn a_small_archive_tells_its_sizes_first_and_is_the_same_every_time() {
    let (scratch, data) = (Scratch::new(), text(1000));
    let archive = sealed("zip = true", &data).unwrap();
    assert!(!has_descriptor(&archive));
    // Version needed to extract: 2.0, the first with deflate.
    assert_eq!(archive[4..6], [20, 0]);
    assert!(unzipped(&scratch, &archive) == named("gvk.csv", &data));
    assert!(sealed("zip = true", &data).unwrap() == archive);
    reads(&["7z", "t", &scratch.file("a.zip", &archive)], None);
}

#[test]
fn a_large_archive_streams() {
    let (scratch, data) = (Scratch::new(), text(MANY_ROWS));
    let archive = sealed("[[seal]]\nwith = \"zip\"\nlevel = 1", &data).unwrap();
    assert!(has_descriptor(&archive) && archive.len() < data.len() / 2);
    assert!(unzipped(&scratch, &archive) == named("gvk.csv", &data));
    reads(&["7z", "t", &scratch.file("a.zip", &archive)], None);
    let harder = sealed("[[seal]]\nwith = \"zip\"\nlevel = 9", &data).unwrap();
    assert!(harder.len() < archive.len());
}

#[test]
fn an_archive_with_a_password_is_opened_by_it_only() {
    let scratch = Scratch::new();
    let secret = scratch.file("password", "hunter2\n");
    let declared = format!("[[seal]]\nwith = \"zip\"\npassword = \"file:{secret}\"");
    // Held, and streamed.
    for data in [text(100), text(MANY_ROWS)] {
        let archive = sealed(&declared, &data).unwrap();
        let file = scratch.file("a.zip", &archive);
        assert!(reads(&["7z", "x", "-so", "-phunter2", &file], None) == data);
        let listed = String::from_utf8(reads(&["7z", "l", "-slt", "-phunter2", &file], None)).unwrap();
        assert!(listed.contains("AES-256"), "{listed}");
        let wrong = Command::new("7z").args(["t", "-phunter3", &file]).output().unwrap();
        assert!(!wrong.status.success());
        assert_ne!(sealed(&declared, &data).unwrap(), archive, "the salt is new");
    }
    let gone = refused("[[seal]]\nwith = \"zip\"\npassword = \"file:/nowhere/password\"", b"x");
    assert!(gone.contains("stage 1 (zip): password: /nowhere/password"), "{gone}");
    let unset = refused("[[seal]]\nwith = \"zip\"\npassword = \"env:TEST_NO_SUCH\"", b"x");
    assert!(unset.contains("TEST_NO_SUCH is not set here"), "{unset}");
    let empty = scratch.file("empty", "\n");
    let empty = refused(&format!("[[seal]]\nwith = \"zip\"\npassword = \"file:{empty}\""), b"x");
    assert!(empty.contains("password: is empty"), "{empty}");
}

#[test]
fn gzip_is_gzip() {
    let (scratch, data) = (Scratch::new(), text(20_000));
    let file = scratch.file("a.gz", sealed("[[seal]]\nwith = \"gzip\"", &data).unwrap());
    assert!(reads(&["gzip", "-dc", &file], None) == data);
    let named = String::from_utf8(reads(&["gzip", "-lN", &file], None)).unwrap();
    assert!(named.contains("gvk.csv"), "{named}");
}

#[test]
fn every_recipient_of_age_opens_it_and_nobody_else() {
    let (scratch, data) = (Scratch::new(), text(20_000));
    let (one, two, other) = (Identity::generate(), Identity::generate(), Identity::generate());
    let declared = format!(
        "[[seal]]\nwith = \"age\"\nrecipients = [\"{}\", \"{}\"]",
        one.to_public(),
        two.to_public()
    );
    let file = sealed(&declared, &data).unwrap();
    assert!(file.starts_with(b"age-encryption.org/v1\n"));
    let file = scratch.file("a.age", file);
    for identity in [&one, &two] {
        let key = scratch.file("key", ::secrecy::ExposeSecret::expose_secret(&identity.to_string()));
        assert!(reads(&["age", "-d", "-i", &key, &file], None) == data);
    }
    let key = scratch.file("key", ::secrecy::ExposeSecret::expose_secret(&other.to_string()));
    let wrong = Command::new("age").args(["-d", "-i", &key, &file]).output().unwrap();
    assert!(!wrong.status.success() && wrong.stdout.is_empty());
}

#[test]
fn ssh_keys_open_age() {
    let (scratch, data) = (Scratch::new(), text(100));
    for kind in ["ed25519", "rsa"] {
        let key = scratch.path().join(kind);
        let key = key.to_str().unwrap();
        reads(
            &[
                "ssh-keygen",
                "-q",
                "-t",
                kind,
                "-N",
                "",
                "-C",
                "buh@example.org",
                "-f",
                key,
            ],
            None,
        );
        let public = std::fs::read_to_string(format!("{key}.pub")).unwrap();
        let declared = format!("[[seal]]\nwith = \"age\"\nrecipients = [\"{}\"]", public.trim());
        let file = scratch.file("a.age", sealed(&declared, &data).unwrap());
        assert!(reads(&["age", "-d", "-i", key, &file], None) == data);
    }
    let bad = refused("[[seal]]\nwith = \"age\"\nrecipients = [\"ssh-ed25519 AAAA\"]", b"x");
    assert!(
        bad.contains("stage 1 (age): recipients[0]: is not a public ssh key"),
        "{bad}"
    );
}

#[test]
fn a_passphrase_opens_age() {
    let scratch = Scratch::new();
    let secret = scratch.file("passphrase", "correct horse");
    let declared = format!("[[seal]]\nwith = \"age\"\npassphrase = \"file:{secret}\"");
    let file = sealed(&declared, b"number;account\r\n").unwrap();
    // The program asks on a terminal; `script` gives it one.
    let file = scratch.file("a.age", file);
    let ask = format!("age -d -o {file}.csv {file}");
    let mut asked = Command::new("script")
        .args(["-qec", &ask, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    asked.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    assert!(asked.wait().unwrap().success());
    assert_eq!(std::fs::read(format!("{file}.csv")).unwrap(), b"number;account\r\n");
}

#[test]
fn stages_follow_each_other_in_the_payees_order() {
    let (scratch, data) = (Scratch::new(), text(1000));
    let identity = Identity::generate();
    let key = scratch.file("key", ::secrecy::ExposeSecret::expose_secret(&identity.to_string()));
    let declared = format!(
        "[[seal]]\nwith = \"gzip\"\n[[seal]]\nwith = \"age\"\nrecipients = [\"{}\"]\n[[seal]]\nwith = \"zip\"",
        identity.to_public()
    );
    let archive = unzipped(&scratch, &sealed(&declared, &data).unwrap());
    let inner = archive.strip_prefix(b"gvk.csv.gz.age\n").unwrap();
    let pressed = scratch.file(
        "a.gz",
        reads(&["age", "-d", "-i", &key, &scratch.file("a.age", inner)], None),
    );
    assert!(reads(&["gzip", "-dc", &pressed], None) == data);
}

#[test]
fn a_later_stage_that_cannot_work_lets_nothing_out() {
    let stages = stages("[[seal]]\nwith = \"gzip\"\n[[seal]]\nwith = \"zip\"\npassword = \"file:/nowhere/password\"");
    let refused = prepare_all(&stages).err().unwrap().to_string();
    assert!(refused.contains("stage 2 (zip)"), "{refused}");
}
