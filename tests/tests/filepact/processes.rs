//! Several processes on one store; each handle here is a process of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact::{Error, Store};
use filepact_fs::Time;
use filepact_simfs::{Actor, SimFs, errno};
use filepact_tests::crash::{documents, open, options, prepared};
use filepact_tests::meanwhile::Meanwhile;
use filepact_tests::steps::Steps;

use crate::support::{STRICT, fail, moment, put, read, staged, text};

/// A process that dies just before it renames onto this path, in the middle of C8.
fn dies_before_swap(sim: &SimFs, path: &str) -> Store {
    let actor = sim.actor();
    let fs = Meanwhile::before_rename(actor.clone(), path, killing(sim, &actor));
    options().open_with(fs).expect("it opens")
}

fn killing(sim: &SimFs, actor: &Arc<Actor>) -> impl FnOnce() + Send + use<> {
    let (sim, actor) = (sim.clone(), actor.clone());
    move || sim.kill(&actor)
}

fn commit(store: &Store, changes: &[(&str, &str)]) -> Result<u64, Error> {
    let mut tx = store.begin()?;
    for (path, body) in changes {
        tx.write_bytes(path, *body)?;
    }
    Ok(tx.commit()?.txn)
}

fn conflict<T>(outcome: Result<T, Error>) -> Vec<String> {
    match outcome {
        Err(Error::Conflict { paths }) => paths,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("no conflict"),
    }
}

fn paths(store: &Store, dir: &str) -> Vec<String> {
    store.list(dir).expect("it can be listed").iter().map(ToString::to_string).collect()
}

#[test]
fn what_one_commits_the_others_see_at_once() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    assert!(!a.recovery_report().joined && b.recovery_report().joined);
    for round in 0..5 {
        let (one, two) = (format!("{round} by a"), format!("{round} by b"));
        put(&a, "a.json", one.as_bytes());
        assert_eq!(text(&b, "a.json"), Some(one));
        put(&b, "new/b.json", two.as_bytes());
        put(&b, "a.json", two.as_bytes());
        assert_eq!(text(&a, "new/b.json"), Some(two.clone()));
        assert_eq!(text(&a, "a.json"), Some(two));
    }
    b.remove("new/b.json").expect("it is there");
    assert!(!a.exists("new/b.json").expect("it can be looked at"));
    a.close().expect("it closes");
    put(&b, "a.json", b"alone");
    b.close().expect("it closes");
    let c = open(&sim);
    assert!(!c.recovery_report().joined && c.recovery_report().is_clean());
    assert_eq!(text(&c, "a.json").as_deref(), Some("alone"));
}

#[test]
fn what_a_transaction_saw_and_another_process_changed_is_a_conflict() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "x", b"1");
    put(&a, "y", b"1");

    // A lost update.
    let mut tx = a.begin().expect("the store is open");
    tx.read_bytes("x").expect("it is there");
    put(&b, "x", b"2");
    tx.write_bytes("x", "3").expect("a valid path");
    assert_eq!(conflict(tx.commit()), ["x"]);

    // Write skew: each reads what the other writes.
    let mut one = a.begin().expect("the store is open");
    let mut two = b.begin().expect("the store is open");
    one.read_bytes("x").expect("it is there");
    two.read_bytes("y").expect("it is there");
    one.write_bytes("y", "4").expect("a valid path");
    two.write_bytes("x", "4").expect("a valid path");
    one.commit().expect("nobody was faster");
    assert_eq!(conflict(two.commit()), ["y"]);

    // A phantom, and an absence.
    let mut lists = a.begin().expect("the store is open");
    let mut misses = a.begin().expect("the store is open");
    assert!(lists.list("new").expect("it can be listed").is_empty());
    assert!(!misses.exists("new/z").expect("it can be looked at"));
    put(&b, "new/z", b"5");
    lists.write_bytes("sum", "0").expect("a valid path");
    misses.write_bytes("none", "0").expect("a valid path");
    assert_eq!(conflict(lists.commit()), ["new/"]);
    assert_eq!(conflict(misses.commit()), ["new/z"]);

    // Two reads of two moments.
    let mut reads = a.begin().expect("the store is open");
    reads.read_bytes("x").expect("it is there");
    commit(&b, &[("x", "6"), ("y", "6")]).expect("nobody was faster");
    assert_eq!(conflict(reads.read_bytes("y")), ["x"]);

    // A put of what was not read: the last one wins.
    let mut blind = a.begin().expect("the store is open");
    blind.write_bytes("x", "7").expect("a valid path");
    put(&b, "x", b"8");
    blind.commit().expect("it saw nothing");
    assert_eq!(text(&b, "x").as_deref(), Some("7"));
    assert_eq!(a.status().expect("it can be read").rescued, []);
}

/// Attack 12: half a commit seen one file at a time; the publisher dies between the two.
#[test]
fn attack_12_nobody_sees_the_half_that_a_dead_publisher_left() {
    let sim = prepared();
    let alive = open(&sim);
    let before = alive.begin().expect("the store is open");
    let dead = dies_before_swap(&sim, "b/large.bin");
    let large = "large ".repeat(400);
    let changes = [("a.json", "v2"), ("b/large.bin", &*large), ("new/c", "v2")];
    commit(&dead, &changes).expect_err("it dies");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("v2"), "one is at its path");
    assert_eq!(read(&sim, "new/c"), None, "another is not");

    let joins = open(&sim);
    for store in [&alive, &joins] {
        for (path, body) in changes {
            assert_eq!(text(store, path).as_deref(), Some(body), "{path}");
        }
        assert_eq!(paths(store, "new"), ["new/c"]);
        let version = store.version("b/large.bin").expect("it can be read");
        let mut tx = store.begin().expect("the store is open");
        tx.expect("b/large.bin", version).expect("a valid path");
        let mut reader = tx.reader("b/large.bin").expect("it opens").expect("it is there");
        let mut body = String::new();
        std::io::Read::read_to_string(&mut reader, &mut body).expect("it can be read");
        assert_eq!(body, large);
    }
    assert_eq!(read(&sim, "new/c"), None, "readers publish nothing");
    drop(before);

    // The next commit heals.
    put(&alive, "x", b"1");
    for (path, body) in changes {
        assert_eq!(read(&sim, path).as_deref(), Some(body), "{path}");
    }
    let status = alive.status().expect("it can be read");
    assert_eq!((status.counts.heals, status.rescued, status.unpublished), (1, vec![], None));
    alive.checkpoint().expect("nothing fails here");
    assert_eq!(staged(&sim), Vec::<String>::new());
}

/// Attack 29: the same path twice in one group, an adopted edit and its change; the publisher dies
/// half way.
#[test]
fn attack_29_an_edit_that_was_read_and_replaced_is_healed_to_the_replacement() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "a.json", b"ours");
    sim.write("a.json", b"an edit");
    let dead = dies_before_swap(&sim, "a.json");
    let mut tx = dead.begin().expect("the store is open");
    assert_eq!(tx.read_bytes("a.json").expect("it is there").as_deref(), Some(&b"an edit"[..]));
    tx.write_bytes("a.json", "read and replaced").expect("a valid path");
    tx.commit().expect_err("it dies");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("an edit"));
    assert_eq!(text(&alive, "a.json").as_deref(), Some("read and replaced"));
    put(&alive, "x", b"1");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("read and replaced"));
    assert_eq!(alive.status().expect("it can be read").rescued, []);
    assert_eq!(staged(&sim), Vec::<String>::new());
}

#[test]
fn an_edit_that_comes_after_the_publisher_died_is_kept() {
    for path in ["a.json", "b.json"] {
        let sim = prepared();
        let alive = open(&sim);
        put(&alive, "b.json", b"v1");
        let dead = dies_before_swap(&sim, "b.json");
        commit(&dead, &[("a.json", "v2"), ("b.json", "v2")]).expect_err("it dies");
        sim.replace(path, b"edited");
        put(&alive, "x", b"1");
        let rescued = alive.status().expect("it can be read").rescued;
        let kept: Vec<_> =
            rescued.iter().map(|edit| (&*edit.path, read(&sim, &edit.at).expect("kept"))).collect();
        assert_eq!(kept, [(path, "edited".to_owned())]);
        assert_eq!(read(&sim, "a.json").as_deref(), Some("v2"));
        assert_eq!(read(&sim, "b.json").as_deref(), Some("v2"));
    }
}

/// Attack 14: a group that is whole in the journal, beyond *committed*, its writer dead.
#[test]
fn attack_14_a_group_that_nobody_was_told_of_is_void_while_others_live() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "a.json", b"v1");
    // Its first `state` says that it holds the lock, its second that the group is committed.
    let dead = dies_before(&sim, "write", ".filepact/state", 2);
    commit(&dead, &[("a.json", "void"), ("void", "void")]).expect_err("it dies");
    let joins = open(&sim);
    for store in [&alive, &joins] {
        assert_eq!(text(store, "a.json").as_deref(), Some("v1"));
        assert_eq!(text(store, "void"), None);
    }
    // Its numbers are used again, by another group.
    put(&joins, "b.json", b"counts");
    put(&alive, "c.json", b"counts");
    assert_eq!(text(&alive, "b.json").as_deref(), Some("counts"));
    drop((alive, joins));
    for world in sim.world().power_cut(&STRICT, 2000, 1).worlds {
        let store = open(&world);
        assert_eq!(text(&store, "b.json").as_deref(), Some("counts"));
        assert_eq!(text(&store, "c.json").as_deref(), Some("counts"));
        assert_eq!(text(&store, "a.json").as_deref(), Some("v1"));
        assert_eq!(text(&store, "void"), None);
        assert_eq!(store.status().expect("it can be read").rescued, []);
    }
}

/// A process that dies before its n-th call of this kind on this path.
fn dies_before(sim: &SimFs, op: &'static str, path: &str, nth: u32) -> Store {
    let actor = sim.actor();
    let (kill, path, seen) = (killing(sim, &actor), path.to_owned(), AtomicU32::new(0));
    let kill = Mutex::new(Some(kill));
    let steps = Steps::new(actor, move |_, called, on| {
        if called == op && on == path && seen.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            let kill = kill.lock().expect("no test has failed").take();
            kill.into_iter().for_each(|kill| kill());
        }
    });
    options().open_with(steps).expect("it opens")
}

/// Attack 15: a checkpointer dies with the error of a sync that nobody else will be told of.
#[test]
fn attack_15_after_a_checkpoint_that_somebody_died_in_all_is_written_anew() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "a.json", b"v2");
    put(&alive, "b.json", b"v2");
    let inode = |path| sim.stat(path).expect("it is there").stamp.ino;
    let before = (inode("a.json"), inode("b.json"));
    let dead = dies_before(&sim, "sync", "b.json", 1);
    dead.checkpoint().expect_err("it dies between the two");
    assert_eq!(read(&sim, ".filepact/checkpoint.lock").as_deref(), Some("1"));
    alive.checkpoint().expect("nothing fails any more");
    assert!(inode("a.json") != before.0 && inode("b.json") != before.1);
    assert_eq!(read(&sim, ".filepact/checkpoint.lock").as_deref(), Some("0"));
    assert_eq!(staged(&sim), Vec::<String>::new());
    drop(alive);
    sim.evict_all();
    for world in sim.world().power_cut(&STRICT, 2000, 1).worlds {
        drop(open(&world));
        assert_eq!(read(&world, "a.json").as_deref(), Some("v2"));
        assert_eq!(read(&world, "b.json").as_deref(), Some("v2"));
    }
}

/// Attack 23: shared does not mean recovered.
#[test]
fn attack_23_who_waits_for_a_recovery_that_dies_recovers_itself() {
    let sim = prepared();
    let store = open(&sim);
    commit(&store, &[("a.json", "v2"), ("b.json", "v2")]).expect("nothing fails here");
    drop(store);
    let cut = sim.world().power_cut(&STRICT, 500, 1).worlds;
    let mut died = 0;
    for world in cut {
        // One recovers and is killed at each of its changes; meanwhile nobody else gets in.
        for nth in 1.. {
            let world = world.fork();
            let actor = world.actor();
            let (outside, inner, kill) = (world.clone(), actor.clone(), actor.clone());
            let changes = AtomicU32::new(0);
            let steps = Steps::new(inner, move |_, op, _| {
                let changes_something =
                    matches!(op, "write" | "rename" | "sync" | "link" | "unlink");
                if changes_something && changes.fetch_add(1, Ordering::SeqCst) + 1 == nth {
                    let second = options().open_with(outside.actor());
                    assert!(matches!(second, Err(Error::Locked { .. })), "{second:?}");
                    outside.kill(&kill);
                }
            });
            if options().open_with(steps).is_ok() {
                break;
            }
            died += 1;
            let store = open(&world);
            assert!(!store.recovery_report().joined);
            assert_eq!(text(&store, "a.json").as_deref(), Some("v2"));
            assert_eq!(read(&world, "b.json").as_deref(), Some("v2"));
        }
    }
    assert!(died > 100, "{died}");
}

#[test]
fn a_failed_sync_stops_the_store_for_all_until_all_have_closed_it() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    fail(&sim, "sync", ".filepact/journal", errno::IO, false);
    assert!(matches!(commit(&a, &[("a.json", "v2")]), Err(Error::CommitUnknown { .. })));
    assert!(matches!(commit(&b, &[("b.json", "v2")]), Err(Error::Poisoned)));
    assert!(matches!(options().open_with(sim.actor()), Err(Error::Poisoned)));
    assert!(matches!(b.checkpoint(), Err(Error::Poisoned)));
    // Readers go on, with what was committed.
    assert_eq!(text(&a, "a.json").as_deref(), Some("v1"));
    assert_eq!(text(&b, "a.json").as_deref(), Some("v1"));
    assert!(b.status().expect("it can be read").failed);
    drop(a);
    assert!(matches!(options().open_with(sim.actor()), Err(Error::Poisoned)), "b has it open");
    drop(b);
    let store = open(&sim);
    put(&store, "b.json", b"v3");
}

#[test]
fn who_was_idle_through_checkpoints_and_new_segments_goes_on() {
    let sim = prepared();
    let idle = open(&sim);
    put(&idle, "a.json", b"idle's");
    let mut tx = idle.begin().expect("the store is open");
    tx.read_bytes("a.json").expect("it is there");
    let busy = options().inline_max(1 << 20).open_with(sim.actor()).expect("it opens");
    for round in 0..6_u8 {
        put(&busy, "large", &[round; 200_000]);
        busy.checkpoint().expect("nothing fails here");
    }
    put(&busy, "b.json", b"busy's");
    assert_eq!(text(&idle, "b.json").as_deref(), Some("busy's"));
    assert_eq!(text(&idle, "a.json").as_deref(), Some("idle's"));
    // What the journal no longer reaches back to is settled by content.
    tx.write_bytes("sum", "1").expect("a valid path");
    tx.commit().expect("a.json is as it was");
    put(&idle, "b.json", b"idle's again");
    assert_eq!(text(&busy, "b.json").as_deref(), Some("idle's again"));
    assert_eq!(idle.status().expect("it can be read").rescued, []);
}

#[test]
fn a_holder_of_the_lock_is_named_and_never_robbed_and_readers_do_not_wait() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    let mut held = a.begin_exclusive(Duration::ZERO).expect("nobody has it");
    held.write_bytes("a.json", "held").expect("a valid path");
    match commit(&b, &[("b.json", "v2")]) {
        Err(Error::Locked { holder, .. }) => assert_eq!(holder, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    assert!(matches!(b.begin_exclusive(Duration::ZERO), Err(Error::Locked { .. })));
    assert!(matches!(a.begin_exclusive(Duration::ZERO), Err(Error::Locked { .. })));
    assert!(matches!(b.checkpoint(), Err(Error::Locked { .. })));
    let before = documents(&sim);
    assert_eq!(text(&b, "a.json").map(String::into_bytes).as_ref(), before.get("a.json"));
    assert_eq!(paths(&b, "").len(), before.len());
    drop(open(&sim));
    held.commit().expect("it had the lock");
    put(&b, "b.json", b"v2");
    assert_eq!(text(&b, "a.json").as_deref(), Some("held"));
    // Dropped without a commit it is free again, too.
    drop(a.begin_exclusive(Duration::ZERO).expect("nobody has it"));
    drop(b.begin_exclusive(Duration::ZERO).expect("nobody has it"));
}

#[test]
fn a_transaction_that_is_always_in_conflict_gets_through_with_the_lock() {
    let sim = prepared();
    let store = options().max_retries(3).open_with(sim.actor()).expect("it opens");
    let rival = open(&sim);
    put(&rival, "count", b"0");
    let mut tries = 0;
    store
        .transact::<_, Error>(|tx| {
            tries += 1;
            tx.read_bytes("count")?;
            match commit(&rival, &[("count", &tries.to_string())]) {
                Ok(_) => assert!(tries <= 4, "the rival commits although the lock is held"),
                Err(Error::Locked { .. }) => assert_eq!(tries, 5),
                Err(other) => panic!("{other:?}"),
            }
            tx.write_bytes("count", "through")
        })
        .expect("it gets through");
    assert_eq!((tries, text(&rival, "count").as_deref()), (5, Some("through")));
    assert_eq!(store.status().expect("it can be read").counts.retries, 4);
}

#[test]
fn what_another_process_published_is_known_by_its_content() {
    let sim = prepared();
    sim.set_tick(Duration::from_millis(4));
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    put(&b, "a.json", b"v2");
    put(&a, "a.json", b"v3");
    assert_eq!(a.status().expect("it can be read").rescued, [], "v2 was b's, no edit");
    sim.write("a.json", b"an edit");
    put(&b, "a.json", b"v4");
    let rescued = b.status().expect("it can be read").rescued;
    assert_eq!(rescued.len(), 1);
    assert_eq!(read(&sim, &rescued[0].at).as_deref(), Some("an edit"));
}

#[test]
fn a_clock_that_jumps_confuses_nobody() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    for (round, clock) in [1_i64 << 60, 1, 1 << 59, 0, 1 << 61].into_iter().enumerate() {
        sim.set_clock(Time(clock));
        let body = format!("{round}");
        let mut tx = a.begin().expect("the store is open");
        let was = tx.read_bytes("a.json").expect("it is there");
        put(&b, "b.json", body.as_bytes());
        tx.write_bytes("a.json", body.clone()).expect("a valid path");
        tx.commit().expect("a.json is as it was");
        assert_ne!(was, Some(body.clone().into_bytes()));
        assert_eq!(text(&b, "a.json"), Some(body));
    }
    assert_eq!(a.status().expect("it can be read").rescued, []);
}

#[test]
fn a_handle_that_cannot_write_state_counts_as_dead_and_stops_nobody_else() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    fail(&sim, "write", ".filepact/state", errno::IO, false);
    assert!(matches!(commit(&a, &[("a.json", "v2")]), Err(Error::CommitUnknown { .. })));
    assert_eq!(text(&a, "a.json").as_deref(), Some("v1"), "nobody was told of it");
    assert!(matches!(commit(&a, &[("a.json", "v3")]), Err(Error::Poisoned)));
    assert!(a.status().expect("it can be read").failed);
    put(&b, "b.json", b"v1");
    assert!(!b.status().expect("it can be read").failed);
    assert_eq!(text(&b, "a.json").as_deref(), Some("v1"));
    drop((a, b));
    let store = open(&sim);
    assert_eq!(text(&store, "a.json").as_deref(), Some("v1"), "it is void");
    assert_eq!(text(&store, "b.json").as_deref(), Some("v1"));
    assert_eq!(store.status().expect("it can be read").rescued, []);
}

/// Attack 15, outside of a checkpoint: the error of a sync of what belongs to all is told to one.
#[test]
fn attack_15_a_failed_sync_of_anybodys_document_stops_the_store_for_all() {
    let body = "acknowledged ".repeat(400);
    for renames in [false, true] {
        let sim = prepared();
        let a = open(&sim);
        // In the journal it is small, so that no sync of its own has made it durable.
        let b = options().inline_max(1 << 20).open_with(sim.actor()).expect("it joins");
        sim.mkdir("deep");
        put(&b, "deep/x", body.as_bytes());
        sim.write("deep/by-hand", b"just now");
        let mut tx = a.begin().expect("the store is open");
        if renames {
            tx.rename("deep/x", "moved").expect("it is there");
            fail(&sim, "sync", "deep/x", errno::IO, false);
        } else {
            tx.read_bytes("deep/by-hand").expect("it is there");
            tx.write_bytes("y", "1").expect("a valid path");
            fail(&sim, "sync_dir", "deep", errno::IO, false);
        }
        let said = tx.commit();
        assert!(matches!(said, Err(Error::Io { .. })), "{said:?}");
        drop(a);
        // The next sync would succeed, and prove nothing.
        assert!(matches!(b.checkpoint(), Err(Error::Poisoned)));
        drop(b);
        sim.evict_all();
        for world in sim.world().power_cut(&STRICT, 500, 1).worlds {
            assert_eq!(text(&open(&world), "deep/x").as_deref(), Some(&*body));
        }
    }
}

#[test]
fn a_directory_that_a_dead_publishers_swap_displaced_is_rescued() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "a.json", b"v1");
    let actor = sim.actor();
    let (kill, outside) = (Mutex::new(Some(killing(&sim, &actor))), sim.clone());
    let swapped = AtomicU32::new(0);
    let steps = Steps::new(actor, move |_, op, on| {
        if op == "rename" && on.ends_with("-> a.json") {
            outside.remove("a.json");
            outside.mkdir("a.json");
            outside.write("a.json/precious", b"by hand");
            swapped.store(1, Ordering::SeqCst);
        } else if swapped.load(Ordering::SeqCst) == 1 {
            let kill = kill.lock().expect("no test has failed").take();
            kill.into_iter().for_each(|kill| kill());
        }
    });
    let dead = options().open_with(steps).expect("it opens");
    commit(&dead, &[("a.json", "v2")]).expect_err("it dies");
    put(&alive, "x", b"1");
    let rescued = alive.status().expect("it can be read").rescued;
    assert_eq!(rescued.len(), 1, "{rescued:?}");
    assert_eq!(read(&sim, &rescued[0].at).as_deref(), Some("by hand"));
    assert_eq!(read(&sim, "a.json").as_deref(), Some("v2"));
    assert_eq!(staged(&sim), Vec::<String>::new());
}

#[test]
fn a_close_that_cannot_take_the_lock_ends_the_handle_all_the_same() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    let clone = store.clone();
    fail(&sim, "lock", ".filepact/turn", errno::MFILE, false);
    assert!(matches!(store.close(), Err(Error::Io { .. })));
    assert!(matches!(commit(&clone, &[("b.json", "v2")]), Err(Error::Poisoned)));
    let other = open(&sim);
    assert!(!other.recovery_report().joined, "the store was let go");
    assert_eq!(text(&other, "a.json").as_deref(), Some("v1"));
}

#[test]
fn segments_that_dead_writers_did_not_bear_are_swept() {
    let sim = prepared();
    let alive = open(&sim);
    let unborn = || {
        let names = sim.tree().into_keys();
        names.filter(|path| path.starts_with(".filepact/journal/new.")).count()
    };
    for _ in 0..3 {
        let actor = sim.actor();
        let kill = Mutex::new(Some(killing(&sim, &actor)));
        let steps = Steps::new(actor, move |_, op, on| {
            if op == "rename" && on.starts_with(".filepact/journal/new.") {
                let kill = kill.lock().expect("no test has failed").take();
                kill.into_iter().for_each(|kill| kill());
            }
        });
        let dead = options().inline_max(1 << 20).open_with(steps).expect("it opens");
        commit(&dead, &[("a.json", &"x".repeat(200_000))]).expect_err("it dies");
    }
    assert_eq!(unborn(), 1, "each has swept what the one before had left");
    put(&alive, "x", b"1");
    assert_eq!(unborn(), 0);
}

#[test]
fn counters_that_somebody_has_written_over_harm_nobody() {
    for nonsense in ["{\"commits\":18446744073709551615}", "{\"commits\":-1}", "", "[", "null"] {
        let sim = prepared();
        let store = open(&sim);
        sim.write(".filepact/counters", nonsense.as_bytes());
        put(&store, "a.json", b"v1");
        store.status().expect("it can be read");
        store.close().expect("nothing fails here");
        assert!(open(&sim).status().expect("it can be read").counts.commits >= 1);
    }
}

/// One process dies when its group is durable and `state` does not say so; the next sweeps what it
/// had staged, stages its own under the same numbers, and dies; then all are gone. Recovery counts
/// the first group after all.
#[test]
fn what_was_staged_under_numbers_that_count_after_all_is_nobodys_edit() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    fail(&sim, "write", ".filepact/state", errno::IO, false);
    commit(&a, &[("a.json", "v2")]).expect_err("it counts as dead");
    sim.record();
    put(&b, "b.json", b"another document");
    let killed = moment(&sim, "create .filepact/journal/new").world.process_death();
    let store = open(&killed);
    assert_eq!(read(&killed, "a.json").as_deref(), Some("v2"), "it counts after all");
    assert_eq!(store.recovery_report().rescued, []);
}

#[test]
fn readers_go_on_in_a_failed_store_also_of_what_nobody_will_publish() {
    let sim = prepared();
    let alive = open(&sim);
    let dead = dies_before_swap(&sim, "a.json");
    commit(&dead, &[("a.json", "v2")]).expect_err("it dies");
    fail(&sim, "sync", "", errno::IO, false);
    let mut tx = alive.begin().expect("the store is open");
    tx.write_bytes("large", vec![1; 10_000]).expect_err("its sync fails");
    let mut tx = alive.begin().expect("the store is open");
    assert_eq!(tx.read_bytes("a.json").expect("it is there").as_deref(), Some(&b"v2"[..]));
    let mut reader = tx.reader("a.json").expect("it can be read").expect("it is there");
    let mut body = String::new();
    std::io::Read::read_to_string(&mut reader, &mut body).expect("it can be read");
    assert_eq!(body, "v2");
    assert_eq!(paths(&alive, "").len(), documents(&sim).len());
}

/// A handle forgets documents with a checkpoint once it knows too many, but none that a list needs.
#[test]
fn a_list_of_many_documents_beside_a_checkpointer_that_died() {
    let sim = prepared();
    let alive = open(&sim);
    let journal = options().journal_max(1 << 30);
    let actor = sim.actor();
    let (kill, states) = (Mutex::new(Some(killing(&sim, &actor))), Arc::new(AtomicU32::new(0)));
    let steps = {
        let states = states.clone();
        Steps::new(actor, move |_, op, on| {
            let counts =
                op == "write" && on == ".filepact/state" && states.load(Ordering::SeqCst) > 0;
            // The first says that the checkpoint is committed, the second that all is published.
            if counts && states.fetch_add(1, Ordering::SeqCst) == 2 {
                let kill = kill.lock().expect("no test has failed").take();
                kill.into_iter().for_each(|kill| kill());
            }
        })
    };
    let dead = journal.open_with(steps).expect("it opens");
    let mut tx = dead.begin().expect("the store is open");
    for number in 0..66_000 {
        tx.write_bytes(format!("d/{}/{number}", number % 8), "x").expect("a valid path");
    }
    tx.commit().expect("nothing fails here");
    alive.read_bytes("a.json").expect("it can be read");
    states.store(1, Ordering::SeqCst);
    dead.checkpoint().expect_err("it dies");
    assert!(paths(&alive, "d").len() == 66_000);
    put(&alive, "x", b"1");
}
