//! Threads that commit at once share one sync, and do not get into each other's way.
#![allow(
    clippy::disallowed_methods,
    reason = "makes a directory from outside, as any program would"
)]

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use filepact::{Error, Store, Transaction};
use tempfile::TempDir;

const THREADS: usize = 8;

/// What a thread does in its transaction, by its number.
type Work = fn(&mut Transaction, usize) -> Result<(), Error>;

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("it opens");
    (folder, store)
}

/// Begins a transaction in each of several threads, and commits them all while somebody else has the
/// lock, so that they wait in one line. Returns what became of each.
fn at_once(
    folder: &TempDir,
    store: &Store,
    work: impl Fn(&mut Transaction, usize) -> Result<(), Error> + Sync,
) -> Vec<Result<u64, Error>> {
    let other = Store::open(folder.path()).expect("it joins");
    let held = other.begin_exclusive(Duration::from_secs(10)).expect("nobody has it");
    let ready = Barrier::new(THREADS + 1);
    let run = |number| {
        let mut tx = store.begin()?;
        work(&mut tx, number)?;
        ready.wait();
        Ok(tx.commit()?.txn)
    };
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || run(number))).collect();
        ready.wait();
        // Most of them are in the line by then; the test does not rest on it.
        thread::sleep(Duration::from_millis(100));
        drop(held);
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
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
