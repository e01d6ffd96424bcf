//! Looking at a store: `status`, `check` and the log.

use filepact_commit::{Counts, HeldPin, Live, held_pins, look_past_links, rescued_edits};
use filepact_fs::Time;
use filepact_journal::{Group, RecordKind, load, scan};

use crate::{Error, Rescued, Store, Version};

/// A store at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The store's id.
    pub store: String,
    /// The number of the last record: transactions up to it are committed.
    pub committed: u64,
    /// Everything up to this number is durable without the journal.
    pub checkpoint: u64,
    /// Bytes of journal since then.
    pub journal_bytes: u64,
    /// A transaction that is committed while its documents are not all at their paths.
    pub unpublished: Option<u64>,
    /// Why the last checkpoint did not happen; it is tried again.
    pub deferred_checkpoint: Option<String>,
    /// No more commits are taken, by this handle or by all: close the store and open it again.
    pub failed: bool,
    /// Outside edits that commits have displaced, and where they lie.
    pub rescued: Vec<Rescued>,
    /// The snapshots that processes hold, oldest first, and what they cost.
    pub pins: Vec<HeldPin>,
    /// How often things have happened, in all processes since the store was made. Other processes
    /// add theirs at most once a second, and what was not added goes with a crash.
    pub counts: Counts,
}

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Segments of the journal that were read.
    pub segments: usize,
    /// Transactions found whole in them.
    pub transactions: usize,
    /// Documents held against the journal.
    pub documents: usize,
    /// Documents edited by other programs since they were published: no fault.
    pub outside_edits: Vec<String>,
    /// Files that can be no documents, because their names are not UTF-8 or too long: no fault.
    pub skipped: Vec<String>,
    /// What is wrong; empty if the store is clean.
    pub problems: Vec<String>,
}

/// A transaction in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedTransaction {
    /// Its number.
    pub txn: u64,
    /// When.
    pub time: Time,
    /// Who and why.
    pub note: Option<String>,
    /// An edit by another program that was found and recorded.
    pub outside: bool,
    /// What it changed, in order.
    pub changes: Vec<LoggedChange>,
}

/// One change of a logged transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedChange {
    /// The document.
    pub path: String,
    /// How.
    pub kind: LoggedKind,
}

/// How a document was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedKind {
    /// It got a body.
    Put {
        /// The length in bytes.
        len: u64,
        /// What [`version`](Store::version) says of it since.
        version: Version,
    },
    /// It got longer by this many bytes.
    Append {
        /// The number of bytes that were added.
        len: u64,
    },
    /// It was removed.
    Remove,
}

impl Store {
    /// The store at a glance.
    pub fn status(&self) -> Result<Status, Error> {
        self.enter()?;
        let writer = &self.0.writer;
        let journal = writer.journal_status()?;
        Ok(Status {
            store: journal.store,
            committed: writer.view().committed(),
            checkpoint: journal.checkpoint,
            journal_bytes: journal.bytes_since_checkpoint,
            unpublished: journal.unpublished,
            deferred_checkpoint: journal.deferred,
            failed: journal.failed,
            rescued: rescued_edits(self.0.fs())?,
            pins: held_pins(self.0.fs())?,
            counts: writer.counters().sum(self.0.fs())?,
        })
    }

    /// Verifies every line of the journal, and holds every document that it names against its last
    /// word. Commits of all processes wait meanwhile; nothing is changed.
    pub fn check(&self) -> Result<Check, Error> {
        self.enter()?;
        let _quiet = self.0.writer.quiet(self.0.timeout())?;
        let (fs, view) = (self.0.fs(), self.0.writer.view());
        view.follow()?;
        let segments = load(fs)?;
        let mut check = Check { segments: segments.len(), ..Check::default() };
        let bytes: Vec<(u64, &[u8])> =
            segments.iter().map(|segment| (segment.first, segment.bytes.as_slice())).collect();
        match scan(&bytes, Some(view.committed())) {
            Ok(scan) => check.transactions = transactions(&scan.groups).count(),
            Err(error) => check.problems.push(error.to_string()),
        }
        let in_flight = view.in_flight();
        for (path, known) in view.all_known() {
            check.documents += 1;
            if in_flight.get(&path).is_some() {
                check.problems.push(format!("`{path}` is committed and not published yet"));
                continue;
            }
            let stat = match &known.content {
                None => match look_past_links(fs, &path)? {
                    Live::Absent | Live::Other(_) => continue,
                    Live::Document { stat, .. } => Some(stat),
                },
                Some(holds) => match holds.is_at(fs, &path)? {
                    Some((true, _)) => continue,
                    other => other.map(|(_, stat)| stat),
                },
            };
            // Another content under the stamp that filepact left is no edit: the disk lost a write.
            let now = stat.map(|stat| stat.stamp);
            if now.is_some() && now == known.stamp.map(|known| known.stamp) {
                check.problems.push(format!("`{path}` does not hold what was written to it"));
            } else {
                check.outside_edits.push(path.to_string());
            }
        }
        check.outside_edits.sort();
        check.skipped = crate::read::names(fs, view, "")?.1;
        Ok(check)
    }

    /// The transactions that the journal still holds, oldest first. Older ones have gone with a
    /// checkpoint.
    pub fn log(&self) -> Result<Vec<LoggedTransaction>, Error> {
        self.enter()?;
        Ok(transactions(&self.0.writer.view().scan()?.groups).collect())
    }
}

/// The transactions of these groups, in order.
pub(crate) fn transactions(groups: &[Group]) -> impl Iterator<Item = LoggedTransaction> {
    groups.iter().flat_map(Group::transactions).map(|(changes, commit, txn)| {
        let changes = changes.iter().filter_map(|record| {
            let (path, kind) = match &record.kind {
                RecordKind::Put(put) => {
                    (&put.path, LoggedKind::Put { len: put.len, version: Version(put.hash) })
                }
                RecordKind::Append(append) => {
                    (&append.path, LoggedKind::Append { len: append.len })
                }
                RecordKind::Remove(remove) => (&remove.path, LoggedKind::Remove),
                RecordKind::Commit(_) | RecordKind::Checkpoint { .. } => return None,
            };
            Some(LoggedChange { path: path.clone(), kind })
        });
        let changes = changes.collect();
        let (time, note, outside) = (commit.time, commit.note.clone(), commit.outside);
        LoggedTransaction { txn, time, note, outside, changes }
    })
}
