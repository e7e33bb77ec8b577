//! How S3-compatible storage is spoken to.

use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ClientOptions, RetryConfig};
use secrecy::ExposeSecret;

use crate::{ArtifactSettings, ArtifactSettingsError};

/// How long storage may say nothing while a request is under way. One that goes on answering may take as long as it takes: a
/// large file over a slow line is many minutes.
pub(crate) const SILENT_FOR: Duration = Duration::from_secs(60);
/// How long a request is repeated.
pub(crate) const REPEATED_FOR: Duration = Duration::from_secs(60);

/// The storage of these settings, which may be `silent_for` so long.
pub(crate) fn storage(
    bucket: &str,
    settings: &ArtifactSettings,
    silent_for: Duration,
) -> Result<AmazonS3, ArtifactSettingsError> {
    let missing = |name| ArtifactSettingsError::new(name, "is missing, and UNIGATE_ARTIFACTS_URL is s3://");
    let s3 = &settings.s3;
    let id = s3.access_key_id.as_ref();
    let id = id.ok_or_else(|| missing("UNIGATE_ARTIFACTS_S3_ACCESS_KEY_ID"))?;
    let secret = s3.secret_access_key.as_ref();
    let secret = secret.ok_or_else(|| missing("UNIGATE_ARTIFACTS_S3_SECRET_ACCESS_KEY"))?;
    let options = ClientOptions::new()
        .with_timeout_disabled()
        .with_read_timeout(silent_for);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&s3.region)
        .with_access_key_id(id)
        .with_secret_access_key(secret.expose_secret())
        .with_client_options(options)
        .with_retry(RetryConfig {
            retry_timeout: REPEATED_FOR,
            ..RetryConfig::default()
        });
    if let Some(endpoint) = &s3.endpoint {
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http://"));
    }
    let built = builder.build();
    built.map_err(|error| ArtifactSettingsError::new("UNIGATE_ARTIFACTS_S3_ENDPOINT", error.to_string()))
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;
    use object_store::path::Path;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::S3Settings;

    const SILENT: Duration = Duration::from_secs(2);
    /// Together twice as long as nothing may be heard for.
    const PIECES: u32 = 40;
    const EVERY: Duration = Duration::from_millis(100);

    /// Gives an object of so many bytes, one at a time, and then keeps the line open.
    async fn drip(mut client: TcpStream, length: u32) {
        let mut request = [0; 4096];
        let _ = client.read(&mut request).await.unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nLast-Modified: Sat, 28 Nov 2026 00:00:00 GMT\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let mut ticks = tokio::time::interval(EVERY);
        for _ in 0..PIECES {
            ticks.tick().await;
            client.write_all(b"x").await.unwrap();
        }
        // Ends when the reader goes.
        let _ = client.read(&mut request).await;
    }

    #[tokio::test]
    async fn an_object_is_read_as_long_as_it_comes_and_silence_ends_it() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = ArtifactSettings {
            s3: S3Settings {
                endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
                region: "us-east-1".to_owned(),
                access_key_id: Some("id".to_owned()),
                secret_access_key: Some("secret".to_owned().into()),
            },
            ..ArtifactSettings::default()
        };
        let storage = storage("registers", &settings, SILENT).unwrap();
        for (length, comes_whole) in [(PIECES, true), (PIECES + 1, false)] {
            let read = async {
                let found = storage.get(&Path::from("large")).await.unwrap();
                let pieces: Result<Vec<bytes::Bytes>, _> = found.into_stream().try_collect().await;
                pieces.map(|pieces| pieces.concat().len())
            };
            let serve = async {
                let (client, _) = listener.accept().await.unwrap();
                drip(client, length).await;
            };
            let (read, ()) = tokio::join!(read, serve);
            assert_eq!(read.ok(), comes_whole.then_some(PIECES as usize), "of {length}");
        }
    }
}
