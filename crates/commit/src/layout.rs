//! The names inside `.filepact/` that are not the journal's or `state`.

use filepact_fs::{
    Access, Fs, FsError, Kind, Rename, Stat, SyncKind, copy, give_to_owner_of, write_all,
};
use filepact_journal::{JOURNAL_DIR, STATE};

/// The folder that makes a directory a store.
pub const META: &str = ".filepact";
/// Locked by whoever opens, one at a time.
pub const OPENING: &str = ".filepact/opening";
/// Held shared for the life of every handle: shared means recovered.
pub const OPEN: &str = ".filepact/open";
/// The writer lock.
pub const LOCK: &str = ".filepact/lock";
/// The turnstile before the writer lock, which keeps it fair.
pub const TURN: &str = ".filepact/turn";
/// How often things have happened, for people.
pub const COUNTERS: &str = ".filepact/counters";
/// Contains `1` while a checkpoint is unfinished.
pub const MARK: &str = ".filepact/checkpoint.lock";
/// Bodies on their way to documents, and documents on their way out.
pub const STAGE: &str = ".filepact/stage";
/// Outside edits that a publish displaced unseen.
pub const RESCUED: &str = ".filepact/rescued";
/// Who reads an older moment.
pub const PINS: &str = ".filepact/pins";
/// Images of documents that a pin still needs.
pub const KEPT: &str = ".filepact/kept";
/// Keeps the folder out of git.
pub const GITIGNORE: &str = ".filepact/.gitignore";

/// The path of a large body that a record names.
pub fn stage_body_path(name: &str) -> String {
    format!("{STAGE}/{name}")
}

/// Creates what is missing of the folder, if anything is.
pub fn ensure_layout(fs: &dyn Fs) -> Result<(), FsError> {
    for name in
        [STAGE, RESCUED, PINS, KEPT, JOURNAL_DIR, OPENING, OPEN, LOCK, TURN, MARK, GITIGNORE]
    {
        if fs.stat(name)?.is_none() {
            return create_layout(fs);
        }
    }
    Ok(())
}

/// Gives the files that are written in place an inode of their own, in an opening alone, before any of them
/// is written: under a second name one may be somebody's document, or a part of a copy that was made of
/// hard links.
pub fn ensure_own(fs: &dyn Fs) -> Result<(), FsError> {
    for path in [MARK, STATE, COUNTERS] {
        let linked = |stat: &Stat| stat.kind == Kind::File && stat.nlink > 1;
        let Some(stat) = fs.stat(path)?.filter(linked) else { continue };
        // In `stage/`, where the next opening sweeps what a death here leaves.
        let own = format!("{STAGE}/{}", fs.unique());
        let file = fs.create(&own)?;
        give_to_owner_of(fs, META, &*file)?;
        copy(&*fs.open(path, Access::Read)?, &*file, stat.stamp.size)?;
        // Before the name: a power cut must not leave a `state` that has forgotten what was synced.
        file.sync(SyncKind::All)?;
        fs.rename(&own, path, Rename::Replace)?;
    }
    Ok(())
}

/// Creates what is missing of the folder, but for the journal and `state`.
///
/// After `Ok` every name in it is durable, and so is the name of the folder itself; a crash in
/// between leaves a folder that the same call completes. That all names are there does not say that
/// they are durable.
pub fn create_layout(fs: &dyn Fs) -> Result<(), FsError> {
    for dir in [META, STAGE, RESCUED, PINS, KEPT, JOURNAL_DIR] {
        // Another process may be making the same store.
        match fs.make_dir(dir, 0o700) {
            Err(error) if error.is_exists() => {}
            made => made?,
        }
    }
    // A mark that says nothing is no clear no: only the opening, which has the locks, writes one. (Two
    // may be here at once, and a mark that has gone missing from a store proves nothing.)
    let empty = [OPENING, OPEN, LOCK, TURN, MARK].map(|path| (path, ""));
    for (path, content) in empty.into_iter().chain([(GITIGNORE, "*\n")]) {
        let file = match fs.create(path) {
            Err(error) if error.is_exists() => fs.open(path, Access::Write)?,
            created => created?,
        };
        // A crash can leave the name without the content.
        if file.stat()?.stamp.size < content.len() as u64 {
            write_all(&*file, content.as_bytes(), 0)?;
            file.sync(SyncKind::All)?;
        }
    }
    // Children before parents: once the folder has a durable name, so has all that is in it.
    fs.sync_dir(META)?;
    fs.sync_dir("")
}
