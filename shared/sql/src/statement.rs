//! A statement of the configuration, made ready for one database: named parameters become numbered ones with a fixed
//! type, values are bound and never become text of a statement.
//!
//! Refused at start, not at the first payment: unknown names, several statements in one text, statements that would end
//! the transaction, and the databases' own placeholders, which nobody would bind.

use std::sync::Arc;

use domain::Invalid;

mod scanner;

use scanner::{Piece, Scanner};

/// Which database's SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite's.
    Sqlite,
    /// PostgreSQL's.
    Postgres,
    /// MariaDB's too.
    Mysql,
    /// Whatever the database behind an ODBC driver speaks.
    Odbc,
}

impl Dialect {
    /// Whether a parameter that is used twice is bound once. Some only count their placeholders.
    fn numbers_parameters(self) -> bool {
        matches!(self, Self::Sqlite | Self::Postgres)
    }

    /// Whether a procedure may end the transaction that called it, and with it keep what was done until then.
    pub fn calls_may_commit(self) -> bool {
        matches!(self, Self::Mysql | Self::Odbc)
    }
}

/// What a parameter is in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of 64 bits.
    Integer,
    /// Text.
    Text,
    /// A UUID where the database has such a type, else text.
    Uuid,
    /// A date and time, in the session's zone where the database keeps none.
    Moment,
    /// The same, kept as UTC.
    Utc,
    /// A decimal number with so many digits behind the point.
    Decimal {
        /// Behind the point.
        digits: u32,
    },
}

impl Kind {
    /// Whether its text is a moment.
    pub fn is_moment(self) -> bool {
        matches!(self, Self::Moment | Self::Utc)
    }
}

/// Which names a statement may use.
pub trait Vocabulary {
    /// What the parameter of this name is; `None` for one that is not known.
    fn kind_of(&self, name: &str) -> Option<Kind>;
    /// The names, for whoever used another.
    fn names(&self) -> String;
}

/// A parameter of a statement, in the order of its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Without the colon.
    pub name: String,
    /// What it is bound as.
    pub kind: Kind,
}

/// A statement ready to be run.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Where it stands in the configuration, for example `pay.sql[2]`.
    pub place: String,
    /// The text with numbered parameters.
    pub sql: Arc<str>,
    /// What is bound, in the order of the numbers.
    pub parameters: Vec<Parameter>,
    /// Whether it may touch no row.
    pub optional: bool,
}

/// What a statement may begin with: that it works on rows. Others would end or split the transaction that the journal
/// relies on, some of them without being asked to, as every definition of a table does in MySQL.
const FIRST_WORDS: [&str; 9] = [
    "select", "insert", "update", "delete", "replace", "merge", "with", "values", "call",
];

impl Statement {
    /// Whether it calls a procedure.
    pub fn is_call(&self) -> bool {
        self.sql
            .trim_start_matches(|c: char| c.is_whitespace() || c == '{')
            .get(..4)
            .is_some_and(|word| word.eq_ignore_ascii_case("call"))
    }

    /// Its words and signs in their order, in small letters: names without their quotes, strings with them, no comments.
    pub fn words(&self, dialect: Dialect) -> Vec<String> {
        let word = |piece| match piece {
            Piece::Comment(_) | Piece::Space(_) => None,
            Piece::Word(text) | Piece::Foreign(text) | Piece::Parameter(text) => Some(text.to_lowercase()),
            Piece::Semicolon => Some(";".to_owned()),
            Piece::Code(code) => {
                let is_name = code.len() > 1
                    && match code.as_bytes()[0] {
                        b'"' => dialect != Dialect::Mysql,
                        first => matches!(first, b'`' | b'['),
                    };
                let text = if is_name { &code[1..code.len() - 1] } else { code };
                Some(text.to_lowercase())
            }
        };
        Scanner::new(&self.sql, dialect)
            .filter_map(Result::ok)
            .filter_map(word)
            .collect()
    }

    /// Makes one statement ready.
    pub fn compile(place: &str, text: &str, dialect: Dialect, vocabulary: &dyn Vocabulary) -> Result<Self, Invalid> {
        let refused = |why: String| Invalid::new(place, why);
        let mut sql = String::with_capacity(text.len() + 32);
        let mut parameters: Vec<Parameter> = Vec::new();
        let mut first_word = None;
        let mut ended = false;
        for piece in Scanner::new(text, dialect) {
            let piece = piece.map_err(|why| refused(why.to_owned()))?;
            match piece {
                // The first word says what a statement is: nothing may stand in front of it.
                Piece::Comment(_) if first_word.is_none() => sql.push(' '),
                Piece::Comment(comment) => sql.push_str(comment),
                Piece::Space(space) => sql.push_str(space),
                Piece::Semicolon => ended = true,
                _ if ended => {
                    return Err(refused(
                        "holds more than one statement: put each into the list by itself".to_owned(),
                    ));
                }
                Piece::Code(code) => sql.push_str(code),
                Piece::Word(word) => {
                    first_word.get_or_insert(word);
                    sql.push_str(word);
                }
                Piece::Foreign(mark) => {
                    return Err(refused(format!(
                        "uses the placeholder {mark}: use names, {}",
                        vocabulary.names()
                    )));
                }
                Piece::Parameter(name) => {
                    let number = number_of(&mut parameters, name, vocabulary, dialect).ok_or_else(|| {
                        refused(format!(
                            "does not know the parameter :{name}: there are {}",
                            vocabulary.names()
                        ))
                    })?;
                    sql.push_str(&placeholder(dialect, number, parameters[number - 1].kind));
                }
            }
        }
        let first_word = first_word
            .ok_or_else(|| refused("is empty".to_owned()))?
            .to_ascii_lowercase();
        if !FIRST_WORDS.contains(&first_word.as_str()) {
            return Err(refused(format!(
                "begins with {first_word}: there may be {}; the transaction is kept for it",
                FIRST_WORDS.join(", ")
            )));
        }
        Ok(Self {
            place: place.to_owned(),
            sql: sql.into(),
            parameters,
            optional: false,
        })
    }
}

/// The number of a parameter, from 1. One that is used twice keeps its number, where the database has numbers; else it is
/// bound twice.
fn number_of(
    parameters: &mut Vec<Parameter>,
    name: &str,
    vocabulary: &dyn Vocabulary,
    dialect: Dialect,
) -> Option<usize> {
    if dialect.numbers_parameters()
        && let Some(index) = parameters.iter().position(|parameter| parameter.name == name)
    {
        return Some(index + 1);
    }
    let kind = vocabulary.kind_of(name)?;
    parameters.push(Parameter {
        name: name.to_owned(),
        kind,
    });
    Some(parameters.len())
}

/// Everything but an integer travels as text, and the database itself makes the type of it: exact, and the same type in
/// every statement, so the administrator knows where a cast is needed.
fn placeholder(dialect: Dialect, number: usize, kind: Kind) -> String {
    match (dialect, kind) {
        (Dialect::Sqlite, Kind::Decimal { .. }) => format!("cast(?{number} as numeric)"),
        (Dialect::Sqlite, _) => format!("?{number}"),
        (Dialect::Postgres, Kind::Integer) => format!("(${number}::bigint)"),
        (Dialect::Postgres, Kind::Text) => format!("(${number}::text)"),
        (Dialect::Postgres, Kind::Uuid) => format!("(${number}::text::uuid)"),
        (Dialect::Postgres, Kind::Moment | Kind::Utc) => format!("(${number}::text::timestamptz)"),
        (Dialect::Postgres, Kind::Decimal { .. }) => format!("(${number}::text::numeric)"),
        // What a driver binds has a type of its own.
        (Dialect::Odbc, _) => "?".to_owned(),
        (Dialect::Mysql, Kind::Integer | Kind::Text | Kind::Uuid) => "?".to_owned(),
        (Dialect::Mysql, Kind::Utc) => "cast(? as datetime(6))".to_owned(),
        // Into the session's zone, which is the one of the configuration.
        (Dialect::Mysql, Kind::Moment) => {
            "convert_tz(cast(? as datetime(6)), '+00:00', @@session.time_zone)".to_owned()
        }
        // As many digits in front as the largest amount has.
        (Dialect::Mysql, Kind::Decimal { digits }) => format!("cast(? as decimal({}, {digits}))", 16 + digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number;

    impl Vocabulary for Number {
        fn kind_of(&self, name: &str) -> Option<Kind> {
            (name == "number").then_some(Kind::Integer)
        }

        fn names(&self) -> String {
            ":number".to_owned()
        }
    }

    #[test]
    fn what_stands_before_the_first_word_hides_no_call() {
        for dialect in [Dialect::Mysql, Dialect::Odbc] {
            let compiled = |text: &str| Statement::compile("pay", text, dialect, &Number).unwrap();
            for call in [
                "call post(:number)",
                "/* billing */ CALL post(:number)",
                "-- ours\n/* twice */\n call post(:number) /* behind */",
                " { call post(:number) }",
                "/* a */{/* b */call post(:number)}",
            ] {
                assert!(compiled(call).is_call(), "{call}");
            }
            let other = compiled("/* call */ select 1 as one /* call */");
            assert!(!other.is_call());
            assert_eq!(&*other.sql, "  select 1 as one /* call */");
        }
    }
}
