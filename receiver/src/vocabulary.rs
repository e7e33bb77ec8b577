//! The names that statements of the configuration may use, and what each is in the database.

use domain::Invalid;
use domain::text::is_field_key;
use sql::{Dialect, Kind, Statement};

use crate::config::StatementConfig;

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

impl sql::Vocabulary for Vocabulary {
    fn kind_of(&self, name: &str) -> Option<Kind> {
        match (*self, name) {
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

    fn names(&self) -> String {
        let names = match self {
            Self::Known(_) => {
                ":number :payment_id :account :amount :currency :paid_at :fields :field_<name> :reason :provider_reference"
            }
            Self::Period => ":from :to :after :limit :currency",
            Self::Payment(_) | Self::Journal => {
                ":number :payment_id :account :amount :currency :paid_at :fields :field_<name>"
            }
        };
        names.to_owned()
    }
}

/// Makes every statement of a list ready; `place` is the list's place in the configuration.
pub(crate) fn compile_all(
    place: &str,
    statements: &[StatementConfig],
    dialect: Dialect,
    vocabulary: Vocabulary,
) -> Result<Vec<Statement>, Invalid> {
    let compile = |(index, config): (usize, &StatementConfig)| {
        let place = format!("{place}[{}]", index + 1);
        let statement = Statement::compile(&place, &config.sql, dialect, &vocabulary)?;
        Ok(Statement {
            optional: config.optional,
            ..statement
        })
    };
    statements.iter().enumerate().map(compile).collect()
}

#[cfg(test)]
mod tests;
