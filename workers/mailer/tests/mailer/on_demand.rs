//! What is mailed on demand decides nothing about its register; and whoever takes another's place gets all of it.

use std::time::Duration;

use serde_json::json;
use store::mailings::{self, Kept, Lease, Mailing, Requeue};
use store::registers;

use crate::operators::forgo;
use crate::stand::{LONG, Stand, built_in_parts, declare, on_stand};

impl Stand {
    async fn mail_again(&self, to: &str) {
        registers::mail_again(&self.store, self.register, Some(to), "anna")
            .await
            .unwrap();
    }

    /// What waits for the installation's relay, in a mailer's hands, part by part.
    async fn in_hand(&self, recipient: &str) -> Vec<Mailing> {
        let lease = Lease {
            least: LONG,
            bytes_per_second: 1,
        };
        let claimed = mailings::claim(&self.store, &[(String::new(), 64)], lease).await;
        let mut mailings = claimed.unwrap();
        mailings.retain(|mailing| mailing.recipient == recipient);
        mailings.sort_by_key(|mailing| mailing.part.part);
        mailings
    }

    async fn sent(&self, mailing: &Mailing) {
        let tx = self.store.begin().await.unwrap();
        mailings::record_sent(&tx, mailing).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn later(&self, mailing: &Mailing) -> Kept {
        let tx = self.store.begin().await.unwrap();
        let kept = mailings::record_retry(&tx, mailing, "450", Duration::ZERO).await;
        tx.commit().await.unwrap();
        kept.unwrap()
    }

    async fn refused(&self, mailing: &Mailing) -> Kept {
        let tx = self.store.begin().await.unwrap();
        let kept = mailings::record_failed(&tx, mailing, "550").await;
        tx.commit().await.unwrap();
        kept.unwrap()
    }

    async fn states(&self) -> String {
        self.value("SELECT string_agg(recipient || ' ' || state, ', ' ORDER BY part, recipient) FROM mailing")
            .await
    }
}

#[tokio::test]
async fn a_copy_that_bounces_fails_no_register_and_holds_none_up() {
    on_stand(&["a@example.org", "b@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("b@example.org", 451);
        stand.server.refuse_recipient("accountant@ours.example", 550);
        stand.round().await;
        stand.mail_again("accountant@ours.example").await;
        stand.round().await;
        assert_eq!(
            stand.states().await,
            "a@example.org sent, accountant@ours.example failed, b@example.org waiting"
        );
        assert_eq!(stand.register_state().await, "built");
        assert_eq!(stand.events().await, "", "nothing has happened to the register");
        assert_eq!(stand.notices().await, format!("mail.failed {} x1", stand.register));

        stand.server.accept_recipient("b@example.org");
        stand.round().await;
        assert_eq!(stand.register_state().await, "mailed at");
        assert_eq!(stand.events().await, "register.mailed");
    })
    .await;
}

#[tokio::test]
async fn a_copy_that_waits_keeps_no_register_from_being_mailed() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        for address in ["a@example.org", "accountant@ours.example"] {
            stand.server.refuse_recipient(address, 451);
        }
        stand.mail_again("accountant@ours.example").await;
        stand.round().await;
        stand.server.accept_recipient("a@example.org");
        stand.round().await;
        assert_eq!(
            stand.states().await,
            "a@example.org sent, accountant@ours.example waiting"
        );
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn who_had_it_once_has_it_whatever_becomes_of_a_mail_once_more() {
    on_stand(&["a@example.org", "b@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("b@example.org", 550);
        stand.round().await;
        assert_eq!(stand.register_state().await, "failed");
        stand.server.refuse_recipient("a@example.org", 550);
        stand.mail_again("a@example.org").await;
        stand.round().await;
        assert_eq!(stand.states().await, "a@example.org failed, b@example.org failed");
        stand.requeue(Some("b@example.org"), None).await.unwrap();
        assert_eq!(stand.register_state().await, "built", "it waits for b only");
        stand.server.accept_recipient("b@example.org");
        stand.round().await;
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn who_got_it_on_demand_only_has_it_too_when_the_register_is_for_him() {
    on_stand(&["a@example.org", "b@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("a@example.org", 550);
        stand.server.refuse_recipient("b@example.org", 451);
        stand.round().await;
        assert_eq!(stand.register_state().await, "failed");
        stand.server.accept_recipient("a@example.org");
        stand.mail_again("a@example.org").await;
        assert_eq!(stand.register_state().await, "built", "he may get it yet");
        stand.round().await;
        stand.server.refuse_recipient("a@example.org", 550);
        stand.mail_again("a@example.org").await;
        stand.server.accept_recipient("b@example.org");
        stand.round().await;
        assert_eq!(stand.states().await, "a@example.org failed, b@example.org sent");
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn who_had_a_copy_already_takes_the_place_of_another_and_is_mailed_nothing_twice() {
    on_stand(&["old@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("old@example.org", 550);
        stand.round().await;
        // Helped at once, and put in order afterwards.
        stand.mail_again("new@example.org").await;
        stand.round().await;
        assert_eq!(stand.register_state().await, "failed");
        let none = stand.requeue(Some("old@example.org"), Some("new@example.org")).await;
        assert_eq!(none.unwrap(), 0);
        assert_eq!(stand.register_state().await, "mailed at");
        assert_eq!(stand.states().await, "new@example.org sent, old@example.org forgone");
        // One that bounced is tried once more.
        stand.mail_again("third@example.org").await;
        stand.server.refuse_recipient("third@example.org", 550);
        stand.round().await;
        stand.server.refuse_recipient("new@example.org", 550);
        stand.mail_again("new@example.org").await;
        stand.round().await;
        stand.server.accept_recipient("third@example.org");
        let tried = stand.requeue(Some("new@example.org"), Some("third@example.org")).await;
        assert_eq!(tried.unwrap(), 1);
        stand.round().await;
        assert_eq!(
            stand.states().await,
            "new@example.org forgone, old@example.org forgone, third@example.org sent"
        );
        assert_eq!(stand.server.inbox().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn who_takes_the_place_of_another_gets_every_part() {
    on_stand(&[], LONG, |stand| async move {
        let declared = json!({ "mail_to": ["old@example.org", "b@example.org"] });
        declare(&stand.store, "isp", declared).await;
        let register = built_in_parts(&stand.store, "isp", &[(1, 700), (1, 800), (1, 900), (1, 600)]).await;
        // To the one who is replaced the first part has gone, the second is refused, the third is being sent, the fourth waits.
        let in_hand = stand.in_hand("old@example.org").await;
        stand.sent(&in_hand[0]).await;
        assert_eq!(stand.refused(&in_hand[1]).await, Kept::Failed);
        assert_eq!(stand.later(&in_hand[3]).await, Kept::Waiting);
        let wanted = Requeue {
            register,
            recipient: Some("old@example.org"),
            instead: Some("new@example.org"),
            who: "anna",
        };
        let tx = stand.store.begin().await.unwrap();
        let requeued = mailings::requeue(&tx, &wanted).await.unwrap();
        assert_eq!((requeued.mails, requeued.mailed), (4, false));
        tx.commit().await.unwrap();
        // What its mailer comes to say is of a mail to somebody else.
        stand.sent(&in_hand[2]).await;
        let of_new = "SELECT count(*) FROM mailing WHERE recipient = 'new@example.org' AND state = 'waiting'";
        assert_eq!(stand.value(of_new).await, "4");
        assert_eq!(
            stand.value("SELECT string_agg(mail_to::text, '') FROM register").await,
            "{}{new@example.org,b@example.org}"
        );
        stand
            .sql("UPDATE mailing SET lease_until = now() WHERE state = 'sending'")
            .await;
        assert_eq!(stand.round().await.len(), 8);
        let mails = stand.server.inbox();
        let parts = |to: &str| mails.iter().filter(|mail| mail.to == [to]).count();
        assert_eq!(
            (
                parts("new@example.org"),
                parts("b@example.org"),
                parts("old@example.org")
            ),
            (4, 4, 0)
        );
        let state = format!("SELECT state FROM register WHERE register_id = '{register}'");
        assert_eq!(stand.value(&state).await, "mailed");
    })
    .await;
}

#[tokio::test]
async fn who_is_given_up_while_a_mail_is_under_way_is_given_up() {
    on_stand(&["a@example.org", "gone@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("gone@example.org", 451);
        stand.round().await;
        stand.all_due().await;
        let in_hand = stand.in_hand("gone@example.org").await;
        assert!(forgo(&stand, "gone@example.org").await.unwrap(), "the other has it");
        assert_eq!(stand.later(&in_hand[0]).await, Kept::Lost);
        assert_eq!(stand.states().await, "a@example.org sent, gone@example.org forgone");
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}
