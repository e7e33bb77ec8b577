//! What came of a call, as the plan and the record need it, whatever the dialect. What the wire says by itself is read
//! here, the same for all; what a body says is read by the dialect.

use domain::delivery::{Ending, Flag, Verdict};

use crate::client::{Answer, Wire};

/// The longest piece of an answer that is kept for operators, in bytes.
const KEPT: usize = 2000;
/// Requests that their server did not take up: safe to repeat for everybody.
const NOT_TAKEN: [u16; 3] = [408, 425, 429];

/// What came of a call, read.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) ending: Ending,
    /// The payee's word, for operators.
    pub(crate) result: Option<String>,
    pub(crate) error: Option<String>,
    /// What is echoed and is not what was sent.
    pub(crate) flag: Option<Flag>,
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
    pub(crate) fn bare(ending: Ending) -> Self {
        Self {
            ending,
            result: None,
            error: None,
            flag: None,
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
        Self {
            ours: true,
            ..Self::maybe("the worker vanished in mid-call".to_owned())
        }
    }

    /// A payee that is there, and was asked nothing.
    pub(crate) fn present() -> Self {
        Self::bare(Ending::Answered(Verdict::Concerning))
    }

    /// No answer, or none that can be read: it may have been done.
    pub(crate) fn maybe(why: String) -> Self {
        Self {
            error: Some(why),
            ..Self::bare(Ending::Maybe { retry_safe: false })
        }
    }

    /// Whether the payee is there: it answered, whatever it said.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.ending, Ending::Answered(_))
    }

    /// What came of an act. An answer whose status the dialect `judges` is read by it; the rest is the same for all.
    pub(crate) fn of_act(wire: Wire, judges: impl FnOnce(u16) -> bool, read: impl FnOnce(&Answer) -> Self) -> Self {
        match wire {
            Wire::NotSent(why) => Self::not_sent(why),
            Wire::Lost(why) => Self {
                lost: true,
                ..Self::maybe(why)
            },
            Wire::Answer(answer) => {
                let told = if judges(answer.status) {
                    read(&answer)
                } else {
                    of_status(answer.status)
                };
                Self {
                    http_status: Some(answer.status),
                    response: Some(kept(&answer.body)),
                    retry_after_seconds: answer.retry_after.map(|s| u32::try_from(s).unwrap_or(u32::MAX)),
                    ..told
                }
            }
        }
    }

    /// What came of a question, as far as it is about the payee and not about what was asked: is it there?
    pub(crate) fn of_question(wire: &Wire) -> Self {
        match wire {
            Wire::NotSent(why) => Self::not_sent(why.clone()),
            Wire::Lost(why) => Self {
                lost: true,
                ..Self::maybe(why.clone())
            },
            Wire::Answer(answer) if answer.status == 200 => Self::present(),
            Wire::Answer(answer) => of_status(answer.status),
        }
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

/// What an operator may read of an answer: cut, and without what a database or a terminal would choke on.
fn kept(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(KEPT)]);
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
        .collect()
}
