//! The identity's file: an age identity as `age-keygen` writes it, readable by its owner alone.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use age::x25519::Identity;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::VaultError;

/// Reads the identity.
pub(super) fn read(file: &Path) -> Result<Identity, VaultError> {
    let text = Zeroizing::new(std::fs::read_to_string(file).map_err(|error| wrong(file, error))?);
    warn_if_others_can_read(file);
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    line.ok_or_else(|| wrong(file, "holds no identity"))?
        .parse()
        // age's own words, which never repeat the text.
        .map_err(|why: &str| wrong(file, why))
}

/// Reads the identity, or makes one where there is no file. The caller holds the lock under which vaults are made.
pub(super) fn read_or_make(file: &Path) -> Result<Identity, VaultError> {
    if file.exists() { read(file) } else { make(file) }
}

fn make(file: &Path) -> Result<Identity, VaultError> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).map_err(|error| wrong(file, error))?;
    }
    let identity = Identity::generate();
    let secret = identity.to_string();
    // Never over an existing file: it may be the only copy of another vault's identity.
    let mut options = std::fs::OpenOptions::new();
    let mut opened = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(|error| wrong(file, error))?;
    let text = Zeroizing::new(format!(
        "# The identity of Unigate's card vault. Whoever has this file can open the cards; without it nobody can.\n\
         # public key: {}\n{}\n",
        identity.to_public(),
        secret.expose_secret()
    ));
    opened
        .write_all(text.as_bytes())
        .and_then(|()| opened.sync_all())
        .map_err(|error| wrong(file, error))?;
    Ok(identity)
}

fn warn_if_others_can_read(file: &Path) {
    let open = std::fs::metadata(file).is_ok_and(|data| data.permissions().mode() & 0o077 != 0);
    if open {
        tracing::warn!(file = %file.display(), "the vault's identity file can be read by others: make it 0600");
    }
}

fn wrong(file: &Path, why: impl ToString) -> VaultError {
    VaultError::IdentityFile {
        file: file.display().to_string(),
        why: why.to_string(),
    }
}
