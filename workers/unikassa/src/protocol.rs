//! Our own protocol: what is sent for each act, and what an answer means for the plan.

use contract::unikassa::{
    Cancel, CancelAnswer, CancelResult, Pay, PayAnswer, PayResult, Request, Status, StatusAnswer, StatusResult,
    Unreadable, reason,
};
use domain::Invalid;
use domain::delivery::{Ending, Verdict};
use domain::ids::Number;
use domain::money::{Amount, Currency};
use domain::payment::Act;
use domain::text::{Account, Fields};
use store::deliveries::Due;

use crate::client::Wire;

/// The longest piece of an answer that is kept for operators, in bytes.
const KEPT: usize = 2000;
/// Requests that their server did not take up: safe to repeat for everybody.
const NOT_TAKEN: [u16; 3] = [408, 425, 429];

/// The request of an act.
pub(crate) fn request(act: Act, due: &Due) -> Result<Request, Invalid> {
    Ok(match act {
        Act::Pay => Request::Pay(Pay {
            number: due.number,
            payment_id: due.payment_id,
            account: Account::new(due.account.as_str())?,
            amount: Amount::new(due.amount)?,
            currency: Currency::parse(&due.currency)?,
            paid_at: due.paid_at,
            fields: fields_of(due)?,
        }),
        Act::Status => Request::Status(Status { number: due.number }),
        Act::Cancel => Request::Cancel(Cancel {
            number: due.number,
            reason: due
                .revoke_reason
                .clone()
                .unwrap_or_else(|| "revoked by the terminal".to_owned()),
        }),
    })
}

fn fields_of(due: &Due) -> Result<Fields, Invalid> {
    serde_json::from_value(due.fields.clone()).map_err(|error| Invalid::new("fields", error.to_string()))
}

/// What came of a call, read.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) ending: Ending,
    /// The payee's word, for operators.
    pub(crate) result: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) provider_reference: Option<String>,
    pub(crate) response: Option<String>,
    pub(crate) http_status: Option<u16>,
    pub(crate) retry_after_seconds: Option<u32>,
    /// The call ran into its timeout (or broke): the payee may be busy with it still.
    pub(crate) lost: bool,
    /// Something of ours went wrong: it says nothing about the payee.
    pub(crate) ours: bool,
}

impl Told {
    fn bare(ending: Ending) -> Self {
        Self {
            ending,
            result: None,
            error: None,
            provider_reference: None,
            response: None,
            http_status: None,
            retry_after_seconds: None,
            lost: false,
            ours: false,
        }
    }

    /// A call that was not made: no byte left us.
    pub(crate) fn not_sent(why: String) -> Self {
        Self {
            error: Some(why),
            ..Self::bare(Ending::NotSent)
        }
    }

    /// The same, for a reason that has nothing to do with the payee.
    pub(crate) fn not_made(why: String) -> Self {
        Self {
            ours: true,
            ..Self::not_sent(why)
        }
    }

    /// A call whose process vanished: it may have been made.
    pub(crate) fn vanished() -> Self {
        let why = "the worker vanished in mid-call".to_owned();
        Self {
            error: Some(why),
            ours: true,
            ..Self::bare(Ending::Maybe { retry_safe: false })
        }
    }

    /// A payee that is there, and was asked nothing.
    pub(crate) fn present() -> Self {
        Self::bare(Ending::Answered(Verdict::Concerning))
    }

    /// Whether the payee is there: it answered, whatever it said.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.ending, Ending::Answered(_))
    }
}

/// Reads what came back from a call about `number`.
pub(crate) fn read(act: Act, number: Number, wire: Wire) -> Told {
    match wire {
        Wire::NotSent(why) => Told::not_sent(why),
        Wire::Lost(why) => Told {
            error: Some(why),
            lost: true,
            ..Told::bare(Ending::Maybe { retry_safe: false })
        },
        Wire::Answer {
            status,
            retry_after,
            body,
        } => {
            let told = match status {
                200 => read_body(act, number, &body),
                code if NOT_TAKEN.contains(&code) => Told {
                    error: Some(format!("HTTP {code}")),
                    ..Told::bare(Ending::Maybe { retry_safe: true })
                },
                code if code >= 500 => Told {
                    error: Some(format!("HTTP {code}")),
                    ..Told::bare(Ending::Maybe { retry_safe: false })
                },
                code => Told {
                    error: Some(format!(
                        "HTTP {code}: the payee does not take this request; see its URL and secret"
                    )),
                    ..Told::bare(Ending::Answered(Verdict::Concerning))
                },
            };
            Told {
                http_status: Some(status),
                response: Some(kept(&body)),
                retry_after_seconds: retry_after.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
                ..told
            }
        }
    }
}

/// Reads what came back from a check: whether the payee is there, and the body when there is one to read.
pub(crate) fn read_check(wire: Wire) -> (Told, Option<Vec<u8>>) {
    match wire {
        Wire::NotSent(why) => (Told::not_sent(why), None),
        Wire::Lost(why) => (
            Told {
                error: Some(why),
                lost: true,
                ..Told::bare(Ending::Maybe { retry_safe: false })
            },
            None,
        ),
        Wire::Answer { status: 200, body, .. } => (Told::bare(Ending::Answered(Verdict::Accepted)), Some(body)),
        Wire::Answer { status, .. } => {
            let alive = status < 500 && !NOT_TAKEN.contains(&status);
            let ending = if alive {
                Ending::Answered(Verdict::Concerning)
            } else {
                Ending::Maybe { retry_safe: true }
            };
            (
                Told {
                    error: Some(format!("HTTP {status}")),
                    ..Told::bare(ending)
                },
                None,
            )
        }
    }
}

fn read_body(act: Act, number: Number, body: &[u8]) -> Told {
    let answer = match act {
        Act::Pay => PayAnswer::read(body, number).map(of_pay),
        Act::Status => StatusAnswer::read(body, number).map(of_status),
        Act::Cancel => CancelAnswer::read(body, number).map(of_cancel),
    };
    answer.unwrap_or_else(|unreadable: Unreadable| Told {
        error: Some(format!("HTTP 200, but the answer {unreadable}")),
        ..Told::bare(Ending::Maybe { retry_safe: false })
    })
}

fn of_pay(answer: PayAnswer) -> Told {
    let conflict = answer.reason.as_deref() == Some(reason::NUMBER_CONFLICT);
    let verdict = match answer.result {
        PayResult::Accepted => Verdict::Accepted,
        PayResult::AlreadyAccepted => Verdict::AlreadyAccepted,
        PayResult::Pending => Verdict::Pending,
        PayResult::Refused if conflict => Verdict::NumberConflict,
        PayResult::Refused => Verdict::Refused,
    };
    said(
        verdict,
        answer.result.as_str(),
        answer.reason,
        answer.provider_reference,
    )
}

fn of_status(answer: StatusAnswer) -> Told {
    let verdict = match answer.result {
        StatusResult::Accepted => Verdict::Accepted,
        StatusResult::Pending => Verdict::Pending,
        StatusResult::Refused => Verdict::Refused,
        StatusResult::Cancelled => Verdict::Cancelled,
        StatusResult::NotFound => Verdict::NotFound,
    };
    said(
        verdict,
        answer.result.as_str(),
        answer.reason,
        answer.provider_reference,
    )
}

fn of_cancel(answer: CancelAnswer) -> Told {
    let verdict = match answer.result {
        CancelResult::Cancelled | CancelResult::AlreadyCancelled => Verdict::Cancelled,
        CancelResult::Refused => Verdict::Refused,
        CancelResult::NotFound => Verdict::NotFound,
    };
    said(verdict, answer.result.as_str(), answer.reason, None)
}

fn said(verdict: Verdict, result: &str, reason: Option<String>, provider_reference: Option<String>) -> Told {
    let error = reason.map(|reason| format!("{result}: {reason}"));
    Told {
        result: Some(result.to_owned()),
        error,
        provider_reference,
        ..Told::bare(Ending::Answered(verdict))
    }
}

/// What an operator may read of an answer: cut, and without what a database or a terminal would choke on.
fn kept(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(KEPT)]);
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Wire, read};
    use domain::delivery::{Ending, Verdict};
    use domain::ids::Number;
    use domain::payment::Act;

    fn ending(act: Act, status: u16, body: &str) -> Ending {
        let wire = Wire::Answer {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        };
        read(act, Number::new(7).unwrap(), wire).ending
    }

    #[test]
    fn every_answer_has_one_of_three_ends() {
        let maybe = Ending::Maybe { retry_safe: false };
        for (status, body, expected) in [
            (
                200,
                r#"{"number":"7","result":"accepted"}"#,
                Ending::Answered(Verdict::Accepted),
            ),
            (
                200,
                r#"{"number":"7","result":"pending"}"#,
                Ending::Answered(Verdict::Pending),
            ),
            (
                200,
                r#"{"number":"7","result":"refused","reason":"closed"}"#,
                Ending::Answered(Verdict::Refused),
            ),
            (
                200,
                r#"{"number":"7","result":"refused","reason":"number_conflict"}"#,
                Ending::Answered(Verdict::NumberConflict),
            ),
            (200, r#"{"number":"8","result":"accepted"}"#, maybe),
            (200, r#"{"result":"accepted"}"#, maybe),
            (200, r#"{"number":"7","result":"splendid"}"#, maybe),
            (200, "", maybe),
            (200, "<html>", maybe),
            (
                201,
                r#"{"number":"7","result":"accepted"}"#,
                Ending::Answered(Verdict::Concerning),
            ),
            (302, "", Ending::Answered(Verdict::Concerning)),
            (401, "", Ending::Answered(Verdict::Concerning)),
            (408, "", Ending::Maybe { retry_safe: true }),
            (429, "", Ending::Maybe { retry_safe: true }),
            (500, "", maybe),
            (503, "", maybe),
        ] {
            assert_eq!(ending(Act::Pay, status, body), expected, "{status} {body}");
        }
        assert_eq!(
            ending(Act::Status, 200, r#"{"number":"7","result":"not_found"}"#),
            Ending::Answered(Verdict::NotFound)
        );
        assert_eq!(
            ending(Act::Cancel, 200, r#"{"number":"7","result":"already_cancelled"}"#),
            Ending::Answered(Verdict::Cancelled)
        );
    }
}
