//! The seam between the gateway and what payees speak. A dialect turns what is asked into a request and an answer into
//! [`Told`]; the client carries requests and knows no dialect; courier, record, breaker and plan know neither.
//!
//! **To add a dialect**: a word in `domain::declaration::Dialect` with what its profile needs, checked there; a file here
//! with a type that has what its requests are made of, and [`Dialect`] for it; a line in [`of`]; and a run of the
//! conformance suite. What it must keep:
//! - the number is the same for every attempt; it goes out with every act;
//! - what cannot be understood is [`Told::maybe`], never a refusal: money may have been credited;
//! - an answer that echoes another number is about another payment, whatever it says.

mod heard;
mod osmp;
mod template;
#[cfg(test)]
mod tests;
mod unikassa;

use std::fmt;
use std::sync::Arc;

use contract::message::PaymentCheck;
use contract::unikassa::{CheckAnswer, List, ListAnswer};
use domain::declaration::{Dialect as Word, Payee, UnikassaProfile};
use domain::ids::Number;
use domain::payment::Act;
use reqwest::Method;
use store::deliveries::Due;
use url::Url;

use crate::client::Answer;
use crate::profiles::Fetched;
use couriers::Told;

/// A request, ready to be sent: nothing in it is the client's business.
#[derive(Clone)]
pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Names and values; the client adds only what belongs to the connection and the trace.
    pub(crate) headers: Vec<(String, String)>,
    /// Empty for none.
    pub(crate) body: Vec<u8>,
    /// What operators may read of it: what was asked, without any secret.
    pub(crate) shown: String,
}

/// Headers may carry secrets.
impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.shown)
    }
}

/// What one kind of payee speaks. A value is made for one payee and one call, with its secrets fetched, so that what
/// must be fresh (a signature, a time) is made anew each time.
///
/// Errors are sentences for operators. None of these functions does any I/O.
pub(crate) trait Dialect: fmt::Debug + Send + Sync {
    /// The request of an act about a payment. An error means that nothing is sent.
    fn act(&self, act: Act, due: &Due) -> Result<HttpRequest, String>;

    /// Whether an answer with this HTTP status is read; what any other means is the same for every dialect.
    fn judges(&self, _: Act, status: u16) -> bool {
        status == 200
    }

    /// What such an answer says.
    fn read_act(&self, act: Act, due: &Due, answer: &Answer) -> Told;

    /// Whether a check needs the number that the payment will have.
    fn number_at_check(&self) -> bool {
        false
    }

    /// The request of a check.
    fn check(&self, asked: &PaymentCheck, number: Option<Number>) -> Result<HttpRequest, String>;

    /// Whether an answer to it with this HTTP status is read.
    fn judges_check(&self, status: u16) -> bool {
        status == 200
    }

    /// What such an answer says. An error: the payee cannot say now, or cannot be understood.
    fn read_check(&self, number: Option<Number>, answer: &Answer) -> Result<CheckAnswer, String>;

    /// The request for a page of what was credited in a period. An error: there is none in this dialect.
    fn list(&self, page: &List) -> Result<HttpRequest, String>;

    /// What was answered to it.
    fn read_list(&self, body: &[u8]) -> Result<ListAnswer, String>;

    /// A request that costs nobody anything and needs no more than a number, to see whether a payee that was down is
    /// back. `None`: a request for nothing will do.
    fn probe(&self, _: Number) -> Option<HttpRequest> {
        None
    }

    /// What was answered to it; only whether the payee is there counts.
    fn read_probe(&self, _: Number, _: &Answer) -> Told {
        Told::present()
    }
}

/// What a payee speaks with these secrets, or why it cannot be spoken to: something an operator has to set right.
pub(crate) fn of(payee: &Payee, profile: &UnikassaProfile, secrets: Fetched) -> Result<Arc<dyn Dialect>, String> {
    let template = |secret| template::Template::new(payee.clone(), profile.clone(), secret);
    Ok(match profile.dialect {
        Word::Unikassa => Arc::new(unikassa::Unikassa::new(profile.clone(), secrets.signing()?)),
        Word::Osmp => Arc::new(osmp::Osmp::new(
            payee.clone(),
            profile.clone(),
            template(secrets.secret),
        )),
        Word::Template => Arc::new(template(secrets.secret)),
    })
}
