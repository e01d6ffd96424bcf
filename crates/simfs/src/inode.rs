//! Inodes: what a file holds in the cache, what of it the disk holds, and every version between.
//!
//! *Live* is what a running process sees. *Durable* is what the disk surely holds. In between lie
//! the versions that a page, the size and the attributes had since the last sync: write-back may
//! have carried any of them to the disk, each page by itself.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;

use filepact_fs::{Attrs, Kind, SyncKind, Time};

use crate::cow::Map;
use crate::page::{PAGE, Page};

/// An inode for ever: unlike the number that `stat` shows, an id is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) u64);

/// The root directory.
pub(crate) const ROOT: Id = Id(1);

#[derive(Clone, Debug)]
pub(crate) struct Inode {
    /// What `stat` shows; comes back after the inode is freed.
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    /// Immutable or append-only.
    pub(crate) frozen: bool,
    /// Live names.
    pub(crate) nlink: u32,
    /// Open handles, locks included.
    pub(crate) opens: u32,
    /// Durable names and pending operations that could bring it back after a crash.
    pub(crate) holds: u32,
    /// No live name and no handle: only a crash can bring it back.
    pub(crate) gone: bool,
    pub(crate) data: Data,
    pub(crate) meta: MetaVersions,
    pub(crate) logged: Logged,
}

/// How far a sync of an inode reaches in the order of all changes of names, where the file system
/// keeps a log (rule 5, *ordered* and *per-inode*): to the last change of the inode that this sync
/// has to carry through the log. Overwriting blocks that the disk has already needs no log, so that
/// `fdatasync` after it drags nothing along.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Logged {
    /// Size and blocks.
    data: u64,
    /// And attributes, times and names.
    all: u64,
}

impl Logged {
    /// The number of the first change of names that comes after.
    pub(crate) fn upto(self, what: SyncKind) -> u64 {
        match what {
            SyncKind::Data => self.data,
            SyncKind::All => self.all,
        }
    }

    /// The change of names of this number is the inode's own.
    pub(crate) fn note(&mut self, least: SyncKind, number: u64) {
        self.note_content(number + 1, least == SyncKind::Data);
    }

    /// After so many changes of names, the inode was changed; in more than its times and attributes?
    pub(crate) fn note_content(&mut self, made: u64, size_or_blocks: bool) {
        self.all = self.all.max(made);
        if size_or_blocks {
            self.data = self.data.max(made);
        }
    }
}

impl Inode {
    pub(crate) fn new(number: u64, kind: Kind, mode: u32, now: Time) -> Self {
        let meta =
            Meta { mode, uid: 1000, gid: 1000, xattrs: Arc::default(), mtime: now, ctime: now };
        Self {
            number,
            kind,
            frozen: false,
            nlink: 0,
            opens: 0,
            holds: 0,
            gone: false,
            data: Data::default(),
            meta: MetaVersions::new(meta),
            logged: Logged::default(),
        }
    }

    /// Whether a power cut and a reboot would leave it as it is.
    pub(crate) fn is_settled(&self) -> bool {
        self.opens == 0 && self.data.is_settled() && self.meta.is_settled()
    }

    /// Data, size and attributes as they are become durable.
    pub(crate) fn write_back(&mut self) {
        self.data.sync();
        self.meta.sync();
    }
}

/// The content of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    /// Absent pages are zeros. Bytes past `size` are zeros, here as in every version.
    pub(crate) live: Map<u64, Page>,
    pub(crate) size: u64,
    pub(crate) durable: Map<u64, Page>,
    pub(crate) durable_size: u64,
    /// The versions of each dirty page since the last sync, without the durable one.
    pub(crate) dirty: Map<u64, Arc<Vec<Page>>>,
    /// The sizes since the last sync, without the durable one.
    pub(crate) sizes: Arc<Vec<u64>>,
    /// A sync failed: some clean pages show bytes that the disk does not hold.
    pub(crate) stale: bool,
}

impl Data {
    /// Content that is in the cache as it is on the disk.
    pub(crate) fn settled(pages: Map<u64, Page>, size: u64) -> Self {
        Self { live: pages.clone(), size, durable: pages, durable_size: size, ..Self::default() }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.dirty.is_empty() && self.sizes.is_empty() && !self.stale
    }

    /// Reads what the cache shows, or with `device` what the disk holds of the live size.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64, device: bool) -> usize {
        let pages = if device { &self.durable } else { &self.live };
        let len = buffer.len().min(self.size.saturating_sub(offset) as usize);
        for (page, at, range) in pieces(offset, len) {
            match pages.get(&page) {
                Some(content) => {
                    let source = &content.bytes()[at..at + range.len()];
                    buffer[range].copy_from_slice(source);
                }
                None => buffer[range].fill(0),
            }
        }
        len
    }

    /// All of the live bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size as usize);
        for (page, _, range) in pieces(0, self.size as usize) {
            let content = self.live.get(&page).cloned().unwrap_or_default();
            bytes.extend_from_slice(&content.bytes()[..range.len()]);
        }
        bytes
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        for (page, at, range) in pieces(offset, bytes.len()) {
            let old = self.live.get(&page).cloned().unwrap_or_default();
            self.put_page(page, old.with(at, &bytes[range]));
        }
        if !bytes.is_empty() && offset + bytes.len() as u64 > self.size {
            self.put_size(offset + bytes.len() as u64);
        }
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        if len < self.size {
            let first = len / PAGE as u64;
            let cut: Vec<u64> =
                self.live.iter().map(|(page, _)| *page).filter(|page| *page >= first).collect();
            for page in cut {
                let keep = len.saturating_sub(page * PAGE as u64) as usize;
                let left = match self.live.get(&page) {
                    Some(content) if keep > 0 => content.cut(keep),
                    _ => Page::default(),
                };
                self.put_page(page, left);
                if keep == 0 {
                    self.live.remove(&page);
                }
            }
        }
        if len != self.size {
            self.put_size(len);
        }
    }

    fn put_page(&mut self, page: u64, content: Page) {
        match self.dirty.get_mut(&page) {
            None => {
                self.dirty.insert(page, Arc::new(vec![content.clone()]));
            }
            Some(versions) => {
                if !versions.last().is_some_and(|last| last.agrees(&content, 0..PAGE)) {
                    Arc::make_mut(versions).push(content.clone());
                }
            }
        }
        self.live.insert(page, content);
    }

    fn put_size(&mut self, size: u64) {
        self.size = size;
        Arc::make_mut(&mut self.sizes).push(size);
    }

    /// What is live becomes durable; stale pages stay what they are, since nobody knows of them.
    pub(crate) fn sync(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        for (page, _) in dirty.iter() {
            match self.live.get(page) {
                Some(content) => self.durable.insert(*page, content.clone()),
                None => self.durable.remove(page),
            };
        }
        self.durable_size = self.size;
        self.sizes = Arc::default();
    }

    /// A sync that fails: dirty pages count as clean, and the disk keeps its old bytes. Sizes stay
    /// pending, so that a later append leaves a hole of zeros before it.
    pub(crate) fn fail_sync(&mut self) {
        if !self.dirty.is_empty() {
            self.dirty = Map::default();
            self.stale = true;
        }
    }

    /// Each dirty page, and the size, becomes durable of itself if `is_chosen` says so.
    pub(crate) fn write_back(&mut self, mut is_chosen: impl FnMut() -> bool) {
        let chosen: Vec<u64> =
            self.dirty.iter().map(|(page, _)| *page).filter(|_| is_chosen()).collect();
        for page in chosen {
            self.dirty.remove(&page);
            match self.live.get(&page) {
                Some(content) => self.durable.insert(page, content.clone()),
                None => self.durable.remove(&page),
            };
        }
        if is_chosen() {
            self.durable_size = self.size;
            self.sizes = Arc::default();
        }
    }

    /// Drops clean pages from the cache: they show what the disk holds.
    pub(crate) fn evict(&mut self, mut is_chosen: impl FnMut(u64) -> bool) {
        if !self.stale {
            return;
        }
        let pages: BTreeSet<u64> =
            self.live.iter().chain(self.durable.iter()).map(|(page, _)| *page).collect();
        self.stale = false;
        for page in pages {
            let (cached, held) = (self.live.get(&page), self.durable.get(&page).cloned());
            let differs = cached.map(Page::hash) != held.as_ref().map(Page::hash);
            if self.dirty.contains(&page) || !differs {
                continue;
            }
            match held {
                _ if !is_chosen(page) => self.stale = true,
                Some(held) => drop(self.live.insert(page, held)),
                None => drop(self.live.remove(&page)),
            }
        }
    }

    /// Whether a write would only replace bytes for which the disk has blocks already.
    pub(crate) fn overwrites(&self, offset: u64, len: usize) -> bool {
        offset + len as u64 <= self.size
            && pieces(offset, len).all(|(page, ..)| self.durable.contains(&page))
    }

    /// How many pages a write would have to allocate, one after the other.
    pub(crate) fn new_pages(&self, offset: u64, len: usize) -> impl Iterator<Item = (u64, bool)> {
        pieces(offset, len).map(|(page, ..)| (page, !self.live.contains(&page)))
    }
}

/// The parts of a range, page by page: page, place in the page, range in the buffer.
fn pieces(
    offset: u64,
    len: usize,
) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> + use<> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let (page, start) = (at / PAGE as u64, (at % PAGE as u64) as usize);
        let range = done..done + (PAGE - start).min(len - done);
        done = range.end;
        Some((page, start, range))
    })
}

/// What an inode keeps beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) xattrs: Arc<Vec<(OsString, Vec<u8>)>>,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
}

impl Meta {
    pub(crate) fn attrs(&self) -> Attrs {
        Attrs {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            xattrs: self.xattrs.as_ref().clone(),
        }
    }

    /// Equal but for ctime, which every rename changes and nothing rests on after a crash.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        self.mtime == other.mtime && self.attrs_agree(other)
    }

    fn attrs_agree(&self, other: &Self) -> bool {
        (self.mode, self.uid, self.gid, &self.xattrs)
            == (other.mode, other.uid, other.gid, &other.xattrs)
    }
}

/// The attributes and times of an inode, live, durable and between.
#[derive(Clone, Debug)]
pub(crate) struct MetaVersions {
    pub(crate) live: Meta,
    pub(crate) durable: Meta,
    /// What was set on purpose since the last sync, in order.
    pub(crate) set: Arc<Vec<Meta>>,
    /// A write has stamped an mtime since the newest of the above.
    pub(crate) touched: bool,
}

impl MetaVersions {
    pub(crate) fn new(meta: Meta) -> Self {
        Self { live: meta.clone(), durable: meta, set: Arc::default(), touched: false }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.set.is_empty() && !self.touched && self.live.agrees(&self.durable)
    }

    /// The stamp that a write leaves.
    pub(crate) fn touch(&mut self, now: Time) {
        (self.live.mtime, self.live.ctime) = (now, now);
        self.touched = true;
    }

    /// Attributes that stand already are not written again.
    pub(crate) fn set_attrs(&mut self, attrs: &Attrs, now: Time) {
        if self.live.attrs() == *attrs {
            return;
        }
        let Attrs { mode, uid, gid, xattrs } = attrs.clone();
        self.live =
            Meta { mode, uid, gid, xattrs: Arc::new(xattrs), mtime: self.live.mtime, ctime: now };
        self.keep_version();
    }

    pub(crate) fn set_mtime(&mut self, mtime: Time, now: Time) {
        (self.live.mtime, self.live.ctime) = (mtime, now);
        self.keep_version();
    }

    fn keep_version(&mut self) {
        self.touched = false;
        Arc::make_mut(&mut self.set).push(self.live.clone());
    }

    pub(crate) fn sync(&mut self) {
        *self = Self::new(self.live.clone());
    }
}
