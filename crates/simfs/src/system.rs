//! One kernel and its disk: the calls, without the process that makes them.
//!
//! A [`System`] is a plain value. Cloning it is the snapshot that a recorded run takes before every
//! call, so that everything of size in it is a [`Map`]. Methods answer with an errno; the actor adds
//! what was tried and on which path.

use std::ffi::OsStr;
use std::sync::Arc;

use filepact_fs::{Kind, LockKind, Stamp, Stat, Time};

use crate::cow::Map;
use crate::errno;
use crate::inode::{Id, Inode, ROOT};
use crate::ledger::Ledgers;
use crate::names::Names;
use crate::page::PAGE;
use crate::random::Random;
use crate::step::{Entry, Name, Spot};

pub(crate) type Answer<T> = Result<T, i32>;

/// Longest name, in bytes.
const NAME_MAX: usize = 255;

#[derive(Clone, Debug)]
pub(crate) struct System {
    pub(crate) inodes: Map<Id, Arc<Inode>>,
    pub(crate) live: Names,
    /// Shared until something changes, since every world has them.
    pub(crate) ledgers: Arc<Ledgers>,
    pub(crate) handles: Map<u64, Handle>,
    next_handle: u64,
    next_id: u64,
    pub(crate) next_number: u64,
    pub(crate) free_numbers: Map<u64, ()>,
    /// Where another mount begins.
    pub(crate) mounts: Map<Id, u64>,
    pub(crate) mount: u64,
    next_mount: u64,
    pub(crate) boot: u64,
    uniques: u64,
    pub(crate) config: Config,
}

/// What a test can set.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) clock: Time,
    pub(crate) step: i64,
    pub(crate) tick: i64,
    pub(crate) read_device: bool,
    pub(crate) reuse_numbers: bool,
    pub(crate) read_only: bool,
    /// The file system has given up: nothing that is pending becomes durable any more.
    pub(crate) gave_up: bool,
    /// Whether no two changes have the same time.
    pub(crate) exact_times: bool,
    /// Whether the sync of a file without a name counts once it has one.
    pub(crate) nameless_syncs: bool,
    /// Whether the file system grants leases.
    pub(crate) leases: bool,
    /// How many handles a process may have.
    pub(crate) handles: Option<usize>,
    pub(crate) network: Option<&'static str>,
    /// Whether the system tells the unique id of a mount.
    pub(crate) mount_ids: bool,
    /// Bytes of the whole disk, whole pages of live files counted.
    pub(crate) capacity: Option<u64>,
}

/// An open file, with or without a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    pub(crate) actor: u64,
    pub(crate) id: Id,
    pub(crate) lock: Option<LockKind>,
    /// Nobody else opens the file.
    pub(crate) lease: bool,
}

/// Where a path leads.
pub(crate) struct Place {
    /// `None` for the root.
    pub(crate) spot: Option<Spot>,
    pub(crate) found: Option<Entry>,
    /// The mount of the directory that holds the name.
    pub(crate) dir_mount: u64,
    /// The mount of what is found.
    pub(crate) mount: u64,
}

impl Place {
    pub(crate) fn is_mount_point(&self) -> bool {
        self.mount != self.dir_mount
    }
}

impl System {
    pub(crate) fn new() -> Self {
        let config = Config {
            clock: Time(1_790_000_000_123_456_789),
            step: 1_000_000,
            tick: 4_000_000,
            read_device: true,
            reuse_numbers: true,
            read_only: false,
            gave_up: false,
            exact_times: false,
            nameless_syncs: true,
            leases: true,
            handles: None,
            network: None,
            mount_ids: true,
            capacity: None,
        };
        let mut root = Inode::new(2, Kind::Dir, 0o755, config.clock);
        (root.nlink, root.holds) = (1, Ledgers::COUNT);
        Self {
            inodes: Map::from_iter([(ROOT, Arc::new(root))]),
            live: Names::new(),
            ledgers: Arc::new(Ledgers::settled(&Names::new(), 0)),
            handles: Map::default(),
            next_handle: 1,
            next_id: ROOT.0 + 1,
            next_number: 3,
            free_numbers: Map::default(),
            mounts: Map::default(),
            mount: 1,
            next_mount: 2,
            boot: 1,
            uniques: 0,
            config,
        }
    }

    // Looking

    pub(crate) fn inode(&self, id: Id) -> &Inode {
        self.inodes.get(&id).expect("an id in use has an inode")
    }

    pub(crate) fn inode_mut(&mut self, id: Id) -> &mut Inode {
        Arc::make_mut(self.inodes.get_mut(&id).expect("an id in use has an inode"))
    }

    /// The time as a file's stamp shows it.
    pub(crate) fn stamp_time(&self) -> Time {
        let clock = self.config.clock.0;
        Time(clock - clock.rem_euclid(self.config.tick.max(1)))
    }

    pub(crate) fn boot_id(&self) -> String {
        let hex = format!("{:016x}{:016x}", Random::new(self.boot).next(), self.boot);
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    pub(crate) fn unique(&mut self) -> String {
        self.uniques += 1;
        // The same in every build: stores that were made here are kept as fixtures.
        let mut random = Random::new((self.boot << 32) ^ self.uniques);
        format!("{:016x}{:016x}", random.next(), random.next())
    }

    /// Follows a path; an error says why there is no directory that could hold its last name.
    pub(crate) fn find(&self, path: &str) -> Answer<Place> {
        let root = Entry { id: ROOT, is_dir: true };
        let mut place =
            Place { spot: None, found: Some(root), dir_mount: self.mount, mount: self.mount };
        if path.is_empty() {
            return Ok(place);
        }
        let mut rest = path;
        loop {
            let (name, further) = rest.split_once('/').map_or((rest, None), |(a, b)| (a, Some(b)));
            if matches!(name, "" | "." | "..") || name.contains('\0') {
                return Err(errno::INVAL);
            }
            let name = OsStr::new(name);
            match further {
                None => return self.step_into(&place, name),
                // On the way nobody asks for the spot.
                Some(further) => (place, rest) = (self.enter(&place, name)?.1, further),
            }
        }
    }

    /// From what stands at `place` to a name in it.
    pub(crate) fn step_into(&self, place: &Place, name: &OsStr) -> Answer<Place> {
        let (dir, place) = self.enter(place, name)?;
        Ok(Place { spot: Some(Spot { dir, name: Name::from(name) }), ..place })
    }

    /// The directory at `place`, and what a name in it leads to, without its spot.
    fn enter(&self, place: &Place, name: &OsStr) -> Answer<(Id, Place)> {
        let dir = place.found.ok_or(errno::NOENT)?;
        if !dir.is_dir {
            let is_link = self.inode(dir.id).kind == Kind::Link;
            return Err(if is_link { errno::LOOP } else { errno::NOTDIR });
        }
        if name.len() > NAME_MAX {
            return Err(errno::NAMETOOLONG);
        }
        let found = self.live.get(dir.id, name);
        let own_mount = found.and_then(|entry| self.mounts.get(&entry.id).copied());
        let mount = own_mount.unwrap_or(place.mount);
        Ok((dir.id, Place { spot: None, found, dir_mount: place.mount, mount }))
    }

    /// What stands at a path that must lead to something.
    pub(crate) fn existing(&self, path: &str) -> Answer<(Entry, Place)> {
        let place = self.find(path)?;
        Ok((place.found.ok_or(errno::NOENT)?, place))
    }

    /// A name that must be free.
    pub(crate) fn free(&self, path: &str) -> Answer<Spot> {
        let place = self.find(path)?;
        match (place.spot, place.found) {
            (Some(spot), None) => Ok(spot),
            _ => Err(errno::EXIST),
        }
    }

    pub(crate) fn dir(&self, path: &str) -> Answer<(Id, u64)> {
        let (entry, place) = self.existing(path)?;
        match self.inode(entry.id).kind {
            Kind::Dir => Ok((entry.id, place.mount)),
            Kind::Link => Err(errno::LOOP),
            _ => Err(errno::NOTDIR),
        }
    }

    /// An ordinary file and its mount.
    pub(crate) fn file(&self, path: &str) -> Answer<(Id, u64)> {
        let (entry, place) = self.existing(path)?;
        match self.inode(entry.id).kind {
            Kind::File => Ok((entry.id, place.mount)),
            Kind::Dir => Err(errno::ISDIR),
            Kind::Link => Err(errno::LOOP),
            Kind::Other => Err(errno::INVAL),
        }
    }

    pub(crate) fn stat(&self, path: &str) -> Answer<Option<Stat>> {
        match self.find(path) {
            Ok(place) => Ok(place.found.map(|entry| self.stat_of(entry.id, place.mount))),
            Err(errno::NOENT | errno::NOTDIR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn stat_of(&self, id: Id, mount: u64) -> Stat {
        let inode = self.inode(id);
        let meta = &inode.meta.live;
        Stat {
            kind: inode.kind,
            stamp: Stamp {
                dev: 1,
                ino: inode.number,
                size: inode.data.size,
                mtime: meta.mtime,
                ctime: meta.ctime,
                exact: self.config.exact_times,
            },
            nlink: if inode.kind == Kind::Dir { 2 } else { u64::from(inode.nlink) },
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            room: (inode.data.live.len() * PAGE) as u64,
            mount,
            frozen: inode.frozen,
        }
    }

    // Handles and inodes

    /// Nothing is done for want of a descriptor.
    pub(crate) fn room_for_handle(&self, actor: u64) -> Answer<()> {
        let Some(limit) = self.config.handles else { return Ok(()) };
        let open = self.handles.iter().filter(|(_, held)| held.actor == actor).count();
        if open < limit { Ok(()) } else { Err(errno::MFILE) }
    }

    pub(crate) fn open_handle(&mut self, actor: u64, id: Id, lock: Option<LockKind>) -> u64 {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.handles.insert(handle, Handle { actor, id, lock, lease: false });
        self.inode_mut(id).opens += 1;
        handle
    }

    /// Closing twice is closing once.
    pub(crate) fn close_handle(&mut self, handle: u64) {
        if let Some(Handle { id, .. }) = self.handles.remove(&handle) {
            self.inode_mut(id).opens -= 1;
            self.reap(id);
        }
    }

    /// Closes what the processes hold for which `ends` is true.
    pub(crate) fn close_handles(&mut self, ends: impl Fn(u64) -> bool) {
        let closed: Vec<u64> =
            self.handles.iter().filter(|(_, held)| ends(held.actor)).map(|(key, _)| *key).collect();
        for handle in closed {
            self.close_handle(handle);
        }
    }

    pub(crate) fn is_locked_against(&self, id: Id, kind: LockKind) -> bool {
        self.handles.iter().any(|(_, held)| {
            held.id == id
                && match held.lock {
                    None => false,
                    Some(LockKind::Shared) => kind == LockKind::Exclusive,
                    Some(LockKind::Exclusive) => true,
                }
        })
    }

    /// Rule 11: nobody else has the file open, and from now on nobody opens it; `false` if somebody has.
    pub(crate) fn lease(&mut self, handle: u64) -> Answer<bool> {
        if !self.config.leases {
            return Err(errno::OPNOTSUPP);
        }
        let Some(mut held) = self.handles.get(&handle).copied() else { return Err(errno::BADF) };
        if self.inode(held.id).opens > 1 {
            return Ok(false);
        }
        held.lease = true;
        self.handles.insert(handle, held);
        Ok(true)
    }

    pub(crate) fn is_leased(&self, id: Id) -> bool {
        self.inode(id).opens > 0 && self.handles.iter().any(|(_, held)| held.id == id && held.lease)
    }

    pub(crate) fn new_inode(&mut self, kind: Kind, mode: u32) -> Id {
        let lowest = self.free_numbers.iter().next().map(|(number, ())| *number);
        let number = match lowest {
            Some(number) if self.config.reuse_numbers => {
                self.free_numbers.remove(&number);
                number
            }
            _ => {
                self.next_number += 1;
                self.next_number - 1
            }
        };
        let id = Id(self.next_id);
        self.next_id += 1;
        self.inodes.insert(id, Arc::new(Inode::new(number, kind, mode, self.stamp_time())));
        id
    }

    /// Frees the number of an inode that nobody can reach, and the inode itself once no crash can
    /// bring it back.
    pub(crate) fn reap(&mut self, id: Id) {
        let Some(inode) = self.inodes.get(&id) else { return };
        if inode.nlink > 0 || inode.opens > 0 {
            return;
        }
        let (number, was_gone, holds) = (inode.number, inode.gone, inode.holds);
        if !was_gone {
            self.free_numbers.insert(number, ());
            self.mounts.remove(&id);
            self.inode_mut(id).gone = true;
        }
        if holds == 0 {
            self.inodes.remove(&id);
        }
    }

    // Mounts

    pub(crate) fn set_mount_at(&mut self, path: &str) -> Answer<u64> {
        let (entry, _) = self.existing(path)?;
        let mount = self.new_mount();
        self.mounts.insert(entry.id, mount);
        Ok(mount)
    }

    pub(crate) fn new_mount(&mut self) -> u64 {
        self.next_mount += 1;
        self.next_mount - 1
    }
}
