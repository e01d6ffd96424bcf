//! Resolution beneath the root: no link is followed, and nothing outside is reached.
//!
//! A path is resolved to its parent directory first; every call then acts on the last component
//! alone, which the `*at` calls do not follow.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, fstatfs, openat, openat2, statat};
use rustix::io::Errno;

use crate::path::{name_of, parent_of};
use crate::status::has_exact_times;

/// The root directory, open from the start: `syncfs` reports errors only to a descriptor that was
/// open before they happened (FACTS 3).
#[derive(Debug)]
pub(crate) struct Root {
    dir: OwnedFd,
    /// `openat2` is missing (before Linux 5.6) or forbidden (seccomp).
    walks: AtomicBool,
    /// The number of its kind of file system, by `statfs`; once it is asked for.
    magic: OnceLock<u32>,
    exact: OnceLock<bool>,
    /// The folders in `.filepact`, once each was resolved. They are ours: if somebody moves one while a
    /// store is open, it is still the same.
    ours: RwLock<HashMap<String, Arc<OwnedFd>>>,
}

/// A directory that a path was resolved to.
#[derive(Debug)]
pub(crate) enum Dir<'a> {
    Root(BorrowedFd<'a>),
    /// Opened with `O_PATH`: good for `*at` calls only.
    Below(OwnedFd),
    /// The same, of a folder that stays open.
    Ours(Arc<OwnedFd>),
}

impl AsFd for Dir<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(dir) => *dir,
            Self::Below(dir) => dir.as_fd(),
            Self::Ours(dir) => dir.as_fd(),
        }
    }
}

const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// No link is followed, and nothing outside is reached.
fn confined() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

/// Whether it is a folder that lies in `.filepact` directly. Not that itself: what is locked there excludes
/// nobody who comes by the path, once it leads elsewhere.
fn is_ours(dir: &str) -> bool {
    dir.strip_prefix(".filepact/").is_some_and(|name| !name.contains('/'))
}

impl Root {
    pub(crate) fn new(dir: OwnedFd) -> Self {
        Self {
            dir,
            walks: AtomicBool::new(false),
            magic: OnceLock::new(),
            exact: OnceLock::new(),
            ours: RwLock::default(),
        }
    }

    /// What tells the kind of its file system, as in `statfs`.
    pub(crate) fn magic(&self) -> io::Result<u32> {
        if let Some(magic) = self.magic.get() {
            return Ok(*magic);
        }
        let magic = fstatfs(&self.dir)?.f_type;
        // Its width and sign depend on the architecture; 32 bits are what counts.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(*self.magic.get_or_init(|| magic as u32))
    }

    /// The root itself, open for reading.
    pub(crate) fn as_dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Whether stamps of files below it are [exact](crate::Stamp::exact).
    pub(crate) fn has_exact_times(&self) -> bool {
        *self.exact.get_or_init(|| has_exact_times(&self.dir))
    }

    /// The directory at `path`; `""` is the root.
    pub(crate) fn dir(&self, path: &str) -> io::Result<Dir<'_>> {
        if path.is_empty() {
            return Ok(Dir::Root(self.dir.as_fd()));
        }
        check(path)?;
        if !is_ours(path) {
            return Ok(Dir::Below(self.resolve(path)?));
        }
        if let Some(dir) = self.ours.read().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(Dir::Ours(Arc::clone(dir)));
        }
        let dir = Arc::new(self.resolve(path)?);
        let mut ours = self.ours.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Dir::Ours(Arc::clone(ours.entry(path.to_owned()).or_insert(dir))))
    }

    /// Opens what stands at `path`, which must be a path beneath the root.
    pub(crate) fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        check(path)?;
        if !is_ours(parent_of(path)) && !self.walks.load(Ordering::Relaxed) {
            match openat2(&self.dir, path, flags, Mode::empty(), confined()) {
                Err(Errno::NOSYS) => self.walks.store(true, Ordering::Relaxed),
                // Forbidden, or the file is immutable: the other way tells.
                Err(Errno::PERM) => {}
                opened => return Ok(opened?),
            }
        }
        Ok(openat(self.dir(parent_of(path))?, name_of(path), flags, Mode::empty())?)
    }

    /// The directory that `path` lies in, and its last component.
    pub(crate) fn entry<'p>(&self, path: &'p str) -> io::Result<(Dir<'_>, &'p str)> {
        // `name` alone would let `..` through: the kernel confines only what it resolves.
        check(path)?;
        Ok((self.dir(parent_of(path))?, name_of(path)))
    }

    fn resolve(&self, path: &str) -> Result<OwnedFd, Errno> {
        if self.walks.load(Ordering::Relaxed) {
            return self.walk(path);
        }
        // Without O_NOFOLLOW, which together with O_PATH would open a link itself.
        match openat2(&self.dir, path, PATH_ONLY, Mode::empty(), confined()) {
            Err(Errno::NOSYS | Errno::PERM) => {
                self.walks.store(true, Ordering::Relaxed);
                self.walk(path)
            }
            // The kernel could not be sure, since something was renamed meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => self.walk(path),
            resolved => resolved,
        }
    }

    /// The same, one component after the other.
    fn walk(&self, path: &str) -> Result<OwnedFd, Errno> {
        let mut components = path.split('/');
        let mut dir = step(self.dir.as_fd(), components.next().unwrap_or_default())?;
        for component in components {
            dir = step(dir.as_fd(), component)?;
        }
        Ok(dir)
    }
}

fn step(dir: BorrowedFd<'_>, component: &str) -> Result<OwnedFd, Errno> {
    openat(dir, component, PATH_ONLY | OFlags::NOFOLLOW, Mode::empty()).map_err(|errno| {
        // O_PATH with O_NOFOLLOW opens a link, and O_DIRECTORY then finds it to be no directory.
        if errno == Errno::NOTDIR && is_link(dir, component) { Errno::LOOP } else { errno }
    })
}

fn is_link(dir: BorrowedFd<'_>, name: &str) -> bool {
    statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

/// Refuses what is no path beneath a root, whoever let it through.
fn check(path: &str) -> io::Result<()> {
    let plain = path.split('/').all(|component| !matches!(component, "" | "." | ".."));
    if plain && !path.contains('\0') {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a path beneath the root"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use rustix::fs::{CWD, fstat};

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let temp = tempfile::tempdir().unwrap();
        let dir = openat(CWD, temp.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        fs::create_dir_all(temp.path().join("a/b/c")).unwrap();
        fs::write(temp.path().join("file"), "").unwrap();
        symlink("a", temp.path().join("to-dir")).unwrap();
        symlink("file", temp.path().join("to-file")).unwrap();
        symlink("/", temp.path().join("a/to-outside")).unwrap();
        symlink("nowhere", temp.path().join("a/b/dangling")).unwrap();
        (temp, Root::new(dir))
    }

    /// Both ways must agree on each of these.
    fn both(root: &Root, path: &str) -> Result<OwnedFd, Errno> {
        let resolved = root.resolve(path);
        let walked = root.walk(path);
        if root.walks.load(Ordering::Relaxed) {
            eprintln!("half skipped: openat2 is missing or forbidden here");
        }
        match (&resolved, &walked) {
            (Ok(one), Ok(other)) => {
                assert_eq!(fstat(one).unwrap().st_ino, fstat(other).unwrap().st_ino, "{path}");
            }
            (Err(one), Err(other)) => assert_eq!(one, other, "{path}"),
            _ => panic!("{path}: openat2 says {resolved:?}, the walk {walked:?}"),
        }
        walked
    }

    #[test]
    fn directories_are_found() {
        let (temp, root) = root();
        for path in ["a", "a/b", "a/b/c"] {
            let found = both(&root, path).unwrap();
            let expected = fs::metadata(temp.path().join(path)).unwrap().ino();
            assert_eq!(fstat(found).unwrap().st_ino, expected, "{path}");
        }
    }

    #[test]
    fn a_link_anywhere_is_refused() {
        let (_temp, root) = root();
        for path in
            ["to-dir", "to-dir/b", "to-file", "a/to-outside", "a/to-outside/etc", "a/b/dangling"]
        {
            assert_eq!(both(&root, path).unwrap_err(), Errno::LOOP, "{path}");
        }
    }

    #[test]
    fn what_is_absent_or_no_directory_is_told_apart() {
        let (_temp, root) = root();
        assert_eq!(both(&root, "absent").unwrap_err(), Errno::NOENT);
        assert_eq!(both(&root, "absent/a").unwrap_err(), Errno::NOENT);
        assert_eq!(both(&root, "file").unwrap_err(), Errno::NOTDIR);
        assert_eq!(both(&root, "file/a").unwrap_err(), Errno::NOTDIR);
    }

    #[test]
    fn nothing_leads_out_of_the_root() {
        let (_temp, root) = root();
        for path in ["..", "a/..", "a/../..", "../x", "/", "/etc", ".", "a/./b", "a//b", "a/", "\0"]
        {
            assert_eq!(root.dir(path).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path}");
            assert_eq!(root.entry(path).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path}");
        }
        assert!(root.entry("").is_err(), "the root lies in no directory of ours");
        assert!(matches!(root.dir("").unwrap(), Dir::Root(_)));
    }

    #[test]
    fn where_openat2_is_forbidden_the_walk_serves() {
        let (_temp, root) = root();
        root.walks.store(true, Ordering::Relaxed);
        assert!(root.dir("a/b/c").is_ok());
        assert_eq!(root.entry("a/b/file").unwrap().1, "file");
        assert_eq!(root.dir("to-dir/b").unwrap_err().raw_os_error(), Some(40), "ELOOP");
    }
}
