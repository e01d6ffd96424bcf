//! Strikes, and audits after each blow.

use std::time::{Duration, Instant};
use std::{fmt, thread};

use filepact::{Error, Store};

use super::audit::{Auditor, Transfers, found, is_swept};
use super::worker::options;
use crate::processes::crew::Crew;
use crate::processes::locks::{holder, holding_place};
use crate::processes::random::Random;
use crate::processes::scratch::Scratch;
use crate::processes::{Arguments, Outcome, recovery};

/// What was done, and seen on the way.
#[derive(Debug, Default)]
struct Counts {
    kills: u64,
    /// All were killed at once, and nobody had the store open.
    recoveries: u64,
    /// Killed again while they recovered it.
    again: u64,
    audits: u64,
    checks: u64,
    stops: u64,
    /// Stopped with the writer lock in hand.
    stopped_holders: u64,
    /// Commits beside a stopped holder that were told to wait, and named the holder.
    named: u64,
    /// Openings beside a stopped holder that succeeded.
    joined: u64,
    slowest_read: Duration,
    slowest_read_beside_a_holder: Duration,
    transfers: Transfers,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, recoveries, again, audits, checks, .. } = self;
        let Transfers { counted, unanswered } = self.transfers;
        writeln!(
            f,
            "{kills} processes killed; {recoveries} times all, {again} times again in the recovery"
        )?;
        writeln!(
            f,
            "{counted} transfers, {unanswered} of them whole before their process could answer"
        )?;
        writeln!(f, "{audits} audits, {checks} checks of the whole store")?;
        let Self { stops, stopped_holders, named, joined, .. } = self;
        writeln!(f, "{stops} processes stopped, {stopped_holders} of them with the writer lock:")?;
        writeln!(f, "  all commits beside them were told so, {named} with the holder's number")?;
        writeln!(f, "  {joined} openings beside them succeeded")?;
        let [slowest, beside] = [self.slowest_read, self.slowest_read_beside_a_holder];
        write!(f, "slowest audit: {slowest:.1?}, beside a stopped holder {beside:.1?}")
    }
}

/// `processes storm`.
pub fn run(arguments: &[String]) -> Outcome {
    let arguments = Arguments::parse(arguments, &["kills", "processes", "threads"])?;
    let scratch = Scratch::new()?;
    let began = Instant::now();
    match storm(&arguments, &scratch) {
        Ok(counts) => {
            println!("{counts}\n{:.1} s\nok", began.elapsed().as_secs_f64());
            Ok(())
        }
        Err(error) => {
            let kept = scratch.keep();
            Err(format!("{error}\nThe store is kept in {}", kept.display()).into())
        }
    }
}

fn storm(arguments: &Arguments, scratch: &Scratch) -> Outcome<Counts> {
    let kills = arguments.or("kills", 300);
    let places = arguments.or("processes", 4) as usize;
    let threads = arguments.or("threads", 2) as u32;
    let store = options(PATIENT).open(scratch.store())?;
    found(&store)?;
    let mut storm = Storm {
        scratch,
        places,
        threads,
        store: Some(store),
        auditor: Auditor::new(&scratch.notes(), places, threads)?,
        crew: Crew::default(),
        random: Random::new(),
        counts: Counts::default(),
    };
    storm.start_all()?;
    let mut rounds = 0;
    while storm.counts.kills < kills {
        storm.strike()?;
        storm.audit()?;
        rounds += 1;
        if rounds % 16 == 0 {
            storm.check()?;
        }
    }
    storm.end()
}

/// Longer than anybody is stopped.
const PATIENT: Duration = Duration::from_secs(20);
const HASTY: Duration = Duration::from_millis(30);

struct Storm<'a> {
    scratch: &'a Scratch,
    places: usize,
    threads: u32,
    /// While this is open the store is healed by the living; without it, recovered.
    store: Option<Store>,
    auditor: Auditor,
    crew: Crew,
    random: Random,
    counts: Counts,
}

impl Storm<'_> {
    fn start(&mut self, place: usize) -> Outcome {
        let arguments = [
            self.scratch.store().display().to_string(),
            self.scratch.notes().display().to_string(),
            place.to_string(),
            self.threads.to_string(),
        ];
        self.crew.start(place, "storm", &arguments)
    }

    fn start_all(&mut self) -> Outcome {
        (0..self.places).try_for_each(|place| self.start(place))
    }

    fn strike(&mut self) -> Outcome {
        thread::sleep(self.random.time(Duration::from_millis(60)));
        self.crew.all_live()?;
        match self.random.below(10) {
            0..3 => {
                let place = self.random.below(self.places);
                self.kill(place)
            }
            3..6 => match holding_place(&self.scratch.store(), &self.crew)? {
                Some(place) => self.kill(place),
                None => Ok(()),
            },
            6 => self.kill_all(),
            _ => self.stop(),
        }
    }

    fn kill(&mut self, place: usize) -> Outcome {
        self.crew.kill(place)?;
        self.counts.kills += 1;
        self.start(place)
    }

    /// Everybody dies, and sometimes again in the middle of the recovery.
    fn kill_all(&mut self) -> Outcome {
        self.store = None;
        self.crew.kill_all()?;
        self.counts.kills += self.places as u64;
        self.counts.recoveries += 1;
        self.start_all()?;
        while self.random.one_in(2) {
            thread::sleep(self.random.time(Duration::from_millis(15)));
            self.crew.all_live()?;
            self.crew.kill_all()?;
            self.counts.kills += self.places as u64;
            self.counts.again += 1;
            self.start_all()?;
        }
        Ok(())
    }

    /// Somebody is stopped, with the writer lock if that can be hit.
    fn stop(&mut self) -> Outcome {
        let Some((place, pid)) = self.stop_holder()? else {
            let place = self.random.below(self.places);
            self.crew.stop(place)?;
            self.counts.stops += 1;
            thread::sleep(self.random.time(Duration::from_millis(30)));
            return self.let_go(place);
        };
        self.counts.stops += 1;
        self.counts.stopped_holders += 1;
        self.beside_a_stopped_holder(pid)?;
        self.let_go(place)
    }

    fn stop_holder(&mut self) -> Outcome<Option<(usize, u32)>> {
        for _ in 0..20 {
            let Some(place) = holding_place(&self.scratch.store(), &self.crew)? else { continue };
            self.crew.stop(place)?;
            let pid = self.crew.pid(place);
            if let Some(pid) = pid
                && holder(&self.scratch.store())? == Some(pid)
            {
                return Ok(Some((place, pid)));
            }
            self.crew.resume(place)?;
        }
        Ok(None)
    }

    /// Reads go on, openings go on, and nobody takes the lock from who is stopped.
    fn beside_a_stopped_holder(&mut self, pid: u32) -> Outcome {
        // Who opens alone may be stopped within that, and then nobody can open.
        let began = Instant::now();
        let store = match options(HASTY).open(self.scratch.store()) {
            Ok(store) => store,
            Err(Error::Locked { .. }) => return Ok(()),
            Err(error) => return Err(format!("beside a stopped holder: {error}").into()),
        };
        self.counts.joined += 1;
        for _ in 0..5 {
            let began = Instant::now();
            self.auditor.audit(&store)?;
            let took = began.elapsed();
            let slowest = &mut self.counts.slowest_read_beside_a_holder;
            *slowest = took.max(*slowest);
        }
        match store.write("hasty.json", &1) {
            Err(Error::Locked { holder, .. }) => {
                self.counts.named += u64::from(holder == Some(pid));
            }
            Ok(committed) => {
                return Err(format!("{committed:?} beside process {pid}, which is stopped").into());
            }
            Err(error) => return Err(format!("beside a stopped holder: {error:?}").into()),
        }
        // The kernel's list is read page by page, and a line can be missing while others come and go. Who is
        // stopped takes no lock: seen once is held all the while.
        let mut seen = None;
        for _ in 0..20 {
            seen = holder(&self.scratch.store())?;
            if seen == Some(pid) {
                return Ok(());
            }
        }
        let waited = began.elapsed();
        Err(format!("process {pid} has lost the lock within {waited:?}; {seen:?} has it").into())
    }

    /// Goes on, or dies as it is.
    fn let_go(&mut self, place: usize) -> Outcome {
        if self.random.one_in(2) { self.kill(place) } else { self.crew.resume(place) }
    }

    fn store(&mut self) -> Outcome<Store> {
        if self.store.is_none() {
            let store = options(PATIENT).open(self.scratch.store())?;
            recovery::found_no_edits(store.recovery_report())?;
            self.store = Some(store);
        }
        self.store.clone().ok_or_else(|| "the store was opened above".into())
    }

    fn audit(&mut self) -> Outcome {
        let store = self.store()?;
        let began = Instant::now();
        self.auditor.audit(&store)?;
        self.counts.slowest_read = began.elapsed().max(self.counts.slowest_read);
        self.counts.audits += 1;
        Ok(())
    }

    fn check(&mut self) -> Outcome {
        self.counts.checks += 1;
        let store = self.store()?;
        self.auditor.check(&store)
    }

    /// Everybody dies once more; after the last recovery, a checkpoint and a close there is nothing
    /// left to do.
    fn end(mut self) -> Outcome<Counts> {
        self.crew.kill_all()?;
        self.counts.kills += self.places as u64;
        self.store = None;
        let store = self.store()?;
        self.counts.transfers = self.auditor.audit(&store)?;
        self.check()?;
        store.checkpoint()?;
        self.store = None;
        store.close()?;
        is_swept(&self.scratch.store())?;
        let store = options(PATIENT).create(false).open(self.scratch.store())?;
        if !store.recovery_report().is_clean() {
            return Err(format!("after a close: {:?}", store.recovery_report()).into());
        }
        self.auditor.audit(&store)?;
        store.close()?;
        Ok(self.counts)
    }
}
