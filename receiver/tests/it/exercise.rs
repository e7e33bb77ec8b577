//! The conformance of a database: every request of the protocol, with everything it may say. A database added later
//! passes this and the tests beside it, or it is not supported.

use axum::http::StatusCode;
use contract::unikassa::{Check, Request};
use domain::money::{Amount, Currency};
use domain::text::Account;

use crate::stand::{Backend, Stand, cancel, check, list, on, payment, short, status};

#[tokio::test]
async fn sqlite_conforms() {
    on(Backend::Sqlite, None, exercise).await;
}

#[tokio::test]
async fn postgres_conforms() {
    on(Backend::Postgres, None, exercise).await;
}

#[tokio::test]
async fn mariadb_conforms() {
    on(Backend::Mariadb, None, exercise).await;
}

async fn exercise(stand: Stand) {
    checks(&stand).await;
    pays(&stand).await;
    refuses_what_the_payee_refuses(&stand).await;
    conflicts(&stand).await;
    tells_the_status(&stand).await;
    takes_back(&stand).await;
    lists(&stand).await;
}

async fn checks(stand: &Stand) {
    let (code, answer) = stand.send(&Request::Check(check("1001"))).await;
    let expected = serde_json::json!({"result": "payable", "display": "Иван", "amount_due": 125_040, "currency": "RUB",
        "min_amount": 100, "max_amount": 1_500_000});
    assert_eq!((code, answer), (StatusCode::OK, expected));
    let (_, unknown) = stand.send(&Request::Check(check("9999"))).await;
    assert_eq!(short(&unknown), ("refused".to_owned(), "account_not_found".to_owned()));
    let numbered = Check {
        number: Some(payment(5, "1").number),
        ..check("9999")
    };
    assert_eq!(stand.send(&Request::Check(numbered)).await.1["number"], "5");
    let small = Check {
        amount: Some(Amount::new(99).unwrap()),
        ..check("1001")
    };
    assert_eq!(
        short(&stand.send(&Request::Check(small)).await.1).1,
        "amount_out_of_range"
    );
    let foreign = Check {
        currency: Some(Currency::parse("USD").unwrap()),
        ..check("1001")
    };
    assert_eq!(
        short(&stand.send(&Request::Check(foreign)).await.1).1,
        "currency_differs"
    );
}

async fn pays(stand: &Stand) {
    let pay = payment(1, "1001");
    assert_eq!(stand.pay(&pay).await, ("accepted".to_owned(), "R-1".to_owned()));
    assert_eq!(stand.pay(&pay).await, ("already_accepted".to_owned(), "R-1".to_owned()));
    assert_eq!(stand.balance("1001").await, 15_500);
    assert_eq!(
        stand.text("select payer from inbox where number = 1").await,
        "Иванов И. И."
    );
    assert_eq!(
        stand.text("select fields from inbox where number = 1").await,
        r#"{"payer":"Иванов И. И."}"#
    );
    assert_eq!(
        stand.text("select account from unigate_payment where number = 1").await,
        "1001"
    );
}

async fn refuses_what_the_payee_refuses(stand: &Stand) {
    let closed = payment(2, "1003");
    assert_eq!(
        stand.pay(&closed).await,
        ("refused".to_owned(), "account_inactive".to_owned())
    );
    assert_eq!(
        stand.pay(&payment(3, "9999")).await,
        ("refused".to_owned(), "account_not_found".to_owned())
    );
    let dollars = contract::unikassa::Pay {
        currency: Currency::parse("USD").unwrap(),
        ..payment(4, "1001")
    };
    assert_eq!(
        stand.pay(&dollars).await,
        ("refused".to_owned(), "currency_differs".to_owned())
    );
    assert_eq!(
        stand.number("select count(*) from inbox").await,
        1,
        "what a refused payment did is undone"
    );
    assert_eq!(
        stand
            .number("select count(*) from unigate_payment where state = 'refused'")
            .await,
        3
    );
}

async fn conflicts(stand: &Stand) {
    let conflict = ("refused".to_owned(), "number_conflict".to_owned());
    let first = payment(10, "1001");
    assert_eq!(stand.pay(&first).await.0, "accepted");
    let mut other = first.clone();
    other.account = Account::new("1002").unwrap();
    assert_eq!(stand.pay(&other).await, conflict);
    let mut other = first.clone();
    other.amount = Amount::new(15_001).unwrap();
    assert_eq!(stand.pay(&other).await, conflict);
    assert_eq!(stand.pay(&payment(10, "1001")).await, conflict, "another payment_id");
    let mut other = first.clone();
    other.number = payment(11, "1").number;
    assert_eq!(
        stand.pay(&other).await,
        conflict,
        "the same payment under another number"
    );
    let mut same = first.clone();
    same.fields = serde_json::from_str("{}").unwrap();
    assert_eq!(
        stand.pay(&same).await.0,
        "already_accepted",
        "fields are no part of the payment's identity"
    );
    assert_eq!((stand.balance("1001").await, stand.balance("1002").await), (30_500, 0));
}

async fn tells_the_status(stand: &Stand) {
    for (number, result) in [(1, "accepted"), (2, "refused"), (77, "not_found"), (11, "not_found")] {
        let (code, answer) = stand.send(&status(number)).await;
        assert_eq!(code, StatusCode::OK);
        assert_eq!(
            (answer["result"].as_str(), answer["number"].as_str()),
            (Some(result), Some(&*number.to_string()))
        );
    }
    assert_eq!(stand.send(&status(1)).await.1["provider_reference"], "R-1");
}

async fn takes_back(stand: &Stand) {
    let result = |answer: (StatusCode, serde_json::Value)| short(&answer.1);
    assert_eq!(
        result(stand.send(&cancel(10, "no")).await),
        ("refused".to_owned(), "not_cancellable".to_owned())
    );
    assert_eq!(
        result(stand.send(&cancel(10, "asked by the payer")).await).0,
        "cancelled"
    );
    assert_eq!(result(stand.send(&cancel(10, "again")).await).0, "already_cancelled");
    assert_eq!(result(stand.send(&cancel(78, "who")).await).0, "not_found");
    assert_eq!(stand.balance("1001").await, 15_500);
    assert_eq!(result(stand.send(&status(10)).await).0, "cancelled");
    assert_eq!(
        stand
            .text("select cancel_reason from unigate_payment where number = 10")
            .await,
        "asked by the payer"
    );
    let refused = payment(12, "9999");
    assert_eq!(stand.pay(&refused).await.0, "refused");
    assert_eq!(result(stand.send(&cancel(12, "never mind")).await).0, "cancelled");
    assert_eq!(
        stand.pay(&refused).await,
        ("refused".to_owned(), "cancelled".to_owned())
    );
}

async fn lists(stand: &Stand) {
    for number in 1000..1150 {
        assert_eq!(stand.pay(&payment(number, "1002")).await.0, "accepted");
    }
    let (mut after, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let (code, page) = stand
            .send(&list("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z", after))
            .await;
        assert_eq!(code, StatusCode::OK, "{page}");
        let page = contract::unikassa::ListAnswer::read(page.to_string().as_bytes()).unwrap();
        seen.extend(page.items.iter().map(|item| item.number.get()));
        pages += 1;
        assert!(page.items.iter().all(|item| item.provider_reference.is_some()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<i64> = std::iter::once(1).chain(1000..1150).collect();
    assert_eq!(
        (seen, pages),
        (expected, 2),
        "refused and cancelled ones are not listed"
    );
    let (_, none) = stand
        .send(&list("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z", None))
        .await;
    assert_eq!(none, serde_json::json!({"items": []}));
    let (code, _) = stand
        .send(&list(
            "2020-01-01T00:00:00Z",
            "2021-01-01T00:00:00Z",
            Some("x".to_owned()),
        ))
        .await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
}
