//! What anybody would take for the same file: `psql`, `zip` and `age`, as Debian has them.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use secrecy::ExposeSecret;
use tokio::process::Command;

use crate::bench::ground::Ground;

/// The columns of the register, in its order.
const COPY: &str = "COPY (SELECT number, accepted_at, paid_at, account, amount, currency, receipt_number, fields->>'payer', \
     fields->>'meter_cold' FROM payment ORDER BY position) TO STDOUT (FORMAT csv, DELIMITER ';', HEADER)";

/// Whom the benchmark's registers are encrypted to. The key itself is forgotten at once.
pub(super) fn recipient() -> String {
    age::x25519::Identity::generate().to_public().to_string()
}

/// Whether all of them are there.
pub(super) fn check() -> anyhow::Result<()> {
    for tool in ["psql", "zip", "age", "bash"] {
        let found = std::process::Command::new(tool)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if found.is_err() {
            bail!("`{tool}` is missing, which the register is compared with: `scripts/tools bench` installs it");
        }
    }
    Ok(())
}

/// Seconds of the COPY alone.
pub(super) async fn copy(ground: &Ground) -> anyhow::Result<f64> {
    pipe(ground, "").await
}

/// Seconds of the COPY, compressed at level 6 and encrypted.
pub(super) async fn copy_zip_age(ground: &Ground) -> anyhow::Result<f64> {
    pipe(ground, &format!("| zip -q -6 | age -r {}", recipient())).await
}

async fn pipe(ground: &Ground, then: &str) -> anyhow::Result<f64> {
    let script = format!("set -o pipefail; psql --no-psqlrc --quiet \"$0\" -c \"$1\" {then} > /dev/null");
    let begun = Instant::now();
    let status = Command::new("bash")
        .args(["-c", &script, ground.settings.store.url.expose_secret(), COPY])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .context("bash")?;
    ensure!(status.success(), "the bound's `{script}` ended with {status}");
    Ok(begun.elapsed().as_secs_f64())
}
