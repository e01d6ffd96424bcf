//! All documents as of one moment.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use filepact_commit::Pinned;
use filepact_fs::{DocPath, Fs};
use filepact_journal::Hash;
use serde::de::DeserializeOwned;

use crate::json::DocBytes;
use crate::past::{self, Then};
use crate::store::directory;
use crate::{Error, Reader, Store, Version};

/// All documents as of one moment, however long that is ago.
///
/// It sees every transaction up to [`txn`](Self::txn), whole, and none after it, for as long as it
/// lives: documents that were changed, removed or made since are as they were. It waits for nobody,
/// nobody waits for it, and it keeps what changes from then on in `.filepact/kept/`: links as a rule, so
/// that each document that is replaced costs its old content once.
///
/// Dropping it gives the space back; so does the death of its process, at the next checkpoint. After
/// [`Store::close`] its calls answer [`Error::Poisoned`].
///
/// What another program changes is in no transaction. A document that was edited or removed after the
/// snapshot was taken is [`Error::Edited`], never something else than it held; so is a list that would
/// show what another program has made or removed since. It is told by its hash where filepact
/// knows one. Of a document that filepact has not changed since the store was opened or since the last
/// checkpoint it may know none, and goes by the times of the file. Then an edit in the very instant of the
/// snapshot counts as before it, and a change of the mode alone is [`Error::Edited`] as well. Not seen are a
/// removal of such a document, or a move of it to elsewhere; what `mv`, `cp -p`, `rsync -t` or `tar x`
/// bring with an old time, if filepact replaces it later, if the file has another name, or if it came with
/// its directory and something came or went in that later; an edit in place of a log that filepact adds to
/// later.
#[derive(Debug)]
pub struct Snapshot {
    store: Store,
    /// Taken out when it is dropped.
    pinned: Option<Pinned>,
    seen: Seen,
}

/// What was read of documents that only their times tell: an edit in the tick of the snapshot has no
/// later time than it, and must not be read as well.
#[derive(Default)]
pub(crate) struct Seen(Mutex<HashMap<DocPath, Hash>>);

impl Snapshot {
    pub(crate) fn new(store: Store, pinned: Pinned) -> Self {
        Self { store, pinned: Some(pinned), seen: Seen::default() }
    }

    /// The number up to which it sees all transactions: that of a record, often of a checkpoint, and not
    /// always that of a transaction.
    pub fn txn(&self) -> u64 {
        self.pinned().at
    }

    /// Reads a JSON document.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Json`] with line and column; [`Error::Edited`].
    pub fn read<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Result<T, Error> {
        let path = path.as_ref();
        self.get(path)?.ok_or_else(|| Error::not_found(path))
    }

    /// Reads a JSON document; `None` if it was absent.
    pub fn get<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Result<Option<T>, Error> {
        let path = DocPath::new(path)?;
        let found = self.bytes(&path)?;
        found.map(|found| self.store.0.parser.parse(&path, &found)).transpose()
    }

    /// Reads a document, whatever it held; `None` if it was absent.
    pub fn read_bytes(&self, path: impl AsRef<str>) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.bytes(&DocPath::new(path)?)?.map(|found| found.bytes))
    }

    /// Opens a document for reading, in constant memory; `None` if it was absent.
    ///
    /// All of it has been read once by then, to be sure of it. The reader reads it again, and hands out
    /// what another program writes in place in between. It outlives the snapshot.
    pub fn reader(&self, path: impl AsRef<str>) -> Result<Option<Reader>, Error> {
        let path = DocPath::new(path)?;
        let found = self.then(|then| then.content(&path, None))?;
        Ok(found.map(|(content, _)| content.into_reader()))
    }

    /// Whether there was such a document.
    pub fn exists(&self, path: impl AsRef<str>) -> Result<bool, Error> {
        Ok(self.version(path)?.is_some())
    }

    /// The version of a document; `None` if it was absent.
    pub fn version(&self, path: impl AsRef<str>) -> Result<Option<Version>, Error> {
        let path = DocPath::new(path)?;
        let found = self.then(|then| then.content(&path, None))?;
        Ok(found.map(|(_, hash)| Version(hash)))
    }

    /// All documents below a directory (`""` is the whole store), recursive, sorted.
    ///
    /// # Errors
    /// [`Error::Edited`] for a document that another program has made or removed since.
    pub fn list(&self, dir: impl AsRef<str>) -> Result<Vec<DocPath>, Error> {
        let dir = directory(dir.as_ref())?;
        self.then(|then| then.names(&dir))
    }

    fn bytes(&self, path: &DocPath) -> Result<Option<DocBytes>, Error> {
        let mut bytes = Vec::new();
        let found = self.then(|then| then.content(path, Some(&mut bytes)))?;
        Ok(found.map(|(_, hash)| DocBytes { bytes, hash: Some(hash) }))
    }

    pub(crate) fn fs(&self) -> &dyn Fs {
        self.store.0.fs()
    }

    pub(crate) fn then<T>(
        &self,
        read: impl FnOnce(&Then<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let shared = &self.store.0;
        shared.check_open()?;
        let (fs, view) = (shared.fs(), shared.writer.view());
        let answer = read(&Then { fs, view, pinned: self.pinned(), seen: &self.seen })?;
        // Once it is closed, another process may recover the store, which keeps nothing for anybody.
        shared.check_open()?;
        Ok(answer)
    }

    fn pinned(&self) -> &Pinned {
        self.pinned.as_ref().expect("taken out when it is dropped")
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(pinned) = self.pinned.take() {
            past::release(&self.store.0, pinned);
        }
    }
}

impl Seen {
    /// Whether the document may be read like this: it was not read in another way before.
    pub(crate) fn is_first_or_same(&self, path: &DocPath, hash: Hash) -> bool {
        *self.lock().entry(path.clone()).or_insert(hash) == hash
    }

    pub(crate) fn was_read(&self, path: &DocPath) -> bool {
        self.lock().contains_key(path)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DocPath, Hash>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}
