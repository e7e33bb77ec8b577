//! Where the identities come from: a variable, or a file as `age-keygen` writes it, readable by its owner alone. Either may
//! hold several, a line each, as it does while the vault is rotated.

use std::fmt::Display;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use age::x25519::Identity;
use runtime::Settings;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::VaultError;

/// Where identities are to be found. The variable goes before the file.
#[derive(Clone, Debug)]
pub struct IdentitySource {
    file: PathBuf,
    variable: Option<SecretString>,
}

impl From<&Settings> for IdentitySource {
    fn from(settings: &Settings) -> Self {
        Self {
            file: settings.vault_identity_file.clone(),
            variable: settings.vault_identity.clone(),
        }
    }
}

impl From<&Path> for IdentitySource {
    fn from(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            variable: None,
        }
    }
}

impl From<&PathBuf> for IdentitySource {
    fn from(file: &PathBuf) -> Self {
        Self::from(file.as_path())
    }
}

impl Display for IdentitySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.variable {
            Some(_) => f.write_str("UNIGATE_VAULT_IDENTITY"),
            None => write!(f, "UNIGATE_VAULT_IDENTITY_FILE {}", self.file.display()),
        }
    }
}

impl IdentitySource {
    /// The identities, in their order; at least one.
    pub(super) fn read(&self) -> Result<Vec<Identity>, VaultError> {
        let text = match &self.variable {
            Some(text) => Zeroizing::new(text.expose_secret().to_owned()),
            None => Zeroizing::new(std::fs::read_to_string(&self.file).map_err(|error| self.wrong(error))?),
        };
        if self.variable.is_none() {
            self.warn_if_others_can_read();
        }
        let lines = text.lines().map(str::trim);
        let identities = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            // age's own words, which never repeat the text.
            .map(|line| line.parse().map_err(|why: &str| self.wrong(why)))
            .collect::<Result<Vec<Identity>, _>>()?;
        if identities.is_empty() {
            return Err(self.wrong("holds no identity"));
        }
        Ok(identities)
    }

    /// Reads them, or makes one where there is no file. The caller holds the lock under which vaults are made.
    pub(super) fn read_or_make(&self) -> Result<Vec<Identity>, VaultError> {
        if self.variable.is_some() || self.file.exists() {
            return self.read();
        }
        if let Some(directory) = self.file.parent() {
            std::fs::create_dir_all(directory).map_err(|error| self.wrong(error))?;
        }
        let identity = Identity::generate();
        let text = Zeroizing::new(format!(
            "# The identity of Unigate's card vault. Whoever has this file can open the cards; without it nobody can.\n{}",
            *lines_of(&identity)
        ));
        // Never over an existing file: it may be the only copy of another vault's identity.
        write_new(&self.file, &text, 0o600).map_err(|error| self.wrong(error))?;
        Ok(vec![identity])
    }

    /// Adds a new identity to the file. It is whole before and after, and its owner and rights stay.
    pub(super) fn add(&self) -> Result<Identity, VaultError> {
        if self.variable.is_some() {
            return Err(self.wrong(
                "a variable cannot be added to: make an identity with age-keygen, and name its public half with --recipient",
            ));
        }
        let identity = Identity::generate();
        self.append(&identity).map_err(|error| {
            self.wrong(format!(
                "{error}: a new identity cannot be added here; make one with age-keygen, and name its public half with \
                 --recipient"
            ))
        })?;
        Ok(identity)
    }

    fn append(&self, identity: &Identity) -> std::io::Result<()> {
        // What a link points to is replaced, not the link.
        let file = self.file.canonicalize()?;
        let before = Zeroizing::new(std::fs::read_to_string(&file)?);
        let owner = std::fs::metadata(&file)?;
        let text = Zeroizing::new(format!("{}\n{}", before.trim_end(), *lines_of(identity)));
        let mut draft = file.clone().into_os_string();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        // Left by somebody who was killed here: nobody has used it.
        let _ = std::fs::remove_file(&draft);
        write_new(&draft, &text, owner.permissions().mode() & 0o777)?;
        let replaced = chown(&draft, Some(owner.uid()), Some(owner.gid()))
            .and_then(|()| std::fs::rename(&draft, &file))
            .and_then(|()| keep_name(&file));
        if replaced.is_err() {
            let _ = std::fs::remove_file(&draft);
        }
        replaced
    }

    fn warn_if_others_can_read(&self) {
        let open = std::fs::metadata(&self.file).is_ok_and(|data| data.permissions().mode() & 0o077 != 0);
        if open {
            tracing::warn!(file = %self.file.display(), "the vault's identity file can be read by others: make it 0600");
        }
    }

    fn wrong(&self, why: impl ToString) -> VaultError {
        let why = why.to_string();
        match self.variable {
            Some(_) => VaultError::IdentityVariable { why },
            None => VaultError::IdentityFile {
                file: self.file.display().to_string(),
                why,
            },
        }
    }
}

fn lines_of(identity: &Identity) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "# public key: {}\n{}\n",
        identity.to_public(),
        identity.to_string().expose_secret()
    ))
}

fn write_new(file: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut opened = options.write(true).create_new(true).mode(mode).open(file)?;
    opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all())?;
    keep_name(file)
}

/// A file whose name is not on the disk yet is gone after a crash, and with an identity every card sealed to it.
fn keep_name(file: &Path) -> std::io::Result<()> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    std::fs::File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_variable(text: &str) -> IdentitySource {
        IdentitySource {
            file: "/nowhere".into(),
            variable: Some(text.into()),
        }
    }

    #[test]
    fn a_variable_holds_several_and_goes_before_the_file() {
        let (a, b) = (Identity::generate(), Identity::generate());
        let text = format!(
            "# mine\n{}\n\n {} \n",
            a.to_string().expose_secret(),
            b.to_string().expose_secret()
        );
        let read = of_variable(&text).read().unwrap();
        let public = |identities: &[Identity]| {
            let all = identities.iter().map(|one| one.to_public().to_string());
            all.collect::<Vec<_>>()
        };
        assert_eq!(public(&read), public(&[a, b]));
        let source = of_variable(&text);
        assert!(!format!("{source:?} {source}").contains("AGE-SECRET"));
        let cannot = source.add().err().unwrap().to_string();
        assert!(
            cannot.contains("age-keygen") && cannot.contains("UNIGATE_VAULT_IDENTITY:"),
            "{cannot}"
        );
    }

    #[test]
    fn what_is_no_identity_is_not_repeated() {
        for text in ["", "# nothing", "AGE-SECRET-KEY-1QQQ", "hunter2"] {
            let error = of_variable(text).read().err().unwrap().to_string();
            assert!(!error.contains("hunter2") && !error.contains("QQQ"), "{error}");
        }
    }

    #[test]
    fn a_new_identity_comes_into_the_file_with_its_rights() {
        let directory = std::env::temp_dir().join(format!("unigate-identity-{}", uuid::Uuid::new_v4()));
        let source = IdentitySource::from(directory.join("identity.txt").as_path());
        let first = source.read_or_make().unwrap();
        let link = directory.join("link.txt");
        std::os::unix::fs::symlink(&source.file, &link).unwrap();
        let second = IdentitySource::from(link.as_path()).add().unwrap();
        let read = source.read().unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].to_public(), first[0].to_public());
        assert_eq!(read[1].to_public(), second.to_public());
        assert!(link.is_symlink());
        let mode = std::fs::metadata(&source.file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2, "no draft is left");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
