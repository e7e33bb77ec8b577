//! Where large files go, as an operator says it.

use secrecy::SecretString;

/// What is kept outside of the database, and where.
#[derive(Clone, Debug)]
pub struct ArtifactSettings {
    /// `UNIGATE_ARTIFACTS_URL`: `file:///absolute/directory`, or `s3://bucket/prefix`. None = everything is in the database.
    pub url: Option<String>,
    /// `UNIGATE_ARTIFACTS_ABOVE_BYTES`: files of more bytes go there, 0 to [`Self::ABOVE_MOST`]; so much of one is held in
    /// memory while it is built.
    pub above_bytes: usize,
    /// How S3-compatible storage is reached.
    pub s3: S3Settings,
}

/// How S3-compatible storage is reached.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// `UNIGATE_ARTIFACTS_S3_ENDPOINT`: `https://storage.example.org`; none = AWS, by the region. `http://` for tests and
    /// closed networks.
    pub endpoint: Option<String>,
    /// `UNIGATE_ARTIFACTS_S3_REGION`.
    pub region: String,
    /// `UNIGATE_ARTIFACTS_S3_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `UNIGATE_ARTIFACTS_S3_SECRET_ACCESS_KEY`.
    pub secret_access_key: Option<SecretString>,
}

impl ArtifactSettings {
    /// What `above_bytes` is unless said otherwise.
    pub const ABOVE_DEFAULT: usize = 1024 * 1024;
    /// The most it may be: a process builds several files at a time.
    pub const ABOVE_MOST: usize = 8 * 1024 * 1024;
}

impl Default for ArtifactSettings {
    fn default() -> Self {
        Self {
            url: None,
            above_bytes: Self::ABOVE_DEFAULT,
            s3: S3Settings {
                endpoint: None,
                region: "us-east-1".to_owned(),
                access_key_id: None,
                secret_access_key: None,
            },
        }
    }
}

/// Settings that can never work.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {why}")]
pub struct ArtifactSettingsError {
    /// The variable.
    pub name: &'static str,
    /// What is wrong with it, without its value where that is secret.
    pub why: String,
}

impl ArtifactSettingsError {
    pub(crate) fn new(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, why: why.into() }
    }
}
