//! Snapshots beside commits, deaths, healing and each other, at every call.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact::{Error, Snapshot, Store};
use filepact_fs::Fs;
use filepact_simfs::{Actor, SimFs};
use filepact_tests::crash::{open, options};
use filepact_tests::history::Tree;
use filepact_tests::interleave::{Fate, Interleaving};
use filepact_tests::steps::Steps;

use super::{change, kept, now, pins, scene, seen};
use crate::support::{dies_before_swap, put};

/// Counts calls while it is armed, and says at which something is to be done.
#[derive(Default)]
struct At {
    armed: Mutex<Vec<usize>>,
    calls: AtomicUsize,
}

impl At {
    fn arm(&self, at: &[usize]) {
        self.calls.store(0, Ordering::SeqCst);
        *self.armed.lock().expect("no test has failed") = at.to_vec();
    }

    /// The number of calls since.
    fn disarm(&self) -> usize {
        self.armed.lock().expect("no test has failed").clear();
        self.calls.load(Ordering::SeqCst)
    }

    fn is_now(&self) -> bool {
        let armed = self.armed.lock().expect("no test has failed");
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        armed.contains(&call)
    }
}

/// A process that runs this just before the call for which `at` is armed.
fn acting(actor: Arc<Actor>, at: &Arc<At>, act: impl Fn() + Send + Sync + 'static) -> Store {
    let at = Arc::clone(at);
    let steps = Steps::new(actor, move |_, _, _| {
        if at.is_now() {
            act();
        }
    });
    options().open_with(steps).expect("it opens")
}

/// The states of a scene before the first change, and after each.
fn states(changes: usize) -> Vec<Tree> {
    let sim = scene();
    let store = open(&sim);
    let mut states = vec![now(&store)];
    for number in 1..=changes {
        change(&store, number).expect("it commits");
        states.push(now(&store));
    }
    states
}

/// It stays as it is whatever comes: healing, commits of several processes, checkpoints.
fn stays(sim: &SimFs, alive: &Store, snapshot: &Snapshot, tree: &Tree, told: &str) {
    for number in [2, 3] {
        change(alive, number).unwrap_or_else(|error| panic!("{told}: {error}"));
        assert_eq!(seen(snapshot), *tree, "{told}, after {number}");
        alive.checkpoint().unwrap_or_else(|error| panic!("{told}: {error}"));
        assert_eq!(seen(snapshot), *tree, "{told}, after the checkpoint of {number}");
    }
    let other = open(sim);
    change(&other, 4).unwrap_or_else(|error| panic!("{told}: {error}"));
    assert_eq!(seen(snapshot), *tree, "{told}, after another's");
}

/// Attacks 13, 38 and 41: a snapshot at every call of a publisher, who goes on or dies there; and one
/// from before, that is read there.
#[test]
fn a_snapshot_at_each_call_of_a_publisher_is_one_moment_and_stays_it() {
    let states = Arc::new(states(1));
    for dies in [false, true] {
        for nth in 1.. {
            let told = format!("dies: {dies}, call {nth}");
            let sim = scene();
            let alive = open(&sim);
            let early = Arc::new(alive.snapshot().expect("it can be pinned"));
            let actor = sim.actor();
            let at = Arc::new(At::default());
            let taken = Arc::new(Mutex::new(None));
            let act = {
                let (sim, actor, alive) = (sim.clone(), actor.clone(), alive.clone());
                let early = Arc::clone(&early);
                let (taken, states, told) = (Arc::clone(&taken), Arc::clone(&states), told.clone());
                move || {
                    let snapshot = alive.snapshot().expect("it can be pinned");
                    let tree = seen(&snapshot);
                    assert!(states.contains(&tree), "{told}");
                    assert_eq!(seen(&early), states[0], "{told}");
                    *taken.lock().expect("no test has failed") = Some((snapshot, tree));
                    if dies {
                        sim.kill(&actor);
                    }
                }
            };
            let writer = acting(actor, &at, act);
            at.arm(&[nth]);
            let outcome = change(&writer, 1);
            let calls = at.disarm();
            // It may die when all is done.
            assert!(outcome.is_ok() || dies && calls >= nth, "{told}: {outcome:?}");
            drop(writer);
            let Some((snapshot, tree)) = taken.lock().expect("no test has failed").take() else {
                assert!(nth > 100, "there are more calls than {nth}");
                break;
            };
            assert_eq!(seen(&snapshot), tree, "{told}");
            assert_eq!(seen(&early), states[0], "{told}");
            put(&alive, "x", b"heals it");
            assert_eq!(seen(&early), states[0], "{told}, healed");
            stays(&sim, &alive, &snapshot, &tree, &told);
            assert_eq!(seen(&early), states[0], "{told}");
            drop((snapshot, early));
            alive.checkpoint().expect("nothing fails here");
            assert_eq!((kept(&sim), pins(&sim)), Default::default(), "{told}");
        }
    }
}

/// What happens beside a reader.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Beside {
    /// A commit.
    Commit,
    /// A commit that dies half way.
    Death,
    /// Two commits, of which the first one heals, and a checkpoint.
    Much,
}

/// Attack 13, from the other side: at any two calls of a snapshot and of its first reading somebody
/// commits, dies in a commit, heals, checkpoints.
#[test]
fn whatever_happens_at_each_call_of_a_snapshot_it_sees_one_moment() {
    use Beside::{Commit, Death, Much};
    let states = states(3);
    for what in [[Commit, Much], [Death, Much], [Much, Commit]] {
        let mut first = 1;
        loop {
            let mut second = first + 1;
            let calls = loop {
                let calls = happens_at(what, [first, second], &states);
                if calls < second {
                    break calls;
                }
                second += 3;
            };
            if calls < first {
                assert!(first > 40, "there are more calls than {first}");
                break;
            }
            first += 1;
        }
    }
}

/// The number of calls that there were.
fn happens_at(what: [Beside; 2], at_calls: [usize; 2], states: &[Tree]) -> usize {
    let told = format!("{what:?} at {at_calls:?}");
    let sim = scene();
    let alive = open(&sim);
    let at = Arc::new(At::default());
    let (number, left) = (AtomicUsize::new(0), Mutex::new(what.into_iter()));
    let act = {
        let (sim, alive) = (sim.clone(), alive.clone());
        move || {
            let Some(what) = left.lock().expect("no test has failed").next() else { return };
            let next = || number.fetch_add(1, Ordering::SeqCst) + 1;
            match what {
                Beside::Commit => drop(change(&alive, next()).expect("it commits")),
                Beside::Death => {
                    let dead = dies_before_swap(&sim, "b");
                    change(&dead, next()).expect_err("it dies");
                }
                Beside::Much => {
                    change(&alive, next()).expect("it commits");
                    change(&alive, next()).expect("it commits");
                    alive.checkpoint().expect("nothing fails here");
                }
            }
        }
    };
    let reader = acting(sim.actor(), &at, act);
    at.arm(&at_calls);
    let snapshot = reader.snapshot().expect("it can be pinned");
    let tree = seen(&snapshot);
    let calls = at.disarm();
    assert!(states.contains(&tree), "{told}");
    assert_eq!(seen(&snapshot), tree, "{told}");
    change(&alive, 5).expect("it commits");
    alive.checkpoint().expect("nothing fails here");
    assert_eq!(seen(&snapshot), tree, "{told}");
    drop(snapshot);
    alive.checkpoint().expect("nothing fails here");
    assert_eq!((kept(&sim), pins(&sim)), Default::default(), "{told}");
    calls
}

/// Attacks 13 and 41: what is swept, at every call, beside who publishes and who pins.
#[test]
fn a_snapshot_that_is_dropped_at_each_call_of_a_publisher_takes_nothing_from_the_others() {
    for nth in 1.. {
        let sim = scene();
        let alive = open(&sim);
        let early = alive.snapshot().expect("it can be pinned");
        let at_early = seen(&early);
        change(&alive, 1).expect("it commits");
        let middle = Mutex::new(Some(alive.snapshot().expect("it can be pinned")));
        let at = Arc::new(At::default());
        let young = Arc::new(Mutex::new(None));
        let act = {
            let (alive, young) = (alive.clone(), Arc::clone(&young));
            move || {
                let snapshot = alive.snapshot().expect("it can be pinned");
                *young.lock().expect("no test has failed") = Some((seen(&snapshot), snapshot));
                drop(middle.lock().expect("no test has failed").take());
            }
        };
        let writer = acting(sim.actor(), &at, act);
        at.arm(&[nth]);
        change(&writer, 2).expect("it commits");
        let happened = at.disarm() >= nth;
        change(&alive, 3).expect("it commits");
        assert_eq!(seen(&early), at_early, "call {nth}");
        if let Some((tree, snapshot)) = young.lock().expect("no test has failed").take() {
            assert_eq!(seen(&snapshot), tree, "call {nth}");
        }
        if !happened {
            assert!(nth > 100, "there are more calls than {nth}");
            break;
        }
    }
}

/// The same the other way round: a publisher at every call of who lets a snapshot go.
#[test]
fn a_publisher_at_each_call_of_a_snapshot_that_is_dropped_keeps_what_the_others_need() {
    for nth in 1.. {
        let sim = scene();
        let alive = open(&sim);
        let early = alive.snapshot().expect("it can be pinned");
        let at_early = seen(&early);
        let at = Arc::new(At::default());
        let young = Arc::new(Mutex::new(None));
        let act = {
            let (alive, young) = (alive.clone(), Arc::clone(&young));
            move || {
                change(&alive, 2).expect("it commits");
                let snapshot = alive.snapshot().expect("it can be pinned");
                *young.lock().expect("no test has failed") = Some((seen(&snapshot), snapshot));
                change(&alive, 3).expect("it commits");
            }
        };
        let reader = acting(sim.actor(), &at, act);
        let dropped = reader.snapshot().expect("it can be pinned");
        change(&alive, 1).expect("it commits");
        at.arm(&[nth]);
        drop(dropped);
        let happened = at.disarm() >= nth;
        assert_eq!(seen(&early), at_early, "call {nth}");
        if let Some((tree, snapshot)) = young.lock().expect("no test has failed").take() {
            assert_eq!(seen(&snapshot), tree, "call {nth}");
            change(&alive, 4).expect("it commits");
            assert_eq!(seen(&snapshot), tree, "call {nth}");
        }
        if !happened {
            assert!(nth > 5, "there are more calls than {nth}");
            break;
        }
    }
}

/// Two that write, of which one may die, and two that read, in turns at every call.
#[test]
fn snapshots_among_processes_that_take_turns_see_one_moment() {
    for seed in 0..400 {
        let sim = scene();
        let guard = open(&sim);
        let mortal = sim.actor();
        let fate = match seed % 2 {
            0 => Fate::Lives,
            _ => Fate::killed(20 + (seed as usize * 13) % 400, &sim, &mortal),
        };
        let patient = || options().lock_timeout(Duration::MAX).max_retries(100);
        // Both count, each in documents of its own and together in `both`.
        let write = move |fs: Arc<dyn Fs>, me: &'static str| {
            let Ok(store) = patient().open_with(fs) else { return };
            for n in 1..5 {
                let counted = store.transact::<_, Error>(|tx| {
                    let both: u64 = tx.get("both")?.unwrap_or(0);
                    tx.write("both", &(both + 1))?;
                    tx.write(me, &n)?;
                    tx.append(format!("{me}.log"), [b'.'])?;
                    let passing = format!("{me}.{}", n % 2);
                    if tx.exists(&passing)? {
                        tx.remove(&passing)?;
                    } else {
                        tx.write_bytes(&passing, vec![b'x'; 1500 * (n as usize % 3) + 1])?;
                    }
                    Ok(())
                });
                if counted.is_err() || n == 3 && store.checkpoint().is_err() {
                    return;
                }
            }
        };
        let look = |snapshot: &Snapshot| -> Tree {
            let tree = seen(snapshot);
            let number = |path: &str| -> u64 {
                tree.get(path).map_or(0, |n| String::from_utf8_lossy(n).trim().parse().unwrap())
            };
            assert_eq!(number("both"), number("p") + number("q"));
            for me in ["p", "q"] {
                let n = number(me);
                let log = tree.get(&format!("{me}.log")).map_or(0, Vec::len);
                assert_eq!(log as u64, n, "{me}");
                for passing in 0..2 {
                    let times = (1..=n).filter(|n| n % 2 == passing).count();
                    let there = tree.contains_key(&format!("{me}.{passing}"));
                    assert_eq!(there, times % 2 == 1, "{me}.{passing} at {n}");
                }
            }
            tree
        };
        let watch = move |fs: Arc<dyn Fs>| {
            let store = patient().open_with(fs).expect("it joins");
            let mut held: Vec<(Tree, Snapshot)> = Vec::new();
            for round in 0..6 {
                let snapshot = store.snapshot().expect("it can be pinned");
                held.push((look(&snapshot), snapshot));
                for (tree, snapshot) in &held {
                    assert_eq!(seen(snapshot), *tree);
                }
                if round % 3 == 2 {
                    held.remove(0);
                }
            }
        };
        Interleaving::new(seed)
            .one_in(3)
            .process(sim.actor(), Fate::Lives, move |fs| write(fs, "p"))
            .process(mortal, fate, move |fs| write(fs, "q"))
            .process(sim.actor(), Fate::Lives, watch)
            .run()
            .unwrap_or_else(|failure| panic!("{failure}"));
        put(&guard, "last", b"1");
        guard.checkpoint().expect("nothing fails here");
        assert_eq!((kept(&sim), pins(&sim)), Default::default(), "seed {seed}");
    }
}

/// A log is read between what its publisher added to it and the time that it gives it, by who knows nothing else
/// of it: nobody has edited it.
#[test]
fn a_log_that_is_being_added_to_just_now_is_not_edited() {
    const INLINE_MAX: usize = 200_000;
    const LONG: Duration = Duration::from_secs(60);
    let sim = scene();
    let (stopped, has_stopped) = channel();
    let (go, may_go) = channel();
    let may_go = Mutex::new(may_go);
    let adds = Arc::new(AtomicBool::new(false));
    let is_adding = Arc::clone(&adds);
    let steps = Steps::new(sim.actor(), move |_, op, path| {
        let stops = op == "write" || op == "set_mtime";
        if stops && path == "lines" && is_adding.load(Ordering::SeqCst) {
            stopped.send(()).expect("somebody waits");
            // Whoever has failed sends nothing.
            may_go.lock().expect("no test has failed").recv_timeout(LONG).unwrap_or(());
        }
    });
    let publisher = options().inline_max(INLINE_MAX).open_with(steps).expect("it opens");
    // So long that nobody reads it to know its hash.
    let lines = [vec![b'1'; INLINE_MAX], vec![b'2'; INLINE_MAX], vec![b'3']];
    for line in &lines[..2] {
        publisher.append("lines", line).expect("nothing stands in the way");
    }
    // Until the journal has let go what says so.
    for round in 0..4_u8 {
        put(&publisher, "other", &[round; INLINE_MAX]);
        publisher.checkpoint().expect("nothing fails here");
    }
    adds.store(true, Ordering::SeqCst);
    let looks = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let (done, is_done) = channel();
        let publisher = &publisher;
        scope.spawn(move || {
            publisher.append("lines", [b'3']).expect("nothing stands in the way");
            // Whoever has failed waits no more.
            done.send(()).unwrap_or(());
        });
        has_stopped.recv_timeout(LONG).expect("it is about to add");
        let (looked, ends) = (Arc::clone(&looks), Mutex::new((go.clone(), is_done)));
        let steps = Steps::new(sim.actor(), move |_, op, path| {
            // Before the second look.
            if op == "open" && path == "lines" && looked.fetch_add(1, Ordering::SeqCst) == 1 {
                let (go, is_done) = &*ends.lock().expect("no test has failed");
                go.send(()).expect("it waits");
                is_done.recv_timeout(LONG).expect("it ends");
            }
        });
        let reader = options().open_with(steps).expect("it joins");
        // Of a moment before the bytes, and they are of it.
        let snapshot = reader.snapshot().expect("it can be pinned");
        sim.advance(Duration::from_millis(50));
        go.send(()).expect("it waits");
        has_stopped.recv_timeout(LONG).expect("it has added, and gives no time yet");
        let log = snapshot.read_bytes("lines");
        // If the reader has not sent it; else nobody waits any more.
        go.send(()).unwrap_or(());
        let log = log.expect("nobody has edited it");
        assert_eq!(log.as_deref(), Some(&*lines.concat()));
    });
    assert!(looks.load(Ordering::SeqCst) > 1, "one look was enough");
}
