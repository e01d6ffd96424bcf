//! A transaction as `log`, `watch` and `batch` show it.

use std::io::{self, Write};

use filepact::{LoggedChange, LoggedKind, LoggedTransaction, Version, Watched};
use serde::Serialize;

use crate::utc;

/// A transaction of the journal.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    txn: u64,
    time: String,
    note: Option<String>,
    outside: bool,
    changes: Vec<Change>,
    /// To the second, for a person.
    #[serde(skip)]
    when: String,
}

#[derive(Debug, Serialize)]
struct Change {
    op: &'static str,
    path: String,
    /// Of the body, or of what was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    len: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
}

const APPEND: &str = "append";

impl Entry {
    /// For a person.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{:>6}  {}", self.txn, self.when)?;
        if self.outside {
            write!(out, "  (an edit by another program)")?;
        }
        if let Some(note) = &self.note {
            // A note is somebody's text: it must not move the cursor, nor look like another line.
            write!(out, "  {}", note.escape_debug())?;
        }
        writeln!(out)?;
        for change in &self.changes {
            write!(out, "        {:<6}  {}", change.op, change.path)?;
            match change.len {
                Some(len) if change.op == APPEND => writeln!(out, "  +{len}")?,
                Some(len) => writeln!(out, "  {len}")?,
                None => writeln!(out)?,
            }
        }
        Ok(())
    }
}

impl From<LoggedTransaction> for Entry {
    fn from(logged: LoggedTransaction) -> Self {
        Self {
            txn: logged.txn,
            time: utc::nanoseconds(logged.time),
            note: logged.note,
            outside: logged.outside,
            changes: logged.changes.into_iter().map(Change::from).collect(),
            when: utc::seconds(logged.time),
        }
    }
}

impl From<LoggedChange> for Change {
    fn from(LoggedChange { path, kind }: LoggedChange) -> Self {
        let (op, len, version) = match kind {
            LoggedKind::Put { len, version } => ("put", Some(len), Some(version)),
            LoggedKind::Append { len } => (APPEND, Some(len), None),
            LoggedKind::Remove => ("remove", None, None),
        };
        Self { op, path, len, version }
    }
}

/// What a watch tells.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Event {
    Transaction(Entry),
    Gap { gap: Gap },
}

#[derive(Debug, Serialize)]
pub(crate) struct Gap {
    after: u64,
    upto: u64,
}

impl Event {
    /// For a person.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Transaction(entry) => entry.write(out),
            Self::Gap { gap: Gap { after, upto } } if after > upto => writeln!(
                out,
                "   gap  the journal ends with {upto}, before {after}: look at all documents anew"
            ),
            Self::Gap { gap: Gap { after, upto } } => writeln!(
                out,
                "   gap  what came after {after} and up to {upto} is not in the journal: look at all \
                 documents anew"
            ),
        }
    }
}

impl From<Watched> for Event {
    fn from(watched: Watched) -> Self {
        match watched {
            Watched::Transaction(logged) => Self::Transaction(logged.into()),
            Watched::Gap { after, upto } => Self::Gap { gap: Gap { after, upto } },
        }
    }
}
