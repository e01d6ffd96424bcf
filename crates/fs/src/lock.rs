//! Kernel locks with a time limit.
//!
//! `flock` belongs to the open file description, which `fork` shares: a lock survives in the child,
//! and an unlock there frees the parent's. So only the process that took a lock unlocks it;
//! elsewhere the guard merely closes. The owner does unlock before it closes: a child that holds a
//! copy of the descriptor (for good, or between `fork` and `exec`) would otherwise keep the lock.

use std::fs::File;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use fs4::TryLockError;
use rustix::fs::OFlags;
use rustix::io::{Errno, retry_on_intr};

use crate::beneath::Root;
use crate::path::{name_of, parent_of};
use crate::{Lock, LockKind, Stamp, open, status};

/// A held lock.
#[derive(Debug)]
pub(crate) struct OsLock {
    file: File,
    pid: u32,
}

impl Lock for OsLock {}

impl Drop for OsLock {
    fn drop(&mut self) {
        if self.pid == std::process::id() {
            // Closing, which follows, does it too unless a child has a copy.
            let _ = fs4::FileExt::unlock(&self.file);
        }
    }
}

/// Locks the file at `path`, waiting at most `patience`; `None` says that the time ran out.
pub(crate) fn take(
    root: &Root,
    path: &str,
    kind: LockKind,
    patience: Duration,
) -> io::Result<Option<OsLock>> {
    let start = Instant::now();
    loop {
        let (file, held) = open(root, path, kind)?;
        let rest = patience.saturating_sub(start.elapsed());
        let Some(lock) = wait(file, kind, rest)? else { return Ok(None) };
        // The name may lead elsewhere by now; then this lock excludes nobody.
        if is_at(root, &held, path)? {
            return Ok(Some(lock));
        }
    }
}

fn open(root: &Root, path: &str, kind: LockKind) -> io::Result<(File, Stamp)> {
    let opened = match open::ordinary(root, path, OFlags::RDWR) {
        // Who may only read may still share.
        Err(error) if kind == LockKind::Shared && is_read_only(&error) => {
            open::ordinary(root, path, OFlags::RDONLY)
        }
        opened => opened,
    };
    opened.map(|(file, stat)| (File::from(file), stat.stamp))
}

fn is_read_only(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| matches!(errno, Errno::ACCESS | Errno::PERM | Errno::ROFS))
}

fn is_at(root: &Root, held: &Stamp, path: &str) -> io::Result<bool> {
    let named = match root.kept(parent_of(path)) {
        // A folder of ours is the same wherever it is.
        Some(folder) => status::of_entry(folder, name_of(path), false),
        // However somebody has led the way there by now: the same file is the same lock.
        None => status::of_entry(root.as_dir(), path, false),
    };
    match named {
        Ok(named) => Ok((held.dev, held.ino) == (named.stamp.dev, named.stamp.ino)),
        Err(Errno::NOENT) => Ok(false), // opening it again says so
        Err(errno) => Err(errno.into()),
    }
}

/// How long a wait tries again and again before it goes to sleep.
///
/// Locks here are held for a fraction of that as a rule, and to be woken by way of the helper costs
/// as much as a commit. A wait that takes longer costs no more processor time than this.
const SHORT_TRY: Duration = Duration::from_millis(1);

/// How long of that it does nothing else, and how long it rests between two tries afterwards: others need the
/// processor, and perhaps who has the lock.
const BUSY_TRY: Duration = Duration::from_micros(30);
const REST: Duration = Duration::from_micros(20);

fn wait(file: File, kind: LockKind, patience: Duration) -> io::Result<Option<OsLock>> {
    let start = Instant::now();
    loop {
        // std has methods of the same names, which win unless fs4's are called in full.
        let tried = match kind {
            LockKind::Shared => fs4::FileExt::try_lock_shared(&file),
            LockKind::Exclusive => fs4::FileExt::try_lock(&file),
        };
        match tried {
            Ok(()) => return Ok(Some(OsLock { file, pid: std::process::id() })),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let waited = start.elapsed();
        if waited >= patience {
            return Ok(None);
        }
        if waited >= SHORT_TRY {
            return wait_in_line(file, kind, patience - waited);
        }
        match waited < BUSY_TRY {
            true => thread::yield_now(),
            false => thread::sleep(REST),
        }
    }
}

/// Waits in the kernel's own queue, which is fair and wakes at once (C2).
///
/// No call there has a time limit, so a helper waits. If the caller has left when the lock comes,
/// the helper gives it back at once, by dropping it: it stays until then.
fn wait_in_line(file: File, kind: LockKind, patience: Duration) -> io::Result<Option<OsLock>> {
    let (to_caller, from_helper) = sync_channel(1);
    let helper = move || {
        let locked = retry(|| match kind {
            LockKind::Shared => fs4::FileExt::lock_shared(&file),
            LockKind::Exclusive => fs4::FileExt::lock(&file),
        });
        let answer = locked.map(|()| OsLock { file, pid: std::process::id() });
        // Refused if the caller has left; an answer in transit then is dropped with the channel.
        drop(to_caller.send(answer));
    };
    thread::Builder::new().name("filepact-lock".into()).spawn(helper)?;
    match from_helper.recv_timeout(patience) {
        Ok(answer) => answer.map(Some),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the helper thread died")),
    }
}

/// Signals may interrupt a wait that has no limit of its own.
fn retry(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    Ok(retry_on_intr(|| call().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)))?)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rustix::fs::{CWD, Mode, openat};

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("lock"), "").unwrap();
        let dir = openat(CWD, temp.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        (temp, Root::new(dir))
    }

    fn try_exclusive(root: &Root) -> Option<OsLock> {
        take(root, "lock", LockKind::Exclusive, Duration::ZERO).unwrap()
    }

    #[test]
    fn a_dropped_lock_is_free_although_a_child_has_a_copy_of_it() {
        let (_temp, root) = root();
        let held = try_exclusive(&root).unwrap();
        let copy = held.file.try_clone().unwrap();
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::from(copy)).spawn().unwrap();
        assert!(try_exclusive(&root).is_none());
        drop(held);
        assert!(try_exclusive(&root).is_some());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_guard_dropped_in_a_forked_child_leaves_the_parents_lock() {
        let (_temp, root) = root();
        let held = try_exclusive(&root).unwrap();
        let in_child = OsLock { file: held.file.try_clone().unwrap(), pid: held.pid + 1 };
        drop(in_child);
        assert!(try_exclusive(&root).is_none());
    }

    #[test]
    fn a_lock_on_a_file_that_lost_its_name_is_not_the_answer() {
        let (temp, root) = root();
        let (_file, old) = open(&root, "lock", LockKind::Exclusive).unwrap();
        assert!(is_at(&root, &old, "lock").unwrap());
        std::fs::rename(temp.path().join("lock"), temp.path().join("old")).unwrap();
        assert!(!is_at(&root, &old, "lock").unwrap());
        std::fs::write(temp.path().join("lock"), "").unwrap();
        assert!(!is_at(&root, &old, "lock").unwrap());
    }

    #[test]
    fn who_waits_for_a_file_that_is_replaced_locks_the_new_one() {
        let (temp, root) = root();
        let held = try_exclusive(&root).unwrap();
        thread::scope(|scope| {
            let waits =
                scope.spawn(|| take(&root, "lock", LockKind::Exclusive, Duration::from_secs(60)));
            thread::sleep(Duration::from_millis(50));
            std::fs::write(temp.path().join("new"), "").unwrap();
            std::fs::rename(temp.path().join("new"), temp.path().join("lock")).unwrap();
            drop(held);
            let lock = waits.join().unwrap().unwrap().unwrap();
            let locked = status::of_handle(&lock.file, false).unwrap().stamp;
            assert!(is_at(&root, &locked, "lock").unwrap());
        });
    }

    /// Ours is what was open from the start: a snapshot must not wait for ever for a pin there.
    #[test]
    fn a_lock_in_a_folder_of_ours_that_was_moved_is_had_all_the_same() {
        let (temp, root) = root();
        std::fs::create_dir_all(temp.path().join(".filepact/pins")).unwrap();
        std::fs::write(temp.path().join(".filepact/pins/one"), "").unwrap();
        let pin = ".filepact/pins/one";
        assert!(take(&root, pin, LockKind::Exclusive, Duration::ZERO).unwrap().is_some());
        std::fs::rename(temp.path().join(".filepact"), temp.path().join("moved")).unwrap();
        assert!(take(&root, pin, LockKind::Exclusive, Duration::ZERO).unwrap().is_some());
    }
}
