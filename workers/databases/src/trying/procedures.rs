//! Procedures of MySQL and MariaDB, which prepare a call of one that is not there.

use sql::{Database, DatabaseError, Dialect, Statement};

use crate::catalogue;

/// The procedure of a name, in a schema or where statements are run, and how many arguments it takes.
const PROCEDURE: &str = "select (select count(*) from information_schema.parameters p
          where p.specific_schema = r.routine_schema and p.specific_name = r.specific_name and p.ordinal_position > 0
            and p.routine_type = r.routine_type) as arguments
      from information_schema.routines r
      where r.routine_type = 'PROCEDURE' and r.routine_schema = coalesce(?, database()) and lower(r.routine_name) = ?
      order by 1";

/// What is wrong with a call, if anything is.
pub(super) async fn look(database: &Database, statement: &Statement) -> Result<Option<String>, DatabaseError> {
    if database.dialect() != Dialect::Mysql || !statement.is_call() {
        return Ok(None);
    }
    let words = statement.words(Dialect::Mysql);
    let Some(call) = Call::of(&words) else {
        return Ok(None);
    };
    let found = catalogue::rows_of(database, PROCEDURE, &[call.schema, Some(call.name)]).await?;
    let taken: Vec<i64> = found.iter().filter_map(|row| row.integer("arguments")).collect();
    let name = call.name;
    Ok(match taken.first() {
        None => Some(format!(
            "there is no procedure {name}, or this account may not execute it"
        )),
        Some(taken) if *taken != call.arguments => Some(format!(
            "the procedure {name} takes {taken} arguments, and is called with {}",
            call.arguments
        )),
        Some(_) => None,
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Call<'a> {
    schema: Option<&'a str>,
    name: &'a str,
    arguments: i64,
}

impl<'a> Call<'a> {
    fn of(words: &'a [String]) -> Option<Self> {
        let word = |at: usize| words.get(at).map(String::as_str);
        let (schema, name, rest) = match (word(1)?, word(2)) {
            (schema, Some(".")) => (Some(schema), word(3)?, words.get(4..)?),
            (name, _) => (None, name, words.get(2..)?),
        };
        let (mut depth, mut arguments, mut any) = (0, 1, false);
        for sign in rest {
            match sign.as_str() {
                "(" => depth += 1,
                ")" => depth -= 1,
                "," if depth == 1 => arguments += 1,
                _ => {}
            }
            any |= depth > 1 || depth == 1 && sign != "(";
        }
        Some(Self {
            schema,
            name,
            arguments: if any { arguments } else { 0 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_their_arguments() {
        let call = |sql: &str| {
            let sql = sql.into();
            let (place, parameters, optional) = (String::new(), Vec::new(), false);
            let statement = Statement {
                place,
                sql,
                parameters,
                optional,
            };
            let words = statement.words(Dialect::Mysql);
            Call::of(&words).map(|call| (call.schema.map(str::to_owned), call.name.to_owned(), call.arguments))
        };
        let named = |name: &str, arguments| Some((None, name.to_owned(), arguments));
        assert_eq!(call("call post"), named("post", 0));
        assert_eq!(call("call post()"), named("post", 0));
        assert_eq!(call("CALL `Post`('a, b')"), named("post", 1));
        assert_eq!(
            call("call post(?, cast(? as decimal(26, 2)), ifnull(?, 1))"),
            named("post", 3)
        );
        assert_eq!(
            call("call billing.post(?, ?)"),
            Some((Some("billing".to_owned()), "post".to_owned(), 2))
        );
    }
}
