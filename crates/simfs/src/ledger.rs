//! What a kind of file system has surely made durable of names, and what is pending.
//!
//! The kinds of rule 5 differ in what a sync covers and in what a power cut may leave of the rest,
//! so that each keeps a [`Ledger`] of its own: the run is the same for all of them, and which one
//! the power cut is to be judged by is asked afterwards.
//!
//! | | a sync covers | a power cut leaves |
//! | --- | --- | --- |
//! | *strict* | of a directory: its changes, with the earlier ones on the same names | any of the rest |
//! | *ordered* | all changes before the last one of the inode, so far as its kind needs the log | a prefix of the rest |
//! | *per-inode* | the inode's own changes, so far as its kind needs the log, and what they rest on | a prefix of the rest |
//! | *hostile* | of a directory: what stands at each of its names | any of the rest, and of a move either side |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cow::Map;
use crate::inode::Id;
use crate::names::Names;
use crate::step::{Change, Entry, Spot};

/// How many names and steps hold an inode more or less than before.
pub(crate) type Holds = Vec<(Id, i32)>;

#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) durable: Names,
    /// Changes that are live and not surely durable, by number, in the order in which they were made.
    pub(crate) pending: Map<u64, Pending>,
}

#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) change: Arc<Change>,
    /// A sync of it failed: a later sync proves nothing of it.
    forsaken: bool,
}

/// Which pending changes become durable.
#[derive(Clone, Copy)]
struct Reach {
    /// Those of which a sync has failed, too; write-back needs no sync.
    even_forsaken: bool,
    /// The names of the directories above as well.
    above: bool,
}

impl Ledger {
    fn settled(names: Names) -> Self {
        Self { durable: names, pending: Map::default() }
    }

    /// Makes these changes durable, with the earlier ones on which they rest: those on the same
    /// names, and those that emptied a directory that is removed. Changes of which a sync has failed
    /// are left out, unless others rest on them.
    fn settle(&mut self, reach: Reach, wanted: impl Fn(u64, &Change) -> bool, holds: &mut Holds) {
        let (mut spots, mut emptied, mut above) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut settled = Vec::new();
        for (&number, Pending { change, forsaken }) in self.pending.iter().rev() {
            let asked = (reach.even_forsaken || !forsaken) && wanted(number, change);
            let rested_on = || {
                let mut of = change.step.spots();
                of.any(|spot| spots.contains(spot) || emptied.contains(&spot.dir))
                    || change.is_about_dirs() && above.iter().any(|dir| change.names(*dir))
            };
            if asked || rested_on() {
                spots.extend(change.step.spots().cloned());
                emptied.extend(change.removed_dir());
                if reach.above {
                    above.extend(change.step.spots().map(|spot| spot.dir));
                }
                settled.push(number);
            }
        }
        for number in settled.into_iter().rev() {
            let step = &self.pending.get(&number).expect("listed").change.step;
            for spot in step.spots() {
                self.durable.ensure_dir(spot.dir);
            }
            // A move that the durable tree forbids, since a directory would be within itself, waits.
            let Ok(displaced) = self.durable.apply(step) else { continue };
            self.pending.remove(&number);
            holds.extend(displaced.map(|entry| (entry.id, -1)));
        }
    }

    /// Makes what stands at these names durable, and nothing else: of a move that has another name
    /// as well, that side stays pending. Only moves of directories are whole.
    fn settle_spots(
        &mut self,
        even_forsaken: bool,
        wanted: impl Fn(&Spot) -> bool,
        holds: &mut Holds,
    ) {
        let mut settled: BTreeMap<Spot, Option<Entry>> = BTreeMap::new();
        let mut emptied = BTreeSet::new();
        let mut left = Vec::new();
        for (&number, Pending { change, forsaken }) in self.pending.iter().rev() {
            let asked = even_forsaken || !forsaken;
            let is_covered = |spot: &Spot| {
                settled.contains_key(spot) || emptied.contains(&spot.dir) || asked && wanted(spot)
            };
            let whole = change.is_about_dirs() && change.step.spots().any(is_covered);
            let (covered, rest): (Vec<_>, Vec<_>) =
                change.effects().partition(|(spot, _)| whole || is_covered(spot));
            if covered.is_empty() {
                continue;
            }
            emptied.extend(change.removed_dir());
            for (spot, value) in covered {
                // The last change of a name says what stands there.
                settled.entry(spot.clone()).or_insert(value);
            }
            let rest =
                rest.first().map(|(spot, value)| Change::of_spot(spot, *value, change.entry));
            left.push((number, rest));
        }
        holds.extend(self.durable.overwrite(&settled));
        for (number, rest) in left {
            let Some(pending) = self.pending.get_mut(&number) else { continue };
            holds.extend(pending.change.step.holds().map(|id| (id, -1)));
            match rest {
                Some(rest) => {
                    holds.extend(rest.step.holds().map(|id| (id, 1)));
                    pending.change = Arc::new(rest);
                }
                None => drop(self.pending.remove(&number)),
            }
        }
    }
}

/// The ledgers of the four kinds.
#[derive(Clone, Debug)]
pub(crate) struct Ledgers {
    pub(crate) strict: Ledger,
    pub(crate) ordered: Ledger,
    pub(crate) per_inode: Ledger,
    pub(crate) hostile: Ledger,
    /// The number of the next change.
    pub(crate) next: u64,
}

impl Ledgers {
    /// How many there are, and how often each holds a name.
    pub(crate) const COUNT: u32 = 4;

    /// All names are durable; the next change has number `next`.
    pub(crate) fn settled(names: &Names, next: u64) -> Self {
        let settled = || Ledger::settled(names.clone());
        Self {
            strict: settled(),
            ordered: settled(),
            per_inode: settled(),
            hostile: settled(),
            next,
        }
    }

    #[cfg(test)]
    pub(crate) fn all(&self) -> [&Ledger; Self::COUNT as usize] {
        [&self.strict, &self.ordered, &self.per_inode, &self.hostile]
    }

    fn all_mut(&mut self) -> [&mut Ledger; Self::COUNT as usize] {
        [&mut self.strict, &mut self.ordered, &mut self.per_inode, &mut self.hostile]
    }

    pub(crate) fn add(&mut self, change: Change) {
        let (change, number) = (Arc::new(change), self.next);
        for ledger in self.all_mut() {
            let change = Arc::clone(&change);
            ledger.pending.insert(number, Pending { change, forsaken: false });
        }
        self.next += 1;
    }

    /// A sync of a file whose changes before number `upto` need the log.
    pub(crate) fn sync_file(&mut self, id: Id, upto: u64, holds: &mut Holds) {
        let reach = Reach { even_forsaken: false, above: true };
        let is_due =
            |ledger: &Ledger| ledger.pending.iter().next().is_some_and(|(&first, _)| first < upto);
        if is_due(&self.ordered) {
            self.ordered.settle(reach, |number, _| number < upto, holds);
        }
        if is_due(&self.per_inode) {
            let own = |number, change: &Change| number < upto && change.names(id);
            self.per_inode.settle(reach, own, holds);
        }
    }

    /// A sync of a directory whose changes before number `upto` need the log.
    pub(crate) fn sync_dir(&mut self, dir: Id, upto: u64, holds: &mut Holds) {
        self.settle_dir(dir, upto, Reach { even_forsaken: false, above: true }, holds);
    }

    fn settle_dir(&mut self, dir: Id, upto: u64, reach: Reach, holds: &mut Holds) {
        self.strict.durable.ensure_dir(dir);
        self.hostile.durable.ensure_dir(dir);
        let touches = |_, change: &Change| change.step.touches_dir(dir);
        self.strict.settle(Reach { above: false, ..reach }, touches, holds);
        self.ordered.settle(reach, |number, _| number < upto, holds);
        let own = |number, change: &Change| {
            number < upto && (touches(number, change) || change.names(dir))
        };
        self.per_inode.settle(reach, own, holds);
        self.hostile.settle_spots(reach.even_forsaken, |spot| spot.dir == dir, holds);
    }

    /// Everything that no sync has failed on.
    pub(crate) fn sync_everything(&mut self, holds: &mut Holds) {
        let reach = Reach { even_forsaken: false, above: true };
        for ledger in [&mut self.strict, &mut self.ordered, &mut self.per_inode] {
            ledger.settle(reach, |_, _| true, holds);
        }
        self.hostile.settle_spots(false, |_| true, holds);
    }

    /// The entries of a directory become durable of themselves, those too of which a sync has failed.
    pub(crate) fn write_back_dir(&mut self, dir: Id, upto: u64, holds: &mut Holds) {
        self.settle_dir(dir, upto, Reach { even_forsaken: true, above: true }, holds);
    }

    /// What stands at one name becomes durable of itself.
    pub(crate) fn write_back(&mut self, at: &Spot, holds: &mut Holds) {
        let reach = Reach { even_forsaken: true, above: true };
        let touches = |_, change: &Change| change.step.spots().any(|spot| spot == at);
        self.strict.settle(Reach { above: false, ..reach }, touches, holds);
        self.per_inode.settle(reach, touches, holds);
        let of = self.ordered.pending.iter().filter(|(_, pending)| touches(0, &pending.change));
        let last = of.map(|(number, _)| *number).next_back();
        self.ordered.settle(reach, |number, _| Some(number) <= last, holds);
        self.hostile.settle_spots(true, |spot| spot == at, holds);
    }

    /// A failed sync: these changes stay pending, and no later sync covers them by itself.
    pub(crate) fn forsake(&mut self, covered: impl Fn(&Change) -> bool) {
        for ledger in self.all_mut() {
            let pending = ledger.pending.iter();
            let numbers: Vec<u64> = pending
                .filter(|(_, pending)| covered(&pending.change))
                .map(|(number, _)| *number)
                .collect();
            for number in numbers {
                ledger.pending.get_mut(&number).expect("listed").forsaken = true;
            }
        }
    }
}
