//! Mails over which mailer after mailer is gone.

use mailer::Report;
use runtime::courier::Courier;
use serde_json::json;

use crate::stand::{LONG, Stand, built_register, declare, on_stand, wanted};

/// A mailer takes what is due and is never heard of again, which others find when its lease is over. Returns how many it took.
async fn take_and_vanish(stand: &Stand) -> usize {
    stand.all_due().await;
    let taken = stand.courier.claim(&wanted(&[""])).await.unwrap().jobs.len();
    stand
        .sql("UPDATE mailing SET lease_until = now() WHERE state = 'sending'")
        .await;
    stand.courier.claim(&wanted(&["another lane"])).await.unwrap();
    taken
}

async fn seen(stand: &Stand) -> String {
    stand
        .value("SELECT state || ' ' || vanished || ' ' || (due_at > clock_timestamp()) FROM mailing")
        .await
}

#[tokio::test]
async fn what_three_mailers_died_of_is_an_operators_business() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        assert_eq!(take_and_vanish(&stand).await, 1);
        assert_eq!(seen(&stand).await, "waiting 1 false", "the first time it is due at once");
        assert_eq!(take_and_vanish(&stand).await, 1);
        assert_eq!(seen(&stand).await, "waiting 2 true", "then apart from what it vanished with");
        assert_eq!(take_and_vanish(&stand).await, 1);
        let reports = stand.round().await;
        assert!(
            matches!(&reports[..], [Report::Refused(why)] if why == "given up after 3 attempts: whoever was at it vanished"),
            "{reports:?}"
        );
        assert_eq!(stand.server.connections(), 0, "a fourth did not touch it");
        assert_eq!(stand.register_state().await, "failed");
        assert_eq!(stand.notices().await, format!("register.failed {} x1", stand.register));
        // An operator who knows better has it tried again.
        stand.requeue(None, None).await.unwrap();
        assert!(matches!(stand.round().await[..], [Report::Sent]));
    })
    .await;
}

#[tokio::test]
async fn a_mailer_that_lives_ends_the_row_and_time_that_is_over_ends_the_mail() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        for _ in 0..2 {
            take_and_vanish(&stand).await;
        }
        stand.server.refuse_recipient("a@example.org", 451);
        assert!(matches!(stand.round().await[..], [Report::Later(_)]));
        assert_eq!(stand.value("SELECT vanished FROM mailing").await, "0");
        take_and_vanish(&stand).await;
        stand.sql("UPDATE mailing SET give_up_at = now()").await;
        assert!(matches!(&stand.round().await[..], [Report::Refused(why)] if why.contains("vanished")));
        assert_eq!(stand.register_state().await, "failed");
    })
    .await;
}

#[tokio::test]
async fn nobody_vanishes_with_what_this_version_cannot_read() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        stand
            .sql("UPDATE payee_version SET declaration = declaration || '{\"gateway\": \"teleport\"}'")
            .await;
        for _ in 0..4 {
            assert_eq!(take_and_vanish(&stand).await, 0);
        }
        assert!(seen(&stand).await.starts_with("waiting 0 "));
        assert_eq!(stand.register_state().await, "built");
    })
    .await;
}

#[tokio::test]
async fn a_database_that_goes_away_behind_a_claim_takes_no_mail_of_it_back() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        declare(&stand.store, "isp", json!({ "mail_to": ["b@example.org"] })).await;
        built_register(&stand.store, "isp").await;
        let away = "UPDATE payee_version SET declaration = declaration || '{\"gateway\": \"teleport\"}' WHERE payee_id = 'gvk';
                    CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                        RAISE EXCEPTION 'starting up' USING errcode = '57P03'; END $$;
                    CREATE TRIGGER away BEFORE UPDATE ON mailing FOR EACH ROW
                        WHEN (NEW.state = 'sending' AND NEW.lease_token IS NULL) EXECUTE FUNCTION away()";
        stand.sql(away).await;
        assert!(matches!(stand.round().await[..], [Report::Sent]), "what can be read is in somebody's hands");
        let held = "SELECT recipient FROM mailing WHERE state = 'sending' AND lease_token IS NOT NULL";
        assert_eq!(stand.value(held).await, "a@example.org");
    })
    .await;
}
