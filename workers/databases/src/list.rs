//! What a payee's data say was entered in a period, a page at a time: for comparing its books with ours. A page is a question
//! like any other: it takes a slot of the payee's lane, and is refused while the payee is down.

use contract::unikassa::{List, ListAnswer, ListItem};
use couriers::question::{self, Lines};
use couriers::{ListError, Told};
use domain::declaration::{Payee, StepKind};
use domain::ids::Number;
use domain::money::{Amount, Currency};
use sql::{Access, ROWS_MAX, Row, Values};
use store::Store;

use crate::bind::amount_as;
use crate::known;
use crate::source::{Place, Server, Source};
use crate::steps::Trouble;

/// Asks one payee for its list.
pub struct Lister {
    source: Source,
    lines: Lines,
}

impl Lister {
    /// Opens the payee's data without asking them for anything.
    pub fn of(payee: &Payee) -> Result<Self, ListError> {
        let not_offered = |why: &str| Err(ListError::NotOffered(why.to_owned()));
        let source = Source::of_payee(payee).map_err(ListError::NotOffered)?;
        match (&source.place, &source.profile.list) {
            (Place::File(_), _) => not_offered("a file has no list: its payments are in its registers"),
            (Place::Database(_), None) => {
                not_offered("the payee's scenario has no [databases.list]: bring a file, of a query there for example")
            }
            (Place::Database(_), Some(_)) => Ok(Self {
                source,
                lines: Lines::default(),
            }),
        }
    }

    /// One page. The pages are had by asking again with `after` = the answer's `next`, until there is none.
    pub async fn page(&self, store: &Store, page: &List) -> Result<ListAnswer, ListError> {
        let Place::Database(server) = &self.source.place else {
            return Err(ListError::NotOffered("a file has no list".to_owned()));
        };
        let timeout = self.source.timeout();
        let call = async { tokio::time::timeout(timeout, ask(&self.source, server, page)).await };
        let asked = question::ask(store, &self.lines, &self.source.payee, call, |asked| match asked {
            Ok(Err(trouble)) if trouble.is_away() => Told::not_sent(trouble.to_string()),
            Ok(_) => Told::present(),
            Err(_) => Told {
                lost: true,
                ..Told::maybe("the list was not answered in time".to_owned())
            },
        });
        match asked.await? {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(trouble))) if trouble.is_away() || trouble.is_contention() => {
                Err(ListError::Unavailable(trouble.in_full()))
            }
            Ok(Ok(Err(trouble))) => Err(ListError::NotOffered(trouble.in_full())),
            Ok(Err(_)) => Err(ListError::Unavailable(format!(
                "not answered within {} s",
                timeout.as_secs()
            ))),
            Err(why) => Err(ListError::Unavailable(why)),
        }
    }
}

/// Asked where payments are entered, never of a copy, which may not have heard of them yet.
async fn ask(source: &Source, server: &Server, page: &List) -> Result<ListAnswer, Trouble> {
    let statement = &server.compiled.of(StepKind::List)[0];
    let refused = |why: String| Trouble::Rows {
        place: statement.place.clone(),
        why,
    };
    let at = |source| Trouble::Database {
        place: statement.place.clone(),
        source,
    };
    let after = page.after.as_deref().map_or(Ok(0), str::parse);
    let after = after.map_err(|_| refused("after is no number".to_owned()))?;
    let mut tx = server.write.begin(Access::Read).await.map_err(at)?;
    let found = tx.run(statement, &values(page, after)).await.map_err(at)?;
    tx.rollback().await.map_err(at)?;
    let items = found.rows.iter().map(|row| item(source, row));
    cut(items.collect::<Result<_, _>>().map_err(refused)?, after).map_err(refused)
}

fn values(page: &List, after: i64) -> Values {
    let mut values = Values::default();
    // As many digits as SQLite keeps: there moments may be compared as text.
    values.text("from", format!("{:.3}", page.from));
    values.text("to", format!("{:.3}", page.to));
    values.integer("after", after);
    values.integer("limit", ROWS_MAX as i64);
    values
}

fn item(source: &Source, row: &Row) -> Result<ListItem, String> {
    let number = row.integer("number").map(Number::new);
    let number = number.and_then(Result::ok).ok_or("column number is none of ours")?;
    let of_it = |why: String| format!("number {number}: {why}");
    let currency = source.currency();
    let amount = row.amount("amount", amount_as(&source.profile), currency.digits());
    let amount = amount.map_err(of_it)?.map(Amount::new).and_then(Result::ok);
    let currency = row.text("currency").map_or(Ok(currency), |code| Currency::parse(&code));
    Ok(ListItem {
        number,
        amount: amount.ok_or_else(|| of_it("column amount is no amount".to_owned()))?,
        currency: currency.map_err(|wrong| of_it(wrong.to_string()))?,
        credited_at: row.moment("credited_at", &source.clock).map_err(of_it)?,
        provider_reference: row.text("provider_reference").map(|text| known::shortened(&text)),
    })
}

/// A page as full as pages are may end in the middle of a number that is there twice: the last number is left to the page
/// that follows.
fn cut(mut items: Vec<ListItem>, after: i64) -> Result<ListAnswer, String> {
    let numbers = || items.iter().map(|item| item.number.get());
    if !numbers().is_sorted() || numbers().any(|number| number <= after) {
        return Err(
            "has to return the numbers above :after, in their order: number > :after order by number".to_owned(),
        );
    }
    if items.len() < ROWS_MAX {
        return Ok(ListAnswer { items, next: None });
    }
    let last = items.last().map(|item| item.number);
    items.retain(|item| Some(item.number) != last);
    let next = items.last().map(|item| item.number.to_string());
    match next {
        Some(next) => Ok(ListAnswer {
            items,
            next: Some(next),
        }),
        None => Err(format!("has one number {ROWS_MAX} times")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(numbers: impl Iterator<Item = i64>) -> Vec<ListItem> {
        let item = |number| ListItem {
            number: Number::new(number).unwrap(),
            amount: Amount::new(100).unwrap(),
            currency: Currency::parse("RUB").unwrap(),
            credited_at: domain::clock::now(),
            provider_reference: None,
        };
        numbers.map(item).collect()
    }

    #[test]
    fn a_page_goes_on_after_its_last_whole_number() {
        let most = ROWS_MAX as i64;
        let last = cut(items(1..most), 0).unwrap();
        assert_eq!((last.items.len() as i64, last.next), (most - 1, None));
        // The last number is there twice, and the second one may be on the next page.
        let full = cut(items((1..most).chain([most - 1])), 0).unwrap();
        assert_eq!(
            (full.items.len() as i64, full.next),
            (most - 2, Some((most - 2).to_string()))
        );
        let full = cut(items(11..=most + 10), 10).unwrap();
        assert_eq!(
            (full.items.len() as i64, full.next),
            (most - 1, Some((most + 9).to_string()))
        );
        assert!(
            cut(items(std::iter::repeat_n(7, ROWS_MAX)), 0)
                .unwrap_err()
                .contains("one number")
        );
        for wrong in [cut(items([2, 1].into_iter()), 0), cut(items([5].into_iter()), 5)] {
            assert!(wrong.unwrap_err().contains("order by number"));
        }
    }
}
