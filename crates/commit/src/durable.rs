//! Documents on the disk: their content, their names, and the directories above.

use std::collections::BTreeSet;

use filepact_fs::{Fs, FsError, Kind, SyncKind, parent_of};

use crate::live::{Opened, open_past_links};

/// Beyond this many documents, or directories, one `syncfs` costs less than a sync of each.
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
        if let Opened::Document(file) = open_past_links(fs, path)? {
            file.sync(SyncKind::All)?;
        }
    }
    sync_names(fs, paths)
}

/// Makes the names of these documents durable, or their absence.
///
/// A failed sync leaves nothing known.
pub fn sync_names<'a>(fs: &dyn Fs, paths: impl Iterator<Item = &'a str>) -> Result<(), FsError> {
    let mut dirs = BTreeSet::new();
    for path in paths {
        let mut dir = parent_of(path);
        while dirs.insert(dir.to_owned()) && !dir.is_empty() {
            dir = parent_of(dir);
        }
    }
    if dirs.len() > SYNC_EACH {
        return fs.sync_everything();
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
