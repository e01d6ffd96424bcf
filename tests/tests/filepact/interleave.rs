//! The machine that lets processes take turns does so, fairly, and the same way each time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use filepact::{Error, Store};
use filepact_fs::{Access, Fs, LockKind, read_to_end, write_all};
use filepact_simfs::SimFs;
use filepact_tests::crash::{documents, options, prepared};
use filepact_tests::interleave::{Failure, Fate, Interleaving, Run, Schedule};

const PATIENT: Duration = Duration::from_secs(10);

fn counter() -> SimFs {
    let sim = SimFs::new();
    sim.write("counter", b"0");
    sim.write("lock", b"");
    sim
}

fn count(sim: &SimFs) -> usize {
    String::from_utf8(sim.read("counter").unwrap()).unwrap().parse().unwrap()
}

fn increment(fs: &dyn Fs) {
    let file = fs.open("counter", Access::Write).unwrap();
    let text = String::from_utf8(read_to_end(&*file).unwrap()).unwrap();
    let next = text.parse::<usize>().unwrap() + 1;
    write_all(&*file, next.to_string().as_bytes(), 0).unwrap();
}

/// Increments several times, each under the lock; counts how often it got it.
fn careful(fs: &dyn Fs, times: usize, patience: Duration) -> usize {
    let got = |_: &usize| {
        let lock = fs.lock("lock", LockKind::Exclusive, patience).unwrap();
        lock.is_some_and(|_held| {
            increment(fs);
            true
        })
    };
    (0..times).filter(got).count()
}

fn two_careful(sim: &SimFs, of: Interleaving<'_, usize>) -> Run<usize> {
    let body = |fs: Arc<dyn Fs>| careful(&*fs, 5, PATIENT);
    of.process(sim.actor(), Fate::Lives, body)
        .process(sim.actor(), Fate::Lives, body)
        .run()
        .unwrap()
}

fn two_careless(of: Interleaving<'_, ()>) -> (SimFs, Result<Run<()>, Failure>) {
    let sim = counter();
    let body = |fs: Arc<dyn Fs>| (0..5).for_each(|_| increment(&*fs));
    let both = of.process(sim.actor(), Fate::Lives, body).process(sim.actor(), Fate::Lives, body);
    let run = both.run();
    (sim, run)
}

#[test]
fn no_increment_under_a_lock_is_lost() {
    for seed in 0..1_000 {
        let sim = counter();
        let run = two_careful(&sim, Interleaving::new(seed));
        assert_eq!(run.outcomes, [Some(5), Some(5)], "seed {seed}");
        assert_eq!(count(&sim), 10, "seed {seed}, {}", run.schedule);
    }
}

#[test]
fn an_increment_without_a_lock_is_lost_and_the_schedule_loses_it_again() {
    let mut lost = 0;
    for seed in 0..100 {
        let (sim, run) = two_careless(Interleaving::new(seed));
        let schedule = run.unwrap().schedule;
        let text = schedule.to_string();
        let script: Schedule = text.parse().expect("what is printed can be read");
        let (again, run) = two_careless(Interleaving::scripted(script));
        assert_eq!(run.unwrap().schedule.to_string(), text, "seed {seed}");
        assert_eq!(again.fingerprint(), sim.fingerprint(), "seed {seed}");
        lost += usize::from(count(&sim) < 10);
    }
    assert!((10..=100).contains(&lost), "{lost} of 100");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_another() {
    let mut all = HashSet::new();
    for seed in 0..50 {
        let (first, second) = (counter(), counter());
        let one = two_careful(&first, Interleaving::new(seed));
        let two = two_careful(&second, Interleaving::new(seed));
        assert_eq!(one.schedule, two.schedule);
        assert_eq!(one.calls, two.calls);
        assert_eq!(first.dump(), second.dump());
        // So does the script of it, though it waits for locks.
        let third = counter();
        let three = two_careful(&third, Interleaving::scripted(one.schedule.clone()));
        assert_eq!(one.schedule, three.schedule);
        assert_eq!(first.dump(), third.dump());
        all.insert(one.schedule);
    }
    assert!(all.len() > 45, "{}", all.len());
}

#[test]
fn who_never_hands_over_runs_to_its_end() {
    let sim = counter();
    let run = two_careful(&sim, Interleaving::new(1).one_in(u64::MAX));
    assert_eq!(run.schedule.hand_overs(), 1);
    // A script that ends at once: in order.
    let run = two_careful(&counter(), Interleaving::scripted(Schedule::default()));
    assert_eq!(run.schedule.hand_overs(), 1);
    assert!(run.schedule.to_string().starts_with("0*"), "{}", run.schedule);
    assert_eq!(run.schedule.turns(), run.calls.iter().sum::<usize>() + 2, "each starts once");
}

#[test]
fn a_script_is_followed_call_by_call() {
    // Both start; 0 opens and reads all of it; 1 does everything; 0 writes what it had.
    let script = "0 1 0*3 1*100".parse().unwrap();
    let sim = counter();
    let body = |fs: Arc<dyn Fs>| increment(&*fs);
    let run = Interleaving::scripted(script)
        .process(sim.actor(), Fate::Lives, body)
        .process(sim.actor(), Fate::Lives, body)
        .run()
        .unwrap();
    assert_eq!(count(&sim), 1, "{}", run.schedule);
}

#[test]
fn a_holder_that_dies_lets_the_other_have_the_lock() {
    let mut ends = HashSet::new();
    for seed in 0..200 {
        let sim = counter();
        let mortal = sim.actor();
        // Within the first increment, with the lock held.
        let fate = Fate::killed(3, &sim, &mortal);
        let run = Interleaving::new(seed)
            .process(mortal, fate, |fs| careful(&*fs, 5, PATIENT))
            .process(sim.actor(), Fate::Lives, |fs| careful(&*fs, 5, PATIENT))
            .run()
            .expect("what is unwrapped after death is nobody's failure");
        assert_eq!(run.outcomes, [None, Some(5)]);
        ends.insert(run.schedule.hand_overs());
        assert_eq!(count(&sim), 5, "{}", run.schedule);
    }
    assert!(ends.len() > 3, "the other was there before, after, or waiting: {ends:?}");
}

#[test]
fn a_holder_that_is_stopped_lasts_longer_than_patience() {
    for (resume_after, patience, got) in [
        // For good: nobody can go on.
        (None, PATIENT, 0),
        (None, Duration::MAX, 0),
        // Patience ends first, every time.
        (Some(1_000), PATIENT, 0),
        // It comes back in time.
        (Some(20), PATIENT, 3),
        // Who does not give up waits as long as it takes.
        (Some(1_000), Duration::MAX, 3),
    ] {
        let sim = counter();
        // The first one starts, takes the lock and is stopped at its next call.
        let script = "0*2 1*1000".parse().unwrap();
        let stops = Fate::Stops { at: 2, resume_after };
        let run = Interleaving::scripted(script)
            .patience(100)
            .process(sim.actor(), stops, |fs| careful(&*fs, 1, PATIENT))
            .process(sim.actor(), Fate::Lives, |fs| careful(&*fs, 3, patience))
            .run()
            .unwrap();
        assert_eq!(run.outcomes, [Some(1), Some(got)], "{resume_after:?}: {}", run.schedule);
        assert_eq!(count(&sim), 1 + got);
    }
}

#[test]
fn two_that_wait_for_each_other_get_out_of_it() {
    let mut embraced = 0;
    for seed in 0..100 {
        let sim = counter();
        let both = |fs: Arc<dyn Fs>, first: &str, second: &str| {
            let first = fs.lock(first, LockKind::Exclusive, Duration::MAX).unwrap();
            let second = fs.lock(second, LockKind::Exclusive, Duration::MAX).unwrap();
            first.is_some() && second.is_some()
        };
        let run = Interleaving::new(seed)
            .process(sim.actor(), Fate::Lives, |fs| both(fs, "counter", "lock"))
            .process(sim.actor(), Fate::Lives, |fs| both(fs, "lock", "counter"))
            .run()
            .unwrap();
        let got = run.outcomes.iter().filter(|got| **got == Some(true)).count();
        assert!(got > 0, "the first to give up frees the other");
        embraced += usize::from(got == 1);
    }
    assert!((10..=90).contains(&embraced), "{embraced} of 100");
}

#[test]
fn who_has_no_patience_is_told_at_once() {
    let sim = counter();
    let _held = sim.actor().lock("lock", LockKind::Shared, Duration::ZERO).unwrap().unwrap();
    let run = Interleaving::new(0)
        .process(sim.actor(), Fate::Lives, |fs| careful(&*fs, 2, Duration::ZERO))
        .run()
        .unwrap();
    assert_eq!((run.outcomes, run.calls), (vec![Some(0)], vec![2]));
    assert_eq!(run.schedule.to_string(), "0*3");
}

#[test]
fn a_panic_names_its_seed_and_its_turns_and_comes_again() {
    let run = |of: Interleaving<'_, ()>| {
        let sim = counter();
        of.process(sim.actor(), Fate::Lives, |fs| {
            let before = count_through(&*fs);
            increment(&*fs);
            assert_eq!(count_through(&*fs), before + 1, "somebody else counts");
        })
        .process(sim.actor(), Fate::Lives, |fs| increment(&*fs))
        .run()
        .map(|_| ())
    };
    let failures = (0..100).filter_map(|seed| Some((seed, run(Interleaving::new(seed)).err()?)));
    let (seed, failure) = failures.into_iter().next().expect("one of them fails");
    assert_eq!((failure.seed, failure.process), (Some(seed), 0));
    let text = failure.to_string();
    assert!(text.contains(&format!("under seed {seed}: ")), "{text}");
    assert!(text.contains("somebody else counts"), "{text}");
    assert!(text.ends_with(&format!("turns: {}", failure.schedule)), "{text}");
    let again = run(Interleaving::scripted(failure.schedule.clone())).expect_err("it comes again");
    assert_eq!((again.schedule, again.message), (failure.schedule, failure.message));
}

fn count_through(fs: &dyn Fs) -> usize {
    let bytes = read_to_end(&*fs.open("counter", Access::Read).unwrap()).unwrap();
    String::from_utf8(bytes).unwrap().parse().unwrap()
}

#[test]
fn a_run_without_an_end_is_a_failure() {
    let sim = counter();
    let actor = sim.actor();
    let fate = Fate::killed(5, &sim, &actor);
    let failure = Interleaving::new(7)
        .limit(500)
        .process(sim.actor(), Fate::Lives, |fs| {
            let _held = fs.lock("lock", LockKind::Shared, Duration::ZERO).unwrap();
            while fs.stat("never").unwrap().is_none() {}
        })
        .process(actor, fate, |fs| while fs.stat("never").map_or(true, |found| found.is_none()) {})
        .process(sim.actor(), Fate::Lives, |fs| {
            fs.lock("lock", LockKind::Exclusive, Duration::MAX).unwrap();
        })
        .run()
        .expect_err("nobody ever makes it");
    assert_eq!(failure.message, "no end after 500 turns");
}

#[test]
fn what_outlives_its_process_is_dropped_without_a_turn() {
    let sim = counter();
    let run = Interleaving::new(0)
        .process(sim.actor(), Fate::Lives, |fs| fs.lock("lock", LockKind::Shared, PATIENT).unwrap())
        .process(sim.actor(), Fate::Lives, |fs| fs.lock("lock", LockKind::Shared, PATIENT).unwrap())
        .run()
        .unwrap();
    drop(run);
    assert!(sim.actor().lock("lock", LockKind::Exclusive, Duration::ZERO).unwrap().is_some());
}

#[test]
fn processes_that_open_the_same_store_count_together() {
    for seed in 0..100 {
        let sim = prepared();
        let body = |fs: Arc<dyn Fs>| {
            let store = options().lock_timeout(Duration::MAX).open_with(fs).unwrap();
            let count = |store: &Store| {
                let mut tx = store.begin()?;
                let n = tx.get::<u32>("n.json")?.unwrap_or(0);
                tx.write("n.json", &(n + 1))?;
                tx.commit()
            };
            while let Err(error) = count(&store) {
                assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
            }
            store.close().unwrap();
        };
        Interleaving::new(seed)
            .process(sim.actor(), Fate::Lives, body)
            .process(sim.actor(), Fate::Lives, body)
            .process(sim.actor(), Fate::Lives, body)
            .run()
            .unwrap();
        let n = String::from_utf8(documents(&sim)["n.json"].clone()).unwrap();
        assert_eq!(n.trim(), "3", "seed {seed}");
    }
}
