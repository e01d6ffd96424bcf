//! Somebody else does something at an exact moment of a commit.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact_fs::{Access, Entry, Facts, File, Fs, Lock, LockKind, Rename, Result, Stat, Time};

type Action = Box<dyn FnOnce() + Send>;

/// A file system that runs an action once, just before or after the first rename onto or from a path.
///
/// The swap of C8 is a rename, so this is the last moment at which an outside edit can slip in
/// between validation and publication.
pub struct Meanwhile {
    inner: Arc<dyn Fs>,
    path: String,
    action: Mutex<Option<Action>>,
    after: bool,
}

impl Meanwhile {
    /// Runs `action` before the first rename that names `path`.
    pub fn before_rename(
        inner: Arc<dyn Fs>,
        path: &str,
        action: impl FnOnce() + Send + 'static,
    ) -> Arc<Self> {
        let action = Mutex::new(Some(Box::new(action) as Action));
        Arc::new(Self { inner, path: path.to_owned(), action, after: false })
    }

    /// Runs `action` after the first rename that names `path` and succeeds.
    pub fn after_rename(
        inner: Arc<dyn Fs>,
        path: &str,
        action: impl FnOnce() + Send + 'static,
    ) -> Arc<Self> {
        let action = Mutex::new(Some(Box::new(action) as Action));
        Arc::new(Self { inner, path: path.to_owned(), action, after: true })
    }

    /// Whether the moment has come.
    pub fn has_happened(&self) -> bool {
        self.action.lock().expect("no test has failed").is_none()
    }
}

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meanwhile({})", self.path)
    }
}

impl Fs for Meanwhile {
    fn rename(&self, from: &str, to: &str, how: Rename) -> Result<()> {
        let run = || {
            if from == self.path || to == self.path {
                let action = self.action.lock().expect("no test has failed").take();
                action.into_iter().for_each(|action| action());
            }
        };
        if !self.after {
            run();
        }
        self.inner.rename(from, to, how)?;
        if self.after {
            run();
        }
        Ok(())
    }

    fn facts(&self) -> Result<Facts> {
        self.inner.facts()
    }
    fn now(&self) -> Time {
        self.inner.now()
    }
    fn unique(&self) -> String {
        self.inner.unique()
    }
    fn open(&self, path: &str, access: Access) -> Result<Box<dyn File>> {
        self.inner.open(path, access)
    }
    fn create(&self, path: &str) -> Result<Box<dyn File>> {
        self.inner.create(path)
    }
    fn create_unnamed(&self, dir: &str) -> Result<Box<dyn File>> {
        self.inner.create_unnamed(dir)
    }
    fn stat(&self, path: &str) -> Result<Option<Stat>> {
        self.inner.stat(path)
    }
    fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        self.inner.list(dir)
    }
    fn make_dir(&self, path: &str, mode: u32) -> Result<()> {
        self.inner.make_dir(path, mode)
    }
    fn unlink(&self, path: &str) -> Result<()> {
        self.inner.unlink(path)
    }
    fn sync_dir(&self, dir: &str) -> Result<()> {
        self.inner.sync_dir(dir)
    }
    fn sync_everything(&self) -> Result<()> {
        self.inner.sync_everything()
    }
    fn lock(
        &self,
        path: &str,
        kind: LockKind,
        patience: Duration,
    ) -> Result<Option<Box<dyn Lock>>> {
        self.inner.lock(path, kind, patience)
    }
}
