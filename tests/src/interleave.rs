//! Several processes on one file system, of which exactly one runs at any time: before each of its
//! calls it may have to let another go on, as a seed or a script says.
//!
//! The same seed and the same processes give the same run, so that a failure can be played again.
//! Nothing waits for a clock. A process is one thread; processes share nothing but the file system.
//!
//! ```
//! use filepact_fs::Fs;
//! use filepact_simfs::SimFs;
//! use filepact_tests::interleave::{Fate, Interleaving};
//!
//! for seed in 0..100 {
//!     let sim = SimFs::new();
//!     let run = Interleaving::new(seed)
//!         .process(sim.actor(), Fate::Lives, |fs| fs.create("x").is_ok())
//!         .process(sim.actor(), Fate::Lives, |fs| fs.create("x").is_ok())
//!         .run()
//!         .unwrap_or_else(|failure| panic!("{failure}"));
//!     let created = run.outcomes.iter().filter(|created| **created == Some(true));
//!     assert_eq!(created.count(), 1);
//! }
//! ```

mod choice;
mod schedule;
mod turns;

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use filepact_fs::Fs;
use filepact_simfs::{Actor, SimFs};

pub use schedule::Schedule;

use crate::steps::Steps;
use choice::Choice;
use turns::{Player, Turns};

/// What becomes of a process. Its calls are counted from 1; a fate that comes later than its last
/// call does not come.
#[derive(Default)]
pub enum Fate {
    /// It runs to its end.
    #[default]
    Lives,
    /// It is killed just before a call.
    Dies {
        /// The number of the call.
        at: usize,
        /// Kills it: from now on its calls fail. Its thread runs on to its end, and neither what it
        /// returns nor a panic counts any more.
        kill: Box<dyn FnOnce() + Send>,
    },
    /// It is stopped just before a call, with all that it holds.
    Stops {
        /// The number of the call.
        at: usize,
        /// Goes on after this many turns of the others, or once they all are over. `None` for not
        /// before they all are over.
        resume_after: Option<usize>,
    },
}

impl Fate {
    /// The process of this actor is killed just before its call number `at`.
    pub fn killed(at: usize, sim: &SimFs, actor: &Arc<Actor>) -> Self {
        let (sim, actor) = (sim.clone(), Arc::clone(actor));
        Self::Dies { at, kill: Box::new(move || sim.kill(&actor)) }
    }
}

/// Processes that are to run; `T` is what each of them returns.
///
/// Who asks for a lock that is taken, with patience, waits: it tries again in its turn, whenever a
/// lock has been let go or a name has changed. Patience ends after a number of [turns](Self::patience) of
/// the others, whatever its length; [`Duration::MAX`](std::time::Duration::MAX) does not end by
/// itself. If nobody can go on, it ends for one who waits.
pub struct Interleaving<'a, T> {
    seed: Option<u64>,
    script: Schedule,
    one_in: Option<u64>,
    patience: usize,
    limit: usize,
    fates: Vec<Fate>,
    processes: Vec<(Arc<dyn Fs>, Body<'a, T>)>,
}

type Body<'a, T> = Box<dyn FnOnce(Arc<dyn Fs>) -> T + Send + 'a>;

/// A run in which nobody panicked.
#[derive(Clone, Debug)]
pub struct Run<T> {
    /// What each process returned; `None` if it was killed.
    pub outcomes: Vec<Option<T>>,
    /// How many calls each process has made; the fates up to there have come.
    pub calls: Vec<usize>,
    /// Who had which turn.
    pub schedule: Schedule,
}

/// A run in which a process panicked, or that did not come to an end.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed, unless a script was played.
    pub seed: Option<u64>,
    /// Who had which turn, up to the end of the run; plays the same run again.
    pub schedule: Schedule,
    /// Which process panicked first.
    pub process: usize,
    /// With what words.
    pub message: String,
}

impl<'a, T: Send + 'a> Interleaving<'a, T> {
    /// Nobody yet; turns as this seed says.
    pub fn new(seed: u64) -> Self {
        Self {
            seed: Some(seed),
            script: Schedule::default(),
            one_in: None,
            patience: 1_000,
            limit: 100_000,
            fates: Vec::new(),
            processes: Vec::new(),
        }
    }

    /// Nobody yet; turns as written. Where the script names a process that cannot go on, and after
    /// its end, the same process goes on as long as it can, and then the first one that can.
    pub fn scripted(script: Schedule) -> Self {
        Self { seed: None, script, ..Self::new(0) }
    }

    /// How rarely a process hands over: before every so-manieth call on average. If it is not
    /// said, the seed draws 2, 4, 8 or 16.
    pub fn one_in(mut self, calls: u64) -> Self {
        self.one_in = Some(calls);
        self
    }

    /// How many turns of the others the patience of who waits for a lock lasts: 1,000 at first.
    pub fn patience(mut self, turns: usize) -> Self {
        self.patience = turns;
        self
    }

    /// After how many turns the run fails as one that never ends: 100,000 at first.
    pub fn limit(mut self, turns: usize) -> Self {
        self.limit = turns;
        self
    }

    /// Adds a process; they are counted from 0. It sees `fs` through [`Steps`].
    pub fn process(
        mut self,
        fs: Arc<dyn Fs>,
        fate: Fate,
        body: impl FnOnce(Arc<dyn Fs>) -> T + Send + 'a,
    ) -> Self {
        self.fates.push(fate);
        self.processes.push((fs, Box::new(body)));
        self
    }

    /// Runs all processes to their end.
    pub fn run(self) -> Result<Run<T>, Failure> {
        let choice = match self.seed {
            Some(seed) => Choice::seeded(seed, self.one_in),
            None => Choice::scripted(self.script),
        };
        let turns = Arc::new(Turns::new(self.fates, choice, self.patience, self.limit));
        let mut outcomes: Vec<Option<T>> = thread::scope(|scope| {
            let live = |(me, (fs, body)): (usize, (Arc<dyn Fs>, Body<'a, T>))| {
                let turns = Arc::clone(&turns);
                scope.spawn(move || live(me, fs, &turns, body))
            };
            let threads: Vec<_> = self.processes.into_iter().enumerate().map(live).collect();
            turns.begin(threads.iter().map(|thread| thread.thread().clone()).collect());
            threads.into_iter().map(|thread| thread.join().expect("panics are caught")).collect()
        });
        let record = turns.record();
        if let Some((process, message)) = record.failure {
            return Err(Failure { seed: self.seed, schedule: record.schedule, process, message });
        }
        for (outcome, dead) in outcomes.iter_mut().zip(record.dead) {
            // What was done after death was never done.
            outcome.take_if(|_| dead);
        }
        Ok(Run { outcomes, calls: record.calls, schedule: record.schedule })
    }
}

/// The life of one process, on its thread.
fn live<T>(me: usize, fs: Arc<dyn Fs>, turns: &Arc<Turns>, body: Body<'_, T>) -> Option<T> {
    let fs = Steps::watched(fs, Player { me, turns: Arc::clone(turns) });
    turns.await_turn(me);
    let outcome = catch_unwind(AssertUnwindSafe(|| body(fs)));
    turns.finish(me, outcome.as_ref().err().map(|thrown| &**thrown));
    outcome.ok()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, schedule, process, message } = self;
        match seed {
            Some(seed) => write!(f, "process {process} failed under seed {seed}: ")?,
            None => write!(f, "process {process} failed under a script: ")?,
        }
        write!(f, "{message}\nturns: {schedule}")
    }
}

/// As [`Display`](fmt::Display), so that `expect` and `unwrap` say how to play it again.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Failure {}
