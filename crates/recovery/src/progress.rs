//! How far a recovery has come, for whoever waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How far the recovery of a store has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryProgress {
    /// What it is at.
    pub step: RecoveryStep,
    /// With so many documents it is done with this step; with so many segments, of the journal.
    pub done: usize,
    /// Of so many.
    pub of: usize,
}

/// What a recovery does, in this order; what the device does not show is written anew, and synced once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RecoveryStep {
    /// Reads the segments of the journal.
    Journal,
    /// Holds each document that was changed since the last checkpoint against it.
    Look,
    /// Publishes what is missing.
    Publish,
    /// Makes it durable; all at once as a rule.
    Sync,
    /// Reads it back from the device.
    Verify,
}

/// Hears of it; threads may tell it at once.
pub(crate) type Tell<'a> = dyn Fn(RecoveryProgress) + Sync + 'a;

/// The documents of one step.
pub(crate) struct Counted<'a> {
    tell: &'a Tell<'a>,
    step: RecoveryStep,
    of: usize,
    done: AtomicUsize,
}

impl<'a> Counted<'a> {
    pub(crate) fn begin(tell: &'a Tell<'a>, step: RecoveryStep, of: usize) -> Self {
        tell(RecoveryProgress { step, done: 0, of });
        Self { tell, step, of, done: AtomicUsize::new(0) }
    }

    /// One more is done.
    pub(crate) fn one(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        (self.tell)(RecoveryProgress { step: self.step, done, of: self.of });
    }
}
