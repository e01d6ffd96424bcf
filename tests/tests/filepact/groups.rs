//! Threads that commit at once share one sync, and do not get into each other's way.
#![allow(
    clippy::disallowed_methods,
    reason = "makes a directory from outside, as any program would"
)]

use std::thread;
use std::time::{Duration, Instant};

use filepact::{Error, Store, Transaction};
use filepact_fs::{Fs, Lock, LockKind, OsFs};
use filepact_tests::crash::{options, prepared};
use tempfile::TempDir;

use crate::support::put;

const THREADS: usize = 8;

/// What a thread does in its transaction, by its number.
type Work = fn(&mut Transaction, usize) -> Result<(), Error>;

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("it opens");
    (folder, store)
}

/// Commits these in threads of their own while somebody else has the writer lock, so that they wait in
/// one line, in this order. Returns what became of each.
fn together(folder: &TempDir, txs: Vec<Transaction>) -> Vec<Result<u64, Error>> {
    let held = hold(folder);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for tx in txs {
            threads.push(scope.spawn(move || tx.commit().map(|committed| committed.txn)));
            thread::sleep(Duration::from_millis(50));
        }
        drop(held);
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

/// The writer lock, as another process has it.
fn hold(folder: &TempDir) -> Box<dyn Lock> {
    let fs = OsFs::open(folder.path()).expect("it is a folder");
    let lock = fs.lock(".filepact/lock", LockKind::Exclusive, Duration::ZERO);
    lock.expect("it can be locked").expect("nobody has it")
}

/// The same work in several transactions, each with its number, committed together.
fn at_once(
    folder: &TempDir,
    store: &Store,
    work: impl Fn(&mut Transaction, usize) -> Result<(), Error>,
) -> Vec<Result<u64, Error>> {
    let txs = (0..THREADS).map(|number| {
        let mut tx = store.begin().expect("the store is open");
        work(&mut tx, number).expect("nothing stands in the way");
        tx
    });
    together(folder, txs.collect())
}

#[test]
fn threads_that_commit_at_once_share_a_sync() {
    let (folder, store) = store();
    let outcomes =
        at_once(&folder, &store, |tx, number| tx.write(format!("{number}.json"), &number));
    let mut txns: Vec<u64> = outcomes.into_iter().map(|txn| txn.expect("it commits")).collect();
    txns.sort_unstable();
    txns.dedup();
    assert_eq!(txns.len(), THREADS, "each has a number of its own");
    for number in 0..THREADS {
        assert_eq!(store.read::<usize>(format!("{number}.json")).expect("it is there"), number);
    }
    let counts = store.status().expect("it can be read").counts;
    assert_eq!(counts.commits, THREADS as u64);
    assert!(counts.groups < counts.commits && counts.largest_group > 1, "{counts:?}");
    assert_eq!(store.log().expect("it can be read").len(), THREADS);
}

/// Attack 34: members of one group validated against each other, or an update is lost.
#[test]
fn attack_34_of_members_that_saw_the_same_only_one_commits() {
    let cases: [Work; 5] = [
        |tx, number| tx.update("count.json", |count: &mut usize| *count += number + 1),
        |tx, number| tx.create("new.json", &number),
        |tx, number| {
            let count = tx.list("")?.len();
            tx.write(format!("{count}-{number}.json"), &count)
        },
        |tx, number| {
            tx.expect("absent.json", None)?;
            tx.write("absent.json", &number)
        },
        |tx, number| {
            // What one creates in a directory the other wants to be a document.
            tx.write(if number % 2 == 0 { "d" } else { "d/e" }, &number)
        },
    ];
    for (case, work) in cases.into_iter().enumerate() {
        let (folder, store) = store();
        store.write("count.json", &0).expect("it commits");
        let outcomes = at_once(&folder, &store, work);
        let committed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        for outcome in &outcomes {
            let expected = match outcome {
                Ok(_) => true,
                Err(Error::Conflict { .. }) => case < 4,
                Err(Error::Refused { .. }) => case == 4,
                Err(_) => false,
            };
            assert!(expected, "case {case}: {outcome:?}");
        }
        // Of the last one those of the first kind that came: they replace each other.
        assert_eq!(committed, if case == 4 { THREADS / 2 } else { 1 }, "case {case}: {outcomes:?}");
        let check = store.check().expect("it can be checked");
        assert!(check.problems.is_empty() && check.outside_edits.is_empty(), "{check:?}");
    }
}

#[test]
fn a_member_that_cannot_be_published_fails_alone() {
    let (folder, store) = store();
    std::fs::create_dir(folder.path().join("directory")).expect("it can be made");
    let outcomes = at_once(&folder, &store, |tx, number| match number {
        0 => tx.write("directory", &number),
        1 => tx.expect("absent.json", None),
        _ => tx.write(format!("{number}.json"), &number),
    });
    assert!(matches!(outcomes[0], Err(Error::Refused { .. })), "{:?}", outcomes[0]);
    assert!(outcomes[1..].iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(store.list("").expect("it can be listed").len(), THREADS - 2);
}

/// Attack 20: told "nothing changed", yet committed.
#[test]
fn attack_20_who_runs_out_of_patience_in_the_line_has_changed_nothing() {
    let (folder, _) = store();
    let patient = Store::options().lock_timeout(Duration::from_millis(60));
    let store = patient.open(folder.path()).expect("it opens");
    let other = Store::open(folder.path()).expect("it joins");
    let mut refused = 0;
    for round in 0..5 {
        let held = other.begin_exclusive(Duration::from_secs(10)).expect("nobody has it");
        let outcomes: Vec<_> = thread::scope(|scope| {
            let (store, held) = (&store, held);
            let threads: Vec<_> = (0..THREADS)
                .map(|number| {
                    scope.spawn(move || {
                        // So that their times run out around the moment the lock comes free.
                        thread::sleep(Duration::from_millis(number as u64 * 5));
                        store.write(format!("{round}-{number}.json"), &number)
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(75));
            drop(held);
            threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
        });
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let there =
                other.exists(format!("{round}-{number}.json")).expect("it can be looked at");
            match outcome {
                Ok(_) => assert!(there),
                Err(Error::Locked { .. }) => {
                    refused += 1;
                    assert!(!there, "{round}-{number} was refused, and is there");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    println!("{refused} of {} ran out of patience", 5 * THREADS);
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
        let (folder, store) = store();
        put(&store, "a.json", b"0");
        put(&store, "b.json", b"ours");
        std::fs::write(folder.path().join("b.json"), "an edit").expect("it can be written");
        let txs = [first, second].map(|work| {
            let mut tx = store.begin().expect("the store is open");
            work(&mut tx).expect("nothing stands in the way");
            tx
        });
        let answers = together(&folder, txs.into());
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
        let outside = store.log().expect("it can be read").iter().filter(|txn| txn.outside).count();
        assert_eq!(outside, usize::from(name.starts_with("an edit")), "{name}");
    }
}

/// A commit that waits while another thread closes the store never runs.
/// A log that is not known to be ours and has just changed is synced in C4. So it was for each member of the
/// group that added to it, and where time stamps are whole seconds that is so for every log.
#[test]
fn who_adds_to_somebody_elses_log_in_one_group_pays_one_sync() {
    let sim = prepared();
    let patient = options().lock_timeout(Duration::from_secs(60));
    let store = patient.open_with(sim.actor()).expect("it opens");
    sim.write("log", b"theirs");
    let turn = store.begin_exclusive(Duration::ZERO).expect("nobody else has it");
    sim.record();
    thread::scope(|scope| {
        for number in 0..4 {
            let store = store.clone();
            scope.spawn(move || store.append("log", format!(" {number}")).expect("it commits"));
            thread::sleep(Duration::from_millis(50));
        }
        turn.rollback();
    });
    let counts = store.status().expect("it answers").counts;
    assert_eq!(counts.largest_group, 4, "they are one group");
    let syncs = |call: &&String| call.starts_with("sync log");
    assert_eq!(sim.call_log().iter().filter(syncs).count(), 1, "{:#?}", sim.call_log());
}

#[test]
fn a_commit_that_waited_for_a_close_changes_nothing() {
    let (folder, store) = store();
    put(&store, "a.json", b"v1");
    let held = hold(&folder);
    let clone = store.clone();
    let mut late = store.begin().expect("the store is open");
    late.write_bytes("late", "1").expect("a valid path");
    let closing = thread::spawn(move || clone.close());
    thread::sleep(Duration::from_millis(100));
    let waiting = thread::spawn(move || late.commit().map(|committed| committed.txn));
    thread::sleep(Duration::from_millis(100));
    drop(held);
    closing.join().expect("no panic").expect("it closes");
    let answer = waiting.join().expect("no panic");
    assert!(matches!(answer, Err(Error::Poisoned)), "{answer:?}");
    assert!(!folder.path().join("late").exists());
}

/// Who waits in line for the lock itself begins nothing in a store that was let go: somebody may recover it.
#[test]
fn who_waited_for_the_lock_through_a_close_does_not_get_it() {
    let (_folder, store) = store();
    let first = store.begin_exclusive(Duration::from_secs(10)).expect("nobody has it");
    let (closes, waits) = (store.clone(), store);
    let closing = thread::spawn(move || closes.close());
    thread::sleep(Duration::from_millis(100));
    let waiting = thread::spawn(move || {
        waits.begin_exclusive(Duration::from_secs(10)).map(|tx| tx.rollback())
    });
    thread::sleep(Duration::from_millis(100));
    first.rollback();
    closing.join().expect("no panic").expect("it closes");
    let answer = waiting.join().expect("no panic");
    assert!(matches!(answer, Err(Error::Poisoned)), "{answer:?}");
}

/// The turnstile: who lets the lock go and wants it again comes after who has waited for it.
#[test]
fn who_waits_for_the_lock_gets_it_before_who_has_just_had_it() {
    let (folder, busy) = store();
    let other = Store::open(folder.path()).expect("it joins");
    let fs = OsFs::open(folder.path()).expect("it is a folder");
    let turnstile_is_free = || {
        let turn = fs.lock(".filepact/turn", LockKind::Exclusive, Duration::ZERO);
        turn.expect("it can be locked").is_some()
    };
    for round in 0..10 {
        let held = busy.begin_exclusive(Duration::from_secs(10)).expect("nobody has it");
        thread::scope(|scope| {
            let waits = scope.spawn(|| other.write("other.json", &round).expect("it commits").txn);
            let deadline = Instant::now() + Duration::from_secs(8);
            while turnstile_is_free() {
                assert!(Instant::now() < deadline, "who waits stands at no turnstile");
                thread::yield_now();
            }
            // Beyond the short try: asleep, it would be late if it had to race.
            thread::sleep(Duration::from_millis(20));
            drop(held);
            let again = busy.write("busy.json", &round).expect("it commits").txn;
            assert!(waits.join().expect("no thread panics") < again, "round {round}");
        });
    }
}
