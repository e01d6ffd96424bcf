//! Appends, and what others add meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use filepact::{Error, Store};
use filepact_simfs::{Fault, FaultKind, SimFs, When, errno};
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::history::body;
use filepact_tests::steps::Steps;

use crate::lines::{in_one_turn, just_before, patient};
use crate::support::{
    after_power_cuts, dies, dies_before, echo, fail, mtime, put, read, staged, text,
};

#[test]
fn a_document_that_may_not_be_written_is_not_added_to() {
    let sim = prepared();
    let store = open(&sim);
    // So large that it is opened for nothing else.
    let before = body("a log", 1, 9_000);
    sim.write("log", &before);
    // So old that it need not be synced.
    sim.advance(Duration::from_secs(61));
    fail(&sim, "open", "log", errno::PERM, false);
    let said = store.append("log", "more\n");
    assert!(matches!(said, Err(Error::Io { .. })), "{said:?}");
    assert_eq!(sim.read("log"), Some(before));
    assert_eq!(store.status().expect("it can be read").unpublished, None);
}

#[test]
fn members_of_a_group_that_make_one_log_lose_no_line() {
    let sim = prepared();
    let store = patient().open_with(sim.actor()).expect("it opens");
    let lines = ["one\n", "two\n", "three\n"];
    let said =
        in_one_turn(&store, lines.map(|line| move |store: &Store| store.append("log", line)));
    assert!(said.iter().all(Result::is_ok), "{said:?}");
    let log = text(&store, "log").expect("it is there");
    assert!(lines.iter().all(|line| log.contains(line)), "{log}");
}

#[test]
fn two_equal_lines_of_one_group_are_both_recovered() {
    let sim = prepared();
    put(&open(&sim), "log", b"first\n");
    let store = dies_before(&sim, patient(), "write", "log", 1);
    in_one_turn(&store, [0; 2].map(|_| |store: &Store| store.append("log", "same\n").is_err()));
    drop(store);
    assert_eq!(text(&open(&sim), "log").as_deref(), Some("first\nsame\nsame\n"));
}

/// A handle, and how many calls it makes yet before `meets` happens once, if that is before its next write to
/// the journal: 0 when it has happened, `usize::MAX` for never.
fn meets_in_c4(sim: &SimFs, meets: fn(&SimFs)) -> (Store, Arc<AtomicUsize>) {
    let left = Arc::new(AtomicUsize::new(usize::MAX));
    let (world, calls) = (sim.clone(), Arc::clone(&left));
    let steps = Steps::new(sim.actor(), move |_, op, on| match calls.load(Ordering::SeqCst) {
        usize::MAX | 0 => {}
        // C4 is over.
        _ if op == "write" && on.starts_with(".filepact/journal/") => {
            calls.store(usize::MAX, Ordering::SeqCst);
        }
        before => {
            calls.store(before - 1, Ordering::SeqCst);
            if before == 1 {
                meets(&world);
            }
        }
    });
    (patient().open_with(steps).expect("it opens"), left)
}

/// A later member found the log gone, and made it by a put: the earlier one's line was in neither.
#[test]
fn a_log_that_is_moved_away_in_c4_of_a_group_costs_no_member_its_line() {
    for nth in 1.. {
        let sim = prepared();
        let (store, left) = meets_in_c4(&sim, |world| world.rename("log", "log.1"));
        put(&store, "log", b"first\n");
        left.store(nth, Ordering::SeqCst);
        let said = in_one_turn(
            &store,
            ["one\n", "two\n"].map(|line| move |store: &Store| store.append("log", line)),
        );
        assert!(said.iter().all(Result::is_ok), "{said:?}");
        if left.load(Ordering::SeqCst) != 0 {
            assert!(nth > 10, "only {nth} calls in C4");
            break;
        }
        let both = |sim: &SimFs| {
            let [log, moved] = ["log", "log.1"].map(|path| read(sim, path).unwrap_or_default());
            format!("{moved}{log}")
        };
        let logs = both(&sim);
        assert!(
            ["first\n", "one\n", "two\n"].iter().all(|line| logs.contains(line)),
            "{nth}: {logs:?}"
        );
        after_power_cuts(&sim, 64, |world, _| {
            let logs = both(world);
            assert!(logs.contains("one\n") && logs.contains("two\n"), "call {nth}: {logs:?}");
        });
    }
}

/// Between the C4 of one member and that of the next another program added a line, durably. What the second
/// had found began with that line, so that after a power cut recovery took the first one's for said before it.
#[test]
fn what_another_program_adds_in_c4_of_a_group_costs_no_member_its_line() {
    for nth in 1.. {
        let sim = prepared();
        // Nobody knows it, and it has changed lately.
        sim.write("log", b"theirs\n");
        sim.write_back("log");
        let (store, left) = meets_in_c4(&sim, |world| echo(world, "log", "and this\n"));
        left.store(nth, Ordering::SeqCst);
        let said = in_one_turn(
            &store,
            ["one\n", "two\n"].map(|line| move |store: &Store| store.append("log", line)),
        );
        assert!(said.iter().all(Result::is_ok), "{said:?}");
        assert_eq!(store.status().expect("it answers").counts.largest_group, 2);
        if left.load(Ordering::SeqCst) != 0 {
            assert!(nth > 10, "only {nth} calls in C4");
            break;
        }
        after_power_cuts(&sim, 64, |world, store| {
            let log = read(world, "log").expect("it is there");
            assert!(log.starts_with("theirs\nand this\n"), "call {nth}: {log:?}");
            // A line may stand twice behind one that was added after C4.
            assert!(log.contains("one\n") && log.contains("two\n"), "call {nth}: {log:?}");
            assert_eq!(store.recovery_report().rescued, [], "call {nth}");
        });
    }
}

#[test]
fn what_somebody_else_adds_in_the_middle_of_an_append_is_an_edit() {
    for by_other in [false, true] {
        let sim = prepared();
        let (store, armed) = just_before(&sim, "write", "log", |sim| {
            let before = sim.read("log").expect("it is there");
            sim.write("log", &[&before, &b"theirs\n"[..]].concat());
        });
        put(&store, "log", b"first\n");
        let other = open(&sim);
        armed.store(true, Ordering::SeqCst);
        store.append("log", "ours\n").expect("it commits");
        assert!(!armed.load(Ordering::SeqCst), "the moment has come");
        // It does not pass for a write of ours that the disk has lost.
        let checkpoint = if by_other { other.checkpoint() } else { store.checkpoint() };
        checkpoint.expect("it is an edit");
        sim.advance(Duration::from_secs(60));
        let mut tx = store.begin().expect("the store is open");
        tx.read_bytes("log").expect("it can be read").expect("it is there");
        tx.write_bytes("derived", "1").expect("a valid path");
        tx.commit().expect("it commits");
        assert!(store.log().expect("it can be read").iter().any(|entry| entry.outside));
    }
}

/// Attack 38.
#[test]
fn an_append_that_is_there_and_not_yet_said_to_be_published_is_read_once() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "log", b"first\n");
    let written = AtomicBool::new(false);
    let dead = dies(&sim, options(), move |op, on| {
        written.load(Ordering::SeqCst) || {
            written.store(op == "write" && on == "log", Ordering::SeqCst);
            false
        }
    });
    dead.append("log", "second\n").expect_err("it dies");
    assert_eq!(read(&sim, "log").as_deref(), Some("first\nsecond\n"));
    assert_eq!(text(&alive, "log").as_deref(), Some("first\nsecond\n"));
}

#[test]
fn a_log_that_grows_twice_while_it_is_opened_is_read_of_one_moment() {
    let sim = prepared();
    let (armed, opened) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let (world, flag) = (sim.clone(), Arc::clone(&armed));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        opened.fetch_or(op == "open" && on == "log", Ordering::SeqCst);
        let looks_again = op == "read" && on == ".filepact/state";
        if looks_again && opened.load(Ordering::SeqCst) && flag.swap(false, Ordering::SeqCst) {
            let published = open(&world);
            published.append("log", "second\n").expect("it commits");
            let dead = dies_before(&world, options(), "write", "log", 1);
            dead.append("log", "third\n").expect_err("it dies");
        }
    });
    let store = options().open_with(steps).expect("it opens");
    put(&open(&sim), "log", b"first\n");
    armed.store(true, Ordering::SeqCst);
    assert_eq!(text(&store, "log").as_deref(), Some("first\nsecond\nthird\n"));
    assert!(!armed.load(Ordering::SeqCst), "the moment has come");
}

#[test]
fn what_is_published_or_healed_bears_the_time_of_its_commit() {
    for dies in [false, true] {
        let sim = prepared();
        let alive = open(&sim);
        put(&alive, "log", b"first\n");
        let writer = match dies {
            true => dies_before(&sim, options(), "write", "log", 1),
            false => open(&sim),
        };
        assert_eq!(writer.append("log", "second\n").is_err(), dies);
        put(&alive, "a.json", b"v1");
        let log = alive.log().expect("it can be read");
        let time_of = |path: &str| {
            let of = log.iter().rev().find(|entry| entry.changes.iter().any(|c| c.path == path));
            of.expect("it is in the log").time
        };
        for path in ["log", "a.json"] {
            assert_eq!(mtime(&sim, path), time_of(path), "{path}, dies: {dies}");
        }
    }
}

/// Attack 37.
#[test]
fn a_line_that_stands_behind_somebody_elses_is_not_added_twice() {
    let sim = prepared();
    let alive = open(&sim);
    put(&alive, "log", b"first\n");
    let (world, written) = (sim.clone(), AtomicBool::new(false));
    let dead = dies(&sim, options(), move |op, on| {
        written.load(Ordering::SeqCst) || {
            if op == "write" && on == "log" {
                world.write("log", b"first\ntheirs\n");
                written.store(true, Ordering::SeqCst);
            }
            false
        }
    });
    dead.append("log", "ours\n").expect_err("it dies");
    sim.write("log", b"first\ntheirs\nours\ntheirs again\n");
    put(&alive, "x", b"1");
    assert_eq!(read(&sim, "log").as_deref(), Some("first\ntheirs\nours\ntheirs again\n"));
}

/// Attack 38.
#[test]
fn half_a_line_of_a_publisher_that_died_is_not_read() {
    let sim = prepared();
    put(&open(&sim), "log", b"first\n");
    let (store, armed) = just_before(&sim, "open", "log", |sim| {
        let at = When::Matching { op: "write", path_contains: "log".into(), nth: 1 };
        let dead = dies_before(sim, options(), "write", "log", 2);
        sim.fault(Fault { at, kind: FaultKind::ShortWrite, sticky: false });
        dead.append("log", "second\n").expect_err("it dies");
    });
    armed.store(true, Ordering::SeqCst);
    let log = text(&store, "log").expect("it is there");
    assert!(!armed.load(Ordering::SeqCst), "the moment has come");
    assert!(["first\n", "first\nsecond\n"].contains(&&*log), "{log:?}");
    let torn = read(&sim, "log").expect("it is there").len();
    assert!((7..13).contains(&torn), "half of it is there: {torn}");
}

#[test]
fn a_log_that_was_being_written_anew_by_a_process_that_died_is_not_there_twice() {
    let sim = prepared();
    // So large that no record says the hash of what was there before.
    let before = body("a log", 1, 9_000);
    sim.write("log", &before);
    let dead = dies_before(&sim, options(), "sync", "log", 1);
    let alive = open(&sim);
    alive.append("log", "ours\n").expect("it commits");
    dead.checkpoint().expect_err("it dies");
    let dead = dies(&sim, options(), |op, _| op == "unlink");
    dead.checkpoint().expect_err("it dies behind the swap");
    assert!(!staged(&sim).is_empty(), "what was displaced is still there");
    drop((dead, alive));
    let store = open(&sim);
    assert_eq!(store.recovery_report().rescued, []);
    assert_eq!(sim.read("log"), Some([&before[..], b"ours\n"].concat()));
}

#[test]
fn a_log_that_recoveries_die_in_writing_anew_is_not_there_twice() {
    let sim = prepared();
    let before = body("a log", 1, 9_000);
    sim.write("log", &before);
    let store = open(&sim);
    store.append("log", "ours\n").expect("it commits");
    drop(store);
    for last in ["rename", "unlink"] {
        // Somebody died in a checkpoint: every document goes to a new inode.
        sim.write(".filepact/checkpoint.lock", b"10");
        let (world, victim) = (sim.clone(), sim.actor());
        let dies = victim.clone();
        let steps = Steps::new(victim, move |_, op, _| {
            if op == last && !staged(&world).is_empty() {
                world.kill(&dies);
            }
        });
        options().open_with(steps).expect_err("it dies");
        assert!(!staged(&sim).is_empty(), "{last}");
    }
    let store = open(&sim);
    assert_eq!(store.recovery_report().rescued, []);
    assert_eq!(sim.read("log"), Some([&before[..], b"ours\n"].concat()));
}
