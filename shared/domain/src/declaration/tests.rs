//! The contract's own examples, read as an operator's files are; what is refused, and by which path; the way to the
//! database and back.

use super::*;

pub(super) const GORVODOKANAL: &str = r#"
id = "gorvodokanal"
name = "Горводоканал"
gateway = "registers"
currency = "RUB"
account = { pattern = "^[0-9]{10}$" }
amount = { min = 100, max = 1500000 }
[[field]]
name = "meter_cold"
label = "Cold water meter"
pattern = "^[0-9]{1,6}$"
required = false
[register]
schedule = "0 0 * * *"
time_zone = "Europe/Moscow"
format = "csv"
zip = true
age_recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]
mail_to = ["buh@example.org"]
"#;

pub(super) const ISP: &str = r#"
id = "isp"
name = "Internet provider"
gateway = "unikassa"
currency = "RUB"
account = { pattern = "^.{1,40}$" }
amount = { min = 100, max = 10000000 }
[unikassa]
url = "https://billing.example.org/unikassa"
dialect = "unikassa"
secret = "env:ISP_SECRET"
time_zone = "Europe/Moscow"
idempotent = true
concurrency = 4
timeout_seconds = 30
retry_seconds = [10, 30, 120, 600, 1800, 3600, 10800, 21600]
give_up_hours = 72
allow_private = true
"#;

pub(super) const MTS: &str = r#"
id = "mts-100"
name = "MTS 100"
payee = "mts"
face_value = 10000
price = 10000
currency = "RUB"
holds_seconds = [60, 300, 600]
grace_seconds = 1800
reissue_exposed = true
low_stock = 50
"#;

pub(super) const KIOSK: &str = r#"
id = "T-0001"
group = "center"
users = ["frontend1"]
age_recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
"#;

pub(super) fn from_toml<T: Declaration>(text: &str) -> Result<T, Vec<String>> {
    let table: toml::Table = text.parse().unwrap();
    read(table).map_err(|found| found.iter().map(ToString::to_string).collect())
}

/// The one refusal of an example after one of its lines was replaced.
fn refusal<T: Declaration>(example: &str, line: &str, by: &str) -> String {
    assert!(example.contains(line), "{line}");
    let found = from_toml::<T>(&example.replace(line, by)).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

fn goes_to_the_database_and_back<T: Declaration>(example: &str) {
    let declared: T = from_toml(example).unwrap();
    let stored = serde_json::to_string(&declared).unwrap();
    let back: T = read(&mut serde_json::Deserializer::from_str(&stored)).unwrap();
    assert_eq!(back, declared);
    assert_eq!(serde_json::to_string(&back).unwrap(), stored);
}

#[test]
fn the_contracts_examples_are_accepted_and_survive_the_database() {
    goes_to_the_database_and_back::<Payee>(GORVODOKANAL);
    goes_to_the_database_and_back::<Payee>(ISP);
    goes_to_the_database_and_back::<Product>(MTS);
    goes_to_the_database_and_back::<Terminal>(KIOSK);
    goes_to_the_database_and_back::<Product>(&MTS.replace("= true", "= 30"));
}

#[test]
fn what_is_left_out_has_the_contracts_defaults() {
    let short = ISP.split("dialect").next().unwrap().to_owned() + "secret = \"whsec_c2VjcmV0\"";
    let profile = from_toml::<Payee>(&short).unwrap().unikassa.unwrap();
    assert_eq!(
        (profile.idempotent(), profile.concurrency(), profile.timeout_seconds),
        (true, 4, 30)
    );
    assert_eq!(profile.retry_seconds, [10, 30, 120, 600, 1800, 3600, 10_800, 21_600]);
    assert_eq!(
        (profile.give_up_hours, profile.allow_private, profile.time_zone.name()),
        (72, false, "UTC")
    );
    let osmp = UnikassaProfile {
        dialect: Dialect::Osmp,
        ..profile
    };
    assert_eq!(
        (osmp.idempotent(), osmp.concurrency(), osmp.offers_status()),
        (false, 1, false)
    );
    assert!(
        !from_toml::<Payee>(&GORVODOKANAL.replace("zip = true", ""))
            .unwrap()
            .register
            .unwrap()
            .zip
    );
    let never = from_toml::<Product>(&MTS.replace("reissue_exposed = true", "")).unwrap();
    assert_eq!((never.reissue_exposed, never.reprint_days), (Reissue::Never, 30));
}

#[test]
fn refusals_name_the_field_by_its_path() {
    let register = |line, by| refusal::<Payee>(GORVODOKANAL, line, by);
    for (line, by, path) in [
        (
            "time_zone = \"Europe/Moscow\"",
            "time_zone = \"Mars/Olympus\"",
            "register.time_zone: must be a time zone",
        ),
        (
            "schedule = \"0 0 * * *\"",
            "schedule = \"0 0 0 * * *\"",
            "register.schedule: is not a cron",
        ),
        ("schedule = \"0 0 * * *\"", "", "register.schedule: is missing"),
        (
            "schedule = \"0 0 * * *\"",
            "every_payments = 0",
            "register.every_payments: must be 1",
        ),
        (
            "schedule = \"0 0 * * *\"",
            "every_seconds = 0",
            "register.every_seconds: must be 1",
        ),
        (
            "format = \"csv\"",
            "format = \"pdf\"",
            "register.format: unknown variant `pdf`, expected one of `csv`, `fixed`, `text`, `xlsx`, `dbf`, `xml`, `jsonl`, \
             `qiwi`, `lanbilling`, `sberbank`, `1c`",
        ),
        ("zip = true", "max_rows = 0", "register.max_rows: must be 1"),
        ("zip = true", "max_bytes = 9999", "register.max_bytes: must be 10000"),
        (
            "\"buh@example.org\"",
            "\"a@b.org\", \"buh\"",
            "register.mail_to[1]: must be one mail address",
        ),
        (
            "\"buh@example.org\"",
            "\"buh.@example.org\"",
            "register.mail_to[0]: must be one mail address",
        ),
        (
            "\"buh@example.org\"",
            "\"a@b.org\\nBcc: x@y.z\"",
            "register.mail_to[0]: must be one mail address",
        ),
        (
            "age1ql",
            "ssh-ed25519 A",
            "register.age_recipients[0]: must be an age recipient",
        ),
        ("zip = true", "zipp = true", "register.zipp: unknown field `zipp`"),
        (
            "pattern = \"^[0-9]{1,6}$\"",
            "pattern = \"(\"",
            "field[0].pattern: is not a regular expression",
        ),
        ("name = \"meter_cold\"", "name = \"Meter\"", "field[0].name: must match"),
        ("min = 100", "min = 0", "amount.min: must be from 1"),
        ("min = 100", "min = 1500001", "amount: min is larger than max"),
        (
            "currency = \"RUB\"",
            "currency = \"rub\"",
            "currency: must be an ISO 4217",
        ),
        ("id = \"gorvodokanal\"", "id = \"a b\"", "id: must match"),
        ("name = \"Горводоканал\"", "", "payee: missing field `name`"),
        (
            "gateway = \"registers\"",
            "gateway = \"fax\"",
            "gateway: unknown variant `fax`",
        ),
    ] {
        let refused = register(line, by);
        assert!(refused.starts_with(path), "{refused:?} should begin with {path:?}");
    }
}

#[test]
fn an_online_payees_profile_is_checked() {
    let unikassa = |line, by| refusal::<Payee>(ISP, line, by);
    let url = "url = \"https://billing.example.org/unikassa\"";
    for (line, by, path) in [
        (url, "url = \"billing\"", "unikassa.url: "),
        (
            url,
            "url = \"ftp://billing.example.org/\"",
            "unikassa.url: must begin with https",
        ),
        (
            url,
            "url = \"https://u:p@billing.example.org/\"",
            "unikassa.url: must not carry a user",
        ),
        (
            url,
            "url = \"https://billing.example.org/?a=b\"",
            "unikassa.url: must end with its path",
        ),
        (url, "url = \"http://8.8.8.8/\"", "unikassa.url: must begin with https"),
        (
            "dialect = \"unikassa\"",
            "dialect = \"template\"",
            "unikassa.template.pay: is missing",
        ),
        ("secret = \"env:ISP_SECRET\"", "", "unikassa.secret: is missing"),
        (
            "secret = \"env:ISP_SECRET\"",
            "secret = \"hunter2\"",
            "unikassa.secret: must be written whsec_",
        ),
        (
            "concurrency = 4",
            "concurrency = 0",
            "unikassa.concurrency: must be from 1 to 1000",
        ),
        (
            "timeout_seconds = 30",
            "timeout_seconds = 61",
            "unikassa.timeout_seconds: must be from 1 to 60",
        ),
        (
            "[10, 30, 120, 600, 1800, 3600, 10800, 21600]",
            "[]",
            "unikassa.retry_seconds: is empty",
        ),
        (
            "[10, 30, 120, 600, 1800, 3600, 10800, 21600]",
            "[1, 0]",
            "unikassa.retry_seconds[1]: must be from 1",
        ),
        (
            "give_up_hours = 72",
            "give_up_hours = 0",
            "unikassa.give_up_hours: must be from 1",
        ),
        (
            "give_up_hours = 72",
            "probe_seconds = 601",
            "unikassa.probe_seconds: must be from 1",
        ),
    ] {
        let refused = unikassa(line, by);
        assert!(refused.starts_with(path), "{refused:?} should begin with {path:?}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
    let public_only = ISP.replace("allow_private = true", "");
    let inside = |to: &str| refusal::<Payee>(&public_only, "https://billing.example.org", to);
    assert!(inside("https://10.0.0.1").contains("private address"));
    assert!(inside("https://localhost").contains("private address"));
    assert!(inside("http://billing.example.org").contains("must begin with https"));
    for fine in [
        "http://127.0.0.1:8080",
        "http://localhost:8080",
        "http://[::1]:1",
        "http://billing.lan",
    ] {
        from_toml::<Payee>(&ISP.replace("https://billing.example.org", fine)).unwrap();
    }
}

#[test]
fn a_gateway_has_its_own_section_and_no_other() {
    let both = from_toml::<Payee>(&(GORVODOKANAL.to_owned() + ISP.split("10000000 }").nth(1).unwrap())).unwrap_err();
    assert_eq!(both, ["unikassa: is read only with gateway = \"unikassa\""]);
    let none = GORVODOKANAL.split("[register]").next().unwrap();
    assert!(from_toml::<Payee>(none).unwrap_err()[0].starts_with("register: is missing"));
    let databases = from_toml::<Payee>(&none.replace("\"registers\"", "\"databases\"")).unwrap_err();
    assert_eq!(databases, ["databases: is missing: gateway = \"databases\" needs it"]);
}

#[test]
fn an_online_payee_may_have_a_register_by_the_clock() {
    let with = |how: &str| from_toml::<Payee>(&format!("{ISP}\n[register]\n{how}\n"));
    with("schedule = \"0 0 * * *\"").unwrap();
    let counted = with("schedule = \"0 0 * * *\"\nevery_payments = 5").unwrap_err();
    assert!(
        counted[0].starts_with("register.every_payments: is not for what is delivered online"),
        "{counted:?}"
    );
}

#[test]
fn everything_wrong_is_told_at_once() {
    let found =
        from_toml::<Product>(&MTS.replace("[60, 300, 600]", "[60, 61, 60]").replace("1800", "2592001")).unwrap_err();
    assert_eq!(found.len(), 3, "{found:?}");
    for (line, by, path) in [
        ("[60, 300, 600]", "[]", "holds_seconds: is empty"),
        (
            "reissue_exposed = true",
            "reissue_exposed = 0",
            "reissue_exposed: must be true, false or 1",
        ),
        (
            "reissue_exposed = true",
            "reissue_exposed = \"no\"",
            "reissue_exposed: invalid type",
        ),
        ("price = 10000", "price = 0", "price: must be from 1"),
        (
            "low_stock = 50",
            "alert_mail_to = [\"a b\"]",
            "alert_mail_to[0]: must be one mail",
        ),
        (
            "low_stock = 50",
            "withdraw_days_before_expiry = 3651",
            "withdraw_days_before_expiry: must be at most",
        ),
        (
            "low_stock = 50",
            "time_zone = \"Mars/Olympus\"",
            "time_zone: must be a time zone of the IANA database",
        ),
        (
            "low_stock = 50",
            "replace_on_conflict = true\nreprint_days = 0",
            "replace_on_conflict: needs reprint_days",
        ),
        (
            "low_stock = 50",
            "receipt = \"{{ serial\"",
            "receipt: line 1: syntax error",
        ),
        (
            "low_stock = 50",
            "receipt = \"{serial}\"",
            "receipt: line 1: `{serial}` would be printed as it stands",
        ),
        ("low_stock = 50", "receipt = \"a\\u0000\"", "receipt: holds a control"),
    ] {
        let refused = refusal::<Product>(MTS, line, by);
        assert!(refused.starts_with(path), "{refused:?} should begin with {path:?}");
    }
    assert!(refusal::<Terminal>(KIOSK, "\"frontend1\"", "\"\"").starts_with("users[0]: is empty"));
}

#[test]
fn secrets_stay_in_the_database_and_out_of_sight() {
    let literal = from_toml::<Payee>(&ISP.replace("env:ISP_SECRET", "whsec_c2VjcmV0 whsec_bmV4dA==")).unwrap();
    assert!(serde_json::to_string(&literal).unwrap().contains("whsec_c2VjcmV0"));
    let shown = literal.to_public_json();
    assert_eq!(shown["unikassa"]["secret"], "(secret)");
    assert!(!format!("{shown} {literal:?}").contains("c2VjcmV0"));
    let named: Payee = from_toml(ISP).unwrap();
    assert_eq!(named.to_public_json()["unikassa"]["secret"], "env:ISP_SECRET");
}
