//! `UNIGATE_ARTIFACTS_…`: where built files go that are too large for the database.

use artifacts::{ArtifactSettings, S3Settings};
use secrecy::SecretString;

use super::{File, SettingsError, parsed, wrong};

pub(super) fn read(
    file: &File,
    get: impl Fn(&str, &Option<String>) -> Option<String>,
) -> Result<ArtifactSettings, SettingsError> {
    const ABOVE: &str = "UNIGATE_ARTIFACTS_ABOVE_BYTES";
    let default = ArtifactSettings::default();
    let above_bytes = parsed(ABOVE, get(ABOVE, &file.artifacts_above_bytes), default.above_bytes)?;
    if above_bytes > ArtifactSettings::ABOVE_MOST {
        return Err(wrong(
            ABOVE,
            format!("must be from 0 to {}", ArtifactSettings::ABOVE_MOST),
        ));
    }
    Ok(ArtifactSettings {
        url: get("UNIGATE_ARTIFACTS_URL", &file.artifacts_url),
        above_bytes,
        s3: S3Settings {
            endpoint: get("UNIGATE_ARTIFACTS_S3_ENDPOINT", &file.artifacts_s3_endpoint),
            region: get("UNIGATE_ARTIFACTS_S3_REGION", &file.artifacts_s3_region).unwrap_or(default.s3.region),
            access_key_id: get("UNIGATE_ARTIFACTS_S3_ACCESS_KEY_ID", &file.artifacts_s3_access_key_id),
            secret_access_key: get(
                "UNIGATE_ARTIFACTS_S3_SECRET_ACCESS_KEY",
                &file.artifacts_s3_secret_access_key,
            )
            .map(SecretString::from),
        },
    })
}
