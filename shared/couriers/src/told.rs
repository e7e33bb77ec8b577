//! What came of a call, as the plan and the record need it, whatever the gateway.

use std::time::Duration;

use domain::delivery::{Ending, Flag, Verdict};
use domain::limits::RETRY_AFTER_MAX_SECONDS;

/// The longest piece of an answer that is kept for operators, in bytes.
const KEPT: usize = 2000;
/// The longest words of a payee that are kept, in characters.
const WORDS_MAX: usize = 1000;

/// What came of a call, read.
#[derive(Debug)]
pub struct Told {
    /// How the call ended.
    pub ending: Ending,
    /// The payee's word, for operators.
    pub result: Option<String>,
    /// What went wrong, for operators.
    pub error: Option<String>,
    /// What is echoed and is not what was sent.
    pub flag: Option<Flag>,
    /// The payee's own name for the payment.
    pub provider_reference: Option<String>,
    /// What operators may read of the answer; see [`kept`].
    pub response: Option<String>,
    /// The status, where HTTP was spoken.
    pub http_status: Option<u16>,
    /// What the payee asks us to wait.
    pub retry_after_seconds: Option<u32>,
    /// That is about every call, and not about this payment alone.
    pub busy: bool,
    /// The call ran into its timeout (or broke): the payee may be busy with it still.
    pub lost: bool,
    /// Something of ours went wrong: it says nothing about the payee.
    pub ours: Option<Ours>,
}

/// What of ours keeps us from calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ours {
    /// This call alone: its process stood still, or vanished.
    Passing,
    /// What the payee is called with cannot be had or used here, or what is asked cannot be put into its words: the next call will not be
    /// made either, until somebody sees to it.
    Lasting,
}

impl Told {
    /// Only how it ended.
    pub fn bare(ending: Ending) -> Self {
        Self {
            ending,
            result: None,
            error: None,
            flag: None,
            provider_reference: None,
            response: None,
            http_status: None,
            retry_after_seconds: None,
            busy: false,
            lost: false,
            ours: None,
        }
    }

    /// A call that was not made: no byte left us.
    pub fn not_sent(why: String) -> Self {
        Self {
            error: Some(why),
            ..Self::bare(Ending::NotSent)
        }
    }

    /// The same, for a reason that has nothing to do with the payee and stays.
    pub fn not_made(why: String) -> Self {
        Self {
            ours: Some(Ours::Lasting),
            ..Self::not_sent(why)
        }
    }

    /// The same, for one that is over: its moment was missed.
    pub fn missed(why: String) -> Self {
        Self {
            ours: Some(Ours::Passing),
            ..Self::not_sent(why)
        }
    }

    /// A call whose process vanished: it may have been made.
    pub fn vanished() -> Self {
        Self {
            ours: Some(Ours::Passing),
            ..Self::maybe("the worker vanished in mid-call".to_owned())
        }
    }

    /// A payee that is there, and was asked nothing.
    pub fn present() -> Self {
        Self::bare(Ending::Answered(Verdict::Concerning))
    }

    /// No answer, or none that can be read: it may have been done.
    pub fn maybe(why: String) -> Self {
        Self {
            error: Some(why),
            ..Self::bare(Ending::Maybe { retry_safe: false })
        }
    }

    /// The same in words that a database takes, however a gateway has read them: what is refused of one of them would cost the
    /// record of the whole call, and a success be *maybe*.
    pub(crate) fn in_clean_words(self) -> Self {
        let clean = |words: Option<String>| words.map(|words| plain(&words));
        Self {
            result: clean(self.result),
            error: clean(self.error),
            provider_reference: clean(self.provider_reference),
            ..self
        }
    }

    /// Whether the payee is there: it answered, whatever it said.
    pub fn is_alive(&self) -> bool {
        matches!(self.ending, Ending::Answered(_))
    }

    /// Whether the payee is there and has only had too many calls from us at once.
    pub fn is_too_much(&self) -> bool {
        self.http_status == Some(429) && self.busy_for().is_some()
    }

    /// For how long the payee is to be left alone, by its own word; an hour at most.
    pub fn busy_for(&self) -> Option<Duration> {
        let seconds = self.retry_after_seconds.filter(|seconds| self.busy && *seconds > 0)?;
        Some(Duration::from_secs(seconds.min(RETRY_AFTER_MAX_SECONDS).into()))
    }

    /// Whether the payee took it for no request of ours, as it may take every other: a wrong secret, a clock that is off.
    pub fn is_rejection(&self) -> bool {
        matches!(self.ending, Ending::Answered(Verdict::Concerning))
    }

    /// Whether its slot can be claimed again before this is recorded. After a call without an answer it may have to rest, and the
    /// breaker comes first, as it does where the payee wants to be left alone: there the record frees it.
    pub fn frees_its_slot(&self) -> bool {
        self.is_alive() && !self.lost && self.busy_for().is_none()
    }
}

/// What an operator may read of an answer: cut, and without what a database or a terminal would choke on.
pub fn kept(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(KEPT)]);
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
        .collect()
}

fn plain(words: &str) -> String {
    words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(WORDS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_words_a_gateway_hands_on_are_such_as_a_database_takes() {
        let hostile = || Some(format!("a\0\u{1b}[2J\r\n{}", "я".repeat(WORDS_MAX)));
        let told = Told {
            result: hostile(),
            error: hostile(),
            provider_reference: hostile(),
            ..Told::present()
        };
        let clean = told.in_clean_words();
        for words in [clean.result, clean.error, clean.provider_reference] {
            let words = words.unwrap();
            assert!(words.starts_with("a  [2J  я"), "{words}");
            assert_eq!(words.chars().count(), WORDS_MAX);
        }
    }

    #[test]
    fn only_an_answer_frees_the_slot_before_it_is_recorded() {
        assert!(Told::present().frees_its_slot());
        let still_busy = Told {
            lost: true,
            ..Told::present()
        };
        let busy = Told {
            busy: true,
            retry_after_seconds: Some(7),
            ..Told::present()
        };
        let why = || "no answer".to_owned();
        for told in [
            still_busy,
            busy,
            Told::maybe(why()),
            Told::vanished(),
            Told::not_sent(why()),
            Told::not_made(why()),
            Told::missed(why()),
        ] {
            assert!(!told.frees_its_slot(), "{told:?}");
        }
    }
}
