//! The hand from outside: a user with an editor, a test that looks, a disk that decays.
//!
//! None of this counts as a call or meets a fault. Edits are pending like those of any process, and
//! a record holds them; [`SimFs::write_back_all`] makes them durable. All panic where the real thing
//! would fail, since then the test is wrong.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;

use filepact_fs::{Kind, Rename, Stat};

use crate::fault::Damage;
use crate::fs::{Class, SimFs};
use crate::inode::{Id, ROOT};
use crate::page::SECTOR;
use crate::random::hash_of;
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
        let system = &self.state().system;
        let mut sum = 0_u64;
        walk(system, &mut |path, id| {
            let inode = system.inode(id);
            let (data, meta) = (&inode.data, &inode.meta.live);
            let pages = data.live.iter().map(|(page, content)| (page, content.hash()));
            let pages: Vec<_> = pages.filter(|(_, hash)| *hash != 0).collect();
            let attrs = (meta.mode, meta.uid, meta.gid, &meta.xattrs, meta.mtime);
            let kind = (inode.kind, inode.number, inode.frozen);
            sum = sum.wrapping_add(hash_of(&(path, kind, data.size, pages, attrs)));
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
        for (_, pending) in system.pending.iter() {
            let _ = writeln!(text, "pending: {}", pending.step);
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
        self.outside("chmod", path, |system| {
            let id = system.find(path)?.found.ok_or(crate::errno::NOENT)?.id;
            let now = system.stamp_time();
            let meta = &mut system.inode_mut(id).meta;
            let attrs = filepact_fs::Attrs { mode, ..meta.live.attrs() };
            meta.set_attrs(&attrs, now);
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

    // The kernel

    /// The file or directory at `path`, attributes and its name included, becomes durable, as
    /// anything may at any time.
    pub fn write_back(&self, path: &str) {
        self.act(Class::Sync, "write_back", path, |system| system.write_back(path));
    }

    /// Everything becomes durable as it is.
    pub fn write_back_all(&self) {
        self.act(Class::Sync, "write_back_all", "", |system| {
            system.write_back_all();
            Ok(())
        });
    }

    /// The cache drops the clean pages of a file: it shows what the disk holds.
    pub fn evict(&self, path: &str) {
        self.outside("evict", path, |system| {
            let (id, _) = system.file(path)?;
            system.inode_mut(id).data.evict();
            Ok(())
        });
    }

    /// The cache drops all clean pages.
    pub fn evict_all(&self) {
        self.outside("evict_all", "", |system| {
            for id in system.unsettled() {
                system.inode_mut(id).data.evict();
            }
            Ok(())
        });
    }

    // Decay

    /// Damages a file at rest, on the disk and in the cache. What was pending of it becomes durable
    /// first.
    pub fn damage(&self, path: &str, damage: Damage) {
        self.outside("damage", path, |system| {
            system.write_back(path)?;
            let (id, _) = system.file(path)?;
            let meta = system.inode(id).meta.clone();
            let data = &mut system.inode_mut(id).data;
            match damage {
                Damage::FlipBit { offset, bit } => {
                    let mut byte = [0];
                    assert_eq!(data.read(&mut byte, offset, false), 1, "past the end of `{path}`");
                    data.write(&[byte[0] ^ 1 << bit], offset);
                }
                Damage::ZeroSector(sector) => {
                    let offset = sector * SECTOR as u64;
                    assert!(offset < data.size, "past the end of `{path}`");
                    let len = (data.size - offset).min(SECTOR as u64) as usize;
                    data.write(&[0; SECTOR][..len], offset);
                }
                Damage::Truncate(len) => data.set_len(len),
                Damage::Delete => system.remove(path)?,
            }
            if damage == Damage::Delete {
                return system.write_back(path);
            }
            system.inode_mut(id).meta = meta;
            system.write_back(path)
        });
    }

    fn outside(&self, what: &str, path: &str, work: impl FnOnce(&mut System) -> Answer<()>) {
        self.act(Class::Change, what, path, work);
    }

    fn act(
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
    fn create_kind(&mut self, path: &str, kind: Kind) -> Answer<(Id, u64)> {
        let place = self.find(path)?;
        let (Some(at), None) = (&place.spot, place.found) else { return Err(crate::errno::EXIST) };
        Ok((self.create_at(at.clone(), kind, 0o777)?, place.mount))
    }
}

/// Visits everything beneath the root by its path, in order.
fn walk(system: &System, visit: &mut impl FnMut(&str, Id)) {
    fn descend(system: &System, dir: Id, path: &str, visit: &mut impl FnMut(&str, Id)) {
        for (name, entry) in system.live.list(dir) {
            let slash = if path.is_empty() { "" } else { "/" };
            let path = format!("{path}{slash}{}", name.display());
            visit(&path, entry.id);
            if entry.is_dir {
                descend(system, entry.id, &path, visit);
            }
        }
    }
    descend(system, ROOT, "", visit);
}
