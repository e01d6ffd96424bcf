//! The outcomes of a power cut against the definition of each profile, tried way by way on small
//! random systems. The definition works on the whole history at once and knows nothing of ledgers.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use filepact_fs::{Rename, SyncKind};

use crate::crash::{Cut, Part, Return, power_cut, replay_part};
use crate::fs::SimFs;
use crate::inode::{Id, ROOT};
use crate::ledger::Ledgers;
use crate::names::{Names, Side};
use crate::profile::{Grain, Profile};
use crate::random::Random;
use crate::step::{Change, Entry, Spot, Step};
use crate::system::System;

const PATHS: [&str; 9] = ["a", "b", "d", "d/x", "d/y", "e", "e/x", "d/e", "d/e/x"];

/// A system, and all that was done to it.
struct History {
    system: System,
    made: Vec<Made>,
    /// The live names after so many changes.
    lives: Vec<Names>,
    /// How many changes were there when an inode last changed in more than its bytes: for a sync of
    /// content, and for one of all.
    marks: BTreeMap<Id, (usize, usize)>,
    /// Files whose blocks the disk has.
    has_blocks: BTreeSet<Id>,
    /// *Ordered*: at least so many changes are durable.
    floor: usize,
    a_sync_failed: bool,
}

/// A change, and what syncs have made of it.
struct Made {
    change: Change,
    forsaken: bool,
    strict: bool,
    per_inode: bool,
    /// *Hostile*: the names whose side is durable.
    sides: BTreeSet<Spot>,
}

impl History {
    fn new() -> Self {
        let system = System::new();
        Self {
            made: Vec::new(),
            lives: vec![system.live.clone()],
            system,
            marks: BTreeMap::new(),
            has_blocks: BTreeSet::new(),
            floor: 0,
            a_sync_failed: false,
        }
    }

    fn random(seed: u64, calls: usize, failures: bool) -> Self {
        let (mut random, mut history) = (Random::new(seed), Self::new());
        for _ in 0..random.below(calls) {
            history.act(&mut random, failures);
            check_holds(&history.system);
        }
        history
    }

    /// A random call on a handful of names; refusals are fine.
    fn act(&mut self, random: &mut Random, failures: bool) {
        let (path, other) = (PATHS[random.below(9)], PATHS[random.below(9)]);
        let how = [Rename::Replace, Rename::NoReplace, Rename::Exchange][random.below(3)];
        let system = &mut self.system;
        let file = system.file(path).ok();
        match (random.below(13), file) {
            (0 | 1, _) => drop(system.create(path, 0o600)),
            (2, _) => drop(system.make_dir(path, 0o755)),
            (3..=5, _) => drop(system.rename(path, other, how)),
            (6, _) => drop(system.remove(path)),
            (7, Some((id, mount))) => drop(system.link(id, mount, other)),
            (8, Some((id, _))) => {
                system.write(id, &[random.below(9) as u8; 9], 4090).unwrap();
                let (content, all) = self.marks.entry(id).or_default();
                *all = self.made.len();
                if !self.has_blocks.contains(&id) {
                    *content = self.made.len();
                }
            }
            (9, Some((id, _))) => {
                let what = [SyncKind::Data, SyncKind::All][random.below(2)];
                system.sync(id, what);
                self.sync_file(id, what);
            }
            (10, _) => {
                if let Ok((id, _)) = system.dir(path) {
                    system.sync_dir(id);
                    self.sync_dir(id);
                }
            }
            (11, Some((id, _))) if random.chance(50) => {
                system.open_handle(random.next() % 3, id, None);
            }
            (11, _) => {
                let actor = random.next() % 3;
                system.close_handles(|owner| owner == actor);
            }
            (12, _) if failures => {
                if let Ok((id, _)) = system.dir(path) {
                    self.a_sync_failed = true;
                    system.fail_names(|change| change.step.touches_dir(id));
                    for made in &mut self.made {
                        made.forsaken |= made.change.step.touches_dir(id);
                    }
                }
            }
            _ => {}
        }
        if self.system.ledgers.next as usize > self.made.len() {
            self.note_change();
        }
    }

    fn note_change(&mut self) {
        let (_, pending) = self.system.ledgers.strict.pending.iter().next_back().unwrap();
        let change = Change::clone(&pending.change);
        self.lives.push(self.system.live.clone());
        let number = self.lives.len() - 1;
        let dirs = change.step.spots().map(|spot| spot.dir);
        for id in dirs.chain([change.entry.id]).chain(change.other.map(|other| other.id)) {
            self.marks.entry(id).or_default().1 = number;
        }
        let is_new = self.made.iter().all(|made| made.change.entry.id != change.entry.id);
        if is_new && matches!(change.step, Step::Add { .. }) {
            self.marks.entry(change.entry.id).or_default().0 = number;
        }
        let (forsaken, strict, per_inode) = (false, false, false);
        self.made.push(Made { change, forsaken, strict, per_inode, sides: BTreeSet::new() });
    }

    fn sync_file(&mut self, id: Id, what: SyncKind) {
        let (content, all) = self.marks.get(&id).copied().unwrap_or_default();
        let upto = if what == SyncKind::Data { content } else { content.max(all) };
        if self.system.inode(id).data.size > 0 {
            self.has_blocks.insert(id);
        }
        self.floor = self.floor.max(upto);
        let own = |at: usize, made: &Made| at < upto && made.change.names(id);
        let sure = self.closure(own, true);
        sure.into_iter().for_each(|at| self.made[at].per_inode = true);
    }

    fn sync_dir(&mut self, dir: Id) {
        let upto = self.marks.get(&dir).map_or(0, |(_, all)| *all);
        self.floor = self.floor.max(upto);
        let touches = |made: &Made| made.change.step.touches_dir(dir);
        let sure = self.closure(|_, made| touches(made) || made.change.names(dir), true);
        sure.into_iter().for_each(|at| self.made[at].per_inode = true);
        let sure = self.closure(|_, made| touches(made), false);
        sure.into_iter().for_each(|at| self.made[at].strict = true);
        self.sync_slots(dir);
    }

    /// These changes, and the earlier ones on which they rest.
    fn closure(&self, wanted: impl Fn(usize, &Made) -> bool, above: bool) -> BTreeSet<usize> {
        let mut sure: BTreeSet<usize> = (0..self.made.len())
            .filter(|at| !self.made[*at].forsaken && wanted(*at, &self.made[*at]))
            .collect();
        loop {
            let more: Vec<usize> = (0..self.made.len())
                .filter(|at| !sure.contains(at))
                .filter(|at| sure.iter().any(|by| at < by && self.rests_on(*by, *at, above)))
                .collect();
            if more.is_empty() {
                return sure;
            }
            sure.extend(more);
        }
    }

    fn rests_on(&self, later: usize, earlier: usize, above: bool) -> bool {
        let (later, earlier) = (&self.made[later].change, &self.made[earlier].change);
        earlier.step.spots().any(|spot| {
            later.step.spots().any(|other| other == spot)
                || later.removed_dir().is_some_and(|dir| spot.dir == dir)
        }) || above && later.step.spots().any(|spot| earlier.names(spot.dir))
    }

    fn sync_slots(&mut self, dir: Id) {
        let mut slots: BTreeSet<Spot> = BTreeSet::new();
        let mut emptied: BTreeSet<Id> = BTreeSet::new();
        for made in self.made.iter_mut().rev() {
            let spots: Vec<Spot> = made.change.step.spots().cloned().collect();
            let is_sure = |spot: &Spot| {
                slots.contains(spot)
                    || emptied.contains(&spot.dir)
                    || !made.forsaken && spot.dir == dir
            };
            let whole = made.change.is_about_dirs() && spots.iter().any(is_sure);
            let sure: Vec<Spot> = spots.into_iter().filter(|spot| whole || is_sure(spot)).collect();
            if !sure.is_empty() {
                emptied.extend(made.change.removed_dir());
            }
            made.sides.extend(sure.iter().cloned());
            slots.extend(sure);
        }
    }

    // What a power cut may leave of names, by definition

    fn ordered(&self) -> BTreeSet<u64> {
        self.lives[self.floor..].iter().map(Names::sum).collect()
    }

    fn per_inode(&self) -> BTreeSet<u64> {
        let prefix = |end| self.replayed(|made| made.per_inode, |at| at < end);
        (0..=self.made.len()).map(prefix).collect()
    }

    /// Only for few changes.
    fn strict(&self) -> Option<BTreeSet<u64>> {
        let free: Vec<usize> = (0..self.made.len()).filter(|at| !self.made[*at].strict).collect();
        let subset = |bits: u32| {
            let is_kept = |at| free.binary_search(&at).is_ok_and(|bit| bits >> bit & 1 == 1);
            self.replayed(|made| made.strict, is_kept)
        };
        (free.len() <= 9).then(|| (0..1 << free.len()).map(subset).collect())
    }

    /// First what is sure; a directory may have durable entries and no durable name. Then what is
    /// kept of the rest, each where its directory can be reached and its names allow it.
    fn replayed(&self, sure: impl Fn(&Made) -> bool, keep: impl Fn(usize) -> bool) -> u64 {
        let mut names = Names::new();
        for made in self.made.iter().filter(|made| sure(made)) {
            made.change.step.spots().for_each(|spot| names.ensure_dir(spot.dir));
            let _ = names.apply(&made.change.step);
        }
        for (at, made) in self.made.iter().enumerate() {
            if keep(at) && !sure(made) {
                replay_part(&mut names, &made.change, Part::Whole);
            }
        }
        names.pruned().sum()
    }

    /// Only for few changes.
    fn hostile(&self) -> Option<BTreeSet<u64>> {
        let mut sure: BTreeMap<Spot, Option<Entry>> = BTreeMap::new();
        let mut layer = Vec::new();
        for made in &self.made {
            let sides = made.change.effects().filter(|(spot, _)| made.sides.contains(spot));
            sure.extend(sides.map(|(spot, value)| (spot.clone(), value)));
        }
        let mut names = Names::new();
        let _ = names.overwrite(&sure);
        layer.push(names);
        for made in &self.made {
            let free: Vec<_> =
                made.change.effects().filter(|(spot, _)| !made.sides.contains(spot)).collect();
            let count = made.change.effects().count();
            let mut next = layer.clone();
            for names in &layer {
                let mut take = |work: &dyn Fn(&mut Names) -> bool| {
                    let mut names = names.clone();
                    let mut spots = free.iter().map(|(spot, _)| spot.dir);
                    if spots.all(|dir| names.is_attached(dir)) && work(&mut names) {
                        next.push(names);
                    }
                };
                match free[..] {
                    [] => {}
                    [(spot, value)] if count == 2 => {
                        let put = Change::of_spot(spot, value, made.change.entry);
                        take(&|names| names.apply(&put.step).is_ok());
                    }
                    _ => {
                        take(&|names| names.apply(&made.change.step).is_ok());
                        for side in [Side::From, Side::To] {
                            if !made.change.is_about_dirs() {
                                take(&|names| names.apply_side(&made.change.step, side).is_ok());
                            }
                        }
                    }
                }
            }
            if next.len() > 20_000 {
                return None;
            }
            layer = next;
        }
        Some(layer.iter().map(|names| names.pruned().sum()).collect())
    }

    fn found(&self, profile: Profile) -> Option<BTreeSet<u64>> {
        let cut = Cut::new(&self.system, profile, Return::Boot, 0);
        Some(cut.all_trees(20_000)?.iter().map(|tree| tree.system.live.sum()).collect())
    }
}

fn check_holds(system: &System) {
    let mut holds = BTreeMap::from([(ROOT, Ledgers::COUNT)]);
    for ledger in system.ledgers.all() {
        for (_, _, entry) in ledger.durable.all() {
            *holds.entry(entry.id).or_insert(0) += 1;
        }
        for (_, pending) in ledger.pending.iter() {
            if let Some(id) = pending.change.step.holds() {
                *holds.entry(id).or_insert(0) += 1;
            }
        }
    }
    for (id, inode) in system.inodes.iter() {
        assert_eq!(inode.holds, holds.remove(id).unwrap_or(0), "holds of {id:?}");
        assert!(inode.holds > 0 || inode.nlink > 0 || inode.opens > 0, "{id:?} is a leak");
    }
    assert!(holds.is_empty(), "freed too early: {holds:?}");
}

#[test]
fn rule_5_each_profile_leaves_the_names_that_its_definition_says_and_no_others() {
    let mut compared = [0; 4];
    for seed in 0..4000 {
        let history = History::random(seed, 24, seed % 4 == 0);
        let mut compare = |nth: usize, profile: Profile, defined: Option<BTreeSet<u64>>| {
            let (Some(found), Some(defined)) = (history.found(profile), defined) else { return };
            assert_eq!(found, defined, "{profile} of seed {seed}");
            compared[nth] += 1;
        };
        if !history.a_sync_failed {
            compare(0, Profile::Ordered(Grain::Page), Some(history.ordered()));
        }
        compare(1, Profile::PerInode(Grain::Page), Some(history.per_inode()));
        compare(2, Profile::Strict(Grain::Page), history.strict());
        compare(3, Profile::Hostile(Grain::Page), history.hostile());
    }
    assert!(compared.iter().all(|count| *count > 2000), "{compared:?} are too few");
}

/// All worlds that a power cut may leave, by fingerprint; `None` if there are too many.
fn worlds(system: &System, profile: Profile, seed: u64) -> Option<HashSet<u64>> {
    let outcomes = power_cut(system, profile, Return::Boot, 3000, seed);
    for world in &outcomes.worlds {
        check_holds(&world.state().system);
    }
    let distinct: HashSet<u64> = outcomes.worlds.iter().map(SimFs::fingerprint).collect();
    assert_eq!(distinct.len(), outcomes.worlds.len(), "{profile} of seed {seed}: one world twice");
    outcomes.complete.then_some(distinct)
}

#[test]
fn rules_1_and_5_what_a_milder_profile_or_a_coarser_grain_leaves_a_harder_one_does_too() {
    use Grain::{Page, Sector, Trash};
    let mut compared = 0;
    for seed in 0..1500 {
        let mut history = History::random(seed, 24, seed % 4 == 0);
        if seed % 3 == 0 {
            let mut random = Random::new(seed);
            history.system.write_back_some(&mut random, 20);
            check_holds(&history.system);
            (0..random.below(8)).for_each(|_| history.act(&mut random, false));
        }
        let mut within = |mild: Profile, hard: Profile| {
            let worlds = |profile| worlds(&history.system, profile, seed);
            let (Some(few), Some(many)) = (worlds(mild), worlds(hard)) else { return };
            assert!(few.is_subset(&many), "seed {seed}: {mild} leaves what {hard} does not");
            compared += 1;
        };
        for grain in [Page, Sector, Trash] {
            if !history.a_sync_failed {
                within(Profile::Ordered(grain), Profile::PerInode(grain));
            }
            within(Profile::Ordered(grain), Profile::Strict(grain));
            within(Profile::PerInode(grain), Profile::Strict(grain));
            within(Profile::Strict(grain), Profile::Hostile(grain));
        }
        for kind in [Profile::Ordered, Profile::PerInode, Profile::Strict, Profile::Hostile] {
            within(kind(Page), kind(Sector));
            within(kind(Sector), kind(Trash));
        }
    }
    assert!(compared > 15_000, "{compared} are too few");
}

#[test]
fn rule_6_after_sync_everything_a_power_cut_leaves_the_live_tree() {
    for seed in 0..600 {
        let mut history = History::random(seed, 60, false);
        history.system.sync_everything();
        check_holds(&history.system);
        let live = SimFs::from_system(history.system.clone()).tree();
        for profile in Profile::ALL {
            let all = power_cut(&history.system, profile, Return::Boot, 10, seed);
            assert_eq!((all.worlds.len(), all.complete), (1, true), "{profile} of seed {seed}");
            assert_eq!(all.worlds[0].tree(), live, "{profile} of seed {seed}");
        }
    }
}
