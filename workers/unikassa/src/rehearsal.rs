//! What the HTTP client and the signature allow at most: a loop that pays and does nothing else. `unigate bench` measures it
//! beside the worker; nothing else uses it.

use domain::declaration::Payee;
use domain::delivery::{Ending, Verdict};
use domain::payment::Act;
use store::deliveries::Due;

use crate::client::{Caller, ClientError};
use crate::heard;
use crate::profiles::Target;

/// Payees that can be paid without anybody keeping books.
#[derive(Debug)]
pub struct Bare {
    caller: Caller,
    targets: Vec<Target>,
}

impl Bare {
    /// The inner error says which declaration is not in order.
    pub fn new(payees: &[Payee]) -> Result<Result<Self, String>, ClientError> {
        let caller = Caller::new()?;
        let targets = payees.iter().map(Target::of).collect::<Result<_, _>>();
        Ok(targets.map(|targets| Self { caller, targets }))
    }

    /// Pays the payee in this place: signed, sent, and the answer read. Whether it was accepted.
    pub async fn pay(&self, payee: usize, due: &Due) -> bool {
        let dialect = &self.targets[payee].dialect;
        let Ok(request) = dialect.act(Act::Pay, due) else {
            return false;
        };
        let wire = self.caller.call(&self.targets[payee], request, None).await;
        let told = heard::of_act(
            wire,
            &self.targets[payee].mask,
            |status| dialect.judges(Act::Pay, status),
            |answer| dialect.read_act(Act::Pay, due, answer),
        );
        told.ending == Ending::Answered(Verdict::Accepted)
    }
}
