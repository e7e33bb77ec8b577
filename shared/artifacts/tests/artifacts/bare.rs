//! A directory that is not mounted: what is there in its stead is empty.

use artifacts::{ArtifactError, MARK};

use crate::directory::Directory;
use crate::stand::{HOUR, LARGE, noise, on_stand, read, write};

#[tokio::test]
async fn a_directory_that_is_not_mounted_is_neither_claimed_nor_written_to() {
    on_stand(|stand| async move {
        let directory = Directory::new();
        let running = stand.artifacts(&directory.settings());
        let kept = stand.keeps(&running, Some(&directory.url())).await;

        let elsewhere = Directory::new();
        std::fs::rename(&directory.0, &elsewhere.0).unwrap();
        std::fs::create_dir(&directory.0).unwrap();
        let begun_since = stand.artifacts(&directory.settings());
        for artifacts in [&running, &begun_since] {
            for refused in [
                write(artifacts, &noise(2, LARGE)).await.map(drop),
                artifacts.sweep(HOUR).await.map(drop),
                artifacts.check().await,
            ] {
                let error = refused.unwrap_err();
                assert!(matches!(error, ArtifactError::Bare { files: 1, .. }), "{error}");
                assert!(error.passes());
                let told = format!("{}: 1 files should lie here", directory.url());
                assert!(error.to_string().starts_with(&told), "{error}");
            }
        }
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0);
        assert_eq!(stand.sql("SELECT count(*) FROM artifact").await, "1");

        // It is mounted again.
        std::fs::remove_dir(&directory.0).unwrap();
        std::fs::rename(&elsewhere.0, &directory.0).unwrap();
        running.check().await.unwrap();
        let second = write(&running, &noise(2, LARGE)).await.unwrap();
        stand.name(&[&second]).await;
        assert!(read(&begun_since, &kept.finished.sha256).await.is_ok());

        // A mark without any file of ours is one that somebody swept, or put there by hand as the error says.
        std::fs::remove_dir_all(&directory.0).unwrap();
        std::fs::create_dir(&directory.0).unwrap();
        let lost = write(&running, &noise(3, LARGE)).await.unwrap_err().to_string();
        let (_, id) = lost.rsplit_once(" say ").unwrap();
        std::fs::write(directory.0.join(MARK), id).unwrap();
        write(&running, &noise(3, LARGE)).await.unwrap();
        running.check().await.unwrap();
    })
    .await;
}
