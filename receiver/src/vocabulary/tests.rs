//! What is a parameter and what only looks like one.

use super::*;

const MINOR: Vocabulary = Vocabulary::Payment(Kind::Integer);
const DIALECTS: [Dialect; 3] = [Dialect::Sqlite, Dialect::Postgres, Dialect::Mysql];

fn compile(text: &str, dialect: Dialect) -> Result<(String, Vec<String>), String> {
    Statement::compile("pay.sql[1]", text, dialect, &MINOR)
        .map(|s| (s.sql.to_string(), s.parameters.into_iter().map(|p| p.name).collect()))
        .map_err(|invalid| invalid.to_string())
}

fn names(text: &str, dialect: Dialect) -> Vec<String> {
    compile(text, dialect).unwrap().1
}

#[test]
fn names_become_numbers_and_keep_them() {
    let text = "update s set balance = balance + :amount, last = :amount where account = :account";
    let (sqlite, parameters) = compile(text, Dialect::Sqlite).unwrap();
    assert_eq!(
        sqlite,
        "update s set balance = balance + ?1, last = ?1 where account = ?2"
    );
    assert_eq!(parameters, ["amount", "account"]);
    let (postgres, _) = compile(text, Dialect::Postgres).unwrap();
    assert!(
        postgres.ends_with("last = ($1::bigint) where account = ($2::text)"),
        "{postgres}"
    );
    let (mysql, parameters) = compile(text, Dialect::Mysql).unwrap();
    assert_eq!(mysql, "update s set balance = balance + ?, last = ? where account = ?");
    assert_eq!(parameters, ["amount", "amount", "account"], "MySQL only counts");
}

#[test]
fn types_are_fixed_by_the_name() {
    let text = "select :payment_id, :paid_at, :amount, :field_meter_cold, :fields";
    let decimal = Vocabulary::Payment(Kind::Decimal { digits: 2 });
    let postgres = Statement::compile("x", text, Dialect::Postgres, &decimal).unwrap();
    assert_eq!(
        &*postgres.sql,
        "select ($1::text::uuid), ($2::text::timestamptz), ($3::text::numeric), ($4::text), ($5::text)"
    );
    let sqlite = Statement::compile("x", text, Dialect::Sqlite, &decimal).unwrap();
    assert_eq!(&*sqlite.sql, "select ?1, ?2, cast(?3 as numeric), ?4, ?5");
    let mysql = Statement::compile("x", text, Dialect::Mysql, &decimal).unwrap();
    assert_eq!(
        &*mysql.sql,
        "select ?, convert_tz(cast(? as datetime(6)), '+00:00', @@session.time_zone), cast(? as decimal(18, 2)), ?, ?"
    );
    let known = |name: &str, vocabulary: Vocabulary| {
        Statement::compile("x", &format!("select :{name}"), Dialect::Mysql, &vocabulary)
    };
    assert!(known("reason", Vocabulary::Known(Kind::Integer)).is_ok());
    assert!(known("after", Vocabulary::Period).is_ok() && known("account", Vocabulary::Period).is_err());
}

#[test]
fn colons_elsewhere_are_left_alone() {
    let text = "select ':no', \"a:no\", x::text, :account::int, -- :no\n /* :no */ y";
    for dialect in DIALECTS {
        assert_eq!(names(text, dialect), ["account"]);
    }
    let postgres = r"select $$ :no $$, $t$ :no $$ $t$, e'it\' :no', '\', :account, a[1:2], /* /* :no */ :no */ data ? 'k', 'it''s :no'";
    assert_eq!(names(postgres, Dialect::Postgres), ["account"]);
    let sqlite = "select `:no`, [a:no], '\\', :account, 'Привет :no', имя -- :no";
    assert_eq!(names(sqlite, Dialect::Sqlite), ["account"]);
    let mysql = "select `:no`, 'it\\':no', \"\\\":no\", @last := 1, 5 --:account\n, # :no\n 1 -- :no";
    assert_eq!(
        names(mysql, Dialect::Mysql),
        ["account"],
        "two dashes without a space are two signs"
    );
}

#[test]
fn what_cannot_work_is_refused_at_start() {
    let refused = |text: &str| compile(text, Dialect::Sqlite).unwrap_err();
    assert!(refused("select :acount").contains("pay.sql[1]: does not know the parameter :acount"));
    assert!(
        refused("select :asked_at").contains("does not know"),
        "the journal's names are its own"
    );
    assert!(
        refused("select :reason").contains("does not know"),
        "only [cancel] has one"
    );
    assert!(refused("select :field_").contains("does not know"));
    assert!(refused("delete from a; delete from b").contains("more than one statement"));
    assert!(refused("select ?1").contains("placeholder ?1"));
    assert!(refused("select @account").contains("placeholder @account"));
    assert!(refused("select $account").contains("placeholder $account"));
    assert!(
        compile("select ?", Dialect::Mysql)
            .unwrap_err()
            .contains("placeholder ?")
    );
    for runs in ["select 1 /*! , :account */", "select 1 /*M!100100 , 2 */"] {
        assert!(
            compile(runs, Dialect::Mysql)
                .unwrap_err()
                .contains("comment that is run")
        );
    }
    assert!(
        compile("select $1", Dialect::Postgres)
            .unwrap_err()
            .contains("placeholder $1")
    );
    assert!(refused("select 'open").contains("not closed"));
    assert!(refused("select /* open").contains("not closed"));
    assert!(
        compile("select $x$ open", Dialect::Postgres)
            .unwrap_err()
            .contains("not closed")
    );
    for empty in ["", "  \n", "-- nothing", ";"] {
        assert!(refused(empty).contains("is empty"), "{empty:?}");
    }
    for word in [
        "COMMIT",
        "begin",
        "/* x */ Rollback",
        "set autocommit = 1",
        "create table x (y int)",
        "truncate x",
    ] {
        assert!(refused(word).contains("the transaction is kept for it"), "{word}");
    }
}

#[test]
fn a_last_semicolon_is_forgiven_and_odd_ends_do_no_harm() {
    assert_eq!(
        compile("select 1 ; -- done\n", Dialect::Sqlite).unwrap().0,
        "select 1  -- done\n"
    );
    for text in [
        "select $",
        "select :",
        "select -",
        "select /",
        "select e'",
        "я$",
        "select [я",
    ] {
        for dialect in DIALECTS {
            let _ = compile(text, dialect);
        }
    }
}
