//! Snapshots: what is read through one, whenever that is, is of its moment.

use filepact::{Snapshot, Store};

use super::notes::{Notes, now};
use super::record::{Op, Sighting};
use super::worker::{DIRECTORIES, DOCUMENTS, sighting, sightings_of_list, there};
use crate::processes::Outcome;
use crate::processes::random::Random;

/// A snapshot that is held, and what was seen through it.
pub(super) struct Pinned {
    snapshot: Snapshot,
    op: Op,
    taken: (u64, u64),
    saw: Vec<Sighting>,
}

impl Pinned {
    pub(super) fn take(store: &Store, op: Op) -> Outcome<Self> {
        let from = now();
        let snapshot = store.snapshot()?;
        Ok(Self { snapshot, op, taken: (from, now()), saw: Vec::new() })
    }

    /// Reads some, and lists sometimes.
    pub(super) fn look(&mut self, random: &mut Random) -> Outcome {
        let Self { snapshot, saw, .. } = self;
        let how_many = 1 + random.below(5);
        for path in random.some(&DOCUMENTS, how_many) {
            saw.push(match random.below(8) {
                0 => there(path, snapshot.exists(path)?),
                1 => there(path, snapshot.version(path)?.is_some()),
                _ => sighting(path, snapshot.get(path)?)?,
            });
        }
        if random.one_in(3) {
            let dir = DIRECTORIES[random.below(DIRECTORIES.len())];
            let listed = snapshot.list(dir)?;
            sightings_of_list(dir, listed.iter().map(|path| &**path), saw)?;
        }
        Ok(())
    }

    /// Notes all of it.
    pub(super) fn let_go(self, notes: &mut Notes) -> Outcome {
        notes.past(self.op, self.taken, self.snapshot.txn(), &self.saw)
    }
}
