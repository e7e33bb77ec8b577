//! Several series of one payee, registers without payments, days off, and what stays open for too long.

use domain::declaration::Payee;
use registers::close_all_due;
use serde_json::{Value, json};
use store::registers::close_now;

use crate::stand::{Stand, gvk, on_stand, payee};

/// Nightly like `main`, but for a series that says otherwise.
fn with_series(series: Value) -> Payee {
    let declared = payee(json!({ "series": series }));
    declared.check().unwrap();
    declared
}

fn cold() -> Value {
    json!({ "name": "cold", "when": { "field": "meter_cold", "pattern": ".+" }, "every_hours": 6,
            "mail_to": ["cold@example.org"], "zip": true })
}

impl Stand {
    /// `series sequence: lo-hi count cut-off` of the regular registers, in the order of series and sequences.
    async fn ranges_by_series(&self) -> Vec<String> {
        let rows = self
            .sql(
                "SELECT s.name || ' ' || sequence || ': ' || lo || '-' || hi || ' ' || payment_count || ' '
                     || to_char(cutoff AT TIME ZONE 'UTC', 'MM-DD HH24:MI')
                 FROM register r JOIN series s USING (series_id) WHERE kind = 'regular' ORDER BY s.series_id, sequence",
            )
            .await;
        rows.into_iter().map(|row| row[0].clone().unwrap()).collect()
    }
}

#[tokio::test]
async fn series_close_each_at_its_own_time_under_its_own_sequence() {
    on_stand(|stand| async move {
        stand.declare(&with_series(json!([cold()]))).await;
        stand.back_in_2020().await;
        stand.pay_into("cold", "2020-03-01T13:00:00Z", 2).await;
        stand.pay_into("main", "2020-03-01T14:00:00Z", 3).await;
        stand.pay_into("cold", "2020-03-01T19:00:00Z", 1).await;
        stand.pay_into("main", "2020-03-03T10:00:00Z", 1).await;
        close_all_due(&stand.store).await.unwrap();
        assert_eq!(
            stand.ranges_by_series().await,
            [
                "main 1: 1-5 3 03-01 21:00",
                "main 2: 6-7 1 03-03 21:00",
                "cold 1: 1-2 2 03-01 18:00",
                "cold 2: 3-6 1 03-02 00:00"
            ]
        );
        let in_two = "SELECT count(*) FROM payment p WHERE 1 <> (SELECT count(*) FROM register r
             WHERE r.series_id = p.series_id AND p.position BETWEEN r.lo AND r.hi)";
        assert_eq!(stand.value(in_two).await, "0");

        stand.build_all().await;
        let mut names = Vec::new();
        for listed in stand.list().await {
            let (name, bytes) = stand.file(listed.summary.register_id).await;
            assert_eq!(bytes.starts_with(b"PK"), listed.summary.series == "cold", "{name}");
            names.push(name);
        }
        names.sort();
        assert_eq!(
            names,
            [
                "gvk-cold-000001.csv.zip",
                "gvk-cold-000002.csv.zip",
                "gvk-main-000001.csv",
                "gvk-main-000002.csv"
            ]
        );
        let mails = "SELECT string_agg(DISTINCT s.name || '>' || m.recipient, ' ') FROM mailing m
             JOIN register r USING (register_id) JOIN series s USING (series_id)";
        assert_eq!(stand.value(mails).await, "cold>cold@example.org main>buh@example.org");
    })
    .await;
}

#[tokio::test]
async fn a_series_that_is_taken_away_is_closed_first_and_so_is_what_comes_late() {
    on_stand(|stand| async move {
        stand.declare(&with_series(json!([cold()]))).await;
        stand.pay_into("cold", "now", 2).await;
        stand.pay_into("main", "now", 1).await;
        let closed = stand.declare(&payee(json!({}))).await;
        assert_eq!(closed.len(), 2);
        assert_eq!(
            stand
                .value("SELECT string_agg(DISTINCT requested_by || payee_version, ' ') FROM register")
                .await,
            "change1"
        );
        close_all_due(&stand.store).await.unwrap();
        // Intake that had begun before the change still knew the series.
        stand.pay_into("cold", "now", 1).await;
        assert_eq!(close_all_due(&stand.store).await.unwrap().len(), 1);
        let left = "SELECT count(*) FROM payment_view WHERE shown_state <> 'registered'";
        assert_eq!(stand.value(left).await, "0");
        stand.build_all().await;
        let late = stand.list().await.pop().unwrap();
        assert_eq!((&*late.summary.series, late.summary.sequence), ("cold", 2));
        // It goes out as the rest of the payee's does now.
        assert_eq!(stand.file(late.summary.register_id).await.0, "gvk-cold-000002.csv");

        // Declared again, it goes on where it ended.
        stand.declare(&with_series(json!([cold()]))).await;
        stand.pay_into("cold", "now", 1).await;
        close_now(&stand.store, &gvk(), "op").await.unwrap();
        let last = stand.list().await.pop().unwrap();
        assert_eq!((&*last.summary.series, last.summary.sequence), ("cold", 3));
    })
    .await;
}

#[tokio::test]
async fn a_cut_off_without_payments_makes_a_register_where_one_is_wanted() {
    on_stand(|stand| async move {
        let wanted = payee(json!({ "send_empty": true }));
        stand.declare(&wanted).await;
        stand.back_in_2020().await;
        // The worker was away until the night of the fifth; nobody declared anything meanwhile.
        stand.pay("2020-03-02T10:00:00Z", 2).await;
        stand.pay("2020-03-03T10:00:00Z", 1).await;
        stand.revoke(3).await;
        stand.pay("2020-03-04T22:00:00Z", 1).await;
        let until = "2020-03-05T21:00:00Z".parse().unwrap();
        let series = stand.value("SELECT series_id FROM series").await.parse().unwrap();
        store::registers::close_due(&stand.store, &[series], until)
            .await
            .unwrap();
        assert_eq!(
            stand.ranges().await,
            [
                "1: 1-0 0 0 03-01 21:00",
                "2: 1-2 2 20000 03-02 21:00",
                "3: 3-3 0 0 03-03 21:00",
                "4: 4-3 0 0 03-04 21:00",
                "5: 4-4 1 10000 03-05 21:00"
            ]
        );
        assert_eq!(stand.list().await[2].revoked, 1);
        // Where a payee asks for a register now, nothing is open and nothing is wanted.
        assert_eq!(close_now_until(&stand).await, 0);
        stand.build_all().await;
        let listed = stand.list().await;
        assert!(listed.iter().all(|register| register.state == "built"), "{listed:?}");
        let (name, file) = stand.file(listed[0].summary.register_id).await;
        assert_eq!(name, "gvk-main-000001.csv");
        assert_eq!(String::from_utf8(file).unwrap().lines().count(), 1, "its header");
        let told = (listed[0].summary.first_accepted_at, listed[0].summary.last_accepted_at);
        assert_eq!(
            told,
            (
                "2020-03-01T12:00:00Z".parse().unwrap(),
                "2020-03-01T21:00:00Z".parse().unwrap()
            ),
            "the stretch that it is about"
        );
        assert_eq!(stand.value("SELECT count(*) FROM mailing").await, "5");
        let wrong = store::invariants::check_all(&stand.store).await.unwrap();
        let wrong: Vec<_> = wrong
            .iter()
            .filter(|finding| finding.invariant == 4 && finding.broken > 0)
            .collect();
        assert!(
            wrong.iter().all(|finding| finding.what.contains("waits a day")),
            "{wrong:?}"
        );
    })
    .await;
}

/// Registers without payments for cut-offs after the last closed one are none of an operator's.
async fn close_now_until(stand: &Stand) -> usize {
    // As if it had been declared a moment ago.
    stand.sql("UPDATE payee SET updated_at = clock_timestamp()").await;
    close_now(&stand.store, &gvk(), "op").await.unwrap().len()
}

#[tokio::test]
async fn none_is_made_up_for_a_suspension_or_a_payee_that_is_retired() {
    on_stand(|stand| async move {
        let mut declared = payee(json!({ "send_empty": true }));
        declared.suspended = true;
        stand.declare(&declared).await;
        stand.back_in_2020().await;
        declared.suspended = false;
        stand.declare(&declared).await;
        assert_eq!(close_all_due(&stand.store).await.unwrap(), [], "declared a moment ago");
        declared.retired = true;
        stand.declare(&declared).await;
        stand.back_in_2020().await;
        assert_eq!(close_all_due(&stand.store).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn cut_offs_on_days_off_are_closed_with_the_next_working_day() {
    on_stand(|stand| async move {
        // 1 March 2020 was a Sunday, 8 March a holiday and a Sunday; the 9th was given for it.
        let calendar = json!({ "weekdays": ["sat", "sun"], "dates": ["2020-03-09", "03-08"] });
        stand.declare(&payee(json!({ "calendar": calendar }))).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 1).await;
        stand.pay("2020-03-05T22:00:00Z", 2).await;
        stand.pay("2020-03-07T10:00:00Z", 1).await;
        stand.pay("2020-03-09T12:00:00Z", 1).await;
        stand.pay("2020-03-09T22:00:00Z", 1).await;
        close_all_due(&stand.store).await.unwrap();
        assert_eq!(
            stand.ranges().await,
            [
                "1: 1-1 1 10000 03-01 21:00",
                "2: 2-5 4 40000 03-09 21:00",
                "3: 6-6 1 10000 03-10 21:00"
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn what_stays_open_too_long_is_told_once_until_it_is_closed() {
    Box::pin(on_stand(|stand| async move {
        stand.declare(&payee(json!({ "send_empty": false }))).await;
        stand.pay("now", 1).await;
        let tell = async || runtime::tell_late_registers(&stand.store).await.unwrap();
        assert_eq!(tell().await, 0);
        stand
            .sql(
                "UPDATE series SET last_cutoff = clock_timestamp() - interval '4 days';
                 UPDATE payment SET accepted_at = clock_timestamp() - interval '60 hours'",
            )
            .await;
        let (one, other) = tokio::join!(tell(), tell());
        assert_eq!(one + other, 1, "two processes tell it once");
        assert_eq!(tell().await, 0);
        let notice = "SELECT kind || ' ' || subject || ' ' || times FROM notice";
        assert_eq!(stand.value(notice).await, "register.late gvk/main 1");
        let standing = store::registers::standings(&stand.store, Some(&gvk()))
            .await
            .unwrap()
            .remove(0);
        assert!(standing.is_late() && standing.late_since.is_some());

        close_all_due(&stand.store).await.unwrap();
        assert_eq!(tell().await, 0);
        assert_eq!(
            stand
                .value("SELECT count(*) FROM series WHERE late_since IS NULL")
                .await,
            "1"
        );
    }))
    .await;
}

#[tokio::test]
async fn what_waits_for_its_interval_or_for_a_suspended_payee_is_not_late() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({ "schedule": "0 0 * * 1" }))).await;
        stand.pay("now", 1).await;
        // Five days are within a week and a day.
        let monday = "date_trunc('week', clock_timestamp() AT TIME ZONE 'Europe/Moscow') AT TIME ZONE 'Europe/Moscow'";
        stand
            .sql(&format!(
                "UPDATE series SET last_cutoff = {monday};
                 UPDATE payment SET accepted_at = greatest({monday}, clock_timestamp() - interval '5 days')"
            ))
            .await;
        let tell = async || runtime::tell_late_registers(&stand.store).await.unwrap();
        assert_eq!(tell().await, 0);
        stand
            .declare(&payee(json!({ "schedule": null, "every_payments": 5 })))
            .await;
        stand.pay("now", 2).await;
        stand
            .sql("UPDATE payment SET accepted_at = clock_timestamp() - interval '300 days'")
            .await;
        assert_eq!(tell().await, 0, "it waits for three more");
        stand.pay("now", 3).await;
        close_all_due(&stand.store).await.unwrap();

        let mut suspended = payee(json!({}));
        suspended.suspended = true;
        stand.declare(&suspended).await;
        stand.pay("now", 1).await;
        stand
            .sql(
                "UPDATE series SET last_cutoff = clock_timestamp() - interval '40 days';
                 UPDATE payment SET accepted_at = clock_timestamp() - interval '30 days'",
            )
            .await;
        assert_eq!(tell().await, 0);
    })
    .await;
}
