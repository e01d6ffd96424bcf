//! Several processes share a store; each handle here is a process of its own.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact::{Error, Store};
use filepact_fs::Time;
use filepact_simfs::errno;
use filepact_tests::crash::{documents, open, options, prepared};
use filepact_tests::steps::Steps;

use crate::support::{Beside, commit, dies, fail, put, read, staged, text};

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

/// A handle forgets documents with a checkpoint once it knows too many, but none that a list needs.
#[test]
fn a_list_of_many_documents_beside_a_checkpointer_that_died() {
    let sim = prepared();
    let alive = open(&sim);
    let states = Arc::new(AtomicU32::new(0));
    let seen = states.clone();
    let dead = dies(&sim, options().journal_max(1 << 30), move |op, on| {
        let counts = op == "write" && on == ".filepact/state" && seen.load(Ordering::SeqCst) > 0;
        // The first says that the checkpoint is committed, the second that all is published.
        counts && seen.fetch_add(1, Ordering::SeqCst) == 2
    });
    let mut tx = dead.begin().expect("the store is open");
    for number in 0..66_000 {
        tx.write_bytes(format!("d/{}/{number}", number % 8), "x").expect("a valid path");
    }
    tx.commit().expect("nothing fails here");
    alive.read_bytes("a.json").expect("it can be read");
    states.store(1, Ordering::SeqCst);
    dead.checkpoint().expect_err("it dies");
    assert_eq!(paths(&alive, "d").len(), 66_000);
    put(&alive, "x", b"1");
}

/// Two moments are told apart also where the journal no longer reaches back to the first.
#[test]
fn two_reads_of_two_moments_conflict_although_the_journal_is_gone() {
    let sim = prepared();
    let idle = open(&sim);
    let mut tx = idle.begin().expect("the store is open");
    tx.read_bytes("a.json").expect("it is there");
    let busy = options().inline_max(1 << 20).open_with(sim.actor()).expect("it opens");
    write_both(&busy, "v2");
    for round in 0..4_u8 {
        put(&busy, "large", &[round; 200_000]);
        busy.checkpoint().expect("nothing fails here");
    }
    assert!(busy.log().expect("it can be read").iter().all(|txn| txn.changes[0].path == "large"));
    assert!(matches!(tx.read_bytes("b.json"), Err(Error::Conflict { .. })));
}

/// What a handle has missed is no conflict with what it has not read yet.
#[test]
fn who_was_idle_reads_one_moment_although_the_journal_is_gone() {
    let sim = prepared();
    let idle = open(&sim);
    let mut begun = idle.begin().expect("the store is open");
    let mut reads = idle.begin().expect("the store is open");
    let busy = options().inline_max(1 << 20).open_with(sim.actor()).expect("it opens");
    write_both(&busy, "v2");
    (1..5).for_each(|byte| round(&busy, byte));
    assert_eq!(reads.read_bytes("a.json").expect("as of now").as_deref(), Some(&b"v2"[..]));
    assert!(busy.log().expect("it can be read").iter().all(|txn| txn.changes[0].path == "large"));
    assert!(begun.list("").expect("all as of now").iter().any(|path| &**path == "large"));
    for path in ["a.json", "b.json"] {
        assert_eq!(
            begun.read_bytes(path).expect("of the same moment").as_deref(),
            Some(&b"v2"[..])
        );
    }
    begun.write_bytes("a.json", "v3").expect("a valid path");
    begun.commit().expect("nothing has changed since");
}

fn write_both(busy: &Store, value: &str) {
    let mut both = busy.begin().expect("the store is open");
    both.write_bytes("a.json", value).expect("a valid path");
    both.write_bytes("b.json", value).expect("a valid path");
    both.commit().expect("nothing stands in the way");
}

fn round(busy: &Store, byte: u8) {
    put(busy, "large", &[byte; 100_000]);
    busy.checkpoint().expect("nothing fails here");
}

/// Others change two documents, and let the journal go that says so, before each call of who reads both.
#[test]
fn two_documents_are_of_one_moment_although_the_journal_goes_while_they_are_read() {
    for nth in 1.. {
        let sim = prepared();
        let busy = options().inline_max(1 << 20).open_with(sim.actor()).expect("it opens");
        write_both(&busy, "v1");
        // So that the reader knows nothing of them.
        (1..5).for_each(|byte| round(&busy, byte));
        let others = Beside::new(&sim, nth, move |_, _| {
            write_both(&busy, "v2");
            (1..5).for_each(|byte| round(&busy, byte));
        });
        let reader = options().open_with(others.steps.clone()).expect("it opens");
        others.arm();
        let mut tx = reader.begin().expect("the store is open");
        let mut read = || Ok::<_, Error>((tx.read_bytes("a.json")?, tx.read_bytes("b.json")?));
        match read() {
            Ok((a, b)) => assert_eq!(a, b, "call {nth}"),
            Err(Error::Conflict { .. }) => {}
            Err(error) => panic!("call {nth}: {error:?}"),
        }
        if others.calls() < nth {
            assert!(nth > 5, "{nth}");
            break;
        }
    }
}

/// Segments are born and removed before each call of a reader, and of who joins.
#[test]
fn who_reads_or_joins_while_segments_are_born_and_removed_at_each_of_its_calls() {
    for joins in [false, true] {
        for at in 1.. {
            let sim = prepared();
            let busy = options().inline_max(1 << 20).open_with(sim.actor()).expect("it opens");
            put(&busy, "a.json", b"v1");
            let (came, from) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
            let steps = {
                let (came, from) = (came.clone(), from.clone());
                let busy = busy.clone();
                Steps::new(sim.actor(), move |n, _, _| {
                    let from = from.load(Ordering::SeqCst);
                    if (joins || from > 0) && n == from + at {
                        came.store(true, Ordering::SeqCst);
                        (1..4).for_each(|byte| round(&busy, byte));
                    }
                })
            };
            let reader = options()
                .open_with(steps.clone())
                .unwrap_or_else(|error| panic!("call {at}: {error:?}"));
            // So that it has to read the journal anew.
            (4..6).for_each(|byte| round(&busy, byte));
            from.store(if joins { usize::MAX / 2 } else { steps.calls() }, Ordering::SeqCst);
            let read =
                reader.read_bytes("a.json").unwrap_or_else(|error| panic!("call {at}: {error:?}"));
            assert_eq!(read.as_deref(), Some(&b"v1"[..]), "call {at}");
            if !came.load(Ordering::SeqCst) {
                assert!(at > 10, "{at}");
                break;
            }
        }
    }
}

/// Segments are born and removed; before each call of that somebody reads who was idle, somebody
/// joins, and somebody writes once the first one is dead.
#[test]
fn idle_readers_and_joiners_at_each_call_while_segments_are_born_and_removed() {
    for dies in [false, true] {
        let came = Arc::new(AtomicBool::new(true));
        let mut at = 1;
        while came.swap(false, Ordering::SeqCst) {
            let sim = prepared();
            let idle = open(&sim);
            put(&idle, "a.json", b"v1");
            let mut tx = idle.begin().expect("the store is open");
            tx.read_bytes("a.json").expect("it is there");
            let (actor, world, hit) = (sim.actor(), sim.clone(), came.clone());
            let (victim, waiting) = (actor.clone(), Mutex::new(Some((idle, tx))));
            let steps = Steps::new(actor, move |n, _, _| {
                if n != at {
                    return;
                }
                hit.store(true, Ordering::SeqCst);
                if dies {
                    world.kill(&victim);
                }
                let (idle, mut tx) =
                    waiting.lock().expect("no test has failed").take().expect("once");
                assert_eq!(text(&idle, "a.json").as_deref(), Some("v1"), "call {at}");
                // Where the journal no longer reaches back, nothing counts as unchanged.
                match tx.read_bytes("b.json") {
                    Ok(_) | Err(Error::Conflict { .. }) => {}
                    Err(other) => panic!("call {at}: {other:?}"),
                }
                idle.log().unwrap_or_else(|error| panic!("call {at}: {error:?}"));
                match options().open_with(world.actor()) {
                    Ok(joins) => assert_eq!(text(&joins, "a.json").as_deref(), Some("v1")),
                    Err(Error::Locked { .. }) => {}
                    Err(other) => panic!("call {at}: {other:?}"),
                }
                if dies {
                    put(&idle, "x", b"1");
                    idle.checkpoint().expect("nothing fails here");
                    assert_eq!(text(&idle, "a.json").as_deref(), Some("v1"));
                    assert_eq!(staged(&world), Vec::<String>::new());
                }
            });
            let work = || -> Result<(), Error> {
                let busy = options().inline_max(1 << 20).open_with(steps)?;
                for round in 0..2_u8 {
                    let mut tx = busy.begin()?;
                    tx.write_bytes("large", vec![b'0' + round; 100_000])?;
                    tx.commit()?;
                    busy.checkpoint()?;
                }
                Ok(())
            };
            let done = work();
            assert!(dies || done.is_ok(), "call {at}: {done:?}");
            at += 1;
        }
        assert!(at > 150, "{at}");
    }
}

/// Segments that no scan needs go while the store is open.
#[test]
fn segments_that_no_scan_needs_are_removed_while_the_store_is_open() {
    let sim = prepared();
    let busy = options().inline_max(1 << 20).open_with(sim.actor()).expect("it opens");
    (0..6).for_each(|byte| round(&busy, byte));
    let segments = sim.tree().into_keys().filter(|path| path.ends_with(".jsonl")).count();
    assert!(segments <= 2, "{segments}");
}

#[test]
fn a_checkpoint_leaves_what_stands_in_for_an_unnamed_file_and_a_lone_opening_does_not() {
    let sim = prepared();
    let store = open(&sim);
    // Where the file system has no unnamed files, somebody prepares a large body just now.
    sim.write(".filepact/stage/tmp-0123", b"half of a body");
    put(&store, "a.json", b"v1");
    store.checkpoint().expect("nothing fails here");
    assert_eq!(staged(&sim), [".filepact/stage/tmp-0123"]);
    store.close().expect("nothing fails here");
    drop(open(&sim));
    assert_eq!(staged(&sim), Vec::<String>::new());
}

#[test]
fn who_finds_another_state_than_the_others_have_open_does_not_join() {
    let sim = prepared();
    let alive = open(&sim);
    let state = sim.read(".filepact/state").expect("it is there");
    sim.replace(".filepact/state", &state);
    assert!(matches!(options().open_with(sim.actor()), Err(Error::Poisoned)));
    drop(alive);
    drop(open(&sim));
}
