//! Counts every call that reaches a file system, and does something just before it.
//!
//! A test that says "just before the n-th call, somebody else does this" and runs over every n has
//! tried that at every moment there is, also those that nobody thought of.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use filepact_fs::{
    Access, Attrs, Entry, Facts, File, Fs, Lock, LockKind, Rename, Result, Stat, SyncKind, Time,
};

/// A call that is about to be made, or was just made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which one, from 1, of all that went through these [`Steps`].
    pub n: usize,
    /// Its name as in the log of the simulated file system, or `unlock`.
    pub op: &'static str,
    /// What it is made on; for a file, the path by which it was opened or last linked.
    pub path: &'a str,
    /// Where a rename or a link leads; empty for all others.
    pub to: &'a str,
}

/// Sees every call.
pub trait Watch: Send + Sync + 'static {
    /// The call is about to be made.
    fn before(&self, call: &Call<'_>);

    /// The call has been made.
    fn after(&self, call: &Call<'_>, succeeded: bool) {
        let _ = (call, succeeded);
    }

    /// Makes a call that syncs, renames or unlinks, after [`before`](Watch::before): by `work`, or not at
    /// all, which is a lie.
    fn perform(&self, call: &Call<'_>, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let _ = call;
        work()
    }

    /// Makes a call of `lock`, after [`before`](Watch::before): by `attempt`, with this patience or
    /// another, once or more often.
    fn lock(&self, patience: Duration, attempt: &Attempt<'_>) -> Result<Option<Box<dyn Lock>>> {
        attempt(patience)
    }
}

/// Tries to take a lock, waiting at most this long.
pub type Attempt<'a> = dyn Fn(Duration) -> Result<Option<Box<dyn Lock>>> + 'a;

/// A [`Watch`] that only has something to do before a call.
pub struct Hook(Box<Before>);

type Before = dyn Fn(usize, &'static str, &str) + Send + Sync;

impl Watch for Hook {
    fn before(&self, call: &Call<'_>) {
        if call.to.is_empty() {
            (self.0)(call.n, call.op, call.path);
        } else {
            (self.0)(call.n, call.op, &format!("{} -> {}", call.path, call.to));
        }
    }
}

/// A file system whose calls are counted and seen, those of its files and the release of its locks
/// among them; `now` and `unique` are not, since nobody else can tell whether they were made.
pub struct Steps<W = Hook> {
    inner: Arc<dyn Fs>,
    seen: Arc<Seen<W>>,
}

struct Seen<W> {
    calls: AtomicUsize,
    watch: W,
}

impl Steps {
    /// Runs `hook` before each call, with its number from 1, its name, and its path; `from -> to`
    /// if it has two.
    pub fn new(
        inner: Arc<dyn Fs>,
        hook: impl Fn(usize, &'static str, &str) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::watched(inner, Hook(Box::new(hook)))
    }
}

impl<W: Watch> Steps<W> {
    /// Shows each call to `watch`.
    pub fn watched(inner: Arc<dyn Fs>, watch: W) -> Arc<Self> {
        Arc::new(Self { inner, seen: Arc::new(Seen { calls: AtomicUsize::new(0), watch }) })
    }

    /// How many calls have begun.
    pub fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::SeqCst)
    }

    /// Who sees the calls.
    pub fn watch(&self) -> &W {
        &self.seen.watch
    }

    fn file(&self, inner: Result<Box<dyn File>>, path: &str) -> Result<Box<dyn File>> {
        let path = Mutex::new(Arc::from(path));
        Ok(Box::new(SeenFile { inner: inner?, path, seen: Arc::clone(&self.seen) }))
    }
}

impl<W: Watch> Seen<W> {
    fn begin<'a>(&self, op: &'static str, path: &'a str, to: &'a str) -> Call<'a> {
        let n = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let call = Call { n, op, path, to };
        self.watch.before(&call);
        call
    }

    fn call<T>(&self, op: &'static str, path: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.call_on_two(op, path, "", work)
    }

    /// A call that the watch makes.
    fn perform(
        &self,
        op: &'static str,
        path: &str,
        to: &str,
        mut work: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let call = self.begin(op, path, to);
        let answer = self.watch.perform(&call, &mut work);
        self.watch.after(&call, answer.is_ok());
        answer
    }

    fn call_on_two<T>(
        &self,
        op: &'static str,
        path: &str,
        to: &str,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let call = self.begin(op, path, to);
        let answer = work();
        self.watch.after(&call, answer.is_ok());
        answer
    }
}

impl<W> fmt::Debug for Steps<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Steps({:?})", self.inner)
    }
}

impl<W: Watch + 'static> Fs for Steps<W> {
    fn together(&self) -> Option<Arc<dyn Fs>> {
        let inner = self.inner.together()?;
        Some(Arc::new(Self { inner, seen: Arc::clone(&self.seen) }))
    }

    fn threads(&self) -> usize {
        self.inner.threads()
    }

    fn facts(&self) -> Result<Facts> {
        self.seen.call("facts", "", || self.inner.facts())
    }

    fn now(&self) -> Time {
        self.inner.now()
    }

    fn unique(&self) -> String {
        self.inner.unique()
    }

    fn open(&self, path: &str, access: Access) -> Result<Box<dyn File>> {
        self.file(self.seen.call("open", path, || self.inner.open(path, access)), path)
    }

    fn create(&self, path: &str) -> Result<Box<dyn File>> {
        self.file(self.seen.call("create", path, || self.inner.create(path)), path)
    }

    fn create_unnamed(&self, dir: &str) -> Result<Box<dyn File>> {
        let file = self.seen.call("create_unnamed", dir, || self.inner.create_unnamed(dir));
        let path = if dir.is_empty() { "#unnamed".to_owned() } else { format!("{dir}/#unnamed") };
        self.file(file, &path)
    }

    fn stat(&self, path: &str) -> Result<Option<Stat>> {
        self.seen.call("stat", path, || self.inner.stat(path))
    }

    fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        self.seen.call("list", dir, || self.inner.list(dir))
    }

    fn make_dir(&self, path: &str, mode: u32) -> Result<()> {
        self.seen.call("make_dir", path, || self.inner.make_dir(path, mode))
    }

    fn rename(&self, from: &str, to: &str, how: Rename) -> Result<()> {
        self.seen.perform("rename", from, to, || self.inner.rename(from, to, how))
    }

    fn check_dir(&self, dir: &str) -> Result<()> {
        self.seen.call("check_dir", dir, || self.inner.check_dir(dir))
    }

    fn unlink(&self, path: &str) -> Result<()> {
        self.seen.perform("unlink", path, "", || self.inner.unlink(path))
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        self.seen.perform("remove_dir", path, "", || self.inner.remove_dir(path))
    }

    fn sync_dir(&self, dir: &str) -> Result<()> {
        self.seen.perform("sync_dir", dir, "", || self.inner.sync_dir(dir))
    }

    fn sync_everything(&self) -> Result<()> {
        self.seen.perform("sync_everything", "", "", || self.inner.sync_everything())
    }

    fn lock(
        &self,
        path: &str,
        kind: LockKind,
        patience: Duration,
    ) -> Result<Option<Box<dyn Lock>>> {
        let attempt = |patience| self.inner.lock(path, kind, patience);
        let taken = self.seen.call("lock", path, || self.seen.watch.lock(patience, &attempt))?;
        Ok(taken.map(|lock| -> Box<dyn Lock> {
            let seen = Arc::clone(&self.seen);
            Box::new(SeenLock { inner: Some(lock), path: path.to_owned(), seen })
        }))
    }
}

struct SeenFile<W> {
    inner: Box<dyn File>,
    path: Mutex<Arc<str>>,
    seen: Arc<Seen<W>>,
}

impl<W> fmt::Debug for SeenFile<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<W: Watch> SeenFile<W> {
    fn path(&self) -> Arc<str> {
        Arc::clone(&self.path.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn call<T>(&self, op: &'static str, work: impl FnOnce(&dyn File) -> Result<T>) -> Result<T> {
        self.seen.call(op, &self.path(), || work(&*self.inner))
    }
}

impl<W: Watch> File for SeenFile<W> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.call("read", |file| file.read_at(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        self.call("write", |file| file.write_at(bytes, offset))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.call("set_len", |file| file.set_len(len))
    }

    fn sync(&self, what: SyncKind) -> Result<()> {
        self.seen.perform("sync", &self.path(), "", || self.inner.sync(what))
    }

    fn stat(&self) -> Result<Stat> {
        self.call("stat", |file| file.stat())
    }

    fn link(&self, to: &str) -> Result<()> {
        self.seen.call_on_two("link", &self.path(), to, || self.inner.link(to))?;
        *self.path.lock().unwrap_or_else(PoisonError::into_inner) = Arc::from(to);
        Ok(())
    }

    fn attrs(&self) -> Result<Attrs> {
        self.call("attrs", |file| file.attrs())
    }

    fn set_attrs(&self, attrs: &Attrs) -> Result<()> {
        self.call("set_attrs", |file| file.set_attrs(attrs))
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        self.call("set_mode", |file| file.set_mode(mode))
    }

    fn set_mtime(&self, time: Time) -> Result<()> {
        self.call("set_mtime", |file| file.set_mtime(time))
    }

    fn lease(&self) -> Result<bool> {
        self.call("lease", |file| file.lease())
    }
}

struct SeenLock<W: Watch> {
    /// Taken out when it is let go, between the two looks of the watch.
    inner: Option<Box<dyn Lock>>,
    path: String,
    seen: Arc<Seen<W>>,
}

impl<W: Watch> Lock for SeenLock<W> {}

impl<W: Watch> fmt::Debug for SeenLock<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<W: Watch> Drop for SeenLock<W> {
    fn drop(&mut self) {
        let call = self.seen.begin("unlock", &self.path, "");
        drop(self.inner.take());
        self.seen.watch.after(&call, true);
    }
}
