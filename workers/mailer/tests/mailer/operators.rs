//! What an operator does about a recipient that does not get a register.

use mailer::Report;
use runtime::courier::{Courier, Done};
use serde_json::json;
use store::StoreError;
use store::mailings::{self, Forgone};
use store::registers;

use crate::stand::{LONG, Stand, assert_same, carry, on_stand, wanted, with_register};

pub(crate) async fn forgo(stand: &Stand, recipient: &str) -> Result<bool, StoreError> {
    let tx = stand.store.begin().await.unwrap();
    let wanted = Forgone {
        register: stand.register,
        recipient,
        reason: "left the company",
        who: "anna",
    };
    let mailed = mailings::forgo(&tx, &wanted).await?;
    tx.commit().await.unwrap();
    Ok(mailed)
}

#[tokio::test]
async fn one_of_three_refused_for_good_is_seen_replaced_and_the_register_mailed() {
    on_stand(
        &["a@example.org", "gone@example.org", "c@example.org"],
        LONG,
        |stand| async move {
            stand.server.refuse_recipient("gone@example.org", 550);
            assert_eq!(stand.round().await.len(), 3);
            assert_eq!(stand.server.inbox().len(), 2, "the others have it");
            assert_eq!(stand.register_state().await, "failed");
            let listed = mailings::of_register(&stand.store, stand.register).await.unwrap();
            let states: Vec<(&str, &str)> = listed
                .iter()
                .map(|of| (of.recipient.as_str(), of.state.as_str()))
                .collect();
            assert_eq!(
                states,
                [
                    ("a@example.org", "sent"),
                    ("gone@example.org", "failed"),
                    ("c@example.org", "sent")
                ]
            );
            assert!(listed[1].last_error.as_deref().unwrap().contains("550"));

            assert!(
                stand.requeue(Some("a@example.org"), None).await.is_err(),
                "that one was taken"
            );
            let twice = stand
                .requeue(Some("gone@example.org"), Some("c@example.org"))
                .await
                .unwrap_err();
            assert!(twice.to_string().contains("a recipient of register"), "{twice}");
            assert_eq!(
                stand
                    .requeue(Some("gone@example.org"), Some("new@example.org"))
                    .await
                    .unwrap(),
                1
            );
            assert_eq!(stand.register_state().await, "built");
            assert!(matches!(stand.round().await[..], [Report::Sent]));
            assert_eq!(stand.register_state().await, "mailed at");
            let mails = stand.server.inbox();
            assert_eq!(
                (mails.len(), &mails[2].to[..]),
                (3, &["new@example.org".to_owned()][..])
            );
            assert_same(&mails);
            let audited = stand
                .value("SELECT before::text || after::text FROM audit WHERE act LIKE 'registers requeue%'")
                .await;
            assert!(
                audited.contains("\"gone@example.org\": \"failed\"") && audited.contains("new@example.org"),
                "{audited}"
            );
        },
    )
    .await;
}

#[tokio::test]
async fn what_waits_for_its_next_try_is_tried_now_and_given_up_when_it_would_have_been() {
    on_stand(&["full@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("full@example.org", 450);
        assert_eq!(stand.round().await.len(), 1);
        let waits = "SELECT state || ' ' || attempts || ' ' || (due_at > now()) || ' ' || give_up_at FROM mailing";
        let before = stand.value(waits).await;
        assert!(before.starts_with("waiting 1 true "), "{before}");
        assert_eq!(stand.requeue(None, None).await.unwrap(), 1);
        let after = stand.value(waits).await;
        assert_eq!(after, before.replace("true", "false"));
        // Or it goes to another, who has room for it.
        assert_eq!(
            stand
                .requeue(Some("full@example.org"), Some("new@example.org"))
                .await
                .unwrap(),
            1
        );
        assert!(matches!(stand.round().await[..], [Report::Sent]));
        assert_eq!(stand.register_state().await, "mailed at");
        assert!(stand.requeue(None, None).await.is_err(), "nothing waits");
    })
    .await;
}

#[tokio::test]
async fn who_takes_a_directorys_place_is_mailed_to() {
    let register = json!({ "mail_to": ["a@example.org"], "directory": { "path": "/proc/no/such/place" } });
    with_register(register, LONG, |stand| async move {
        let directory = "directory:/proc/no/such/place";
        stand
            .sql("UPDATE mailing SET state = 'failed', due_at = NULL WHERE recipient LIKE 'directory:%'")
            .await;
        let instead = stand.requeue(Some(directory), Some("new@example.org")).await;
        assert_eq!(instead.unwrap(), 1);
        let lane = "SELECT lane FROM mailing WHERE recipient = 'new@example.org'";
        assert_eq!(stand.value(lane).await, "", "no longer the directory's");
        assert!(matches!(stand.round_of_all().await[..], [Report::Sent, Report::Sent]));
        assert_eq!(stand.server.inbox().len(), 2);
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_late_ends_no_other_mail() {
    on_stand(&["gone@example.org", "b@example.org"], LONG, |stand| async move {
        // A mailer that hangs after it has sent, for longer than its lease.
        stand.all_due().await;
        let jobs = stand.courier.claim(&wanted(&[""])).await.unwrap().jobs;
        assert_eq!(jobs.len(), 2);
        stand.sql("UPDATE mailing SET state = 'failed', lease_token = NULL, lease_until = NULL").await;
        stand
            .requeue(Some("gone@example.org"), Some("new@example.org"))
            .await
            .unwrap();
        let done: Vec<_> = jobs
            .into_iter()
            .map(|job| Done {
                job,
                report: Report::Sent,
            })
            .collect();
        stand.courier.record(&done).await.unwrap();
        let states = "SELECT string_agg(recipient || ' ' || state, ', ' ORDER BY recipient) FROM mailing";
        assert_eq!(stand.value(states).await, "b@example.org sent, new@example.org waiting");
        // Nor one that goes out again on demand, as another mail.
        stand.sql("UPDATE mailing SET message_id = '<again@example.org>', state = 'waiting', due_at = now(), sent_at = NULL").await;
        stand.courier.record(&done).await.unwrap();
        assert_eq!(stand.value(states).await, "b@example.org waiting, new@example.org waiting");
    })
    .await;
}

#[tokio::test]
async fn what_is_on_its_way_to_whom_nobody_waits_for_any_more_may_have_been_seen() {
    on_stand(&["gone@example.org", "b@example.org"], LONG, |stand| async move {
        stand
            .sql("UPDATE mailing SET state = 'sending', due_at = NULL, lease_until = now() WHERE recipient = 'gone@example.org'")
            .await;
        forgo(&stand, "gone@example.org").await.unwrap();
        let maybes = "SELECT state || ' ' || maybes FROM mailing WHERE recipient = 'gone@example.org'";
        assert_eq!(stand.value(maybes).await, "forgone 1", "the others get the same bytes");
    })
    .await;
    on_stand(&["gone@example.org", "b@example.org"], LONG, |stand| async move {
        // Two parts, one of which has failed, and the other is under way; who comes in his place was given up before.
        stand
            .sql(
                "INSERT INTO register_part SELECT (jsonb_populate_record(p, '{\"part\": 2}')).* FROM register_part p;
                 INSERT INTO mailing SELECT (jsonb_populate_record(m, jsonb_build_object('part', 2, 'mailing_id', gen_random_uuid()))).*
                 FROM mailing m;
                 UPDATE mailing SET state = 'failed', due_at = NULL WHERE recipient = 'gone@example.org' AND part = 1;
                 UPDATE mailing SET state = 'sending', due_at = NULL, lease_until = now()
                     WHERE recipient = 'gone@example.org' AND part = 2;
                 UPDATE register SET mail_to = '{gone@example.org}';
                 UPDATE mailing SET state = 'forgone', due_at = NULL, vanished = 3 WHERE recipient = 'b@example.org'",
            )
            .await;
        stand
            .requeue(Some("gone@example.org"), Some("b@example.org"))
            .await
            .unwrap();
        let all = "SELECT string_agg(recipient || ' ' || state || ' ' || maybes || ' ' || vanished, ', ' ORDER BY part, recipient) FROM mailing";
        assert_eq!(
            stand.value(all).await,
            "b@example.org waiting 0 0, gone@example.org forgone 0 0, b@example.org waiting 0 0, gone@example.org forgone 1 0"
        );
    })
    .await;
}

#[tokio::test]
async fn a_recipient_can_be_forgone_but_not_the_last_one() {
    on_stand(&["a@example.org", "gone@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("gone@example.org", 550);
        stand.round().await;
        assert!(forgo(&stand, "a@example.org").await.is_err(), "that one has it");
        assert!(forgo(&stand, "nobody@example.org").await.is_err());
        assert!(forgo(&stand, "gone@example.org").await.unwrap(), "the others have it");
        assert_eq!(stand.register_state().await, "mailed at");
        assert!(stand.round().await.is_empty());
        assert!(forgo(&stand, "gone@example.org").await.is_err(), "once");
    })
    .await;
    on_stand(&["gone@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("gone@example.org", 550);
        stand.round().await;
        let last = forgo(&stand, "gone@example.org").await.unwrap_err();
        assert!(last.to_string().contains("only recipient"), "{last}");
        assert_eq!(stand.register_state().await, "failed");
        // Somebody looks at it: it is for nobody else all the same.
        let me = Some("anna@ours.example");
        registers::mail_again(&stand.store, stand.register, me, "anna")
            .await
            .unwrap();
        stand.round().await;
        assert!(forgo(&stand, "gone@example.org").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn what_is_mailed_again_goes_to_whom_it_is_for_now() {
    on_stand(
        &["left@example.org", "old@example.org", "a@example.org"],
        LONG,
        |stand| async move {
            for address in ["left@example.org", "old@example.org"] {
                stand.server.refuse_recipient(address, 550);
            }
            stand.round().await;
            forgo(&stand, "left@example.org").await.unwrap();
            let instead = Some("new@example.org");
            stand.requeue(Some("old@example.org"), instead).await.unwrap();
            stand.round().await;
            assert_eq!(stand.register_state().await, "mailed at");
            let again = registers::look_at_mail_again(&stand.store, stand.register, None).await;
            let to = ["new@example.org", "a@example.org"].map(str::to_owned);
            assert_eq!(again.unwrap(), (2, to.to_vec()));
        },
    )
    .await;
}

#[tokio::test]
async fn what_nobody_can_have_had_is_written_anew_when_it_is_requeued() {
    on_stand(&["a@example.org", "b@example.org"], LONG, |stand| async move {
        for address in ["a@example.org", "b@example.org"] {
            stand.server.refuse_recipient(address, 553);
        }
        stand.round().await;
        assert_eq!(stand.requeue(None, None).await.unwrap(), 2);
        stand.server.accept_recipient("a@example.org");
        stand.all_due().await;
        let corrected = stand.another("Unigate <registers@example.com>");
        carry(&corrected, &[""]).await;
        assert_eq!(stand.server.inbox()[0].from, "registers@example.com");
        // From now on somebody has it: it stays as it is.
        stand.server.accept_recipient("b@example.org");
        assert_eq!(stand.requeue(None, None).await.unwrap(), 1);
        stand.round().await;
        let mails = stand.server.inbox();
        assert_eq!(mails.len(), 2);
        assert_same(&mails);
        assert_eq!(mails[1].from, "registers@example.com");
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_its_relay_is_not_written_yet() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        stand.server.down().await;
        assert!(matches!(stand.round().await[..], [Report::Away(_)]));
        assert_eq!(stand.value("SELECT count(*) FROM letter").await, "0");
        stand.server.up().unwrap();
        let corrected = stand.another("Unigate <registers@example.com>");
        assert!(matches!(carry(&corrected, &[""]).await[..], [Report::Sent]));
        assert_eq!(stand.server.inbox()[0].from, "registers@example.com");
    })
    .await;
}
