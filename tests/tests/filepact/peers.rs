//! What goes wrong between processes, and between the threads of one, without one of the checks that
//! the protocol rests on.
#![allow(
    clippy::disallowed_methods,
    reason = "edits a document from outside, as any program would"
)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact::{Error, Store, Transaction};
use filepact_fs::{Fs, LockKind, OsFs};
use filepact_simfs::{Fault, FaultKind, SimFs, When, errno};
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::meanwhile::Meanwhile;
use filepact_tests::steps::Steps;

use crate::support::{STRICT, put, read, staged, text};

/// A process that dies before its n-th call of this kind on this path; its inline bodies are large.
fn dies_before(sim: &SimFs, op: &'static str, path: &str, nth: u32) -> Store {
    let actor = sim.actor();
    let (world, victim, path, seen) =
        (sim.clone(), actor.clone(), path.to_owned(), AtomicU32::new(0));
    let steps = Steps::new(actor, move |_, called, on| {
        if called == op && on == path && seen.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            world.kill(&victim);
        }
    });
    options().inline_max(1 << 20).open_with(steps).expect("it opens")
}

/// Attack 35: a void group in a segment of its own, and a small one that finds room before it.
#[test]
fn attack_35_a_dead_writers_segment_voids_nothing_that_is_acknowledged_after_it() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "a.json", b"v1");
    let dead = dies_before(&sim, "write", ".filepact/state", 2);
    let mut tx = dead.begin().expect("the store is open");
    tx.write_bytes("void", vec![b'x'; 100_000]).expect("a valid path");
    tx.commit().expect_err("it dies");
    drop(dead);
    assert_eq!(sim.tree().keys().filter(|path| path.ends_with(".jsonl")).count(), 2);
    put(&alive, "x", b"counts");
    drop(alive);
    for world in sim.world().power_cut(&STRICT, 2000, 1).worlds {
        let store = open(&world);
        assert_eq!(text(&store, "x").as_deref(), Some("counts"));
        assert_eq!(text(&store, "void"), None);
    }
    let store = open(&sim);
    assert_eq!(store.recovery_report().adopted, Vec::<String>::new());
    assert!(store.log().expect("it can be read").iter().any(|txn| txn.changes[0].path == "x"));
}

/// A document gives way to a directory of the same name, and the publisher dies before either.
#[test]
fn a_document_that_gives_way_to_a_directory_is_healed() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "d", b"v1");
    let actor = sim.actor();
    let (world, victim) = (sim.clone(), actor.clone());
    let fs = Meanwhile::before_rename(actor, "d", move || world.kill(&victim));
    let dead = options().open_with(fs).expect("it opens");
    let mut tx = dead.begin().expect("the store is open");
    tx.remove("d").expect("it is there");
    tx.write_bytes("d/x", "v2").expect("a valid path");
    tx.commit().expect_err("it dies");
    put(&alive, "y", b"1");
    assert_eq!(read(&sim, "d/x").as_deref(), Some("v2"));
    assert_eq!(alive.status().expect("it can be read").rescued, []);
    assert_eq!(staged(&sim), Vec::<String>::new());
}

/// A handle that cannot say that its group is committed reads what everybody reads.
#[test]
fn a_group_that_state_does_not_name_is_read_by_nobody() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    let at = When::Matching { op: "write", path_contains: ".filepact/state".into(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::IO), sticky: false });
    let mut tx = a.begin().expect("the store is open");
    tx.write_bytes("a.json", "void").expect("a valid path");
    assert!(matches!(tx.commit(), Err(Error::CommitUnknown { .. })));
    assert_eq!(text(&a, "a.json").as_deref(), Some("v1"));
    assert_eq!(text(&b, "a.json").as_deref(), Some("v1"));
}

/// Commits these on threads of their own, so that they wait at the same time, in this order.
fn together(root: &Path, txs: Vec<Transaction>) -> Vec<Result<u64, Error>> {
    let fs = OsFs::open(root).expect("it is a folder");
    let lock = fs.lock(".filepact/lock", LockKind::Exclusive, Duration::ZERO);
    let lock = lock.expect("it can be locked").expect("nobody has it");
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for tx in txs {
            threads.push(scope.spawn(move || tx.commit().map(|committed| committed.txn)));
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(lock);
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

/// Attack 34: members of one group that concern each other.
#[test]
fn attack_34_members_of_a_group_that_concern_each_other() {
    type Work = fn(&mut Transaction) -> Result<(), Error>;
    // What stands before, the first, the second, whether that one conflicts.
    let cases: [(&str, Work, Work, &str); 7] = [
        ("independent", |tx| tx.write_bytes("x", "1"), |tx| tx.write_bytes("y", "2"), "ok"),
        (
            "a lost update",
            |tx| tx.write_bytes("a.json", "1"),
            |tx| {
                tx.read_bytes("a.json")?;
                tx.write_bytes("a.json", "2")
            },
            "conflict",
        ),
        (
            "a phantom",
            |tx| tx.write_bytes("new/z", "1"),
            |tx| {
                tx.list("new")?;
                tx.write_bytes("sum", "0")
            },
            "conflict",
        ),
        (
            "an expectation",
            |tx| tx.write_bytes("x", "1"),
            |tx| {
                tx.expect("x", None)?;
                tx.write_bytes("y", "2")
            },
            "conflict",
        ),
        (
            "below a document",
            |tx| tx.write_bytes("d", "1"),
            |tx| tx.write_bytes("d/x", "2"),
            "refused",
        ),
        (
            "above a document",
            |tx| tx.write_bytes("d/x", "1"),
            |tx| tx.write_bytes("d", "2"),
            "refused",
        ),
        (
            "an edit that both have read",
            |tx| {
                tx.read_bytes("b.json")?;
                tx.write_bytes("x", "1")
            },
            |tx| {
                tx.read_bytes("b.json")?;
                tx.write_bytes("y", "2")
            },
            "conflict",
        ),
    ];
    for (name, first, second, expected) in cases {
        let root = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(root.path()).expect("it opens");
        put(&store, "a.json", b"0");
        put(&store, "b.json", b"ours");
        std::fs::write(root.path().join("b.json"), "an edit").expect("it can be written");
        let txs = [first, second].map(|work| {
            let mut tx = store.begin().expect("the store is open");
            work(&mut tx).expect("nothing stands in the way");
            tx
        });
        let answers = together(root.path(), txs.into());
        assert!(answers[0].is_ok(), "{name}: {answers:?}");
        match (&answers[1], expected) {
            (Ok(_), "ok") | (Err(Error::Conflict { .. }), "conflict") => {}
            (Err(Error::Refused { .. }), "refused") => {}
            other => panic!("{name}: {other:?}"),
        }
        let counts = store.status().expect("it can be read").counts;
        let largest = if expected == "ok" { 2 } else { 1 };
        assert_eq!(counts.largest_group, largest, "{name}");
        let check = store.check().expect("it can be checked");
        assert_eq!(check.problems, Vec::<String>::new(), "{name}");
        assert_eq!(
            store.log().unwrap().iter().filter(|txn| txn.outside).count(),
            usize::from(name.starts_with("an edit")),
            "{name}"
        );
    }
}

/// Two moments are told apart also where the journal no longer reaches back to the first.
#[test]
fn two_reads_of_two_moments_conflict_although_the_journal_is_gone() {
    let sim = prepared();
    let idle = open(&sim);
    let mut tx = idle.begin().expect("the store is open");
    tx.read_bytes("a.json").expect("it is there");
    let busy = options().inline_max(1 << 20).open_with(sim.actor()).expect("it opens");
    let mut both = busy.begin().expect("the store is open");
    both.write_bytes("a.json", "v2").expect("a valid path");
    both.write_bytes("b.json", "v2").expect("a valid path");
    both.commit().expect("nothing stands in the way");
    for round in 0..4_u8 {
        put(&busy, "large", &[round; 200_000]);
        busy.checkpoint().expect("nothing fails here");
    }
    assert!(busy.log().expect("it can be read").iter().all(|txn| txn.changes[0].path == "large"));
    assert!(matches!(tx.read_bytes("b.json"), Err(Error::Conflict { .. })));
}

/// Once somebody has healed, the files count again for everybody.
#[test]
fn an_edit_made_after_the_healing_is_read_by_who_had_read_the_word() {
    let sim = prepared();
    let (reader, healer) = (open(&sim), open(&sim));
    let actor = sim.actor();
    let (world, victim) = (sim.clone(), actor.clone());
    let fs = Meanwhile::before_rename(actor, "a.json", move || world.kill(&victim));
    let dead = options().open_with(fs).expect("it opens");
    let mut tx = dead.begin().expect("the store is open");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    tx.commit().expect_err("it dies");
    assert_eq!(text(&reader, "a.json").as_deref(), Some("v2"));
    drop(healer.begin_exclusive(Duration::ZERO).expect("nobody has it"));
    sim.write("a.json", b"an edit");
    assert_eq!(text(&reader, "a.json").as_deref(), Some("an edit"));
}

/// A commit that waits while another thread closes the store never runs.
#[test]
fn a_commit_that_waited_for_a_close_changes_nothing() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(root.path()).expect("it opens");
    put(&store, "a.json", b"v1");
    let fs = OsFs::open(root.path()).expect("it is a folder");
    let lock = fs.lock(".filepact/lock", LockKind::Exclusive, Duration::ZERO);
    let lock = lock.expect("it can be locked").expect("nobody has it");
    let clone = store.clone();
    let mut late = store.begin().expect("the store is open");
    late.write_bytes("late", "1").expect("a valid path");
    let closing = std::thread::spawn(move || clone.close());
    std::thread::sleep(Duration::from_millis(100));
    let waiting = std::thread::spawn(move || late.commit().map(|committed| committed.txn));
    std::thread::sleep(Duration::from_millis(100));
    drop(lock);
    closing.join().expect("no panic").expect("it closes");
    let answer = waiting.join().expect("no panic");
    assert!(matches!(answer, Err(Error::Poisoned)), "{answer:?}");
    assert!(!root.path().join("late").exists());
}

fn round(busy: &Store, byte: u8) {
    put(busy, "large", &[byte; 100_000]);
    busy.checkpoint().expect("nothing fails here");
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
            let reader =
                options().open_with(steps.clone()).unwrap_or_else(|e| panic!("{at}: {e:?}"));
            // So that it has to read the journal anew.
            (4..6).for_each(|byte| round(&busy, byte));
            from.store(if joins { usize::MAX / 2 } else { steps.calls() }, Ordering::SeqCst);
            let read = reader.read_bytes("a.json").unwrap_or_else(|e| panic!("{at}: {e:?}"));
            assert_eq!(read.as_deref(), Some(&b"v1"[..]), "call {at}");
            if !came.load(Ordering::SeqCst) {
                assert!(at > 10, "{at}");
                break;
            }
        }
    }
}

/// Two members of one turn, of which the first could not be published: it is finished before the
/// second is looked at.
#[test]
fn what_the_first_group_of_a_turn_could_not_publish_is_healed_before_the_second() {
    let sim = prepared();
    let armed = Arc::new(AtomicBool::new(false));
    let hook = armed.clone();
    let store = options()
        .lock_timeout(Duration::from_secs(10))
        .open_with(Steps::new(sim.actor(), move |_, op, on| {
            if op == "lock" && on == ".filepact/lock" && hook.swap(false, Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(300));
            }
        }))
        .expect("it opens");
    let txs = [&["a.json", "b.json"][..], &["a.json"]].map(|paths| {
        let mut tx = store.begin().expect("the store is open");
        paths.iter().for_each(|path| tx.write_bytes(path, *path).expect("a valid path"));
        tx
    });
    let at = When::Matching { op: "rename", path_contains: "a.json".into(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::IO), sticky: false });
    armed.store(true, Ordering::SeqCst);
    let answers = std::thread::scope(|scope| {
        let threads = txs.map(|tx| {
            let thread = scope.spawn(move || tx.commit().map(|committed| committed.txn));
            std::thread::sleep(Duration::from_millis(100));
            thread
        });
        threads.map(|thread| thread.join().expect("no panic"))
    });
    assert!(matches!(answers, [Err(Error::Unpublished { .. }), Ok(_)]), "{answers:?}");
    assert_eq!(read(&sim, "b.json").as_deref(), Some("b.json"));
}

/// Attack 33, beside others: a large body is edited in place through its document before the healer
/// comes.
#[test]
fn a_large_body_that_was_edited_in_place_is_not_healed_over() {
    let sim = prepared();
    let alive = open(&sim);
    let actor = sim.actor();
    let (world, victim) = (sim.clone(), actor.clone());
    let fs = Meanwhile::before_rename(actor, "z", move || world.kill(&victim));
    let dead = options().open_with(fs).expect("it opens");
    let mut tx = dead.begin().expect("the store is open");
    tx.write_bytes("large", vec![b'x'; 10_000]).expect("a valid path");
    tx.write_bytes("z", "1").expect("a valid path");
    tx.commit().expect_err("it dies");
    sim.write("large", b"edited in place");
    put(&alive, "y", b"1");
    assert_eq!(read(&sim, "large").as_deref(), Some("edited in place"));
    assert_eq!(alive.status().expect("it can be read").rescued, []);
}

#[test]
fn a_mode_that_was_changed_just_before_a_dead_publishers_swap_is_kept() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "a.json", b"v1");
    let actor = sim.actor();
    let (world, victim, swapped) = (sim.clone(), actor.clone(), AtomicBool::new(false));
    let dead = Steps::new(actor, move |_, op, on| {
        if op == "rename" && on.ends_with("-> a.json") {
            world.set_mode("a.json", 0o600);
            swapped.store(true, Ordering::SeqCst);
        } else if swapped.load(Ordering::SeqCst) {
            world.kill(&victim);
        }
    });
    let dead = options().open_with(dead).expect("it opens");
    let mut tx = dead.begin().expect("the store is open");
    tx.write_bytes("a.json", "secret").expect("a valid path");
    tx.commit().expect_err("it dies");
    put(&alive, "x", b"1");
    assert_eq!(sim.stat("a.json").expect("it is there").mode, 0o600);
    // A change that came after the swap is the newer one.
    sim.set_mode("a.json", 0o640);
    put(&alive, "x", b"2");
    assert_eq!(sim.stat("a.json").expect("it is there").mode, 0o640);
}

#[test]
fn a_full_disk_at_a_birth_over_a_dead_writers_segment_changes_nothing() {
    let sim = prepared();
    let alive = options().inline_max(1 << 20).open_with(sim.actor()).expect("it opens");
    put(&alive, "a.json", b"v1");
    let dead = dies_before(&sim, "write", ".filepact/state", 2);
    let mut tx = dead.begin().expect("the store is open");
    tx.write_bytes("void", vec![1; 100_000]).expect("a valid path");
    tx.commit().expect_err("it dies");
    drop(dead);
    let at = When::Matching { op: "rename", path_contains: "journal/new.".into(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::NOSPC), sticky: false });
    let mut tx = alive.begin().expect("the store is open");
    tx.write_bytes("x", "1").expect("a valid path");
    assert!(matches!(tx.commit(), Err(Error::Io { .. })));
    put(&alive, "x", b"2");
    assert_eq!(text(&alive, "x").as_deref(), Some("2"));
    assert_eq!(text(&alive, "void"), None);
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
                let (idle, mut tx) = waiting.lock().unwrap().take().expect("once");
                assert_eq!(text(&idle, "a.json").as_deref(), Some("v1"), "call {at}");
                // Where the journal no longer reaches back, nothing counts as unchanged.
                match tx.read_bytes("b.json") {
                    Ok(_) | Err(Error::Conflict { .. }) => {}
                    Err(other) => panic!("call {at}: {other:?}"),
                }
                idle.log().unwrap_or_else(|e| panic!("call {at}: {e:?}"));
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
fn an_edit_that_a_checkpoint_writes_anew_is_not_taken_for_a_lost_write() {
    let sim = prepared();
    let alive = open(&sim);
    let committer = open(&sim);
    put(&committer, "a.json", b"v2");
    put(&committer, "b.json", b"v2");
    drop(committer);
    sim.write("a.json", b"edited by hand");
    let dead = dies_before(&sim, "sync", "b.json", 1);
    dead.checkpoint().expect_err("it dies");
    drop(dead);
    alive.checkpoint().expect("an edit is no lost write");
    drop(alive);
    drop(open(&sim));
    assert_eq!(read(&sim, "a.json").as_deref(), Some("edited by hand"));
}

#[test]
fn a_failed_sync_of_an_edit_that_is_rescued_stops_the_store_for_all() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    sim.write("a.json", b"an edit by hand");
    let mut tx = a.begin().expect("the store is open");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    let at = When::Matching { op: "sync", path_contains: ".filepact/stage".into(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::IO), sticky: false });
    assert!(matches!(tx.commit(), Err(Error::Unpublished { .. })));
    drop(a);
    assert!(matches!(b.checkpoint(), Err(Error::Poisoned)));
}

#[test]
fn a_healer_that_may_not_link_a_large_body_copies_it() {
    let sim = prepared();
    let alive = open(&sim);
    let actor = sim.actor();
    let (world, victim) = (sim.clone(), actor.clone());
    let fs = Meanwhile::before_rename(actor, "large", move || world.kill(&victim));
    let dead = options().open_with(fs).expect("it opens");
    let mut tx = dead.begin().expect("the store is open");
    tx.write_bytes("large", vec![b'x'; 10_000]).expect("a valid path");
    tx.commit().expect_err("it dies");
    let at = When::Matching { op: "link", path_contains: ".body".into(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::PERM), sticky: true });
    put(&alive, "x", b"1");
    assert_eq!(read(&sim, "large").map(|body| body.len()), Some(10_000));
    alive.checkpoint().expect("nothing fails here");
    assert_eq!(staged(&sim), Vec::<String>::new());
}
