//! Rule 9: calls that fail.

use crate::support::*;

#[test]
fn rule_9_a_sync_that_fails_is_reported_once_and_the_disk_keeps_the_old_bytes() {
    let (sim, actor) = durable(&[("f", b"old")]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(b"new", 0).unwrap();
    let at = When::Matching { op: "sync", path_contains: "f".into(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::IO), sticky: false });
    assert_eq!(errno_of(file.sync(SyncKind::Data)), errno::IO);
    file.sync(SyncKind::Data).unwrap();
    assert_eq!(sim.read("f").unwrap(), b"new", "the cache shows the new bytes");
    assert_eq!(after(&sim, "f"), set([Some(b"old".to_vec())]));
    sim.evict("f");
    assert_eq!(sim.read("f").unwrap(), b"old");
}

#[test]
fn rule_9_a_failed_append_followed_by_a_good_one_leaves_a_hole_of_zeros() {
    let (sim, actor) = durable(&[("f", b"")]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(&[1; PAGE], 0).unwrap();
    sim.fault(Fault {
        at: When::Call(sim.calls() + 1),
        kind: FaultKind::Error(errno::IO),
        sticky: false,
    });
    file.sync(SyncKind::Data).unwrap_err();
    file.write_at(&[2; PAGE], PAGE as u64).unwrap();
    file.sync(SyncKind::Data).unwrap();
    sim.evict_all();
    assert_eq!(sim.read("f").unwrap(), [[0; PAGE], [2; PAGE]].concat());
}

#[test]
fn rule_9_names_whose_sync_failed_are_not_covered_by_the_next_one() {
    let (sim, actor) = durable(&[]);
    drop(actor.create("f").unwrap());
    let at = When::Matching { op: "sync_dir", path_contains: String::new(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::IO), sticky: false });
    assert!(actor.sync_dir("").is_err());
    actor.sync_dir("").unwrap();
    assert_eq!(names(&sim), texts(&["", "f"]));
}

#[test]
fn rule_9_a_full_disk_refuses_new_blocks_and_names_but_not_overwrites() {
    let (sim, actor) = durable(&[("f", &[1; PAGE])]);
    sim.set_free_space(PAGE as u64);
    let file = actor.open("f", Access::Write).unwrap();
    assert_eq!(file.write_at(&[2; 3 * PAGE], 0).unwrap(), 2 * PAGE, "what there was room for");
    assert_eq!(file.write_at(&[3; PAGE], 0).unwrap(), PAGE);
    assert!(file.write_at(b"x", 2 * PAGE as u64).unwrap_err().is_full());
    assert!(file.set_len(3 * PAGE as u64).unwrap_err().is_full());
    assert!(actor.create("g").unwrap_err().is_full());
    assert!(actor.create_unnamed("").unwrap_err().is_full());
    assert!(actor.make_dir("d", 0o755).unwrap_err().is_full());
    assert!(actor.rename("f", "g", Rename::NoReplace).unwrap_err().is_full());
    assert!(file.link("g").unwrap_err().is_full());
    file.set_len(PAGE as u64).unwrap();
    file.link("g").unwrap();
}

#[test]
fn rule_9_faults_strike_the_call_they_are_meant_for() {
    let (sim, actor) = durable(&[("f", b"12345678")]);
    let file = actor.open("f", Access::Write).unwrap();
    let fault = |op, kind, nth, sticky| {
        let at = When::Matching { op, path_contains: String::new(), nth };
        sim.fault(Fault { at, kind, sticky });
    };
    let mut buffer = [0; 8];
    fault("read", FaultKind::ShortRead, 2, false);
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 8);
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 4);
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 8);
    fault("write", FaultKind::ShortWrite, 1, false);
    assert_eq!(file.write_at(b"abcd", 0).unwrap(), 2);
    assert_eq!(sim.read("f").unwrap(), b"ab345678");
    fault("write", FaultKind::Interrupted, 1, true);
    for _ in 0..3 {
        assert_eq!(errno_of(file.write_at(b"zz", 0)), errno::INTR);
    }
    sim.clear_faults();
    fault("open", FaultKind::Error(errno::MFILE), 1, false);
    assert_eq!(errno_of(actor.open("f", Access::Read)), errno::MFILE);
    sim.set_read_only(true);
    assert_eq!(errno_of(file.write_at(b"zz", 0)), errno::ROFS);
    assert_eq!(errno_of(actor.unlink("f")), errno::ROFS);
    assert_eq!(sim.read("f").unwrap(), b"ab345678");
}

/// Every call of the seam, by the name that a fault knows it by.
fn every_call(sim: &SimFs, actor: &Actor) -> Vec<(&'static str, Option<i32>)> {
    // It is removed below.
    if sim.stat("e").is_none() {
        sim.mkdir("e");
    }
    let file = actor.open("f", Access::Write).unwrap();
    // It is renamed below.
    let other = actor.open("g", Access::Write).or_else(|_| actor.open("h", Access::Write)).unwrap();
    let errno = |error: FsError| error.source.raw_os_error().unwrap_or(0);
    let attrs = Attrs { mode: 0o600, uid: 0, gid: 0, xattrs: Vec::new() };
    let mut buffer = [0; 4];
    vec![
        ("facts", actor.facts().err().map(errno)),
        ("open", actor.open("f", Access::Read).err().map(errno)),
        ("create", actor.create("new").err().map(errno)),
        ("create_unnamed", actor.create_unnamed("").err().map(errno)),
        ("stat", actor.stat("f").err().map(errno)),
        ("list", actor.list("").err().map(errno)),
        ("make_dir", actor.make_dir("d", 0o755).err().map(errno)),
        ("rename", actor.rename("g", "h", Rename::NoReplace).err().map(errno)),
        ("unlink", actor.unlink("u").err().map(errno)),
        ("remove_dir", actor.remove_dir("e").err().map(errno)),
        ("sync_dir", actor.sync_dir("").err().map(errno)),
        ("sync_everything", actor.sync_everything().err().map(errno)),
        ("lock", actor.lock("f", LockKind::Shared, Duration::ZERO).err().map(errno)),
        ("read", file.read_at(&mut buffer, 0).err().map(errno)),
        ("write", file.write_at(b"x", 0).err().map(errno)),
        ("set_len", file.set_len(9).err().map(errno)),
        ("sync", file.sync(SyncKind::Data).err().map(errno)),
        ("link", other.link("l").err().map(errno)),
        ("attrs", file.attrs().err().map(errno)),
        ("set_attrs", file.set_attrs(&attrs).err().map(errno)),
        ("set_mtime", file.set_mtime(Time(1)).err().map(errno)),
    ]
}

#[test]
fn rule_9_every_fault_strikes_every_call_once_or_for_ever() {
    let files: [(&str, &[u8]); 3] = [("f", b"1234"), ("g", b""), ("u", b"")];
    let calls = |files: &[_]| {
        let (sim, actor) = durable(files);
        every_call(&sim, &actor)
    };
    let ops: Vec<&str> = calls(&files).into_iter().map(|(op, _)| op).collect();
    assert_eq!(ops.len(), 21);
    for number in [errno::IO, errno::NOSPC, errno::DQUOT, errno::MFILE, errno::ROFS] {
        for &op in ops.iter().filter(|op| **op != "open") {
            let (sim, actor) = durable(&files);
            fault(&sim, op, FaultKind::Error(number), 1, false);
            let failed: Vec<_> =
                every_call(&sim, &actor).into_iter().filter(|(_, e)| e.is_some()).collect();
            assert_eq!(failed, [(op, Some(number))], "and nothing else fails");
            let (sim, actor) = durable(&files);
            fault(&sim, op, FaultKind::Error(number), 1, true);
            for _ in 0..2 {
                let calls = every_call(&sim, &actor);
                let (_, answer) = calls.iter().find(|(name, _)| *name == op).unwrap();
                assert_eq!(*answer, Some(number), "{op} for ever");
            }
        }
    }
}

#[test]
fn rule_9_a_call_that_fails_has_changed_nothing() {
    let (sim, actor) = durable(&[("f", b"1234"), ("g", b""), ("u", b"")]);
    sim.mkdir("e");
    let before = sim.fingerprint();
    for op in [
        "create",
        "make_dir",
        "remove_dir",
        "rename",
        "unlink",
        "write",
        "set_len",
        "link",
        "set_mtime",
    ] {
        fault(&sim, op, FaultKind::Error(errno::NOSPC), 1, true);
    }
    fault(&sim, "set_attrs", FaultKind::Interrupted, 1, true);
    every_call(&sim, &actor);
    assert_eq!(sim.fingerprint(), before);
}

#[test]
fn rule_9_a_disk_that_is_full_at_a_sync_loses_the_pages_like_one_that_cannot_write() {
    for number in [errno::NOSPC, errno::DQUOT] {
        let (sim, actor) = durable(&[("f", b"old")]);
        let file = actor.open("f", Access::Write).unwrap();
        file.write_at(b"new", 0).unwrap();
        fault(&sim, "sync", FaultKind::Error(number), 1, false);
        assert_eq!(errno_of(file.sync(SyncKind::Data)), number);
        file.sync(SyncKind::Data).unwrap();
        assert_eq!(after(&sim, "f"), set([Some(b"old".to_vec())]));
    }
}

#[test]
fn rule_9_a_failed_sync_of_everything_loses_pages_and_forsakes_names() {
    let (sim, actor) = durable(&[("f", b"old")]);
    actor.open("f", Access::Write).unwrap().write_at(b"new", 0).unwrap();
    drop(actor.create("g").unwrap());
    fault(&sim, "sync_everything", FaultKind::Error(errno::IO), 1, false);
    assert_eq!(errno_of(actor.sync_everything()), errno::IO);
    actor.sync_everything().unwrap();
    assert_eq!(names(&sim), texts(&["f", "f g"]));
    assert_eq!(after(&sim, "f"), set([Some(b"old".to_vec())]));
}

#[test]
fn rule_9_what_was_written_back_before_a_sync_failed_is_on_the_disk() {
    let (sim, actor) = durable(&[("f", &[0; 2 * PAGE])]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(&[1; PAGE], 0).unwrap();
    sim.write_back("f");
    file.write_at(&[1; PAGE], PAGE as u64).unwrap();
    fault(&sim, "sync", FaultKind::Error(errno::IO), 1, false);
    file.sync(SyncKind::Data).unwrap_err();
    assert_eq!(after(&sim, "f"), set([Some([[1; PAGE], [0; PAGE]].concat())]));
}

#[test]
fn rule_9_a_process_may_run_out_of_descriptors() {
    let (sim, actor) = durable(&[("f", b"")]);
    sim.set_descriptors(2);
    let held = (actor.open("f", Access::Read).unwrap(), actor.create("g").unwrap());
    assert_eq!(errno_of(actor.open("f", Access::Read)), errno::MFILE);
    assert_eq!(errno_of(actor.create("h")), errno::MFILE);
    assert_eq!(errno_of(actor.create_unnamed("")), errno::MFILE);
    assert_eq!(errno_of(actor.lock("f", LockKind::Shared, Duration::ZERO)), errno::MFILE);
    assert!(sim.stat("h").is_none(), "nothing was created");
    sim.actor().open("f", Access::Read).unwrap();
    drop(held);
    actor.create("h").unwrap();
}

#[test]
fn rule_9_a_file_system_that_gives_up_changes_and_syncs_nothing_more() {
    let (sim, actor) = durable(&[("f", b"old")]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(b"new", 0).unwrap();
    fault(&sim, "sync", FaultKind::GivesUp, 1, false);
    assert_eq!(errno_of(file.sync(SyncKind::Data)), errno::ROFS);
    for _ in 0..2 {
        assert_eq!(errno_of(file.sync(SyncKind::Data)), errno::ROFS);
        assert_eq!(errno_of(actor.sync_dir("")), errno::ROFS);
        assert_eq!(errno_of(file.write_at(b"x", 0)), errno::ROFS);
        assert_eq!(errno_of(actor.create("g")), errno::ROFS);
        assert_eq!(errno_of(actor.open("f", Access::Write)), errno::ROFS);
    }
    assert_eq!(sim.read("f").unwrap(), b"new", "reads go on");
    for world in all(&sim.world(), PAGES) {
        world.actor().create("g").unwrap();
    }
    assert_eq!(after(&sim, "f").len(), 2, "old or new");
}
