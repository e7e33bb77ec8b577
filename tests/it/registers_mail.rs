//! Mail servers that are away, that put off and that refuse: every mail of a register is the same to the byte. And alerts that wait for
//! no sweep.

use std::time::Duration;

use domain::RegisterId;
use runtime::Nudge;
use store::mailings::Requeue;
use testkit::mail::{Behaviour, MailServer, Step};
use testkit::wait_for;
use unigate::workers::Worker;

use crate::registers::{every, pay_some, register_becomes, utility};
use crate::world::{PATIENCE, World, end};

#[tokio::test]
async fn a_mail_that_was_not_taken_is_sent_again_to_the_byte() {
    let (world, server) = utility(&every(1)).await;
    let at = |at, code| Behaviour::Answer { at, code };
    server.script([
        at(Step::Kept, 451),
        at(Step::Rcpt, 450),
        Behaviour::Close { at: Step::Kept },
        at(Step::Data, 421),
    ]);
    let id = pay_some(&world, 1).await.remove(0);
    wait_for("the mail to be taken at last", PATIENCE, async || {
        // What was not taken is due again at once instead of in ten seconds.
        world
            .sql("UPDATE mailing SET due_at = clock_timestamp() WHERE state = 'waiting'")
            .await;
        (world.payment(&id).await.shown_state == "reported").then_some(())
    })
    .await;
    let mails = server.inbox();
    assert_eq!((mails.len(), server.messages()), (3, 5));
    assert!(
        mails
            .iter()
            .all(|mail| mail.raw == mails[0].raw && mail.message_id == mails[0].message_id)
    );
    assert!(!mails[0].message_id.is_empty());
}

#[tokio::test]
async fn a_mail_server_that_is_away_costs_no_attempt() {
    let (world, server) = utility(&every(1)).await;
    server.down().await;
    let id = pay_some(&world, 1).await.remove(0);
    wait_for("the mailer to have knocked", PATIENCE, async || {
        let error = world.value("SELECT coalesce(max(last_error), '') FROM mailing").await;
        (!error.is_empty()).then_some(())
    })
    .await;
    server.up().unwrap();
    world.reaches(&id, "reported").await;
    assert_eq!(world.value("SELECT attempts FROM mailing").await, "1");
}

#[tokio::test]
async fn a_mail_that_is_refused_for_good_fails_its_register() {
    let two = every(1).replace("[\"buh@example.org\"]", "[\"gone@example.org\", \"buh@example.org\"]");
    let (world, server) = utility(&two).await;
    let mut events = world.listen("register.*").await;
    server.refuse_recipient("gone@example.org", 550);
    let id = pay_some(&world, 1).await.remove(0);
    let register = world.reaches(&id, "registered").await.register_id.unwrap();
    let failed = events
        .item("register.failed", "register_id", &register.to_string())
        .await;
    assert!(failed["error"].as_str().unwrap().contains("550"), "{failed}");
    server.wait_for_mails(1, PATIENCE).await;
    let found = register_becomes(&world, RegisterId::from_uuid(register), "failed").await;
    assert!(found.last_error.unwrap().contains("gone@example.org"));

    server.accept_recipient("gone@example.org");
    let again = Requeue {
        register: RegisterId::from_uuid(register),
        recipient: None,
        instead: None,
        who: "test",
    };
    let tx = world.store().begin().await.unwrap();
    store::mailings::requeue(&tx, &again).await.unwrap();
    tx.commit().await.unwrap();
    world.context.nudge(Nudge::Mails);
    world.reaches(&id, "reported").await;
    let mails = server.inbox();
    assert_eq!(mails.len(), 2, "whoever had it is not bothered again");
    assert_eq!(mails[0].raw, mails[1].raw);
    events
        .item("register.mailed", "register_id", &register.to_string())
        .await;
}

#[tokio::test]
async fn what_a_mailer_finds_to_tell_waits_for_no_sweep() {
    let world = World::start(&[]).await;
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    world
        .sql(
            "INSERT INTO parked (parked_id, routing_key, content_hash, reason, body, properties)
             VALUES (gen_random_uuid(), 'payment.accepted', sha256(''), 'payee_unknown', '', '{}')",
        )
        .await;
    let url = format!("smtp://{}?tls=none", server.addr);
    let mailer = world
        .another(&[Worker::Mailer], |settings| {
            settings.smtp_url = Some(url.into());
            settings.alert_mail_to = vec!["a@example.org".to_owned()];
            settings.sweep_interval = Duration::from_secs(600);
        })
        .await;
    let mails = server.wait_for_mails(1, PATIENCE).await;
    let raw = String::from_utf8_lossy(&mails[0].raw);
    assert!(raw.contains("1 facts are parked"), "{raw}");
    end(&mailer).await;
}
