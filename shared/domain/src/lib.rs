//! The trade itself: ids, money, texts, declarations, states and their legal transitions, and the plans that decide what
//! happens next (retry, delivery, register cut-offs, what a sale of a card means).
//!
//! Everything here is pure: no input or output, no async, no clock but the one passed in (and `clock::now` for what is not
//! judged). Past these types there is no bare `Uuid`, `i64` or `String` for an id, an amount or an account. What a rule
//! refuses, it refuses with an [`invalid::Invalid`] that names the field at fault by its path.

pub mod card;
pub mod clock;
pub mod date_format;
pub mod declaration;
pub mod delivery;
pub mod exchange;
pub mod fingerprint;
pub mod ids;
pub mod invalid;
pub mod letter;
pub mod limits;
pub mod line;
pub mod moment;
pub mod money;
pub mod parked;
pub mod payment;
pub mod receipt;
pub mod reconciliation;
pub mod register;
pub mod retry;
pub mod scenario;
pub mod template;
pub mod text;
pub mod vault;

pub use template::TemplateError;

pub use ids::{
    ActId, AttemptId, Number, ParkedId, PayeeId, PaymentId, ProductId, RegisterId, ReservationId, TerminalId,
};
pub use invalid::Invalid;
pub use money::{Amount, Currency, Fee};
pub use text::{Account, Fields, ReceiptNumber};
