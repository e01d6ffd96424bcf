//! The seam: every call that filepact makes to a file system.
//!
//! A path is UTF-8, relative to the root, with `/` between its components and no `.`, `..` or empty
//! component; `""` is the root itself. No call follows a symbolic link, at the end or on the way
//! (the error [is a link](crate::FsError::is_link)), and none leaves the root.

use std::ffi::OsString;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::{Kind, Result, Stat, Time};

/// A file system below one root directory.
///
/// What a call promises after a power cut stands at each method; what is not promised there may be
/// lost, in any order.
pub trait Fs: Send + Sync + fmt::Debug {
    /// The same, for calls that belong together: a directory that one of them has resolved is where the others
    /// find it, so that whoever moves it meanwhile has moved it afterwards, with what these calls put there, out of
    /// the root as well. `None` where nothing is gained.
    fn together(&self) -> Option<Arc<dyn Fs>> {
        None
    }

    /// How many threads may well wait for the disk at once, two for each processor at most; 1 where calls keep
    /// the order that they are made in.
    fn threads(&self) -> usize {
        1
    }

    /// Which boot, which mount, what kind of file system the root lies on.
    fn facts(&self) -> Result<Facts>;

    /// The kernel's real-time clock.
    fn now(&self) -> Time;

    /// 32 hex digits that were never returned before.
    fn unique(&self) -> String;

    /// Opens an existing file; never creates, and never waits: not for the other end of a pipe, and for
    /// another's [lease](File::lease) a few milliseconds at most.
    fn open(&self, path: &str, access: Access) -> Result<Box<dyn File>>;

    /// The same, and how the file looks.
    fn open_and_stat(&self, path: &str, access: Access) -> Result<(Box<dyn File>, Stat)> {
        let file = self.open(path, access)?;
        let stat = file.stat()?;
        Ok((file, stat))
    }

    /// Opens an existing file for writing, tries to [lease](File::lease) it, and says how it looks then.
    fn open_and_lease(&self, path: &str) -> Result<Leasing> {
        let file = self.open(path, Access::Write)?;
        let leased = file.lease();
        let stat = file.stat()?;
        Ok(Leasing { file, leased, stat })
    }

    /// Creates an ordinary file, mode 0600, open for reading and writing. The name must be free.
    fn create(&self, path: &str) -> Result<Box<dyn File>>;

    /// Creates a file without a name, open for reading and writing, on the file system of `dir`.
    /// It gets the mode (0666 less the umask), group, default ACL and labels that a new file in
    /// `dir` gets, and vanishes on close unless [linked](File::link).
    fn create_unnamed(&self, dir: &str) -> Result<Box<dyn File>>;

    /// What stands at `path`; `None` if nothing does, or if its parent is absent or no directory.
    fn stat(&self, path: &str) -> Result<Option<Stat>>;

    /// The entries of a directory, in no order.
    fn list(&self, dir: &str) -> Result<Vec<Entry>>;

    /// Creates a directory with `mode` less the umask. Its entry is durable once its parent is
    /// [synced](Fs::sync_dir).
    fn make_dir(&self, path: &str, mode: u32) -> Result<()>;

    /// Renames or exchanges; atomic for everybody who looks, durable once both parents are synced.
    fn rename(&self, from: &str, to: &str, how: Rename) -> Result<()>;

    /// Whether names can be made, taken and given away in a directory: the error that it would be.
    fn check_dir(&self, dir: &str) -> Result<()>;

    /// Removes the name of a file.
    fn unlink(&self, path: &str) -> Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &str) -> Result<()>;

    /// After `Ok`, the entries of this directory are durable; nothing else is.
    fn sync_dir(&self, dir: &str) -> Result<()>;

    /// After `Ok`, everything done before the call is durable (`syncfs`). An error since the root
    /// was opened is reported.
    fn sync_everything(&self) -> Result<()>;

    /// Takes a kernel lock on a file that exists, waiting at most `patience`; `None` says that
    /// the time ran out. The lock ends with its guard or with the process, never by age.
    fn lock(&self, path: &str, kind: LockKind, patience: Duration)
    -> Result<Option<Box<dyn Lock>>>;

    /// Listens for writes to a file that exists, by any process of this machine, from now on; `None`
    /// where the system cannot tell, so that the caller has to look for itself.
    fn listen(&self, path: &str) -> Result<Option<Box<dyn Listening>>> {
        let _ = path;
        Ok(None)
    }
}

/// An open file. Dropping it closes it.
pub trait File: Send + Sync + fmt::Debug {
    /// Reads at `offset`; may be short, may be interrupted; 0 is the end. Use [`read_full`].
    ///
    /// [`read_full`]: crate::read_full
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes at `offset`, or, opened to [append](Access::Append), at the end; may be short, may be
    /// interrupted. Use [`write_all`].
    ///
    /// [`write_all`]: crate::write_all
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize>;

    /// Cuts or extends with zeros.
    fn set_len(&self, len: u64) -> Result<()>;

    /// After `Ok`, the content and size, and with [`SyncKind::All`] the attributes, are durable; the
    /// name is not. After an error nothing is known, and a second sync would prove nothing.
    ///
    /// Of a file without a name `Ok` promises nothing, also for the time when it has one: btrfs before Linux
    /// 6.16 logs nothing of it. It is work that the sync after the [link](Self::link) need not do.
    fn sync(&self, what: SyncKind) -> Result<()>;

    /// What `stat` says now.
    fn stat(&self) -> Result<Stat>;

    /// Gives the file a name, or a further one; never replaces.
    fn link(&self, to: &str) -> Result<()>;

    /// Mode, owner, extended attributes (ACLs are among them).
    fn attrs(&self) -> Result<Attrs>;

    /// The same, of a file that was just [looked at](Self::stat).
    fn attrs_beside(&self, stat: &Stat) -> Result<Attrs> {
        let _ = stat;
        self.attrs()
    }

    /// Sets the attributes; those that stand already are not written again. Changes ctime.
    fn set_attrs(&self, attrs: &Attrs) -> Result<()>;

    /// Sets the permission bits alone. Changes ctime.
    fn set_mode(&self, mode: u32) -> Result<()>;

    /// Sets the time of last modification.
    fn set_mtime(&self, time: Time) -> Result<()>;

    /// Keeps everybody else from opening the file until this handle is dropped: who tries waits for
    /// that, or is told that it [is leased](crate::FsError::is_leased).
    ///
    /// `false`: somebody has it open, or has a mapping of it. The handle must be open for writing.
    ///
    /// # Errors
    /// Where this cannot be had: on a file system that would grant it and not keep it, and for a file
    /// of another owner.
    fn lease(&self) -> Result<bool>;

    /// The system's own handle, where there is one: for [`share_content`](crate::share_content).
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A held lock; dropping it lets it go.
pub trait Lock: Send + Sync + fmt::Debug {}

/// An ear at a file; dropping it ends that.
pub trait Listening: Send + Sync + fmt::Debug {
    /// Returns once the file was written since the last call returned, or since this was made; at the
    /// latest after `patience`, and sometimes for nothing.
    fn wait(&self, patience: Duration) -> Result<()>;
}

/// Where the root lies; what it is called by [`Fs::facts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The kernel's boot id: another one means that the page cache was lost.
    pub boot: String,
    /// The mount, by an id that is never used again in this boot; `None` where the kernel cannot
    /// say (before Linux 6.8). Another one may mean that the page cache was lost.
    pub mount: Option<u64>,
    /// The name of a network or shared file system, on which locks and syncs may not hold.
    pub network: Option<&'static str>,
    /// Whether a [lease](File::lease) keeps others out. By the kind of the file system and never by trying:
    /// some grant leases that keep out only those who come by the same path, or are on the same machine.
    pub leases: bool,
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading.
    Read,
    /// For reading what the device holds, past the page cache. Fails as
    /// [unsupported](crate::FsError::is_unsupported) where the file system cannot.
    ReadDevice,
    /// For reading and writing.
    Write,
    /// For reading, and for writing at the end, wherever that is by then: the offset of a write
    /// means nothing, and no byte that somebody else adds at the same time is overwritten.
    Append,
}

/// A file that was opened to be had for oneself.
#[derive(Debug)]
pub struct Leasing {
    /// The file, open for writing.
    pub file: Box<dyn File>,
    /// What its [lease](File::lease) has answered.
    pub leased: Result<bool>,
    /// How the file looks since then.
    pub stat: Stat,
}

/// What to make durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    /// Content and size (`fdatasync`).
    Data,
    /// Content, size and attributes (`fsync`).
    All,
}

/// What a rename does with its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    /// Replaces it where it exists.
    Replace,
    /// Refuses where it exists.
    NoReplace,
    /// Swaps the two, which must both exist.
    Exchange,
}

/// Shared among many, or held by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Any number of shared holders.
    Shared,
    /// One holder, and no shared one.
    Exclusive,
}

/// A directory entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, which need not be UTF-8.
    pub name: OsString,
    /// What it names.
    pub kind: Kind,
}

/// What a file keeps beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attrs {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes by name, sorted.
    pub xattrs: Vec<(OsString, Vec<u8>)>,
}
