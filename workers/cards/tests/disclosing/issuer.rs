//! A return to an issuer who has OpenPGP: opened by gpg, and by nobody whose key is not named.

use std::path::Path;
use std::process::Command;

use cards::disclosure::Answered;
use domain::ids::ProductId;
use openpgp::PublicKey;
use serde_json::json;
use store::disclosures::{self, Asked, Return};
use testkit::leak::digits;

use crate::stand::Stand;

/// A secret key that gpg made: its public half encrypts, and gpg opens.
const KEY: &str = "src/import/container/samples/key.asc";

fn gpg(home: &Path, arguments: &[&str]) -> Vec<u8> {
    let gpg = ["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""];
    let output = Command::new("gpg")
        .env("GNUPGHOME", home)
        .args(gpg)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

async fn ask(stand: &Stand, recipients: &[String], pgp_keys: &[String]) -> Asked {
    let wanted = Return {
        product: &ProductId::parse("p").unwrap(),
        recipients,
        pgp_keys,
        expiring_before: None,
        count: Some(1),
        fresh_only: false,
        reason: "the contract ends",
        who: "tester",
    };
    disclosures::ask_return(&stand.store, &wanted).await.unwrap()
}

#[tokio::test]
async fn a_return_to_an_openpgp_key_opens_in_gpg() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand
        .import("p", &format!("serial,pin\ns-1,{}\ns-2,{}\n", digits(1), digits(2)))
        .await;
    let home = std::env::temp_dir().join(format!("unigate-gpg-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    gpg(&home, &["--import", KEY]);
    let key = PublicKey::read(&gpg(&home, &["--export"])).unwrap();
    let (names, keys) = ([key.name()], [key.armoured().unwrap()]);

    let asked = ask(&stand, &names, &keys).await;
    assert!(
        ask(&stand, &names, &keys).await.again,
        "the same words are the same return"
    );
    assert_eq!(stand.answer_all().await, [Answered::Done]);
    let file = stand.file(asked.disclosure_id).await;
    assert!(!file.windows(12).any(|bytes| bytes == digits(1).as_bytes()));
    let path = home.join("returned.csv.pgp");
    std::fs::write(&path, file).unwrap();
    let opened = gpg(&home, &["--decrypt", path.to_str().unwrap()]);
    assert_eq!(
        String::from_utf8(opened).unwrap(),
        format!("serial,expires_on,shown,pin\r\ns-1,,,{}\r\n", digits(1))
    );
    let told = "SELECT after->'recipients'->>0 FROM audit WHERE act LIKE 'cards return%'";
    assert_eq!(stand.sql(told).await, [key.name(), key.name()], "asked and answered");

    // Who writes another key beside the name of this one is given nothing.
    disclosures::collected(&stand.store, asked.disclosure_id, "tester", "a test")
        .await
        .unwrap();
    ask(&stand, &["openpgp:0123".to_owned()], &keys).await;
    let answered = stand.answer_all().await;
    assert!(
        matches!(&answered[..], [Answered::Refused(why)] if why.contains("not those of the recipients")),
        "{answered:?}"
    );
    std::fs::remove_dir_all(&home).unwrap();
    stand.end().await;
}
