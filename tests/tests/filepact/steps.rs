//! The machine that does something before each call does so.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact_fs::{Access, Fs, LockKind, Rename, SyncKind, Time};
use filepact_simfs::SimFs;
use filepact_tests::crash::{documents, open, options, prepared};
use filepact_tests::history::{before, body};
use filepact_tests::steps::Steps;

/// Every call of the seam, with the names of the log; and the one that the log has not.
fn make_every_call(fs: &dyn Fs) {
    fs.facts().unwrap();
    fs.now();
    fs.unique();
    fs.make_dir("d", 0o700).unwrap();
    drop(fs.create("d/f").unwrap());
    drop(fs.lock("d/f", LockKind::Shared, Duration::ZERO).unwrap());
    let file = fs.open("d/f", Access::Write).unwrap();
    file.write_at(b"x", 0).unwrap();
    file.read_at(&mut [0], 0).unwrap();
    file.set_len(2).unwrap();
    file.sync(SyncKind::All).unwrap();
    file.set_attrs(&file.attrs().unwrap()).unwrap();
    file.set_mtime(Time(0)).unwrap();
    file.link("d/g").unwrap();
    file.stat().unwrap();
    fs.create_unnamed("d").unwrap().stat().unwrap();
    fs.rename("d/g", "h", Rename::NoReplace).unwrap();
    fs.stat("h").unwrap();
    fs.unlink("h").unwrap();
    fs.list("d").unwrap();
    fs.sync_dir("d").unwrap();
    fs.sync_everything().unwrap();
    fs.open("absent", Access::Read).unwrap_err();
}

#[test]
fn the_hook_sees_the_calls_that_the_log_of_the_world_has_and_unlocks() {
    let sim = SimFs::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hooked = Arc::clone(&seen);
    let fs = Steps::new(sim.actor(), move |n, op, path| {
        let mut seen = hooked.lock().unwrap();
        seen.push(format!("{op} {path}"));
        assert_eq!(seen.len(), n);
    });
    sim.record();
    make_every_call(&*fs);
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(fs.calls(), seen.len());
    let unlock = seen.iter().position(|call| call == "unlock d/f").expect("it is let go");
    seen.remove(unlock);
    let log = sim.call_log();
    assert_eq!(log.len(), seen.len(), "{log:#?}\n{seen:#?}");
    for (logged, seen) in log.iter().zip(&seen) {
        // The log has details as well: offsets, modes.
        assert!(logged.starts_with(seen.as_str()), "{logged} is not {seen}");
    }
    assert_eq!(log.len() as u64, sim.calls());
}

#[test]
fn the_hook_of_an_unlock_still_finds_the_lock_taken() {
    let sim = SimFs::new();
    sim.write("l", b"");
    let (other, free) = (sim.actor(), Arc::new(Mutex::new(Vec::new())));
    let found = Arc::clone(&free);
    let fs = Steps::new(sim.actor(), move |_, op, _| {
        let taken = other.lock("l", LockKind::Exclusive, Duration::ZERO).unwrap();
        found.lock().unwrap().push((op, taken.is_some()));
    });
    drop(fs.lock("l", LockKind::Shared, Duration::ZERO).unwrap().unwrap());
    fs.stat("l").unwrap();
    assert_eq!(*free.lock().unwrap(), [("lock", true), ("unlock", false), ("stat", true)]);
}

#[test]
fn a_process_that_dies_before_any_call_leaves_one_state_or_the_other() {
    let (mut at, mut died) = (1, true);
    while died {
        let sim = prepared();
        let actor = sim.actor();
        let (world, victim) = (sim.clone(), Arc::clone(&actor));
        let fs = Steps::new(actor, move |n, _, _| {
            if n == at {
                world.kill(&victim);
            }
        });
        let new = body("a", 1, 250);
        let acknowledged = options()
            .open_with(fs.clone())
            .and_then(|store| store.transact(|tx| tx.write_bytes("a.json", new.clone())));
        died = fs.calls() >= at;
        drop(open(&sim));
        let mut after = before();
        after.insert("a.json".to_owned(), new);
        let now = documents(&sim);
        assert!(now == after || acknowledged.is_err() && now == before(), "killed at call {at}");
        at += 1;
    }
    assert!(at > 30, "only {at} calls");
}
