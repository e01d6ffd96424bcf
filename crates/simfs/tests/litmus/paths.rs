//! Paths, and the hand from outside.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::*;

#[test]
fn paths_are_resolved_like_the_real_ones() {
    let (sim, actor) = durable(&[("file", b""), ("other", b"")]);
    sim.mkdir("dir");
    sim.write("dir/inner", b"");
    sim.symlink("link", "dir");
    sim.make_other("pipe");
    let open = |path: &str| errno_of(actor.open(path, Access::Read));
    let long = "x".repeat(256);
    assert_eq!(open("link"), errno::LOOP);
    assert_eq!(open("link/inner"), errno::LOOP);
    assert_eq!(open("none"), errno::NOENT);
    assert_eq!(open("none/x"), errno::NOENT);
    assert_eq!(open("file/x"), errno::NOTDIR);
    assert_eq!(open("dir"), errno::ISDIR);
    assert_eq!(open(""), errno::ISDIR);
    assert_eq!(open(&long), errno::NAMETOOLONG);
    assert!(actor.open("pipe", Access::Read).is_err());
    assert!(actor.stat("none/x").unwrap().is_none() && actor.stat("file/x").unwrap().is_none());
    assert!(actor.stat("link/inner").unwrap_err().is_link());
    assert_eq!(actor.stat("link").unwrap().unwrap().kind, Kind::Link);
    assert_eq!(actor.stat("").unwrap().unwrap().kind, Kind::Dir);
    assert_eq!(errno_of(actor.create("file")), errno::EXIST);
    assert_eq!(errno_of(actor.create("link/new")), errno::LOOP);
    assert_eq!(errno_of(actor.make_dir("dir", 0o755)), errno::EXIST);
    assert_eq!(errno_of(actor.unlink("dir")), errno::ISDIR);
    assert_eq!(errno_of(actor.remove_dir("file")), errno::NOTDIR);
    assert_eq!(errno_of(actor.remove_dir("dir")), errno::NOTEMPTY);
    assert_eq!(errno_of(actor.remove_dir("none")), errno::NOENT);
    assert_eq!(errno_of(actor.list("file")), errno::NOTDIR);
    assert_eq!(errno_of(actor.sync_dir("none")), errno::NOENT);
    let rename = |from, to, how| errno_of(actor.rename(from, to, how));
    assert_eq!(rename("file", "other", Rename::NoReplace), errno::EXIST);
    assert_eq!(rename("file", "none", Rename::Exchange), errno::NOENT);
    assert_eq!(rename("none", "file", Rename::Replace), errno::NOENT);
    assert_eq!(rename("file", "dir", Rename::Replace), errno::ISDIR);
    assert_eq!(rename("dir", "file", Rename::Replace), errno::NOTDIR);
    assert_eq!(rename("dir", "dir/inside", Rename::Replace), errno::INVAL);
    sim.mkdir("empty");
    assert_eq!(rename("empty", "dir", Rename::Replace), errno::NOTEMPTY);
    let read_only = actor.open("file", Access::Read).unwrap();
    assert_eq!(errno_of(read_only.write_at(b"x", 0)), errno::BADF);
    sim.create_named("dir", OsStr::from_bytes(b"\xff"));
    let listed: Vec<_> = actor.list("dir").unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(listed, [OsStr::new("inner"), OsStr::from_bytes(b"\xff")]);
}

#[test]
fn outside_edits_are_like_those_of_any_process() {
    let (sim, _) = durable(&[("f", b"old")]);
    let number = sim.stat("f").unwrap().stamp.ino;
    sim.write("f", b"new");
    assert_eq!(sim.stat("f").unwrap().stamp.ino, number);
    sim.replace("f", b"newer");
    assert_ne!(sim.stat("f").unwrap().stamp.ino, number);
    assert_eq!(sim.calls(), 0);
    assert!(after(&sim, "f").contains(&Some(b"old".to_vec())));
    assert!(sim.dump().contains("newer"), "{}", sim.dump());
}
