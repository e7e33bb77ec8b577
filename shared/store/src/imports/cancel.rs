//! A card file taken back by an operator: one that is not in stock yet is cancelled, and one that is goes out again as a whole,
//! as long as nobody ever had anything to do with a card of it.

use uuid::Uuid;

use super::job::forget;
use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx};

/// An operator takes a file back. A worker that is at it finds the job gone and enters nothing. Returns how many cards were in
/// stock and are gone; none where the file was not in stock yet.
pub async fn cancel(store: &Store, import_id: Uuid, who: &str, reason: &str) -> Result<Option<i64>, StoreError> {
    let tx = store.begin().await?;
    let before = own_to_cancel(&tx, import_id).await?;
    let (after, gone) = match before.as_str() {
        "waiting" | "working" => {
            cancel_unfinished(&tx, import_id, who).await?;
            ("cancelled", None)
        }
        "done" => ("taken_back", Some(take_back(&tx, import_id, who).await?)),
        _ => return Err(StoreError::Changed(format!("import {import_id} is {before}"))),
    };
    let act = Act {
        who,
        act: "cards cancel-import",
        subject_kind: "card_import",
        subject: &import_id.to_string(),
        reason: Some(reason),
        before: Some(before.into()),
        after: Some(after.into()),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await?;
    Ok(gone)
}

/// Locks the import, and returns its state.
async fn own_to_cancel(tx: &Tx, import_id: Uuid) -> Result<String, StoreError> {
    // A worker that is entering the cards holds the row to the end; who waited for it could only hear that it is done. One
    // that is still sealing them holds no more than the key, which its batch refers to.
    let free = tx
        .query_opt(
            "SELECT state FROM card_import WHERE import_id = $1 FOR NO KEY UPDATE SKIP LOCKED",
            &[&import_id],
        )
        .await?;
    if let Some(free) = free {
        return Ok(free.get(0));
    }
    let known = tx
        .query_opt("SELECT state FROM card_import WHERE import_id = $1", &[&import_id])
        .await?;
    Err(StoreError::Changed(match known {
        Some(row) if row.get::<_, &str>(0) == "done" => format!("import {import_id} is being taken back this moment"),
        Some(_) => "its cards are being entered this moment: too late to cancel; it can be taken back once it is done"
            .to_owned(),
        None => format!("there is no import {import_id}"),
    }))
}

async fn cancel_unfinished(tx: &Tx, import_id: Uuid, who: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE card_import SET state = 'cancelled', finished_at = clock_timestamp(), ended_by = $2, lease_token = NULL,
                lease_until = NULL
         WHERE import_id = $1",
        &[&import_id, &who],
    )
    .await?;
    forget(tx, import_id).await
}

/// Takes every card of a file out of stock, with what it would be recognised by; the right product can have them then. Whoever
/// wants one of them meanwhile passes it by, and one that somebody was quicker to take keeps all of them in.
async fn take_back(tx: &Tx, import_id: Uuid, who: &str) -> Result<i64, StoreError> {
    tx.allow_time().await?;
    let row = tx
        .query_one(
            "SELECT gone, against FROM take_back_import($1, $2)",
            &[&import_id, &who],
        )
        .await?;
    let (gone, against): (i64, i64) = (row.get(0), row.get(1));
    if against > 0 {
        return Err(StoreError::Changed(format!(
            "import {import_id} is done, and of its cards {against} were reserved, sold, shown or set aside by now: it can be \
             taken back only as a whole. Cards that are left are set aside by `cards withdraw`, or go back by `cards return`"
        )));
    }
    Ok(gone)
}
