//! The order of all transactions that count, from the store's log.
//!
//! A checkpoint lets the journal before it go, at once or with the next segment. So that nothing goes
//! unseen only the supervisor makes checkpoints, just after a segment has begun, so that the next one is not
//! near, and the segments of before stay readable meanwhile (`linked`). Numbers tell whether anything was missed all the same: a
//! transaction has one for each change and one for itself, and only a checkpoint's own record comes
//! between.
#![allow(clippy::disallowed_methods, reason = "looks at the names of segments")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use filepact::{LoggedKind, LoggedTransaction, Store};
use filepact_journal::{Group, RecordKind};

use super::linked::Linked;
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

/// A checkpoint is due beyond this. Segments are as long by then.
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
                self.beside(folder, || {
                    store.checkpoint()?;
                    Ok(((), store.status()?.committed))
                })?;
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
        for LoggedTransaction { txn, note, outside, changes, .. } in store.log()? {
            let removed = |kind| matches!(kind, LoggedKind::Remove);
            let wrote = changes.iter().map(|change| (&*change.path, removed(change.kind)));
            self.take(txn, note.as_deref(), outside, wrote)?;
        }
        Ok(())
    }

    /// Makes a call that may take the journal away, and looks at what it was until then. The call says what is
    /// committed after it.
    pub(super) fn beside<T>(
        &mut self,
        folder: &Path,
        call: impl FnOnce() -> Outcome<(T, u64)>,
    ) -> Outcome<T> {
        let linked = Linked::of(folder)?;
        let (done, committed) = call()?;
        let groups = linked.groups(folder, committed)?;
        for (changes, commit, txn) in groups.iter().flat_map(Group::transactions) {
            let wrote = changes.iter().filter_map(|record| match &record.kind {
                RecordKind::Put(put) => Some((put.path.as_str(), false)),
                RecordKind::Append(append) => Some((append.path.as_str(), false)),
                RecordKind::Remove(remove) => Some((remove.path.as_str(), true)),
                RecordKind::Commit(_) | RecordKind::Checkpoint { .. } => None,
            });
            self.take(txn, commit.note.as_deref(), commit.outside, wrote)?;
        }
        Ok(done)
    }

    /// One transaction: the paths that it wrote, and whether it removed them.
    fn take<'a>(
        &mut self,
        txn: u64,
        note: Option<&str>,
        outside: bool,
        wrote: impl Iterator<Item = (&'a str, bool)>,
    ) -> Outcome {
        if outside {
            return Err(format!("transaction {txn} records an edit that nobody has made").into());
        }
        let note = note.unwrap_or_default();
        let op = note.parse().map_err(|error| format!("transaction {txn}: {error}"))?;
        let mut wrote: Vec<Wrote> =
            wrote.map(|(path, removed)| Wrote { path: path.into(), removed }).collect();
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
