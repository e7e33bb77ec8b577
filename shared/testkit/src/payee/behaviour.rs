//! What a request can meet.

use std::time::Duration;

use serde_json::Value;

/// What happens to one request. Unless it says so, a behaviour that spoils the answer credits nothing;
/// [`Behaviour::after_credit`] makes it strike after the request was carried out.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Behaviour {
    /// It is carried out and answered as the ledger says.
    #[default]
    Accept,
    /// It is carried out and answered `already_accepted` (`already_cancelled`), even the first time.
    AlreadyAccepted,
    /// A pay is remembered and waits for `settle` or `refuse`; the answer is `pending`.
    Pending,
    /// `refused`, with this reason.
    Refuse(String),
    /// `not_found`.
    NotFound,
    /// 200 with this body; the number is added where it is missing.
    Answer(Value),
    /// This status, with an unreadable body.
    Status {
        /// The status code.
        code: u16,
        /// Headers, for example `Retry-After`.
        headers: Vec<(String, String)>,
    },
    /// 200 without a body.
    Empty,
    /// 200 with a page of HTML.
    NotJson,
    /// 200 with a good answer of more than 64 KiB.
    Huge,
    /// A good answer about another number.
    WrongNumber,
    /// Carried out; the answer echoes another sum.
    OtherSum,
    /// Carried out; white space comes before the answer.
    WhiteSpace,
    /// Carried out; the answer's names are in capitals.
    Capitals,
    /// Carried out; the answer is plain text.
    PlainText,
    /// Not carried out, and to be sent again later.
    Later,
    /// 500 without a body: the database is down.
    DatabaseDown,
    /// A good answer with a result nobody has heard of.
    UnknownResult,
    /// No answer, while the connection stays open.
    Hang,
    /// Carried out, then no answer.
    HangAfterCredit,
    /// The connection is reset before the body is read.
    ResetBeforeRead,
    /// Carried out, then the connection is reset.
    ResetAfterCredit,
    /// Carried out at once, answered after this time.
    Delay(Duration),
    /// Carried out at once, answered when the test calls `release`.
    Hold,
    /// Carried out, then this one.
    AfterCredit(Box<Behaviour>),
}

impl Behaviour {
    /// This status code, without special headers.
    pub fn status(code: u16) -> Self {
        Self::Status {
            code,
            headers: Vec::new(),
        }
    }

    /// 503 with `Retry-After`.
    pub fn busy(retry_after_seconds: u32) -> Self {
        Self::Status {
            code: 503,
            headers: vec![("retry-after".to_owned(), retry_after_seconds.to_string())],
        }
    }

    /// The request is carried out first; then this one spoils the answer.
    #[must_use]
    pub fn after_credit(self) -> Self {
        Self::AfterCredit(Box::new(self))
    }
}
