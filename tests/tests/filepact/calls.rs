//! How many calls a commit costs, counted at the seam: a regression shows without a clock.

use std::time::Duration;

use filepact::Error;
use filepact_fs::{Fs, LockKind, Time};
use filepact_simfs::SimFs;
use filepact_tests::crash::{open, options, prepared};

fn commit(sim: &SimFs, store: &filepact::Store, documents: usize, round: u8) -> Vec<String> {
    sim.record();
    let mut tx = store.begin().expect("the store is open");
    for n in 0..documents {
        tx.write_bytes(format!("{n}.json"), vec![b'a' + round; 500]).expect("a valid path");
    }
    tx.commit().expect("nothing stands in the way");
    sim.call_log()
}

fn count(calls: &[String], op: &str) -> usize {
    calls.iter().filter(|call| call.starts_with(op)).count()
}

#[test]
fn a_commit_of_any_number_of_small_documents_costs_one_sync() {
    let cases =
        [1, 3, 10, 30].into_iter().flat_map(|documents| [(documents, false), (documents, true)]);
    for (documents, exact) in cases {
        let sim = prepared();
        sim.set_exact_times(exact);
        let store = open(&sim);
        // New documents, new inodes for them, and then there are spares.
        for round in 1..4 {
            commit(&sim, &store, documents, round);
        }
        let calls = commit(&sim, &store, documents, 4);
        let syncs: Vec<_> = calls.iter().filter(|call| call.starts_with("sync")).collect();
        assert_eq!(syncs.len(), 1, "{syncs:?}");
        assert!(syncs[0].starts_with("sync .filepact/journal/"), "{syncs:?}");
        assert_eq!(count(&calls, "write .filepact/journal/"), 1, "one write for the whole group");
        assert_eq!(count(&calls, "write .filepact/state"), 2, "committed, published");
        assert_eq!(count(&calls, "rename"), documents, "one exchange for each document");
        // No inode is made, and none is let go.
        for op in ["create", "link", "unlink"] {
            assert_eq!(count(&calls, op), 0, "{op}: {calls:?}");
        }
        // Where a stamp is proof however fresh it is neither content nor attributes are looked at, and pins
        // are not looked for again.
        let (once, each) = if exact { (11, 10) } else { (12, 19) };
        assert_eq!(calls.len(), once + each * documents, "{calls:#?}");
        assert_eq!(count(&calls, "list"), usize::from(!exact));
    }
}

/// However many documents it covers; and it reads each once.
#[test]
fn a_checkpoint_of_many_documents_costs_few_syncs() {
    for documents in [17, 200] {
        let sim = prepared();
        let store = open(&sim);
        commit(&sim, &store, documents, 1);
        sim.record();
        store.checkpoint().expect("nothing stands in the way");
        let calls = sim.call_log();
        let syncs: Vec<_> = calls.iter().filter(|call| call.starts_with("sync")).collect();
        // The documents with their directories; `stage/`, from which spares have gone; its record.
        assert_eq!(count(&calls, "sync_everything"), 1, "{syncs:?}");
        assert_eq!(count(&calls, "sync_dir .filepact/stage"), 1, "{syncs:?}");
        assert_eq!(count(&calls, "sync .filepact/journal/"), 1, "{syncs:?}");
        assert_eq!(syncs.len(), 3, "{syncs:?}");
        let of_documents =
            calls.iter().filter(|call| call.starts_with("open") && !call.contains(".filepact"));
        assert_eq!(of_documents.count(), documents);
    }
}

/// The turnstile is for others who wait; most commits in a row do without.
#[test]
fn who_has_just_come_through_the_turnstile_takes_the_lock_alone_and_not_for_ever() {
    let sim = prepared();
    sim.set_step(Duration::from_micros(20));
    let store = options().lock_timeout(Duration::ZERO).open_with(sim.actor()).expect("it opens");
    let mut passed = Vec::new();
    for round in 0..40 {
        let calls = commit(&sim, &store, 1, round);
        assert_eq!(count(&calls, "lock .filepact/lock"), 1);
        passed.push(count(&calls, "lock .filepact/turn"));
    }
    assert_eq!(passed[0], 1);
    let times = passed.iter().sum::<usize>();
    assert!((2..20).contains(&times), "{passed:?}");
    // A clock that is put back makes no row of it.
    sim.set_clock(Time(1));
    assert_eq!(count(&commit(&sim, &store, 1, 0), "lock .filepact/turn"), 1);
    // Whoever has the lock is waited for.
    let other = sim.actor();
    let held = other.lock(".filepact/lock", LockKind::Exclusive, Duration::ZERO);
    let refused = store.write("0.json", &1).expect_err("somebody has the lock");
    assert!(matches!(refused, Error::Locked { .. }), "{refused:?}");
    drop(held);
    store.write("0.json", &1).expect("nobody has it any more");
}

/// And one that holds something else, or of which no hash says all, is read with all care.
#[test]
fn a_document_that_holds_what_is_known_of_it_is_read_with_one_look_at_state() {
    let sim = prepared();
    let store = open(&sim);
    let read = || {
        sim.record();
        store.read_bytes("n.json").expect("it can be read").expect("it is there");
        let calls = sim.call_log();
        (count(&calls, "open"), count(&calls, "read .filepact/state"), calls.len())
    };
    store.write("n.json", &1).expect("nothing stands in the way");
    // `state` has changed since it was read last, and is read until two readings agree.
    read();
    // Opened, looked at, read, and `state` behind that.
    assert_eq!(read(), (1, 1, 4));
    sim.write("n.json", b"another");
    assert!(read().1 > 1);
    store.write("n.json", &2).expect("nothing stands in the way");
    store.append("n.json", "more").expect("nothing stands in the way");
    read();
    assert!(read().1 > 1);
}

#[test]
fn an_empty_transaction_makes_no_call_at_all() {
    let sim = prepared();
    let store = open(&sim);
    sim.record();
    store.begin().expect("the store is open").commit().expect("there is nothing to do");
    assert_eq!(sim.call_log(), Vec::<String>::new());
}

#[test]
fn a_document_that_an_update_leaves_as_it_was_is_not_written() {
    let sim = prepared();
    let store = open(&sim);
    store.write("n.json", &1).expect("nothing stands in the way");
    sim.record();
    store.update("n.json", |n: &mut i32| *n += 0).expect("nothing stands in the way");
    assert_eq!(count(&sim.call_log(), "write"), 0);
    store.update("n.json", |n: &mut i32| *n += 1).expect("nothing stands in the way");
    assert_eq!(store.read::<i32>("n.json").expect("it is there"), 2);
}

#[test]
fn opening_a_closed_store_walks_no_documents() {
    let sim = prepared();
    let store = open(&sim);
    for round in 0..20 {
        let mut tx = store.begin().expect("the store is open");
        for n in 0..20 {
            tx.write_bytes(format!("{round}/{n}.json"), "x").expect("a valid path");
        }
        tx.commit().expect("nothing stands in the way");
    }
    store.close().expect("nothing fails here");
    sim.record();
    drop(open(&sim));
    let calls = sim.call_log();
    let outside: Vec<_> =
        calls.iter().filter(|call| call.contains('/') && !call.contains(".filepact")).collect();
    assert!(outside.is_empty(), "{outside:?}");
    assert!(calls.len() < 70, "{} calls", calls.len());
}
