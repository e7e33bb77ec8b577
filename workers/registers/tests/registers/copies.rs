//! A copy tells again what regular registers told, and changes nothing.

use domain::RegisterId;
use registers::close_all_due;
use serde_json::json;
use store::StoreError;
use store::registers::{CopyRequest, close_now, resend};

use crate::stand::{Stand, gvk, on_stand, payee};

async fn ask(stand: &Stand, from: &str, to: &str, to_address: Option<&str>) -> Result<Vec<RegisterId>, StoreError> {
    let request = CopyRequest {
        payee: gvk(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        requested_by: "anna".to_owned(),
        to_address: to_address.map(str::to_owned),
    };
    resend(&stand.store, &request).await
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
