//! Ours or not: nothing of anybody's is lost.
//!
//! What a swap or a removal displaces is looked at afterwards, when nobody can reach it by its path
//! any more. It is ours if it is what the record's `was` says; otherwise an outside edit slipped in
//! unseen, and it goes to `rescued/`, below a folder of its own and at its own path there.

use std::io;

use filepact_fs::{Access, Fs, FsError, Kind, Rename, Stamp, Stat, SyncKind, Time, parent_of};
use filepact_journal::{Put, Was};

use crate::durable::stands;
use crate::{RESCUED, Rescued, look};

/// Whether the displaced file at `at` is the version that the record says it replaces.
///
/// `time` is that of the record's commit, taken at validation: a body that was changed within the
/// clock's tick before it can have been changed again without moving its mtime, so its hash
/// decides.
pub fn is_plainly_was(
    fs: &dyn Fs,
    at: &str,
    stat: &Stat,
    was: Option<&Was>,
    time: Time,
) -> Result<bool, FsError> {
    let Some(was) = was else { return Ok(false) };
    if stat.kind != Kind::File || stat.stamp.size != was.size {
        return Ok(false);
    }
    let mut as_seen = stat.stamp;
    as_seen.ctime = was.mtime;
    let same_stamp = stat.stamp.ino == was.ino && stat.stamp.mtime == was.mtime;
    match was.hash {
        _ if same_stamp && as_seen.is_settled(time) => Ok(true),
        Some(hash) => Ok(look(fs, at)?.hash() == Some(hash)),
        None => Ok(same_stamp),
    }
}

/// Whether this is the document that a put replaces which has attributes of its own, and not what it makes:
/// the content alone does not tell the two apart where both hold the same.
pub fn is_before_own(put: &Put, stamp: &Stamp, time: Time) -> bool {
    put.own && stamp.mtime != time && put.was.as_ref().is_some_and(|was| was.ino == stamp.ino)
}

/// Moves what lies at `at` to `rescued/`, durably.
pub fn rescue(fs: &dyn Fs, at: &str, path: &str, txn: u64) -> Result<Rescued, FsError> {
    let folder = format!("{RESCUED}/{txn}.{}", &fs.unique()[..8]);
    let target = format!("{folder}/{path}");
    make_parents(fs, &target, 0o700)?;
    // All that the move rests on is durable before it: the names of the folders, or a power cut keeps
    // the move and loses the folder with the edit in it; and the swap that displaced the edit, or it
    // keeps the move alone, of our own body in the edit's place.
    let mut folders = parent_of(&target);
    while folders != RESCUED {
        folders = parent_of(folders);
        fs.sync_dir(folders)?;
    }
    if stands(fs, parent_of(path), Kind::Dir)? {
        fs.sync_dir(parent_of(path))?;
    }
    // And the body, before its name: whoever finds the name after a power cut finds the edit.
    let found = fs.stat(at)?;
    if found.is_some_and(|stat| stat.kind == Kind::File) {
        match fs.open(at, Access::Read) {
            // An edit that we may not read cannot be synced, and is kept all the same.
            Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {}
            file => file?.sync(SyncKind::All)?,
        }
    }
    fs.rename(at, &target, Rename::NoReplace)?;
    if let Err(error) = fs.sync_dir(parent_of(&target)) {
        // Back to where the next one to heal looks for it, and moves it anew: a second sync of the same
        // folder need not bring back what this one has lost. Where it stays, it is all the same kept.
        let _ = fs.rename(&target, at, Rename::NoReplace);
        return Err(error);
    }
    Ok(Rescued::new(path, target, Some(txn), found))
}

/// Creates the missing directories above `path`, outermost first; says whether there were any.
pub(crate) fn make_parents(fs: &dyn Fs, path: &str, mode: u32) -> Result<bool, FsError> {
    let parent = parent_of(path);
    if parent.is_empty() || fs.stat(parent)?.is_some_and(|stat| stat.kind == Kind::Dir) {
        return Ok(false);
    }
    make_parents(fs, parent, mode)?;
    match fs.make_dir(parent, mode) {
        Err(error) if error.is_exists() => Ok(false),
        made => made.map(|()| true),
    }
}
