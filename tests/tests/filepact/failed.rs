//! Failed syncs, and deaths in checkpoints and recoveries, beside others: told to all, or proved anew.

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use filepact::{Durability, Error};
use filepact_simfs::{SimFs, errno};
use filepact_tests::crash::{documents, open, options, prepared};
use filepact_tests::steps::Steps;

use crate::support::{
    STRICT, after_power_cuts, commit, dies, dies_before, dies_before_swap, dies_of_a_sync, fail,
    put, read, staged, text,
};

/// Attack 15: a checkpointer dies with the error of a sync that nobody else will be told of.
#[test]
fn attack_15_after_a_checkpoint_that_somebody_died_in_all_is_written_anew() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "a.json", b"v2");
    put(&alive, "b.json", b"v2");
    let inode = |path| sim.stat(path).expect("it is there").stamp.ino;
    let before = (inode("a.json"), inode("b.json"));
    let dead = dies_before(&sim, options(), "sync", "b.json", 1);
    dead.checkpoint().expect_err("it dies between the two");
    assert_eq!(read(&sim, ".filepact/checkpoint.lock").as_deref(), Some("10"));
    alive.checkpoint().expect("nothing fails any more");
    assert!(inode("a.json") != before.0 && inode("b.json") != before.1);
    assert_eq!(read(&sim, ".filepact/checkpoint.lock").as_deref(), Some("00"));
    assert_eq!(staged(&sim), Vec::<String>::new());
    drop(alive);
    sim.evict_all();
    for world in sim.world().power_cut(&STRICT, 2000, 1).worlds {
        drop(open(&world));
        assert_eq!(read(&world, "a.json").as_deref(), Some("v2"));
        assert_eq!(read(&world, "b.json").as_deref(), Some("v2"));
    }
}

/// Attack 15, outside of a checkpoint: the error of a sync of what belongs to all is told to one.
#[test]
fn attack_15_a_failed_sync_of_anybodys_document_stops_the_store_for_all() {
    let body = "acknowledged ".repeat(400);
    for renames in [false, true] {
        let sim = prepared();
        let a = open(&sim);
        // In the journal it is small, so that no sync of its own has made it durable.
        let b = options().inline_max(1 << 20).open_with(sim.actor()).expect("it joins");
        sim.mkdir("deep");
        put(&b, "deep/x", body.as_bytes());
        sim.write("deep/by-hand", b"just now");
        let mut tx = a.begin().expect("the store is open");
        if renames {
            tx.rename("deep/x", "moved").expect("it is there");
            fail(&sim, "sync", "deep/x", errno::IO, false);
        } else {
            tx.read_bytes("deep/by-hand").expect("it is there");
            tx.write_bytes("y", "1").expect("a valid path");
            fail(&sim, "sync_dir", "deep", errno::IO, false);
        }
        let said = tx.commit();
        assert!(matches!(said, Err(Error::Io { .. })), "{said:?}");
        drop(a);
        // The next sync would succeed, and prove nothing.
        assert!(matches!(b.checkpoint(), Err(Error::Poisoned)));
        drop(b);
        sim.evict_all();
        for world in sim.world().power_cut(&STRICT, 500, 1).worlds {
            assert_eq!(text(&open(&world), "deep/x").as_deref(), Some(&*body));
        }
    }
}

#[test]
fn a_failed_sync_of_an_edit_that_is_rescued_stops_the_store_for_all() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    sim.write("a.json", b"an edit by hand");
    let mut tx = a.begin().expect("the store is open");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    fail(&sim, "sync", ".filepact/stage", errno::IO, false);
    assert!(matches!(tx.commit(), Err(Error::Unpublished { .. })));
    drop(a);
    assert!(matches!(b.checkpoint(), Err(Error::Poisoned)));
}

#[test]
fn an_edit_that_a_checkpoint_writes_anew_is_not_taken_for_a_lost_write() {
    let sim = prepared();
    let alive = open(&sim);
    let committer = open(&sim);
    put(&committer, "a.json", b"v2");
    put(&committer, "b.json", b"v2");
    drop(committer);
    sim.write("a.json", b"edited by hand");
    let dead = dies_before(&sim, options(), "sync", "b.json", 1);
    dead.checkpoint().expect_err("it dies");
    drop(dead);
    alive.checkpoint().expect("an edit is no lost write");
    drop(alive);
    drop(open(&sim));
    assert_eq!(read(&sim, "a.json").as_deref(), Some("edited by hand"));
}

/// An edit slips in before the swap of a checkpoint that writes all to new inodes, and its rescue finds no
/// room, or its process dies before it: the next checkpoint swept it.
#[test]
fn an_edit_that_such_a_checkpoint_displaced_and_did_not_rescue_is_not_swept() {
    let is_rescue = |op: &str, on: &str| op == "make_dir" && on.starts_with(".filepact/rescued/");
    let cases = [(true, false), (false, false), (false, true)];
    let cases = cases.into_iter().flat_map(|(dies, same)| [true, false].map(|c| (dies, same, c)));
    for (dies_there, same_handle, commits_then) in cases {
        let sim = prepared();
        let other = open(&sim);
        put(&other, "a.json", b"v2");
        let dead = dies_before(&sim, options(), "sync", "a.json", 1);
        dead.checkpoint().expect_err("it dies");
        let (outside, edited) = (sim.clone(), AtomicBool::new(false));
        let store = dies(&sim, options(), move |op, on| {
            let is_swap = op == "rename" && on.ends_with("-> a.json");
            if is_swap && !edited.swap(true, Ordering::SeqCst) {
                outside.write("a.json", b"theirs");
            }
            dies_there && is_rescue(op, on)
        });
        fail(&sim, "sync_dir", ".filepact/rescued/", errno::NOSPC, false);
        store.checkpoint().expect_err("the edit is not rescued");
        sim.clear_faults();
        let next = if same_handle { store } else { other };
        let about = format!("{dies_there} {same_handle} {commits_then} {}", sim.dump());
        assert!(sim.tree().values().any(|body| body == b"theirs"), "it is displaced: {about}");
        if commits_then {
            put(&next, "a.json", b"v3");
        }
        next.checkpoint().expect("nothing fails any more");
        let edits = next.rescued().expect("it can be listed");
        let kept: Vec<_> = edits.iter().map(|edit| next.read_rescued(edit)).collect();
        assert!(matches!(&kept[..], [Ok(body)] if body == b"theirs"), "{kept:?} {about}");
        assert_eq!(edits[0].path, "a.json");
        assert_eq!(staged(&sim), Vec::<String>::new());
    }
}

/// It had moved such an edit to `rescued/`, and died before the name was durable: the next checkpoint let all
/// go that a power cut would have found the edit by.
#[test]
fn an_edit_that_such_a_checkpoint_has_moved_and_not_synced_stays() {
    let sim = prepared();
    let next = open(&sim);
    put(&next, "a.json", b"v2");
    let dead = dies_before(&sim, options(), "sync", "a.json", 1);
    dead.checkpoint().expect_err("it dies");
    let outside = sim.clone();
    let dead = dies(&sim, options(), move |op, on| {
        if op == "rename" && on.ends_with("-> a.json") {
            outside.write("a.json", b"theirs");
        }
        op == "sync_dir" && on.starts_with(".filepact/rescued/")
    });
    dead.checkpoint().expect_err("it dies too");
    assert_eq!(next.rescued().expect("it can be listed").len(), 1);
    next.checkpoint().expect("nothing fails any more");
    after_power_cuts(&sim, 512, |world, store| {
        let edits = store.rescued().expect("it can be listed");
        assert_eq!(edits.len(), 1, "{}", world.dump());
        let body = store.read_rescued(&edits[0]).expect("it can be read");
        assert_eq!(body, b"theirs");
    });
}

/// It dies with our old file in `stage/`, and somebody edits the document then.
#[test]
fn what_a_dead_rewrite_has_left_of_ours_is_nobodys_edit() {
    let sim = prepared();
    let next = open(&sim);
    put(&next, "a.json", b"v2");
    let dead = dies_before(&sim, options(), "sync", "a.json", 1);
    dead.checkpoint().expect_err("it dies");
    let is_settling = |op: &str, on: &str| op == "unlink" && on.starts_with(".filepact/stage/");
    let dead = dies(&sim, options(), is_settling);
    dead.checkpoint().expect_err("it dies too");
    assert_eq!(staged(&sim).len(), 1, "{:?}", staged(&sim));
    sim.write("a.json", b"theirs");
    put(&next, "b.json", b"v3");
    assert_eq!(staged(&sim), Vec::<String>::new());
    assert_eq!(next.rescued().expect("it can be listed"), []);
    assert_eq!(read(&sim, "a.json").as_deref(), Some("theirs"));
}

/// Of a log the handle knew the last line, and of the rest the length: an edit of the rest, which had slipped
/// in before the swap of such a checkpoint that then died, was taken for our old body.
#[test]
fn an_edit_of_what_is_known_in_part_is_not_taken_for_what_a_dead_rewrite_has_left() {
    let sim = prepared();
    let next = open(&sim);
    put(&next, "log", b"one\n");
    next.append("log", "two\n").expect("it commits");
    next.checkpoint().expect("nothing fails here");
    sim.advance(Duration::from_secs(61));
    next.append("log", "three\n").expect("it commits");
    let dead = dies_before(&sim, options(), "sync", "log", 1);
    dead.checkpoint().expect_err("it dies");
    let outside = sim.clone();
    let dead = dies(&sim, options(), move |op, on| {
        if op == "rename" && on.ends_with("-> log") {
            outside.write("log", b"ONE\ntwo\nthree\n");
        }
        op == "make_dir" && on.starts_with(".filepact/rescued/")
    });
    dead.checkpoint().expect_err("it dies too");
    assert_eq!(read(&sim, "log").as_deref(), Some("one\ntwo\nthree\n"), "it is displaced");
    put(&next, "b.json", b"v3");
    assert_eq!(staged(&sim), Vec::<String>::new());
    let edits = next.rescued().expect("it can be listed");
    let kept: Vec<_> = edits.iter().map(|edit| next.read_rescued(edit)).collect();
    assert!(matches!(&kept[..], [Ok(body)] if body == b"ONE\ntwo\nthree\n"), "{kept:?}");
}

#[test]
fn a_failed_sync_stops_the_store_for_all_until_all_have_closed_it() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    fail(&sim, "sync", ".filepact/journal", errno::IO, false);
    assert!(matches!(commit(&a, &[("a.json", "v2")]), Err(Error::CommitUnknown { .. })));
    assert!(matches!(commit(&b, &[("b.json", "v2")]), Err(Error::Poisoned)));
    assert!(matches!(options().open_with(sim.actor()), Err(Error::Poisoned)));
    assert!(matches!(b.checkpoint(), Err(Error::Poisoned)));
    // Readers go on, with what was committed.
    assert_eq!(text(&a, "a.json").as_deref(), Some("v1"));
    assert_eq!(text(&b, "a.json").as_deref(), Some("v1"));
    assert!(b.status().expect("it can be read").failed);
    drop(a);
    assert!(matches!(options().open_with(sim.actor()), Err(Error::Poisoned)), "b has it open");
    drop(b);
    let store = open(&sim);
    put(&store, "b.json", b"v3");
}

#[test]
fn readers_go_on_in_a_failed_store_also_of_what_nobody_will_publish() {
    let sim = prepared();
    let alive = open(&sim);
    let dead = dies_before_swap(&sim, "a.json");
    commit(&dead, &[("a.json", "v2")]).expect_err("it dies");
    fail(&sim, "sync", "", errno::IO, false);
    let mut tx = alive.begin().expect("the store is open");
    tx.write_bytes("large", vec![1; 10_000]).expect_err("its sync fails");
    let mut tx = alive.begin().expect("the store is open");
    assert_eq!(tx.read_bytes("a.json").expect("it is there").as_deref(), Some(&b"v2"[..]));
    let mut reader = tx.reader("a.json").expect("it can be read").expect("it is there");
    let mut body = String::new();
    reader.read_to_string(&mut body).expect("it can be read");
    assert_eq!(body, "v2");
    let listed = alive.list("").expect("it can be listed").len();
    assert_eq!(listed, documents(&sim).len());
}

/// A document's sync failed in another process's checkpoint, and then its page went from the cache: it
/// was read as zeros.
#[test]
fn what_a_failed_sync_has_lost_is_not_read() {
    let sim = prepared();
    let (store, other) = (open(&sim), open(&sim));
    put(&store, "a.json", b"ours");
    put(&store, "b.json", b"ours");
    store.append("a.json", ", and more").expect("it commits");
    fail(&sim, "sync", "a.json", errno::IO, false);
    other.checkpoint().expect_err("a sync fails");
    assert_eq!(text(&store, "a.json").as_deref(), Some("ours, and more"), "it is in the cache");
    sim.evict_all();
    assert_ne!(read(&sim, "a.json").as_deref(), Some("ours, and more"));
    for handle in [&store, &other] {
        let error = handle.read_bytes("a.json").expect_err("it is lost");
        assert!(matches!(error, Error::Poisoned), "{error:?}");
    }
    // What somebody writes there now is theirs.
    sim.write("a.json", b"theirs");
    assert_eq!(text(&store, "a.json").as_deref(), Some("theirs"));
    drop((store, other));
    let store = open(&sim);
    assert_eq!(text(&store, "b.json").as_deref(), Some("ours"));
}

/// Found by a random history: the same below what was added to it, as long as that is not published.
#[test]
fn what_a_failed_sync_has_lost_below_an_addition_is_not_read() {
    let sim = prepared();
    // Where bodies may go into spares what is added to is synced first.
    sim.set_leases(false);
    let store = open(&sim);
    put(&store, "log", b"ours");
    let files = options().durability(Durability::Files).open_with(sim.actor());
    let files = files.expect("it opens");
    fail(&sim, "sync", "log", errno::IO, false);
    files.append("log", ", and more").expect_err("a sync fails");
    sim.clear_faults();
    assert_eq!(text(&store, "log").as_deref(), Some("ours, and more"), "it is in the cache");
    sim.evict_all();
    for handle in [&store, &files] {
        let error = handle.read_bytes("log").expect_err("it is lost");
        assert!(matches!(error, Error::Poisoned), "{error:?}");
    }
    drop((store, files));
    assert_eq!(text(&open(&sim), "log").as_deref(), Some("ours, and more"));
}

/// The sync of a document fails, and the process dies before it can say so; the page is lost.
fn loses_with_its_error(sim: &SimFs, path: &'static str) {
    let other = options().open_with(dies_of_a_sync(sim, path)).expect("it joins");
    other.checkpoint().expect_err("a sync fails, and it dies");
    sim.clear_faults();
    sim.evict_all();
}

/// Found by a random history: nobody else was told of the error.
#[test]
fn what_a_dead_checkpoint_has_lost_is_not_read() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"ours");
    loses_with_its_error(&sim, "a.json");
    let error = store.read_bytes("a.json").expect_err("it is lost");
    assert!(matches!(error, Error::Poisoned), "{error:?}");
    drop(store);
    assert_eq!(text(&open(&sim), "a.json").as_deref(), Some("ours"));
}

/// The next checkpoint, which writes all to new inodes, copied what was lost: on its new inode it passed for an
/// edit.
#[test]
fn what_a_dead_checkpoint_has_lost_is_not_written_anew() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"ours");
    loses_with_its_error(&sim, "a.json");
    store.checkpoint().expect_err("it is lost");
    store.read_bytes("a.json").expect_err("it is lost");
    drop(store);
    assert_eq!(text(&open(&sim), "a.json").as_deref(), Some("ours"));
}

/// Attack 23: shared does not mean recovered.
#[test]
fn attack_23_who_waits_for_a_recovery_that_dies_recovers_itself() {
    let sim = prepared();
    let store = open(&sim);
    commit(&store, &[("a.json", "v2"), ("b.json", "v2")]).expect("nothing fails here");
    drop(store);
    let cut = sim.world().power_cut(&STRICT, 500, 1).worlds;
    let mut died = 0;
    for world in cut {
        // One recovers and is killed at each of its changes; meanwhile nobody else gets in.
        for nth in 1.. {
            let world = world.fork();
            let actor = world.actor();
            let (outside, inner, kill) = (world.clone(), actor.clone(), actor.clone());
            let changes = AtomicU32::new(0);
            let steps = Steps::new(inner, move |_, op, _| {
                let changes_something =
                    matches!(op, "write" | "rename" | "sync" | "link" | "unlink");
                if changes_something && changes.fetch_add(1, Ordering::SeqCst) + 1 == nth {
                    let second = options().open_with(outside.actor());
                    assert!(matches!(second, Err(Error::Locked { .. })), "{second:?}");
                    outside.kill(&kill);
                }
            });
            if options().open_with(steps).is_ok() {
                break;
            }
            died += 1;
            let store = open(&world);
            assert!(!store.recovery_report().joined);
            assert_eq!(text(&store, "a.json").as_deref(), Some("v2"));
            assert_eq!(read(&world, "b.json").as_deref(), Some("v2"));
        }
    }
    assert!(died > 100, "{died}");
}

/// The sync of an edit that an opening rescues fails; the next one would succeed, and prove nothing.
#[test]
fn an_opening_in_which_the_sync_of_a_rescued_edit_failed_is_told_to_the_next() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    let dead = dies_before_swap(&sim, "a.json");
    commit(&dead, &[("a.json", "v2")]).expect_err("it dies");
    drop(dead);
    sim.write("a.json", b"by hand");
    fail(&sim, "sync", ".filepact/stage/", errno::IO, false);
    options().open_with(sim.actor()).expect_err("a sync fails");
    sim.clear_faults();
    assert!(open(&sim).recovery_report().failed);
}
