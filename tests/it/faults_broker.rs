//! The broker and the database cut off, asleep or emptied under running workers: red, then green again without a human.

use std::time::{Duration, Instant};

use bus::frontend::Message;
use futures::future::join_all;
use serde_json::Value;
use testkit::mail::MailServer;
use testkit::payee::Payee;
use testkit::process::Process;

use crate::faults::{Cut, bare, credited_once, environment, publish_all};
use crate::fixtures::{MTS, UTILITY, internet_provider, new_ids, online_payment, reservation, sale, utility_payment};
use crate::world::{PATIENCE, World, ask_through, with};

/// How long a payment and a sale may take together on a machine that does many things at once; alone, milliseconds.
const PROMPTLY: Duration = Duration::from_secs(10);

/// A mailbox, a payee and cards, and the settings of a process behind these cuts.
struct Town {
    world: World,
    payee: Payee,
    server: MailServer,
}

impl Town {
    async fn found() -> Self {
        let world = bare().await;
        let payee = Payee::start().await.unwrap();
        let server = MailServer::start("127.0.0.1:0").await.unwrap();
        world.payee(&internet_provider(&payee.url(), "")).await;
        world
            .payee(&UTILITY.replace("schedule = \"0 0 * * *\"", "every_payments = 10"))
            .await;
        world.product(MTS).await;
        world.cards("mts-100", 1, 50).await;
        Self { world, payee, server }
    }

    async fn process(&self, cuts: &[&Cut]) -> Process {
        Process::start_ready(&self.settings(cuts), &["run"]).await
    }

    fn settings(&self, cuts: &[&Cut]) -> Vec<(String, String)> {
        let smtp = format!("smtp://{}?tls=none", self.server.addr);
        let mut changes = vec![("UNIGATE_SMTP_URL", &*smtp)];
        changes.extend(cuts.iter().map(|cut| cut.variable()));
        environment(&self.world, &changes)
    }

    /// Publishes some of everything, as front-ends whose broker is there.
    async fn publish(&self, count: usize) -> Work {
        let work = Work {
            online: new_ids(count),
            listed: new_ids(count),
        };
        let online: Vec<Value> = work.online.iter().map(|id| online_payment(id)).collect();
        let listed: Vec<Value> = work.listed.iter().map(|id| utility_payment(id)).collect();
        publish_all(&self.world, "payment.accepted", &online).await;
        publish_all(&self.world, "payment.accepted", &listed).await;
        work
    }

    async fn is_done(&self, work: &Work) {
        for id in &work.online {
            self.world.reaches(id, "delivered").await;
        }
        for id in &work.listed {
            self.world.reaches(id, "reported").await;
        }
    }

    /// All that was ever published reached the payee or a register, and each once. The payee keeps its books by number: a
    /// payment under two numbers is seen by its id alone.
    async fn is_done_once(&self, works: &[&Work], besides: &[String]) {
        for work in works {
            self.is_done(work).await;
        }
        let ids = works.iter().flat_map(|work| &work.online).chain(besides);
        credited_once(&self.payee, ids);
        let listed: usize = works.iter().map(|work| work.listed.len()).sum();
        let registers = store::registers::list(self.world.store(), None).await.unwrap();
        let counted: i64 = registers.iter().map(|register| register.summary.count).sum();
        assert_eq!(usize::try_from(counted).unwrap(), listed, "{registers:?}");
    }

    /// A card is sold, which takes every part of the system that talks to terminals.
    async fn sells(&self, id: &str) {
        let reserved = self.world.ask("card.reserve", &reservation(id)).await;
        assert_eq!(reserved["outcome"], "reserved", "{reserved}");
        assert_eq!(self.world.tell("card.sell", &sale(id)).await["outcome"], "sold");
    }
}

struct Work {
    online: Vec<String>,
    listed: Vec<String>,
}

#[tokio::test]
async fn the_broker_is_cut_off_and_comes_back() {
    let town = Town::found().await;
    let broker = Cut::before_broker(&town.world).await;
    let process = town.process(&[&broker]).await;
    let before = town.publish(10).await;
    broker.proxy.cut().await;
    process.wait_for_readiness(503).await;
    let (_, why) = process.get("/readyz").await.unwrap();
    assert!(why.contains("broker"), "{why}");
    assert_eq!(
        process.get("/healthz").await.unwrap().0,
        200,
        "the process itself is well"
    );
    let meanwhile = town.publish(10).await;
    broker.proxy.mend();
    process.wait_for_readiness(200).await;
    let after = town.publish(10).await;
    town.is_done_once(&[&before, &meanwhile, &after], &[]).await;
    town.sells(&crate::fixtures::new_id()).await;
    assert!(process.end().await.success());
}

#[tokio::test]
async fn the_database_is_cut_off_and_comes_back() {
    let town = Town::found().await;
    let database = Cut::before_database(&town.world).await;
    let process = town.process(&[&database]).await;
    let before = town.publish(10).await;
    database.proxy.cut().await;
    process.wait_for_readiness(503).await;
    let (_, why) = process.get("/readyz").await.unwrap();
    assert!(why.contains("database"), "{why}");
    let meanwhile = town.publish(10).await;
    database.proxy.mend();
    process.wait_for_readiness(200).await;
    let after = town.publish(10).await;
    town.is_done_once(&[&before, &meanwhile, &after], &[]).await;
    town.sells(&crate::fixtures::new_id()).await;
    let parked = town.world.value("SELECT count(*) FROM parked").await;
    assert_eq!(parked, "0", "no message is guilty of the database's absence");
    assert!(process.end().await.success());
}

#[tokio::test]
async fn both_are_cut_again_and_again_in_the_middle_of_the_work() {
    let town = Town::found().await;
    let (broker, database) = (
        Cut::before_broker(&town.world).await,
        Cut::before_database(&town.world).await,
    );
    let process = town.process(&[&broker, &database]).await;
    let mut works = Vec::new();
    for round in 0..6 {
        let cut = if round % 2 == 0 { &broker } else { &database };
        // A few kilobytes later the connection breaks in the middle of something.
        cut.proxy.reset_answers_after(3000 + 700 * round);
        works.push(town.publish(10).await);
        cut.proxy.cut().await;
        cut.proxy.mend();
    }
    process.wait_for_readiness(200).await;
    town.is_done_once(&works.iter().collect::<Vec<_>>(), &[]).await;
    assert!(process.end().await.success());
}

#[tokio::test]
async fn services_that_are_away_at_the_start_are_waited_for() {
    let town = Town::found().await;
    let (broker, database) = (
        Cut::before_broker(&town.world).await,
        Cut::before_database(&town.world).await,
    );
    broker.proxy.cut().await;
    database.proxy.cut().await;
    let process = Process::start(&town.settings(&[&broker, &database]), &["run"]);
    process.wait_for_readiness(503).await;
    let work = town.publish(10).await;
    database.proxy.mend();
    broker.proxy.mend();
    process.wait_for_readiness(200).await;
    town.is_done_once(&[&work], &[]).await;
    assert!(process.end().await.success());
}

#[tokio::test]
async fn queues_deleted_under_their_consumers_are_declared_again() {
    let town = Town::found().await;
    let process = town.process(&[]).await;
    let before = town.publish(10).await;
    town.is_done(&before).await;
    bus::topology::delete(town.world.stand.bus()).await.unwrap();
    testkit::wait_for("everything to be declared again", PATIENCE, async || {
        let report = bus::topology::check(town.world.stand.bus()).await;
        report.is_ok_and(|report| report.in_order()).then_some(())
    })
    .await;
    process.wait_for_readiness(200).await;
    // The exchange was gone for a moment: the front-end's channels with it.
    let frontend = town.world.stand.frontend().await;
    let id = crate::fixtures::new_id();
    let payment = Message::new("payment.accepted", online_payment(&id).to_string());
    assert_eq!(ask_through(&frontend, &payment).await["outcome"], "accepted");
    town.world.reaches(&id, "delivered").await;
    town.is_done_once(&[&before], &[id]).await;
    let id = crate::fixtures::new_id();
    let reserve = Message::new("card.reserve", reservation(&id).to_string());
    assert_eq!(ask_through(&frontend, &reserve).await["outcome"], "reserved");
    assert!(process.end().await.success());
}

#[tokio::test]
async fn rubbish_at_full_speed_delays_nobody() {
    let town = Town::found().await;
    let process = town.process(&[]).await;
    let mut rubbish: Vec<Vec<u8>> = Vec::new();
    for at in 0..100_u8 {
        rubbish.push(format!("{{\"payment_id\": {at}").into_bytes());
        rubbish.push(vec![0xff, at, 0xfe]);
        rubbish.push(
            with(
                online_payment(&crate::fixtures::new_id()),
                "account",
                serde_json::json!(format!("a\u{0}{at}")),
            )
            .to_string()
            .into_bytes(),
        );
        rubbish.push([b"[".repeat(100), vec![at]].concat());
    }
    rubbish.push("x".repeat(200_000).into_bytes());
    let keys = ["payment.accepted", "card.sell", "payment.revoke", "card.nonsense"];
    let messages = rubbish.iter().zip(keys.iter().cycle());
    let messages: Vec<_> = messages.map(|(body, key)| Message::new(*key, body.clone())).collect();
    let flood = async {
        let sent = join_all(messages.iter().map(|message| town.world.frontend.send(message))).await;
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    };
    // Each is told as soon as the one before was answered.
    let ids = new_ids(40);
    let (first, second) = ids.split_at(20);
    let payers = async |ids: &[String]| {
        let mut longest = Duration::ZERO;
        for id in ids {
            let begun = Instant::now();
            let answer = town.world.tell("payment.accepted", &online_payment(id)).await;
            assert_eq!(answer["outcome"], "accepted", "{answer}");
            town.sells(id).await;
            longest = longest.max(begun.elapsed());
        }
        longest
    };
    // Among the bad ones the good ones wait for what came before them, and on a busy machine without them too.
    let alone = payers(first).await;
    let ((), longest) = tokio::join!(flood, payers(second));
    let promptly = PROMPTLY.max(10 * alone);
    assert!(
        longest < promptly,
        "a payment and a sale took {longest:?}, and {alone:?} at most without rubbish"
    );
    let begun = Instant::now();
    let work = town.publish(20).await;
    town.is_done(&work).await;
    assert!(
        begun.elapsed() < 4 * promptly,
        "it took {:?} to the payee and the mailbox",
        begun.elapsed()
    );
    testkit::wait_for("all rubbish to be parked", PATIENCE, async || {
        let parked = town.world.value("SELECT count(*) FROM parked").await;
        (parked == rubbish.len().to_string()).then_some(())
    })
    .await;
    for id in &ids {
        town.world.reaches(id, "delivered").await;
    }
    town.is_done_once(&[&work], &ids).await;
    assert!(process.end().await.success());
}
