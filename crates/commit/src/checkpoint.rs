//! Make published documents durable by themselves, so that older journal can go.
//!
//! Commits go on beside a checkpoint, which has the writer's turn twice, for moments: to choose what it
//! covers, and to record that it is durable. Between the two it syncs and reads back, with
//! `checkpoint.lock` alone. What others displace meanwhile is harmless: their words are in the journal,
//! behind the end that was chosen.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use filepact_fs::{Fs, FsError, LockKind, STAND_IN};
use filepact_journal::{AppendError, RecordKind};

use crate::durable::sync_documents;
use crate::heal::names_in_stage;
use crate::spares::Spares;
use crate::writer::Inner;
use crate::{
    CommitError, Known, Live, MARK, Mark, Rewritten, Stamped, Writer, drop_staged, look_past_links,
    rewrite, secure_rescued, spare_name_path, stage_body_path as in_stage, sweep_all_kept,
};

/// A checkpoint is due when large bodies take so many times the room that the journal may.
const STAGED_MAX: u64 = 16;

/// What a checkpoint covers, chosen in the writer's turn when all is published.
#[derive(Debug)]
pub(crate) struct Covered {
    /// Up to this seq; the end of a group.
    upto: u64,
    /// The documents changed since the last checkpoint, by whatever process.
    changed: Vec<(Arc<str>, Known)>,
    /// All that lay in `stage/`: leftovers, and bodies of records up to here.
    names: Vec<String>,
    /// This handle's spares.
    spares: Spares,
}

impl Writer {
    /// Makes every document that is published by now durable by itself, so that older journal can go.
    /// Commits go on meanwhile.
    ///
    /// `patience` is for each wait: for another checkpoint, and twice for the writer's turn.
    pub fn checkpoint(&self, patience: Duration) -> Result<(), CommitError> {
        self.check_process()?;
        let _running = Running::count(&self.checkpoints);
        let made = self.checkpoint_beside(patience);
        self.lock_inner().covering = None;
        made
    }

    fn checkpoint_beside(&self, patience: Duration) -> Result<(), CommitError> {
        let began = Instant::now();
        let one = self.fs.lock(MARK, LockKind::Exclusive, patience)?;
        let _one = one.ok_or_else(|| self.locked(began))?;
        let covered = {
            let _turn = self.take_turn(patience)?;
            self.choose(&mut self.lock_inner())?
        };
        let Some(covered) = covered else { return Ok(()) };
        let secured = self.secure(&covered);
        // Who comes into the turn after a failed sync tells everybody of it.
        match (secured, self.take_turn(patience)) {
            (Ok(()), Ok(_turn)) => self.record(&mut self.lock_inner(), covered),
            (secured, turn) => {
                let error = secured.and(turn.map(drop)).expect_err("one of them has failed");
                self.lock_inner().spares.take_back(covered.spares);
                self.give_up()?;
                Err(error)
            }
        }
    }

    /// The same in one turn, which the caller has. Who has the turn waits for no other checkpoint.
    pub(crate) fn checkpoint_in_turn(&self, inner: &mut Inner) -> Result<(), CommitError> {
        let made = self.checkpoint_steps(inner);
        inner.covering = None;
        made
    }

    fn checkpoint_steps(&self, inner: &mut Inner) -> Result<(), CommitError> {
        // What the commit before it could not publish is published first: the record says that all is.
        let ready = self.ready(inner);
        self.tell_of_failure(inner);
        ready?;
        let Some(_one) = self.fs.lock(MARK, LockKind::Exclusive, Duration::ZERO)? else {
            return Err(self.locked(Instant::now()));
        };
        let covered = self.choose(inner);
        self.tell_of_failure(inner);
        let Some(covered) = covered? else { return Ok(()) };
        let secured = self.secure(&covered);
        self.tell_of_failure(inner);
        match secured {
            Ok(()) => self.record(inner, covered),
            Err(error) => {
                inner.spares.take_back(covered.spares);
                self.give_up()?;
                Err(error)
            }
        }
    }

    /// Has the journal grown beyond what a checkpoint is made for? Or what it keeps in `stage/`: of a large
    /// document every version stays there.
    pub fn is_checkpoint_due(&self) -> bool {
        let (progress, most) = (self.view.progress(), self.limits.journal_max);
        progress.bytes_since_checkpoint() > most
            || progress.staged_since_checkpoint() > most.saturating_mul(STAGED_MAX)
    }

    /// Up to where, and what that concerns; `None` if there is nothing to do.
    fn choose(&self, inner: &mut Inner) -> Result<Option<Covered>, CommitError> {
        let fs = &*self.fs;
        let upto = inner.journal.next_seq() - 1;
        let last = inner.journal.last_checkpoint();
        let changed = self.view.changed_since(last).expect("known since the last checkpoint");
        let unfinished = Mark::is_any_set(fs)?;
        if changed.is_empty() {
            // Somebody died between the record and the mark.
            if unfinished {
                Mark::clear_all(fs)?;
            }
            inner.unsettled = None;
            // Whoever needed it may have gone since.
            inner.litter |= sweep_all_kept(fs).is_err();
            return Ok(None);
        }
        let names = names_in_stage(fs)?;
        // Set before the first sync: if we die with its error, the next one knows that what reads
        // well may not be on the disk.
        Mark::Checkpoint.set(fs)?;
        if unfinished {
            let rewritten = self.rewrite_all(inner, &changed);
            // Who died in the same may have moved an edit to where nobody has synced its name.
            let rewritten = rewritten.and_then(|()| Ok(secure_rescued(fs, last)?));
            // What it may have left in `stage/` is settled before anything else is committed.
            inner.litter |= rewritten.is_err();
            self.tell_of_failure(inner);
            rewritten?;
            // From here on our own mark stands for it.
            Mark::Turn.clear(fs)?;
        }
        inner.covering = Some(upto);
        let spares = inner.spares.take_all();
        Ok(Some(Covered { upto, changed, names, spares }))
    }

    /// Syncs all that is covered, and reads it back. A failure that leaves nothing known stops the
    /// handle.
    fn secure(&self, covered: &Covered) -> Result<(), CommitError> {
        let secured = self.sync_and_read_back(covered);
        let secured = secured.and_then(|()| self.sweep_spares(&covered.spares, &covered.names));
        secured.inspect_err(|error| {
            // A full disk can be the reason of a failed sync. An error of any other call has synced
            // too little, which is no harm.
            if matches!(error, CommitError::Io(error) if error.is_full()) {
                self.fs.trip();
            }
        })
    }

    /// After an error that leaves no doubt the mark goes; after any other one it stays.
    fn give_up(&self) -> Result<(), FsError> {
        if self.fs.is_tripped() { Ok(()) } else { Mark::Checkpoint.clear(&*self.fs) }
    }

    /// Records that all that is covered is durable, in the writer's turn when all is published.
    ///
    /// After the syncs: the record says that the journal is not needed, so it must not be durable
    /// before that is true. It says no more than was chosen: what others have committed since was not
    /// synced (attack 24).
    fn record(&self, inner: &mut Inner, covered: Covered) -> Result<(), CommitError> {
        let fs = &*self.fs;
        let Covered { upto, changed, names, .. } = covered;
        match inner.journal.append(vec![RecordKind::Checkpoint { upto }], fs.now()) {
            Ok(appended) => {
                self.committed(inner, &appended)?;
                inner.state.published = inner.state.committed.clone();
                self.write_state(inner).map_err(|source| CommitError::Unknown { source })?;
                self.view.publish();
                self.counters.checkpoint(changed.len(), upto);
            }
            Err(AppendError::Unchanged(error)) => {
                self.stop_with_journal(inner);
                self.give_up()?;
                return Err(error.into());
            }
            Err(AppendError::Unknown(source)) => {
                self.fail(inner);
                return Err(CommitError::Unknown { source });
            }
        }
        Mark::Checkpoint.clear(fs)?;
        inner.deferred = None;
        inner.unsettled.take_if(|seq| *seq <= upto);
        self.sweep_stage(inner, &names);
        self.counters.add_to_file(fs, self.closing.load(Ordering::SeqCst));
        Ok(())
    }

    /// Somebody died in a checkpoint, perhaps with the error of a sync that nobody else will be
    /// told of: every document goes to a new inode.
    fn rewrite_all(
        &self,
        inner: &mut Inner,
        changed: &[(Arc<str>, Known)],
    ) -> Result<(), CommitError> {
        for (path, known) in changed {
            // On the new inode it would pass for an edit.
            self.is_not_lost(path, known)?;
            let Live::Document { stat, taken, hash } = look_past_links(&*self.fs, path)? else {
                continue;
            };
            let seen = Stamped { stamp: stat.stamp, taken };
            let at = inner.names.swap(known.seq, known.time);
            match rewrite(&*self.fs, path, (seen, hash), at, (known.seq, known.time))? {
                Rewritten::Done(rescued) => {
                    rescued.iter().for_each(|edit| self.counters.rescue(edit));
                }
                // The mark stays: the next checkpoint tries again.
                Rewritten::Edited => {
                    let source = io::Error::other("it is being edited");
                    return Err(FsError::new("rewrite", &**path, source).into());
                }
            }
        }
        Ok(())
    }

    fn sync_and_read_back(&self, covered: &Covered) -> Result<(), CommitError> {
        sync_documents(&*self.fs, covered.changed.iter().map(|(path, _)| &**path))?;
        covered.changed.iter().try_for_each(|(path, known)| self.is_not_lost(path, known))
    }

    /// A lost write shows as other content under our own stamp, ctime and all, or under the commit's time
    /// where this handle has no stamp; other content under another is an outside edit, and now as durable as
    /// it would be without us.
    fn is_not_lost(&self, path: &str, known: &Known) -> Result<(), CommitError> {
        let Some(holds) = &known.content else { return Ok(()) };
        let Some((is_same, stat)) = holds.is_at(&*self.fs, path)? else { return Ok(()) };
        let ours = match known.stamp {
            Some(stamp) => stat.stamp == stamp.stamp,
            None => stat.stamp.mtime == known.time,
        };
        if is_same || !ours || self.is_overtaken(path, known)? {
            return Ok(());
        }
        self.fs.trip();
        Err(CommitError::Lost { path: path.to_string() })
    }

    /// Whether somebody has committed a later word on the document since. Asked after the document was
    /// looked at: nothing is published before `state` says that it is committed.
    fn is_overtaken(&self, path: &str, known: &Known) -> Result<bool, CommitError> {
        self.view.follow()?;
        Ok(self.view.seq_of(path) > known.seq)
    }

    /// What lay in `stage/` when all up to the checkpoint was published is ours and not needed: swaps
    /// are settled, and the documents' own names hold the bodies. What came since stays.
    fn sweep_stage(&self, inner: &mut Inner, names: &[String]) {
        // What stands in for an unnamed file is somebody's who prepares a body just now.
        let mut ours = names
            .iter()
            .filter(|name| !in_stage(name).starts_with(STAND_IN))
            .filter(|name| spare_name_path(name).is_none());
        let swept = ours.try_for_each(|name| {
            let rescued = drop_staged(&*self.fs, name)?;
            rescued.iter().for_each(|edit| self.counters.rescue(edit));
            Ok(())
        });
        let swept = swept.and_then(|()| sweep_all_kept(&*self.fs));
        // What cannot be removed here goes with the next checkpoint, or the next opening; what bears
        // a number that comes again, before that.
        inner.litter |= swept.is_err();
    }
}

/// Counts a checkpoint that runs: the store is not let go beneath it.
#[derive(Debug)]
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn count(running: &'a AtomicUsize) -> Self {
        running.fetch_add(1, Ordering::SeqCst);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
