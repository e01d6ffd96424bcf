//! What no other test noticed when a single line was taken out (`docs/mutations.md`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use filepact::{Durability, Error, Options, Store};
use filepact_fs::{Fs, Time};
use filepact_journal::{Commit, Journal, RecordKind, Remove, Resume, load, scan};
use filepact_simfs::{Damage, Fault, FaultKind, SimFs, When, errno};
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::history::body;
use filepact_tests::meanwhile::Meanwhile;
use filepact_tests::steps::Steps;

use crate::support::{
    STRICT, after_power_cuts, commit, dies, dies_before, dies_before_swap, distrust, fail, mtime,
    put, read, set_mtime, staged, text,
};

/// A handle beside which `action` happens once, just before its next call of this name on this path,
/// once the flag is set.
fn just_before(
    sim: &SimFs,
    op: &'static str,
    path: &'static str,
    action: impl Fn(&SimFs) + Send + Sync + 'static,
) -> (Store, Arc<AtomicBool>) {
    let armed = Arc::new(AtomicBool::new(false));
    let (world, flag) = (sim.clone(), Arc::clone(&armed));
    let steps = Steps::new(sim.actor(), move |_, called, on| {
        if called == op && on == path && flag.swap(false, Ordering::SeqCst) {
            action(&world);
        }
    });
    (options().open_with(steps).expect("it opens"), armed)
}

/// A process whose sync of this path fails, and which dies before it can say so.
fn dies_with_the_error_of(
    sim: &SimFs,
    options: Options,
    op: &'static str,
    path: &'static str,
) -> Store {
    let failed = AtomicBool::new(false);
    fail(sim, op, path, errno::IO, false);
    dies(sim, options, move |called, on| {
        failed.load(Ordering::SeqCst) || {
            failed.store(called == op && on == path, Ordering::SeqCst);
            false
        }
    })
}

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
    let store = dies_with_the_error_of(&sim, files, "sync_dir", "deep");
    store.write("deep/a.json", &1).expect_err("it is dead");
    assert!(open(&sim).recovery_report().failed, "names");
}

#[test]
fn a_document_that_may_not_be_written_is_not_added_to() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "log", b"line\n");
    sim.advance(Duration::from_secs(60));
    // Its content is known, so that it is opened for nothing else.
    text(&store, "log").expect("it is there");
    put(&store, "other", b"1");
    fail(&sim, "open", "log", errno::PERM, false);
    let said = store.append("log", "more\n");
    assert!(matches!(said, Err(Error::Io { .. })), "{said:?}");
    assert_eq!(read(&sim, "log").as_deref(), Some("line\n"));
    assert_eq!(store.status().expect("it can be read").unpublished, None);
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

/// Commits these while somebody else has the turn, so that they wait in one line for the next one.
fn in_one_turn<T: Send>(
    store: &Store,
    commits: impl IntoIterator<Item = impl FnOnce(&Store) -> T + Send>,
) -> Vec<T> {
    let turn = store.begin_exclusive(Duration::ZERO).expect("nobody else has it");
    std::thread::scope(|scope| {
        let threads: Vec<_> = commits
            .into_iter()
            .map(|commit| {
                let thread = scope.spawn(|| commit(store));
                std::thread::sleep(Duration::from_millis(50));
                thread
            })
            .collect();
        turn.rollback();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

fn patient() -> Options {
    options().lock_timeout(Duration::from_secs(60))
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
}

#[test]
fn what_a_transaction_looks_at_twice_is_the_same() {
    let sim = prepared();
    let store = open(&sim);
    let mut tx = store.begin().expect("the store is open");
    tx.list("").expect("it can be listed");
    sim.write("by-hand", b"1");
    let said = tx.list("");
    assert!(matches!(said, Err(Error::Conflict { .. })), "{said:?}");

    let mut tx = store.begin().expect("the store is open");
    tx.read_bytes("by-hand").expect("it can be read").expect("it is there");
    sim.write("by-hand", b"22");
    let said = tx.read_bytes("by-hand");
    assert!(matches!(said, Err(Error::Conflict { .. })), "{said:?}");
}

/// Attack 6: of the same length, by its time or by its inode.
#[test]
fn an_edit_right_after_the_swap_is_known_by_its_time_and_by_its_inode() {
    for replaced in [false, true] {
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
        sim.advance(Duration::from_secs(60));
        let mut tx = store.begin().expect("the store is open");
        tx.write_bytes("a.json", "mine 2").expect("a valid path");
        let rescued = tx.commit().expect("it commits").rescued;
        assert_eq!(rescued.len(), 1, "replaced: {replaced}");
        assert_eq!(read(&sim, &rescued[0].at).as_deref(), Some("theirs"));
    }
}

#[test]
fn what_somebody_else_adds_in_the_middle_of_an_append_is_an_edit() {
    let sim = prepared();
    let (store, armed) = just_before(&sim, "write", "log", |sim| {
        let before = sim.read("log").expect("it is there");
        sim.write("log", &[&before, &b"theirs\n"[..]].concat());
    });
    put(&store, "log", b"first\n");
    armed.store(true, Ordering::SeqCst);
    store.append("log", "ours\n").expect("it commits");
    assert!(!armed.load(Ordering::SeqCst), "the moment has come");
    sim.advance(Duration::from_secs(60));
    let mut tx = store.begin().expect("the store is open");
    tx.read_bytes("log").expect("it can be read").expect("it is there");
    tx.write_bytes("derived", "1").expect("a valid path");
    tx.commit().expect("it commits");
    assert!(store.log().expect("it can be read").iter().any(|entry| entry.outside));
}

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

#[test]
fn a_save_in_place_in_the_middle_of_a_reading_is_read_whole() {
    let bytes = |byte: u8| vec![byte; 700_000];
    let sim = prepared();
    let reads = Arc::new(AtomicUsize::new(usize::MAX));
    let (world, count) = (sim.clone(), Arc::clone(&reads));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        let is = op == "read" && on == "a.json" && count.load(Ordering::SeqCst) < 9;
        if is && count.fetch_add(1, Ordering::SeqCst) == 1 {
            world.write("a.json", &bytes(b'y'));
        }
    });
    let store = options().open_with(steps).expect("it opens");
    let whole = |content: Option<Vec<u8>>| content == Some(bytes(b'y'));
    sim.write("a.json", &bytes(b'x'));
    reads.store(0, Ordering::SeqCst);
    assert!(whole(store.read_bytes("a.json").expect("it can be read")), "by a reader");

    reads.store(usize::MAX, Ordering::SeqCst);
    let version = store.version("a.json").expect("it can be read");
    sim.write("a.json", &bytes(b'x'));
    let mut tx = store.begin().expect("the store is open");
    tx.expect("a.json", version).expect("a valid path");
    tx.write_bytes("b.json", "1").expect("a valid path");
    reads.store(0, Ordering::SeqCst);
    tx.commit().expect("what was expected is there");
    assert!(reads.load(Ordering::SeqCst) > 2, "the moment has come");
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
fn a_large_edit_of_an_adopted_edit_is_read_whole_beside_a_dead_publisher() {
    let sim = prepared();
    let alive = open(&sim);
    let dead = dies_before_swap(&sim, "b.json");
    put(&alive, "a.json", b"v1");
    sim.write("a.json", &body("theirs", 1, 9_000));
    let mut tx = dead.begin().expect("the store is open");
    tx.read_bytes("a.json").expect("it can be read").expect("it is there");
    tx.write_bytes("b.json", "derived").expect("a valid path");
    tx.commit().expect_err("it dies");
    let longer = body("theirs", 2, 12_000);
    sim.replace("a.json", &longer);
    assert_eq!(alive.read_bytes("a.json").expect("it can be read"), Some(longer));
}

#[test]
fn a_list_beside_a_publisher_that_dies_is_of_one_moment() {
    let sim = prepared();
    let (store, armed) = just_before(&sim, "list", "", |sim| {
        let dead = dies_before_swap(sim, "y.json");
        let mut tx = dead.begin().expect("the store is open");
        tx.write_bytes("x.json", "1").expect("a valid path");
        tx.write_bytes("y.json", "1").expect("a valid path");
        tx.commit().expect_err("it dies");
    });
    armed.store(true, Ordering::SeqCst);
    let names = store.list("").expect("it can be listed");
    assert!(!armed.load(Ordering::SeqCst), "the moment has come");
    let has = |name: &str| names.iter().any(|path| path.as_str() == name);
    assert_eq!(has("x.json"), has("y.json"), "{names:?}");
}

#[test]
fn two_documents_of_one_commit_are_read_of_one_moment_while_it_is_published() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    put(&open(&sim), "b.json", b"v1");
    let (armed, opened) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let (world, flag) = (sim.clone(), Arc::clone(&armed));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        opened.fetch_or(op == "open" && on == "a.json", Ordering::SeqCst);
        let looks_again = op == "read" && on == ".filepact/state";
        if looks_again && opened.load(Ordering::SeqCst) && flag.swap(false, Ordering::SeqCst) {
            commit(&open(&world), &[("a.json", "v2"), ("b.json", "v2")]).expect("it commits");
        }
    });
    let store = options().open_with(steps).expect("it opens");
    armed.store(true, Ordering::SeqCst);
    let mut tx = store.begin().expect("the store is open");
    let a = tx.read_bytes("a.json").expect("it can be read");
    assert!(!armed.load(Ordering::SeqCst), "the moment has come");
    match tx.read_bytes("b.json") {
        Ok(b) => assert_eq!(a, b),
        Err(error) => assert!(matches!(error, Error::Conflict { .. }), "{error:?}"),
    }
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
    put(&alive, "x", b"1");
    assert_eq!(read(&sim, "log").as_deref(), Some("first\ntheirs\nours\n"));
}

#[test]
fn a_directory_in_stage_is_rescued_by_whoever_sweeps() {
    let sim = prepared();
    drop(open(&sim));
    sim.mkdir(".filepact/stage/99.1.left");
    sim.write(".filepact/stage/99.1.left/theirs", b"theirs");
    let store = open(&sim);
    let rescued = &store.recovery_report().rescued;
    assert_eq!(rescued.len(), 1);
    assert_eq!(read(&sim, &format!("{}/theirs", rescued[0].at)).as_deref(), Some("theirs"));
    assert_eq!(staged(&sim), Vec::<String>::new());
}

#[test]
fn an_edit_as_long_as_our_body_or_longer_is_not_taken_for_a_torn_one() {
    let large = body("ours", 1, 9_000);
    let longer = b"ours and theirs".to_vec();
    for (ours, edit) in [(large, body("theirs", 2, 9_000)), (b"ours".to_vec(), longer)] {
        let sim = prepared();
        put(&open(&sim), "a.json", &ours);
        sim.replace("a.json", &edit);
        distrust(&sim);
        let store = open(&sim);
        let rescued = &store.recovery_report().rescued;
        assert_eq!(rescued.len(), 1, "{:?}", store.recovery_report());
        assert_eq!(sim.read(&rescued[0].at), Some(edit));
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
    assert_eq!(mark(&sim), "1");

    // A sync that found no room: the next one would succeed, and prove nothing.
    let sim = prepared();
    let store = open(&sim);
    sim.write("by-hand", b"just now");
    fail(&sim, "sync", "by-hand", errno::NOSPC, false);
    derive(&store).expect_err("the disk is full");
    assert_eq!(mark(&sim), "1");
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
        let steps_read = When::Matching { op: "read", path_contains: "journal/".into(), nth: 2 };
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

#[test]
fn a_checkpoint_reads_back_what_another_process_has_published() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"v1");
    sim.damage("a.json", Damage::FlipBit { offset: 0, bit: 0 });
    b.checkpoint().expect_err("it is not what was written");
}

#[test]
fn a_mark_that_a_process_left_behind_its_record_is_cleared() {
    let sim = prepared();
    let alive = open(&sim);
    let dead = dies_before(&sim, options(), "write", ".filepact/checkpoint.lock", 2);
    put(&dead, "a.json", b"v1");
    dead.checkpoint().expect_err("it dies");
    alive.checkpoint().expect("nothing has changed since");
    assert_eq!(read(&sim, ".filepact/checkpoint.lock").as_deref(), Some("0"));
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
fn a_network_file_system_is_refused_unless_asked_for() {
    let sim = prepared();
    sim.set_network(Some("nfs"));
    let refused = options().open_with(sim.actor());
    assert!(matches!(refused, Err(Error::Network { .. })), "{refused:?}");
    options().allow_network(true).open_with(sim.actor()).expect("it was asked for");
}

#[test]
fn a_journal_that_names_what_is_no_document_is_refused() {
    for path in ["../outside", ".filepact/state", "a//b"] {
        let sim = prepared();
        drop(open(&sim));
        let fs: Arc<dyn Fs> = sim.actor();
        let segments = load(&*fs).expect("it can be read");
        let bytes: Vec<_> = segments.iter().map(|s| (s.first, &*s.bytes)).collect();
        let found = scan(&bytes, None).expect("it is sound");
        let mut journal = Journal::resume(fs, &found, Resume::Tail).expect("it goes on");
        let forged = vec![
            RecordKind::Remove(Remove { path: path.to_owned(), was: None }),
            RecordKind::Commit(Commit::default()),
        ];
        let _ = journal.append(forged, Time(0)).expect("nothing fails here");
        let refused = options().open_with(sim.actor());
        let is = matches!(&refused, Err(Error::Unrecoverable { path: of, .. }) if of == path);
        assert!(is, "{path}: {refused:?}");
    }
}

#[test]
fn another_content_under_the_commits_time_is_a_lost_write_also_where_the_cache_is_trusted() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    sim.damage("a.json", Damage::FlipBit { offset: 0, bit: 0 });
    let store = open(&sim);
    assert!(store.recovery_report().trusted);
    assert_eq!(text(&store, "a.json").as_deref(), Some("v1"));
    assert_eq!(store.recovery_report().adopted, Vec::<String>::new());
}

#[test]
fn zeros_that_a_power_cut_left_of_the_users_file_are_no_edit() {
    let sim = prepared();
    let store = open(&sim);
    sim.write("notes.json", &[b'x'; 100]);
    put(&store, "notes.json", b"v1");
    drop(store);
    let mut zeros = 0;
    for world in sim.world().power_cut(&STRICT, 256, 1).worlds {
        zeros += usize::from(world.read("notes.json") == Some(vec![0; 100]));
        let store = open(&world);
        assert_eq!(store.recovery_report().rescued, []);
        assert_eq!(text(&store, "notes.json").as_deref(), Some("v1"));
    }
    assert!(zeros > 0, "no power cut left zeros: the test proves nothing");
}

/// Attacks 15 and 36.
#[test]
fn a_recovery_that_dies_with_the_error_of_the_journals_sync_leaves_word_of_it() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    distrust(&sim);
    fail(&sim, "sync", ".filepact/journal", errno::IO, false);
    let actor = sim.actor();
    let (world, victim) = (sim.clone(), actor.clone());
    let failed = AtomicBool::new(false);
    let steps = Steps::new(actor, move |_, op, on| {
        if failed.load(Ordering::SeqCst) {
            world.kill(&victim);
        }
        failed.fetch_or(op == "sync" && on.contains("/journal/"), Ordering::SeqCst);
    });
    options().open_with(steps).expect_err("it is dead");
    assert!(open(&sim).recovery_report().failed);
}

#[test]
fn an_edit_that_changes_while_a_recovery_adopts_it_is_adopted_by_the_next() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    sim.write("a.json", b"an edit");
    let (world, opened) = (sim.clone(), AtomicUsize::new(0));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if op == "open" && on == "a.json" && opened.fetch_add(1, Ordering::SeqCst) == 1 {
            world.write("a.json", b"another");
        }
    });
    let refused = options().open_with(steps);
    assert!(matches!(refused, Err(Error::Unrecoverable { .. })), "{refused:?}");
    let store = open(&sim);
    assert_eq!(store.recovery_report().adopted, ["a.json"]);
    assert_eq!(text(&open(&sim), "a.json").as_deref(), Some("another"));
}
