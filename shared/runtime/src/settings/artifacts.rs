//! `UNIGATE_ARTIFACTS_…`: where built files go that are too large for the database.

use artifacts::{ArtifactSettings, S3Settings};

use super::source::Source;
use super::{SettingsError, wrong};

pub(super) fn read(source: &Source<impl Fn(&str) -> Option<String>>) -> Result<ArtifactSettings, SettingsError> {
    const ABOVE: &str = "UNIGATE_ARTIFACTS_ABOVE_BYTES";
    let default = ArtifactSettings::default();
    let above_bytes = source.parsed(ABOVE, default.above_bytes)?;
    if above_bytes > ArtifactSettings::ABOVE_MOST {
        return Err(wrong(
            ABOVE,
            format!("must be from 0 to {}", ArtifactSettings::ABOVE_MOST),
        ));
    }
    Ok(ArtifactSettings {
        url: source.text("UNIGATE_ARTIFACTS_URL"),
        above_bytes,
        s3: S3Settings {
            endpoint: source.text("UNIGATE_ARTIFACTS_S3_ENDPOINT"),
            region: source.text("UNIGATE_ARTIFACTS_S3_REGION").unwrap_or(default.s3.region),
            access_key_id: source.text("UNIGATE_ARTIFACTS_S3_ACCESS_KEY_ID"),
            secret_access_key: source.secret("UNIGATE_ARTIFACTS_S3_SECRET_ACCESS_KEY"),
        },
    })
}
