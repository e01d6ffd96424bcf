//! The hand from outside: a user with an editor, a test that looks.
//!
//! None of this counts as a call or meets a fault. Edits are pending like those of any process, and
//! a record holds them; [`SimFs::write_back_all`] makes them durable. All panic where the real thing
//! would fail, since then the test is wrong.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;

use filepact_fs::{Attrs, Kind, Rename, Stat};

use crate::fs::{Class, SimFs};
use crate::inode::{Id, ROOT};
use crate::random::hash_of;
use crate::step::Entry;
use crate::system::{Answer, System};

impl SimFs {
    // Looking

    /// The live bytes of the file at `path`; `None` if no ordinary file stands there.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let system = &self.state().system;
        let (id, _) = system.file(path).ok()?;
        Some(system.inode(id).data.bytes())
    }

    /// What `stat` says.
    pub fn stat(&self, path: &str) -> Option<Stat> {
        self.state().system.stat(path).ok().flatten()
    }

    /// The names in the directory at `path`, of anything; none if no directory stands there.
    pub fn names_in(&self, path: &str) -> Vec<String> {
        let system = &self.state().system;
        let Ok((dir, _)) = system.dir(path) else { return Vec::new() };
        system.live.list(dir).map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }

    /// How many handles, locks included, the file has open.
    pub fn open_count(&self, path: &str) -> u32 {
        let system = &self.state().system;
        system.file(path).map_or(0, |(id, _)| system.inode(id).opens)
    }

    /// Every ordinary file by path, with its live bytes.
    pub fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let system = &self.state().system;
        let mut tree = BTreeMap::new();
        walk(system, &mut |path, id| {
            let inode = system.inode(id);
            if inode.kind == Kind::File {
                tree.insert(path.to_owned(), inode.data.bytes());
            }
        });
        tree
    }

    /// A hash of all that a program can see and a crash can change: names, inode numbers, data,
    /// attributes, mtimes. Worlds that agree in it are the same to recovery, so that a suite can
    /// skip those that it has seen. Holds within one build of the tests.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint_of(|_| true)
    }

    /// [`SimFs::fingerprint`] of those files and directories alone whose paths are asked for.
    pub fn fingerprint_of(&self, which: impl Fn(&str) -> bool) -> u64 {
        let system = &self.state().system;
        let mut sum = 0_u64;
        walk(system, &mut |path, id| {
            if which(path) {
                sum = sum.wrapping_add(system.fingerprint_of(path, id));
            }
        });
        sum
    }

    /// The world as text, for the message of a test that fails.
    pub fn dump(&self) -> String {
        let system = &self.state().system;
        let mut text = format!("boot {} mount {}\n", system.boot, system.mount);
        walk(system, &mut |path, id| {
            let inode = system.inode(id);
            let (data, meta) = (&inode.data, &inode.meta.live);
            let _ = write!(
                text,
                "{path:?} {:?} ino {} nlink {} open {} mode {:o} size {} mtime {}",
                inode.kind,
                inode.number,
                inode.nlink,
                inode.opens,
                meta.mode,
                data.size,
                meta.mtime
            );
            if !data.is_settled() {
                let dirty: Vec<_> =
                    data.dirty.iter().map(|(page, all)| (page, all.len())).collect();
                let _ = write!(
                    text,
                    ", durable size {} versions {dirty:?}{}",
                    data.durable_size,
                    if data.stale { " stale" } else { "" }
                );
            }
            if inode.kind == Kind::File {
                let bytes = data.bytes();
                let shown = bytes.iter().take(160).flat_map(|byte| byte.escape_ascii());
                let shown: String = shown.map(char::from).collect();
                let _ = write!(text, "\n    \"{shown}\"");
            }
            text.push('\n');
        });
        for (_, pending) in system.ledgers.strict.pending.iter() {
            let _ = writeln!(text, "pending: {}", pending.change.step);
        }
        text
    }

    // Editing

    /// Writes in place, as `>` of a shell does: cuts to nothing first. Creates the file, mode 0644,
    /// if it is not there.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        self.outside("write", path, |system| {
            let id = match system.stat(path)? {
                Some(_) => system.file(path)?.0,
                None => system.create(path, 0o644)?.0,
            };
            system.set_len(id, 0)?;
            system.write(id, bytes, 0).map(drop)
        });
    }

    /// Replaces by a new inode, as most editors do: create beside, write, rename over.
    pub fn replace(&self, path: &str, bytes: &[u8]) {
        self.outside("replace", path, |system| {
            let beside = format!("{path}.edited");
            let mode = system.stat(path)?.map_or(0o644, |stat| stat.mode);
            let (id, _) = system.create(&beside, mode)?;
            system.write(id, bytes, 0)?;
            system.rename(&beside, path, Rename::Replace)
        });
    }

    /// Removes a file, a link or an empty directory.
    pub fn remove(&self, path: &str) {
        self.outside("remove", path, |system| system.remove(path));
    }

    /// Renames over whatever is there, as `mv` does.
    pub fn rename(&self, from: &str, to: &str) {
        self.outside("rename", from, |system| system.rename(from, to, Rename::Replace));
    }

    /// Makes a directory, mode 0755.
    pub fn mkdir(&self, path: &str) {
        self.outside("mkdir", path, |system| system.make_dir(path, 0o777));
    }

    /// Makes a symbolic link. Nothing follows it.
    pub fn symlink(&self, path: &str, target: &str) {
        self.outside("symlink", path, |system| {
            let (id, _) = system.create_kind(path, Kind::Link)?;
            system.write(id, target.as_bytes(), 0).map(drop)
        });
    }

    /// Makes a pipe, a socket or the like.
    pub fn make_other(&self, path: &str) {
        self.outside("mknod", path, |system| system.create_kind(path, Kind::Other).map(drop));
    }

    /// Creates an empty file whose name need not be UTF-8.
    pub fn create_named(&self, dir: &str, name: &OsStr) {
        self.outside("create", dir, |system| {
            let dir = system.find(dir)?;
            let at = system.step_into(&dir, name)?.spot.expect("a name has a spot");
            system.create_at(at, Kind::File, 0o644).map(drop)
        });
    }

    /// Sets the permission bits.
    pub fn set_mode(&self, path: &str, mode: u32) {
        self.change_attrs("chmod", path, |attrs| Attrs { mode, ..attrs });
    }

    /// Sets the owner and the group.
    pub fn set_owner(&self, path: &str, uid: u32, gid: u32) {
        self.change_attrs("chown", path, |attrs| Attrs { uid, gid, ..attrs });
    }

    fn change_attrs(&self, what: &str, path: &str, change: impl FnOnce(Attrs) -> Attrs) {
        self.outside(what, path, |system| {
            let id = system.find(path)?.found.ok_or(crate::errno::NOENT)?.id;
            let attrs = change(system.inode(id).meta.live.attrs());
            system.set_attrs(id, &attrs);
            Ok(())
        });
    }

    /// Marks immutable, or takes the mark off: writes, renames and unlinks of it fail with `EPERM`.
    pub fn set_frozen(&self, path: &str, frozen: bool) {
        self.outside("chattr", path, |system| {
            let (entry, _) = system.existing(path)?;
            system.inode_mut(entry.id).frozen = frozen;
            Ok(())
        });
    }

    pub(crate) fn outside(
        &self,
        what: &str,
        path: &str,
        work: impl FnOnce(&mut System) -> Answer<()>,
    ) {
        self.act(Class::Change, what, path, work);
    }

    pub(crate) fn act(
        &self,
        class: Class,
        what: &str,
        path: &str,
        work: impl FnOnce(&mut System) -> Answer<()>,
    ) {
        let mut state = self.state();
        state.system.config.take_step();
        let answer = state.watched(|| format!("outside {what} {path}"), class, work);
        drop(state);
        answer.unwrap_or_else(|errno| panic!("outside {what} `{path}`: errno {errno}"));
    }
}

impl System {
    fn fingerprint_of(&self, path: &str, id: Id) -> u64 {
        let inode = self.inode(id);
        let (data, meta) = (&inode.data, &inode.meta.live);
        let mut pages = 0;
        for (page, content) in data.live.iter() {
            match content.hash() {
                0 => {}
                hash => pages = hash_of(&(pages, page, hash)),
            }
        }
        let attrs = (meta.mode, meta.uid, meta.gid, &meta.xattrs, meta.mtime);
        let kind = (inode.kind, inode.number, inode.frozen);
        hash_of(&(path, kind, data.size, pages, attrs))
    }

    fn create_kind(&mut self, path: &str, kind: Kind) -> Answer<(Id, u64)> {
        let place = self.find(path)?;
        let (Some(at), None) = (&place.spot, place.found) else { return Err(crate::errno::EXIST) };
        Ok((self.create_at(at.clone(), kind, 0o777)?, place.mount))
    }
}

/// Visits everything beneath the root by its path, in order.
fn walk(system: &System, visit: &mut impl FnMut(&str, Id)) {
    walk_beside(system, None, visit);
}

/// Visits everything beneath the root but for what stands in one folder, and that folder.
pub(crate) fn walk_beside(
    system: &System,
    folder: Option<&OsStr>,
    visit: &mut impl FnMut(&str, Id),
) {
    for (name, entry) in system.live.list(ROOT) {
        if folder != Some(&**name) {
            walk_from(system, entry, &mut name.to_string_lossy().into_owned(), visit);
        }
    }
}

/// Visits one entry and everything beneath it; `path` is the same afterwards.
fn walk_from(system: &System, entry: Entry, path: &mut String, visit: &mut impl FnMut(&str, Id)) {
    visit(path, entry.id);
    if !entry.is_dir {
        return;
    }
    let len = path.len();
    for (name, below) in system.live.list(entry.id) {
        path.push('/');
        path.push_str(&name.to_string_lossy());
        walk_from(system, below, path, visit);
        path.truncate(len);
    }
}
