//! Pairs of transactions over two documents, crashed at every call.
//!
//! Here are all transactions alone and a fair sample of their pairs; the command `crash-suite` runs
//! all pairs (`docs/testing.md`).

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use filepact_simfs::SimFs;
use filepact_tests::crash::{Counts, Crash, Effort, crash_history, open};
use filepact_tests::history::{Tree, Txn, transactions};

/// Runs histories on all cores.
fn crash_all(histories: &[Vec<Txn>], effort: Effort) -> Counts {
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Counts::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(history) = histories.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let seed = histories.len() as u64;
                    let counts = crash_history(history, effort, seed);
                    *total.lock().expect("no other history has failed") += counts;
                }
            });
        }
    });
    total.into_inner().expect("no history has failed")
}

#[test]
fn every_transaction_survives_a_crash_at_every_call() {
    let histories: Vec<_> = transactions().into_iter().map(|txn| vec![txn]).collect();
    let effort =
        Effort { outcomes: 1024, crash_recovery_every: 199, outcomes_in_recovery: 8, close: true };
    let counts = crash_all(&histories, effort);
    println!("{counts}");
    assert!(counts.recoveries() > 25_000, "{counts}");
    assert!(counts.replayed > 1_000 && counts.torn > 200 && counts.in_recovery > 1_000, "{counts}");
}

#[test]
fn every_pair_of_transactions_survives_a_crash_at_every_call_sampled() {
    let all = transactions();
    let pairs = all.iter().flat_map(|first| all.iter().map(|second| vec![*first, *second]));
    // A prime, so that every transaction comes first and second.
    let histories: Vec<_> = pairs.step_by(13).collect();
    let effort =
        Effort { outcomes: 64, crash_recovery_every: 97, outcomes_in_recovery: 4, close: true };
    let counts = crash_all(&histories, effort);
    println!("{counts}");
    assert!(counts.recoveries() > 25_000, "{counts}");
    assert!(counts.replayed > 1_000 && counts.torn > 400 && counts.in_recovery > 1_000, "{counts}");
}

#[test]
fn the_making_of_a_store_survives_a_crash_at_every_call() {
    let sim = SimFs::new();
    sim.record();
    drop(open(&sim));
    let effort =
        Effort { outcomes: 1024, crash_recovery_every: 31, outcomes_in_recovery: 8, close: false };
    let mut crash = Crash::new(effort, 1);
    for (index, moment) in sim.recorded().iter().enumerate() {
        let story = || format!("making a store, crashed at call {index}: {}", moment.call);
        crash.moment(moment, &[Tree::new()], &story);
    }
    println!("{}", crash.counts);
    assert!(crash.counts.recoveries() > 500, "{}", crash.counts);
}
