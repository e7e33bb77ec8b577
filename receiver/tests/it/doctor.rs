//! `check-config` says what is wrong before a payment does, at its place, and leaves nothing behind.

use receiver::config::StatementConfig;
use receiver::{Config, Finding, Given, Severity, check_config};

use crate::stand::{Backend, Stand, config, on};

fn given(account: &str) -> Given {
    Given {
        account: Some(account.to_owned()),
        ..Given::default()
    }
}

fn of(findings: &[Finding], fits: impl Fn(Severity) -> bool) -> Vec<String> {
    let fitting = findings.iter().filter(|finding| fits(finding.severity));
    fitting
        .map(|finding| format!("{}: {}", finding.place, finding.text))
        .collect()
}

async fn worst(config: &Config, given: &Given) -> Vec<String> {
    of(&check_config(config, given).await, |severity| {
        severity != Severity::Fine
    })
}

async fn errors(config: &Config, given: &Given) -> Vec<String> {
    of(&check_config(config, given).await, |severity| {
        severity == Severity::Error
    })
}

/// Nothing of what was tried is there.
async fn is_untouched(stand: &Stand) {
    assert_eq!(stand.balance("1001").await, 500);
    assert_eq!(stand.number("select count(*) from inbox").await, 0);
    assert_eq!(stand.number("select count(*) from unigate_payment").await, 0);
}

#[tokio::test]
async fn every_statement_is_tried_and_said_what_came_out() {
    for backend in Backend::ALL {
        on(backend, None, |stand| async move {
            let mut whole = config(&stand.url, None);
            whole.status = Some(sql("select 'pending' as result from inbox where number = :number"));
            whole.list = Some(sql(
                "select number, amount, '2026-11-23 10:00:00' as credited_at from inbox where number > :after and :from < :to order by number limit :limit",
            ));
            let findings = check_config(&whole, &given("1001")).await;
            let fine = of(&findings, |severity| severity == Severity::Fine);
            let expected = [
                "secret: is readable",
                "database.url: the database answers",
                "unigate_payment: the journal table works",
                "check.sql[1]: works: 1 row: display = Иван, amount_due = 125040, min_amount = 100, max_amount = 1500000",
                "pay.sql[1]: works: 1 row: refused_reason = null",
                "pay.sql[2]: works: 1 row",
                "pay.sql[3]: works: 1 row: provider_reference = R-2000000001",
                "status.sql[1]: works: 1 row: result = pending",
                "cancel.sql[1]: works: 1 row",
                "list.sql[1]: works: 0 of the last day",
            ];
            assert_eq!(fine, expected, "{findings:?}");
            assert_eq!(fine.len(), findings.len(), "{findings:?}");
            is_untouched(&stand).await;
        })
        .await;
    }
}

fn sql(text: &str) -> receiver::config::SqlConfig {
    let sql = receiver::config::Statements(vec![StatementConfig {
        sql: text.to_owned(),
        optional: false,
    }]);
    receiver::config::SqlConfig { sql }
}

#[tokio::test]
async fn what_is_wrong_is_said_at_its_place() {
    for backend in Backend::ALL {
        on(backend, None, |stand| async move {
            let whole = config(&stand.url, None);
            let unknown = worst(&whole, &given("none")).await;
            assert!(unknown[0].starts_with("check.sql[1]: touches nothing for this account"), "{unknown:?}");
            let closed = worst(&whole, &given("1003")).await;
            assert_eq!(closed, ["pay.sql[1]: refuses: account_inactive"]);

            let broken = r#"
                [check]
                sql = ["select nam as display from subscribers", "select name as dispaly from subscribers"]
                [pay]
                sql = ["insert into nowhere values (:number)", "insert into subscribers (account, name, balance) values ('1001', 'x', 0)"]
                [status]
                sql = "select name as provider_reference from subscribers"
                [list]
                sql = "select number, amount from inbox"
            "#;
            let broken_config = config(&stand.url, Some(broken));
            let found = worst(&broken_config, &Given::default()).await;
            assert_eq!(found.len(), 6, "{found:?}");
            assert!(found[0].starts_with("check.sql[1]: ") && found[0].contains("nam"), "{}", found[0]);
            assert!(found[1].starts_with("check.sql[2]: returns the column dispaly"), "{}", found[1]);
            assert!(found[2].starts_with("pay.sql[1]: ") && found[2].contains("nowhere"), "{}", found[2]);
            assert!(found[3].starts_with("pay.sql[2]: failed with a sample payment"), "{}", found[3]);
            assert_eq!(found[4], "status.sql[1]: returns no column result");
            assert_eq!(found[5], "list.sql[1]: returns no column credited_at");
            let found = errors(&broken_config, &given("1001")).await;
            assert!(found[2].starts_with("pay.sql[2]: failed: "), "with an account it is an error: {found:?}");

            let typo = config(&stand.url, Some(&broken.replace(":number", ":nomer")));
            let found = worst(&typo, &Given::default()).await;
            assert!(found[0].starts_with("pay.sql[1]: does not know the parameter :nomer"), "{found:?}");
            let odd = Given { amount: Some(0), ..Given::default() };
            assert!(errors(&whole, &odd).await[0].starts_with("--amount: "));

            is_untouched(&stand).await;
            stand.execute("drop table unigate_payment").await;
            let found = worst(&whole, &Given::default()).await;
            assert!(found[0].starts_with("unigate_payment: ") && found[0].contains("init-db"), "{found:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn missing_rights_are_found() {
    on(Backend::Postgres, None, |stand| async move {
        let role = format!("{}_clerk", stand.url.rsplit('/').next().unwrap());
        stand
            .execute(&format!(
                "create role {role} login; grant select, update on subscribers to {role}"
            ))
            .await;
        let mut url = url::Url::parse(&stand.url).unwrap();
        url.set_username(&role).unwrap();
        let found = errors(&config(url.as_str(), None), &given("1001")).await;
        stand.execute(&format!("drop owned by {role}; drop role {role}")).await;
        assert!(
            found[0].starts_with("unigate_payment: ") && found[0].contains("permission denied"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("pay.sql[3]: failed: ") && found[1].contains("inbox"),
            "{found:?}"
        );
    })
    .await;
    on(Backend::Mariadb, None, |stand| async move {
        let (database, user) = (
            stand.url.rsplit('/').next().unwrap(),
            format!("clerk{}", std::process::id()),
        );
        stand
            .execute(&format!(
                "create user {user}@127.0.0.1; grant select, update on {database}.subscribers to {user}@127.0.0.1"
            ))
            .await;
        let mut url = url::Url::parse(&stand.url).unwrap();
        url.set_username(&user).unwrap();
        let found = errors(&config(url.as_str(), None), &given("1001")).await;
        stand.execute(&format!("drop user {user}@127.0.0.1")).await;
        assert!(
            found[0].starts_with("unigate_payment: ") && found[0].contains("denied"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("pay.sql[3]: ") && found[1].contains("denied"),
            "{found:?}"
        );
    })
    .await;
}

/// What MySQL would do without asking: keep what was rolled back, or end the transaction in the middle.
#[tokio::test]
async fn tables_and_procedures_that_cannot_be_rolled_back_are_found() {
    on(Backend::Mariadb, None, |stand| async move {
        let whole = config(&stand.url, None);
        stand.execute("alter table inbox engine = MyISAM").await;
        let found = worst(&whole, &given("1001")).await;
        assert!(
            found[0].starts_with("pay.sql[3]: uses the table inbox, whose engine cannot roll back"),
            "{found:?}"
        );
        is_untouched(&stand).await;
        stand.execute("alter table unigate_payment engine = Aria").await;
        let found = worst(&whole, &given("1001")).await;
        assert!(
            found[0].starts_with("unigate_payment: the table cannot be rolled back"),
            "{found:?}"
        );
        is_untouched(&stand).await;
        stand.execute("alter table unigate_payment engine = InnoDB").await;
        stand.execute("alter table inbox engine = InnoDB").await;
        stand.execute("create procedure hasty() begin commit; end").await;
        let mut calling = whole.clone();
        calling.pay.sql.0 = vec![StatementConfig {
            sql: "call hasty()".to_owned(),
            optional: true,
        }];
        let found = errors(&calling, &given("1001")).await;
        assert!(found[0].starts_with("pay.sql[1]: ended the transaction"), "{found:?}");
        is_untouched(&stand).await;
    })
    .await;
}
