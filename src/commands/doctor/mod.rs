//! `unigate doctor`: looks at every connection, right and setting, and says what to do. It changes nothing, and shows no
//! secret. Run it with the environment of the worker it is about.

mod broker;
mod data;
mod database;
mod outside;
mod settings;

use serde_json::json;
use store::StoreError;

use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, Column, FormatArg, Row};

/// PostgreSQL's code for a right that is not there.
const DENIED: &str = "42501";

/// How to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    format: FormatArg,
}

/// Looks at everything; fails if anything would not work.
pub(crate) async fn run(args: Args) -> Outcome {
    let operator = Operator::new()?;
    let mut findings = Findings::default();
    settings::look(&operator.settings, &mut findings);
    let is_migrated = database::look(&operator, &mut findings).await;
    broker::look(&operator.settings.bus, &mut findings).await;
    outside::look_at_mail(&operator.settings, &mut findings).await;
    if is_migrated {
        outside::look_at_vault(&operator, &mut findings).await;
        outside::look_at_artifacts(&operator.artifacts, &mut findings).await;
        if let Err(error) = data::look(&operator, &mut findings).await {
            findings.no_data("data", &error);
        }
    }
    output::list(args.format.format, &findings.0)?;
    Ok(Ending::done_if(
        findings.0.iter().all(|finding| finding.result != Mark::Fail),
    ))
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug)]
pub(crate) struct Finding {
    check: String,
    result: Mark,
    found: String,
    advice: String,
}

/// Everything that was looked at, in that order.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: impl Into<String>, found: impl Into<String>) {
        self.add(check, Mark::Ok, found, "");
    }

    fn warn(&mut self, check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) {
        self.add(check, Mark::Warn, found, advice);
    }

    fn fail(&mut self, check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) {
        self.add(check, Mark::Fail, found, advice);
    }

    /// The database did not let us look. That this role may not is no fault where least rights are wanted.
    fn no_data(&mut self, check: &str, error: &StoreError) {
        let error = error.to_string();
        if error.contains(DENIED) {
            let advice = "run doctor as unigate_operator or as the owner to look at the rest";
            self.warn(check, format!("not looked at: {error}"), advice);
        } else {
            self.fail(check, error, "see the line on the database");
        }
    }

    fn add(&mut self, check: impl Into<String>, result: Mark, found: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Finding {
            check: check.into(),
            result,
            found: found.into(),
            advice: advice.into(),
        });
    }
}

impl Row for Finding {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("result", |row| {
            json!(match row.result {
                Mark::Ok => "ok",
                Mark::Warn => "warn",
                Mark::Fail => "FAIL",
            })
        }),
        Column::new("check", |row| json!(row.check)),
        Column::new("found", |row| json!(row.found)),
        Column::new("advice", |row| json!(row.advice)),
    ];
}
