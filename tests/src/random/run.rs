//! Runs a history step by step, and holds what is seen and told against the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use filepact::{Durability, Error, Store, Transaction, Version};
use filepact_fs::{Access, Fs, Time};
use filepact_simfs::{Fault, FaultKind, Grain, Profile, SimFs, When, errno};

use super::hand::{Hand, Lie};
use super::model::{Bytes, Ending, Event, Model, shown};
use super::step::{Beside, Failing, How, Mishap, Op, Step};
use super::{Counts, Violation};
use crate::crash::options;
use crate::history::{INLINE_MAX, Tree, body};
use crate::interleave::{Fate, Interleaving};
use crate::steps::Steps;

/// A process that has the store open.
struct Process {
    store: Store,
    fs: Arc<Steps<Hand>>,
    /// Something has failed that may have stopped this handle.
    shaken: bool,
}

/// A history in progress.
pub(super) struct Run {
    pub(super) sim: SimFs,
    pub(super) model: Model,
    pub(super) counts: Counts,
    processes: BTreeMap<usize, Process>,
    lie: Option<Lie>,
    /// Which step this is.
    at: usize,
    /// Somebody has died in mid-step, or was told that something is unknown or unpublished, since
    /// the store was last opened alone.
    unsettled: bool,
    /// Something has failed since then: others may be refused.
    shaken: bool,
    /// A sync of the journal has failed in a commit since then: nobody may commit.
    failed: bool,
    /// A sync of anything has failed since then: what it was to make durable may be lost any time.
    sync_failed: bool,
    /// A commit is durable only with the next checkpoint.
    buffered: bool,
    /// Documents changed, or read by what changed others, since the last checkpoint.
    changed: BTreeSet<String>,
    /// Documents that may be in a new directory, or were removed.
    named: BTreeSet<String>,
    /// A directory's sync has failed: those are lost with the power, whatever else is made anew.
    lost_names: bool,
    /// One has failed in an opening: nobody else is told.
    is_over: bool,
    /// The clock was set back.
    is_set_back: bool,
    /// Somebody has put a time back: a handle that has not seen that edit take place takes it for a write
    /// that was lost, and its checkpoint refuses.
    is_backdated: bool,
    /// Documents whose large body another program has edited in place.
    edited_bodies: BTreeSet<String>,
}

type Outcome = Result<(), Violation>;

impl Run {
    pub(super) fn new(lie: Option<Lie>) -> Self {
        Self {
            sim: SimFs::new(),
            model: Model::default(),
            counts: Counts { histories: 1, ..Counts::default() },
            processes: BTreeMap::new(),
            lie,
            at: 0,
            unsettled: false,
            shaken: false,
            failed: false,
            sync_failed: false,
            buffered: false,
            changed: BTreeSet::new(),
            named: BTreeSet::new(),
            lost_names: false,
            is_over: false,
            is_set_back: false,
            is_backdated: false,
            edited_bodies: BTreeSet::new(),
        }
    }

    /// Takes a step; `at` is its number, from 1.
    pub(super) fn step(&mut self, at: usize, step: &Step) -> Outcome {
        self.at = at;
        if self.is_over {
            return Ok(());
        }
        self.counts.steps += 1;
        match step {
            Step::Open { who, durability, mishap } => self.open(*who, *durability, *mishap),
            Step::Do { who, exclusive, ops, mishap } => self.run(*who, *exclusive, ops, *mishap),
            Step::Checkpoint { who, mishap } => self.checkpoint(*who, *mishap),
            Step::Close { who, mishap } => self.close(*who, *mishap),
            Step::Drop { who } => {
                self.processes.remove(who);
                self.model.checkpointed();
                Ok(())
            }
            Step::Kill { who } => {
                self.kill(*who);
                Ok(())
            }
            Step::Together { seed, processes } => self.together(*seed, processes),
            Step::Edit { doc, how, len, saved } => {
                self.edit(doc, *how, *len, *saved);
                Ok(())
            }
            Step::Wait(ms) => {
                self.wait(*ms);
                Ok(())
            }
            Step::Flush(path) => {
                match path {
                    Some(path) => self.sim.write_back(path),
                    None => self.sim.write_back_all(),
                }
                Ok(())
            }
            Step::Exact => {
                self.sim.set_exact_times(true);
                Ok(())
            }
            Step::Evict => {
                self.sim.evict_all();
                if self.sync_failed {
                    self.model.lose_unsaved();
                }
                Ok(())
            }
            Step::Cut { profile, nth } => {
                self.lose_power(*profile, *nth, false);
                Ok(())
            }
            Step::Pull { profile, nth } => {
                self.lose_power(*profile, *nth, true);
                Ok(())
            }
        }
    }

    /// Everybody closes the store, and it is opened alone: it must open, clean and complete.
    pub(super) fn end(&mut self, at: usize) -> Outcome {
        self.at = at;
        if self.is_over {
            return Ok(());
        }
        for who in self.processes.keys().copied().collect::<Vec<_>>() {
            self.close(who, None)?;
        }
        self.open(0, Durability::Journal, None)?;
        self.close(0, None)
    }

    fn violation(&self, kind: &'static str, what: impl Into<String>) -> Violation {
        Violation { kind, what: what.into(), step: self.at, tree: self.sim.dump() }
    }

    fn check(&self, holds: bool, kind: &'static str, what: impl FnOnce() -> String) -> Outcome {
        if holds { Ok(()) } else { Err(self.violation(kind, what())) }
    }

    // What goes wrong

    fn arm(&self, fs: &Steps<Hand>, mishap: Option<Mishap>) {
        match mishap {
            None => {}
            Some(Mishap::Dies { at, mid }) => fs.watch().dies(at, mid),
            Some(Mishap::Fails { how, at, sticky }) => {
                let error = FaultKind::Error;
                let (op, kind) = match how {
                    Failing::Sync => ("sync", error(errno::IO)),
                    Failing::Open => ("open", error(errno::MFILE)),
                    Failing::ShortWrite => ("write", FaultKind::ShortWrite),
                    Failing::Io => ("", error(errno::IO)),
                    Failing::Full => ("", error(errno::NOSPC)),
                    Failing::Interrupted => ("", FaultKind::Interrupted),
                };
                let at = match op {
                    "" => When::Call(self.sim.calls() + at),
                    op => When::Matching { op, path_contains: String::new(), nth: at },
                };
                self.sim.fault(Fault { at, kind, sticky });
            }
        }
    }

    /// The step is over. True if its process has died in it.
    fn disarm(&mut self, fs: &Steps<Hand>, mishap: Option<Mishap>) -> bool {
        fs.watch().lives();
        self.sim.clear_faults();
        let died = fs.watch().is_dead();
        self.counts.deaths += u64::from(died);
        if died {
            self.unsettled = true;
            self.model.displace_edits();
        }
        self.shaken |= mishap.is_some();
        self.unsettled |= mishap.is_some();
        if fs.watch().has_failed_sync() {
            self.sync_failed = true;
            self.model.lose_unsaved();
        }
        self.lost_names |= fs.watch().has_lost_names();
        if self.buffered && fs.watch().has_failed_sync() {
            // What was pending counts as clean, and is lost once the cache drops it.
            self.model.forget_changed(&self.changed);
        }
        died
    }

    fn kill(&mut self, who: usize) {
        if let Some(process) = self.processes.remove(&who) {
            process.fs.watch().kill();
            self.counts.deaths += 1;
            self.unsettled = true;
            self.model.displace_edits();
        }
    }

    fn lose_power(&mut self, profile: Profile, nth: u64, same_boot: bool) {
        for process in std::mem::take(&mut self.processes).into_values() {
            process.fs.watch().kill();
        }
        let world = self.sim.world();
        let outcomes = if same_boot {
            world.remount(&profile, 6, nth)
        } else {
            world.power_cut(&profile, 6, nth)
        };
        let pick = nth as usize % outcomes.worlds.len();
        self.sim = outcomes.worlds.into_iter().nth(pick).expect("there is always an outcome");
        self.counts.cuts += 1;
        self.unsettled = true;
        self.model
            .power_cut(!matches!(profile, Profile::Hostile(_)), profile.grain() == Grain::Trash);
        if self.buffered {
            self.model.forget_changed(&self.changed);
        }
        if std::mem::take(&mut self.lost_names) {
            self.model.forget_changed(&self.named);
        }
    }

    // Opening and closing

    fn open(&mut self, who: usize, durability: Durability, mishap: Option<Mishap>) -> Outcome {
        if self.processes.contains_key(&who) {
            return Ok(());
        }
        let was_alone = self.processes.is_empty();
        let fs = Hand::new(&self.sim, self.lie);
        self.arm(&fs, mishap);
        let opened = options().durability(durability).open_with(Arc::clone(&fs) as Arc<dyn Fs>);
        if was_alone {
            self.model.decide();
            self.model.displace_edits();
            self.counts.recoveries += 1;
        }
        self.is_over = fs.watch().has_lost_names();
        if self.disarm(&fs, mishap) || self.is_over {
            return Ok(());
        }
        let store = match opened {
            Ok(store) => store,
            Err(_) if mishap.is_some() || !was_alone && self.shaken => return Ok(()),
            Err(error) => return Err(self.violation("does not open", format!("{error:?}"))),
        };
        self.buffered |= durability == Durability::Buffered;
        let is_alone = !store.recovery_report().joined;
        self.check(is_alone == was_alone, "joined", || {
            format!("alone: {was_alone}; {:?}", store.recovery_report())
        })?;
        let sync_failed = fs.watch().has_failed_sync();
        self.processes.insert(who, Process { store, fs, shaken: mishap.is_some() });
        if !is_alone {
            return Ok(());
        }
        // What an opening with a fault has not done it must have refused: it is judged like any.
        (self.failed, self.sync_failed, self.changed) = (false, sync_failed, BTreeSet::new());
        (self.unsettled, self.shaken) = (mishap.is_some(), mishap.is_some());
        self.recovered(who)
    }

    /// The store was opened alone: everything is as the journal says.
    fn recovered(&mut self, who: usize) -> Outcome {
        let all = self.sim.tree();
        let is_document =
            |path: &str| !path.starts_with(".filepact/") && !path.ends_with(".edited");
        let files: Tree = all.iter().filter(|(p, _)| is_document(p)).map(clone_pair).collect();
        let before = self.model.describe();
        let found = || {
            let files = files.iter().map(|(path, content)| {
                format!("{path}={}", shown(Some(&Arc::new(content.clone()))))
            });
            format!("found {:?}\n{before}", files.collect::<Vec<_>>())
        };
        if !self.model.files(&files) {
            return Err(self.violation("documents", found()));
        }
        let rescued: BTreeSet<Bytes> = all
            .iter()
            .filter(|(path, _)| path.starts_with(".filepact/rescued/"))
            .map(|(_, content)| Arc::new(content.clone()))
            .collect();
        if !self.model.rescued(&rescued) {
            return Err(self.violation("lost edit", found()));
        }
        let stage: Vec<&String> =
            all.keys().filter(|path| path.starts_with(".filepact/stage/")).collect();
        self.check(stage.is_empty() || self.shaken, "not swept", || format!("{stage:?}"))?;
        match self.processes[&who].store.check() {
            Ok(check) => {
                self.check(check.problems.is_empty(), "not clean", || format!("{check:?}"))?;
            }
            Err(_) if self.shaken => {}
            Err(error) => return Err(self.violation("not clean", format!("{error:?}"))),
        }
        self.counts.judged += 1;
        Ok(())
    }

    fn checkpoint(&mut self, who: usize, mishap: Option<Mishap>) -> Outcome {
        let Some(process) = self.processes.get(&who) else { return Ok(()) };
        let (fs, was_shaken) = (Arc::clone(&process.fs), process.shaken || self.shaken);
        self.arm(&fs, mishap);
        let done = process.store.checkpoint();
        self.model.checkpointed();
        if self.disarm(&fs, mishap) {
            self.processes.remove(&who);
            return Ok(());
        }
        match done {
            Ok(()) => self.changed.clear(),
            Err(_) if mishap.is_some() || was_shaken || self.is_backdated => self.shake(who),
            Err(error) => return Err(self.violation("refused", format!("{error:?}"))),
        }
        Ok(())
    }

    fn close(&mut self, who: usize, mishap: Option<Mishap>) -> Outcome {
        let Some(Process { store, fs, shaken, .. }) = self.processes.remove(&who) else {
            return Ok(());
        };
        self.arm(&fs, mishap);
        let done = store.close();
        self.model.checkpointed();
        if self.disarm(&fs, mishap) {
            return Ok(());
        }
        match done {
            Ok(()) => Ok(()),
            Err(_) if mishap.is_some() || shaken || self.shaken || self.is_backdated => Ok(()),
            Err(error) => Err(self.violation("refused", format!("{error:?}"))),
        }
    }

    fn shake(&mut self, who: usize) {
        self.shaken = true;
        self.unsettled = true;
        if let Some(process) = self.processes.get_mut(&who) {
            process.shaken = true;
        }
    }

    // Transactions

    fn run(&mut self, who: usize, alone: bool, ops: &[Op], mishap: Option<Mishap>) -> Outcome {
        let Some(process) = self.processes.get(&who) else { return Ok(()) };
        let (fs, was_shaken) = (Arc::clone(&process.fs), process.shaken || self.shaken);
        fs.watch().take_failed_sync();
        self.arm(&fs, mishap);
        let events = Mutex::new(Vec::new());
        let told = transaction(&process.store, alone, ops, self.at, 0, &events);
        let died = self.disarm(&fs, mishap);
        let mut events = events.into_inner().unwrap_or_else(PoisonError::into_inner);
        let touched: Vec<String> =
            events.iter().filter_map(Event::document).map(ToOwned::to_owned).collect();
        if died {
            self.processes.remove(&who);
        }
        let told_text = format!("{told:?}");
        let ending = match &told {
            _ if !events.iter().any(|event| event.changes().is_some()) => Ending::Unchanged,
            _ if died => Ending::Unknown,
            Ok(txn) => Ending::Committed(*txn),
            Err(Error::Unpublished { txn, .. }) => Ending::Committed(*txn),
            Err(Error::CommitUnknown { .. }) => Ending::Unknown,
            Err(_) => Ending::Unchanged,
        };
        forget_expected(&mut events, ending);
        if let (Err(error), false) = (&told, died) {
            let is_asked_for = matches!(error, Error::Conflict { .. })
                && ops.iter().any(|op| matches!(op, Op::ExpectWrong(_)));
            self.check(is_asked_for || mishap.is_some() || was_shaken, "refused", || {
                format!("{told_text}; events {events:?}")
            })?;
            if !is_asked_for {
                self.shake(who);
            }
            let journal = fs.watch().take_failed_sync();
            let is_journal = journal.is_some_and(|p| p.starts_with(".filepact/journal/"));
            // Where everything fails, `state` cannot say so: then the handle counts as dead.
            let only_syncs = matches!(mishap, Some(Mishap::Fails { how: Failing::Sync, .. }));
            if matches!(error, Error::CommitUnknown { .. }) && is_journal && only_syncs {
                self.failed = true;
            }
            self.counts.refused += 1;
        } else if matches!(ending, Ending::Committed(_)) {
            self.check(!self.failed, "acknowledged after a failed sync", || told_text.clone())?;
            let wrong = ops.iter().any(|op| matches!(op, Op::ExpectWrong(_)));
            self.check(!wrong, "expected in vain", || told_text.clone())?;
            self.counts.committed += 1;
        }
        self.counts.unknown += u64::from(ending == Ending::Unknown);
        if ending != Ending::Unchanged {
            self.named.extend(events.iter().filter_map(named));
            self.changed.extend(touched);
        }
        let before = self.model.describe();
        self.check(self.model.len() < 5_000, "too many candidates", || before.clone())?;
        if self.model.transactions(&[(events.clone(), ending)]) {
            return Ok(());
        }
        Err(self.violation("transaction", explain(&[(events, ending)], &told_text, &before)))
    }

    fn together(&mut self, seed: u64, processes: &[Beside]) -> Outcome {
        let all: Vec<Mutex<Vec<Event>>> = processes.iter().map(|_| Mutex::default()).collect();
        let mut interleaving = Interleaving::new(seed);
        for (nth, beside) in processes.iter().enumerate() {
            let fs = Hand::new(&self.sim, self.lie);
            let fate = match (beside.dies, beside.stops) {
                (Some(at), _) => Fate::killed(at, &self.sim, fs.watch().actor()),
                (None, Some(at)) => Fate::Stops { at, resume_after: None },
                (None, None) => Fate::Lives,
            };
            let (events, at) = (&all[nth], self.at);
            interleaving = interleaving.process(fs, fate, move |fs| {
                let store = options().lock_timeout(Duration::from_secs(1)).open_with(fs)?;
                transaction(&store, false, &beside.ops, at, nth + 1, events)
            });
        }
        if self.processes.is_empty() {
            self.model.decide();
        }
        self.model.displace_edits();
        let run = match interleaving.run() {
            Ok(run) => run,
            Err(failure) => return Err(self.violation("panic", failure.to_string())),
        };
        self.counts.together += 1;
        let mut ended = Vec::new();
        for (events, told) in all.into_iter().zip(&run.outcomes) {
            let mut events = events.into_inner().unwrap_or_else(PoisonError::into_inner);
            let ending = match told {
                _ if !events.iter().any(|event| event.changes().is_some()) => Ending::Unchanged,
                None | Some(Err(Error::CommitUnknown { .. })) => Ending::Unknown,
                Some(Ok(txn) | Err(Error::Unpublished { txn, .. })) => Ending::Committed(*txn),
                Some(Err(_)) => Ending::Unchanged,
            };
            if told.is_none() {
                self.unsettled = true;
                self.counts.deaths += 1;
            }
            if let (Some(Err(error)), false) = (told, self.shaken) {
                let is_usual = matches!(error, Error::Conflict { .. } | Error::Locked { .. });
                self.check(is_usual, "refused", || format!("{error:?}"))?;
            }
            let is_acknowledged = matches!(ending, Ending::Committed(_));
            self.check(
                !(is_acknowledged && self.failed && !self.processes.is_empty()),
                "acknowledged after a failed sync",
                || format!("{told:?}"),
            )?;
            self.counts.committed += u64::from(is_acknowledged);
            self.counts.unknown += u64::from(ending == Ending::Unknown);
            if ending != Ending::Unchanged {
                let touched = events.iter().filter_map(Event::document).map(str::to_owned);
                self.named.extend(events.iter().filter_map(named));
                self.changed.extend(touched);
            }
            forget_expected(&mut events, ending);
            ended.push((events, ending));
        }
        self.model.checkpointed();
        let before = self.model.describe();
        self.check(self.model.len() < 5_000, "too many candidates", || before.clone())?;
        if self.model.transactions(&ended) {
            self.model.checkpointed();
            return Ok(());
        }
        let told = format!("{:?}; turns {}", run.outcomes, run.schedule);
        Err(self.violation("transaction", explain(&ended, &told, &before)))
    }

    // The world around

    fn edit(&mut self, doc: &str, how: How, len: usize, saved: bool) {
        let there = self.sim.read(doc);
        let in_place = matches!(how, How::Place | How::Back);
        let large = there.clone().filter(|old| in_place && old.len() > INLINE_MAX).map(Arc::new);
        // Of a large body there is no other copy: what a power cut leaves of half an edit is damage.
        let was_edited = self.edited_bodies.contains(doc);
        let saved = saved || large.is_some() || was_edited;
        if large.is_some() {
            self.edited_bodies.insert(doc.to_owned());
        } else if was_edited && how != How::Replace {
            // Without the name by which it was edited, or another content at its path, there is nothing to
            // tell that from damage by.
            return;
        }
        if large.is_some() && self.is_set_back {
            // Nor is there anything to tell it from damage by, but its time.
            return;
        }
        if let (Some(there), true) = (&there, self.unsettled) {
            self.model.overwritten(there);
        }
        let content = body(&format!("e{} {doc}", self.at), 0, len);
        let mut put = |content: Vec<u8>, time: Option<Time>, saved: bool| {
            let content = Arc::new(content);
            if let Some(time) = time {
                let file = self.sim.actor().open(doc, Access::Write).expect("it is there");
                file.set_mtime(time).expect("nothing fails here");
            }
            self.model.edit(doc, Some(&content), saved, self.unsettled);
        };
        let parents = doc.match_indices('/').map(|(at, _)| &doc[..at]);
        match (how, there) {
            (How::Remove, Some(_)) => {
                self.sim.remove(doc);
                self.model.edit(doc, None, saved, self.unsettled);
            }
            // The time is all that tells what a failed sync has lost from an edit.
            (How::Touch, Some(_)) if !self.sync_failed => {
                let now = self.sim.actor().now();
                let file = self.sim.actor().open(doc, Access::Write).expect("it is there");
                file.set_mtime(now).expect("nothing fails here");
                return;
            }
            // Between C4 and a dead publisher's swap the docs admit that this is not seen.
            // Of a large body there would be no other copy to put right what then looks lost.
            (How::Back, Some(old)) if !self.unsettled && (16..=INLINE_MAX).contains(&old.len()) => {
                let time = self.sim.stat(doc).expect("it is there").stamp.mtime;
                let content = body(&format!("e{} {doc}", self.at), 0, old.len());
                self.sim.write(doc, &content);
                put(content, Some(time), saved);
                self.is_backdated = true;
                self.shaken = true;
            }
            (How::Place, _) | (How::Replace, _) => {
                for parent in parents {
                    if self.sim.stat(parent).is_none() {
                        self.sim.mkdir(parent);
                    }
                }
                match how {
                    How::Place => self.sim.write(doc, &content),
                    _ => {
                        // What a power cut has left of an earlier save.
                        let beside = format!("{doc}.edited");
                        if self.sim.stat(&beside).is_some() {
                            self.sim.remove(&beside);
                        }
                        self.sim.replace(doc, &content);
                    }
                }
                put(content, None, saved);
            }
            _ => return,
        }
        self.counts.edits += 1;
        if let Some(large) = large {
            self.model.edit_of_body(doc, &large, self.unsettled);
        }
        if saved {
            for (at, _) in doc.match_indices('/') {
                self.sim.write_back(&doc[..at]);
            }
            if how == How::Replace {
                self.sim.write_back(&format!("{doc}.edited"));
            }
            self.sim.write_back(doc);
        }
    }

    fn wait(&mut self, ms: i64) {
        if let Ok(ms) = u64::try_from(ms) {
            self.sim.advance(Duration::from_millis(ms));
            if ms > 60_000 {
                // No system leaves anything unwritten for so long.
                self.sim.write_back_all();
            }
        } else if self.edited_bodies.is_empty() {
            let now = self.sim.actor().now();
            self.is_set_back = true;
            self.sim.set_clock(Time(now.0 + ms * 1_000_000));
        }
    }
}

/// What was expected was seen before the transaction began, and counts only if it was judged.
fn forget_expected(events: &mut Vec<Event>, ending: Ending) {
    if ending == Ending::Unchanged {
        events.retain(|event| !matches!(event, Event::Expect(..)));
    }
}

/// A document that may be in a new directory, or is removed.
fn named(event: &Event) -> Option<String> {
    let is_removal = matches!(event, Event::Remove(_));
    event.document().filter(|path| is_removal || path.contains('/')).map(ToOwned::to_owned)
}

fn clone_pair((path, content): (&String, &Vec<u8>)) -> (String, Vec<u8>) {
    (path.clone(), content.clone())
}

fn explain(all: &[(Vec<Event>, Ending)], told: &str, before: &str) -> String {
    let mut text = format!("told {told}");
    for (events, ending) in all {
        text += &format!("\n   {ending:?}:");
        for event in events {
            text += &match event {
                Event::Expect(path, seen) => format!(" expect {path}={}", shown(seen.as_ref())),
                Event::Read(path, seen) => format!(" read {path}={}", shown(seen.as_ref())),
                Event::List(names) => format!(" list {names:?}"),
                Event::Put(path, content) => format!(" put {path}={}", shown(Some(content))),
                Event::Append(path, bytes) => format!(" append {path}+{}", shown(Some(bytes))),
                Event::Remove(path) => format!(" remove {path}"),
            };
        }
    }
    format!("{text}\nbefore, {before}")
}

/// Runs one transaction and notes what it sees and asks for; what it puts nobody else puts.
fn transaction(
    store: &Store,
    alone: bool,
    ops: &[Op],
    step: usize,
    nth: usize,
    events: &Mutex<Vec<Event>>,
) -> Result<u64, Error> {
    let mut expected = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        // Of two expectations of one document the later one counts.
        if let Op::Expect(doc) = op
            && !ops[at + 1..].contains(op)
        {
            let seen = store.read_bytes(doc)?.map(Arc::new);
            expected.push((doc, seen.as_ref().map(|seen| Version::of(seen))));
            let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
            events.push(Event::Expect(doc.clone(), seen));
        }
    }
    let mut tx = if alone { store.begin_exclusive(Duration::ZERO)? } else { store.begin()? };
    for (doc, version) in expected {
        tx.expect(doc, version)?;
    }
    for (at, op) in ops.iter().enumerate() {
        let label = format!("{step}.{nth}.{at}");
        perform(&mut tx, op, &label, events)?;
    }
    Ok(tx.commit()?.txn)
}

fn perform(
    tx: &mut Transaction,
    op: &Op,
    label: &str,
    events: &Mutex<Vec<Event>>,
) -> Result<(), Error> {
    let note = |event| events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    let read = |tx: &mut Transaction, doc: &str| -> Result<Option<Bytes>, Error> {
        let seen = tx.read_bytes(doc)?.map(Arc::new);
        note(Event::Read(doc.to_owned(), seen.clone()));
        Ok(seen)
    };
    let content = |len| Arc::new(body(label, 0, len));
    match op {
        Op::Put(doc, len) => {
            let content = content(*len);
            tx.write_bytes(doc, content.to_vec())?;
            note(Event::Put(doc.clone(), content));
        }
        Op::Same(doc) => {
            if let Some(seen) = read(tx, doc)? {
                tx.write_bytes(doc, seen.to_vec())?;
                note(Event::Put(doc.clone(), seen));
            }
        }
        Op::Append(doc, len) => {
            let bytes = content(*len);
            tx.append(doc, &*bytes)?;
            note(Event::Append(doc.clone(), bytes));
        }
        Op::Remove(doc) => {
            if read(tx, doc)?.is_some() {
                tx.remove(doc)?;
                note(Event::Remove(doc.clone()));
            }
        }
        Op::Rename(from, to) if from != to => {
            if let (Some(seen), None) = (read(tx, from)?, read(tx, to)?) {
                tx.rename(from, to)?;
                note(Event::Put(to.clone(), seen));
                note(Event::Remove(from.clone()));
            }
        }
        Op::Rename(..) => {}
        Op::Create(doc, len) => {
            let text = String::from_utf8_lossy(&content(*len)).into_owned();
            match tx.create(doc, &text) {
                Ok(()) => {
                    note(Event::Read(doc.clone(), None));
                    let bytes = format!("\"{text}\"\n").into_bytes();
                    note(Event::Put(doc.clone(), Arc::new(bytes)));
                }
                Err(Error::Exists { .. }) => drop(read(tx, doc)?),
                Err(error) => return Err(error),
            }
        }
        Op::Expect(_) => {}
        Op::ExpectWrong(doc) => {
            tx.expect(doc, Some(Version::of(b"what no document holds")))?;
        }
        Op::Read(doc) => drop(read(tx, doc)?),
        Op::List => {
            let names = tx.list("")?;
            let names = names.iter().map(ToString::to_string);
            note(Event::List(names.filter(|name| !name.ends_with(".edited")).collect()));
        }
    }
    Ok(())
}
