//! A worker: threads that read and write at random, and note all of it.

use std::path::Path as FilePath;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filepact::{Error, Options, Store, Transaction, Version};
use serde::{Deserialize, Serialize};

use super::listener::listen;
use super::notes::{Notes, now};
use super::pinned::Pinned;
use super::record::{End, Op, Path, Saw, Sighting, Wrote};
use crate::processes::random::{Random, mixed};
use crate::processes::{Outcome, crew, recovery};

/// All documents that there ever are. The accounts are always there; the others come and go.
pub(super) const DOCUMENTS: [&str; 20] = [
    "accounts/0.json",
    "accounts/1.json",
    "accounts/2.json",
    "accounts/3.json",
    "accounts/4.json",
    "accounts/5.json",
    "accounts/6.json",
    "accounts/7.json",
    "notes/a/0.json",
    "notes/a/1.json",
    "notes/a/2.json",
    "notes/a/3.json",
    "notes/b/0.json",
    "notes/b/1.json",
    "notes/b/2.json",
    "notes/b/3.json",
    "tags/0.json",
    "tags/1.json",
    "tags/2.json",
    "tags/3.json",
];
pub(super) const ACCOUNTS: usize = 8;
pub(super) const DIRECTORIES: [&str; 5] = ["notes", "notes/a", "notes/b", "tags", ""];

/// A document names its writer, and has a length of its own, so that half of it shows.
#[derive(Serialize, Deserialize)]
pub(super) struct Body {
    by: String,
    pad: String,
}

/// Some bodies are too large for the journal.
const INLINE_MAX: usize = 1024;

/// How all processes open the store: only the supervisor checkpoints it, see `order`.
pub(super) fn options() -> Options {
    Store::options().inline_max(INLINE_MAX).journal_max(u64::MAX)
}

impl Body {
    pub(super) fn by(op: Op) -> Self {
        let number = u64::from(op.process) << 40 ^ u64::from(op.thread) << 32;
        let number = mixed(number ^ u64::from(op.number)) as usize;
        let length = if number.is_multiple_of(16) { 2 * INLINE_MAX } else { number % 50 };
        Self { by: op.to_string(), pad: "x".repeat(length) }
    }

    /// Who wrote it; an error if it is not whole.
    pub(super) fn writer(&self) -> Outcome<Op> {
        let op = self.by.parse()?;
        match Self::by(op).pad == self.pad {
            true => Ok(op),
            false => Err(format!("a document of {op} is torn").into()),
        }
    }
}

/// What a transaction is to do: all reads before all changes.
#[derive(Debug, Default)]
struct Plan {
    reads: Vec<&'static str>,
    lists: Vec<&'static str>,
    changes: Vec<(&'static str, Change)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Put,
    Create,
    Remove,
}

/// Why the inside of a transaction ends early.
enum Stop {
    /// On purpose: the transaction is to be dropped.
    GivenUp,
    Store(Error),
    /// What must not be.
    Wrong(Box<dyn std::error::Error + Send + Sync>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for Stop {
    fn from(wrong: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self::Wrong(wrong)
    }
}

/// One thread.
struct Session {
    store: Store,
    notes: Notes,
    random: Random,
    /// The last attempt.
    op: Op,
    pinned: Option<Pinned>,
}

pub(crate) fn work(arguments: &[String]) -> Outcome {
    let [store, notes, process, threads] = arguments else {
        return Err("a worker needs two folders and two numbers".into());
    };
    let process = process.parse()?;
    let store = options().open(store)?;
    recovery::found_no_edits(store.recovery_report())?;
    let threads: u32 = threads.parse()?;
    crew::until_told(threads + 1, |thread, stop| {
        let mut notes = Notes::create(FilePath::new(notes), process, thread)?;
        if thread == threads {
            return listen(&store, &mut notes, stop);
        }
        let op = Op { process, thread, number: 0 };
        let (store, random, pinned) = (store.clone(), Random::new(), None);
        Session { store, notes, random, op, pinned }.run(stop)
    })
}

impl Session {
    fn run(&mut self, stop: &AtomicBool) -> Outcome {
        while !stop.load(Ordering::Relaxed) {
            // A commit takes a hundred times as long as a read.
            match self.random.below(1000) {
                0..600 => self.read_one()?,
                600..900 => self.read_several()?,
                900..940 => self.look_back()?,
                940..970 => self.transact(false)?,
                970..975 => self.transact(true)?,
                _ => self.begin_and_commit()?,
            }
        }
        self.pinned.take().map_or(Ok(()), |pinned| pinned.let_go(&mut self.notes))
    }

    fn next(&mut self) -> Op {
        self.op.number += 1;
        self.op
    }

    /// One call without a transaction.
    fn read_one(&mut self) -> Outcome {
        let op = self.next();
        let from = now();
        let mut saw = Vec::new();
        let path = DOCUMENTS[self.random.below(DOCUMENTS.len())];
        match self.random.below(8) {
            0 => saw.push(there(path, self.store.exists(path)?)),
            1 => {
                let dir = self.directory();
                let listed = self.store.list(dir)?;
                sightings_of_list(dir, listed.iter().map(|path| &**path), &mut saw)?;
            }
            _ => saw.push(sighting(path, self.store.get(path)?)?),
        }
        self.notes.read(op, from, &saw)
    }

    /// Takes a snapshot, reads through the one that was taken before, or lets it go.
    fn look_back(&mut self) -> Outcome {
        match self.pinned.take() {
            None => {
                let op = self.next();
                self.pinned = Some(Pinned::take(&self.store, op)?);
            }
            Some(pinned) if self.random.one_in(16) => pinned.let_go(&mut self.notes)?,
            Some(mut pinned) => {
                pinned.look(&mut self.random)?;
                self.pinned = Some(pinned);
            }
        }
        Ok(())
    }

    /// A transaction that changes nothing.
    fn read_several(&mut self) -> Outcome {
        let plan = self.plan_reads();
        let (mut from, mut saw) = (0, Vec::new());
        let store = self.store.clone();
        let done = store.transact(|tx| {
            // What was read before a conflict is of one moment, too.
            if !saw.is_empty() {
                self.notes.read(self.op, from, &saw)?;
                saw.clear();
            }
            self.next();
            from = now();
            look(tx, &plan, &mut self.random, &mut saw)
        });
        match done {
            Ok(()) | Err(Stop::Store(Error::Conflict { .. } | Error::Locked { .. })) => {
                self.notes.read(self.op, from, &saw)
            }
            Err(stop) => Err(told(stop)),
        }
    }

    /// A transaction that is tried again after a conflict; in the end it is given up, or not.
    fn transact(&mut self, give_up: bool) -> Outcome {
        let plan = self.plan();
        let store = self.store.clone();
        let mut open = None;
        let done = store.transact(|tx| {
            if let Some(before) = open.take() {
                self.notes.end(before, End::Nothing)?;
            }
            open = Some(self.begin()?);
            self.attempt(tx, &plan, &[])?;
            if give_up { Err(Stop::GivenUp) } else { Ok(()) }
        });
        self.end(open, done.map(|()| None))
    }

    /// Begin and commit by hand: blind, with an expectation, with the lock from the start, or
    /// rolled back.
    fn begin_and_commit(&mut self) -> Outcome {
        let mut plan = self.plan();
        let mut expected = Vec::new();
        let mut versions = Vec::new();
        let kind = self.random.below(8);
        match kind {
            // Blind: whatever was there.
            0..3 => {
                plan.reads.clear();
                plan.lists.clear();
            }
            3..5 => {
                let path = DOCUMENTS[self.random.below(DOCUMENTS.len())];
                let (op, from) = (self.next(), now());
                let bytes = self.store.read_bytes(path)?;
                let body = bytes.as_deref().map(serde_json::from_slice).transpose()?;
                expected.push(sighting(path, body)?);
                self.notes.read(op, from, &expected)?;
                versions.push((path, bytes.map(|bytes| Version::of(&bytes))));
            }
            _ => {}
        }
        let op = self.begin()?;
        let begun = match kind {
            5 => self.store.begin_exclusive(Duration::from_secs(5)),
            _ => self.store.begin(),
        };
        let mut tx = match begun {
            Ok(tx) => tx,
            Err(error) => return self.end(Some(op), Err(error.into())),
        };
        for (path, version) in versions {
            tx.expect(path, version)?;
        }
        let attempted = self.attempt(&mut tx, &plan, &expected);
        if attempted.is_ok() && kind == 6 && self.random.one_in(2) {
            tx.rollback();
            return self.notes.end(op, End::Nothing);
        }
        let done = attempted.and_then(|wrote| {
            let committed = tx.commit()?;
            match committed.rescued.is_empty() {
                true => Ok((wrote > 0).then_some(committed.txn)),
                false => Err(Stop::Wrong(format!("rescued: {:?}", committed.rescued).into())),
            }
        });
        self.end(Some(op), done)
    }

    fn begin(&mut self) -> Outcome<Op> {
        let op = self.next();
        self.notes.begin(op)?;
        Ok(op)
    }

    /// The inside of a transaction that may write; says how many documents it changes.
    fn attempt(
        &mut self,
        tx: &mut Transaction,
        plan: &Plan,
        expected: &[Sighting],
    ) -> Result<usize, Stop> {
        let op = self.op;
        tx.note(op.to_string());
        let (mut saw, mut wrote) = (Vec::new(), Vec::new());
        let done = look(tx, plan, &mut self.random, &mut saw)
            .and_then(|()| change(tx, plan, op, &mut saw, &mut wrote));
        self.notes.saw(op, &saw, expected, &wrote)?;
        done?;
        look_at_own(tx, plan, op, &wrote)?;
        Ok(wrote.len())
    }

    fn end(&mut self, op: Option<Op>, done: Result<Option<u64>, Stop>) -> Outcome {
        let (end, wrong) = match done {
            Ok(txn) => (End::Committed(txn), None),
            Err(Stop::GivenUp | Stop::Store(Error::Conflict { .. } | Error::Locked { .. })) => {
                (End::Nothing, None)
            }
            Err(stop) => (End::Unknown, Some(told(stop))),
        };
        if let Some(op) = op {
            self.notes.end(op, end)?;
        }
        wrong.map_or(Ok(()), Err)
    }

    fn directory(&mut self) -> &'static str {
        DIRECTORIES[self.random.below(DIRECTORIES.len())]
    }

    fn plan_reads(&mut self) -> Plan {
        let how_many = 1 + self.random.below(5);
        let reads = self.random.some(&DOCUMENTS, how_many);
        let lists = match self.random.one_in(3) {
            true => vec![self.directory()],
            false => Vec::new(),
        };
        Plan { reads, lists, changes: Vec::new() }
    }

    /// Some reads, and changes of documents that were read as well as of others.
    fn plan(&mut self) -> Plan {
        let mut plan = self.plan_reads();
        let how_many = 1 + self.random.below(3);
        for path in self.random.some(&DOCUMENTS, how_many) {
            let change = match self.random.below(3) {
                _ if DOCUMENTS[..ACCOUNTS].contains(&path) => Change::Put,
                0 => Change::Put,
                1 => Change::Create,
                _ => Change::Remove,
            };
            // A change of what was read is the usual case.
            if change == Change::Put && self.random.one_in(2) && !plan.reads.contains(&path) {
                plan.reads.push(path);
            }
            plan.changes.push((path, change));
        }
        plan
    }
}

/// The reads of a plan; what was seen is kept also if it ends early.
fn look(
    tx: &mut Transaction,
    plan: &Plan,
    random: &mut Random,
    saw: &mut Vec<Sighting>,
) -> Result<(), Stop> {
    for path in &plan.reads {
        saw.push(match random.one_in(8) {
            true => there(path, tx.exists(path)?),
            false => sighting(path, tx.get(path)?)?,
        });
    }
    for dir in &plan.lists {
        let listed = tx.list(dir)?;
        sightings_of_list(dir, listed.iter().map(|path| &**path), saw)?;
    }
    Ok(())
}

/// The changes of a plan.
fn change(
    tx: &mut Transaction,
    plan: &Plan,
    op: Op,
    saw: &mut Vec<Sighting>,
    wrote: &mut Vec<Wrote>,
) -> Result<(), Stop> {
    for (path, change) in &plan.changes {
        let done = match change {
            Change::Put => tx.write(path, &Body::by(op)),
            Change::Create => tx.create(path, &Body::by(op)),
            Change::Remove => tx.remove(path),
        };
        let changed = match done {
            Ok(()) => true,
            Err(Error::Exists { .. } | Error::NotFound { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        match change {
            Change::Put => {}
            Change::Create => saw.push(there(path, !changed)),
            Change::Remove => saw.push(there(path, changed)),
        }
        if changed {
            wrote.push(Wrote { path: (*path).into(), removed: *change == Change::Remove });
        }
    }
    Ok(())
}

/// A transaction sees its own changes.
fn look_at_own(tx: &mut Transaction, plan: &Plan, op: Op, wrote: &[Wrote]) -> Result<(), Stop> {
    for Wrote { path, removed } in wrote {
        let own = sighting(path, tx.get(path)?)?.saw;
        if own != (if *removed { Saw::Nothing } else { Saw::Value(op) }) {
            return Err(Stop::Wrong(format!("{op} finds {own:?} where it wrote {path}").into()));
        }
    }
    if let Some(dir) = plan.lists.first() {
        let listed = tx.list(dir)?;
        for Wrote { path, removed } in wrote.iter().filter(|wrote| is_below(&wrote.path, dir)) {
            if listed.iter().any(|listed| **listed == **path) == *removed {
                return Err(Stop::Wrong(format!("{op} lists {listed:?} after {wrote:?}").into()));
            }
        }
    }
    Ok(())
}

fn told(stop: Stop) -> Box<dyn std::error::Error + Send + Sync> {
    match stop {
        Stop::GivenUp => "given up".into(),
        Stop::Store(error) => format!("{error}: {error:?}").into(),
        Stop::Wrong(wrong) => wrong,
    }
}

pub(super) fn sighting(path: &str, body: Option<Body>) -> Outcome<Sighting> {
    let saw = match body {
        Some(body) => Saw::Value(body.writer().map_err(|error| format!("{path}: {error}"))?),
        None => Saw::Nothing,
    };
    Ok(Sighting { path: path.into(), saw })
}

pub(super) fn there(path: &str, is_there: bool) -> Sighting {
    let saw = if is_there { Saw::Something } else { Saw::Nothing };
    Sighting { path: path.into(), saw }
}

/// A list says of every document below its directory whether it is there.
pub(super) fn sightings_of_list<'a>(
    dir: &str,
    listed: impl Iterator<Item = &'a str>,
    saw: &mut Vec<Sighting>,
) -> Outcome {
    let mut there_are = vec![false; DOCUMENTS.len()];
    for path in listed {
        let known = DOCUMENTS.iter().position(|known| *known == path);
        let known = known.filter(|_| is_below(path, dir));
        there_are[known.ok_or_else(|| format!("`{dir}` lists {path}, which nobody writes"))?] =
            true;
    }
    let below = DOCUMENTS.iter().zip(there_are).filter(|(path, _)| is_below(path, dir));
    saw.extend(below.map(|(path, is_there)| there(path, is_there)));
    Ok(())
}

fn is_below(path: &str, dir: &str) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// For messages and maps that outlive the constants.
pub(super) fn all_paths() -> impl Iterator<Item = Path> {
    DOCUMENTS.iter().map(|path| Path::from(*path))
}
