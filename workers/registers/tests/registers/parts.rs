//! Registers of several files, and many registers at once.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use artifacts::{ArtifactSettings, Artifacts};
use domain::RegisterId;
use registers::{Built, close_all_due};
use serde_json::json;

use crate::stand::{Stand, on_stand, payee};

async fn one_register(stand: &Stand, register: serde_json::Value, payments: i64) -> RegisterId {
    stand.declare(&payee(register)).await;
    stand.back_in_2020().await;
    stand.pay("2020-03-01T13:00:00Z", payments).await;
    close_all_due(&stand.store).await.unwrap().remove(0)
}

fn numbers(file: &[u8]) -> Vec<String> {
    let text = String::from_utf8(file.to_vec()).unwrap();
    let rows = text.split_terminator("\r\n").skip(1);
    rows.map(|row| row.split(';').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn more_rows_than_a_payee_takes_come_in_parts() {
    on_stand(|stand| async move {
        let id = one_register(&stand, json!({ "max_rows": 3 }), 8).await;
        stand.revoke(2).await;
        stand.sql("UPDATE register SET payment_count = 7, total = 70000, revoked_count = 1").await;
        assert_eq!(stand.build_all().await, [Built::Recorded]);
        let files = stand.files(id).await;
        let about: Vec<_> = files
            .iter()
            .map(|(part, bytes)| (&*part.file_name, part.part.count, part.part.total, numbers(bytes)))
            .collect();
        let of = |numbers: &[&str]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            about,
            [
                ("gvk-main-000001-1of3.csv", 3, 30_000, of(&["1", "3", "4"])),
                ("gvk-main-000001-2of3.csv", 3, 30_000, of(&["5", "6", "7"])),
                ("gvk-main-000001-3of3.csv", 1, 10_000, of(&["8"])),
            ]
        );
        let listed = stand.list().await.remove(0);
        assert_eq!((listed.parts, listed.file, listed.sha256), (3, None, None));
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(listed.bytes, Some(bytes as i64));
        let mails = "SELECT string_agg(part || ' ' || replace(message_id, register_id::text, 'r'), ', ' ORDER BY part) FROM mailing";
        assert_eq!(stand.value(mails).await, "1 <r@example.org>, 2 <r-2@example.org>, 3 <r-3@example.org>");
        assert_eq!(stand.events().await, ["register.built"], "one register");
    })
    .await;
}

#[tokio::test]
async fn a_file_is_no_larger_than_a_payee_takes() {
    on_stand(|stand| async move {
        let id = one_register(&stand, json!({ "max_bytes": 10_000 }), 1000).await;
        assert_eq!(stand.build_all().await, [Built::Recorded]);
        let files = stand.files(id).await;
        assert!(files.len() > 5);
        let row = 100;
        let sizes: Vec<usize> = files.iter().map(|(_, bytes)| bytes.len()).collect();
        assert!(sizes.iter().all(|size| *size <= 10_000), "{sizes:?}");
        let full = &sizes[..sizes.len() - 1];
        assert!(
            full.iter().all(|size| *size > 10_000 - row),
            "they are filled: {sizes:?}"
        );
        let all: Vec<String> = files.iter().flat_map(|(_, bytes)| numbers(bytes)).collect();
        assert_eq!(all, (1..=1000).map(|number| number.to_string()).collect::<Vec<_>>());
        assert_eq!(files.iter().map(|(part, _)| part.part.total).sum::<i64>(), 10_000_000);
    })
    .await;
}

/// What `base64 --decode` makes of a file.
fn unwrapped(file: &[u8]) -> Vec<u8> {
    let mut decoder = Command::new("base64")
        .arg("--decode")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    decoder.stdin.take().unwrap().write_all(file).unwrap();
    let decoded = decoder.wait_with_output().unwrap();
    assert!(decoded.status.success());
    decoded.stdout
}

#[tokio::test]
async fn a_sealed_file_is_no_larger_than_a_payee_takes() {
    let keys = [(); 4].map(|()| age::x25519::Identity::generate());
    let identity = &keys[0];
    let base64 = json!({ "with": "command", "argv": ["/usr/bin/base64"], "extension": "b64" });
    let recipients = keys.each_ref().map(|key| key.to_public().to_string());
    let aged = json!({ "with": "age", "recipients": recipients });
    let open = |file: &[u8]| age::decrypt(identity, file).unwrap();
    for (seal, opened) in [
        (json!([aged]), Box::new(open) as Box<dyn Fn(&[u8]) -> Vec<u8>>),
        (json!([base64]), Box::new(unwrapped)),
        (json!([aged, base64]), Box::new(|file| open(&unwrapped(file)))),
    ] {
        let register = json!({ "max_bytes": 10_000, "seal": seal });
        on_stand(|stand| async move {
            let id = one_register(&stand, register, 1000).await;
            assert_eq!(stand.build_all().await, [Built::Recorded]);
            let files = stand.files(id).await;
            let sizes: Vec<usize> = files.iter().map(|(_, bytes)| bytes.len()).collect();
            assert!(sizes.iter().all(|size| *size <= 10_000), "{sizes:?}");
            let (_, full) = sizes.split_last().unwrap();
            assert!(full.iter().all(|size| *size > 9000), "they are filled: {sizes:?}");
            let all: Vec<String> = files.iter().flat_map(|(_, bytes)| numbers(&opened(bytes))).collect();
            assert_eq!(all, (1..=1000).map(|number| number.to_string()).collect::<Vec<_>>());
            for (at, (part, bytes)) in (1..).zip(&files) {
                let rows = numbers(&opened(bytes)).len() as i64;
                let told = (
                    part.part.part,
                    part.part.parts as usize,
                    part.part.count,
                    part.part.total,
                );
                assert_eq!(told, (at, files.len(), rows, rows * 10_000));
            }
            let left = stand.value("SELECT count(*) FROM artifact").await;
            assert_eq!(left, files.len().to_string(), "nothing is left of what was too large");
        })
        .await;
    }
}

#[tokio::test]
async fn one_payment_that_is_too_large_when_it_is_sealed_is_an_operators_business() {
    on_stand(|stand| async move {
        let base64 = json!({ "with": "command", "argv": ["/usr/bin/base64"], "extension": "b64" });
        one_register(&stand, json!({ "max_bytes": 10_000, "seal": [base64] }), 200).await;
        stand
            .sql("UPDATE payment SET account = repeat('9', 8000) WHERE position = 150")
            .await;
        assert_eq!(stand.build_all().await, [Built::Failed]);
        let error = stand.list().await.remove(0).last_error.unwrap();
        assert!(
            error.starts_with("max_bytes is 10000, and a file with 1 of its payments has ")
                && error.contains("when it is sealed"),
            "{error}"
        );
        assert_eq!(stand.value("SELECT count(*) FROM artifact").await, "0");
        assert_eq!(stand.events().await, ["register.failed"]);
    })
    .await;
}

#[tokio::test]
async fn every_build_makes_the_same_parts_and_those_of_two_never_mix() {
    on_stand(|stand| async move {
        let id = one_register(&stand, json!({ "max_rows": 400, "zip": true }), 1000).await;
        let builder = stand.builder();
        let lost = builder.claim().await.unwrap();
        stand
            .sql("UPDATE register SET due_at = now(), lease_until = now()")
            .await;
        let second = builder.claim().await.unwrap();
        let (a, b) = tokio::join!(builder.build(&lost), builder.build(&second));
        assert_eq!((a.unwrap(), b.unwrap()), (vec![Built::Later], vec![Built::Recorded]));
        let first: Vec<_> = stand.files(id).await;
        assert_eq!(first.len(), 3);
        // Built once more, by hand: to the byte.
        stand
            .sql(
                "DELETE FROM mailing; DELETE FROM register_part;
                 UPDATE register SET state = 'frozen', built_at = NULL, due_at = now()",
            )
            .await;
        assert_eq!(stand.build_all().await, [Built::Recorded]);
        let again = stand.files(id).await;
        assert!(first == again);
        assert_eq!(stand.value("SELECT count(*) FROM artifact").await, "3", "stored once");
    })
    .await;
}

#[tokio::test]
async fn parts_that_disagree_with_what_was_frozen_are_none() {
    on_stand(|stand| async move {
        one_register(&stand, json!({ "max_rows": 3 }), 8).await;
        stand
            .sql("UPDATE payment SET amount = amount + 1 WHERE position = 8")
            .await;
        assert_eq!(stand.build_all().await, [Built::Failed]);
        let left = "SELECT (SELECT count(*) FROM artifact) + (SELECT count(*) FROM register_part)";
        assert_eq!(stand.value(left).await, "0");
        assert!(
            stand.list().await[0]
                .last_error
                .as_ref()
                .unwrap()
                .contains("8 payments of 80001")
        );
    })
    .await;
}

#[tokio::test]
async fn one_payment_that_is_too_large_is_an_operators_business() {
    on_stand(|stand| async move {
        let id = one_register(&stand, json!({ "max_bytes": 10_000 }), 2).await;
        stand
            .sql("UPDATE payment SET account = repeat('9', 12000) WHERE position = 2")
            .await;
        assert_eq!(stand.build_all().await, [Built::Failed]);
        let error = stand.list().await.remove(0).last_error.unwrap();
        assert!(error.contains("max_bytes is 10000"), "{error}");
        stand.sql("UPDATE payment SET account = 'A-2' WHERE position = 2").await;
        store::registers::requeue_build(&stand.store, id, "anna").await.unwrap();
        assert_eq!(stand.build_all().await, [Built::Recorded]);
    })
    .await;
}

/// Payees beside `gvk`, with ten payments each, all due.
async fn many(stand: &Stand, payees: usize) {
    let mut declared = payee(json!({}));
    for nth in 0..payees {
        declared.id = domain::PayeeId::parse(&format!("p-{nth:03}")).unwrap();
        stand.declare(&declared).await;
    }
    stand
        .sql(
            "INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount,
                 currency, paid_at, accepted_at, series_id, position)
             SELECT gen_random_uuid(), row_number() OVER (), payee_id, 1, 'registers', 'T-1', 'A-' || n, 100 + n, 'RUB',
                 '2020-03-01T13:00:00Z', '2020-03-01T13:00:00Z', series_id, row_number() OVER ()
             FROM series, generate_series(1, 10) n;
             UPDATE ledger SET last_position = (SELECT max(position) FROM payment)",
        )
        .await;
    stand.back_in_2020().await;
    close_all_due(&stand.store).await.unwrap();
}

#[tokio::test]
async fn several_builders_share_many_registers_and_one_bad_one_keeps_no_other() {
    on_stand(|stand| async move {
        many(&stand, 150).await;
        stand
            .sql("UPDATE payment SET amount = 1 WHERE payee_id = 'p-077' AND account = 'A-3'")
            .await;
        let builder = stand.builder();
        let first = builder.claim().await.unwrap();
        let second = stand.builder().claim().await.unwrap();
        assert_eq!((first.len(), second.len()), (64, 64));
        let (a, b, rest) = tokio::join!(builder.build(&first), builder.build(&second), stand.build_all());
        let all = [a.unwrap(), b.unwrap(), rest].concat();
        assert_eq!(all.len(), 150);
        assert_eq!(all.iter().filter(|built| **built == Built::Failed).count(), 1);
        assert_eq!(all.iter().filter(|built| **built == Built::Recorded).count(), 149);
        let whole =
            "SELECT count(*) FROM register r JOIN register_part p USING (register_id) JOIN artifact USING (sha256)
            WHERE r.state = 'built' AND p.payment_count = r.payment_count AND p.total = r.total";
        assert_eq!(stand.value(whole).await, "149");
        assert_eq!(
            stand
                .value("SELECT payee_id FROM register WHERE state = 'failed'")
                .await,
            "p-077"
        );
        let told = "SELECT sum(jsonb_array_length(body::jsonb -> 'items')) || ' in ' || count(*) FROM event
            WHERE kind = 'register.built'";
        assert_eq!(stand.value(told).await, "149 in 3", "events have many items");
        let ids: BTreeSet<_> = first
            .iter()
            .chain(&second)
            .map(|build| build.summary.register_id)
            .collect();
        assert_eq!(ids.len(), 128, "each is one builder's");
    })
    .await;
}

#[tokio::test]
async fn a_large_register_is_claimed_by_itself() {
    on_stand(|stand| async move {
        many(&stand, 3).await;
        // As large as it says it is, until it is built.
        stand
            .sql("UPDATE register SET payment_count = 1000000 WHERE payee_id = 'p-001'")
            .await;
        stand
            .sql("UPDATE register SET due_at = now() - interval '1 hour' WHERE payee_id = 'p-000'")
            .await;
        stand
            .sql("UPDATE register SET due_at = now() - interval '1 minute' WHERE payee_id = 'p-001'")
            .await;
        let mut claimed = Vec::new();
        loop {
            let builds = stand.builder().claim().await.unwrap();
            if builds.is_empty() {
                break;
            }
            claimed.push(
                builds
                    .iter()
                    .map(|build| build.summary.payee.to_string())
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(claimed, [vec!["p-000"], vec!["p-001"], vec!["p-002"]]);
    })
    .await;
}

#[tokio::test]
async fn a_register_waits_while_its_place_cannot_be_written() {
    on_stand(|stand| async move {
        // Noise that compresses badly: the archive is larger than what is held.
        one_register(&stand, json!({ "zip": true }), 60_000).await;
        stand.sql("UPDATE payment SET account = gen_random_uuid()::text").await;
        let away = ArtifactSettings {
            url: Some("file:///proc/unigate".to_owned()),
            above_bytes: 0,
            ..ArtifactSettings::default()
        };
        let builder = stand.builder_into(Artifacts::new(stand.store.clone(), &away).unwrap());
        let claimed = builder.claim().await.unwrap();
        assert_eq!(builder.build(&claimed).await.unwrap(), [Built::Later]);
        let waiting = stand.list().await.remove(0);
        assert_eq!(waiting.state, "frozen");
        let error = waiting.last_error.unwrap();
        assert!(error.starts_with("file:///proc/unigate"), "{error}");
        assert_eq!(stand.value("SELECT count(*) FROM artifact").await, "0");
        stand.sql("UPDATE register SET due_at = now()").await;
        assert_eq!(stand.build_all().await, [Built::Recorded], "elsewhere it can");
    })
    .await;
}
