//! What `unigate doctor` says of what is in the database and waits for a person.

use testkit::payee::{Behaviour, Verb};

use crate::cli::unigate;
use crate::fixtures::MTS;
use crate::unikassa::{pay, provider};

#[tokio::test]
async fn the_doctor_counts_payments_that_wait_for_a_person() {
    let (world, payee) = provider("").await;
    let well = unigate(&world, &["doctor"]).await;
    assert!(well.stdout.contains("none waits for a person"), "{well:?}");
    payee.script(Verb::Pay, [Behaviour::Refuse("number_conflict".into())]);
    let (id, _) = pay(&world).await;
    world.reaches(&id, "unknown").await;
    let ill = unigate(&world, &["doctor"]).await;
    for said in [
        "1 payments are unknown",
        "deliveries groups --payee isp",
        "1 payments are flagged number_conflict",
    ] {
        assert!(ill.stdout.contains(said), "{said}: {}", ill.stdout);
    }
}

#[tokio::test]
async fn the_doctor_names_the_alerts_that_somebody_gets() {
    let (world, _payee) = provider("").await;
    world.product(&format!("{MTS}\nlow_stock = 3")).await;
    let untold = unigate(&world, &["doctor"]).await;
    assert!(untold.stdout.contains("no alert is mailed at all"), "{untold:?}");
    assert!(!untold.stdout.contains("except low stock"), "{untold:?}");
    let told = format!("{MTS}\nlow_stock = 3\nalert_mail_to = [\"stock@example.org\"]");
    world.product(&told).await;
    let told = unigate(&world, &["doctor"]).await;
    assert!(told.stdout.contains("except low stock of mts-100"), "{told:?}");
}
