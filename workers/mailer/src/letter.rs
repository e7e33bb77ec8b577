//! A register's mail put together: what the payee's profile has it say, in a frame for its file.

use domain::declaration::{MailProfile, Recipient, Zone};
use domain::letter::{self, Letter as About, Part};
use domain::{Currency, Invalid};
use store::mailings::{Letter, Mailing};

use crate::message::{MessageError, RegisterMail, mailbox};

/// Why a mail cannot be written. None of these passes by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LetterError {
    /// The register's currency is not known.
    #[error("the register's currency is not known")]
    Currency(#[source] Invalid),
    /// What is in it makes no mail.
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// Writes it: the texts as they were declared when the register was closed, the sender as it is declared now.
pub(crate) fn write(mailing: &Mailing, usual_from: &str) -> Result<Letter, LetterError> {
    let about = &mailing.summary;
    let register = mailing.payee.register.as_ref();
    let zone = register.map_or_else(Zone::utc, |profile| profile.time_zone.clone());
    let texts = register.and_then(|profile| profile.mail.clone()).unwrap_or_default();
    // A register that is one file says nothing of parts.
    let part = (mailing.part.parts > 1).then_some(Part {
        number: mailing.part.part,
        of: mailing.part.parts,
    });
    let letter = About {
        payee: about.payee.as_str(),
        name: &mailing.payee.name,
        series: &about.series,
        sequence: about.sequence,
        is_copy: about.is_copy,
        open: about.open,
        part,
        count: mailing.part.count,
        total: mailing.part.total,
        currency: Currency::parse(&about.currency).map_err(LetterError::Currency)?,
        accepted: (about.first_accepted_at, about.last_accepted_at),
        zone: &zone,
        file_name: &mailing.file_name,
        file_bytes: mailing.bytes,
        register_id: about.register_id,
    };
    let written = letter::write(texts.templates(), &letter);
    if let Some(error) = &written.fallback {
        tracing::warn!(payee = %about.payee, %error, "a template of mails failed; the ready text stands in for it");
        metrics::counter!("unigate_mail_templates_failed_total").increment(1);
    }
    let to = named(mailing);
    let mail_from = own_from(mailing.profile.as_ref()).unwrap_or(usual_from);
    let mail = RegisterMail {
        message_id: &mailing.message_id,
        from: mail_from,
        to: &to,
        date: mailing.built_at,
        subject: &written.subject,
        body: &written.body,
        register: about,
        part,
        holds: (mailing.part.count, mailing.part.total),
        file_name: &mailing.file_name,
    };
    let frame = mail.to_frame()?;
    Ok(Letter {
        mail_from: mail_from.to_owned(),
        head: frame.head,
        tail: frame.tail,
    })
}

/// Whom the mail names. All get the same bytes, so nobody's address may make it one that other relays do not take: one that
/// no mail can have keeps the register from nobody but its owner, and one that needs SMTPUTF8 is named only if no other is.
fn named(mailing: &Mailing) -> Vec<String> {
    let is_plain = |to: &&String| is_address(to) && mailbox(to).is_ok_and(|to| to.email.user().is_ascii());
    let mut named: Vec<String> = mailing.to.iter().filter(is_plain).cloned().collect();
    let own = &mailing.recipient;
    // Sent on demand to somebody else, or to somebody in another's place; or one that makes no mail, which is to be said.
    let stays_out = mailbox(own).is_ok_and(|own| !own.email.user().is_ascii());
    if named.is_empty() || !stays_out && !named.contains(own) {
        named.push(own.clone());
    }
    named
}

fn own_from(profile: Option<&MailProfile>) -> Option<&str> {
    profile.and_then(|profile| profile.from.as_deref())
}

fn is_address(to: &str) -> bool {
    matches!(Recipient::of(to), Recipient::Address(_))
}
