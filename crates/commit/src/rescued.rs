//! What lies in `rescued/`: listed, opened, dropped.
//!
//! [`rescue`](crate::rescue) puts an edit there, each below a folder of its own, and nothing takes it
//! away but its owner: by hand, or by [`drop_rescued`], when the edit is restored or not wanted. There
//! is no lock and no record of it: a name in `rescued/` is there or it is not.

use std::io;

use filepact_fs::{Entry, File, Fs, FsError, Kind, Stat, Time, parent_of};

use crate::{Opened, RESCUED, open_past_links};

/// An outside edit that lies in `rescued/`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rescued {
    /// The document that it was an edit of.
    pub path: String,
    /// Where it lies now, beneath the root.
    pub at: String,
    /// The transaction that displaced it; `None` if somebody else has put it there.
    pub txn: Option<u64>,
    /// A file; or a link, a device, a directory that somebody had put in the document's place. Of a
    /// directory the files are listed, each by itself; where some cannot be, since their names are not
    /// UTF-8 or may not be looked at, the directory that holds them is listed too.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified: the time of the edit.
    pub modified: Time,
}

impl Rescued {
    /// Of what came there just as it was moved nothing is known.
    pub(crate) fn new(path: &str, at: String, txn: Option<u64>, found: Option<Stat>) -> Self {
        let kind = found.map_or(Kind::Other, |stat| stat.kind);
        let (size, modified) =
            found.map_or_else(Default::default, |stat| (stat.stamp.size, stat.stamp.mtime));
        Self { path: path.to_owned(), at, txn, kind, size, modified }
    }

    /// The name of its folder in `rescued/`, which it shares with nothing that was displaced
    /// otherwise: a short name for people.
    pub fn id(&self) -> &str {
        let inside = self.at.strip_prefix(RESCUED).and_then(|rest| rest.strip_prefix('/'));
        inside.and_then(|inside| inside.split('/').next()).unwrap_or_default()
    }
}

/// Whether a file looks as this edit did when it was listed.
pub fn is_as_listed(edit: &Rescued, stat: &Stat) -> bool {
    (edit.kind, edit.size, edit.modified) == (stat.kind, stat.stamp.size, stat.stamp.mtime)
}

/// What became of an edit that was to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Dropped {
    /// It has gone. A power cut may bring it back.
    Yes,
    /// It was not there any more.
    Gone,
    /// It is not as it was listed: whoever had it open has saved it again. It stays.
    Changed,
}

/// Everything that lies in `rescued/`, the oldest first.
pub fn rescued_edits(fs: &dyn Fs) -> Result<Vec<Rescued>, FsError> {
    let mut edits = Vec::new();
    // What else lies there, somebody has put there.
    for folder in list(fs, RESCUED)?.into_iter().filter(|entry| entry.kind == Kind::Dir) {
        let Some(folder) = folder.name.to_str() else { continue };
        let txn = folder.split_once('.').and_then(|(txn, _)| txn.parse().ok());
        let folder = format!("{RESCUED}/{folder}");
        collect(fs, &folder, folder.len() + 1, txn, &mut edits)?;
    }
    edits.sort_by(|a: &Rescued, b| (a.txn, &a.at).cmp(&(b.txn, &b.at)));
    Ok(edits)
}

/// What is in a directory; nothing if it has gone.
fn list(fs: &dyn Fs, dir: &str) -> Result<Vec<Entry>, FsError> {
    match fs.list(dir) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        entries => entries,
    }
}

/// Directories are walked: of one that was displaced each file is shown, and what is empty, such as a
/// folder whose edit has gone, is nothing. One with something in it that cannot be shown is shown
/// itself, so that nothing is kept in silence, and nothing in it keeps the rest from being shown.
fn collect(
    fs: &dyn Fs,
    dir: &str,
    prefix: usize,
    txn: Option<u64>,
    edits: &mut Vec<Rescued>,
) -> Result<(), FsError> {
    let (entries, mut is_whole) = match list(fs, dir) {
        Err(error) if is_closed(&error) => (Vec::new(), false),
        entries => (entries?, true),
    };
    for entry in entries {
        let Some(name) = entry.name.to_str() else {
            is_whole = false;
            continue;
        };
        let at = format!("{dir}/{name}");
        if entry.kind == Kind::Dir {
            collect(fs, &at, prefix, txn, edits)?;
            continue;
        }
        match fs.stat(&at) {
            Err(error) if is_closed(&error) => is_whole = false,
            found => {
                let of = |stat| Rescued::new(&at[prefix..], at.clone(), txn, Some(stat));
                edits.extend(found?.map(of));
            }
        }
    }
    if !is_whole {
        let path = dir.get(prefix..).unwrap_or_default();
        let found = fs.stat(dir).unwrap_or_default();
        let listed = Rescued::new(path, dir.to_owned(), txn, found);
        edits.push(Rescued { kind: Kind::Dir, ..listed });
    }
    Ok(())
}

/// A directory of somebody else's, or one so deep that its paths are too long.
fn is_closed(error: &FsError) -> bool {
    matches!(error.source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidFilename)
}

/// Makes the names of all edits durable that transactions after `txn` have displaced.
///
/// Who moved one here may have died, or failed, before it was synced. Nothing in `stage/` says so any
/// more, and once a checkpoint covers the transaction nobody asks.
pub fn secure_rescued(fs: &dyn Fs, txn: u64) -> Result<(), FsError> {
    for edit in rescued_edits(fs)?.iter().filter(|edit| edit.txn.is_some_and(|of| of > txn)) {
        fs.sync_dir(parent_of(&edit.at))?;
    }
    Ok(())
}

/// Opens an edit that is a file; `None` if it is not there any more.
pub fn open_rescued(fs: &dyn Fs, edit: &Rescued) -> Result<Option<Box<dyn File>>, FsError> {
    if beneath(&edit.at).is_none() {
        return Ok(None);
    }
    Ok(match open_past_links(fs, &edit.at)? {
        Opened::Document(file) => Some(file),
        Opened::Absent | Opened::Other(_) => None,
    })
}

/// Removes an edit that is as it was listed, with the folders that hold nothing else.
///
/// Nothing is synced, since nothing rests on it: a power cut may bring the edit back, whole. So whoever
/// restores it must have made its bytes durable elsewhere before.
pub fn drop_rescued(fs: &dyn Fs, edit: &Rescued) -> Result<Dropped, FsError> {
    if beneath(&edit.at).is_none() {
        return Ok(Dropped::Gone);
    }
    match fs.stat(&edit.at)? {
        None => return Ok(Dropped::Gone),
        Some(stat) if !is_as_listed(edit, &stat) => return Ok(Dropped::Changed),
        Some(_) => {}
    }
    match fs.unlink(&edit.at) {
        Err(error) if error.is_not_found() => return Ok(Dropped::Gone),
        unlinked => unlinked?,
    }
    let mut folder = parent_of(&edit.at);
    // The folder is this edit's own, so that nobody makes anything in it now. One that does not go is
    // not empty, or means nothing: it is not listed.
    while folder != RESCUED && fs.remove_dir(folder).is_ok() {
        folder = parent_of(folder);
    }
    Ok(Dropped::Yes)
}

/// The folder in `rescued/`, and the path below it; `None` for a path that lies elsewhere.
fn beneath(at: &str) -> Option<(&str, &str)> {
    let inside = at.strip_prefix(RESCUED)?.strip_prefix('/')?;
    let plain = inside.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if plain { inside.split_once('/') } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_a_folder_of_rescued_is_an_edit() {
        assert_eq!(beneath(".filepact/rescued/7.ab/a/b"), Some(("7.ab", "a/b")));
        for at in [
            "a.json",
            ".filepact/rescued",
            ".filepact/rescued/",
            ".filepact/rescued/7.ab",
            ".filepact/rescued/7.ab/",
            ".filepact/rescued/../state",
            ".filepact/rescued/7.ab/../../journal/1",
            ".filepact/rescued2/7.ab/a",
            ".filepact/stage/7",
        ] {
            assert_eq!(beneath(at), None, "{at}");
        }
    }
}
