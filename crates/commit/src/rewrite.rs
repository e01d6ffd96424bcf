//! The same content on a new inode.

use filepact_fs::{Fs, FsError, Time};
use filepact_journal::{Hash, Was};

use crate::stage::{Dress, place, stage_copy};
use crate::{Rescued, Stamped, Swap, look};

/// How a rewrite ended.
#[derive(Debug)]
pub enum Rewritten {
    /// The content lies on a new inode, synced; the name needs a sync. What stood there was as it
    /// had been seen, or somebody's edit, which is rescued.
    Done(Option<Rescued>),
    /// Somebody was just saving it, and nothing was done.
    Edited,
}

/// Copies a document that reads well and may not be on the disk to a new inode: after a failed sync
/// its pages count as clean, and no further sync would write them.
///
/// `seen` and `hash` are what was looked at; `at` is a name in `stage/`; `txn` and `time` are those
/// of its last word.
pub fn rewrite(
    fs: &dyn Fs,
    path: &str,
    (seen, hash): (Stamped, Hash),
    at: String,
    (txn, time): (u64, Time),
) -> Result<Rewritten, FsError> {
    let stamp = seen.stamp;
    let was = Was { size: stamp.size, mtime: stamp.mtime, ino: stamp.ino, hash: Some(hash) };
    let (dir, attrs) = place(fs, path)?;
    // Its own time: what stands there may be somebody's edit, and must not look like ours.
    let dress = Dress { attrs: attrs.as_ref(), mode: None, ids: None, time: stamp.mtime };
    let staged = stage_copy(fs, path, was.size, &dir, dress, at)?;
    // What was copied must be what was looked at, and not half of somebody's save.
    if look(fs, &staged.at)?.hash() != was.hash {
        fs.unlink(&staged.at)?;
        return Ok(Rewritten::Edited);
    }
    let swap = Swap { path, was: Some(&was), txn, time, replaces_ours: false, own: false };
    let displaced = swap.run(fs, &staged)?;
    Ok(Rewritten::Done(displaced.settle(fs, &staged.at, swap, Some(&staged))?))
}
