//! Changes: names come and go, content is written, room runs out. All of it is live at once and
//! durable later.

use std::sync::Arc;

use filepact_fs::{Attrs, Kind, Rename, SyncKind, Time};

use crate::errno;
use crate::inode::Id;
use crate::ledger::Ledgers;
use crate::page::PAGE;
use crate::step::{Change, Entry, Spot, Step};
use crate::system::{Answer, System};

impl System {
    // Room

    /// Bytes free; whole pages of live files are taken, names and holes are not.
    pub(crate) fn free_space(&self) -> u64 {
        let Some(capacity) = self.config.capacity else { return u64::MAX };
        capacity.saturating_sub(self.used_space())
    }

    pub(crate) fn used_space(&self) -> u64 {
        let pages: usize = self
            .inodes
            .iter()
            .filter(|(_, inode)| !inode.gone)
            .map(|(_, inode)| inode.data.live.len())
            .sum();
        (pages * PAGE) as u64
    }

    /// A new name takes no room, but needs a page of it.
    fn room_for_name(&self) -> Answer<()> {
        if self.free_space() < PAGE as u64 { Err(errno::NOSPC) } else { Ok(()) }
    }

    // Names

    fn change(&mut self, step: Step) -> Answer<()> {
        let change = Change::new(step, &self.live).ok_or(errno::NOENT)?;
        let displaced = self.live.apply(&change.step)?;
        if let Step::Add { entry, .. } = &change.step {
            let inode = self.inode_mut(entry.id);
            inode.nlink += 1;
            inode.holds += Ledgers::COUNT;
        }
        let now = self.stamp_time();
        let number = self.ledgers.next;
        for dir in change.step.spots().map(|spot| spot.dir) {
            let dir = self.inode_mut(dir);
            dir.logged.note(SyncKind::All, number);
            (dir.meta.live.mtime, dir.meta.live.ctime) = (now, now);
        }
        for entry in [Some(change.entry), change.other].into_iter().flatten() {
            let inode = self.inode_mut(entry.id);
            inode.logged.note(SyncKind::All, number);
            inode.meta.live.ctime = now;
        }
        Arc::make_mut(&mut self.ledgers).add(change);
        if let Some(entry) = displaced {
            self.inode_mut(entry.id).nlink -= 1;
            self.reap(entry.id);
        }
        Ok(())
    }

    pub(crate) fn create(&mut self, path: &str, mode: u32) -> Answer<(Id, u64)> {
        let place = self.find(path)?;
        let (Some(spot), None) = (place.spot, place.found) else { return Err(errno::EXIST) };
        let id = self.create_at(spot, Kind::File, mode)?;
        Ok((id, place.mount))
    }

    pub(crate) fn create_at(&mut self, at: Spot, kind: Kind, mode: u32) -> Answer<Id> {
        self.room_for_name()?;
        let id = self.new_inode(kind, mode);
        let number = self.ledgers.next;
        self.change(Step::Add { at, entry: Entry { id, is_dir: kind == Kind::Dir } })?;
        // Without the inode its content would not be there, so that the least sync carries it.
        self.inode_mut(id).logged.note(SyncKind::Data, number);
        Ok(id)
    }

    pub(crate) fn create_unnamed(&mut self, dir: &str) -> Answer<(Id, u64)> {
        let (_, mount) = self.dir(dir)?;
        self.room_for_name()?;
        Ok((self.new_inode(Kind::File, 0o644), mount))
    }

    pub(crate) fn make_dir(&mut self, path: &str, mode: u32) -> Answer<()> {
        let spot = self.free(path)?;
        self.create_at(spot, Kind::Dir, mode & !0o022).map(drop)
    }

    pub(crate) fn link(&mut self, id: Id, mount: u64, to: &str) -> Answer<()> {
        let place = self.find(to)?;
        let (Some(at), None) = (place.spot, place.found) else { return Err(errno::EXIST) };
        if place.dir_mount != mount {
            return Err(errno::XDEV);
        }
        self.room_for_name()?;
        self.change(Step::Add { at, entry: Entry { id, is_dir: false } })
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str, how: Rename) -> Answer<()> {
        let (source, target) = (self.find(from)?, self.find(to)?);
        let moved = source.found.ok_or(errno::NOENT)?;
        if source.dir_mount != target.dir_mount {
            return Err(errno::XDEV);
        }
        let at_mount_point =
            source.is_mount_point() || target.found.is_some() && target.is_mount_point();
        let (Some(from), Some(to)) = (source.spot, target.spot) else { return Err(errno::BUSY) };
        if at_mount_point {
            return Err(errno::BUSY);
        }
        for entry in [Some(moved), target.found].into_iter().flatten() {
            if self.inode(entry.id).frozen {
                return Err(errno::PERM);
            }
        }
        match target.found {
            Some(found) if found.id == moved.id && how != Rename::NoReplace => return Ok(()),
            None if how != Rename::Exchange => self.room_for_name()?,
            _ => {}
        }
        self.change(Step::Move { from, to, how })
    }

    pub(crate) fn unlink(&mut self, path: &str) -> Answer<()> {
        let (entry, _) = self.existing(path)?;
        if entry.is_dir { Err(errno::ISDIR) } else { self.remove(path) }
    }

    pub(crate) fn remove_dir(&mut self, path: &str) -> Answer<()> {
        let (entry, _) = self.existing(path)?;
        if entry.is_dir { self.remove(path) } else { Err(errno::NOTDIR) }
    }

    /// Removes a file, a link or an empty directory.
    pub(crate) fn remove(&mut self, path: &str) -> Answer<()> {
        let (entry, place) = self.existing(path)?;
        let (Some(at), false) = (&place.spot, place.is_mount_point()) else {
            return Err(errno::BUSY);
        };
        if self.inode(entry.id).frozen {
            return Err(errno::PERM);
        }
        self.change(Step::Remove { at: at.clone() })
    }

    // Content

    /// A write takes the bits by which a program runs with its owner's rights, or its group's.
    pub(crate) fn take_set_id(&mut self, id: Id) {
        let attrs = self.inode(id).meta.live.attrs();
        if attrs.mode & 0o6000 != 0 {
            self.set_attrs(id, &Attrs { mode: attrs.mode & !0o6000, ..attrs });
        }
    }

    /// Writes what there is room for; returns how much that was.
    pub(crate) fn write(&mut self, id: Id, bytes: &[u8], offset: u64) -> Answer<usize> {
        let mut len = bytes.len();
        if self.config.capacity.is_some() {
            let mut room = self.free_space() / PAGE as u64;
            for (page, is_new) in self.inode(id).data.new_pages(offset, len) {
                match room.checked_sub(u64::from(is_new)) {
                    Some(rest) => room = rest,
                    None => {
                        len = (page * PAGE as u64).saturating_sub(offset) as usize;
                        break;
                    }
                }
            }
            if len == 0 && !bytes.is_empty() {
                return Err(errno::NOSPC);
            }
        }
        let now = self.stamp_time();
        let made = self.ledgers.next;
        let inode = self.inode_mut(id);
        let overwrites = inode.data.overwrites(offset, len);
        inode.logged.note_content(made, !overwrites);
        inode.data.write(&bytes[..len], offset);
        inode.meta.touch(now);
        Ok(len)
    }

    /// Cuts or extends. Extending needs room for the new pages, and takes it when they are written.
    pub(crate) fn set_len(&mut self, id: Id, len: u64) -> Answer<()> {
        let grows_by = len.saturating_sub(self.inode(id).data.size.next_multiple_of(PAGE as u64));
        if grows_by > 0 && grows_by > self.free_space() {
            return Err(errno::NOSPC);
        }
        let now = self.stamp_time();
        let made = self.ledgers.next;
        let inode = self.inode_mut(id);
        inode.logged.note_content(made, true);
        inode.data.set_len(len);
        inode.meta.touch(now);
        Ok(())
    }

    pub(crate) fn set_attrs(&mut self, id: Id, attrs: &Attrs) {
        let (now, made) = (self.stamp_time(), self.ledgers.next);
        let inode = self.inode_mut(id);
        inode.logged.note_content(made, false);
        inode.meta.set_attrs(attrs, now);
    }

    pub(crate) fn set_mtime(&mut self, id: Id, time: Time) {
        let (now, made) = (self.stamp_time(), self.ledgers.next);
        let inode = self.inode_mut(id);
        inode.logged.note_content(made, false);
        inode.meta.set_mtime(time, now);
    }
}
