//! Registers: closed, built, mailed, copied; and what the payee reads in them.

use std::io::{Cursor, Read};

use domain::{PayeeId, RegisterId};
use runtime::Nudge;
use serde_json::{Value, json};
use store::registers::{self, CopyRequest, Listed};
use testkit::mail::{Mail, MailServer};
use testkit::wait_for;

use crate::fixtures::{UTILITY, about, new_id, utility_payment};
use crate::world::{PATIENCE, World, end, refused, with};
use unigate::workers::Worker;

const ALL: [Worker; 3] = [Worker::Intake, Worker::Registers, Worker::Mailer];

/// A world with a utility and its mailbox.
pub(crate) async fn utility(declared: &str) -> (World, MailServer) {
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}?tls=none", server.addr);
    let world = World::start_with(&ALL, |settings| {
        settings.smtp_url = Some(url.into());
        settings.mail_from = "Unigate <unigate@example.net>".into();
    })
    .await;
    world.payee(declared).await;
    (world, server)
}

pub(crate) fn every(payments: u32) -> String {
    UTILITY.replace("schedule = \"0 0 * * *\"", &format!("every_payments = {payments}"))
}

async fn pay(world: &World, payment: &Value) -> String {
    let answer = world.tell("payment.accepted", payment).await;
    assert_eq!(answer["outcome"], "accepted", "{answer}");
    answer["number"].as_str().unwrap().to_owned()
}

pub(crate) async fn pay_some(world: &World, count: usize) -> Vec<String> {
    let ids = crate::fixtures::new_ids(count);
    for id in &ids {
        pay(world, &utility_payment(id)).await;
    }
    ids
}

fn payee() -> PayeeId {
    PayeeId::parse("gorvodokanal").unwrap()
}

async fn close(world: &World) -> RegisterId {
    let closed = registers::close_now(world.store(), &payee(), "test").await.unwrap();
    world.context.nudge(Nudge::Registers);
    assert_eq!(closed.len(), 1);
    closed[0]
}

pub(crate) async fn register_becomes(world: &World, id: RegisterId, state: &str) -> Listed {
    wait_for(&format!("the register to be {state}"), PATIENCE, async || {
        registers::find(world.store(), id)
            .await
            .unwrap()
            .filter(|found| found.state == state)
    })
    .await
}

/// The one file of an archive: its name and its bytes.
pub(crate) fn unzip(bytes: &[u8]) -> (String, String) {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    assert_eq!(archive.len(), 1);
    let mut file = archive.by_index(0).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    (file.name().unwrap().into_owned(), text)
}

fn rows(text: &str) -> Vec<Vec<String>> {
    let reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(b';')
        .from_reader(text.as_bytes());
    reader
        .into_records()
        .map(|record| record.unwrap().iter().map(str::to_owned).collect())
        .collect()
}

/// The database's word of when it was taken, in the payee's time zone.
async fn accepted_at(world: &World, number: &str) -> String {
    let zone = jiff::tz::TimeZone::get("Europe/Moscow").unwrap();
    let at = world
        .value(&format!(
            "SELECT floor(extract(epoch FROM accepted_at))::bigint FROM payment WHERE number = {number}"
        ))
        .await;
    let at = jiff::Timestamp::from_second(at.parse().unwrap()).unwrap();
    at.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[tokio::test]
async fn so_many_payments_become_a_register_that_is_mailed() {
    let (world, server) = utility(&every(3)).await;
    // In the last second of the day before in UTC, which is another day in Moscow; the fraction is cut off.
    let today = domain::clock::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .start_of_day()
        .unwrap();
    let paid_at = today.timestamp() - jiff::SignedDuration::from_millis(100);
    let odd = json!({"payer": "=HYPERLINK(1);\"x\"", "meter_cold": "7"});
    let payments = [
        utility_payment(&new_id()),
        with(utility_payment(&new_id()), "paid_at", json!(paid_at)),
        with(with(utility_payment(&new_id()), "fields", odd), "amount", json!(100)),
    ];
    let mut numbers = Vec::new();
    for payment in &payments {
        numbers.push(pay(&world, payment).await);
    }
    let mail = server.wait_for_mails(1, PATIENCE).await.remove(0);
    assert_eq!(
        (mail.from.as_str(), &*mail.to),
        ("unigate@example.net", &["buh@example.org".to_owned()][..])
    );
    let listed = registers::list(world.store(), Some(&payee())).await.unwrap();
    let id = listed[0].summary.register_id.to_string();
    assert_eq!(mail.header("X-Unigate-Register"), Some(&*id));
    assert_eq!(
        (mail.header("X-Unigate-Kind"), mail.header("X-Unigate-Count")),
        (Some("regular"), Some("3"))
    );
    assert_eq!(mail.header("X-Unigate-Total"), Some("30100"));
    for part in ["gorvodokanal", "000001", "3", "301.00"] {
        assert!(mail.subject.contains(part), "{:?} should name {part}", mail.subject);
    }
    assert!(
        !mail.subject.contains("COPY") && mail.message_id.ends_with("@example.net"),
        "{mail:?}"
    );
    assert_eq!(mail.attachments.len(), 1);
    assert_eq!(mail.attachments[0].file_name, "gorvodokanal-main-000001.csv.zip");
    let (name, text) = unzip(&mail.attachments[0].bytes);
    assert_eq!(name, "gorvodokanal-main-000001.csv");
    let header = "number;accepted_at;paid_at;account;amount;currency;receipt_number;payer;meter_cold\r\n";
    assert!(text.starts_with(header) && text.ends_with("\r\n"), "{text}");
    let rows = rows(&text);
    assert_eq!(rows.len(), 4, "no trailer");
    for (row, number) in rows[1..].iter().zip(&numbers) {
        assert_eq!(row[0], *number, "in the order of acceptance");
        assert_eq!(row[1], accepted_at(&world, number).await);
        assert_eq!((&*row[3], &*row[5], &*row[6]), ("1920679795", "RUB", "000124"));
    }
    assert_eq!(
        (&*rows[1][4], &*rows[1][7], &*rows[1][8]),
        ("150.00", "Иванов И. И.", "00123")
    );
    assert_eq!(rows[2][2], today.strftime("%Y-%m-%dT02:59:59+03:00").to_string());
    assert_eq!(
        (&*rows[3][4], &*rows[3][7]),
        ("1.00", "'=HYPERLINK(1);\"x\""),
        "no formula for a spreadsheet"
    );
    for payment in &payments {
        world.reaches(payment["payment_id"].as_str().unwrap(), "reported").await;
    }
    let found = register_becomes(&world, listed[0].summary.register_id, "mailed").await;
    assert_eq!(
        (found.bytes, found.mailed_at.is_some()),
        (Some(mail.attachments[0].bytes.len() as i64), true)
    );
}

#[tokio::test]
async fn a_register_can_be_encrypted_and_only_its_recipient_opens_it() {
    let identity = age::x25519::Identity::generate();
    let sealed = every(2).replace(
        "zip = true",
        &format!("zip = true\nage_recipients = [\"{}\"]", identity.to_public()),
    );
    let (world, server) = utility(&sealed).await;
    pay_some(&world, 2).await;
    let mail = server.wait_for_mails(1, PATIENCE).await.remove(0);
    assert_eq!(mail.attachments[0].file_name, "gorvodokanal-main-000001.csv.zip.age");
    let (_, text) = unzip(&age::decrypt(&identity, &mail.attachments[0].bytes).unwrap());
    assert_eq!(rows(&text).len(), 3);
    let stranger = age::x25519::Identity::generate();
    assert!(age::decrypt(&stranger, &mail.attachments[0].bytes).is_err());
    assert!(!String::from_utf8_lossy(&mail.raw).contains("1920679795"));
}

#[tokio::test]
async fn a_register_closes_after_so_many_seconds() {
    let (world, server) = utility(&UTILITY.replace("schedule = \"0 0 * * *\"", "every_seconds = 1")).await;
    pay_some(&world, 1).await;
    server.wait_for_mails(1, PATIENCE).await;
    let ids = pay_some(&world, 1).await;
    let mails = server.wait_for_mails(2, PATIENCE).await;
    assert_eq!(mails[1].attachments[0].file_name, "gorvodokanal-main-000002.csv.zip");
    world.reaches(&ids[0], "reported").await;
    let listed = registers::list(world.store(), None).await.unwrap();
    assert_eq!(listed.len(), 2, "an empty range is no register");
}

#[tokio::test]
async fn a_closed_register_cannot_be_revoked_from_and_waits_for_its_mail() {
    let world = World::start(&ALL).await;
    world.payee(UTILITY).await;
    let ids = pay_some(&world, 3).await;
    assert_eq!(
        world.tell("payment.revoke", &about("payment_id", &ids[1])).await["outcome"],
        "revoked"
    );
    let register = close(&world).await;
    let built = register_becomes(&world, register, "built").await;
    assert_eq!((built.summary.count, built.summary.total, built.revoked), (2, 30000, 1));
    assert_eq!(
        world.ask("payment.status", &about("payment_id", &ids[0])).await["state"],
        "registered"
    );
    refused(
        &world.tell("payment.revoke", &about("payment_id", &ids[0])).await,
        "not_revocable",
        "payment_id",
    );
    assert_eq!(
        world.tell("payment.revoke", &about("payment_id", &ids[1])).await["outcome"],
        "already_revoked"
    );

    // No mail server was named so far; now there is one.
    let server = MailServer::start("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}?tls=none", server.addr);
    let mailer = world
        .another(&[Worker::Mailer], |settings| settings.smtp_url = Some(url.into()))
        .await;
    let mail = server.wait_for_mails(1, PATIENCE).await.remove(0);
    assert_eq!(rows(&unzip(&mail.attachments[0].bytes).1).len(), 3);
    assert_eq!(
        world.reaches(&ids[0], "reported").await.register_id,
        Some(register.as_uuid())
    );
    refused(
        &world.tell("payment.revoke", &about("payment_id", &ids[0])).await,
        "not_revocable",
        "",
    );
    end(&mailer).await;
}

#[tokio::test]
async fn a_copy_is_a_copy_and_changes_nothing() {
    let (world, server) = utility(&every(2)).await;
    let ids = pay_some(&world, 2).await;
    let original = server.wait_for_mails(1, PATIENCE).await.remove(0);
    world.reaches(&ids[0], "reported").await;
    pay_some(&world, 1).await;
    let now = domain::clock::now();
    let hour = jiff::SignedDuration::from_hours(1);
    let request = CopyRequest {
        payee: payee(),
        from: now - hour,
        to: now + hour,
        requested_by: "test".into(),
        to_address: None,
        format: None,
        include_open: false,
    };
    let copies = registers::resend(world.store(), &request).await.unwrap();
    world.context.nudge(Nudge::Registers);
    let copy = server.wait_for_mails(2, PATIENCE).await.remove(1);
    assert_eq!(
        (copy.header("X-Unigate-Kind"), copy.header("X-Unigate-Count")),
        (Some("copy"), Some("2"))
    );
    assert!(
        copy.subject.contains("COPY") && copy.attachments[0].file_name.contains("COPY"),
        "{copy:?}"
    );
    assert_ne!(copy.message_id, original.message_id);
    let text = |mail: &Mail| unzip(&mail.attachments[0].bytes).1;
    assert_eq!(text(&copy), text(&original), "what is open is in no copy");
    register_becomes(&world, copies[0], "mailed").await;
    let regular = world
        .value("SELECT string_agg(DISTINCT register_id::text, ' ') FROM payment_view WHERE register_id IS NOT NULL")
        .await;
    assert_eq!(Some(&*regular), original.header("X-Unigate-Register"));
    let none = registers::resend(
        world.store(),
        &CopyRequest {
            from: now - 2 * hour,
            to: now - hour,
            ..request
        },
    )
    .await;
    assert!(none.is_err(), "nothing was accepted then");
}

#[tokio::test]
async fn every_payment_is_in_exactly_one_register_whatever_happens_at_once() {
    let (world, server) = utility(&every(7)).await;
    let second = world.another(&[Worker::Intake, Worker::Registers], |_| {}).await;
    let ids = crate::fixtures::new_ids(120);
    let payments: Vec<_> = ids.iter().map(|id| utility_payment(id)).collect();
    let paying = futures::future::join_all(payments.iter().map(|payment| world.tell("payment.accepted", payment)));
    let revocations: Vec<_> = ids.iter().step_by(5).map(|id| about("payment_id", id)).collect();
    let revoking = futures::future::join_all(revocations.iter().map(|one| world.tell("payment.revoke", one)));
    let closing = async {
        for _ in 0..10 {
            // Nothing open is no register and no error.
            registers::close_now(world.store(), &payee(), "test").await.unwrap();
        }
    };
    futures::join!(paying, revoking, closing);
    registers::close_now(world.store(), &payee(), "test").await.unwrap();
    world.context.nudge(Nudge::Registers);
    let made = registers::list(world.store(), None).await.unwrap().len();
    let mails = server.wait_for_mails(made, PATIENCE).await;
    let mut numbers: Vec<String> = Vec::new();
    let mut total = 0;
    for mail in &mails {
        let rows = rows(&unzip(&mail.attachments[0].bytes).1);
        assert_eq!(mail.header("X-Unigate-Count"), Some(&*(rows.len() - 1).to_string()));
        total += mail.header("X-Unigate-Total").unwrap().parse::<i64>().unwrap();
        numbers.extend(rows[1..].iter().map(|row| row[0].clone()));
    }
    let mut stored = world
        .sql("SELECT number::text FROM payment WHERE state = 'accepted'")
        .await
        .concat();
    numbers.sort_unstable();
    stored.sort_unstable();
    assert_eq!(numbers, stored.into_iter().flatten().collect::<Vec<_>>());
    assert_eq!(total, 15000 * i64::try_from(numbers.len()).unwrap());
    end(&second).await;
}
