//! The writing side of a handle: who comes in, and waits for whom (C2, C9).

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use filepact_fs::{Fs, FsError, Latched, Lock, Stamp};
use filepact_journal::{JOURNAL_DIR, Journal, State, StateFile};

use crate::mark::Marks;
use crate::queue::{Lead, Queue, Ticket, Waited};
use crate::request::Answer;
use crate::spares::Spares;
use crate::turn::{Passed, take_lock};
use crate::{CommitError, Committed, Counters, Request, StageNames, Turn, View};

/// What recovery leaves, or a handle that joins others finds, and a writer starts from.
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

/// What a commit makes durable before it is acknowledged.
///
/// Whatever it is, a transaction is there whole or not at all when its process dies, and a checkpoint
/// makes everything durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The journal, with one sync, whatever the number of documents. After a power cut the next
    /// opening puts every document right; until then a program that reads the files without filepact
    /// may find one that was just changed old, empty or torn.
    #[default]
    Journal,
    /// The journal and the documents: even who reads the files without filepact finds each one as a
    /// commit left it, right after a power cut. (A document that is being added to in that moment may
    /// hold a part of the last addition, or zeros in its place.)
    Files,
    /// Nothing, until the next checkpoint. A power cut takes any number of the last transactions, and
    /// may leave a document that they changed old, new, empty or torn; the store opens all the same.
    /// Only bodies over `inline_max` are synced, since no record names bytes that can be lost, and a commit
    /// that has read another program's edit, since it may drop the only copy of that.
    Buffered,
}

/// What a handle may be told.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What a commit makes durable.
    pub durability: Durability,
    /// Bodies up to this many bytes travel in the journal.
    pub inline_max: usize,
    /// A checkpoint is due when the journal is longer than this many bytes, or the large bodies that it names
    /// than sixteen times as many.
    pub journal_max: u64,
    /// The caller makes checkpoints that are due, and blanks for the journal; else the commit does after
    /// which they are.
    pub background: bool,
}

/// A request on its way through a group.
pub(crate) type Member = (Ticket, Request);

/// The writing side of a handle.
#[derive(Debug)]
pub struct Writer {
    pub(crate) fs: Arc<Latched>,
    pub(crate) view: View,
    pub(crate) counters: Counters,
    queue: Arc<Queue<Request, Answer>>,
    /// How many threads of this handle are in a checkpoint.
    pub(crate) checkpoints: AtomicUsize,
    /// No more commits are taken: the handle makes its last checkpoint.
    pub(crate) closing: AtomicBool,
    /// The size of the journal's blank that the caller is asked for; 0 is none.
    pub(crate) blank: AtomicU64,
    pub(crate) inner: Mutex<Inner>,
    pub(crate) limits: Limits,
    pub(crate) marks: Marks,
    passed: Passed,
    pub(crate) mount: u64,
    pub(crate) pid: u32,
}

/// What belongs to whoever has the turn.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) journal: Journal,
    pub(crate) state_file: StateFile,
    pub(crate) state: State,
    pub(crate) names: StageNames,
    pub(crate) spares: Spares,
    /// How `pins/` looked when there was no pin.
    pub(crate) unpinned: Option<Stamp>,
    /// Up to where this handle's checkpoint will go, while it makes one.
    pub(crate) covering: Option<u64>,
    /// Something that was staged and taken back still has a name in `stage/`.
    pub(crate) litter: bool,
    /// The last seq that was committed or healed here, if no checkpoint covers it.
    pub(crate) unsettled: Option<u64>,
    /// Why the last checkpoint did not happen.
    pub(crate) deferred: Option<String>,
    /// The handle is closed, or counts as dead.
    pub(crate) stopped: bool,
}

impl Writer {
    /// A writer that goes on where recovery ended, or beside others.
    pub fn new(parts: WriterParts, limits: Limits) -> Result<Self, FsError> {
        let mount = parts.fs.stat("")?.map_or(0, |root| root.mount);
        let names = StageNames::new(&*parts.fs);
        let now = parts.fs.now();
        let leases = parts.fs.facts()?.leases;
        let marks = Marks::open(&*parts.fs)?;
        Ok(Self {
            fs: parts.fs,
            view: parts.view,
            counters: Counters::new(now),
            queue: Arc::default(),
            checkpoints: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            blank: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                journal: parts.journal,
                state_file: parts.state_file,
                state: parts.state,
                names,
                spares: Spares::new(leases, limits.durability),
                unpinned: None,
                covering: None,
                litter: false,
                unsettled: None,
                deferred: None,
                stopped: false,
            }),
            limits,
            marks,
            passed: Passed::never(),
            mount,
            pid: std::process::id(),
        })
    }

    /// What is committed, for readers.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// How often things have happened here.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The file system, latched.
    pub fn fs(&self) -> &dyn Fs {
        &*self.fs
    }

    /// A child of fork shares the locks of its parent: it must neither read nor write.
    pub fn check_process(&self) -> Result<(), CommitError> {
        if std::process::id() == self.pid { Ok(()) } else { Err(CommitError::Forked) }
    }

    /// Commits a transaction, together with those of other threads that wait at the same time.
    ///
    /// After `Ok` it is durable and every document is at its path. What each error leaves is said
    /// at [`CommitError`].
    pub fn commit(&self, request: Request, patience: Duration) -> Result<Committed, CommitError> {
        self.check_process()?;
        // C1 has prepared the bodies; C2.
        let began = Instant::now();
        let deadline = began.checked_add(patience);
        let lead = match self.queue.wait(Some(request), deadline) {
            Waited::Leads(lead) => lead,
            Waited::Answered(answer) => {
                self.counters.wait();
                return answer.unwrap_or_else(|| Err(leader_panicked()));
            }
            Waited::Left => return Err(self.locked(began)),
        };
        let lock = self.take_lock(lead.has_waited(), began, deadline)?;
        let mut turn = Turn::new(lock, lead);
        // C3 to C9, for everybody who waits by now.
        let mut inner = self.begin()?;
        let mut members = VecDeque::from(turn.lead.take());
        while !members.is_empty() {
            let answers = match self.accepts(&mut inner) {
                Ok(()) => self.commit_group(&mut inner, &mut members),
                Err(error) => members.drain(..).map(|(by, _)| (by, Err(error.clone()))).collect(),
            };
            turn.lead.answer(answers);
        }
        self.after_commits(&mut inner);
        turn.lead.own_answer().unwrap_or(Err(CommitError::Poisoned))
    }

    /// Takes the writer's turn, from before the first read to after the commit: nobody else commits
    /// meanwhile.
    pub fn take_turn(&self, patience: Duration) -> Result<Turn, CommitError> {
        let turn = self.alone(patience)?;
        drop(self.begin()?);
        self.counters.add_to_file(&*self.fs, false);
        Ok(turn)
    }

    /// Commits a transaction in a turn that was taken before.
    pub fn commit_in(&self, turn: &Turn, request: Request) -> Result<Committed, CommitError> {
        self.check_process()?;
        let mut inner = self.inner.lock().map_err(|_| CommitError::Poisoned)?;
        let mut members = VecDeque::from([(turn.lead.ticket(), request)]);
        let ready = self.accepts(&mut inner);
        let answer = ready.map(|()| self.commit_group(&mut inner, &mut members).pop());
        self.after_commits(&mut inner);
        answer?.map_or(Err(CommitError::Poisoned), |(_, answer)| answer)
    }

    /// Checkpoints what was committed here, and takes no more commits, whatever becomes of the
    /// checkpoint.
    ///
    /// After [`CommitError::Locked`] a commit or a checkpoint is still running, and this handle goes
    /// on; after everything else no commit runs here and none ever will.
    pub fn close(&self, patience: Duration) -> Result<(), CommitError> {
        self.check_process()?;
        let closed = self.close_steps(patience);
        if matches!(closed, Err(CommitError::Locked { .. })) {
            self.closing.store(false, Ordering::SeqCst);
        }
        closed
    }

    fn close_steps(&self, patience: Duration) -> Result<(), CommitError> {
        let mut checkpoint = None;
        loop {
            {
                // In the lead of the line: no commit that waits may begin, and no checkpoint of another
                // thread go on, once the caller lets the store go.
                let _lead = self.in_line(patience)?;
                self.closing.store(true, Ordering::SeqCst);
                let runs = self.checkpoints.load(Ordering::SeqCst) > 0;
                let mut inner = self.lock_inner();
                // Who has committed nothing owes nothing, and takes no lock.
                if !runs && (checkpoint.is_some() || inner.unsettled.is_none()) {
                    inner.stopped = true;
                    return checkpoint.unwrap_or(Ok(()));
                }
            }
            match self.checkpoint(patience) {
                Err(locked @ CommitError::Locked { .. }) => return Err(locked),
                done => checkpoint = Some(done),
            }
        }
    }

    /// Keeps all commits waiting until the turn is dropped, for whoever holds documents against the
    /// journal. Nothing is healed.
    pub fn quiet(&self, patience: Duration) -> Result<Turn, CommitError> {
        self.alone(patience)
    }

    /// C2, for what cannot be shared with others' commits.
    fn alone(&self, patience: Duration) -> Result<Turn, CommitError> {
        self.check_process()?;
        let began = Instant::now();
        let lead = self.in_line(patience)?;
        let lock = self.take_lock(lead.has_waited(), began, began.checked_add(patience))?;
        Ok(Turn::new(lock, lead))
    }

    /// The lead of this handle's threads, for what no leader can do for another.
    fn in_line(&self, patience: Duration) -> Result<Lead<Request, Answer>, CommitError> {
        let began = Instant::now();
        let Waited::Leads(mut lead) = self.queue.wait(None, began.checked_add(patience)) else {
            return Err(self.locked(began));
        };
        lead.take();
        Ok(lead)
    }

    /// Notes why a checkpoint that was due did not happen.
    pub fn defer_checkpoint(&self, reason: String) {
        self.lock_inner().deferred = Some(reason);
    }

    /// The journal's length, and what keeps this handle from writing to it.
    pub fn journal_status(&self) -> Result<JournalStatus, CommitError> {
        let moment = self.view.follow()?;
        let progress = self.view.progress();
        let inner = self.lock_inner();
        let failed = self.view.read_state()?.state.failed || inner.stopped || self.fs.is_tripped();
        Ok(JournalStatus {
            store: inner.journal.store().to_owned(),
            checkpoint: progress.checkpoint(),
            bytes_since_checkpoint: progress.bytes_since_checkpoint(),
            unpublished: (moment.published < moment.committed).then_some(moment.committed),
            deferred: inner.deferred.clone(),
            failed,
        })
    }

    /// C2, after the line; `waited` says that there was one.
    fn take_lock(
        &self,
        mut waited: bool,
        began: Instant,
        deadline: Option<Instant>,
    ) -> Result<Box<dyn Lock>, CommitError> {
        let taken = take_lock(&*self.fs, &self.passed, deadline, || waited = true)?;
        if waited {
            self.counters.wait();
        }
        taken.ok_or_else(|| self.locked(began))
    }

    /// Before the lock is let go. The transactions stand whatever becomes of this: a checkpoint that
    /// could not begin is tried again after the next commit, one that failed has stopped the handle.
    fn after_commits(&self, inner: &mut Inner) {
        self.tell_of_failure(inner);
        if self.fs.is_tripped() {
            return;
        }
        if !self.limits.background && self.is_checkpoint_due() {
            inner.deferred = self.checkpoint_in_turn(inner).err().map(|error| error.to_string());
        }
        self.care_for_blank(inner);
        self.counters.add_to_file(&*self.fs, false);
    }

    pub(crate) fn lock_inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn did not come. The holder is for a person to look at; who cannot read it waited all
    /// the same.
    pub(crate) fn locked(&self, began: Instant) -> CommitError {
        let state = self.view.read_state().ok();
        let holder = state.and_then(|reading| reading.state.holder);
        let waited = began.elapsed();
        self.counters.timeout(waited, holder);
        CommitError::Locked { waited, holder }
    }
}

/// Whose leader panicked does not know what became of the group; opening again settles it.
fn leader_panicked() -> CommitError {
    let source = io::Error::other("the thread that led the commit panicked");
    CommitError::Unknown { source: FsError::new("append to", JOURNAL_DIR, source) }
}

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
