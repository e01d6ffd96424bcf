//! Opening what is there, if it is an ordinary file.

use std::io;
use std::thread;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::beneath::Root;
use crate::{Kind, Stat, status};

/// How long to wait for a lease to be given back: a publisher has one for a few microseconds, unless it
/// was stopped just then.
const LEASE_TRIES: u32 = 40;
const LEASE_PAUSE: Duration = Duration::from_micros(50);

/// Opens an existing ordinary file, and says how it looks.
pub(crate) fn ordinary(root: &Root, path: &str, access: OFlags) -> io::Result<(OwnedFd, Stat)> {
    let file = whatever(root, path, access)?;
    let stat = look(root, &file)?;
    Ok((file, stat))
}

/// How an open file looks, if it is an ordinary one.
pub(crate) fn look(root: &Root, file: &OwnedFd) -> io::Result<Stat> {
    let stat = status::of_handle(file, root.has_exact_times())?;
    match stat.kind {
        Kind::File => Ok(stat),
        Kind::Dir => Err(Errno::ISDIR.into()),
        Kind::Link | Kind::Other => Err(not_ordinary()),
    }
}

/// Opens what is there. Never waits for the other end of a pipe, and for a lease not for long.
pub(crate) fn whatever(root: &Root, path: &str, access: OFlags) -> io::Result<OwnedFd> {
    // NOCTTY: a terminal that somebody left in the tree must not become ours.
    let mut flags = access | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Of our own files nobody asks when they were read. To write that down after each look costs as much as
    // the look, and some file systems write the inode with the next sync of the journal.
    if path.starts_with(".filepact/") {
        flags |= OFlags::NOATIME;
    }
    let mut tries = 0;
    loop {
        let error = match root.open(path, flags) {
            Ok(file) => return Ok(file),
            Err(error) => error,
        };
        match Errno::from_io_error(&error) {
            Some(Errno::INTR) => {}
            // Somebody else's file.
            Some(Errno::PERM) if flags.contains(OFlags::NOATIME) => flags.remove(OFlags::NOATIME),
            Some(Errno::WOULDBLOCK) if tries < LEASE_TRIES => {
                tries += 1;
                thread::sleep(LEASE_PAUSE);
            }
            // A socket, or a device without a driver.
            Some(Errno::NXIO | Errno::NODEV) => return Err(not_ordinary()),
            _ => return Err(error),
        }
    }
}

fn not_ordinary() -> io::Error {
    io::Error::other("not an ordinary file")
}
