//! The rules of the simulated file system, one sentence each (DESIGN 8).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use filepact_fs::{Access, Attrs, File, Fs, FsError, Kind, LockKind, Rename, SyncKind, Time};
use filepact_simfs::{
    Actor, Damage, Fault, FaultKind, Grain, Outcomes, Profile, SimFs, When, World, errno,
};

const PAGES: Profile = Profile::Strict(Grain::Page);
const SECTORS: Profile = Profile::Strict(Grain::Sector);

/// All that a power cut may leave.
fn all(world: &World, profile: Profile) -> Vec<SimFs> {
    let outcomes = world.power_cut(&profile, 100_000, 1);
    assert!(outcomes.complete, "{} are too many", outcomes.possible);
    assert_eq!(outcomes.worlds.len() as f64, outcomes.possible);
    let distinct: BTreeSet<u64> = outcomes.worlds.iter().map(SimFs::fingerprint).collect();
    assert_eq!(distinct.len(), outcomes.worlds.len(), "two worlds are the same");
    outcomes.worlds
}

/// What a power cut may leave of one file; `None` if its name may be missing.
fn after(sim: &SimFs, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    all(&sim.world(), PAGES).iter().map(|world| world.read(path)).collect()
}

/// Which sets of paths a power cut may leave.
fn names(sim: &SimFs) -> BTreeSet<String> {
    let keys = |world: &SimFs| world.tree().into_keys().collect::<Vec<_>>().join(" ");
    all(&sim.world(), PAGES).iter().map(keys).collect()
}

fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    items.into_iter().collect()
}

fn texts(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

/// A world with these files, durable.
fn durable(files: &[(&str, &[u8])]) -> (SimFs, std::sync::Arc<Actor>) {
    let sim = SimFs::new();
    for (path, bytes) in files {
        sim.write(path, bytes);
    }
    sim.write_back_all();
    let actor = sim.actor();
    (sim, actor)
}

fn errno_of<T>(answer: Result<T, FsError>) -> i32 {
    answer.err().expect("it fails").source.raw_os_error().expect("an errno")
}

fn put(actor: &Actor, path: &str, bytes: &[u8]) -> Box<dyn File> {
    let file = actor.create(path).unwrap();
    assert_eq!(file.write_at(bytes, 0).unwrap(), bytes.len());
    file
}

const PAGE: usize = 4096;

// Rule 1

#[test]
fn each_page_has_any_version_it_had_while_dirty() {
    let (sim, actor) = durable(&[("f", &[0; 2 * PAGE])]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(&[1; 2 * PAGE], 0).unwrap();
    file.write_at(&[2; PAGE], 0).unwrap();
    let seen: BTreeSet<(u8, u8)> = after(&sim, "f")
        .into_iter()
        .map(|bytes| {
            let bytes = bytes.unwrap();
            let whole = |page: &[u8]| page.iter().all(|byte| *byte == page[0]);
            assert!(bytes.chunks(PAGE).all(whole), "a page is torn");
            (bytes[0], bytes[PAGE])
        })
        .collect();
    assert_eq!(seen, set([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]));
}

#[test]
fn pages_of_different_files_are_independent() {
    let (sim, actor) = durable(&[("a", b"0"), ("b", b"0")]);
    for path in ["a", "b"] {
        actor.open(path, Access::Write).unwrap().write_at(b"1", 0).unwrap();
    }
    let seen = all(&sim.world(), PAGES)
        .iter()
        .map(|world| (world.read("a").unwrap()[0], world.read("b").unwrap()[0]))
        .collect();
    assert_eq!(set([(b'0', b'0'), (b'0', b'1'), (b'1', b'0'), (b'1', b'1')]), seen);
}

#[test]
fn a_torn_page_is_a_mix_of_its_sectors() {
    let (sim, actor) = durable(&[("f", &[0; PAGE])]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(&[1; 600], 1000).unwrap();
    assert_eq!(all(&sim.world(), PAGES).len(), 2);
    let torn = all(&sim.world(), SECTORS);
    assert_eq!(torn.len(), 8, "bytes 1000 to 1600 lie in three sectors");
    for world in torn {
        let bytes = world.read("f").unwrap();
        assert_eq!(bytes[1000..1024], [bytes[1000]; 24]);
        assert_eq!(bytes[1024..1536], [bytes[1024]; 512]);
        assert_eq!(bytes[1536..1600], [bytes[1536]; 64]);
    }
}

// Rules 2 to 4

#[test]
fn size_without_data_reads_as_zeros_and_data_without_size_is_invisible() {
    let (sim, actor) = durable(&[("f", b"ab")]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(b"cd", 2).unwrap();
    let expected = [&b"ab"[..], b"ab\0\0", b"abcd"].map(|bytes| Some(bytes.to_vec()));
    assert_eq!(after(&sim, "f"), set(expected));
}

#[test]
fn the_size_is_any_it_had_while_dirty() {
    let (sim, actor) = durable(&[("f", b"")]);
    let file = actor.open("f", Access::Write).unwrap();
    for size in [3, 9000, 5] {
        file.set_len(size).unwrap();
    }
    let sizes = after(&sim, "f").into_iter().map(|bytes| bytes.unwrap().len()).collect();
    assert_eq!(set([0, 3, 5, 9000]), sizes);
}

#[test]
fn an_unsynced_write_into_preallocated_space_may_read_as_zeros() {
    let (sim, actor) = durable(&[("f", b"")]);
    let file = actor.open("f", Access::Write).unwrap();
    file.set_len(4).unwrap();
    file.sync(SyncKind::Data).unwrap();
    file.write_at(b"data", 0).unwrap();
    assert_eq!(after(&sim, "f"), set([Some(b"data".to_vec()), Some(vec![0; 4])]));
}

#[test]
fn a_truncation_happened_or_not() {
    let (sim, actor) = durable(&[("f", &[7; 5000])]);
    let file = actor.open("f", Access::Write).unwrap();
    file.set_len(0).unwrap();
    let seen = after(&sim, "f");
    assert!(seen.contains(&Some(vec![])) && seen.contains(&Some(vec![7; 5000])));
    file.set_len(5000).unwrap();
    assert_eq!(sim.read("f").unwrap(), vec![0; 5000], "what was cut does not come back");
    file.sync(SyncKind::Data).unwrap();
    assert_eq!(after(&sim, "f"), set([Some(vec![0; 5000])]));
}

#[test]
fn what_was_cut_reads_as_zeros_when_the_file_grows_again() {
    let (sim, actor) = durable(&[("f", &[7; 5000])]);
    actor.open("f", Access::Write).unwrap().set_len(10).unwrap();
    for world in all(&sim.world(), PAGES).into_iter().chain([sim]) {
        let len = world.read("f").unwrap().len();
        let file = world.actor().open("f", Access::Write).unwrap();
        file.set_len(6000).unwrap();
        assert_eq!(world.read("f").unwrap()[len..], vec![0; 6000 - len]);
    }
}

// Rule 5

#[test]
fn names_persist_in_any_subset_that_can_be_replayed() {
    let (sim, actor) = durable(&[]);
    for path in ["a", "b"] {
        drop(actor.create(path).unwrap());
    }
    actor.rename("a", "c", Rename::NoReplace).unwrap();
    assert_eq!(names(&sim), texts(&["", "a", "b", "a b", "c", "b c"]));
}

#[test]
fn a_rename_is_atomic() {
    let (sim, actor) = durable(&[("a", b"new"), ("b", b"old")]);
    actor.rename("a", "b", Rename::Replace).unwrap();
    assert_eq!(names(&sim), texts(&["a b", "b"]));
    let (sim, actor) = durable(&[("a", b"1"), ("b", b"2")]);
    actor.rename("a", "b", Rename::Exchange).unwrap();
    let seen: BTreeSet<_> = all(&sim.world(), PAGES).iter().map(|world| world.tree()).collect();
    assert_eq!(seen.len(), 2, "exchanged or not");
    assert_eq!(names(&sim), texts(&["a b"]));
}

#[test]
fn a_name_may_persist_without_the_data_of_its_file() {
    let (sim, actor) = durable(&[]);
    drop(put(&actor, "f", b"x"));
    let seen = after(&sim, "f");
    assert_eq!(seen, set([None, Some(vec![]), Some(vec![0]), Some(b"x".to_vec())]));
}

#[test]
fn a_directory_that_is_lost_takes_along_what_is_in_it() {
    let (sim, actor) = durable(&[]);
    actor.make_dir("d", 0o755).unwrap();
    drop(actor.create("d/f").unwrap());
    assert_eq!(names(&sim), texts(&["", "d/f"]));
    actor.sync_dir("d").unwrap();
    assert_eq!(names(&sim), texts(&["", "d/f"]), "its own name is not durable yet");
    actor.sync_dir("").unwrap();
    assert_eq!(names(&sim), texts(&["d/f"]));
}

#[test]
fn an_exchange_may_be_lost_and_the_unlink_after_it_kept() {
    let (sim, actor) = durable(&[("doc", b"old"), ("staged", b"new")]);
    actor.rename("staged", "doc", Rename::Exchange).unwrap();
    actor.unlink("staged").unwrap();
    let bodies: BTreeSet<_> = all(&sim.world(), PAGES)
        .iter()
        .map(|world| (world.read("doc").unwrap(), world.read("staged")))
        .collect();
    assert!(bodies.contains(&(b"old".to_vec(), None)), "the new body is lost");
    assert_eq!(bodies.len(), 4);
}

// Rule 6

#[test]
fn a_synced_file_keeps_its_content_but_not_its_name() {
    let (sim, actor) = durable(&[]);
    let file = put(&actor, "f", b"x");
    file.sync(SyncKind::Data).unwrap();
    assert_eq!(after(&sim, "f"), set([None, Some(b"x".to_vec())]));
}

#[test]
fn a_synced_directory_keeps_its_entries_and_nothing_else() {
    let (sim, actor) = durable(&[]);
    actor.make_dir("d", 0o755).unwrap();
    actor.sync_dir("").unwrap();
    drop((put(&actor, "d/f", b"x"), put(&actor, "g", b"y")));
    actor.sync_dir("d").unwrap();
    assert_eq!(after(&sim, "d/f"), set([Some(vec![]), Some(vec![0]), Some(b"x".to_vec())]));
    assert_eq!(names(&sim), texts(&["d/f", "d/f g"]));
}

#[test]
fn a_synced_directory_keeps_what_its_entries_rest_on() {
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
fn sync_everything_leaves_nothing_pending() {
    let (sim, actor) = durable(&[]);
    actor.make_dir("d", 0o755).unwrap();
    drop(put(&actor, "d/f", b"x"));
    actor.sync_everything().unwrap();
    assert_eq!(after(&sim, "d/f"), set([Some(b"x".to_vec())]));
}

#[test]
fn attributes_are_pending_until_all_is_synced() {
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
fn the_mtime_that_a_write_stamps_is_kept_or_lost() {
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
fn a_crash_during_a_call_leaves_it_done_undone_or_in_part() {
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

// Rule 7

#[test]
fn anything_may_become_durable_at_any_time() {
    let (sim, actor) = durable(&[("f", b"0"), ("g", b"0")]);
    for path in ["f", "g"] {
        actor.open(path, Access::Write).unwrap().write_at(b"1", 0).unwrap();
    }
    drop(actor.create("new").unwrap());
    sim.write_back("f");
    assert_eq!(after(&sim, "f"), set([Some(b"1".to_vec())]));
    assert_eq!(after(&sim, "g").len(), 2);
    sim.write_back("new");
    assert_eq!(names(&sim), texts(&["f g new"]));
    sim.write_back_all();
    assert_eq!(all(&sim.world(), PAGES).len(), 1);
}

// Rule 8

#[test]
fn process_death_keeps_what_is_live_and_what_is_pending() {
    let (sim, actor) = durable(&[]);
    drop(put(&actor, "f", b"x"));
    let boot = actor.facts().unwrap();
    let world = sim.world().process_death();
    assert_eq!(world.read("f").unwrap(), b"x");
    assert_eq!(world.actor().facts().unwrap(), boot, "same boot, same mount");
    assert_eq!(after(&world, "f").len(), 4, "a power cut may still come");
}

#[test]
fn a_write_in_flight_may_be_partial_when_its_process_dies() {
    let (sim, actor) = durable(&[("f", b"....")]);
    let file = actor.open("f", Access::Write).unwrap();
    sim.record();
    file.write_at(b"abcdef", 1).unwrap();
    let worlds = sim.recorded()[0].world.process_death_variants();
    let bodies: Vec<_> = worlds.iter().map(|world| world.read("f").unwrap()).collect();
    assert_eq!(bodies, [&b"...."[..], b".abc", b".abcde"]);
}

#[test]
fn a_killed_process_loses_its_handles_and_locks_and_does_nothing_more() {
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
fn shared_locks_stand_together_and_none_survives_a_crash() {
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
fn a_power_cut_brings_another_boot_and_a_remount_only_another_mount() {
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
fn crashed_worlds_share_nothing() {
    let (sim, actor) = durable(&[("f", b"0")]);
    actor.open("f", Access::Write).unwrap().write_at(b"1", 0).unwrap();
    let worlds = all(&sim.world(), PAGES);
    worlds[0].write("f", b"other");
    assert_eq!(sim.read("f").unwrap(), b"1");
    assert_ne!(worlds[1].read("f").unwrap(), b"other");
    let fork = sim.fork();
    fork.remove("f");
    assert_eq!(sim.read("f").unwrap(), b"1");
    assert!(fork.read("f").is_none());
}

#[test]
fn a_read_past_the_cache_sees_the_durable_bytes() {
    let (sim, actor) = durable(&[("f", b"old")]);
    actor.open("f", Access::Write).unwrap().write_at(b"newer", 0).unwrap();
    let device = actor.open("f", Access::ReadDevice).unwrap();
    let mut buffer = [9; 8];
    assert_eq!(device.read_at(&mut buffer, 0).unwrap(), 5);
    assert_eq!(&buffer[..5], b"old\0\0");
    sim.set_read_device(false);
    assert!(actor.open("f", Access::ReadDevice).unwrap_err().is_unsupported());
}

#[test]
fn inode_numbers_come_back_after_the_inode_is_freed() {
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
fn the_clock_is_coarse_for_files_and_may_jump() {
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
fn links_are_counted_and_the_inode_lives_until_the_last_name_and_handle() {
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
fn a_mount_inside_the_tree_refuses_what_would_cross_it() {
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

// Rule 9

#[test]
fn a_sync_that_fails_is_reported_once_and_the_disk_keeps_the_old_bytes() {
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
fn a_failed_append_followed_by_a_good_one_leaves_a_hole_of_zeros() {
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
fn names_whose_sync_failed_are_not_covered_by_the_next_one() {
    let (sim, actor) = durable(&[]);
    drop(actor.create("f").unwrap());
    let at = When::Matching { op: "sync_dir", path_contains: String::new(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::IO), sticky: false });
    assert!(actor.sync_dir("").is_err());
    actor.sync_dir("").unwrap();
    assert_eq!(names(&sim), texts(&["", "f"]));
}

#[test]
fn a_full_disk_refuses_new_blocks_and_names_but_not_overwrites() {
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
fn faults_strike_the_call_they_are_meant_for() {
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

// Rule 10

#[test]
fn damage_at_rest_is_live_and_durable() {
    let (sim, _) = durable(&[("f", &[0xff; 2000]), ("gone", b"")]);
    sim.damage("f", Damage::FlipBit { offset: 3, bit: 7 });
    sim.damage("f", Damage::ZeroSector(1));
    sim.damage("f", Damage::Truncate(1100));
    sim.damage("gone", Damage::Delete);
    let mut expected = vec![0xff; 1100];
    expected[3] = 0x7f;
    expected[512..1024].fill(0);
    assert_eq!(after(&sim, "f"), set([Some(expected.clone())]));
    assert_eq!(sim.tree().into_iter().collect::<Vec<_>>(), [("f".to_owned(), expected)]);
}

// Paths

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

// Samples

#[test]
fn too_many_outcomes_are_sampled_without_repetition_and_the_same_for_the_same_seed() {
    let (sim, actor) = durable(&[]);
    for number in 0..30 {
        drop(put(&actor, &format!("f{number}"), &[1; 3 * PAGE]));
    }
    let sample = |seed| {
        let Outcomes { worlds, possible, complete } = sim.world().power_cut(&SECTORS, 200, seed);
        assert!(!complete && possible > 1e9);
        worlds.iter().map(SimFs::fingerprint).collect::<Vec<_>>()
    };
    let first = sample(1);
    assert_eq!(first.len(), 200);
    assert_eq!(set(first.clone()).len(), 200);
    assert_eq!(sample(1), first);
    assert_ne!(sample(2), first);
    let worlds = sim.world().power_cut(&PAGES, 200, 3).worlds;
    let sizes: BTreeSet<usize> = worlds.iter().map(|world| world.tree().len()).collect();
    assert!(sizes.contains(&0) && sizes.contains(&30) && sizes.len() > 5, "{sizes:?}");
}

#[test]
fn ten_thousand_recorded_calls_are_kept_and_can_all_be_crashed() {
    let (sim, actor) = durable(&[("journal", &[b'\n'; 64 * 1024])]);
    for number in 0..50 {
        sim.write(&format!("doc{number}"), b"{}");
    }
    sim.write_back_all();
    let journal = actor.open("journal", Access::Write).unwrap();
    sim.record();
    for number in 0..5000_u64 {
        journal.write_at(&[b'x'; 512], number * 512 % (64 * 1024)).unwrap();
        journal.sync(SyncKind::Data).unwrap();
    }
    let moments = sim.recorded();
    assert_eq!(moments.len(), 10_001);
    for moment in moments.iter().step_by(100) {
        assert!(all(&moment.world, SECTORS).len() <= 2);
    }
}
