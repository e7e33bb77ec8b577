//! Notices of this worker: that a register shows some text otherwise than it came, in the transaction that records the file;
//! and that the place for its files is another installation's, or bare.

use std::time::Duration;

use artifacts::{ArtifactError, MARK};
use formats::Report;
use store::notices::{self, NewNotice};
use store::registers::Summary;
use store::{Store, StoreError, Tx};

/// The place for files is looked at every few minutes; people are told again after so long.
const PLACE_AGAIN: Duration = Duration::from_secs(24 * 3600);

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
        format!("Texts in which separators were replaced: {}", report.replaced),
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
    let ours = store::installation::id(store).await?;
    let notice = NewNotice {
        kind: "artifacts.foreign",
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
    tell_of_place(store, &notice).await
}

/// Says that nothing of ours is where it should be, which the error explains.
pub(crate) async fn tell_bare_place(store: &Store, place: &str, error: &ArtifactError) -> Result<(), StoreError> {
    let notice = NewNotice {
        kind: "artifacts.bare",
        subject: place,
        title: format!("{place}, where large files of registers lie, holds none of them"),
        lines: vec![
            error.to_string(),
            "Until then large registers wait to be built, and what should lie there to be mailed.".to_owned(),
        ],
        mail_to: &[],
    };
    tell_of_place(store, &notice).await
}

async fn tell_of_place(store: &Store, notice: &NewNotice<'_>) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    if notices::was_told(&tx, notice.kind, notice.subject, PLACE_AGAIN).await? {
        return Ok(());
    }
    notices::add(&tx, notice).await?;
    tx.commit().await
}
