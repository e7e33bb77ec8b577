//! The executable `unigate`. What it does is in the library, where tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The one place that chooses who does the cryptography of TLS, for everybody in this process.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a provider of TLS cryptography was there already");
    }
    unigate::main()
}
