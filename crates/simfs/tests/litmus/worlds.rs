//! One seed, one world; a crash yields a new one, and nothing is shared.

use crate::support::*;

#[test]
fn crashed_worlds_share_nothing() {
    let (sim, actor) = durable(&[("f", b"0")]);
    actor.open("f", Access::Write).unwrap().write_at(b"1", 0).unwrap();
    let worlds = all(&sim.world(), PAGES);
    worlds[0].write("f", b"other");
    assert_eq!(sim.read("f").unwrap(), b"1");
    assert_ne!(worlds[1].read("f").unwrap(), b"other");
    let fork = sim.fork();
    fork.remove("f");
    assert_eq!(sim.read("f").unwrap(), b"1");
    assert!(fork.read("f").is_none());
}

#[test]
fn too_many_outcomes_are_sampled_without_repetition_and_the_same_for_the_same_seed() {
    let (sim, actor) = durable(&[]);
    for number in 0..30 {
        drop(put(&actor, &format!("f{number}"), &[1; 3 * PAGE]));
    }
    let sample = |seed| {
        let Outcomes { worlds, possible, complete } = sim.world().power_cut(&SECTORS, 200, seed);
        assert!(!complete && possible > 1e9);
        worlds.iter().map(SimFs::fingerprint).collect::<Vec<_>>()
    };
    let first = sample(1);
    assert_eq!(first.len(), 200);
    assert_eq!(set(first.clone()).len(), 200);
    assert_eq!(sample(1), first);
    assert_ne!(sample(2), first);
    let worlds = sim.world().power_cut(&PAGES, 200, 3).worlds;
    let sizes: BTreeSet<usize> = worlds.iter().map(|world| world.tree().len()).collect();
    assert!(sizes.contains(&0) && sizes.contains(&30) && sizes.len() > 5, "{sizes:?}");
}

#[test]
fn ten_thousand_recorded_calls_are_kept_and_can_all_be_crashed() {
    let (sim, actor) = durable(&[("journal", &[b'\n'; 64 * 1024])]);
    for number in 0..50 {
        sim.write(&format!("doc{number}"), b"{}");
    }
    sim.write_back_all();
    let journal = actor.open("journal", Access::Write).unwrap();
    sim.record();
    for number in 0..5000_u64 {
        journal.write_at(&[b'x'; 512], number * 512 % (64 * 1024)).unwrap();
        journal.sync(SyncKind::Data).unwrap();
    }
    let moments = sim.recorded();
    assert_eq!(moments.len(), 10_001);
    for moment in moments.iter().step_by(100) {
        assert!(all(&moment.world, SECTORS).len() <= 2);
    }
}

#[test]
fn a_crashed_world_and_its_parent_go_their_own_ways_in_every_profile() {
    let (sim, actor) = durable(&[("f", b"0"), ("g", b"1")]);
    actor.open("f", Access::Write).unwrap().write_at(b"2", 0).unwrap();
    actor.rename("f", "g", Rename::Exchange).unwrap();
    let (before, moment) = (sim.fingerprint(), sim.world());
    for profile in Profile::ALL {
        let first: Vec<u64> = all(&moment, profile).iter().map(SimFs::fingerprint).collect();
        for world in all(&moment, profile) {
            // Every kind of call on one world; the others, the moment and the parent stay.
            let process = world.actor();
            put(&process, "h", b"3").sync(SyncKind::All).unwrap();
            process.rename("h", "g", Rename::Replace).unwrap();
            process.sync_everything().unwrap();
            process.unlink("f").unwrap();
            world.damage("g", Damage::Truncate(0));
            let _lock = process.lock("g", LockKind::Exclusive, Duration::ZERO).unwrap().unwrap();
        }
        let again: Vec<u64> = all(&moment, profile).iter().map(SimFs::fingerprint).collect();
        assert_eq!(again, first, "{profile}");
    }
    assert_eq!(sim.fingerprint(), before);
    assert_eq!(sim.open_count("g"), 0);
}

/// Some calls of two processes, which take turns as the seed says.
fn run(seed: u64) -> (Vec<String>, Vec<u64>) {
    let (sim, one) = durable(&[("a", b"0"), ("b", b"1")]);
    let two = sim.actor();
    sim.record();
    let mut turns = seed;
    for number in 0..20_u8 {
        let actor = if turns & 1 == 0 { &one } else { &two };
        turns = turns.rotate_right(1);
        put(actor, &format!("{}{number}", actor.unique()), &[number]);
        if number % 5 == 4 {
            actor.rename("a", "b", Rename::Exchange).unwrap();
            sim.write_back_some(seed, 20);
        }
    }
    let moments = sim.recorded().into_iter().step_by(7);
    let worlds = moments.flat_map(|moment| {
        let profile = Profile::Hostile(Grain::Trash);
        let cut = moment.world.power_cut(&profile, 20, seed).worlds;
        cut.iter()
            .chain(&moment.world.process_death_variants())
            .map(SimFs::fingerprint)
            .collect::<Vec<_>>()
    });
    let worlds = worlds.collect();
    (sim.call_log(), worlds)
}

#[test]
fn the_same_seed_gives_the_same_calls_and_the_same_worlds_of_every_crash() {
    for seed in 0..8 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1).1, run(2).1);
}

#[test]
fn worlds_made_in_many_threads_are_those_made_in_one() {
    let alone: Vec<_> = (0..4).map(run).collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || run(seed))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(together, alone);
}

#[test]
fn a_profile_is_named_in_words_and_found_by_its_name() {
    for profile in Profile::ALL {
        assert_eq!(profile.to_string().parse(), Ok(profile));
    }
    assert_eq!(TRASH.to_string(), "strict-trash");
    assert_eq!(PER_INODE.to_string(), "per-inode");
    assert!("ext4".parse::<Profile>().is_err());
}
