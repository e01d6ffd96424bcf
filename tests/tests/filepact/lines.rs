//! What no other test noticed when a single line was taken out (`docs/mutations.md`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filepact::{Durability, Error, Options, Store};
use filepact_simfs::{SimFs, errno};
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::history::body;
use filepact_tests::meanwhile::Meanwhile;
use filepact_tests::steps::Steps;

use crate::support::{
    after_power_cuts, dies, dies_before, fail, mtime, put, read, set_mtime, staged, text,
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
