//! The record of calls: attempts closed, payments moved as planned, their events, slots given back, breakers told; all in
//! one transaction, fenced by the attempts.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use contract::event::{Events, PaymentEvent};
use domain::declaration::{Online, Payee};
use domain::delivery::{self, CallEnd, Ending, Flag, History, Late, Plan, Profile, Verdict};
use domain::ids::{AttemptId, PaymentId};
use domain::payment::{Act, PaymentState};
use domain::retry::JITTER;
use jiff::Timestamp;
use runtime::{Context, Nudge, emit, payment_item};
use store::deliveries::{self, AttemptEnd, Due, Locked, Next, Written};
use store::lanes::{self, Asking};
use store::{StoreError, Tx, reconciliation};

use crate::told::Told;
use crate::{alarm, outage};

/// A call that has ended.
pub(crate) struct Ended<'a> {
    pub(crate) attempt_id: AttemptId,
    /// As it is declared now.
    pub(crate) payee: &'a Payee,
    /// It credited a number once when the call began, and does not any more.
    pub(crate) doubtful: bool,
    pub(crate) request: Option<&'a str>,
    pub(crate) told: &'a Told,
}

/// Records what came of attempts. What comes after its attempt was closed is kept as late, and may still be good news.
pub(crate) async fn record(context: &Context, ended: &[Ended<'_>]) -> Result<(), StoreError> {
    let mut left: Vec<&Ended<'_>> = ended.iter().collect();
    while !left.is_empty() {
        left = record_each_payment_once(context, left).await?;
    }
    context.nudge(Nudge::Events);
    Ok(())
}

/// One transaction. Returns what has to wait for the next one: a late answer about a payment and the end of the call that
/// came after it, each planned from what the other has left.
async fn record_each_payment_once<'a>(
    context: &Context,
    ended: Vec<&'a Ended<'a>>,
) -> Result<Vec<&'a Ended<'a>>, StoreError> {
    let tx = context.store.begin().await?;
    let ids: Vec<AttemptId> = ended.iter().map(|one| one.attempt_id).collect();
    let locked = deliveries::lock(&tx, &ids).await?;
    let of: HashMap<AttemptId, &Locked> = locked.iter().map(|locked| (locked.attempt_id, locked)).collect();
    let mut seen = HashSet::new();
    let (mut now, mut later) = (Vec::new(), Vec::new());
    for one in ended {
        let Some(&locked) = of.get(&one.attempt_id) else {
            continue;
        };
        if seen.insert(locked.payment.payment_id) {
            now.push((locked, one));
        } else {
            later.push(one);
        }
    }
    let delivered = write(&tx, &now).await?;
    tx.commit().await?;
    for (locked, one) in now {
        count(one.payee, locked, one.told);
        if delivered.contains(&locked.attempt_id) {
            let taken = locked.now.duration_since(locked.accepted_at).as_secs_f64();
            metrics::histogram!("unigate_delivery_seconds", "gateway" => one.payee.gateway.as_str()).record(taken);
        }
    }
    Ok(later)
}

/// In the order of their calls' ends. Returns those by which a payment was delivered.
async fn write(tx: &Tx, ended: &[(&Locked, &Ended<'_>)]) -> Result<HashSet<AttemptId>, StoreError> {
    let Some((first, _)) = ended.first() else {
        return Ok(HashSet::new());
    };
    let mut events = Events::new(first.now);
    let decided: Vec<Decided<'_>> = ended.iter().filter_map(|(locked, one)| decide(locked, one)).collect();
    for one in &decided {
        if let Some((change, event)) = one.change.as_ref().and_then(|change| Some((change, change.event?))) {
            let error = change.error.clone();
            let payment = &one.locked.payment;
            let item = payment_item(payment, change.state, error)?;
            events.push_traced(wire_event(event), &item, payment.traceparent.as_deref());
        }
    }
    let written: Vec<_> = decided.iter().map(Decided::to_written).collect();
    deliveries::apply(tx, &written).await?;
    let open = || ended.iter().filter(|(locked, _)| locked.open);
    // The lane before its slot, as claims do.
    let concerns_it =
        |told: &Told, act| !told.is_alive() || told.busy_for().is_some() || (act == Act::Pay && told.is_rejection());
    if open().any(|(locked, one)| locked.lane_in_trouble || concerns_it(one.told, locked.act)) {
        let told = open().map(|(locked, one)| (one.payee, asking(locked.act), one.told));
        outage::note(tx, told, &mut events).await?;
    }
    let slots: Vec<_> = open().map(|(locked, one)| (&locked.slot, rest(locked, one))).collect();
    lanes::give_back(tx, &slots).await?;
    alarm::raise(tx, &alarm::CONFLICT, flagged(&decided, Flag::NumberConflict)).await?;
    alarm::raise(tx, &alarm::KNOWN_BEFORE, flagged(&decided, Flag::AlreadyOnFirstAttempt)).await?;
    tell_credited_twice(tx, &decided).await?;
    emit(tx, events, None).await?;
    let delivers = |one: &&Decided<'_>| {
        let event = one.change.as_ref().and_then(|change| change.event);
        event == Some(delivery::PaymentEvent::Delivered)
    };
    Ok(decided
        .iter()
        .filter(delivers)
        .map(|one| one.locked.attempt_id)
        .collect())
}

/// The payments that are flagged so now, each with its payee.
fn flagged<'a>(decided: &'a [Decided<'_>], flag: Flag) -> Vec<(&'a Payee, &'a Due)> {
    let is_flagged = |change: &Change| change.flags.contains(&flag.as_str());
    let of = decided.iter().filter(|one| one.change.as_ref().is_some_and(is_flagged));
    of.map(|one| (one.ended.payee, &one.locked.payment)).collect()
}

/// Whatever else follows from the call: the payment stands as it does, and somebody gets the money back.
async fn tell_credited_twice(tx: &Tx, decided: &[Decided<'_>]) -> Result<(), StoreError> {
    let twice: Vec<(&Payee, &Due)> = decided.iter().filter_map(Decided::credited_twice).collect();
    let ids: Vec<PaymentId> = twice.iter().map(|(_, payment)| payment.payment_id).collect();
    if !ids.is_empty() {
        reconciliation::flag(tx, &ids, Flag::CreditedTwice.as_str()).await?;
    }
    alarm::raise(tx, &alarm::TWICE, twice).await
}

/// What is to be written about one attempt.
struct Decided<'a> {
    locked: &'a Locked,
    ended: &'a Ended<'a>,
    /// None leaves the payment as it is.
    change: Option<Change>,
}

/// What becomes of its payment.
struct Change {
    state: PaymentState,
    next: Option<(Act, Duration)>,
    step: i32,
    maybes: i32,
    not_found: i32,
    error: Option<String>,
    flags: Vec<&'static str>,
    event: Option<delivery::PaymentEvent>,
}

impl Decided<'_> {
    /// Its payee and payment, where the payee has credited that in another call already.
    fn credited_twice(&self) -> Option<(&Payee, &Due)> {
        let (payee, locked) = (self.ended.payee, self.locked);
        let idempotent = payee.online()?.idempotent;
        let ending = self.ended.told.ending;
        delivery::has_credited_twice(locked.act, ending, locked.credited_before, idempotent)
            .then_some((payee, &locked.payment))
    }

    fn to_written(&self) -> Written<'_> {
        let told = self.ended.told;
        Written {
            locked: self.locked,
            end: end(self.locked.act, told, self.ended.request),
            next: self.change.as_ref().map(|change| Next {
                state: change.state,
                next: change.next,
                step: change.step,
                maybes: change.maybes,
                not_found: change.not_found,
                error: change.error.as_deref(),
                flags: change.flags.clone(),
                provider_reference: told.provider_reference.as_deref(),
            }),
        }
    }
}

/// None when there is nothing to write.
fn decide<'a>(locked: &'a Locked, ended: &'a Ended<'a>) -> Option<Decided<'a>> {
    let change = if locked.open {
        Some(closed(locked, &ended.payee.online()?, ended))
    } else {
        late(locked, ended.told)?
    };
    Some(Decided { locked, ended, change })
}

fn closed(locked: &Locked, online: &Online<'_>, ended: &Ended<'_>) -> Change {
    let told = ended.told;
    let mut plan = plan(locked, online, told);
    if ended.doubtful {
        plan = delivery::doubted(plan, locked.payment.state, online.offers_status);
    }
    Change {
        state: plan.state,
        next: plan.next,
        step: signed(plan.step),
        maybes: signed(plan.maybes),
        not_found: signed(plan.not_found),
        error: reason(&plan, told),
        flags: flags(&plan, told),
        event: plan.event,
    }
}

/// What an answer changes whose attempt was closed before it came. The outer None: nothing at all is to be kept of it.
fn late(locked: &Locked, told: &Told) -> Option<Option<Change>> {
    if !locked.closed_as_maybe {
        // Recorded before, in a transaction whose commit we did not hear of: what comes twice changes nothing.
        return None;
    }
    let verdict = match told.ending {
        Ending::Answered(verdict) => verdict,
        // Nothing is learned from it: the attempt stays the *maybe* it was closed as.
        Ending::NotSent | Ending::Maybe { .. } => return None,
    };
    let news = delivery::late_answer(locked.payment.state, locked.payment.settled, verdict);
    Some(
        news.filter(|_| locked.act != Act::Cancel)
            .map(|news| late_change(locked, told, news)),
    )
}

fn late_change(locked: &Locked, told: &Told, news: Late) -> Change {
    let unchanged = Change {
        state: locked.payment.state,
        next: None,
        step: locked.payment.step,
        maybes: locked.payment.maybes,
        not_found: 0,
        error: None,
        flags: told.flag.map(Flag::as_str).into_iter().collect(),
        event: None,
    };
    match news {
        Late::Delivered => Change {
            state: PaymentState::Delivered,
            event: Some(delivery::PaymentEvent::Delivered),
            ..unchanged
        },
        Late::Flagged(flag) => {
            let payment_id = locked.payment.payment_id;
            let error = "a late answer contradicts how the payment has ended, which stands";
            tracing::error!(%payment_id, flag = flag.as_str(), error);
            Change {
                error: Some(error.to_owned()),
                flags: vec![flag.as_str()],
                ..unchanged
            }
        }
    }
}

fn plan(locked: &Locked, online: &Online<'_>, told: &Told) -> Plan {
    let payment = &locked.payment;
    let history = History {
        state: payment.state,
        act: locked.act,
        went_out_before: locked.went_out_before,
        credited_before: locked.credited_before,
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
    delivery::plan(&history, &Profile::from(online), &end)
}

/// What a person should look at: what follows from the end of the call, and what the payee echoed wrongly.
fn flags(plan: &Plan, told: &Told) -> Vec<&'static str> {
    let flags = plan.flag.into_iter().chain(told.flag);
    flags.map(Flag::as_str).collect()
}

/// What operators and terminals read as the last error; nothing once all is well.
fn reason(plan: &Plan, told: &Told) -> Option<String> {
    if plan.state == PaymentState::Delivered && flags(plan, told).is_empty() {
        return None;
    }
    Some(match &told.error {
        Some(error) => format!("{}: {error}", plan.reason),
        None => plan.reason.to_owned(),
    })
}

fn end<'a>(act: Act, told: &'a Told, request: Option<&'a str>) -> AttemptEnd<'a> {
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
        credited: delivery::has_credited(act, told.ending),
    }
}

/// What became of a payment is a question like any other: a payee may answer it and not be able to take one.
fn asking(act: Act) -> Asking {
    match act {
        Act::Pay => Asking::Payment,
        Act::Status | Act::Cancel => Asking::Question,
    }
}

/// After a lost call the slot rests until the payee has surely let go of it: twice the timeout from the call's start.
fn rest(locked: &Locked, ended: &Ended<'_>) -> Option<Duration> {
    let online = ended.payee.online().filter(|_| ended.told.lost)?;
    let busy = Duration::from_secs(2 * u64::from(online.timeout_seconds));
    let passed = Duration::try_from(locked.now.duration_since(locked.started_at)).unwrap_or_default();
    // Only a call that ran into its timeout can still be going on over there.
    (passed >= busy / 2).then(|| busy.saturating_sub(passed))
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
        // The HTTP status; a payee's own words would be labels without end.
        (
            "code",
            told.http_status.map_or_else(String::new, |status| status.to_string()),
        ),
    ];
    metrics::counter!("unigate_attempts_total", &labels).increment(1);
}

fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn unsigned(count: i32) -> u32 {
    u32::try_from(count).unwrap_or(0)
}
