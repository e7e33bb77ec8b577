//! The watch over what waits for a person: parked facts, payments that do not go on by themselves, and cases of cards. Each is told
//! of when the first of its reason, payee or kind begins to wait, and, once in an hour, when more of it do.

use domain::card::CaseKind;
use store::cases;
use store::notices::{self, NewNotice, ParkedId, ParkedOpen, Unsettled};
use store::{Store, StoreError};

const PARKED: &str = "message.parked";
const UNSETTLED: &str = "payment.unsettled";
const CASES: &str = "case.open";

/// Tells of what has begun to wait for a person. Returns how many were told. Two mailers at once tell it once.
pub async fn tell_waiting(store: &Store) -> Result<usize, StoreError> {
    Ok(tell_parked(store).await? + tell_unsettled(store).await? + tell_cases(store).await?)
}

async fn tell_parked(store: &Store) -> Result<usize, StoreError> {
    let all = notices::parked_open(store).await?;
    let open: i64 = all.iter().map(|parked| parked.open).sum();
    metrics::gauge!("unigate_parked_open").set(open as f64);
    let still: Vec<_> = all
        .iter()
        .map(|parked| (parked.reason.as_str(), parked.waiting))
        .collect();
    notices::keep_open(store, PARKED, &still).await?;
    let mut told = 0;
    for parked in all.iter().filter(|parked| parked.waiting > 0) {
        let tx = store.begin().await?;
        if notices::note_open(&tx, PARKED, &parked.reason, parked.waiting).await? {
            let first = notices::first_parked(&tx, &parked.reason).await?;
            notices::add(&tx, &parked_notice(parked, &first)).await?;
            told += 1;
        }
        tx.commit().await?;
    }
    Ok(told)
}

async fn tell_unsettled(store: &Store) -> Result<usize, StoreError> {
    let all = notices::unsettled(store).await?;
    let waiting = |of: &Unsettled| of.unknown + of.failed;
    let still: Vec<_> = all.iter().map(|of| (of.payee.as_str(), waiting(of))).collect();
    notices::keep_open(store, UNSETTLED, &still).await?;
    let mut told = 0;
    for unsettled in &all {
        let tx = store.begin().await?;
        if notices::note_open(&tx, UNSETTLED, &unsettled.payee, waiting(unsettled)).await? {
            notices::add(&tx, &unsettled_notice(unsettled)).await?;
            told += 1;
        }
        tx.commit().await?;
    }
    Ok(told)
}

async fn tell_cases(store: &Store) -> Result<usize, StoreError> {
    let all = cases::count_open(store).await?;
    let still: Vec<_> = all.iter().map(|(kind, open, _)| (kind.as_str(), *open)).collect();
    notices::keep_open(store, CASES, &still).await?;
    let mut told = 0;
    for (kind, open, _) in all {
        let tx = store.begin().await?;
        if notices::note_open(&tx, CASES, kind.as_str(), open).await? {
            notices::add(&tx, &cases_notice(kind, open)).await?;
            told += 1;
        }
        tx.commit().await?;
    }
    Ok(told)
}

/// Ids and times only: what is in a fact came from anybody.
fn parked_notice<'a>(parked: &'a ParkedOpen, first: &[ParkedId]) -> NewNotice<'a> {
    let (reason, waiting) = (&parked.reason, parked.waiting);
    let line = |fact: &ParkedId| {
        let about = fact.about.map(|id| format!(", about {id}")).unwrap_or_default();
        format!(
            "{} since {}{about}",
            fact.parked_id,
            fact.parked_at.strftime("%F %T UTC")
        )
    };
    let mut lines: Vec<String> = first.iter().map(line).collect();
    if waiting > first.len() as i64 {
        lines.push(format!("and {} more", waiting - first.len() as i64));
    }
    lines.push(
        "To look: unigate parked list. Put back or discard each; of more that come you are told once in an hour"
            .to_owned(),
    );
    NewNotice {
        kind: PARKED,
        subject: reason,
        title: format!("{waiting} facts are parked: {reason}"),
        lines,
        mail_to: &[],
    }
}

fn unsettled_notice(unsettled: &Unsettled) -> NewNotice<'_> {
    let Unsettled { payee, unknown, failed } = unsettled;
    NewNotice {
        kind: UNSETTLED,
        subject: payee,
        title: format!("Payments of {payee} wait for a person: {unknown} unknown, {failed} failed"),
        lines: vec![format!(
            "To look: unigate deliveries groups --payee {payee}. Requeue or settle them; of more that come you are told once in an hour"
        )],
        mail_to: &[],
    }
}

fn cases_notice(kind: CaseKind, open: i64) -> NewNotice<'static> {
    let kind = kind.as_str();
    NewNotice {
        kind: CASES,
        subject: kind,
        title: format!("Cases of cards wait for a person: {open} of kind {kind}"),
        lines: vec![format!(
            "To look: unigate cards cases list --kind {kind}. Resolve each; of more that come you are told once in an hour"
        )],
        mail_to: &[],
    }
}
