//! Make published documents durable by themselves, so that older journal can go.

use std::collections::BTreeSet;
use std::time::Duration;

use filepact_fs::{Access, Fs, FsError, Kind, SyncKind, parent_of, read_full, write_all};
use filepact_journal::{AppendError, RecordKind};

use crate::writer::Inner;
use crate::{CommitError, Known, Live, MARK, Writer, look, stage_body_path};

impl Writer {
    /// Makes every published document durable by itself, so that the journal can go.
    pub fn checkpoint(&self, patience: Duration) -> Result<(), CommitError> {
        let (_turn, mut inner) = self.enter(patience)?;
        self.catch_up(&mut inner)?;
        self.checkpoint_now(&mut inner)
    }

    /// A checkpoint, in the writer's turn.
    pub(crate) fn checkpoint_now(&self, inner: &mut Inner) -> Result<(), CommitError> {
        let upto = inner.journal.next_seq() - 1;
        let last = inner.journal.last_checkpoint();
        let changed = self.view.changed_since(last);
        if changed.is_empty() {
            return Ok(());
        }
        // Set before the first sync: if we die with its error, the next opener knows that what
        // reads well may not be on the disk.
        CheckpointMark::set(&*self.fs)?;
        if let Err(error) = self.sync_and_read_back(&changed) {
            // A failed sync leaves nothing known, and a full disk can be its reason. An error of
            // any other call has synced too little, which is no harm.
            let full = matches!(&error, CommitError::Io(error) if error.is_full());
            if full || self.fs.is_tripped() || matches!(error, CommitError::Lost { .. }) {
                self.fail(inner);
            } else {
                CheckpointMark::clear(&*self.fs)?;
            }
            return Err(error);
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

    fn sync_and_read_back(&self, changed: &[(String, Known)]) -> Result<(), CommitError> {
        sync_documents(&*self.fs, changed.iter().map(|(path, _)| path.as_str()))?;
        for (path, known) in changed {
            // A lost write shows as other content under our own stamp; other content under another
            // stamp is an outside edit, and now as durable as it would be without us.
            let (Some(stamp), Some((hash, _))) = (known.stamp, known.content) else { continue };
            if let Live::Document { stat, hash: now, .. } = look(&*self.fs, path)?
                && now != hash
                && stat.stamp.same_body(&stamp.stamp)
            {
                return Err(CommitError::Lost { path: path.clone() });
            }
        }
        Ok(())
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
    let mut dirs = BTreeSet::new();
    for path in paths {
        if stands(fs, path, Kind::File)? {
            fs.open(path, Access::Read)?.sync(SyncKind::All)?;
        }
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
fn stands(fs: &dyn Fs, path: &str, kind: Kind) -> Result<bool, FsError> {
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

    /// After the checkpoint's record is durable.
    pub fn clear(fs: &dyn Fs) -> Result<(), FsError> {
        Ok(write_all(&*fs.open(MARK, Access::Write)?, b"0", 0)?)
    }
}
