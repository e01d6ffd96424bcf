//! C2, among processes: the turnstile, then the writer lock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use filepact_fs::{Fs, FsError, Lock, LockKind, Time};

use crate::queue::Lead;
use crate::request::Answer;
use crate::{LOCK, Request, TURN};

/// The writer's turn: nobody else commits, in this process or another, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Turn {
    /// Dropped first, so that another process is not kept waiting by the next thread of this one.
    _lock: Box<dyn Lock>,
    pub(crate) lead: Lead<Request, Answer>,
}

impl Turn {
    pub(crate) fn new(lock: Box<dyn Lock>, lead: Lead<Request, Answer>) -> Self {
        Self { _lock: lock, lead }
    }
}

/// When a handle came through the turnstile last: for a while it may take the lock without it.
///
/// The turnstile costs as many calls as the lock. Who waits there meanwhile, for the lock, waits no longer than
/// the while and one commit.
#[derive(Debug)]
pub(crate) struct Passed(AtomicI64);

/// How long, in nanoseconds: some commits.
const PASS: i64 = 2_000_000;

impl Passed {
    pub(crate) fn never() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }

    fn note(&self, now: Time) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    /// A clock that was put back ends it.
    fn holds(&self, now: Time) -> bool {
        let passed = self.0.load(Ordering::Relaxed);
        passed <= now.0 && now.0.saturating_sub(passed) < PASS
    }
}

/// Takes the writer lock, waiting until `deadline` (`None` is for ever); `None` says that the time
/// ran out. Before it waits it says so.
pub(crate) fn take_lock(
    fs: &dyn Fs,
    passed: &Passed,
    deadline: Option<Instant>,
    waits: impl FnOnce(),
) -> Result<Option<Box<dyn Lock>>, FsError> {
    if passed.holds(fs.now())
        && let Some(lock) = fs.lock(LOCK, LockKind::Exclusive, Duration::ZERO)?
    {
        return Ok(Some(lock));
    }
    let left = || {
        deadline
            .map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
    };
    // Who lets the writer lock go and wants it again waits here after that while, behind whoever waits for the
    // lock: so nobody starves.
    let free = fs.lock(TURN, LockKind::Exclusive, Duration::ZERO)?;
    if free.is_some()
        && let Some(lock) = fs.lock(LOCK, LockKind::Exclusive, Duration::ZERO)?
    {
        passed.note(fs.now());
        return Ok(Some(lock));
    }
    waits();
    let turn = match free {
        Some(turn) => turn,
        None => match fs.lock(TURN, LockKind::Exclusive, left())? {
            Some(turn) => turn,
            None => return Ok(None),
        },
    };
    let lock = fs.lock(LOCK, LockKind::Exclusive, left())?;
    drop(turn);
    if lock.is_some() {
        passed.note(fs.now());
    }
    Ok(lock)
}
