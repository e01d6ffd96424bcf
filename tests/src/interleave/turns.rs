//! The turn: exactly one process has it, and hands it on before a call, while it waits for a lock,
//! and at its end.

use std::any::Any;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use filepact_fs::{Lock, Result};

use super::Fate;
use super::choice::Choice;
use super::schedule::Schedule;
use crate::steps::{Attempt, Call, Watch};

/// What can let another process have a lock that it could not have before: that it is let go, or
/// that its path leads to another file.
const RELEASES: [&str; 3] = ["unlock", "rename", "unlink"];

/// All processes of one run.
pub(super) struct Turns {
    state: Mutex<State>,
    /// Whose turn it is; nobody's while it is given.
    has_turn: Vec<AtomicBool>,
    threads: OnceLock<Vec<Thread>>,
}

/// How often who waits for the turn looks before it sleeps. The others mostly make a few calls of
/// less than a microsecond, and to be woken takes longer than that.
const LOOKS: usize = 200;

struct State {
    processes: Vec<Process>,
    choice: Choice,
    schedule: Schedule,
    turns: usize,
    /// Turns, and those that nobody had because all were waiting.
    time: usize,
    patience: usize,
    limit: usize,
    failure: Option<(usize, String)>,
    /// Everybody has to stop.
    abandoned: bool,
    /// Who could have the next turn; kept for its memory only.
    able: Vec<usize>,
}

struct Process {
    status: Status,
    fate: Fate,
    calls: usize,
    dead: bool,
}

/// What a process waits for, if anything; times as in [`State::time`].
#[derive(Clone, Copy)]
enum Status {
    Able,
    /// For a lock; `again` says that it may be free now.
    Waiting {
        again: bool,
        deadline: Option<usize>,
    },
    Stopped {
        until: Option<usize>,
    },
    Over,
}

/// The payload that ends the threads of an abandoned run.
struct Abandoned;

/// What a run leaves.
pub(super) struct Record {
    pub(super) schedule: Schedule,
    pub(super) calls: Vec<usize>,
    pub(super) dead: Vec<bool>,
    pub(super) failure: Option<(usize, String)>,
}

impl Turns {
    pub(super) fn new(fates: Vec<Fate>, choice: Choice, patience: usize, limit: usize) -> Self {
        let has_turn = fates.iter().map(|_| AtomicBool::new(false)).collect();
        let process = |fate| Process { status: Status::Able, fate, calls: 0, dead: false };
        let state = State {
            processes: fates.into_iter().map(process).collect(),
            choice,
            schedule: Schedule::default(),
            turns: 0,
            time: 0,
            patience,
            limit,
            failure: None,
            abandoned: false,
            able: Vec::new(),
        };
        Self { state: Mutex::new(state), has_turn, threads: OnceLock::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the first turn to one of these threads.
    pub(super) fn begin(&self, threads: Vec<Thread>) {
        self.threads.set(threads).expect("a run begins once");
        let first = self.state().choose(None);
        first.into_iter().for_each(|process| self.give(process));
    }

    fn give(&self, process: usize) {
        self.has_turn[process].store(true, Ordering::Release);
        self.threads.get().expect("the run has begun")[process].unpark();
    }

    /// Waits until it is this process's turn.
    pub(super) fn await_turn(&self, me: usize) {
        let mut looks = 0;
        while !self.has_turn[me].swap(false, Ordering::Acquire) {
            looks += 1;
            if looks < LOOKS { thread::yield_now() } else { thread::park() }
        }
    }

    /// Lets somebody have the next turn; returns when it is this process's again, which may be at
    /// once.
    fn hand_on<'a>(&'a self, me: usize, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let next = state.choose(Some(me)).expect("this process is not over");
        if next != me {
            drop(state);
            self.give(next);
            self.await_turn(me);
            state = self.state();
        }
        if state.abandoned && !thread::panicking() {
            drop(state);
            resume_unwind(Box::new(Abandoned));
        }
        state
    }

    fn before(&self, me: usize, call: &Call<'_>) {
        let mut state = self.state();
        let (time, limit) = (state.time, state.limit);
        let process = &mut state.processes[me];
        if matches!(process.status, Status::Over) {
            // Something that outlived its process is dropped after the run.
            return;
        }
        process.calls = call.n;
        if process.dead {
            // What it still does is nothing to anybody else; but it has to come to an end.
            if process.calls > limit && !thread::panicking() {
                drop(state);
                resume_unwind(Box::new(Abandoned));
            }
            return;
        }
        match process.fate {
            Fate::Stops { at, resume_after } if at == call.n => {
                let until = resume_after.map(|turns| time.saturating_add(turns));
                process.status = Status::Stopped { until };
            }
            _ => {}
        }
        let mut state = self.hand_on(me, state);
        let process = &mut state.processes[me];
        let is_last = matches!(process.fate, Fate::Dies { at, .. } if at == call.n);
        if is_last && let Fate::Dies { kill, .. } = std::mem::take(&mut process.fate) {
            drop(state);
            kill();
            let mut state = self.state();
            state.processes[me].dead = true;
            state.retry_locks();
        } else if RELEASES.contains(&call.op) {
            state.retry_locks();
        }
    }

    fn lock(
        &self,
        me: usize,
        patience: Duration,
        attempt: &Attempt<'_>,
    ) -> Result<Option<Box<dyn Lock>>> {
        let taken = attempt(Duration::ZERO)?;
        if taken.is_some() || patience.is_zero() || self.state().is_out(me) {
            return Ok(taken);
        }
        let mut state = self.state();
        let deadline =
            (patience < Duration::MAX).then(|| state.time.saturating_add(state.patience));
        loop {
            state.processes[me].status = Status::Waiting { again: false, deadline };
            state = self.hand_on(me, state);
            let status = std::mem::replace(&mut state.processes[me].status, Status::Able);
            let gives_up = state.has_expired(status) || state.abandoned;
            drop(state);
            let taken = attempt(Duration::ZERO)?;
            if taken.is_some() || gives_up {
                return Ok(taken);
            }
            state = self.state();
        }
    }

    /// The process is over; with what it threw, if it panicked.
    pub(super) fn finish(&self, me: usize, thrown: Option<&(dyn Any + Send)>) {
        let mut state = self.state();
        if let Some(thrown) = thrown
            && !thrown.is::<Abandoned>()
            && !state.processes[me].dead
        {
            state.fail(me, words(thrown));
        }
        state.processes[me].status = Status::Over;
        state.retry_locks();
        let next = state.choose(None);
        drop(state);
        next.into_iter().for_each(|process| self.give(process));
    }

    pub(super) fn record(&self) -> Record {
        let mut state = self.state();
        Record {
            schedule: std::mem::take(&mut state.schedule),
            calls: state.processes.iter().map(|process| process.calls).collect(),
            dead: state.processes.iter().map(|process| process.dead).collect(),
            failure: state.failure.take(),
        }
    }
}

impl State {
    /// Whether a process does not take part, because it is dead or over.
    fn is_out(&self, process: usize) -> bool {
        let process = &self.processes[process];
        process.dead || matches!(process.status, Status::Over)
    }

    fn fail(&mut self, process: usize, message: String) {
        self.failure.get_or_insert((process, message));
    }

    fn retry_locks(&mut self) {
        for process in &mut self.processes {
            if let Status::Waiting { again, .. } = &mut process.status {
                *again = true;
            }
        }
    }

    fn has_expired(&self, status: Status) -> bool {
        matches!(status, Status::Waiting { deadline: Some(deadline), .. } if deadline <= self.time)
    }

    /// Gives the next turn to one that can use it; `None` once all are over.
    fn choose(&mut self, current: Option<usize>) -> Option<usize> {
        self.find_able();
        if self.able.is_empty() {
            self.pass_time();
        }
        if self.able.is_empty() {
            return None;
        }
        let next = self.choice.pick(current, &self.able);
        match &mut self.processes[next].status {
            status @ Status::Stopped { .. } => *status = Status::Able,
            // Chosen though nothing has changed: it is to give up.
            Status::Waiting { again: false, deadline: deadline @ None } => {
                *deadline = Some(self.time);
            }
            _ => {}
        }
        self.schedule.push(next);
        self.time += 1;
        self.turns += 1;
        if self.turns > self.limit && !self.abandoned {
            self.abandoned = true;
            self.fail(next, format!("no end after {} turns", self.limit));
        }
        Some(next)
    }

    fn find_able(&mut self) {
        self.find(|state, status| match status {
            Status::Able => true,
            Status::Waiting { again, .. } => again || state.has_expired(status),
            Status::Stopped { until } => until.is_some_and(|until| until <= state.time),
            Status::Over => false,
        });
    }

    fn find(&mut self, is_able: impl Fn(&Self, Status) -> bool) {
        let mut able = std::mem::take(&mut self.able);
        able.clear();
        let processes = self.processes.iter().enumerate();
        able.extend(
            processes.filter(|(_, process)| is_able(self, process.status)).map(|(index, _)| index),
        );
        self.able = able;
    }

    /// Nobody can go on. If somebody will in time, that time passes. Else those give up who wait for
    /// a lock with no end of patience, one by one; and when all others are over, those go on who
    /// were stopped for good, so that their threads end.
    fn pass_time(&mut self) {
        let next = self.processes.iter().filter_map(|process| match process.status {
            Status::Waiting { deadline: time, .. } | Status::Stopped { until: time } => time,
            _ => None,
        });
        if let Some(time) = next.min() {
            self.time = time;
            return self.find_able();
        }
        self.find(|_, status| matches!(status, Status::Waiting { .. }));
        if self.able.is_empty() {
            self.find(|_, status| matches!(status, Status::Stopped { .. }));
        }
    }
}

fn words(thrown: &(dyn Any + Send)) -> String {
    let text = thrown.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| thrown.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// Makes a process take its turns.
pub(super) struct Player {
    pub(super) me: usize,
    pub(super) turns: Arc<Turns>,
}

impl Watch for Player {
    fn before(&self, call: &Call<'_>) {
        self.turns.before(self.me, call);
    }

    fn lock(&self, patience: Duration, attempt: &Attempt<'_>) -> Result<Option<Box<dyn Lock>>> {
        self.turns.lock(self.me, patience, attempt)
    }
}
