//! The numbers of the contract and of the database schema, in one place. Nothing here is a setting: settings live in
//! `runtime::settings` and take some of these as their defaults.

/// The largest message that is read; anything longer is `invalid_request`.
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;
/// The largest answer of a payee that is read; anything longer is unreadable, hence a *maybe*.
pub const PAYEE_ANSWER_MAX_BYTES: usize = 64 * 1024;
/// How deep JSON from outside may nest.
pub const JSON_MAX_DEPTH: usize = 32;
/// How many entries `fields` may have.
pub const FIELDS_MAX: usize = 32;
/// The longest key in `fields`, in characters (all of them ASCII).
pub const FIELD_KEY_MAX: usize = 32;
/// The longest value in `fields`, in characters.
pub const FIELD_VALUE_MAX: usize = 500;
/// The longest account, in characters.
pub const ACCOUNT_MAX: usize = 200;
/// The longest receipt number, in characters.
pub const RECEIPT_NUMBER_MAX: usize = 64;
/// The longest free text a terminal sends (a reason of a revocation), in characters.
pub const REASON_MAX: usize = 500;
/// The longest serial of a card, in characters.
pub const SERIAL_MAX: usize = 200;
/// The longest id of a payee, product or terminal, in characters (all of them ASCII).
pub const NAME_ID_MAX: usize = 63;
/// The largest amount in minor units: every JSON reader holds it exactly (2^53 - 1).
pub const AMOUNT_MAX: i64 = 9_007_199_254_740_991;
/// How old `paid_at` may be at acceptance, in days; identities are kept at least this long.
pub const REPLAY_WINDOW_DAYS: u32 = 400;
/// How many messages are handled in one transaction, and how many items one event carries.
pub const BATCH_MAX: usize = 256;
/// The longest wait before a payee is called again that `Retry-After` can ask for, in seconds.
pub const RETRY_AFTER_MAX_SECONDS: u32 = 3600;
/// The longest a payee's answer is waited for, in seconds.
pub const TIMEOUT_MAX_SECONDS: u32 = 60;
/// The most calls at a time to one payee.
pub const CONCURRENCY_MAX: u32 = 1000;
