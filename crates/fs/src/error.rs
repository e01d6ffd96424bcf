//! One error for every call at the seam: what was tried, on which path, and what the system said.

use std::io;

use rustix::io::Errno;

/// The result of a call at the seam.
pub type Result<T> = std::result::Result<T, FsError>;

/// A file system call that failed.
///
/// The path is attached here, once, and the cause is kept as the [source](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[error("cannot {op} `{path}`")]
pub struct FsError {
    /// What was tried: `open`, `rename`, `sync`, ...
    pub op: &'static str,
    /// The path beneath the root, as the caller gave it.
    pub path: String,
    /// What the system answered.
    pub source: io::Error,
}

/// One failure can concern several callers; each gets what the system answered.
impl Clone for FsError {
    fn clone(&self) -> Self {
        let source = match self.source.raw_os_error() {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None if self.is_latched() => io::Error::other(LatchTripped),
            None => io::Error::new(self.source.kind(), self.source.to_string()),
        };
        Self { op: self.op, path: self.path.clone(), source }
    }
}

/// The cause of every call that a tripped latch refuses; see [`Latched`](crate::Latched).
#[derive(Debug, thiserror::Error)]
#[error("an earlier sync failed, so nothing more is written until the store is opened again")]
pub struct LatchTripped;

impl FsError {
    /// An error of `op` on `path`.
    pub fn new(op: &'static str, path: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { op, path: path.into(), source: source.into() }
    }

    /// No room: the disk or the quota is full.
    pub fn is_full(&self) -> bool {
        self.is_one_of(&[Errno::NOSPC, Errno::DQUOT])
    }

    /// The name is taken.
    pub fn is_exists(&self) -> bool {
        self.is_one_of(&[Errno::EXIST])
    }

    /// The name, or a directory on the way to it, is not there.
    pub fn is_not_found(&self) -> bool {
        self.is_one_of(&[Errno::NOENT, Errno::NOTDIR])
    }

    /// A symbolic link stands on the way or at the end; the seam follows none.
    pub fn is_link(&self) -> bool {
        self.is_one_of(&[Errno::LOOP])
    }

    /// Somebody has the file for himself for a moment: a publisher, or a file server.
    pub fn is_leased(&self) -> bool {
        self.is_one_of(&[Errno::WOULDBLOCK])
    }

    /// This file system cannot do it.
    pub fn is_unsupported(&self) -> bool {
        self.is_one_of(&[Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP])
    }

    fn is_one_of(&self, errors: &[Errno]) -> bool {
        Errno::from_io_error(&self.source).is_some_and(|errno| errors.contains(&errno))
    }

    /// The call was refused by a tripped latch and never reached the file system.
    pub fn is_latched(&self) -> bool {
        self.source.get_ref().is_some_and(|cause| cause.is::<LatchTripped>())
    }
}

/// Attaches what was tried, and where, to whatever the system answered.
pub(crate) trait At<T> {
    fn at(self, op: &'static str, path: &str) -> Result<T>;
}

impl<T, E: Into<io::Error>> At<T> for std::result::Result<T, E> {
    fn at(self, op: &'static str, path: &str) -> Result<T> {
        self.map_err(|source| FsError::new(op, path, source))
    }
}
