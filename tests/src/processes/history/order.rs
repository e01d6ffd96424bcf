//! The order of all transactions that count, from the store's log.
//!
//! After a checkpoint the next segment of the journal takes the older ones away. So that nothing
//! goes unseen only the supervisor makes checkpoints, just after a segment has begun, and looks at
//! the log before and after. Numbers tell whether anything was missed all the same: a transaction
//! has one for each change and one for itself, and only a checkpoint's own record comes between.
#![allow(clippy::disallowed_methods, reason = "looks at the names of segments")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use filepact::{LoggedKind, LoggedTransaction, Store};

use super::record::{Logged, Wrote};
use crate::processes::Outcome;

/// What the log has told so far.
#[derive(Debug)]
pub(super) struct Order {
    logged: BTreeMap<u64, Logged>,
    next_look: Instant,
    newest_segment: Option<OsString>,
    checkpoints: usize,
}

/// A checkpoint is due beyond this. Segments are as long by then, so that the next one is not near.
const CHECKPOINT_BYTES: u64 = 256 * 1024;

/// Most of the time goes to the workers: so many times as long as a look takes comes the next one.
const PAUSES: u32 = 3;

const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

impl Order {
    pub(super) fn new() -> Self {
        let (logged, newest_segment, checkpoints) = Default::default();
        Self { logged, next_look: Instant::now(), newest_segment, checkpoints }
    }

    /// Looks at the log if it is time, and makes a checkpoint if it is.
    pub(super) fn follow(&mut self, store: &Store, folder: &Path) -> Outcome {
        let newest = newest_segment(folder)?;
        if newest != self.newest_segment {
            self.newest_segment = newest;
            if store.status()?.journal_bytes > CHECKPOINT_BYTES {
                self.look(store)?;
                store.checkpoint()?;
                self.checkpoints += 1;
                self.look(store)?;
            }
        }
        if Instant::now() < self.next_look {
            return Ok(());
        }
        let began = Instant::now();
        self.look(store)?;
        self.next_look = Instant::now() + (began.elapsed() * PAUSES).max(SHORTEST_PAUSE);
        Ok(())
    }

    /// Looks at the log now.
    pub(super) fn look(&mut self, store: &Store) -> Outcome {
        for transaction in store.log()? {
            self.take(transaction)?;
        }
        Ok(())
    }

    fn take(&mut self, transaction: LoggedTransaction) -> Outcome {
        let txn = transaction.txn;
        if transaction.outside {
            return Err(format!("transaction {txn} records an edit that nobody has made").into());
        }
        let note = transaction.note.unwrap_or_default();
        let op = note.parse().map_err(|error| format!("transaction {txn}: {error}"))?;
        let mut wrote: Vec<Wrote> = transaction
            .changes
            .iter()
            .map(|change| Wrote {
                path: (*change.path).into(),
                removed: change.kind == LoggedKind::Remove,
            })
            .collect();
        wrote.sort();
        let logged = Logged { txn, op, wrote };
        if let Some(before) = self.logged.get(&txn) {
            return match *before == logged {
                true => Ok(()),
                false => Err(format!("the log has changed from {before:?} to {logged:?}").into()),
            };
        }
        let (last, first) =
            (self.logged.last_key_value().map_or(0, |(last, _)| *last), txn - changes(&logged));
        // Numbers begin with a checkpoint of nothing.
        if first <= last || first > last + 2 {
            return Err(format!(
                "the log goes from {last} to {first}: it is wrong, or was not looked at in time"
            )
            .into());
        }
        self.logged.insert(txn, logged);
        Ok(())
    }

    /// How many checkpoints were made here.
    pub(super) fn checkpoints(&self) -> usize {
        self.checkpoints
    }

    /// All of them, in their order.
    pub(super) fn transactions(self) -> Vec<Logged> {
        self.logged.into_values().collect()
    }
}

fn newest_segment(folder: &Path) -> Outcome<Option<OsString>> {
    let mut newest = None;
    for entry in std::fs::read_dir(folder.join(".filepact/journal"))? {
        let name = entry?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "jsonl") {
            newest = newest.max(Some(name));
        }
    }
    Ok(newest)
}

fn changes(logged: &Logged) -> u64 {
    logged.wrote.len() as u64
}
