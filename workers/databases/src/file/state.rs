//! What is known of a payee's file: the table made of it, how it looked, and what people have still to be told.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use domain::declaration::FileSource;

use super::Table;

/// How long a file may be read before people are told that nothing comes of it.
const HANGS: Duration = Duration::from_secs(60);

/// Of one file.
#[derive(Default)]
pub(super) struct State {
    pub(super) table: Option<Arc<Table>>,
    pub(super) looked_at: Option<Instant>,
    /// How it looked when it was last found changed: it is read when it looks the same once more.
    pub(super) changed: Option<Stamp>,
    /// How it looked when it could not be used (nothing: it was not there), and why it could not.
    pub(super) refused: Option<(Option<Stamp>, String)>,
    /// What was last told of a trouble that is not the file's own.
    pub(super) trouble: Option<String>,
    /// What people have still to be told.
    pub(super) news: Option<Looked>,
    /// Since when it has been read, and whether it was told that this takes long.
    pub(super) busy: Option<(Instant, bool)>,
}

/// How a file looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) modified: SystemTime,
    pub(super) bytes: u64,
}

/// What came of a look at a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Nothing is new.
    Same,
    /// So many rows took the place of those before.
    Replaced(usize),
    /// It cannot be used; what was there stays.
    Refused(String),
}

impl State {
    /// It is being replaced, or gone: said once, until it looks like anything again.
    pub(super) fn gone(&mut self, why: String) {
        self.looked_at = Some(Instant::now());
        let was_changing = self.changed.take().is_some();
        let before = self.refused.replace((None, why.clone()));
        if was_changing || before.is_none_or(|(at, _)| at.is_some()) {
            self.news = Some(Looked::Refused(why));
        }
    }

    /// Whether it has changed, and looks as it did the last time.
    pub(super) fn is_to_be_read(&mut self, stamp: Stamp) -> bool {
        let is_table = self.table.as_ref().is_some_and(|table| table.stamp == stamp);
        if is_table {
            (self.refused, self.trouble) = (None, None);
        }
        let same = is_table || self.refused.as_ref().is_some_and(|(at, _)| *at == Some(stamp));
        let settled = self.changed == Some(stamp);
        self.changed = (!same).then_some(stamp);
        if same || !settled {
            // A change is looked at again soon: it only has to stay as it is for a moment.
            self.looked_at = same.then(Instant::now);
        }
        !same && settled
    }

    /// Somebody is reading it: that is news once it takes too long.
    pub(super) fn hangs(&mut self, file: &FileSource) -> Looked {
        match &mut self.busy {
            Some((since, told)) if !*told && since.elapsed() >= HANGS => {
                *told = true;
                let path = file.path.display();
                Looked::Refused(format!("{path}: has not been read within {} s", HANGS.as_secs()))
            }
            _ => Looked::Same,
        }
    }
}
