//! Looking at what stands beside one folder: the documents, without what a store keeps about them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use filepact_fs::Kind;

use crate::fs::SimFs;
use crate::inode::{Id, ROOT};
use crate::outside::walk_beside;
use crate::profile::Profile;
use crate::system::System;

impl SimFs {
    /// Every ordinary file by path, with its live bytes, but for those in this folder at the root.
    pub fn tree_beside(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let system = &self.state().system;
        let mut tree = BTreeMap::new();
        walk_beside(system, Some(OsStr::new(folder)), &mut |path, id| {
            let inode = system.inode(id);
            if inode.kind == Kind::File {
                tree.insert(path.to_owned(), inode.data.bytes());
            }
        });
        tree
    }

    /// Whether nothing is pending beside this folder at the root, of names or of content: whatever a
    /// power cut does now, the files there come back as they are.
    ///
    /// `false` says only that something is pending, not that it matters.
    pub fn is_durable_beside(&self, folder: &str, profile: Profile) -> bool {
        let system = &self.state().system;
        let folder = OsStr::new(folder);
        let mut within = BTreeSet::new();
        if let Some(entry) = system.live.get(ROOT, folder) {
            dirs_from(system, entry.id, &mut within);
        }
        let (ledger, _) = system.ledgers.of(profile);
        let names = ledger.pending.iter().flat_map(|(_, pending)| pending.change.step.spots());
        let mut is_durable = names.into_iter().all(|spot| within.contains(&spot.dir));
        walk_beside(system, Some(folder), &mut |_, id| {
            is_durable &= system.inode(id).data.is_settled();
        });
        is_durable
    }
}

/// A directory and all beneath it.
fn dirs_from(system: &System, dir: Id, all: &mut BTreeSet<Id>) {
    all.insert(dir);
    for (_, entry) in system.live.list(dir).filter(|(_, entry)| entry.is_dir) {
        dirs_from(system, entry.id, all);
    }
}

#[cfg(test)]
mod tests {
    use filepact_fs::{Fs, Rename, SyncKind};

    use super::*;
    use crate::Grain;

    const FOLDER: &str = ".folder";

    /// What `is_durable_beside` says must be so in every outcome of a power cut.
    fn check(sim: &SimFs, says: bool) {
        for profile in [Profile::Strict(Grain::Page), Profile::Hostile(Grain::Trash)] {
            assert_eq!(sim.is_durable_beside(FOLDER, profile), says, "{profile}\n{}", sim.dump());
            let cut = sim.world().power_cut(&profile, 1000, 0);
            let now = sim.tree_beside(FOLDER);
            let same = cut.worlds.iter().all(|world| world.tree_beside(FOLDER) == now);
            assert!(cut.complete && same == says, "{profile}\n{}", sim.dump());
        }
    }

    #[test]
    fn what_is_beside_is_durable_once_its_content_and_all_its_names_are() {
        let sim = SimFs::new();
        let process = sim.actor();
        process.make_dir(FOLDER, 0o700).unwrap();
        process.sync_dir("").unwrap();
        let inside = process.create(".folder/journal").unwrap();
        inside.write_at(b"anything", 0).unwrap();
        check(&sim, true);

        let file = process.create("a").unwrap();
        file.write_at(b"a", 0).unwrap();
        check(&sim, false);
        file.sync(SyncKind::Data).unwrap();
        check(&sim, false);
        process.sync_dir("").unwrap();
        check(&sim, true);

        // A name that comes from the folder is pending on both sides.
        inside.sync(SyncKind::Data).unwrap();
        process.rename(".folder/journal", "a", Rename::Exchange).unwrap();
        check(&sim, false);
        process.sync_dir("").unwrap();
        process.sync_dir(FOLDER).unwrap();
        check(&sim, true);
        process.unlink("a").unwrap();
        check(&sim, false);
    }

    #[test]
    fn the_tree_beside_a_folder_is_all_but_what_is_in_it() {
        let sim = SimFs::new();
        sim.mkdir(FOLDER);
        sim.write(".folder/journal", b"anything");
        sim.mkdir("d");
        sim.write("d/a", b"a");
        assert_eq!(sim.tree_beside(FOLDER), BTreeMap::from([("d/a".to_owned(), b"a".to_vec())]));
    }
}
