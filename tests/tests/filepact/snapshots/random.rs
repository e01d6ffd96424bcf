//! Two processes that write, and die at times, and snapshots that are held over many commits, heals
//! and checkpoints: each sees what a model held at its moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use filepact::{Error, Snapshot, Store};
use filepact_simfs::{Actor, SimFs};
use filepact_tests::crash::{case::mix, open, options};
use filepact_tests::history::{Change, INLINE_MAX, Tree, apply, body, stage};
use filepact_tests::steps::Steps;

use super::{kept, now, pins, scene, seen, try_seen};
use crate::support::put;

const SEEDS: u64 = 400;
const STEPS: usize = 60;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = mix(self.0, 0x5eed);
        (self.0 % bound as u64) as usize
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.below(of.len())].clone())
    }
}

/// A process that can be told to die at a later call.
struct Process {
    actor: Arc<Actor>,
    store: Store,
    /// How many calls it still makes; `usize::MAX` is for ever.
    calls: Arc<AtomicUsize>,
}

impl Process {
    fn new(sim: &SimFs, journal_max: u64) -> Self {
        let actor = sim.actor();
        let calls = Arc::new(AtomicUsize::new(usize::MAX));
        let (world, victim, left) = (sim.clone(), actor.clone(), calls.clone());
        let steps = Steps::new(actor.clone(), move |_, _, _| {
            let before = left.load(Ordering::SeqCst);
            if before < usize::MAX && left.fetch_sub(1, Ordering::SeqCst) == 0 {
                world.kill(&victim);
                left.store(usize::MAX, Ordering::SeqCst);
            }
        });
        let store = options().journal_max(journal_max).open_with(steps).expect("it opens");
        Self { actor, store, calls }
    }
}

struct Held {
    process: usize,
    snapshot: Snapshot,
    expected: Tree,
}

/// A few changes, each of a document of its own.
fn changes(random: &mut Random, number: usize, tree: &Tree) -> Vec<(String, Change)> {
    let mut changed: BTreeMap<String, Change> = BTreeMap::new();
    for _ in 0..=random.below(4) {
        let names = ["a", "b", "dir/c", "dir/deep/d", "e", "f", "log"];
        let path = random.pick(&names).expect("there are some").to_owned();
        let is_there = tree.contains_key(&path);
        if changed.contains_key(&path) {
            continue;
        }
        let large = 2 * INLINE_MAX + random.below(3 * INLINE_MAX);
        let small = random.below(500);
        let change = match random.below(10) {
            0..=2 => Change::Put(body(&path, number, small)),
            3 => Change::Put(body(&path, number, large)),
            4 | 5 => Change::Append(body(&path, number, 1 + small)),
            6 => Change::Append(body(&path, number, large)),
            7 | 8 if is_there => Change::Remove,
            9 if is_there => {
                let to = random.pick(&names).expect("there are some").to_owned();
                if tree.contains_key(&to) || changed.contains_key(&to) {
                    continue;
                }
                // What it is moved to is not changed otherwise.
                changed.insert(path, Change::Rename(to.clone()));
                return changed.into_iter().filter(|(path, _)| *path != to).collect();
            }
            _ => Change::Put(body(&path, number, small)),
        };
        changed.insert(path, change);
    }
    changed.into_iter().collect()
}

fn run(seed: u64) {
    let sim = scene();
    let guard = open(&sim);
    let mut random = Random(seed);
    let journal_max = random.pick(&[2_000, 20_000, 1 << 24]).expect("there are some");
    let mut processes: Vec<_> = (0..2).map(|_| Process::new(&sim, journal_max)).collect();
    let mut model = now(&guard);
    let mut held: Vec<Held> = Vec::new();
    // Somebody has died, and nobody has committed since.
    let mut unhealed = false;
    for step in 0..STEPS {
        let told = || format!("seed {seed}, step {step}");
        let by = random.below(processes.len());
        let Process { store, calls, .. } = &processes[by];
        let what = random.below(20);
        match what {
            0..=9 => {
                let changes = changes(&mut random, step, &model);
                let mut after = model.clone();
                apply(&changes, &mut after);
                // Who dies in the rename of a large document leaves it with another ctime: to whom nobody has
                // told its hash, it may be an edit.
                let is_large =
                    |path: &str| model.get(path).is_some_and(|body| body.len() > INLINE_MAX);
                let moves_large = |(path, change): &(String, Change)| {
                    matches!(change, Change::Rename(_)) && is_large(path)
                };
                let dies = what == 9 && !changes.iter().any(moves_large);
                if dies {
                    calls.store(random.below(250), Ordering::SeqCst);
                }
                let done = store.transact::<_, Error>(|tx| stage(tx, &changes));
                calls.store(usize::MAX, Ordering::SeqCst);
                match done {
                    Ok(()) => (model, unhealed) = (after, false),
                    Err(error) => {
                        assert!(dies, "{}: {error:?}", told());
                        // Whether it counts, those know who live.
                        let found = now(&guard);
                        assert!(found == model || found == after, "{}", told());
                        model = found;
                    }
                }
                if dies {
                    // Perhaps it has not died yet.
                    sim.kill(&processes[by].actor);
                    unhealed = true;
                    held.retain(|held| held.process != by);
                    processes[by] = Process::new(&sim, journal_max);
                }
            }
            10 | 11 => store.checkpoint().unwrap_or_else(|error| panic!("{}: {error}", told())),
            12 => {
                calls.store(random.below(100), Ordering::SeqCst);
                let _ = store.checkpoint();
                calls.store(usize::MAX, Ordering::SeqCst);
                sim.kill(&processes[by].actor);
                held.retain(|held| held.process != by);
                processes[by] = Process::new(&sim, journal_max);
            }
            13..=15 => {
                let snapshot = store.snapshot().expect("it can be pinned");
                held.push(Held { process: by, snapshot, expected: model.clone() });
            }
            16 if !held.is_empty() => drop(held.swap_remove(random.below(held.len()))),
            17 => put(&guard, "guard", &body("guard", step, 100)),
            _ => {}
        }
        if what == 17 {
            model.insert("guard".into(), body("guard", step, 100));
        }
        // One is read whole now, the others later.
        if !held.is_empty() {
            let Held { snapshot, expected, process } = &held[random.below(held.len())];
            let found = match try_seen(snapshot) {
                // To whom nobody has told the hash of a large document, half an addition may be an edit.
                Err(Error::Edited { path })
                    if unhealed && expected.get(&path).is_some_and(|b| b.len() > INLINE_MAX) =>
                {
                    continue;
                }
                found => found.unwrap_or_else(|error| panic!("{}: {error:?}", told())),
            };
            assert!(
                found == *expected,
                "{}: a snapshot of process {process} at {}: {}",
                told(),
                snapshot.txn(),
                differ(&found, expected)
            );
        }
    }
    for Held { snapshot, expected, .. } in &held {
        let found = seen(snapshot);
        assert!(found == *expected, "seed {seed}: {}", differ(&found, expected));
    }
    drop(held);
    put(&guard, "last", b"1");
    guard.checkpoint().expect("nothing fails here");
    assert_eq!((kept(&sim), pins(&sim)), Default::default(), "seed {seed}");
}

fn differ(found: &Tree, expected: &Tree) -> String {
    let paths = found.keys().chain(expected.keys());
    let differs = paths.filter(|path| found.get(*path) != expected.get(*path));
    let text = |bytes: Option<&Vec<u8>>| {
        bytes.map(|bytes| {
            (bytes.len(), String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned())
        })
    };
    let told = differs.map(|path| {
        format!("{path}: {:?}, not {:?}; ", text(found.get(path)), text(expected.get(path)))
    });
    told.collect()
}

#[test]
fn snapshots_held_over_random_histories_see_what_the_model_held() {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if seed >= SEEDS {
                        return;
                    }
                    let ran = std::panic::catch_unwind(|| run(seed));
                    assert!(ran.is_ok(), "seed {seed}");
                }
            });
        }
    });
}
