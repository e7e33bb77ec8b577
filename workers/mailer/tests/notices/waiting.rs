//! What waits for a person is told of when it begins to, and again when more of it does.

use crate::{Stand, on_stand};

/// Kinds, subjects and titles, the first one first.
async fn told(stand: &Stand) -> Vec<String> {
    let rows = stand
        .sql("SELECT kind || ' ' || subject || ': ' || title FROM notice ORDER BY first_at, kind, subject")
        .await;
    rows.into_iter().map(|row| row[0].clone().unwrap()).collect()
}

/// Payments of one payee in these states, numbered on from those that are there.
async fn payments(stand: &Stand, states: &[&str]) {
    let states = states.join(",");
    stand
        .sql(&format!(
            "INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount,
                 currency, paid_at, accepted_at, state)
             SELECT gen_random_uuid(), n + (SELECT count(*) FROM payment), 'isp', 1, 'unikassa', 'T-1', 'A-1', 100, 'RUB', now(),
                 now(), state
             FROM unnest('{{{states}}}'::text[]) WITH ORDINALITY AS s (state, n)"
        ))
        .await;
}

/// Open cases of these kinds, each of a sale of its own.
async fn cases(stand: &Stand, kinds: &[&str]) {
    for kind in kinds {
        stand
            .sql(&format!(
                "WITH sale AS (
                     INSERT INTO reservation (reservation_id, terminal_id, state, ended_at, ended_by)
                     VALUES (gen_random_uuid(), 'T-1', 'released', now(), 'release') RETURNING reservation_id
                 ),
                 sold AS (
                     INSERT INTO card (product_id, pos, batch_id, serial, state) VALUES ('p', 1, 1, 's', 'faulty') RETURNING card_id
                 )
                 INSERT INTO card_case (case_id, kind, reservation_id, card_id)
                 SELECT gen_random_uuid(), '{kind}', reservation_id, card_id FROM sale, sold"
            ))
            .await;
    }
}

#[tokio::test]
async fn open_cases_are_told_of_kind_by_kind() {
    on_stand(|stand| async move {
        let tell = async || mailer::tell_waiting(&stand.store).await.unwrap();
        let resolve = "UPDATE card_case SET resolution = 'dismissed', resolved_at = now(), resolved_by = 'anna', note = 'nothing is owed'";
        cases(&stand, &["conflict"]).await;
        stand.sql(resolve).await;
        assert_eq!(tell().await, 0, "it is settled");
        cases(&stand, &["conflict", "surplus", "surplus"]).await;
        let (one, other) = tokio::join!(tell(), tell());
        assert_eq!(one + other, 2, "two processes tell each once");
        let of = |kind: &str, open: u32| {
            format!("case.open {kind}: Cases of cards wait for a person: {open} of kind {kind}")
        };
        let mut titles = told(&stand).await;
        titles.sort();
        assert_eq!(titles, [of("conflict", 1), of("surplus", 2)]);

        stand.sql("UPDATE notice SET gathered_at = clock_timestamp()").await;
        cases(&stand, &["surplus"]).await;
        assert_eq!(tell().await, 0, "an hour is not over");
        stand
            .sql("UPDATE notice_open SET told_at = told_at - interval '1 hour'")
            .await;
        assert_eq!(tell().await, 1);
        assert_eq!(told(&stand).await.last(), Some(&of("surplus", 3)));

        // All are settled, and it begins anew.
        stand.sql(&format!("{resolve} WHERE resolution IS NULL")).await;
        assert_eq!(tell().await, 0);
        stand.sql("UPDATE notice SET gathered_at = clock_timestamp()").await;
        cases(&stand, &["conflict"]).await;
        assert_eq!(tell().await, 1);
        assert_eq!(told(&stand).await.last(), Some(&of("conflict", 1)));
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_a_person_is_told_once_until_nothing_of_it_does() {
    on_stand(|stand| async move {
        let tell = async || mailer::tell_waiting(&stand.store).await.unwrap();
        let told = async || told(&stand).await;
        // Of what its worker has in hand nobody is told.
        let park =
            "INSERT INTO parked (parked_id, routing_key, payment_id, content_hash, reason, body, properties, state)
             SELECT gen_random_uuid(), 'payment.accepted', gen_random_uuid(), sha256(n::text::bytea), 'payee_unknown',
                    'secret-in-a-body', '{}', ";
        stand.sql(&format!("{park} 'retry' FROM generate_series(1, 1) n")).await;
        assert_eq!(tell().await, 0);
        stand
            .sql(&format!("{park} 'parked' FROM generate_series(2, 8) n"))
            .await;
        payments(&stand, &["unknown", "failed", "failed", "stopped", "delivered"]).await;
        let (one, other) = tokio::join!(tell(), tell());
        assert_eq!(one + other, 2, "two processes tell each once");
        assert_eq!(tell().await, 0);
        let parked = "message.parked payee_unknown: 7 facts are parked: payee_unknown";
        let unsettled = "payment.unsettled isp: Payments of isp wait for a person: 1 unknown, 2 failed";
        let mut both = told().await;
        both.sort();
        assert_eq!(both, [parked, unsettled]);
        let lines = stand
            .sql("SELECT array_to_string(lines, ' ') FROM notice WHERE kind = 'message.parked'")
            .await;
        let lines = lines[0][0].clone().unwrap();
        assert!(lines.contains("and 2 more") && !lines.contains("secret"), "{lines}");

        // It is dealt with, and happens again after that was mailed.
        stand.sql("UPDATE notice SET gathered_at = clock_timestamp()").await;
        stand
            .sql(
                "UPDATE parked SET state = 'discarded', resolved_at = clock_timestamp();
                 UPDATE payment SET state = 'delivered'",
            )
            .await;
        assert_eq!((tell().await, told().await.len()), (0, 2));
        stand.sql("UPDATE payment SET state = 'unknown' WHERE number = 3").await;
        assert_eq!(tell().await, 1);
        assert!(
            told()
                .await
                .contains(&unsettled.replace("1 unknown, 2 failed", "1 unknown, 0 failed"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_payment_about_which_something_is_done_waits_for_nobody() {
    on_stand(|stand| async move {
        let tell = async || mailer::tell_waiting(&stand.store).await.unwrap();
        payments(&stand, &["unknown", "unknown", "failed"]).await;
        // It is about to be asked about, is being asked about, and is one of those that an operator has put back to work.
        stand
            .sql(
                "UPDATE payment SET next_act = 'status', due_at = now() + interval '1 minute' WHERE number = 1;
                 INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, lease_until)
                 SELECT gen_random_uuid(), payment_id, 1, 'status', 'isp', 1, 'w', now() FROM payment WHERE number = 2;
                 INSERT INTO act (act_id, kind, who, filter, matched) SELECT payment_id, 'requeue', 'anna', '{}', 1 FROM payment
                 WHERE number = 3;
                 INSERT INTO act_item (act_id, ordinal, payment_id, state, generation, ended_calls)
                 SELECT payment_id, 1, payment_id, state, generation, attempts FROM payment WHERE number = 3",
            )
            .await;
        assert_eq!(tell().await, 0);
        let troubled = async || store::deliveries::in_trouble(&stand.store).await.unwrap().len();
        assert_eq!(troubled().await, 0, "doctor counts none either");
        stand
            .sql("UPDATE payment SET next_act = NULL, due_at = NULL WHERE number = 1")
            .await;
        assert_eq!((tell().await, troubled().await), (1, 1));
        let title = "payment.unsettled isp: Payments of isp wait for a person: 1 unknown, 0 failed";
        assert_eq!(told(&stand).await, [title]);
    })
    .await;
}

#[tokio::test]
async fn one_that_nobody_sees_to_silences_no_later_ones() {
    on_stand(|stand| async move {
        let tell = async || mailer::tell_waiting(&stand.store).await.unwrap();
        let an_hour_later = "UPDATE notice_open SET told_at = told_at - interval '1 hour'";
        payments(&stand, &["failed"]).await;
        assert_eq!(tell().await, 1);
        stand.sql("UPDATE notice SET gathered_at = clock_timestamp()").await;
        stand.sql(an_hour_later).await;
        assert_eq!(tell().await, 0, "nothing has changed");
        payments(&stand, &["failed", "unknown"]).await;
        let (one, other) = tokio::join!(tell(), tell());
        assert_eq!(one + other, 1, "two processes tell it once");
        payments(&stand, &["failed"]).await;
        assert_eq!(tell().await, 0, "an hour is not over");
        stand.sql(an_hour_later).await;
        assert_eq!(tell().await, 1);
        let titles = told(&stand).await;
        assert!(titles.last().unwrap().ends_with("1 unknown, 3 failed"), "{titles:?}");

        // Those that somebody has seen to make no room for others to come unseen.
        stand
            .sql("UPDATE payment SET state = 'delivered' WHERE number IN (2, 3)")
            .await;
        stand.sql(an_hour_later).await;
        assert_eq!(tell().await, 0);
        payments(&stand, &["failed"]).await;
        assert_eq!(tell().await, 1);
    })
    .await;
}
