//! Why a value was refused, and which one. The only error of this crate's edge types: it names the field by its path
//! (`fields.meter_cold`, `register.time_zone`) and never repeats the value, which may be long, hostile or secret.

/// A value that was refused: the path of the field and a reason a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// The path of the field at fault, for example `register.mail_to[1]`.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub why: String,
}

impl Invalid {
    /// A refusal of `field` because of `why`.
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            why: why.into(),
        }
    }

    /// The same refusal seen from one level further out: `meter_cold` within `fields` is `fields.meter_cold`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = if self.field.is_empty() {
            parent.to_owned()
        } else if self.field.starts_with('[') {
            format!("{parent}{}", self.field)
        } else {
            format!("{parent}.{}", self.field)
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::Invalid;

    #[test]
    fn paths_grow_outwards() {
        let refused = Invalid::new("[1]", "is not an address")
            .within("mail_to")
            .within("register");
        assert_eq!(refused.to_string(), "register.mail_to[1]: is not an address");
        assert_eq!(Invalid::new("", "is empty").within("account").field, "account");
    }
}
