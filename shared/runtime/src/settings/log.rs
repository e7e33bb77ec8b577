//! `UNIGATE_LOG` and `UNIGATE_LOG_FORMAT`: read before everything else, since that may have to be logged.

use super::source::Source;
use super::{SettingsError, environment, wrong};
use crate::telemetry;

/// How a process logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// `UNIGATE_LOG`: a filter (`info`, `debug`, `info,unikassa=debug`), where one is set.
    pub filter: Option<String>,
    /// `UNIGATE_LOG_FORMAT`: `json` writes objects, `text` (the default) lines.
    pub json: bool,
}

impl LogSettings {
    /// Reads them from the environment and the file, as [`Settings::load`](super::Settings::load) does.
    pub fn load() -> Result<Self, SettingsError> {
        Self::read(&Source::open(environment)?)
    }

    pub(super) fn read(source: &Source<impl Fn(&str) -> Option<String>>) -> Result<Self, SettingsError> {
        let filter = source.text("UNIGATE_LOG");
        if let Some(filter) = &filter {
            telemetry::check_filter(filter).map_err(|why| wrong("UNIGATE_LOG", format!("`{filter}`: {why}")))?;
        }
        const FORMAT: &str = "UNIGATE_LOG_FORMAT";
        let json = match source.text(FORMAT).as_deref() {
            None | Some("text") => false,
            Some("json") => true,
            Some(other) => return Err(wrong(FORMAT, format!("`{other}` is neither text nor json"))),
        };
        Ok(Self { filter, json })
    }
}
