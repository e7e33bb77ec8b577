//! A statement of the configuration, made ready for one database: named parameters become numbered ones with a fixed
//! type, values are bound and never become text of a statement.
//!
//! Refused at start, not at the first payment: unknown names, several statements in one text, statements that would end
//! the transaction, and the databases' own placeholders, which nobody would bind.

use std::sync::Arc;

use domain::Invalid;
use domain::text::is_field_key;

use crate::config::StatementConfig;

mod scanner;

use scanner::{Piece, Scanner};

/// Which database's SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
    /// MariaDB's too.
    Mysql,
}

/// What a parameter is in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Text,
    Uuid,
    Moment,
    /// A moment for the receiver's own table, which keeps UTC.
    Utc,
    /// A decimal number with so many digits behind the point.
    Decimal {
        digits: u32,
    },
}

impl Kind {
    /// Whether its text is a moment.
    pub(crate) fn is_moment(self) -> bool {
        matches!(self, Self::Moment | Self::Utc)
    }
}

/// Which names a statement may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vocabulary {
    /// `[check]` and `[pay]` of the configuration; amounts are of this kind.
    Payment(Kind),
    /// `[cancel]` and `[status]`, about a payment that is known already.
    Known(Kind),
    /// `[list]`, about a period.
    Period,
    /// The receiver's own statements about its journal.
    Journal,
}

/// A parameter of a statement, in the order of its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// A statement ready to be run.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// Where it stands in the configuration, for example `pay.sql[2]`.
    pub(crate) place: String,
    /// The text with numbered parameters.
    pub(crate) sql: Arc<str>,
    /// What is bound, in the order of the numbers.
    pub(crate) parameters: Vec<Parameter>,
    /// Whether it may touch no row.
    pub(crate) optional: bool,
}

/// What a statement may begin with: that it works on rows. Others would end or split the transaction that the journal
/// relies on, some of them without being asked to, as every definition of a table does in MySQL.
const FIRST_WORDS: [&str; 9] = [
    "select", "insert", "update", "delete", "replace", "merge", "with", "values", "call",
];

impl Vocabulary {
    fn kind_of(self, name: &str) -> Option<Kind> {
        match (self, name) {
            (Self::Period, "after" | "limit") => Some(Kind::Integer),
            (Self::Period, "from" | "to") => Some(Kind::Moment),
            (Self::Period, "currency") => Some(Kind::Text),
            (Self::Period, _) => None,
            (_, "number") => Some(Kind::Integer),
            (_, "payment_id") => Some(Kind::Uuid),
            (_, "account" | "currency" | "fields") => Some(Kind::Text),
            (Self::Payment(amount) | Self::Known(amount), "amount") => Some(amount),
            (Self::Payment(_) | Self::Known(_), "paid_at") => Some(Kind::Moment),
            (Self::Known(_) | Self::Journal, "reason" | "provider_reference") => Some(Kind::Text),
            (Self::Journal, "amount" | "asked_at" | "after" | "limit") => Some(Kind::Integer),
            (Self::Journal, "paid_at" | "from" | "to") => Some(Kind::Utc),
            (Self::Payment(_) | Self::Known(_), field) => field
                .strip_prefix("field_")
                .filter(|key| is_field_key(key))
                .map(|_| Kind::Text),
            _ => None,
        }
    }

    fn names(self) -> &'static str {
        match self {
            Self::Known(_) => {
                ":number :payment_id :account :amount :currency :paid_at :fields :field_<name> :reason :provider_reference"
            }
            Self::Period => ":from :to :after :limit :currency",
            Self::Payment(_) | Self::Journal => {
                ":number :payment_id :account :amount :currency :paid_at :fields :field_<name>"
            }
        }
    }
}

impl Statement {
    /// Makes every statement of a list ready; `place` is the list's place in the configuration.
    pub(crate) fn compile_all(
        place: &str,
        statements: &[StatementConfig],
        dialect: Dialect,
        vocabulary: Vocabulary,
    ) -> Result<Vec<Self>, Invalid> {
        let compile = |(index, config): (usize, &StatementConfig)| {
            let place = format!("{place}[{}]", index + 1);
            let statement = Self::compile(&place, &config.sql, dialect, vocabulary)?;
            Ok(Self {
                optional: config.optional,
                ..statement
            })
        };
        statements.iter().enumerate().map(compile).collect()
    }

    /// Makes one statement ready.
    pub(crate) fn compile(place: &str, text: &str, dialect: Dialect, vocabulary: Vocabulary) -> Result<Self, Invalid> {
        let refused = |why: String| Invalid::new(place, why);
        let mut sql = String::with_capacity(text.len() + 32);
        let mut parameters: Vec<Parameter> = Vec::new();
        let mut first_word = None;
        let mut ended = false;
        for piece in Scanner::new(text, dialect) {
            let piece = piece.map_err(|why| refused(why.to_owned()))?;
            match piece {
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
                "begins with {first_word}: there may be {}; the receiver keeps the transaction itself",
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

/// The number of a parameter, from 1. One that is used twice keeps its number, where the database has numbers; MySQL only
/// counts, so there it is bound twice.
fn number_of(parameters: &mut Vec<Parameter>, name: &str, vocabulary: Vocabulary, dialect: Dialect) -> Option<usize> {
    if dialect != Dialect::Mysql
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
mod tests;
