//! What other programs do since a snapshot, and before it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact::{Error, Store};
use filepact_fs::{Fs, Time};
use filepact_tests::crash::{open, options};
use filepact_tests::steps::Steps;

use super::{change, later, now, scene, seen};
use crate::support::{commit, mtime, put, read, set_mtime};

fn edited<T: std::fmt::Debug>(answer: Result<T, Error>, path: &str) {
    match answer {
        Err(Error::Edited { path: found }) => assert_eq!(found, path),
        other => panic!("`{path}`: {other:?}"),
    }
}

#[test]
fn an_edit_since_the_snapshot_is_an_error_however_it_ends() {
    let theirs = b"by another program";
    for known in [true, false] {
        for end in ["unread", "adopted", "displaced", "added to", "removed"] {
            let sim = scene();
            if known {
                drop(change(&open(&sim), 2));
            }
            let store = open(&sim);
            if known {
                change(&store, 4).expect("it commits");
            }
            let snapshot = store.snapshot().expect("it can be pinned");
            let mut expected = seen(&snapshot);
            later(&sim);
            sim.write("b", theirs);
            match end {
                "adopted" => {
                    let mut tx = store.begin().expect("the store is open");
                    tx.read_bytes("b").expect("it can be read");
                    tx.write_bytes("x", "1").expect("a valid path");
                    tx.commit().expect("it adopts the edit");
                }
                "displaced" => put(&store, "b", b"unread"),
                "added to" => drop(store.append("b", "more").expect("it commits")),
                "removed" => store.remove("b").expect("it is there"),
                _ => {}
            }
            edited(snapshot.read_bytes("b"), "b");
            edited(snapshot.exists("b"), "b");
            assert!(
                snapshot.list("").expect("its name was there").iter().any(|path| &**path == "b")
            );
            expected.remove("b");
            for (path, bytes) in expected {
                assert_eq!(
                    snapshot.read_bytes(&path).expect("it can be read"),
                    Some(bytes),
                    "{path}"
                );
            }
            let fresh = store.snapshot().expect("it can be pinned");
            assert_eq!(seen(&fresh), now(&store), "{known}, {end}");
        }
    }
}

#[test]
fn an_edit_before_the_snapshot_that_nobody_has_read_is_part_of_it() {
    for end in ["unread", "adopted", "displaced", "removed", "renamed"] {
        let sim = scene();
        let store = open(&sim);
        change(&store, 2).expect("it commits");
        later(&sim);
        sim.write("b", b"by hand");
        sim.write("by-hand", b"new");
        sim.remove("a");
        sim.remove("dir/gone");
        // Somebody sees that it is gone, or nothing happens in its directory.
        assert!(!store.exists("a").expect("it can be read"));
        later(&sim);
        let snapshot = store.snapshot().expect("it can be pinned");
        let expected = seen(&snapshot);
        assert_eq!(expected["b"], b"by hand");
        assert_eq!(expected["by-hand"], b"new");
        assert!(!expected.contains_key("a") && !expected.contains_key("dir/gone"));
        later(&sim);
        match end {
            "adopted" => {
                let mut tx = store.begin().expect("the store is open");
                tx.read_bytes("b").expect("it can be read");
                tx.write_bytes("x", "1").expect("a valid path");
                tx.commit().expect("it adopts the edit");
            }
            "displaced" => drop(commit(&store, &[("a", "1"), ("b", "2"), ("by-hand", "3")])),
            "removed" => {
                store.remove("b").expect("it is there");
                store.remove("by-hand").expect("it is there");
            }
            "renamed" => store.rename("b", "elsewhere").expect("it is there"),
            _ => {}
        }
        assert_eq!(seen(&snapshot), expected, "{end}");
        store.checkpoint().expect("nothing fails here");
        assert_eq!(seen(&snapshot), expected, "{end}");
    }
}

#[test]
fn an_edit_that_puts_its_time_back_is_told_by_the_hash() {
    for end in ["unread", "displaced"] {
        let sim = scene();
        let store = open(&sim);
        change(&store, 1).expect("it commits");
        let snapshot = store.snapshot().expect("it can be pinned");
        let before = mtime(&sim, "b");
        later(&sim);
        sim.write("b", &[b'x'; 340]);
        set_mtime(&sim, "b", before);
        if end == "displaced" {
            put(&store, "b", b"unread");
        }
        edited(snapshot.read_bytes("b"), "b");
    }
}

/// What was known at the moment is known as long as the snapshot lives, whatever the handle learns, and
/// forgets, since.
#[test]
fn an_edit_is_told_by_the_hash_after_the_journal_has_gone() {
    for times in [0, 1, 30] {
        let sim = scene();
        let store = open(&sim);
        change(&store, 1).expect("it commits");
        store.append("log", "one more\n").expect("it commits");
        let snapshot = store.snapshot().expect("it can be pinned");
        let expected = seen(&snapshot);
        let before = [mtime(&sim, "b"), mtime(&sim, "log")];
        later(&sim);
        sim.write("b", &[b'x'; 340]);
        set_mtime(&sim, "b", before[0]);
        sim.write("log", &vec![b'x'; expected["log"].len()]);
        set_mtime(&sim, "log", before[1]);
        let other = options().journal_max(1_000).open_with(sim.actor()).expect("it joins");
        let by = if times == 0 { store.clone() } else { open(&sim) };
        commit(&by, &[("b", "unread"), ("log", "unread")]).expect("it commits");
        for number in 0..times {
            change(&other, number + 2).expect("it commits");
        }
        // The handle begins anew, with what the journal still says.
        assert_eq!(seen(&store.snapshot().expect("it can be pinned")), now(&store));
        edited(snapshot.read_bytes("b"), "b");
        edited(snapshot.read_bytes("log"), "log");
        assert_eq!(snapshot.read_bytes("a").expect("it can be read"), expected.get("a").cloned());
    }
}

#[test]
fn an_image_that_is_edited_later_through_an_old_descriptor_is_an_error() {
    let sim = scene();
    let store = open(&sim);
    change(&store, 1).expect("it commits");
    let snapshot = store.snapshot().expect("it can be pinned");
    let old = sim.actor().open("b", filepact_fs::Access::Write).expect("it is there");
    put(&store, "b", b"newer");
    store.append("log", "more").expect("it commits");
    later(&sim);
    filepact_fs::write_all(&*old, b"late", 0).expect("nothing fails here");
    edited(snapshot.read_bytes("b"), "b");
    // In place, within the old length of what was only added to.
    let log = sim.actor().open("log", filepact_fs::Access::Write).expect("it is there");
    filepact_fs::write_all(&*log, b"late", 0).expect("nothing fails here");
    let answer = snapshot.read_bytes("log");
    assert!(matches!(answer, Err(Error::Edited { .. })) || answer.is_ok_and(|b| b.is_some()));
    assert_eq!(read(&sim, "b").as_deref(), Some("newer"));
}

#[test]
fn what_other_programs_made_or_removed_since_is_an_error() {
    let sim = scene();
    let store = open(&sim);
    change(&store, 2).expect("it commits");
    let snapshot = store.snapshot().expect("it can be pinned");
    later(&sim);
    sim.write("by-hand", b"new");
    edited(snapshot.list(""), "by-hand");
    edited(snapshot.read_bytes("by-hand"), "by-hand");
    assert_eq!(snapshot.list("dir").expect("nothing was edited there").len(), 1);
    sim.remove("by-hand");
    assert_eq!(seen(&snapshot), now(&store));
    sim.remove("dir/gone");
    edited(snapshot.read_bytes("dir/gone"), "dir/gone");
    edited(snapshot.list(""), "dir/gone");
    // Made again through filepact: that there was none is not what the moment says.
    put(&store, "dir/gone", b"again");
    edited(snapshot.read_bytes("dir/gone"), "dir/gone");
    edited(snapshot.list("dir"), "dir/gone");
    // The next one knows that it was gone, or what came after it.
    assert_eq!(seen(&store.snapshot().expect("it can be pinned")), now(&store));
}

#[test]
fn an_edit_in_the_tick_of_the_snapshot_is_read_once_and_for_all() {
    let sim = scene();
    let store = open(&sim);
    sim.set_step(Duration::ZERO);
    sim.write("same", b"just before");
    let snapshot = store.snapshot().expect("it can be pinned");
    assert_eq!(
        snapshot.read_bytes("same").expect("it can be read").as_deref(),
        Some(&b"just before"[..])
    );
    sim.write("same", b"just after!");
    edited(snapshot.read_bytes("same"), "same");
    sim.remove("same");
    edited(snapshot.read_bytes("same"), "same");
}

#[test]
fn documents_that_nobody_knows_are_read_while_filepact_works_on_them() {
    let sim = scene();
    // Who opens alone, with nothing to recover, has no word of any.
    let store = open(&sim);
    let first = open(&sim);
    later(&sim);
    let snapshot = store.snapshot().expect("it can be pinned");
    let expected = seen(&snapshot);
    assert_eq!(expected.len(), 6);
    later(&sim);
    // Its inode gets another name before the commit, and after it.
    first.rename("large", "moved").expect("it is there");
    first.append("log", "more").expect("it commits");
    let second = store.snapshot().expect("it can be pinned");
    let then = seen(&second);
    later(&sim);
    first.append("log", "and more").expect("it commits");
    first.checkpoint().expect("nothing fails here");
    later(&sim);
    assert_eq!(seen(&snapshot), expected);
    drop(snapshot);
    assert_eq!(seen(&second), then);
    sim.set_mode("same", 0o600);
    assert_eq!(seen(&second), then, "a mode is no content");
}

/// Attack 13: an addition between the look at the size and that into `kept/`, which neither a hash nor a
/// time gives away.
#[test]
fn attack_13_a_log_that_nobody_knows_is_read_at_its_length() {
    for nth in 1.. {
        let sim = scene();
        sim.set_step(Duration::ZERO);
        // A moment of which the coarse clock and the fine one say the same.
        sim.set_clock(Time(1_800_000_000_000_000_000));
        drop(open(&sim).append("log", "one more\n").expect("it commits"));
        let calls = Arc::new(AtomicUsize::new(usize::MAX));
        let left = Arc::clone(&calls);
        let other = Mutex::new(None::<Store>);
        let others = Arc::new(other);
        let writer = Arc::clone(&others);
        let steps = Steps::new(sim.actor(), move |_, _, _| {
            let before = left.load(Ordering::SeqCst);
            if before < usize::MAX && left.fetch_sub(1, Ordering::SeqCst) == 1 {
                left.store(usize::MAX, Ordering::SeqCst);
                let other = writer.lock().expect("no test has failed");
                let other = other.as_ref().expect("it has been opened");
                other.append("log", "too late\n").expect("it commits");
            }
        });
        drop(open(&sim).close());
        let store = options().open_with(steps).expect("it opens");
        *others.lock().expect("no test has failed") = Some(open(&sim));
        let snapshot = store.snapshot().expect("it can be pinned");
        calls.store(nth, Ordering::SeqCst);
        let bytes = snapshot.read_bytes("log").expect("it can be read").expect("it is there");
        assert!(bytes.ends_with(b"one more\n"), "call {nth}");
        if calls.load(Ordering::SeqCst) < usize::MAX {
            assert!(nth > 6, "there are more calls than {nth}");
            break;
        }
    }
}
