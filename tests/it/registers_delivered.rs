//! Registers of online payees: what was delivered in a day of theirs, each payment in one of them.

use domain::PayeeId;
use runtime::Nudge;
use serde_json::json;
use store::registers::{self, CopyRequest};
use testkit::mail::MailServer;
use testkit::payee::Payee;
use unigate::workers::Worker;

use crate::cli::{done, failed, rows, unigate};
use crate::fixtures::internet_provider;
use crate::unikassa::pay;
use crate::world::{PATIENCE, World};

const ALL: [Worker; 4] = [Worker::Intake, Worker::Unikassa, Worker::Registers, Worker::Mailer];

const DAILY: &str = r#"
    [register]
    schedule = "0 0 * * *"
    time_zone = "Europe/Moscow"
    mail_to = ["buh@example.org"]
"#;

#[tokio::test]
async fn what_was_delivered_in_a_day_of_the_payee_is_listed_once() {
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}?tls=none", server.addr);
    let world = World::start_with(&ALL, |settings| {
        settings.smtp_url = Some(url.into());
        settings.mail_from = "Unigate <unigate@example.net>".into();
    })
    .await;
    let payee = Payee::start().await.unwrap();
    world.payee(&(internet_provider(&payee.url(), "") + DAILY)).await;
    let (mut ids, mut numbers) = (Vec::new(), Vec::new());
    // The first and the last moment of a day in Moscow, and the first of the next.
    let moments = [
        "2026-11-20 21:00:00Z",
        "2026-11-21 20:59:59.999999Z",
        "2026-11-21 21:00:00Z",
    ];
    let mut stamps = String::new();
    for moment in moments {
        let (id, number) = pay(&world).await;
        world.reaches(&id, "delivered").await;
        stamps += &format!("UPDATE payment SET delivered_at = '{moment}' WHERE payment_id = '{id}';");
        numbers.push(number);
        ids.push(id);
    }
    // As if nobody had worked since.
    stamps +=
        "UPDATE series SET last_cutoff = '2026-11-20 21:00:00Z', planned_version = NULL WHERE holds = 'delivered'";
    world.sql(&stamps).await;
    world.context.nudge(Nudge::Registers);
    let mut mails = server.wait_for_mails(2, PATIENCE).await;
    mails.sort_by_key(|mail| mail.attachments[0].file_name.clone());
    let text = |nth: usize| String::from_utf8(mails[nth].attachments[0].bytes.to_vec()).unwrap();
    let row = |nth: usize, at: &str| {
        let text = text(usize::from(nth == 2));
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("{};", numbers[nth])))
            .unwrap();
        assert!(
            row.starts_with(&format!("{};{at};", numbers[nth])) && row.contains(";user-17;500.00;RUB;"),
            "{row}"
        );
    };
    assert_eq!(mails[0].attachments[0].file_name, "isp-delivered-000001.csv");
    assert_eq!(mails[1].attachments[0].file_name, "isp-delivered-000002.csv");
    assert!(
        text(0).starts_with("number;delivered_at;paid_at;account;amount;currency;receipt_number\r\n"),
        "{}",
        text(0)
    );
    assert_eq!((text(0).lines().count(), text(1).lines().count()), (3, 2));
    row(0, "2026-11-21T00:00:00+03:00");
    row(1, "2026-11-21T23:59:59+03:00");
    row(2, "2026-11-22T00:00:00+03:00");
    assert_eq!(
        (mails[0].header("X-Unigate-Count"), mails[0].header("X-Unigate-Total")),
        (Some("2"), Some("100000"))
    );
    let open = "SELECT count(*) FROM series WHERE holds = 'delivered' AND next_cutoff > now() - interval '10 minutes'";
    assert_eq!(world.value(open).await, "1", "every day since was looked at");

    // The first of these days once more.
    let request = CopyRequest {
        payee: PayeeId::parse("isp").unwrap(),
        from: "2026-11-20T21:00:00Z".parse().unwrap(),
        to: "2026-11-21T21:00:00Z".parse().unwrap(),
        requested_by: "test".into(),
        to_address: None,
        format: None,
        include_open: false,
    };
    let copies = registers::resend(world.store(), &request).await.unwrap();
    world.context.nudge(Nudge::Registers);
    let copy = server.wait_for_mails(3, PATIENCE).await.remove(2);
    assert_eq!(copy.attachments[0].file_name, "isp-delivered-COPY-000001.csv");
    assert!(copy.attachments[0].bytes == mails[0].attachments[0].bytes);
    assert_eq!(copy.header("X-Unigate-Kind"), Some("copy"));
    let explained = rows(&world, &["registers", "explain", &ids[1]]).await.remove(0);
    assert_eq!(
        (&explained["series"], &explained["register"]["sequence"]),
        (&json!("delivered"), &json!(1))
    );
    assert_eq!(explained["copies"], json!(copies), "{explained}");
    let next_day = rows(&world, &["registers", "explain", &ids[2]]).await.remove(0);
    assert_eq!(
        (&next_day["register"]["sequence"], &next_day["copies"]),
        (&json!(2), &json!([])),
        "{next_day}"
    );
    let why = explained["why"].as_str().unwrap();
    assert!(
        why.starts_with("It was delivered at 2026-11-21T23:59:59.999999+03:00 into the series delivered."),
        "{why}"
    );
    assert!(
        why.contains("Register 1 holds what came before its cut-off at 2026-11-22T00:00:00+03:00."),
        "{why}"
    );
    let period = [
        "registers",
        "statement",
        "isp",
        "--from",
        "2026-11-21",
        "--to",
        "2026-11-22",
    ];
    let stated = rows(&world, &period).await;
    assert_eq!(stated.len(), 2, "{stated:?}");
    assert_eq!(
        (&stated[0]["sequence"], &stated[0]["payments"], &stated[1]["amount"]),
        (&json!(1), &json!(2), &json!(100_000))
    );
}

#[tokio::test]
async fn a_day_without_deliveries_is_told_where_that_is_wanted() {
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}?tls=none", server.addr);
    let world = World::start_with(&ALL, |settings| {
        settings.smtp_url = Some(url.into());
        settings.mail_from = "Unigate <unigate@example.net>".into();
    })
    .await;
    let payee = Payee::start().await.unwrap();
    let declared = internet_provider(&payee.url(), "") + DAILY + "send_empty = true\n";
    world.payee(&declared).await;
    // As if it had been declared days ago, and nobody had worked since two midnights of Moscow's before the last one:
    // so many hours ago would be two midnights at most times of the day, and three just after the third. A midnight is the
    // last one when its day can be closed, five minutes later.
    world
        .sql(
            "UPDATE payee_version SET applied_at = clock_timestamp() - interval '4 days';
             UPDATE series SET planned_version = NULL,
                last_cutoff = (date_trunc('day', (clock_timestamp() - interval '5 minutes') AT TIME ZONE 'Europe/Moscow')
                    - interval '2 days') AT TIME ZONE 'Europe/Moscow'",
        )
        .await;
    world.context.nudge(Nudge::Registers);
    let mut mails = server.wait_for_mails(2, PATIENCE).await;
    mails.sort_by_key(|mail| mail.attachments[0].file_name.clone());
    for (mail, name) in mails
        .iter()
        .zip(["isp-delivered-000001.csv", "isp-delivered-000002.csv"])
    {
        assert_eq!(mail.attachments[0].file_name, name);
        assert_eq!(
            (mail.header("X-Unigate-Count"), mail.header("X-Unigate-Total")),
            (Some("0"), Some("0"))
        );
    }
}

/// Its list of what was delivered is the only one that it has.
#[tokio::test]
async fn what_is_open_of_what_was_delivered_is_shown_without_its_name_and_closes_by_itself() {
    let world = World::start(&[Worker::Intake, Worker::Unikassa]).await;
    let payee = Payee::start().await.unwrap();
    world.payee(&(internet_provider(&payee.url(), "") + DAILY)).await;
    let (id, number) = pay(&world).await;
    world.reaches(&id, "delivered").await;
    let shown = done(&world, &["registers", "preview", "isp"]).await.stdout;
    assert!(shown.contains(&number), "{shown}");
    let unknown = unigate(&world, &["registers", "preview", "isp", "--series", "main"]).await;
    failed(&unknown, 1, "payee isp has no series main: it has delivered");

    let closed = unigate(&world, &["registers", "build", "isp"]).await;
    failed(
        &closed,
        1,
        "payee isp gets lists of what was delivered, which are closed by themselves, the next at ",
    );
    for word in [
        "T00:00:00+03:00",
        "registers preview isp",
        "registers resend --payee isp",
        "--include-open",
    ] {
        assert!(closed.stderr.contains(word), "{word}: {closed:?}");
    }
    assert_eq!(world.value("SELECT count(*) FROM register").await, "0");
    world.stop().await;
}
