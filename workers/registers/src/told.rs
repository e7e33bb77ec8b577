//! Telling that a register shows some text otherwise than it came: a notice, in the transaction that records the file.

use formats::Report;
use store::notices::NewNotice;
use store::registers::Summary;
use store::{StoreError, Tx};

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
    store::notices::add(tx, &notice).await
}
