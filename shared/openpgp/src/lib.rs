//! OpenPGP messages to public keys: which keys may be encrypted to, and a writer that does it. AES-256 with a modification
//! check (SEIPD version 1), which every reader of the last twenty years opens. Binary, neither signed nor compressed: zip or
//! gzip before it are for that.

mod encrypting;
mod key;

pub use encrypting::Encrypting;
pub use key::PublicKey;
