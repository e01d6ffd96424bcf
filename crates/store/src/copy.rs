//! A snapshot as a folder of its own.

use std::path::Path;
use std::sync::Arc;

use filepact_fs::{
    Attrs, DocPath, File, Fs, FsError, Kind, NewFolder, OsFs, Stat, Time, parent_of, share_content,
    write_all,
};
use filepact_journal::{Hash, Hasher};

use crate::content::Content;
use crate::past::Then;
use crate::{Error, Snapshot, Store};

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Documents that are copied.
    pub documents: usize,
    /// Documents in the snapshot.
    pub of: usize,
    /// Bytes in those that are copied.
    pub bytes: u64,
}

impl Snapshot {
    /// Copies all documents into a new folder, which is a store of its own, clean and closed. Commits go on
    /// meanwhile.
    ///
    /// `folder` must not exist, and may not lie in the store. It appears when the copy is whole and durable;
    /// before that it lies beside, under a name that begins with a dot, and is removed after an error.
    /// Documents keep their mode, their time and, where the system allows it, their owner and extended
    /// attributes; on file systems that share blocks (btrfs, xfs) nothing is copied twice. `told` hears of
    /// each document.
    ///
    /// # Errors
    /// [`Error::Edited`] if another program has changed a document since; [`Error::Io`]. There is no folder
    /// then, but for a failure in the last step, to make its name durable: it may be there, whole.
    ///
    /// ```
    /// # fn main() -> Result<(), filepact::Error> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// # let backups = tempfile::tempdir().expect("a temporary folder");
    /// # let store = filepact::Store::open(folder.path())?;
    /// store.write("a.json", &1)?;
    /// let snapshot = store.snapshot()?;
    /// store.write("a.json", &2)?;
    /// let copied = snapshot.copy_to(backups.path().join("monday"), |_| {})?;
    /// assert_eq!(copied.documents, 1);
    /// let copy = filepact::Store::open(backups.path().join("monday"))?;
    /// assert_eq!(copy.read::<u32>("a.json")?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn copy_to(
        &self,
        folder: impl AsRef<Path>,
        mut told: impl FnMut(&Copied),
    ) -> Result<Copied, Error> {
        let names = self.list("")?;
        let new = NewFolder::at(folder.as_ref())?;
        if new.is_beneath(self.fs())? {
            return Err(Error::Io {
                op: "copy into",
                path: folder.as_ref().display().to_string(),
                source: std::io::Error::other("it lies in the store itself"),
            });
        }
        let target = Arc::new(OsFs::open(new.path())?);
        let mut copied = Copied { of: names.len(), ..Copied::default() };
        for path in &names {
            copied.bytes += self.then(|then| copy_document(then, &*target, path))?;
            copied.documents += 1;
            told(&copied);
        }
        // The documents first, all with one call: the store that is made of them says that they are durable.
        target.sync_everything()?;
        Store::options().allow_network(true).open_with(target.clone())?.close()?;
        // And what that has written without a sync, before the folder has its name.
        target.sync_everything()?;
        new.finish()?;
        Ok(copied)
    }
}

/// Copies one document; its length in bytes.
fn copy_document(then: &Then<'_>, target: &dyn Fs, path: &DocPath) -> Result<u64, Error> {
    // Before the content: what is published when it is read is so for good, and lies in a file.
    let recorded = then.recorded(path)?;
    let Some((content, hash)) = then.content(path, None)? else {
        return Err(Error::Edited { path: path.to_string() });
    };
    make_folders(then.fs, target, path)?;
    let file = target.create_unnamed(path.parent())?;
    let (len, copied) = fill(&content, &*file)?;
    // It was whole when it was read for the first time.
    if copied != hash {
        return Err(Error::Edited { path: path.to_string() });
    }
    let found = |file: &Arc<dyn File>| Ok((file.attrs()?, file.stat()?.stamp.mtime));
    let found: Result<_, FsError> = content.first_file().map(found).transpose();
    if let Some((attrs, time)) = recorded.or(found?) {
        give(&*file, &attrs)?;
        file.set_mtime(time)?;
    }
    file.link(path)?;
    Ok(len)
}

/// Shares the blocks of the document, or copies it. Returns the length and the hash of what is there then.
fn fill(content: &Content, file: &dyn File) -> Result<(u64, Hash), FsError> {
    if let Some((source, len)) = content.file()
        && share_content(&**source, file, len)?
    {
        return Ok((len, filepact_commit::hash_part(file, 0, len)?));
    }
    let (mut hasher, mut len, mut failed) = (Hasher::new(), 0, None);
    content.read_pieces(|piece| {
        hasher.update(piece);
        if failed.is_none() {
            failed = write_all(file, piece, len).err();
        }
        len += piece.len() as u64;
    })?;
    match failed {
        Some(stopped) => Err(stopped.into()),
        None => Ok((len, hasher.finish())),
    }
}

/// Mode, owner and extended attributes, as far as the system lets us: the mode in any case.
fn give(file: &dyn File, attrs: &Attrs) -> Result<(), FsError> {
    let Attrs { uid, gid, xattrs, .. } = file.attrs()?;
    let refused = |error: &FsError| {
        error.source.kind() == std::io::ErrorKind::PermissionDenied || error.is_unsupported()
    };
    match file.set_attrs(attrs) {
        Err(error) if refused(&error) => {}
        set => return set,
    }
    match file.set_attrs(&Attrs { uid, gid, ..attrs.clone() }) {
        Err(error) if refused(&error) => {
            file.set_attrs(&Attrs { mode: attrs.mode, uid, gid, xattrs })
        }
        set => set,
    }
}

/// The directories above a document, each with the mode that it has in the store.
fn make_folders(store: &dyn Fs, target: &dyn Fs, path: &str) -> Result<(), FsError> {
    let dir = parent_of(path);
    if dir.is_empty() || target.stat(dir)?.is_some() {
        return Ok(());
    }
    make_folders(store, target, dir)?;
    let is_dir = |stat: &Stat| stat.kind == Kind::Dir;
    let mode = store.stat(dir)?.filter(is_dir).map_or(0o777, |stat| stat.mode & 0o777);
    target.make_dir(dir, mode | 0o700)
}

impl Then<'_> {
    /// What the record says of a document that is not at its path yet: mode and owner, and the time.
    fn recorded(&self, path: &DocPath) -> Result<Option<(Attrs, Time)>, Error> {
        let word = self.pinned.word(self.view, path)?;
        Ok(word.and_then(|word| {
            let put = word.said.put()?;
            let (mode, uid, gid, xattrs) = (put.mode, put.uid, put.gid, Vec::new());
            Some((Attrs { mode, uid, gid, xattrs }, word.time))
        }))
    }
}
