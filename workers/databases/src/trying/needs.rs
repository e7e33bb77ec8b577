//! What a scenario's statements do to which tables, as far as their words say.

use std::collections::BTreeSet;

use sql::Dialect;

/// Words that may stand between what is done and the table it is done to.
const BETWEEN: [&str; 7] = [
    "into",
    "from",
    "only",
    "ignore",
    "low_priority",
    "high_priority",
    "delayed",
];
/// What changes rows, where a statement begins with it.
const WRITING: [&str; 5] = ["insert", "update", "delete", "replace", "merge"];

/// The word by which a statement changes rows, or locks them where that is no reading; `None` for one that only looks.
pub(super) fn writes(words: &[String], dialect: Dialect) -> Option<&str> {
    let first = words.first().map(String::as_str).unwrap_or_default();
    let begins = |at: usize| match first {
        "with" => matches!(words[at - 1].as_str(), "(" | ")"),
        _ => at == 0,
    };
    let locks = |at: usize| dialect == Dialect::Postgres && is_lock(words, at);
    let found = words.iter().enumerate().find(|(at, word)| {
        let is_verb = WRITING.contains(&word.as_str()) && (first != "with" || *at > 0) && begins(*at);
        // With a bracket behind it, it is a function.
        let is_function = *at > 0 && words.get(at + 1).is_some_and(|next| next == "(");
        is_verb && !is_function || locks(*at)
    });
    found.map(|(_, word)| word.as_str())
}

/// `for update`, `for no key update`, `for share`, `for key share`.
fn is_lock(words: &[String], at: usize) -> bool {
    let before = |steps: usize| at.checked_sub(steps).map_or("", |at| words[at].as_str());
    matches!(words[at].as_str(), "update" | "share")
        && (before(1) == "for" || before(1) == "key" && (before(2) == "for" || before(3) == "for"))
}

/// What is done to a table that a statement names, in the words of rights; nothing to one that it does not name.
pub(super) fn done_to(words: &[String], table: &str) -> BTreeSet<&'static str> {
    let table = table.to_lowercase();
    let mut done = BTreeSet::new();
    if !words.contains(&table) {
        return done;
    }
    done.insert("select");
    let mut is_target = false;
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", |before| words[before].as_str());
        let among = |ends: &[&str]| {
            let rest = words[at + 1..].iter();
            rest.take_while(|word| !ends.contains(&word.as_str()))
                .any(|word| *word == table)
        };
        match word.as_str() {
            "insert" | "replace" | "merge" if target(words, at) == Some(&table) => {
                is_target = true;
                done.insert("insert");
                if word != "insert" {
                    done.insert("delete");
                }
                if word == "merge" {
                    done.insert("update");
                }
            }
            "update" | "share" if is_lock(words, at) => _ = done.insert("update"),
            // On a conflict, or on a duplicate key.
            "update" if matches!(before, "do" | "key") => _ = is_target && done.insert("update"),
            "update" if among(&["set"]) => _ = done.insert("update"),
            "delete" if among(&["where", "using", "returning"]) => _ = done.insert("delete"),
            _ => {}
        }
    }
    done
}

/// The table that an insert is into, without its schema.
fn target(words: &[String], verb: usize) -> Option<&String> {
    let mut at = verb + 1;
    while words.get(at).is_some_and(|word| BETWEEN.contains(&word.as_str())) {
        at += 1;
    }
    // SQLite's `insert or replace into`.
    if words.get(at).is_some_and(|word| word == "or") {
        at += 3;
    }
    while words.get(at + 1).is_some_and(|word| word == ".") {
        at += 2;
    }
    words.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(sql: &str, dialect: Dialect) -> Vec<String> {
        let statement = sql::Statement {
            place: String::new(),
            sql: sql.into(),
            parameters: Vec::new(),
            optional: false,
        };
        statement.words(dialect)
    }

    #[test]
    fn what_changes_rows_is_no_looking() {
        let by = |sql: &str| writes(&words(sql, Dialect::Postgres), Dialect::Postgres).map(str::to_owned);
        for (sql, verb) in [
            ("update payments set seen = true", "update"),
            ("  Replace into t values (1)", "replace"),
            ("with gone as (delete from t returning n) select n from gone", "delete"),
            ("with one as (select 1 as n) insert into t select n from one", "insert"),
            ("select n from t for update", "update"),
            ("select n from t for no key update", "update"),
        ] {
            assert_eq!(by(sql).as_deref(), Some(verb), "{sql}");
        }
        for sql in [
            "select replace(name, 'update', 'delete') as name from t",
            "with one as (select 'insert' as update) select update from one /* delete */",
            "call update_balance($1)",
        ] {
            assert_eq!(by(sql), None, "{sql}");
        }
        let locking = words("select n from t for update", Dialect::Mysql);
        assert_eq!(writes(&locking, Dialect::Mysql), None);
    }

    #[test]
    fn of_each_table_it_is_known_what_is_done_to_it() {
        let done = |sql: &str, table: &str| {
            let words = words(sql, Dialect::Mysql);
            done_to(&words, table).into_iter().collect::<Vec<_>>().join(" ")
        };
        let moved = "insert ignore into billing.`Payments` (n) select n from accounts where note = 'salaries'";
        assert_eq!(done(moved, "Payments"), "insert select");
        assert_eq!(done(moved, "accounts"), "select");
        assert_eq!(done(moved, "salaries"), "");
        assert_eq!(
            done("insert into t (n) values (1) on duplicate key update n = 2", "t"),
            "insert select update"
        );
        assert_eq!(done("replace into t values (1)", "t"), "delete insert select");
        assert_eq!(
            done("update a join b on a.n = b.n set a.n = (select n from c)", "b"),
            "select update"
        );
        assert_eq!(done("update a set n = (select n from c)", "c"), "select");
        assert_eq!(done("delete from a where n in (select n from b)", "a"), "delete select");
        assert_eq!(done("delete from a where n in (select n from b)", "b"), "select");
        assert_eq!(done("select n from a for update", "a"), "select update");
        assert_eq!(
            done(
                "insert into a (n) select n from b on conflict (n) do update set n = 1",
                "b"
            ),
            "select"
        );
    }
}
