//! The steps of a commit, in order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use filepact_fs::{DocPath, Fs, FsError, Latched, Time};
use filepact_journal::{
    AppendError, Appended, Body, Commit, Journal, Put, RecordKind, Remove, State, StateFile, Was,
    Words,
};

use crate::publish::Swap;
use crate::queue::{Queue, Turn};
use crate::validate::{Target, Validated, Validation};
use crate::{
    CheckpointMark, CommitError, Content, Displaced, Dress, ReadSet, Rescued, StageNames, Staged,
    Stamped, View, look, remove_document, settle, stage_body_path, stage_bytes, stage_link,
    sync_documents,
};

/// One change of a transaction.
#[derive(Debug)]
pub enum Change {
    /// The document gets this body.
    Put {
        /// The body.
        content: Content,
        /// The mode, if the document is new; 0666 less the umask otherwise.
        mode: Option<u32>,
    },
    /// The document goes.
    Remove,
}

/// What a transaction asks for.
#[derive(Debug, Default)]
pub struct Request {
    /// The changes, one a document.
    pub changes: BTreeMap<DocPath, Change>,
    /// What they may depend on.
    pub reads: ReadSet,
    /// Who and why.
    pub note: Option<String>,
}

/// A transaction that is durable and visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub txn: u64,
    /// Outside edits that it displaced unseen; they lie in `rescued/`.
    pub rescued: Vec<Rescued>,
}

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
    fs: Arc<Latched>,
    view: View,
    queue: Queue,
    inner: Mutex<Inner>,
    limits: Limits,
    mount: u64,
    pid: u32,
}

#[derive(Debug)]
struct Inner {
    journal: Journal,
    state_file: StateFile,
    state: State,
    names: StageNames,
    /// A group that is committed and not published whole.
    pending: Option<Pending>,
    /// Large bodies whose names go with the next checkpoint.
    bodies: Vec<String>,
    rescued: Vec<Rescued>,
    /// Why the last checkpoint did not happen.
    deferred: Option<String>,
    /// The store may be somebody else's by now.
    closed: bool,
}

/// C8 so far.
#[derive(Debug)]
struct Pending {
    txn: u64,
    todo: VecDeque<Publish>,
    rescued: Vec<Rescued>,
}

/// One document on its way to its path, or out of it.
#[derive(Debug)]
struct Publish {
    path: String,
    was: Option<Was>,
    txn: u64,
    time: Time,
    /// What becomes the document; `None` removes it.
    staged: Option<Staged>,
    /// Where that lies in `stage/`, and then what it displaced.
    at: String,
    /// Whether the swap is done, and what it left. A swap that is done is never done again: a
    /// second exchange would bring the old body back.
    swapped: Option<Displaced>,
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
                rescued: Vec::new(),
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
        let mut group = Group::default();
        if let Err(error) = self.stage(inner, request, &validated, time, &mut group) {
            self.unstage(&group);
            return Err(error.into());
        }
        // C6, C7: the commit point is the return of the journal's sync.
        let appended = match inner.journal.append(std::mem::take(&mut group.records), time) {
            Ok(appended) => appended,
            Err(AppendError::Unchanged(error)) => {
                self.unstage(&group);
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

    /// Makes every published document durable by itself, so that the journal can go.
    pub fn checkpoint(&self, patience: Duration) -> Result<(), CommitError> {
        let (_turn, mut inner) = self.enter(patience)?;
        self.catch_up(&mut inner)?;
        self.checkpoint_now(&mut inner)
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
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// C2.
    fn enter(&self, patience: Duration) -> Result<(Turn<'_>, MutexGuard<'_, Inner>), CommitError> {
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
    fn catch_up(&self, inner: &mut Inner) -> Result<(), CommitError> {
        match self.publish(inner) {
            Ok(rescued) => {
                inner.rescued.extend(rescued);
                Ok(())
            }
            // For this caller nothing has changed.
            Err(CommitError::Unpublished { source, .. }) => Err(CommitError::Io(source)),
            Err(error) => Err(error),
        }
    }

    /// C5: new files for the small bodies, links for the large ones, and the records.
    fn stage(
        &self,
        inner: &mut Inner,
        request: Request,
        validated: &Validated,
        time: Time,
        group: &mut Group,
    ) -> Result<(), FsError> {
        let first = inner.journal.next_seq();
        if !validated.adopted.is_empty() {
            let adopted = validated.adopted.iter().map(|adopted| adopted.record.clone());
            group.records.extend(adopted);
            let commit = Commit { time, note: None, outside: true };
            group.records.push(RecordKind::Commit(commit));
        }
        for (path, change) in request.changes {
            let seq = first + group.records.len() as u64;
            let Target { was, attrs, dir } = &validated.targets[&path];
            let at = inner.names.swap(seq);
            let record = match change {
                Change::Remove => {
                    group.removals.insert(seq, at);
                    RecordKind::Remove(Remove { path: path.to_string(), was: was.clone() })
                }
                Change::Put { content, mode } => {
                    let dress = Dress { attrs: attrs.as_ref(), mode, ids: None, time };
                    let (hash, len) = (content.hash(), content.len());
                    let (staged, body) = match content {
                        Content::Inline { bytes, .. } => {
                            let staged = stage_bytes(&*self.fs, dir, &bytes, dress, at)?;
                            (staged, Body::Inline(bytes))
                        }
                        Content::Large { file, .. } => {
                            let name = inner.names.body();
                            group.bodies.push(name.clone());
                            let staged = stage_link(&*file, Some(&name), dress, at)?;
                            (staged, Body::Staged(name))
                        }
                    };
                    let (mode, uid, gid) = staged.owner;
                    group.staged.insert(seq, staged);
                    let (path, was) = (path.to_string(), was.clone());
                    RecordKind::Put(Put { path, len, hash, mode, uid, gid, was, body })
                }
            };
            group.records.push(record);
        }
        let commit = Commit { time, note: request.note, outside: false };
        group.records.push(RecordKind::Commit(commit));
        if !group.bodies.is_empty() {
            // Before C6: a durable record must not name a body whose own name can still be lost.
            self.fs.sync_dir(crate::STAGE)?;
        }
        Ok(())
    }

    /// Takes back C5. A name that cannot be removed now is swept by the next opening.
    fn unstage(&self, group: &Group) {
        let swaps = group.staged.values().map(|staged| staged.at.clone());
        let bodies = group.bodies.iter().map(|body| stage_body_path(body));
        for at in swaps.chain(bodies) {
            let _ = self.fs.unlink(&at);
        }
    }

    /// The beginning of C8: from here on everybody reads the group.
    fn committed(
        &self,
        inner: &mut Inner,
        appended: &Appended,
        mut group: Group,
    ) -> Result<(), CommitError> {
        let mut words = Words::default();
        words.apply(&appended.group);
        let (mut removes, mut puts) = (VecDeque::new(), VecDeque::new());
        for (path, word) in words.iter() {
            // An outside edit is at its path already.
            if word.outside {
                continue;
            }
            let (was, staged, at) = match &word.change {
                filepact_journal::Change::Remove(remove) => {
                    let at = group.removals.remove(&word.seq).expect("every removal has a name");
                    (&remove.was, None, at)
                }
                filepact_journal::Change::Put(put) => {
                    let staged = group.staged.remove(&word.seq).expect("every put is staged");
                    let at = staged.at.clone();
                    (&put.was, Some(staged), at)
                }
            };
            let queue = if staged.is_some() { &mut puts } else { &mut removes };
            queue.push_back(Publish {
                path: path.to_owned(),
                was: was.clone(),
                txn: word.txn,
                time: word.time,
                staged,
                at,
                swapped: None,
            });
        }
        // Removals first: a document may give way to a directory of the same name.
        removes.append(&mut puts);
        inner.pending = Some(Pending { txn: appended.last, todo: removes, rescued: Vec::new() });
        inner.bodies.append(&mut group.bodies);
        self.view.commit(words, appended.last);
        inner.state.synced = appended.last;
        inner.state.committed = inner.journal.end().into();
        self.write_state(inner)
    }

    /// C8: each document once, to its last word; then `state` says so.
    fn publish(&self, inner: &mut Inner) -> Result<Vec<Rescued>, CommitError> {
        let Some(mut pending) = inner.pending.take() else { return Ok(Vec::new()) };
        while let Some(publish) = pending.todo.front_mut() {
            if let Err(source) = self.publish_one(publish, &mut pending.rescued) {
                let (txn, path) = (pending.txn, publish.path.clone());
                inner.pending = Some(pending);
                return Err(CommitError::Unpublished { txn, path, source });
            }
            pending.todo.pop_front();
        }
        inner.state.published = inner.state.committed.clone();
        self.view.publish();
        self.write_state(inner)?;
        inner.rescued.extend(pending.rescued.iter().cloned());
        Ok(pending.rescued)
    }

    fn publish_one(
        &self,
        publish: &mut Publish,
        rescued: &mut Vec<Rescued>,
    ) -> Result<(), FsError> {
        let fs = &*self.fs;
        let swap = Swap {
            path: &publish.path,
            was: publish.was.as_ref(),
            txn: publish.txn,
            time: publish.time,
        };
        let swapped = match (publish.swapped, &publish.staged) {
            (Some(swapped), _) => swapped,
            (None, Some(staged)) => swap.run(fs, staged)?,
            (None, None) => remove_document(fs, &publish.path, &publish.at)?,
        };
        publish.swapped = Some(swapped);
        if let Some(staged) = &publish.staged {
            self.note_stamp(&publish.path, staged)?;
        }
        if swapped == Displaced::Yes {
            rescued.extend(settle(fs, &publish.at, swap, publish.staged.as_ref())?);
        }
        Ok(())
    }

    /// Remembers how the document looks, to know an outside edit by. An edit that came between the
    /// swap and this look differs from what was staged, and is not taken for ours.
    fn note_stamp(&self, path: &str, staged: &Staged) -> Result<(), FsError> {
        let taken = self.fs.now();
        if let Some(stat) = self.fs.stat(path)?
            && stat.stamp.same_body(&staged.stamp)
        {
            self.view.stamp(path, Stamped { stamp: stat.stamp, taken });
        }
        Ok(())
    }

    /// DESIGN's checkpoint, under the writer's turn.
    fn checkpoint_now(&self, inner: &mut Inner) -> Result<(), CommitError> {
        let upto = inner.journal.next_seq() - 1;
        let last = inner.journal.last_checkpoint();
        let changed = self.view.changed_since(last);
        if changed.is_empty() {
            return Ok(());
        }
        // Set before the first sync: if we die with its error, the next opener knows that what
        // reads well may not be on the disk.
        CheckpointMark::set(&*self.fs)?;
        let synced = sync_documents(&*self.fs, changed.iter().map(|(path, _)| path.as_str()));
        if let Err(error) = synced {
            self.fail(inner);
            return Err(error.into());
        }
        for (path, known) in &changed {
            // A lost write shows as other content under our own stamp; other content under another
            // stamp is an outside edit, and now as durable as it would be without us.
            let (Some(stamp), Some((hash, _))) = (known.stamp, known.content) else { continue };
            let now = look(&*self.fs, path)?;
            if let crate::Live::Document { stat, hash: now, .. } = now
                && now != hash
                && stat.stamp.same_body(&stamp.stamp)
            {
                self.fail(inner);
                return Err(CommitError::Lost { path: path.clone() });
            }
        }
        // After the syncs: the record says that the journal is not needed, so it must not be
        // durable before that is true. It covers all that is committed, since we hold the turn.
        let record = vec![RecordKind::Checkpoint { upto }];
        match inner.journal.append(record, self.fs.now()) {
            Ok(appended) => {
                inner.state.synced = appended.last;
                inner.state.committed = inner.journal.end().into();
                inner.state.published = inner.state.committed.clone();
                self.view.checkpoint(appended.last);
                self.write_state(inner)?;
            }
            Err(AppendError::Unchanged(error)) => {
                CheckpointMark::clear(&*self.fs)?;
                return Err(error.into());
            }
            Err(AppendError::Unknown(source)) => {
                self.fail(inner);
                return Err(CommitError::Unknown { source });
            }
        }
        CheckpointMark::clear(&*self.fs)?;
        for body in inner.bodies.drain(..) {
            // The document's own name holds the body now. What cannot be removed here is swept by
            // the next opening.
            let _ = self.fs.unlink(&stage_body_path(&body));
        }
        Ok(())
    }

    /// For everybody who opens the store, `state` is what is committed: a handle that cannot write
    /// it stops, and its caller is told that the outcome is unknown.
    fn write_state(&self, inner: &mut Inner) -> Result<(), CommitError> {
        inner.state_file.write(&inner.state).map_err(|source| {
            self.fs.trip();
            inner.state.failed = true;
            CommitError::Unknown { source }
        })
    }

    /// Stops everything: a failed sync leaves nothing that can be built upon.
    fn fail(&self, inner: &mut Inner) {
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

/// What C5 has made for the lines of C6.
#[derive(Debug, Default)]
struct Group {
    records: Vec<RecordKind>,
    staged: HashMap<u64, Staged>,
    removals: HashMap<u64, String>,
    bodies: Vec<String>,
}
