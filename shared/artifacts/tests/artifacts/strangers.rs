//! What lies in a place of ours or below it and is not ours: another installation's place, another program's files.

use artifacts::{ArtifactSettings, Artifacts};
use uuid::Uuid;

use crate::directory::{Directory, list, made_two_hours_ago};
use crate::stand::{HOUR, LARGE, noise, on_stand, read, write};

#[tokio::test]
async fn what_lies_below_or_is_called_otherwise_is_left_alone() {
    on_stand(|ours| async move {
        on_stand(|theirs| async move {
            let around = Directory::new();
            let staging = around.0.join("staging");
            let below = ArtifactSettings {
                url: Some(format!("file://{}", staging.display())),
                ..around.settings()
            };
            let they: Artifacts = theirs.artifacts(&below);
            // Neither does what was there first keep us out.
            let kept = theirs.keeps(&they, below.url.as_deref()).await;
            let we = ours.artifacts(&around.settings());
            ours.keeps(&we, Some(&around.url())).await;

            let strangers = [
                around.0.join(Uuid::now_v7().to_string()),
                around.0.join(format!("scan-{}", Uuid::now_v7())),
                around.0.join("unfinished/notes#1"),
                around.0.join(format!("uploads/{}", Uuid::now_v7())),
                staging.join(format!("unfinished/{}", Uuid::now_v7())),
            ];
            for path in &strangers {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "not ours").unwrap();
                made_two_hours_ago(path);
            }
            around.two_hours_later();
            for name in list(&staging) {
                made_two_hours_ago(&staging.join(name));
            }
            assert_eq!(we.sweep(HOUR).await.unwrap(), 0);
            // And what is ours still goes.
            write(&we, &noise(2, LARGE)).await.unwrap();
            ours.two_hours_later().await;
            around.two_hours_later();
            assert_eq!(we.sweep(HOUR).await.unwrap(), 2, "a row and its file");

            assert!(strangers.iter().all(|path| path.exists()), "{strangers:?}");
            assert!(read(&they, &kept.finished.sha256).await.is_ok());
        })
        .await;
    })
    .await;
}
