//! Rule 8: processes die, the machine goes on; devices, mounts, numbers, clocks.

use crate::support::*;

#[test]
fn rule_8_process_death_keeps_what_is_live_and_what_is_pending() {
    let (sim, actor) = durable(&[]);
    drop(put(&actor, "f", b"x"));
    let boot = actor.facts().unwrap();
    let world = sim.world().process_death();
    assert_eq!(world.read("f").unwrap(), b"x");
    assert_eq!(world.actor().facts().unwrap(), boot, "same boot, same mount");
    assert_eq!(after(&world, "f").len(), 4, "a power cut may still come");
}

#[test]
fn rule_8_a_write_in_flight_may_be_partial_when_its_process_dies() {
    let (sim, actor) = durable(&[("f", b"....")]);
    let file = actor.open("f", Access::Write).unwrap();
    sim.record();
    file.write_at(b"abcdef", 1).unwrap();
    let worlds = sim.recorded()[0].world.process_death_variants();
    let bodies: Vec<_> = worlds.iter().map(|world| world.read("f").unwrap()).collect();
    assert_eq!(bodies, [&b"...."[..], b".abc", b".abcde"]);
}

#[test]
fn rule_8_a_killed_process_loses_its_handles_and_locks_and_does_nothing_more() {
    let (sim, actor) = durable(&[("lock", b"")]);
    let other = sim.actor();
    let _lock = actor.lock("lock", LockKind::Exclusive, Duration::ZERO).unwrap().unwrap();
    let unnamed = actor.create_unnamed("").unwrap();
    unnamed.write_at(b"x", 0).unwrap();
    let patience = Duration::from_secs(3);
    let before = other.now();
    assert!(other.lock("lock", LockKind::Shared, patience).unwrap().is_none());
    assert!(other.now().0 - before.0 >= 3_000_000_000, "it has waited");
    assert_eq!(sim.open_count("lock"), 1);
    sim.kill(&actor);
    assert_eq!(sim.open_count("lock"), 0);
    assert!(unnamed.link("f").is_err() && unnamed.write_at(b"y", 0).is_err());
    assert!(actor.create("g").is_err() && actor.stat("lock").is_err());
    assert_eq!(sim.tree().len(), 1);
    let guard = other.lock("lock", LockKind::Exclusive, Duration::ZERO).unwrap().unwrap();
    drop((unnamed, guard));
    assert_eq!(sim.open_count("lock"), 0);
}

#[test]
fn rule_8_shared_locks_stand_together_and_none_survives_a_crash() {
    let (sim, actor) = durable(&[("lock", b"")]);
    let one = actor.lock("lock", LockKind::Shared, Duration::ZERO).unwrap().unwrap();
    let two = actor.lock("lock", LockKind::Shared, Duration::ZERO).unwrap().unwrap();
    drop(one);
    assert!(actor.lock("lock", LockKind::Exclusive, Duration::ZERO).unwrap().is_none());
    for world in [sim.fork(), sim.world().process_death(), all(&sim.world(), PAGES).remove(0)] {
        let free = world.actor().lock("lock", LockKind::Exclusive, Duration::ZERO).unwrap();
        assert!(free.is_some());
    }
    drop(two);
    assert!(actor.lock("lock", LockKind::Exclusive, Duration::ZERO).unwrap().is_some());
    let missing = errno_of(actor.lock("none", LockKind::Shared, Duration::ZERO));
    assert_eq!(missing, errno::NOENT);
}

#[test]
fn rule_8_a_power_cut_brings_another_boot_and_a_remount_only_another_mount() {
    let (sim, actor) = durable(&[("f", b"0")]);
    actor.open("f", Access::Write).unwrap().write_at(b"1", 0).unwrap();
    let facts = actor.facts().unwrap();
    let unique = actor.unique();
    for world in all(&sim.world(), PAGES) {
        let new = world.actor();
        assert_ne!(new.facts().unwrap().boot, facts.boot);
        assert_ne!(new.facts().unwrap().mount, facts.mount);
        assert_ne!(new.unique(), unique);
    }
    let outcomes = sim.world().remount(&PAGES, 10, 0);
    assert_eq!(outcomes.worlds.len(), 2);
    for world in outcomes.worlds {
        assert_eq!(world.actor().facts().unwrap().boot, facts.boot);
        assert_ne!(world.actor().facts().unwrap().mount, facts.mount);
    }
}

#[test]
fn rule_8_inode_numbers_come_back_after_the_inode_is_freed() {
    let (sim, actor) = durable(&[("a", b"")]);
    let number = sim.stat("a").unwrap().stamp.ino;
    let open = actor.open("a", Access::Read).unwrap();
    actor.unlink("a").unwrap();
    sim.write("b", b"");
    assert_ne!(sim.stat("b").unwrap().stamp.ino, number, "still open");
    drop(open);
    sim.write("c", b"");
    assert_eq!(sim.stat("c").unwrap().stamp.ino, number);
    for world in all(&sim.world(), PAGES) {
        let files = ["a", "b", "c"].into_iter().filter_map(|path| world.stat(path));
        let numbers: Vec<u64> = files.map(|stat| stat.stamp.ino).collect();
        assert_eq!(numbers.len(), set(numbers.clone()).len(), "two files with one number");
    }
    sim.set_reuse_numbers(false);
    sim.remove("c");
    sim.write("d", b"");
    assert_ne!(sim.stat("d").unwrap().stamp.ino, number);
}

#[test]
fn rule_8_the_clock_is_coarse_for_files_and_may_jump() {
    let (sim, actor) = durable(&[]);
    sim.set_tick(Duration::from_secs(1));
    sim.write("f", b"1");
    let stat = sim.stat("f").unwrap();
    assert_eq!(stat.stamp.mtime.0 % 1_000_000_000, 0);
    assert!(actor.now() < actor.now());
    sim.set_clock(Time(1_000));
    assert!(actor.now() < stat.stamp.mtime);
}

#[test]
fn rule_8_links_are_counted_and_the_inode_lives_until_the_last_name_and_handle() {
    let (sim, actor) = durable(&[]);
    let file = actor.create_unnamed("").unwrap();
    file.write_at(b"x", 0).unwrap();
    assert_eq!((file.stat().unwrap().nlink, file.stat().unwrap().mode), (0, 0o644));
    file.link("a").unwrap();
    file.link("b").unwrap();
    assert_eq!(errno_of(file.link("a")), errno::EXIST);
    assert_eq!(sim.stat("a").unwrap().nlink, 2);
    for world in all(&sim.world(), PAGES) {
        let present = ["a", "b"].into_iter().filter_map(|path| world.stat(path));
        let links: Vec<u64> = present.map(|stat| stat.nlink).collect();
        assert!(links.iter().all(|nlink| *nlink == links.len() as u64));
    }
    actor.unlink("a").unwrap();
    actor.unlink("b").unwrap();
    let mut buffer = [0];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 1);
    assert_eq!(&buffer, b"x");
}

#[test]
fn rule_8_a_mount_inside_the_tree_refuses_what_would_cross_it() {
    let (sim, actor) = durable(&[("a", b"1")]);
    sim.mkdir("m");
    sim.write("m/b", b"2");
    sim.set_mount_at("m");
    let (outer, inner) = (sim.stat("a").unwrap(), sim.stat("m/b").unwrap());
    assert_eq!(outer.stamp.dev, inner.stamp.dev);
    assert_ne!(outer.mount, inner.mount);
    for how in [Rename::Replace, Rename::Exchange] {
        assert_eq!(errno_of(actor.rename("a", "m/b", how)), errno::XDEV);
    }
    let unnamed = actor.create_unnamed("").unwrap();
    assert_eq!(errno_of(unnamed.link("m/c")), errno::XDEV);
    sim.set_mount_at("a");
    sim.write("plain", b"");
    assert_eq!(errno_of(actor.rename("plain", "a", Rename::Exchange)), errno::BUSY);
    assert_eq!(actor.open("m/b", Access::Read).unwrap().stat().unwrap(), inner);
}

#[test]
fn rule_8_numbers_that_come_back_after_a_crash_are_given_to_one_file_each() {
    let (sim, actor) = durable(&[("a", b"")]);
    let number = sim.stat("a").unwrap().stamp.ino;
    actor.unlink("a").unwrap();
    drop(actor.create("b").unwrap());
    assert_eq!(sim.stat("b").unwrap().stamp.ino, number, "it came back at once");
    for profile in Profile::ALL {
        for world in all(&sim.world(), profile) {
            let numbers: Vec<u64> = ["a", "b"]
                .iter()
                .filter_map(|path| world.stat(path))
                .map(|s| s.stamp.ino)
                .collect();
            assert_eq!(set(numbers.clone()).len(), numbers.len(), "{profile}");
        }
    }
}

#[test]
fn rule_8_a_remounted_device_keeps_what_a_power_cut_keeps() {
    let (sim, actor) = durable(&[("a", b"0"), ("b", b"1")]);
    actor.open("a", Access::Write).unwrap().write_at(b"2", 0).unwrap();
    actor.rename("a", "b", Rename::Exchange).unwrap();
    for profile in Profile::ALL {
        let pulled = sim.world().remount(&profile, 1000, 1).worlds;
        let prints = |worlds: &[SimFs]| worlds.iter().map(SimFs::fingerprint).collect::<Vec<_>>();
        assert_eq!(prints(&pulled), prints(&all(&sim.world(), profile)), "{profile}");
    }
}

#[test]
fn rule_8_open_handles_and_locks_are_counted_for_each_file() {
    let (sim, actor) = durable(&[("f", b"")]);
    let other = sim.actor();
    let one = actor.open("f", Access::Read).unwrap();
    let two = other.open("f", Access::Write).unwrap();
    let lock = other.lock("f", LockKind::Shared, Duration::ZERO).unwrap().unwrap();
    actor.rename("f", "g", Rename::NoReplace).unwrap();
    assert_eq!(sim.open_count("g"), 3, "by inode, not by name");
    drop((one, lock));
    assert_eq!(sim.open_count("g"), 1);
    sim.kill(&other);
    assert_eq!(sim.open_count("g"), 0);
    drop(two);
}

#[test]
fn rule_11_a_lease_is_had_by_who_alone_has_the_file_open_and_keeps_others_out() {
    let (sim, actor) = durable(&[("f", b"")]);
    let other = sim.actor();
    let leased = actor.open("f", Access::Write).unwrap();
    let reader = other.open("f", Access::Read).unwrap();
    assert!(!leased.lease().unwrap(), "somebody reads it");
    drop(reader);
    assert!(leased.lease().unwrap());
    // By whatever name, and by whatever process.
    actor.rename("f", "g", Rename::NoReplace).unwrap();
    for process in [&actor, &other] {
        assert!(process.open("g", Access::Read).unwrap_err().is_leased());
    }
    drop(leased);
    let again = other.open("g", Access::Write).unwrap();
    assert!(again.lease().unwrap());
    sim.kill(&other);
    assert!(actor.open("g", Access::Read).is_ok(), "it has died with its process");
    let read_only = actor.open("g", Access::Read).unwrap();
    assert!(read_only.lease().is_err());
    sim.set_leases(false);
    assert!(actor.open("g", Access::Write).unwrap().lease().is_err());
}
