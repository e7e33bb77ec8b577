//! Mails built registers to their payees, or puts them into payees' directories, and mails alerts to whoever runs the
//! installation. The only crate that speaks SMTP.
//!
//! One mailing per register and recipient, kept in the database with the moment of its next try; all of them, on every
//! try, are the same bytes under the same Message-ID; so with alerts, which go together when they come close. This crate
//! never builds a register and never changes one.

mod clean;
mod courier;
pub mod directory;
mod gate;
mod lanes;
mod letter;
pub mod message;
mod notices;
pub mod relay;
mod waiting;

use std::path::PathBuf;
use std::time::Duration;

use bus::Queue;
use domain::declaration::RelayUrlError;
use runtime::{Context, Nudge, Settings, sweep};

pub use courier::{Away, Job, MailCourier, Report};
pub use lanes::own_relay;
use message::MessageError;
pub use notices::NoticeCourier;
use relay::Relay;
pub use waiting::tell_waiting;

/// How often somebody looks for payments that wait for a register for too long.
const LATE_INTERVAL: Duration = Duration::from_secs(60);

/// How often somebody looks for what waits for a person.
const WAITING_INTERVAL: Duration = Duration::from_secs(60);

/// Why the installation cannot send mail as it is set.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The sender, in which every mail would fail.
    #[error("UNIGATE_MAIL_FROM: {0}")]
    From(#[source] MessageError),
    /// Its URL.
    #[error("UNIGATE_SMTP_URL: {0}")]
    Url(#[from] RelayUrlError),
    /// The file of those whom it is trusted by.
    #[error("UNIGATE_SMTP_CA_FILE: {}: {source}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
}

/// Whether mails can have the installation's sender.
pub fn check_from(settings: &Settings) -> Result<(), StartError> {
    message::mailbox(&settings.mail_from)
        .map(drop)
        .map_err(StartError::From)
}

/// The installation's relay, connected to nothing yet; `None` where there is none.
pub fn relay_of(settings: &Settings) -> Result<Option<Relay>, StartError> {
    let Some(url) = &settings.smtp_url else { return Ok(None) };
    let ca = settings.smtp_ca_file.as_ref().map(|path| {
        std::fs::read_to_string(path).map_err(|source| StartError::Ca {
            path: path.clone(),
            source,
        })
    });
    Ok(Some(Relay::from_url(url)?.with_ca(ca.transpose()?)))
}

/// Starts the worker. Refuses a sender or settings of the relay that cannot be used; without a relay it says so once, and
/// mails wait.
pub fn start(context: &Context) -> Result<(), StartError> {
    let settings = &context.settings;
    check_from(settings)?;
    sweep::on_wake_up(context, Queue::MailerWake, Nudge::Mails);
    let courier = MailCourier::new(
        context.store.clone(),
        context.artifacts.clone(),
        relay_of(settings)?,
        settings.mail_from.clone(),
    );
    runtime::courier::spawn(context, courier);
    let (to, pause) = (settings.alert_mail_to.clone(), settings.alert_mail_pause);
    // A relay each: a register of many megabytes under way keeps no alert waiting.
    let relay = relay_of(settings)?;
    let alerts = NoticeCourier::new(context.store.clone(), relay, settings.mail_from.clone(), to, pause);
    runtime::courier::spawn(context, alerts);
    sweep::every(context, "registers.late", LATE_INTERVAL, |context| async move {
        if runtime::tell_late_registers(&context.store).await? > 0 {
            context.nudge(Nudge::Notices);
        }
        Ok(())
    });
    sweep::every(context, "notices.waiting", WAITING_INTERVAL, |context| async move {
        if tell_waiting(&context.store).await? > 0 {
            context.nudge(Nudge::Notices);
        }
        Ok(())
    });
    Ok(())
}
