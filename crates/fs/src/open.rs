//! Opening what is there, if it is an ordinary file.

use std::io;

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, retry_on_intr};

use crate::beneath::Root;

/// Opens an existing ordinary file. Never waits: not for the other end of a pipe, not for a lease.
pub(crate) fn ordinary(root: &Root, path: &str, access: OFlags) -> io::Result<OwnedFd> {
    let (dir, name) = root.entry(path)?;
    // NOCTTY: a terminal that somebody left in the tree must not become ours.
    let flags = access | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match retry_on_intr(|| openat(&dir, name, flags, Mode::empty())) {
        // A socket, or a device without a driver.
        Err(Errno::NXIO | Errno::NODEV) => return Err(not_ordinary()),
        opened => opened?,
    };
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(Errno::ISDIR.into()),
        _ => Err(not_ordinary()),
    }
}

fn not_ordinary() -> io::Error {
    io::Error::other("not an ordinary file")
}
