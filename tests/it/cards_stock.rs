//! Stock as an operator sees it: every card counted once, for how long it will do, and a mail when it runs low.

use serde_json::{Value, json};
use testkit::mail::MailServer;
use testkit::wait_for;
use unigate::workers::Worker;

use crate::cli::rows;
use crate::fixtures::{MTS, new_id, reservation};
use crate::world::{PATIENCE, World};

#[tokio::test]
async fn low_stock_is_mailed_once_per_crossing_and_listed() {
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    let smtp = format!("smtp://{}?tls=none", server.addr);
    let world = World::start_with(&[Worker::Cards, Worker::Mailer], |settings| {
        settings.smtp_url = Some(smtp.into());
        settings.alert_mail_to = vec!["ops@example.org".to_owned()];
        settings.alert_mail_pause = std::time::Duration::ZERO;
    })
    .await;
    world
        .product(&format!(
            "{MTS}\nlow_stock = 2\nalert_mail_to = [\"cards@example.org\"]"
        ))
        .await;
    world.cards("mts-100", 1, 2).await;
    for crossing in 1..=2 {
        world.ask("card.reserve", &reservation(&new_id())).await;
        server.wait_for_mails(2 * crossing, PATIENCE).await;
        world.cards("mts-100", 10 * crossing, 1).await;
        wait_for("the stock to be seen above", PATIENCE, async || {
            (world.value("SELECT low FROM product_stock").await == "f").then_some(())
        })
        .await;
    }
    let mails = server.inbox();
    assert_eq!(mails.len(), 4);
    for mail in &mails {
        let raw = String::from_utf8(mail.raw.to_vec()).unwrap();
        assert!(
            raw.contains("Subject: [unigate] The stock of mts-100 is low: 1 cards are left"),
            "{raw}"
        );
        assert!(
            raw.contains("X-Unigate-Notices: 1") && !testkit::leak::is_in(&mail.raw),
            "{raw}"
        );
    }
    let listed = wait_for("both to be recorded", PATIENCE, async || {
        let listed = rows(&world, &["notices", "list"]).await;
        listed
            .iter()
            .all(|notice| notice["state"] == "mailed")
            .then_some(listed)
    })
    .await;
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0]["kind"], &listed[0]["subject"], &listed[0]["recipients"]),
        (
            &json!("stock.low"),
            &json!("mts-100"),
            &json!(["cards@example.org", "ops@example.org"])
        )
    );
}

#[tokio::test]
async fn every_card_is_counted_once_and_the_rate_is_that_of_the_last_days() {
    let world = World::start(&[Worker::Cards]).await;
    world.product(&format!("{MTS}\nlow_stock = 3")).await;
    world.cards("mts-100", 1, 20).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        let id = new_id();
        world.ask("card.reserve", &reservation(&id)).await;
        held.push(id);
    }
    for id in &held[..4] {
        let sale = json!({"reservation_id": id, "terminal": "T-0001", "paid_at": "2026-11-23T10:02:11+03:00",
                          "amount": 10000, "currency": "RUB"});
        assert_eq!(world.tell("card.sell", &sale).await["outcome"], "sold");
    }
    world
        .tell(
            "card.release",
            &json!({"reservation_id": held[4], "terminal": "T-0001"}),
        )
        .await;
    world
        .sql(
            "UPDATE card SET expires_on = current_date - 1 WHERE pos = 20;
              UPDATE card SET state = 'faulty' WHERE pos = 19;
              UPDATE card SET state = 'withdrawn' WHERE pos IN (17, 18);
              UPDATE card SET state = 'withdrawn', out_of_date = true WHERE pos = 16;
              UPDATE card_batch SET created_at = now() - interval '60 days'",
        )
        .await;
    let stock = async |days: &'static str| rows(&world, &["cards", "stock", "--rate-days", days]).await.remove(0);
    let counted = |stock: &Value| {
        [
            "fresh",
            "returned",
            "held",
            "lapsed",
            "sold",
            "expired",
            "faulty",
            "withdrawn",
        ]
        .map(|name| stock[name].as_i64().unwrap())
    };
    let seen = stock("2").await;
    assert_eq!(counted(&seen), [7, 1, 3, 0, 4, 2, 1, 2], "{seen}");
    assert_eq!(counted(&seen).iter().sum::<i64>(), 20);
    assert_eq!(
        (&seen["per_day"], &seen["days_left"], &seen["low_stock"]),
        (&json!(2.0), &json!(4.0), &json!(3))
    );
    // Three of the four were sold long ago: the kept count has them, and the rate does not. The worker, which settles now and
    // then, may have been there before they were.
    world
        .sql(
            "UPDATE reservation SET ended_at = now() - interval '3 days' WHERE reservation_id IN
                  (SELECT reservation_id FROM reservation WHERE state = 'sold' ORDER BY reservation_id LIMIT 3);
             UPDATE product_stock SET settled_until = '-infinity', sold_settled = 0",
        )
        .await;
    for _ in 0..2 {
        // Whoever has the stock in hand just then is passed by.
        wait_for("the sales to be settled", PATIENCE, async || {
            store::cards::settle_sold(world.store()).await.unwrap();
            (world.value("SELECT sold_settled FROM product_stock").await == "3").then_some(())
        })
        .await;
        let seen = stock("2").await;
        assert_eq!(
            (&seen["sold"], &seen["per_day"], &seen["days_left"]),
            (&json!(4), &json!(0.5), &json!(16.0))
        );
    }
    let findings = store::invariants::check_all(world.store()).await.unwrap();
    let kept = findings
        .iter()
        .find(|finding| finding.what.contains("kept count"))
        .unwrap();
    assert_eq!((kept.looked_at, kept.broken), (1, 0));
}
