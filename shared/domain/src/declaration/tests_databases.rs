//! What a payee says of its own data.

use super::tests::from_toml;
use super::*;

const UTILITY: &str = r#"
    id = "vodokanal"
    name = "Водоканал"
    gateway = "databases"
    currency = "RUB"
    account = { pattern = "^[0-9]{4}$" }
    amount = { min = 100, max = 10000000 }
    [databases]
    url = "sqlite:/srv/payees/vodokanal.sqlite"
    [[databases.pay.statement]]
    sql = "insert into payments (number) values (:number)"
    unique = true
    [[databases.status.statement]]
    sql = "select amount from payments where number = :number"
"#;

#[test]
fn a_key_that_is_taken_is_asked_about() {
    let whole: Payee = from_toml(UTILITY).unwrap();
    assert!(whole.databases.unwrap().idempotent());
    let alone = UTILITY.split("    [[databases.status").next().unwrap();
    let refused = from_toml::<Payee>(alone).unwrap_err();
    assert_eq!(
        refused,
        [
            "databases.pay.statement: unique = true needs [databases.status]: a key that is taken may be taken by something else"
        ]
    );
    let neither = from_toml::<Payee>(&UTILITY.replace("unique = true", "")).unwrap_err();
    assert!(
        neither[0].contains("nothing keeps a payment from being entered twice"),
        "{neither:?}"
    );
}

#[test]
fn what_only_looks_into_a_file_may_be_done_again() {
    let listed = r#"
    [databases.file]
    path = "/srv/payees/list.csv"
    format = "csv"
    columns = { ls = "account" }
    [[databases.pay.statement]]
    sql = "select 1 as found from list where account = :account"
    [register]
    schedule = "0 0 * * *"
    mail_to = ["a@example.org"]
    "#;
    let head = UTILITY.split("    url =").next().unwrap();
    let payee: Payee = from_toml(&format!("{head}{listed}")).unwrap();
    let profile = payee.databases.unwrap();
    assert!(profile.online().idempotent);
    let file = profile.file.unwrap();
    assert_eq!((file.min_rows, file.max_shrink_percent), (1, 50));
    let wrong = listed.replace("format = ", "max_shrink_percent = 101\n    format = ");
    let refused = from_toml::<Payee>(&format!("{head}{wrong}")).unwrap_err();
    assert_eq!(refused, ["databases.file.max_shrink_percent: must be from 0 to 100"]);
}
