//! `unigate parked put-back`: checked here so that a correction cannot turn one payment into another, then left to the
//! worker whose fact it is. What came of it is waited for, briefly.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use contract::message::{self, RoutingKey};
use domain::limits::MESSAGE_MAX_BYTES;
use serde_json::json;
use store::audit::{self, Act};
use store::parked::{self, Parked, PutBack};

use super::{PutBackArgs, find};
use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{note, say};

/// How long the owning worker is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pauses between looks grow from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

pub(super) async fn put_back(operator: &Operator, args: PutBackArgs) -> Outcome {
    let row = find(operator, args.id).await?;
    let corrected = args.body.as_deref().map(read).transpose()?;
    let subject = args.id.to_string();
    let act = |after| Act {
        who: &operator.who,
        act: "parked put-back",
        subject_kind: "parked",
        subject: &subject,
        reason: args.reason.as_deref(),
        before: Some(json!({ "state": row.state, "reason": row.reason, "detail": row.detail })),
        after: Some(after),
    };
    if let Err(why) = allowed(&row, corrected.as_deref()) {
        audit::record_denied(&operator.store, &act(json!({ "denied": why }))).await?;
        bail!("{} stays parked: {why}", args.id);
    }
    let said = PutBack {
        corrected_body: corrected.as_deref(),
        vouched: args.speaks_for_terminal,
    };
    let tx = operator.store.begin().await?;
    if let Err(error) = parked::put_back(&tx, row.parked_id, &operator.who, said).await {
        drop(tx);
        audit::record_denied(&operator.store, &act(json!({ "denied": error.to_string() }))).await?;
        return Err(error.into());
    }
    audit::record(
        &tx,
        &act(json!({
            "state": "retry",
            "corrected": corrected.is_some(),
            "speaks_for_terminal": args.speaks_for_terminal,
        })),
    )
    .await?;
    tx.commit().await?;
    tell_outcome(operator, &args).await
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| file.display().to_string())
}

/// Whether the fact can be handled at all, and a correction is one of the same payment or reservation.
fn allowed(row: &Parked, corrected: Option<&[u8]>) -> Result<(), String> {
    let key = RoutingKey::parse(&row.routing_key).filter(|key| key.is_fact());
    let Some(key) = key else {
        return Err(format!(
            "no worker handles `{}`; settle it by hand and discard it",
            row.routing_key
        ));
    };
    let Some(body) = corrected else { return Ok(()) };
    if body.len() > MESSAGE_MAX_BYTES {
        return Err(format!("the corrected body has more than {MESSAGE_MAX_BYTES} bytes"));
    }
    let message =
        message::parse(key, body).map_err(|error| format!("the corrected body cannot be read as {key}: {error}"))?;
    let (payment, reservation) = (message.payment_id(), message.reservation_id());
    for (name, was, is) in [
        ("payment_id", row.payment_id, payment.map(|id| id.as_uuid())),
        ("reservation_id", row.reservation_id, reservation.map(|id| id.as_uuid())),
    ] {
        if was.is_some() && was != is {
            return Err(format!("the corrected body has another {name}"));
        }
    }
    Ok(())
}

async fn tell_outcome(operator: &Operator, args: &PutBackArgs) -> Outcome {
    let id = args.id;
    let (began, mut pause) = (Instant::now(), PAUSES.0);
    loop {
        let row = find(operator, id).await?;
        match row.state.as_str() {
            "retry" if began.elapsed() < PATIENCE => {}
            "retry" => {
                say(format!(
                    "{id} is put back and will be handled when a worker for {} runs",
                    row.routing_key
                ))?;
                return Ok(Ending::Done);
            }
            "resolved" => {
                say(format!("{id} was handled: {}", row.resolution.unwrap_or_default()))?;
                return Ok(Ending::Done);
            }
            _ => {
                note(&format!("{id} was refused again: {} ({})", row.reason, row.detail));
                return Ok(Ending::Failed);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const ID: &str = "0199aa00-0000-7000-8000-000000000001";
    const OTHER: &str = "0199aa00-0000-7000-8000-000000000002";

    fn parked(routing_key: &str) -> Parked {
        Parked {
            parked_id: Uuid::nil(),
            parked_at: domain::clock::now(),
            routing_key: routing_key.to_owned(),
            payment_id: routing_key.starts_with("payment").then(|| ID.parse().unwrap()),
            reservation_id: None,
            reason: "unknown_payee".to_owned(),
            detail: String::new(),
            body: b"{}".to_vec(),
            corrected_body: None,
            properties: json!({}),
            vouched: false,
            state: "parked".to_owned(),
            resolved_by: None,
            resolution: None,
        }
    }

    fn revoke(id: &str) -> Vec<u8> {
        json!({ "payment_id": id, "terminal": "T-0001" })
            .to_string()
            .into_bytes()
    }

    #[test]
    fn a_fact_goes_back_as_it_came_or_corrected_under_the_same_id() {
        let row = parked("payment.revoke");
        assert_eq!(allowed(&row, None), Ok(()));
        assert_eq!(allowed(&row, Some(&revoke(ID))), Ok(()));
        let unreadable = Parked {
            payment_id: None,
            ..row
        };
        assert_eq!(allowed(&unreadable, Some(&revoke(OTHER))), Ok(()));
    }

    #[test]
    fn a_correction_may_not_change_the_payment_nor_be_unreadable() {
        let row = parked("payment.revoke");
        assert!(
            allowed(&row, Some(&revoke(OTHER)))
                .unwrap_err()
                .contains("another payment_id")
        );
        assert!(
            allowed(&row, Some(b"{\"payment_id\":1}"))
                .unwrap_err()
                .contains("payment.revoke")
        );
        assert!(
            allowed(&row, Some(&vec![b' '; MESSAGE_MAX_BYTES + 1]))
                .unwrap_err()
                .contains("bytes")
        );
    }

    #[test]
    fn what_no_worker_handles_would_wait_for_ever() {
        for key in ["payment.acepted", "card.reserve", ""] {
            assert!(allowed(&parked(key), None).unwrap_err().contains("discard"), "{key}");
        }
    }
}
