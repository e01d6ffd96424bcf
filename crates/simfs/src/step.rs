//! One change of names: create, link, unlink, rename, exchange, made and removed directories.

use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;

use filepact_fs::Rename;

use crate::inode::Id;
use crate::names::Names;

pub(crate) type Name = Arc<OsStr>;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: Id,
    pub(crate) is_dir: bool,
}

/// A name in a directory, taken or free.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spot {
    pub(crate) dir: Id,
    pub(crate) name: Name,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.dir.0, self.name.display())
    }
}

/// One change of names. It is replayed *by name*: it needs its names to be there or to be free, and
/// takes what stands there.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Create, link, make a directory.
    Add { at: Spot, entry: Entry },
    /// Unlink, remove an empty directory.
    Remove { at: Spot },
    /// Rename or exchange.
    Move { from: Spot, to: Spot, how: Rename },
    /// What is left of a move of a file when its other side is durable: whatever file stands at the
    /// name gives way to this one.
    Put { at: Spot, entry: Entry },
}

impl Step {
    /// The names that the step reads or writes.
    pub(crate) fn spots(&self) -> impl Iterator<Item = &Spot> {
        let (first, second) = match self {
            Self::Add { at, .. } | Self::Remove { at } | Self::Put { at, .. } => (at, None),
            Self::Move { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(first).chain(second)
    }

    pub(crate) fn touches_dir(&self, dir: Id) -> bool {
        self.spots().any(|spot| spot.dir == dir)
    }

    /// The inode that the step itself holds, so that a crash can bring it back.
    pub(crate) fn holds(&self) -> Option<Id> {
        match self {
            Self::Add { entry, .. } | Self::Put { entry, .. } => Some(entry.id),
            Self::Remove { .. } | Self::Move { .. } => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { at, entry } => write!(f, "add {at} = {}", entry.id.0),
            Self::Remove { at } => write!(f, "remove {at}"),
            Self::Move { from, to, how: Rename::Exchange } => write!(f, "exchange {from} {to}"),
            Self::Move { from, to, .. } => write!(f, "move {from} {to}"),
            Self::Put { at, entry } => write!(f, "put {at} = {}", entry.id.0),
        }
    }
}

/// A step, and what stood at its names when it was made.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) step: Step,
    /// What is added, removed or moved.
    pub(crate) entry: Entry,
    /// What a move finds at its target.
    pub(crate) other: Option<Entry>,
}

impl Change {
    /// A step that is about to be made; `None` if there is nothing to remove or to move.
    pub(crate) fn new(step: Step, names: &Names) -> Option<Self> {
        let (entry, other) = match &step {
            Step::Add { entry, .. } | Step::Put { entry, .. } => (*entry, None),
            Step::Remove { at } => (names.at(at)?, None),
            Step::Move { from, to, .. } => (names.at(from)?, names.at(to)),
        };
        Some(Self { step, entry, other })
    }

    /// Whether it gives or takes a name of this inode.
    pub(crate) fn names(&self, id: Id) -> bool {
        self.entry.id == id || self.other.is_some_and(|other| other.id == id)
    }

    pub(crate) fn is_about_dirs(&self) -> bool {
        self.entry.is_dir || self.other.is_some_and(|other| other.is_dir)
    }

    /// The directory that it takes away, which was empty by then.
    pub(crate) fn removed_dir(&self) -> Option<Id> {
        let removed = match &self.step {
            Step::Remove { .. } => Some(self.entry),
            Step::Move { how: Rename::Replace, .. } => self.other,
            _ => None,
        };
        removed.filter(|entry| entry.is_dir).map(|entry| entry.id)
    }

    /// What it leaves at each of its names.
    pub(crate) fn effects(&self) -> impl Iterator<Item = (&Spot, Option<Entry>)> {
        let (first, second) = match &self.step {
            Step::Add { at, .. } | Step::Put { at, .. } => ((at, Some(self.entry)), None),
            Step::Remove { at } => ((at, None), None),
            Step::Move { from, to, how } => {
                let back = if *how == Rename::Exchange { self.other } else { None };
                ((from, back), Some((to, Some(self.entry))))
            }
        };
        std::iter::once(first).chain(second)
    }

    /// The change of one of its names alone.
    pub(crate) fn of_spot(spot: &Spot, value: Option<Entry>, entry: Entry) -> Self {
        let at = spot.clone();
        match value {
            Some(entry) => Self { step: Step::Put { at, entry }, entry, other: None },
            None => Self { step: Step::Remove { at }, entry, other: None },
        }
    }
}
