//! Mails to several recipients, through servers that refuse, put off, fall silent and vanish.

use std::time::Duration;

use artifacts::Artifacts;
use mailer::{MailCourier, Report};
use runtime::courier::{Courier, Done};
use serde_json::json;
use testkit::mail::{Behaviour, Greeting, Step};

use crate::stand::{
    FILE, FROM, LONG, assert_same, built_in_parts, carry, declare, on_stand, raw, wanted, with_register,
};

#[tokio::test]
async fn a_register_is_mailed_to_everybody_and_then_it_is_mailed() {
    on_stand(&["a@example.org", "b@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("b@example.org", 450);
        let reports = stand.round().await;
        assert_eq!(reports.len(), 2);
        assert_eq!(stand.register_state().await, "built", "one is missing");
        assert_eq!(stand.events().await, "");

        stand.server.accept_recipient("b@example.org");
        assert!(matches!(stand.round().await[..], [Report::Sent]));
        assert_eq!(stand.register_state().await, "mailed at");
        assert_eq!(stand.events().await, "register.mailed");
        let mails = stand.server.inbox();
        assert_eq!(mails.len(), 2);
        assert_same(&mails);
        let raw = raw(&mails[0]);
        for header in [
            format!("Message-ID: <{}>", stand.message_id()),
            format!("X-Unigate-Register: {}", stand.register),
            "X-Unigate-Kind: regular".to_owned(),
            "X-Unigate-Count: 1".to_owned(),
            "X-Unigate-Total: 15000".to_owned(),
        ] {
            assert!(raw.contains(&header), "{header} in {raw}");
        }
        assert!(stand.round().await.is_empty());
        assert_eq!(
            stand
                .value("SELECT count(*) FROM payment_view WHERE shown_state = 'reported'")
                .await,
            "1"
        );
    })
    .await;
}

#[tokio::test]
async fn an_address_that_no_mail_can_have_keeps_the_register_from_nobody_else() {
    on_stand(&["bad@example.org", "good@example.org"], LONG, |stand| async move {
        // As an earlier program took it.
        stand
            .sql(
                "UPDATE register SET mail_to = array_replace(mail_to, 'bad@example.org', 'bad.@example.org');
                 UPDATE mailing SET recipient = 'bad.@example.org' WHERE recipient = 'bad@example.org'",
            )
            .await;
        let reports = stand.round().await;
        assert!(
            matches!(
                reports[..],
                [Report::Refused(_), Report::Sent] | [Report::Sent, Report::Refused(_)]
            ),
            "{reports:?}"
        );
        let mails = stand.server.inbox();
        assert_eq!(
            (mails.len(), &mails[0].to[..]),
            (1, &["good@example.org".to_owned()][..])
        );
        assert_eq!(mails[0].header("To"), Some("good@example.org"));
        assert_eq!(
            stand.value("SELECT last_error FROM register").await,
            "bad.@example.org: \"bad.@example.org\" is no mail address"
        );
    })
    .await;
}

#[tokio::test]
async fn an_address_of_another_script_changes_nobody_elses_mail() {
    let to = ["почта@example.org", "buh@компания.рф"];
    on_stand(&to, LONG, |stand| async move {
        assert!(matches!(stand.round().await[..], [Report::Sent, Report::Sent]));
        let mails = stand.server.inbox();
        assert_same(&mails);
        assert!(mails[0].raw.is_ascii(), "no relay has to know SMTPUTF8 for it");
        let mut had: Vec<String> = mails.iter().flat_map(|mail| mail.to.clone()).collect();
        had.sort();
        assert_eq!(had, ["buh@xn--80aqeigdi5k.xn--p1ai", "почта@example.org"]);
        assert_eq!(mails[0].header("To"), Some("buh@xn--80aqeigdi5k.xn--p1ai"));
    })
    .await;
}

#[tokio::test]
async fn what_may_have_been_sent_is_sent_again_the_same() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        // The mail has to be there before the silence.
        let hasty = stand.within(Duration::from_secs(5));
        stand.server.script([
            Behaviour::Answer {
                at: Step::Kept,
                code: 451,
            },
            Behaviour::Silent { at: Step::Kept },
            Behaviour::Close { at: Step::Kept },
        ]);
        assert!(matches!(stand.round().await[..], [Report::Later(_)]));
        stand.all_due().await;
        assert!(matches!(carry(&hasty, &[""]).await[..], [Report::Maybe(_)]));
        assert!(matches!(stand.round().await[..], [Report::Maybe(_)]));
        assert!(matches!(stand.round().await[..], [Report::Sent]));
        let mails = stand.server.inbox();
        assert_eq!(mails.len(), 4);
        assert_same(&mails);
        assert_eq!(
            stand.value("SELECT attempts || ' ' || maybes FROM mailing").await,
            "4 2"
        );
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_an_operators_business_and_can_be_requeued() {
    on_stand(&["gone@example.org", "b@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("gone@example.org", 550);
        let reports = stand.round().await;
        assert!(matches!(
            reports[..],
            [Report::Refused(_), Report::Sent] | [Report::Sent, Report::Refused(_)]
        ));
        assert_eq!(stand.register_state().await, "failed");
        assert_eq!(stand.events().await, "register.failed");
        assert_eq!(stand.notices().await, format!("register.failed {} x1", stand.register));
        assert!(
            stand
                .value("SELECT last_error FROM register")
                .await
                .starts_with("gone@example.org: ")
        );
        assert!(stand.round().await.is_empty(), "never again by itself");

        stand.server.accept_recipient("gone@example.org");
        assert_eq!(stand.requeue(None, None).await.unwrap(), 1);
        assert!(matches!(stand.round().await[..], [Report::Sent]));
        assert_eq!(stand.register_state().await, "mailed at");
        assert_eq!(stand.events().await, "register.failed register.mailed");
        assert!(stand.requeue(None, None).await.is_err());
        assert_same(&stand.server.inbox());
    })
    .await;
}

#[tokio::test]
async fn after_four_days_it_is_given_up() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("a@example.org", 451);
        assert!(matches!(stand.round().await[..], [Report::Later(_)]));
        stand.sql("UPDATE mailing SET give_up_at = now()").await;
        stand.round().await;
        assert_eq!(stand.register_state().await, "failed");
        assert!(
            stand
                .value("SELECT last_error FROM mailing")
                .await
                .starts_with("given up after 2 attempts: ")
        );
        assert_eq!(stand.events().await, "register.failed");
        assert_eq!(stand.notices().await, format!("register.failed {} x1", stand.register));
    })
    .await;
}

#[tokio::test]
async fn a_relay_that_stays_away_for_four_days_is_given_up_too() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        stand.server.down().await;
        stand.sql("UPDATE mailing SET give_up_at = now()").await;
        assert!(matches!(stand.round().await[..], [Report::Away(_)]));
        assert_eq!(stand.register_state().await, "failed");
        let told = stand.value("SELECT last_error FROM mailing").await;
        assert!(
            told.starts_with("given up after 0 attempts: connecting to the mail relay"),
            "{told}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_greylisting_server_gets_the_same_mail_until_it_takes_it() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        stand.server.refuse_recipient("a@example.org", 451);
        for pause in ["10", "30", "120"] {
            let began = stand.value("SELECT clock_timestamp()").await;
            assert!(matches!(stand.round().await[..], [Report::Later(_)]));
            // Within 20 % of the list, from some moment of the round.
            let due = format!(
                "SELECT due_at BETWEEN '{began}'::timestamptz + {pause} * interval '0.8 s'
                               AND clock_timestamp() + {pause} * interval '1.2 s' FROM mailing"
            );
            assert_eq!(stand.value(&due).await, "t", "after {pause} s");
        }
        stand.server.accept_recipient("a@example.org");
        assert!(matches!(stand.round().await[..], [Report::Sent]));
        assert_eq!(
            stand.value("SELECT attempts || ' ' || maybes FROM mailing").await,
            "4 0"
        );
    })
    .await;
}

#[tokio::test]
async fn bytes_stay_the_same_in_another_process_with_other_settings_and_declarations() {
    on_stand(&["a@example.org", "b@example.org"], LONG, |stand| async move {
        stand.server.script([
            Behaviour::Answer {
                at: Step::Kept,
                code: 451,
            },
            Behaviour::Close { at: Step::Kept },
        ]);
        stand.round().await;
        // Another process, another sender, another language: nothing of it shows in what was begun.
        let profile = json!({ "mail_to": ["a@example.org"], "mail": { "language": "ru", "from": "new@example.net" } });
        declare(&stand.store, "gvk", profile).await;
        stand.all_due().await;
        let another = stand.another("Other <other@example.com>");
        let reports = carry(&another, &[""]).await;
        assert!(matches!(reports[..], [Report::Sent, Report::Sent]));
        let mails = stand.server.inbox();
        assert_eq!(mails.len(), 4);
        assert_same(&mails);
        assert!(mails.iter().all(|mail| mail.from == "unigate@example.org"));
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn a_payees_own_words_and_sender_are_in_the_mail() {
    let register = json!({ "mail_to": ["a@example.org"], "mail": {
        "language": "ru", "from": "Реестры <registers@operator.example>",
        "subject": "{{ name }} №{{ sequence }}: {{ count }} на {{ total | money(\",\") }}",
    } });
    with_register(register, LONG, |stand| async move {
        assert!(matches!(stand.round().await[..], [Report::Sent]));
        let mail = stand.server.inbox().remove(0);
        assert_eq!(mail.from, "registers@operator.example");
        assert_eq!(mail.subject, "Горводоканал №000001: 1 на 150,00");
        assert!(
            mail.text
                .starts_with("Реестр 000001, получатель Горводоканал (gvk)\r\n"),
            "{}",
            mail.text
        );
        assert_eq!(mail.attachments[0].bytes, FILE);
    })
    .await;
}

#[tokio::test]
async fn every_part_is_a_mail_of_its_own_and_the_register_waits_for_all() {
    on_stand(&[], LONG, |stand| async move {
        declare(&stand.store, "isp", json!({ "mail_to": ["a@example.org"] })).await;
        let register = built_in_parts(&stand.store, "isp", &[(2, 700), (1, 9_000)]).await;
        let state = format!("SELECT state FROM register WHERE register_id = '{register}'");
        stand.server.script([Behaviour::Answer { at: Step::Rcpt, code: 451 }]);
        assert_eq!(stand.round().await.len(), 2);
        assert_eq!(stand.value(&state).await, "built", "one is missing");
        assert_eq!(stand.round().await.len(), 1);
        assert_eq!(stand.value(&state).await, "mailed");
        let mut mails = stand.server.inbox();
        mails.sort_by(|left, right| left.subject.cmp(&right.subject));
        let told: Vec<String> = mails
            .iter()
            .map(|mail| {
                let header = |name| mail.header(name).unwrap();
                let (count, total) = (header("X-Unigate-Count"), header("X-Unigate-Total"));
                let file = &mail.attachments[0].file_name;
                format!("{} | {} {count} {total} {file}", mail.subject, header("X-Unigate-Part"))
            })
            .collect();
        assert_eq!(
            told,
            [
                "Register 000001, part 1 of 2, Горводоканал (isp): 2 payments, 7.00 RUB | 1/2 2 700 isp-main-000001-1.csv",
                "Register 000001, part 2 of 2, Горводоканал (isp): 1 payment, 90.00 RUB | 2/2 1 9000 isp-main-000001-2.csv",
            ]
        );
        assert_ne!(mails[0].message_id, mails[1].message_id);
    })
    .await;
}

#[tokio::test]
async fn a_mail_larger_than_declared_is_an_operators_business_at_once() {
    let register = json!({ "mail_to": ["a@example.org"], "mail": { "max_bytes": 16_384 } });
    with_register(register, LONG, |stand| async move {
        stand.sql("UPDATE artifact SET bytes = 20000").await;
        assert!(matches!(&stand.round().await[..], [Report::Refused(why)] if why.contains("16384 are allowed")));
        assert_eq!(stand.server.connections(), 0);
        assert_eq!(
            (stand.register_state().await, stand.events().await),
            ("failed".into(), "register.failed".into())
        );
    })
    .await;
}

#[tokio::test]
async fn a_dead_relay_costs_no_mail_a_try() {
    on_stand(&["a@example.org", "b@example.org"], LONG, |stand| async move {
        stand.server.down().await;
        let courier = stand.resting(Duration::from_secs(5));
        let reports = stand.round_by(&courier).await;
        assert!(matches!(reports[..], [Report::Away(_), Report::Away(_)]));
        assert!(stand.round_by(&courier).await.is_empty(), "left alone for a while");
        assert_eq!(
            stand
                .value("SELECT count(*) FROM mailing WHERE attempts = 0 AND state = 'waiting'")
                .await,
            "2"
        );
        let due = courier.lanes_due(&[]).await.unwrap();
        assert!(due[0].due_in > Duration::ZERO);

        stand.server.up().unwrap();
        stand.server.greet([Greeting::Answer(421)]);
        // It rests twice.
        testkit::wait_for("both mails", 3 * LONG, async || {
            Box::pin(stand.round_by(&courier)).await;
            (stand.server.inbox().len() == 2).then_some(())
        })
        .await;
        assert_eq!(stand.register_state().await, "mailed at");
    })
    .await;
}

#[tokio::test]
async fn a_killed_mailers_mail_is_sent_by_another() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        let mut killed = stand.courier.claim(&wanted(&[""])).await.unwrap().jobs;
        assert_eq!(killed.len(), 1);
        assert!(stand.round().await.is_empty(), "it is somebody's");
        stand.sql("UPDATE mailing SET lease_until = now()").await;
        assert!(matches!(stand.round().await[..], [Report::Sent]));
        // The killed one was only slow: what it says about its try changes nothing any more.
        let late = Done {
            job: killed.remove(0),
            report: Report::Refused("late".to_owned()),
        };
        stand.courier.record(&[late]).await.unwrap();
        assert_eq!(stand.register_state().await, "mailed at");
        assert_eq!(stand.events().await, "register.mailed");
    })
    .await;
}

#[tokio::test]
async fn without_a_relay_mails_wait() {
    on_stand(&["a@example.org"], LONG, |stand| async move {
        let courier = MailCourier::new(
            stand.store.clone(),
            Artifacts::in_database(stand.store.clone()),
            None,
            FROM,
        );
        assert!(courier.lanes_due(&[]).await.unwrap().is_empty());
        assert!(courier.claim(&wanted(&[""])).await.unwrap().jobs.is_empty());
        assert_eq!(stand.value("SELECT state FROM mailing").await, "waiting");
    })
    .await;
}
