//! An open file on Linux.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, Timespec, Timestamps, UTIME_OMIT};
use rustix::fs::{fchmod, fdatasync, fsync, ftruncate, futimens};
use rustix::io::{pread, pwrite};

use crate::beneath::Root;
use crate::error::At;
use crate::lease::Lease;
use crate::unnamed::{self, Substitute};
use crate::{Attrs, File, Result, Stat, SyncKind, Time, attrs, direct, open, status};

/// A descriptor, and the path under which errors speak of it.
pub(crate) struct OsFile {
    /// Dropped first: it needs the descriptor.
    lease: OnceLock<Lease>,
    fd: OwnedFd,
    path: String,
    root: Arc<Root>,
    /// The alignment of reads past the page cache, for a file opened so.
    direct: Option<usize>,
    /// Where the file system has no unnamed files: the name that stands in until the first link.
    substitute: Mutex<Option<Substitute>>,
}

impl fmt::Debug for OsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OsFile").field("path", &self.path).field("fd", &self.fd).finish()
    }
}

impl OsFile {
    pub(crate) fn new(root: &Arc<Root>, path: impl Into<String>, fd: OwnedFd) -> Self {
        let root = Arc::clone(root);
        Self {
            lease: OnceLock::new(),
            fd,
            path: path.into(),
            root,
            direct: None,
            substitute: Mutex::new(None),
        }
    }

    pub(crate) fn direct(self, align: usize) -> Self {
        Self { direct: Some(align), ..self }
    }

    pub(crate) fn named_by(self, substitute: Option<Substitute>) -> Self {
        Self { substitute: Mutex::new(substitute), ..self }
    }

    /// How it looks, if it is an ordinary file.
    pub(crate) fn look(&self) -> Result<Stat> {
        open::look(&self.root, &self.fd).at("open", &self.path)
    }

    fn place(&self, to: &str) -> std::io::Result<()> {
        let (dir, name) = self.root.entry(to)?;
        let mut slot = self.substitute.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *slot {
            Some(substitute) => substitute.place(&self.fd, dir, name)?,
            None => unnamed::link(&self.fd, dir, name)?,
        }
        *slot = None; // the next link is an ordinary one
        Ok(())
    }
}

impl File for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        match self.direct {
            Some(align) => direct::read_at(&self.fd, align, buffer, offset).at("read", &self.path),
            None => pread(&self.fd, buffer, offset).at("read", &self.path),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        pwrite(&self.fd, bytes, offset).at("write", &self.path)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        ftruncate(&self.fd, len).at("set the length of", &self.path)
    }

    fn sync(&self, what: SyncKind) -> Result<()> {
        match what {
            SyncKind::Data => fdatasync(&self.fd),
            SyncKind::All => fsync(&self.fd),
        }
        .at("sync", &self.path)
    }

    fn stat(&self) -> Result<Stat> {
        status::of_handle(&self.fd, self.root.has_exact_times()).at("stat", &self.path)
    }

    fn link(&self, to: &str) -> Result<()> {
        self.root.look_up(&[to], || self.place(to)).at("link", to)
    }

    fn attrs(&self) -> Result<Attrs> {
        attrs::read(&self.fd).at("read the attributes of", &self.path)
    }

    fn attrs_beside(&self, stat: &Stat) -> Result<Attrs> {
        let xattrs = attrs::extended(&self.fd).at("read the attributes of", &self.path)?;
        Ok(Attrs { mode: stat.mode, uid: stat.uid, gid: stat.gid, xattrs })
    }

    fn set_attrs(&self, attrs: &Attrs) -> Result<()> {
        attrs::write(&self.fd, attrs).at("set the attributes of", &self.path)
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        fchmod(&self.fd, Mode::from_raw_mode(mode)).at("set the mode of", &self.path)
    }

    fn set_mtime(&self, time: Time) -> Result<()> {
        let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let last_modification = Timespec {
            tv_sec: time.0.div_euclid(1_000_000_000),
            tv_nsec: time.0.rem_euclid(1_000_000_000),
        };
        futimens(&self.fd, &Timestamps { last_access, last_modification })
            .at("set the time of", &self.path)
    }

    fn lease(&self) -> Result<bool> {
        let leased = self.root.magic().and_then(|magic| Lease::take(&self.fd, magic));
        Ok(match leased.at("lease", &self.path)? {
            Some(lease) => self.lease.set(lease).is_ok(),
            None => false,
        })
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}
