//! The mail relay, and the vault with its identity.

use std::time::Duration;

use cards::vault::{self, VaultError};
use mailer::relay::Relay;
use runtime::Settings;

use super::Findings;
use crate::operator::Operator;

/// A relay that says nothing for so long is taken for dead.
const MAIL_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects and logs in, and sends nothing.
pub(super) async fn look_at_mail(settings: &Settings, findings: &mut Findings) {
    let Some(url) = &settings.smtp_url else {
        findings.warn(
            "mail",
            "UNIGATE_SMTP_URL is not set: registers are built and wait",
            "set it where the mailer runs",
        );
        return;
    };
    let relay = match Relay::from_url(url) {
        Ok(relay) => relay.with_timeout(MAIL_TIMEOUT),
        Err(error) => {
            let form = "write smtp://[user:password@]host:port[?tls=none|starttls|required] or smtps://…";
            findings.fail("mail", format!("UNIGATE_SMTP_URL: {error}"), form);
            return;
        }
    };
    match relay.check().await {
        Ok(()) => findings.ok("mail", "the relay answers and lets us in"),
        Err(error) => findings.fail(
            "mail",
            error.to_string(),
            "is the relay running, and UNIGATE_SMTP_URL right?",
        ),
    }
}

/// Opens the vault with the identity that is here; makes neither.
pub(super) async fn look_at_vault(operator: &Operator, findings: &mut Findings) {
    let file = &operator.settings.vault_identity_file;
    match store::vault::recipients(&operator.store).await {
        Ok(Some(_)) => {}
        Ok(None) => {
            let advice = "start a cards worker, or run `unigate cards vault init` where it will run";
            findings.warn("vault", "there is none yet, so no card can come in", advice);
            return;
        }
        Err(error) => {
            findings.no_data("vault", &error);
            return;
        }
    }
    match vault::open_existing(&operator.store, &operator.settings).await {
        Ok(vault) => findings.ok(
            "vault",
            format!("version {}, {} opens it", vault.version(), vault.source()),
        ),
        Err(error @ VaultError::IdentityFile { .. }) if !file.exists() => findings.warn(
            "vault",
            error.to_string(),
            "right where no cards worker runs; where one does, put the identity file back from its copy",
        ),
        Err(error @ VaultError::Mismatch { .. }) => {
            findings.fail(
                "vault",
                error.to_string(),
                "put back the identity file that was made with this database's vault, or the one it was rotated to",
            );
        }
        Err(error @ VaultError::Forged { .. }) => {
            findings.fail("vault", error.to_string(), "find out who can write to this database");
        }
        Err(error) => findings.fail(
            "vault",
            error.to_string(),
            "make it readable by the cards worker, and nobody else",
        ),
    }
}
