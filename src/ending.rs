//! How a command ends, and what the caller's shell and the person before it are told.

use std::process::ExitCode;

use bus::BusError;
use cards::import::PgpKeyError;
use cards::vault::VaultError;
use mailer::StartError as MailerError;
use runtime::settings::SettingsError;

use crate::moment::BadMoment;
use crate::output;

/// It was done, but not with the result that was asked for, or not at all.
pub(crate) const FAILED: u8 = 1;
/// The arguments make no sense; said by clap, and of periods by us.
pub(crate) const WRONG_USAGE: u8 = 2;
/// A setting, a declaration or the vault's identity cannot be used.
const BAD_CONFIGURATION: u8 = 64;

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Done.
    Done,
    /// It printed what is not as it should be.
    Failed,
}

impl Ending {
    /// Done, if this holds.
    pub(crate) fn done_if(holds: bool) -> Self {
        if holds { Self::Done } else { Self::Failed }
    }
}

/// What a command returns.
pub(crate) type Outcome = anyhow::Result<Ending>;

/// Something the operator has written cannot be used: a line per thing that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct Misconfigured(pub(crate) Vec<String>);

/// Tells the error on standard error, and by the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    for line in told(error).lines() {
        output::note(line);
    }
    ExitCode::from(code_of(error))
}

/// An error with its sources. Many of ours name their source already; it is not said twice.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn code_of(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<BadMoment>()) {
        return WRONG_USAGE;
    }
    let configured = error.chain().any(|cause| {
        cause.is::<SettingsError>()
            || cause.is::<Misconfigured>()
            || cause.is::<MailerError>()
            || cause.is::<PgpKeyError>()
            || cause.downcast_ref().is_some_and(is_unusable_broker_setting)
            || cause.downcast_ref().is_some_and(is_unusable_identity)
    });
    if configured { BAD_CONFIGURATION } else { FAILED }
}

fn is_unusable_broker_setting(error: &BusError) -> bool {
    matches!(error, BusError::Url(_) | BusError::CaFile { .. })
}

fn is_unusable_identity(error: &VaultError) -> bool {
    matches!(
        error,
        VaultError::IdentityFile { .. }
            | VaultError::IdentityVariable { .. }
            | VaultError::Mismatch { .. }
            | VaultError::Unproven { .. }
            | VaultError::Forged { .. }
            | VaultError::Unopenable(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[derive(Debug, thiserror::Error)]
    #[error("the database cannot be used now: {0}")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn sources_are_told_once() {
        let error = anyhow::Error::new(Outer(std::io::Error::other("connection refused")));
        assert_eq!(told(&error), "the database cannot be used now: connection refused");
        let error = error.context("payees apply");
        assert_eq!(
            told(&error),
            "payees apply: the database cannot be used now: connection refused"
        );
    }

    #[test]
    fn what_the_operator_wrote_is_told_apart_from_what_failed() {
        let mismatch = VaultError::Mismatch {
            place: "UNIGATE_VAULT_IDENTITY".into(),
            own: "age1x".into(),
            version: 1,
            to: "age1y".into(),
        };
        let settings = SettingsError {
            name: "UNIGATE_HTTP_ADDRESS".into(),
            why: "no".into(),
        };
        assert_eq!(code_of(&anyhow::Error::new(mismatch)), BAD_CONFIGURATION);
        assert_eq!(
            code_of(&Err::<(), _>(settings).context("run").unwrap_err()),
            BAD_CONFIGURATION
        );
        assert_eq!(code_of(&anyhow::Error::new(BusError::NotConnected)), FAILED);
    }
}
