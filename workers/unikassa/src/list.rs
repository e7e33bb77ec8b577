//! What a payee says that it credited in a period, a page at a time: for comparing its books with ours.

use contract::unikassa::{List, ListAnswer};
use couriers::{ListError, question};
use domain::declaration::Payee;
use store::Store;

use crate::client::{Caller, Wire};
use crate::heard;

/// Asks a payee for one page. It is a question like any other: it takes a slot of the payee's lane, and is refused while
/// the payee is down. The pages are had by asking again with `after` = the answer's `next`, until there is none.
pub async fn list(store: &Store, caller: &Caller, payee: &Payee, page: &List) -> Result<ListAnswer, ListError> {
    let target = caller.target(payee).await.map_err(ListError::NotOffered)?;
    let request = target.dialect.list(page).map_err(ListError::NotOffered)?;
    if payee.unikassa.as_ref().is_some_and(|profile| !profile.offers_list()) {
        let why = "the payee is declared to have no list (unikassa.offers_list = false): bring its list as a file";
        return Err(ListError::NotOffered(why.to_owned()));
    }
    let unavailable = |why: String| Err(ListError::Unavailable(why));
    let call = caller.call(&target, request, None);
    match question::ask(store, &caller.lines, payee, call, heard::of_question).await? {
        Err(why) | Ok(Wire::NotMade(why) | Wire::NotSent(why) | Wire::Lost(why)) => unavailable(why),
        Ok(Wire::Answer(answer)) if answer.status == 200 => target
            .read_list(&answer.body)
            .map_err(|why| ListError::Unavailable(format!("HTTP 200, but the answer {why}"))),
        Ok(Wire::Answer(answer)) => unavailable(format!("HTTP {}", answer.status)),
    }
}
