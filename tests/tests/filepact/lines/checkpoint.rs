//! Checkpoints, healing, and the mark.

use std::sync::atomic::Ordering;
use std::time::Duration;

use filepact::{Error, Store};
use filepact_simfs::{Damage, SimFs, errno};
use filepact_tests::crash::{open, options, prepared};

use crate::lines::just_before;
use crate::support::{STRICT, dies_before, dies_before_swap, fail, put, read};

#[test]
fn a_removal_that_was_adopted_is_not_healed_into_an_empty_document() {
    let sim = prepared();
    let alive = open(&sim);
    let dead = dies_before_swap(&sim, "b.json");
    put(&alive, "a.json", b"v1");
    sim.remove("a.json");
    let mut tx = dead.begin().expect("the store is open");
    assert_eq!(tx.read_bytes("a.json").expect("it can be read"), None);
    tx.write_bytes("b.json", "derived").expect("a valid path");
    tx.commit().expect_err("it dies");
    put(&alive, "x", b"1");
    assert_eq!(read(&sim, "b.json").as_deref(), Some("derived"));
    assert_eq!(read(&sim, "a.json"), None);
}

#[test]
fn who_has_healed_owes_a_checkpoint_when_it_closes() {
    let sim = prepared();
    let alive = open(&sim);
    let dead = dies_before_swap(&sim, "a.json");
    put(&alive, "b.json", b"v1");
    alive.checkpoint().expect("nothing fails here");
    dead.write("a.json", &2).expect_err("it dies");
    alive.begin_exclusive(Duration::ZERO).expect("nobody else has it").rollback();
    alive.close().expect("nothing fails here");
    for world in sim.world().power_cut(&STRICT, 64, 1).worlds {
        assert_eq!(read(&world, "a.json").as_deref(), Some("2\n"), "before any opening");
    }
}

/// Attack 15.
#[test]
fn a_sync_outside_of_a_checkpoint_leaves_the_mark_as_it_was() {
    let mark = |sim: &SimFs| read(sim, ".filepact/checkpoint.lock").expect("it is there");
    let derive = |store: &Store| {
        let mut tx = store.begin().expect("the store is open");
        tx.read_bytes("by-hand").expect("it can be read").expect("it is there");
        tx.write_bytes("derived", "1").expect("a valid path");
        tx.commit()
    };
    // Somebody died in a checkpoint.
    let sim = prepared();
    let alive = open(&sim);
    let dead = dies_before(&sim, options(), "sync", "a.json", 1);
    put(&dead, "a.json", b"v1");
    dead.checkpoint().expect_err("it dies");
    sim.write("by-hand", b"just now");
    derive(&alive).expect("it commits");
    assert_eq!(mark(&sim), "10");

    // Somebody died in such a sync.
    let sim = prepared();
    let alive = open(&sim);
    let dead = dies_before(&sim, options(), "sync", "by-hand", 1);
    sim.write("by-hand", b"just now");
    derive(&dead).expect_err("it dies");
    assert_eq!(mark(&sim), "01");
    derive(&alive).expect("it commits");
    assert_eq!(mark(&sim), "01");

    // A sync that found no room: the next one would succeed, and prove nothing.
    let sim = prepared();
    let store = open(&sim);
    sim.write("by-hand", b"just now");
    fail(&sim, "sync", "by-hand", errno::NOSPC, false);
    derive(&store).expect_err("the disk is full");
    assert_eq!(mark(&sim), "01");
}

#[test]
fn a_checkpoint_reads_back_what_another_process_has_published() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    sim.damage("a.json", Damage::FlipBit { offset: 0, bit: 0 });
    b.checkpoint().expect_err("it is not what was written");
}

/// The image that was kept of a log was a link to it, and when it went, the log's ctime moved: what the disk
/// had lost was taken for somebody's edit from then on, and the journal that held it went.
#[test]
fn a_lost_write_is_found_though_an_image_of_the_document_has_gone() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "log", b"one\n");
    let snapshot = store.snapshot().expect("it can be made");
    store.append("log", "two\n").expect("it commits");
    let before = sim.stat("log").expect("it is there").stamp;
    sim.advance(Duration::from_secs(1));
    drop(snapshot);
    let after = sim.stat("log").expect("it is there").stamp;
    assert!(before.same_body(&after) && before != after, "{before:?} {after:?}");
    sim.damage("log", Damage::FlipBit { offset: 5, bit: 0 });
    store.checkpoint().expect_err("it is not what was written");
}

#[test]
fn a_mark_that_a_process_left_behind_its_record_is_cleared() {
    let sim = prepared();
    let alive = open(&sim);
    let dead = dies_before(&sim, options(), "write", ".filepact/checkpoint.lock", 2);
    put(&dead, "a.json", b"v1");
    dead.checkpoint().expect_err("it dies");
    alive.checkpoint().expect("nothing has changed since");
    assert_eq!(read(&sim, ".filepact/checkpoint.lock").as_deref(), Some("00"));
}

/// A handle that finds the mark of an unfinished checkpoint, and the document of it.
fn beside_an_unfinished_checkpoint(sim: &SimFs) -> Store {
    let alive = open(sim);
    let dead = dies_before(sim, options(), "sync", "a.json", 1);
    put(&dead, "a.json", b"v1");
    dead.checkpoint().expect_err("it dies");
    alive
}

#[test]
fn a_document_that_is_saved_while_it_is_written_anew_is_left_for_later() {
    let sim = prepared();
    let (store, armed) = just_before(&sim, "create_unnamed", "", |sim| {
        sim.write("a.json", b"theirs");
    });
    let other = beside_an_unfinished_checkpoint(&sim);
    armed.store(true, Ordering::SeqCst);
    let said = store.checkpoint();
    assert!(!armed.load(Ordering::SeqCst), "the moment has come");
    assert!(matches!(said, Err(Error::Io { .. })), "{said:?}");
    other.checkpoint().expect("nobody saves it any more");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("theirs"));
    assert!(sim.tree().keys().all(|path| !path.contains("rescued/")));
}

#[test]
fn after_a_checkpoint_nothing_is_unpublished() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    a.checkpoint().expect("nothing fails here");
    assert_eq!(b.status().expect("it can be read").unpublished, None);
}

#[test]
fn a_close_after_a_checkpoint_that_failed_makes_up_for_it() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    fail(&sim, "open", "a.json", errno::MFILE, false);
    store.checkpoint().expect_err("there is no descriptor");
    store.close().expect("there is one again");
    for world in sim.world().power_cut(&STRICT, 64, 1).worlds {
        assert_eq!(read(&world, "a.json").as_deref(), Some("v1"), "before any opening");
    }
}
