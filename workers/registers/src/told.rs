//! Notices of this worker: that a register shows some text otherwise than it came, in the transaction that records the file;
//! and that its files would lie among those of another installation.

use std::time::Duration;

use artifacts::MARK;
use formats::Report;
use store::notices::{self, NewNotice};
use store::registers::Summary;
use store::{Store, StoreError, Tx};

/// The place for files is looked at every few minutes; people are told again after so long.
const FOREIGN_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// Says which payments and columns, as far as they are named. A file that shows everything as it came is nobody's business.
pub(crate) async fn tell_changes(tx: &Tx, about: &Summary, report: &Report) -> Result<(), StoreError> {
    if report.is_clean() {
        return Ok(());
    }
    let Summary {
        register_id,
        payee,
        sequence,
        ..
    } = about;
    let mut lines = vec![
        format!(
            "Register: {register_id}, {} {sequence} of series {}",
            about.kind(),
            about.series
        ),
        format!("Characters with a substitute: {}", report.substituted),
        format!("Texts that were cut: {}", report.cut),
    ];
    lines.extend(report.first.iter().map(ToString::to_string));
    let notice = NewNotice {
        kind: "register.changed_text",
        subject: &register_id.to_string(),
        title: format!("A register of payee {payee} shows some text otherwise than it came"),
        lines,
        mail_to: &[],
    };
    notices::add(tx, &notice).await
}

/// Says that the place which `UNIGATE_ARTIFACTS_URL` names is another installation's, and what to do about it.
pub(crate) async fn tell_foreign_place(store: &Store, place: &str, why: &str) -> Result<(), StoreError> {
    const KIND: &str = "artifacts.foreign";
    let ours = store::installation::id(store).await?;
    let tx = store.begin().await?;
    if notices::was_told(&tx, KIND, place, FOREIGN_AGAIN).await? {
        return Ok(());
    }
    let notice = NewNotice {
        kind: KIND,
        subject: place,
        title: format!("{place}, where large files of registers should lie, is another installation's"),
        lines: vec![
            format!("What shows it: {why}"),
            "Nothing is deleted there, and large registers wait to be built.".to_owned(),
            "Let UNIGATE_ARTIFACTS_URL name a place of this installation's own.".to_owned(),
            format!("If it is this one's after all, let {place}/{MARK} say {ours}"),
        ],
        mail_to: &[],
    };
    notices::add(&tx, &notice).await?;
    tx.commit().await
}
