//! One cut from beginning to end.
#![allow(clippy::disallowed_methods, reason = "the tests' own files, outside the store")]
#![allow(clippy::disallowed_types, reason = "another program that opens documents")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{fs, thread};

use filepact::{Durability, Options, Report, Store};

use super::counts::Counts;
use super::disk::Disk;
use super::found::{documents, staged};
use super::judge::{Account, Evidence, judge};
use super::notes::{Notes, Tally};
use super::plan::{Tree, counted, first, of_line};
use super::round::{ACTORS, Round};
use super::tools::run;
use crate::processes::Outcome;
use crate::processes::crew::Crew;
use crate::processes::random::Random;

/// How long a worker may take to open the store, or to end after a cut.
const PATIENCE: Duration = Duration::from_secs(60);
/// A store lives through so many cuts.
const CUTS_OF_A_STORE: u64 = 8;

/// A disk, a store on it, and what that holds.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) disk: &'a mut Disk,
    pub(super) seed: u64,
    pub(super) counts: Counts,
    /// The notes of the cut that is under way.
    pub(super) notes: Notes,
    store: PathBuf,
    /// What the store holds, for certain.
    base: Option<Tree>,
    cuts_left: u64,
    /// From the start of a process until it had recovered the store, the last time.
    opening: Duration,
}

impl<'a> Bench<'a> {
    pub(super) fn new(disk: &'a mut Disk, seed: u64) -> Self {
        Self {
            disk,
            seed,
            counts: Counts::default(),
            notes: Notes::default(),
            store: PathBuf::new(),
            base: None,
            cuts_left: 0,
            opening: Duration::from_millis(30),
        }
    }

    /// Processes commit, the file system is shut down under them, and what is left is judged.
    pub(super) fn cut(&mut self, number: u64) -> Outcome {
        let round = Round::new(self.seed, number);
        let base = match self.base.take().filter(|_| self.cuts_left > 0) {
            Some(base) => base,
            None => self.new_store(number)?,
        };
        self.cuts_left -= 1;
        self.work_until_cut(&round)?;
        self.mount_again()?;
        self.copy_of_the_store()?;
        let plain = documents(&self.store)?;
        for share in &round.recoveries {
            self.cut_off_a_recovery(&round, *share)?;
        }
        let loses = round.actors().any(|(_, durability)| durability == Durability::Buffered);
        let recovered = self.recover(&round, loses)?;
        let accounts = self.accounts(&round, &base);
        let named = recovered.report.documents.iter().map(|planned| planned.path.clone());
        let evidence = Evidence {
            seed: round.seed,
            base,
            accounts,
            plain,
            found: recovered.found,
            named: named.collect(),
            logged: recovered.logged,
            rescued: recovered.rescued,
            inline_max: round.inline_max,
        };
        let verdict = judge(&evidence)?;
        self.counts.add(&round, &self.notes, &verdict, &recovered.report);
        self.again(&round, &recovered.report, &evidence.found)?;
        // What nobody has promised is no beginning for another cut, nor is a store with noise in it.
        self.base = Some(evidence.found).filter(|_| !loses && verdict.rescued == 0);
        Ok(())
    }

    /// A store with the documents that every actor begins with, closed and durable; the last one goes.
    fn new_store(&mut self, number: u64) -> Outcome<Tree> {
        if !self.store.as_os_str().is_empty() {
            fs::remove_dir_all(&self.store)?;
        }
        self.store = self.disk.mount_point().join(format!("store-{number}"));
        self.cuts_left = CUTS_OF_A_STORE;
        fs::create_dir(&self.store)?;
        let (store, tree) = (Store::open(&self.store)?, first(&ACTORS));
        store.transact::<_, filepact::Error>(|tx| {
            tree.iter().try_for_each(|(path, body)| tx.write_bytes(path, body.clone()))
        })?;
        store.close()?;
        Ok(tree)
    }

    fn work_until_cut(&mut self, round: &Round) -> Outcome {
        self.notes = Notes::default();
        for (actor, _) in round.actors() {
            self.notes.actors.entry(actor).or_default();
        }
        let folder = self.store.display().to_string();
        let mut crew = Crew::default();
        let lines = start(
            &mut crew,
            round.processes.iter().map(|process| ("commit", round.words(process, &folder))),
        )?;
        while !self.notes.all(|tally| tally.opened) {
            let line = lines.recv_timeout(PATIENCE);
            self.notes.take(&line.map_err(|error| format!("the store was not opened: {error}"))?);
        }
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            if round.is_nudged {
                scope.spawn(|| self.nudge(round.seed, &is_over));
            }
            thread::sleep(round.delay);
            is_over.store(true, Ordering::Relaxed);
        });
        lines.try_iter().for_each(|line| self.notes.take(&line));
        if !self.notes.all(|tally| tally.failed.is_none()) {
            return Err(format!("failed before the cut: {:?}", self.notes.actors).into());
        }
        self.disk.shut_down()?;
        end(&mut crew, &lines, |line| self.notes.take(line))?;
        if let Some(wrong) = &self.notes.wrong {
            return Err(wrong.clone().into());
        }
        // Who finds that another thread of his process has ended ends between two transactions.
        let is_orderly = |tally: &Tally| match tally.failed {
            Some(_) => tally.ended,
            None => tally.begun == tally.acknowledged,
        };
        match self.notes.all(is_orderly) && !self.notes.all(|tally| tally.failed.is_none()) {
            true => Ok(()),
            false => Err(format!("did not end in order: {:?}", self.notes.actors).into()),
        }
    }

    /// Another program that syncs documents, and so sends names and sizes of others to the disk.
    fn nudge(&self, seed: u64, is_over: &AtomicBool) {
        let mut random = Random::seeded(seed);
        while !is_over.load(Ordering::Relaxed) {
            thread::sleep(random.time(Duration::from_millis(20)));
            // A document that is gone, or is replaced, is no matter.
            let Ok(tree) = documents(&self.store) else { continue };
            let paths: Vec<&String> = tree.keys().collect();
            let path = paths[random.below(paths.len())];
            let _ = fs::File::open(self.store.join(path)).and_then(|file| file.sync_all());
        }
    }

    fn mount_again(&mut self) -> Outcome {
        self.disk.unmount()?;
        self.disk.mount()
    }

    /// For a person, if the recovery goes wrong.
    fn copy_of_the_store(&self) -> Outcome {
        let copy = self.disk.beside("before-recovery");
        if copy.exists() {
            fs::remove_dir_all(&copy)?;
        }
        run("cp", &["-a".as_ref(), self.store.as_os_str(), copy.as_os_str()]).map(drop)
    }

    /// A process opens the store, and the file system is shut down when this share of the time has
    /// passed that it took the last one.
    fn cut_off_a_recovery(&mut self, round: &Round, share: f64) -> Outcome {
        let words = round.words(&round.processes[0], &self.store.display().to_string());
        let (mut crew, began) = (Crew::default(), Instant::now());
        let lines = start(&mut crew, [("open", words)].into_iter())?;
        thread::sleep(self.opening.mul_f64(share * 1.2));
        let mut notes = Notes::default();
        lines.try_iter().for_each(|line| notes.take(&line));
        self.disk.shut_down()?;
        self.counts.recoveries += 1;
        match notes.actors.get(&0).is_some_and(|tally| tally.opened) {
            true => self.opening = self.opening.mul_f64(0.8),
            false => {
                self.counts.unfinished_recoveries += 1;
                self.opening = self.opening.mul_f64(1.1).min(began.elapsed() * 4);
            }
        }
        end(&mut crew, &lines, |line| notes.take(line))?;
        self.notes.lines += &format!("recovery, cut off: {}", notes.lines.replace('\n', "; "));
        if let Some(wrong) = notes.wrong {
            return Err(format!("in a recovery that was cut off: {wrong}").into());
        }
        self.mount_again()
    }

    /// What the accounts say was begun and acknowledged; before that, the base.
    fn accounts(&self, round: &Round, base: &Tree) -> Vec<Account> {
        let account = |(actor, durability)| {
            let (tally, base) = (&self.notes.actors[&actor], counted(base, actor).unwrap_or(0));
            let acknowledged = tally.acknowledged.max(base);
            let begun = tally.begun.max(base);
            let (committed, kept) = (tally.committed.max(base), tally.kept.max(base));
            Account { actor, durability, acknowledged, committed, begun, kept }
        };
        round.actors().map(account).collect()
    }

    fn options(round: &Round) -> Options {
        Store::options().create(false).inline_max(round.inline_max).background_checkpoints(false)
    }

    fn recover(&self, round: &Round, loses: bool) -> Outcome<Recovered> {
        let opened = Self::options(round).open(&self.store);
        let store = opened.map_err(|error| format!("it does not open: {error}: {error:?}"))?;
        let report = store.recovery_report().clone();
        // A lost transaction may have left what looks like somebody's edit.
        if !loses {
            is_nobodys(&report)?;
        }
        let found = documents(&self.store)?;
        for (path, body) in &found {
            if store.read_bytes(path)?.as_ref() != Some(body) {
                return Err(format!("`{path}` reads otherwise through filepact").into());
            }
        }
        let listed: BTreeSet<String> =
            store.list("")?.iter().map(|path| path.to_string()).collect();
        if !listed.iter().eq(found.keys()) {
            return Err(format!("the list is {listed:?}, the files are {:?}", found.keys()).into());
        }
        let (check, status) = (store.check()?, store.status()?);
        let is_clean = check.problems.is_empty() && !status.failed && status.unpublished.is_none();
        if !is_clean || !loses && !check.outside_edits.is_empty() {
            return Err(format!("not clean: {check:?}, {status:?}").into());
        }
        let rescued = status
            .rescued
            .iter()
            .map(|rescued| Ok((rescued.path.clone(), store.read_rescued(rescued)?)));
        let rescued = rescued.collect::<Outcome<Vec<_>>>()?;
        let left = staged(&self.store)?;
        if !left.is_empty() {
            return Err(format!("`stage/` is not swept: {left:?}").into());
        }
        let mut logged = BTreeMap::new();
        for transaction in store.log()? {
            if let Some((actor, number)) = transaction.note.as_deref().and_then(of_line) {
                logged.insert(actor, number);
            }
        }
        Ok(Recovered { report, found, logged, rescued })
    }

    /// A second opening finds nothing to do; and, sometimes, neither does one after another cut.
    fn again(&mut self, round: &Round, first: &Report, found: &Tree) -> Outcome {
        let open = |store: &PathBuf| -> Outcome<Store> {
            let opened = Self::options(round).open(store);
            Ok(opened.map_err(|error| format!("it does not open a second time: {error:?}"))?)
        };
        let store = open(&self.store)?;
        let report = store.recovery_report();
        let is_idle = report.trusted
            && report.kept.is_empty()
            && (report.torn.is_none() || report.torn == first.torn)
            && report.documents.is_empty()
            && report.adopted.is_empty()
            && report.rescued.is_empty()
            && report.left.is_empty()
            && report.swept == 0;
        if !is_idle {
            return Err(format!("a second opening finds something to do: {report:?}").into());
        }
        if round.is_cut_again {
            drop(store);
            self.disk.shut_down()?;
            self.mount_again()?;
            if documents(&self.store)? != *found {
                return Err("recovered, and lost again by a second cut".into());
            }
            let store = open(&self.store)?;
            let report = store.recovery_report();
            if !report.replayed.is_empty() || !report.kept.is_empty() {
                return Err(format!("recovered, and again after a second cut: {report:?}").into());
            }
            self.counts.cut_again += 1;
            store.close()?;
        } else {
            store.close()?;
        }
        match documents(&self.store)? == *found {
            true => Ok(()),
            false => Err("opening and closing has changed documents".into()),
        }
    }
}

/// What a recovery has left.
struct Recovered {
    report: Report,
    found: Tree,
    logged: BTreeMap<u32, u64>,
    rescued: Vec<(String, Vec<u8>)>,
}

/// What is displaced is judged by its content; adopted and left behind is nothing.
fn is_nobodys(report: &Report) -> Outcome {
    match report.adopted.is_empty() && report.left.is_empty() {
        true => Ok(()),
        false => Err(format!("nobody has edited anything: {report:?}").into()),
    }
}

/// Starts workers; their lines, in one order, until the last of them has ended.
fn start<'w>(
    crew: &mut Crew,
    workers: impl Iterator<Item = (&'w str, Vec<String>)>,
) -> Outcome<Receiver<String>> {
    let (sender, lines) = channel();
    for (place, (kind, words)) in workers.enumerate() {
        crew.start(place, kind, &words)?;
        let output = crew.output(place).ok_or("the worker has no output")?;
        let sender = sender.clone();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            // Who does not listen any more has given up.
            lines.map(|line| sender.send(line)).take_while(Result::is_ok).count()
        });
    }
    Ok(lines)
}

/// Waits until all workers have ended in order.
fn end(crew: &mut Crew, lines: &Receiver<String>, mut take: impl FnMut(&str)) -> Outcome {
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => take(&line),
            Err(RecvTimeoutError::Disconnected) => return crew.finish(),
            Err(RecvTimeoutError::Timeout) => return Err("a worker hangs after the cut".into()),
        }
    }
}
