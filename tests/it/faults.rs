//! The real executable killed at the worst moments: nothing is lost and nothing is done twice.

use bus::frontend::Message;
use futures::future::join_all;
use serde_json::Value;
use std::collections::BTreeSet;
use testkit::mail::MailServer;
use testkit::payee::Payee;
use testkit::process::Process;
use testkit::proxy::FaultProxy;

use crate::fixtures::{MTS, UTILITY, new_id, new_ids, reservation, sale, utility_payment};
use crate::world::{PATIENCE, World};

/// A world whose workers are processes of their own.
pub(crate) async fn bare() -> World {
    World::start(&[]).await
}

/// The environment of a process of this world, with something changed.
pub(crate) fn environment(world: &World, changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut environment = world.stand.environment();
    environment.extend(
        changes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    environment
}

pub(crate) fn dying_at(world: &World, point: &str) -> Vec<(String, String)> {
    environment(world, &[("UNIGATE_TEST_DIE_AT", point)])
}

/// Publishes facts surely, as a front-end that hears no answer.
pub(crate) async fn publish_all(world: &World, key: &str, bodies: &[Value]) {
    let messages: Vec<_> = bodies.iter().map(|body| Message::new(key, body.to_string())).collect();
    let confirms = join_all(messages.iter().map(|message| world.frontend.send(message))).await;
    assert!(confirms.iter().all(Result::is_ok), "{confirms:?}");
}

/// Says everything again, as a front-end does that has heard no answer, and expects one of these outcomes each.
pub(crate) async fn repeat_all(world: &World, key: &str, bodies: &[Value], expected: &[&str]) {
    let answers = join_all(bodies.iter().map(|body| world.tell(key, body))).await;
    for answer in answers {
        assert!(expected.iter().any(|outcome| answer["outcome"] == *outcome), "{answer}");
    }
}

/// The payee has credited these payments and no others, each under one number and once.
#[track_caller]
pub(crate) fn credited_once<'a>(payee: &Payee, ids: impl IntoIterator<Item = &'a String>) {
    let ledger = payee.ledger();
    let credited = ledger.values().flat_map(|entry| {
        let id = entry.text("payment_id").expect("a payment_id").to_owned();
        std::iter::repeat_n(id, entry.credits as usize)
    });
    let (mut credited, mut published): (Vec<String>, Vec<String>) =
        (credited.collect(), ids.into_iter().cloned().collect());
    credited.sort_unstable();
    published.sort_unstable();
    assert_eq!(credited, published, "{ledger:?}");
    assert_eq!(ledger.len(), published.len(), "{ledger:?}");
}

/// Makes every lease run out now.
pub(crate) async fn expire_leases(world: &World) {
    world
        .sql(
            "UPDATE attempt SET lease_until = clock_timestamp() WHERE ending = 'open';
             UPDATE lane_slot SET lease_until = clock_timestamp() WHERE token IS NOT NULL;
             UPDATE register SET lease_until = clock_timestamp(), due_at = clock_timestamp() WHERE lease_token IS NOT NULL;
             UPDATE mailing SET lease_until = clock_timestamp() WHERE state = 'sending'",
        )
        .await;
}

async fn intake_killed_at(point: &str) {
    let world = bare().await;
    world.payee(UTILITY).await;
    let mut events = world.listen("payment.accepted").await;
    let payments: Vec<Value> = new_ids(40).iter().map(|id| utility_payment(id)).collect();
    publish_all(&world, "payment.accepted", &payments).await;
    let mut doomed = Process::start(&dying_at(&world, &format!("intake.facts:{point}")), &["run", "intake"]);
    doomed.dies().await;
    let stored = world.value("SELECT count(*) FROM payment").await;
    assert_eq!(stored == "0", point == "before_commit", "{stored} stored");
    let healthy = Process::start_ready(&environment(&world, &[]), &["run", "intake"]).await;
    repeat_all(&world, "payment.accepted", &payments, &["already_accepted", "accepted"]).await;
    assert_eq!(
        world
            .value("SELECT count(*) || ' ' || count(DISTINCT position) FROM payment")
            .await,
        "40 40"
    );
    let told = events.all(&world, "payment.accepted").await;
    let distinct: BTreeSet<_> = told.iter().map(|item| item["payment_id"].as_str().unwrap()).collect();
    assert_eq!((told.len(), distinct.len()), (40, 40));
    assert!(healthy.end().await.success());
}

#[tokio::test]
async fn intake_killed_before_its_commit() {
    intake_killed_at("before_commit").await;
}

#[tokio::test]
async fn intake_killed_after_its_commit() {
    intake_killed_at("after_commit").await;
}

#[tokio::test]
async fn intake_killed_before_it_acknowledged() {
    intake_killed_at("before_ack").await;
}

async fn cards_killed_at(point: &str) {
    let world = bare().await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 30).await;
    let mut events = world.listen("card.sold").await;
    let mut doomed = Process::start_ready(&dying_at(&world, &format!("cards.facts:{point}")), &["run", "cards"]).await;
    let ids = new_ids(20);
    for id in &ids {
        assert_eq!(world.ask("card.reserve", &reservation(id)).await["outcome"], "reserved");
    }
    let sales: Vec<Value> = ids.iter().map(|id| sale(id)).collect();
    publish_all(&world, "card.sell", &sales).await;
    doomed.dies().await;
    let healthy = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    repeat_all(&world, "card.sell", &sales, &["sold", "already_sold"]).await;
    assert_eq!(
        world.value("SELECT count(*) FROM card WHERE state = 'sold'").await,
        "20"
    );
    assert_eq!(
        world
            .value("SELECT count(*) FROM reservation WHERE state = 'sold'")
            .await,
        "20"
    );
    let told = events.all(&world, "card.sold").await;
    let distinct: BTreeSet<_> = told.iter().map(|item| item["serial"].as_str().unwrap()).collect();
    assert_eq!((told.len(), distinct.len()), (20, 20));
    assert!(healthy.end().await.success());
}

#[tokio::test]
async fn cards_killed_before_a_commit() {
    cards_killed_at("before_commit").await;
}

#[tokio::test]
async fn cards_killed_after_a_commit() {
    cards_killed_at("after_commit").await;
}

#[tokio::test]
async fn cards_killed_before_they_acknowledged() {
    cards_killed_at("before_ack").await;
}

#[tokio::test]
async fn a_reservation_whose_answer_died_is_the_same_when_asked_again() {
    let world = bare().await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 5).await;
    let mut doomed = Process::start_ready(&dying_at(&world, "cards.questions:after_commit"), &["run", "cards"]).await;
    let id = new_id();
    let question = Message::new("card.reserve", reservation(&id).to_string());
    let asking = tokio::spawn({
        let (frontend, question) = (world.frontend.clone(), question.clone());
        async move { frontend.ask(&question, PATIENCE).await }
    });
    doomed.dies().await;
    let healthy = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    assert_eq!(world.publish(&question).await["card"]["serial"], "0001");
    assert_eq!(
        world.value("SELECT count(*) FROM card WHERE state = 'reserved'").await,
        "1"
    );
    asking.abort();
    assert!(healthy.end().await.success());
}

async fn register_killed_at(point: &str, mails: usize) {
    let world = bare().await;
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    world
        .payee(&UTILITY.replace("schedule = \"0 0 * * *\"", "every_payments = 3"))
        .await;
    let smtp = format!("smtp://{}?tls=none", server.addr);
    let workers = ["run", "intake", "registers", "mailer"];
    let settings = [
        ("UNIGATE_SMTP_URL", &*smtp),
        ("UNIGATE_MAIL_FROM", "unigate@example.net"),
    ];
    let dying = [&settings[..], &[("UNIGATE_TEST_DIE_AT", point)]].concat();
    let mut doomed = Process::start(&environment(&world, &dying), &workers);
    let ids = new_ids(3);
    let payments: Vec<Value> = ids.iter().map(|id| utility_payment(id)).collect();
    publish_all(&world, "payment.accepted", &payments).await;
    doomed.dies().await;
    let healthy = Process::start_ready(&environment(&world, &settings), &workers).await;
    expire_leases(&world).await;
    for id in &ids {
        world.reaches(id, "reported").await;
    }
    let registers = store::registers::list(world.store(), None).await.unwrap();
    assert_eq!(registers.len(), 1, "frozen once: {registers:?}");
    assert_eq!((registers[0].summary.count, registers[0].summary.sequence), (3, 1));
    let inbox = server.wait_for_mails(mails, PATIENCE).await;
    assert_eq!(inbox.len(), mails);
    assert!(inbox.iter().all(|mail| mail.raw == inbox[0].raw), "the identical bytes");
    assert!(healthy.end().await.success());
}

#[tokio::test]
async fn a_register_whose_worker_died_between_freeze_and_build() {
    register_killed_at("registers:after_freeze", 1).await;
}

#[tokio::test]
async fn a_register_whose_worker_died_before_it_recorded_the_build() {
    register_killed_at("registers:before_record", 1).await;
}

#[tokio::test]
async fn a_mail_whose_worker_died_before_it_was_sent() {
    register_killed_at("mailer:before_call", 1).await;
}

#[tokio::test]
async fn a_mail_whose_worker_died_after_it_was_sent_is_seen_to_be_the_same() {
    register_killed_at("mailer:after_call", 2).await;
}

/// A proxy before one of the services.
pub(crate) struct Cut {
    pub(crate) proxy: FaultProxy,
    name: &'static str,
    url: String,
}

impl Cut {
    pub(crate) async fn before_database(world: &World) -> Self {
        Self::before(world, "UNIGATE_DATABASE_URL", 5432).await
    }

    pub(crate) async fn before_broker(world: &World) -> Self {
        Self::before(world, "UNIGATE_BROKER_URL", 5672).await
    }

    async fn before(world: &World, name: &'static str, port: u16) -> Self {
        let environment = world.stand.environment();
        let url = environment
            .iter()
            .find(|(known, _)| known == name)
            .expect("the stand names its services")
            .1
            .clone();
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority
            .rsplit_once('@')
            .map_or(("", authority), |(user, host)| (user, host));
        let target = if host.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:{port}")
        };
        let proxy = FaultProxy::start(target).await.unwrap();
        let user = if user.is_empty() {
            String::new()
        } else {
            format!("{user}@")
        };
        let url = format!("{scheme}://{user}{}/{path}", proxy.addr);
        Self { proxy, name, url }
    }

    pub(crate) fn variable(&self) -> (&str, &str) {
        (self.name, &self.url)
    }
}
