//! What a register shows otherwise than it came: counted all, named the first few.

use crate::error::Spot;

/// How many are named.
const NAMED_MAX: usize = 20;

/// What was changed on the way into the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Characters that the encoding lacks, each shown as the substitute.
    pub substituted: u64,
    /// Texts cut to the width of their column.
    pub cut: u64,
    /// Texts in which separators were replaced, since nothing is quoted.
    pub replaced: u64,
    /// The first of all, in the order of the file.
    pub first: Vec<Note>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub place: Spot,
    /// What.
    pub change: Change,
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// This character was shown as the substitute.
    Substituted(char),
    /// The text was cut to so many characters.
    Cut(usize),
    /// This separator was replaced.
    Replaced(char),
}

impl Report {
    /// Whether the file shows everything as it came.
    pub fn is_clean(&self) -> bool {
        self.total() == 0
    }

    /// How many changes there are, named or not.
    pub fn total(&self) -> u64 {
        self.substituted + self.cut + self.replaced
    }

    /// Takes in what another file of the same register shows.
    pub fn add(&mut self, other: Self) {
        self.substituted += other.substituted;
        self.cut += other.cut;
        self.replaced += other.replaced;
        let room = NAMED_MAX.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }

    pub(crate) fn note(&mut self, change: Change, place: impl FnOnce() -> Spot) {
        match change {
            Change::Substituted(_) => self.substituted += 1,
            Change::Cut(_) => self.cut += 1,
            Change::Replaced(_) => self.replaced += 1,
        }
        if self.first.len() < NAMED_MAX {
            self.first.push(Note { place: place(), change });
        }
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.change {
            Change::Substituted(letter) => {
                write!(
                    f,
                    "{}: `{letter}` (U+{:04X}) has a substitute",
                    self.place,
                    u32::from(letter)
                )
            }
            Change::Cut(width) => write!(f, "{}: cut to {width} characters", self.place),
            Change::Replaced(separator) => write!(f, "{}: the separator {separator:?} was replaced", self.place),
        }
    }
}
