//! A set of changes that becomes durable and visible together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Read;
use std::sync::Arc;

use filepact_commit::{
    Attributes, Change, Committed, Content as Prepared, Observation, Request, Turn, prepare_bytes,
    prepare_existing, prepare_reader,
};
use filepact_fs::DocPath;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::content::{Content, Part};
use crate::error::prepare_error;
use crate::json::DocBytes;
use crate::read::{self, is_below};
use crate::shared::Shared;
use crate::store::directory;
use crate::{Error, Reader, Rescued, Store, Version};

/// A set of changes that becomes durable and visible together, or not at all.
///
/// It sees its own changes. Whatever it reads, finds absent or lists is checked again at
/// [`commit`](Self::commit): if anybody has changed it since, the commit is
/// [`Error::Conflict`] and nothing has changed. A put of a document that was not read never
/// conflicts: the last one wins.
///
/// Dropping it rolls it back.
///
/// ```
/// # use filepact::{Error, Store};
/// # fn main() -> Result<(), Error> {
/// # let folder = tempfile::tempdir().expect("a temporary folder");
/// # let store = Store::open(folder.path())?;
/// let mut tx = store.begin()?;
/// tx.write("site/index.json", &["a.json"])?;
/// tx.write("site/a.json", &"the first page")?;
/// tx.note("publish the first page");
/// let committed = tx.commit()?; // both files, or neither
/// println!("transaction {}", committed.txn);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a transaction does nothing until it is committed"]
pub struct Transaction {
    pub(crate) store: Store,
    request: Request,
    /// What is added to documents, behind the changes of the request.
    added: BTreeMap<DocPath, Vec<u8>>,
    /// The rescued edits that are the content of these documents.
    pub(crate) restored: BTreeMap<DocPath, Rescued>,
    /// Everything committed up to here has left what was read alone.
    checked: u64,
    /// What it read and somebody has changed since.
    conflict: Option<Vec<String>>,
    /// The writer's turn, if it was taken at the beginning.
    turn: Option<Turn>,
}

impl Transaction {
    pub(crate) fn new(store: Store, turn: Option<Turn>) -> Self {
        let checked = store.0.writer.view().committed();
        Self {
            store,
            request: Request::default(),
            added: BTreeMap::new(),
            restored: BTreeMap::new(),
            checked,
            conflict: None,
            turn,
        }
    }

    /// Reads a JSON document.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Json`]; [`Error::Conflict`] if something read earlier has
    /// changed since, so that the two would not be of one moment.
    pub fn read<T: DeserializeOwned>(&mut self, path: impl AsRef<str>) -> Result<T, Error> {
        let path = path.as_ref();
        self.get(path)?.ok_or_else(|| Error::not_found(path))
    }

    /// Reads a JSON document; `None` if it is absent.
    pub fn get<T: DeserializeOwned>(&mut self, path: impl AsRef<str>) -> Result<Option<T>, Error> {
        let path = DocPath::new(path)?;
        let found = self.bytes(&path)?;
        found.map(|found| self.store.0.parser.parse(&path, &found)).transpose()
    }

    /// Reads a document, whatever it holds; `None` if it is absent.
    pub fn read_bytes(&mut self, path: impl AsRef<str>) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.bytes(&DocPath::new(path)?)?.map(|found| found.bytes))
    }

    /// Opens a document for reading, in constant memory; `None` if it is absent.
    ///
    /// The reader keeps the content as it is now, whatever is committed later.
    pub fn reader(&mut self, path: impl AsRef<str>) -> Result<Option<Reader>, Error> {
        let path = DocPath::new(path)?;
        Ok(self.content(&path)?.map(Content::into_reader))
    }

    /// Whether there is such a document.
    pub fn exists(&mut self, path: impl AsRef<str>) -> Result<bool, Error> {
        let path = DocPath::new(path)?;
        // What it has added to is there, whoever made it.
        Ok(self.added.contains_key(&path) || self.version(path)?.is_some())
    }

    /// The version of a document; `None` if it is absent.
    pub fn version(&mut self, path: impl AsRef<str>) -> Result<Option<Version>, Error> {
        let path = DocPath::new(path)?;
        match self.request.changes.get(&path) {
            _ if self.added.contains_key(&path) => {
                let content = self.content(&path)?.expect("it has added to it");
                return Ok(Some(Version(content.hash()?)));
            }
            Some(Change::Put { content, .. } | Change::Append { content }) => {
                return Ok(Some(Version(content.hash())));
            }
            Some(Change::Remove) => return Ok(None),
            None => {}
        }
        self.store.0.check_open()?;
        let observation = read::seen(self.store.0.fs(), self.store.0.writer.view(), &path)?;
        self.observe(&path, observation)?;
        Ok(observation.seen.hash().map(Version))
    }

    /// All documents below a directory (`""` is the whole store), recursive, sorted.
    pub fn list(&mut self, dir: impl AsRef<str>) -> Result<Vec<DocPath>, Error> {
        self.store.0.check_open()?;
        let dir = directory(dir.as_ref())?;
        let (now, _) = read::names(self.store.0.fs(), self.store.0.writer.view(), &dir)?;
        let mut listed = now.names.clone();
        match self.request.reads.lists.entry(dir.clone()) {
            Entry::Vacant(entry) => drop(entry.insert(now)),
            Entry::Occupied(mut entry) if entry.get().names == now.names => {
                entry.get_mut().at = now.at;
            }
            Entry::Occupied(_) => return Err(self.conflicted(vec![format!("{dir}/")])),
        }
        self.check_moment()?;
        listed.retain(|path| !matches!(self.request.changes.get(path), Some(Change::Remove)));
        let puts = self.request.changes.iter();
        let puts = puts.filter(|(_, change)| !matches!(change, Change::Remove));
        let made = puts.map(|(path, _)| path).chain(self.added.keys());
        listed.extend(made.filter(|path| is_below(path, &dir)).cloned());
        listed.sort();
        listed.dedup();
        Ok(listed)
    }

    /// Writes a JSON document, new or in place of the present one.
    pub fn write<T: Serialize + ?Sized>(
        &mut self,
        path: impl AsRef<str>,
        value: &T,
    ) -> Result<(), Error> {
        let path = DocPath::new(path)?;
        let bytes = self.store.0.options.json.encode(&path, value)?;
        self.put(&path, bytes, None)
    }

    /// Writes a JSON document, with this mode if it is new: 0o600 for a secret.
    pub fn write_with<T: Serialize + ?Sized>(
        &mut self,
        path: impl AsRef<str>,
        value: &T,
        mode: u32,
    ) -> Result<(), Error> {
        let path = DocPath::new(path)?;
        let bytes = self.store.0.options.json.encode(&path, value)?;
        self.put(&path, bytes, Some(mode))
    }

    /// Writes a document of any content.
    pub fn write_bytes(
        &mut self,
        path: impl AsRef<str>,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<(), Error> {
        self.put(&DocPath::new(path)?, bytes.into(), None)
    }

    /// Writes a document of any content, with this mode if it is new.
    ///
    /// ```
    /// # use std::os::unix::fs::PermissionsExt;
    /// # use filepact::{Error, Store};
    /// # fn main() -> Result<(), Error> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// # let store = Store::open(folder.path())?;
    /// store.transact(|tx| {
    ///     tx.write_bytes("tls/server.pem", "a certificate")?;
    ///     tx.write_bytes_with("tls/server.key", "its key", 0o600)?;
    ///     tx.write_bytes("tls/server.key", "another key") // still for its owner alone
    /// })?;
    /// # let key = std::fs::metadata(folder.path().join("tls/server.key")).expect("it is there");
    /// # assert_eq!(key.permissions().mode() & 0o777, 0o600);
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_bytes_with(
        &mut self,
        path: impl AsRef<str>,
        bytes: impl Into<Vec<u8>>,
        mode: u32,
    ) -> Result<(), Error> {
        self.put(&DocPath::new(path)?, bytes.into(), Some(mode))
    }

    /// Writes a document from a reader, in constant memory.
    ///
    /// A body over [`Options::inline_max`](crate::Options::inline_max) is on the disk, synced, when
    /// this returns; it becomes the document at commit. Each such body holds a descriptor until
    /// then.
    pub fn write_from(
        &mut self,
        path: impl AsRef<str>,
        mut source: impl Read,
    ) -> Result<(), Error> {
        let path = DocPath::new(path)?;
        self.store.0.check_open()?;
        let inline_max = self.store.0.options.inline_max;
        let content = prepare_reader(self.store.0.fs(), &path, &mut source, inline_max)
            .map_err(|error| prepare_error(&path, error))?;
        self.change(path, Change::Put { content, attributes: Attributes::Kept });
        Ok(())
    }

    /// Adds bytes at the end of a document, or makes one of them if there is none: a line of a log,
    /// beside the index that counts it, in one transaction.
    ///
    /// It reads nothing, so that it never conflicts: others may add to the document at the same time,
    /// through filepact in the order of their commits, and other programs as well. The document keeps
    /// its inode. The bytes of one transaction stand together, unless another program adds its own at
    /// the moment in which a crash is repaired (`docs/protocol.md`, "Appends").
    ///
    /// The bytes are kept in memory until the commit. Nothing is no change.
    ///
    /// ```
    /// # use filepact::{Error, Store};
    /// # fn main() -> Result<(), Error> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// # let store = Store::open(folder.path())?;
    /// store.transact::<_, Error>(|tx| {
    ///     tx.append("events.jsonl", "{\"paid\":125}\n")?;
    ///     let total: i64 = tx.get("total.json")?.unwrap_or(0);
    ///     tx.write("total.json", &(total + 125)) // both files, or neither
    /// })?;
    /// assert_eq!(store.read_bytes("events.jsonl")?.unwrap(), b"{\"paid\":125}\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn append(&mut self, path: impl AsRef<str>, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        let (path, bytes) = (DocPath::new(path)?, bytes.as_ref());
        self.store.0.check_open()?;
        if !bytes.is_empty() {
            self.added.entry(path).or_default().extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Writes a JSON document that must be absent, now and at commit.
    ///
    /// # Errors
    /// [`Error::Exists`].
    pub fn create<T: Serialize + ?Sized>(
        &mut self,
        path: impl AsRef<str>,
        value: &T,
    ) -> Result<(), Error> {
        let path = path.as_ref();
        if self.exists(path)? {
            return Err(Error::Exists { path: path.to_owned() });
        }
        self.write(path, value)
    }

    /// Reads a JSON document, changes it and writes it. One that `change` leaves as it was is not
    /// written.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is absent.
    pub fn update<T: Serialize + DeserializeOwned>(
        &mut self,
        path: impl AsRef<str>,
        change: impl FnOnce(&mut T),
    ) -> Result<(), Error> {
        let path = DocPath::new(path)?;
        let mut value: T = self.read(&path)?;
        let encode = |value: &T| self.store.0.options.json.encode(&path, value);
        let before = encode(&value)?;
        change(&mut value);
        let after = encode(&value)?;
        if before == after { Ok(()) } else { self.put(&path, after, None) }
    }

    /// Removes a document.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is absent.
    pub fn remove(&mut self, path: impl AsRef<str>) -> Result<(), Error> {
        let path = DocPath::new(path)?;
        if !self.exists(&path)? {
            return Err(Error::not_found(&path));
        }
        self.change(path, Change::Remove);
        Ok(())
    }

    /// Moves a document to another path, where there must be none, now and at commit. It keeps its
    /// mode, owner and extended attributes.
    ///
    /// In the journal it is a put and a removal. A body over
    /// [`Options::inline_max`](crate::Options::inline_max) is linked, never copied, and keeps its
    /// inode and its time of modification.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is absent; [`Error::Exists`] if there is a document at `to`.
    ///
    /// ```
    /// # use filepact::{Error, Store};
    /// # fn main() -> Result<(), Error> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// # let store = Store::open(folder.path())?;
    /// store.write("draft.json", &"a page")?;
    /// store.transact::<_, Error>(|tx| {
    ///     tx.rename("draft.json", "pages/first.json")?;
    ///     tx.write("index.json", &["pages/first.json"])
    /// })?;
    /// assert!(!store.exists("draft.json")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename(&mut self, from: impl AsRef<str>, to: impl AsRef<str>) -> Result<(), Error> {
        let (from, to) = (DocPath::new(from)?, DocPath::new(to)?);
        if !self.exists(&from)? {
            return Err(Error::not_found(&from));
        }
        if self.exists(&to)? {
            return Err(Error::Exists { path: to.to_string() });
        }
        let moved = match self.request.changes.remove(&from) {
            // What was added since then is all there is.
            Some(Change::Remove) => None,
            None => self.existing(&from)?,
            change => change,
        };
        let (added, restored) = (self.added.remove(&from), self.restored.remove(&from));
        self.request.changes.insert(from, Change::Remove);
        self.request.changes.extend(moved.map(|moved| (to.clone(), moved)));
        self.restored.extend(restored.map(|restored| (to.clone(), restored)));
        self.added.extend(added.map(|added| (to, added)));
        Ok(())
    }

    /// The put of a committed document at another path; `None` if there is none.
    fn existing(&mut self, from: &DocPath) -> Result<Option<Change>, Error> {
        let shared = &self.store.0;
        let (fs, inline_max) = (shared.fs(), shared.options.inline_max);
        let (content, observation) = read::content(fs, shared.writer.view(), from)?;
        self.observe(from, observation)?;
        let (Some(content), Some(hash)) = (content, observation.seen.hash()) else {
            return Ok(None);
        };
        let fs = self.store.0.fs();
        let content = match content.file() {
            // The file itself, unless it holds more by now.
            Some((file, len)) if file.stat()?.stamp.size == len => {
                let prepared = prepare_existing(Arc::clone(file), (len, hash), inline_max)?;
                if prepared.hash() != hash {
                    // Somebody saves it just now.
                    return Err(self.conflicted(vec![from.to_string()]));
                }
                prepared
            }
            _ => prepare_reader(fs, from, &mut content.into_reader(), inline_max)
                .map_err(|error| prepare_error(from, error))?,
        };
        Ok(Some(Change::Put { content, attributes: Attributes::Like(from.clone()) }))
    }

    /// Expects the committed document to have this version when the transaction commits; `None`
    /// expects it to be absent. If it is otherwise, the commit is [`Error::Conflict`].
    ///
    /// # Errors
    /// [`Error::Conflict`] at once if the transaction expects another version of it already.
    ///
    /// ```
    /// # use filepact::{Error, Store};
    /// # fn main() -> Result<(), Error> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// # let store = Store::open(folder.path())?;
    /// store.write("page.json", &"draft")?;
    /// let shown = store.version("page.json")?; // kept while somebody edits the page
    /// store.write("page.json", &"changed by somebody else")?;
    ///
    /// let mut tx = store.begin()?;
    /// tx.expect("page.json", shown)?;
    /// tx.write("page.json", &"edited")?;
    /// assert!(matches!(tx.commit(), Err(Error::Conflict { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn expect(&mut self, path: impl AsRef<str>, version: Option<Version>) -> Result<(), Error> {
        let (path, expected) = (DocPath::new(path)?, version.map(|version| version.0));
        match self.request.reads.expected.insert(path.clone(), expected) {
            // No document is both, and the later expectation must not hide the earlier one.
            Some(before) if before != expected => Err(self.conflicted(vec![path.to_string()])),
            _ => Ok(()),
        }
    }

    /// Says who commits this and why, for the log.
    pub fn note(&mut self, note: impl Into<String>) {
        self.request.note = Some(note.into());
    }

    /// Commits.
    ///
    /// After `Ok` the changes are durable and every document is at its path. Without changes
    /// nothing is written.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::Refused`], [`Error::Locked`], [`Error::Io`] and
    /// [`Error::Poisoned`]: nothing has changed. [`Error::CommitUnknown`]: it counts or it does
    /// not, as a whole; opening the store again settles it. [`Error::Unpublished`]: **it is
    /// committed and durable**, do not repeat it.
    pub fn commit(self) -> Result<Committed, Error> {
        if let Some(paths) = self.conflict {
            return Err(Error::Conflict { paths });
        }
        self.store.enter()?;
        let shared = &self.store.0;
        let no_change = self.request.changes.is_empty() && self.added.is_empty();
        if no_change && self.request.reads.expected.is_empty() {
            return Ok(Committed { txn: self.checked, rescued: Vec::new() });
        }
        let request = join_added(shared, self.request, self.added)?;
        let committed = match &self.turn {
            Some(turn) => shared.writer.commit_in(turn, request)?,
            None => shared.writer.commit(request, shared.timeout())?,
        };
        shared.committed();
        drop(self.turn);
        Self::drop_restored(&self.store, self.restored.into_values());
        Ok(committed)
    }

    /// Drops the changes. Nothing has changed.
    pub fn rollback(self) {
        drop(self);
    }

    /// The conflict that this transaction has run into, if any.
    pub(crate) fn conflict(&self) -> Option<Error> {
        self.conflict.clone().map(|paths| Error::Conflict { paths })
    }

    fn put(&mut self, path: &DocPath, bytes: Vec<u8>, mode: Option<u32>) -> Result<(), Error> {
        self.store.0.check_open()?;
        let inline_max = self.store.0.options.inline_max;
        let content = prepare_bytes(self.store.0.fs(), path, bytes, inline_max)?;
        let attributes = match (mode, self.request.changes.get(path)) {
            (Some(mode), _) => Attributes::New { mode },
            // What this transaction has said before holds for what it says now.
            (None, Some(Change::Put { attributes: given @ Attributes::New { .. }, .. })) => {
                given.clone()
            }
            (None, _) => Attributes::Kept,
        };
        self.change(path.clone(), Change::Put { content, attributes });
        Ok(())
    }

    /// Whatever was done to the document before is replaced.
    pub(crate) fn change(&mut self, path: DocPath, change: Change) {
        self.added.remove(&path);
        self.restored.remove(&path);
        self.request.changes.insert(path, change);
    }

    fn bytes(&mut self, path: &DocPath) -> Result<Option<DocBytes>, Error> {
        if self.request.changes.contains_key(path) || self.added.contains_key(path) {
            let mut bytes = Vec::new();
            let Some(content) = self.content(path)? else { return Ok(None) };
            content.read_pieces(|piece| bytes.extend_from_slice(piece))?;
            return Ok(Some(DocBytes { bytes, hash: None }));
        }
        self.store.0.check_open()?;
        let (bytes, observation) =
            read::bytes(self.store.0.fs(), self.store.0.writer.view(), path)?;
        self.observe(path, observation)?;
        Ok(bytes)
    }

    /// The content that the transaction sees; `None` if there is no document.
    fn content(&mut self, path: &DocPath) -> Result<Option<Content>, Error> {
        let content = match self.request.changes.get(path) {
            Some(change) => own_part(change).map(|part| Content::of(vec![part])),
            None => {
                self.store.0.check_open()?;
                let writer = &self.store.0.writer;
                let (content, observation) = read::content(self.store.0.fs(), writer.view(), path)?;
                self.observe(path, observation)?;
                content
            }
        };
        let Some(added) = self.added.get(path) else { return Ok(content) };
        let added = Part::Memory(Arc::from(&added[..]));
        Ok(Some(content.unwrap_or_default().and(added)))
    }

    /// Joins what was seen to the read set. What was seen before must be the same still.
    fn observe(&mut self, path: &DocPath, observation: Observation) -> Result<(), Error> {
        match self.request.reads.documents.entry(path.clone()) {
            Entry::Vacant(entry) => drop(entry.insert(observation)),
            Entry::Occupied(entry) if entry.get().seen.hash() == observation.seen.hash() => {}
            Entry::Occupied(_) => return Err(self.conflicted(vec![path.to_string()])),
        }
        self.check_moment()
    }

    /// Everything read so far is as of now, so that all of it is of one moment.
    fn check_moment(&mut self) -> Result<(), Error> {
        let view = self.store.0.writer.view();
        let committed = view.committed();
        if committed == self.checked {
            return Ok(());
        }
        let reads = &self.request.reads;
        let mut changed = Vec::new();
        match view.changed_since(self.checked) {
            Some(touched) => {
                for (path, known) in &touched {
                    let read = reads.documents.get(&**path);
                    if read.is_some_and(|observation| known.seq > observation.at) {
                        changed.push(path.to_string());
                    }
                    let lists = reads.lists.iter().filter(|(dir, listed)| {
                        let was_there = listed.names.binary_search_by(|name| (**name).cmp(path));
                        known.seq > listed.at
                            && is_below(path, dir)
                            && known.content.is_some() != was_there.is_ok()
                    });
                    changed.extend(lists.map(|(dir, _)| format!("{dir}/")));
                }
                changed.dedup();
            }
            // The handle does not remember back to there: nothing counts as unchanged but what is as of now.
            None => {
                let documents = reads.documents.iter().filter(|(_, read)| read.at < committed);
                let lists = reads.lists.iter().filter(|(_, listed)| listed.at < committed);
                changed.extend(documents.map(|(path, _)| path.to_string()));
                changed.extend(lists.map(|(dir, _)| format!("{dir}/")));
            }
        }
        if !changed.is_empty() {
            return Err(self.conflicted(changed));
        }
        self.checked = committed;
        Ok(())
    }

    fn conflicted(&mut self, paths: Vec<String>) -> Error {
        self.store.0.writer.counters().conflict(&paths);
        self.conflict = Some(paths.clone());
        Error::Conflict { paths }
    }
}

/// The body of a change; `None` for a removal.
fn own_part(change: &Change) -> Option<Part> {
    let (Change::Put { content, .. } | Change::Append { content }) = change else { return None };
    Some(match content {
        Prepared::Inline { bytes, .. } => Part::Memory(Arc::clone(bytes)),
        Prepared::Large { file, len, .. } | Prepared::Existing { file, len, .. } => {
            Part::File { file: Arc::clone(file), len: *len }
        }
    })
}

/// C1 for appends: each becomes a change, or part of the put that it adds to.
fn join_added(
    shared: &Shared,
    mut request: Request,
    added: BTreeMap<DocPath, Vec<u8>>,
) -> Result<Request, Error> {
    let (fs, inline_max) = (shared.fs(), shared.options.inline_max);
    for (path, bytes) in added {
        let change = match request.changes.remove(&path) {
            Some(Change::Put { content, attributes }) => {
                let put = Change::Put { content, attributes: attributes.clone() };
                let parts = own_part(&put).into_iter().chain([Part::Memory(bytes.into())]);
                let mut reader = Content::of(parts.collect()).into_reader();
                let content = prepare_reader(fs, &path, &mut reader, inline_max)
                    .map_err(|error| prepare_error(&path, error))?;
                Change::Put { content, attributes }
            }
            Some(Change::Remove) => {
                let content = prepare_bytes(fs, &path, bytes, inline_max)?;
                Change::Put { content, attributes: Attributes::Kept }
            }
            Some(Change::Append { .. }) | None => {
                Change::Append { content: prepare_bytes(fs, &path, bytes, inline_max)? }
            }
        };
        request.changes.insert(path, change);
    }
    Ok(request)
}
