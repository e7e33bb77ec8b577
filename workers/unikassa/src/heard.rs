//! What came of a call over HTTP. What the wire says by itself is read here, the same for every dialect; what a body says is
//! read by the dialect.

use couriers::{Told, kept};
use domain::delivery::{Ending, Verdict};

use crate::client::{Answer, Wire};
use crate::mask::Mask;

/// Requests that their server did not take up: safe to repeat for everybody.
const NOT_TAKEN: [u16; 3] = [408, 425, 429];

/// By these a server says how it stands. What it asks us to wait then is about every call.
const BUSY: [u16; 2] = [429, 503];

/// What came of an act. An answer whose status the dialect `judges` is read by it; the rest is the same for all. Of one that is to be
/// read and is not all there nobody knows what it says. Nothing that goes on from here has a secret in it: whatever is read is
/// read first, and masked then.
pub(crate) fn of_act(
    wire: Wire,
    mask: &Mask,
    judges: impl FnOnce(u16) -> bool,
    read: impl FnOnce(&Answer) -> Told,
) -> Told {
    mask.told(match wire {
        Wire::NotMade(why) => Told::not_made(why),
        Wire::NotSent(why) => Told::not_sent(why),
        Wire::Lost(why) => Told {
            lost: true,
            ..Told::maybe(why)
        },
        Wire::Answer(answer) => {
            let told = match judges(answer.status) {
                true if answer.whole => read(&answer),
                true => Told::maybe(format!(
                    "HTTP {}: the answer could not be read to its end",
                    answer.status
                )),
                false => of_status(answer.status),
            };
            Told {
                http_status: Some(answer.status),
                response: Some(kept(&answer.body)),
                ..waiting(told, &answer)
            }
        }
    })
}

/// With what the payee asks us to wait.
fn waiting(told: Told, answer: &Answer) -> Told {
    Told {
        retry_after_seconds: answer.retry_after.map(|s| u32::try_from(s).unwrap_or(u32::MAX)),
        busy: BUSY.contains(&answer.status),
        ..told
    }
}

/// What came of a question, as far as it is about the payee and not about what was asked: is it there?
pub(crate) fn of_question(wire: &Wire) -> Told {
    match wire {
        Wire::NotMade(why) => Told::not_made(why.clone()),
        Wire::NotSent(why) => Told::not_sent(why.clone()),
        Wire::Lost(why) => Told {
            lost: true,
            ..Told::maybe(why.clone())
        },
        Wire::Answer(answer) if answer.status == 200 => Told::present(),
        Wire::Answer(answer) => waiting(of_status(answer.status), answer),
    }
}

/// What an HTTP status that no body explains says by itself.
fn of_status(status: u16) -> Told {
    let told = |ending, error: String| Told {
        error: Some(error),
        ..Told::bare(ending)
    };
    match status {
        code if NOT_TAKEN.contains(&code) => told(Ending::Maybe { retry_safe: true }, format!("HTTP {code}")),
        code if code >= 500 => Told::maybe(format!("HTTP {code}")),
        code => told(
            Ending::Answered(Verdict::Concerning),
            format!("HTTP {code}: the payee does not take this request; see its URL and secret"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_is_busy_is_left_alone_for_as_long_as_it_asks_and_no_longer_than_an_hour() {
        let told = |status, retry_after| {
            let answer = || Answer {
                status,
                retry_after,
                body: Vec::new(),
                whole: true,
            };
            let asked = of_question(&Wire::Answer(answer()));
            let acted = of_act(
                Wire::Answer(answer()),
                &Mask::of(&[], None),
                |_| false,
                |_| Told::present(),
            );
            assert_eq!(asked.busy_for(), acted.busy_for(), "{status} {retry_after:?}");
            assert_eq!(acted.retry_after_seconds.is_some(), retry_after.is_some());
            let waits = acted.busy_for().is_some();
            assert_eq!(
                acted.is_too_much(),
                waits && status == 429,
                "one that is not available is down"
            );
            acted.busy_for()
        };
        for status in [429, 503] {
            assert_eq!(told(status, Some(7)), Some(Duration::from_secs(7)));
            assert_eq!(told(status, Some(u64::MAX)), Some(Duration::from_secs(3600)));
            assert_eq!((told(status, Some(0)), told(status, None)), (None, None));
        }
        // About this request alone.
        assert_eq!((told(500, Some(7)), told(202, Some(7))), (None, None));
    }
}
