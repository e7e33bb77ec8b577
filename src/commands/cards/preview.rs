//! `unigate cards import --dry-run`: the file is read here, as an import would read it, and its first rows are shown with every
//! secret masked. Nothing is handed in. The vault is not opened: who hands files in need not be able to, and what is sealed
//! for the workers stays so.

use anyhow::{Context, bail};
use cards::import::{Masked, Preview, preview};
use secrecy::SecretString;
use serde_json::json;
use store::{declarations, imports};

use super::files::KINDS;
use super::import::{Args, lines_of};
use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, Column, Row, note};

/// Rows that are shown.
const SHOWN: usize = 10;

pub(super) async fn dry_run(operator: &Operator, args: &Args, password: Option<SecretString>) -> Outcome {
    let declared = declarations::load(&operator.store).await?;
    let Some(product) = declared.products.get(&args.product) else {
        bail!("product {} is not declared", args.product);
    };
    let product = product.value.clone();
    let today = imports::today(&operator.store, &product.time_zone).await?;
    let path = args.file.clone();
    let looking = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::open(&path).map_err(|error| error.to_string())?;
        preview(&mut file, &product, password, today, SHOWN)
    });
    let place = args.file.display();
    let found: Preview = match looking.await.context("reading the file")? {
        Ok(found) => found,
        Err(why) => {
            note(&format!("{place}: {why}"));
            return Ok(Ending::Failed);
        }
    };
    output::list(args.format.format, &found.rows)?;
    let report = serde_json::to_value(&found.report)?;
    for (kind, what) in KINDS {
        for line in lines_of(&args.file, &report[kind], what) {
            note(&line);
        }
    }
    let counts = &found.report;
    let taken = counts.is_taken(args.options());
    note(&format!(
        "{place}: {} rows, {} of them malformed, {} expired, {} duplicates in the file itself; an import would {} (duplicates of \
         what is in stock are not known here); nothing was handed in",
        counts.rows,
        counts.refused.total,
        counts.expired.total,
        counts.duplicates_in_file,
        if taken { "take it" } else { "refuse it" },
    ));
    Ok(Ending::done_if(taken))
}

fn fields(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(" ")
}

impl Row for Masked {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("line", |row| json!(row.line)),
        Column::new("serial", |row| json!(row.serial)),
        Column::new("expires_on", |row| json!(row.expires_on)),
        Column::new("expired", |row| json!(row.expired)),
        Column::new("face_value", |row| json!(row.face_value)),
        Column::new("price", |row| json!(row.price)),
        Column::new("public", |row| json!(fields(&row.public))),
        Column::new("secret", |row| json!(fields(&row.secret))),
    ];
}
