//! Rule 6: what a sync covers, and what a crash during a call leaves.

use filepact_fs::write_all;

use crate::support::*;

#[test]
fn rule_6_a_synced_file_keeps_its_content_but_not_its_name() {
    let (sim, actor) = durable(&[]);
    let file = put(&actor, "f", b"x");
    file.sync(SyncKind::Data).unwrap();
    assert_eq!(after(&sim, "f"), set([None, Some(b"x".to_vec())]));
}

#[test]
fn rule_6_a_sync_without_a_name_may_promise_nothing() {
    let (sim, actor) = durable(&[]);
    sim.set_nameless_syncs(false);
    let file = actor.create_unnamed("").unwrap();
    write_all(&*file, b"x", 0).unwrap();
    file.sync(SyncKind::All).unwrap();
    file.link("f").unwrap();
    actor.sync_dir("").unwrap();
    assert_eq!(after(&sim, "f"), set([Some(vec![]), Some(vec![0]), Some(b"x".to_vec())]));
    file.sync(SyncKind::Data).unwrap();
    assert_eq!(after(&sim, "f"), set([Some(b"x".to_vec())]));
}

#[test]
fn rule_6_a_synced_directory_keeps_its_entries_and_nothing_else() {
    let (sim, actor) = durable(&[]);
    actor.make_dir("d", 0o755).unwrap();
    actor.sync_dir("").unwrap();
    drop((put(&actor, "d/f", b"x"), put(&actor, "g", b"y")));
    actor.sync_dir("d").unwrap();
    assert_eq!(after(&sim, "d/f"), set([Some(vec![]), Some(vec![0]), Some(b"x".to_vec())]));
    assert_eq!(names(&sim), texts(&["d/f", "d/f g"]));
}

#[test]
fn rule_6_a_synced_directory_keeps_what_its_entries_rest_on() {
    let (sim, actor) = durable(&[]);
    for dir in ["from", "to"] {
        actor.make_dir(dir, 0o755).unwrap();
    }
    actor.sync_dir("").unwrap();
    drop(actor.create("from/a").unwrap());
    drop(actor.create("from/other").unwrap());
    actor.rename("from/a", "to/a", Rename::NoReplace).unwrap();
    actor.sync_dir("to").unwrap();
    assert_eq!(names(&sim), texts(&["to/a", "from/other to/a"]));
}

#[test]
fn rule_6_a_removed_directory_stays_removed_once_its_parent_is_synced() {
    let (sim, actor) = durable(&[("d/f", b"")]);
    actor.unlink("d/f").unwrap();
    sim.remove("d");
    actor.sync_dir("").unwrap();
    for profile in Profile::ALL {
        assert_eq!(all(&sim.world(), profile).len(), 1, "{profile}");
        assert!(all(&sim.world(), profile)[0].stat("d").is_none(), "{profile}");
    }
}

#[test]
fn rule_6_sync_everything_leaves_nothing_pending() {
    let (sim, actor) = durable(&[]);
    actor.make_dir("d", 0o755).unwrap();
    drop(put(&actor, "d/f", b"x"));
    actor.sync_everything().unwrap();
    assert_eq!(after(&sim, "d/f"), set([Some(b"x".to_vec())]));
}

#[test]
fn rule_6_attributes_are_pending_until_all_is_synced() {
    let (sim, actor) = durable(&[("f", b"")]);
    let file = actor.open("f", Access::Write).unwrap();
    let xattrs = vec![("user.k".into(), b"v".to_vec())];
    file.set_attrs(&Attrs { mode: 0o600, uid: 1, gid: 2, xattrs }).unwrap();
    file.set_mtime(Time(5)).unwrap();
    let seen = |sim: &SimFs| -> BTreeSet<(u32, bool)> {
        let stats = all(&sim.world(), PAGES);
        stats
            .iter()
            .map(|world| world.stat("f").unwrap())
            .map(|stat| (stat.mode, stat.stamp.mtime == Time(5)))
            .collect()
    };
    assert_eq!(seen(&sim), set([(0o644, false), (0o600, false), (0o600, true)]));
    file.sync(SyncKind::Data).unwrap();
    assert_eq!(seen(&sim).len(), 3, "fdatasync does not cover them");
    file.sync(SyncKind::All).unwrap();
    assert_eq!(seen(&sim), set([(0o600, true)]));
}

#[test]
fn rule_6_the_mtime_that_a_write_stamps_is_kept_or_lost() {
    let (sim, actor) = durable(&[("f", b"0")]);
    let old = sim.stat("f").unwrap().stamp.mtime;
    sim.advance(Duration::from_secs(1));
    actor.open("f", Access::Write).unwrap().write_at(b"0", 0).unwrap();
    let seen: BTreeSet<bool> = (0..20)
        .flat_map(|seed| sim.world().power_cut(&PAGES, 10, seed).worlds)
        .map(|world| world.stat("f").unwrap().stamp.mtime == old)
        .collect();
    assert_eq!(seen, set([false, true]));
}

#[test]
fn rule_6_a_crash_during_a_call_leaves_it_done_undone_or_in_part() {
    let (sim, actor) = durable(&[("f", &[0; 2 * PAGE])]);
    let file = actor.open("f", Access::Write).unwrap();
    sim.record();
    file.write_at(&[1; 2 * PAGE], 0).unwrap();
    file.sync(SyncKind::Data).unwrap();
    let counts: Vec<(String, usize)> = sim
        .recorded()
        .iter()
        .map(|moment| (moment.call.clone(), all(&moment.world, PAGES).len()))
        .collect();
    let expected = [("write f 0..8192", 4), ("sync f data", 4), ("end", 1)];
    assert_eq!(counts, expected.map(|(call, count)| (call.to_owned(), count)));
    assert_eq!(sim.call_log(), ["write f 0..8192", "sync f data"]);
}
