//! A share of the long random histories, the proof that their judge can fail, and what they found.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use filepact_tests::random::hand::Lie;
use filepact_tests::random::step::{parse, written};
use filepact_tests::random::{Counts, Failure, plan, run, run_seed, shrunk};

const STEPS: usize = 30;

#[test]
fn long_random_histories_fit_what_was_promised() {
    let (next, total) = (AtomicU64::new(0), Mutex::new(Counts::default()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= 2_500 {
                        return;
                    }
                    let counts = run_seed(seed, STEPS, None).unwrap_or_else(|why| panic!("{why}"));
                    *total.lock().unwrap() += counts;
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    println!("{total}");
    // None of it is trivial.
    assert!(total.committed > 10_000 && total.unknown > 500 && total.judged > 5_000, "{total}");
}

#[test]
fn a_history_that_is_written_and_read_is_the_same() {
    for seed in 0..500 {
        let planned = plan::plan(seed, STEPS);
        assert_eq!(parse(&written(&planned)).unwrap(), planned);
    }
}

#[test]
fn the_same_seed_gives_the_same_history_and_the_same_counts() {
    for seed in 0..20 {
        assert_eq!(run_seed(seed, STEPS, None).unwrap(), run_seed(seed, STEPS, None).unwrap());
    }
}

/// Looks for the first seed that notices the lie, and says how short its history becomes.
fn caught(lie: Lie) -> Box<Failure> {
    let failed = (0..3_000).find_map(|seed| run_seed(seed, STEPS, Some(lie)).err());
    let failure = failed.unwrap_or_else(|| panic!("nobody noticed {lie:?}"));
    assert!(failure.steps.len() <= 8, "{lie:?}: {failure}");
    // The short one fails because of the lie alone.
    assert!(run(&failure.steps, None).is_ok(), "{lie:?}: {failure}");
    failure
}

#[test]
fn a_sync_of_the_journal_that_is_swallowed_is_noticed() {
    caught(Lie::JournalSync);
}

#[test]
fn a_sync_of_the_directory_of_the_journal_that_is_swallowed_is_noticed() {
    caught(Lie::JournalDirSync);
}

#[test]
fn syncs_of_bodies_that_are_swallowed_are_noticed() {
    caught(Lie::StageSync);
}

#[test]
fn an_exchange_that_is_not_done_is_noticed() {
    caught(Lie::Exchange);
}

#[test]
fn a_staged_name_that_is_not_removed_is_noticed() {
    caught(Lie::Unlink);
}

#[test]
fn a_pasted_history_runs_and_shrinks() {
    let text = "open 0 journal; do 0 put(a,300); wait 30; do 0 put(b,40); flush; \
                do 0 append(a,40) read(b); cut strict 3; open 1 files";
    let steps = parse(text).unwrap();
    let violation = run(&steps, Some(Lie::Exchange)).unwrap_err();
    let failure = shrunk(steps, violation, Some(Lie::Exchange));
    assert!(failure.steps.len() <= 3, "{failure}");
}
