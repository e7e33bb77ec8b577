//! A copy tells again what regular registers told, and changes nothing.

use domain::RegisterId;
use registers::close_all_due;
use serde_json::json;
use store::StoreError;
use store::registers::{CopyRequest, close_now, resend};

use crate::stand::{Stand, gvk, on_stand, payee};

fn request(from: &str, to: &str) -> CopyRequest {
    CopyRequest {
        payee: gvk(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        requested_by: "anna".to_owned(),
        to_address: None,
        format: None,
        include_open: false,
    }
}

async fn ask(stand: &Stand, from: &str, to: &str, to_address: Option<&str>) -> Result<Vec<RegisterId>, StoreError> {
    let request = CopyRequest {
        to_address: to_address.map(str::to_owned),
        ..request(from, to)
    };
    resend(&stand.store, &request).await
}

/// The numbers in a built register.
async fn numbers(stand: &Stand, id: RegisterId) -> (String, Vec<String>) {
    let (name, bytes) = stand.file(id).await;
    let text = String::from_utf8(bytes).unwrap();
    let number = |line: &str| line.split(';').next().unwrap().to_owned();
    (name, text.lines().skip(1).map(number).collect())
}

#[tokio::test]
async fn a_copy_may_hold_what_is_open_and_stays_as_it_was_asked_for() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({}))).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 2).await;
        close_now(&stand.store, &gvk(), "anna").await.unwrap();
        stand.sql("UPDATE ledger SET clock = '2020-03-01T14:00:00Z'").await;
        stand.pay("2020-03-01T14:00:00Z", 3).await;
        stand.revoke(3).await;
        let open = CopyRequest {
            include_open: true,
            ..request("2020-03-01T00:00:00Z", "2020-03-02T00:00:00Z")
        };
        let copy = resend(&stand.store, &open).await.unwrap()[0];
        // After it was asked for: neither what is revoked now nor what is accepted changes it.
        stand
            .sql("UPDATE payment SET state = 'revoked', updated_at = clock_timestamp() WHERE position = 4")
            .await;
        stand.pay("2020-03-01T15:00:00Z", 1).await;
        stand.build_all().await;
        let found = store::registers::find(&stand.store, copy).await.unwrap().unwrap();
        assert_eq!(
            (found.state.as_str(), found.summary.count, found.summary.open),
            ("built", 4, 2)
        );
        let (name, numbers) = numbers(&stand, copy).await;
        assert_eq!(name, "gvk-main-COPY-OPEN-000001.csv");
        assert_eq!(numbers, ["1", "2", "4", "5"]);
        // Membership is what it would have been without.
        let closed = close_now(&stand.store, &gvk(), "anna").await.unwrap();
        let regular = store::registers::find(&stand.store, closed[0]).await.unwrap().unwrap();
        assert_eq!(
            (regular.summary.count, regular.summary.sequence, regular.revoked),
            (2, 2, 2)
        );
        // Nothing is open any more.
        let copy = resend(&stand.store, &open).await.unwrap()[0];
        let found = store::registers::find(&stand.store, copy).await.unwrap().unwrap();
        assert_eq!((found.summary.count, found.summary.open), (4, 0));
    })
    .await;
}

#[tokio::test]
async fn a_format_that_there_is_not_makes_no_copy() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({}))).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 1).await;
        close_now(&stand.store, &gvk(), "anna").await.unwrap();
        let asked = |format: &str| CopyRequest {
            format: Some(format.to_owned()),
            ..request("2020-03-01T00:00:00Z", "2020-03-02T00:00:00Z")
        };
        let refused = resend(&stand.store, &asked("papyrus")).await.unwrap_err();
        assert!(refused.to_string().contains("--format papyrus: "), "{refused}");
        assert_eq!(
            stand.value("SELECT count(*) FROM register WHERE kind = 'copy'").await,
            "0"
        );
        let copy = resend(&stand.store, &asked("csv")).await.unwrap()[0];
        stand.build_all().await;
        assert_eq!(numbers(&stand, copy).await.1, ["1"]);
        let found = store::registers::find(&stand.store, copy).await.unwrap().unwrap();
        assert_eq!(found.format.as_deref(), Some("csv"));
    })
    .await;
}

#[tokio::test]
async fn a_copy_holds_what_a_half_open_period_accepted() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({}))).await;
        stand.back_in_2020().await;
        for hour in 13..=23 {
            stand.pay(&format!("2020-03-01T{hour}:00:00Z"), 1).await;
        }
        stand.revoke(3).await;
        close_all_due(&stand.store).await.unwrap();
        stand.build_all().await;
        let before = stand
            .sql("SELECT payment_id, register_id FROM payment_view ORDER BY 1")
            .await;

        // 14:00 to 22:00 without 22:00, over the cut-off at 21:00, without the revoked one.
        let copies = ask(&stand, "2020-03-01T14:00:00Z", "2020-03-01T22:00:00Z", None)
            .await
            .unwrap();
        stand.build_all().await;
        let (name, bytes) = stand.file(copies[0]).await;
        assert_eq!(name, "gvk-main-COPY-000001.csv");
        let text = String::from_utf8(bytes).unwrap();
        let numbers: Vec<&str> = text
            .lines()
            .skip(1)
            .map(|line| line.split(';').next().unwrap())
            .collect();
        assert_eq!(numbers, ["2", "4", "5", "6", "7", "8", "9"]);
        let copy = store::registers::find(&stand.store, copies[0]).await.unwrap().unwrap();
        assert_eq!(
            (copy.summary.kind(), copy.summary.sequence, copy.summary.count),
            ("copy", 1, 7)
        );
        assert_eq!(
            stand
                .sql("SELECT payment_id, register_id FROM payment_view ORDER BY 1")
                .await,
            before
        );
        assert_eq!(stand.ranges().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn open_payments_and_empty_periods_are_not_copied() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({}))).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 2).await;
        let (from, to) = ("2020-03-01T00:00:00Z", "2020-03-02T00:00:00Z");
        let refused = ask(&stand, from, to, None).await.unwrap_err();
        assert!(
            refused.to_string().contains("no payments in closed registers"),
            "{refused}"
        );
        close_now(&stand.store, &gvk(), "anna").await.unwrap();
        stand.pay("2020-03-01T14:00:00Z", 5).await;

        ask(&stand, from, to, None).await.unwrap();
        let second = ask(&stand, from, to, Some("auditor@example.org")).await.unwrap()[0];
        close_now(&stand.store, &gvk(), "anna").await.unwrap();
        stand.build_all().await;
        let copy = store::registers::find(&stand.store, second).await.unwrap().unwrap();
        assert_eq!((copy.summary.count, copy.summary.sequence), (2, 2));
        let to = stand
            .value(&format!(
                "SELECT string_agg(recipient, ' ') FROM mailing WHERE register_id = '{second}'"
            ))
            .await;
        assert_eq!(to, "auditor@example.org");

        for (from, to) in [
            ("2020-03-02T00:00:00Z", "2020-03-03T00:00:00Z"),
            ("2020-03-02T00:00:00Z", "2020-03-01T00:00:00Z"),
        ] {
            assert!(matches!(ask(&stand, from, to, None).await, Err(StoreError::Changed(_))));
        }
    })
    .await;
}
