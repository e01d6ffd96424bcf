//! All documents as of one moment, whatever happens meanwhile.

/// Beside commits, deaths and each other, at every call.
mod beside;
/// What other programs do.
mod edits;
/// Long random histories of all that.
mod random;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact::{Error, Snapshot, Store};
use filepact_simfs::{SimFs, errno};
use filepact_tests::crash::{open, options, prepared, prepared_with};
use filepact_tests::history::{INLINE_MAX, Tree, body};
use filepact_tests::steps::Steps;

use crate::support::{dies_before, dies_before_swap, fail, put};

/// All that a snapshot sees.
fn try_seen(snapshot: &Snapshot) -> Result<Tree, Error> {
    let list = snapshot.list("").expect("nothing was edited").into_iter();
    list.map(|path| {
        let bytes = snapshot.read_bytes(&path)?;
        Ok((path.to_string(), bytes.unwrap_or_else(|| panic!("`{path}` is listed"))))
    })
    .collect()
}

fn seen(snapshot: &Snapshot) -> Tree {
    try_seen(snapshot).unwrap_or_else(|error| panic!("{error:?}"))
}

/// All that a handle sees now.
fn now(store: &Store) -> Tree {
    let list = store.list("").expect("it can be listed");
    let bytes = |path: &str| store.read_bytes(path).expect("it can be read").expect("it is there");
    list.into_iter().map(|path| (path.to_string(), bytes(&path))).collect()
}

fn left(sim: &SimFs, dir: &str) -> Vec<String> {
    sim.tree().into_keys().filter(|path| path.starts_with(dir)).collect()
}

fn kept(sim: &SimFs) -> Vec<String> {
    left(sim, ".filepact/kept/")
}

fn pins(sim: &SimFs) -> Vec<String> {
    left(sim, ".filepact/pins/")
}

/// A store with a document for each kind of change.
fn scene() -> SimFs {
    let document = |path: &str, len| (path.to_owned(), body(path, 0, len));
    prepared_with(&BTreeMap::from([
        document("a", 300),
        document("b", 300),
        document("dir/gone", 200),
        document("large", 3 * INLINE_MAX),
        document("log", 100),
        document("same", 50),
    ]))
}

/// A transaction of every kind of change; the second one undoes some of the first.
fn change(store: &Store, number: usize) -> Result<u64, Error> {
    let mut tx = store.begin()?;
    for path in ["a", "b"] {
        tx.write_bytes(path, body(path, number, 300 + 40 * number))?;
    }
    tx.append("log", body("log", number, 80))?;
    tx.append("long", body("long", number, 2 * INLINE_MAX))?;
    let even = number.is_multiple_of(2);
    for (path, there) in [("dir/gone", even), ("new/deep/x", !even)] {
        match there {
            true => tx.write_bytes(path, body(path, number, 150))?,
            false if tx.exists(path)? => tx.remove(path)?,
            false => {}
        }
    }
    let len = if even { 4 * INLINE_MAX } else { 400 };
    tx.write_bytes("large", body("large", number, len))?;
    Ok(tx.commit()?.txn)
}

/// Later than anything so far, for every clock.
fn later(sim: &SimFs) {
    sim.advance(Duration::from_millis(100));
}

#[test]
fn a_snapshot_sees_its_moment_whatever_is_committed_later() {
    let sim = scene();
    let (store, other) = (open(&sim), open(&sim));
    let mut held = Vec::new();
    for number in 1..8 {
        for by in [&store, &other] {
            let snapshot = by.snapshot().expect("it can be pinned");
            held.push((seen(&snapshot), snapshot));
            assert_eq!(held.last().expect("just pushed").0, now(&store), "{number}");
        }
        let by = if number % 2 == 0 { &store } else { &other };
        let txn = change(by, number).expect("it commits");
        assert_eq!(by.snapshot().expect("it can be pinned").txn(), txn);
        if number % 3 == 0 {
            by.checkpoint().expect("nothing fails here");
        }
        if number == 4 {
            by.rename("a", "moved/a").expect("it is there");
            by.rename("large", "moved/large").expect("it is there");
            // A directory in the place of a document, and the other way round.
            by.remove("same").expect("it is there");
            put(by, "same/below", b"1");
        }
        for (nth, (expected, snapshot)) in held.iter().enumerate() {
            assert_eq!(seen(snapshot), *expected, "the {nth}th after {number}");
        }
        // Every other one goes, and the others keep what they need.
        if number % 2 == 0 {
            held.remove(held.len() / 2);
        }
    }
    drop(held);
    assert_eq!(pins(&sim), Vec::<String>::new());
    store.checkpoint().expect("nothing fails here");
    assert_eq!(kept(&sim), Vec::<String>::new());
}

#[test]
fn a_snapshot_answers_as_a_store_does() {
    let sim = prepared();
    let store = open(&sim);
    store.write("n.json", &17).expect("it commits");
    put(&store, "dir/x", b"text");
    let snapshot = store.snapshot().expect("it can be pinned");
    let version = store.version("n.json").expect("it can be read");
    store.write("n.json", &18).expect("it commits");
    store.remove("dir/x").expect("it is there");
    put(&store, "dir/y", b"new");

    assert_eq!(snapshot.read::<i32>("n.json").expect("it was there"), 17);
    assert_eq!(snapshot.get::<i32>("n.json").expect("it can be read"), Some(17));
    assert_eq!(snapshot.version("n.json").expect("it can be read"), version);
    assert!(snapshot.exists("dir/x").expect("it can be read"));
    assert!(!snapshot.exists("dir/y").expect("it can be read"));
    assert_eq!(snapshot.get::<i32>("dir/y").expect("it can be read"), None);
    assert!(matches!(snapshot.read::<i32>("dir/y"), Err(Error::NotFound { .. })));
    assert!(matches!(snapshot.read::<i32>("dir/x"), Err(Error::Json { .. })));
    assert!(matches!(snapshot.read_bytes("../x"), Err(Error::InvalidPath(_))));
    assert_eq!(snapshot.version("none").expect("it can be read"), None);
    let listed: Vec<_> =
        snapshot.list("dir").expect("nothing was edited").iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["dir/x"]);

    // A reader outlives its snapshot, and the image that it reads.
    let mut reader = snapshot.reader("dir/x").expect("it can be read").expect("it was there");
    assert!(snapshot.reader("dir/y").expect("it can be read").is_none());
    drop(snapshot);
    assert!(!kept(&sim).iter().any(|name| !name.ends_with(".path")), "{:?}", kept(&sim));
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("it is open");
    assert_eq!(text, "text");
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Snapshot>();
}

#[test]
fn a_snapshot_locks_nothing_but_its_pin_and_its_reads_write_nothing() {
    let sim = scene();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&calls);
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        log.lock().expect("no test has failed").push(format!("{op} {on}"));
    });
    let (store, other) = (options().open_with(steps).expect("it opens"), open(&sim));
    // Somebody has the writer lock all the while.
    let turn = other.begin_exclusive(Duration::ZERO).expect("nobody has it");
    calls.lock().expect("no test has failed").clear();
    let snapshot = store.snapshot().expect("it can be pinned");
    let changes = |calls: &[String]| {
        let looks = ["stat", "open", "read", "list"];
        let is_look = |call: &String| looks.iter().any(|look| call.starts_with(look));
        calls.iter().filter(|call| !is_look(call)).cloned().collect::<Vec<_>>()
    };
    let made = changes(&calls.lock().expect("no test has failed"));
    let [create, lock, write] = &made[..] else { panic!("{made:#?}") };
    assert!(create.starts_with("create .filepact/pins/"), "{create}");
    assert!(lock.starts_with("lock .filepact/pins/") && write.starts_with("write .filepact/pins/"));
    drop(turn);
    change(&other, 1).expect("it commits");
    calls.lock().expect("no test has failed").clear();
    assert_eq!(seen(&snapshot).len(), 6);
    assert_eq!(changes(&calls.lock().expect("no test has failed")), Vec::<String>::new());

    // Nor does it wait at its end: what was kept goes beside who has the lock.
    let turn = other.begin_exclusive(Duration::ZERO).expect("nobody has it");
    drop(snapshot);
    assert_eq!(pins(&sim), Vec::<String>::new());
    assert!(kept(&sim).iter().all(|name| name.ends_with(".path")), "{:?}", kept(&sim));
    drop(turn);
}

/// Attack 13: a publisher looks for pins between the creation of one and its lock.
#[test]
fn attack_13_a_pin_that_is_taken_away_before_it_is_locked_is_made_anew() {
    for times in [1, 3, 15, 16] {
        let sim = scene();
        let other = Mutex::new(open(&sim));
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let steps = Steps::new(sim.actor(), move |_, op, on| {
            if op == "lock" && on.contains("pins/") && count.load(Ordering::SeqCst) < times {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let other = other.lock().expect("no test has failed");
                change(&other, number).expect("it commits");
            }
        });
        let store = options().open_with(steps).expect("it opens");
        let snapshot = store.snapshot();
        assert_eq!(taken.load(Ordering::SeqCst), times);
        if times == 16 {
            assert!(matches!(snapshot, Err(Error::Io { .. })), "{snapshot:?}");
            assert_eq!(pins(&sim), Vec::<String>::new());
            continue;
        }
        let snapshot = snapshot.expect("it can be pinned");
        assert_eq!(pins(&sim).len(), 1);
        let expected = now(&store);
        change(&store, times + 1).expect("it commits");
        assert_eq!(seen(&snapshot), expected, "{times}");
    }
}

/// Attack 38, for a moment that lasts: what was on its way is read from its words, then at its place,
/// then from what was kept.
#[test]
fn what_a_dead_publisher_left_is_seen_whole_before_and_after_it_is_healed() {
    for late in ["a", "b", "log", "long", "large", "dir/gone", "new/deep/x"] {
        let sim = scene();
        let alive = open(&sim);
        // Known to nobody else, so that nothing but the journal says what they held.
        alive.checkpoint().expect("nothing fails here");
        let dead = match late {
            "log" => dies_before(&sim, options(), "write", "log", 1),
            "long" => dies_before(&sim, options(), "link", "long", 1),
            late => dies_before_swap(&sim, late),
        };
        let outcome = change(&dead, 1);
        let early = alive.snapshot().expect("it can be pinned");
        let joined = open(&sim);
        let late_comer = joined.snapshot().expect("it can be pinned");
        let expected = now(&alive);
        assert!(late == "long" || outcome.is_err(), "{late}");
        assert_eq!(expected["b"], body("b", 1, 340), "{late}");
        for step in 0..6 {
            for snapshot in [&early, &late_comer] {
                assert_eq!(seen(snapshot), expected, "{late}, {step}");
            }
            match step {
                0 => put(&alive, "x", b"heals it"),
                1 | 3 => alive.checkpoint().expect("nothing fails here"),
                2 => drop(change(&alive, 2).expect("it commits")),
                4 => drop(change(&joined, 3).expect("it commits")),
                _ => joined.checkpoint().expect("nothing fails here"),
            }
        }
    }
}

#[test]
fn half_an_addition_of_a_dead_publisher_is_not_seen() {
    let sim = scene();
    let alive = open(&sim);
    sim.record();
    let store = open(&sim);
    let before = alive.snapshot().expect("it can be pinned");
    let expected = seen(&before);
    store.append("log", "a longer line\n").expect("it commits");
    let moments = sim.recorded();
    let write = moments.iter().find(|moment| moment.call.starts_with("write log"));
    for world in write.expect("it is written").world.process_death_variants() {
        // Pins die with their processes: another moment, pinned by who comes then.
        let alive = open(&world);
        let snapshot = alive.snapshot().expect("it can be pinned");
        let after = seen(&snapshot);
        assert!(after["log"].ends_with(b"a longer line\n"), "it is committed");
        change(&alive, 1).expect("it commits");
        assert_eq!(seen(&snapshot), after);
    }
    assert_eq!(seen(&before), expected);
}

#[test]
fn a_checkpoint_that_writes_all_anew_changes_nothing_for_a_snapshot() {
    let sim = scene();
    let alive = open(&sim);
    change(&alive, 1).expect("it commits");
    let snapshot = alive.snapshot().expect("it can be pinned");
    let expected = seen(&snapshot);
    let dead = dies_before(&sim, options(), "sync", "b", 1);
    dead.checkpoint().expect_err("it dies in the middle");
    let inode = |path| sim.stat(path).expect("it is there").stamp.ino;
    let before = inode("log");
    later(&sim);
    alive.checkpoint().expect("it writes all anew");
    assert_ne!(inode("log"), before);
    assert_eq!(seen(&snapshot), expected);
    let other = open(&sim);
    change(&other, 2).expect("it commits");
    assert_eq!(seen(&snapshot), expected);
}

#[test]
fn a_pin_ends_with_its_process_and_what_was_kept_for_it_goes() {
    let sim = scene();
    let alive = open(&sim);
    let actor = sim.actor();
    let held = options().open_with(actor.clone()).expect("it joins");
    let snapshot = held.snapshot().expect("it can be pinned");
    change(&alive, 1).expect("it commits");
    assert!(!kept(&sim).is_empty() && pins(&sim).len() == 1);
    sim.kill(&actor);
    assert!(snapshot.read_bytes("a").is_err());
    drop((snapshot, held));
    alive.checkpoint().expect("nothing fails here");
    assert_eq!((kept(&sim), pins(&sim)), Default::default());

    // Also where nothing is left to checkpoint.
    let actor = sim.actor();
    let held = options().open_with(actor.clone()).expect("it joins");
    let _snapshot = held.snapshot().expect("it can be pinned");
    change(&alive, 2).expect("it commits");
    alive.checkpoint().expect("nothing fails here");
    assert!(!kept(&sim).is_empty());
    sim.kill(&actor);
    alive.checkpoint().expect("nothing fails here");
    assert_eq!((kept(&sim), pins(&sim)), Default::default());
}

#[test]
fn a_snapshot_costs_what_changes_once() {
    let sim = scene();
    let store = open(&sim);
    let snapshot = store.snapshot().expect("it can be pinned");
    for number in 1..20 {
        put(&store, "a", &body("a", number, 100));
        store.append("log", "line\n").expect("it commits");
    }
    assert_eq!(kept(&sim).len(), 2, "{:?}", kept(&sim));
    let image = kept(&sim).into_iter().find(|name| sim.stat(name).is_some_and(|s| s.nlink == 2));
    assert!(image.is_some(), "a document that is added to is not copied");
    // Nobody needs what a snapshot without changes has kept.
    drop(store.snapshot().expect("it can be pinned"));
    assert_eq!(kept(&sim).len(), 2);
    drop(snapshot);
    assert_eq!(kept(&sim), Vec::<String>::new());
}

#[test]
fn status_shows_what_snapshots_cost() {
    let sim = scene();
    let (store, other) = (open(&sim), open(&sim));
    let pins = || store.status().expect("it answers").pins;
    assert_eq!(pins(), vec![]);
    let old = other.snapshot().expect("it can be pinned");
    assert_eq!(pins()[0].bytes, 0);
    put(&store, "a", b"newer");
    put(&store, "new", b"made");
    store.append("log", "more").expect("it commits");
    later(&sim);
    let young = store.snapshot().expect("it can be pinned");
    put(&store, "a", b"newest");
    let [first, second] = &pins()[..] else { panic!("{:?}", pins()) };
    assert_eq!((first.txn, second.txn), (Some(old.txn()), Some(young.txn())));
    assert!(first.since < second.since && first.process == Some(std::process::id()));
    // The log is at its path as well.
    assert_eq!((first.bytes, second.bytes), (300, 5));
    // What it was is nowhere else any more.
    put(&store, "log", b"short");
    assert_eq!((pins()[0].bytes, pins()[1].bytes), (300 + 104, 5 + 104));
    drop(old);
    assert_eq!(pins().len(), 1);
    drop(young);
    assert_eq!(pins(), vec![]);
}

#[test]
fn a_snapshot_goes_on_in_a_store_that_has_failed_and_a_new_one_is_refused() {
    let sim = scene();
    let (store, other) = (open(&sim), open(&sim));
    change(&store, 1).expect("it commits");
    let snapshot = store.snapshot().expect("it can be pinned");
    let expected = seen(&snapshot);
    put(&store, "b", b"newer");
    fail(&sim, "sync", "log", errno::IO, false);
    other.checkpoint().expect_err("a sync fails");
    assert_eq!(seen(&snapshot), expected);
    assert!(matches!(other.snapshot(), Err(Error::Poisoned)));
    // What the failed sync has lost is not read.
    sim.evict_all();
    assert_ne!(sim.read("log"), Some(expected["log"].clone()));
    assert!(matches!(snapshot.read_bytes("log"), Err(Error::Poisoned)));
    assert_eq!(snapshot.read_bytes("dir/gone").expect("it can be read"), None);
}

#[test]
fn a_snapshot_of_a_store_that_was_closed_answers_no_more() {
    let sim = scene();
    let store = open(&sim);
    let snapshot = store.snapshot().expect("it can be pinned");
    // A handle that is dropped is not closed: the snapshot keeps it.
    let second = store.clone();
    drop(store);
    assert_eq!(seen(&snapshot).len(), 6);
    second.close().expect("nothing fails here");
    assert!(matches!(snapshot.read_bytes("a"), Err(Error::Poisoned)));
    assert!(matches!(snapshot.list(""), Err(Error::Poisoned)));
    // Another process may open it alone, and does not wait for the pin.
    let store = open(&sim);
    change(&store, 1).expect("it commits");
    drop(snapshot);
    store.checkpoint().expect("nothing fails here");
    assert_eq!((kept(&sim), pins(&sim)), Default::default());
}

#[test]
fn nothing_is_kept_for_a_handle_that_was_closed() {
    let sim = scene();
    let (store, other) = (open(&sim), open(&sim));
    let snapshot = store.snapshot().expect("it can be pinned");
    store.close().expect("nothing fails here");
    assert_eq!(pins(&sim), Vec::<String>::new());
    change(&other, 1).expect("it commits");
    assert_eq!(kept(&sim), Vec::<String>::new());
    assert!(matches!(snapshot.read_bytes("a"), Err(Error::Poisoned)));
}

#[test]
fn a_pin_that_cannot_be_made_leaves_nothing() {
    for op in ["create", "lock", "write", "unlink"] {
        let sim = scene();
        let store = open(&sim);
        fail(&sim, op, ".filepact/pins", errno::NOSPC, false);
        let snapshot = store.snapshot();
        assert_eq!(snapshot.is_ok(), op == "unlink", "{op}: {snapshot:?}");
        drop(snapshot);
        sim.clear_faults();
        change(&store, 1).expect("it commits");
        store.checkpoint().expect("nothing fails here");
        assert_eq!((kept(&sim), pins(&sim)), Default::default(), "{op}");
    }
}

#[test]
fn what_cannot_be_kept_stops_the_publish_and_is_kept_by_the_healer() {
    // An image, a marker, the path of what is removed.
    for (op, on) in [
        ("link", "-> .filepact/kept"),
        ("create", ".filepact/kept"),
        ("create_unnamed", ".filepact/kept"),
        ("write", ".filepact/kept"),
    ] {
        let sim = scene();
        let store = open(&sim);
        let snapshot = store.snapshot().expect("it can be pinned");
        let expected = seen(&snapshot);
        fail(&sim, op, on, errno::NOSPC, false);
        let outcome = change(&store, 1);
        assert_eq!(seen(&snapshot), expected, "{op}");
        sim.clear_faults();
        change(&store, 2).expect("it heals and commits");
        assert_eq!(seen(&snapshot), expected, "{op}");
        assert!(
            matches!(outcome, Err(Error::Unpublished { .. })) || op == "link",
            "{op}: {outcome:?}"
        );
    }
}
