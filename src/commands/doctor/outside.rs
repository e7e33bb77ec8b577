//! Mail relays, directories of payees, where large files lie, and the vault with its identity.

use std::io::ErrorKind;
use std::time::Duration;

use artifacts::{ArtifactError, Artifacts};
use cards::vault::{self, VaultError};
use databases::trying::{self, Severity};
use domain::declaration::{DirectoryProfile, MailProfile, Payee};
use mailer::directory::PutError;
use mailer::relay::{Relay, SendError};
use runtime::Settings;
use store::declarations::Declarations;
use store::{Store, StoreError, mailings};

use super::Findings;
use crate::operator::Operator;

/// A relay that says nothing for so long is taken for dead.
const MAIL_TIMEOUT: Duration = Duration::from_secs(10);
/// And what a payee's file is on.
const FILE_TIMEOUT: Duration = Duration::from_secs(10);
/// So is a place for files.
const ARTIFACTS_TIMEOUT: Duration = Duration::from_secs(10);

/// Looks at the sender; connects to the relay and logs in, and sends nothing.
pub(super) async fn look_at_mail(settings: &Settings, findings: &mut Findings) {
    if let Err(error) = mailer::check_from(settings) {
        findings.fail("mail", error.to_string(), "write an address, or a name and <address>");
    }
    match mailer::relay_of(settings) {
        Ok(Some(relay)) => {
            let checked = try_relay(relay).await;
            note(
                findings,
                "mail",
                checked,
                "is the relay running, and UNIGATE_SMTP_URL right?",
            );
        }
        Ok(None) => findings.warn(
            "mail",
            "UNIGATE_SMTP_URL is not set: registers are built and wait",
            "set it where the mailer runs",
        ),
        Err(error) => {
            let form = "write smtp://[user:password@]host:port[?tls=none|starttls|required] or smtps://…";
            findings.fail("mail", error.to_string(), form);
        }
    }
}

async fn try_relay(relay: Relay) -> Result<(), SendError> {
    relay.with_timeout(MAIL_TIMEOUT).check().await
}

fn note(findings: &mut Findings, check: &str, checked: Result<(), SendError>, advice: &str) {
    match checked {
        Ok(()) => findings.ok(check, "the relay answers and lets us in"),
        Err(error) => findings.fail(check, error.to_string(), advice),
    }
}

/// Relays and directories of payees, as a mailer would use them from here; what several share is looked at once.
pub(super) async fn look_at_deliveries(all: &Declarations, findings: &mut Findings) {
    let mut payees: Vec<&Payee> = all.payees.values().map(|declared| &*declared.value).collect();
    payees.retain(|payee| !payee.retired);
    payees.sort_by(|left, right| left.id.cmp(&right.id));
    let (mut relays, mut directories): (Vec<MailProfile>, Vec<DirectoryProfile>) = (Vec::new(), Vec::new());
    for payee in payees {
        let Some(register) = &payee.register else { continue };
        // A series may have a relay or directory of its own.
        for series in register.series_names().filter_map(|name| register.of_series(name)) {
            if let Some(mail) = series.mail
                && mail.relay.is_some()
                && !relays.iter().any(|known| same_relay(known, &mail))
            {
                let advice = "is it running, and register.mail of the payee right? right where no mailer runs";
                note(findings, &format!("mail of {}", payee.id), try_own(&mail).await, advice);
                relays.push(mail);
            }
            if let Some(directory) = series.directory
                && !directories.contains(&directory)
            {
                look_at_directory(&format!("directory of {}", payee.id), &directory, findings);
                directories.push(directory);
            }
        }
    }
}

fn same_relay(one: &MailProfile, two: &MailProfile) -> bool {
    (&one.relay, &one.relay_password, &one.relay_ca) == (&two.relay, &two.relay_password, &two.relay_ca)
}

fn look_at_directory(check: &str, declared: &DirectoryProfile, findings: &mut Findings) {
    let path = declared.path.display();
    match mailer::directory::check(&declared.path, declared.mark.as_deref()) {
        Ok(()) => findings.ok(check, format!("{path} can be written to")),
        Err(error @ PutError::Away { .. }) => findings.warn(
            check,
            error.to_string(),
            "right where no mailer runs; where one does, make or mount it, with its mark in it",
        ),
        Err(error) => findings.fail(check, error.to_string(), "let the mailer's user write to it"),
    }
}

async fn try_own(profile: &MailProfile) -> Result<(), SendError> {
    match mailer::own_relay(profile)? {
        Some(relay) => try_relay(relay).await,
        None => Ok(()),
    }
}

/// Files of payees, read from here as a databases worker would; what cannot be had here at all is told of elsewhere.
pub(super) async fn look_at_files(all: &Declarations, findings: &mut Findings) {
    let has_file = |payee: &&Payee| payee.databases.as_ref().is_some_and(|profile| profile.file.is_some());
    let mut payees: Vec<&Payee> = all.payees.values().map(|declared| &*declared.value).collect();
    payees.retain(|payee| !payee.retired && has_file(payee) && trying::complete(payee).is_ok());
    payees.sort_by(|left, right| left.id.cmp(&right.id));
    for payee in payees {
        let check = format!("file of {}", payee.id);
        let wrong = match tokio::time::timeout(FILE_TIMEOUT, trying::check_config(payee)).await {
            Ok(looked) => looked
                .into_iter()
                .find(|one| one.severity == Severity::Error)
                .map(|one| one.text),
            Err(_) => Some(format!("has not been read within {FILE_TIMEOUT:?}")),
        };
        match wrong {
            None => findings.ok(check, "can be read and used"),
            Some(why) => findings.warn(
                check,
                why,
                format!(
                    "right where no databases worker runs; where one does, what was read before stays until it is mended: \
                     `unigate databases check-config {}`",
                    payee.id
                ),
            ),
        }
    }
}

/// Relays and directories through which registers do not get out.
pub(super) async fn look_at_unmailed(store: &Store, findings: &mut Findings) -> Result<(), StoreError> {
    let lanes = mailings::unmailed(store).await?;
    for lane in lanes.iter().filter(|lane| lane.late > 0) {
        let what = mailings::lane_in_words(&lane.lane, &lane.payee);
        let (late, oldest) = (lane.late, lane.oldest.strftime("%F %T UTC"));
        let error = lane.last_error.as_deref().unwrap_or("nobody has tried");
        findings.warn(
            "unmailed",
            format!("{what}: {late} wait for more than six hours, the oldest since {oldest}: {error}"),
            "is a mailer running? mend what it says; `registers show ID` has every recipient",
        );
    }
    Ok(())
}

/// Writes where large files of registers go, and leaves nothing there.
pub(super) async fn look_at_artifacts(artifacts: &Artifacts, findings: &mut Findings) {
    let Some(place) = artifacts.place() else {
        findings.ok("artifacts", "all files of registers lie in the database");
        return;
    };
    let told = |error: ArtifactError| match error {
        ArtifactError::Damaged(_) => format!("{place}: what is read there is not what was written"),
        error => error.to_string(),
    };
    match tokio::time::timeout(ARTIFACTS_TIMEOUT, artifacts.check()).await {
        Ok(Ok(())) => findings.ok("artifacts", format!("{place} can be written to and read")),
        Ok(Err(ArtifactError::Directory { source, .. })) if source.kind() == ErrorKind::NotFound => findings.warn(
            "artifacts",
            format!("{place} is not there"),
            "right where no registers are built or mailed; where they are, make or mount it",
        ),
        Ok(Err(error)) => findings.fail(
            "artifacts",
            told(error),
            "is UNIGATE_ARTIFACTS_URL right, and may this user write there?",
        ),
        Err(_) => findings.fail(
            "artifacts",
            format!("{place}: no answer within {ARTIFACTS_TIMEOUT:?}"),
            "is the storage there, and UNIGATE_ARTIFACTS_S3_ENDPOINT right?",
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
