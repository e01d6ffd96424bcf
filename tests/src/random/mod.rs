//! Long random histories: processes that commit, fail and die, other programs that edit, disks that
//! lose power; each history is judged at every step, and one that fails is shrunk to a short one.
//!
//! - [`step`]: one step, and how it is written.
//! - [`plan`]: the steps of a seed.
//! - [`model`]: every state that may be the true one; it is wrong if there is none.
//! - [`hand`]: the file system as a process sees it, until the call at which it dies.
//! - [`shrink`]: makes a history that fails shorter.
//!
//! After each step, what was seen, told and found has to fit at least one candidate: acknowledged
//! transactions are there, refused ones are not, one whose outcome nobody was told is whole or absent,
//! and stays what it was seen to be; a transaction sees one state. After each opening alone the files
//! are a candidate, byte for byte; edits of other programs are at their place, were read by a
//! transaction that replaced them, or lie in `rescued/`; the store is clean, and nothing is staged.

pub mod hand;
pub mod model;
pub mod plan;
mod run;
pub mod shrink;
pub mod step;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hand::Lie;
use run::Run;
use step::{Step, written};

/// What is wrong.
#[derive(Clone, Debug)]
pub struct Violation {
    /// In a word, which shrinking keeps.
    pub kind: &'static str,
    /// In full.
    pub what: String,
    /// At which step, from 1; one more than there are for the end.
    pub step: usize,
    /// The file system then.
    pub tree: String,
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Histories.
    pub histories: u64,
    /// Their steps.
    pub steps: u64,
    /// Transactions that changed something and were acknowledged.
    pub committed: u64,
    /// Transactions that were refused.
    pub refused: u64,
    /// Transactions of which nobody was told the outcome.
    pub unknown: u64,
    /// Processes that died.
    pub deaths: u64,
    /// Power cuts and remounts.
    pub cuts: u64,
    /// Openings alone, those with faults and deaths in them included.
    pub recoveries: u64,
    /// Openings after which all files were judged.
    pub judged: u64,
    /// Edits by other programs.
    pub edits: u64,
    /// Steps in which several processes took turns at every call.
    pub together: u64,
    /// How often any content of a document had to be allowed until it was seen.
    pub loosened: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.histories += other.histories;
        self.steps += other.steps;
        self.committed += other.committed;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.deaths += other.deaths;
        self.cuts += other.cuts;
        self.recoveries += other.recoveries;
        self.judged += other.judged;
        self.edits += other.edits;
        self.together += other.together;
        self.loosened += other.loosened;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} histories of {} steps: {} transactions acknowledged, {} refused, {} of unknown \
             outcome; {} deaths, {} power cuts and remounts, {} edits, {} runs at once; {} openings \
             alone, {} judged; {} times a document might hold anything until seen",
            self.histories,
            self.steps,
            self.committed,
            self.refused,
            self.unknown,
            self.deaths,
            self.cuts,
            self.edits,
            self.together,
            self.recoveries,
            self.judged,
            self.loosened
        )
    }
}

/// A history that failed, and the short one that fails in the same way.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Where it came from, if from a seed: the seed and the number of steps.
    pub seed: Option<(u64, usize)>,
    /// The short history.
    pub steps: Vec<Step>,
    /// What is wrong with it.
    pub violation: Violation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { kind, what, step, tree } = &self.violation;
        if let Some((seed, steps)) = self.seed {
            writeln!(f, "seed {seed}, {steps} steps, shrunk to {}", self.steps.len())?;
        }
        writeln!(f, "{kind} at step {step}: {what}")?;
        for (nth, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:3}. {step}", nth + 1)?;
        }
        writeln!(f, "the tree then:\n{tree}")?;
        let command = "cargo run --release -p filepact-tests --bin histories --";
        if let Some((seed, steps)) = self.seed {
            writeln!(f, "again: {command} --from {seed} --seeds 1 --steps {steps}")?;
        }
        write!(f, "again, in short: {command} --history '{}'", written(&self.steps))
    }
}

/// Runs one history.
///
/// # Errors
/// What is wrong.
pub fn run(steps: &[Step], lie: Option<Lie>) -> Result<Counts, Violation> {
    let mut run = Run::new(lie);
    let at = std::cell::Cell::new(0);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for (nth, step) in steps.iter().enumerate() {
            at.set(nth + 1);
            run.step(nth + 1, step)?;
        }
        at.set(steps.len() + 1);
        run.end(steps.len() + 1)
    }));
    match outcome {
        Ok(Ok(())) => Ok(Counts { loosened: run.model.loosened, ..run.counts }),
        Ok(Err(violation)) => Err(violation),
        Err(thrown) => {
            let text = thrown.downcast_ref::<String>().cloned();
            let text = text.or_else(|| thrown.downcast_ref::<&str>().map(ToString::to_string));
            let what = text.unwrap_or_else(|| "without words".to_owned());
            Err(Violation { kind: "panic", what, step: at.get(), tree: run.sim.dump() })
        }
    }
}

/// Runs the history of a seed; shrinks it if it fails.
///
/// # Errors
/// The short history.
pub fn run_seed(seed: u64, steps: usize, lie: Option<Lie>) -> Result<Counts, Box<Failure>> {
    let planned = plan::plan(seed, steps);
    run(&planned, lie).map_err(|violation| {
        let mut failure = *shrunk(planned, violation, lie);
        failure.seed = Some((seed, steps));
        Box::new(failure)
    })
}

/// The shortest history that fails in the same way.
pub fn shrunk(steps: Vec<Step>, violation: Violation, lie: Option<Lie>) -> Box<Failure> {
    let kind = violation.kind;
    let fails = |steps: &[Step]| run(steps, lie).is_err_and(|violation| violation.kind == kind);
    let short = shrink::shrink(steps, fails);
    let violation = run(&short, lie).err().unwrap_or(violation);
    Box::new(Failure { seed: None, steps: short, violation })
}
