//! `bench registers`: a register of a million payments beside what the usual tools take for the same file, and ten thousand
//! small ones that are all due at midnight.
//!
//! The payments are made once; every measurement works on a copy of them, with real `unigate run registers` processes.

mod builders;
mod ground;
mod tools;

use self::ground::Source;
use super::figure::{Figure, Goal, Planned, put, wanted, wants};
use super::ground::Grounds;

/// The most memory of a process that builds a register of any size, in MiB.
const MOST_MEMORY: f64 = 96.0;
/// Within how many seconds of midnight the last of the small ones is built.
const BUILT_WITHIN: f64 = 60.0;

/// What is measured.
pub(super) const FIGURES: [Planned; 5] = [
    ("large", "s", Goal::AtMost(0.7)),
    ("large_copy", "s", Goal::AtMost(1.6)),
    ("large_memory", "MiB", Goal::AtMost(1.0)),
    ("midnight", "s", Goal::AtMost(1.0)),
    ("midnight_two", "s", Goal::AtMost(1.0)),
];

/// Measures the figures whose names begin with `only`; an empty one means all.
pub(super) async fn measure(
    grounds: &Grounds,
    pairs: u32,
    payments: u32,
    payees: u32,
    only: &str,
) -> anyhow::Result<Vec<Figure>> {
    let mut figures = wanted(&FIGURES, only)?;
    let large = wants(&figures, &["large", "large_copy", "large_memory"]);
    let midnight = wants(&figures, &["midnight", "midnight_two"]);
    if large {
        tools::check()?;
        let source = Source::make(grounds, "large", 1, payments).await?;
        for pair in 0..pairs {
            tracing::info!(pair = pair + 1, of = pairs, "measuring the large register");
            put(&mut figures, &measure_large(&source).await?);
        }
        source.clear().await?;
    }
    if midnight {
        let source = Source::make(grounds, "midnight", payees, payments).await?;
        for pair in 0..pairs {
            tracing::info!(pair = pair + 1, of = pairs, "measuring midnight");
            // In turns: whoever comes second finds the server busy with what the first has left to be written and cleaned up.
            let order = if pair % 2 == 0 { [1, 2] } else { [2, 1] };
            let mut seconds = [0.0; 2];
            for processes in order {
                seconds[processes - 1] = builders::measure(&source, processes).await?.seconds;
            }
            let [one, two] = seconds;
            put(
                &mut figures,
                &[("midnight", (one, BUILT_WITHIN)), ("midnight_two", (two, one))],
            );
        }
        source.clear().await?;
    }
    Ok(figures)
}

/// Ours, then what is compared with it, in one database.
async fn measure_large(source: &Source) -> anyhow::Result<[(&'static str, (f64, f64)); 3]> {
    let ground = source.copy().await?;
    // Whoever is first finds the tables in no buffer.
    tools::copy(&ground).await?;
    let ours = builders::measure_on(&ground, source, 1).await?;
    let piped = tools::copy_zip_age(&ground).await?;
    let copied = tools::copy(&ground).await?;
    ground.clear().await?;
    Ok([
        ("large", (ours.seconds, piped)),
        ("large_copy", (ours.seconds, copied)),
        ("large_memory", (ours.memory, MOST_MEMORY)),
    ])
}
