//! What each durability keeps through a power cut, and what it costs in syncs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use filepact::{Durability, Options, RecoveryProgress, RecoveryStep, Store};
use filepact_simfs::SimFs;
use filepact_tests::crash::{documents, open, options, prepared};
use filepact_tests::history::{self, INLINE_MAX, Tree, Txn, body, transactions};
use filepact_tests::steps::Steps;

use crate::support::{STRICT, after_power_cuts, dies, put, read, spares, text};

fn with(durability: Durability) -> Options {
    options().durability(durability)
}

fn open_with(sim: &SimFs, durability: Durability) -> Store {
    with(durability).open_with(sim.actor()).expect("it opens")
}

/// Runs these transactions, and returns the documents before and after each.
fn run(store: &Store, txns: &[Txn]) -> Vec<Tree> {
    let mut trees = vec![history::before()];
    for (number, txn) in txns.iter().enumerate() {
        let mut tree = trees.last().expect("never empty").clone();
        history::run(store, *txn, number + 1, &mut tree).expect("nothing fails here");
        trees.push(tree);
    }
    trees
}

#[test]
fn files_are_whole_for_every_reader_right_after_a_power_cut() {
    for txn in transactions() {
        let sim = prepared();
        let store = open_with(&sim, Durability::Files);
        sim.record();
        let trees = run(&store, &[txn]);
        // Acknowledged: as it was left, without any recovery.
        for world in sim.world().power_cut(&STRICT, 64, 1).worlds {
            assert_eq!(documents(&world), trees[1], "{txn:?}");
        }
        // On the way: each document old or new, and a longer one perhaps longer by a part.
        for moment in sim.recorded().iter().filter(|moment| moment.call.starts_with("sync")) {
            for world in moment.world.power_cut(&STRICT, 64, 2).worlds {
                for (path, body) in documents(&world) {
                    let is = |tree: &Tree| tree.get(&path) == Some(&body);
                    let begins = trees[0].get(&path).is_some_and(|old| body.starts_with(old));
                    assert!(
                        trees.iter().any(is) || begins,
                        "{txn:?}, before {}: {path} holds {} bytes",
                        moment.call,
                        body.len()
                    );
                }
                assert!(trees.contains(&documents_after_opening(&world)), "{txn:?}");
            }
        }
    }
}

/// Also where bodies are written over older versions: each is on the disk before it is the document.
#[test]
fn files_in_spares_are_whole_for_every_reader_right_after_a_power_cut() {
    for names in [&["a.json"][..], &["a.json", "b.json", "new.json"]] {
        let sim = prepared();
        let store =
            with(Durability::Files).inline_max(20_000).open_with(sim.actor()).expect("it opens");
        let commit = |round: usize| {
            let mut tx = store.begin().expect("the store is open");
            for name in names {
                tx.write_bytes(*name, body(name, round, 9_000 - round * 700))
                    .expect("a valid path");
            }
            tx.commit().expect("nothing stands in the way");
        };
        (0..3).for_each(commit);
        assert_eq!(spares(&sim).len(), names.len());
        let before = documents(&sim);
        sim.record();
        commit(4);
        let after = documents(&sim);
        assert_eq!(count(&sim, "link "), 0, "all bodies go into spares");
        for world in sim.world().power_cut(&STRICT, 256, 1).worlds {
            assert_eq!(documents(&world), after);
        }
        for moment in sim.recorded() {
            for world in moment.world.power_cut(&STRICT, 64, 2).worlds {
                for (path, body) in documents(&world) {
                    let is = [&before, &after].iter().any(|tree| tree.get(&path) == Some(&body));
                    assert!(is, "before {}: {path} is torn", moment.call);
                }
                let opened = documents_after_opening(&world);
                assert!(opened == before || opened == after, "before {}", moment.call);
            }
        }
    }
}

/// More than may be open at once go into new files.
#[test]
fn files_of_a_large_group_are_not_all_open_at_once() {
    let sim = prepared();
    let most = Arc::new(AtomicUsize::new(0));
    let (world, open) = (sim.clone(), Arc::clone(&most));
    let steps = Steps::new(sim.actor(), move |_, op, _| {
        if op == "sync_everything" {
            let leased = spares(&world).iter().filter(|path| world.open_count(path) > 0).count();
            open.fetch_max(leased, Ordering::SeqCst);
        }
    });
    let store = with(Durability::Files).open_with(steps).expect("it opens");
    for round in 0..4 {
        let mut tx = store.begin().expect("the store is open");
        for nth in 0..200 {
            tx.write_bytes(format!("{nth}.json"), body("n", round, 40 + nth))
                .expect("a valid path");
        }
        tx.commit().expect("nothing stands in the way");
    }
    assert_eq!(most.load(Ordering::SeqCst), 64);
}

fn count(sim: &SimFs, op: &str) -> usize {
    sim.call_log().iter().filter(|call| call.starts_with(op)).count()
}

/// A dead process's bodies were synced before its commit point, but the healer stages its own.
#[test]
fn what_was_healed_is_whole_for_every_reader_as_well() {
    let sim = prepared();
    let alive = open_with(&sim, Durability::Files);
    let dead =
        dies(&sim, with(Durability::Files), |op, on| op == "rename" && on.ends_with(" -> a.json"));
    put(&alive, "b.json", b"v1");
    dead.write("a.json", &"v2").expect_err("it dies");
    put(&alive, "x", b"acknowledged");
    for world in sim.world().power_cut(&STRICT, 256, 1).worlds {
        assert_eq!(read(&world, "a.json").as_deref(), Some("\"v2\"\n"), "before any opening");
        assert_eq!(read(&world, "x").as_deref(), Some("acknowledged"));
    }
}

fn documents_after_opening(sim: &SimFs) -> Tree {
    drop(open(sim));
    documents(sim)
}

#[test]
fn buffered_commits_of_small_documents_sync_nothing() {
    let sim = prepared();
    let syncs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&syncs);
    let steps = Steps::new(sim.actor(), move |_, op, _| {
        counted.fetch_add(usize::from(op.starts_with("sync")), Ordering::SeqCst);
    });
    let store = with(Durability::Buffered).open_with(steps).expect("it opens");
    put(&store, "warm.json", b"1");
    let before = syncs.load(Ordering::SeqCst);
    for number in 0..20_u8 {
        put(&store, "a.json", &[number]);
        store.append("log", [number]).expect("it commits");
    }
    assert_eq!(syncs.load(Ordering::SeqCst), before);
    store.checkpoint().expect("nothing fails here");
    assert!(syncs.load(Ordering::SeqCst) > before, "a checkpoint makes it durable");
    after_power_cuts(&sim, 64, |world, _| {
        assert_eq!(world.read("a.json"), Some(vec![19]));
        assert_eq!(world.read("log"), Some((0..20).collect()));
    });
}

#[test]
fn attack_9_buffered_commits_are_whole_when_the_process_dies_and_open_after_a_power_cut() {
    let (mut deaths, mut cuts) = (0, 0);
    for pair in transactions().chunks(2) {
        let sim = prepared();
        let store = open_with(&sim, Durability::Buffered);
        sim.record();
        let mut trees = vec![history::before()];
        let mut acknowledged = Vec::new();
        for (number, txn) in pair.iter().enumerate() {
            let mut tree = trees.last().expect("never empty").clone();
            history::run(&store, *txn, number + 1, &mut tree).expect("nothing fails here");
            trees.push(tree);
            acknowledged.push(sim.recorded().len() - 1);
        }
        drop(store);
        for (index, moment) in sim.recorded().iter().enumerate() {
            let done = acknowledged.iter().filter(|at| **at <= index).count();
            let allowed = &trees[done..trees.len().min(done + 2)];
            for world in moment.world.process_death_variants() {
                let tree = documents_after_opening(&world);
                assert!(allowed.contains(&tree), "{pair:?}, died before {}", moment.call);
                deaths += 1;
            }
            // No promise but one: it opens, and what it then says is sound.
            for world in moment.world.power_cut(&STRICT, 16, index as u64).worlds {
                let store = open(&world);
                let check = store.check().expect("it can be checked");
                assert!(check.problems.is_empty(), "{pair:?}, before {}: {check:?}", moment.call);
                cuts += 1;
            }
        }
    }
    println!("{deaths} deaths, {cuts} power cuts");
    assert!(deaths > 1_000 && cuts > 5_000, "{deaths} deaths, {cuts} power cuts");
}

#[test]
fn one_sync_makes_durable_what_others_have_buffered_before() {
    let sim = prepared();
    let (buffered, durable) = (open_with(&sim, Durability::Buffered), open(&sim));
    put(&buffered, "a.json", b"buffered");
    put(&buffered, "large", &[b'l'; 3 * INLINE_MAX]);
    put(&durable, "b.json", b"durable");
    after_power_cuts(&sim, 256, |world, store| {
        assert_eq!(read(world, "a.json").as_deref(), Some("buffered"));
        assert_eq!(world.read("large").map(|body| body.len()), Some(3 * INLINE_MAX));
        assert_eq!(text(store, "b.json").as_deref(), Some("durable"));
    });
}

#[test]
fn buffered_commits_fill_segments_and_lose_only_the_last_of_them() {
    let sim = prepared();
    let store = open_with(&sim, Durability::Buffered);
    let mut segments = 0;
    let mut number: u32 = 0;
    while segments < 3 {
        number += 1;
        put(&store, "count", format!("{number:01000}").as_bytes());
        let journal = sim.tree().into_keys().filter(|path| path.ends_with(".jsonl"));
        segments = journal.count();
    }
    // The commit that bore the last segment was synced with it, and all before.
    put(&store, "count", format!("{:01000}", number + 1).as_bytes());
    after_power_cuts(&sim, 64, |world, _| {
        let count: u32 = read(world, "count").expect("it is there").parse().expect("a number");
        assert!(count == number || count == number + 1, "{count}, not {number}");
    });
}

#[test]
fn the_next_opening_repeats_what_was_buffered_when_its_process_died() {
    let sim = prepared();
    let store = open_with(&sim, Durability::Buffered);
    put(&store, "a.json", b"v1");
    put(&store, "b.json", b"v1");
    drop(store);
    assert_eq!(open(&sim).recovery_report().kept.len(), 2);
    after_power_cuts(&sim, 256, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("v1"));
        assert_eq!(read(world, "b.json").as_deref(), Some("v1"));
    });
}

#[test]
fn who_waits_for_a_recovery_hears_how_far_it_is() {
    let sim = prepared();
    let store = open(&sim);
    for path in ["a", "b", "c"] {
        put(&store, path, b"v1");
    }
    for world in sim.world().power_cut(&STRICT, 16, 1).worlds {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let options = options().on_recovery(move |now| hears.lock().expect("no panic").push(now));
        drop(options.open_with(world.actor()).expect("it opens"));
        let heard = heard.lock().expect("no panic");
        assert!(heard.is_sorted_by_key(|now| now.step), "{heard:?}");
        let journal = |done| RecoveryProgress { step: RecoveryStep::Journal, done, of: 1 };
        assert_eq!(heard[..2], [journal(0), journal(1)]);
        for step in [RecoveryStep::Look, RecoveryStep::Publish, RecoveryStep::Verify] {
            let of_step = heard.iter().filter(|now| now.step == step);
            let counts: Vec<_> = of_step.map(|now| (now.done, now.of)).collect();
            assert_eq!(counts, [(0, 3), (1, 3), (2, 3), (3, 3)], "{step:?}");
        }
    }
}
