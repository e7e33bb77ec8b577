//! Lists of what was delivered to an online payee: what a changed declaration ends, and a long absence.

use domain::declaration::Payee;
use registers::close_all_due;
use serde_json::{Value, json};
use store::registers::deliveries_due_in;

use crate::stand::{Stand, on_stand};

/// An online payee that wants such lists, or none.
fn online(register: Option<Value>) -> Payee {
    let mut declared = json!({
        "id": "isp", "name": "Internet", "gateway": "unikassa", "currency": "RUB",
        "account": { "pattern": "^.{1,40}$" }, "amount": { "min": 1, "max": 100_000_000 },
        "unikassa": { "url": "https://isp.example.org/", "secret": "env:ISP_SECRET" },
    });
    if let Some(register) = register {
        declared["register"] = register;
    }
    serde_json::from_value(declared).unwrap()
}

/// At this hour in Moscow, to this address.
fn daily(hour: u8, to: &str) -> Option<Value> {
    Some(json!({ "schedule": format!("0 {hour} * * *"), "time_zone": "Europe/Moscow", "mail_to": [to] }))
}

impl Stand {
    /// As if the versions had been applied at these moments, and nobody had worked since the first.
    async fn applied(&self, moments: &[&str]) {
        for (version, at) in (1..).zip(moments) {
            self.sql(&format!(
                "UPDATE payee_version SET applied_at = '{at}' WHERE version = {version}"
            ))
            .await;
        }
        self.sql(&format!(
            "UPDATE series SET last_cutoff = '{}', planned_version = NULL",
            moments[0]
        ))
        .await;
    }

    async fn deliver(&self, moments: &str) {
        self.sql(&format!(
            "INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount, currency,
                 paid_at, accepted_at, delivered_at, state)
             SELECT gen_random_uuid(), nextval('payment_number'), 'isp', 1, 'unikassa', 'T-1', 'A-1', 10000, 'RUB', at, at, at,
                 'delivered' FROM {moments} AS d (at)"
        ))
        .await;
    }

    /// `sequence: from-to count, version, why, to whom` of the registers.
    async fn lists(&self) -> Vec<String> {
        let rows = self
            .sql(
                "SELECT sequence || ': ' || to_char(period_from AT TIME ZONE 'UTC', 'MM-DD HH24:MI') || '-'
                     || to_char(period_to AT TIME ZONE 'UTC', 'MM-DD HH24:MI') || ' ' || payment_count || ', '
                     || payee_version || ' ' || requested_by || ' ' || array_to_string(mail_to, ' ')
                 FROM register ORDER BY sequence",
            )
            .await;
        rows.into_iter().map(|row| row[0].clone().unwrap()).collect()
    }
}

#[tokio::test]
async fn a_changed_schedule_closes_what_was_delivered_before_it_as_it_was_declared_then() {
    on_stand(|stand| async move {
        stand.declare(&online(daily(0, "old@example.org"))).await;
        stand.declare(&online(daily(12, "new@example.org"))).await;
        stand.applied(&["2020-03-01T12:00:00Z", "2020-03-03T10:00:00Z"]).await;
        stand
            .deliver(
                "(VALUES ('2020-03-01T20:00:00Z'::timestamptz), ('2020-03-03T09:59:59Z'), ('2020-03-03T10:00:00Z'))",
            )
            .await;
        assert_eq!(close_all_due(&stand.store).await.unwrap().len(), 3);
        assert_eq!(
            stand.lists().await,
            [
                "1: 03-01 12:00-03-01 21:00 1, 1 schedule old@example.org",
                "2: 03-02 21:00-03-03 10:00 1, 1 change old@example.org",
                "3: 03-03 10:00-03-04 09:00 1, 2 schedule new@example.org",
            ]
        );
        assert_eq!(close_all_due(&stand.store).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_register_section_that_is_taken_away_closes_its_range_and_begins_anew_when_it_comes_back() {
    on_stand(|stand| async move {
        for register in [daily(0, "old@example.org"), None, daily(0, "new@example.org")] {
            stand.declare(&online(register)).await;
        }
        stand
            .applied(&["2020-03-01T12:00:00Z", "2020-03-01T15:00:00Z", "2020-03-05T15:00:00Z"])
            .await;
        stand
            .deliver(
                "(VALUES ('2020-03-01T14:00:00Z'::timestamptz), ('2020-03-03T09:00:00Z'), ('2020-03-05T16:00:00Z'))",
            )
            .await;
        close_all_due(&stand.store).await.unwrap();
        assert_eq!(
            stand.lists().await,
            [
                "1: 03-01 12:00-03-01 15:00 1, 1 change old@example.org",
                "2: 03-05 15:00-03-05 21:00 1, 3 schedule new@example.org",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn what_a_change_ends_is_closed_when_nothing_can_be_added_to_it() {
    on_stand(|stand| async move {
        let once_a_day = json!({ "every_seconds": 86_400, "mail_to": ["old@example.org"] });
        stand.declare(&online(Some(once_a_day))).await;
        stand.declare(&online(None)).await;
        stand
            .sql(
                "UPDATE payee_version SET applied_at = clock_timestamp() - interval '1 minute' WHERE version = 2;
                 UPDATE payee_version SET applied_at = clock_timestamp() - interval '1 hour' WHERE version = 1;
                 UPDATE series SET last_cutoff = clock_timestamp() - interval '1 hour', planned_version = NULL",
            )
            .await;
        stand
            .deliver("(VALUES (clock_timestamp() - interval '10 minutes'), (clock_timestamp()))")
            .await;
        close_all_due(&stand.store).await.unwrap();
        assert_eq!(stand.lists().await.len(), 0);
        let left = deliveries_due_in(&stand.store).await.unwrap().unwrap();
        assert!((200..=240).contains(&left.as_secs()), "{left:?}");
        // Four minutes later.
        stand
            .sql(
                "UPDATE payee_version SET applied_at = applied_at - interval '4 minutes';
                 UPDATE payment SET delivered_at = delivered_at - interval '4 minutes';
                 UPDATE series SET last_cutoff = last_cutoff - interval '4 minutes', next_cutoff = next_cutoff - interval '4 minutes'",
            )
            .await;
        assert_eq!(close_all_due(&stand.store).await.unwrap().len(), 1);
        assert_eq!(
            stand.value("SELECT payment_count || ' ' || requested_by FROM register").await,
            "1 change"
        );
        assert_eq!(deliveries_due_in(&stand.store).await.unwrap(), None, "nothing is wanted any more");
    })
    .await;
}

#[tokio::test]
async fn a_change_of_something_else_ends_no_list() {
    on_stand(|stand| async move {
        let mut declared = online(daily(0, "buh@example.org"));
        stand.declare(&declared).await;
        declared.name = "Internet and television".to_owned();
        stand.declare(&declared).await;
        stand.applied(&["2020-03-01T12:00:00Z", "2020-03-01T15:00:00Z"]).await;
        stand
            .deliver("(VALUES ('2020-03-01T14:00:00Z'::timestamptz), ('2020-03-01T16:00:00Z'))")
            .await;
        close_all_due(&stand.store).await.unwrap();
        assert_eq!(
            stand.lists().await,
            ["1: 03-01 12:00-03-01 21:00 2, 2 schedule buh@example.org"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_long_absence_is_caught_up_with_in_parts() {
    on_stand(|stand| async move {
        stand
            .declare(&online(Some(json!({ "every_seconds": 60, "mail_to": [] }))))
            .await;
        stand.applied(&["2020-03-01T12:00:00Z"]).await;
        // Nothing came in the first hour.
        stand
            .deliver("generate_series('2020-03-01T13:00:30Z', '2020-03-01T14:39:30Z', interval '1 minute')")
            .await;
        let mut closed = Vec::new();
        loop {
            match close_all_due(&stand.store).await.unwrap().len() {
                0 => break,
                some => closed.push(some),
            }
        }
        assert_eq!(closed, [64, 36]);
        let lists = stand.lists().await;
        assert_eq!(lists[0], "1: 03-01 13:00-03-01 13:01 1, 1 schedule ");
        assert_eq!(lists[99], "100: 03-01 14:39-03-01 14:40 1, 1 schedule ");
    })
    .await;
}
