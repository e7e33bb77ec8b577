//! S3-compatible storage: moto's server, which is not made of the code that talks to it here. What it holds is looked at
//! by requests of our own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use artifacts::{ArtifactError, ArtifactSettings, MARK, S3Settings};
use bytes::Bytes;
use secrecy::SecretString;
use store::artifacts::CHUNK_BYTES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::stand::{HOUR, LARGE, noise, on_stand, read, write};

const SECRET: &str = "sesame-0123456789";

/// The server, killed with the test.
struct Storage {
    address: SocketAddr,
    server: Child,
}

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Storage {
    /// Starts it, with a bucket called `registers`.
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let program = root.join(".data/tools/moto/bin/moto_server");
        let server = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; `scripts/tools test` installs it", program.display()));
        let storage = Self { address, server };
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), listens)
            .await
            .expect("moto listens");
        assert_eq!(storage.ask("PUT", "/registers").await.0, 200);
        storage
    }

    fn settings(&self) -> ArtifactSettings {
        ArtifactSettings {
            url: Some("s3://registers/of/2026".to_owned()),
            above_bytes: CHUNK_BYTES,
            s3: S3Settings {
                endpoint: Some(format!("http://{}", self.address)),
                region: "us-east-1".to_owned(),
                access_key_id: Some("AKIDEXAMPLE".to_owned()),
                secret_access_key: Some(SecretString::from(SECRET)),
            },
        }
    }

    async fn ask(&self, method: &str, target: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // Whoever is nobody reads no object; that a signature is right, moto does not ask.
        let credential = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request";
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: {credential}, SignedHeaders=host, Signature=0\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let ends = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        (status, answer.split_off(ends + 4))
    }

    /// The keys in the bucket but for marks, and how many uploads were begun and neither completed nor aborted.
    async fn holds(&self) -> (Vec<String>, usize) {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let listed = text(self.ask("GET", "/registers?list-type=2").await.1);
        let keys = listed.split("<Key>").skip(1);
        let keys = keys.map(|key| key.split_once("</Key>").unwrap().0.to_owned());
        let open = text(self.ask("GET", "/registers?uploads").await.1);
        let keys = keys.filter(|key| !key.ends_with(MARK));
        (keys.collect(), open.matches("<UploadId>").count())
    }
}

#[tokio::test]
async fn s3_keeps_what_is_large_under_its_hash() {
    on_stand(|stand| async move {
        let storage = Storage::start().await;
        let settings = storage.settings();
        assert!(!format!("{settings:?}").contains(SECRET));
        let artifacts = stand.artifacts(&settings);
        assert!(!format!("{artifacts:?}").contains(SECRET));
        let artifact = stand.keeps(&artifacts, Some("s3://registers/of/2026")).await;
        let key = format!("of/2026/{}-{}", hex::encode(artifact.finished.sha256), artifact.id);
        assert_eq!(storage.holds().await, (vec![key.clone()], 0));
        let (status, object) = storage.ask("GET", &format!("/registers/{key}")).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&object));
        assert!(object == noise(1, LARGE));
        assert_eq!(stand.sql("SELECT count(*) FROM artifact_chunk").await, "0");
    })
    .await;
}

#[tokio::test]
async fn what_is_given_up_is_aborted_and_what_is_nobodys_is_swept() {
    on_stand(|stand| async move {
        let storage = Storage::start().await;
        let artifacts = stand.artifacts(&storage.settings());
        let mut draft = artifacts.draft(Uuid::now_v7());
        for _ in 0..7 {
            draft.add(Bytes::from(noise(6, CHUNK_BYTES))).await.unwrap();
        }
        assert_eq!(storage.holds().await, (vec![], 1), "begun");
        draft.discard().await;
        assert_eq!(storage.holds().await, (vec![], 0), "aborted");

        let kept = stand.keeps(&artifacts, Some("s3://registers/of/2026")).await;
        write(&artifacts, &noise(5, LARGE)).await.unwrap();
        assert_eq!(storage.holds().await.0.len(), 2);
        assert_eq!(artifacts.sweep(HOUR).await.unwrap(), 0, "it is young");
        // Nobody can make an object older, but within a second or two it is older than nothing.
        let swept = async {
            let mut swept = 0;
            while swept < 2 {
                swept += artifacts.sweep(Duration::ZERO).await.unwrap();
            }
            swept
        };
        let swept = tokio::time::timeout(Duration::from_secs(30), swept).await;
        assert_eq!(swept.expect("it grows old"), 2, "its row and its object");
        assert_eq!(storage.holds().await.0.len(), 1);
        assert!(read(&artifacts, &kept.finished.sha256).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn storage_that_is_away_or_refuses_is_named_and_tried_again() {
    on_stand(|stand| async move {
        let storage = Storage::start().await;
        let mut settings = storage.settings();
        settings.url = Some("s3://nobodys".to_owned());
        let error = write(&stand.artifacts(&settings), &noise(8, LARGE)).await.unwrap_err();
        assert!(error.passes());
        let text = error.to_string();
        assert!(
            text.starts_with("s3://nobodys") && text.contains("NoSuchBucket"),
            "{text}"
        );
        assert!(!text.contains(SECRET));
        assert_eq!(stand.sql("SELECT count(*) FROM artifact").await, "0");
        let tried = stand.artifacts(&settings).check().await.unwrap_err().to_string();
        assert!(tried.contains("NoSuchBucket"), "{tried}");
        stand.artifacts(&storage.settings()).check().await.unwrap();
        assert_eq!(storage.holds().await, (vec![], 0), "nothing is left of a try");
    })
    .await;
}

#[tokio::test]
async fn a_bucket_of_another_installation_is_left_alone() {
    on_stand(|ours| async move {
        on_stand(|theirs| async move {
            let storage = Storage::start().await;
            let (we, they) = (
                ours.artifacts(&storage.settings()),
                theirs.artifacts(&storage.settings()),
            );
            let kept = theirs.keeps(&they, Some("s3://registers/of/2026")).await;
            let held = storage.holds().await;
            for refused in [
                we.sweep(Duration::ZERO).await.map(drop),
                write(&we, &noise(3, LARGE)).await.map(drop),
                we.check().await,
            ] {
                let error = refused.unwrap_err();
                assert!(matches!(error, ArtifactError::Foreign { .. }), "{error}");
                assert!(error.to_string().starts_with("s3://registers/of/2026"), "{error}");
            }
            assert_eq!(storage.holds().await, held);
            // Another prefix of the same bucket is another place.
            let mut beside = storage.settings();
            beside.url = Some("s3://registers/ours".to_owned());
            ours.keeps(&ours.artifacts(&beside), Some("s3://registers/ours")).await;
            assert!(read(&they, &kept.finished.sha256).await.is_ok());
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_bucket_around_the_place_of_another_installation_takes_nothing_of_it() {
    on_stand(|ours| async move {
        on_stand(|theirs| async move {
            let storage = Storage::start().await;
            let mut around = storage.settings();
            around.url = Some("s3://registers".to_owned());
            let (we, they) = (ours.artifacts(&around), theirs.artifacts(&storage.settings()));
            ours.keeps(&we, Some("s3://registers")).await;
            let kept = theirs.keeps(&they, Some("s3://registers/of/2026")).await;
            storage.ask("PUT", &format!("/registers/{}", Uuid::now_v7())).await;
            write(&we, &noise(5, LARGE)).await.unwrap();
            assert_eq!(storage.holds().await.0.len(), 4);
            // Our row and our object, once they are older than nothing; by then so are the others.
            let mut swept = 0;
            let sweeps = async {
                while swept < 2 {
                    swept += we.sweep(Duration::ZERO).await.unwrap();
                }
            };
            tokio::time::timeout(Duration::from_secs(30), sweeps).await.unwrap();
            assert_eq!(storage.holds().await.0.len(), 3);
            assert!(read(&they, &kept.finished.sha256).await.is_ok());
        })
        .await;
    })
    .await;
}
