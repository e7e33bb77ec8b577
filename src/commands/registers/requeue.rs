//! `unigate registers requeue` and `forgo`: what failed is done again, or not waited for any longer.

use contract::event::RegisterEvent;
use domain::declaration::parse_mail_address;
use domain::ids::RegisterId;
use runtime::tell_register;
use serde_json::json;
use store::StoreError;
use store::audit::Act;
use store::mailings::{self, Forgone, Requeue, Requeued};
use store::registers::{self, Listed};

use super::find;
use crate::ending::{Ending, Outcome};
use crate::operator::{Operator, reason};
use crate::output::say;

/// What to do again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The register
    #[arg(value_name = "ID", value_parser = RegisterId::parse)]
    register: RegisterId,
    /// Only the mail to this recipient
    #[arg(long, value_name = "MAIL")]
    recipient: Option<String>,
    /// And to this address in its place
    #[arg(long, value_name = "MAIL", value_parser = parse_mail_address, requires = "recipient")]
    instead: Option<String>,
    /// Only one that could not be built: build it as the payee is declared now, and not as it was when the range was closed
    #[arg(long, conflicts_with = "recipient")]
    as_declared_now: bool,
}

/// Whom not to wait for.
#[derive(Debug, clap::Args)]
pub(crate) struct ForgoArgs {
    /// The register
    #[arg(value_name = "ID", value_parser = RegisterId::parse)]
    register: RegisterId,
    /// A mail address, or directory:PATH, as `registers show` has it
    #[arg(long, value_name = "MAIL")]
    recipient: String,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

/// What failed is done again: without a file it was the build, with one the mail. Workers find it by themselves.
pub(super) async fn run(operator: &Operator, args: &Args) -> Outcome {
    let id = args.register;
    let register = find(operator, id).await?;
    let requeued = if args.as_declared_now {
        let built = registers::requeue_build_as_declared(&operator.store, id, &operator.who).await;
        built.map(|version| format!("register {id} will be built with version {version} of its payee"))
    } else if register.parts == 0 && args.recipient.is_none() {
        let built = registers::requeue_build(&operator.store, id, &operator.who).await;
        built.map(|()| format!("register {id} will be built again"))
    } else {
        let wanted = Requeue {
            register: id,
            recipient: args.recipient.as_deref(),
            instead: args.instead.as_deref(),
            who: &operator.who,
        };
        mail(operator, &register, &wanted).await
    };
    let act = Act {
        who: &operator.who,
        act: "registers requeue",
        subject_kind: "register",
        subject: &id.to_string(),
        reason: None,
        before: Some(json!({ "state": register.state, "payee_version": register.payee_version })),
        after: Some(json!({ "as_declared_now": args.as_declared_now })),
    };
    match requeued {
        Ok(done) => say(done)?,
        Err(error) => return Err(operator.denied(act, error).await),
    }
    Ok(Ending::Done)
}

async fn mail(operator: &Operator, register: &Listed, wanted: &Requeue<'_>) -> Result<String, StoreError> {
    let tx = operator.store.begin().await?;
    let Requeued { mails, mailed } = mailings::requeue(&tx, wanted).await?;
    if mailed {
        tell_register(&tx, RegisterEvent::Mailed, &register.summary, None).await?;
    }
    tx.commit().await?;
    let id = wanted.register;
    Ok(if mailed {
        format!("register {id}: everybody has it whom it is for now: it is mailed")
    } else {
        format!("register {id} will be mailed again, in {mails} mails")
    })
}

/// The others have it, or will.
pub(super) async fn forgo(operator: &Operator, args: &ForgoArgs) -> Outcome {
    let id = args.register;
    let register = find(operator, id).await?;
    let tx = operator.store.begin().await?;
    let wanted = Forgone {
        register: id,
        recipient: &args.recipient,
        reason: &args.reason,
        who: &operator.who,
    };
    let mailed = match mailings::forgo(&tx, &wanted).await {
        Ok(mailed) => mailed,
        Err(error) => {
            drop(tx);
            let act = Act {
                who: &operator.who,
                act: "registers forgo",
                subject_kind: "register",
                subject: &id.to_string(),
                reason: Some(&args.reason),
                before: Some(json!({ "state": register.state, "recipient": args.recipient })),
                after: None,
            };
            return Err(operator.denied(act, error).await);
        }
    };
    if mailed {
        tell_register(&tx, RegisterEvent::Mailed, &register.summary, None).await?;
    }
    tx.commit().await?;
    let rest = if mailed {
        "the others have it: it is mailed"
    } else {
        "it waits for the others"
    };
    say(format!("register {id} goes no more to {}; {rest}", args.recipient))?;
    Ok(Ending::Done)
}
