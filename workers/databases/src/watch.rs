//! Files are looked at now and then, also when nobody asks: a new one is there before the next payer is, and one that cannot be
//! used is told of at once.

use std::sync::Arc;
use std::time::Duration;

use domain::declaration::Payee;
use futures::future::join_all;
use runtime::{Context, Nudge, sweep};
use store::StoreError;
use store::notices::{self, NewNotice};

use crate::file::Looked;
use crate::gateway::Databases;
use crate::source::Place;

/// How often it is asked whether it is time to look at any.
const EVERY: Duration = Duration::from_secs(1);

/// Looks at the files of all payees that have one.
pub(crate) fn spawn(context: &Context, gateway: &Arc<Databases>) {
    let gateway = gateway.clone();
    sweep::every(context, "databases.files", EVERY, move |context| {
        let gateway = gateway.clone();
        async move {
            let declarations = context.declarations().await?;
            let payees = declarations.payees.values().map(|declared| &*declared.value);
            // At once: one that hangs keeps no other waiting.
            let looks = join_all(payees.map(|payee| look(&context, &gateway, payee))).await;
            looks.into_iter().collect()
        }
    });
}

async fn look(context: &Context, gateway: &Databases, payee: &Payee) -> Result<(), StoreError> {
    let has_file = payee.databases.as_deref().is_some_and(|profile| profile.file.is_some());
    if !has_file {
        return Ok(());
    }
    let Ok(source) = gateway.sources.of(payee).await else {
        return Ok(());
    };
    let Place::File(listed) = &source.place else {
        return Ok(());
    };
    listed.look_and_tell(|news| tell(context, payee, news)).await
}

/// Fails where it could not be stored: nobody has been told then.
async fn tell(context: &Context, payee: &Payee, news: Looked) -> Result<(), StoreError> {
    match news {
        Looked::Same => Ok(()),
        Looked::Replaced(rows) => {
            tracing::info!(payee = %payee.id, rows, "the payee's file was read");
            metrics::gauge!("unigate_payee_file_rows", "payee" => payee.id.to_string()).set(rows as f64);
            Ok(())
        }
        Looked::Refused(why) => {
            let tx = context.store.begin().await?;
            notices::add(&tx, &notice(payee, why.clone())).await?;
            tx.commit().await?;
            context.nudge(Nudge::Notices);
            tracing::error!(payee = %payee.id, why, "the payee's file cannot be used: what was read before stays");
            metrics::counter!("unigate_payee_files_refused_total", "payee" => payee.id.to_string()).increment(1);
            Ok(())
        }
    }
}

fn notice(payee: &Payee, why: String) -> NewNotice<'_> {
    NewNotice {
        kind: "payee.file_refused",
        subject: payee.id.as_str(),
        title: format!("The file of payee {} cannot be used", payee.id),
        lines: vec![
            format!("Payee: {}", payee.name),
            why,
            "What was read before stays; it is read again when it changes".to_owned(),
            format!("To look at it: unigate databases check-config {}", payee.id),
        ],
        mail_to: &[],
    }
}
