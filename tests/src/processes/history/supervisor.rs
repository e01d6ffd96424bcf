//! Starts workers, kills them, follows the log, and has all of it judged.

use std::time::{Duration, Instant};
use std::{fmt, thread};

use filepact::Store;

use super::check::check;
use super::notes::{Reader, now};
use super::order::Order;
use super::record::{Attempt, End, History, Op, Wrote};
use super::worker::{ACCOUNTS, Body, DOCUMENTS, all_paths, options, sighting};
use crate::processes::crew::Crew;
use crate::processes::locks::holding_place;
use crate::processes::random::Random;
use crate::processes::scratch::Scratch;
use crate::processes::{Arguments, Outcome, recovery};

/// What happened, and how it was judged.
#[derive(Debug)]
struct Summary {
    judged: super::check::Counts,
    kills: usize,
    recoveries: usize,
    checkpoints: usize,
    ran: Duration,
    judging: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { judged, kills, recoveries, checkpoints, .. } = self;
        writeln!(f, "{judged}")?;
        write!(f, "{kills} processes killed; {recoveries} times all, and the store recovered; ")?;
        writeln!(f, "{checkpoints} checkpoints")?;
        let (ran, judging) = (self.ran.as_secs_f64(), self.judging.as_secs_f64());
        let rate = judged.attempts() as f64 / ran;
        write!(f, "ran {ran:.1} s, {rate:.0} operations a second; judged in {judging:.1} s")
    }
}

/// `processes history`.
pub fn run(arguments: &[String]) -> Outcome {
    let known = ["ops", "seconds", "processes", "threads", "kills"];
    let arguments = Arguments::parse(arguments, &known)?;
    let scratch = Scratch::new()?;
    match record_and_judge(&arguments, &scratch) {
        Ok(summary) => {
            println!("{summary}\nok");
            Ok(())
        }
        Err(error) => {
            let kept = scratch.keep();
            Err(format!("{error}\nThe store and all notes are kept in {}", kept.display()).into())
        }
    }
}

fn record_and_judge(arguments: &Arguments, scratch: &Scratch) -> Outcome<Summary> {
    let began = Instant::now();
    let mut show = Show::begin(arguments, scratch)?;
    while !show.is_over() {
        show.step()?;
    }
    let (kills, recoveries) = (show.killed, show.recoveries);
    let checkpoints = show.order.checkpoints();
    let history = show.end()?;
    let ran = began.elapsed();
    let began = Instant::now();
    let judged = check(&history)?;
    Ok(Summary { judged, kills, recoveries, checkpoints, ran, judging: began.elapsed() })
}

/// A history while it goes on.
struct Show<'a> {
    scratch: &'a Scratch,
    processes: usize,
    threads: u64,
    ops: u64,
    time: Duration,
    kills: usize,
    began: Instant,
    store: Option<Store>,
    crew: Crew,
    order: Order,
    notes: Reader,
    random: Random,
    /// How many processes were ever started; each has a number of its own.
    started: u32,
    first: Attempt,
    killed: usize,
    recoveries: usize,
}

impl<'a> Show<'a> {
    fn begin(arguments: &Arguments, scratch: &'a Scratch) -> Outcome<Self> {
        // Without a time the number of operations ends it, without a number the time.
        let seconds = arguments.get("seconds");
        let default_ops = if seconds.is_some() { u64::MAX } else { 100_000 };
        let store = options().open(scratch.store())?;
        let first = write_first(&store)?;
        let mut show = Self {
            scratch,
            processes: arguments.or("processes", 4) as usize,
            threads: arguments.or("threads", 4),
            ops: arguments.or("ops", default_ops),
            time: seconds.map_or(Duration::MAX, Duration::from_secs),
            kills: arguments.or("kills", 20) as usize,
            began: Instant::now(),
            store: Some(store),
            crew: Crew::default(),
            order: Order::new(),
            notes: Reader::default(),
            random: Random::new(),
            started: 0,
            first,
            killed: 0,
            recoveries: 0,
        };
        (0..show.processes).try_for_each(|place| show.start(place))?;
        Ok(show)
    }

    fn start(&mut self, place: usize) -> Outcome {
        self.started += 1;
        let [store, notes] = [self.scratch.store(), self.scratch.notes()];
        let arguments = [
            store.display().to_string(),
            notes.display().to_string(),
            self.started.to_string(),
            self.threads.to_string(),
        ];
        self.crew.start(place, "history", &arguments)
    }

    /// How much of it is done, from 0 to 1.
    fn progress(&self) -> f64 {
        let ops = self.notes.ended() as f64 / self.ops as f64;
        ops.max(self.began.elapsed().as_secs_f64() / self.time.as_secs_f64())
    }

    fn is_over(&self) -> bool {
        self.progress() >= 1.0
    }

    fn step(&mut self) -> Outcome {
        thread::sleep(self.random.time(Duration::from_millis(20)));
        self.notes.follow(&self.scratch.notes())?;
        self.look()?;
        self.crew.all_live()?;
        let due = (self.progress() * (self.kills + 1) as f64) as usize;
        if self.killed < due.min(self.kills) {
            if self.random.one_in(8) {
                self.kill_all()?;
            } else {
                // Who holds the writer lock is in the middle of a commit.
                let holding = match self.random.one_in(2) {
                    true => holding_place(&self.scratch.store(), &self.crew)?,
                    false => None,
                };
                let place = holding.unwrap_or_else(|| self.random.below(self.processes));
                self.crew.kill(place)?;
                self.killed += 1;
                self.start(place)?;
            }
        }
        Ok(())
    }

    fn look(&mut self) -> Outcome {
        let store = self.store.as_ref().ok_or("the store is closed")?;
        self.order.follow(store, &self.scratch.store())
    }

    /// With nobody left the store is recovered.
    fn kill_all(&mut self) -> Outcome {
        self.crew.kill_all()?;
        self.killed += self.processes;
        self.recoveries += 1;
        self.store = None;
        let folder = self.scratch.store();
        let store = self.order.beside(&folder, || {
            let store = options().open(&folder)?;
            let committed = store.status()?.committed;
            Ok((store, committed))
        })?;
        recovery::found_no_edits(store.recovery_report())?;
        self.order.look(&store)?;
        self.store = Some(store);
        (0..self.processes).try_for_each(|place| self.start(place))
    }

    /// What there is to judge, and the store closed.
    fn end(mut self) -> Outcome<History> {
        self.crew.finish()?;
        let store = self.store.take().ok_or("the store is closed")?;
        self.order.look(&store)?;
        self.notes.follow(&self.scratch.notes())?;
        let mut last = Vec::new();
        for path in all_paths() {
            let bytes = store.read_bytes(&path)?;
            if bytes != plain(&self.scratch.store().join(&*path))? {
                return Err(format!("{path} reads otherwise without filepact").into());
            }
            let body = bytes.as_deref().map(serde_json::from_slice).transpose()?;
            last.push(sighting(&path, body)?);
        }
        let check = store.check()?;
        if !check.problems.is_empty() || !check.outside_edits.is_empty() {
            return Err(format!("the store is not clean: {check:?}").into());
        }
        if !store.status()?.rescued.is_empty() {
            return Err(format!("rescued: {:?}", store.status()?.rescued).into());
        }
        let (mut attempts, heard) = self.notes.all();
        attempts.push(self.first);
        store.checkpoint()?;
        if !store.status()?.pins.is_empty() {
            return Err(format!("pins are left: {:?}", store.status()?.pins).into());
        }
        store.close()?;
        Ok(History { attempts, order: self.order.transactions(), last, heard })
    }
}

/// All accounts, in one transaction.
fn write_first(store: &Store) -> Outcome<Attempt> {
    let op = Op { process: 0, thread: 0, number: 1 };
    let mut attempt = Attempt::new(op, now());
    let mut tx = store.begin()?;
    for path in &DOCUMENTS[..ACCOUNTS] {
        tx.write(path, &Body::by(op))?;
        attempt.wrote.push(Wrote { path: (*path).into(), removed: false });
    }
    tx.note(op.to_string());
    attempt.end = End::Committed(Some(tx.commit()?.txn));
    attempt.to = Some(now());
    Ok(attempt)
}

#[allow(clippy::disallowed_methods, reason = "reads as any program would")]
fn plain(path: &std::path::Path) -> Outcome<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
