//! Syncs and write-back: what is pending becomes durable, or a sync fails and it does not.

use std::collections::BTreeSet;

use filepact_fs::SyncKind;

use crate::inode::{Id, Inode};
use crate::names::Step;
use crate::system::{Answer, System};

impl System {
    pub(crate) fn sync(&mut self, id: Id, what: SyncKind) {
        let inode = self.inode_mut(id);
        match what {
            SyncKind::Data => inode.data.sync(),
            SyncKind::All => inode.write_back(),
        }
    }

    pub(crate) fn sync_dir(&mut self, dir: Id) {
        self.durable.ensure_dir(dir);
        self.settle_names(|step| step.touches_dir(dir), false);
    }

    pub(crate) fn sync_everything(&mut self) {
        self.write_back_files();
        self.settle_names(|_| true, false);
    }

    /// A failed sync of names: they stay pending, and no later sync covers them by itself.
    pub(crate) fn fail_names(&mut self, covered: impl Fn(&Step) -> bool) {
        let keys: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, pending)| covered(&pending.step))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            self.pending.get_mut(&key).expect("listed").forsaken = true;
        }
    }

    pub(crate) fn fail_sync_everything(&mut self) {
        for id in self.unsettled() {
            self.inode_mut(id).data.fail_sync();
        }
        self.fail_names(|_| true);
    }

    /// Everything pending becomes durable of itself.
    pub(crate) fn write_back_all(&mut self) {
        self.write_back_files();
        self.settle_names(|_| true, true);
    }

    fn write_back_files(&mut self) {
        for id in self.unsettled() {
            self.inode_mut(id).write_back();
        }
    }

    pub(crate) fn unsettled(&self) -> Vec<Id> {
        let is_unsettled = |inode: &Inode| !inode.data.is_settled() || !inode.meta.is_settled();
        self.inodes.iter().filter(|(_, inode)| is_unsettled(inode)).map(|(id, _)| *id).collect()
    }

    /// Makes these pending steps durable, with the earlier ones on the same names, on which they
    /// rest. Steps of which a sync has failed are left out, unless others rest on them.
    pub(crate) fn settle_names(&mut self, wanted: impl Fn(&Step) -> bool, even_forsaken: bool) {
        let mut rests_on = BTreeSet::new();
        let mut settled = Vec::new();
        for (key, pending) in self.pending.iter().rev() {
            let asked = wanted(&pending.step) && (even_forsaken || !pending.forsaken);
            if asked || pending.step.spots().any(|spot| rests_on.contains(spot)) {
                rests_on.extend(pending.step.spots().cloned());
                settled.push(*key);
            }
        }
        for key in settled.into_iter().rev() {
            let step = self.pending.get(&key).expect("listed").step.clone();
            for spot in step.spots() {
                self.durable.ensure_dir(spot.dir);
            }
            // A directory that is not empty on the disk yet cannot be removed there: the step waits.
            let Ok(displaced) = self.durable.apply(&step) else { continue };
            self.pending.remove(&key);
            if let Some(entry) = displaced {
                self.inode_mut(entry.id).holds -= 1;
                self.reap(entry.id);
            }
        }
    }

    /// The name at this path, and the file or directory there, become durable as they are.
    pub(crate) fn write_back(&mut self, path: &str) -> Answer<()> {
        let place = self.find(path)?;
        if let Some(entry) = place.found {
            self.inode_mut(entry.id).write_back();
            if entry.is_dir {
                self.durable.ensure_dir(entry.id);
                self.settle_names(|step| step.touches_dir(entry.id), true);
            }
        }
        if let Some(spot) = place.spot {
            self.settle_names(|step| step.spots().any(|other| *other == spot), true);
        }
        Ok(())
    }
}
