//! Attack 11: a child of `fork` shares its parent's locks and handles, and must do no harm with them.
//!
//! In a binary of its own: a child of a process with many threads may not do much.

use std::process::exit;
use std::time::Duration;

use filepact::{Error, Store};
use filepact_fs::{Fs, OsFs};
use fork::{Fork, fork, waitpid};

/// Runs `work` in a child; it must return `true`.
fn in_child(work: impl FnOnce() -> bool) {
    match fork().expect("there is room for a process") {
        Fork::Child => exit(if work() { 0 } else { 1 }),
        Fork::Parent(child) => assert_eq!(waitpid(child).expect("it ends"), 0),
    }
}

#[test]
fn attack_11_a_child_neither_writes_nor_reads_nor_frees_what_its_parent_holds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = || Store::options().lock_timeout(Duration::ZERO);
    let store = options().open(folder.path()).expect("it opens");
    store.write("a.json", &1).expect("it commits");
    let other = options().open(folder.path()).expect("it joins");

    let mut held = Some(store.begin_exclusive(Duration::ZERO).expect("nobody has it"));
    let mut begun = Some(store.begin().expect("the store is open"));
    let mut store = Some(store);
    in_child(|| {
        let store = store.take().expect("it was opened");
        let mut begun = begun.take().expect("it was begun");
        let held = held.take().expect("it was begun");
        let forked = matches!(store.read::<i32>("a.json"), Err(Error::Forked))
            && matches!(store.write("a.json", &2), Err(Error::Forked))
            && matches!(store.begin_exclusive(Duration::ZERO), Err(Error::Forked))
            && matches!(store.checkpoint(), Err(Error::Forked))
            && matches!(store.status(), Err(Error::Forked))
            && matches!(begun.read::<i32>("a.json"), Err(Error::Forked))
            && matches!(begun.commit(), Err(Error::Forked))
            && matches!(held.commit(), Err(Error::Forked))
            && matches!(store.clone().close(), Err(Error::Forked));
        drop(store);
        forked
    });
    // The child has dropped its copies: the parent still has the lock.
    assert!(matches!(other.write("a.json", &3), Err(Error::Locked { .. })));
    let mut tx = held.take().expect("the child took its own copy");
    tx.write("a.json", &4).expect("a valid path");
    tx.commit().expect("it has the lock");
    other.write("b.json", &5).expect("the lock is free again");

    // A child that lives on with a copy of the lock does not keep it, once the parent lets it go.
    let tx = other.begin_exclusive(Duration::ZERO).expect("nobody has it");
    match fork().expect("there is room for a process") {
        Fork::Child => {
            std::thread::sleep(Duration::from_secs(30));
            exit(0);
        }
        Fork::Parent(child) => {
            drop(tx);
            store.as_ref().expect("still open").write("c.json", &6).expect("the lock is free");
            kill(child);
            waitpid(child).expect("it ends");
        }
    }
    // And a child may open the store for itself.
    in_child(|| {
        let store = options().open(folder.path()).expect("it joins");
        store.write("d.json", &7).is_ok() && store.close().is_ok()
    });
    assert_eq!(other.read::<i32>("d.json").expect("it is there"), 7);
    assert_eq!(other.read::<i32>("a.json").expect("it is there"), 4);
}

#[test]
fn attack_11_a_child_neither_reads_nor_ends_its_parents_snapshot() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("it opens");
    store.write("a.json", &1).expect("it commits");
    let mut snapshot = Some(store.snapshot().expect("it can be pinned"));
    in_child(|| {
        let snapshot = snapshot.take().expect("it was taken");
        matches!(snapshot.read::<i32>("a.json"), Err(Error::Forked))
            && matches!(snapshot.list(""), Err(Error::Forked))
    });
    let snapshot = snapshot.expect("the child took its own copy");
    store.write("a.json", &2).expect("it commits");
    assert_eq!(snapshot.read::<i32>("a.json").expect("its pin is there"), 1);
    // A child that lives on with a copy of the lock does not keep what its parent lets go.
    match fork().expect("there is room for a process") {
        Fork::Child => {
            std::thread::sleep(Duration::from_secs(30));
            exit(0);
        }
        Fork::Parent(child) => {
            drop(snapshot);
            let fs = OsFs::open(folder.path()).expect("it is there");
            let left = |dir: &str| fs.list(&format!(".filepact/{dir}")).expect("it is there").len();
            assert_eq!((left("pins"), left("kept")), (0, 0));
            kill(child);
            waitpid(child).expect("it ends");
        }
    }
}

fn kill(child: i32) {
    let child = rustix::process::Pid::from_raw(child).expect("a process");
    rustix::process::kill_process(child, rustix::process::Signal::KILL).expect("it lives");
}
