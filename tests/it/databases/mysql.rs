//! What only MySQL and MariaDB do: procedures that end the transaction they are called in, and moments that say no zone.

use serde_json::json;

use super::books::{Backend, Books};
use super::commands::found;
use super::faults::endings;
use super::{WORKERS, payment, utility};
use crate::cli::{Files, failed, unigate};
use crate::fixtures::new_id;
use crate::world::World;

/// Enters a payment for good, whatever becomes of who calls it, and tells of no row.
const POST: &str =
    "create procedure post_payment(in p_number bigint, in p_account varchar(200), in p_amount decimal(12,2))
    begin
        start transaction;
        insert into payments (number, account, amount, paid_at) values (p_number, p_account, p_amount, now(6));
        update accounts set debt = debt - p_amount where account = p_account;
        commit;
    end";

/// Takes one back in the same way.
const TAKE_BACK: &str = "create procedure take_back(in p_number bigint)
    begin
        start transaction;
        update payments set cancelled = 1 where number = p_number;
        commit;
    end";

/// What a procedure has kept is never told as refused: it is a *maybe*, and comes out as what the payee has.
async fn is_entered_once(before: &str) {
    let books = Books::utility(Backend::Mariadb).await;
    books.script(POST).await;
    books.script(TAKE_BACK).await;
    let scenario = utility("vodokanal", books.url.as_str(), "");
    let begin = scenario.find("[[databases.pay.statement]]").unwrap();
    let end = scenario.find("[[databases.list.statement]]").unwrap();
    let calling = format!(
        "[[databases.pay.statement]]
         sql = \"{before}call post_payment(:number, :account, :amount)\"
         unique = true
         [[databases.status.statement]]
         sql = \"select amount, cancelled from payments where number = :number\"
         when = [{{ column = \"cancelled\", is = [\"1\"], then = \"cancelled\" }}]
         [[databases.cancel.statement]]
         sql = \"{before}call take_back(:number)\"
         [[databases.cancel.statement]]
         sql = \"select 1 as taken from payments where number = :number and cancelled = 0\"
         none = \"not_found\"
         "
    );
    let scenario = format!("{}{calling}{}", &scenario[..begin], &scenario[end..]);
    let (world, files) = (World::start(&WORKERS).await, Files::new());
    let file = files.write("vodokanal.toml", &scenario);
    assert_eq!(found(&world, &file, "error").await, Vec::<String>::new());
    world.payee(&scenario).await;
    let id = new_id();
    let told = payment(&id, "vodokanal", "1001", &json!({"meter_cold": "130"}));
    assert_eq!(world.tell("payment.accepted", &told).await["outcome"], "accepted");
    world.reaches(&id, "delivered").await;
    assert_eq!(endings(&world, &id).await, ["pay maybe", "pay answered"]);
    assert_eq!(books.count("select count(*) from payments").await, 1);
    let debt = "select count(*) from accounts where account = '1001' and debt = 1100.40";
    assert_eq!(books.count(debt).await, 1);
    // It is taken back by a procedure that keeps it so, and then says that it knows nothing of it: status knows.
    world
        .sql("UPDATE payment SET state = 'unknown', next_act = NULL, due_at = NULL, maybes = 1, generation = generation + 1")
        .await;
    let revoke = json!({"payment_id": id, "terminal": "T-0001", "reason": "a mistake"});
    assert_eq!(world.tell("payment.revoke", &revoke).await["outcome"], "revoking");
    world.reaches(&id, "revoked").await;
    assert_eq!(endings(&world, &id).await.last().unwrap(), "cancel answered");
    assert_eq!(
        books.count("select count(*) from payments where cancelled = 1").await,
        1
    );
    // Who tries it is told that it stays.
    let attempt = [
        "databases",
        "try",
        "vodokanal",
        "pay",
        "--file",
        &file,
        "--account",
        "1002",
    ];
    failed(
        &unigate(&world, &attempt).await,
        1,
        "a procedure has ended the transaction",
    );
    assert_eq!(books.count("select count(*) from payments").await, 2);
    world.stop().await;
}

#[tokio::test]
async fn what_a_committing_procedure_entered_is_delivered_and_not_refused() {
    is_entered_once("").await;
}

#[tokio::test]
async fn a_comment_in_front_of_a_call_changes_nothing_of_that() {
    is_entered_once("/* billing */ -- ours\\n ").await;
}

#[tokio::test]
async fn a_moment_of_a_row_is_the_same_moment_when_it_is_used_again() {
    let books = Books::utility(Backend::Mariadb).await;
    books
        .script(
            "alter table accounts add opened datetime(6) not null default '2026-11-23 10:02:11.5';
             alter table payments add opened datetime(6)",
        )
        .await;
    let more = "time_zone = \"Europe/Moscow\"";
    let scenario = utility("vodokanal", books.url.as_str(), more)
        .replace("types = { meter_cold", "types = { opened = \"moment\", meter_cold")
        .replace("note) values", "note, opened) values")
        .replace(":tariff)", ":tariff, :opened)")
        .replacen(
            "[[databases.pay.statement]]",
            "[[databases.pay.statement]]
             sql = \"select opened from accounts where account = :account\"
             [[databases.pay.statement]]",
            1,
        );
    let world = World::start(&WORKERS).await;
    world.payee(&scenario).await;
    let id = super::pay(&world, "vodokanal", "1001").await;
    world.reaches(&id, "delivered").await;
    let kept = "select concat(opened, '|', paid_at) from payments";
    let paid_at = "SELECT to_char(paid_at AT TIME ZONE 'Europe/Moscow', 'YYYY-MM-DD HH24:MI:SS.US') FROM payment";
    assert_eq!(
        books.value(kept).await,
        format!("2026-11-23 10:02:11.500000|{}", world.value(paid_at).await)
    );
    world.stop().await;
}

#[tokio::test]
async fn a_date_of_zeros_is_null_with_a_time_too() {
    let books = Books::utility(Backend::Mariadb).await;
    books
        .script(
            "alter table accounts add opened datetime;
             set session sql_mode = '';
             update accounts set opened = '0000-00-00 12:30:00'",
        )
        .await;
    assert_eq!(
        books.value("select cast(opened as char) from accounts limit 1").await,
        "0000-00-00 12:30:00"
    );
    let world = World::start(&WORKERS).await;
    let scenario = utility("vodokanal", books.url.as_str(), "");
    world
        .payee(&scenario.replace("select name, debt", "select opened, name, debt"))
        .await;
    let fields = json!({"meter_cold": "200"});
    let answer = world
        .ask("payment.check", &super::check("vodokanal", "1001", &fields))
        .await;
    assert_eq!(answer["outcome"], "payable", "{answer}");
    world.stop().await;
}
