//! A fair sample of a power cut's outcomes, where there are too many to try them all.

use std::collections::{BTreeSet, HashSet};

use crate::choices::{Choices, Difference, Pick};
use crate::crash::{Cut, Order, Part, Picks, Tree};
use crate::fs::SimFs;
use crate::names::Names;
use crate::random::Random;
use crate::step::Step;

impl Cut<'_> {
    /// The corners first: all and nothing, of names and of data. Then, in an order that the seed
    /// shuffles, every prefix of the changes, and as far as the profile has them each one lost, each
    /// one kept, each side of one alone; at most three quarters of the limit. The rest are mixes.
    pub(crate) fn sample(&self, limit: usize) -> Vec<SimFs> {
        let mut random = Random::new(self.seed);
        let mut sample = Sample::new(self, limit);
        let (lost, kept) = (self.tree(self.durable), self.tree(&self.prefix(self.changes.len())));
        for tree in [&lost, &kept] {
            sample.add(tree, &self.picks(tree, Choices::lost));
            sample.add(tree, &self.picks(tree, Choices::kept));
        }
        let enough = limit - limit / 4;
        let is_full = sample.worlds.len() >= enough;
        let mut corners = if is_full { Vec::new() } else { self.corners(&kept) };
        random.shuffle(&mut corners);
        for corner in corners {
            if sample.worlds.len() >= enough {
                break;
            }
            let names = match corner {
                Corner::Before(one) => self.prefix(one),
                Corner::Without(one) => self.all_but(one, Part::Nothing),
                Corner::InPart(one, part) => self.all_but(one, part),
                Corner::Only(one) => {
                    let needed = self.needed(one);
                    self.replay(|at| whole_if(needed.contains(&at)))
                }
                Corner::File(at, pick) => {
                    for base in [Choices::kept, Choices::lost] {
                        let mut picks = self.picks(&kept, base);
                        picks[at] = pick(&self.choices[&kept.open[at]]);
                        sample.add(&kept, &picks);
                    }
                    continue;
                }
                Corner::Part(at, difference) => {
                    for all_kept in [true, false] {
                        let base = if all_kept { Choices::kept } else { Choices::lost };
                        let mut picks = self.picks(&kept, base);
                        picks[at] = self.choices[&kept.open[at]].all_but(all_kept, difference);
                        sample.add(&kept, &picks);
                    }
                    continue;
                }
            };
            let tree = self.tree(&names);
            sample.add(&tree, &self.picks(&tree, Choices::kept));
            sample.add(&tree, &self.picks(&tree, Choices::lost));
        }
        for _ in 0..limit.saturating_mul(4) {
            if sample.worlds.len() >= limit {
                break;
            }
            let percent = [10, 50, 80, 95][random.below(4)];
            let tree = self.tree(&self.random_names(&mut random, percent));
            let percent = [0, 0, 40, 80, 100][random.below(5)];
            let picks = self.picks(&tree, |choices| choices.random(&mut random, percent));
            sample.add(&tree, &picks);
        }
        sample.worlds
    }

    fn all_but(&self, one: usize, part: Part) -> Names {
        self.replay(|at| if at == one { part } else { Part::Whole })
    }

    /// A mix; about `percent` of a hundred changes are there.
    fn random_names(&self, random: &mut Random, percent: usize) -> Names {
        match self.order {
            Order::Prefix => self.prefix(random.below(self.changes.len() + 1)),
            Order::Subset => self.replay(|_| whole_if(random.chance(percent))),
            Order::Sides => self.replay(|at| {
                let parts: Vec<Part> = self.parts(self.changes[at]).collect();
                match random.chance(percent) {
                    true if random.chance(50) => parts[random.below(parts.len())],
                    is_kept => whole_if(is_kept),
                }
            }),
        }
    }

    /// What differs in one thing from all lost or all kept.
    fn corners(&self, kept: &Tree) -> Vec<Corner> {
        let mut corners = Vec::new();
        for (one, change) in self.changes.iter().enumerate() {
            corners.push(Corner::Before(one));
            if self.order != Order::Prefix {
                corners.extend([Corner::Without(one), Corner::Only(one)]);
                let sides = self.parts(change).filter(|part| *part != Part::Whole);
                corners.extend(sides.map(|part| Corner::InPart(one, part)));
            }
        }
        for (at, id) in kept.open.iter().enumerate() {
            corners.extend([Corner::File(at, Choices::kept), Corner::File(at, Choices::lost)]);
            let differences = self.choices[id].differences();
            corners.extend(differences.into_iter().map(|part| Corner::Part(at, part)));
        }
        corners
    }

    /// A change and the earlier ones without which its names would not be there.
    fn needed(&self, one: usize) -> BTreeSet<usize> {
        let mut needed = BTreeSet::from([one]);
        let mut spots: BTreeSet<_> = self.changes[one].step.spots().collect();
        for at in (0..one).rev() {
            let step = &self.changes[at].step;
            let makes_dir = matches!(step, Step::Add { entry, .. }
                if spots.iter().any(|spot| spot.dir == entry.id));
            if makes_dir || step.spots().any(|spot| spots.contains(spot)) {
                spots.extend(step.spots());
                needed.insert(at);
            }
        }
        needed
    }
}

/// One thing that differs; files are numbered as in the tree with all names kept.
enum Corner {
    /// The changes before this one.
    Before(usize),
    /// All changes but this one, and those that rest on it.
    Without(usize),
    /// Only this change, and those on which it rests.
    Only(usize),
    /// All changes, but of this one only a part.
    InPart(usize, Part),
    /// One file is all lost or all kept.
    File(usize, fn(&Choices) -> Pick),
    /// One thing of one file differs.
    Part(usize, Difference),
}

fn whole_if(is_kept: bool) -> Part {
    if is_kept { Part::Whole } else { Part::Nothing }
}

/// Distinct worlds, up to a limit.
struct Sample<'a> {
    cut: &'a Cut<'a>,
    seen: HashSet<(u64, Picks)>,
    seen_twins: HashSet<u64>,
    worlds: Vec<SimFs>,
    limit: usize,
}

impl<'a> Sample<'a> {
    fn new(cut: &'a Cut<'a>, limit: usize) -> Self {
        let (seen, seen_twins) = (HashSet::new(), HashSet::new());
        Self { cut, seen, seen_twins, worlds: Vec::new(), limit }
    }

    fn add(&mut self, tree: &Tree, picks: &Picks) {
        let is_new = self.worlds.len() < self.limit
            && self.seen.insert((tree.system.live.sum(), picks.clone()));
        if !is_new {
            return;
        }
        let world = self.cut.world(tree, picks);
        if !self.cut.twins || self.seen_twins.insert(world.fingerprint()) {
            self.worlds.push(world);
        }
    }
}
