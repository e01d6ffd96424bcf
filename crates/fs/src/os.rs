//! Linux behind the seam.

use std::ffi::OsStr;
use std::io;
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::fs::{
    accessat, fsync, mkdirat, openat, renameat, renameat_with, statat, syncfs, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::beneath::Root;
use crate::error::At;
use crate::file::OsFile;
use crate::{
    Access, Entry, Facts, File, Fs, Leasing, Listening, Lock, LockKind, Rename, Result, Stat, Time,
};
use crate::{direct, facts, listen, lock, open, status, unnamed};

/// Beyond this a disk is busy.
const MOST_THREADS: usize = 8;

/// The file system below one directory, by way of Linux system calls (4.11 or newer).
///
/// The directory is held open: if somebody renames it, paths still lead into it. Clones share it.
#[derive(Clone, Debug)]
pub struct OsFs {
    root: Arc<Root>,
}

impl OsFs {
    /// Opens the root, which must be an existing directory. Links on the way to it are followed,
    /// below it none.
    ///
    /// # Errors
    /// What the system answers; also where the directory may not be read.
    pub fn open(root: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = retry_on_intr(|| openat(CWD, root, flags, Mode::empty()))
            .at("open", &root.to_string_lossy())?;
        Ok(Self { root: Arc::new(Root::new(dir)) })
    }

    fn file(&self, path: impl Into<String>, fd: OwnedFd) -> OsFile {
        OsFile::new(&self.root, path, fd)
    }

    /// A directory, open for reading.
    fn open_dir(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = self.root.dir(path)?;
        Ok(retry_on_intr(|| openat(&dir, ".", flags, Mode::empty()))?)
    }
}

impl Fs for OsFs {
    fn together(&self) -> Option<Arc<dyn Fs>> {
        Some(Arc::new(Self { root: Arc::new(self.root.together()) }))
    }

    fn threads(&self) -> usize {
        // To be asked once: it reads several files. Who waits for a disk needs no processor.
        static THREADS: OnceLock<usize> = OnceLock::new();
        let processors = || thread::available_parallelism().map_or(1, NonZero::get);
        *THREADS.get_or_init(|| (2 * processors()).min(MOST_THREADS))
    }

    fn facts(&self) -> Result<Facts> {
        facts::of(&self.root)
    }

    fn now(&self) -> Time {
        // The fine clock: file time stamps come from the coarse one, which lags behind it, so that
        // a time read before a stamp is never behind a stamp of an earlier change.
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => Time(nanos(after)),
            Err(before) => Time(-nanos(before.duration())),
        }
    }

    fn unique(&self) -> String {
        unique()
    }

    fn open(&self, path: &str, access: Access) -> Result<Box<dyn File>> {
        Ok(self.open_and_stat(path, access)?.0)
    }

    fn open_and_stat(&self, path: &str, access: Access) -> Result<(Box<dyn File>, Stat)> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            // Linux appends whatever offset `pwrite` is given.
            Access::Append => OFlags::RDWR | OFlags::APPEND,
            Access::ReadDevice => {
                let opened = direct::open(&self.root, path).at("open past the cache", path);
                let (fd, stat, align) = opened?;
                return Ok((Box::new(self.file(path, fd).direct(align)), stat));
            }
        };
        let (fd, stat) = open::ordinary(&self.root, path, flags).at("open", path)?;
        Ok((Box::new(self.file(path, fd)), stat))
    }

    fn open_and_lease(&self, path: &str) -> Result<Leasing> {
        let fd = open::whatever(&self.root, path, OFlags::RDWR).at("open", path)?;
        let file = self.file(path, fd);
        // What is no ordinary file is granted none, and refused with the look.
        let leased = file.lease();
        let stat = file.look()?;
        Ok(Leasing { file: Box::new(file), leased, stat })
    }

    fn create(&self, path: &str) -> Result<Box<dyn File>> {
        let (dir, name) = self.root.entry(path).at("create", path)?;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(dir, name, flags, Mode::RUSR | Mode::WUSR).at("create", path)?;
        Ok(Box::new(self.file(path, fd)))
    }

    fn create_unnamed(&self, dir: &str) -> Result<Box<dyn File>> {
        let (fd, substitute) =
            unnamed::create(&self.root, dir).at("create an unnamed file in", dir)?;
        let path = format!("{dir}{}(unnamed)", if dir.is_empty() { "" } else { "/" });
        Ok(Box::new(self.file(path, fd).named_by(substitute)))
    }

    fn stat(&self, path: &str) -> Result<Option<Stat>> {
        let exact = self.root.has_exact_times();
        let found = self.root.look_up(&[path], || {
            if path.is_empty() {
                return Ok(status::of_handle(self.root.as_dir(), exact)?);
            }
            if let Some(dir) = self.root.kept(path) {
                let stat = status::of_handle(dir, exact)?;
                return if stat.nlink > 0 { Ok(stat) } else { Err(Errno::NOENT.into()) };
            }
            let (dir, name) = self.root.entry(path)?;
            Ok(status::of_entry(dir, name, exact)?)
        });
        match found {
            Err(error) if is_absence(&error) => Ok(None),
            found => found.map(Some).at("stat", path),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        list(self.open_dir(dir).at("list", dir)?).at("list", dir)
    }

    fn make_dir(&self, path: &str, mode: u32) -> Result<()> {
        let made = self.root.look_up(&[path], || {
            let (dir, name) = self.root.entry(path)?;
            Ok(mkdirat(dir, name, Mode::from_raw_mode(mode))?)
        });
        made.at("make directory", path)
    }

    fn rename(&self, from: &str, to: &str, how: Rename) -> Result<()> {
        let flags = match how {
            // Also where the file system knows no flags.
            Rename::Replace => None,
            Rename::NoReplace => Some(RenameFlags::NOREPLACE),
            Rename::Exchange => Some(RenameFlags::EXCHANGE),
        };
        let renamed = self.root.look_up(&[from, to], || {
            let (from_dir, from_name) = self.root.entry(from)?;
            let (to_dir, to_name) = self.root.entry(to)?;
            Ok(match flags {
                None => renameat(from_dir, from_name, to_dir, to_name),
                Some(flags) => renameat_with(from_dir, from_name, to_dir, to_name, flags),
            }?)
        });
        renamed.at(if how == Rename::Exchange { "exchange with" } else { "rename to" }, to)
    }

    fn check_dir(&self, dir: &str) -> Result<()> {
        let opened = self.root.dir(dir).at("write to", dir)?;
        let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        // As who we act, not as who we are.
        match accessat(opened, ".", wanted, AtFlags::EACCESS) {
            // Forbidden to ask, by a filter of system calls.
            Err(Errno::PERM) => self.create_unnamed(dir).map(drop),
            answer => answer.at("write to", dir),
        }
    }

    fn unlink(&self, path: &str) -> Result<()> {
        let unlinked = self.root.look_up(&[path], || {
            let (dir, name) = self.root.entry(path)?;
            Ok(unlinkat(dir, name, AtFlags::empty())?)
        });
        unlinked.at("unlink", path)
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        let (dir, name) = self.root.entry(path).at("remove directory", path)?;
        unlinkat(dir, name, AtFlags::REMOVEDIR).at("remove directory", path)
    }

    fn sync_dir(&self, dir: &str) -> Result<()> {
        let opened = self.open_dir(dir).at("open directory", dir)?;
        fsync(opened).at("sync directory", dir)
    }

    fn sync_everything(&self) -> Result<()> {
        syncfs(self.root.as_dir()).at("sync everything below", "")
    }

    fn lock(
        &self,
        path: &str,
        kind: LockKind,
        patience: Duration,
    ) -> Result<Option<Box<dyn Lock>>> {
        let taken = lock::take(&self.root, path, kind, patience).at("lock", path)?;
        Ok(taken.map(|lock| Box::new(lock) as Box<dyn Lock>))
    }

    fn listen(&self, path: &str) -> Result<Option<Box<dyn Listening>>> {
        listen::on(&self.root, path)
    }
}

fn list(dir: OwnedFd) -> rustix::io::Result<Vec<Entry>> {
    let mut reading = Dir::new(dir)?;
    let mut entries = Vec::new();
    while let Some(entry) = reading.read() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match statat(reading.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => status::kind(FileType::from_raw_mode(stat.st_mode)),
                Err(Errno::NOENT) => continue, // gone since it was read
                Err(errno) => return Err(errno),
            },
            known => status::kind(known),
        };
        entries.push(Entry { name: name.to_owned(), kind });
    }
    Ok(entries)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR))
}

/// 32 random hex digits.
///
/// # Panics
/// Where the kernel has no randomness to give, which Linux since 3.17 rules out.
pub(crate) fn unique() -> String {
    let mut bytes = [0; 16];
    let count = retry_on_intr(|| getrandom(&mut bytes, GetRandomFlags::empty()));
    assert_eq!(count, Ok(bytes.len()), "the kernel gives up to 256 random bytes whole");
    format!("{:032x}", u128::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests;
