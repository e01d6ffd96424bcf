//! What other programs do since a snapshot, and before it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact::{Error, Store};
use filepact_fs::{Fs, Time};
use filepact_simfs::{SimFs, errno};
use filepact_tests::crash::{open, options, prepared_with};
use filepact_tests::history::{INLINE_MAX, Tree};
use filepact_tests::steps::Steps;

use super::{change, later, now, scene, seen};
use crate::support::{commit, dies, fail, mtime, put, read, set_mtime};

fn edited<T: std::fmt::Debug>(answer: Result<T, Error>, path: &str) {
    match answer {
        Err(Error::Edited { path: found }) => assert_eq!(found, path),
        other => panic!("`{path}`: {other:?}"),
    }
}

/// The scene as somebody has made it by hand: nobody has a word of it.
fn unknown_scene() -> SimFs {
    let sim = prepared_with(&Tree::new());
    sim.mkdir("dir");
    let documents = scene().tree().into_iter().filter(|(path, _)| !path.starts_with(".filepact"));
    documents.for_each(|(path, bytes)| sim.write(&path, &bytes));
    later(&sim);
    sim
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
    let sim = unknown_scene();
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
    // A mode is no name. But nobody knows whether a file that has another ctime holds what it held.
    sim.set_mode("same", 0o600);
    assert_eq!(second.list("").expect("nothing was edited").len(), then.len());
    edited(second.read_bytes("same"), "same");
}

/// For the sake of an older snapshot, which ends, the inode of a log had a second name, and loses it.
#[test]
fn a_log_that_nobody_knows_is_read_after_what_was_kept_of_it_has_gone() {
    let sim = unknown_scene();
    let first = options().journal_max(1_000).open_with(sim.actor()).expect("it opens");
    let early = first.snapshot().expect("it can be pinned");
    first.append("log", "more").expect("it commits");
    for _ in 0..100 {
        put(&first, "filler", &[b'x'; INLINE_MAX - 1]);
    }
    first.checkpoint().expect("nothing fails here");
    put(&first, "filler", &[b'x'; INLINE_MAX]);
    let second = open(&sim);
    let log = second.log().expect("it can be read");
    assert!(log.iter().all(|logged| logged.changes[0].path != "log"), "its word has gone");
    let snapshot = second.snapshot().expect("it can be pinned");
    later(&sim);
    drop(early);
    let log = snapshot.read_bytes("log").expect("nobody has edited it").expect("it is there");
    assert!(log.ends_with(b"more"));
}

#[test]
fn a_document_that_was_missing_and_is_back_is_there() {
    let sim = scene();
    let store = open(&sim);
    put(&store, "d", b"1");
    later(&sim);
    sim.remove("d");
    assert!(!store.exists("d").expect("it can be read"));
    later(&sim);
    let absent = store.snapshot().expect("it can be pinned");
    later(&sim);
    sim.write("d", b"1");
    later(&sim);
    let there = store.snapshot().expect("it can be pinned");
    edited(absent.read_bytes("d"), "d");
    edited(absent.list(""), "d");
    later(&sim);
    sim.remove("d");
    edited(there.read_bytes("d"), "d");
    edited(there.list(""), "d");
    assert_eq!(absent.read_bytes("d").expect("it was absent"), None);
    assert!(!seen(&absent).contains_key("d"));
}

/// Its image is in `kept/`, and its name is in no directory.
#[test]
fn a_document_that_filepact_changed_and_another_program_removed_since_is_listed() {
    let sim = unknown_scene();
    let store = open(&sim);
    let other = open(&sim);
    let snapshot = store.snapshot().expect("it can be pinned");
    let expected = seen(&snapshot);
    later(&sim);
    put(&other, "same", b"newer");
    sim.remove("same");
    assert_eq!(seen(&snapshot), expected);
    assert!(snapshot.list("dir").expect("nothing was edited there").len() == 1);
}

#[test]
fn a_list_of_which_a_name_is_not_known_any_more_is_an_error() {
    let sim = unknown_scene();
    let store = open(&sim);
    let other = options().journal_max(1_000).open_with(sim.actor()).expect("it joins");
    let snapshot = store.snapshot().expect("it can be pinned");
    put(&other, "dir/gone", b"newer");
    for _ in 0..100 {
        put(&other, "filler", &[b'x'; INLINE_MAX - 1]);
    }
    other.checkpoint().expect("nothing fails here");
    put(&other, "filler", &[b'x'; INLINE_MAX]);
    sim.remove("dir/gone");
    // The handle has slept meanwhile.
    edited(snapshot.list(""), "/");
    assert!(snapshot.read_bytes("dir/gone").expect("it is kept").is_some());
}

/// What filepact has removed says its path, for whom the journal does not say it any more: also where the
/// publisher died before it did so.
#[test]
fn a_document_that_was_removed_since_is_listed_though_the_journal_has_gone() {
    for is_healed in [false, true] {
        let sim = unknown_scene();
        let store = open(&sim);
        let other = options().journal_max(1_000).open_with(sim.actor()).expect("it joins");
        let snapshot = store.snapshot().expect("it can be pinned");
        let expected = snapshot.list("").expect("it can be listed");
        let armed = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&armed);
        let remover = dies(&sim, options(), move |op, on| {
            now.load(Ordering::SeqCst) && (op, on) == ("list", ".filepact/pins")
        });
        armed.store(is_healed, Ordering::SeqCst);
        let removed = remover.remove("dir/gone");
        assert_eq!(removed.is_err(), is_healed, "{removed:?}");
        for _ in 0..100 {
            put(&other, "filler", &[b'x'; INLINE_MAX - 1]);
        }
        other.checkpoint().expect("nothing fails here");
        put(&other, "filler", &[b'x'; INLINE_MAX]);
        // The handle has slept meanwhile.
        assert_eq!(snapshot.list("").expect("it can be listed"), expected);
    }
}

#[test]
fn what_was_moved_or_copied_there_since_with_its_old_time_is_an_error() {
    let sim = unknown_scene();
    let store = open(&sim);
    later(&sim);
    let snapshot = store.snapshot().expect("it can be pinned");
    let expected = seen(&snapshot);
    later(&sim);
    let moved = |from, to, found: &str| {
        sim.rename(from, to);
        edited(snapshot.list(""), found);
        edited(snapshot.read_bytes(found), found);
        sim.rename(to, from);
    };
    moved("same", "elsewhere", "elsewhere");
    moved("dir", "directory", "directory/gone");
    sim.mkdir("deep");
    moved("dir", "deep/dir", "deep/dir/gone");
    // Over a document, as a copy that keeps its time.
    let snapshot = store.snapshot().expect("it can be pinned");
    assert_eq!(seen(&snapshot), expected);
    later(&sim);
    for (path, anew) in [("a", true), ("b", false)] {
        let before = mtime(&sim, path);
        match anew {
            true => sim.replace(path, b"a copy"),
            false => sim.write(path, b"a copy"),
        }
        set_mtime(&sim, path, before);
        edited(snapshot.read_bytes(path), path);
    }
}

/// Where links are refused an image is a copy, and somebody saves the document under it.
#[test]
fn a_document_that_is_saved_while_it_is_copied_is_an_error() {
    let sim = unknown_scene();
    let store = open(&sim);
    let (world, snapshot) = (sim.clone(), store.snapshot().expect("it can be pinned"));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if (op, on) == ("create_unnamed", ".filepact/kept") {
            world.write("same", &[b'x'; 50]);
        }
    });
    let other = options().open_with(steps).expect("it joins");
    later(&sim);
    fail(&sim, "link", "same", errno::PERM, true);
    put(&other, "same", b"newer");
    edited(snapshot.read_bytes("same"), "same");
}

#[test]
fn an_image_that_somebody_adds_to_through_an_old_descriptor_is_an_error() {
    let sim = unknown_scene();
    let store = open(&sim);
    let other = open(&sim);
    later(&sim);
    let snapshot = store.snapshot().expect("it can be pinned");
    let expected = seen(&snapshot);
    // What filepact adds before it replaces a log is no edit.
    later(&sim);
    other.append("log", "more").expect("it commits");
    put(&other, "log", b"anew");
    assert_eq!(seen(&snapshot), expected);
    let old = sim.actor().open("b", filepact_fs::Access::Write).expect("it is there");
    put(&other, "b", b"newer");
    assert_eq!(seen(&snapshot), expected);
    later(&sim);
    filepact_fs::write_all(&*old, &[b'x'; 400], 0).expect("nothing fails here");
    edited(snapshot.read_bytes("b"), "b");
}

#[test]
fn a_removal_in_the_tick_of_the_snapshot_is_an_error() {
    let sim = scene();
    let store = open(&sim);
    put(&store, "d", b"1");
    later(&sim);
    sim.set_step(Duration::ZERO);
    let snapshot = store.snapshot().expect("it can be pinned");
    sim.remove("d");
    edited(snapshot.read_bytes("d"), "d");
    edited(snapshot.list(""), "d");
}

#[test]
fn a_name_that_goes_while_it_is_listed_is_looked_for_again() {
    let sim = unknown_scene();
    let world = sim.clone();
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if (op, on) == ("stat", "same") {
            world.remove("same");
        }
    });
    let store = options().open_with(steps).expect("it joins");
    later(&sim);
    let snapshot = store.snapshot().expect("it can be pinned");
    let list = snapshot.list("").expect("nobody knows it");
    assert_eq!(list, snapshot.list("").expect("nobody knows it"));
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
            assert!(nth > 5, "there are more calls than {nth}");
            break;
        }
    }
}
