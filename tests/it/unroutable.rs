//! Facts under a wrong routing key.

use std::time::Duration;

use bus::frontend::Message;
use store::parked::{self, Filter};
use testkit::wait_for;
use unigate::workers::Worker;

use crate::fixtures::{UTILITY, new_id, utility_payment};
use crate::world::{PATIENCE, World, end};

#[tokio::test]
async fn a_fact_with_a_wrong_key_and_an_expiration_is_not_lost() {
    let world = World::start(&[Worker::Intake]).await;
    world.payee(UTILITY).await;
    world.stop().await;
    let sent_at = u64::try_from(domain::clock::now().as_second()).unwrap();
    let send = async |key: &str, expires: bool| {
        let mut message = Message::new(key, utility_payment(&new_id()).to_string());
        if expires {
            message = message.expiring(sent_at, Duration::from_millis(1));
        }
        world.frontend.send(&message).await.unwrap();
    };
    for key in ["payment.acepted", "payment.excepted"] {
        send(key, true).await;
    }
    send("payment.patient", false).await;
    let again = world.another(&[Worker::Intake], |_| {}).await;
    let keys = wait_for("all to be parked", PATIENCE, async || {
        let rows = parked::list(world.store(), &Filter::default()).await.unwrap();
        let mut keys: Vec<_> = rows.into_iter().map(|row| (row.routing_key, row.reason)).collect();
        keys.sort_unstable();
        (keys.len() == 3).then_some(keys)
    })
    .await;
    let expected = ["payment.acepted", "payment.excepted", "payment.patient"];
    assert_eq!(keys, expected.map(|key| (key.to_owned(), "invalid_request".to_owned())));
    end(&again).await;
}
