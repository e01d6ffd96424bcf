//! How a store is opened.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use filepact_commit::Durability;
use filepact_fs::{Fs, OsFs};
use filepact_recovery::RecoveryProgress;

use crate::{Error, Json, Store, open};

/// How a store is opened; [`Store::options`] has the defaults.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    pub(crate) create: bool,
    pub(crate) durability: Durability,
    pub(crate) inline_max: usize,
    pub(crate) journal_max: u64,
    pub(crate) background: bool,
    pub(crate) lock_timeout: Duration,
    pub(crate) max_retries: u32,
    pub(crate) json: Json,
    pub(crate) allow_network: bool,
    pub(crate) on_recovery: OnRecovery,
}

/// Whom an opening tells how far it is.
#[derive(Clone)]
pub(crate) struct OnRecovery(pub(crate) Arc<dyn Fn(RecoveryProgress) + Send + Sync>);

impl fmt::Debug for OnRecovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnRecovery").finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            create: true,
            durability: Durability::default(),
            inline_max: 64 * 1024,
            journal_max: 16 * 1024 * 1024,
            background: true,
            lock_timeout: Duration::from_secs(10),
            max_retries: 16,
            json: Json::Pretty,
            allow_network: false,
            on_recovery: OnRecovery(Arc::new(|_| {})),
        }
    }
}

impl Options {
    /// Whether to make a store in an existing folder that is none. Default: yes.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// What a commit of this handle makes durable before it is acknowledged; handles of one store may
    /// differ. Default: [`Durability::Journal`].
    ///
    /// ```
    /// # fn main() -> Result<(), filepact::Error> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// use filepact::{Durability, Store};
    ///
    /// // A program that reads the files without filepact finds them whole even after a power cut.
    /// let store = Store::options().durability(Durability::Files).open(folder.path())?;
    /// store.write("motd.json", &"hello")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Bodies up to this many bytes travel in the journal; larger ones are written and synced
    /// beside their document first. Default: 64 KiB.
    pub fn inline_max(mut self, bytes: usize) -> Self {
        self.inline_max = bytes;
        self
    }

    /// A checkpoint is made when the journal since the last one is longer than this many bytes, or the bodies
    /// beyond [`inline_max`](Self::inline_max) that it names are longer than sixteen times as many: each of
    /// them stays on the disk until then, also where another one has replaced it. Default: 16 MiB.
    pub fn journal_max(mut self, bytes: u64) -> Self {
        self.journal_max = bytes;
        self
    }

    /// Whether a thread of this handle makes checkpoints: 5 s after its last commit, and when
    /// [`journal_max`](Self::journal_max) is passed; and another one the journal's next segment, before this one is full. Other commits go
    /// on meanwhile. Without it, the commit after which one is due makes it, while it has the writer lock, and
    /// nothing happens after idle time. Default: yes.
    pub fn background_checkpoints(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Hears how far the recovery is that an opening may have to do first: the segments of the journal are read,
    /// and after a power cut all documents are looked at that were changed since the last checkpoint. Several
    /// threads may tell it; [`step`](RecoveryProgress::step) says of what. Whoever joins others who have the store open hears nothing.
    pub fn on_recovery(mut self, hears: impl Fn(RecoveryProgress) + Send + Sync + 'static) -> Self {
        self.on_recovery = OnRecovery(Arc::new(hears));
        self
    }

    /// How long to wait for the commits of other threads and processes, or for another's opening of
    /// the store. Reads never wait for them. Default: 10 s.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// How often [`Store::transact`] runs its closure again after a conflict before it takes the
    /// writer lock first; at most, since a closure that is quick takes it sooner. 0 is for transactions that
    /// nearly always meet. Default: 16.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// How JSON documents are written. Default: pretty.
    pub fn json(mut self, json: Json) -> Self {
        self.json = json;
        self
    }

    /// Open a store on a network or shared file system all the same. Default: no.
    pub fn allow_network(mut self, allow: bool) -> Self {
        self.allow_network = allow;
        self
    }

    /// Opens the store in `folder`, which must exist; see [`Store::open`].
    pub fn open(self, folder: impl AsRef<Path>) -> Result<Store, Error> {
        let folder = folder.as_ref();
        let fs = OsFs::open(folder).map_err(|error| Error::Io {
            op: "open the folder",
            path: folder.display().to_string(),
            source: error.source,
        })?;
        self.open_with(Arc::new(fs)).map_err(|error| match error {
            Error::NoStore { .. } => Error::NoStore { root: folder.to_owned() },
            error => error,
        })
    }

    /// Opens the store beneath the root of `fs`: the seam where tests put a file system of their
    /// own.
    pub fn open_with(self, fs: Arc<dyn Fs>) -> Result<Store, Error> {
        Ok(Store::new(open::open(fs, self)?))
    }
}
