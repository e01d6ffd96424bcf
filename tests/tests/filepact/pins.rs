//! What a publisher keeps for those who read an older moment.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact::Store;
use filepact_fs::{Access, Fs, Lock, LockKind, Rename, write_all};
use filepact_journal::Hash;
use filepact_simfs::{Actor, SimFs, errno};
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::history::INLINE_MAX;
use filepact_tests::steps::Steps;

use crate::support::{commit, dies_before_swap, fail, put, read, text};

const KEPT: &str = ".filepact/kept";

/// A pin, as its owner holds it.
struct Pin {
    owner: Arc<Actor>,
    at: String,
    seq: u64,
    _lock: Box<dyn Lock>,
}

/// Pins first, then reads what is committed.
fn pin(sim: &SimFs, name: &str, store: &Store) -> Pin {
    let owner = sim.actor();
    let (new, at) = (format!(".filepact/pins/new.{name}"), format!(".filepact/pins/{name}"));
    let file = owner.create(&new).expect("it can be made");
    let lock = owner.lock(&new, LockKind::Exclusive, Duration::ZERO).expect("it can be locked");
    owner.rename(&new, &at, Rename::NoReplace).expect("nobody has the name");
    let seq = store.status().expect("it can be read").committed;
    write_all(&*file, format!("{seq}\n").as_bytes(), 0).expect("nothing fails here");
    Pin { owner, at, seq, _lock: lock.expect("nobody has it") }
}

/// The entries of `kept/` for a path: transaction, and length and times, or `absent`.
fn kept(sim: &SimFs, path: &str) -> BTreeMap<u64, String> {
    let prefix = format!("{KEPT}/{}.", Hash::of(path.as_bytes()));
    let names = sim.tree().into_keys().filter_map(|name| {
        let (txn, len) = name.strip_prefix(&prefix)?.split_once('.')?;
        Some((txn.parse().expect("a number"), len.to_owned()))
    });
    names.collect()
}

fn all_kept(sim: &SimFs) -> usize {
    sim.tree().into_keys().filter(|path| path.starts_with(KEPT)).count()
}

/// What a document held at a pin, as a reader finds it.
fn at_pin(sim: &SimFs, path: &str, pin: &Pin) -> Option<String> {
    match kept(sim, path).range(pin.seq + 1..).next() {
        None => read(sim, path),
        Some((_, len)) if len == "absent" => None,
        Some((txn, rest)) => {
            let name = format!("{KEPT}/{}.{txn}.{rest}", Hash::of(path.as_bytes()));
            let image = read(sim, &name).expect("it is there");
            let len = rest.split('.').next().expect("it begins with the length");
            Some(image[..len.parse().expect("a number")].to_owned())
        }
    }
}

/// Where time stamps are exact a commit looks for pins only if their folder has changed.
#[test]
fn a_pin_is_seen_however_soon_after_a_commit_it_comes() {
    for exact in [false, true] {
        let sim = prepared();
        match exact {
            true => sim.set_exact_times(true),
            // All of it within one tick.
            false => sim.set_tick(Duration::from_secs(60)),
        }
        let store = open(&sim);
        // One commit finds this and takes it away, the next one finds none.
        drop(pin(&sim, "gone", &store));
        put(&store, "a.json", b"v1");
        put(&store, "a.json", b"v2");
        let before = read(&sim, "b.json");
        let first = pin(&sim, "first", &store);
        put(&store, "a.json", b"v3");
        put(&store, "b.json", b"v3");
        assert_eq!(at_pin(&sim, "a.json", &first).as_deref(), Some("v2"), "{exact}");
        assert_eq!(at_pin(&sim, "b.json", &first), before, "{exact}");
        drop(first);
        put(&store, "a.json", b"v4");
        let second = pin(&sim, "second", &store);
        put(&store, "a.json", b"v5");
        assert_eq!(at_pin(&sim, "a.json", &second).as_deref(), Some("v4"), "{exact}");
    }
}

#[test]
fn a_pin_that_comes_while_pins_are_looked_for_is_seen_by_the_next_commit() {
    let sim = prepared();
    sim.set_exact_times(true);
    let other = open(&sim);
    let (listed, pinned) = (AtomicBool::new(false), Arc::new(Mutex::new(None)));
    let steps = Steps::new(sim.actor(), {
        let (sim, pinned) = (sim.clone(), Arc::clone(&pinned));
        move |_, op, on| {
            // Right behind the list.
            if listed.swap(op == "list" && on == ".filepact/pins", Relaxed) {
                let mut pinned = pinned.lock().expect("no thread panics");
                pinned.get_or_insert_with(|| pin(&sim, "between", &other));
            }
        }
    });
    let store = options().open_with(steps).expect("it opens");
    put(&store, "a.json", b"v1");
    put(&store, "a.json", b"v2");
    put(&store, "a.json", b"v3");
    let pinned = pinned.lock().expect("no thread panics").take().expect("there was a list");
    assert_eq!(at_pin(&sim, "a.json", &pinned).as_deref(), Some("v1"));
}

#[test]
fn without_a_pin_nothing_is_kept() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    put(&store, "a.json", b"v2");
    assert_eq!(all_kept(&sim), 0);
}

#[test]
fn what_a_pin_sees_stays_as_it_was() {
    let sim = prepared();
    let store = open(&sim);
    let large = "l".repeat(3 * INLINE_MAX);
    commit(
        &store,
        &[("a", "v1"), ("log", "one\n"), ("large", &large), ("gone", "g"), ("same", "s")],
    )
    .expect("it commits");
    let early = pin(&sim, "early", &store);
    for round in 2..5 {
        let body = format!("v{round}");
        store
            .transact::<_, filepact::Error>(|tx| {
                tx.write_bytes("a", body.clone())?;
                tx.append("log", format!("{round}\n"))?;
                tx.append("large", "+")?;
                tx.write_bytes("new", body.clone())
            })
            .expect("it commits");
    }
    store.remove("gone").expect("it is there");
    let late = pin(&sim, "late", &store);
    put(&store, "a", b"v5");
    put(&store, "gone", b"again");
    store.append("log", "last\n").expect("it commits");
    store.checkpoint().expect("nothing fails here");

    let sees = |pin: &Pin, path: &str| at_pin(&sim, path, pin);
    for (path, at_early, at_late) in [
        ("a", Some("v1"), Some("v4")),
        ("log", Some("one\n"), Some("one\n2\n3\n4\n")),
        ("gone", Some("g"), None),
        ("same", Some("s"), Some("s")),
        ("new", None, Some("v4")),
        ("large", Some(&*large), Some(&*format!("{large}+++"))),
    ] {
        assert_eq!(sees(&early, path).as_deref(), at_early, "{path}");
        assert_eq!(sees(&late, path).as_deref(), at_late, "{path}");
    }
    assert_eq!(kept(&sim, "same"), BTreeMap::new(), "nobody has changed it");

    // What no pin needs goes with the next checkpoint: those in between, then all.
    let before = all_kept(&sim);
    drop(early);
    put(&store, "x", b"1");
    store.checkpoint().expect("nothing fails here");
    assert!(all_kept(&sim) < before);
    assert_eq!(sees(&late, "a").as_deref(), Some("v4"));
    assert_eq!(sees(&late, "log").as_deref(), Some("one\n2\n3\n4\n"));
    drop(late);
    put(&store, "x", b"2");
    store.checkpoint().expect("nothing fails here");
    assert_eq!(all_kept(&sim), 0);
}

#[test]
fn a_document_that_changes_often_under_a_pin_is_kept_once() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a", b"v1");
    let first = pin(&sim, "first", &store);
    for round in 2..10 {
        put(&store, "a", format!("v{round}").as_bytes());
    }
    assert_eq!(kept(&sim, "a").len(), 1);
    let second = pin(&sim, "second", &store);
    for round in 10..20 {
        put(&store, "a", format!("v{round}").as_bytes());
    }
    assert_eq!(kept(&sim, "a").len(), 2);
    assert_eq!(at_pin(&sim, "a", &first).as_deref(), Some("v1"));
    assert_eq!(at_pin(&sim, "a", &second).as_deref(), Some("v9"));
}

#[test]
fn attack_13_a_pin_lapses_with_its_owner() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a", b"v1");
    let held = pin(&sim, "held", &store);
    sim.kill(&held.owner);
    put(&store, "a", b"v2");
    assert_eq!(all_kept(&sim), 0);
    assert_eq!(sim.read(&held.at), None, "the next publisher removes it");
}

/// Attack 13: who is about to lock a pin does not get it while somebody takes it away.
#[test]
fn attack_13_a_pin_is_taken_away_by_who_has_its_lock() {
    let sim = prepared();
    sim.write(".filepact/pins/young", b"");
    let (young, tried) = (sim.actor(), Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&tried);
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if op == "unlink" && on == ".filepact/pins/young" {
            let lock = young.lock(on, LockKind::Exclusive, Duration::ZERO);
            assert!(lock.expect("it is there still").is_none());
            seen.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let store = options().open_with(steps).expect("it opens");
    sim.write(".filepact/pins/young", b"");
    put(&store, "a", b"v1");
    assert!(tried.load(std::sync::atomic::Ordering::SeqCst));
    assert_eq!(sim.read(".filepact/pins/young"), None);
}

/// Attack 13: a pin that does not yet say what it reads needs everything.
#[test]
fn attack_13_a_pin_without_a_moment_keeps_everything() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a", b"v1");
    let owner = sim.actor();
    owner.create(".filepact/pins/young").expect("it can be made");
    let lock = owner.lock(".filepact/pins/young", LockKind::Exclusive, Duration::ZERO);
    put(&store, "a", b"v2");
    put(&store, "a", b"v3");
    store.checkpoint().expect("nothing fails here");
    assert!(!kept(&sim, "a").is_empty());
    drop(lock);
}

/// Attack 41: a healer finds what the dead publisher has kept, and adds none.
#[test]
fn attack_41_a_healer_keeps_nothing_twice_and_forgets_nothing() {
    let sim = prepared();
    let alive = open(&sim);
    commit(&alive, &[("a", "v1"), ("b", "v1"), ("log", "one\n")]).expect("it commits");
    let held = pin(&sim, "held", &alive);
    let dead = dies_before_swap(&sim, "b");
    commit(&dead, &[("a", "v2"), ("b", "v2")]).expect_err("it dies");
    put(&alive, "x", b"1");
    for path in ["a", "b"] {
        assert_eq!(kept(&sim, path).len(), 1, "{path}");
        assert_eq!(at_pin(&sim, path, &held).as_deref(), Some("v1"), "{path}");
        assert_eq!(text(&alive, path).as_deref(), Some("v2"), "{path}");
    }

    // Half an append is not kept a second time, with a greater length.
    sim.record();
    let store = open(&sim);
    store.append("log", "a longer line\n").expect("it commits");
    drop((store, alive));
    let moments = sim.recorded();
    let write = moments.iter().find(|moment| moment.call.starts_with("write log"));
    for world in write.expect("it is written").world.process_death_variants() {
        let name = format!("{KEPT}/{}.", Hash::of(b"log"));
        let before = world.tree().into_keys().filter(|path| path.starts_with(&name)).count();
        assert_eq!(before, 1);
        // Pins die with a recovery alone; a healer is what is asked for here.
        assert_eq!(at_pin(&world, "log", &held).as_deref(), Some("one\n"));
    }
}

#[test]
fn attack_41_half_an_append_is_healed_and_kept_once() {
    // A pin that does not say its moment yet is served by the same entry.
    for (nth, says) in [(1, true), (2, true), (3, true), (1, false), (2, false), (3, false)] {
        let sim = prepared();
        let alive = open(&sim);
        put(&alive, "log", b"one\n");
        let held = pin(&sim, "held", &alive);
        if !says {
            sim.write(&held.at, b"");
        }
        let (world, victim) = (sim.clone(), sim.actor());
        let (dies, seen) = (victim.clone(), std::sync::atomic::AtomicU32::new(0));
        // Before its bytes are written, before it gets its time, before `state`.
        let steps = Steps::new(victim, move |_, op, on| {
            let late = ["log", ".filepact/state"].contains(&on) && op != "stat" && op != "read";
            let kept = world.tree().into_keys().any(|path| path.starts_with(KEPT));
            if late && kept && seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == nth {
                world.kill(&dies);
            }
        });
        let dead = options().open_with(steps).expect("it opens");
        dead.append("log", "two\n").expect_err("it dies");
        put(&alive, "x", b"1");
        assert_eq!(read(&sim, "log").as_deref(), Some("one\ntwo\n"), "{nth}");
        // One of the log, one of `x`.
        assert_eq!(all_kept(&sim), 2, "{nth}: {:?}", sim.tree().keys());
        assert_eq!(at_pin(&sim, "log", &held).as_deref(), Some("one\n"), "{nth}");
    }
}

#[test]
fn an_image_is_copied_where_links_do_not_work_and_a_full_disk_stops_the_publish() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "doc", b"v1");
    let held = pin(&sim, "held", &store);
    // The link into `kept/` is refused, that of the copy is not.
    fail(&sim, "link", "doc", errno::PERM, false);
    put(&store, "doc", b"v2");
    assert_eq!(at_pin(&sim, "doc", &held).as_deref(), Some("v1"));
    sim.clear_faults();

    fail(&sim, "link", "b.json", errno::NOSPC, true);
    let before = read(&sim, "b.json");
    let mut tx = store.begin().expect("the store is open");
    tx.append("b.json", "more").expect("a valid path");
    let outcome = tx.commit();
    assert!(matches!(outcome, Err(filepact::Error::Unpublished { .. })), "{outcome:?}");
    sim.clear_faults();
    put(&store, "x", b"1");
    assert_eq!(at_pin(&sim, "b.json", &held), before);
}

#[test]
fn an_opening_alone_sweeps_what_was_kept() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a", b"v1");
    let held = pin(&sim, "held", &store);
    put(&store, "a", b"v2");
    assert_eq!(all_kept(&sim), 1);
    sim.kill(&held.owner);
    drop((held, store));
    drop(open(&sim));
    assert_eq!(all_kept(&sim), 0);
    assert!(sim.actor().open(".filepact/pins/held", Access::Read).is_err());
}

/// Root looked at a snapshot of somebody's store: the pin was root's alone, and its owner, who could not
/// look at it, committed nothing any more.
#[test]
fn a_pin_belongs_to_whom_the_store_belongs() {
    let sim = prepared();
    sim.set_owner(".filepact/pins", 33, 44);
    let store = open(&sim);
    let _snapshot = store.snapshot().expect("it can be made");
    let pins = sim.names_in(".filepact/pins");
    let pin = sim.stat(&format!(".filepact/pins/{}", pins[0])).expect("it is there");
    assert_eq!((pins.len(), pin.uid, pin.gid, pin.mode), (1, 33, 44, 0o600));
}

/// The same where it could not be given away; and when its process was killed, the store did not open.
#[test]
fn a_pin_that_may_not_be_looked_at_is_held_until_somebody_opens_the_store_alone() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a", b"v1");
    let held = pin(&sim, "held", &store);
    fail(&sim, "lock", ".filepact/pins/", errno::ACCES, true);
    put(&store, "a", b"v2");
    put(&store, "a", b"v3");
    store.checkpoint().expect("nothing stands in the way");
    assert_eq!(at_pin(&sim, "a", &held).as_deref(), Some("v1"));
    let pins = store.status().expect("it can be read").pins;
    assert!(matches!(&pins[..], [pin] if pin.txn.is_none()), "{pins:?}");
    sim.kill(&held.owner);
    drop((held, store));
    let store = open(&sim);
    assert_eq!(sim.names_in(".filepact/pins"), Vec::<String>::new());
    assert_eq!(all_kept(&sim), 0);
    put(&store, "a", b"v4");
    assert_eq!(all_kept(&sim), 0);
}
