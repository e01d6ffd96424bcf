//! Syncs and write-back: what is pending becomes durable, or a sync fails and it does not.

use std::sync::Arc;

use filepact_fs::SyncKind;

use crate::inode::Id;
use crate::ledger::{Holds, Ledgers};
use crate::step::Change;
use crate::system::{Answer, System};

impl System {
    pub(crate) fn sync(&mut self, id: Id, what: SyncKind) {
        // A log that holds files by their names has nothing to say of one that has none.
        if !self.config.nameless_syncs && self.inode(id).nlink == 0 {
            return;
        }
        let inode = self.inode_mut(id);
        match what {
            SyncKind::Data => inode.data.sync(),
            SyncKind::All => inode.write_back(),
        }
        let upto = inode.logged.upto(what);
        self.settle(|ledgers, holds| ledgers.sync_file(id, upto, holds));
    }

    pub(crate) fn sync_dir(&mut self, dir: Id) {
        let upto = self.inode(dir).logged.upto(SyncKind::All);
        self.settle(|ledgers, holds| ledgers.sync_dir(dir, upto, holds));
    }

    pub(crate) fn sync_everything(&mut self) {
        self.write_back_files();
        self.settle(Ledgers::sync_everything);
    }

    /// A failed sync of names: they stay pending, and no later sync covers them by itself.
    pub(crate) fn fail_names(&mut self, covered: impl Fn(&Change) -> bool) {
        Arc::make_mut(&mut self.ledgers).forsake(covered);
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
        self.ledgers = Arc::new(Ledgers::settled(&self.live, self.ledgers.next));
        for id in self.inodes.iter().map(|(id, _)| *id).collect::<Vec<_>>() {
            let holds = self.inode(id).nlink * Ledgers::COUNT;
            if self.inode(id).holds != holds {
                self.inode_mut(id).holds = holds;
                self.reap(id);
            }
        }
    }

    fn write_back_files(&mut self) {
        for id in self.unsettled() {
            self.inode_mut(id).write_back();
        }
    }

    /// The name at this path, and the file or directory there, become durable as they are.
    pub(crate) fn write_back(&mut self, path: &str) -> Answer<()> {
        let place = self.find(path)?;
        if let Some(entry) = place.found {
            let inode = self.inode_mut(entry.id);
            inode.write_back();
            let upto = inode.logged.upto(SyncKind::All);
            if entry.is_dir {
                self.settle(|ledgers, holds| ledgers.write_back_dir(entry.id, upto, holds));
            }
        }
        if let Some(spot) = place.spot {
            self.settle(|ledgers, holds| ledgers.write_back(&spot, holds));
        }
        Ok(())
    }

    /// Lets ledgers settle, and frees what no crash can bring back any more.
    pub(crate) fn settle(&mut self, work: impl FnOnce(&mut Ledgers, &mut Holds)) {
        let mut holds = Holds::new();
        work(Arc::make_mut(&mut self.ledgers), &mut holds);
        for (id, more) in &holds {
            let inode = self.inode_mut(*id);
            inode.holds = inode.holds.wrapping_add_signed(*more);
        }
        for (id, more) in holds {
            if more < 0 {
                self.reap(id);
            }
        }
    }
}
