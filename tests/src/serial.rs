//! Are the transactions of several processes strictly serializable? Each says what it saw and did;
//! the journal says in which order those that count were committed; [`Record::judge`] replays them.
//!
//! - In that order, each transaction that changed something saw exactly what stood before it.
//! - Any other saw what stood at *one* moment between its beginning and its end.
//! - Who began after another had ended comes after it.
//! - What was acknowledged counts; what was refused does not; what died half way counts whole or not
//!   at all, and in the end the files are what the last transaction left.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use filepact::{Error, Store, Transaction};
use filepact_fs::Fs;
use filepact_simfs::SimFs;
use serde::Deserialize;

use crate::history::{INLINE_MAX, Tree, body};
use crate::steps::Steps;

/// A short transaction, over the documents of [`history::before`](crate::history::before).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Puts one document, unread.
    Put,
    /// Puts two, one of them in a new directory.
    PutTwo,
    /// Reads two and changes both.
    Transfer,
    /// Reads one and puts the other: half of a write skew.
    Skew,
    /// The other half.
    OtherSkew,
    /// Counts all documents and puts the sum.
    Count,
    /// Puts a document that must be absent.
    Create,
    /// Removes one.
    Remove,
    /// Puts a large body.
    Large,
    /// Moves one, large or not.
    Rename,
    /// Reads two.
    Read,
    /// Lists all, and reads one.
    List,
}

/// Every kind.
pub const KINDS: [Kind; 12] = [
    Kind::Put,
    Kind::PutTwo,
    Kind::Transfer,
    Kind::Skew,
    Kind::OtherSkew,
    Kind::Count,
    Kind::Create,
    Kind::Remove,
    Kind::Large,
    Kind::Rename,
    Kind::Read,
    Kind::List,
];

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Acknowledged, under this number.
    Committed(u64),
    /// Nothing was to be changed, or nothing was: it counts for what it saw alone.
    Unchanged,
    /// Dead half way.
    Unknown,
}

/// What one transaction saw and did.
#[derive(Clone, Debug)]
struct Entry {
    note: String,
    kind: Kind,
    begins: usize,
    ends: Option<usize>,
    reads: Vec<(String, Option<Vec<u8>>)>,
    lists: Vec<Vec<String>>,
    changes: Vec<(String, Option<Vec<u8>>)>,
    outcome: Outcome,
}

/// What everybody saw and did.
#[derive(Debug, Default)]
pub struct Record {
    clock: AtomicUsize,
    entries: Mutex<Vec<Entry>>,
    /// Segments of the journal that were removed.
    archive: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

/// A transaction that writes itself into the record.
struct Recorded<'a> {
    record: &'a Record,
    at: usize,
    tx: Transaction,
}

impl Record {
    /// The file system of a process, which keeps the segments that it removes for the judge.
    pub fn archiving(&self, sim: &SimFs, fs: Arc<dyn Fs>) -> Arc<dyn Fs> {
        let (sim, archive) = (sim.clone(), Arc::clone(&self.archive));
        Steps::new(fs, move |_, op, path| {
            if op == "unlink" && path.ends_with(".jsonl") {
                let bytes = sim.read(path).unwrap_or_default();
                archive.lock().expect("nobody panics here").insert(path.to_owned(), bytes);
            }
        })
    }

    /// The transactions that were committed, by number and note, from the first on.
    pub fn log(&self, sim: &SimFs, store: &Store) -> Vec<(u64, String)> {
        let committed = store.status().expect("it can be read").committed;
        let mut segments = self.archive.lock().expect("nobody panics here").clone();
        let journal = |path: &String| path.starts_with(".filepact/journal/0");
        segments.extend(sim.tree().into_iter().filter(|(path, _)| journal(path)));
        let firsts: Vec<u64> = segments.keys().map(|path| first_seq(path)).collect();
        let ends = firsts.iter().skip(1).map(|first| first - 1).chain([committed]);
        let mut log = Vec::new();
        for (bytes, end) in segments.values().zip(ends) {
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                // What does not parse is what a dead writer has left.
                let Ok(line) = serde_json::from_slice::<Line>(line) else { continue };
                if let (true, Some(note)) = (line.rec.seq <= end, line.rec.note) {
                    log.push((line.rec.seq, note));
                }
            }
        }
        log
    }

    /// Runs a transaction and records it; what it writes nobody else writes. `note` is its name.
    /// Returns why it was refused, if it was.
    ///
    /// # Panics
    /// If it fails otherwise than a transaction beside others may; one that only reads may be in
    /// conflict, and never waits.
    pub fn run(&self, store: &Store, kind: Kind, note: &str) -> Option<Error> {
        let begins = self.tick();
        let at = {
            let mut entries = self.entries();
            entries.push(Entry {
                note: note.to_owned(),
                kind,
                begins,
                ends: None,
                reads: Vec::new(),
                lists: Vec::new(),
                changes: Vec::new(),
                outcome: Outcome::Unknown,
            });
            entries.len() - 1
        };
        let outcome = store.begin().and_then(|tx| {
            let mut recorded = Recorded { record: self, at, tx };
            recorded.tx.note(note);
            recorded.perform(kind, note)?;
            let unchanged = self.entries()[at].changes.is_empty();
            Ok((unchanged, recorded.tx.commit()?.txn))
        });
        let only_reads = matches!(kind, Kind::Read | Kind::List);
        let (outcome, refused) =
            match outcome {
                Ok((true, _)) => (Outcome::Unchanged, None),
                Ok((false, txn)) => (Outcome::Committed(txn), None),
                Err(error @ Error::Conflict { .. }) => (Outcome::Unchanged, Some(error)),
                Err(
                    error @ (Error::Locked { .. } | Error::NotFound { .. } | Error::Exists { .. }),
                ) if !only_reads => (Outcome::Unchanged, Some(error)),
                Err(error) if is_death(&error) => return Some(error),
                Err(error) => panic!("{note} {kind:?}: {error:?}"),
            };
        let ends = self.tick();
        let mut entries = self.entries();
        (entries[at].ends, entries[at].outcome) = (Some(ends), outcome);
        refused
    }

    /// Holds everything against `log`, the committed transactions by number and note, and against
    /// the documents before and after all of it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(&self, before: &Tree, log: &[(u64, String)], after: &Tree) -> Result<(), String> {
        let entries = self.entries();
        let mut trees = vec![before.clone()];
        let mut order: Vec<&Entry> = Vec::new();
        for (txn, note) in log {
            let entry = entries.iter().find(|entry| entry.note == *note);
            let entry = entry.ok_or_else(|| format!("{txn} is nobody's: {note:?}"))?;
            match entry.outcome {
                Outcome::Committed(said) if said == *txn => {}
                Outcome::Unknown => {}
                other => return Err(format!("{note} is {txn} in the log, and {other:?}")),
            }
            let mut tree = trees.last().expect("never empty").clone();
            entry.holds_in(&tree).map_err(|why| format!("{note}, committed as {txn}: {why}"))?;
            if let Some(later) = order.iter().find(|later| entry.ended_before(later)) {
                return Err(format!("{} comes before {note}, and began after it", later.note));
            }
            for (path, content) in &entry.changes {
                match content {
                    Some(content) => drop(tree.insert(path.clone(), content.clone())),
                    None => drop(tree.remove(path)),
                }
            }
            order.push(entry);
            trees.push(tree);
        }
        for entry in entries.iter() {
            let note = &entry.note;
            if order.iter().any(|committed| committed.note == *note) {
                continue;
            }
            if matches!(entry.outcome, Outcome::Committed(_)) {
                return Err(format!("{note} was acknowledged, and is lost"));
            }
            let first =
                order.iter().rposition(|other| other.ended_before(entry)).map_or(0, |at| at + 1);
            let last = order.iter().take_while(|other| !entry.ended_before(other)).count();
            let moments = trees.get(first..=last).unwrap_or_default();
            if !moments.iter().any(|tree| entry.holds_in(tree).is_ok()) {
                return Err(format!("{note} saw no moment from {first} to {last}: {entry:?}"));
            }
        }
        if trees.last() == Some(after) {
            Ok(())
        } else {
            Err("the files are not what the last transaction left".to_owned())
        }
    }

    fn tick(&self) -> usize {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything, for the report of a failure.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Entry { note, kind, begins, ends, outcome, reads, .. } in self.entries().iter() {
            let reads: Vec<_> = reads
                .iter()
                .map(|(path, body)| (path, body.as_ref().map(|body| shown(body))))
                .collect();
            writeln!(f, "{note} {kind:?} from {begins} to {ends:?}: {outcome:?}, saw {reads:?}")?;
        }
        Ok(())
    }
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(12)]).into_owned()
}

/// What a process hears once it is killed.
pub fn is_death(error: &Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("the process is dead") {
            return true;
        }
        cause = error.source();
    }
    // A sync, or `state`, that could not be written for that reason.
    matches!(error, Error::Poisoned | Error::CommitUnknown { .. })
}

impl Entry {
    fn ended_before(&self, other: &Self) -> bool {
        self.ends.is_some_and(|ends| ends < other.begins)
    }

    fn holds_in(&self, tree: &Tree) -> Result<(), String> {
        for (path, seen) in &self.reads {
            if tree.get(path) != seen.as_ref() {
                let seen = seen.as_ref().map(|body| shown(body));
                return Err(format!("`{path}` was not {seen:?}"));
            }
        }
        match self.lists.iter().all(|names| tree.keys().eq(names)) {
            true => Ok(()),
            false => Err("the list was another".to_owned()),
        }
    }
}

impl Recorded<'_> {
    fn perform(&mut self, kind: Kind, note: &str) -> Result<(), Error> {
        let content = |path: &str, len| body(&format!("{note} {path}"), 1, len);
        let put = |this: &mut Self, path: &str, len| this.put(path, content(path, len));
        match kind {
            Kind::Put => put(self, "a.json", 200),
            Kind::PutTwo => {
                put(self, "a.json", 300)?;
                put(self, "new/dir/c.json", 100)
            }
            Kind::Transfer => {
                self.read("a.json")?;
                self.read("b.json")?;
                put(self, "a.json", 400)?;
                put(self, "b.json", 400)
            }
            Kind::Skew => {
                self.read("a.json")?;
                put(self, "b.json", 150)
            }
            Kind::OtherSkew => {
                self.read("b.json")?;
                put(self, "a.json", 150)
            }
            Kind::Count => {
                self.list()?;
                put(self, "sums/count", 50)
            }
            Kind::Create => match self.read("only")? {
                None => put(self, "only", 50),
                Some(_) => Ok(()),
            },
            Kind::Remove => match self.read("b.json")? {
                None => Ok(()),
                Some(_) => self.remove("b.json"),
            },
            Kind::Large => {
                put(self, "a.json", INLINE_MAX * 2)?;
                put(self, "large", INLINE_MAX + 1)
            }
            Kind::Rename => self.rename("a.json", "moved"),
            Kind::Read => {
                self.read("b.json")?;
                self.read("a.json")?;
                self.read("new/dir/c.json").map(drop)
            }
            Kind::List => {
                self.list()?;
                self.read("a.json")?;
                self.list()
            }
        }
    }

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let body = self.tx.read_bytes(path)?;
        self.record.entries()[self.at].reads.push((path.to_owned(), body.clone()));
        Ok(body)
    }

    fn list(&mut self) -> Result<(), Error> {
        let names = self.tx.list("")?.iter().map(ToString::to_string).collect();
        self.record.entries()[self.at].lists.push(names);
        Ok(())
    }

    fn put(&mut self, path: &str, body: Vec<u8>) -> Result<(), Error> {
        self.tx.write_bytes(path, body.clone())?;
        self.record.entries()[self.at].changes.push((path.to_owned(), Some(body)));
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), Error> {
        self.tx.remove(path)?;
        self.record.entries()[self.at].changes.push((path.to_owned(), None));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Error> {
        let (body, there) = (self.read(from)?, self.read(to)?);
        match self.tx.rename(from, to) {
            Err(error @ Error::NotFound { .. }) if body.is_some() => panic!("{error}"),
            Err(error @ Error::Exists { .. }) if there.is_none() => panic!("{error}"),
            outcome => outcome?,
        }
        let changes = &mut self.record.entries()[self.at].changes;
        changes.push((from.to_owned(), None));
        changes.push((to.to_owned(), body));
        Ok(())
    }
}

/// As much of a line of the journal as tells a transaction.
#[derive(Deserialize)]
struct Line {
    rec: Rec,
}

#[derive(Deserialize)]
struct Rec {
    #[serde(default)]
    seq: u64,
    note: Option<String>,
}

fn first_seq(path: &str) -> u64 {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.trim_end_matches(".jsonl").parse().expect("segments are named by a number")
}
