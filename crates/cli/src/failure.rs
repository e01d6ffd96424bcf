//! What went wrong, for a person, for a machine and for the shell.
//!
//! One table says which exit code and which word belong to an error of the library: [`of`]. The
//! same [`Failure`] is what `batch` answers and what `--json` shows on stderr.

use std::error::Error as StdError;
use std::io;

use filepact::Error;
use serde::Serialize;

/// Done.
pub(crate) const DONE: u8 = 0;
/// Negative answer: there is no such document or edit; two contents differ.
pub(crate) const NO: u8 = 1;
/// The caller's mistake: usage, a path that cannot be a document.
pub(crate) const USAGE: u8 = 2;
/// What was expected is not so. Nothing has changed.
pub(crate) const CONFLICT: u8 = 3;
/// Somebody else has the store. Nothing has changed.
pub(crate) const LOCKED: u8 = 4;
/// The store is damaged, or a check is unclean.
pub(crate) const DAMAGED: u8 = 5;
/// The transaction counts, or it does not.
pub(crate) const UNKNOWN: u8 = 6;
/// Everything else that stops a verb. Nothing has changed.
pub(crate) const FAILED: u8 = 7;
/// The transaction is committed, and a document is not at its path yet.
pub(crate) const UNPUBLISHED: u8 = 8;

/// Something that was asked for and not done.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    ok: bool,
    /// One word a kind.
    pub(crate) error: &'static str,
    /// Of `batch`, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    #[serde(flatten)]
    pub(crate) about: Box<About>,
    /// The whole chain of causes.
    pub(crate) message: String,
    /// What holds now, where the message alone might be misread.
    #[serde(skip)]
    pub(crate) note: Option<&'static str>,
    #[serde(skip)]
    pub(crate) exit: u8,
    #[serde(skip)]
    closed_pipe: bool,
}

/// What it is about, for machines.
#[derive(Debug, Default, Serialize)]
pub(crate) struct About {
    /// The documents concerned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) paths: Vec<String>,
    /// The transaction that stands all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) txn: Option<u64>,
    /// Where the journal is damaged.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    damage: Option<Damage>,
}

#[derive(Debug, Serialize)]
struct Damage {
    segment: String,
    offset: u64,
    reason: String,
}

impl Failure {
    pub(crate) fn new(error: &'static str, exit: u8, message: impl Into<String>) -> Self {
        Self {
            ok: false,
            error,
            line: None,
            about: Box::default(),
            message: message.into(),
            note: None,
            exit,
            closed_pipe: false,
        }
    }

    /// The caller's mistake.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", USAGE, message)
    }

    /// A call to the system that failed outside the store.
    pub(crate) fn io(what: &str, source: &io::Error) -> Self {
        Self::new("io", FAILED, format!("cannot {what}: {source}"))
    }

    /// The answer could not be written.
    ///
    /// A reader that has left is content: exit code 0.
    pub(crate) fn output(source: &io::Error) -> Self {
        let closed_pipe = source.kind() == io::ErrorKind::BrokenPipe;
        let exit = if closed_pipe { DONE } else { FAILED };
        Self { closed_pipe, exit, ..Self::io("write the answer", source) }
    }

    pub(crate) fn at_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.closed_pipe
    }
}

/// The table of kinds and exit codes.
fn of(error: &Error) -> (&'static str, u8) {
    match error {
        Error::NotFound { .. } => ("not_found", NO),
        Error::InvalidPath(_) => ("invalid_path", USAGE),
        Error::Refused { .. } => ("refused", USAGE),
        Error::Conflict { .. } => ("conflict", CONFLICT),
        Error::Exists { .. } => ("exists", CONFLICT),
        Error::Edited { .. } => ("edited", CONFLICT),
        Error::Locked { .. } => ("locked", LOCKED),
        Error::Corrupt { .. } => ("corrupt", DAMAGED),
        Error::Unrecoverable { .. } => ("unrecoverable", DAMAGED),
        Error::CommitUnknown { .. } => ("commit_unknown", UNKNOWN),
        Error::Unpublished { .. } => ("unpublished", UNPUBLISHED),
        Error::Json { .. } => ("json", FAILED),
        Error::Io { .. } => ("io", FAILED),
        Error::NoStore { .. } => ("no_store", FAILED),
        Error::Format { .. } => ("format", FAILED),
        Error::Network { .. } => ("network", FAILED),
        Error::Poisoned => ("poisoned", FAILED),
        Error::Forked => ("forked", FAILED),
        Error::Nested => ("nested", FAILED),
        _ => ("other", FAILED),
    }
}

fn note_of(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::CommitUnknown { .. } => {
            "the transaction counts as a whole or not at all; `filepact recover` settles it: look \
             before you repeat it"
        }
        Error::Unpublished { .. } => {
            "the transaction is committed and durable: do not repeat it; the next opening brings \
             the document to its path"
        }
        Error::Conflict { .. } | Error::Exists { .. } => "nothing has changed",
        Error::Edited { .. } => "a new snapshot sees the edit",
        Error::Corrupt { .. } | Error::Unrecoverable { .. } => {
            "the store was not opened, and nothing was changed"
        }
        Error::NoStore { .. } => "`filepact init` makes one",
        _ => return None,
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (kind, exit) = of(&error);
        let mut failure = Self::new(kind, exit, message(&error));
        failure.note = note_of(&error);
        let about = &mut *failure.about;
        match error {
            Error::Conflict { paths } => about.paths = paths,
            Error::InvalidPath(invalid) => about.paths.push(invalid.path),
            Error::Unpublished { txn, path, .. } => {
                about.txn = Some(txn);
                about.paths.push(path);
            }
            Error::NotFound { path }
            | Error::Exists { path }
            | Error::Edited { path }
            | Error::Json { path, .. }
            | Error::Refused { path, .. }
            | Error::Unrecoverable { path, .. } => about.paths.push(path),
            // Some calls concern no path.
            Error::Io { path, .. } if !path.is_empty() => about.paths.push(path),
            Error::Corrupt { segment, offset, reason } => {
                about.damage = Some(Damage { segment, offset, reason });
            }
            _ => {}
        }
        failure
    }
}

fn message(error: &Error) -> String {
    match error {
        // The parser would say the place a second time.
        Error::Json { path, line, column, source } if *line > 0 => {
            format!("`{path}` line {line}, column {column}: {}", without_place(&source.to_string()))
        }
        error => chain(error),
    }
}

/// What a JSON parser says, without " at line 1 column 2".
pub(crate) fn without_place(text: &str) -> &str {
    text.rfind(" at line ").map_or(text, |at| &text[..at])
}

/// What happened, and what caused it, and what caused that.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Some errors repeat their cause in their own words.
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use filepact::DocPath;

    use super::*;

    fn disk_full() -> io::Error {
        io::Error::from(io::ErrorKind::StorageFull)
    }

    fn path() -> String {
        "a.json".to_owned()
    }

    #[test]
    fn every_kind_of_error_has_the_exit_code_of_the_manual() {
        let conflict = Error::Conflict { paths: vec![path()] };
        let unpublished = Error::Unpublished { txn: 17, path: path(), source: disk_full() };
        let corrupt =
            Error::Corrupt { segment: "1.jsonl".into(), offset: 7, reason: "no CRC".into() };
        for (error, kind, exit) in [
            (Error::NotFound { path: path() }, "not_found", 1),
            (DocPath::new("/a").unwrap_err().into(), "invalid_path", 2),
            (conflict, "conflict", 3),
            (Error::Exists { path: path() }, "exists", 3),
            (Error::Edited { path: path() }, "edited", 3),
            (Error::Locked { waited: Duration::from_secs(1), holder: Some(2) }, "locked", 4),
            (corrupt, "corrupt", 5),
            (Error::Unrecoverable { path: path(), reason: String::new() }, "unrecoverable", 5),
            (Error::CommitUnknown { source: disk_full() }, "commit_unknown", 6),
            (Error::Io { op: "sync", path: path(), source: disk_full() }, "io", 7),
            (Error::NoStore { root: "d".into() }, "no_store", 7),
            (Error::Format { reason: "newer".into() }, "format", 7),
            (Error::Network { kind: "nfs" }, "network", 7),
            (Error::Poisoned, "poisoned", 7),
            (unpublished, "unpublished", 8),
        ] {
            let failure = Failure::from(error);
            assert_eq!((failure.error, failure.exit), (kind, exit));
        }
    }

    #[test]
    fn a_failure_shows_the_whole_chain_of_causes() {
        let failure = Failure::from(Error::Io { op: "create", path: path(), source: disk_full() });
        assert_eq!(failure.message, "cannot create `a.json`: no storage space");
        assert_eq!(failure.about.paths, ["a.json"]);
    }

    #[test]
    fn bad_json_is_shown_with_its_place_once() {
        let bad = filepact::check_json("a.json", b"{\n  \"a\": 1,\n  \"a\": 2\n}").unwrap_err();
        assert_eq!(Failure::from(bad).message, "`a.json` line 3, column 5: duplicate key `a`");
    }

    #[test]
    fn what_stands_is_said_plainly() {
        let failure =
            Failure::from(Error::Unpublished { txn: 17, path: path(), source: disk_full() });
        assert_eq!(failure.about.txn, Some(17));
        assert!(failure.note.unwrap().contains("do not repeat it"));
        let failure = Failure::from(Error::CommitUnknown { source: disk_full() });
        assert!(failure.note.unwrap().contains("whole or not at all"));
    }
}
