//! What an actor began, and what it was told: lines on standard output, outside the image.

use std::collections::BTreeMap;
use std::fmt;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// The process has the store open.
    Opened,
    /// The transaction is about to be made.
    Begins(u64),
    /// `commit` has returned.
    Acknowledged(u64),
    /// `commit` has said that the transaction is committed, and its documents not all in their places.
    Unpublished(u64),
    /// A checkpoint has returned that began after this transaction was acknowledged.
    Kept(u64),
    /// The first failure, in words.
    Failed(String),
    /// What must not happen, in words.
    Wrong(String),
    /// The actor has tried everything else after the failure, and ends.
    Ends,
}

impl Note {
    /// The line of an actor.
    pub(super) fn line(&self, actor: u32) -> String {
        format!("{actor} {self}\n")
    }

    /// The actor and the note in a line, without its end.
    pub(super) fn of_line(line: &str) -> Option<(u32, Self)> {
        let (actor, rest) = line.split_once(' ')?;
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let note = match word {
            "opened" => Self::Opened,
            "begins" => Self::Begins(rest.parse().ok()?),
            "acknowledged" => Self::Acknowledged(rest.parse().ok()?),
            "unpublished" => Self::Unpublished(rest.parse().ok()?),
            "kept" => Self::Kept(rest.parse().ok()?),
            "failed" => Self::Failed(rest.to_owned()),
            "wrong" => Self::Wrong(rest.to_owned()),
            "ends" => Self::Ends,
            _ => return None,
        };
        Some((actor.parse().ok()?, note))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened => f.write_str("opened"),
            Self::Begins(number) => write!(f, "begins {number}"),
            Self::Acknowledged(number) => write!(f, "acknowledged {number}"),
            Self::Unpublished(number) => write!(f, "unpublished {number}"),
            Self::Kept(number) => write!(f, "kept {number}"),
            Self::Failed(words) => write!(f, "failed {}", words.replace('\n', " ")),
            Self::Wrong(words) => write!(f, "wrong {}", words.replace('\n', " ")),
            Self::Ends => f.write_str("ends"),
        }
    }
}

/// An actor's notes, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) opened: bool,
    pub(super) begun: u64,
    pub(super) acknowledged: u64,
    /// The last one that is committed, whatever became of its documents.
    pub(super) committed: u64,
    pub(super) kept: u64,
    pub(super) failed: Option<String>,
    pub(super) ended: bool,
}

/// All notes of a cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub(super) actors: BTreeMap<u32, Tally>,
    /// The first thing that may not be.
    pub(super) wrong: Option<String>,
    /// Every line, for a person.
    pub(super) lines: String,
}

impl Notes {
    pub(super) fn take(&mut self, line: &str) {
        self.lines.push_str(line);
        self.lines.push('\n');
        let wrong = match Note::of_line(line) {
            Some((actor, note)) => self.actors.entry(actor).or_default().take(note),
            None => Some("no note".to_owned()),
        };
        if let Some(wrong) = wrong {
            self.wrong.get_or_insert(format!("{line}: {wrong}"));
        }
    }

    pub(super) fn all(&self, is: impl Fn(&Tally) -> bool) -> bool {
        self.actors.values().all(is)
    }
}

impl Tally {
    /// What is wrong with this note after those before it.
    fn take(&mut self, note: Note) -> Option<String> {
        match note {
            Note::Opened => self.opened = true,
            Note::Begins(number) => self.begun = number,
            Note::Acknowledged(number) => {
                (self.acknowledged, self.committed) = (number, number);
                if self.failed.is_some() {
                    return Some("acknowledged after a failure".to_owned());
                }
            }
            Note::Unpublished(number) => self.committed = number,
            Note::Kept(number) => self.kept = number,
            Note::Failed(words) => drop(self.failed.get_or_insert(words)),
            Note::Wrong(words) => return Some(words),
            Note::Ends => self.ended = true,
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_its_line() {
        for note in [
            Note::Opened,
            Note::Begins(3),
            Note::Acknowledged(3),
            Note::Unpublished(4),
            Note::Kept(2),
            Note::Failed("Io: cannot sync `x`".to_owned()),
            Note::Wrong("acknowledged".to_owned()),
            Note::Ends,
        ] {
            assert_eq!(Note::of_line(note.line(7).trim_end()), Some((7, note)));
        }
    }

    #[test]
    fn an_acknowledgement_after_a_failure_is_wrong() {
        let mut notes = Notes::default();
        for line in ["0 begins 1", "0 failed Io", "0 acknowledged 1", "0 ends"] {
            notes.take(line);
        }
        assert!(notes.wrong.unwrap().contains("after a failure"));
    }

    #[test]
    fn what_is_no_note_is_wrong() {
        let mut notes = Notes::default();
        notes.take("thread panicked");
        assert!(notes.wrong.is_some());
    }
}
