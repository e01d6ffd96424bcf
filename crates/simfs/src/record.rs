//! A recorded run: the world before every call that changes or syncs something.

use std::fmt;
use std::sync::Arc;

use crate::crash::{self, Outcomes, Return};
use crate::fs::SimFs;
use crate::inode::Id;
use crate::profile::Profile;
use crate::system::System;

/// A point of a recorded run.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The call that is about to be made, such as `write .filepact/state 0..512`; `end` for the last
    /// one.
    pub call: String,
    /// The world just before it, with the call in flight.
    pub world: World,
}

/// A file system at one moment, and what may become of it. Cheap to clone; never changes.
#[derive(Clone)]
pub struct World {
    before: Arc<System>,
    flight: Option<Flight>,
}

/// A call that was begun.
#[derive(Clone)]
pub(crate) struct Flight {
    /// The world once it has returned; none for a sync, which a crash undoes.
    pub(crate) after: Arc<System>,
    /// The file, offset and length of a write.
    pub(crate) write: Option<(Id, u64, usize)>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("in_flight", &self.flight.is_some()).finish_non_exhaustive()
    }
}

impl World {
    pub(crate) fn new(before: System, flight: Option<Flight>) -> Self {
        Self { before: Arc::new(before), flight }
    }

    /// The file systems that a power cut at this moment may leave: all if there are at most `limit`,
    /// else `limit` of them that the seed picks. The call in flight is pending like all others: it
    /// may have happened, in part, or not; a sync in flight is as if it had not been made.
    ///
    /// All of them are in a new boot and on a new mount.
    pub fn power_cut(&self, profile: &Profile, limit: usize, seed: u64) -> Outcomes {
        crash::power_cut(self.pending(), *profile, Return::Boot, limit, seed)
    }

    /// As [`World::power_cut`], but in the same boot: the device was pulled and mounted again.
    pub fn remount(&self, profile: &Profile, limit: usize, seed: u64) -> Outcomes {
        crash::power_cut(self.pending(), *profile, Return::Mount, limit, seed)
    }

    /// The world in which every process has died before the call: the cache is whole, locks and
    /// handles are gone. What is pending stays pending.
    pub fn process_death(&self) -> SimFs {
        SimFs::from_system(self.before.as_ref().clone()).without_processes()
    }

    /// [`World::process_death`], and for a write in flight also the worlds in which half of its
    /// bytes are written, and all but the last.
    pub fn process_death_variants(&self) -> Vec<SimFs> {
        let mut worlds = vec![self.process_death()];
        let Some(Flight { after, write: Some((id, offset, len)) }) = &self.flight else {
            return worlds;
        };
        let mut bytes = vec![0; *len];
        let written = after.inode(*id).data.read(&mut bytes, *offset, false);
        let mut parts = vec![written / 2, written.saturating_sub(1)];
        parts.dedup();
        for part in parts.into_iter().filter(|part| *part > 0) {
            let mut system = self.before.as_ref().clone();
            let now = system.stamp_time();
            let inode = system.inode_mut(*id);
            inode.data.write(&bytes[..part], *offset);
            inode.meta.touch(now);
            worlds.push(SimFs::from_system(system).without_processes());
        }
        worlds
    }

    /// Everything before the call is pending, and so is the call. Since pending may mean lost, this
    /// covers the world before as well.
    fn pending(&self) -> &System {
        self.flight.as_ref().map_or(&self.before, |flight| &flight.after)
    }
}
