//! Strict serializability of several processes on the simulated file system: one whole at each call
//! of another, and random orders of all calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact::{Options, Store};
use filepact_fs::Fs;
use filepact_simfs::{Actor, SimFs};
use filepact_tests::crash::{documents, options, prepared};
use filepact_tests::interleave::{Fate, Interleaving};
use filepact_tests::serial::{KINDS, Kind, Record, is_death};
use filepact_tests::steps::Steps;

use crate::support::STRICT;

/// How a process is opened: it waits for a lock as long as anybody can go on.
fn patient() -> Options {
    options().lock_timeout(Duration::MAX)
}

/// A process: opens, runs its transactions, closes or not. It may die anywhere.
fn process(
    fs: Arc<dyn Fs>,
    how: Options,
    record: &Record,
    name: &str,
    kinds: &[Kind],
    close: bool,
) {
    let store = match how.open_with(fs) {
        Ok(store) => store,
        Err(error) if is_death(&error) || matches!(error, filepact::Error::Locked { .. }) => return,
        Err(error) => panic!("{name}: {error:?}"),
    };
    for (number, kind) in kinds.iter().enumerate() {
        record.run(&store, *kind, &format!("{name}{number}"));
    }
    if close {
        match store.close() {
            Ok(()) | Err(filepact::Error::Locked { .. }) => {}
            Err(error) if is_death(&error) => {}
            Err(error) => panic!("{name}: {error:?}"),
        }
    }
}

/// Everything ends well: the last one finds what the record explains, and nothing left behind.
fn judge(sim: &SimFs, before: &SimFs, record: &Record, story: &str) {
    let store = options().open_with(record.archiving(sim, sim.actor())).expect("it opens");
    let committed = record.log(sim, &store);
    store.checkpoint().expect("nothing fails here");
    let after = documents(sim);
    let left: Vec<_> =
        sim.tree().into_keys().filter(|path| path.starts_with(".filepact/stage/")).collect();
    let verdict = record.judge(&documents(before), &committed, &after);
    let status = store.status().expect("it can be read");
    let check = store.check().expect("it can be checked");
    if verdict.is_err()
        || !left.is_empty()
        || !status.rescued.is_empty()
        || !check.problems.is_empty()
        || !check.outside_edits.is_empty()
    {
        panic!(
            "{story}\n{verdict:?}\nleft {left:?}\nrescued {:?}\n{check:?}\n{committed:?}\n{record}\n{}",
            status.rescued,
            sim.dump(),
        );
    }
}

/// Two processes are live when the transactions begin.
struct Pair {
    sim: SimFs,
    record: Arc<Record>,
    second: Store,
}

/// What there is to judge after a run.
struct Ran {
    sim: SimFs,
    record: Arc<Record>,
    story: String,
}

/// Runs `first`, and just before its call number `at` the other transactions, whole, in a process
/// that has the store open all the time; then a reader. `None` says that there was no such call.
fn whole_at(before: &SimFs, first: Kind, second: Kind, at: usize, dies: bool) -> Option<Ran> {
    let sim = before.fork();
    let record = Arc::<Record>::default();
    let fs = record.archiving(&sim, sim.actor());
    let second_store = options().open_with(fs).expect("it opens");
    let pair = Pair { sim: sim.clone(), record: record.clone(), second: second_store };
    let (actor, pair) = (sim.actor(), Arc::new(Mutex::new(Some(pair))));
    let steps = {
        let (actor, pair) = (actor.clone(), pair.clone());
        Steps::new(record.archiving(&sim, actor.clone()), move |n, _, _| {
            if n == at
                && let Some(pair) = pair.lock().expect("no test has failed").take()
            {
                meanwhile(&pair, &actor, second, dies);
            }
        })
    };
    process(steps.clone(), options(), &record, "a", &[first, Kind::Read], true);
    let story = format!("{second:?} at call {at} of {first:?}, dies: {dies}");
    (steps.calls() >= at).then_some(Ran { sim, record, story })
}

fn meanwhile(pair: &Pair, first: &Arc<Actor>, second: Kind, dies: bool) {
    if dies {
        pair.sim.kill(first);
    }
    let Pair { sim, record, second: store } = pair;
    // Who reads does not wait, whatever the first one holds; and neither does who joins.
    let reads = |store: &Store, kind, note| {
        let refused = record.run(store, kind, note);
        assert!(refused.is_none(), "{note}: {refused:?}");
    };
    reads(store, Kind::Read, "before");
    record.run(store, second, "b");
    reads(store, Kind::List, "after");
    if let Ok(third) = options().open_with(sim.actor()) {
        reads(&third, Kind::Read, "third");
    }
}

/// B whole at each call of A; A goes on afterwards, which is also what a stop and its end is, or is
/// dead.
#[test]
fn one_process_whole_at_each_call_of_another() {
    let before = prepared();
    let runs = AtomicUsize::new(0);
    let pairs: Vec<(Kind, Kind)> =
        KINDS.into_iter().flat_map(|first| KINDS.map(|second| (first, second))).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((first, second)) = pairs.get(next.fetch_add(1, Ordering::SeqCst)) {
                    for dies in [false, true] {
                        let mut at = 1;
                        while let Some(ran) = whole_at(&before, *first, *second, at, dies) {
                            judge(&ran.sim, &before, &ran.record, &ran.story);
                            at += 1;
                            runs.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    println!("{} runs of one process whole at a call of another", runs.load(Ordering::SeqCst));
    assert!(runs.load(Ordering::SeqCst) > 30_000);
}

/// One process dies at each of its calls, another goes on, and then the power is cut: what was
/// acknowledged is there, what died is there whole or not at all, and nothing is taken for an edit.
#[test]
fn a_power_cut_after_one_has_died_and_another_went_on() {
    let before = prepared();
    let kinds = [Kind::PutTwo, Kind::Transfer, Kind::Large, Kind::Rename, Kind::Remove];
    let pairs: Vec<(Kind, Kind)> =
        kinds.into_iter().flat_map(|first| kinds.map(|second| (first, second))).collect();
    let (next, cuts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((first, second)) = pairs.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let mut at = 1;
                    while let Some(ran) = whole_at(&before, *first, *second, at, true) {
                        let outcomes = ran.sim.world().power_cut(&STRICT, 5, at as u64);
                        for (number, world) in outcomes.worlds.into_iter().enumerate() {
                            let story = format!("{}, power cut {number}", ran.story);
                            judge(&world, &before, &ran.record, &story);
                            cuts.fetch_add(1, Ordering::SeqCst);
                        }
                        at += 1;
                    }
                }
            });
        }
    });
    println!("{} power cuts after one had died", cuts.load(Ordering::SeqCst));
    assert!(cuts.load(Ordering::SeqCst) > 10_000);
}

/// Three processes in random orders of all their calls; each may die or be stopped anywhere, and now
/// and then the power is cut in the end.
#[test]
fn processes_in_random_orders_of_all_their_calls() {
    let before = prepared();
    let seeds = 12_000;
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst) as u64;
                    if seed >= seeds {
                        break;
                    }
                    random_order(&before, seed);
                }
            });
        }
    });
    println!("{seeds} runs of three processes in random orders");
}

fn random_order(before: &SimFs, seed: u64) {
    let sim = before.fork();
    let record = Record::default();
    // Any digits will do: they only have to differ from seed to seed.
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8;
    let mut roll = |sides: usize| {
        let rolled = dice % sides as u64;
        dice = dice.wrapping_mul(0xd129_0b26_6d4f_2c3b).wrapping_add(seed) >> 3 ^ dice << 7;
        rolled as usize
    };
    let mut interleaving = Interleaving::new(seed);
    for name in ["a", "b", "c"] {
        let actor = sim.actor();
        let at = 1 + roll(250);
        let fate = match roll(6) {
            0 => Fate::killed(at, &sim, &actor),
            1 => Fate::Stops { at, resume_after: Some(roll(400)) },
            2 => Fate::Stops { at, resume_after: None },
            _ => Fate::Lives,
        };
        let kinds: Vec<Kind> = (0..1 + roll(3)).map(|_| KINDS[roll(KINDS.len())]).collect();
        let (record, close) = (&record, roll(3) == 0);
        let fs = record.archiving(&sim, actor);
        interleaving = interleaving.process(fs, fate, move |fs| {
            process(fs, patient(), record, name, &kinds, close);
        });
    }
    match interleaving.run() {
        Ok(run) => {
            let story = format!("seed {seed}, calls {:?}, schedule {}", run.calls, run.schedule);
            if seed.is_multiple_of(8) {
                for world in sim.world().power_cut(&STRICT, 3, seed).worlds {
                    judge(&world, before, &record, &format!("{story}, then a power cut"));
                }
            }
            judge(&sim, before, &record, &story);
        }
        Err(failure) => panic!("{failure}\n{record}"),
    }
}
