//! Looking at stages without sealing anything: where they are declared, and by `unigate doctor` where the worker runs.

use domain::declaration::{RegisterProfile, SealStage, key_file};
use domain::invalid::Invalid;

use super::prepare::{prepare, recipient};
use super::{openpgp, word};

/// Keys that stand in a payee's declaration and cannot be encrypted to, with their paths in `[register]`. What is kept in
/// files or variables is not looked at: they are the worker's.
pub fn unusable_keys(profile: &RegisterProfile) -> Vec<Invalid> {
    let mut refused = Vec::new();
    let mut look = |path: String, outcome: Result<(), String>| {
        refused.extend(outcome.err().map(|why| Invalid::new(path, why)));
    };
    for (at, text) in profile.age_recipients.iter().enumerate() {
        look(format!("age_recipients[{at}]"), recipient(text).map(drop));
    }
    for (at, stage) in profile.seal.iter().enumerate() {
        match stage {
            SealStage::Age(age) => {
                for (nth, text) in age.recipients.iter().enumerate() {
                    look(format!("seal[{at}].recipients[{nth}]"), recipient(text).map(drop));
                }
            }
            SealStage::OpenPgp(declared) => {
                let inline = declared
                    .keys
                    .iter()
                    .enumerate()
                    .filter(|(_, text)| key_file(text).is_none());
                for (nth, text) in inline {
                    look(format!("seal[{at}].keys[{nth}]"), openpgp::key(text).map(drop));
                }
            }
            SealStage::Zip(_) | SealStage::Gzip(_) | SealStage::Command(_) => {}
        }
    }
    refused
}

/// Whether a register of this payee could be sealed here, in this process's environment: secrets are there, keys can be
/// encrypted to, programs can be run. What is missing otherwise, a line each.
pub fn look_at_stages(profile: &RegisterProfile) -> Result<(), Vec<String>> {
    let stages = profile.stages();
    let missing: Vec<String> = stages
        .iter()
        .enumerate()
        .filter_map(|(at, stage)| {
            let why = prepare(stage).err()?;
            Some(format!("stage {} ({}): {why}", at + 1, word(stage)))
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(missing) }
}
