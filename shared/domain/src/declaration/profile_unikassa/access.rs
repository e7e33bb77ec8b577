//! Who we are to a payee, and how we know that it is the payee: what stands in its profile besides the signature. Nothing is
//! followed or parsed here; that is the caller's, since only its process has the variables and files.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{Findings, SecretRef};
use crate::invalid::Invalid;
use crate::text::no_control;

/// The longest name of a user, in characters.
const USER_MAX: usize = 200;

/// HTTP Basic authentication, sent with every request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The name; without a colon (RFC 7617).
    pub user: String,
    /// The password.
    pub password: SecretRef,
}

/// The certificate we show to a payee that asks for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// PEM: the certificate, and those between it and its root.
    pub certificate: SecretRef,
    /// PEM: its private key, not encrypted.
    pub key: SecretRef,
}

impl BasicAuth {
    pub(super) fn check(&self) -> Findings {
        let mut found = Findings::default();
        found.refuse_if(
            self.user.is_empty() || self.user.contains(':'),
            "user",
            "must not be empty, and has no colon",
        );
        found.take(no_control("user", &self.user, USER_MAX));
        found
    }
}

/// PEM goes over several lines, which a value in a declaration does not: it is always somewhere else.
pub(super) fn check_reference(field: &str, reference: &SecretRef) -> Result<(), Invalid> {
    if reference.is_reference() {
        Ok(())
    } else {
        Err(Invalid::new(field, "must refer to PEM by file:PATH or env:NAME"))
    }
}

/// Where a payee's declaration may hold a secret as a value.
const SECRET_PLACES: [&str; 8] = [
    "/databases/url",
    "/databases/read_url",
    "/unikassa/secret",
    "/unikassa/previous_secret",
    "/unikassa/basic/password",
    "/unikassa/client_certificate/certificate",
    "/unikassa/client_certificate/key",
    "/register/mail/relay_password",
];

/// Masks secrets that stand in a payee's declaration as a value; references to them stay readable. For whatever is shown
/// or kept besides the declaration itself.
pub fn mask_secrets(declaration: &mut Value) {
    for place in SECRET_PLACES {
        if let Some(value) = declaration.pointer_mut(place)
            && let Some(text) = value.as_str()
        {
            // What is no reference at all is masked too.
            let shown =
                SecretRef::parse(text).map_or_else(|_| SecretRef::MASK.to_owned(), |it| it.redacted().to_owned());
            *value = Value::from(shown);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_secret_given_as_a_value_is_masked_and_no_reference_is() {
        let mut declared = json!({"id": "isp", "unikassa": {
            "secret": "whsec_aaaa", "previous_secret": "env:OLD", "basic": {"user": "u", "password": "pass-word"},
            "client_certificate": {"certificate": "file:/c.pem", "key": "env:KEY"}, "ca": "file:/ca.pem"}});
        mask_secrets(&mut declared);
        assert_eq!(
            declared["unikassa"],
            json!({"secret": "(secret)", "previous_secret": "env:OLD", "basic": {"user": "u", "password": "(secret)"},
                "client_certificate": {"certificate": "file:/c.pem", "key": "env:KEY"}, "ca": "file:/ca.pem"})
        );
        let mut without = json!({"id": "water", "register": {}});
        mask_secrets(&mut without);
        assert_eq!(without, json!({"id": "water", "register": {}}));
    }
}
