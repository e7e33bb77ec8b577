//! What the file may say, and that its errors name the place and keep the secret.

use super::*;

const WHOLE: &str = r#"
secret = "env:ISP_SECRET"
currency = "RUB"
[database]
url = "sqlite:///tmp/billing.db"
[check]
sql = "select name as display from subscribers where account = :account"
[pay]
sql = ["update a", { sql = "update b", optional = true }]
"#;

#[test]
fn defaults_are_filled_in() {
    let config = Config::from_toml(WHOLE).unwrap();
    assert_eq!((config.base_path.as_str(), config.listen.port()), ("/unikassa", 8090));
    assert_eq!(
        (config.amount_as, config.timeout_seconds, config.database.pool_size),
        (AmountAs::Minor, 20, 4)
    );
    assert_eq!(config.check.sql.0.len(), 1);
    let optional: Vec<bool> = config.pay.sql.0.iter().map(|statement| statement.optional).collect();
    assert_eq!(optional, [false, true]);
    assert!(config.cancel.is_none() && config.status.is_none() && config.list.is_none());
    assert_eq!(
        (config.tolerance_seconds, config.database.time_zone),
        (300, Zone::default())
    );
}

#[test]
fn errors_name_the_place() {
    let refused = |from: &str, to: &str| {
        assert!(WHOLE.contains(from), "{from}");
        Config::from_toml(&WHOLE.replace(from, to)).unwrap_err().to_string()
    };
    assert!(refused("currency = \"RUB\"", "currency = \"rub\"").starts_with("line 3: "));
    assert!(refused("currency = \"RUB\"", "currency = \"RUB\"\nlisten_on = 1").contains("listen_on"));
    assert!(refused("optional = true", "optinal = true").contains("optinal"));
    assert!(refused("[pay]", "[pay]\nx = 1").contains("unknown field `x`"));
    assert_eq!(
        refused(r#"["update a", { sql = "update b", optional = true }]"#, "[]"),
        "pay.sql: has no statement"
    );
    assert!(refused("[database]", "timeout_seconds = 0\n[database]").starts_with("timeout_seconds: "));
    assert!(refused("[database]", "base_path = \"a/\"\n[database]").starts_with("base_path: "));
    assert!(refused("[database]", "tolerance_seconds = 5\n[database]").starts_with("tolerance_seconds: "));
    assert!(refused("[database]", "[database]\ntime_zone = \"Moscow\"").contains("a time zone is a name"));
    assert_eq!(
        refused("[pay]", "[list]\nsql = [\"select 1\", \"select 2\"]\n[pay]"),
        "list.sql: is one statement"
    );
    assert!(refused("[database]", "[database]\npool_size = 0").starts_with("database.pool_size: "));
}

#[test]
fn a_broken_line_with_a_secret_is_not_repeated() {
    let broken = WHOLE.replace("\"env:ISP_SECRET\"", "\"whsec_AAAABBBBCCCC");
    let error = Config::from_toml(&broken).unwrap_err();
    assert!(error.to_string().starts_with("line 2: "), "{error}");
    assert!(!format!("{error} {error:?}").contains("BBBB"));
    let shown = format!("{:?}", Config::from_toml(WHOLE).unwrap());
    assert!(
        !shown.contains("ISP_SECRET") && !shown.contains("billing.db"),
        "{shown}"
    );
}
