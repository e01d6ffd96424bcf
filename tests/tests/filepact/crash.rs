//! Stories that are crashed at every call.
//!
//! Here are all transactions alone, and a fair sample of the rest; the command `crash-suite` runs all
//! of it, with more outcomes (`docs/testing.md`).

use filepact_simfs::{Profile, SimFs};
use filepact_tests::crash::case::{How, Point, Trail};
use filepact_tests::crash::counts::Counts;
use filepact_tests::crash::explore::{Effort, explore, repeat};
use filepact_tests::crash::run::run;
use filepact_tests::crash::story::{Expect, transactions};
use filepact_tests::crash::suite::families;
use filepact_tests::crash::{open, options};
use filepact_tests::history::{Op, Tree, Txn};
use filepact_tests::steps::Steps;

use crate::support::{STRICT, after_power_cuts, put, read};

/// Crashes every `step`-th story of a family on these profiles, on all cores.
fn crash(family: &str, step: usize, profiles: &[Profile], effort: Effort) -> Counts {
    let all = families();
    let family = all.iter().find(|known| known.name == family).expect("there is such a family");
    let mut stories = Vec::new();
    for (nth, profile) in profiles.iter().enumerate() {
        // Other ones on each profile.
        let numbers = (nth % step..family.count).step_by(step);
        stories.extend(numbers.map(|number| (format!("{}:{number}", family.name), *profile)));
    }
    let outcome = run(&stories, effort, u64::MAX, |_, _| {});
    println!("{}", outcome.counts);
    let failures: Vec<String> = outcome.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    outcome.counts
}

#[test]
fn every_transaction_survives_a_crash_at_every_call() {
    let effort = Effort { outcomes: [1024, 8, 4], deeper: [257, 61], seed: 0 };
    let counts = crash("alone", 1, &[STRICT], effort);
    let total = counts.total();
    assert!(
        total.recoveries > 150_000 && total.replayed > 50_000 && total.torn > 1_000,
        "{counts}"
    );
}

#[test]
fn pairs_of_transactions_survive_a_crash_at_every_call_sampled() {
    let effort = Effort { outcomes: [64, 8, 4], deeper: [257, 61], seed: 0 };
    // A prime, so that every transaction comes first and second.
    let counts = crash("pair", 97, &Profile::ALL, effort);
    let total = counts.total();
    assert!(total.recoveries > 50_000 && total.replayed > 10_000 && total.torn > 200, "{counts}");
}

#[test]
fn the_making_of_a_store_survives_a_crash_at_every_call() {
    let effort = Effort { outcomes: [1024, 16, 8], deeper: [31, 31], seed: 0 };
    let counts = crash("making", 1, &Profile::ALL, effort);
    assert!(counts.recoveries() > 1_000, "{counts}");
}

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

/// Found by the crash suite: a process died in the making of a store when all names were there and none
/// was durable. The next one found them all, made the journal and acknowledged a transaction; a power
/// cut took the journal's directory, and kept `state`.
#[test]
fn a_store_is_durable_also_if_somebody_else_began_to_make_it() {
    let sim = SimFs::new();
    let actor = sim.actor();
    let (world, victim) = (sim.clone(), actor.clone());
    let steps = Steps::new(actor, move |_, op, _| {
        if op == "sync_dir" {
            world.kill(&victim);
        }
    });
    assert!(options().open_with(steps).is_err(), "it dies before anything of it is durable");
    put(&open(&sim), "a.json", b"v1");
    after_power_cuts(&sim, 1024, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("v1"));
    });
}
