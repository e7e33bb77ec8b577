//! Calls whose process vanished. A lease that ran out over an open attempt means that the call may have been made and
//! credited: the attempt is closed as *maybe*, never simply repeated.

use runtime::sweep::{self, Swept};
use runtime::{Context, Nudge};
use store::StoreError;
use store::declarations::Declarations;
use store::deliveries::{self, Expired};

use crate::nudge_all;
use crate::record::{self, Ended};
use crate::told::Told;

/// Attempts looked at together.
const AT_ONCE: i64 = 100;

/// Looks for them now and then.
pub(crate) fn spawn(context: &Context, name: &'static str) {
    sweep::spawn(context, name, Nudge::Leases, |context| async move {
        close_all(&context).await
    });
}

async fn close_all(context: &Context) -> Result<Swept, StoreError> {
    let mut last: Option<Expired> = None;
    loop {
        let page = deliveries::expired(&context.store, last.as_ref(), AT_ONCE).await?;
        if page.is_empty() {
            break;
        }
        let declarations = context.declarations().await?;
        for expired in &page {
            match close_one(context, &declarations, expired).await {
                Err(error) if error.is_retryable() => return Err(error),
                // It stays open, in sight of `doctor`, and those behind it do not wait for it.
                Err(error) => {
                    let Expired { attempt_id, payee, .. } = expired;
                    tracing::error!(%attempt_id, payee, %error, "a call whose lease ran out cannot be closed");
                    metrics::counter!("unigate_invariant_violations_total", "kind" => "unclosable").increment(1);
                }
                Ok(()) => {}
            }
        }
        last = page.into_iter().next_back();
    }
    if last.is_some() {
        nudge_all(context);
    }
    Ok(Swept::Idle)
}

async fn close_one(context: &Context, declarations: &Declarations, expired: &Expired) -> Result<(), StoreError> {
    let Expired { attempt_id, payee, .. } = expired;
    let Some(declared) = declarations.payees.get(payee.as_str()) else {
        return Err(StoreError::Unreadable(format!(
            "the declaration of payee {payee} is not there or cannot be read"
        )));
    };
    tracing::warn!(%attempt_id, payee, "a call's lease ran out: closed as maybe");
    let ended = Ended {
        attempt_id: *attempt_id,
        payee: &declared.value,
        doubtful: false,
        request: None,
        told: &Told::vanished(),
    };
    record::record(context, &[ended]).await
}
