//! A file system in a temporary directory that fails where a test says, and notes what was asked
//! of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact_fs::{
    Access, Attrs, Entry, Facts, File, Fs, FsError, Lock, LockKind, OsFs, Rename, Result, Stat,
    SyncKind, Time,
};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

#[derive(Debug)]
pub(crate) struct Faulty {
    inner: OsFs,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    /// Every call that changes something, in order.
    log: Vec<String>,
    /// The call with this index in the log fails.
    fail_at: Option<usize>,
    code: i32,
    /// How many bytes the next write takes; the one after it fails.
    cut: Option<usize>,
    full: bool,
    /// Every read fails.
    unreadable: bool,
}

impl Plan {
    fn call(&mut self, op: &'static str, path: &str) -> Result<()> {
        let fails = self.fail_at == Some(self.log.len());
        self.log.push(format!("{op} {path}"));
        if fails {
            let error = std::io::Error::from_raw_os_error(self.code);
            return Err(FsError::new(op, path, error));
        }
        Ok(())
    }
}

impl Faulty {
    /// A fresh root, with the directories of a store in it.
    pub(crate) fn temp() -> (tempfile::TempDir, Arc<Self>) {
        let dir = tempfile::tempdir().unwrap();
        let inner = OsFs::open(dir.path()).unwrap();
        inner.make_dir(".filepact", 0o700).unwrap();
        inner.make_dir(crate::JOURNAL_DIR, 0o700).unwrap();
        (dir, Arc::new(Self { inner, plan: Arc::default() }))
    }

    /// The `nth` changing call from now on fails; 0 is the next one.
    pub(crate) fn fail_nth(&self, nth: usize, full: bool) {
        let mut plan = self.plan.lock().unwrap();
        plan.fail_at = Some(plan.log.len() + nth);
        plan.code = if full { ENOSPC } else { EIO };
    }

    /// The next write takes only this many bytes, and then the disk is full for one call.
    pub(crate) fn cut_next_write(&self, bytes: usize) {
        self.plan.lock().unwrap().cut = Some(bytes);
    }

    /// Whether reads fail.
    pub(crate) fn set_unreadable(&self, unreadable: bool) {
        self.plan.lock().unwrap().unreadable = unreadable;
    }

    /// What was asked since the last call of this, and no more faults.
    pub(crate) fn take_log(&self) -> Vec<String> {
        let mut plan = self.plan.lock().unwrap();
        plan.fail_at = None;
        std::mem::take(&mut plan.log)
    }

    fn call(&self, op: &'static str, path: &str) -> Result<()> {
        self.plan.lock().unwrap().call(op, path)
    }

    fn file(&self, inner: Box<dyn File>, path: &str) -> Box<dyn File> {
        Box::new(FaultyFile { inner, path: path.to_owned(), plan: Arc::clone(&self.plan) })
    }
}

impl Fs for Faulty {
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
        Ok(self.file(self.inner.open(path, access)?, path))
    }
    fn create(&self, path: &str) -> Result<Box<dyn File>> {
        self.call("create", path)?;
        Ok(self.file(self.inner.create(path)?, path))
    }
    fn create_unnamed(&self, dir: &str) -> Result<Box<dyn File>> {
        self.call("create unnamed in", dir)?;
        Ok(self.file(self.inner.create_unnamed(dir)?, "unnamed"))
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
    fn rename(&self, from: &str, to: &str, how: Rename) -> Result<()> {
        self.call("rename to", to)?;
        self.inner.rename(from, to, how)
    }
    fn check_dir(&self, dir: &str) -> Result<()> {
        self.inner.check_dir(dir)
    }
    fn unlink(&self, path: &str) -> Result<()> {
        self.call("unlink", path)?;
        self.inner.unlink(path)
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        self.call("remove_dir", path)?;
        self.inner.remove_dir(path)
    }
    fn sync_dir(&self, dir: &str) -> Result<()> {
        self.call("sync dir", dir)?;
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

#[derive(Debug)]
struct FaultyFile {
    inner: Box<dyn File>,
    path: String,
    plan: Arc<Mutex<Plan>>,
}

impl File for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if self.plan.lock().unwrap().unreadable {
            let error = std::io::Error::from_raw_os_error(EIO);
            return Err(FsError::new("read", self.path.as_str(), error));
        }
        self.inner.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        let mut plan = self.plan.lock().unwrap();
        if plan.cut == Some(0) {
            plan.cut = None;
            plan.full = true;
        }
        if std::mem::take(&mut plan.full) {
            let error = std::io::Error::from_raw_os_error(ENOSPC);
            return Err(FsError::new("write", self.path.as_str(), error));
        }
        plan.call("write", &self.path)?;
        if let Some(cut) = plan.cut.take() {
            plan.full = true;
            return self.inner.write_at(&bytes[..cut], offset);
        }
        self.inner.write_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.inner.set_len(len)
    }
    fn sync(&self, what: SyncKind) -> Result<()> {
        self.plan.lock().unwrap().call("sync", &self.path)?;
        self.inner.sync(what)
    }
    fn stat(&self) -> Result<Stat> {
        self.inner.stat()
    }
    fn link(&self, to: &str) -> Result<()> {
        self.plan.lock().unwrap().call("link to", to)?;
        self.inner.link(to)
    }
    fn attrs(&self) -> Result<Attrs> {
        self.inner.attrs()
    }
    fn set_attrs(&self, attrs: &Attrs) -> Result<()> {
        self.inner.set_attrs(attrs)
    }
    fn set_mode(&self, mode: u32) -> Result<()> {
        self.inner.set_mode(mode)
    }
    fn set_mtime(&self, time: Time) -> Result<()> {
        self.inner.set_mtime(time)
    }
    fn lease(&self) -> Result<bool> {
        self.inner.lease()
    }
}
