//! How often things have happened: counted, and told as `tracing` events.
//!
//! `.filepact/counters` holds the sums of all handles since the store was made. Each handle adds what
//! it has counted when it has the writer's turn, at most once a second, and when it closes. The file
//! is for people: it is never synced and nothing rests on it. A process that dies takes along what it
//! had not added yet; a power cut, or a death in the middle of the write, may take all of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filepact_fs::{Access, Fs, FsError, Time, give_to_owner_of, read_full, write_all};
use serde::{Deserialize, Serialize};

use crate::{COUNTERS, META, Rescued};

/// How often each thing has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Counts {
    /// Transactions that were committed.
    pub commits: u64,
    /// Groups that carried them: one sync each.
    pub groups: u64,
    /// The most transactions that one group carried.
    pub largest_group: u64,
    /// Commits refused because something the transaction saw had changed.
    pub conflicts: u64,
    /// Times that `transact` ran its closure again.
    pub retries: u64,
    /// Commits that waited for another one, of this process or another.
    pub waits: u64,
    /// Commits that waited in vain.
    pub timeouts: u64,
    /// Times that somebody's unpublished group was published by the next one.
    pub heals: u64,
    /// Outside edits that were read and recorded.
    pub adopted: u64,
    /// Outside edits that were displaced unseen and kept in `rescued/`.
    pub rescued: u64,
    /// Checkpoints.
    pub checkpoints: u64,
}

/// What one handle has counted.
#[derive(Debug)]
pub struct Counters(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    /// Since this handle last added to the file.
    counted: Counts,
    /// When that was, or when the handle was made.
    added: Time,
}

/// The target of all events.
const EVENTS: &str = "filepact";

/// Not more often than this, in nanoseconds.
const BETWEEN: i64 = 1_000_000_000;

/// The file is one line, and newlines to this length.
const FILE_BYTES: usize = 512;

impl Counters {
    pub(crate) fn new(now: Time) -> Self {
        Self(Mutex::new(Inner { counted: Counts::default(), added: now }))
    }

    pub(crate) fn group(&self, transactions: usize, last: u64) {
        tracing::debug!(target: EVENTS, transactions, last, "committed");
        let transactions = transactions as u64;
        let counted = &mut self.lock().counted;
        counted.commits += transactions;
        counted.groups += 1;
        counted.largest_group = counted.largest_group.max(transactions);
    }

    /// A transaction is in conflict with another.
    pub fn conflict(&self, paths: &[String]) {
        tracing::debug!(target: EVENTS, ?paths, "conflict");
        self.lock().counted.conflicts += 1;
    }

    /// A closure is run again.
    pub fn retry(&self, tries: u32) {
        tracing::debug!(target: EVENTS, tries, "trying again");
        self.lock().counted.retries += 1;
    }

    pub(crate) fn wait(&self) {
        tracing::trace!(target: EVENTS, "waited for another commit");
        self.lock().counted.waits += 1;
    }

    pub(crate) fn timeout(&self, waited: Duration, holder: Option<u32>) {
        tracing::warn!(target: EVENTS, ?waited, holder, "the writer lock did not come in time");
        self.lock().counted.timeouts += 1;
    }

    pub(crate) fn heal(&self, documents: usize, upto: u64) {
        tracing::info!(target: EVENTS, documents, upto, "published what another commit had left");
        self.lock().counted.heals += 1;
    }

    pub(crate) fn adopt(&self, path: &str) {
        tracing::info!(target: EVENTS, path, "recorded an edit by another program");
        self.lock().counted.adopted += 1;
    }

    pub(crate) fn rescue(&self, rescued: &Rescued) {
        tracing::warn!(target: EVENTS, path = rescued.path, at = rescued.at, "kept a displaced edit");
        self.lock().counted.rescued += 1;
    }

    pub(crate) fn checkpoint(&self, documents: usize, upto: u64) {
        tracing::debug!(target: EVENTS, documents, upto, "checkpoint");
        self.lock().counted.checkpoints += 1;
    }

    /// Adds what was counted to the file, in the writer's turn: if that was not done lately, or at
    /// the `last` occasion. Nothing rests on it: what cannot be added now is added later.
    pub(crate) fn add_to_file(&self, fs: &dyn Fs, last: bool) {
        if let Err(error) = self.try_to_add(fs, last) {
            tracing::debug!(target: EVENTS, %error, "cannot write the counters");
        }
    }

    fn try_to_add(&self, fs: &dyn Fs, last: bool) -> Result<(), FsError> {
        let mut inner = self.lock();
        let now = fs.now();
        // A clock that was set back makes it due, too.
        let lately = (0..BETWEEN).contains(&(now.0 - inner.added.0));
        if inner.counted == Counts::default() || lately && !last {
            return Ok(());
        }
        let sum = read(fs)?.plus(&inner.counted);
        let file = match fs.open(COUNTERS, Access::Write) {
            Err(error) if error.is_not_found() => {
                let file = fs.create(COUNTERS)?;
                give_to_owner_of(fs, META, &*file)?;
                file
            }
            file => file?,
        };
        let mut line = serde_json::to_vec(&sum).expect("numbers can be written");
        line.resize(FILE_BYTES.max(line.len() + 1), b'\n');
        write_all(&*file, &line, 0)?;
        *inner = Inner { counted: Counts::default(), added: now };
        Ok(())
    }

    /// The sums of all handles, with what this one has counted since.
    pub fn sum(&self, fs: &dyn Fs) -> Result<Counts, FsError> {
        let counted = self.lock().counted;
        Ok(read(fs)?.plus(&counted))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn plus(self, more: &Self) -> Self {
        Self {
            commits: self.commits.saturating_add(more.commits),
            groups: self.groups.saturating_add(more.groups),
            largest_group: self.largest_group.max(more.largest_group),
            conflicts: self.conflicts.saturating_add(more.conflicts),
            retries: self.retries.saturating_add(more.retries),
            waits: self.waits.saturating_add(more.waits),
            timeouts: self.timeouts.saturating_add(more.timeouts),
            heals: self.heals.saturating_add(more.heals),
            adopted: self.adopted.saturating_add(more.adopted),
            rescued: self.rescued.saturating_add(more.rescued),
            checkpoints: self.checkpoints.saturating_add(more.checkpoints),
        }
    }
}

/// What the file says; one that is absent or torn says nothing.
fn read(fs: &dyn Fs) -> Result<Counts, FsError> {
    let file = match fs.open(COUNTERS, Access::Read) {
        Err(error) if error.is_not_found() => return Ok(Counts::default()),
        file => file?,
    };
    let mut bytes = [0; FILE_BYTES];
    let read = read_full(&*file, &mut bytes, 0)?;
    Ok(serde_json::from_slice(&bytes[..read]).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_do_not_mix_up_their_terms() {
        let text = |from: u64| {
            let names = serde_json::to_value(Counts::default()).unwrap();
            let names = names.as_object().unwrap().keys().cloned();
            let counts: serde_json::Map<_, _> =
                names.zip((from..).map(serde_json::Value::from)).collect();
            serde_json::Value::Object(counts)
        };
        let counts = |from| serde_json::from_value::<Counts>(text(from)).unwrap();
        let sum = counts(100).plus(&counts(100));
        let sum = serde_json::to_value(sum).unwrap();
        for (name, term) in text(100).as_object().unwrap() {
            let times = if name == "largest_group" { 1 } else { 2 };
            assert_eq!(sum[name], term.as_u64().unwrap() * times, "{name}");
        }
    }

    #[test]
    fn the_largest_sums_fit_into_the_file() {
        let most = 10_u64.pow(15);
        let counts = Counts { commits: most, groups: most, ..Counts::default() };
        let line = serde_json::to_vec(&counts.plus(&counts)).unwrap();
        assert!(line.len() + 9 * 15 < FILE_BYTES, "{}", line.len());
    }
}
