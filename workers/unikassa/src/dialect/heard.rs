//! What was heard of a payee that speaks in codes, as the plan needs it. Shared by the dialects whose answers are read by
//! description.

use contract::Reason;
use contract::unikassa::{CheckAnswer, CheckResult};
use domain::declaration::{Meaning, Payee};
use domain::delivery::{Ending, Flag, Verdict};
use domain::exchange::{Heard, Sum, Verb};
use domain::ids::Number;
use domain::money::Currency;
use domain::payment::Act;
use store::deliveries::Due;

use couriers::Told;

/// The verb of an act.
pub(super) fn verb(act: Act) -> Verb {
    match act {
        Act::Pay => Verb::Pay,
        Act::Status => Verb::Status,
        Act::Cancel => Verb::Cancel,
    }
}

/// Whether a call with this HTTP status may have credited, whatever the profile expects. Servers that have done what they were asked say
/// 201 or 204, or send a browser on to a page that says so: none of it makes certain that a payment may be sent again.
pub(super) fn may_have_credited(act: Act, status: u16) -> bool {
    act == Act::Pay && (200..400).contains(&status)
}

/// The answer, unless it sends its reader elsewhere: such a body is written for browsers.
pub(super) fn of_body(status: u16, read: impl FnOnce() -> Result<Heard, String>) -> Result<Heard, String> {
    if (300..400).contains(&status) {
        return Err(format!("sends elsewhere: HTTP {status}"));
    }
    read()
}

/// What an answer about a payment says. One that echoes another number is about another payment; an echoed sum is compared
/// and nothing more.
pub(super) fn told(act: Act, due: &Due, heard: Result<Heard, String>) -> Told {
    let heard = match heard {
        Ok(heard) => heard,
        Err(why) => return Told::maybe(format!("the answer {why}")),
    };
    if is_of_another(&heard, due.number) {
        return Told {
            result: Some(heard.code),
            flag: Some(Flag::EchoedNumberDiffers),
            ..Told::maybe("the answer is about another number".to_owned())
        };
    }
    let words = heard.comment.as_deref().unwrap_or_default();
    let Some(meaning) = heard.meaning else {
        return Told {
            error: Some(format!("the profile does not say what {} means: {words}", heard.code)),
            result: Some(heard.code),
            ..Told::maybe(String::new())
        };
    };
    let verdict = verdict(act, meaning);
    let credited = act != Act::Cancel && matches!(verdict, Verdict::Accepted | Verdict::AlreadyAccepted);
    let other_sum = heard
        .amount
        .as_ref()
        .filter(|echoed| credited && !is_the_sum(echoed, due));
    Told {
        error: match other_sum {
            Some(echoed) => Some(format!("{}: the payee says that it credited {echoed}", heard.code)),
            None if credited => None,
            None => Some(format!("{}: {words}", heard.code).trim_end_matches(": ").to_owned()),
        },
        flag: other_sum.map(|_| Flag::EchoedAmountDiffers),
        result: Some(heard.code.clone()),
        provider_reference: heard.reference.clone(),
        ..Told::bare(Ending::Answered(verdict))
    }
}

fn is_of_another(heard: &Heard, asked: Number) -> bool {
    let echoed = heard.number.as_deref();
    echoed.is_some_and(|echoed| Number::parse(echoed).ok() != Some(asked))
}

fn is_the_sum(echoed: &Sum, due: &Due) -> bool {
    let currency = Currency::parse(&due.currency).ok();
    let credited = currency.and_then(|currency| echoed.amount(currency));
    credited.is_some_and(|credited| credited.minor() == due.amount)
}

fn verdict(act: Act, meaning: Meaning) -> Verdict {
    use Meaning as M;
    match meaning {
        M::Success | M::AlreadyDone if act == Act::Cancel => Verdict::Cancelled,
        M::Success => Verdict::Accepted,
        M::AlreadyDone => Verdict::AlreadyAccepted,
        M::Pending => Verdict::Pending,
        M::Unfinished => Verdict::Unfinished,
        M::Retry => Verdict::TryLater,
        M::Refused | M::AccountNotFound | M::AccountInactive | M::AmountOutOfRange => Verdict::Refused,
        M::NotFound => Verdict::NotFound,
        M::Cancelled => Verdict::Cancelled,
        M::NumberConflict => Verdict::NumberConflict,
    }
}

/// What an answer to a check says. An error: the payee cannot say now, or cannot be understood.
pub(super) fn checked(payee: &Payee, number: Option<Number>, heard: Heard) -> Result<CheckAnswer, String> {
    use Meaning as M;
    if number.is_some_and(|number| is_of_another(&heard, number)) {
        return Err("is about another number".to_owned());
    }
    let refused = |reason: &str| CheckAnswer {
        reason: Some(reason.to_owned()),
        ..CheckAnswer::bare(number, CheckResult::Refused)
    };
    let words = || heard.comment.clone().unwrap_or_else(|| heard.code.clone());
    match heard.meaning {
        Some(M::Success | M::AlreadyDone) => Ok(CheckAnswer {
            display: heard.comment.clone(),
            amount_due: heard
                .amount_due
                .as_ref()
                .and_then(|due| due.amount(payee.currency))
                .map(|due| due.minor()),
            ..CheckAnswer::bare(number, CheckResult::Payable)
        }),
        Some(M::AccountNotFound | M::NotFound) => Ok(refused(Reason::AccountNotFound.as_str())),
        Some(M::AccountInactive) => Ok(refused(Reason::AccountInactive.as_str())),
        Some(M::AmountOutOfRange) => Ok(refused(Reason::AmountOutOfRange.as_str())),
        Some(M::Refused | M::Cancelled | M::NumberConflict) => Ok(refused(&words())),
        Some(M::Pending | M::Unfinished | M::Retry) => Err(format!("puts it off: {}", words())),
        None => Err(format!(
            "has the code {}, of which the profile does not say what it means",
            heard.code
        )),
    }
}
