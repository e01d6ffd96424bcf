//! C1 to C9.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use filepact::{Durability, Error, Store, Version};
use filepact_simfs::{Fault, FaultKind, When, errno};
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::history::body;
use filepact_tests::meanwhile::Meanwhile;
use filepact_tests::steps::Steps;

use crate::lines::{dies_with_the_error_of, in_one_turn, just_before, patient};
use crate::support::{after_power_cuts, dies, fail, mtime, put, read, set_mtime, staged};

#[test]
fn an_edit_that_changes_while_it_is_adopted_is_a_conflict() {
    let large = |byte: &str| byte.repeat(9_000).into_bytes();
    for (op, edit, later) in
        [("open", b"an edit".to_vec(), b"another".to_vec()), ("sync", large("x"), large("y"))]
    {
        let sim = prepared();
        let (store, armed) = just_before(&sim, op, "a.json", {
            let later = later.clone();
            move |sim| sim.write("a.json", &later)
        });
        put(&store, "a.json", b"v1");
        sim.write("a.json", &edit);
        sim.advance(Duration::from_secs(60));
        let mut tx = store.begin().expect("the store is open");
        tx.read_bytes("a.json").expect("it can be read").expect("it is there");
        tx.write_bytes("b.json", "derived").expect("a valid path");
        armed.store(true, Ordering::SeqCst);
        let said = tx.commit();
        assert!(!armed.load(Ordering::SeqCst), "{op}: the moment has come");
        assert!(matches!(said, Err(Error::Conflict { .. })), "{op}: {said:?}");
        drop(store);
        assert_eq!(open(&sim).read_bytes("a.json").expect("it can be read"), Some(later));
    }
}

/// Of an earlier member the document was synced, and then somebody saved what the next one expects.
#[test]
fn what_a_member_expects_is_synced_though_an_earlier_one_has_synced_another_version() {
    let sim = prepared();
    let (world, since) = (sim.clone(), AtomicUsize::new(0));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        let is_synced = since.load(Ordering::SeqCst) > 0 || (op, on) == ("sync", "by-hand");
        // Just before the next call.
        if is_synced && since.fetch_add(1, Ordering::SeqCst) == 1 {
            world.write("by-hand", b"expected");
        }
    });
    let store = patient().open_with(steps).expect("it opens");
    sim.write("by-hand", b"just now");
    let first = |store: &Store| {
        let mut tx = store.begin()?;
        tx.read_bytes("by-hand")?;
        tx.write_bytes("x", "1")?;
        tx.commit()
    };
    let second = |store: &Store| {
        let mut tx = store.begin()?;
        tx.expect("by-hand", Some(Version::of(b"expected")))?;
        tx.write_bytes("y", "derived")?;
        tx.commit()
    };
    let said = in_one_turn::<Result<_, Error>>(&store, [first, second]);
    assert!(said.iter().all(Result::is_ok), "{said:?}");
    assert_eq!(store.status().expect("it answers").counts.largest_group, 2);
    after_power_cuts(&sim, 64, |world, _| {
        assert_eq!(read(world, "y").as_deref(), Some("derived"));
        assert_eq!(read(world, "by-hand").as_deref(), Some("expected"));
    });
}

/// Attack 15.
#[test]
fn who_dies_with_the_error_of_a_sync_leaves_word_of_it() {
    // An edit that a transaction has read.
    let sim = prepared();
    sim.mkdir("deep");
    drop(open(&sim));
    sim.write("deep/by-hand", b"just now");
    let store = dies_with_the_error_of(&sim, options(), "sync", "deep/by-hand");
    let mut tx = store.begin().expect("the store is open");
    tx.read_bytes("deep/by-hand").expect("it can be read").expect("it is there");
    tx.write_bytes("y", "1").expect("a valid path");
    tx.commit().expect_err("it is dead");
    assert!(open(&sim).recovery_report().failed, "an edit");

    // A large body that a rename links.
    let sim = prepared();
    let inline = options().inline_max(1 << 20);
    let other = inline.open_with(sim.actor()).expect("it opens");
    put(&other, "x", &body("large", 1, 9_000));
    let store = dies_with_the_error_of(&sim, options(), "sync", "x");
    store.rename("x", "moved").expect_err("it is dead");
    drop(other);
    assert!(open(&sim).recovery_report().failed, "a rename");

    // What `Files` syncs behind the commit point.
    let sim = prepared();
    let files = options().durability(Durability::Files);
    sim.mkdir("deep");
    let store = dies_with_the_error_of(&sim, files.clone(), "sync_dir", "deep");
    store.write("deep/a.json", &1).expect_err("it is dead");
    assert!(open(&sim).recovery_report().failed, "names");

    // Bodies in spares, one and several.
    for names in [&["a.json"][..], &["a.json", "b.json"]] {
        let sim = prepared();
        let (last, failed) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
        let (is_last, world) = (Arc::clone(&last), sim.clone());
        let store = dies(&sim, files.clone(), move |op, on| {
            failed.load(Ordering::SeqCst) || {
                let is_it = op == "sync_everything" || op == "sync" && on.contains("/spare-");
                if is_it && is_last.load(Ordering::SeqCst) {
                    fail(&world, op, "", errno::IO, false);
                    failed.store(true, Ordering::SeqCst);
                }
                false
            }
        });
        for round in 0..4 {
            last.store(round == 3, Ordering::SeqCst);
            let mut tx = store.begin().expect("the store is open");
            for name in names {
                tx.write_bytes(*name, body(name, round, 700)).expect("a valid path");
            }
            assert_eq!(tx.commit().is_err(), round == 3);
        }
        assert!(open(&sim).recovery_report().failed, "{names:?}");
    }
}

#[test]
fn a_directory_that_nobody_may_change_is_refused_before_the_commit_point() {
    let sim = prepared();
    sim.mkdir("deep");
    sim.set_frozen("deep", true);
    let store = open(&sim);
    let said = store.write("deep/a.json", &1);
    assert!(matches!(&said, Err(Error::Refused { path, .. }) if path == "deep/a.json"), "{said:?}");
}

#[test]
fn a_large_body_that_may_not_be_linked_is_copied_and_synced() {
    let sim = prepared();
    let large = body("large", 1, 9_000);
    put(&open(&sim), "x", &large);
    let store = open(&sim);
    fail(&sim, "link", "", errno::PERM, false);
    store.rename("x", "moved").expect("it is copied");
    drop(store);
    after_power_cuts(&sim, 256, |world, _| {
        assert_eq!(world.read("moved"), Some(large.clone()));
        assert_eq!(world.read("x"), None);
    });
}

#[test]
fn each_member_of_a_group_is_told_of_its_own_rescued_edit() {
    let sim = prepared();
    let store = patient().open_with(sim.actor()).expect("it opens");
    let paths = ["a.json", "b.json"];
    for path in paths {
        put(&store, path, b"v1");
        sim.write(path, b"an edit");
    }
    let said = in_one_turn(&store, paths.map(|path| move |store: &Store| store.write(path, &2)));
    for (path, said) in paths.iter().zip(said) {
        let rescued = said.expect("it commits").rescued;
        assert_eq!(rescued.iter().map(|edit| &*edit.path).collect::<Vec<_>>(), [*path]);
    }
}

#[test]
fn what_could_not_be_taken_back_is_swept_before_its_number_comes_again() {
    let sim = prepared();
    let store = open(&sim);
    sim.mkdir("deep");
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("a.json", "1").expect("a valid path");
    tx.write_bytes("deep/b.json", "1").expect("a valid path");
    fail(&sim, "create_unnamed", "deep", errno::NOSPC, false);
    fail(&sim, "unlink", "", errno::IO, false);
    tx.commit().expect_err("the second body cannot be staged");
    assert_eq!(staged(&sim).len(), 1, "the first could not be taken back");
    put(&store, "c.json", b"1");
    assert_eq!(staged(&sim), Vec::<String>::new());

    // The group was staged whole, and could not be appended.
    fail(&sim, "write", ".filepact/journal", errno::NOSPC, false);
    fail(&sim, "unlink", "", errno::IO, false);
    store.write("d.json", &1).expect_err("the journal has no room");
    assert_eq!(staged(&sim).len(), 1, "it could not be taken back");
    put(&store, "e.json", b"1");
    assert_eq!(staged(&sim), Vec::<String>::new());
}

/// Attack 6: of the same length, by its time or by its inode.
#[test]
fn an_edit_right_after_the_swap_is_known_by_its_time_and_by_its_inode() {
    for (replaced, checkpoint) in [(false, true), (false, false), (true, false)] {
        let sim = prepared();
        let outside = sim.clone();
        let fs = Meanwhile::after_rename(sim.actor(), "a.json", move || {
            let before = mtime(&outside, "a.json");
            if replaced {
                outside.replace("a.json", b"theirs");
                set_mtime(&outside, "a.json", before);
            } else {
                outside.write("a.json", b"theirs");
            }
        });
        let store = options().open_with(fs.clone()).expect("it opens");
        put(&store, "a.json", b"mine 1");
        assert!(fs.has_happened());
        if checkpoint {
            // Under another stamp than ours it is no write of ours that the disk has lost.
            store.checkpoint().expect("it is an edit");
            continue;
        }
        let mut tx = store.begin().expect("the store is open");
        tx.write_bytes("a.json", "mine 2").expect("a valid path");
        let rescued = tx.commit().expect("it commits").rescued;
        assert_eq!(rescued.len(), 1, "replaced: {replaced}");
        assert_eq!(read(&sim, &rescued[0].at).as_deref(), Some("theirs"));
    }
}

/// What a write leaves of a group that cannot be looked at may be whole.
#[test]
fn after_a_group_of_unknown_outcome_nobody_commits() {
    for checkpoint in [false, true] {
        let sim = prepared();
        let (a, b) = (open(&sim), open(&sim));
        put(&a, "a.json", b"v1");
        for (op, kind, nth) in
            [("write", FaultKind::ShortWrite, 1), ("write", FaultKind::Error(errno::NOSPC), 2)]
        {
            let at = When::Matching { op, path_contains: "journal/".into(), nth };
            sim.fault(Fault { at, kind, sticky: false });
        }
        // Who had the turn last does not look at the tail before it writes.
        let steps_read = When::Matching { op: "read", path_contains: "journal/".into(), nth: 1 };
        sim.fault(Fault { at: steps_read, kind: FaultKind::Error(errno::IO), sticky: true });
        let said = match checkpoint {
            true => a.checkpoint(),
            false => a.write("a.json", &2).map(drop),
        };
        sim.clear_faults();
        assert!(matches!(said, Err(Error::CommitUnknown { .. })), "{checkpoint}: {said:?}");
        let refused = b.write("b.json", &1);
        assert!(matches!(refused, Err(Error::Poisoned)), "{checkpoint}: {refused:?}");
    }
}
