//! What the kernel does of itself, at any time: it writes back what is pending (rule 7), and drops
//! what is clean from the cache (rule 8).

use crate::fs::{Class, SimFs};
use crate::inode::Id;
use crate::random::Random;
use crate::step::Spot;
use crate::system::System;

impl SimFs {
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

    /// Each dirty page, each size, each file's attributes and each changed name becomes durable as it
    /// is in about `percent` of a hundred cases, as the seed says.
    pub fn write_back_some(&self, seed: u64, percent: usize) {
        self.act(Class::Sync, "write_back_some", "", |system| {
            system.write_back_some(&mut Random::new(seed), percent);
            Ok(())
        });
    }

    /// The cache drops the clean pages of a file: it shows what the disk holds.
    pub fn evict(&self, path: &str) {
        self.outside("evict", path, |system| {
            let (id, _) = system.file(path)?;
            system.inode_mut(id).data.evict(|_| true);
            Ok(())
        });
    }

    /// The cache drops all clean pages.
    pub fn evict_all(&self) {
        self.evict_some(0, 100);
    }

    /// The cache drops each clean page in about `percent` of a hundred cases, as the seed says.
    pub fn evict_some(&self, seed: u64, percent: usize) {
        let mut random = Random::new(seed);
        self.outside("evict", "", |system| {
            for id in system.unsettled() {
                system.inode_mut(id).data.evict(|_| random.chance(percent));
            }
            Ok(())
        });
    }
}

impl System {
    pub(crate) fn write_back_some(&mut self, random: &mut Random, percent: usize) {
        for id in self.unsettled() {
            let inode = self.inode_mut(id);
            inode.data.write_back(|| random.chance(percent));
            if random.chance(percent) {
                inode.meta.sync();
            }
        }
        // The strict ledger knows every name that is pending in any other, but for the sides that a
        // sync of one directory leaves to the hostile one.
        let ledgers = [&self.ledgers.strict, &self.ledgers.hostile];
        let pending = ledgers.into_iter().flat_map(|ledger| ledger.pending.iter());
        let mut spots: Vec<Spot> =
            pending.flat_map(|(_, pending)| pending.change.step.spots().cloned()).collect();
        spots.sort_unstable();
        spots.dedup();
        for spot in spots {
            if random.chance(percent) {
                self.settle(|ledgers, holds| ledgers.write_back(&spot, holds));
            }
        }
    }

    pub(crate) fn unsettled(&self) -> Vec<Id> {
        let is_pending = |id: &Id| {
            let inode = self.inode(*id);
            !inode.data.is_settled() || !inode.meta.is_settled()
        };
        self.inodes.iter().map(|(id, _)| *id).filter(is_pending).collect()
    }
}
