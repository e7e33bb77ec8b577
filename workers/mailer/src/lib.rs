//! Mails built registers to their payees, and alerts to whoever runs the installation. The only crate that speaks SMTP.
//!
//! One mailing per register and recipient, kept in the database with the moment of its next try; all of them, on every
//! try, are the same bytes under the same Message-ID; so with alerts, which go together when they come close. This crate never builds a register and never changes one.

mod clean;
mod courier;
mod gate;
pub mod message;
mod notices;
pub mod relay;

use std::time::Duration;

use bus::Queue;
use runtime::{Context, Nudge, sweep};

pub use courier::{Job, MailCourier, Report};
pub use notices::NoticeCourier;
use relay::{Relay, RelayUrlError};

/// How often somebody looks for payments that wait for a register for too long.
const LATE_INTERVAL: Duration = Duration::from_secs(60);

/// Starts the worker. Refuses a `UNIGATE_SMTP_URL` that cannot be read; without one it says so once, and mails wait.
pub fn start(context: &Context) -> Result<(), RelayUrlError> {
    let settings = &context.settings;
    // A relay each: a register of many megabytes under way keeps no alert waiting.
    let relay = || settings.smtp_url.as_ref().map(Relay::from_url).transpose();
    sweep::on_wake_up(context, Queue::MailerWake, Nudge::Mails);
    let courier = MailCourier::new(
        context.store.clone(),
        context.artifacts.clone(),
        relay()?,
        settings.mail_from.clone(),
    );
    runtime::courier::spawn(context, courier);
    let (to, pause) = (settings.alert_mail_to.clone(), settings.alert_mail_pause);
    let alerts = NoticeCourier::new(context.store.clone(), relay()?, settings.mail_from.clone(), to, pause);
    runtime::courier::spawn(context, alerts);
    sweep::every(context, "registers.late", LATE_INTERVAL, |context| async move {
        runtime::tell_late_registers(&context.store).await.map(drop)
    });
    Ok(())
}
