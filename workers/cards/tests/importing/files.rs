//! What issuers' files say of a card comes to the terminal and counts at the sale; what a file's operator may ask for.

use cards::import::{self, File, Options};
use cards::vault;
use domain::ids::ProductId;
use serde_json::{Value, json};
use store::imports;
use testkit::leak::is_in;

use crate::stand::{Stand, id, reserve, sell, with};

/// Hands in a file of the product `p`, with what is asked for, and works it off.
pub(super) async fn import_as(stand: &Stand, bytes: impl AsRef<[u8]>, options: Options) -> import::Finished {
    let recipients = vault::recipients(&stand.store).await.unwrap();
    let file = File {
        source: std::io::Cursor::new(bytes.as_ref().to_vec()),
        name: "cards.csv".to_owned(),
        password: None,
        options,
    };
    let product = ProductId::parse("p").unwrap();
    let submitted = import::submit_file(&stand.store, &recipients, &product, file, "test").await;
    let import_id = submitted.unwrap();
    let finished = import::work_one(&stand.store, &stand.vault, Some(import_id))
        .await
        .unwrap()
        .unwrap();
    assert!(!is_in(format!("{finished:?}").as_bytes()), "a report repeats a secret");
    let stored = imports::find(&stand.store, import_id).await.unwrap().unwrap();
    assert!(!is_in(stored.report.unwrap_or_default().to_string().as_bytes()));
    assert_eq!(stored.rows_total, Some(stored.rows_done));
    assert_eq!(
        imports::chunk(&stand.store, import_id, 0).await.unwrap(),
        None,
        "the file is kept"
    );
    finished
}

fn told(notes: &import::Notes) -> Vec<(u64, &str)> {
    notes.lines.iter().map(|note| (note.line, note.why.as_str())).collect()
}

#[tokio::test]
async fn what_a_file_says_of_a_card_is_answered_held_and_charged() {
    let stand = Stand::new().await;
    let card_file = json!({
        "encoding": "windows-1251", "delimiter": ";", "serial": "Серия", "secret": {"pin": "ПИН"},
        "public": {"tariff": "Тариф", "dial": "Набор"}, "face_value": "Номинал", "price": "Цена", "amounts": "major",
        "expires_on": "Годен до", "date_format": "DD.MM.YYYY",
    });
    stand
        .product(
            "p",
            json!({"card_file": card_file, "receipt": "{{ tariff }} {{ pin }} {{ price | money }} {{ currency }}"}),
        )
        .await;
    let text = "Номинал;Набор;Серия;ПИН;Тариф;Цена;Годен до\n200;*111#;A-1;823144000001;Лето;190,50;31.12.2999\n\
                ;;A-2;823144000002;;;\n100;;A-3;823144000003;;;31.12.2019\n";
    let (bytes, ..) = encoding(text);
    let finished = import_as(&stand, bytes, Options::default()).await;
    assert_eq!(
        (finished.report.added, told(&finished.report.expired)),
        (2, vec![(4, "expires_on: is past")])
    );
    let (first, second) = (id(), id());
    let held = stand.one(reserve(first, "p")).await;
    assert_eq!(
        held["card"],
        json!({"serial": "A-1", "fields": {"pin": "823144000001", "dial": "*111#", "tariff": "Лето"}})
    );
    assert_eq!((&held["face_value"], &held["price"]), (&json!(20000), &json!(19050)));
    assert_eq!(held["receipt"], "Лето 823144000001 190.50 RUB");
    let plain = stand.one(reserve(second, "p")).await;
    assert_eq!((&plain["face_value"], &plain["price"]), (&json!(10000), &json!(10000)));
    assert_eq!(plain["card"]["fields"], json!({"pin": "823144000002"}));
    // The product's price is too little for this card, and its own is enough.
    assert_eq!(stand.one(sell(first)).await["reason"], "amount_too_small");
    assert_eq!(
        stand.one(with(sell(first), "amount", 19050)).await,
        json!({"outcome": "sold", "reservation_id": first})
    );
    let sales = stand.sales().await;
    assert_eq!(
        (sales[0].price, sales[0].face_value, sales[0].amount),
        (19050, 20000, 19050)
    );
    stand.end().await;
}

/// Text of windows-1251, made without the reader's own library.
fn encoding(text: &str) -> (Vec<u8>, ()) {
    let byte = |c: char| match c {
        'А'..='я' => u8::try_from(u32::from(c) - 0x410 + 0xc0).unwrap(),
        _ => u8::try_from(u32::from(c)).unwrap(),
    };
    (text.chars().map(byte).collect(), ())
}

#[tokio::test]
async fn duplicates_are_named_by_what_they_are_duplicates_of() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.product("q", json!({})).await;
    stand
        .import("q", "serial,pin\nq-1,823144000001\nq-2,823144000002\n")
        .await;
    let sold = id();
    stand.one(reserve(sold, "q")).await;
    stand.one(sell(sold)).await;
    stand.import("p", "serial,pin\np-1,823144000003\n").await;
    let text = "serial,pin\np-2,8231 4400 0001\np-3,823144000002\np-1,823144000004\np-5,823144000005\np-5,823144000006\n\
                p-6,8231-4400-0005\np-7,823144000007\n";
    let finished = import_as(&stand, text, Options::default()).await;
    assert_eq!(finished.report.added, 2);
    assert_eq!(
        told(&finished.report.duplicates),
        [
            (2, "the same details: are those of card q-1 of q, which is sold"),
            (3, "the same details: are those of card q-2 of q, which is available"),
            (4, "serial: are those of card p-1 of p, which is available"),
            (6, "serial: stands on line 5 before"),
            (7, "the same details: stands on line 5 before"),
        ]
    );
    let report = &finished.report;
    assert_eq!(
        (
            report.duplicates.total,
            report.duplicates_in_file,
            report.duplicates_known
        ),
        (5, 2, 3)
    );
    stand.end().await;
}

#[tokio::test]
async fn all_or_nothing_unless_the_good_rows_are_asked_for() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let text = "serial,pin,expires_on\np-1,823144000001,\np-2,,\np-3,823144000003,2020-01-01\np-1,823144000004,\n";
    let refused = import_as(&stand, text, Options::default()).await;
    assert!(!refused.entered && refused.report.added == 0);
    assert_eq!(told(&refused.report.refused), [(3, "pin: is empty")]);
    assert_eq!(stand.counts("p").await, [0; 5]);
    let good = Options {
        good_rows: true,
        ..Options::default()
    };
    let taken = import_as(&stand, text, good).await;
    assert!(taken.entered);
    let report = &taken.report;
    assert_eq!(
        (
            report.added,
            report.refused.total,
            report.expired.total,
            report.duplicates.total
        ),
        (1, 1, 1, 1)
    );
    // It was entered: refused from now on, unless somebody insists, and then all of it is known.
    let again = import_as(&stand, text, good).await;
    assert!(!again.entered && again.report.refused.lines[0].why.contains("imported before"));
    let insisted = import_as(&stand, text, Options { again: true, ..good }).await;
    assert_eq!(
        (
            insisted.entered,
            insisted.report.added,
            insisted.report.duplicates.total
        ),
        (true, 0, 2)
    );
    let strict = Options {
        strict: true,
        ..Options::default()
    };
    for text in [
        "serial,pin\np-9,823144000009\np-9,823144000010\n",
        "serial,pin\np-1,823144000011\n",
        "serial,pin,expires_on\np-8,823144000008,2020-01-01\np-7,823144000007,\n",
    ] {
        let refused = import_as(&stand, text, strict).await;
        assert!(!refused.entered, "{text}");
    }
    assert_eq!(stand.counts("p").await, [1, 0, 0, 0, 0]);
    let clean = import_as(&stand, "serial,pin\np-8,823144000008\n", strict).await;
    assert!(clean.entered);
    stand.end().await;
}

#[tokio::test]
async fn a_file_sealed_to_the_vault_is_opened_by_the_worker_alone() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let text = b"serial,pin\np-1,823144000001\n".as_slice();
    let recipient = stand.vault.recipients()[0].clone();
    let sealed = age::encrypt(&recipient, text).unwrap();
    let finished = import_as(&stand, &sealed, Options::default()).await;
    assert_eq!(finished.report.added, 1);
    // The same contents without the wrapping are the same file.
    let plain = import_as(&stand, text, Options::default()).await;
    assert!(plain.report.refused.lines[0].why.contains("imported before"));
    for (bytes, why) in [
        (&sealed[..sealed.len() - 1], "the age file is damaged or cut off after"),
        (&sealed[..sealed.len() / 2], "the age file"),
        (
            &age::encrypt(&age::x25519::Identity::generate().to_public(), text).unwrap()[..],
            "the age file is not sealed to this vault",
        ),
    ] {
        let refused = import_as(&stand, bytes, Options::default()).await;
        assert_eq!(refused.report.refused.lines[0].line, 0);
        let told = &refused.report.refused.lines[0].why;
        assert!(told.starts_with(why), "{told}");
    }
    let mut file = std::io::Cursor::new(&sealed);
    let product: domain::declaration::Product = serde_json::from_value::<Value>(
        json!({"id": "p", "name": "p", "face_value": 1, "price": 1, "currency": "RUB"}),
    )
    .and_then(serde_json::from_value)
    .unwrap();
    let shown = import::preview(&mut file, &product, None, "2026-01-01".parse().unwrap(), 10);
    assert!(shown.unwrap_err().contains("only a cards worker can open it"));
    assert_eq!(stand.counts("p").await, [1, 0, 0, 0, 0]);
    stand.end().await;
}

#[tokio::test]
async fn a_preview_shows_no_secret_and_tells_what_an_import_would() {
    let product = json!({
        "id": "p", "name": "p", "face_value": 1, "price": 1, "currency": "RUB",
        "card_file": {"serial": "no", "secret": {"pin": "code"}, "public": {"plan": "plan"}},
    });
    let product: domain::declaration::Product = serde_json::from_value(product).unwrap();
    let mut file = std::io::Cursor::new("no,code,plan\nA-1,823144000001,Summer\nA-2,,Winter\nA-3,8231440003,\n");
    let found = import::preview(&mut file, &product, None, "2026-01-01".parse().unwrap(), 1).unwrap();
    assert_eq!(
        (found.report.rows, found.report.refused.total, found.rows.len()),
        (3, 1, 1)
    );
    assert_eq!(found.rows[0].secret, [("pin".to_owned(), "*".repeat(12))]);
    assert_eq!(found.rows[0].public, [("plan".to_owned(), "Summer".to_owned())]);
    assert!(!format!("{found:?}").contains("8231"));
}

#[tokio::test]
async fn the_worker_opens_what_a_declared_password_or_its_own_key_opens() {
    let stand = Stand::new().await;
    let password = stand.identity_file.with_file_name("password");
    std::fs::write(&password, "hunter2\n").unwrap();
    let reference = format!("file:{}", password.display());
    stand.product("p", json!({"card_file": {"password": reference}})).await;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::FileOptions::<()>::default().with_aes_encryption(zip::AesMode::Aes256, "hunter2");
    archive.start_file("cards.csv", options).unwrap();
    std::io::Write::write_all(&mut archive, b"serial,pin\np-1,823144000001\n").unwrap();
    let packed = archive.finish().unwrap().into_inner();
    assert_eq!(import_as(&stand, &packed, Options::default()).await.report.added, 1);
    std::fs::write(&password, "hunter3").unwrap();
    let again = Options {
        again: true,
        ..Options::default()
    };
    let wrong = import_as(&stand, &packed, again).await.report;
    assert_eq!(
        told(&wrong.refused),
        [(0, "the archive: the password does not open it")]
    );
    std::fs::remove_file(&password).unwrap();
    let gone = import_as(&stand, &packed, again).await.report;
    assert!(
        gone.refused.lines[0]
            .why
            .starts_with("the archive card_file.password: "),
        "{gone:?}"
    );

    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/src/import/container/samples");
    let message = std::fs::read(format!("{samples}/to-key.pgp")).unwrap();
    let without = import_as(&stand, &message, Options::default()).await.report;
    assert!(
        without.refused.lines[0].why.contains("UNIGATE_PGP_KEY_FILE"),
        "{without:?}"
    );
    let keys = import::Keys::read(Some(format!("{samples}/key.asc").as_ref()), None).unwrap();
    let recipients = vault::recipients(&stand.store).await.unwrap();
    let product = ProductId::parse("p").unwrap();
    let handed_in = import::submit(&stand.store, &recipients, &product, "cards.pgp", &message, "test").await;
    let finished = import::work_one_with(
        &stand.store,
        &stand.vault,
        &keys,
        Some(handed_in.unwrap()),
        &import::Stop::never(),
    )
    .await;
    assert_eq!(finished.unwrap().unwrap().report.added, 1);
    assert_eq!(stand.counts("p").await, [2, 0, 0, 0, 0]);
    stand.end().await;
}
