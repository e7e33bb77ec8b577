//! Every payment lands in exactly one register, at the right cut-off, whoever closes and how late.

use domain::RegisterId;
use domain::declaration::Payee;
use registers::close_all_due;
use serde_json::json;
use store::StoreError;
use store::registers::{Closing, advance_clock, close_due, close_now, series_due};
use testkit::wait_for;

use crate::stand::{PATIENCE, Stand, gvk, on_stand, payee};

#[tokio::test]
async fn missed_cut_offs_are_closed_one_by_one_each_at_its_own_time() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({}))).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 2).await;
        // Midnight in Moscow is 21:00 UTC; what is accepted at that very moment belongs to the next day.
        stand.pay("2020-03-01T20:59:59.999999Z", 1).await;
        stand.pay("2020-03-01T21:00:00Z", 1).await;
        stand.pay("2020-03-05T12:00:00Z", 3).await;

        let closed = close_all_due(&stand.store).await.unwrap();
        assert_eq!(closed.len(), 3);
        assert_eq!(
            stand.ranges().await,
            [
                "1: 1-3 3 30000 03-01 21:00",
                "2: 4-4 1 10000 03-02 21:00",
                "3: 5-7 3 30000 03-05 21:00"
            ]
        );
        assert_eq!(close_all_due(&stand.store).await.unwrap(), []);
        assert_eq!(
            stand
                .value("SELECT count(*) FROM payment_view WHERE shown_state <> 'registered'")
                .await,
            "0"
        );
        // What found nothing only moved the series on.
        let moved = "SELECT now() - last_cutoff < interval '1 day' AND next_cutoff > now() FROM series";
        assert_eq!(stand.value(moved).await, "t");
    })
    .await;
}

#[tokio::test]
async fn closers_at_once_take_turns() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({ "every_payments": 7 }))).await;
        stand.back_in_2020().await;
        for day in 1..=9 {
            stand.pay(&format!("2020-03-{day:02}T13:00:00Z"), 10).await;
        }
        let payee = gvk();
        let (a, b, c, d) = tokio::join!(
            close_all_due(&stand.store),
            close_now(&stand.store, &payee, "operator"),
            close_all_due(&stand.store),
            close_now(&stand.store, &payee, "operator"),
        );
        let mut closed: Vec<RegisterId> = [a, b, c, d].into_iter().flat_map(Result::unwrap).collect();
        closed.extend(close_all_due(&stand.store).await.unwrap());
        assert_eq!(stand.list().await.len(), closed.len());
        assert_eq!(
            stand
                .value("SELECT sum(payment_count) || ' ' || sum(total) FROM register")
                .await,
            "90 900000"
        );
        let held_once = "SELECT count(*) FROM payment p
             WHERE (SELECT count(*) FROM register r WHERE p.position BETWEEN r.lo AND r.hi) = 1";
        assert_eq!(stand.value(held_once).await, "90");
        let sequences = "SELECT max(sequence) - count(*) FROM register";
        assert_eq!(stand.value(sequences).await, "0", "no gap");
    })
    .await;
}

/// Three payees, of which the first is paid for.
async fn three_payees(stand: &Stand) {
    for id in ["gvk", "teplo", "gas"] {
        let declared = Payee {
            id: id.parse().unwrap(),
            ..payee(json!({}))
        };
        stand.declare(&declared).await;
    }
    stand.back_in_2020().await;
}

const PLANNED: &str = "SELECT string_agg(payee_id, ' ' ORDER BY payee_id) FROM series WHERE next_cutoff > now()";

#[tokio::test]
async fn one_series_that_cannot_be_closed_keeps_no_other_open() {
    on_stand(|stand| async move {
        three_payees(&stand).await;
        stand.pay("2020-03-01T13:00:00Z", 1).await;
        stand
            .sql("UPDATE payee SET declaration = declaration - 'register' WHERE payee_id = 'teplo'")
            .await;
        assert_eq!(close_all_due(&stand.store).await.unwrap().len(), 1);
        assert_eq!(stand.value(PLANNED).await, "gas gvk");
    })
    .await;
}

#[tokio::test]
async fn a_series_that_was_away_for_long_makes_no_long_transaction_with_others() {
    on_stand(|stand| async move {
        three_payees(&stand).await;
        let start: jiff::Timestamp = "2020-03-01T13:00:00Z".parse().unwrap();
        for day in 0..70 {
            let at = start + jiff::SignedDuration::from_hours(24 * day);
            stand.pay(&at.to_string(), 1).await;
        }
        let due = series_due(&stand.store).await.unwrap();
        let until = advance_clock(&stand.store).await.unwrap();
        let closing = close_due(&stand.store, &due, until).await.unwrap();
        assert_eq!((closing.registers.len(), closing.left.len()), (64, 2), "{closing:?}");
        assert_eq!(close_all_due(&stand.store).await.unwrap().len(), 6);
        assert_eq!(stand.value(PLANNED).await, "gas gvk teplo");
    })
    .await;
}

#[tokio::test]
async fn what_another_closer_has_closed_is_not_worked_on_again() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({}))).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 2).await;
        let due = series_due(&stand.store).await.unwrap();
        let until = advance_clock(&stand.store).await.unwrap();
        assert_eq!(close_due(&stand.store, &due, until).await.unwrap().registers.len(), 1);
        // Somebody who has found it due before that writes nothing any more.
        let version = "SELECT xmin::text FROM series";
        let closed = stand.value(version).await;
        assert_eq!(close_due(&stand.store, &due, until).await.unwrap(), Closing::default());
        assert_eq!(stand.value(version).await, closed);
        // Due again, also while nobody has planned it.
        stand.pay("2020-03-01T13:00:00Z", 1).await;
        stand.sql("UPDATE series SET planned_version = NULL").await;
        close_due(&stand.store, &due, until).await.unwrap();
        assert_ne!(stand.value(version).await, closed);
    })
    .await;
}

#[tokio::test]
async fn a_full_count_closes_exactly_so_many() {
    on_stand(|stand| async move {
        stand
            .declare(&payee(json!({ "schedule": null, "every_payments": 3 })))
            .await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 2).await;
        assert_eq!(close_all_due(&stand.store).await.unwrap(), []);
        stand.back_in_2020().await;
        stand.pay("2020-03-01T14:00:00Z", 7).await;
        stand.revoke(2).await;
        close_all_due(&stand.store).await.unwrap();
        assert_eq!(
            stand.ranges().await,
            ["1: 1-4 3 30000 03-01 14:00", "2: 5-7 3 30000 03-01 14:00"]
        );
        assert_eq!(
            stand
                .value("SELECT count(*) FROM payment_view WHERE shown_state = 'accepted'")
                .await,
            "2"
        );
    })
    .await;
}

#[tokio::test]
async fn empty_ranges_and_revoked_payments_make_no_register() {
    on_stand(|stand| async move {
        stand
            .declare(&payee(json!({ "schedule": null, "every_seconds": 3600 })))
            .await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T12:10:00Z", 2).await;
        stand.revoke(1).await;
        stand.revoke(2).await;
        assert_eq!(close_all_due(&stand.store).await.unwrap(), []);
        assert_eq!(stand.value("SELECT last_hi FROM series").await, "0");
        let on_the_grid = "SELECT extract(epoch FROM last_cutoff - '2020-03-01T12:00:00Z')::bigint % 3600 FROM series";
        assert_eq!(stand.value(on_the_grid).await, "0");

        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:30:00Z", 3).await;
        stand.revoke(4).await;
        close_all_due(&stand.store).await.unwrap();
        assert_eq!(stand.ranges().await, ["1: 1-5 2 20000 03-01 14:00"]);
        assert_eq!(stand.list().await[0].revoked, 3);
    })
    .await;
}

#[tokio::test]
async fn a_suspended_payee_waits() {
    on_stand(|stand| async move {
        let mut declared = payee(json!({}));
        declared.suspended = true;
        stand.declare(&declared).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 2).await;
        assert_eq!(close_all_due(&stand.store).await.unwrap(), []);
        assert!(matches!(
            close_now(&stand.store, &gvk(), "op").await,
            Err(StoreError::Changed(_))
        ));
        assert_eq!(
            stand
                .value("SELECT count(*) FROM payment_view WHERE shown_state = 'stopped'")
                .await,
            "2"
        );

        declared.suspended = false;
        assert_eq!(stand.declare(&declared).await, []);
        close_all_due(&stand.store).await.unwrap();
        assert_eq!(stand.ranges().await, ["1: 1-2 2 20000 03-01 21:00"]);
    })
    .await;
}

#[tokio::test]
async fn an_operator_closes_now() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({}))).await;
        stand.pay("2020-03-01T13:00:00Z", 2).await;
        let closed = close_now(&stand.store, &gvk(), "anna").await.unwrap();
        assert_eq!(closed.len(), 1);
        assert_eq!(stand.list().await[0].requested_by, "anna");
        assert_eq!(close_now(&stand.store, &gvk(), "anna").await.unwrap(), []);
        assert_eq!(
            stand
                .value("SELECT count(*) FROM audit WHERE act = 'registers build'")
                .await,
            "2"
        );
        let unknown = close_now(&stand.store, &domain::PayeeId::parse("nobody").unwrap(), "anna").await;
        assert!(unknown.unwrap_err().to_string().contains("nobody"));
    })
    .await;
}

#[tokio::test]
async fn a_change_closes_first_and_the_register_keeps_its_version() {
    on_stand(|stand| async move {
        let before = payee(json!({}));
        assert_eq!(stand.declare(&before).await, []);
        stand.pay("2020-03-01T13:00:00Z", 2).await;
        assert_eq!(stand.declare(&before).await, [], "nothing changed");

        let mut after = payee(json!({ "zip": true, "mail_to": ["new@example.org"] }));
        after.field.clear();
        assert_eq!(stand.declare(&after).await.len(), 1);
        stand.pay("2020-03-01T13:00:00Z", 1).await;
        close_now(&stand.store, &gvk(), "op").await.unwrap();
        stand.build_all().await;

        let listed = stand.list().await;
        let versions: Vec<i32> = listed.iter().map(|register| register.payee_version).collect();
        assert_eq!(versions, [1, 2]);
        let (name, old) = stand.file(listed[0].summary.register_id).await;
        assert_eq!(name, "gvk-main-000001.csv");
        assert!(
            String::from_utf8(old)
                .unwrap()
                .lines()
                .next()
                .unwrap()
                .ends_with(";receipt_number;meter_cold")
        );
        assert_eq!(
            stand.file(listed[1].summary.register_id).await.0,
            "gvk-main-000002.csv.zip"
        );
        let recipients = stand.sql("SELECT recipient FROM mailing ORDER BY created_at").await;
        assert_eq!(
            recipients,
            [
                [Some("buh@example.org".to_owned())],
                [Some("new@example.org".to_owned())]
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_payment_under_way_is_waited_for() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({}))).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 1).await;
        // Intake holds the ledger row: the closer has to wait for its commit, or it would miss the payment. It commits when
        // somebody waits for it.
        let slow = stand.clone();
        let intake = tokio::spawn(async move {
            slow.sql(
                "BEGIN;
                 SET LOCAL statement_timeout = '45s';
                 UPDATE ledger SET last_position = last_position + 1;
                 DO $$ BEGIN
                     WHILE NOT EXISTS (SELECT FROM pg_locks
                                       WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))
                     LOOP PERFORM pg_sleep(0.01); END LOOP;
                 END $$;
                 INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount,
                     currency, paid_at, accepted_at, series_id, position)
                 SELECT gen_random_uuid(), nextval('payment_number'), 'gvk', 1, 'registers', 'T-1', 'late', 10000, 'RUB',
                     '2020-03-01T14:00:00Z', '2020-03-01T14:00:00Z', series_id, last_position FROM series, ledger;
                 COMMIT",
            )
            .await;
        });
        wait_for("intake to hold the ledger", PATIENCE, async || {
            let free = stand.sql("SELECT 1 FROM ledger FOR UPDATE SKIP LOCKED").await;
            free.is_empty().then_some(())
        })
        .await;
        close_all_due(&stand.store).await.unwrap();
        intake.await.unwrap();
        assert_eq!(stand.ranges().await, ["1: 1-2 2 20000 03-01 21:00"]);
    })
    .await;
}

#[tokio::test]
async fn closing_amid_intake_loses_and_repeats_nothing() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({ "every_payments": 4 }))).await;
        let payee = gvk();
        let intake = async {
            for count in 1..=20 {
                stand.pay("now", count).await;
            }
        };
        let closing = async {
            for _ in 0..10 {
                close_all_due(&stand.store).await.unwrap();
                close_now(&stand.store, &payee, "operator").await.unwrap();
            }
        };
        tokio::join!(intake, closing);
        close_now(&stand.store, &payee, "operator").await.unwrap();
        assert_eq!(
            stand
                .value("SELECT sum(payment_count) || ' ' || sum(total) FROM register")
                .await,
            "210 2100000"
        );
        let held_once = "SELECT count(*) FROM payment p
             WHERE (SELECT count(*) FROM register r WHERE p.position BETWEEN r.lo AND r.hi) = 1";
        assert_eq!(stand.value(held_once).await, "210");
        let built = stand.build_all().await;
        assert!(
            built.iter().all(|built| *built == registers::Built::Recorded),
            "{built:?}"
        );
    })
    .await;
}
