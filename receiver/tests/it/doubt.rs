//! Procedures of MySQL that end the transaction which they are called in: what they did may be there to stay. Such a number is
//! in doubt, and nothing is done about it until a person has looked.

use axum::Router;
use axum::http::StatusCode;
use contract::unikassa::{Pay, Request};
use receiver::config::StatementConfig;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::stand::{
    Backend, Probe, SECRET, Stand, cancel, metrics, on, payment, send_signed, send_to, short, status, wait_for,
};

/// What an administrator looks at, and the two ways to settle it: as README.md says.
const IN_DOUBT: &str = "select count(*) from unigate_payment where state = 'in_doubt'";
const WAS_ENTERED: &str =
    "update unigate_payment set state = 'accepted', refused_reason = null where number = 1 and state = 'in_doubt'";
const WAS_NOT: &str = "update unigate_payment set state = 'refused', refused_reason = 'not_entered' where number = 1 and state = 'in_doubt'";

/// Takes the rows of two accounts, one after the other; `handler` is what is declared about a deadlock.
fn book(handler: &str) -> String {
    format!(
        "create procedure book(in p_account varchar(300), in p_amount bigint)
         begin
             declare again int default 1;
             {handler}
             while again do
                 set again = 0;
                 update subscribers set balance = balance + p_amount where account = p_account;
                 update subscribers set name = name where account = '1002';
             end while;
         end"
    )
}

/// Commits what it finds, fails, undoes what it did itself and says that it refuses.
const HASTY: &str = "create procedure hasty(in p_number bigint)
    begin
        declare exit handler for sqlexception
        begin
            rollback;
            select 'not now' as refused_reason;
        end;
        start transaction;
        insert into inbox (number) values (p_number);
        insert into nowhere values (p_number);
        commit;
    end";

fn statements(list: &[&str]) -> Vec<StatementConfig> {
    let plain = |sql: &&str| StatementConfig {
        sql: (*sql).to_owned(),
        optional: true,
    };
    list.iter().map(plain).collect()
}

/// Nothing is done about number 1 and nothing told of it, and the balance stays. Only a question is answered: to the gateway an
/// answer to a payment says that others may be sent.
async fn is_in_doubt(stand: &Stand, router: &Router, pay: &Pay, balance: i64) {
    const DOUBT: &str = "the number is in doubt";
    let (code, answer) = send_to(router, &status(1)).await;
    assert_eq!((code, &answer["number"]), (StatusCode::OK, &"1".into()), "{answer}");
    let (result, reason) = short(&answer);
    assert!(result == "pending" && reason.starts_with(DOUBT), "{answer}");
    for request in [Request::Pay(pay.clone()), cancel(1, "never mind")] {
        let (code, answer) = send_to(router, &request).await;
        assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");
        assert!(answer["error"].as_str().unwrap().starts_with(DOUBT), "{answer}");
    }
    assert_eq!(stand.balance("1001").await, balance);
    assert_eq!(stand.number(IN_DOUBT).await, 1);
}

/// The same again, signed later.
async fn pay_later(router: &Router, pay: &Pay) -> (StatusCode, (String, String)) {
    let later = domain::clock::now().as_second() + 60;
    let body = Request::Pay(pay.clone()).to_body();
    let (code, answer) = send_signed(router, "/unikassa/pay", "pay-1", later, SECRET, body).await;
    (code, short(&answer))
}

/// Sends a payment that is made to lose a deadlock in the middle of `book`, and returns what is answered.
async fn deadlocked(stand: &Stand, router: &Router, pay: &Pay) -> (StatusCode, serde_json::Value) {
    let Probe::Mariadb(pool, _) = &stand.probe else {
        unreachable!()
    };
    // Whoever has changed less is undone.
    let rows: Vec<String> = (1..=200).map(|number| format!("({number})")).collect();
    let mut other = pool.acquire().await.unwrap();
    other.execute("begin").await.unwrap();
    let heavy = format!("insert into inbox (number) values {}", rows.join(","));
    other.execute(AssertSqlSafe(heavy)).await.unwrap();
    let lock = "update subscribers set name = name where account = ";
    other.execute(AssertSqlSafe(format!("{lock}'1002'"))).await.unwrap();
    let sent = tokio::spawn({
        let (router, pay) = (router.clone(), Request::Pay(pay.clone()));
        async move { send_to(&router, &pay).await }
    });
    let waiting = "select count(*) from information_schema.processlist
         where db = database() and info like 'update subscribers set name%'";
    wait_for("the procedure waits", || async { stand.number(waiting).await == 1 }).await;
    other.execute(AssertSqlSafe(format!("{lock}'1001'"))).await.unwrap();
    other.execute("rollback").await.unwrap();
    sent.await.unwrap()
}

#[tokio::test]
async fn a_procedure_that_goes_on_after_a_deadlock_does_not_credit_twice() {
    on(Backend::Mariadb, None, |stand| async move {
        stand
            .execute(&book("declare continue handler for 1213 set again = 1;"))
            .await;
        let (second, router) = stand.second(|config| config.pay.sql.0 = statements(&["call book(:account, :amount)"]));
        let pay = payment(1, "1001");
        let (code, answer) = deadlocked(&stand, &router, &pay).await;
        assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");
        // Nor is anything kept of what was done in no transaction of ours.
        is_in_doubt(&stand, &router, &pay, 500).await;
        let counted = metrics(&router).await;
        assert!(
            counted.contains(r#"unigate_receiver_requests_total{act="pay",result="in_doubt"} 2"#),
            "{counted}"
        );
        stand.execute(WAS_NOT).await;
        assert_eq!(
            short(&send_to(&router, &status(1)).await.1),
            ("refused".to_owned(), "not_entered".to_owned())
        );
        assert_eq!(pay_later(&router, &pay).await.1.0, "accepted");
        assert_eq!(stand.balance("1001").await, 15_500);
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_procedure_that_lost_a_deadlock_and_says_so_is_called_again() {
    on(Backend::Mariadb, None, |stand| async move {
        stand.execute(&book("")).await;
        let (second, router) = stand.second(|config| {
            config.pay.sql.0 = statements(&["call book(:account, :amount)", "insert into inbox (number) values (7)"]);
        });
        let (code, answer) = deadlocked(&stand, &router, &payment(1, "1001")).await;
        assert_eq!((code, &*short(&answer).0), (StatusCode::OK, "accepted"), "{answer}");
        assert_eq!(stand.balance("1001").await, 15_500);
        assert_eq!(stand.number("select count(*) from inbox").await, 1);
        second.close().await;
    })
    .await;
}

/// Undoes everything, keeps something of its own, and then waits for a row that it is not given.
const IMPATIENT: &str = "create procedure impatient(in p_number bigint)
    begin
        rollback;
        insert into inbox (number) values (p_number);
        commit;
        update subscribers set balance = balance + 1 where account = '1002';
    end";

#[tokio::test]
async fn a_procedure_that_was_not_given_a_lock_after_it_ended_the_transaction_is_not_called_again() {
    on(Backend::Mariadb, None, |stand| async move {
        stand.execute(IMPATIENT).await;
        // Half of the time is waited for a lock: there is room for another call.
        let (second, router) = stand.second(|config| {
            config.timeout_seconds = 6;
            config.pay.sql.0 = statements(&["call impatient(:number)"]);
        });
        let Probe::Mariadb(pool, _) = &stand.probe else {
            unreachable!()
        };
        let mut other = pool.acquire().await.unwrap();
        other.execute("begin").await.unwrap();
        other
            .execute("update subscribers set name = name where account = '1002'")
            .await
            .unwrap();
        let pay = payment(1, "1001");
        let (code, answer) = send_to(&router, &Request::Pay(pay.clone())).await;
        assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");
        other.execute("rollback").await.unwrap();
        assert_eq!(stand.number("select count(*) from inbox").await, 1);
        is_in_doubt(&stand, &router, &pay, 500).await;
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_procedure_that_commits_the_journal_and_undoes_its_own_loses_no_payment() {
    on(Backend::Mariadb, None, |stand| async move {
        stand.execute(HASTY).await;
        let update = "update subscribers set balance = balance + :amount where account = :account";
        let (second, router) = stand.second(|config| {
            config.pay.sql.0 = statements(&["call hasty(:number)", update]);
        });
        let pay = payment(1, "1001");
        let (code, answer) = send_to(&router, &Request::Pay(pay.clone())).await;
        assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("pay.sql[1]"), "{answer}");
        // The statement after it was not run.
        is_in_doubt(&stand, &router, &pay, 500).await;
        stand
            .execute(update.replace(":amount", "15000").replace(":account", "1001").as_str())
            .await;
        stand.execute(WAS_ENTERED).await;
        let told = send_to(&router, &Request::Pay(pay.clone())).await.1;
        assert_eq!(short(&told).0, "already_accepted");
        assert_eq!(stand.balance("1001").await, 15_500);
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_asked_about_a_number_in_doubt_costs_no_connection() {
    on(Backend::Mariadb, None, |stand| async move {
        stand.execute(HASTY).await;
        let (second, router) = stand.second(|config| {
            config.database.pool_size = 1;
            config.pay.sql.0 = statements(&["call hasty(:number)"]);
        });
        let Probe::Mariadb(pool, _) = &stand.probe else {
            unreachable!()
        };
        // All that came to this database after it is the receiver's.
        let mut looking = pool.acquire().await.unwrap();
        let mut connection = async || -> i64 {
            let sql =
                "select max(id) from information_schema.processlist where db = database() and id > connection_id()";
            sqlx::query_scalar(sql).fetch_one(&mut *looking).await.unwrap()
        };
        let pay = payment(1, "1001");
        send_to(&router, &Request::Pay(pay.clone())).await;
        send_to(&router, &status(1)).await;
        let before = connection().await;
        for request in [Request::Pay(pay.clone()), cancel(1, "never mind"), status(1), status(1)] {
            send_to(&router, &request).await;
            send_to(&router, &status(2)).await;
            assert_eq!(connection().await, before, "{request:?}");
        }
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_number_that_was_refused_before_is_in_doubt_all_the_same() {
    on(Backend::Mariadb, None, |stand| async move {
        stand.execute(HASTY).await;
        let pay = payment(1, "9999");
        assert_eq!(stand.pay(&pay).await.0, "refused");
        let (second, router) = stand.second(|config| config.pay.sql.0 = statements(&["call hasty(:number)"]));
        assert_eq!(pay_later(&router, &pay).await.0, StatusCode::INTERNAL_SERVER_ERROR);
        is_in_doubt(&stand, &router, &pay, 500).await;
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_a_procedure_has_taken_back_for_good_is_not_taken_back_twice() {
    on(Backend::Mariadb, None, |stand| async move {
        stand
            .execute(
                "create procedure take_back(in p_account varchar(300), in p_amount bigint)
                 begin
                     update subscribers set balance = balance - p_amount where account = p_account;
                     commit;
                     signal sqlstate '45000' set message_text = 'the printer is on fire';
                 end",
            )
            .await;
        let (second, router) = stand.second(|config| {
            let take_back = statements(&["call take_back(:account, :amount)"]);
            config.cancel.as_mut().unwrap().sql.0 = take_back;
        });
        let pay = payment(1, "1001");
        assert_eq!(
            short(&send_to(&router, &Request::Pay(pay.clone())).await.1).0,
            "accepted"
        );
        let (code, answer) = send_to(&router, &cancel(1, "a mistake")).await;
        assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");
        assert!(
            answer["error"].as_str().unwrap().contains("refused (45000)"),
            "{answer}"
        );
        is_in_doubt(&stand, &router, &pay, 500).await;
        second.close().await;
    })
    .await;
}

/// What is undone when a later statement refuses is all that was done before it, the calls too.
#[tokio::test]
async fn a_procedure_that_ends_nothing_is_undone_like_any_statement() {
    on(Backend::Mariadb, None, |stand| async move {
        stand.execute(&book("")).await;
        let update = "update subscribers set balance = balance + 1 where account = :account";
        for (number, refused, result, balance) in [(1, "'no'", "refused", 500), (2, "null", "accepted", 15_502)] {
            let asked = format!("select {refused} as refused_reason");
            let (second, router) = stand.second(|config| {
                config.pay.sql.0 = statements(&[update, "call book(:account, :amount)", update, &asked]);
            });
            let answer = send_to(&router, &Request::Pay(payment(number, "1001"))).await.1;
            assert_eq!(short(&answer).0, result, "{answer}");
            assert_eq!(stand.balance("1001").await, balance);
            second.close().await;
        }
    })
    .await;
}
