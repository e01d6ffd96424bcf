//! C5: bodies on their way to documents.
//!
//! Every staged file is made on the document's own side, so that default ACLs, group and labels
//! apply, gets the document's attributes and the commit's time, and is linked into `stage/` and
//! closed at once: a transaction of any size needs few descriptors.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use filepact_fs::{
    Access, Attrs, File, Fs, FsError, Kind, Stamp, Stat, SyncKind, Time, copy, parent_of, write_all,
};
use filepact_journal::{Body, Hash, Said};

use crate::append::add_to_staged;
use crate::{Mark, STAGE, stage_body_path};

/// A body under a name in `stage/`, ready to be swapped with its document.
#[derive(Debug)]
#[must_use]
pub struct Staged {
    /// Its path beneath the root.
    pub at: String,
    /// Its stamp; the swap changes ctime alone.
    pub stamp: Stamp,
    /// Mode and owner that it was given.
    pub owner: (u32, u32, u32),
}

/// What a staged file is given beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Dress<'a> {
    /// The document's attributes; `None` leaves those of a new file.
    pub attrs: Option<&'a Attrs>,
    /// The mode of a new document, where it is known better than by the umask.
    pub mode: Option<u32>,
    /// The owner and group of a new document, where its record knows them.
    pub ids: Option<(u32, u32)>,
    /// The time of the commit, by which everybody knows the file later.
    pub time: Time,
}

/// Stages a small body in a new file made in `dir`. It is not synced: until a checkpoint the
/// journal holds the body.
pub(crate) fn stage_bytes(
    fs: &dyn Fs,
    dir: &str,
    bytes: &[u8],
    dress: Dress<'_>,
    at: String,
) -> Result<Staged, FsError> {
    let file = fs.create_unnamed(dir)?;
    write_all(&*file, bytes, 0)?;
    dress_and_link(&*file, dress, at)
}

/// Stages a large body, which `file` holds. Its name `body` is what the record says, and what
/// keeps it until a checkpoint covers the record; the document gets a second link.
pub(crate) fn stage_link(
    file: &dyn File,
    body: &str,
    dress: Dress<'_>,
    at: String,
) -> Result<Staged, FsError> {
    link_body(file, body)?;
    dress_and_link(file, dress, at)
}

/// Gives a large body the name that its record says, and makes it durable. It was synced before, by whoever
/// prepared it and had no lock; but without a name that proves nothing.
pub(crate) fn link_body(file: &dyn File, body: &str) -> Result<(), FsError> {
    file.link(&stage_body_path(body))?;
    file.sync(SyncKind::All)
}

/// Stages the file of another document: a rename leaves a large body where it is. Until the commit
/// point it is still that document's, so its time stays.
pub(crate) fn stage_existing(
    fs: &dyn Fs,
    dir: &str,
    file: &dyn File,
    len: u64,
    body: &str,
    dress: Dress<'_>,
    at: String,
) -> Result<Staged, FsError> {
    // The document is everybody's: an error of this sync must not be lost with us.
    Mark::around(fs, || file.sync(SyncKind::All))?;
    match file.link(&stage_body_path(body)) {
        // Somebody else's file, which the system does not let us link, or one that has lost its last
        // name to another of the same content.
        Err(error) if is_unlinkable(&error) => {
            let own = fs.create_unnamed(dir)?;
            copy(file, &*own, len)?;
            return stage_link(&*own, body, dress, at);
        }
        linked => linked?,
    }
    if let Some(attrs) = dress.attrs {
        // The document may have been saved anew, unchanged, with others; the same are not set again.
        file.set_attrs(attrs)?;
    }
    link(file, at)
}

/// Stages a large body that somebody has edited in place, as it is now, with all that is its own.
///
/// A copy: the file itself may lie in `rescued/` by now, taken from the path that it had before a rename,
/// and what is saved in the new document must not change it there.
pub fn stage_edited(fs: &dyn Fs, body: &str, dir: &str, at: String) -> Result<Staged, FsError> {
    let from = stage_body_path(body);
    let file = fs.open(&from, Access::Read)?;
    let (attrs, stamp) = (file.attrs()?, file.stat()?.stamp);
    let dress = Dress { attrs: Some(&attrs), mode: None, ids: None, time: stamp.mtime };
    stage_copy(fs, &from, stamp.size, dir, dress, at)
}

/// Stages a copy of `len` bytes of the file at `from` in a new file made in `dir`, synced.
pub(crate) fn stage_copy(
    fs: &dyn Fs,
    from: &str,
    len: u64,
    dir: &str,
    dress: Dress<'_>,
    at: String,
) -> Result<Staged, FsError> {
    let source = fs.open(from, Access::Read)?;
    let file = fs.create_unnamed(dir)?;
    copy(&*source, &*file, len)?;
    link_synced(&*file, dress, at)
}

/// Stages a document again that no crash has touched: from the journal, or a second link of the file
/// that its record names.
pub(crate) fn stage_again(
    fs: &dyn Fs,
    said: &Said,
    dir: &str,
    dress: Dress<'_>,
    at: String,
) -> Result<Staged, FsError> {
    match said.put().map(|put| &put.body) {
        Some(Body::Staged(name)) if said.appends.is_empty() => {
            let file = fs.open(&stage_body_path(name), Access::Read)?;
            match link(&*file, at.clone()) {
                Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {
                    restage(fs, said, dir, dress, at)
                }
                staged => staged,
            }
        }
        _ => restage(fs, said, dir, dress, at),
    }
}

/// Nobody may link it, or nothing is left to link.
fn is_unlinkable(error: &FsError) -> bool {
    error.source.kind() == io::ErrorKind::PermissionDenied || error.is_not_found()
}

/// Stages a document again, with all that was added to it: from the journal, or copied from the names
/// that its records say.
///
/// # Panics
/// If there is no put, or the body lies at its path only.
pub fn restage(
    fs: &dyn Fs,
    said: &Said,
    dir: &str,
    dress: Dress<'_>,
    at: String,
) -> Result<Staged, FsError> {
    let put = said.put().expect("what is staged has a body");
    let file = fs.create_unnamed(dir)?;
    match &put.body {
        Body::Inline(bytes) => write_all(&*file, bytes, 0)?,
        Body::Staged(name) => {
            copy(&*fs.open(&stage_body_path(name), Access::Read)?, &*file, put.len)?;
        }
        Body::InPlace => unreachable!("a body that lies at its path only is never staged"),
    }
    add_to_staged(fs, &*file, &said.appends)?;
    match put.body {
        Body::Inline(_) => dress_and_link(&*file, dress, at),
        _ => link_synced(&*file, dress, at),
    }
}

/// A directory to stage a document in, and the attributes of the document, if there is one.
pub fn place(fs: &dyn Fs, path: &str) -> Result<(String, Option<Attrs>), FsError> {
    let mut dir = parent_of(path);
    while !dir.is_empty() && fs.stat(dir)?.is_none_or(|stat| stat.kind != Kind::Dir) {
        dir = parent_of(dir);
    }
    let attrs = match fs.stat(path)? {
        Some(stat) if stat.kind == Kind::File => Some(fs.open(path, Access::Read)?.attrs()?),
        _ => None,
    };
    Ok((dir.to_owned(), attrs))
}

fn dress_and_link(file: &dyn File, dress: Dress<'_>, at: String) -> Result<Staged, FsError> {
    match dress.attrs {
        Some(attrs) => file.set_attrs(attrs)?,
        None if dress.mode.is_some() || dress.ids.is_some() => {
            let new = file.attrs()?;
            let (uid, gid) = dress.ids.unwrap_or((new.uid, new.gid));
            file.set_attrs(&Attrs { mode: dress.mode.unwrap_or(new.mode), uid, gid, ..new })?;
        }
        None => {}
    }
    file.set_mtime(dress.time)?;
    link(file, at)
}

/// Durable when it returns, but for its name.
///
/// Before the link, so that a power cut leaves a whole body where it leaves the name; and after it, since
/// without a name a sync may prove nothing.
fn link_synced(file: &dyn File, dress: Dress<'_>, at: String) -> Result<Staged, FsError> {
    file.sync(SyncKind::All)?;
    let staged = dress_and_link(file, dress, at)?;
    file.sync(SyncKind::All)?;
    Ok(staged)
}

fn link(file: &dyn File, at: String) -> Result<Staged, FsError> {
    file.link(&at)?;
    let stat = file.stat()?;
    Ok(Staged { at, stamp: stat.stamp, owner: owner(&stat) })
}

/// Mode, owner and group.
pub(crate) fn owner(stat: &Stat) -> (u32, u32, u32) {
    (stat.mode, stat.uid, stat.gid)
}

/// Names in `stage/`. Those for swaps begin with the record's seq and the time of its commit, so that
/// everybody can tell whose they are: a number alone can have belonged to a void group before, whose
/// names a power cut may bring back. All end with something that was never used before.
#[derive(Debug)]
pub struct StageNames {
    nonce: String,
    used: AtomicU64,
}

impl StageNames {
    /// Names that no other handle makes.
    pub fn new(fs: &dyn Fs) -> Self {
        Self { nonce: fs.unique(), used: AtomicU64::new(0) }
    }

    /// A path for the swap of record `seq`, whose commit has this time.
    pub fn swap(&self, seq: u64, time: Time) -> String {
        format!("{STAGE}/{seq}.{}.{}.{}", time.0, self.nonce, self.next())
    }

    /// A path for the spare of a document.
    pub(crate) fn spare(&self, path: &str) -> String {
        let hash = Hash::of(path.as_bytes());
        format!("{STAGE}/{SPARE}{hash}-{}-{}", self.nonce, self.next())
    }

    /// A name for a large body; it is never used twice.
    pub fn body(&self) -> String {
        format!("{}-{}.body", self.nonce, self.next())
    }

    fn next(&self) -> u64 {
        self.used.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// How the name of a spare begins; the hash of its document's path follows.
const SPARE: &str = "spare-";

/// The hash of the path of the document whose spare has this name, or path; `None` for any other name.
pub fn spare_name_path(name: &str) -> Option<&str> {
    let name = name.rsplit('/').next().unwrap_or_default();
    name.strip_prefix(SPARE)?.split('-').next()
}

/// The seq of the record that a name in `stage/` belongs to, and the time of its commit; `None` for
/// the name of a large body.
pub fn stage_name_record(name: &str) -> Option<(u64, Time)> {
    let mut parts = name.split('.');
    let seq = parts.next()?.parse().ok()?;
    let time = parts.next()?.parse().ok()?;
    Some((seq, Time(time)))
}
