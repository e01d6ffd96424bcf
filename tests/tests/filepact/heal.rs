//! What one process left that died, or failed, another one finishes or voids.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use filepact::{Error, Options};
use filepact_simfs::errno;
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::steps::Steps;

use crate::support::{
    STRICT, commit, dies, dies_before, dies_before_swap, fail, moment, put, read, staged, text,
};

/// Whose transactions go into segments of their own.
fn roomy() -> Options {
    options().inline_max(1 << 20)
}

/// Attack 12: half a commit seen one file at a time; the publisher dies between the two.
#[test]
fn attack_12_nobody_sees_the_half_that_a_dead_publisher_left() {
    let sim = prepared();
    let alive = open(&sim);
    let before = alive.begin().expect("the store is open");
    let dead = dies_before_swap(&sim, "b/large.bin");
    let large = "large ".repeat(400);
    let changes = [("a.json", "v2"), ("b/large.bin", &*large), ("new/c", "v2")];
    commit(&dead, &changes).expect_err("it dies");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("v2"), "one is at its path");
    assert_eq!(read(&sim, "new/c"), None, "another is not");

    let joins = open(&sim);
    for store in [&alive, &joins] {
        for (path, body) in changes {
            assert_eq!(text(store, path).as_deref(), Some(body), "{path}");
        }
        assert_eq!(store.list("new").expect("it can be listed").len(), 1);
        let version = store.version("b/large.bin").expect("it can be read");
        let mut tx = store.begin().expect("the store is open");
        tx.expect("b/large.bin", version).expect("a valid path");
        let mut reader = tx.reader("b/large.bin").expect("it opens").expect("it is there");
        let mut body = String::new();
        reader.read_to_string(&mut body).expect("it can be read");
        assert_eq!(body, large);
    }
    assert_eq!(read(&sim, "new/c"), None, "readers publish nothing");
    drop(before);

    // The next commit heals.
    put(&alive, "x", b"1");
    for (path, body) in changes {
        assert_eq!(read(&sim, path).as_deref(), Some(body), "{path}");
    }
    let status = alive.status().expect("it can be read");
    assert_eq!((status.counts.heals, status.rescued, status.unpublished), (1, vec![], None));
    alive.checkpoint().expect("nothing fails here");
    assert_eq!(staged(&sim), Vec::<String>::new());
}

/// Attack 29: the same path twice in one group, an adopted edit and its change; the publisher dies
/// half way.
#[test]
fn attack_29_an_edit_that_was_read_and_replaced_is_healed_to_the_replacement() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "a.json", b"ours");
    sim.write("a.json", b"an edit");
    let dead = dies_before_swap(&sim, "a.json");
    let mut tx = dead.begin().expect("the store is open");
    assert_eq!(tx.read_bytes("a.json").expect("it is there").as_deref(), Some(&b"an edit"[..]));
    tx.write_bytes("a.json", "read and replaced").expect("a valid path");
    tx.commit().expect_err("it dies");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("an edit"));
    assert_eq!(text(&alive, "a.json").as_deref(), Some("read and replaced"));
    put(&alive, "x", b"1");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("read and replaced"));
    assert_eq!(alive.status().expect("it can be read").rescued, []);
    assert_eq!(staged(&sim), Vec::<String>::new());
}

#[test]
fn an_edit_that_comes_after_the_publisher_died_is_kept() {
    for path in ["a.json", "b.json"] {
        let sim = prepared();
        let alive = open(&sim);
        put(&alive, "b.json", b"v1");
        let dead = dies_before_swap(&sim, "b.json");
        commit(&dead, &[("a.json", "v2"), ("b.json", "v2")]).expect_err("it dies");
        sim.replace(path, b"edited");
        put(&alive, "x", b"1");
        let rescued = alive.status().expect("it can be read").rescued;
        let kept: Vec<_> =
            rescued.iter().map(|edit| (&*edit.path, read(&sim, &edit.at).expect("kept"))).collect();
        assert_eq!(kept, [(path, "edited".to_owned())]);
        assert_eq!(read(&sim, "a.json").as_deref(), Some("v2"));
        assert_eq!(read(&sim, "b.json").as_deref(), Some("v2"));
    }
}

/// Attack 14: a group that is whole in the journal, beyond *committed*, its writer dead.
#[test]
fn attack_14_a_group_that_nobody_was_told_of_is_void_while_others_live() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "a.json", b"v1");
    // Its first `state` says that it holds the lock, its second that the group is committed.
    let dead = dies_before(&sim, roomy(), "write", ".filepact/state", 2);
    commit(&dead, &[("a.json", "void"), ("void", "void")]).expect_err("it dies");
    let joins = open(&sim);
    for store in [&alive, &joins] {
        assert_eq!(text(store, "a.json").as_deref(), Some("v1"));
        assert_eq!(text(store, "void"), None);
    }
    // Its numbers are used again, by another group.
    put(&joins, "b.json", b"counts");
    put(&alive, "c.json", b"counts");
    assert_eq!(text(&alive, "b.json").as_deref(), Some("counts"));
    drop((alive, joins));
    for world in sim.world().power_cut(&STRICT, 2000, 1).worlds {
        let store = open(&world);
        assert_eq!(text(&store, "b.json").as_deref(), Some("counts"));
        assert_eq!(text(&store, "c.json").as_deref(), Some("counts"));
        assert_eq!(text(&store, "a.json").as_deref(), Some("v1"));
        assert_eq!(text(&store, "void"), None);
        assert_eq!(store.status().expect("it can be read").rescued, []);
    }
}

/// One process dies when its group is durable and `state` does not say so; the next sweeps what it
/// had staged, stages its own under the same numbers, and dies; then all are gone. Recovery counts
/// the first group after all.
#[test]
fn what_was_staged_under_numbers_that_count_after_all_is_nobodys_edit() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    fail(&sim, "write", ".filepact/state", errno::IO, false);
    commit(&a, &[("a.json", "v2")]).expect_err("it counts as dead");
    sim.record();
    put(&b, "b.json", b"another document");
    let killed = moment(&sim, "create .filepact/journal/new").world.process_death();
    let store = open(&killed);
    assert_eq!(read(&killed, "a.json").as_deref(), Some("v2"), "it counts after all");
    assert_eq!(store.recovery_report().rescued, []);
}

#[test]
fn a_handle_that_cannot_write_state_counts_as_dead_and_stops_nobody_else() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    fail(&sim, "write", ".filepact/state", errno::IO, false);
    assert!(matches!(commit(&a, &[("a.json", "v2")]), Err(Error::CommitUnknown { .. })));
    assert_eq!(text(&a, "a.json").as_deref(), Some("v1"), "nobody was told of it");
    assert!(matches!(commit(&a, &[("a.json", "v3")]), Err(Error::Poisoned)));
    assert!(a.status().expect("it can be read").failed);
    put(&b, "b.json", b"v1");
    assert!(!b.status().expect("it can be read").failed);
    assert_eq!(text(&b, "a.json").as_deref(), Some("v1"));
    drop((a, b));
    let store = open(&sim);
    assert_eq!(text(&store, "a.json").as_deref(), Some("v1"), "it is void");
    assert_eq!(text(&store, "b.json").as_deref(), Some("v1"));
    assert_eq!(store.status().expect("it can be read").rescued, []);
}

#[test]
fn a_directory_that_a_dead_publishers_swap_displaced_is_rescued() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "a.json", b"v1");
    let (outside, swapped) = (sim.clone(), AtomicBool::new(false));
    let dead = dies(&sim, options(), move |op, on| {
        if op == "rename" && on.ends_with("-> a.json") {
            outside.remove("a.json");
            outside.mkdir("a.json");
            outside.write("a.json/precious", b"by hand");
            swapped.store(true, Ordering::SeqCst);
            return false;
        }
        swapped.load(Ordering::SeqCst)
    });
    commit(&dead, &[("a.json", "v2")]).expect_err("it dies");
    put(&alive, "x", b"1");
    let rescued = alive.status().expect("it can be read").rescued;
    assert_eq!(rescued.len(), 1, "{rescued:?}");
    assert_eq!(read(&sim, &rescued[0].at).as_deref(), Some("by hand"));
    assert_eq!(read(&sim, "a.json").as_deref(), Some("v2"));
    assert_eq!(staged(&sim), Vec::<String>::new());
}

#[test]
fn segments_that_dead_writers_did_not_bear_are_swept() {
    let sim = prepared();
    let alive = open(&sim);
    let unborn = || {
        let names = sim.tree().into_keys();
        names.filter(|path| path.starts_with(".filepact/journal/new.")).count()
    };
    for _ in 0..3 {
        let dead = dies(&sim, roomy(), |op, on| {
            op == "rename" && on.starts_with(".filepact/journal/new.")
        });
        commit(&dead, &[("a.json", &"x".repeat(200_000))]).expect_err("it dies");
    }
    assert_eq!(unborn(), 1, "each has swept what the one before had left");
    put(&alive, "x", b"1");
    assert_eq!(unborn(), 0);
}

/// Attack 35: a void group in a segment of its own, and a small one that finds room before it.
#[test]
fn attack_35_a_dead_writers_segment_voids_nothing_that_is_acknowledged_after_it() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "a.json", b"v1");
    let dead = dies_before(&sim, roomy(), "write", ".filepact/state", 2);
    let mut tx = dead.begin().expect("the store is open");
    tx.write_bytes("void", vec![b'x'; 100_000]).expect("a valid path");
    tx.commit().expect_err("it dies");
    drop(dead);
    assert_eq!(sim.tree().keys().filter(|path| path.ends_with(".jsonl")).count(), 2);
    put(&alive, "x", b"counts");
    drop(alive);
    for world in sim.world().power_cut(&STRICT, 2000, 1).worlds {
        let store = open(&world);
        assert_eq!(text(&store, "x").as_deref(), Some("counts"));
        assert_eq!(text(&store, "void"), None);
    }
    let store = open(&sim);
    assert_eq!(store.recovery_report().adopted, Vec::<String>::new());
    assert!(store.log().expect("it can be read").iter().any(|txn| txn.changes[0].path == "x"));
}

#[test]
fn a_full_disk_at_a_birth_over_a_dead_writers_segment_changes_nothing() {
    let sim = prepared();
    let alive = roomy().open_with(sim.actor()).expect("it opens");
    put(&alive, "a.json", b"v1");
    let dead = dies_before(&sim, roomy(), "write", ".filepact/state", 2);
    let mut tx = dead.begin().expect("the store is open");
    tx.write_bytes("void", vec![1; 100_000]).expect("a valid path");
    tx.commit().expect_err("it dies");
    drop(dead);
    fail(&sim, "rename", "journal/new.", errno::NOSPC, false);
    let mut tx = alive.begin().expect("the store is open");
    tx.write_bytes("x", "1").expect("a valid path");
    assert!(matches!(tx.commit(), Err(Error::Io { .. })));
    put(&alive, "x", b"2");
    assert_eq!(text(&alive, "x").as_deref(), Some("2"));
    assert_eq!(text(&alive, "void"), None);
}

/// A document gives way to a directory of the same name, and the publisher dies before either.
#[test]
fn a_document_that_gives_way_to_a_directory_is_healed() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "d", b"v1");
    let dead = dies_before_swap(&sim, "d");
    let mut tx = dead.begin().expect("the store is open");
    tx.remove("d").expect("it is there");
    tx.write_bytes("d/x", "v2").expect("a valid path");
    tx.commit().expect_err("it dies");
    put(&alive, "y", b"1");
    assert_eq!(read(&sim, "d/x").as_deref(), Some("v2"));
    assert_eq!(alive.status().expect("it can be read").rescued, []);
    assert_eq!(staged(&sim), Vec::<String>::new());
}

/// Once somebody has healed, the files count again for everybody.
#[test]
fn an_edit_made_after_the_healing_is_read_by_who_had_read_the_word() {
    let sim = prepared();
    let (reader, healer) = (open(&sim), open(&sim));
    let dead = dies_before_swap(&sim, "a.json");
    let mut tx = dead.begin().expect("the store is open");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    tx.commit().expect_err("it dies");
    assert_eq!(text(&reader, "a.json").as_deref(), Some("v2"));
    drop(healer.begin_exclusive(Duration::ZERO).expect("nobody has it"));
    sim.write("a.json", b"an edit");
    assert_eq!(text(&reader, "a.json").as_deref(), Some("an edit"));
}

/// Attack 33, beside others: a large body is edited in place through its document before the healer
/// comes.
#[test]
fn a_large_body_that_was_edited_in_place_is_not_healed_over() {
    let sim = prepared();
    let alive = open(&sim);
    let dead = dies_before_swap(&sim, "z");
    let mut tx = dead.begin().expect("the store is open");
    tx.write_bytes("large", vec![b'x'; 10_000]).expect("a valid path");
    tx.write_bytes("z", "1").expect("a valid path");
    tx.commit().expect_err("it dies");
    sim.write("large", b"edited in place");
    put(&alive, "y", b"1");
    assert_eq!(read(&sim, "large").as_deref(), Some("edited in place"));
    assert_eq!(alive.status().expect("it can be read").rescued, []);
}

/// Where there is no exchange and no rename that replaces nothing, a new document comes by a link and loses
/// its name in `stage/` then. An edit in between is of both.
#[test]
fn an_edit_between_the_halves_of_a_swap_without_a_rename_is_at_its_path_alone() {
    let is_swap_name = |on: &str| on.starts_with(".filepact/stage/") && !on.ends_with(".body");
    for saved_again in [false, true] {
        let sim = prepared();
        // Between the looks at the two names the editor may save once more.
        let (outside, looks) = (sim.clone(), AtomicU32::new(0));
        let alive = dies(&sim, options(), move |op, on| {
            if saved_again && op == "open" && (is_swap_name(on) || on == "large") {
                let is_second = looks.load(Ordering::SeqCst) == 1 && on == "large";
                looks.fetch_add(u32::from(is_second || is_swap_name(on)), Ordering::SeqCst);
                if is_second {
                    outside.write("large", b"saved again");
                }
            }
            false
        });
        let dead = dies(&sim, options(), move |op, on| op == "unlink" && is_swap_name(on));
        fail(&sim, "rename", "-> large", errno::INVAL, false);
        commit(&dead, &[("large", &"large ".repeat(1_000))]).expect_err("it dies between the two");
        sim.write("large", b"edited in place");
        put(&alive, "y", b"1");
        let expected = if saved_again { "saved again" } else { "edited in place" };
        assert_eq!(read(&sim, "large").as_deref(), Some(expected));
        assert_eq!(alive.rescued().expect("it can be listed"), []);
        assert_eq!(staged(&sim).len(), 1, "{:?}", staged(&sim));
    }
}

/// A large document is edited by its old path while it is being renamed: the edit goes along, and what is
/// taken from the old path lies in `rescued/`. The two were one file.
#[test]
fn a_rescued_edit_does_not_change_with_the_document_that_it_went_along_with() {
    for heals in [true, false] {
        let sim = prepared();
        let alive = open(&sim);
        put(&alive, "a", &[b'x'; 10_000]);
        let dead = dies_before_swap(&sim, "a");
        let mut tx = dead.begin().expect("the store is open");
        tx.rename("a", "b").expect("it is there");
        tx.commit().expect_err("it dies");
        drop(dead);
        sim.advance(Duration::from_secs(1));
        sim.write("a", b"theirs");
        let store = if heals {
            put(&alive, "y", b"1");
            alive
        } else {
            drop(alive);
            open(&sim)
        };
        assert_eq!((read(&sim, "a"), read(&sim, "b").as_deref()), (None, Some("theirs")));
        sim.write("b", b"edited later");
        let edits = store.rescued().expect("it can be listed");
        assert_eq!(edits.len(), 1, "{heals} {edits:?}");
        assert_eq!(store.read_rescued(&edits[0]).expect("it is there"), b"theirs", "{heals}");
    }
}

/// Who healed it took it for its own, and the next checkpoint for a write that the disk has lost.
#[test]
fn an_edit_that_went_along_with_a_rename_that_was_healed_is_not_taken_for_ours() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "a", &[b'x'; 10_000]);
    let dead = dies_before_swap(&sim, "a");
    let mut tx = dead.begin().expect("the store is open");
    tx.rename("a", "b").expect("it is there");
    tx.commit().expect_err("it dies");
    sim.write("a", b"theirs");
    sim.advance(Duration::from_secs(60));
    put(&alive, "y", b"1");
    let edit = alive.rescued().expect("it can be listed").remove(0);
    alive.drop_rescued(&edit).expect("nobody wants it there");
    alive.checkpoint().expect("an edit is no lost write");
    sim.advance(Duration::from_secs(60));
    put(&alive, "b", b"v2");
    let edits = alive.rescued().expect("it can be listed");
    assert!(edits.iter().any(|edit| edit.path == "b"), "{}", sim.dump());
}

#[test]
fn a_mode_that_was_changed_just_before_a_dead_publishers_swap_is_kept() {
    // A change that comes after the swap is the newer one.
    for later in [None, Some(0o640)] {
        let sim = prepared();
        let alive = open(&sim);
        put(&alive, "a.json", b"v1");
        let (outside, swapped) = (sim.clone(), AtomicBool::new(false));
        let dead = dies(&sim, options(), move |op, on| {
            if op == "rename" && on.ends_with("-> a.json") {
                outside.set_mode("a.json", 0o600);
                swapped.store(true, Ordering::SeqCst);
                return false;
            }
            swapped.load(Ordering::SeqCst)
        });
        let mut tx = dead.begin().expect("the store is open");
        tx.write_bytes("a.json", "secret").expect("a valid path");
        tx.commit().expect_err("it dies");
        later.into_iter().for_each(|mode| sim.set_mode("a.json", mode));
        put(&alive, "x", b"1");
        let mode = sim.stat("a.json").expect("it is there").mode;
        assert_eq!(mode, later.unwrap_or(0o600));
    }
}

#[test]
fn a_healer_that_may_not_link_a_large_body_copies_it() {
    let sim = prepared();
    let alive = open(&sim);
    let dead = dies_before_swap(&sim, "large");
    let mut tx = dead.begin().expect("the store is open");
    tx.write_bytes("large", vec![b'x'; 10_000]).expect("a valid path");
    tx.commit().expect_err("it dies");
    fail(&sim, "link", ".body", errno::PERM, true);
    put(&alive, "x", b"1");
    assert_eq!(read(&sim, "large").map(|body| body.len()), Some(10_000));
    alive.checkpoint().expect("nothing fails here");
    assert_eq!(staged(&sim), Vec::<String>::new());
}

/// Two members of one turn, of which the first could not be published: it is finished before the
/// second is looked at.
#[test]
fn what_the_first_group_of_a_turn_could_not_publish_is_healed_before_the_second() {
    let sim = prepared();
    let armed = Arc::new(AtomicBool::new(false));
    let hook = armed.clone();
    let store = options()
        .lock_timeout(Duration::from_secs(10))
        .open_with(Steps::new(sim.actor(), move |_, op, on| {
            if op == "lock" && on == ".filepact/lock" && hook.swap(false, Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(300));
            }
        }))
        .expect("it opens");
    let txs = [&["a.json", "b.json"][..], &["a.json"]].map(|paths| {
        let mut tx = store.begin().expect("the store is open");
        paths.iter().for_each(|path| tx.write_bytes(path, *path).expect("a valid path"));
        tx
    });
    fail(&sim, "rename", "a.json", errno::IO, false);
    armed.store(true, Ordering::SeqCst);
    let answers = std::thread::scope(|scope| {
        let threads = txs.map(|tx| {
            let thread = scope.spawn(move || tx.commit().map(|committed| committed.txn));
            std::thread::sleep(Duration::from_millis(100));
            thread
        });
        threads.map(|thread| thread.join().expect("no panic"))
    });
    assert!(matches!(answers, [Err(Error::Unpublished { .. }), Ok(_)]), "{answers:?}");
    assert_eq!(read(&sim, "b.json").as_deref(), Some("b.json"));
}

/// What a dead publisher had staged is ours, also if somebody has saved the document since it was healed.
#[test]
fn what_a_dead_publisher_had_staged_is_nobodys_edit() {
    let sim = prepared();
    let dead = dies_before_swap(&sim, "a.json");
    let (world, swapped, once) = (sim.clone(), AtomicBool::new(false), AtomicBool::new(true));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if swapped.load(Ordering::SeqCst) && once.swap(false, Ordering::SeqCst) {
            world.write("a.json", b"theirs");
        }
        swapped.fetch_or(op == "rename" && on.ends_with(" -> a.json"), Ordering::SeqCst);
    });
    let healer = options().open_with(steps).expect("it opens");
    commit(&dead, &[("a.json", "v2")]).expect_err("it dies");
    commit(&healer, &[("b.json", "v3")]).expect("it heals, and commits");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("theirs"));
    assert_eq!(healer.status().expect("it answers").rescued, []);
    assert_eq!(staged(&sim), Vec::<String>::new());
}

/// A handle has a spare that holds what another one has put again since, with the mode that it had then.
#[test]
fn an_older_spare_gives_a_healed_document_no_attributes() {
    let sim = prepared();
    let (victim, store) = (sim.actor(), open(&sim));
    let (dies, world) = (Arc::clone(&victim), sim.clone());
    let armed = Arc::new(AtomicBool::new(false));
    let is_armed = Arc::clone(&armed);
    let steps = Steps::new(victim, move |_, op, path| {
        if is_armed.load(Ordering::SeqCst) && op == "rename" && path.ends_with("a.json") {
            world.kill(&dies);
        }
    });
    let other = options().open_with(steps).expect("it opens");
    put(&store, "a.json", b"the same");
    put(&store, "a.json", b"between");
    sim.set_mode("a.json", 0o600);
    put(&other, "a.json", b"the same");
    armed.store(true, Ordering::SeqCst);
    let mut tx = other.begin().expect("it is open");
    tx.write_bytes("a.json", b"last").expect("a valid path");
    tx.commit().expect_err("it has died");
    put(&store, "b.json", b"healed");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("last"));
    assert_eq!(sim.stat("a.json").expect("it is there").mode, 0o600);
}
