//! Appends: an event log beside its index, and others who add to the same file.

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use filepact::{Durability, Error, LoggedKind, Store, Version};
use filepact_fs::{Fs, LockKind, OsFs, Time};
use filepact_simfs::{SimFs, errno};
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::history::{INLINE_MAX, body};
use filepact_tests::steps::Steps;

use crate::support::{
    STRICT, after_power_cuts, dies, dies_of_a_sync, echo, fail, moment, put, read, set_mtime,
    staged, text,
};

/// A log of one line, which is durable.
const FIRST: &str = "first\n";

fn with_log() -> SimFs {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "log", FIRST.as_bytes());
    store.close().expect("nothing fails here");
    sim.write_back_all();
    sim
}

fn add(store: &Store, line: &str) {
    store.append("log", line).expect("nothing stands in the way");
}

fn log(sim: &SimFs) -> String {
    read(sim, "log").expect("it is there")
}

/// How often a line stands in a log.
fn count(log: &str, line: &str) -> usize {
    log.matches(line).count()
}

#[test]
fn an_append_makes_or_lengthens_a_document_and_keeps_its_inode() {
    let sim = prepared();
    let store = open(&sim);
    add(&store, "one\n");
    let before = sim.stat("log").expect("it is there");
    add(&store, "two\n");
    store.append("log", "").expect("nothing is no change");
    let after = sim.stat("log").expect("it is there");
    assert_eq!((log(&sim).as_str(), after.stamp.ino), ("one\ntwo\n", before.stamp.ino));
    let large = "x".repeat(3 * INLINE_MAX);
    add(&store, &large);
    assert_eq!(log(&sim), format!("one\ntwo\n{large}"));
    let kinds = store.log().expect("it can be read").into_iter();
    let kinds: Vec<_> = kinds.flat_map(|logged| logged.changes).map(|change| change.kind).collect();
    let len = large.len() as u64;
    let version = Version::of(b"one\n");
    assert_eq!(
        kinds[kinds.len() - 3..],
        [
            LoggedKind::Put { len: 4, version },
            LoggedKind::Append { len: 4 },
            LoggedKind::Append { len }
        ]
    );
    let check = store.check().expect("it can be checked");
    assert!(check.problems.is_empty() && check.outside_edits.is_empty(), "{check:?}");
    store.close().expect("nothing fails here");
    assert_eq!(staged(&sim), Vec::<String>::new());
}

#[test]
fn a_transaction_sees_what_it_adds() {
    let sim = with_log();
    let store = open(&sim);
    let mut tx = store.begin().expect("the store is open");
    let sees = |tx: &mut filepact::Transaction, path: &str| {
        let bytes = tx.read_bytes(path).expect("it can be read");
        let mut read = Vec::new();
        if let Some(mut reader) = tx.reader(path).expect("it can be read") {
            reader.read_to_end(&mut read).expect("it can be read");
        }
        assert_eq!(bytes.clone().unwrap_or_default(), read);
        let version = tx.version(path).expect("it can be read");
        assert_eq!(version, bytes.as_deref().map(Version::of));
        bytes.map(|bytes| String::from_utf8(bytes).expect("text"))
    };
    let done = |outcome: Result<(), Error>| outcome.expect("a valid call");
    done(tx.append("log", "a"));
    done(tx.append("log", "b\n"));
    assert_eq!(sees(&mut tx, "log").as_deref(), Some("first\nab\n"));
    done(tx.append("new", "n"));
    assert!(tx.exists("new").expect("it can be read"));
    assert!(matches!(tx.create("new", &1), Err(Error::Exists { .. })));
    let names = tx.list("").expect("it can be listed");
    assert!(names.iter().any(|name| name.as_str() == "new"), "{names:?}");
    done(tx.write_bytes("put", "p"));
    done(tx.append("put", "+"));
    assert_eq!(sees(&mut tx, "put").as_deref(), Some("p+"));
    done(tx.write_bytes("large", "l".repeat(3 * INLINE_MAX)));
    done(tx.append("large", "+"));
    done(tx.append("replaced", "gone"));
    done(tx.write_bytes("replaced", "r"));
    assert_eq!(sees(&mut tx, "replaced").as_deref(), Some("r"));
    done(tx.remove("a.json"));
    done(tx.append("a.json", "again"));
    assert_eq!(sees(&mut tx, "a.json").as_deref(), Some("again"));
    done(tx.append("b.json", "tail"));
    done(tx.rename("b.json", "moved.json"));
    assert_eq!(sees(&mut tx, "b.json"), None);
    done(tx.append("dropped", "x"));
    done(tx.remove("dropped"));
    assert_eq!(sees(&mut tx, "dropped"), None);
    let moved = sees(&mut tx, "moved.json").expect("it was moved");
    tx.commit().expect("it commits");

    let large = "l".repeat(3 * INLINE_MAX) + "+";
    for (path, body) in [
        ("log", Some("first\nab\n")),
        ("new", Some("n")),
        ("put", Some("p+")),
        ("large", Some(&*large)),
        ("replaced", Some("r")),
        ("a.json", Some("again")),
        ("b.json", None),
        ("moved.json", Some(&*moved)),
        ("dropped", None),
    ] {
        assert_eq!(read(&sim, path).as_deref(), body, "{path}");
    }
}

#[test]
fn who_only_adds_never_conflicts_and_who_has_read_does() {
    let sim = with_log();
    let (one, other) = (open(&sim), open(&sim));
    let mut adds = one.begin().expect("the store is open");
    adds.append("log", "one\n").expect("a valid path");
    let mut reads = one.begin().expect("the store is open");
    reads.read_bytes("log").expect("it can be read");
    reads.append("log", "never\n").expect("a valid path");
    add(&other, "other\n");
    adds.commit().expect("it depends on nothing");
    assert!(matches!(reads.commit(), Err(Error::Conflict { .. })));
    assert_eq!(log(&sim), "first\nother\none\n");
}

#[test]
fn threads_that_add_to_one_log_share_a_sync() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("it opens");
    store.append("log", "0\n").expect("it commits");
    let before = store.status().expect("it can be read").counts.groups;
    let fs = OsFs::open(folder.path()).expect("it is a folder");
    let held = fs.lock(".filepact/lock", LockKind::Exclusive, Duration::ZERO);
    let mut lines = thread::scope(|scope| {
        let threads: Vec<_> = (1..9)
            .map(|number| {
                let store = &store;
                scope.spawn(move || {
                    let line = format!("{number}\n");
                    (store.append("log", &line).expect("it commits").txn, line)
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(200));
        drop(held);
        let lines = threads.into_iter().map(|thread| thread.join().expect("no thread panics"));
        lines.collect::<Vec<_>>()
    });
    assert_eq!(store.status().expect("it can be read").counts.groups, before + 1);
    // In the order of their transactions.
    lines.sort();
    let expected: String = lines.into_iter().map(|(_, line)| line).collect();
    assert_eq!(text(&store, "log"), Some(format!("0\n{expected}")));
}

/// Attack 22: `echo FOREIGN >> log` between C4 and C8 is not overwritten.
#[test]
fn attack_22_what_another_program_adds_at_the_same_time_stays() {
    let sim = with_log();
    let (outside, once) = (sim.clone(), AtomicBool::new(true));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if op == "write" && on == "log" && once.swap(false, Ordering::SeqCst) {
            echo(&outside, "log", "foreign\n");
        }
    });
    let store = options().open_with(steps).expect("it opens");
    add(&store, "ours\n");
    // So old that it is not synced before it is added to.
    sim.advance(Duration::from_secs(61));
    add(&store, "more\n");
    assert_eq!(log(&sim), "first\nforeign\nours\nmore\n");
    let reader = open(&sim);
    assert_eq!(text(&reader, "log").as_deref(), Some("first\nforeign\nours\nmore\n"));
    after_power_cuts(&sim, 512, |world, store| {
        let log = log(world);
        assert!(log.starts_with("first\nforeign\n"), "{log:?}");
        // A torn line of ours may stand before the whole one.
        assert!(log.contains("ours\n") && log.ends_with("more\n"), "{log:?}");
        assert!(!log.contains('\0'), "{log:?}");
        assert!(store.recovery_report().rescued.is_empty(), "{log:?}");
    });
}

/// Attack 22: the file is shorter than the offset, or longer than the append's end.
#[test]
fn attack_22_a_log_that_others_have_cut_or_lengthened_keeps_what_is_theirs() {
    for theirs in ["", "fi", "rotated by another tool\n", "first\nours\nand theirs\n"] {
        let sim = with_log();
        let store = open(&sim);
        add(&store, "ours\n");
        sim.write("log", theirs.as_bytes());
        sim.write_back("log");
        // The user's edit stands: the transaction was published before.
        let adopts = sim.world().process_death();
        drop(open(&adopts));
        assert_eq!(log(&adopts), theirs);
        after_power_cuts(&sim, 64, |world, _| {
            let log = log(world);
            assert!(log.starts_with(theirs), "{theirs:?}: {log:?}");
            assert_eq!(count(&log, "ours\n"), 1, "{theirs:?}: {log:?}");
        });
    }
}

/// Attack 37: of two identical bodies the first one's page is lost.
#[test]
fn attack_37_identical_lines_are_told_apart_by_their_places() {
    let sim = prepared();
    let store = open(&sim);
    let page = "p".repeat(4096 - 7) + "\n";
    put(&store, "log", page.as_bytes());
    store.checkpoint().expect("nothing fails here");
    sim.write_back_all();
    for _ in 0..3 {
        add(&store, "same\n");
    }
    after_power_cuts(&sim, 512, |world, _| {
        assert_eq!(log(world), format!("{page}same\nsame\nsame\n"));
    });
}

/// Attack 37: a process dies in the middle of the write, and somebody adds a line behind the half.
#[test]
fn attack_37_a_foreign_line_behind_our_torn_one_stays() {
    let sim = with_log();
    let store = open(&sim);
    sim.record();
    add(&store, "ours, a longer line\n");
    drop(store);
    let halves = moment(&sim, "write log").world.process_death_variants();
    assert!(halves.iter().any(|half| log(half).len() > FIRST.len()), "some are torn");
    for half in halves {
        let (alone, beside) = (half.fork(), half.fork());
        echo(&alone, "log", "foreign\n");
        let before = log(&alone);
        drop(open(&alone));
        assert!(log(&alone).starts_with(&before), "{:?}", log(&alone));
        assert_eq!(count(&log(&alone), "ours, a longer line\n"), 1, "{:?}", log(&alone));
        // Nobody came between: then no half is left.
        drop(open(&beside));
        assert_eq!(log(&beside), "first\nours, a longer line\n");
    }
}

/// Attack 38: an append's word is not a body, and a put may follow it.
#[test]
fn attack_38_readers_see_an_append_that_is_not_at_its_path_yet() {
    let large = "l".repeat(3 * INLINE_MAX);
    for line in ["ours\n", &*large] {
        let sim = with_log();
        let (alive, reads) = (open(&sim), open(&sim));
        let mut kept = reads.begin().expect("the store is open");
        let mut before = kept.reader("log").expect("it can be read").expect("it is there");
        let dead = dies(&sim, options(), |op, on| op == "write" && on == "log");
        dead.append("log", line).expect_err("it dies");
        assert_eq!(log(&sim), FIRST, "it is not at its path");
        for store in [&reads, &open(&sim)] {
            assert_eq!(text(store, "log"), Some(format!("{FIRST}{line}")));
            let version = store.version("log").expect("it can be read").expect("it is there");
            assert_eq!(version, Version::of(format!("{FIRST}{line}").as_bytes()));
        }
        // The next one heals, and adds.
        add(&alive, "more\n");
        assert_eq!(log(&sim), format!("{FIRST}{line}more\n"));
        // The reader keeps the moment at which it was made.
        let mut old = String::new();
        before.read_to_string(&mut old).expect("it can be read");
        assert_eq!(old, FIRST);
        put(&alive, "log", b"new");
        assert_eq!(text(&reads, "log").as_deref(), Some("new"));
    }
}

/// Attack 38: a large body shares its inode with its staged name, and a later append lengthens both.
#[test]
fn attack_38_a_large_body_that_was_lengthened_is_read_at_its_length() {
    let sim = prepared();
    let large = "l".repeat(3 * INLINE_MAX);
    let store = open(&sim);
    put(&store, "log", large.as_bytes());
    add(&store, "ours\n");
    after_power_cuts(&sim, 512, |world, store| {
        assert_eq!(log(world), format!("{large}ours\n"));
        let report = store.recovery_report();
        assert!(report.rescued.is_empty() && report.left.is_empty(), "{report:?}");
    });
    put(&store, "log", b"short");
    after_power_cuts(&sim, 512, |world, store| {
        assert_eq!(log(world), "short");
        let report = store.recovery_report();
        assert!(report.rescued.is_empty() && report.left.is_empty(), "{report:?}");
    });
}

#[test]
fn a_process_that_dies_at_any_call_of_an_append_is_healed() {
    let line = "ours, a longer line\n";
    for nth in 1.. {
        let sim = with_log();
        let alive = open(&sim);
        let (world, victim) = (sim.clone(), sim.actor());
        let (dies, calls) = (victim.clone(), Arc::new(AtomicBool::new(false)));
        let died = Arc::clone(&calls);
        let steps = Steps::new(victim, move |n, _, _| {
            if n == nth {
                died.store(true, Ordering::SeqCst);
                world.kill(&dies);
            }
        });
        let outcome = options().open_with(steps).and_then(|store| store.append("log", line));
        if !calls.load(Ordering::SeqCst) {
            outcome.expect("nobody dies");
            break;
        }
        add(&alive, "more\n");
        let log = log(&sim);
        let whole = [format!("{FIRST}more\n"), format!("{FIRST}{line}more\n")];
        assert!(whole.contains(&log), "call {nth}: {log:?}");
        assert!(outcome.is_err() || log == whole[1], "call {nth}: it was acknowledged");
    }
}

#[test]
fn what_many_processes_added_is_nobodys_edit() {
    let sim = with_log();
    let (one, other) = (open(&sim), open(&sim));
    for number in 0..20 {
        add(&one, &format!("{number}\n"));
        add(&other, &format!("{number}\n"));
    }
    for store in [&one, &other] {
        let check = store.check().expect("it can be checked");
        assert!(check.problems.is_empty() && check.outside_edits.is_empty(), "{check:?}");
    }
    // Who has no stamp of it reads it and replaces it: nothing is adopted, nothing is rescued.
    let before = text(&one, "log").expect("it is there");
    one.transact::<_, Error>(|tx| {
        let bytes = tx.read_bytes("log")?.unwrap_or_default();
        tx.write_bytes("copy", bytes)?;
        tx.append("log", "last\n")
    })
    .expect("it commits");
    put(&one, "log", b"new");
    let status = one.status().expect("it can be read");
    assert_eq!((status.counts.adopted, status.rescued), (0, vec![]));
    assert_eq!(text(&other, "copy"), Some(before));
    for store in [one, other] {
        store.close().expect("nothing fails here");
    }
    assert_eq!(log(&sim), "new");
}

#[test]
fn an_edit_of_a_log_is_seen_between_appends() {
    let sim = with_log();
    let store = open(&sim);
    add(&store, "one\n");
    sim.advance(Duration::from_secs(10));
    sim.write("log", b"FIRST\none\n");
    assert_eq!(store.check().expect("it can be checked").outside_edits, ["log"]);
    // An append depends on nothing, and replaces nothing.
    add(&store, "two\n");
    assert_eq!(log(&sim), "FIRST\none\ntwo\n");
    // A put that has not read it displaces what it knows: all of that, with the edit in it.
    sim.advance(Duration::from_secs(10));
    sim.write("log", b"mine\n");
    put(&store, "log", b"ours");
    let rescued = store.status().expect("it can be read").rescued;
    assert_eq!(rescued.len(), 1, "{rescued:?}");
    assert_eq!(read(&sim, &rescued[0].at).as_deref(), Some("mine\n"));
}

#[test]
fn attack_4_appends_are_written_anew_after_a_failed_sync() {
    for op in ["checkpoint", "recovery"] {
        let sim = with_log();
        let store = open(&sim);
        add(&store, "ours\n");
        if op == "checkpoint" {
            fail(&sim, "sync", "log", errno::IO, false);
            // It dies before it can say so.
            fail(&sim, "write", ".filepact/state", errno::IO, true);
            store.checkpoint().expect_err("the sync fails");
            drop(store);
        } else {
            drop(store);
            let dies = dies_of_a_sync(&sim, "log");
            options().open_with(dies).expect_err("it is dead");
        }
        sim.clear_faults();
        let store = open(&sim);
        assert!(store.recovery_report().failed);
        drop(store);
        sim.evict_all();
        assert_eq!(log(&sim), "first\nours\n", "after a failed {op}");
        after_power_cuts(&sim, 64, |world, _| {
            assert_eq!(log(world), "first\nours\n", "after a failed {op}");
        });
    }
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_an_append_loses_nothing() {
    let sim = with_log();
    let store = open(&sim);
    fail(&sim, "write", "log", errno::NOSPC, true);
    let outcome = store.append("log", "ours\n");
    assert!(matches!(outcome, Err(Error::Unpublished { .. })), "{outcome:?}");
    assert_eq!(text(&store, "log").as_deref(), Some("first\nours\n"), "it is committed");
    store.append("log", "more\n").expect_err("nothing is accepted before it is published");
    sim.clear_faults();
    add(&store, "more\n");
    assert_eq!(log(&sim), "first\nours\nmore\n");
}

#[test]
fn a_log_that_was_removed_or_replaced_in_the_middle_is_made_of_what_is_added() {
    let sim = with_log();
    let (outside, once) = (sim.clone(), AtomicBool::new(true));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        // After validation: just before the bytes are added.
        if op == "write" && on == ".filepact/state" && outside.read("log").is_some() {
            let is_committed = outside.tree().iter().any(|(path, bytes)| {
                path.starts_with(".filepact/journal/")
                    && String::from_utf8_lossy(bytes).contains("ours")
            });
            if is_committed && once.swap(false, Ordering::SeqCst) {
                outside.rename("log", "log.1");
            }
        }
    });
    let store = options().open_with(steps).expect("it opens");
    add(&store, "ours\n");
    add(&store, "more\n");
    assert_eq!(read(&sim, "log.1").as_deref(), Some(FIRST));
    assert_eq!(log(&sim), "ours\nmore\n");
    store.checkpoint().expect("it is no lost write");
}

/// Found by a random history: the record said that the addition stands behind the version that filepact knew,
/// which another program had removed; so the new document was read as that version, with the addition to come.
#[test]
fn what_is_added_to_a_removed_log_is_never_read_twice() {
    let sim = with_log();
    let reader = Arc::new(open(&sim));
    let (beside, found) = (Arc::clone(&reader), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&found);
    let steps = Steps::new(sim.actor(), move |_, _, _| {
        let log = text(&beside, "log").unwrap_or_default();
        seen.lock().expect("nobody panics").push(log);
    });
    let store = options().open_with(steps).expect("it opens");
    sim.remove("log");
    sim.write_back_all();
    found.lock().expect("nobody panics").clear();
    sim.record();
    // As long as the line before.
    add(&store, "again\n");
    let found = std::mem::take(&mut *found.lock().expect("nobody panics"));
    let is_done = found.iter().position(|log| log == "again\n").expect("it is committed");
    assert!(found[..is_done].iter().all(String::is_empty), "{found:?}");
    assert!(found[is_done..].iter().all(|log| log == "again\n"), "{found:?}");
    for moment in sim.recorded() {
        let mut worlds = vec![moment.world.process_death()];
        worlds.extend(moment.world.power_cut(&STRICT, 64, 1).worlds);
        for world in worlds {
            drop(open(&world));
            let log = read(&world, "log").unwrap_or_default();
            assert!(["", "again\n"].contains(&log.as_str()), "{log:?}, before {}", moment.call);
        }
    }
}

/// What was added to a log that had been moved away was recorded as what replaces it: put back before that was
/// published, it was dropped.
#[test]
fn a_log_that_is_put_back_under_what_was_added_without_it_is_rescued() {
    for process_dies in [false, true] {
        let sim = with_log();
        let (world, once) = (sim.clone(), AtomicBool::new(true));
        let actor = sim.actor();
        let victim = actor.clone();
        let steps = Steps::new(actor, move |_, op, on| {
            if op == "rename" && on.ends_with(" -> log") && once.swap(false, Ordering::SeqCst) {
                world.rename("log.1", "log");
                if process_dies {
                    world.kill(&victim);
                }
            }
        });
        let store = options().open_with(steps).expect("it opens");
        put(&store, "other", b"it is read, and known");
        assert_eq!(text(&store, "log").as_deref(), Some(FIRST));
        sim.rename("log", "log.1");
        assert_eq!(store.append("log", "second\n").is_err(), process_dies);
        drop(store);
        let store = open(&sim);
        assert_eq!(log(&sim), "second\n");
        let rescued = store.status().expect("it answers").rescued;
        let [edit] = &rescued[..] else { panic!("{rescued:?}, dies: {process_dies}") };
        assert_eq!(read(&sim, &edit.at).as_deref(), Some(FIRST));
    }
}

/// Found by the fuzzer: the version before begins with the body that cuts it short, and what was added to
/// that body was added to the whole version.
#[test]
fn a_log_that_was_cut_short_and_added_to_is_not_taken_for_the_version_before() {
    for short in ["", "fir"] {
        let sim = with_log();
        let store = open(&sim);
        put(&store, "log", short.as_bytes());
        add(&store, "ours\n");
        after_power_cuts(&sim, 2048, |world, store| {
            assert_eq!(log(world), format!("{short}ours\n"), "{:?}", store.recovery_report());
            assert_eq!(store.recovery_report().rescued, []);
        });
    }
}

#[test]
fn a_version_that_a_power_cut_tore_is_nobodys_edit() {
    let sim = with_log();
    let store = open(&sim);
    add(&store, &"x".repeat(1_500));
    add(&store, &"y".repeat(1_500));
    add(&store, &"z".repeat(1_900));
    put(&store, "log", b"new");
    store.remove("log").expect("it is there");
    after_power_cuts(&sim, 2048, |world, store| {
        assert_eq!(read(world, "log"), None);
        let report = store.recovery_report();
        assert!(report.rescued.is_empty(), "{report:?}\n{}", world.dump());
    });
}

/// Found by real file systems that were shut down: the time of an addition was on the disk, and what it
/// added was not. Nobody has read the long version for the record, so that it is known by its time alone.
#[test]
fn a_long_version_without_its_addition_may_lie_in_rescued_when_a_put_displaced_it() {
    let sim = with_log();
    let store = open(&sim);
    let long = "x".repeat(INLINE_MAX + 1_000);
    put(&store, "log", long.as_bytes());
    store.checkpoint().expect("nothing fails here");
    sim.write_back_all();
    add(&store, "ours\n");
    put(&store, "log", b"new");
    let copies = AtomicUsize::new(0);
    after_power_cuts(&sim, 2048, |world, store| {
        assert_eq!(log(world), "new");
        assert!(store.recovery_report().adopted.is_empty());
        for copy in &store.recovery_report().rescued {
            // Ours, whole or without a part of what was added: noise, and no loss.
            let copy = read(world, &copy.at).expect("it lies there");
            assert!(copy.starts_with(&long), "{} bytes", copy.len());
            copies.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_ne!(copies.into_inner(), 0, "no longer so? Then docs/protocol.md can promise more");
}

#[test]
fn the_time_of_an_append_is_not_taken_for_that_of_an_edit() {
    let sim = with_log();
    let store = open(&sim);
    add(&store, "ours\n");
    let stamp = sim.stat("log").expect("it is there").stamp;
    drop(store);
    // The user cuts it after the program has gone.
    sim.write("log", b"cut\n");
    assert_ne!(sim.stat("log").expect("it is there").stamp.mtime, stamp.mtime);
    let store = open(&sim);
    assert_eq!(store.recovery_report().adopted, ["log"]);
    assert_eq!(log(&sim), "cut\n");
    // With our own time it is a write that the disk has lost.
    add(&store, "ours\n");
    let stamp = sim.stat("log").expect("it is there").stamp;
    drop(store);
    sim.write("log", b"cut\n");
    set_mtime(&sim, "log", stamp.mtime);
    drop(open(&sim));
    assert_eq!(log(&sim), "cut\nours\n");
}

/// The body lies in a spare, and not on the disk yet: what a power cut makes of it and of the version before
/// is told apart as long as nothing is added to it.
#[test]
fn what_is_added_to_a_body_in_a_spare_stands_behind_that_body() {
    for case in ["at once", "touched", "buffered"] {
        let sim = prepared();
        let store = open(&sim);
        let buffered = options().durability(Durability::Buffered).open_with(sim.actor());
        for (round, len) in [1_900, 1_800, 700].into_iter().enumerate() {
            put(&store, "log", &body("log", round, len));
        }
        // All but what the document holds is on the disk. Of a large addition the journal has no bytes.
        for path in ["", ".filepact/stage"] {
            sim.write_back(path);
        }
        match case {
            "touched" => set_mtime(&sim, "log", Time(1)),
            "buffered" => add(&buffered.expect("it joins"), "a line\n"),
            _ => {}
        }
        store.append("log", body("more", 1, 3 * INLINE_MAX)).expect("nothing stands in the way");
        let whole = sim.read("log");
        for world in sim.world().power_cut(&STRICT, 2_000, 1).worlds {
            drop(open(&world));
            assert_eq!(world.read("log"), whole, "{case} {}", world.dump());
        }
    }
}

/// A document was renamed, another program made a new one in its place, and something was added to that: with the
/// power went what was added, and then all of it, since the last that was said of its body was a removal.
#[test]
fn what_is_added_to_a_document_made_after_a_removal_is_kept() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "log", b"v1\n");
    store.rename("log", "log.1").expect("nothing is there");
    sim.write("log", b"theirs\n");
    store.append("log", "ours\n").expect("it is there");
    drop(store);
    let mut worlds = sim.world().power_cut(&STRICT, 64, 1).worlds;
    worlds.push(sim.world().process_death());
    for world in worlds {
        let before = world.dump();
        let status = open(&world).status().expect("it can be read");
        assert!(status.rescued.is_empty(), "{status:?}\n{before}");
        assert_eq!(read(&world, "log").as_deref(), Some("theirs\nours\n"), "{before}");
        assert_eq!(read(&world, "log.1").as_deref(), Some("v1\n"), "{before}");
    }
}

/// A large log is cut short, and added to: the power cut brings back the version before, which begins with the
/// new one, and is none that one record knows.
#[test]
fn a_large_log_that_was_cut_short_and_added_to_stays_cut_short() {
    for (leases, removed) in [(true, false), (true, true), (false, false), (false, true)] {
        let sim = with_log();
        sim.set_leases(leases);
        let store = open(&sim);
        let header = if removed { "# of today\n" } else { "" };
        put(&store, "log", format!("{header}{}", "x".repeat(INLINE_MAX + 1_000)).as_bytes());
        store.checkpoint().expect("nothing fails here");
        sim.write_back_all();
        add(&store, "one\n");
        if removed {
            store.remove("log").expect("it is there");
            add(&store, header);
        } else {
            add(&store, "two\n");
            put(&store, "log", b"");
        }
        add(&store, "y\n");
        after_power_cuts(&sim, 2_048, |world, store| {
            assert_eq!(log(world), format!("{header}y\n"), "{leases} {removed}");
            assert!(store.recovery_report().adopted.is_empty());
        });
    }
}

/// Another program's file was not on the disk yet when it was replaced unread.
#[test]
fn what_a_power_cut_has_left_of_an_edit_is_not_added_to_in_place_of_the_put_that_replaced_it() {
    for leases in [true, false] {
        let sim = with_log();
        sim.set_leases(leases);
        let store = open(&sim);
        sim.write("log", &b"theirs\n".repeat(2_000));
        sim.write_back("");
        put(&store, "log", b"");
        add(&store, "y\n");
        after_power_cuts(&sim, 2_048, |world, _| assert_eq!(log(world), "y\n", "{leases}"));
    }
}

/// It has the inode of the version before, which no other version of ours has that displaced it.
#[test]
fn an_edit_in_place_that_all_have_added_to_keeps_every_line() {
    let sim = with_log();
    let store = open(&sim);
    sim.write("log", b"by hand\n");
    sim.write_back("log");
    let mut tx = store.begin().expect("the store is open");
    tx.read_bytes("log").expect("it is there");
    tx.write_bytes("index", "1").expect("a valid path");
    tx.commit().expect("nothing stands in the way");
    add(&store, "ours\n");
    echo(&sim, "log", "theirs\n");
    after_power_cuts(&sim, 256, |world, store| {
        assert_eq!(log(world), "by hand\nours\ntheirs\n");
        assert!(store.recovery_report().rescued.is_empty());
    });
}

/// The number of an inode is given again: a document of ours has that of the version before the last checkpoint.
#[test]
fn what_others_add_to_a_document_with_the_number_of_an_older_inode_stays() {
    let sim = with_log();
    let first = sim.stat("log").expect("it is there").stamp.ino;
    let store = open(&sim);
    put(&store, "log", b"v1\n");
    put(&store, "log", b"v2\n");
    assert_eq!(sim.stat("log").expect("it is there").stamp.ino, first);
    add(&store, "ours\n");
    echo(&sim, "log", "theirs\n");
    drop(store);
    sim.write_back_all();
    after_power_cuts(&sim, 16, |world, store| {
        assert_eq!(log(world), "v2\nours\ntheirs\n");
        assert!(store.recovery_report().rescued.is_empty());
    });
}
