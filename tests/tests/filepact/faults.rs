//! Full disks, failed syncs, short writes, interrupted calls.

use std::time::Duration;

use filepact::Error;
use filepact_simfs::{Fault, FaultKind, SimFs, When, errno};
use filepact_tests::crash::{documents, open, options, prepared};
use filepact_tests::history::{self, Op, Txn};

use crate::faults::play::Said;
use crate::faults::sweep::{Counts, sweep};
use crate::support::fail;

/// What can go wrong with a call.
mod kinds;
/// What calls say under a fault, and what may be there by that.
mod play;
/// Every fault at every call.
mod sweep;
/// What is done while a call fails.
mod workloads;

/// What was said is told, and that it was not nothing.
fn told(counts: &Counts) {
    println!("{counts}");
    for (case, wrong) in &counts.failures {
        println!("{case}: {}", wrong.lines().next().unwrap_or_default());
    }
    if let Some((case, wrong)) = counts.failures.first() {
        panic!("{} of them are wrong; {case}: {wrong}", counts.failures.len());
    }
    for (name, tally) in &counts.kinds {
        assert!(tally.struck >= 20 && tally.opened + tally.cuts >= 20, "{name}");
    }
}

/// And that it was everything that may be said.
fn all_was_said(counts: &Counts) {
    let total = counts.total();
    for said in [Said::Unchanged, Said::Unknown, Said::Unpublished, Said::Refused] {
        assert!(total.said(said) >= 50, "{said:?}");
    }
    assert!(total.stopped >= 100 && total.went_on >= 1_000 && total.cuts >= 1_000);
    // What the judge has less to say about is not much of it.
    assert!(total.excused * 10 < total.struck);
}

#[test]
fn an_io_error_at_any_call_leaves_all_or_nothing() {
    let counts = sweep(workloads::ALL, &kinds::IO);
    told(&counts);
    all_was_said(&counts);
}

#[test]
fn a_full_disk_at_any_call_leaves_all_or_nothing() {
    let counts = sweep(workloads::ALL, &kinds::FULL);
    told(&counts);
    all_was_said(&counts);
}

#[test]
fn a_read_only_remount_or_a_lack_of_descriptors_leaves_all_or_nothing() {
    let counts = sweep(workloads::ALL, &kinds::LIMITS);
    told(&counts);
    all_was_said(&counts);
}

#[test]
fn short_and_interrupted_calls_are_gone_on_with() {
    told(&sweep(workloads::ALL, &kinds::SHORT));
}

#[test]
fn an_error_at_any_call_of_a_group_of_threads_leaves_all_or_nothing() {
    told(&sweep(workloads::SLOW, &[kinds::IO[0], kinds::FULL[0]]));
}

#[test]
fn a_full_disk_before_the_commit_point_changes_nothing_and_the_next_commit_works() {
    for free in [0, 4096, 8192, 16_384, 40_000] {
        let sim = prepared();
        let store = open(&sim);
        let before = documents(&sim);
        sim.set_free_space(free);
        let big = vec![b'x'; 60_000];
        let error = store
            .transact(|tx| {
                tx.write_bytes("a.json", big.clone())?;
                tx.write_bytes("b.json", big.clone())
            })
            .expect_err("there is no room");
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        assert_eq!(documents(&sim), before);
        sim.set_free_space(None);
        let mut tree = before;
        history::run(&store, Txn(Op::Grow, Op::Grow), 1, &mut tree).expect("there is room again");
        assert_eq!(documents(&sim), tree);
        assert!(store.check().expect("it can be checked").problems.is_empty());
    }
}

#[test]
fn nothing_is_acknowledged_after_a_failed_sync_until_the_store_is_opened_again() {
    let sim = prepared();
    let store = open(&sim);
    let at = When::Matching { op: "sync", path_contains: String::new(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::IO), sticky: false });
    let first = store.write("a.json", &1).expect_err("the journal's sync fails");
    assert!(matches!(first, Error::CommitUnknown { .. }), "{first:?}");
    for _ in 0..3 {
        let later = store.write("b.json", &1).expect_err("the handle has stopped");
        assert!(matches!(later, Error::Poisoned), "{later:?}");
    }
    assert!(store.status().expect("it answers").failed);
    drop(store);
    open(&sim).write("b.json", &1).expect("opening again settles it");
}

#[test]
fn damage_in_the_journal_refuses_to_open_and_changes_nothing() {
    let sim: SimFs = prepared();
    let store = open(&sim);
    for n in 0..5 {
        store.write("a.json", &n).expect("nothing stands in the way");
    }
    drop(store);
    sim.write_back_all();
    let segment = sim.tree().into_keys().find(|path| path.contains("/journal/0")).expect("one");
    let len =
        sim.read(&segment).expect("it is there").iter().rposition(|b| *b == b'}').expect("a line");
    for offset in (0..len as u64).step_by(37) {
        let hurt = sim.fork();
        hurt.damage(&segment, filepact_simfs::Damage::FlipBit { offset, bit: 2 });
        let before = hurt.fingerprint();
        match options().open_with(hurt.actor()) {
            Err(Error::Corrupt { segment: named, offset: at, .. }) => {
                assert!(named.contains("journal/0"), "{named}");
                assert!(at <= offset, "byte {offset} is damaged, {at} was named");
            }
            other => panic!("byte {offset}: {other:?}"),
        }
        assert_eq!(hurt.fingerprint(), before, "nothing is changed");
    }
}

#[test]
fn what_was_staged_for_nothing_is_taken_back() {
    for (op, path, nth) in [("create_unnamed", "", 2), ("write", ".filepact/journal", 1)] {
        let sim = prepared();
        let store = open(&sim);
        let at = When::Matching { op, path_contains: path.to_owned(), nth };
        sim.fault(Fault { at, kind: FaultKind::Error(errno::NOSPC), sticky: false });
        let mut tree = documents(&sim);
        let said = history::run(&store, Txn(Op::Grow, Op::Grow), 1, &mut tree);
        assert!(matches!(said, Err(Error::Io { .. })), "{op}: {said:?}");
        let left: Vec<_> = sim.tree().into_keys().filter(|p| p.contains("/stage/")).collect();
        assert!(left.is_empty(), "{op}: {left:?}");
    }
}

#[test]
fn who_opens_after_an_unknown_outcome_is_told() {
    let sim = prepared();
    let store = open(&sim);
    let at = When::Matching { op: "sync", path_contains: "journal".into(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::IO), sticky: false });
    let error = store.write("a.json", &1).expect_err("the journal's sync fails");
    assert!(matches!(error, Error::CommitUnknown { .. }), "{error:?}");
    drop(store);
    assert!(open(&sim).recovery_report().failed);
}

#[test]
fn a_commit_that_state_cannot_tell_of_is_unknown() {
    let sim = prepared();
    let store = open(&sim);
    let at = When::Matching { op: "write", path_contains: ".filepact/state".into(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::IO), sticky: true });
    let error = store.write("a.json", &1).expect_err("`state` cannot be written");
    assert!(matches!(error, Error::CommitUnknown { .. }), "{error:?}");
    sim.clear_faults();
    let later = store.write("b.json", &1).expect_err("the handle has stopped");
    assert!(matches!(later, Error::Poisoned), "{later:?}");
}

#[test]
fn a_handle_that_counts_as_dead_writes_nothing_more() {
    let sim = prepared();
    let store = open(&sim);
    fail(&sim, "write", ".filepact/state", errno::IO, false);
    store.write("a.json", &1).expect_err("`state` cannot be written");
    // The turn changes hands, and whoever takes it next would say so.
    open(&sim).write("b.json", &1).expect("the others go on");
    let before = sim.fingerprint();
    let refused = store.write("b.json", &2).expect_err("the handle has stopped");
    assert!(matches!(refused, Error::Poisoned), "{refused:?}");
    assert_eq!(sim.fingerprint(), before);
}

#[test]
fn after_a_group_that_state_cannot_tell_of_none_follows_in_its_turn() {
    let sim = prepared();
    let patient = options().lock_timeout(Duration::from_secs(60));
    let store = patient.open_with(sim.actor()).expect("it opens");
    let turn = store.begin_exclusive(Duration::ZERO).expect("nobody else has it");
    // Both change one document, so that one waits for the next group of the same turn.
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let commits = [1, 2].map(|value| {
            let store = store.clone();
            scope.spawn(move || store.write("a.json", &value))
        });
        std::thread::sleep(Duration::from_millis(100));
        fail(&sim, "write", ".filepact/state", errno::IO, false);
        turn.rollback();
        commits.into_iter().map(|commit| commit.join().expect("no thread panics")).collect()
    });
    let is = |kind: fn(&Error) -> bool| outcomes.iter().flat_map(|o| o.as_ref().err()).any(kind);
    assert!(is(|error| matches!(error, Error::CommitUnknown { .. })), "{outcomes:?}");
    assert!(is(|error| matches!(error, Error::Poisoned)), "{outcomes:?}");
}

#[test]
fn a_checkpoint_whose_sync_fails_says_which() {
    let sim = prepared();
    let store = open(&sim);
    store.write("a.json", &1).expect("nothing stands in the way");
    let at = When::Matching { op: "sync", path_contains: "a.json".into(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::IO), sticky: false });
    match store.checkpoint() {
        Err(Error::Io { path, .. }) => assert_eq!(path, "a.json"),
        other => panic!("{other:?}"),
    }
    assert!(store.status().expect("it answers").failed);
}

#[test]
fn after_a_write_that_fell_short_the_journal_goes_on_in_a_new_segment() {
    let sim = prepared();
    let store = open(&sim);
    for (kind, nth) in [(FaultKind::ShortWrite, 1), (FaultKind::Error(errno::NOSPC), 2)] {
        let at = When::Matching { op: "write", path_contains: "journal".into(), nth };
        sim.fault(Fault { at, kind, sticky: false });
    }
    let newest = |sim: &SimFs| sim.tree().into_keys().rfind(|path| path.contains("/journal/0"));
    let before = newest(&sim);
    let error = store.write("a.json", &1).expect_err("the disk is full");
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    store.write("a.json", &2).expect("there is room again");
    assert_ne!(newest(&sim), before, "unsynced bytes are never written over");
}

#[test]
fn a_birth_that_failed_leaves_nothing() {
    let unborn =
        |sim: &SimFs| sim.tree().into_keys().filter(|path| path.contains("/journal/new")).count();
    let sim = prepared();
    let store = open(&sim);
    let at = When::Matching { op: "write", path_contains: "journal/new".into(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::NOSPC), sticky: false });
    for n in 0.. {
        if store.write("a.json", &format!("{n}{}", "x".repeat(1_500))).is_err() {
            break;
        }
    }
    assert_eq!(unborn(&sim), 0);
    drop(store);
    sim.write(".filepact/journal/new.dead", b"a birth that a crash cut short");
    drop(open(&sim));
    assert_eq!(unborn(&sim), 0);
}
