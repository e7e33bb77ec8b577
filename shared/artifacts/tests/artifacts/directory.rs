//! The database and a directory.

use std::path::{Path, PathBuf};

use artifacts::{ArtifactError, ArtifactSettings, Artifacts, MARK};
use bytes::Bytes;
use store::artifacts::{CHUNK_BYTES, Lies};
use uuid::Uuid;

use crate::stand::{HOUR, LARGE, noise, on_stand, read, write, write_into};

/// A directory that is taken away at the end.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        Self(std::env::temp_dir().join(format!("unigate-artifacts-{}", Uuid::new_v4().simple())))
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.0.display())
    }

    pub(crate) fn settings(&self) -> ArtifactSettings {
        ArtifactSettings {
            url: Some(self.url()),
            above_bytes: CHUNK_BYTES,
            ..ArtifactSettings::default()
        }
    }

    /// Names of the files in it, the unfinished ones too, but for its mark.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names = list(&self.0);
        names.extend(list(&self.0.join("unfinished")));
        names.retain(|name| name != MARK);
        names.sort();
        names
    }

    /// Makes every whole file in it two hours older.
    pub(crate) fn two_hours_later(&self) {
        for name in list(&self.0) {
            made_two_hours_ago(&self.0.join(name));
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn list(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().map(Result::unwrap);
    let files = entries.filter(|entry| entry.path().is_file());
    files.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

pub(crate) fn made_two_hours_ago(path: &Path) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let then = std::time::SystemTime::from(domain::clock::now() - 2 * HOUR);
    file.set_modified(then).unwrap();
}

#[tokio::test]
async fn the_database_keeps_files_of_any_size() {
    on_stand(|stand| async move {
        let artifacts = Artifacts::in_database(stand.store.clone());
        stand.keeps(&artifacts, None).await;
        // Small ones are stored with their name, several at once; the same bytes lie there once.
        let (a, b) = (noise(2, 10), noise(3, CHUNK_BYTES));
        let small = [
            write(&artifacts, &a).await.unwrap(),
            write(&artifacts, &b).await.unwrap(),
            write(&artifacts, &a).await.unwrap(),
        ];
        assert!(small.iter().all(|one| matches!(one.lies, Lies::Held(_))));
        assert_eq!(stand.sql("SELECT count(*) FROM artifact").await, "1");
        stand.name(&small.each_ref()).await;
        assert_eq!(stand.sql("SELECT count(*) FROM artifact").await, "3");
        assert!(read(&artifacts, &small[0].finished.sha256).await.unwrap() == a);
        assert!(read(&artifacts, &small[1].finished.sha256).await.unwrap() == b);
    })
    .await;
}

#[tokio::test]
async fn of_many_files_none_is_held_until_all_are_named() {
    on_stand(|stand| async move {
        let directory = Directory::new();
        let artifacts = stand.artifacts(&directory.settings());
        let mut all = Vec::new();
        for nth in 0..100 {
            let draft = artifacts.draft(Uuid::now_v7()).holding(false);
            all.push(write_into(draft, &noise(nth, 10)).await.unwrap());
        }
        assert!(all.iter().all(|one| one.lies == Lies::InChunks), "small ones stay here");
        assert_eq!(stand.sql("SELECT count(*) FROM artifact_chunk").await, "100");
        let tx = stand.store.begin().await.unwrap();
        store::artifacts::name(&tx, &all.iter().collect::<Vec<_>>())
            .await
            .unwrap();
        // The server has a limited number of locks, for everybody together.
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let held: i32 = stand.sql(locks).await.parse().unwrap();
        assert!((1..=32).contains(&held), "{held}");
        tx.commit().await.unwrap();
        assert!(read(&artifacts, &all[99].finished.sha256).await.unwrap() == noise(99, 10));
        // What is large goes out as ever.
        let large = write_into(artifacts.draft(Uuid::now_v7()).holding(false), &noise(1, LARGE)).await;
        assert_eq!(large.unwrap().lies, Lies::Outside(directory.url()));
    })
    .await;
}

#[tokio::test]
async fn a_directory_keeps_what_is_large_under_its_hash() {
    on_stand(|stand| async move {
        let directory = Directory::new();
        let artifacts = stand.artifacts(&directory.settings());
        let artifact = stand.keeps(&artifacts, Some(&directory.url())).await;
        let name = format!("{}-{}", hex::encode(artifact.finished.sha256), artifact.id);
        assert_eq!(directory.files(), [&*name]);
        assert!(std::fs::read(directory.0.join(&name)).unwrap() == noise(1, LARGE));
        assert_eq!(stand.sql("SELECT count(*) FROM artifact_chunk").await, "0");
        // Another process that is told of no directory says where the file is.
        let elsewhere = Artifacts::in_database(stand.store.clone());
        let error = read(&elsewhere, &artifact.finished.sha256).await.unwrap_err();
        assert!(
            error.to_string().contains(&directory.url()) && error.passes(),
            "{error}"
        );
        // What is small stays in the database.
        let small = write(&artifacts, b"small").await.unwrap();
        stand.name(&[&small]).await;
        assert_eq!(directory.files().len(), 1);
        assert_eq!(read(&artifacts, &small.finished.sha256).await.unwrap(), b"small");
    })
    .await;
}

#[tokio::test]
async fn a_damaged_file_is_not_taken_for_whole() {
    on_stand(|stand| async move {
        let directory = Directory::new();
        let artifacts = stand.artifacts(&directory.settings());
        let artifact = stand.keeps(&artifacts, Some(&directory.url())).await;
        let path = directory.0.join(&directory.files()[0]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[LARGE / 2] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = read(&artifacts, &artifact.finished.sha256).await.unwrap_err();
        assert!(matches!(error, ArtifactError::Damaged(_)) && !error.passes(), "{error}");
        std::fs::write(&path, &bytes[..LARGE - 1]).unwrap();
        assert!(read(&artifacts, &artifact.finished.sha256).await.is_err());
        // The same in the database.
        let inside = Artifacts::in_database(stand.store.clone());
        let held = write(&inside, b"held").await.unwrap();
        stand.name(&[&held]).await;
        stand.sql("UPDATE artifact_chunk SET data = 'hell'").await;
        let error = read(&inside, &held.finished.sha256).await.unwrap_err();
        assert!(matches!(error, ArtifactError::Damaged(_)), "{error}");
    })
    .await;
}

#[tokio::test]
async fn what_died_or_was_dropped_is_swept_away_and_nothing_else() {
    on_stand(|stand| async move {
        let directory = Directory::new();
        let artifacts = stand.artifacts(&directory.settings());
        let kept = stand.keeps(&artifacts, Some(&directory.url())).await;
        let foreign = directory.0.join("notes.txt");
        std::fs::write(&foreign, "not ours").unwrap();
        // Finished and never recorded; twice the same bytes; and one a process was killed over, staged and unnamed.
        let unrecorded = write(&artifacts, &noise(5, LARGE)).await.unwrap();
        let again = write(&artifacts, &noise(1, LARGE)).await.unwrap();
        stand.name(&[&again]).await;
        let staged = directory.0.join(format!("unfinished/{}#1", Uuid::now_v7()));
        std::fs::write(&staged, "half").unwrap();
        // A draft that is given up leaves nothing.
        let mut draft = artifacts.draft(Uuid::now_v7());
        for _ in 0..7 {
            draft.add(Bytes::from(noise(6, CHUNK_BYTES))).await.unwrap();
        }
        draft.discard().await;
        assert_eq!(directory.files().len(), 5, "{:?}", directory.files());
        assert_eq!(artifacts.sweep(HOUR).await.unwrap(), 0, "they are young");

        stand.two_hours_later().await;
        directory.two_hours_later();
        made_two_hours_ago(&staged);
        // A row and three files: the one of no row, the one whose bytes lay there already, the staged one.
        assert_eq!(artifacts.sweep(HOUR).await.unwrap(), 4);
        let name = format!("{}-{}", hex::encode(kept.finished.sha256), kept.id);
        assert_eq!(directory.files(), [&*name, "notes.txt"]);
        assert!(read(&artifacts, &unrecorded.finished.sha256).await.is_err());
        assert!(read(&artifacts, &kept.finished.sha256).await.is_ok());
        assert_eq!(artifacts.sweep(HOUR).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named_and_tried_again() {
    on_stand(|stand| async move {
        // Not even the system's administrator may make files there.
        for (url, why) in [
            ("file:///proc/unigate", "No such file"),
            ("file:///sys/unigate", "not permitted"),
            ("file:///dev/null/unigate", "Not a directory"),
        ] {
            let artifacts = stand.artifacts(&ArtifactSettings {
                url: Some(url.to_owned()),
                ..ArtifactSettings::default()
            });
            let error = write(&artifacts, &noise(7, LARGE)).await.unwrap_err();
            assert!(error.passes());
            let text = error.to_string();
            assert!(text.starts_with(url) && text.contains(why), "{text}");
            assert_eq!(stand.sql("SELECT count(*) FROM artifact").await, "0");
        }
    })
    .await;
}

#[tokio::test]
async fn settings_that_can_never_work_name_their_variable() {
    on_stand(|stand| async move {
        for (url, name, why) in [
            ("artifacts", "UNIGATE_ARTIFACTS_URL", "relative URL"),
            ("ftp://host/x", "UNIGATE_ARTIFACTS_URL", "file:// or s3://"),
            ("s3:///x", "UNIGATE_ARTIFACTS_URL", "bucket"),
            ("s3://bucket", "UNIGATE_ARTIFACTS_S3_ACCESS_KEY_ID", "missing"),
        ] {
            let settings = ArtifactSettings {
                url: Some(url.to_owned()),
                ..ArtifactSettings::default()
            };
            let error = Artifacts::new(stand.store.clone(), &settings).unwrap_err();
            assert_eq!(error.name, name, "{error}");
            assert!(error.why.contains(why), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_directory_is_tried_and_nothing_is_left_there() {
    on_stand(|stand| async move {
        let directory = Directory::new();
        let artifacts = stand.artifacts(&directory.settings());
        let missing = artifacts.check().await.unwrap_err();
        assert!(matches!(missing, ArtifactError::Directory { .. }), "{missing}");
        assert!(!directory.0.exists(), "a try makes none");
        std::fs::create_dir(&directory.0).unwrap();
        artifacts.check().await.unwrap();
        assert!(directory.files().is_empty(), "{:?}", directory.files());
        // What stands in the way of files.
        std::fs::remove_dir(directory.0.join("unfinished")).ok();
        std::fs::write(directory.0.join("unfinished"), "").unwrap();
        assert!(artifacts.check().await.is_err());
        assert_eq!(stand.sql("SELECT count(*) FROM artifact").await, "0");
    })
    .await;
}

#[tokio::test]
async fn files_of_another_installation_are_left_alone_and_ours_are_swept() {
    on_stand(|ours| async move {
        on_stand(|theirs| async move {
            let directory = Directory::new();
            let mark = directory.0.join(MARK);
            let (we, they) = (
                ours.artifacts(&directory.settings()),
                theirs.artifacts(&directory.settings()),
            );
            assert_eq!(we.sweep(HOUR).await.unwrap(), 0);
            assert!(!directory.0.exists(), "a sweep of nothing marks nothing");
            let kept = theirs.keeps(&they, Some(&directory.url())).await;
            let orphan = write(&they, &noise(2, LARGE)).await.unwrap();
            theirs.two_hours_later().await;
            directory.two_hours_later();

            let both = directory.files();
            assert_eq!(both.len(), 2);
            let marked = std::fs::read_to_string(&mark).unwrap();
            assert_eq!(
                marked.trim(),
                theirs.sql("SELECT installation_id FROM installation").await
            );
            // Neither deleted nor mixed with ours, also where whoever came first has left no mark.
            for has_mark in [true, false] {
                for refused in [
                    we.sweep(HOUR).await.map(drop),
                    write(&we, &noise(3, LARGE)).await.map(drop),
                ] {
                    let error = refused.unwrap_err();
                    assert!(
                        error.passes() && error.to_string().starts_with(&directory.url()),
                        "{error}"
                    );
                    assert!(matches!(error, ArtifactError::Foreign { .. }), "{error}");
                }
                assert_eq!(we.check().await.is_err(), has_mark);
                assert_eq!(directory.files(), both);
                std::fs::remove_file(&mark).ok();
            }
            assert_eq!(ours.sql("SELECT count(*) FROM artifact").await, "0");

            // They know a file of it, so it is theirs, and is marked again. The orphan's row and file go.
            they.check().await.unwrap();
            assert_eq!(they.sweep(HOUR).await.unwrap(), 2);
            assert_eq!(std::fs::read_to_string(&mark).unwrap(), marked);
            assert!(read(&they, &kept.finished.sha256).await.is_ok());
            assert!(read(&they, &orphan.finished.sha256).await.is_err());
            assert_eq!(directory.files().len(), 1);
        })
        .await;
    })
    .await;
}
