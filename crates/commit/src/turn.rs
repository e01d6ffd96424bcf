//! C2, among processes: the turnstile, then the writer lock.

use std::time::{Duration, Instant};

use filepact_fs::{Fs, FsError, Lock, LockKind};

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

/// Takes the writer lock, waiting until `deadline` (`None` is for ever); `None` says that the time
/// ran out. Before it waits it says so.
pub(crate) fn take_lock(
    fs: &dyn Fs,
    deadline: Option<Instant>,
    waits: impl FnOnce(),
) -> Result<Option<Box<dyn Lock>>, FsError> {
    let left = || {
        deadline
            .map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
    };
    // Who lets the writer lock go and wants it again waits here, behind whoever waits for the lock:
    // so nobody starves.
    let free = fs.lock(TURN, LockKind::Exclusive, Duration::ZERO)?;
    if free.is_some()
        && let Some(lock) = fs.lock(LOCK, LockKind::Exclusive, Duration::ZERO)?
    {
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
    Ok(lock)
}
