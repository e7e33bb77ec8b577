//! Relays of payees' own: whom they hold up, and whom not.

use std::time::Duration;

use mailer::Report;
use runtime::courier::Courier;
use serde_json::json;
use testkit::mail::{Greeting, MailServer};

use crate::stand::{LONG, built_register, declare, on_stand, with_register};

#[tokio::test]
async fn a_payees_own_relay_takes_its_mails_and_nobody_elses() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        let own = MailServer::start("127.0.0.1:0").await.unwrap();
        let relay = format!("smtp://{}?tls=none", own.addr);
        declare(
            &stand.store,
            "isp",
            json!({ "mail_to": ["b@example.org"], "mail": { "relay": relay } }),
        )
        .await;
        built_register(&stand.store, "isp").await;
        let lanes = stand.courier.lanes_due(&[]).await.unwrap();
        let mut names: Vec<&str> = lanes.iter().map(|due| due.lane.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["", &relay]);
        assert!(matches!(stand.round_of_all().await[..], [Report::Sent, Report::Sent]));
        assert_eq!(stand.server.inbox()[0].to, ["a@example.org"]);
        assert_eq!(
            (own.inbox().len(), &own.inbox()[0].to[..]),
            (1, &["b@example.org".to_owned()][..])
        );
    })
    .await;
}

#[tokio::test]
async fn a_relay_that_says_nothing_holds_up_its_own_lane_only() {
    on_stand(&["a@example.org"], Duration::from_secs(3), |stand| async move {
        let silent = MailServer::start("127.0.0.1:0").await.unwrap();
        silent.greet(std::iter::repeat_n(Greeting::Silent, 100));
        let relay = format!("smtp://{}?tls=none", silent.addr);
        declare(
            &stand.store,
            "isp",
            json!({ "mail_to": ["b@example.org"], "mail": { "relay": relay } }),
        )
        .await;
        // More than there are places in a lane.
        for _ in 0..10 {
            built_register(&stand.store, "isp").await;
        }
        stand.all_due().await;
        let stuck = stand
            .courier
            .claim(&crate::stand::wanted(&[&relay, ""]))
            .await
            .unwrap()
            .jobs;
        let count = |lane: &str| {
            stuck
                .iter()
                .filter(|job| mailer::MailCourier::lane(job) == lane)
                .count()
        };
        assert_eq!(
            (count(&relay), count("")),
            (8, 1),
            "eight of a lane, and the other's all the same"
        );
        let began = std::time::Instant::now();
        let (others, own): (Vec<_>, Vec<_>) = stuck.iter().partition(|job| !mailer::MailCourier::lane(job).is_empty());
        assert!(matches!(stand.courier.call(own[0]).await, Report::Sent));
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "it did not wait for the silent one"
        );
        assert!(matches!(stand.courier.call(others[0]).await, Report::Away(_)));
        // The silent lane rests, the other does not.
        let lanes = stand.courier.lanes_due(&[]).await.unwrap();
        let silent_due = lanes.iter().find(|due| due.lane == relay).unwrap().due_in;
        assert!(silent_due > Duration::ZERO);
    })
    .await;
}

#[tokio::test]
async fn what_waits_follows_the_payees_declaration() {
    let register = |relay: &str| json!({ "mail_to": ["a@example.org"], "mail": { "relay": relay } });
    with_register(register("smtp://127.0.0.1:9?tls=none"), LONG, |stand| async move {
        assert!(matches!(stand.round_of_all().await[..], [Report::Away(_)]));
        let own = MailServer::start("127.0.0.1:0").await.unwrap();
        declare(&stand.store, "gvk", register(&format!("smtp://{}?tls=none", own.addr))).await;
        assert!(
            matches!(stand.round_of_all().await[..], [Report::Sent]),
            "no longer through the dead one"
        );
        assert_eq!(own.inbox().len(), 1);
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn a_password_that_is_not_there_is_told_at_once_and_costs_no_try() {
    let mail =
        json!({ "relay": "smtp://u@127.0.0.1:9?tls=none", "relay_password": "env:UNIGATE_TEST_NO_SUCH_PASSWORD" });
    with_register(
        json!({ "mail_to": ["a@example.org"], "mail": mail }),
        LONG,
        |stand| async move {
            let reports = stand.round_of_all().await;
            let [Report::Away(away)] = &reports[..] else {
                panic!("{reports:?}")
            };
            assert!(
                away.tell && away.error.contains("UNIGATE_TEST_NO_SUCH_PASSWORD is not set"),
                "{away:?}"
            );
            assert_eq!(
                stand.value("SELECT state || ' ' || attempts FROM mailing").await,
                "waiting 0"
            );
            assert!(
                stand
                    .notices()
                    .await
                    .starts_with("mail.down smtp://u@127.0.0.1:9?tls=none env:")
            );
            assert!(stand.round_of_all().await.is_empty(), "the lane rests");
        },
    )
    .await;
}
