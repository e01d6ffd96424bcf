//! Leases: nobody else has a file open, and nobody can open it for a while (`F_SETLEASE`).
//!
//! What is written meanwhile is seen by nobody before it is whole: a reader that raced into `open`
//! waits, and gets the file when the lease is given back.

#![allow(unsafe_code)]

use std::io;

use rustix::fd::{AsFd, AsRawFd, RawFd};
use rustix::io::Errno;

/// Of Linux, `asm-generic/fcntl.h`; `libc` does not name it.
const F_SETSIG: libc::c_int = 10;

/// A lease for writing on an open file; dropping it gives it back. Its descriptor outlives it.
#[derive(Debug)]
pub(crate) struct Lease {
    fd: RawFd,
    /// After a `fork` the child shares the lease, which is its parent's to give back.
    pid: u32,
}

impl Lease {
    /// Takes it, unless somebody has the file open, or a mapping of it.
    ///
    /// `magic` is that of the file system.
    pub(crate) fn take(file: impl AsFd, magic: u32) -> io::Result<Option<Self>> {
        if !are_kept_on(magic) {
            return Err(Errno::OPNOTSUPP.into());
        }
        let fd = file.as_fd().as_raw_fd();
        // Whoever opens the file meanwhile makes the kernel send us a signal. That of `F_SETLEASE`
        // ends the process if nobody handles it; this one does nothing.
        fcntl(fd, F_SETSIG, libc::SIGURG)?;
        match fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            taken => taken.map(|()| Some(Self { fd, pid: std::process::id() })),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Closing, which follows, does it too, unless a child has a copy of the descriptor.
        if self.pid == std::process::id() {
            let _ = fcntl(self.fd, libc::F_SETLEASE, libc::F_UNLCK);
        }
    }
}

/// Whether leases keep others out, by the kind of the file system: ext4, xfs, btrfs, tmpfs.
///
/// overlayfs keeps out who comes by the same path, FUSE who is on the same machine.
pub(crate) fn are_kept_on(magic: u32) -> bool {
    matches!(magic, 0x0000_EF53 | 0x5846_5342 | 0x9123_683E | 0x0102_1994)
}

fn fcntl(fd: RawFd, command: libc::c_int, argument: libc::c_int) -> io::Result<()> {
    // SAFETY: both commands take an integer and touch no memory of ours. The descriptor is open: it
    // is borrowed in `take`, and its owner drops the lease before it closes it.
    match unsafe { libc::fcntl(fd, command, argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
