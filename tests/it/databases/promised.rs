//! What `databases check-config` and `databases try` have found good is good at night too, and leaves nothing behind.

use super::books::{Backend, Books};
use super::commands::found;
use super::utility;
use crate::cli::{Files, done, failed, unigate};
use crate::faults::bare;

const LOOKED_UP: &str = "select name, debt as amount_due,";

/// `databases try` of a step of the utility.
fn trying<'a>(step: &'a str, file: &'a str) -> Vec<&'a str> {
    let account = ["--account", "1001", "--field", "meter_cold=130"];
    [&["databases", "try", "vodokanal", step, "--file", file][..], &account].concat()
}

#[tokio::test]
async fn a_column_of_a_type_that_is_not_read_is_found_before_a_payer_is() {
    let books = Books::utility(Backend::Postgres).await;
    books
        .script("create type mood as enum ('good'); alter table accounts add mood mood default 'good'")
        .await;
    let (world, files) = (bare().await, Files::new());
    let scenario = utility("vodokanal", books.url.as_str(), "");
    for (column, type_name) in [
        ("mood", "mood"),
        ("'{}'::json as x", "json"),
        ("interval '1 day' as x", "interval"),
        ("array[1] as x", "int4[]"),
    ] {
        let file = files.write(
            "unread.toml",
            &scenario.replace(LOOKED_UP, &format!("select {column}, name, debt as amount_due,")),
        );
        let errors = found(&world, &file, "error").await;
        let text = format!("of type {type_name}, which is not read: cast it to text, or leave it out");
        assert!(
            errors.len() == 1
                && errors[0].starts_with("databases.check.statement[0]: returns the column ")
                && errors[0].ends_with(&text),
            "{errors:?}"
        );
        assert_eq!(unigate(&world, &trying("check", &file)).await.code, Some(1), "{column}");
    }
    let read =
        "select 1::int2 as a, 1::int4 as b, 1::int8 as c, 1::float4 as d, 1::float8 as e, 1::numeric as f, now() as g,
        now()::timestamp as h, true as i, now()::date as j, gen_random_uuid() as k, 'x'::text as l, 'x'::varchar as m,
        'x'::char(2) as n, 'x'::name as o, 'x' as p, mood::text, name, debt as amount_due,";
    let file = files.write("read.toml", &scenario.replace(LOOKED_UP, &read.replace('\n', " ")));
    assert_eq!(found(&world, &file, "error").await, Vec::<String>::new());
    let fine = found(&world, &file, "ok").await;
    assert!(
        fine.iter().any(|line| line.contains("f (numeric), g (timestamptz)")),
        "{fine:?}"
    );
    done(&world, &trying("check", &file)).await;
}

#[tokio::test]
async fn a_date_of_zeros_is_none() {
    let books = Books::utility(Backend::Mariadb).await;
    books
        .script(
            "alter table accounts add closed_on date not null default '0000-00-00',
                 add closed_at datetime(6) not null default '0000-00-00 00:00:00';
             update accounts set closed_on = '2026-11-23', closed_at = '2026-11-23' where account = '1002'",
        )
        .await;
    let (world, files) = (bare().await, Files::new());
    let scenario = utility("vodokanal", books.url.as_str(), "")
        .replace(LOOKED_UP, "select closed_on, closed_at, name, debt as amount_due,")
        .replace(
            "when = [{ column = \"state\", is = [\"closed\"], then = \"refused: account_inactive\" }]",
            "when = [{ column = \"closed_on\", is_not = [\"-\"], then = \"refused: closed_then\" }]",
        );
    let file = files.write("zeros.toml", &scenario);
    let open = done(&world, &trying("check", &file)).await;
    assert!(open.stdout.contains("closed_at=null, closed_on=null"), "{open:?}");
    let closed = done(
        &world,
        &[
            "databases",
            "try",
            "vodokanal",
            "check",
            "--file",
            &file,
            "--account",
            "1002",
        ],
    )
    .await;
    assert!(closed.stdout.contains("reason: closed_then"), "{closed:?}");
}

#[tokio::test]
async fn a_procedure_that_is_not_there_or_takes_something_else_is_found() {
    let books = Books::utility(Backend::Mariadb).await;
    books
        .script(
            "create procedure enter(in p_number bigint, in p_amount decimal(12,2))
                 insert into payments (number, account, amount, paid_at) values (p_number, '1', p_amount, now(6))",
        )
        .await;
    let (world, files) = (bare().await, Files::new());
    let scenario = utility("vodokanal", books.url.as_str(), "");
    let begin = scenario.find("insert into payments").unwrap();
    let end = begin + scenario[begin..].find('"').unwrap();
    let here = books.url.path().trim_start_matches('/');
    for (call, wrong) in [
        ("call nosuch(:number, :amount)", Some("there is no procedure nosuch")),
        (
            "call nosuch.enter(:number, :amount)",
            Some("there is no procedure enter"),
        ),
        (
            "call enter(:number)",
            Some("the procedure enter takes 2 arguments, and is called with 1"),
        ),
        ("call Enter(:number, :amount)", None),
        (&*format!("call {here}.enter(:number, coalesce(:amount, 1))"), None),
    ] {
        let file = files.write(
            "call.toml",
            &format!("{}{call}{}", &scenario[..begin], &scenario[end..]),
        );
        let errors = found(&world, &file, "error").await;
        match wrong {
            Some(wrong) => assert!(
                errors.len() == 1 && errors[0].starts_with("databases.pay.statement[0]: ") && errors[0].contains(wrong),
                "{call}: {errors:?}"
            ),
            None => assert_eq!(errors, Vec::<String>::new(), "{call}"),
        }
    }
}

/// A step that may only look is tried where it may only look.
async fn only_looks(backend: Backend) {
    let books = Books::utility(backend).await;
    let (world, files) = (bare().await, Files::new());
    let scenario = utility("vodokanal", books.url.as_str(), "");
    let status = "select amount, cancelled from payments where number = :number";
    let writing = files.write(
        "writing.toml",
        &scenario.replace(status, "update payments set note = 'seen' where number = :number"),
    );
    let errors = found(&world, &writing, "error").await;
    let text = "databases.status.statement[0]: changes rows (update), and may only look here";
    assert!(errors.iter().any(|line| line == text), "{errors:?}");
    if backend != Backend::Sqlite {
        assert_eq!(unigate(&world, &trying("status", &writing)).await.code, Some(1));
    }
    let tried = done(&world, &trying("status", &files.write("whole.toml", &scenario))).await;
    assert!(
        tried.stdout.contains("status.statement[0]: 0 rows -> not_found"),
        "{tried:?}"
    );
    let always = scenario.replace(status, "select 1 as known");
    failed(
        &unigate(&world, &trying("status", &files.write("always.toml", &always))).await,
        1,
        "before anything was entered with it",
    );
    assert_eq!(books.count("select count(*) from payments").await, 0);
}

#[tokio::test]
async fn a_status_that_changes_rows_is_found_on_sqlite() {
    only_looks(Backend::Sqlite).await;
}

#[tokio::test]
async fn a_status_that_changes_rows_is_found_on_postgres() {
    only_looks(Backend::Postgres).await;
}

#[tokio::test]
async fn a_status_that_changes_rows_is_found_on_mariadb() {
    only_looks(Backend::Mariadb).await;
}

#[tokio::test]
async fn what_cannot_be_undone_is_not_tried_unless_somebody_says_so() {
    let books = Books::utility(Backend::Mariadb).await;
    let other = format!("{}_old", books.url.path().trim_start_matches('/'));
    books
        .script(&format!(
            "create database {other}; create table {other}.payments engine = MyISAM as select * from payments where 1 = 0"
        ))
        .await;
    let (world, files) = (bare().await, Files::new());
    let into_old = format!("insert into {other}.payments");
    let scenario = utility("vodokanal", books.url.as_str(), "").replace("insert into payments", &into_old);
    let file = files.write("old.toml", &scenario);
    let kept = format!("select count(*) from {other}.payments");
    let errors = found(&world, &file, "error").await;
    let refused = unigate(&world, &trying("pay", &file)).await;
    let before = books.count(&kept).await;
    let anyway = unigate(&world, &[trying("pay", &file), vec!["--anyway"]].concat()).await;
    let after = books.count(&kept).await;
    books.script(&format!("drop database {other}")).await;
    let text = format!("uses the table {other}.payments, whose engine cannot roll back");
    assert!(errors.len() == 1 && errors[0].contains(&text), "{errors:?}");
    failed(&refused, 1, &text);
    assert!(refused.stderr.contains("--anyway"), "{refused:?}");
    assert_eq!((before, after > 0), (0, true));
    assert!(
        anyway.stderr.contains(&text) && !anyway.stderr.contains("nothing of it was kept"),
        "{anyway:?}"
    );
}
