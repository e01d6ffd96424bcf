//! What a power cut leaves: every file system that it may, or a fair sample of them.
//!
//! First the names: which of the pending steps reached the disk. Then, for each such tree, what it
//! can reach: the choices of every file with something pending. A file that no name leads to is
//! gone, so its choices do not count; and two subsets of steps that lead to one tree are one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::choices::{Choices, Grain, Pick, within};
use crate::cow::Map;
use crate::fs::SimFs;
use crate::inode::{Data, Id, Inode, MetaVersions, ROOT};
use crate::names::{Names, Step};
use crate::random::hash_of;
use crate::system::System;

/// What the disk and its file system may do to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Whatever the contract of the seam allows: any version of each page, any size, any attributes,
    /// and any subset of the changes of names that can be replayed by name, all independent.
    Strict(Grain),
}

/// The file systems that a power cut may leave.
#[derive(Debug)]
pub struct Outcomes {
    /// Each another one, settled, with no processes: what the next boot or mount finds.
    pub worlds: Vec<SimFs>,
    /// How many there are; an upper bound if there are too many to count.
    pub possible: f64,
    /// `worlds` are all of them. Only the mtime that a write stamps is not enumerated: it is kept or
    /// lost by chance, in every world another way. One that was set on purpose is enumerated.
    pub complete: bool,
}

/// What comes after the power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// Another boot.
    Boot,
    /// The same boot; the device was pulled and mounted again.
    Mount,
}

pub(crate) fn power_cut(
    system: &System,
    Profile::Strict(grain): Profile,
    back: Return,
    limit: usize,
    seed: u64,
) -> Outcomes {
    let cut = Cut::new(system, grain, back, seed);
    if let Some(trees) = cut.all_trees(limit) {
        let possible: f64 = trees.iter().map(|tree| tree.count).sum();
        if possible <= limit as f64 {
            let mut worlds: Vec<SimFs> = trees.iter().flat_map(|tree| cut.all_of(tree)).collect();
            if cut.twins {
                let mut seen = HashSet::new();
                worlds.retain(|world| seen.insert(world.fingerprint()));
            }
            return Outcomes { possible: worlds.len() as f64, worlds, complete: true };
        }
        return Outcomes { worlds: cut.sample(limit), possible, complete: false };
    }
    let subsets = 2f64.powi(i32::try_from(cut.steps.len()).unwrap_or(i32::MAX));
    let possible = subsets * cut.tree(&cut.replay(|_| true)).count;
    Outcomes { worlds: cut.sample(limit), possible, complete: false }
}

/// One power cut: what is the same in all its outcomes.
pub(crate) struct Cut<'a> {
    pub(crate) system: &'a System,
    back: Return,
    pub(crate) seed: u64,
    /// The pending changes of names, in order.
    pub(crate) steps: Vec<&'a Step>,
    /// Every inode with all lost that can be lost.
    lost: BTreeMap<Id, Arc<Inode>>,
    pub(crate) choices: BTreeMap<Id, Choices>,
    /// Two inodes have had the same number, so that different picks may look the same.
    pub(crate) twins: bool,
}

/// The names that an outcome has, with all else lost.
pub(crate) struct Tree {
    pub(crate) system: System,
    /// The files in it that have choices.
    pub(crate) open: Vec<Id>,
    /// How many picks there are for them together.
    count: f64,
}

/// A pick for each open file of a tree.
pub(crate) type Picks = Vec<Pick>;

impl<'a> Cut<'a> {
    fn new(system: &'a System, grain: Grain, back: Return, seed: u64) -> Self {
        let (mut lost, mut choices) = (BTreeMap::new(), BTreeMap::new());
        for (&id, inode) in system.inodes.iter() {
            if inode.is_settled() {
                lost.insert(id, Arc::clone(inode));
                continue;
            }
            let mut settled = inode.as_ref().clone();
            let data = &inode.data;
            let pages = within(data.durable.clone(), data.durable_size);
            settled.data = Data::settled(pages, data.durable_size);
            settled.meta = MetaVersions::new(inode.meta.durable.clone());
            settled.opens = 0;
            lost.insert(id, Arc::new(settled));
            let of = Choices::of(inode, grain);
            if of.count() > 1.0 || inode.meta.touched {
                choices.insert(id, of);
            }
        }
        let steps = system.pending.iter().map(|(_, pending)| &pending.step).collect();
        let numbers: BTreeSet<u64> = lost.values().map(|inode| inode.number).collect();
        let twins = numbers.len() < lost.len();
        Self { system, back, seed, steps, lost, choices, twins }
    }

    // Names

    /// Replays those of the kept steps whose names allow it.
    pub(crate) fn replay(&self, mut keep: impl FnMut(usize) -> bool) -> Names {
        let mut names = self.system.durable.clone();
        for (at, step) in self.steps.iter().enumerate() {
            if keep(at) {
                replay_step(&mut names, step);
            }
        }
        names
    }

    /// The distinct trees of all subsets of the steps that can be replayed; `None` if there are
    /// more than `limit`, or too many subsets to try.
    fn all_trees(&self, limit: usize) -> Option<Vec<Tree>> {
        let mut layer = vec![self.system.durable.clone()];
        let mut budget = limit.saturating_mul(16).max(4096);
        // Subsets that agree so far in all names have the same future: one of them is enough.
        for step in &self.steps {
            let mut seen: HashSet<u64> = layer.iter().map(Names::sum).collect();
            let mut kept = Vec::new();
            for names in &layer {
                let mut names = names.clone();
                if replay_step(&mut names, step) && seen.insert(names.sum()) {
                    kept.push(names);
                }
            }
            layer.extend(kept);
            budget = budget.checked_sub(layer.len())?;
            if layer.len() > limit {
                return None;
            }
        }
        Some(layer.iter().map(|names| self.tree(names)).collect())
    }

    /// The file system with these names and nothing else that was pending.
    pub(crate) fn tree(&self, names: &Names) -> Tree {
        let names = names.pruned();
        let mut links: BTreeMap<Id, u32> = BTreeMap::from([(ROOT, 1)]);
        for (_, _, entry) in names.all() {
            *links.entry(entry.id).or_default() += 1;
        }
        let mut system = self.system.clone();
        let mut numbers = BTreeSet::new();
        let mut inodes = Map::default();
        for (&id, &nlink) in &links {
            let mut inode = Arc::clone(&self.lost[&id]);
            // A number that came back too early: its two owners cannot both have it.
            let is_taken = !numbers.insert(inode.number);
            if inode.nlink != nlink || inode.holds != nlink || inode.gone || is_taken {
                let inode = Arc::make_mut(&mut inode);
                (inode.nlink, inode.holds, inode.gone) = (nlink, nlink, false);
                if is_taken {
                    inode.number = system.next_number;
                    system.next_number += 1;
                    numbers.insert(inode.number);
                }
            }
            inodes.insert(id, inode);
        }
        system.inodes = inodes;
        system.live = names.clone();
        system.durable = names;
        system.pending = Map::default();
        system.handles = Map::default();
        let free = (3..system.next_number).filter(|number| !numbers.contains(number));
        system.free_numbers = free.map(|number| (number, ())).collect();
        system.come_back(self.back);
        let open: Vec<Id> = links.into_keys().filter(|id| self.choices.contains_key(id)).collect();
        let count = open.iter().map(|id| self.choices[id].count()).product();
        Tree { system, open, count }
    }

    // Files

    pub(crate) fn world(&self, tree: &Tree, picks: &Picks) -> SimFs {
        let mut system = tree.system.clone();
        for (id, pick) in tree.open.iter().zip(picks) {
            let choices = &self.choices[id];
            let place = (self.seed, id, choices.size(pick), tree.system.live.sum());
            choices.apply(pick, hash_of(&place) % 2 == 0, system.inode_mut(*id));
        }
        SimFs::from_system(system)
    }

    fn all_of(&self, tree: &Tree) -> Vec<SimFs> {
        let counts: Vec<u64> = tree.open.iter().map(|id| self.choices[id].count() as u64).collect();
        let world = |mut number: u64| {
            let picks = tree.open.iter().zip(&counts).map(|(id, count)| {
                let pick = self.choices[id].nth(number % count);
                number /= count;
                pick
            });
            self.world(tree, &picks.collect())
        };
        (0..tree.count as u64).map(world).collect()
    }

    pub(crate) fn picks(&self, tree: &Tree, mut pick: impl FnMut(&Choices) -> Pick) -> Picks {
        tree.open.iter().map(|id| pick(&self.choices[id])).collect()
    }
}

/// Takes a step if its directories can be reached and its names allow it.
fn replay_step(names: &mut Names, step: &Step) -> bool {
    step.spots().all(|spot| names.is_attached(spot.dir)) && names.apply(step).is_ok()
}

impl System {
    /// A new mount, and in a new boot another boot id. Mounts beneath the root are there again.
    fn come_back(&mut self, back: Return) {
        if back == Return::Boot {
            self.boot += 1;
        }
        self.mount = self.new_mount();
        let mounts: Vec<Id> = self.mounts.iter().map(|(id, _)| *id).collect();
        for id in mounts {
            let mount = self.new_mount();
            match self.inodes.contains(&id) {
                true => self.mounts.insert(id, mount),
                false => self.mounts.remove(&id),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use filepact_fs::{Rename, SyncKind};

    use super::*;
    use crate::random::Random;

    /// A random call on a handful of names; refusals are fine.
    fn act(system: &mut System, random: &mut Random) {
        let paths = ["a", "b", "d", "d/x", "d/y", "e", "e/x", "d/e", "d/e/x"];
        let (path, other) = (paths[random.below(9)], paths[random.below(9)]);
        let how = [Rename::Replace, Rename::NoReplace, Rename::Exchange][random.below(3)];
        let file = system.file(path).ok();
        let _ = match (random.below(12), file) {
            (0 | 1, _) => system.create(path, 0o600).map(drop),
            (2, _) => system.make_dir(path, 0o755),
            (3..=5, _) => system.rename(path, other, how),
            (6, _) => system.remove(path),
            (7, Some((id, mount))) => system.link(id, mount, other),
            (8, Some((id, _))) => system.write(id, &[random.below(9) as u8; 9], 4090).map(drop),
            (9, Some((id, _))) => {
                system.sync(id, [SyncKind::Data, SyncKind::All][random.below(2)]);
                Ok(())
            }
            (10, _) => system.dir(path).map(|(id, _)| system.sync_dir(id)),
            (11, Some((id, _))) if random.chance(50) => {
                system.open_handle(random.next() % 3, id, None);
                Ok(())
            }
            (11, _) => {
                let actor = random.next() % 3;
                system.close_handles(|owner| owner == actor);
                Ok(())
            }
            _ => Ok(()),
        };
    }

    fn check_holds(system: &System) {
        let mut holds = BTreeMap::from([(ROOT, 1)]);
        for (_, _, entry) in system.durable.all() {
            *holds.entry(entry.id).or_insert(0) += 1;
        }
        for (_, pending) in system.pending.iter() {
            if let Step::Add { entry, .. } = &pending.step {
                *holds.entry(entry.id).or_insert(0) += 1;
            }
        }
        for (id, inode) in system.inodes.iter() {
            assert_eq!(inode.holds, holds.remove(id).unwrap_or(0), "holds of {id:?}");
            assert!(inode.holds > 0 || inode.nlink > 0 || inode.opens > 0, "{id:?} is a leak");
        }
        assert!(holds.is_empty(), "freed too early: {holds:?}");
    }

    #[test]
    fn the_trees_of_a_power_cut_are_those_of_all_subsets_tried_one_by_one() {
        let mut full = 0;
        for seed in 0..600 {
            let (mut random, mut system) = (Random::new(seed), System::new());
            for _ in 0..random.below(40) {
                act(&mut system, &mut random);
                check_holds(&system);
            }
            let cut = Cut::new(&system, Grain::Page, Return::Boot, seed);
            if cut.steps.len() > 10 {
                continue;
            }
            full += 1;
            let found: BTreeSet<u64> =
                cut.all_trees(5000).unwrap().iter().map(|tree| tree.system.live.sum()).collect();
            let tried: BTreeSet<u64> = (0..1_u32 << cut.steps.len())
                .map(|subset| cut.replay(|at| subset >> at & 1 == 1).pruned().sum())
                .collect();
            assert_eq!(found, tried, "seed {seed}");
            let all = power_cut(&system, Profile::Strict(Grain::Page), Return::Boot, 3000, seed);
            let distinct: HashSet<u64> = all.worlds.iter().map(SimFs::fingerprint).collect();
            assert_eq!(distinct.len(), all.worlds.len(), "seed {seed}");
            for world in all.worlds {
                check_holds(&world.state().system);
            }
        }
        assert!(full > 200, "{full} is too few to mean anything");
    }

    #[test]
    fn after_sync_everything_a_power_cut_leaves_the_live_tree() {
        for seed in 0..600 {
            let (mut random, mut system) = (Random::new(seed), System::new());
            for _ in 0..random.below(60) {
                act(&mut system, &mut random);
            }
            system.sync_everything();
            check_holds(&system);
            let live = SimFs::from_system(system.clone()).tree();
            let all = power_cut(&system, Profile::Strict(Grain::Page), Return::Boot, 10, seed);
            assert_eq!((all.worlds.len(), all.complete), (1, true), "seed {seed}");
            assert_eq!(all.worlds[0].tree(), live, "seed {seed}");
        }
    }
}
