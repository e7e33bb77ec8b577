//! A SQLite file of a payee that another is put in the place of.

use domain::delivery::{Ending, Verdict};

use crate::pay;
use crate::source::Place;
use crate::tests::{Books, PAYMENTS, due};

/// With a journal that SQLite itself does not miss its file by.
async fn books() -> Books {
    let books = Books::with(PAYMENTS).await;
    books.log_ahead();
    books
}

#[tokio::test]
async fn a_payment_is_entered_where_the_next_who_looks_finds_it() {
    let books = books().await;
    let source = books.source();
    assert_eq!(
        pay::pay(&source, &due(100)).await.told.ending,
        Ending::Answered(Verdict::Accepted)
    );
    books.replace(self::books().await);
    // In the one that was there it is entered already.
    let again = pay::pay(&source, &due(100)).await.told;
    assert_eq!(again.ending, Ending::Answered(Verdict::Accepted), "{again:?}");
    let asked = crate::tests::status(&books.source(), &due(100)).await;
    assert_eq!(asked.ending, Ending::Answered(Verdict::Accepted), "{asked:?}");
}

#[tokio::test]
async fn what_was_kept_in_a_file_that_is_gone_is_a_maybe() {
    let books = books().await;
    let source = books.source();
    let Place::Database(server) = &source.place else {
        panic!("a database");
    };
    let mut tx = server.write.begin(sql::Access::Write).await.unwrap();
    tx.script("insert into payments values (1, '1001', 100)").await.unwrap();
    books.replace(self::books().await);
    let kept = tx.commit().await;
    assert!(matches!(kept, Err(sql::DatabaseError::Away(_))), "{kept:?}");
    let again = pay::pay(&source, &due(100)).await.told;
    assert_eq!(again.ending, Ending::Answered(Verdict::Accepted), "{again:?}");
}
