//! Stories that are crashed at every call.
//!
//! Here are all transactions alone, and a fair sample of the rest; the command `crash-suite` runs all
//! of it, with more outcomes (`docs/testing.md`).

use filepact_simfs::Profile;
use filepact_tests::crash::case::{How, Point, Trail, mix};
use filepact_tests::crash::counts::Counts;
use filepact_tests::crash::explore::{Effort, explore, repeat};
use filepact_tests::crash::run::run;
use filepact_tests::crash::stories::transactions::transactions;
use filepact_tests::crash::story::Expect;
use filepact_tests::crash::suite::families;
use filepact_tests::history::{Op, Tree, Txn};

use crate::support::STRICT;

/// Crashes so many stories of a family on each of these profiles, other ones on each, on all cores.
fn crash(name: &str, stories: usize, profiles: &[Profile], effort: Effort) -> Counts {
    let all = families();
    let family = all.iter().find(|family| family.name == name).expect("there is such a family");
    let mut chosen = Vec::new();
    for (nth, profile) in profiles.iter().enumerate() {
        for turn in 0..stories.min(family.count) {
            let number = match stories < family.count {
                true => mix(turn as u64, nth as u64) as usize % family.count,
                false => turn,
            };
            chosen.push((format!("{name}:{number}"), *profile));
        }
    }
    let outcome = run(&chosen, effort, u64::MAX, |_, _, _| {});
    println!("{name}: {}", outcome.counts);
    let failures: Vec<String> = outcome.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    outcome.counts
}

/// These states are not trivial: so many were recovered, and in so many something was published again.
fn assert_tried(counts: &Counts, recoveries: u64, replayed: u64) {
    let total = counts.total();
    assert!(total.recoveries >= recoveries && total.replayed >= replayed, "{counts}");
}

#[test]
fn every_transaction_survives_a_crash_at_every_call() {
    let effort = Effort { outcomes: [112, 8, 4], deeper: [257, 61], seed: 0 };
    let counts = crash("alone", usize::MAX, &[STRICT], effort);
    assert_tried(&counts, 70_000, 30_000);
    assert!(counts.total().torn > 500, "{counts}");
}

const SAMPLED: Effort = Effort { outcomes: [32, 4, 2], deeper: [97, 31], seed: 0 };

#[test]
fn pairs_and_triples_survive_crashes_on_every_file_system_sampled() {
    assert_tried(&crash("pair", 1, &Profile::ALL, SAMPLED), 5_000, 1_000);
    assert_tried(&crash("triple", 1, &Profile::ALL, SAMPLED), 10_000, 2_000);
}

#[test]
fn checkpoints_and_births_of_segments_survive_crashes_on_every_file_system_sampled() {
    assert_tried(&crash("checkpoint", 1, &Profile::ALL, SAMPLED), 5_000, 1_000);
    assert_tried(&crash("birth", 1, &Profile::ALL, SAMPLED), 5_000, 1_000);
}

#[test]
fn what_a_dead_process_has_left_survives_crashes_on_every_file_system_sampled() {
    assert_tried(&crash("healing", 2, &Profile::ALL, SAMPLED), 20_000, 5_000);
}

#[test]
fn bodies_in_spares_survive_crashes_on_every_file_system_sampled() {
    assert_tried(&crash("spare", 1, &Profile::ALL, SAMPLED), 5_000, 1_000);
}

#[test]
fn every_durability_keeps_its_promise_on_every_file_system_sampled() {
    assert_tried(&crash("files", 1, &Profile::ALL, SAMPLED), 5_000, 500);
    assert_tried(&crash("buffered", 2, &Profile::ALL, SAMPLED), 5_000, 500);
}

#[test]
fn edits_by_other_programs_survive_crashes_on_every_file_system_sampled() {
    assert_tried(&crash("edit", 1, &Profile::ALL, SAMPLED), 10_000, 1_000);
}

#[test]
fn the_making_of_a_store_survives_a_crash_at_every_call() {
    let effort = Effort { outcomes: [256, 8, 4], deeper: [61, 61], seed: 0 };
    let counts = crash("making", 1, &Profile::ALL, effort);
    assert!(counts.total().made > 5_000, "{counts}");
}

/// A failure names the one recovery that was wrong, and the command of that name finds it again.
#[test]
fn a_failure_can_be_repeated_by_its_trail() {
    let effort = Effort { outcomes: [64, 4, 4], deeper: [1, 1], seed: 5 };
    let right = transactions("pair:1".to_owned(), &[Txn(Op::Replace, Op::Remove)], 0);
    // What is right is called wrong from the middle on.
    let mut wrong = transactions("pair:1".to_owned(), &[Txn(Op::Replace, Op::Remove)], 0);
    let middle = wrong.scenes.len() / 2;
    wrong.scenes.drain(..middle);
    wrong.scenes[0].expect = Expect::one_of(&[Tree::new()]);
    let (_, result) = explore(&wrong, STRICT, effort);
    let failure = result.expect_err("nothing that was expected is there").text;
    let command = failure.lines().next().expect("the command comes first");
    let trail = command.split(' ').next_back().expect("the trail comes last");
    let trail: Trail = trail.parse().expect("it reads back");
    assert!(command.contains("--story 'pair:1' --profile strict --seed 5 --outcomes 64,4,4"));
    let again = repeat(&wrong, STRICT, effort, &trail).expect_err("it is as wrong as before");
    assert_eq!(again.text, failure);
    assert!(repeat(&right, STRICT, effort, &trail).is_ok());

    // A crash in a recovery, and in the recovery of that, are found as well.
    let died = |call| Point { call, how: How::Died, outcome: 0 };
    let cut = Point { call: middle + 3, how: How::Died, outcome: 0 };
    let trail = Trail(vec![cut, died(5), died(3)]);
    let text = repeat(&right, STRICT, effort, &trail).expect("nothing is wrong");
    assert_eq!(text.lines().filter(|line| line.contains(":died:0")).count(), 3, "{text}");
}
