//! Stop after a failed sync.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use crate::{Access, Attrs, Entry, Facts, File, Fs, FsError, LatchTripped, Leasing, Listening};
use crate::{Lock, LockKind, Rename, Result, Stat, SyncKind, Time};

/// A file system that changes nothing more once a sync has failed.
///
/// After a failed sync the page cache shows bytes that the disk may never have got, and the next
/// sync returns success. So the first failure trips the latch: from then on every call
/// that would write, create, rename, unlink, set or sync is refused with an error that
/// [is latched](FsError::is_latched), also on files that were open before. Reading, listing and
/// locking go on. A sync that found no room does not trip it, nor one that never began because its
/// directory could not be opened; their callers are told, and must not take a second try for proof.
///
/// Clones share one latch. Nothing resets it but opening the store again.
#[derive(Clone, Debug)]
pub struct Latched {
    inner: Arc<dyn Fs>,
    latch: Latch,
}

impl Latched {
    /// Wraps `fs`, not tripped.
    pub fn new(fs: Arc<dyn Fs>) -> Self {
        Self { inner: fs, latch: Latch::default() }
    }

    /// Trips the latch: by somebody who knows of a failure that no call here has shown, such as
    /// another process's.
    pub fn trip(&self) {
        self.latch.trip();
    }

    /// Whether writing is over.
    pub fn is_tripped(&self) -> bool {
        self.latch.is_tripped()
    }

    /// The file system without the latch: for `state` and the marks alone, which must still be able to
    /// say that the store failed. Whatever else is written through it breaks the rule above.
    pub fn inner(&self) -> &Arc<dyn Fs> {
        &self.inner
    }

    /// The same for [calls that belong together](Fs::together), with the same latch.
    #[must_use]
    pub fn for_together(&self) -> Self {
        let inner = self.inner.together().unwrap_or_else(|| Arc::clone(&self.inner));
        Self { inner, latch: self.latch.clone() }
    }

    fn file(&self, path: &str, inner: Box<dyn File>) -> Box<dyn File> {
        Box::new(LatchedFile { inner, path: path.into(), latch: self.latch.clone() })
    }
}

#[derive(Clone, Debug, Default)]
struct Latch(Arc<AtomicBool>);

impl Latch {
    fn trip(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_tripped(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Before a call that changes something.
    fn check(&self, op: &'static str, path: &str) -> Result<()> {
        if self.is_tripped() {
            return Err(FsError::new(op, path, io::Error::other(LatchTripped)));
        }
        Ok(())
    }

    /// After a sync.
    fn watch(&self, outcome: Result<()>) -> Result<()> {
        if outcome.as_ref().is_err_and(|error| !error.is_full() && !never_began(error)) {
            self.trip();
        }
        outcome
    }
}

/// Errors of the way to a directory that a sync itself never gives: somebody removed it, or we are
/// out of descriptors. The page cache is none the worse for them.
fn never_began(error: &FsError) -> bool {
    let of_opening = [Errno::MFILE, Errno::NFILE, Errno::ACCESS];
    error.is_not_found()
        || error.is_link()
        || Errno::from_io_error(&error.source).is_some_and(|errno| of_opening.contains(&errno))
}

impl Fs for Latched {
    fn threads(&self) -> usize {
        self.inner.threads()
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
        Ok(self.file(path, self.inner.open(path, access)?))
    }

    fn open_and_stat(&self, path: &str, access: Access) -> Result<(Box<dyn File>, Stat)> {
        let (file, stat) = self.inner.open_and_stat(path, access)?;
        Ok((self.file(path, file), stat))
    }

    fn open_and_lease(&self, path: &str) -> Result<Leasing> {
        let leasing = self.inner.open_and_lease(path)?;
        Ok(Leasing { file: self.file(path, leasing.file), ..leasing })
    }

    fn create(&self, path: &str) -> Result<Box<dyn File>> {
        self.latch.check("create", path)?;
        Ok(self.file(path, self.inner.create(path)?))
    }

    fn create_unnamed(&self, dir: &str) -> Result<Box<dyn File>> {
        self.latch.check("create an unnamed file in", dir)?;
        Ok(self.file(dir, self.inner.create_unnamed(dir)?))
    }

    fn stat(&self, path: &str) -> Result<Option<Stat>> {
        self.inner.stat(path)
    }

    fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn make_dir(&self, path: &str, mode: u32) -> Result<()> {
        self.latch.check("make directory", path)?;
        self.inner.make_dir(path, mode)
    }

    fn rename(&self, from: &str, to: &str, how: Rename) -> Result<()> {
        self.latch.check("rename", from)?;
        self.inner.rename(from, to, how)
    }

    fn check_dir(&self, dir: &str) -> Result<()> {
        self.inner.check_dir(dir)
    }

    fn unlink(&self, path: &str) -> Result<()> {
        self.latch.check("unlink", path)?;
        self.inner.unlink(path)
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        self.latch.check("remove directory", path)?;
        self.inner.remove_dir(path)
    }

    fn sync_dir(&self, dir: &str) -> Result<()> {
        self.latch.check("sync directory", dir)?;
        self.latch.watch(self.inner.sync_dir(dir))
    }

    fn sync_everything(&self) -> Result<()> {
        self.latch.check("sync everything below", "")?;
        self.latch.watch(self.inner.sync_everything())
    }

    fn lock(
        &self,
        path: &str,
        kind: LockKind,
        patience: Duration,
    ) -> Result<Option<Box<dyn Lock>>> {
        self.inner.lock(path, kind, patience)
    }

    fn listen(&self, path: &str) -> Result<Option<Box<dyn Listening>>> {
        self.inner.listen(path)
    }
}

#[derive(Debug)]
struct LatchedFile {
    inner: Box<dyn File>,
    path: String,
    latch: Latch,
}

impl File for LatchedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        self.latch.check("write", &self.path)?;
        self.inner.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.latch.check("set the length of", &self.path)?;
        self.inner.set_len(len)
    }

    fn sync(&self, what: SyncKind) -> Result<()> {
        self.latch.check("sync", &self.path)?;
        self.latch.watch(self.inner.sync(what))
    }

    fn stat(&self) -> Result<Stat> {
        self.inner.stat()
    }

    fn link(&self, to: &str) -> Result<()> {
        self.latch.check("link", to)?;
        self.inner.link(to)
    }

    fn attrs(&self) -> Result<Attrs> {
        self.inner.attrs()
    }

    fn attrs_beside(&self, stat: &Stat) -> Result<Attrs> {
        self.inner.attrs_beside(stat)
    }

    fn set_attrs(&self, attrs: &Attrs) -> Result<()> {
        self.latch.check("set the attributes of", &self.path)?;
        self.inner.set_attrs(attrs)
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        self.latch.check("set the mode of", &self.path)?;
        self.inner.set_mode(mode)
    }

    fn set_mtime(&self, time: Time) -> Result<()> {
        self.latch.check("set the time of", &self.path)?;
        self.inner.set_mtime(time)
    }

    fn lease(&self) -> Result<bool> {
        self.inner.lease()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inner.descriptor()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::Kind;

    /// Answers every call, and keeps the names of those that came through. Syncs answer `sick`.
    #[derive(Clone, Debug, Default)]
    struct Fake {
        calls: Arc<Mutex<Vec<&'static str>>>,
        sick: Arc<Mutex<Option<Errno>>>,
    }

    impl Fake {
        fn note(&self, call: &'static str) {
            self.calls.lock().unwrap().push(call);
        }

        fn synced(&self, call: &'static str) -> Result<()> {
            self.note(call);
            match *self.sick.lock().unwrap() {
                Some(errno) => Err(FsError::new("sync", "f", errno)),
                None => Ok(()),
            }
        }
    }

    fn stat() -> Stat {
        let stamp =
            crate::Stamp { dev: 0, ino: 0, size: 0, mtime: Time(0), ctime: Time(0), exact: false };
        Stat {
            kind: Kind::File,
            stamp,
            nlink: 1,
            mode: 0,
            uid: 0,
            gid: 0,
            room: 0,
            mount: 0,
            frozen: false,
        }
    }

    fn no_attrs() -> Attrs {
        Attrs { mode: 0, uid: 0, gid: 0, xattrs: Vec::new() }
    }

    impl Fs for Fake {
        fn facts(&self) -> Result<Facts> {
            Ok(Facts { boot: String::new(), mount: None, network: None, leases: false })
        }
        fn now(&self) -> Time {
            Time(0)
        }
        fn unique(&self) -> String {
            String::new()
        }
        fn open(&self, _: &str, _: Access) -> Result<Box<dyn File>> {
            Ok(Box::new(self.clone()))
        }
        fn create(&self, _: &str) -> Result<Box<dyn File>> {
            self.note("create");
            Ok(Box::new(self.clone()))
        }
        fn create_unnamed(&self, _: &str) -> Result<Box<dyn File>> {
            self.note("create_unnamed");
            Ok(Box::new(self.clone()))
        }
        fn stat(&self, _: &str) -> Result<Option<Stat>> {
            Ok(None)
        }
        fn list(&self, _: &str) -> Result<Vec<Entry>> {
            Ok(Vec::new())
        }
        fn make_dir(&self, _: &str, _: u32) -> Result<()> {
            self.note("make_dir");
            Ok(())
        }
        fn rename(&self, _: &str, _: &str, _: Rename) -> Result<()> {
            self.note("rename");
            Ok(())
        }
        fn check_dir(&self, _: &str) -> Result<()> {
            Ok(())
        }
        fn unlink(&self, _: &str) -> Result<()> {
            self.note("unlink");
            Ok(())
        }
        fn remove_dir(&self, _: &str) -> Result<()> {
            self.note("remove_dir");
            Ok(())
        }
        fn sync_dir(&self, _: &str) -> Result<()> {
            self.synced("sync_dir")
        }
        fn sync_everything(&self) -> Result<()> {
            self.synced("sync_everything")
        }
        fn lock(&self, _: &str, _: LockKind, _: Duration) -> Result<Option<Box<dyn Lock>>> {
            Ok(None)
        }
    }

    impl File for Fake {
        fn read_at(&self, _: &mut [u8], _: u64) -> Result<usize> {
            Ok(0)
        }
        fn write_at(&self, bytes: &[u8], _: u64) -> Result<usize> {
            self.note("write_at");
            Ok(bytes.len())
        }
        fn set_len(&self, _: u64) -> Result<()> {
            self.note("set_len");
            Ok(())
        }
        fn sync(&self, _: SyncKind) -> Result<()> {
            self.synced("sync")
        }
        fn stat(&self) -> Result<Stat> {
            Ok(stat())
        }
        fn link(&self, _: &str) -> Result<()> {
            self.note("link");
            Ok(())
        }
        fn attrs(&self) -> Result<Attrs> {
            Ok(no_attrs())
        }
        fn set_attrs(&self, _: &Attrs) -> Result<()> {
            self.note("set_attrs");
            Ok(())
        }
        fn set_mode(&self, _: u32) -> Result<()> {
            self.note("set_mode");
            Ok(())
        }
        fn set_mtime(&self, _: Time) -> Result<()> {
            self.note("set_mtime");
            Ok(())
        }
        fn lease(&self) -> Result<bool> {
            Ok(true)
        }
    }

    fn latched() -> (Fake, Latched) {
        let fake = Fake::default();
        (fake.clone(), Latched::new(Arc::new(fake)))
    }

    /// Every call that changes something, by way of the file system and of a file opened before.
    fn changes(fs: &Latched, file: &dyn File) -> Vec<Result<()>> {
        vec![
            fs.create("f").map(drop),
            fs.create_unnamed("").map(drop),
            fs.make_dir("d", 0o700),
            fs.rename("f", "g", Rename::Exchange),
            fs.unlink("f"),
            fs.remove_dir("d"),
            fs.sync_dir(""),
            fs.sync_everything(),
            file.write_at(b"x", 0).map(drop),
            file.set_len(0),
            file.sync(SyncKind::Data),
            file.link("g"),
            file.set_attrs(&no_attrs()),
            file.set_mode(0),
            file.set_mtime(Time(0)),
        ]
    }

    #[test]
    fn a_tripped_latch_lets_nothing_through_but_reads() {
        let (fake, fs) = latched();
        let file = fs.open("f", Access::Write).unwrap();
        assert!(changes(&fs, &*file).iter().all(Result::is_ok));
        assert_eq!(fake.calls.lock().unwrap().len(), 15);

        fs.trip();
        assert!(fs.is_tripped() && fs.clone().is_tripped());
        for refused in changes(&fs, &*file) {
            assert!(refused.unwrap_err().is_latched());
        }
        assert_eq!(fake.calls.lock().unwrap().len(), 15, "nothing reached the disk");

        file.read_at(&mut [0], 0).unwrap();
        file.stat().unwrap();
        file.attrs().unwrap();
        fs.facts().unwrap();
        fs.stat("f").unwrap();
        fs.list("").unwrap();
        fs.open("f", Access::Write).unwrap();
        fs.lock("f", LockKind::Shared, Duration::ZERO).unwrap();
        fs.inner().unlink("state").unwrap();
    }

    #[test]
    fn any_sync_that_fails_trips_it() {
        let syncs: [fn(&Latched) -> Result<()>; 4] = [
            |fs| fs.open("f", Access::Read)?.sync(SyncKind::All),
            |fs| fs.create("f")?.sync(SyncKind::Data),
            |fs| fs.sync_dir("d"),
            |fs| fs.sync_everything(),
        ];
        for sync in syncs {
            let (fake, fs) = latched();
            sync(&fs).unwrap();
            *fake.sick.lock().unwrap() = Some(Errno::IO);
            let first = sync(&fs).unwrap_err();
            assert!(!first.is_latched(), "the cause itself comes first");
            *fake.sick.lock().unwrap() = None;
            assert!(fs.is_tripped());
            assert!(fs.sync_dir("").unwrap_err().is_latched(), "the next sync would be a lie");
        }
    }

    #[test]
    fn no_room_and_no_directory_do_not_trip_it() {
        let harmless =
            [Errno::NOSPC, Errno::DQUOT, Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::MFILE];
        for errno in harmless {
            let (fake, fs) = latched();
            *fake.sick.lock().unwrap() = Some(errno);
            fs.sync_dir("d").unwrap_err();
            assert!(!fs.is_tripped(), "{errno:?}");
        }
    }
}
