//! What a power cut leaves: every file system that it may, or a fair sample of them.
//!
//! First the names: which of the pending changes reached the disk, in whole or, where the profile
//! allows it, in part. Then, for each such tree, what it can reach: the choices of every file with
//! something pending. A file that no name leads to is gone, so its choices do not count; and two
//! ways that lead to one tree are one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::choices::{Choices, Pick, within};
use crate::cow::Map;
use crate::fs::SimFs;
use crate::inode::{Data, Id, Inode, MetaVersions, ROOT};
use crate::ledger::{Ledger, Ledgers};
use crate::names::{Names, Side};
use crate::profile::Profile;
use crate::random::hash_of;
use crate::step::{Change, Step};
use crate::system::System;

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
    profile: Profile,
    back: Return,
    limit: usize,
    seed: u64,
) -> Outcomes {
    let cut = Cut::new(system, profile, back, seed);
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
    let possible = cut.ways() * cut.tree(&cut.replay(|_| Part::Whole)).count;
    Outcomes { worlds: cut.sample(limit), possible, complete: false }
}

/// Which of the pending changes of names an outcome may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Those before some point.
    Prefix,
    /// Any.
    Subset,
    /// Any, and of a move of files either side alone.
    Sides,
}

/// How much of a change reached the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Nothing,
    Whole,
    Only(Side),
}

/// One power cut: what is the same in all its outcomes.
pub(crate) struct Cut<'a> {
    pub(crate) system: &'a System,
    back: Return,
    pub(crate) seed: u64,
    pub(crate) order: Order,
    pub(crate) durable: &'a Names,
    /// The pending changes of names, in order.
    pub(crate) changes: Vec<&'a Change>,
    /// The inodes that can lose something, with all of it lost.
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
    pub(crate) fn new(system: &'a System, profile: Profile, back: Return, seed: u64) -> Self {
        let (mut lost, mut choices) = (BTreeMap::new(), BTreeMap::new());
        for (&id, inode) in system.inodes.iter() {
            if inode.is_settled() {
                continue;
            }
            let mut settled = inode.as_ref().clone();
            let data = &inode.data;
            let pages = within(data.durable.clone(), data.durable_size);
            settled.data = Data::settled(pages, data.durable_size);
            settled.meta = MetaVersions::new(inode.meta.durable.clone());
            settled.opens = 0;
            lost.insert(id, Arc::new(settled));
            let of = Choices::of(inode, profile.grain(), hash_of(&(seed, id)));
            if of.count() > 1.0 || inode.meta.touched {
                choices.insert(id, of);
            }
        }
        let (Ledger { durable, pending }, order) = system.ledgers.of(profile);
        let changes = pending.iter().map(|(_, pending)| pending.change.as_ref()).collect();
        let mut numbers: Vec<u64> = system.inodes.iter().map(|(_, inode)| inode.number).collect();
        numbers.sort_unstable();
        let twins = numbers.windows(2).any(|two| two[0] == two[1]);
        Self { system, back, seed, order, durable, changes, lost, choices, twins }
    }

    // Names

    /// Replays those parts of the changes whose names allow it.
    pub(crate) fn replay(&self, mut part: impl FnMut(usize) -> Part) -> Names {
        let mut names = self.durable.clone();
        for (at, change) in self.changes.iter().enumerate() {
            replay_part(&mut names, change, part(at));
        }
        names
    }

    /// The changes before this one.
    pub(crate) fn prefix(&self, end: usize) -> Names {
        self.replay(|at| if at < end { Part::Whole } else { Part::Nothing })
    }

    /// How many ways there are to choose among the changes, those that cannot be replayed included.
    fn ways(&self) -> f64 {
        let parts = |change: &&Change| self.parts(change).count() as f64 + 1.0;
        match self.order {
            Order::Prefix => self.changes.len() as f64 + 1.0,
            Order::Subset | Order::Sides => self.changes.iter().map(parts).product(),
        }
    }

    /// How much of a change may have reached the disk, if anything has.
    pub(crate) fn parts(&self, change: &Change) -> impl Iterator<Item = Part> + use<> {
        let is_move = matches!(change.step, Step::Move { .. });
        let has_sides = self.order == Order::Sides && is_move && !change.is_about_dirs();
        let sides = [Part::Only(Side::From), Part::Only(Side::To)];
        std::iter::once(Part::Whole).chain(sides.into_iter().filter(move |_| has_sides))
    }

    /// The distinct trees that the names may form; `None` if there are more than `limit`, or too
    /// many ways to try.
    pub(crate) fn all_trees(&self, limit: usize) -> Option<Vec<Tree>> {
        if self.order == Order::Prefix {
            return self.all_prefixes(limit);
        }
        let mut trees = vec![self.durable.clone()];
        let mut budget = limit.saturating_mul(16).max(4096);
        // Ways that agree so far in all names have the same future: one of them is enough.
        for change in &self.changes {
            let mut seen: HashSet<u64> = trees.iter().map(Names::sum).collect();
            let mut more = Vec::new();
            for names in &trees {
                for part in self.parts(change) {
                    let mut names = names.clone();
                    if replay_part(&mut names, change, part) && seen.insert(names.sum()) {
                        more.push(names);
                    }
                }
            }
            trees.extend(more);
            budget = budget.checked_sub(trees.len())?;
            if trees.len() > limit {
                return None;
            }
        }
        Some(trees.iter().map(|names| self.tree(names)).collect())
    }

    fn all_prefixes(&self, limit: usize) -> Option<Vec<Tree>> {
        let mut names = self.durable.clone();
        let mut seen = HashSet::from([names.sum()]);
        let mut trees = vec![names.clone()];
        for change in &self.changes {
            replay_part(&mut names, change, Part::Whole);
            if seen.insert(names.sum()) {
                trees.push(names.clone());
            }
        }
        (trees.len() <= limit).then(|| trees.iter().map(|names| self.tree(names)).collect())
    }

    /// The file system with these names and nothing else that was pending.
    pub(crate) fn tree(&self, names: &Names) -> Tree {
        let names = names.pruned();
        let mut linked: Vec<Id> = names.all().map(|(_, _, entry)| entry.id).chain([ROOT]).collect();
        linked.sort_unstable();
        let mut system = self.system.clone();
        let mut numbers = BTreeSet::new();
        let (mut inodes, mut open) = (Vec::with_capacity(linked.len()), Vec::new());
        for links in linked.chunk_by(|a, b| a == b) {
            let (id, nlink) = (links[0], links.len() as u32);
            let lost = self.lost.get(&id).or_else(|| self.system.inodes.get(&id));
            let mut inode = Arc::clone(lost.expect("a name holds its inode"));
            // A number that came back too early: its two owners cannot both have it.
            let is_taken = !numbers.insert(inode.number);
            let holds = nlink * Ledgers::COUNT;
            if inode.nlink != nlink || inode.holds != holds || inode.gone || is_taken {
                let inode = Arc::make_mut(&mut inode);
                (inode.nlink, inode.holds, inode.gone) = (nlink, holds, false);
                if is_taken {
                    inode.number = system.next_number;
                    system.next_number += 1;
                    numbers.insert(inode.number);
                }
            }
            inodes.push((id, inode));
            if self.choices.contains_key(&id) {
                open.push(id);
            }
        }
        system.inodes = inodes.into_iter().collect();
        system.ledgers = Arc::new(Ledgers::settled(&names, system.ledgers.next));
        system.live = names;
        system.handles = Map::default();
        let free = (3..system.next_number).filter(|number| !numbers.contains(number));
        system.free_numbers = free.map(|number| (number, ())).collect();
        system.come_back(self.back);
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

/// Takes a part of a change if its directories can be reached and its names allow it.
pub(crate) fn replay_part(names: &mut Names, change: &Change, part: Part) -> bool {
    let step = &change.step;
    part != Part::Nothing
        && step.spots().all(|spot| names.is_attached(spot.dir))
        && match part {
            Part::Only(side) => names.apply_side(step, side).is_ok(),
            _ => names.apply(step).is_ok(),
        }
}

impl Ledgers {
    pub(crate) fn of(&self, profile: Profile) -> (&Ledger, Order) {
        match profile {
            Profile::Strict(_) => (&self.strict, Order::Subset),
            Profile::Ordered(_) => (&self.ordered, Order::Prefix),
            Profile::PerInode(_) => (&self.per_inode, Order::Prefix),
            Profile::Hostile(_) => (&self.hostile, Order::Sides),
        }
    }
}

impl System {
    /// A new mount, and in a new boot another boot id. Mounts beneath the root are there again.
    fn come_back(&mut self, back: Return) {
        if back == Return::Boot {
            self.boot += 1;
        }
        self.mount = self.new_mount();
        if std::mem::take(&mut self.config.gave_up) {
            self.config.read_only = false;
        }
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
