//! The `[requisites]` of a payee: who it is to the tax office and where its bank account is. Registers and their names
//! carry them; nothing is decided by them.

use serde::{Deserialize, Serialize};

use super::{Findings, check_name};

/// All optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requisites {
    /// The taxpayer's number: 10 digits, or 12 of a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inn: Option<String>,
    /// The tax registration code: 9 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kpp: Option<String>,
    /// The settlement account: 20 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The bank's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bank: Option<String>,
    /// The bank's code: 9 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bik: Option<String>,
    /// The bank's correspondent account: 20 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corr_account: Option<String>,
}

impl Requisites {
    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        let mut digits = |field: &str, text: &Option<String>, lengths: &[usize], why: &str| {
            let fits = |text: &String| lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            found.refuse_if(text.as_ref().is_some_and(|text| !fits(text)), field, why);
        };
        digits("inn", &self.inn, &[10, 12], "must be 10 or 12 digits");
        digits("account", &self.account, &[20], "must be 20 digits");
        digits("bik", &self.bik, &[9], "must be 9 digits");
        digits("corr_account", &self.corr_account, &[20], "must be 20 digits");
        let kpp_fits = |kpp: &String| kpp.len() == 9 && kpp.bytes().all(|byte| byte.is_ascii_alphanumeric());
        found.refuse_if(
            self.kpp.as_ref().is_some_and(|kpp| !kpp_fits(kpp)),
            "kpp",
            "must be 9 digits or Latin letters",
        );
        if let Some(bank) = &self.bank {
            found.take(check_name("bank", bank));
        }
        found
    }
}
