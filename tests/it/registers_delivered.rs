//! Registers of online payees: what was delivered in a day of theirs, each payment in one of them.

use domain::PayeeId;
use runtime::Nudge;
use store::registers::{self, CopyRequest};
use testkit::mail::MailServer;
use testkit::payee::Payee;
use unigate::workers::Worker;

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
    let mut numbers = Vec::new();
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
    registers::resend(world.store(), &request).await.unwrap();
    world.context.nudge(Nudge::Registers);
    let copy = server.wait_for_mails(3, PATIENCE).await.remove(2);
    assert_eq!(copy.attachments[0].file_name, "isp-delivered-COPY-000001.csv");
    assert!(copy.attachments[0].bytes == mails[0].attachments[0].bytes);
    assert_eq!(copy.header("X-Unigate-Kind"), Some("copy"));
}
