//! Make published documents durable by themselves, so that older journal can go.

use std::collections::BTreeSet;

use filepact_fs::{Access, Fs, FsError, Kind, SyncKind, parent_of, read_full, write_all};

use crate::MARK;

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
        if fs.stat(path)?.is_some_and(|stat| stat.kind == Kind::File) {
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
        if fs.stat(dir)?.is_some_and(|stat| stat.kind == Kind::Dir) {
            fs.sync_dir(dir)?;
        }
    }
    Ok(())
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
