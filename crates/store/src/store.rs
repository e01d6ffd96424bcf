//! The handle.

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use filepact_commit::{CommitError, Committed};
use filepact_fs::DocPath;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json::DocBytes;
use crate::shared::Shared;
use crate::{Error, Options, Report, Snapshot, Transaction, Version, open, read};

/// A folder of files that change together.
///
/// Cloning is cheap and gives another handle on the same store, for another thread. The store is
/// let go when [`close`](Self::close) is called, or when its last handle, transaction, snapshot and watch
/// are dropped.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Shared>);

thread_local! {
    /// The stores whose `transact` is running on this thread.
    static TRANSACTING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

impl Store {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Opens the store in `folder`, making it if the folder has none, and recovers it, unless others
    /// have it open, who have recovered it already.
    ///
    /// After `Ok` every transaction that was acknowledged before is there whole (but after a power cut, of those with
    /// [`Durability::Buffered`](crate::Durability::Buffered), only the first ones), and no other is there in part; [`recovery_report`](Self::recovery_report) says what was done for it. After
    /// an error the documents are as they were, or a later opening finishes what this one began.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process takes longer than the timeout to open or recover it;
    /// [`Error::Poisoned`] if a sync has failed while others have it open, who must close it first;
    /// [`Error::Corrupt`], [`Error::Unrecoverable`] and [`Error::Format`] if it cannot be opened
    /// safely; [`Error::Network`] on a file system where locks may not hold; [`Error::Io`].
    ///
    /// ```
    /// # fn main() -> Result<(), filepact::Error> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// let store = filepact::Store::open(folder.path())?;
    /// for path in &store.recovery_report().adopted {
    ///     println!("{path} was edited by another program");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        Self::options().open(folder)
    }

    /// The options of an opening, at their defaults.
    pub fn options() -> Options {
        Options::default()
    }

    /// What opening `folder` would find, and do about it. Changes no document and nothing of the journal;
    /// only what is missing of the empty folders and locks in `.filepact` is made.
    ///
    /// # Errors
    /// [`Error::Locked`], at once, if anybody has the store open; [`Error::NoStore`] also where the folder cannot
    /// be opened; else those of [`open`](Self::open).
    pub fn examine(folder: impl AsRef<Path>) -> Result<Report, Error> {
        let folder = folder.as_ref();
        let no_store = |_| Error::NoStore { root: folder.to_owned() };
        let fs = filepact_fs::OsFs::open(folder).map_err(no_store)?;
        open::examine(Arc::new(fs), Self::options()).map_err(|error| match error {
            Error::NoStore { .. } => Error::NoStore { root: folder.to_owned() },
            error => error,
        })
    }

    /// Begins a transaction. Dropping it rolls it back.
    pub fn begin(&self) -> Result<Transaction, Error> {
        self.enter()?;
        Ok(Transaction::new(self.clone(), None))
    }

    /// Begins a transaction that has the writer lock from the start, waiting for it at most
    /// `timeout`: nobody else commits until it is committed or dropped, so that only an edit by
    /// another program can make it conflict.
    ///
    /// For work that is too long, or too often in conflict, to be tried again. Every other commit,
    /// in this process and all others, waits for it, up to its own timeout; readers do not. Another
    /// commit on the same thread waits in vain, and is [`Error::Locked`].
    ///
    /// # Errors
    /// [`Error::Locked`] if the lock did not come in time; its holder may be stopped, and is never
    /// robbed of it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use filepact::{Error, Store};
    /// # fn main() -> Result<(), Error> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// # let store = Store::open(folder.path())?;
    /// let mut tx = store.begin_exclusive(Duration::from_secs(1))?;
    /// let count: Option<u64> = tx.get("count.json")?;
    /// tx.write("count.json", &(count.unwrap_or(0) + 1))?;
    /// tx.commit()?; // no conflict with another commit is possible
    /// # Ok(())
    /// # }
    /// ```
    pub fn begin_exclusive(&self, timeout: Duration) -> Result<Transaction, Error> {
        self.enter()?;
        let turn = self.0.writer.take_turn(timeout)?;
        Ok(Transaction::new(self.clone(), Some(turn)))
    }

    /// Runs `work` in a transaction and commits it; runs it again whenever the transaction saw a
    /// conflict, whatever `work` returned.
    ///
    /// After [`Options::max_retries`] further tries, each after a longer pause, it takes the writer
    /// lock from the start, as [`begin_exclusive`](Self::begin_exclusive) does: so it gets through,
    /// however many others change the same documents. If `work` is over within a millisecond, so that
    /// nobody waits for it longer than for a commit, it does so after the first conflict of a commit.
    ///
    /// After `Ok` the transaction is durable and every document at its path. If `work` returns an
    /// error of its own, nothing has changed and the error is returned. After
    /// [`Error::CommitUnknown`] and [`Error::Unpublished`] it is not run again.
    ///
    /// `work` must do nothing that cannot be done twice, and must use the transaction: a call on
    /// the same store in it is [`Error::Nested`].
    ///
    /// ```
    /// # use filepact::{Error, Store};
    /// #[derive(Debug)]
    /// enum Refusal {
    ///     TooLittle,
    ///     Store(Error),
    /// }
    ///
    /// impl From<Error> for Refusal {
    ///     fn from(error: Error) -> Self {
    ///         Self::Store(error)
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Refusal> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// # let store = Store::open(folder.path())?;
    /// store.write("ann.json", &100)?;
    /// let refused = store.transact(|tx| {
    ///     let cents: i64 = tx.read("ann.json")?;
    ///     if cents < 500 {
    ///         return Err(Refusal::TooLittle); // nothing has changed
    ///     }
    ///     tx.write("ann.json", &(cents - 500))?;
    ///     Ok(())
    /// });
    /// assert!(matches!(refused, Err(Refusal::TooLittle)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn transact<T, E: From<Error>>(
        &self,
        mut work: impl FnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let optimistic = self.0.options.max_retries;
        let (mut retries, mut is_quick) = (0, false);
        loop {
            let is_exclusive = retries > optimistic || is_quick;
            let conflict = {
                let mut tx = match is_exclusive {
                    true => self.begin_exclusive(self.0.timeout())?,
                    false => self.begin()?,
                };
                let began = self.0.fs().now();
                let outcome = {
                    let _inside = Inside::enter(self);
                    work(&mut tx)
                };
                let worked = self.0.fs().now().0 - began.0;
                match (tx.conflict(), outcome) {
                    (Some(conflict), _) => conflict,
                    (None, Err(error)) => return Err(error),
                    (None, Ok(value)) => match tx.commit() {
                        Ok(_) => return Ok(value),
                        // What only reads takes no lock, and never comes here.
                        Err(conflict @ Error::Conflict { .. }) => {
                            is_quick = (0..=QUICK_NANOS).contains(&worked);
                            conflict
                        }
                        Err(error) => return Err(error.into()),
                    },
                }
            };
            // Under the lock only another program's edits are in the way; one that edits without
            // end is told of.
            if retries > optimistic.saturating_add(EXCLUSIVE_RETRIES) {
                return Err(conflict.into());
            }
            // Who gets the lock next waits in line for it.
            if is_exclusive || !is_quick {
                back_off(retries);
            }
            retries += 1;
            self.0.writer.counters().retry(retries);
        }
    }

    /// All documents as of now, to be read for as long as it lives: for a backup, a report, an export
    /// of many documents that belong together.
    ///
    /// It takes no lock, and neither it nor anybody who commits waits for the other. What is changed
    /// from then on stays for it, so that a snapshot that is kept for long costs space; see [`Snapshot`].
    ///
    /// # Errors
    /// [`Error::Io`] if the pin cannot be made: it is a small file in `.filepact/pins/`;
    /// [`Error::Poisoned`] if the store has failed, where nothing is written any more. (A snapshot that
    /// was taken before goes on.)
    ///
    /// ```
    /// # use filepact::{Error, Store};
    /// # fn main() -> Result<(), Error> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// # let store = Store::open(folder.path())?;
    /// store.transact::<_, Error>(|tx| {
    ///     tx.write("accounts/ann.json", &500)?;
    ///     tx.write("accounts/bob.json", &0)
    /// })?;
    /// let snapshot = store.snapshot()?;
    /// store.transact::<_, Error>(|tx| {
    ///     tx.write("accounts/ann.json", &375)?;
    ///     tx.remove("accounts/bob.json")
    /// })?;
    /// let mut total: i64 = 0;
    /// for path in snapshot.list("accounts")? {
    ///     total += snapshot.read::<i64>(&path)?;
    /// }
    /// assert_eq!(total, 500); // ann's 500 and bob's 0, as they were together
    /// # Ok(())
    /// # }
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        self.enter()?;
        Ok(Snapshot::new(self.clone(), self.0.writer.pin()?))
    }

    /// Reads one JSON document.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Json`] with line and column if it is not JSON, has a
    /// duplicate key, or does not fit the type.
    pub fn read<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Result<T, Error> {
        let path = DocPath::new(path)?;
        let found = self.committed_bytes(&path)?.ok_or_else(|| Error::not_found(&path))?;
        self.0.parser.parse(&path, &found)
    }

    /// Reads one JSON document; `None` if it is absent.
    pub fn get<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Result<Option<T>, Error> {
        let path = DocPath::new(path)?;
        let found = self.committed_bytes(&path)?;
        found.map(|found| self.0.parser.parse(&path, &found)).transpose()
    }

    /// Reads one document, whatever it holds; `None` if it is absent.
    pub fn read_bytes(&self, path: impl AsRef<str>) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.committed_bytes(&DocPath::new(path)?)?.map(|found| found.bytes))
    }

    /// Writes one JSON document, durably, in a transaction of its own.
    pub fn write<T: Serialize + ?Sized>(
        &self,
        path: impl AsRef<str>,
        value: &T,
    ) -> Result<Committed, Error> {
        let mut tx = self.begin()?;
        tx.write(path, value)?;
        tx.commit()
    }

    /// Reads one JSON document, changes it and writes it, durably; runs `change` again if somebody
    /// else changed the document meanwhile. A document that `change` leaves as it was is not
    /// written.
    ///
    /// ```
    /// # use filepact::{Error, Store};
    /// # fn main() -> Result<(), Error> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// # let store = Store::open(folder.path())?;
    /// store.write("visits.json", &1)?;
    /// store.update("visits.json", |visits: &mut u64| *visits += 1)?;
    /// assert_eq!(store.read::<u64>("visits.json")?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn update<T: Serialize + DeserializeOwned>(
        &self,
        path: impl AsRef<str>,
        mut change: impl FnMut(&mut T),
    ) -> Result<(), Error> {
        self.transact(|tx| tx.update(path.as_ref(), &mut change))
    }

    /// Adds bytes at the end of one document, durably, or makes one of them if there is none.
    ///
    /// [`Transaction::append`] says what that means beside others who add to it.
    pub fn append(
        &self,
        path: impl AsRef<str>,
        bytes: impl AsRef<[u8]>,
    ) -> Result<Committed, Error> {
        let mut tx = self.begin()?;
        tx.append(path, bytes)?;
        tx.commit()
    }

    /// Removes one document, durably.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is absent.
    pub fn remove(&self, path: impl AsRef<str>) -> Result<(), Error> {
        self.transact(|tx| tx.remove(path.as_ref()))
    }

    /// Moves one document to another path, where there must be none, durably.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is absent; [`Error::Exists`] if there is a document at `to`.
    pub fn rename(&self, from: impl AsRef<str>, to: impl AsRef<str>) -> Result<(), Error> {
        self.transact(|tx| tx.rename(from.as_ref(), to.as_ref()))
    }

    /// Writes one JSON document that must be absent, durably.
    ///
    /// # Errors
    /// [`Error::Exists`] if it is there.
    pub fn create<T: Serialize + ?Sized>(
        &self,
        path: impl AsRef<str>,
        value: &T,
    ) -> Result<(), Error> {
        self.transact(|tx| tx.create(path.as_ref(), value))
    }

    /// Whether there is such a document.
    pub fn exists(&self, path: impl AsRef<str>) -> Result<bool, Error> {
        Ok(self.version(path)?.is_some())
    }

    /// The version of a document; `None` if it is absent.
    pub fn version(&self, path: impl AsRef<str>) -> Result<Option<Version>, Error> {
        let path = DocPath::new(path)?;
        self.enter()?;
        let observation = read::seen(self.0.fs(), self.0.writer.view(), &path)?;
        Ok(observation.seen.hash().map(Version))
    }

    /// All documents below a directory (`""` is the whole store), recursive, sorted.
    pub fn list(&self, dir: impl AsRef<str>) -> Result<Vec<DocPath>, Error> {
        self.enter()?;
        let dir = directory(dir.as_ref())?;
        Ok(read::names(self.0.fs(), self.0.writer.view(), &dir)?.0.names)
    }

    /// Makes every published document durable by itself, so that older journal can go. Commits go on
    /// meanwhile; those that come later are not covered.
    ///
    /// It happens by itself some time after the last commit, when
    /// [`journal_max`](crate::Options::journal_max) is passed, and on [`close`](Self::close); see
    /// [`background_checkpoints`](crate::Options::background_checkpoints).
    ///
    /// # Errors
    /// After every error the journal stays, and everything committed is as durable as before:
    /// [`Error::Locked`] if another checkpoint, or the writer's turn, took too long; [`Error::Io`] if a
    /// document could not be synced, or does not hold what was written to it: then the store has
    /// failed.
    pub fn checkpoint(&self) -> Result<(), Error> {
        self.enter()?;
        Ok(self.0.writer.checkpoint(self.0.timeout())?)
    }

    /// What the opening of this handle found, and what it did.
    pub fn recovery_report(&self) -> &Report {
        &self.0.report
    }

    /// Checkpoints and lets the store go, for every clone of this handle.
    ///
    /// After `Ok` the files are durable by themselves, and the next opening has nothing to do.
    /// After [`Error::Locked`] a commit of another thread or a checkpoint is still running: the handle
    /// goes on, and the store is let go with the last clone. After any other error it is let go all the
    /// same, and everything committed is still durable: the journal has it. Later calls on clones
    /// answer [`Error::Poisoned`].
    pub fn close(self) -> Result<(), Error> {
        self.enter()?;
        let closed = self.0.writer.close(self.0.timeout());
        if !matches!(closed, Err(CommitError::Locked { .. } | CommitError::Forked)) {
            self.0.let_go();
        }
        Ok(closed?)
    }

    fn committed_bytes(&self, path: &DocPath) -> Result<Option<DocBytes>, Error> {
        self.enter()?;
        Ok(read::bytes(self.0.fs(), self.0.writer.view(), path)?.0)
    }

    /// The handle is open, and this is not the inside of its own `transact`.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        let nested = TRANSACTING.with_borrow(|stores| stores.contains(&self.id()));
        if nested {
            return Err(Error::Nested);
        }
        self.0.check_open()
    }

    fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

/// Marks the inside of a `transact` on this thread, also while it unwinds.
struct Inside;

impl Inside {
    fn enter(store: &Store) -> Self {
        TRANSACTING.with_borrow_mut(|stores| stores.push(store.id()));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        TRANSACTING.with_borrow_mut(|stores| {
            stores.pop();
        });
    }
}

/// How often `transact` tries again once it has the writer lock.
const EXCLUSIVE_RETRIES: u32 = 16;

/// Within this time work may be done with the writer lock, although others could be in the way of nobody.
const QUICK_NANOS: i64 = 1_000_000;

/// Twice as long each time, from a quarter of a millisecond to 64 ms, and never for two alike.
fn back_off(retries: u32) {
    let most = 250_u64 << retries.min(8);
    let jitter = RandomState::new().hash_one(retries) % most;
    std::thread::sleep(Duration::from_micros(most / 2 + jitter / 2));
}

/// A directory of documents: the root, or a path that could be a document's.
pub(crate) fn directory(dir: &str) -> Result<String, Error> {
    let dir = dir.strip_suffix('/').unwrap_or(dir);
    if dir.is_empty() { Ok(String::new()) } else { Ok(DocPath::new(dir)?.to_string()) }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("options", &self.0.options).finish_non_exhaustive()
    }
}
