//! Layouts in the builder's hands: names with numbers of the day and the year, presets, and what a file shows otherwise
//! than it came.

use registers::{Built, close_all_due};
use serde_json::json;

use crate::stand::{Stand, on_stand, payee};

/// Names of the files in their order.
async fn names(stand: &Stand) -> Vec<String> {
    let listed = stand.list().await;
    listed
        .into_iter()
        .map(|register| register.file.unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn names_count_within_the_day_and_the_year_and_stay_when_built_again() {
    on_stand(|stand| async move {
        let register = json!({
            "every_payments": 1,
            "file_name": "{{ payee }}_{{ date }}_{{ sequence_of_day | pad(3) }}_{{ sequence_of_year }}",
        });
        stand.declare(&payee(register)).await;
        stand.back_in_2020().await;
        // Midnight of Moscow is 21:00 UTC: the second and the third are of one day there.
        for at in [
            "2020-03-01T13:00:00Z",
            "2020-03-01T21:30:00Z",
            "2020-03-02T20:00:00Z",
            "2020-12-31T21:00:00Z",
        ] {
            stand.pay(at, 1).await;
        }
        assert_eq!(close_all_due(&stand.store).await.unwrap().len(), 4);
        stand.build_all().await;
        let wanted = [
            "gvk_2020-03-01_001_1.csv",
            "gvk_2020-03-02_001_2.csv",
            "gvk_2020-03-02_002_3.csv",
            "gvk_2021-01-01_001_1.csv",
        ];
        assert_eq!(names(&stand).await, wanted);
        // Whoever builds one again, with all of them there, calls it the same.
        for (listed, name) in stand.list().await.iter().zip(wanted) {
            let found = store::registers::look_at(&stand.store, listed.summary.register_id)
                .await
                .unwrap();
            let again = registers::preview(&stand.store, &found.unwrap(), 10).await.unwrap();
            assert_eq!((again.name.as_str(), again.shown), (name, 1));
        }
    })
    .await;
}

#[tokio::test]
async fn a_zone_that_the_database_does_not_know_is_refused_before_it_stops_everybody() {
    on_stand(|stand| async move {
        // The program knows it for times whose zone nobody knows.
        let declared = payee(json!({ "time_zone": "Etc/Unknown" }));
        let tx = stand.store.begin().await.unwrap();
        let refused = store::declarations::apply_payee(&tx, &declared, "test")
            .await
            .unwrap_err();
        assert_eq!(
            refused.to_string(),
            "payee gvk: register.time_zone: the database does not know `Etc/Unknown`"
        );
        assert!(matches!(refused, store::StoreError::Changed(_)), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn a_preset_is_built_and_what_its_encoding_lacks_is_told() {
    on_stand(|stand| async move {
        let register = json!({ "format": "sberbank", "layout": { "columns": [
            { "value": "number" }, { "value": "account" }, { "value": "amount" }, { "value": "fields.meter_cold" },
        ] } });
        stand.declare(&payee(register)).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 2).await;
        stand
            .sql("UPDATE payment SET fields = '{\"meter_cold\": \"Ё₸\"}' WHERE account = 'A-1'")
            .await;
        assert_eq!(close_all_due(&stand.store).await.unwrap().len(), 1);
        assert_eq!(stand.build_all().await, [Built::Recorded]);
        let listed = stand.list().await.remove(0);
        let (name, bytes) = stand.file(listed.summary.register_id).await;
        assert_eq!(name, "gvk-main-000001.txt");
        assert!(
            bytes.starts_with(b"1;A-1;100,00;\xa8?\r\n2;A-2;100,00;00123\r\n=2;200,00;200,00;0,00;1;"),
            "{bytes:?}"
        );
        let told = stand
            .value("SELECT title || ' | ' || array_to_string(lines, ' | ') FROM notice")
            .await;
        assert!(
            told.contains("payee gvk") && told.contains("payment 1, column meter_cold: `₸` (U+20B8)"),
            "{told}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_encoding_that_must_hold_everything_fails_the_register_and_names_the_payment() {
    on_stand(|stand| async move {
        stand
            .declare(&payee(json!({ "encoding": "cp866", "unmappable": "error" })))
            .await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 1).await;
        stand.sql("UPDATE payment SET fields = '{\"meter_cold\": \"₸\"}'").await;
        close_all_due(&stand.store).await.unwrap();
        assert_eq!(stand.build_all().await, [Built::Failed]);
        let why = stand.list().await.remove(0).last_error.unwrap();
        assert_eq!(why, "payment 1, column meter_cold: IBM866 has no `₸` (U+20B8)");
    })
    .await;
}
