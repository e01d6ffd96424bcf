//! `log`: what the journal still holds.

use filepact::{LoggedChange, LoggedKind, LoggedTransaction, Store};
use serde::Serialize;

use crate::failure::{DONE, Failure};
use crate::output::Output;
use crate::utc;

#[derive(Serialize)]
struct Entry<'a> {
    txn: u64,
    time: String,
    note: Option<&'a str>,
    outside: bool,
    changes: Vec<Change<'a>>,
    /// To the second, for a person.
    #[serde(skip)]
    when: String,
}

const APPEND: &str = "append";

#[derive(Serialize)]
struct Change<'a> {
    op: &'static str,
    path: &'a str,
    /// Of the body, or of what was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    len: Option<u64>,
}

pub(super) fn log(store: &Store, output: Output) -> Result<u8, Failure> {
    let transactions = store.log()?;
    output.all(transactions.iter().map(Entry::from), |out, entry| {
        write!(out, "{:>6}  {}", entry.txn, entry.when)?;
        if entry.outside {
            write!(out, "  (an edit by another program)")?;
        }
        if let Some(note) = entry.note {
            // A note is somebody's text: it must not move the cursor, nor look like another line.
            write!(out, "  {}", note.escape_debug())?;
        }
        writeln!(out)?;
        for change in entry.changes {
            write!(out, "        {:<6}  {}", change.op, change.path)?;
            match change.len {
                Some(len) if change.op == APPEND => writeln!(out, "  +{len}")?,
                Some(len) => writeln!(out, "  {len}")?,
                None => writeln!(out)?,
            }
        }
        Ok(())
    })?;
    Ok(DONE)
}

impl<'a> From<&'a LoggedTransaction> for Entry<'a> {
    fn from(logged: &'a LoggedTransaction) -> Self {
        Self {
            txn: logged.txn,
            time: utc::nanoseconds(logged.time),
            note: logged.note.as_deref(),
            outside: logged.outside,
            changes: logged.changes.iter().map(Change::from).collect(),
            when: utc::seconds(logged.time),
        }
    }
}

impl<'a> From<&'a LoggedChange> for Change<'a> {
    fn from(change: &'a LoggedChange) -> Self {
        let (op, len) = match change.kind {
            LoggedKind::Put { len } => ("put", Some(len)),
            LoggedKind::Append { len } => (APPEND, Some(len)),
            LoggedKind::Remove => ("remove", None),
        };
        Self { op, path: &change.path, len }
    }
}
