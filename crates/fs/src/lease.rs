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
            taken => taken.map(|()| Some(Self { fd })),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Closing, which follows, does it too, unless a child of fork has a copy of the descriptor. (No child
        // drops this: nobody forks in the middle of a publish, on the thread that has it.)
        let _ = fcntl(self.fd, libc::F_SETLEASE, libc::F_UNLCK);
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use crate::{Access, Fs, OsFs, Rename, Result, write_all};

    const BYTES: usize = 16 * 1024;

    fn two_files(dir: &Path) -> OsFs {
        for name in ["document", "spare"] {
            fs::write(dir.join(name), [b'0'; BYTES]).unwrap();
        }
        OsFs::open(dir).unwrap()
    }

    /// Writes a version into the spare, all of one byte, and swaps the two. `false`: it was open.
    fn publish(fs: &OsFs, version: u8, leased: bool) -> Result<bool> {
        let spare = fs.open("spare", Access::Write)?;
        if leased && !spare.lease()? {
            return Ok(false);
        }
        write_all(&*spare, &[version; BYTES], 0)?;
        fs.rename("spare", "document", Rename::Exchange)?;
        Ok(true)
    }

    /// Publishes versions, as fast as it goes, while others read the document with plain calls; so many bad
    /// readings were there when `is_enough` said so.
    fn race(leased: bool, is_enough: impl Fn(u64, u64) -> bool) -> (u64, u64) {
        let temp = tempfile::tempdir().unwrap();
        let system = two_files(temp.path());
        let (reads, bad, ended) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !ended.load(Ordering::Relaxed) {
                        let found = fs::read(temp.path().join("document")).unwrap();
                        let is_whole =
                            found.len() == BYTES && found.iter().all(|byte| *byte == found[0]);
                        bad.fetch_add(u64::from(!is_whole), Ordering::Relaxed);
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let mut version = b'a';
            while !is_enough(reads.load(Ordering::Relaxed), bad.load(Ordering::Relaxed)) {
                if publish(&system, version, leased).unwrap() {
                    version = if version == b'z' { b'a' } else { version + 1 };
                }
            }
            ended.store(true, Ordering::Relaxed);
        });
        (reads.into_inner(), bad.into_inner())
    }

    /// Where temporary files lie on a system without leases there is nothing to be tried.
    fn has_leases() -> bool {
        let temp = tempfile::tempdir().unwrap();
        let has = OsFs::open(temp.path()).unwrap().facts().unwrap().leases;
        if !has {
            eprintln!("skipped: there are no leases here");
        }
        has
    }

    /// The second half is the control: without the lease the same readers do find halves.
    #[test]
    fn a_plain_reader_that_races_a_publisher_finds_a_whole_document() {
        if !has_leases() {
            return;
        }
        let (reads, bad) = race(true, |reads, _| reads >= 50_000);
        assert_eq!(bad, 0, "in {reads} readings");
        let began = Instant::now();
        let (reads, bad) =
            race(false, |_, bad| bad > 0 || began.elapsed() > Duration::from_secs(60));
        assert!(bad > 0, "no half in {reads} readings without a lease: the test proves nothing");
    }

    #[test]
    fn leases_are_believed_by_the_kind_of_the_file_system() {
        let kinds = [("ext4", 0xEF53), ("xfs", 0x5846_5342), ("btrfs", 0x9123_683E)];
        for (name, magic) in kinds.into_iter().chain([("tmpfs", 0x0102_1994)]) {
            assert!(super::are_kept_on(magic), "{name}");
        }
        let others = [("overlayfs", 0x794C_7630), ("FUSE", 0x6573_5546), ("NFS", 0x6969)];
        for (name, magic) in others {
            assert!(!super::are_kept_on(magic), "{name}");
        }
    }

    #[test]
    fn a_lease_is_had_while_nobody_has_the_file_open_or_a_mapping_of_it() {
        if !has_leases() {
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let system = two_files(temp.path());
        let is_free = || system.open("spare", Access::Write).unwrap().lease().unwrap();
        assert!(is_free());
        for read in [true, false] {
            let path = temp.path().join("spare");
            let held = fs::OpenOptions::new().read(read).write(!read).open(path).unwrap();
            assert!(!is_free(), "for reading: {read}");
            drop(held);
            assert!(is_free());
        }
        // A mapping outlives its descriptor.
        let file = fs::File::open(temp.path().join("spare")).unwrap();
        let (fd, none) = (file.as_raw_fd(), std::ptr::null_mut());
        // SAFETY: the kernel picks the place, which nothing of ours is in.
        let map = unsafe { libc::mmap(none, BYTES, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
        assert_ne!(map, libc::MAP_FAILED);
        drop(file);
        assert!(!is_free());
        // SAFETY: mapped above, and used by nobody.
        assert_eq!(unsafe { libc::munmap(map, BYTES) }, 0);
        assert!(is_free());
    }

    /// Our own open waits a little, and is told.
    #[test]
    fn who_opens_a_leased_file_is_told_and_gets_it_afterwards() {
        if !has_leases() {
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let system = two_files(temp.path());
        let leased = system.open("spare", Access::Write).unwrap();
        assert!(leased.lease().unwrap());
        assert!(system.open("spare", Access::Read).unwrap_err().is_leased());
        // A plain open waits for it.
        let path = temp.path().join("spare");
        thread::scope(|scope| {
            let waits = scope.spawn(|| fs::read(path).unwrap().len());
            thread::sleep(Duration::from_millis(20));
            assert!(!waits.is_finished());
            write_all(&*leased, b"whole", 0).unwrap();
            drop(leased);
            assert_eq!(waits.join().unwrap(), BYTES);
        });
        assert!(system.open("spare", Access::Read).is_ok());
    }
}
