//! What several lists of one payee say together: each is about its own days, and a payment may be credited on another one.

use testkit::payee::Payee;
use testkit::process::Done;

use crate::cli::Files;
use crate::reconciliation::{delivered, findings, reconcile_file};
use crate::unikassa::provider;
use crate::world::World;

const SUNDAY: [&str; 2] = ["2026-11-01", "2026-11-02"];
const MONDAY: [&str; 2] = ["2026-11-02", "2026-11-03"];

/// A payment that we knew to be delivered on Sunday, and the files in which its payee's lists come.
struct Books {
    world: World,
    _payee: Payee,
    files: Files,
    id: String,
    number: String,
    amount: String,
}

impl Books {
    async fn open() -> Self {
        let (world, _payee) = provider("").await;
        let (id, number) = delivered(&world).await;
        let amount = world.payment(&id).await.amount;
        world
            .sql("UPDATE payment SET delivered_at = '2026-11-01T10:00:00Z'")
            .await;
        Self {
            world,
            _payee,
            files: Files::new(),
            id,
            number,
            amount: format!("{}.{:02}", amount / 100, amount % 100),
        }
    }

    /// A list of a day that has the payment, credited then under this name of the payee's; without one, a list without it.
    async fn compare(&self, day: [&str; 2], named: Option<&str>, more: &[&str]) -> Done {
        let head = "number,amount,credited_at,provider_reference\n";
        let (number, amount) = (&self.number, &self.amount);
        let entry = named.map(|name| format!("{number},{amount},{} 10:00:00,{name}\n", day[0]));
        let file = self
            .files
            .write("list.csv", &format!("{head}{}", entry.unwrap_or_default()));
        reconcile_file(&self.world, day[0], day[1], &file, more).await
    }

    #[track_caller]
    fn finds(&self, done: &Done, finding: &str) {
        assert_eq!(findings(done), [(self.number.clone(), finding.to_owned())], "{done:?}");
    }
}

#[track_caller]
fn matches(done: &Done) {
    assert!(done.code == Some(0) && done.stderr.contains("matched: 1,"), "{done:?}");
}

#[tokio::test]
async fn what_was_missing_and_paid_again_is_found_on_the_list_of_the_day_when_it_was_credited() {
    let books = Books::open().await;
    let lacked = books.compare(SUNDAY, None, &["--requeue-missing"]).await;
    books.finds(&lacked, "missing_there");
    assert!(lacked.stderr.contains("1 to be paid"), "{lacked:?}");
    // When we first knew it to be delivered stays what it was.
    books.world.reaches(&books.id, "delivered").await;
    matches(&books.compare(MONDAY, Some("there-1"), &[]).await);
    let again = books.compare(SUNDAY, None, &["--requeue-missing"]).await;
    matches(&again);
    assert!(again.stderr.contains("0 to be paid"), "{again:?}");
    // A later list of Monday has it no more.
    assert_eq!(
        findings(&books.compare(MONDAY, None, &[]).await),
        [],
        "we knew it on Sunday"
    );
    books.finds(&books.compare(SUNDAY, None, &[]).await, "missing_there");
}

#[tokio::test]
async fn a_second_credit_on_the_list_of_another_day_is_told_of_on_both() {
    let books = Books::open().await;
    matches(&books.compare(SUNDAY, Some("there-1"), &[]).await);
    // Under one name it is one credit, whatever days it is listed on.
    matches(&books.compare(MONDAY, Some("there-1"), &[]).await);
    books.finds(&books.compare(MONDAY, Some("there-2"), &[]).await, "double_there");
    books.finds(&books.compare(SUNDAY, Some("there-1"), &[]).await, "double_there");
    // A later list of Monday has it no more.
    assert_eq!(findings(&books.compare(MONDAY, None, &[]).await), []);
    matches(&books.compare(SUNDAY, Some("there-1"), &[]).await);
}
