//! Crashes a history at every call, recovers every distinct outcome, and judges what is found.
//!
//! After every crash the documents must be those before the transaction in flight, or those after
//! it; an acknowledged one must be there; the journal must verify, `stage/` be swept, nothing be
//! rescued (nobody else has written), and a second opening must find nothing to do.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use filepact::{Options, Store};
use filepact_simfs::{Actor, Grain, Moment, Profile, SimFs};

use crate::history::{self, INLINE_MAX, Tree, Txn};

/// How much to try.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Distinct outcomes of one power cut, at most.
    pub outcomes: usize,
    /// Crash the recovery of every so-manieth outcome at each of its calls; 0 for none.
    pub crash_recovery_every: usize,
    /// Distinct outcomes of one power cut in a recovery, at most.
    pub outcomes_in_recovery: usize,
    /// Close the store at the end of the history, so that the checkpoint is crashed too.
    pub close: bool,
}

/// What was tried, by kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Histories.
    pub histories: u64,
    /// Calls at which something was crashed.
    pub moments: u64,
    /// Recoveries after a power cut.
    pub power_cuts: u64,
    /// Recoveries after the process died and the machine went on.
    pub deaths: u64,
    /// Recoveries after the device was pulled and mounted again.
    pub remounts: u64,
    /// Recoveries of a crash within a recovery.
    pub in_recovery: u64,
    /// Recoveries that found nothing to do.
    pub trivial: u64,
    /// Recoveries that published something again.
    pub replayed: u64,
    /// Recoveries that found a torn tail.
    pub torn: u64,
    /// Power cuts with more outcomes than were tried.
    pub sampled: u64,
}

impl Counts {
    /// All recoveries.
    pub fn recoveries(&self) -> u64 {
        self.power_cuts + self.deaths + self.remounts + self.in_recovery
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.histories += other.histories;
        self.moments += other.moments;
        self.power_cuts += other.power_cuts;
        self.deaths += other.deaths;
        self.remounts += other.remounts;
        self.in_recovery += other.in_recovery;
        self.trivial += other.trivial;
        self.replayed += other.replayed;
        self.torn += other.torn;
        self.sampled += other.sampled;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} recoveries of {} histories crashed at {} calls: {} after a power cut, {} after a \
             process died, {} after a remount, {} after a crash in the recovery; {} found nothing \
             to do, {} published something again, {} found a torn tail; {} power cuts had more \
             outcomes than were tried",
            self.recoveries(),
            self.histories,
            self.moments,
            self.power_cuts,
            self.deaths,
            self.remounts,
            self.in_recovery,
            self.trivial,
            self.replayed,
            self.torn,
            self.sampled
        )
    }
}

/// How the tests open a store on the simulated file system.
pub fn options() -> Options {
    Store::options().inline_max(INLINE_MAX).lock_timeout(Duration::ZERO).max_retries(0)
}

/// Opens a store as a new process; panics with the tree if it cannot.
pub fn open(sim: &SimFs) -> Store {
    let actor: Arc<Actor> = sim.actor();
    match options().open_with(actor) {
        Ok(store) => store,
        Err(error) => panic!("the store does not open: {error:?}\n{}", sim.dump()),
    }
}

/// The documents of a store, as anybody finds them.
pub fn documents(sim: &SimFs) -> Tree {
    sim.tree().into_iter().filter(|(path, _)| !path.starts_with(".filepact/")).collect()
}

/// A store with the documents of [`history::before`], closed and durable.
pub fn prepared() -> SimFs {
    let sim = SimFs::new();
    let store = open(&sim);
    store
        .transact(|tx| {
            history::before().iter().try_for_each(|(path, body)| tx.write_bytes(path, body.clone()))
        })
        .expect("nothing fails here");
    store.close().expect("nothing fails here");
    sim.write_back_all();
    sim
}

/// Crashes a history of transactions at every call.
pub fn crash_history(txns: &[Txn], effort: Effort, seed: u64) -> Counts {
    let sim = prepared();
    let mut trees = vec![history::before()];
    // The number of moments when each transaction was acknowledged.
    let mut acknowledged = Vec::new();
    sim.record();
    let store = open(&sim);
    for (number, txn) in txns.iter().enumerate() {
        let mut tree = trees.last().expect("never empty").clone();
        history::run(&store, *txn, number + 1, &mut tree).expect("nothing fails here");
        trees.push(tree);
        acknowledged.push(sim.recorded().len() - 1);
    }
    if effort.close {
        store.close().expect("nothing fails here");
    } else {
        drop(store);
    }
    let mut crash = Crash::new(effort, seed);
    crash.counts.histories = 1;
    for (index, moment) in sim.recorded().iter().enumerate() {
        let done = acknowledged.iter().filter(|at| **at <= index).count();
        let allowed = &trees[done..trees.len().min(done + 2)];
        let story = || format!("{txns:?}, crashed at call {index}: {}", moment.call);
        crash.moment(moment, allowed, &story);
    }
    crash.counts
}

/// Crashes the moments of one run, and counts.
#[derive(Debug)]
pub struct Crash {
    effort: Effort,
    seed: u64,
    /// What was tried so far.
    pub counts: Counts,
    /// File systems recovered already, with how many documents states were allowed: one that comes
    /// again, at another moment, would show the same again.
    seen: HashSet<(u64, Vec<u64>)>,
}

impl Crash {
    /// Nothing is tried yet.
    pub fn new(effort: Effort, seed: u64) -> Self {
        Self { effort, seed, counts: Counts::default(), seen: HashSet::new() }
    }

    /// Crashes one moment in every way; `allowed` are the documents that may be found then.
    pub fn moment(&mut self, moment: &Moment, allowed: &[Tree], story: &dyn Fn() -> String) {
        self.counts.moments += 1;
        let effort = self.effort;
        let seed = self.seed ^ self.counts.moments;
        let profile = Profile::Strict(Grain::Page);
        // What a power cut may leave before a call is among what it may leave after it, until a
        // sync takes some of that away: so the power is cut before each sync, and at the end.
        if moment.call.starts_with("sync") || moment.call == "end" {
            let cut = moment.world.power_cut(&profile, effort.outcomes, seed);
            self.counts.sampled += u64::from(!cut.complete);
            for (nth, world) in cut.worlds.iter().enumerate() {
                if !self.is_new(world, allowed) {
                    continue;
                }
                self.counts.power_cuts += 1;
                let deeper = effort.crash_recovery_every != 0
                    && self.counts.power_cuts.is_multiple_of(effort.crash_recovery_every as u64);
                let story = || format!("{}, power cut, outcome {nth}", story());
                self.recover(world, allowed, deeper, &story);
            }
            let pulled = moment.world.remount(&profile, effort.outcomes_in_recovery, seed);
            for (nth, world) in pulled.worlds.iter().enumerate() {
                self.counts.remounts += 1;
                let story = || format!("{}, remounted, outcome {nth}", story());
                self.recover(world, allowed, false, &story);
            }
        }
        for (nth, world) in moment.world.process_death_variants().iter().enumerate() {
            self.counts.deaths += 1;
            let deeper = effort.crash_recovery_every != 0
                && self.counts.deaths.is_multiple_of(effort.crash_recovery_every as u64);
            let story = || format!("{}, process died, variant {nth}", story());
            self.recover(world, allowed, deeper, &story);
        }
    }

    fn is_new(&mut self, world: &SimFs, allowed: &[Tree]) -> bool {
        let hash = |tree: &Tree| {
            let mut hasher = DefaultHasher::new();
            tree.hash(&mut hasher);
            hasher.finish()
        };
        self.seen.insert((world.fingerprint(), allowed.iter().map(hash).collect()))
    }

    /// Recovers a crashed file system and judges it; with `deeper`, crashes that recovery as well.
    fn recover(&mut self, sim: &SimFs, allowed: &[Tree], deeper: bool, story: &dyn Fn() -> String) {
        let found = sim.fork();
        if deeper {
            sim.record();
        }
        let store = open_or(sim, &found, story);
        let report = store.recovery_report();
        let counts = &mut self.counts;
        counts.trivial += u64::from(report.is_clean());
        counts.replayed += u64::from(!report.replayed.is_empty());
        counts.torn += u64::from(report.torn.is_some());
        let moments = if deeper { sim.recorded() } else { Vec::new() };
        judge(sim, &store, allowed, story, &found);
        drop(store);
        let profile = Profile::Strict(Grain::Page);
        for (at, moment) in moments.iter().enumerate() {
            let limit = self.effort.outcomes_in_recovery;
            let cut = moment.world.power_cut(&profile, limit, self.seed ^ at as u64);
            let dead = moment.world.process_death_variants();
            for (nth, world) in cut.worlds.iter().chain(&dead).enumerate() {
                self.counts.in_recovery += 1;
                let story =
                    || format!("{}, recovery crashed at {at}: {}, {nth}", story(), moment.call);
                let again = world.fork();
                let store = open_or(world, &again, &story);
                judge(world, &store, allowed, &story, &again);
            }
        }
    }
}

fn open_or(sim: &SimFs, found: &SimFs, story: &dyn Fn() -> String) -> Store {
    options().open_with(sim.actor()).unwrap_or_else(|error| {
        panic!("{}\nthe store does not open: {error:?}\nfound:\n{}", story(), found.dump())
    })
}

/// What holds after every recovery: `sim` is the world now, `found` the one that was opened.
pub fn judge(
    sim: &SimFs,
    store: &Store,
    allowed: &[Tree],
    story: &dyn Fn() -> String,
    found: &SimFs,
) {
    let report = store.recovery_report();
    let fail = |what: &str| -> ! {
        panic!(
            "{}\n{what}\nreport: {report:?}\nfound:\n{}\nnow:\n{}",
            story(),
            found.dump(),
            sim.dump()
        )
    };
    let now = documents(sim);
    if !allowed.contains(&now) {
        fail(&format!("half a transaction, or a lost one: {:?}", summary(&now)));
    }
    if !report.rescued.is_empty() || !report.adopted.is_empty() || !report.left.is_empty() {
        fail("nobody else has written, and yet something was rescued, adopted or left");
    }
    match store.check() {
        Ok(check) if check.problems.is_empty() && check.outside_edits.is_empty() => {}
        Ok(check) => fail(&format!("not clean: {check:?}")),
        Err(error) => fail(&format!("cannot be checked: {error:?}")),
    }
    let leftovers: Vec<String> = sim
        .tree()
        .into_keys()
        .filter(|path| {
            path.starts_with(".filepact/stage/") || path.starts_with(".filepact/rescued/")
        })
        .collect();
    if !leftovers.is_empty() {
        fail(&format!("not swept: {leftovers:?}"));
    }
    // What recovery says is durable has to be: the worst power cut now loses nothing.
    let settled = sim.world().power_cut(&Profile::Strict(Grain::Page), 2, 0);
    for world in &settled.worlds {
        let lost = documents(world);
        if lost != now {
            fail(&format!("recovered, and lost again: {:?}", summary(&lost)));
        }
    }
}

fn summary(tree: &Tree) -> BTreeMap<&str, String> {
    tree.iter()
        .map(|(path, body)| {
            let start = String::from_utf8_lossy(&body[..body.len().min(8)]).into_owned();
            (path.as_str(), format!("{} bytes, {start:?}", body.len()))
        })
        .collect()
}
