//! The watch over open positions and over mails: each position is in a register a day after its cut-off at the latest, and
//! each register is where it belongs six hours after it was built, or people are told. It runs beside the workers that close
//! and beside those that mail, so that one of them being away does not hide it.

use store::mailings::{self, Unmailed};
use store::notices::{self, NewNotice};
use store::registers::{self, Standing};
use store::{Store, StoreError};

/// Tells of series in which something stays open too long, and of relays and directories through which registers do not get
/// out, each once until that is over. Returns how many were told.
pub async fn tell_late_registers(store: &Store) -> Result<usize, StoreError> {
    Ok(tell_late_series(store).await? + tell_unmailed(store).await?)
}

async fn tell_late_series(store: &Store) -> Result<usize, StoreError> {
    let (mut late, mut told) = (0_u32, 0);
    for standing in registers::perhaps_late(store).await? {
        let is_late = standing.is_late();
        late += u32::from(is_late);
        if is_late != standing.late_since.is_some() && note(store, &standing, is_late).await? {
            told += 1;
        }
    }
    metrics::gauge!("unigate_registers_series_late").set(f64::from(late));
    Ok(told)
}

async fn note(store: &Store, standing: &Standing, is_late: bool) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    let noted = registers::note_late(&tx, standing.series_id, is_late).await?;
    if noted && is_late {
        let (payee, series) = (&standing.payee.id, &standing.series);
        tracing::error!(%payee, series, "payments stay open for longer than their series' interval and a day");
        notices::add(&tx, &notice(standing, &format!("{payee}/{series}"))).await?;
    }
    tx.commit().await?;
    Ok(noted && is_late)
}

fn notice<'a>(standing: &Standing, subject: &'a str) -> NewNotice<'a> {
    let (payee, series) = (&standing.payee.id, &standing.series);
    let zone = standing
        .payee
        .register
        .as_ref()
        .map(|profile| profile.time_zone.tz().clone());
    let shown = |at: Option<jiff::Timestamp>| match (at, &zone) {
        (Some(at), Some(zone)) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        _ => "unknown".to_owned(),
    };
    NewNotice {
        kind: "register.late",
        subject,
        title: format!("Payments of {payee} wait for a register for too long (series {series})"),
        lines: vec![
            format!("Payee: {}", standing.payee.name),
            format!("The oldest waits since {}", shown(standing.oldest)),
            format!("It should have been closed at {}", shown(standing.due_at())),
            "Is a registers worker running, and what does its log say of this series?".to_owned(),
            format!("To look: unigate registers schedule {payee}. To close now: unigate registers build {payee}"),
        ],
        mail_to: &[],
    }
}

async fn tell_unmailed(store: &Store) -> Result<usize, StoreError> {
    mailings::forget_mailed(store).await?;
    let lanes = mailings::unmailed(store).await?;
    let oldest = lanes.first().map_or(0.0, |oldest| oldest.seconds);
    metrics::gauge!("unigate_registers_unmailed_seconds").set(oldest);
    let mut told = 0;
    for lane in lanes.iter().filter(|lane| lane.late > 0) {
        let tx = store.begin().await?;
        if mailings::note_unmailed(&tx, &lane.lane).await? {
            let Unmailed { lane: name, late, .. } = lane;
            tracing::error!(lane = name, late, "registers are built and do not get out");
            notices::add(&tx, &unmailed(lane)).await?;
            told += 1;
        }
        tx.commit().await?;
    }
    Ok(told)
}

fn unmailed(lane: &Unmailed) -> NewNotice<'_> {
    NewNotice {
        kind: "register.unmailed",
        subject: &lane.lane,
        title: format!(
            "{}: registers do not get out ({} for more than six hours)",
            mailings::lane_in_words(&lane.lane, &lane.payee),
            lane.late
        ),
        lines: vec![
            format!("The oldest waits since {}", lane.oldest.strftime("%F %T UTC")),
            format!(
                "Error: {}",
                lane.last_error.as_deref().unwrap_or("none, nobody has tried")
            ),
            "Is a mailer running, and what does its log say? To try what it uses: unigate doctor".to_owned(),
            "They are tried for four days; then each is failed, for `registers requeue`".to_owned(),
        ],
        mail_to: &[],
    }
}
