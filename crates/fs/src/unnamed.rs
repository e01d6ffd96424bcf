//! Files without a name, and what stands in for them where the file system has none.

use std::io;
use std::sync::Arc;

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, RenameFlags};
use rustix::fs::{fchown, fstat, linkat, openat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use crate::beneath::{Dir, Root};
use crate::os::unique;

/// How the path of a file begins that stands in for one without a name. It is its maker's, who may be
/// alive, in this process or another: only who has the store alone may sweep it.
pub const STAND_IN: &str = ".filepact/stage/tmp-";

/// The permission bits of a new file before the umask.
const NEW_FILE: Mode = Mode::from_raw_mode(0o666);

/// The name that stands in for none; it vanishes with its holder unless the file was linked.
#[derive(Debug)]
pub(crate) struct Substitute {
    root: Arc<Root>,
    path: String,
    /// After a `fork` the child has a copy of this, which must leave the parent's name alone.
    pid: u32,
    placed: bool,
}

/// Creates a file without a name on the file system of `dir`.
pub(crate) fn create(root: &Arc<Root>, dir: &str) -> io::Result<(OwnedFd, Option<Substitute>)> {
    let parent = root.dir(dir)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match openat(&parent, ".", flags, NEW_FILE) {
        // Three ways to say that there is no O_TMPFILE: of the file system, and of old kernels.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {
            let (file, substitute) = create_substitute(root, &parent)?;
            Ok((file, Some(substitute)))
        }
        created => Ok((created?, None)),
    }
}

/// Creates a file under a name in `stage/`, where the next opener sweeps it if we die.
pub(crate) fn create_substitute(
    root: &Arc<Root>,
    parent: &Dir<'_>,
) -> io::Result<(OwnedFd, Substitute)> {
    let path = format!("{STAND_IN}{}", unique());
    let (stage, name) = root.entry(&path)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&stage, name, flags, NEW_FILE)?;
    let pid = std::process::id();
    let substitute = Substitute { root: Arc::clone(root), path, pid, placed: false };

    // A new file in a setgid directory gets its group, even one that we do not belong to and
    // therefore cannot give. Default ACLs are not imitated: no file system that has them lacks
    // O_TMPFILE, but for overlayfs before Linux 6.3.
    let wanted = statat(parent, ".", AtFlags::empty())?;
    if Mode::from_raw_mode(wanted.st_mode).contains(Mode::SGID)
        && fstat(&file)?.st_gid != wanted.st_gid
    {
        match fchown(&file, None, Some(Gid::from_raw(wanted.st_gid))) {
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok((file, substitute))
}

impl Substitute {
    /// The first link: the substitute's own name becomes `name`, which must be free.
    pub(crate) fn place(&mut self, file: impl AsFd, dir: impl AsFd, name: &str) -> io::Result<()> {
        let (stage, own) = self.root.entry(&self.path)?;
        match renameat_with(&stage, own, &dir, name, RenameFlags::NOREPLACE) {
            // This rename is unknown here. A link never replaces either; our own name goes on drop.
            Err(Errno::INVAL | Errno::NOSYS) => return Ok(link(file, dir, name)?),
            renamed => renamed?,
        }
        self.placed = true;
        Ok(())
    }
}

impl Drop for Substitute {
    fn drop(&mut self) {
        if self.placed || self.pid != std::process::id() {
            return;
        }
        if let Ok((stage, own)) = self.root.entry(&self.path) {
            // Whatever stays is swept by the next opener.
            let _ = unlinkat(stage, own, AtFlags::empty());
        }
    }
}

/// Gives an open file a name that must be free.
pub(crate) fn link(file: impl AsFd, dir: impl AsFd, name: &str) -> Result<(), Errno> {
    let file = file.as_fd();
    let magic = format!("/proc/self/fd/{}", file.as_raw_fd());
    match linkat(CWD, magic, &dir, name, AtFlags::SYMLINK_FOLLOW) {
        // No /proc here (or no directory any more): the direct way wants CAP_DAC_READ_SEARCH, or
        // Linux 6.10.
        Err(Errno::NOENT) => linkat(file, "", &dir, name, AtFlags::EMPTY_PATH),
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;

    use super::*;

    fn root() -> (tempfile::TempDir, Arc<Root>) {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join(".filepact/stage")).unwrap();
        let dir = openat(CWD, temp.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        (temp, Arc::new(Root::new(dir)))
    }

    fn names(dir: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        fs::read_dir(dir.join(".filepact/stage")).unwrap().map(|e| name(e).unwrap()).collect()
    }

    #[test]
    fn a_substitute_vanishes_unless_it_was_placed() {
        let (temp, root) = root();
        let (file, substitute) = create_substitute(&root, &root.dir("").unwrap()).unwrap();
        let listed = names(temp.path());
        assert!(listed.len() == 1 && listed[0].starts_with("tmp-"), "{listed:?}");
        drop((file, substitute));
        assert!(names(temp.path()).is_empty());

        let (file, mut substitute) = create_substitute(&root, &root.dir("").unwrap()).unwrap();
        substitute.place(&file, root.as_dir(), "doc").unwrap();
        drop(substitute);
        assert!(names(temp.path()).is_empty());
        assert_eq!(fs::metadata(temp.path().join("doc")).unwrap().nlink(), 1);
    }

    #[test]
    fn a_substitute_never_replaces_and_can_be_placed_elsewhere_then() {
        let (temp, root) = root();
        fs::write(temp.path().join("taken"), "kept").unwrap();
        let (file, mut substitute) = create_substitute(&root, &root.dir("").unwrap()).unwrap();
        let error = substitute.place(&file, root.as_dir(), "taken").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(temp.path().join("taken")).unwrap(), b"kept");
        substitute.place(&file, root.as_dir(), "free").unwrap();
    }

    #[test]
    fn a_copy_in_a_forked_child_leaves_the_name_alone() {
        let (temp, root) = root();
        let (_file, mut substitute) = create_substitute(&root, &root.dir("").unwrap()).unwrap();
        substitute.pid += 1;
        drop(substitute);
        assert_eq!(names(temp.path()).len(), 1);
    }

    #[test]
    fn a_substitute_gets_the_group_of_a_setgid_directory() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("skipped: only root can choose a foreign group");
        }
        let (temp, root) = root();
        let dir = temp.path().join("shared");
        fs::create_dir(&dir).unwrap();
        std::os::unix::fs::chown(&dir, None, Some(12345)).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o2775)).unwrap();
        let (file, _substitute) = create_substitute(&root, &root.dir("shared").unwrap()).unwrap();
        assert_eq!(fstat(&file).unwrap().st_gid, 12345);
        let (file, _substitute) = create(&root, "shared").unwrap();
        assert_eq!(fstat(&file).unwrap().st_gid, 12345, "as an unnamed file does by itself");
    }
}
