//! What the checked types of `domain` look like on the wire, limits included. `domain` knows no schemas, so each of its
//! types that crosses the wire has a stand-in here, with the same limits.

use std::borrow::Cow;

use domain::limits::{
    ACCOUNT_MAX, AMOUNT_MAX, FIELD_VALUE_MAX, FIELDS_MAX, REASON_MAX, RECEIPT_NUMBER_MAX, SERIAL_MAX,
};
use domain::payment::PaymentState;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::answer::Reason;

/// No control characters: neither U+0000 to U+001F nor U+007F to U+009F.
const NO_CONTROL: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// An id of a payee, product or terminal.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";
/// A key of `fields`.
const FIELD_KEY: &str = "^[a-z][a-z0-9_]{0,31}$";

macro_rules! wire_types {
    ($($(#[$doc:meta])* $name:ident => $schema:tt)+) => { $(
        $(#[$doc])*
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+ };
}

wire_types! {
    /// A UUID in the hyphenated form; the nil UUID is refused.
    Id => {
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"
    }
    /// An id of a payee, product or terminal.
    Name => { "type": "string", "pattern": NAME }
    /// Minor units, at least one.
    Amount => { "type": "integer", "minimum": 1, "maximum": AMOUNT_MAX }
    /// Minor units, or none.
    Fee => { "type": "integer", "minimum": 0, "maximum": AMOUNT_MAX }
    /// Minor units as a payee states them: nothing due, or an overpayment, is possible.
    Due => { "type": "integer", "minimum": -AMOUNT_MAX, "maximum": AMOUNT_MAX }
    /// A sum of amounts, which may be none.
    Total => { "type": "integer", "minimum": 0 }
    /// How many of something.
    Count => { "type": "integer", "minimum": 0 }
    /// An ISO 4217 code.
    Currency => { "type": "string", "pattern": "^[A-Z]{3}$" }
    /// RFC 3339 with an offset.
    Time => { "type": "string", "format": "date-time" }
    /// The payer's account with the payee.
    Account => { "type": "string", "minLength": 1, "maxLength": ACCOUNT_MAX, "pattern": NO_CONTROL }
    /// The number printed on the receipt.
    ReceiptNumber => { "type": "string", "maxLength": RECEIPT_NUMBER_MAX, "pattern": NO_CONTROL }
    /// A card's serial, as a terminal repeats it.
    Serial => { "type": "string", "maxLength": SERIAL_MAX, "pattern": NO_CONTROL }
    /// Why a payment is revoked.
    ReasonText => { "type": "string", "maxLength": REASON_MAX, "pattern": NO_CONTROL }
    /// A wish for a hold.
    HoldSeconds => { "type": "integer", "minimum": 1 }
    /// What the payer entered; `null` is as good as absent.
    Fields => {
        "type": "object",
        "maxProperties": FIELDS_MAX,
        "propertyNames": { "pattern": FIELD_KEY },
        "additionalProperties": {
            "type": ["string", "null"], "maxLength": FIELD_VALUE_MAX, "pattern": NO_CONTROL
        }
    }
    /// A card's details by name.
    Details => { "type": "object", "additionalProperties": { "type": "string" } }
    /// The payee's number of a payment.
    Number => { "type": "string", "pattern": "^[0-9]{1,20}$" }
    /// An ASCII-armoured age file.
    Sealed => { "type": "string", "pattern": "^-----BEGIN AGE ENCRYPTED FILE-----" }
    /// A state of a payment.
    State => { "type": "string", "enum": (PaymentState::ALL.map(PaymentState::as_str)) }
    /// A reason; more may come, and an unknown one means refused all the same.
    AnyReason => {
        "type": "string",
        "pattern": "^[a-z][a-z0-9_]*$",
        "examples": (Reason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>())
    }
}
