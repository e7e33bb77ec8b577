//! What came of a mail, recorded with everything that follows from it: the register's state, its event, and a notice to the
//! people who run the installation.

use std::time::Duration;

use contract::event::RegisterEvent;
use domain::declaration::{MailProfile, RETRY_SECONDS_USUAL};
use runtime::tell_register;
use store::mailings::{self, Kept, Mailing};
use store::notices::{self, NewNotice};
use store::{Store, StoreError};
use uuid::Uuid;

use super::{Away, Report};

/// What people are told of when a relay or directory stays away. It has no event: nothing has happened to any register.
const LANE_DOWN: &str = "mail.down";
/// What they are told of when nobody takes a mail on demand. It has no event either: the register stands as it was.
const ON_DEMAND_FAILED: &str = "mail.failed";
/// Not more often than that about one relay or directory, by whichever process.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn record(store: &Store, mailing: &Mailing, report: &Report) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    let register = mailing.summary.register_id;
    let (kept, error) = match report {
        Report::Sent => {
            let mailed = mailings::record_sent(&tx, mailing).await?;
            if mailed {
                tell_register(&tx, RegisterEvent::Mailed, &mailing.summary, None).await?;
            }
            tx.commit().await?;
            tracing::info!(%register, mailed, "a register was taken for one of its recipients");
            return Ok(());
        }
        Report::Later(error) | Report::Maybe(error) => {
            let step = u32::try_from(mailing.attempts - 1).unwrap_or(0);
            let profile = mailing.profile.as_ref();
            let waits = profile.map_or(&RETRY_SECONDS_USUAL[..], MailProfile::retries);
            let delay = domain::retry::retry_delay(waits, step, jitter(mailing.mailing_id));
            tracing::warn!(%register, error, ?delay, "a register was not taken and will be sent again");
            let kept = match report {
                Report::Maybe(_) => mailings::record_maybe(&tx, mailing, error, delay).await?,
                _ => mailings::record_retry(&tx, mailing, error, delay).await?,
            };
            (kept, error)
        }
        Report::Away(Away { error, tell }) => {
            // Every process has a gate of its own, and may have begun a minute ago.
            if *tell && !notices::was_told(&tx, LANE_DOWN, &mailing.lane, TOLD_AGAIN_AFTER).await? {
                notices::add(&tx, &lane_down(mailing, error)).await?;
            }
            (mailings::put_back_untried(&tx, mailing, error).await?, error)
        }
        Report::Refused(error) => (mailings::record_failed(&tx, mailing, error).await?, error),
    };
    match kept {
        Kept::Failed => {
            let told = format!("{}: {error}", mailing.recipient);
            tell_register(&tx, RegisterEvent::Failed, &mailing.summary, Some(&told)).await?;
            metrics::counter!("unigate_registers_failed_total", "stage" => "mail").increment(1);
            tracing::error!(%register, error, "a register cannot be mailed");
        }
        Kept::OnDemand => {
            notices::add(&tx, &on_demand_failed(mailing, error, &register.to_string())).await?;
            tracing::error!(%register, error, "a register cannot be mailed on demand");
        }
        Kept::Waiting | Kept::Lost => {}
    }
    tx.commit().await
}

fn lane_down<'a>(mailing: &'a Mailing, error: &str) -> NewNotice<'a> {
    let what = mailings::lane_in_words(&mailing.lane, mailing.summary.payee.as_str());
    NewNotice {
        kind: LANE_DOWN,
        subject: &mailing.lane,
        title: format!("{what} is away"),
        lines: vec![
            format!("Error: {error}"),
            "Registers are built and wait; they go out when it is back".to_owned(),
            "To try it: unigate doctor".to_owned(),
        ],
        mail_to: &[],
    }
}

fn on_demand_failed<'a>(mailing: &Mailing, error: &str, register: &'a str) -> NewNotice<'a> {
    let of = &mailing.summary;
    NewNotice {
        kind: ON_DEMAND_FAILED,
        subject: register,
        title: format!(
            "A register of {} could not be mailed on demand: {} {:06} ({})",
            of.payee,
            of.series,
            of.sequence,
            of.kind()
        ),
        lines: vec![
            format!("To: {}", mailing.recipient),
            format!("Error: {error}"),
            "Whether those have it whom it is for is another thing: this changes nothing about that".to_owned(),
            format!(
                "To try it again: unigate registers requeue {register} --recipient {}",
                mailing.recipient
            ),
        ],
        mail_to: &[],
    }
}

/// Within 20 %, by the mail's id: mails that failed together do not come back together.
pub(crate) fn jitter(mail: Uuid) -> f64 {
    let tail = mail.as_bytes()[15];
    (f64::from(tail) / 255.0 - 0.5) * 2.0 * domain::retry::JITTER
}
