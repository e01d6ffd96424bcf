//! Make published documents durable by themselves, so that older journal can go.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use filepact_fs::{Access, Fs, FsError, Kind, STAND_IN, SyncKind, parent_of, read_full, write_all};
use filepact_journal::{AppendError, RecordKind};

use crate::heal::names_in_stage;
use crate::writer::Inner;
use crate::{
    CommitError, Known, Live, MARK, Rewritten, Stamped, Writer, drop_staged, look_past_links,
    rewrite, stage_body_path as in_stage,
};

/// Documents changed since the last checkpoint, by whatever process.
type Changed = Vec<(Arc<str>, Known)>;

impl Writer {
    /// A checkpoint, in the writer's turn, when all is published.
    pub(crate) fn checkpoint_now(&self, inner: &mut Inner) -> Result<(), CommitError> {
        let outcome = self.checkpoint_steps(inner);
        self.tell_of_failure(inner);
        outcome
    }

    fn checkpoint_steps(&self, inner: &mut Inner) -> Result<(), CommitError> {
        let fs = &*self.fs;
        let upto = inner.journal.next_seq() - 1;
        let last = inner.journal.last_checkpoint();
        let changed = self.view.changed_since(last).expect("known since the last checkpoint");
        let unfinished = CheckpointMark::is_set(fs)?;
        if changed.is_empty() {
            // Somebody died between the record and the mark.
            if unfinished {
                CheckpointMark::clear(fs)?;
            }
            inner.unsettled = false;
            return Ok(());
        }
        // Set before the first sync: if we die with its error, the next one knows that what reads
        // well may not be on the disk.
        CheckpointMark::set(fs)?;
        if unfinished {
            self.rewrite_all(inner, &changed)?;
        }
        if let Err(error) = self.sync_and_read_back(&changed) {
            // A failed sync leaves nothing known, and a full disk can be its reason. An error of
            // any other call has synced too little, which is no harm.
            let full = matches!(&error, CommitError::Io(error) if error.is_full());
            if full || matches!(error, CommitError::Lost { .. }) {
                self.fail(inner);
            } else if !self.fs.is_tripped() {
                CheckpointMark::clear(fs)?;
            }
            return Err(error);
        }
        // After the syncs: the record says that the journal is not needed, so it must not be
        // durable before that is true. It covers all that is committed, since we hold the turn.
        let record = vec![RecordKind::Checkpoint { upto }];
        match inner.journal.append(record, fs.now()) {
            Ok(appended) => {
                self.committed(inner, &appended)?;
                inner.state.published = inner.state.committed.clone();
                self.write_state(inner).map_err(|source| CommitError::Unknown { source })?;
                self.view.publish();
                self.counters.checkpoint(changed.len(), upto);
            }
            Err(AppendError::Unchanged(error)) => {
                CheckpointMark::clear(fs)?;
                return Err(error.into());
            }
            Err(AppendError::Unknown(source)) => {
                self.fail(inner);
                return Err(CommitError::Unknown { source });
            }
        }
        CheckpointMark::clear(fs)?;
        inner.unsettled = false;
        self.sweep_stage(inner);
        Ok(())
    }

    /// Somebody died in a checkpoint, perhaps with the error of a sync that nobody else will be
    /// told of: every document goes to a new inode.
    fn rewrite_all(&self, inner: &mut Inner, changed: &Changed) -> Result<(), CommitError> {
        for (path, known) in changed {
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

    fn sync_and_read_back(&self, changed: &Changed) -> Result<(), CommitError> {
        sync_documents(&*self.fs, changed.iter().map(|(path, _)| &**path))?;
        for (path, known) in changed {
            // A lost write shows as other content under our own stamp, ctime and all, or under the
            // commit's time where this handle has no stamp; other content under another is an
            // outside edit, and now as durable as it would be without us.
            let Some(holds) = &known.content else { continue };
            let Some((is_same, stat)) = holds.is_at(&*self.fs, path)? else { continue };
            let ours = match known.stamp {
                Some(stamp) => stat.stamp == stamp.stamp,
                None => stat.stamp.mtime == known.time,
            };
            if !is_same && ours {
                return Err(CommitError::Lost { path: path.to_string() });
            }
        }
        Ok(())
    }

    /// Below a checkpoint every name in `stage/` is ours and not needed: swaps are settled, and the
    /// documents' own names hold the bodies.
    fn sweep_stage(&self, inner: &mut Inner) {
        let swept = names_in_stage(&*self.fs).and_then(|names| {
            // What stands in for an unnamed file is somebody's who prepares a body just now.
            let mut ours = names.iter().filter(|name| !in_stage(name).starts_with(STAND_IN));
            ours.try_for_each(|name| {
                let rescued = drop_staged(&*self.fs, name)?;
                rescued.iter().for_each(|edit| self.counters.rescue(edit));
                Ok(())
            })
        });
        // What cannot be removed here goes with the next checkpoint, or the next opening; what bears
        // a number that comes again, before that.
        inner.litter |= swept.is_err();
    }
}

/// Beyond this many documents one `syncfs` costs less than a sync of each.
const SYNC_EACH: usize = 16;

/// Makes these documents durable, with their directories and all ancestors up to the root; a
/// document that is absent is durably absent.
///
/// A failed sync leaves nothing known: the latch has tripped, and nothing may rest on any of it.
pub fn sync_documents<'a>(
    fs: &dyn Fs,
    paths: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), FsError> {
    if paths.clone().nth(SYNC_EACH).is_some() {
        return fs.sync_everything();
    }
    for path in paths.clone() {
        if stands(fs, path, Kind::File)? {
            fs.open(path, Access::Read)?.sync(SyncKind::All)?;
        }
    }
    sync_names(fs, paths)
}

/// Makes the names of these documents durable, or their absence.
///
/// A failed sync leaves nothing known.
pub(crate) fn sync_names<'a>(
    fs: &dyn Fs,
    paths: impl Iterator<Item = &'a str>,
) -> Result<(), FsError> {
    let mut dirs = BTreeSet::new();
    for path in paths {
        let mut dir = parent_of(path);
        while dirs.insert(dir.to_owned()) && !dir.is_empty() {
            dir = parent_of(dir);
        }
    }
    // The user may have made any of these directories, and nobody has synced them since: without
    // every ancestor the document's own directory can be lost whole.
    for dir in dirs.iter().rev() {
        if stands(fs, dir, Kind::Dir)? {
            fs.sync_dir(dir)?;
        }
    }
    Ok(())
}

/// Whether such a thing stands at the path. Behind a link there is nothing of ours.
pub(crate) fn stands(fs: &dyn Fs, path: &str, kind: Kind) -> Result<bool, FsError> {
    match fs.stat(path) {
        Err(error) if error.is_link() => Ok(false),
        stat => Ok(stat?.is_some_and(|stat| stat.kind == kind)),
    }
}

/// The mark of an unfinished checkpoint, a byte that outlives its process but not the boot.
///
/// Who finds it set knows that somebody died with an error of a sync that nobody else will be told
/// of. It needs no sync itself: after a power cut the page cache is not trusted anyway.
#[derive(Debug)]
pub struct CheckpointMark;

impl CheckpointMark {
    /// Whether a checkpoint is unfinished. A file that cannot be read as a clear no is a yes.
    pub fn is_set(fs: &dyn Fs) -> Result<bool, FsError> {
        let file = match fs.open(MARK, Access::Read) {
            Err(error) if error.is_not_found() => return Ok(true),
            file => file?,
        };
        let mut byte = [0];
        let read = read_full(&*file, &mut byte, 0)?;
        Ok(read != 1 || byte != *b"0")
    }

    /// Before the first sync of a checkpoint.
    pub fn set(fs: &dyn Fs) -> Result<(), FsError> {
        Ok(write_all(&*fs.open(MARK, Access::Write)?, b"1", 0)?)
    }

    /// Syncs documents outside of a checkpoint, in the writer's turn, so that an error that dies with
    /// us is not lost: nobody else is told of it. The mark stays after a failure, and as it was.
    pub(crate) fn around(
        fs: &dyn Fs,
        sync: impl FnOnce() -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        let before = Self::is_set(fs)?;
        Self::set(fs)?;
        let synced = sync();
        // A full disk can be the reason of a failed sync. After any other one the latch refuses to
        // clear the mark; an error of another call has synced too little, which is no harm.
        if before || synced.as_ref().is_err_and(FsError::is_full) {
            return synced;
        }
        let cleared = Self::clear(fs);
        synced.and(cleared)
    }

    /// After the checkpoint's record is durable.
    pub fn clear(fs: &dyn Fs) -> Result<(), FsError> {
        Ok(write_all(&*fs.open(MARK, Access::Write)?, b"0", 0)?)
    }
}
