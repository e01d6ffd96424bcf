//! The steps of a commit, in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filepact_fs::{Fs, FsError, Latched};
use filepact_journal::{AppendError, Appended, Journal, RecordKind, State, StateFile, Words};

use crate::group::StagedGroup;
use crate::publication::Publication;
use crate::queue::{Queue, Turn};
use crate::validate::Validation;
use crate::{CommitError, Committed, Request, Rescued, StageNames, View};

/// What recovery leaves and a writer starts from.
#[derive(Debug)]
pub struct WriterParts {
    /// The file system, latched.
    pub fs: Arc<Latched>,
    /// The journal, after its last whole group.
    pub journal: Journal,
    /// Where `state` is written; it goes past the latch.
    pub state_file: StateFile,
    /// What `state` says.
    pub state: State,
    /// What is known of documents.
    pub view: View,
}

/// What a handle may be told.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bodies up to this many bytes travel in the journal.
    pub inline_max: usize,
    /// A checkpoint follows the commit that makes the journal longer than this many bytes.
    pub journal_max: u64,
}

/// The writing side of a handle.
#[derive(Debug)]
pub struct Writer {
    pub(crate) fs: Arc<Latched>,
    pub(crate) view: View,
    queue: Queue,
    inner: Mutex<Inner>,
    limits: Limits,
    mount: u64,
    pid: u32,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) journal: Journal,
    state_file: StateFile,
    pub(crate) state: State,
    names: StageNames,
    /// A group that is committed and not published whole.
    pending: Option<Publication>,
    /// Large bodies whose names go with the next checkpoint.
    pub(crate) bodies: Vec<String>,
    /// Why the last checkpoint did not happen.
    deferred: Option<String>,
    /// The store may be somebody else's by now.
    closed: bool,
}

impl Writer {
    /// A writer that goes on where recovery ended.
    pub fn new(parts: WriterParts, limits: Limits) -> Result<Self, FsError> {
        let mount = parts.fs.stat("")?.map_or(0, |root| root.mount);
        let names = StageNames::new(&*parts.fs);
        Ok(Self {
            fs: parts.fs,
            view: parts.view,
            queue: Queue::default(),
            inner: Mutex::new(Inner {
                journal: parts.journal,
                state_file: parts.state_file,
                state: parts.state,
                names,
                pending: None,
                bodies: Vec::new(),
                deferred: None,
                closed: false,
            }),
            limits,
            mount,
            pid: std::process::id(),
        })
    }

    /// What is committed, for readers.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The file system, latched.
    pub fn fs(&self) -> &dyn Fs {
        &*self.fs
    }

    /// Commits a transaction.
    ///
    /// After `Ok` it is durable and every document is at its path. What each error leaves is said
    /// at [`CommitError`].
    pub fn commit(&self, request: Request, patience: Duration) -> Result<Committed, CommitError> {
        // C1 has prepared the bodies; C2: from here on this thread alone.
        let (_turn, mut inner) = self.enter(patience)?;
        let inner = &mut *inner;
        // C3: what an earlier commit could not publish comes first: validation looks at files.
        self.catch_up(inner)?;
        // C4, C5: whatever fails here has changed nothing.
        let time = self.fs.now();
        let validated = Validation {
            fs: &*self.fs,
            view: &self.view,
            request: &request,
            mount: self.mount,
            inline_max: self.limits.inline_max,
        }
        .run()?;
        if request.changes.is_empty() {
            return Ok(Committed { txn: self.view.committed(), rescued: Vec::new() });
        }
        let (fs, first) = (&*self.fs, inner.journal.next_seq());
        let mut group = StagedGroup::stage(fs, &mut inner.names, request, &validated, first, time)?;
        // C6, C7: the commit point is the return of the journal's sync.
        let appended = match inner.journal.append(std::mem::take(&mut group.records), time) {
            Ok(appended) => appended,
            Err(AppendError::Unchanged(error)) => {
                group.unstage(fs);
                return Err(error.into());
            }
            Err(AppendError::Unknown(source)) => {
                self.fail(inner);
                return Err(CommitError::Unknown { source });
            }
        };
        // C8: nothing below takes anything back.
        self.committed(inner, &appended, group)?;
        let rescued = self.publish(inner)?;
        for adopted in &validated.adopted {
            if let (RecordKind::Put(put), Some(stamp)) = (&adopted.record, adopted.stamp)
                && self.view.known(&put.path).is_some_and(|known| known.stamp.is_none())
            {
                self.view.stamp(&put.path, stamp);
            }
        }
        if inner.journal.bytes_since_checkpoint() > self.limits.journal_max {
            // The transaction stands whatever becomes of the checkpoint: one that could not begin
            // is tried again after the next commit, one that failed has stopped the handle.
            inner.deferred = self.checkpoint_now(inner).err().map(|error| error.to_string());
        }
        Ok(Committed { txn: appended.last, rescued })
    }

    /// Checkpoints, and takes no more commits, whatever becomes of the checkpoint.
    ///
    /// After [`CommitError::Locked`] a commit is still running and nothing has changed; after
    /// everything else no commit runs and none ever will.
    pub fn close(&self, patience: Duration) -> Result<(), CommitError> {
        let (_turn, mut inner) = self.enter(patience)?;
        let checkpoint = self.catch_up(&mut inner).and_then(|()| self.checkpoint_now(&mut inner));
        // Still in our turn: a commit that waits for its own must not begin once the caller lets
        // the store go.
        inner.closed = true;
        checkpoint
    }

    /// Keeps commits waiting until the guard is dropped, for whoever looks at the journal.
    pub fn quiet(&self, patience: Duration) -> Result<Quiet<'_>, CommitError> {
        Ok(Quiet(self.queue.enter(patience).ok_or(CommitError::Locked { waited: patience })?))
    }

    /// The last seq that a checkpoint covers, and the journal's length since.
    pub fn journal_status(&self) -> JournalStatus {
        let inner = self.lock_inner();
        JournalStatus {
            store: inner.journal.store().to_owned(),
            checkpoint: inner.journal.last_checkpoint(),
            bytes_since_checkpoint: inner.journal.bytes_since_checkpoint(),
            unpublished: inner.pending.as_ref().map(|pending| pending.txn),
            deferred: inner.deferred.clone(),
            failed: inner.state.failed || self.fs.is_tripped(),
        }
    }

    fn lock_inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// C2.
    pub(crate) fn enter(
        &self,
        patience: Duration,
    ) -> Result<(Turn<'_>, MutexGuard<'_, Inner>), CommitError> {
        // A child of fork shares the lock on `open` with its parent: it must not write.
        if std::process::id() != self.pid {
            return Err(CommitError::Forked);
        }
        let turn = self.queue.enter(patience).ok_or(CommitError::Locked { waited: patience })?;
        // A commit that panicked left its steps half done; opening again finishes them.
        let Ok(mut inner) = self.inner.lock() else { return Err(CommitError::Poisoned) };
        if self.fs.is_tripped() {
            self.fail(&mut inner);
        }
        if inner.state.failed || inner.closed {
            Err(CommitError::Poisoned)
        } else {
            Ok((turn, inner))
        }
    }

    /// C3: publishes what an earlier commit of this handle could not.
    pub(crate) fn catch_up(&self, inner: &mut Inner) -> Result<(), CommitError> {
        match self.publish(inner) {
            Ok(_) => Ok(()),
            // For this caller nothing has changed.
            Err(CommitError::Unpublished { source, .. }) => Err(CommitError::Io(source)),
            Err(error) => Err(error),
        }
    }

    /// The beginning of C8: from here on everybody reads the group.
    fn committed(
        &self,
        inner: &mut Inner,
        appended: &Appended,
        mut group: StagedGroup,
    ) -> Result<(), CommitError> {
        let mut words = Words::default();
        words.apply(&appended.group);
        inner.bodies.append(&mut group.bodies);
        inner.pending = Some(Publication::new(&words, group, appended.last));
        self.view.commit(words, appended.last);
        inner.state.synced = appended.last;
        inner.state.committed = inner.journal.end().into();
        self.write_state(inner)
    }

    /// C8: each document once, to its last word; then `state` says so. Returns the outside edits
    /// that it displaced.
    fn publish(&self, inner: &mut Inner) -> Result<Vec<Rescued>, CommitError> {
        let Some(mut pending) = inner.pending.take() else { return Ok(Vec::new()) };
        if let Err((path, source)) = pending.run(&*self.fs, &self.view) {
            let txn = pending.txn;
            inner.pending = Some(pending);
            return Err(CommitError::Unpublished { txn, path, source });
        }
        inner.state.published = inner.state.committed.clone();
        self.view.publish();
        self.write_state(inner)?;
        Ok(pending.rescued)
    }

    /// For everybody who opens the store, `state` is what is committed: a handle that cannot write
    /// it stops, and its caller is told that the outcome is unknown.
    pub(crate) fn write_state(&self, inner: &mut Inner) -> Result<(), CommitError> {
        inner.state_file.write(&inner.state).map_err(|source| {
            self.fs.trip();
            inner.state.failed = true;
            CommitError::Unknown { source }
        })?;
        inner.journal.remove_elders();
        Ok(())
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

/// No commit runs while this lives.
#[derive(Debug)]
#[must_use]
pub struct Quiet<'a>(#[expect(dead_code, reason = "held for its drop")] Turn<'a>);

/// The journal, as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalStatus {
    /// The store's id.
    pub store: String,
    /// Everything up to this seq is durable without the journal.
    pub checkpoint: u64,
    /// Bytes of records after it.
    pub bytes_since_checkpoint: u64,
    /// A transaction that is committed and not published.
    pub unpublished: Option<u64>,
    /// Why the last checkpoint did not happen.
    pub deferred: Option<String>,
    /// The handle takes no more commits.
    pub failed: bool,
}
