//! Files put into directories: whole or not at all, never over another, once however often.

use std::convert::Infallible;
use std::os::unix::fs::{PermissionsExt, symlink};

use futures::stream;

use super::*;

const FILE: &[u8] = b"number;account\r\n1;A-1\r\n";

fn to(directory: &Path) -> Put {
    Put {
        directory: directory.to_owned(),
        name: "gvk-main-000001.csv".to_owned(),
        mailing: Uuid::nil(),
        sha256: Sha256::digest(FILE).to_vec(),
        mark: None,
    }
}

async fn put_file(what: Put) -> Result<(), PutError> {
    let halves = FILE
        .chunks(10)
        .map(|chunk| Ok::<_, Infallible>(Bytes::copy_from_slice(chunk)));
    put(&Lane::default(), what, stream::iter(halves)).await.unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_is_there_whole_and_putting_it_again_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    put_file(to(directory.path())).await.unwrap();
    let place = directory.path().join("gvk-main-000001.csv");
    assert_eq!(fs::read(&place).unwrap(), FILE);
    assert_eq!(
        fs::metadata(&place).unwrap().permissions().mode() & 0o137,
        0,
        "for its group at most to read"
    );
    let before = fs::metadata(&place).unwrap().modified().unwrap();
    put_file(to(directory.path())).await.unwrap();
    assert_eq!(fs::metadata(&place).unwrap().modified().unwrap(), before);
    assert_eq!(names(directory.path()), ["gvk-main-000001.csv"]);
}

#[tokio::test]
async fn another_file_of_its_name_is_left_as_it_is() {
    for link in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("gvk-main-000001.csv");
        if link {
            fs::write(directory.path().join("elsewhere"), "mine").unwrap();
            symlink("elsewhere", &place).unwrap();
        } else {
            fs::write(&place, "mine").unwrap();
        }
        let refused = put_file(to(directory.path())).await.unwrap_err();
        assert!(matches!(refused, PutError::Taken(_)) && refused.is_final(), "{refused}");
        assert_eq!(fs::read(&place).unwrap(), b"mine");
    }
}

#[tokio::test]
async fn parts_under_a_long_name_are_files_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let name = |part: usize| format!("{}-000042-{part}of3.csv.zip", "Ж".repeat(116));
    for part in 1..=3 {
        put_file(Put {
            name: name(part),
            ..to(directory.path())
        })
        .await
        .unwrap();
    }
    assert_eq!(names(directory.path()), [name(1), name(2), name(3)]);
    // It would be another's file all the same.
    let other = put_file(Put {
        name: name(3),
        sha256: vec![7; 32],
        ..to(directory.path())
    });
    assert!(matches!(other.await, Err(PutError::Taken(_))));
}

#[tokio::test]
async fn what_a_killed_mailer_left_of_this_file_goes_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let left = format!(".unigate-{}-abc.part", Uuid::nil());
    let anothers = format!(".unigate-{}-abc.part", Uuid::max());
    for name in [&left, &anothers] {
        fs::write(directory.path().join(name), "half of it").unwrap();
    }
    put_file(to(directory.path())).await.unwrap();
    assert_eq!(names(directory.path()), [anothers, "gvk-main-000001.csv".to_owned()]);
}

#[tokio::test]
async fn a_damaged_file_and_a_hostile_name_come_to_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let damaged = put_file(Put {
        sha256: vec![7; 32],
        ..to(directory.path())
    });
    assert!(matches!(damaged.await, Err(PutError::Damaged)));
    assert!(names(directory.path()).is_empty());
    let inner = directory.path().join("inner");
    fs::create_dir(&inner).unwrap();
    put_file(Put {
        name: "../../evil.csv".to_owned(),
        ..to(&inner)
    })
    .await
    .unwrap();
    assert_eq!(names(directory.path()), ["inner"]);
    assert_eq!(names(&inner), ["_.._evil.csv"]);
}

#[tokio::test]
async fn reading_that_breaks_off_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let chunks = stream::iter([Ok(Bytes::from_static(b"number")), Err("the database is away")]);
    let broken = put(&Lane::default(), to(directory.path()), chunks).await;
    assert_eq!(broken.unwrap_err(), "the database is away");
    testkit::wait_for("the draft to be gone", TIMEOUT, async || {
        names(directory.path()).is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_directory_that_is_away_or_closed_says_so() {
    let parent = tempfile::tempdir().unwrap();
    let away = put_file(to(&parent.path().join("mount"))).await.unwrap_err();
    assert!(matches!(away, PutError::Away { .. }) && !away.is_final(), "{away}");
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let not_one = put_file(to(&file)).await.unwrap_err();
    assert!(!not_one.is_final() && not_one.to_string().contains("file"), "{not_one}");
}

#[test]
fn only_what_is_about_the_file_is_final() {
    // Rights do not stop root, and no test fills a disk: what the system says of them is made up here.
    let failed = |code: i32| PutError::Io {
        place: PathBuf::from("/srv/gvk"),
        source: io::Error::from_raw_os_error(code),
    };
    // EPERM, EIO, EACCES, ENOTDIR, ENOSPC, EROFS, ENOTCONN, ESTALE, EDQUOT
    for waits in [1, 5, 13, 20, 28, 30, 107, 116, 122] {
        assert!(!failed(waits).is_final(), "{}", failed(waits));
    }
    // EINVAL, EFBIG, ENAMETOOLONG
    for refused in [22, 27, 36] {
        assert!(failed(refused).is_final(), "{}", failed(refused));
    }
}

#[tokio::test]
async fn without_its_mark_a_directory_is_not_the_payees() {
    let directory = tempfile::tempdir().unwrap();
    let marked = || Put {
        mark: Some(".unigate".to_owned()),
        ..to(directory.path())
    };
    let away = put_file(marked()).await.unwrap_err();
    assert!(
        matches!(&away, PutError::Away { why, .. } if why.contains(".unigate is not in it")),
        "{away}"
    );
    assert!(check(directory.path(), Some(".unigate")).is_err());
    assert!(names(directory.path()).is_empty(), "nothing for nobody to find");
    fs::write(directory.path().join(".unigate"), "").unwrap();
    check(directory.path(), Some(".unigate")).unwrap();
    put_file(marked()).await.unwrap();
    assert_eq!(names(directory.path()), [".unigate", "gvk-main-000001.csv"]);
}

#[tokio::test]
async fn a_directory_that_hangs_takes_no_further_writers() {
    let directory = tempfile::tempdir().unwrap();
    let lane = Lane::default();
    let hanging: Vec<_> = std::iter::from_fn(|| lane.writer()).collect();
    assert_eq!(hanging.len(), crate::lanes::PLACES);
    let chunks = || stream::iter([Ok::<_, Infallible>(Bytes::from_static(FILE))]);
    let refused = put(&lane, to(directory.path()), chunks()).await.unwrap();
    assert!(matches!(refused, Err(PutError::Away { .. })));
    drop(hanging);
    put(&lane, to(directory.path()), chunks()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_directory_that_hangs_is_away_and_has_few_threads_in_it_until_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let lane = Lane::default();
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let chunks = || stream::iter([Ok::<_, Infallible>(Bytes::from_static(FILE))]);
    let patience = Duration::from_millis(50);
    let hanging = put_by(&lane, to(directory.path()), chunks(), patience, move |what, chunks| {
        let _ = held.recv();
        write(what, chunks)
    });
    let away = hanging.await.unwrap().unwrap_err();
    assert!(
        matches!(&away, PutError::Away { why, .. } if why.contains("no end after")),
        "{away}"
    );
    assert!(!away.is_final());
    let others: Vec<_> = std::iter::from_fn(|| lane.writer()).collect();
    let second = put(&lane, to(directory.path()), chunks()).await.unwrap().unwrap_err();
    assert!(
        matches!(&second, PutError::Away { why, .. } if why.contains("it hangs")),
        "{second}"
    );
    drop((go_on, others));
    let mut back = put(&lane, to(directory.path()), chunks()).await.unwrap();
    // The one that hung goes on, and takes what was begun since for something that was left there.
    while let Err(error) = back {
        assert!(!error.is_final(), "{error}");
        tokio::task::yield_now().await;
        back = put(&lane, to(directory.path()), chunks()).await.unwrap();
    }
    assert_eq!(fs::read(directory.path().join("gvk-main-000001.csv")).unwrap(), FILE);
}
