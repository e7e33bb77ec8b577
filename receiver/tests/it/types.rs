//! Types on their way in and out: numbers, decimals, nothing at all, Cyrillic, moments in the zone of the configuration.

use contract::unikassa::{Check, Request};
use domain::money::Amount;
use receiver::Zone;
use receiver::config::AmountAs;

use crate::stand::{Backend, Stand, check, config, on, payment, send_to, short};

/// Every type that a statement of MariaDB may return, as a field.
const MARIADB_TYPES: &str = r#"
[check]
sql = """select tiny as field_tiny, small as field_small, big as field_big, huge as field_huge, yes as field_yes, year_ as field_year,
  money as field_money, real_ as field_real, single as field_single, fixed as field_fixed, bytewise as field_bytewise,
  doc as field_doc, kind as field_kind, nothing as field_nothing, long_ as display, money as amount_due, tiny as min_amount, huge as max_amount
  from odd where account = :account"""
[pay]
sql = "select 1 as one"
"#;

#[tokio::test]
async fn every_type_of_mariadb_is_read() {
    on(Backend::Mariadb, Some(MARIADB_TYPES), |stand| async move {
        stand
            .execute(
                "create table odd (account varchar(20) character set cp1251, tiny tinyint, small smallint unsigned, big bigint,
                   huge bigint unsigned, yes boolean, year_ year, money decimal(20, 4), real_ double, single float,
                   fixed char(5), bytewise varchar(20) character set utf8mb4 collate utf8mb4_bin, doc json,
                   kind enum('дом', 'офис'), nothing text, long_ longtext);
                 insert into odd values ('счёт', -5, 65535, -9223372036854775808, 9007199254740991, true, 2026, 1250.4000,
                   0.5, 0.25, 'аб', 'Ёж 🦔', '{\"a\": 1}', 'офис', null, 'Привет, мир')",
            )
            .await;
        let asked = Check {
            amount: Some(Amount::new(100).unwrap()),
            ..check("счёт")
        };
        let (code, answer) = stand.send(&Request::Check(asked)).await;
        assert_eq!(code.as_u16(), 422, "1250.4000 is no whole number of minor units: {answer}");
        let (second, router) = stand.second(|changed| {
            *changed = config(&stand.url, Some(MARIADB_TYPES));
            changed.amount_as = AmountAs::Decimal;
        });
        stand.execute("update odd set huge = 90071992547409").await;
        let (_, answer) = send_to(&router, &Request::Check(check("счёт"))).await;
        let expected = serde_json::json!({
            "tiny": "-5", "small": "65535", "big": "-9223372036854775808", "huge": "90071992547409", "yes": "1", "year": "2026",
            "money": "1250.4000", "real": "0.5", "single": "0.25", "fixed": "аб", "bytewise": "Ёж 🦔", "doc": "{\"a\": 1}",
            "kind": "офис"
        });
        assert_eq!(answer["fields"], expected);
        assert_eq!(answer["display"], "Привет, мир");
        assert_eq!((answer["amount_due"].as_i64(), answer["min_amount"].as_i64()), (Some(125_040), Some(0)));
        assert_eq!(answer["max_amount"].as_i64(), Some(9_007_199_254_740_900));
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn mariadb_cuts_nothing_and_guesses_nothing() {
    const STRICT: &str = r#"
[check]
sql = "select 1 as one"
[pay]
sql = "insert into small (account, amount, flag) values (:account, :amount, :field_flag)"
"#;
    on(Backend::Mariadb, Some(STRICT), |stand| async move {
        stand
            .execute("create table small (account varchar(4), amount smallint, flag int)")
            .await;
        let refused = async |pay: contract::unikassa::Pay| {
            let (code, answer) = stand.send(&Request::Pay(pay)).await;
            (code.as_u16(), answer["error"].as_str().unwrap_or_default().to_owned())
        };
        let long = refused(payment(1, "10012")).await;
        assert!(
            long.0 == 422 && long.1.ends_with("the statement was refused (22001)"),
            "{long:?}"
        );
        let mut large = payment(1, "1001");
        large.amount = Amount::new(40_000).unwrap();
        let large = refused(large).await;
        assert!(large.0 == 422 && large.1.ends_with("(22003)"), "{large:?}");
        let mut text = payment(1, "1001");
        text.fields = serde_json::from_str(r#"{"flag":"12x"}"#).unwrap();
        let text = refused(text).await;
        assert!(
            text.0 == 422 && text.1.contains("was refused (") && !text.1.contains("12x"),
            "{text:?}"
        );
        assert_eq!(stand.number("select count(*) from small").await, 0);
        assert_eq!(stand.pay(&payment(1, "1001")).await.0, "accepted");
        assert_eq!(
            stand.number("select count(*) from small where flag is null").await,
            1,
            "no field is null"
        );
    })
    .await;
}

#[tokio::test]
async fn moments_are_entered_in_the_zone_of_the_configuration() {
    const DATED: &str = r#"
[check]
sql = "select 1 as one"
[pay]
sql = "insert into dated (local, moment) values (:paid_at, :paid_at)"
"#;
    // Paid at 10:02:11+03:00.
    for (backend, local, moment, read_moment) in [
        (
            Backend::Mariadb,
            "datetime",
            "timestamp null",
            "date_format(moment, '%Y-%m-%d %H:%i:%s')",
        ),
        (
            Backend::Postgres,
            "timestamp",
            "timestamptz",
            "to_char(moment at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')",
        ),
    ] {
        for (zone, expected) in [
            ("UTC", "2026-11-23 07:02:11"),
            ("+03:00", "2026-11-23 10:02:11"),
            ("-09:30", "2026-11-22 21:32:11"),
        ] {
            on(backend, Some(DATED), move |stand| async move {
                stand
                    .execute(&format!("create table dated (local {local}, moment {moment})"))
                    .await;
                let (second, router) = stand.second(|changed| {
                    *changed = config(&stand.url, Some(DATED));
                    changed.database.time_zone = Zone::parse(zone).unwrap();
                });
                let answer = send_to(&router, &Request::Pay(payment(1, "1001"))).await.1;
                assert_eq!(short(&answer).0, "accepted", "{answer}");
                let kept = stand.text("select cast(local as char(19)) from dated").await;
                assert_eq!(kept, expected, "{backend:?} {zone}");
                let kept = stand.text(&format!("select {read_moment} from dated")).await;
                assert_eq!(
                    kept, "2026-11-23 07:02:11",
                    "{backend:?} {zone}: the moment is the same everywhere"
                );
                second.close().await;
            })
            .await;
        }
    }
}

/// A name is known only to servers that have the tables of zones: the others say so, and nothing is entered.
#[tokio::test]
async fn a_zone_that_the_server_does_not_know_is_told() {
    on(Backend::Mariadb, None, |stand: Stand| async move {
        let mut named = config(&stand.url, None);
        named.database.time_zone = Zone::parse("Europe/Moscow").unwrap();
        let known = stand
            .number("select count(*) from mysql.time_zone_name where name = 'Europe/Moscow'")
            .await
            > 0;
        let findings = receiver::check_config(&named, &receiver::Given::default()).await;
        let told = findings
            .iter()
            .any(|f| f.place == "database.url" && f.text.contains("Europe/Moscow"));
        assert_eq!(told, !known, "{findings:?}");
    })
    .await;
}
