//! A checkpoint beside commits, other checkpoints and deaths.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use filepact::{Durability, Error, Store};
use filepact_fs::{Fs, Time};
use filepact_simfs::{SimFs, errno};
use filepact_tests::crash::{documents, open, options, prepared};
use filepact_tests::history::{INLINE_MAX, Tree, body};
use filepact_tests::steps::Steps;

use crate::support::{Beside, STRICT, commit, dies_before, fail, mtime, put, read, staged, text};

const MARK: &str = ".filepact/checkpoint.lock";

/// What another process does beside a checkpoint of `a.json`, `log` and `large`: it replaces what is
/// being synced, adds to it, removes it, makes a document with a large body, and one in a directory.
fn others_commit(store: &Store) -> Result<(), Error> {
    store.transact(|tx| {
        tx.write_bytes("a.json", "v2")?;
        tx.append("log", "two\n")?;
        tx.remove("gone")?;
        tx.write_bytes("large", body("l", 2, 3 * INLINE_MAX))?;
        tx.write_bytes("new/n.json", "n")
    })
}

/// A store in which there is something of each kind to checkpoint, a process that has it open, and what
/// it holds.
fn changed() -> (SimFs, Store, Tree) {
    let sim = prepared();
    let store = open(&sim);
    let large = String::from_utf8(body("l", 1, 3 * INLINE_MAX)).expect("text");
    commit(&store, &[("a.json", "v1"), ("log", "one\n"), ("large", &large), ("gone", "g")])
        .expect("nothing stands in the way");
    let tree = documents(&sim);
    (sim, store, tree)
}

/// Attacks 24 and 39, at every call: what others commit beside a checkpoint is never covered by it, and
/// never lost with the journal that it lets go.
#[test]
fn commits_beside_a_checkpoint_at_each_of_its_calls_survive_every_power_cut() {
    let (mut beside, mut recovered) = (0, 0);
    for nth in 1.. {
        let (sim, other, before) = changed();
        let outcome = Arc::new(Mutex::new(None));
        let told = Arc::clone(&outcome);
        let commits = Beside::new(&sim, nth, move |_, _| {
            *told.lock().unwrap() = Some(others_commit(&other));
        });
        let store = options().open_with(commits.steps.clone()).expect("it opens");
        commits.arm();
        store.checkpoint().expect("nothing fails here");
        if commits.calls() < nth {
            break;
        }
        let outcome = outcome.lock().unwrap().take().expect("it was done");
        let mut after = before.clone();
        match outcome {
            // The checkpoint had the turn.
            Err(Error::Locked { .. }) => {}
            Err(other) => panic!("call {nth}: {other:?}"),
            Ok(()) => {
                beside += 1;
                after.insert("a.json".into(), b"v2".into());
                after.insert("log".into(), b"one\ntwo\n".into());
                after.remove("gone");
                after.insert("large".into(), body("l", 2, 3 * INLINE_MAX));
                after.insert("new/n.json".into(), b"n".into());
            }
        }
        assert_eq!(read(&sim, MARK).as_deref(), Some("00"), "call {nth}");
        assert_eq!(documents(&sim), after, "call {nth}");
        let judge = |world: &SimFs, what: &str| {
            let store = open(world);
            assert_eq!(documents(world), after, "call {nth}, {what}\n{}", world.dump());
            let check = store.check().expect("it can be checked");
            assert!(check.problems.is_empty(), "call {nth}, {what}: {check:?}");
            assert!(store.recovery_report().rescued.is_empty(), "call {nth}, {what}");
        };
        for (outcome, world) in
            sim.world().power_cut(&STRICT, 60, nth as u64).worlds.iter().enumerate()
        {
            recovered += 1;
            judge(world, &format!("outcome {outcome} of a power cut"));
        }
        // The next checkpoint covers the rest, and then nothing is left to recover.
        store.checkpoint().expect("nothing fails here");
        assert_eq!(staged(&sim), Vec::<String>::new(), "call {nth}");
        drop(store);
        let worlds = sim.world().power_cut(&STRICT, 20, nth as u64).worlds;
        for world in &worlds {
            assert_eq!(documents(world), after, "call {nth}, checkpointed");
            judge(world, "checkpointed");
        }
    }
    println!("{beside} commits beside a checkpoint, {recovered} recoveries");
    assert!(beside > 10, "only {beside} moments at which the turn is free");
}

/// The clock is set back, so that a commit beside a checkpoint has the very time of the one that it covers:
/// the document looks as if the disk had lost a write of that one.
#[test]
fn a_commit_beside_a_checkpoint_with_the_same_time_is_no_lost_write() {
    let mut same = 0;
    for nth in 1.. {
        let mut calls = 0;
        for back in 0..96 {
            let sim = prepared();
            let other = open(&sim);
            put(&other, "a.json", b"v1");
            let time = mtime(&sim, "a.json");
            let world = sim.clone();
            let commits = Beside::new(&sim, nth, move |_, _| {
                world.set_clock(Time(time.0 - back * 1_000_000));
                let _ = commit(&other, &[("a.json", "v2")]);
            });
            let store = options().open_with(commits.steps.clone()).expect("it opens");
            commits.arm();
            store.checkpoint().expect("nothing is lost");
            let is_v2 = read(&sim, "a.json").as_deref() == Some("v2");
            same += usize::from(is_v2 && mtime(&sim, "a.json") == time);
            calls = commits.calls();
        }
        if calls < nth {
            break;
        }
    }
    assert!(same > 5, "{same} commits have the same time");
}

/// Commits beside a checkpoint, and the checkpointer dies at a later call, with the power or without.
#[test]
fn a_checkpointer_that_dies_after_others_have_committed_loses_nothing_of_theirs() {
    let mut recovered = 0;
    for nth in 1.. {
        let (sim, other, _) = changed();
        let committed = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&committed);
        let commits = Beside::new(&sim, nth, move |_, _| {
            told.store(others_commit(&other).is_ok(), Ordering::SeqCst);
        });
        let store = options().open_with(commits.steps.clone()).expect("it opens");
        commits.arm();
        sim.record();
        store.checkpoint().expect("nothing fails here");
        if commits.calls() < nth {
            break;
        }
        if !committed.load(Ordering::SeqCst) {
            continue;
        }
        let after = documents(&sim);
        // From where the others have written *published* on.
        let moments = sim.recorded();
        let last = moments.iter().rposition(|moment| moment.call.starts_with("write log"));
        let later = last.expect("it was added to") + 12;
        for (at, moment) in moments.iter().enumerate().skip(later) {
            let cut = moment.world.power_cut(&STRICT, 12, (nth * 1000 + at) as u64).worlds;
            for world in cut.iter().chain(&moment.world.process_death_variants()) {
                recovered += 1;
                let _store = open(world);
                assert_eq!(documents(world), after, "call {nth}, died at {at}: {}", moment.call);
            }
        }
    }
    println!("{recovered} recoveries");
    assert!(recovered > 1000, "only {recovered}");
}

#[test]
fn a_large_body_that_is_committed_beside_a_checkpoint_keeps_its_name() {
    let (sim, other, _) = changed();
    let done = Arc::new(AtomicBool::new(false));
    let once = Arc::clone(&done);
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if op == "sync" && on == "a.json" && !once.swap(true, Ordering::SeqCst) {
            others_commit(&other).expect("the turn is free");
        }
    });
    let store = options().open_with(steps).expect("it opens");
    store.checkpoint().expect("nothing fails here");
    assert!(done.load(Ordering::SeqCst));
    let bodies: Vec<_> = staged(&sim).into_iter().filter(|name| name.ends_with(".body")).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

/// Attack 15: of two checkpointers the slower would record a lower end, after segments are gone.
#[test]
fn attack_15_a_checkpoint_waits_for_another() {
    let (sim, other, _) = changed();
    let other = Mutex::new(Some(other));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if op == "sync"
            && on == "a.json"
            && let Some(other) = other.lock().unwrap().take()
        {
            put(&other, "b.json", b"v2");
            assert!(matches!(other.checkpoint(), Err(Error::Locked { .. })));
            assert!(matches!(other.clone().close(), Err(Error::Locked { .. })));
            put(&other, "b.json", b"it goes on");
        }
    });
    let store = options().open_with(steps).expect("it opens");
    store.checkpoint().expect("nothing fails here");
    assert_eq!(text(&store, "b.json").as_deref(), Some("it goes on"));
}

/// Another thread closes a handle that owes nothing, in the middle of a checkpoint that it makes for
/// others: whoever opens alone then must not find it at work.
#[test]
fn a_store_is_not_let_go_beneath_a_checkpoint() {
    let (sim, _other, _) = changed();
    let own: Arc<Mutex<Option<Store>>> = Arc::default();
    let clone = Arc::clone(&own);
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if op == "sync"
            && on == "a.json"
            && let Some(clone) = clone.lock().unwrap().take()
        {
            assert!(matches!(clone.close(), Err(Error::Locked { .. })));
        }
    });
    let store = options().open_with(steps).expect("it opens");
    *own.lock().unwrap() = Some(store.clone());
    store.checkpoint().expect("it goes on");
    assert!(own.lock().unwrap().is_none());
    put(&store, "b.json", b"it goes on");
    store.close().expect("nothing runs any more");
    assert_eq!(read(&sim, MARK).as_deref(), Some("00"));
}

/// Attack 39: a checkpoint that repairs would put an older body over a newer commit.
#[test]
fn attack_39_nobody_commits_while_a_checkpoint_repairs() {
    let (sim, alive, _) = changed();
    let dead = dies_before(&sim, options(), "sync", "a.json", 1);
    dead.checkpoint().expect_err("it dies");
    let tried = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&tried);
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if op == "rename" && on.ends_with(" -> a.json") {
            count.fetch_add(1, Ordering::SeqCst);
            let error = alive.write("a.json", &2).expect_err("the repair has the turn");
            assert!(matches!(error, Error::Locked { .. }), "{error:?}");
        }
    });
    let store = options().open_with(steps).expect("it opens");
    store.checkpoint().expect("nothing fails any more");
    assert_eq!(tried.load(Ordering::SeqCst), 1);
    assert_eq!(text(&store, "a.json").as_deref(), Some("v1"));
}

/// A commit that syncs what is everybody's beside a checkpoint leaves the checkpoint's mark alone.
#[test]
fn the_marks_of_a_checkpoint_and_of_a_commit_beside_it_are_two() {
    let (sim, alive, _) = changed();
    let other = options().durability(Durability::Files).open_with(sim.actor()).expect("it opens");
    let (world, actor) = (sim.clone(), sim.actor());
    let victim = Arc::clone(&actor);
    let steps = Steps::new(actor, move |_, op, on| {
        if op == "sync" && on == "a.json" {
            assert_eq!(read(&world, MARK).as_deref(), Some("10"));
            others_commit(&other).expect("the turn is free");
            assert_eq!(read(&world, MARK).as_deref(), Some("10"), "not cleared by the commit");
            world.kill(&victim);
        }
    });
    let inode = |path| sim.stat(path).expect("it is there").stamp.ino;
    let store = options().open_with(steps).expect("it opens");
    store.checkpoint().expect_err("it dies");
    drop(store);
    let before = inode("log");
    alive.checkpoint().expect("nothing fails any more");
    assert_ne!(inode("log"), before, "who died may have seen an error");
    assert_eq!(read(&sim, MARK).as_deref(), Some("00"));
}

/// Attack 31: nobody asks for a checkpoint.
#[test]
fn attack_31_a_checkpoint_comes_by_itself_after_idle_time_and_when_the_journal_has_grown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let comes = |store: &Store, txn: u64| {
        let began = Instant::now();
        while store.status().expect("it answers").checkpoint < txn {
            assert!(began.elapsed() < Duration::from_secs(120), "no checkpoint came");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let idle = Store::open(folder.path()).expect("it opens");
    let txn = idle.write("a.json", &1).expect("it commits").txn;
    assert!(idle.status().expect("it answers").checkpoint < txn, "not at once");
    let grown = Store::options().journal_max(1000).open(folder.path()).expect("it opens");
    let last = grown.write("b.json", &"b".repeat(1000)).expect("it commits").txn;
    comes(&grown, last);
    let txn = idle.write("a.json", &2).expect("it commits").txn;
    comes(&idle, txn);
    assert_eq!(idle.status().expect("it answers").deferred_checkpoint, None);
    grown.close().expect("nothing stands in the way");
    idle.close().expect("nothing stands in the way");
}

/// A handle that is dropped while its thread waits lets the store go.
#[test]
fn a_thread_that_waits_for_its_checkpoint_does_not_keep_the_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("it opens");
    store.write("a.json", &1).expect("it commits");
    drop(store);
    let store = Store::open(folder.path()).expect("it opens");
    assert!(!store.recovery_report().joined, "nobody else has it open");
}

/// A store whose newest segment holds more than a checkpoint leaves the next opening to read.
fn with_long_segment() -> (SimFs, Store) {
    let sim = prepared();
    let store = options().inline_max(1 << 20).open_with(sim.actor()).expect("it opens");
    for round in 0..7 {
        put(&store, "a.json", &vec![b'a' + round; 400_000]);
    }
    (sim, store)
}

/// Once a store is closed, or idle, nothing in a long segment is needed any more.
#[test]
fn a_close_begins_a_small_segment_and_loses_nothing_at_any_call() {
    let (sim, store) = with_long_segment();
    sim.record();
    store.close().expect("nothing fails here");
    let mut recovered = 0;
    for (at, moment) in sim.recorded().iter().enumerate() {
        let cut = moment.world.power_cut(&STRICT, 6, at as u64).worlds;
        for world in cut.iter().chain(&moment.world.process_death_variants()) {
            recovered += 1;
            let next = open(world);
            let body = next.read_bytes("a.json").expect("it can be read");
            assert_eq!(body.as_deref(), Some(&vec![b'g'; 400_000][..]), "{at}: {}", moment.call);
        }
    }
    assert!(recovered > 50, "only {recovered}");
    // What the next opening reads.
    let journal = sim.actor();
    let segments = journal.list(".filepact/journal").expect("it can be listed");
    let sizes: Vec<_> = segments
        .iter()
        .map(|entry| format!(".filepact/journal/{}", entry.name.display()))
        .map(|path| sim.stat(&path).expect("it is there").stamp.size)
        .collect();
    assert_eq!(sizes, [64 * 1024]);
}

/// That segment is only for the next opening's sake.
#[test]
fn a_checkpoint_stays_in_a_long_segment_where_there_is_no_room_for_another() {
    let (sim, store) = with_long_segment();
    let segments = sim.names_in(".filepact/journal");
    fail(&sim, "create", ".filepact/journal/", errno::NOSPC, true);
    store.checkpoint().expect("there is room where the last group ends");
    assert_eq!(sim.names_in(".filepact/journal"), segments);
    store.close().expect("there is nothing left to do");
    drop(open(&sim));
    assert_eq!(sim.read("a.json"), Some(vec![b'g'; 400_000]));
}
