//! C3: what have others done since, and what have they left half done?

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use filepact_fs::FsError;

use crate::writer::Inner;
use crate::{CommitError, Writer};

impl Writer {
    /// C3, with the writer lock: what have others done, and what have they left?
    pub(crate) fn begin(&self) -> Result<MutexGuard<'_, Inner>, CommitError> {
        // A commit that panicked left its steps half done; opening again finishes them.
        let mut inner = self.inner.lock().map_err(|_| CommitError::Poisoned)?;
        if inner.stopped {
            return Err(CommitError::Poisoned);
        }
        inner.state = inner.state_file.refresh()?.ok_or(CommitError::Poisoned)?.state;
        if inner.state.failed {
            self.fs.trip();
        }
        if self.fs.is_tripped() {
            self.fail(&mut inner);
            return Err(CommitError::Poisoned);
        }
        let caught_up = self.catch_up(&mut inner);
        self.tell_of_failure(&mut inner);
        caught_up.map(|()| inner)
    }

    fn catch_up(&self, inner: &mut Inner) -> Result<(), CommitError> {
        self.view.follow_to(&inner.state)?;
        if !inner.state_file.is_own() {
            // The turn has changed hands, and whoever had it last may have died in it. Everybody writes `state`
            // before anything else.
            inner.journal.catch_up(&self.view.progress(), inner.state.synced)?;
            inner.litter = true;
            inner.state.holder = Some(self.pid);
            self.write_state(inner)?;
        }
        self.ready(inner)
    }

    /// Before every group: the handle still commits, and is ready.
    pub(crate) fn accepts(&self, inner: &mut Inner) -> Result<(), CommitError> {
        match self.closing.load(Ordering::SeqCst) {
            true => Err(CommitError::Poisoned),
            false => self.ready(inner),
        }
    }

    /// Nothing has failed, and nothing is left half done. C4 looks at files.
    pub(crate) fn ready(&self, inner: &mut Inner) -> Result<(), CommitError> {
        if inner.stopped {
            return Err(CommitError::Poisoned);
        }
        if self.fs.is_tripped() {
            self.fail(inner);
            return Err(CommitError::Poisoned);
        }
        if inner.litter {
            self.sweep_void(inner)?;
        }
        self.heal(inner)
    }

    /// For everybody else `state` is what is committed: a handle that cannot write it counts as dead,
    /// and others finish or void what it was about.
    pub(crate) fn write_state(&self, inner: &mut Inner) -> Result<(), FsError> {
        inner.state_file.write(&inner.state).inspect_err(|_| inner.stopped = true)
    }

    /// At the end of whatever is done in a turn: a sync that failed on the way to an error of its own
    /// is told to everybody, while we have the lock.
    pub(crate) fn tell_of_failure(&self, inner: &mut Inner) {
        if self.fs.is_tripped() {
            self.fail(inner);
        }
    }

    /// After an append that has changed nothing: the sync of what lies before it may have failed, on a
    /// full disk as well.
    pub(crate) fn stop_with_journal(&self, inner: &mut Inner) {
        if inner.journal.is_stopped() {
            self.fail(inner);
        }
    }

    /// Stops everything: a failed sync leaves nothing that can be built upon.
    pub(crate) fn fail(&self, inner: &mut Inner) {
        self.fs.trip();
        if !inner.state.failed {
            inner.state.failed = true;
            // If this cannot be written either, the next opener still finds the checkpoint's mark,
            // or repeats the group that no later record confirms.
            let _ = inner.state_file.write(&inner.state);
        }
    }
}
