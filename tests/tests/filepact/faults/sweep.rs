//! Strikes each call of each workload with each fault that it can have, and judges what that leaves.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use filepact::Store;
use filepact_simfs::SimFs;
use filepact_tests::crash::judge::{judge, judge_files};
use filepact_tests::crash::story::{Expect, Promise};
use filepact_tests::crash::{documents, options};
use filepact_tests::history::{self, Op, Tree};

use crate::faults::kinds::{Kind, changes};
use crate::faults::play::{Play, Said};
use crate::faults::workloads::Workload;
use crate::support::STRICT;

/// Every fault at every call, with more outcomes of power cuts: as much takes minutes.
fn takes_all() -> bool {
    std::env::var_os("FILEPACT_FAULTS").is_some_and(|share| share == "all")
}

/// What one kind of fault came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Calls that it struck, each in a run of its own.
    pub(crate) struck: u64,
    /// What the runs' calls said, the worst of each run.
    pub(crate) said: BTreeMap<Said, u64>,
    /// Runs after which a process was stopped, and has acknowledged nothing more.
    pub(crate) stopped: u64,
    /// Runs after which every process went on, and was acknowledged.
    pub(crate) went_on: u64,
    /// Runs in which the sync of a directory of documents failed: what names that has lost is not made
    /// again (`docs/testing.md`, "Not covered"), so that no power is cut after it.
    pub(crate) excused: u64,
    /// Recoveries of the machine as it was left, judged.
    pub(crate) opened: u64,
    /// Recoveries after power cuts, each of another outcome, judged.
    pub(crate) cuts: u64,
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Self) {
        self.struck += other.struck;
        other.said.iter().for_each(|(said, count)| *self.said.entry(*said).or_default() += count);
        self.stopped += other.stopped;
        self.went_on += other.went_on;
        self.excused += other.excused;
        self.opened += other.opened;
        self.cuts += other.cuts;
    }
}

impl Tally {
    pub(crate) fn said(&self, said: Said) -> u64 {
        self.said.get(&said).copied().unwrap_or_default()
    }
}

/// What was tried, by the kind of fault.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) kinds: BTreeMap<&'static str, Tally>,
    pub(crate) workloads: usize,
    /// What was wrong: the case, and what it said.
    pub(crate) failures: Vec<(String, String)>,
}

impl Counts {
    pub(crate) fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.kinds.values().for_each(|tally| total += tally);
        total
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = format!("{} workloads", self.workloads);
        write!(f, "{head:<26}{:>8}{:>8}{:>10}{:>9}", "struck", "done", "unchanged", "refused")?;
        write!(f, "{:>9}{:>13}{:>9}", "unknown", "unpublished", "stopped")?;
        writeln!(f, "{:>9}{:>9}{:>9}{:>9}", "went on", "excused", "opened", "cuts")?;
        let total = self.total();
        for (name, tally) in self.kinds.iter().chain([(&"all", &total)]) {
            let said = |said| tally.said(said);
            write!(f, "{name:<26}{:>8}{:>8}", tally.struck, said(Said::Done))?;
            write!(f, "{:>10}{:>9}", said(Said::Unchanged), said(Said::Refused))?;
            write!(f, "{:>9}{:>13}", said(Said::Unknown), said(Said::Unpublished))?;
            write!(f, "{:>9}{:>9}", tally.stopped, tally.went_on)?;
            writeln!(f, "{:>9}{:>9}{:>9}", tally.excused, tally.opened, tally.cuts)?;
        }
        Ok(())
    }
}

/// All of these workloads with all of these faults.
pub(crate) fn sweep(workloads: &[Workload], kinds: &[Kind]) -> Counts {
    let mut counts = Counts { workloads: workloads.len(), ..Counts::default() };
    for workload in workloads {
        let before = (workload.before)();
        let calls = calls(workload, &before);
        let mut seen = HashSet::new();
        for kind in kinds {
            let tally = counts.kinds.entry(kind.name).or_default();
            let all = takes_all();
            let strikes = |at: &usize| {
                kind.can_strike(&calls[*at]) && (all || kind.is_shared(&calls[*at], *at))
            };
            for at in (0..calls.len()).filter(strikes) {
                let case = Case { workload, kind, at, calls: &calls };
                match catch_unwind(AssertUnwindSafe(|| case.run(&before, &mut seen))) {
                    Ok(ran) => *tally += &ran,
                    Err(panic) => counts.failures.push((case.to_string(), text_of(&*panic))),
                }
            }
        }
    }
    counts
}

/// The calls of a run in which nothing fails.
fn calls(workload: &Workload, before: &(SimFs, Tree)) -> Vec<String> {
    let mut play = begin(workload, before);
    play.sim.record();
    (workload.run)(&mut play);
    for (said, what) in &play.said {
        assert_eq!(*said, Said::Done, "{}: {what}", workload.name);
    }
    play.sim.call_log().into_iter().filter(|call| !call.starts_with("outside")).collect()
}

fn begin(workload: &Workload, (sim, tree): &(SimFs, Tree)) -> Play {
    let mut play = Play::new(sim.fork(), tree.clone());
    (workload.begin)(&mut play);
    play.is_settled = play.trees.contains(&documents(&play.sim));
    play
}

/// One fault at one call.
struct Case<'a> {
    workload: &'a Workload,
    kind: &'a Kind,
    at: usize,
    calls: &'a [String],
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, kind, at, calls } = self;
        write!(f, "{}: {} at call {at} (`{}`)", workload.name, kind.name, calls[*at])
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

impl Case<'_> {
    fn run(&self, before: &(SimFs, Tree), seen: &mut HashSet<(u64, u64)>) -> Tally {
        let mut tally = Tally { struck: 1, ..Tally::default() };
        let mut play = begin(self.workload, before);
        play.failed_syncs_stop = self.kind.loses;
        play.said.clear();
        self.kind.arm(&play.sim, self.calls, self.at);
        (self.workload.run)(&mut play);
        play.sim.clear_faults();
        play.turn = None;
        let worst = play.said.iter().map(|(said, _)| *said).max().unwrap_or(Said::Done);
        tally.said.insert(worst, 1);
        let silent = self.kind.silent;
        assert!(!silent || worst == Said::Done, "it can be gone on with\n{:#?}", play.said);

        self.live(&play);
        self.cuts(&play, seen, &mut tally);
        if self.kind.gives_up() {
            play.end();
            return tally;
        }
        if self.probe(&mut play, &mut tally) {
            self.cuts(&play, seen, &mut tally);
        }
        play.end();
        let store = self.reopened(&play, &play.sim);
        if self.is_excused(&play) {
            tally.excused += 1;
            self.look(&play, &store);
        } else {
            self.judge(&play, &play.sim, store, false);
        }
        self.goes_on(&play, &play.sim);
        tally.opened += 1;
        tally
    }

    /// Beside the processes, before anything else happens: what they read is one moment; and what was
    /// said to be unchanged is, also for those who read without filepact.
    fn live(&self, play: &Play) {
        for who in play.processes() {
            let store = play.store(who);
            let seen: Tree = play
                .history
                .iter()
                .flat_map(|tree| tree.keys())
                .filter_map(|path| {
                    let bytes = store.read_bytes(path);
                    let bytes = bytes.unwrap_or_else(|error| panic!("`{path}`: {error:?}"));
                    Some((path.clone(), bytes?))
                })
                .collect();
            assert!(play.trees.contains(&seen), "process {who} sees {}", self.story(play, &seen));
        }
        let settled = |(said, _): &(Said, String)| *said < Said::Unknown;
        if play.is_settled && play.said.iter().all(settled) {
            let now = documents(&play.sim);
            assert!(play.trees.contains(&now), "there is {}", self.story(play, &now));
        }
    }

    /// Whether processes go on: who has been told of a failed sync, or does not know what became of a
    /// commit, acknowledges nothing; whatever anybody else acknowledges is there. Says whether anything
    /// was.
    fn probe(&self, play: &mut Play, tally: &mut Tally) -> bool {
        let processes = play.processes();
        // What is void by then, and what is not, is in no history.
        if play.promise == Promise::Buffered
            && play.said.iter().any(|(said, _)| *said == Said::Unknown)
        {
            tally.stopped += 1;
            return false;
        }
        // One call has failed, so that `state` could tell.
        let lost = self.kind.loses
            && !self.kind.sticky
            && processes.iter().any(|who| play.has_lost_the_journal(*who));
        let (mut stopped, mut acknowledged) = (false, 0);
        for who in &processes {
            let path = format!("probe-{who}.json");
            stopped |= play.is_stopped(*who);
            if play.put(*who, &[(&path, b"{}")]) == Said::Done {
                acknowledged += 1;
                assert!(!lost, "process {who} goes on upon a journal that has lost pages");
                // Whatever was unknown, or unpublished, is settled.
                let now = documents(&play.sim);
                assert!(play.trees.contains(&now), "there is {}", self.story(play, &now));
                play.trees = vec![now];
                if play.is_durable(*who) && play.promise == Promise::Buffered {
                    play.promise = Promise::Journal;
                }
            }
        }
        tally.stopped += u64::from(stopped);
        tally.went_on += u64::from(acknowledged == processes.len() && acknowledged > 0);
        acknowledged > 0
    }

    /// Some of what a power cut may leave now.
    fn cuts(&self, play: &Play, seen: &mut HashSet<(u64, u64)>, tally: &mut Tally) {
        if self.is_excused(play) {
            return;
        }
        let outcomes = match takes_all() {
            true => 4,
            // What a call that only looks leaves, its neighbours leave as well.
            false => usize::from(changes(&self.calls[self.at]) || self.at.is_multiple_of(8)),
        };
        let expected = self.expect(play).fingerprint();
        let seed = self.at as u64;
        for world in play.sim.world().power_cut(&STRICT, outcomes, seed).worlds {
            if seen.insert((world.fingerprint(), expected)) {
                if play.promise == Promise::Files {
                    let trees = play.history.clone();
                    let whole = judge_files(&world, &Expect { trees, ..self.expect(play) }, STRICT);
                    whole.unwrap_or_else(|wrong| panic!("{wrong}\n{:#?}", play.said));
                }
                let store = self.reopened(play, &world);
                self.judge(play, &world, store, true);
                self.goes_on(play, &world);
                tally.cuts += 1;
            }
        }
    }

    fn expect(&self, play: &Play) -> Expect {
        Expect {
            trees: play.trees.clone(),
            torn: None,
            history: Arc::from(&*play.history),
            promise: play.promise,
            edit: play.edit.clone(),
        }
    }

    fn reopened(&self, play: &Play, world: &SimFs) -> Store {
        options().open_with(world.actor()).unwrap_or_else(|error| {
            panic!("it does not open again: {error:?}\n{:#?}\n{}", play.said, world.dump())
        })
    }

    /// The store is whole.
    fn judge(&self, play: &Play, world: &SimFs, store: Store, lost: bool) {
        let expect = self.expect(play);
        if let Err(wrong) = judge(world, store, &expect, STRICT, lost) {
            panic!("{wrong}\nafter a power cut: {lost}\n{:#?}\n{}", play.said, world.dump());
        }
    }

    fn is_excused(&self, play: &Play) -> bool {
        self.kind.loses_names() && !self.kind.gives_up() && play.may_have_lost_names()
    }

    /// What holds even where names may be lost with the power: the documents are right.
    fn look(&self, play: &Play, store: &Store) {
        let now = documents(&play.sim);
        assert!(play.trees.contains(&now), "there is {}", self.story(play, &now));
        assert_eq!(store.check().expect("it can be checked").problems, Vec::<String>::new());
    }

    /// The store takes a further transaction.
    fn goes_on(&self, play: &Play, world: &SimFs) {
        let store = self.reopened(play, world);
        let mut next = documents(world);
        let ops = [("next", Op::New), ("a", Op::Replace)];
        history::run_ops(&store, &ops, 90, &mut next).expect("nothing fails any more");
        assert_eq!(documents(world), next);
    }

    fn story(&self, play: &Play, tree: &Tree) -> String {
        let of = |tree: &Tree| -> BTreeMap<String, usize> {
            tree.iter().map(|(path, body)| (path.clone(), body.len())).collect()
        };
        let trees: Vec<_> = play.trees.iter().map(of).collect();
        format!("{:?}\nand not one of {trees:#?}\n{:#?}", of(tree), play.said)
    }
}
