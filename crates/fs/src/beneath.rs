//! Resolution beneath the root: no link is followed, and nothing is reached that lies outside when its directory
//! is resolved.
//!
//! A path is resolved to its parent directory first; every call then acts on the last component
//! alone, which the `*at` calls do not follow.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::fs::{fstat, fstatfs, openat, openat2, statat};
use rustix::io::Errno;

use crate::path::{name_of, parent_of};
use crate::status::has_exact_times;

/// How many directories of documents are kept for calls that belong together.
const MOST_KEPT: usize = 64;

/// The root directory, and what is known of what lies below it.
#[derive(Debug)]
pub(crate) struct Root {
    shared: Arc<Shared>,
    /// For calls that belong together: the directories that they have resolved.
    kept: Option<Folders>,
}

/// Directories that stay open, by their paths.
type Folders = RwLock<HashMap<String, Arc<OwnedFd>>>;

/// What all calls have in common.
#[derive(Debug)]
struct Shared {
    /// Open from the start: `syncfs` reports errors only to a descriptor that was open before they
    /// happened.
    dir: OwnedFd,
    /// `openat2` is missing (before Linux 5.6) or forbidden (seccomp).
    walks: AtomicBool,
    /// The number of its kind of file system, by `statfs`; once it is asked for.
    magic: OnceLock<u32>,
    exact: OnceLock<bool>,
    /// The folders in `.filepact`, once each was resolved. They are ours: if somebody moves one while a
    /// store is open, it is still the same.
    ours: Folders,
}

/// A directory that a path was resolved to.
#[derive(Debug)]
pub(crate) enum Dir<'a> {
    Root(BorrowedFd<'a>),
    /// Opened with `O_PATH`: good for `*at` calls only.
    Below(OwnedFd),
    /// The same, of one that stays open.
    Kept(Arc<OwnedFd>),
}

impl AsFd for Dir<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(dir) => *dir,
            Self::Below(dir) => dir.as_fd(),
            Self::Kept(dir) => dir.as_fd(),
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
        let shared = Shared {
            dir,
            walks: AtomicBool::new(false),
            magic: OnceLock::new(),
            exact: OnceLock::new(),
            ours: Folders::default(),
        };
        Self { shared: Arc::new(shared), kept: None }
    }

    /// The same root for calls that belong together: they resolve each directory once.
    pub(crate) fn together(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), kept: Some(Folders::default()) }
    }

    /// What tells the kind of its file system, as in `statfs`.
    pub(crate) fn magic(&self) -> io::Result<u32> {
        if let Some(magic) = self.shared.magic.get() {
            return Ok(*magic);
        }
        let magic = fstatfs(self.as_dir())?.f_type;
        // Its width and sign depend on the architecture; 32 bits are what counts.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(*self.shared.magic.get_or_init(|| magic as u32))
    }

    /// The root itself, open for reading.
    pub(crate) fn as_dir(&self) -> BorrowedFd<'_> {
        self.shared.dir.as_fd()
    }

    /// Whether stamps of files below it are [exact](crate::Stamp::exact).
    pub(crate) fn has_exact_times(&self) -> bool {
        *self.shared.exact.get_or_init(|| has_exact_times(self.as_dir()))
    }

    /// The directory at `path`; `""` is the root.
    pub(crate) fn dir(&self, path: &str) -> io::Result<Dir<'_>> {
        if path.is_empty() {
            return Ok(Dir::Root(self.as_dir()));
        }
        check(path)?;
        if let Some(dir) = self.kept(path) {
            return Ok(Dir::Kept(dir));
        }
        let dir = self.resolve(path)?;
        let (folders, most) = match &self.kept {
            _ if is_ours(path) => (&self.shared.ours, usize::MAX),
            Some(kept) => (kept, MOST_KEPT),
            None => return Ok(Dir::Below(dir)),
        };
        let mut folders = folders.write().unwrap_or_else(PoisonError::into_inner);
        if folders.len() >= most {
            return Ok(Dir::Below(dir));
        }
        Ok(Dir::Kept(Arc::clone(folders.entry(path.to_owned()).or_insert_with(|| Arc::new(dir)))))
    }

    /// The directory at `path`, if it stays open.
    pub(crate) fn kept(&self, path: &str) -> Option<Arc<OwnedFd>> {
        let folders = if is_ours(path) { &self.shared.ours } else { self.kept.as_ref()? };
        folders.read().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    /// Makes a call that looks up these names. It is made again where there is nothing because a directory that
    /// was kept is removed, perhaps for another one of its name; and where those that are kept leave no
    /// descriptors for it.
    pub(crate) fn look_up<T>(
        &self,
        paths: &[&str],
        call: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        let answer = call();
        let errno = answer.as_ref().err().and_then(Errno::from_io_error);
        let is_worth_it = match errno {
            Some(Errno::NOENT) => self.forget_removed(paths),
            Some(Errno::MFILE | Errno::NFILE) => self.forget(|_, _| false),
            _ => false,
        };
        if is_worth_it { call() } else { answer }
    }

    /// Whether one of these was, or lay in one that was.
    fn forget_removed(&self, paths: &[&str]) -> bool {
        let concerned = |dir: &str| paths.iter().any(|path| dir == *path || dir == parent_of(path));
        self.forget(|path, dir| !concerned(path) || fstat(dir).is_ok_and(|stat| stat.st_nlink > 0))
    }

    /// Forgets the directories of documents that are not to stay; whether there were any.
    fn forget(&self, stays: impl Fn(&str, &OwnedFd) -> bool) -> bool {
        let Some(kept) = &self.kept else { return false };
        let mut kept = kept.write().unwrap_or_else(PoisonError::into_inner);
        let before = kept.len();
        kept.retain(|path, dir| stays(path, dir));
        kept.len() < before
    }

    /// Opens what stands at `path`, which must be a path beneath the root.
    pub(crate) fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        check(path)?;
        let walks = &self.shared.walks;
        let dir = parent_of(path);
        // Where calls belong together this one finds what the others do.
        if !is_ours(dir) && self.kept(dir).is_none() && !walks.load(Ordering::Relaxed) {
            match openat2(self.as_dir(), path, flags, Mode::empty(), confined()) {
                Err(Errno::NOSYS) => walks.store(true, Ordering::Relaxed),
                // Forbidden, or the file is immutable: the other way tells.
                Err(Errno::PERM) => {}
                opened => return Ok(opened?),
            }
        }
        // Whoever calls says `O_NOFOLLOW`.
        self.look_up(&[path], || Ok(openat(self.dir(dir)?, name_of(path), flags, Mode::empty())?))
    }

    /// The directory that `path` lies in, and its last component.
    pub(crate) fn entry<'p>(&self, path: &'p str) -> io::Result<(Dir<'_>, &'p str)> {
        // `name` alone would let `..` through: the kernel confines only what it resolves.
        check(path)?;
        Ok((self.dir(parent_of(path))?, name_of(path)))
    }

    fn resolve(&self, path: &str) -> Result<OwnedFd, Errno> {
        if self.shared.walks.load(Ordering::Relaxed) {
            return self.walk(path);
        }
        // Without O_NOFOLLOW, which together with O_PATH would open a link itself.
        match openat2(self.as_dir(), path, PATH_ONLY, Mode::empty(), confined()) {
            Err(Errno::NOSYS | Errno::PERM) => {
                self.shared.walks.store(true, Ordering::Relaxed);
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
        let mut dir = step(self.as_dir(), components.next().unwrap_or_default())?;
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

    use rustix::fs::CWD;

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
        if root.shared.walks.load(Ordering::Relaxed) {
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
        root.shared.walks.store(true, Ordering::Relaxed);
        assert!(root.dir("a/b/c").is_ok());
        assert_eq!(root.entry("a/b/file").unwrap().1, "file");
        assert_eq!(root.dir("to-dir/b").unwrap_err().raw_os_error(), Some(40), "ELOOP");
    }

    fn ino(found: &io::Result<(Dir<'_>, &str)>) -> u64 {
        fstat(&found.as_ref().unwrap().0).unwrap().st_ino
    }

    #[test]
    fn calls_that_belong_together_find_a_directory_where_it_was_although_it_is_moved() {
        let (temp, root) = root();
        let together = root.together();
        let before = ino(&together.entry("a/b/x"));
        fs::rename(temp.path().join("a/b"), temp.path().join("moved")).unwrap();
        assert_eq!(ino(&together.entry("a/b/x")), before);
        assert!(root.entry("a/b/x").is_err());
        fs::create_dir(temp.path().join("a/b")).unwrap();
        assert_eq!(ino(&together.entry("a/b/x")), before);
        // Everybody else, and whoever begins now, finds the new one.
        assert_ne!(ino(&root.entry("a/b/x")), before);
        assert_ne!(ino(&root.together().entry("a/b/x")), before);
    }

    #[test]
    fn a_directory_that_was_removed_meanwhile_is_looked_up_again() {
        let (temp, root) = root();
        let together = root.together();
        let look = || {
            let (dir, name) = together.entry("a/b/c/file")?;
            Ok(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?)
        };
        let stat = || together.look_up(&["a/b/c/file"], look);
        assert!(stat().is_err());
        let dir = temp.path().join("a/b/c");
        fs::remove_dir(&dir).unwrap();
        assert!(stat().is_err());
        fs::create_dir(&dir).unwrap();
        // Kept before it is removed, and found anew as what stands there now.
        assert!(stat().is_err());
        fs::remove_dir(&dir).unwrap();
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("file"), "").unwrap();
        assert!(stat().is_ok());
    }

    #[test]
    fn few_directories_stay_open_and_all_are_found() {
        let (temp, root) = root();
        let together = root.together();
        for n in 0..2 * MOST_KEPT {
            let dir = n.to_string();
            fs::create_dir(temp.path().join(&dir)).unwrap();
            let found = fstat(together.dir(&dir).unwrap()).unwrap().st_ino;
            assert_eq!(found, fs::metadata(temp.path().join(&dir)).unwrap().ino());
        }
        assert_eq!(together.kept.unwrap().into_inner().unwrap().len(), MOST_KEPT);
    }
}
