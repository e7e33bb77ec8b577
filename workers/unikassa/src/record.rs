//! The record of a call: the attempt closed, the payment moved as planned, its event, the slot given back, the breaker
//! told; all in one transaction, fenced by the attempt.

use std::time::Duration;

use contract::event::{Events, PayeeEvent, PayeeItem, PaymentEvent, PaymentItem};
use domain::declaration::{Payee, UnikassaProfile};
use domain::delivery::{self, CallEnd, Ending, History, Plan, Profile, Verdict};
use domain::ids::{AttemptId, PayeeId, TerminalId};
use domain::money::{Amount, Currency, Fee};
use domain::payment::PaymentState;
use domain::retry::JITTER;
use domain::text::Account;
use jiff::Timestamp;
use runtime::{Context, Nudge, emit};
use store::deliveries::{self, AttemptEnd, Due, Locked, Next};
use store::lanes::{self, Breaker};
use store::{StoreError, Tx};

use crate::told::Told;

/// Records what came of an attempt. What comes after the attempt was closed is kept as late, and may still be good news.
pub(crate) async fn record(
    context: &Context,
    payee: &Payee,
    attempt_id: AttemptId,
    request: Option<&str>,
    told: &Told,
) -> Result<(), StoreError> {
    let tx = context.store.begin().await?;
    let Some(locked) = deliveries::lock(&tx, attempt_id).await? else {
        return tx.commit().await;
    };
    let Some(profile) = &payee.unikassa else {
        return tx.commit().await;
    };
    let mut events = Events::new(locked.now);
    if locked.open {
        close(&tx, &locked, profile, request, told, &mut events).await?;
        // The lane before its slot, as claims do.
        note(&tx, payee, profile, told, &mut events).await?;
        let rest = told.lost.then(|| rest(&locked, profile)).flatten();
        lanes::give_back(&tx, &locked.slot, rest).await?;
    } else {
        keep_late(&tx, &locked, request, told, &mut events).await?;
    }
    emit(&tx, events, locked.payment.traceparent.as_deref()).await?;
    tx.commit().await?;
    context.nudge(Nudge::Events);
    count(payee, &locked, told);
    Ok(())
}

async fn close(
    tx: &Tx,
    locked: &Locked,
    profile: &UnikassaProfile,
    request: Option<&str>,
    told: &Told,
    events: &mut Events,
) -> Result<(), StoreError> {
    let plan = plan(locked, profile, told);
    let error = reason(&plan, told);
    let next = Next {
        state: plan.state,
        next: plan.next,
        step: signed(plan.step),
        maybes: signed(plan.maybes),
        not_found: signed(plan.not_found),
        error: error.as_deref(),
        flag: plan.flag.map(|flag| flag.as_str()),
        provider_reference: told.provider_reference.as_deref(),
    };
    deliveries::apply(tx, locked, &end(told, request), Some(&next)).await?;
    if let Some(event) = plan.event {
        events.push(wire_event(event), &item(&locked.payment, plan.state, error)?);
    }
    Ok(())
}

fn plan(locked: &Locked, profile: &UnikassaProfile, told: &Told) -> Plan {
    let payment = &locked.payment;
    let history = History {
        state: payment.state,
        act: locked.act,
        attempts: unsigned(payment.attempts),
        maybes: unsigned(payment.maybes),
        not_found: unsigned(payment.not_found),
        step: unsigned(payment.step),
        last_pay_at: payment.last_call_at,
        asked_at: locked.started_at,
        now: locked.now,
        // Set at acceptance for every online payment.
        give_up_at: payment.give_up_at.unwrap_or(Timestamp::MAX),
    };
    let end = CallEnd {
        ending: told.ending,
        retry_after_seconds: told.retry_after_seconds,
        jitter: rand::random_range(-JITTER..=JITTER),
    };
    delivery::plan(&history, &Profile::from(profile), &end)
}

/// What operators and terminals read as the last error; nothing once all is well.
fn reason(plan: &Plan, told: &Told) -> Option<String> {
    if plan.state == PaymentState::Delivered && plan.flag.is_none() {
        return None;
    }
    Some(match &told.error {
        Some(error) => format!("{}: {error}", plan.reason),
        None => plan.reason.to_owned(),
    })
}

async fn keep_late(
    tx: &Tx,
    locked: &Locked,
    request: Option<&str>,
    told: &Told,
    events: &mut Events,
) -> Result<(), StoreError> {
    if !locked.closed_as_maybe {
        // Recorded before, in a transaction whose commit we did not hear of: what comes twice changes nothing.
        return Ok(());
    }
    let verdict = match told.ending {
        Ending::Answered(verdict) => verdict,
        // Nothing is learned from it: the attempt stays the *maybe* it was closed as.
        Ending::NotSent | Ending::Maybe { .. } => return Ok(()),
    };
    let good_news =
        delivery::late_answer(locked.payment.state, verdict).filter(|_| locked.act != domain::payment::Act::Cancel);
    let next = good_news.map(|(state, _)| Next {
        state,
        next: None,
        step: locked.payment.step,
        maybes: locked.payment.maybes,
        not_found: 0,
        error: None,
        flag: None,
        provider_reference: told.provider_reference.as_deref(),
    });
    deliveries::apply(tx, locked, &end(told, request), next.as_ref()).await?;
    if let Some((state, event)) = good_news {
        events.push(wire_event(event), &item(&locked.payment, state, None)?);
    }
    Ok(())
}

fn end<'a>(told: &'a Told, request: Option<&'a str>) -> AttemptEnd<'a> {
    AttemptEnd {
        ending: match told.ending {
            Ending::NotSent => "not_sent",
            Ending::Answered(_) => "answered",
            Ending::Maybe { .. } => "maybe",
        },
        result: told.result.as_deref(),
        error: told.error.as_deref(),
        request,
        response: told.response.as_deref(),
        http_status: told.http_status,
    }
}

/// After a lost call the slot rests until the payee has surely let go of it: twice the timeout from the call's start.
fn rest(locked: &Locked, profile: &UnikassaProfile) -> Option<Duration> {
    let busy = Duration::from_secs(2 * u64::from(profile.timeout_seconds));
    let passed = Duration::try_from(locked.now.duration_since(locked.started_at)).unwrap_or_default();
    // Only a call that ran into its timeout can still be going on over there.
    (passed >= busy / 2).then(|| busy.saturating_sub(passed))
}

/// Tells the breaker, and the world when it opened or closed. What went wrong on our side says nothing about the payee.
pub(crate) async fn note(
    tx: &Tx,
    payee: &Payee,
    profile: &UnikassaProfile,
    told: &Told,
    events: &mut Events,
) -> Result<(), StoreError> {
    if told.ours {
        return Ok(());
    }
    let probe = Duration::from_secs(profile.probe_seconds.into());
    let lane = payee.id.as_str();
    let item = PayeeItem {
        payee: payee.id.clone(),
        error: told.error.clone(),
    };
    match lanes::note(tx, lane, told.is_alive(), told.error.as_deref(), probe).await? {
        Breaker::Same => {}
        Breaker::Opened => {
            tracing::error!(
                payee = lane,
                error = told.error,
                "the payee is down: nothing is sent until it answers"
            );
            events.push(PayeeEvent::Down, &item);
        }
        Breaker::Closed => {
            tracing::info!(payee = lane, "the payee is back: what waits is sent, oldest first");
            events.push(PayeeEvent::Up, &item);
        }
    }
    Ok(())
}

fn wire_event(event: delivery::PaymentEvent) -> PaymentEvent {
    match event {
        delivery::PaymentEvent::Delivered => PaymentEvent::Delivered,
        delivery::PaymentEvent::Refused => PaymentEvent::Refused,
        delivery::PaymentEvent::Unknown => PaymentEvent::Unknown,
        delivery::PaymentEvent::Failed => PaymentEvent::Failed,
        delivery::PaymentEvent::Revoked => PaymentEvent::Revoked,
        delivery::PaymentEvent::RevokeRefused => PaymentEvent::RevokeRefused,
    }
}

fn item(payment: &Due, state: PaymentState, error: Option<String>) -> Result<PaymentItem, StoreError> {
    Ok(PaymentItem {
        payment_id: payment.payment_id,
        number: payment.number,
        payee: PayeeId::parse(&payment.payee)?,
        terminal: TerminalId::parse(&payment.terminal)?,
        account: Account::new(payment.account.as_str())?,
        amount: Amount::new(payment.amount)?,
        fee: Fee::new(payment.fee)?,
        currency: Currency::parse(&payment.currency)?,
        state,
        error,
    })
}

fn count(payee: &Payee, locked: &Locked, told: &Told) {
    let ending = match told.ending {
        Ending::NotSent => "not_sent",
        Ending::Answered(Verdict::Accepted | Verdict::AlreadyAccepted) => "accepted",
        Ending::Answered(_) => "answered",
        Ending::Maybe { .. } => "maybe",
    };
    let labels = [
        ("payee", payee.id.to_string()),
        ("act", locked.act.as_str().to_owned()),
        ("ending", ending.to_owned()),
    ];
    metrics::counter!("unigate_attempts_total", &labels).increment(1);
}

fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn unsigned(count: i32) -> u32 {
    u32::try_from(count).unwrap_or(0)
}
