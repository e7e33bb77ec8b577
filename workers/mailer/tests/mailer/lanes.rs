//! Relays of payees' own: whom they hold up, and whom not.

use std::time::Duration;

use mailer::Report;
use runtime::courier::Courier;
use serde_json::json;
use testkit::mail::{Behaviour, Greeting, MailServer, Step};

use crate::stand::{FROM, LONG, built_register, carry, declare, on_stand, with_register};

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
    on_stand(&["a@example.org"], LONG, |stand| async move {
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
        let courier = stand.resting(LONG);
        let stuck = courier.claim(&crate::stand::wanted(&[&relay, ""])).await.unwrap().jobs;
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
        let (others, own): (Vec<_>, Vec<_>) = stuck.iter().partition(|job| !mailer::MailCourier::lane(job).is_empty());
        tokio::select! {
            biased;
            report = courier.call(others[0]) => panic!("the silent relay came first: {report:?}"),
            report = courier.call(own[0]) => assert!(matches!(report, Report::Sent), "{report:?}"),
        }
        // The silent lane rests, the other does not.
        let hasty = stand.within(Duration::from_secs(1));
        assert!(matches!(hasty.call(others[0]).await, Report::Away(_)));
        let lanes = courier.lanes_due(&[]).await.unwrap();
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
    let mail = json!({ "relay": "smtp://u@127.0.0.1:9?tls=none", "relay_password": "env:TEST_NO_SUCH_PASSWORD" });
    with_register(
        json!({ "mail_to": ["a@example.org"], "mail": mail }),
        LONG,
        |stand| async move {
            let courier = stand.resting(LONG);
            let reports = stand.round_of_all_by(&courier).await;
            let [Report::Away(away)] = &reports[..] else {
                panic!("{reports:?}")
            };
            assert!(
                away.tell && away.error.contains("TEST_NO_SUCH_PASSWORD is not set"),
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
            assert!(stand.round_of_all_by(&courier).await.is_empty(), "the lane rests");
        },
    )
    .await;
}

#[tokio::test]
async fn a_relay_that_wants_a_login_once_we_are_in_is_away_and_told_of_once() {
    on_stand(&["a@example.org", "b@example.org"], LONG, |stand| async move {
        let refused = Behaviour::Answer {
            at: Step::Mail,
            code: 530,
        };
        stand.server.script(std::iter::repeat_n(refused, 3));
        let courier = stand.resting(LONG);
        let reports = stand.round_by(&courier).await;
        assert!(
            matches!(&reports[..], [Report::Away(one), Report::Away(other)] if one.tell && !other.tell),
            "{reports:?}"
        );
        assert_eq!(stand.notices().await, "mail.down  x1");
        let waiting = "SELECT count(*) FROM mailing WHERE state = 'waiting' AND attempts = 0";
        assert_eq!(stand.value(waiting).await, "2");
        assert!(stand.round_by(&courier).await.is_empty(), "the lane rests");
        // Another process finds the same, and people know it already.
        stand.all_due().await;
        let another = stand.another(FROM);
        let reports = carry(&another, &[""]).await;
        assert!(
            matches!(&reports[..], [Report::Away(one), ..] if one.tell),
            "{reports:?}"
        );
        assert_eq!(stand.notices().await, "mail.down  x1");
    })
    .await;
}

#[tokio::test]
async fn mails_that_do_not_get_out_are_told_of_once_per_lane_until_they_are_out() {
    on_stand(&["a@example.org", "b@example.org"], LONG, |stand| async move {
        let tell = async || runtime::tell_late_registers(&stand.store).await.unwrap();
        let busy = Behaviour::Answer {
            at: Step::Rcpt,
            code: 451,
        };
        stand.server.script(std::iter::repeat_n(busy, 2));
        assert!(matches!(stand.round().await[..], [Report::Later(_), Report::Later(_)]));
        assert_eq!(tell().await, 0, "it has just begun");
        let seven_hours_ago =
            "UPDATE mailing SET give_up_at = clock_timestamp() + interval '4 days' - interval '7 hours'
             WHERE state = 'waiting'";
        stand.sql(seven_hours_ago).await;
        let (one, other) = tokio::join!(tell(), tell());
        assert_eq!(one + other, 1, "two processes tell it once");
        assert_eq!(tell().await, 0);
        assert_eq!(stand.notices().await, "register.unmailed  x1");
        let said = stand
            .value("SELECT title || array_to_string(lines, ' ') FROM notice")
            .await;
        for part in [
            "The mail relay of the installation: ",
            "(2 for more than six hours)",
            "451",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
        let found = store::mailings::unmailed(&stand.store).await.unwrap().remove(0);
        assert!(
            found.late == 2 && (25_100.0..25_900.0).contains(&found.seconds),
            "{found:?}"
        );

        assert!(matches!(stand.round().await[..], [Report::Sent, Report::Sent]));
        assert_eq!(tell().await, 0);
        assert!(store::mailings::unmailed(&stand.store).await.unwrap().is_empty());
        built_register(&stand.store, "gvk").await;
        stand.sql(seven_hours_ago).await;
        assert_eq!(tell().await, 1, "another time");
    })
    .await;
}
