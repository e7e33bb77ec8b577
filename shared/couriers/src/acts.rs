//! Acts of operators on many payments, carried on: the command that began one may be gone.

use runtime::sweep::{self, Swept};
use runtime::{Context, Nudge};
use store::StoreError;
use store::acts::{self, Step};

use crate::nudge_all;

/// Carries out what is there, a part at a time.
pub(crate) fn spawn(context: &Context, name: &'static str) {
    sweep::spawn(
        context,
        name,
        Nudge::Acts,
        |context| async move { carry_on(&context).await },
    );
}

async fn carry_on(context: &Context) -> Result<Swept, StoreError> {
    match acts::carry_out(&context.store, &context.worker, None).await? {
        Step::Carried(_) => {
            nudge_all(context);
            Ok(Swept::More)
        }
        Step::Later(pause) => Ok(Swept::Next(pause)),
        Step::Idle => Ok(Swept::Idle),
    }
}
