//! The watch over open positions: each is in a register a day after its cut-off at the latest, or people are told. It runs
//! beside the workers that close and beside those that mail, so that one of them being away does not hide it.

use store::notices::{self, NewNotice};
use store::registers::{self, Standing};
use store::{Store, StoreError};

/// Tells of series in which something stays open too long, each once until it is closed. Returns how many were told.
pub async fn tell_late_registers(store: &Store) -> Result<usize, StoreError> {
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
