//! Everything of a mail but its file, frozen when it first goes out. Settings, declarations and programs may change while it
//! is retried; its bytes do not.

use crate::{Store, StoreError};

/// A mail without its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The sender, in the mail and of its envelope.
    pub mail_from: String,
    /// What comes before the file.
    pub head: Vec<u8>,
    /// What comes after it.
    pub tail: Vec<u8>,
}

/// Keeps a mail under its Message-ID and returns it, or the one that was kept before: of several mailers that begin at once,
/// all send the first one's.
pub async fn freeze(store: &Store, message_id: &str, letter: &Letter) -> Result<Letter, StoreError> {
    store
        .execute(
            "INSERT INTO letter (message_id, mail_from, head, tail) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            &[&message_id, &letter.mail_from, &letter.head, &letter.tail],
        )
        .await?;
    let row = store
        .query_one(
            "SELECT mail_from, head, tail FROM letter WHERE message_id = $1",
            &[&message_id],
        )
        .await?;
    Ok(Letter {
        mail_from: row.get(0),
        head: row.get(1),
        tail: row.get(2),
    })
}
