//! Names: a tree of directories.
//!
//! The same [`Names`] serve as the live tree, as the durable ones, and for replaying some pending
//! steps on a durable one after a power cut; the same [`Names::apply`] moves all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::sync::Arc;

use filepact_fs::Rename;

use crate::cow::Map;
use crate::errno;
use crate::inode::{Id, ROOT};
use crate::ledger::Holds;
use crate::random::hash_of;
use crate::step::{Entry, Name, Spot, Step};

#[derive(Clone, Debug, Default)]
struct Dir {
    /// `None` for the root, and for a directory whose own name is not there.
    parent: Option<Id>,
    entries: Map<Name, Entry>,
}

/// One of the names of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    From,
    To,
}

#[derive(Clone, Debug)]
pub(crate) struct Names {
    dirs: Map<Id, Dir>,
    /// The sum of a hash of every entry: equal for equal trees, whatever the way to them.
    sum: u64,
}

impl Names {
    /// An empty root.
    pub(crate) fn new() -> Self {
        Self { dirs: Map::from_iter([(ROOT, Dir::default())]), sum: 0 }
    }

    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    pub(crate) fn get(&self, dir: Id, name: &OsStr) -> Option<Entry> {
        self.dirs.get(&dir)?.entries.get(name).copied()
    }

    pub(crate) fn at(&self, spot: &Spot) -> Option<Entry> {
        self.get(spot.dir, &spot.name)
    }

    pub(crate) fn list(&self, dir: Id) -> impl Iterator<Item = (&Name, Entry)> {
        let entries = self.dirs.get(&dir).map(|dir| dir.entries.iter());
        entries.into_iter().flatten().map(|(name, entry)| (name, *entry))
    }

    /// Whether the directory can be reached from the root.
    pub(crate) fn is_attached(&self, dir: Id) -> bool {
        self.is_within(dir, ROOT)
    }

    fn is_within(&self, mut dir: Id, ancestor: Id) -> bool {
        while dir != ancestor {
            match self.dirs.get(&dir).and_then(|dir| dir.parent) {
                Some(parent) => dir = parent,
                None => return false,
            }
        }
        true
    }

    /// Takes a step, or answers why its names forbid it and changes nothing. Returns the entry that
    /// lost its name.
    pub(crate) fn apply(&mut self, step: &Step) -> Result<Option<Entry>, i32> {
        match step {
            Step::Add { at, entry } => {
                if !self.dirs.contains(&at.dir) {
                    return Err(errno::NOENT);
                }
                if self.at(at).is_some() {
                    return Err(errno::EXIST);
                }
                self.put(at, *entry);
                Ok(None)
            }
            Step::Remove { at } => {
                let entry = self.at(at).ok_or(errno::NOENT)?;
                self.must_be_empty(entry)?;
                self.drop_entry(at, entry);
                Ok(Some(entry))
            }
            Step::Move { from, to, how } => self.apply_move(from, to, *how),
            Step::Put { at, entry } => {
                if !self.dirs.contains(&at.dir) {
                    return Err(errno::NOENT);
                }
                let displaced = self.at(at);
                if let Some(displaced) = displaced {
                    if displaced.is_dir {
                        return Err(errno::ISDIR);
                    }
                    self.take(at, displaced);
                }
                self.put(at, *entry);
                Ok(displaced)
            }
        }
    }

    /// Takes one side of a move of files: the name it goes to gets what it gets, and the name it
    /// comes from keeps what it has; or the other way round. Needs what the whole move needs.
    pub(crate) fn apply_side(&mut self, step: &Step, side: Side) -> Result<(), i32> {
        let Step::Move { from, to, how } = step else { return Err(errno::INVAL) };
        let (moved, target) = (self.at(from).ok_or(errno::NOENT)?, self.at(to));
        if !self.dirs.contains(&to.dir) {
            return Err(errno::NOENT);
        }
        if moved.is_dir || target.is_some_and(|target| target.is_dir) {
            return Err(errno::ISDIR);
        }
        match (how, target) {
            (Rename::Exchange, None) => return Err(errno::NOENT),
            (Rename::NoReplace, Some(_)) => return Err(errno::EXIST),
            (Rename::Replace, Some(target)) if target.id == moved.id => return Ok(()),
            _ => {}
        }
        match side {
            Side::To => {
                if let Some(target) = target {
                    self.take(to, target);
                }
                self.put(to, moved);
            }
            Side::From => {
                self.take(from, moved);
                if let (Rename::Exchange, Some(target)) = (how, target) {
                    self.put(from, target);
                }
            }
        }
        Ok(())
    }

    /// Sets what stands at these names, whatever stood there before.
    pub(crate) fn overwrite(&mut self, values: &BTreeMap<Spot, Option<Entry>>) -> Holds {
        let mut holds = Holds::new();
        let mut taken = BTreeSet::new();
        for (spot, value) in values {
            let Some(old) = self.at(spot).filter(|old| Some(*old) != *value) else { continue };
            self.take(spot, old);
            holds.push((old.id, -1));
            if let Some(dir) = self.dirs.get_mut(&old.id).filter(|_| old.is_dir) {
                dir.parent = None;
                taken.insert(old.id);
            }
        }
        for (spot, value) in values {
            let Some(value) = value.filter(|value| self.at(spot) != Some(*value)) else { continue };
            self.ensure_dir(spot.dir);
            self.put(spot, value);
            holds.push((value.id, 1));
            taken.remove(&value.id);
        }
        for dir in taken {
            if self.list(dir).next().is_none() {
                self.dirs.remove(&dir);
            }
        }
        holds
    }

    fn apply_move(&mut self, from: &Spot, to: &Spot, how: Rename) -> Result<Option<Entry>, i32> {
        let moved = self.at(from).ok_or(errno::NOENT)?;
        if !self.dirs.contains(&to.dir) {
            return Err(errno::NOENT);
        }
        if moved.is_dir && self.is_within(to.dir, moved.id) {
            return Err(errno::INVAL);
        }
        let target = self.at(to);
        match (how, target) {
            (Rename::Exchange, None) => return Err(errno::NOENT),
            (Rename::Exchange, Some(target)) => {
                if target.is_dir && self.is_within(from.dir, target.id) {
                    return Err(errno::INVAL);
                }
                self.take(from, moved);
                self.take(to, target);
                self.put(from, target);
                self.put(to, moved);
                return Ok(None);
            }
            (Rename::NoReplace, Some(_)) => return Err(errno::EXIST),
            // Two names of one inode: rename(2) leaves both.
            (Rename::Replace, Some(target)) if target.id == moved.id => return Ok(None),
            (Rename::Replace, Some(target)) => {
                match (moved.is_dir, target.is_dir) {
                    (true, false) => return Err(errno::NOTDIR),
                    (false, true) => return Err(errno::ISDIR),
                    _ => self.must_be_empty(target)?,
                }
                self.drop_entry(to, target);
            }
            (_, None) => {}
        }
        self.take(from, moved);
        self.put(to, moved);
        Ok(target)
    }

    fn must_be_empty(&self, entry: Entry) -> Result<(), i32> {
        match entry.is_dir && self.list(entry.id).next().is_some() {
            true => Err(errno::NOTEMPTY),
            false => Ok(()),
        }
    }

    fn put(&mut self, at: &Spot, entry: Entry) {
        if entry.is_dir {
            if !self.dirs.contains(&entry.id) {
                self.dirs.insert(entry.id, Dir::default());
            }
            self.dirs.get_mut(&entry.id).expect("just put").parent = Some(at.dir);
        }
        let dir = self.dirs.get_mut(&at.dir).expect("checked by apply");
        dir.entries.insert(Arc::clone(&at.name), entry);
        self.sum = self.sum.wrapping_add(hash_of(&(at, entry.id)));
    }

    /// Takes the name away; a directory keeps what is in it.
    fn take(&mut self, at: &Spot, entry: Entry) {
        let dir = self.dirs.get_mut(&at.dir).expect("checked by apply");
        dir.entries.remove(&*at.name);
        self.sum = self.sum.wrapping_sub(hash_of(&(at, entry.id)));
    }

    fn drop_entry(&mut self, at: &Spot, entry: Entry) {
        self.take(at, entry);
        if entry.is_dir {
            self.dirs.remove(&entry.id);
        }
    }

    /// A directory whose fsync precedes that of its parent has durable entries and no durable name.
    pub(crate) fn ensure_dir(&mut self, dir: Id) {
        if !self.dirs.contains(&dir) {
            self.dirs.insert(dir, Dir::default());
        }
    }

    /// Only the directories that can be reached from the root.
    pub(crate) fn pruned(&self) -> Self {
        if self.dirs.iter().all(|(dir, _)| self.is_attached(*dir)) {
            return self.clone();
        }
        let kept: Map<Id, Dir> = self
            .dirs
            .iter()
            .filter(|(dir, _)| self.is_attached(**dir))
            .map(|(id, dir)| (*id, dir.clone()))
            .collect();
        let mut names = Self { dirs: kept, sum: 0 };
        let hashes = names.all().map(|(dir, name, entry)| {
            let spot = Spot { dir, name: Arc::clone(name) };
            hash_of(&(&spot, entry.id))
        });
        names.sum = hashes.fold(0, u64::wrapping_add);
        names
    }

    /// Every entry of every directory.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Id, &Name, Entry)> {
        self.dirs
            .iter()
            .flat_map(|(id, dir)| dir.entries.iter().map(|(name, entry)| (*id, name, *entry)))
    }
}
