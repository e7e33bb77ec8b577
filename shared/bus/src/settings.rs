//! What the bus is told from outside. It reads no environment itself.

use std::path::PathBuf;

use secrecy::SecretString;

/// Where the broker is, and which part of it is ours.
#[derive(Clone, Debug)]
pub struct BusSettings {
    /// `amqp://user:password@host:port/vhost`, or `amqps://…` with the system's roots or [`ca_file`](Self::ca_file).
    pub url: SecretString,
    /// Prefix of every queue and exchange: several installations and tests can share a broker.
    pub namespace: String,
    /// The connection's name, as the broker's own tools show it.
    pub name: String,
    /// PEM file with certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether a starting process declares what is missing. Safe for many at once; off where the broker user may not.
    pub apply_topology: bool,
}
