//! What goes wrong without one of the syncs, checks and orders that the protocol rests on.

use std::time::Duration;

use filepact::{Error, Transaction};
use filepact_fs::{Access, Fs};
use filepact_simfs::{SimFs, errno};
use filepact_tests::crash::{documents, open, options, prepared};
use filepact_tests::history::{before, body};
use filepact_tests::meanwhile::Meanwhile;

use crate::support::{
    STRICT, after_power_cuts, dies_before_swap, distrust, fail, moment, mtime, put, read,
    set_mtime, staged, text,
};

#[test]
fn recovery_refuses_before_it_changes_anything_if_a_file_is_in_the_way() {
    let sim = prepared();
    let store = open(&sim);
    fail(&sim, "rename", "new/b.json", errno::IO, true);
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    tx.write_bytes("new/b.json", "v2").expect("a valid path");
    tx.commit().expect_err("b cannot be published");
    drop(store);
    sim.clear_faults();
    sim.write("new", b"in the way");
    let before = sim.fingerprint();
    let refused = options().open_with(sim.actor()).expect_err("b has no place");
    assert!(matches!(&refused, Error::Unrecoverable { path, .. } if path == "new/b.json"));
    assert_eq!(sim.fingerprint(), before, "nothing is changed");
    sim.remove("new");
    drop(open(&sim));
    assert_eq!(read(&sim, "new/b.json").as_deref(), Some("v2"));
}

#[test]
fn a_document_that_is_removed_or_changes_its_mode_just_before_the_swap() {
    for removed in [true, false] {
        let sim = prepared();
        let outside = sim.clone();
        let fs = Meanwhile::before_rename(sim.actor(), "a.json", move || {
            if removed { outside.remove("a.json") } else { outside.set_mode("a.json", 0o600) }
        });
        let store = options().open_with(fs.clone()).expect("it opens");
        put(&store, "a.json", b"ours");
        assert!(fs.has_happened());
        assert_eq!(read(&sim, "a.json").as_deref(), Some("ours"));
        if !removed {
            assert_eq!(sim.stat("a.json").expect("it is there").mode, 0o600);
        }
        assert_eq!(staged(&sim), Vec::<String>::new());
    }
}

#[test]
fn a_directory_that_appears_where_a_document_is_removed_stays() {
    let sim = prepared();
    let store = open(&sim);
    fail(&sim, "rename", "a.json", errno::IO, false);
    let error = store.remove("a.json").expect_err("it cannot be taken away");
    assert!(matches!(error, Error::Unpublished { .. }), "{error:?}");
    sim.remove("a.json");
    sim.mkdir("a.json");
    sim.write("a.json/theirs", b"theirs");
    store.write("b.json", &1).expect("the removal is done already");
    assert_eq!(read(&sim, "a.json/theirs").as_deref(), Some("theirs"));
}

#[test]
fn a_read_is_checked_by_more_than_size_and_mtime() {
    // An edit of the same length in place, with its time put back, or within the tick.
    for still in [false, true] {
        let sim = prepared();
        let store = open(&sim);
        if still {
            sim.set_step(Duration::ZERO);
        }
        sim.write("notes.json", b"before");
        if !still {
            sim.advance(Duration::from_secs(3_600));
        }
        let mut tx = store.begin().expect("the store is open");
        tx.read_bytes("notes.json").expect("it can be read").expect("it is there");
        let before = mtime(&sim, "notes.json");
        sim.write("notes.json", b"theirs");
        set_mtime(&sim, "notes.json", before);
        tx.write_bytes("b.json", "derived").expect("a valid path");
        let conflict = tx.commit().expect_err("what it read has changed");
        assert!(
            matches!(&conflict, Error::Conflict { paths } if *paths == ["notes.json"]),
            "{conflict:?}"
        );
    }
}

#[test]
fn another_commit_to_what_was_read_is_a_conflict_though_it_brings_the_content_back() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    let mut tx = store.begin().expect("the store is open");
    tx.read_bytes("a.json").expect("it can be read").expect("it is there");
    put(&store, "a.json", b"v2");
    put(&store, "a.json", b"v1");
    tx.write_bytes("b.json", "derived").expect("a valid path");
    assert!(matches!(tx.commit(), Err(Error::Conflict { .. })));
}

#[test]
fn what_cannot_be_changed_is_refused_before_the_commit_point() {
    let sim = prepared();
    sim.set_frozen("b.json", true);
    sim.make_other("pipe");
    let store = open(&sim);
    for path in ["b.json", "pipe"] {
        let mut tx = store.begin().expect("the store is open");
        tx.write_bytes("a.json", "v1").expect("a valid path");
        tx.write_bytes(path, "v1").expect("a valid path");
        let error = tx.commit().expect_err("it cannot be published");
        assert!(matches!(&error, Error::Refused { path: p, .. } if p == path), "{error:?}");
    }
    fail(&sim, "create_unnamed", "", errno::PERM, true);
    let error = store.remove("a.json").expect_err("nobody may rename there");
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(sim.read("a.json").is_some());
}

#[test]
fn the_version_that_a_removal_of_the_users_takes_back_is_no_edit() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    store.close().expect("nothing fails here");
    sim.write_back_all();
    sim.remove("a.json");
    put(&open(&sim), "a.json", b"v2");
    after_power_cuts(&sim, 256, |world, store| {
        assert_eq!(read(world, "a.json").as_deref(), Some("v2"));
        assert_eq!(store.recovery_report().rescued, []);
    });
}

// Checkpoint

#[test]
fn a_checkpoint_reads_back_what_it_has_synced() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    // Another content under our own stamp: a write whose error went with an evicted inode.
    sim.damage("a.json", filepact_simfs::Damage::FlipBit { offset: 0, bit: 0 });
    store.checkpoint().expect_err("it is not what was written");
    let refused = store.write("b.json", &1).expect_err("the handle has stopped");
    assert!(matches!(refused, Error::Poisoned), "{refused:?}");
    drop(store);
    let store = open(&sim);
    assert!(store.recovery_report().failed);
    assert_eq!(read(&sim, "a.json").as_deref(), Some("v1"));
}

#[test]
fn a_checkpoint_leaves_an_edit_as_it_is() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    sim.write("a.json", b"edited");
    store.checkpoint().expect("an edit is no lost write");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("edited"));
    // Nor one that puts the time back.
    put(&store, "b.json", b"v1");
    let before = mtime(&sim, "b.json");
    sim.write("b.json", b"ed");
    set_mtime(&sim, "b.json", before);
    assert_eq!(store.check().expect("it can be checked").problems, Vec::<String>::new());
    store.checkpoint().expect("an edit is no lost write");
    put(&store, "a.json", b"v2");
}

#[test]
fn a_checkpoint_that_failed_before_a_sync_leaves_no_mark() {
    for (op, path, errno) in
        [("open", "a.json", errno::MFILE), ("write", ".filepact/journal", errno::NOSPC)]
    {
        let sim = prepared();
        let store = open(&sim);
        put(&store, "a.json", b"v1");
        fail(&sim, op, path, errno, false);
        let error = store.checkpoint().expect_err("a call fails");
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        drop(store);
        let store = open(&sim);
        let report = store.recovery_report();
        assert!(report.trusted && !report.failed, "{op}: {report:?}");
    }
}

#[test]
fn after_a_checkpoint_an_opening_in_the_same_boot_syncs_nothing() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", &body("large", 1, 9_000));
    store.checkpoint().expect("nothing fails here");
    assert_eq!(staged(&sim), Vec::<String>::new());
    drop(store);
    sim.record();
    let store = open(&sim);
    let report = store.recovery_report();
    assert!(report.trusted && !report.failed && report.is_clean(), "{report:?}");
    let calls = sim.call_log();
    let syncs: Vec<_> = calls.iter().filter(|call| call.starts_with("sync")).collect();
    assert!(syncs.is_empty(), "{syncs:?}");
}

#[test]
fn a_large_body_keeps_its_name_until_the_checkpoint_is_recorded() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", &body("large", 1, 9_000));
    fail(&sim, "write", ".filepact/journal", errno::NOSPC, false);
    store.checkpoint().expect_err("there is no room for its record");
    drop(store);
    sim.write("a.json", b"edited in place");
    sim.write_back_all();
    after_power_cuts(&sim, 16, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("edited in place"));
    });
}

#[test]
fn a_mark_that_does_not_say_no_says_yes() {
    for mark in [Some(""), Some("1"), Some("?"), Some("0"), Some("10"), Some("01")] {
        let sim = prepared();
        put(&open(&sim), "a.json", b"v1");
        match mark {
            Some(mark) => sim.write(".filepact/checkpoint.lock", mark.as_bytes()),
            None => sim.remove(".filepact/checkpoint.lock"),
        }
        assert!(open(&sim).recovery_report().failed, "{mark:?}");
        assert!(!open(&sim).recovery_report().failed, "{mark:?}: it is settled");
    }
}

#[test]
fn a_checkpoint_makes_the_mode_durable() {
    let sim = prepared();
    sim.set_mode("a.json", 0o600);
    let store = open(&sim);
    put(&store, "a.json", b"secret");
    store.checkpoint().expect("nothing fails here");
    drop(store);
    for world in sim.world().power_cut(&STRICT, 64, 1).worlds {
        assert_eq!(world.stat("a.json").expect("it is there").mode, 0o600, "before any opening");
    }
}

// Recovery

#[test]
fn what_somebody_elses_failed_sync_left_in_the_cache_is_rewritten() {
    for read_device in [true, false] {
        let sim = prepared();
        sim.set_read_device(read_device);
        put(&open(&sim), "a.json", b"v1");
        fail(&sim, "sync", "a.json", errno::IO, false);
        let theirs = sim.actor().open("a.json", Access::Read).expect("it is there");
        theirs.sync(filepact_fs::SyncKind::All).expect_err("the sync fails");
        drop(theirs);
        distrust(&sim);
        drop(open(&sim));
        sim.evict_all();
        assert_eq!(read(&sim, "a.json").as_deref(), Some("v1"), "device: {read_device}");
        after_power_cuts(&sim, 64, |world, _| {
            assert_eq!(read(world, "a.json").as_deref(), Some("v1"), "device: {read_device}");
        });
    }
}

#[test]
fn a_recovery_whose_sync_failed_is_not_believed_by_the_next() {
    for (op, path) in [("sync", "dir/a.json"), ("sync_dir", "dir")] {
        let sim = prepared();
        put(&open(&sim), "dir/a.json", b"v1");
        distrust(&sim);
        fail(&sim, op, path, errno::IO, false);
        let refused = options().open_with(sim.actor());
        assert!(matches!(refused, Err(Error::Io { .. })), "{op}: {refused:?}");
        sim.clear_faults();
        let store = open(&sim);
        assert!(store.recovery_report().failed, "{op}");
        drop(store);
        sim.evict_all();
        after_power_cuts(&sim, 64, |world, _| {
            assert_eq!(read(world, "dir/a.json").as_deref(), Some("v1"), "{op}");
        });
    }
}

#[test]
fn a_large_edit_that_lies_nowhere_else_outlives_a_crash_of_its_rewriting() {
    for nameless_syncs in [true, false] {
        let sim = prepared();
        sim.set_nameless_syncs(nameless_syncs);
        let store = open(&sim);
        put(&store, "a.json", b"v1");
        let edit = body("theirs", 1, 9_000);
        sim.write("a.json", &edit);
        store
            .transact(|tx| {
                tx.read_bytes("a.json")?;
                tx.write_bytes("b.json", "derived")
            })
            .expect("the edit is adopted");
        drop(store);
        sim.write(".filepact/checkpoint.lock", b"10");
        sim.record();
        drop(open(&sim));
        for moment in sim.recorded() {
            for world in moment.world.power_cut(&STRICT, 64, 1).worlds {
                drop(open(&world));
                assert_eq!(world.read("a.json"), Some(edit.clone()), "{}", moment.call);
            }
        }
    }
}

#[test]
fn what_a_recovery_that_died_has_copied_is_nobodys_edit() {
    let sim = prepared();
    let large = body("large", 1, 9_000);
    put(&open(&sim), "large", &large);
    let mut copies = 0;
    for world in sim.world().power_cut(&STRICT, 16, 1).worlds {
        if world.read("large").as_ref() == Some(&large) {
            continue;
        }
        world.record();
        drop(open(&world));
        for moment in world.recorded() {
            for later in moment.world.power_cut(&STRICT, 64, 1).worlds {
                let store = open(&later);
                let rescued = &store.recovery_report().rescued;
                assert!(rescued.is_empty(), "{}: {rescued:?}", moment.call);
                assert_eq!(later.read("large").as_ref(), Some(&large));
                copies += 1;
            }
        }
    }
    assert!(copies > 1_000, "{copies}");
}

#[test]
fn a_streamed_body_is_durable_with_its_transaction() {
    let sim = prepared();
    let store = open(&sim);
    let large = body("streamed", 1, 9_000);
    store.transact(|tx| tx.write_from("a.json", &large[..])).expect("nothing stands in the way");
    drop(store);
    after_power_cuts(&sim, 256, |world, _| assert_eq!(world.read("a.json"), Some(large.clone())));
}

#[test]
fn a_link_on_the_way_to_a_document_is_no_document() {
    let sim = prepared();
    put(&open(&sim), "dir/a.json", b"v1");
    sim.rename("dir", "elsewhere");
    sim.symlink("dir", "elsewhere");
    let store = open(&sim);
    assert_eq!(store.recovery_report().adopted, ["dir/a.json"]);
    assert_eq!(text(&store, "dir/a.json"), None);
}

#[test]
fn an_adopted_edit_stands_in_the_log() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    sim.write("a.json", b"edited");
    let log = open(&sim).log().expect("it answers");
    let last = log.last().expect("it is the last");
    assert!(last.outside && last.changes[0].path == "a.json", "{log:?}");
}

/// A commit has recorded that another program had moved a document away, or changed it, and its process died;
/// then that was undone. It is what was there before the record, and somebody's all the same.
#[test]
fn an_adopted_edit_that_was_undone_before_a_recovery_stays_undone() {
    for edit in ["moved", "replaced", "added to"] {
        for opening in ["trusted", "untrusted", "after one that found no room"] {
            let sim = prepared();
            let store = open(&sim);
            put(&store, "b.json", b"v1");
            put(&store, "c.json", b"v1");
            drop(store);
            let dead = dies_before_swap(&sim, "b.json");
            match edit {
                "moved" => sim.rename("c.json", "c.json.bak"),
                _ => sim.replace("c.json", b"edited"),
            }
            let mut tx = dead.begin().expect("the store is open");
            tx.read_bytes("c.json").expect("it can be read");
            tx.write_bytes("b.json", "v2").expect("a valid path");
            if edit == "added to" {
                tx.append("c.json", ", and more").expect("a valid path");
            }
            tx.commit().expect_err("it dies");
            drop(dead);
            match edit {
                "moved" => sim.rename("c.json.bak", "c.json"),
                _ => sim.replace("c.json", b"v1"),
            }
            if opening != "trusted" {
                distrust(&sim);
            }
            if opening == "after one that found no room" {
                fail(&sim, "make_dir", ".filepact/rescued/", errno::NOSPC, false);
                let opened = options().open_with(sim.actor());
                assert!(opened.is_err(), "{edit}");
                sim.clear_faults();
            }
            let store = open(&sim);
            assert_eq!(text(&store, "b.json").as_deref(), Some("v2"));
            let rescued = store.status().expect("it can be read").rescued;
            let kept = rescued.iter().map(|edit| read(&sim, &edit.at));
            let mut all = kept.chain([read(&sim, "c.json")]);
            assert!(all.any(|kept| kept.as_deref() == Some("v1")), "{edit}, {opening}");
            assert!(edit == "added to" || opening != "trusted" || rescued.is_empty());
        }
    }
}

#[test]
fn the_mode_of_a_secret_survives_being_redone_and_rewritten() {
    for failed in [false, true] {
        let sim = prepared();
        let store = open(&sim);
        store.transact(|tx| tx.write_with("secret.json", &1, 0o600)).expect("it commits");
        drop(store);
        if failed {
            sim.write(".filepact/checkpoint.lock", b"10");
            sim.write_back(".filepact/checkpoint.lock");
        }
        after_power_cuts(&sim, 512, |world, store| {
            assert_eq!(store.recovery_report().failed, failed);
            assert_eq!(world.stat("secret.json").expect("it is there").mode, 0o600, "{failed}");
        });
    }
}

#[test]
fn a_document_that_gives_way_to_a_directory_does_so_after_a_crash_as_well() {
    let sim = prepared();
    let store = open(&sim);
    sim.record();
    store
        .transact(|tx| {
            tx.remove("a.json")?;
            tx.write_bytes("a.json/below", "x")
        })
        .expect("removals are published first");
    drop(store);
    for moment in sim.recorded() {
        let killed = moment.world.process_death();
        drop(open(&killed));
        let below = read(&killed, "a.json/below");
        assert!(below.is_some() || documents(&killed) == before(), "{}", moment.call);
    }
}

/// Somebody has removed a document, and its directory, and another one has taken the place of that; or the other
/// way round. The journal has a word on both, and only one of them can be a document.
#[test]
fn a_document_and_a_directory_that_take_each_others_place_are_recovered() {
    for (first, then) in [("d/below", "d"), ("d", "d/below")] {
        for (removed, adopted) in [(false, false), (true, false), (false, true)] {
            let sim = prepared();
            let store = open(&sim);
            put(&store, first, b"first");
            sim.remove(first);
            if first == "d/below" {
                sim.remove("d");
            }
            put(&store, then, b"then");
            if removed {
                store.transact(|tx| tx.remove(then)).expect("it is there");
            }
            if adopted {
                let read = |tx: &mut Transaction| {
                    assert!(tx.read_bytes(first)?.is_none());
                    tx.write_bytes("other", "x")
                };
                store.transact(read).expect("it records what somebody has removed");
                assert!(store.log().expect("it can be read").iter().any(|entry| entry.outside));
            }
            drop(store);
            let mut worlds = sim.world().power_cut(&STRICT, 64, 1).worlds;
            worlds.push(sim.world().process_death());
            let then_is = |world: &SimFs| {
                let before = world.dump();
                let opened = options().open_with(world.actor());
                if let Err(Error::Unrecoverable { path, .. }) = &opened {
                    // The removal is lost with the power: a person is to move what stands there.
                    assert!(!removed && path == then, "{path}\n{before}");
                    world.rename("d", "moved");
                }
                drop(opened);
                let status = open(world).status().expect("it can be read");
                // A removal that is lost with the power may take the directory along that came back with it;
                // one that was adopted leaves what came back, which somebody may have put there.
                let may_rescue = removed || adopted;
                assert!(may_rescue || status.rescued.is_empty(), "{status:?}\n{before}");
                assert_eq!(read(world, then), (!removed).then(|| "then".into()), "{before}");
            };
            worlds.iter().for_each(then_is);
        }
    }
}

/// The directory was moved aside, a document took its name, and both are as before: what lies in the directory
/// is what was committed.
#[test]
fn a_document_that_comes_back_with_its_directory_is_no_edit() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "d/below", b"first");
    sim.rename("d", "aside");
    put(&store, "d", b"then");
    sim.remove("d");
    sim.rename("aside", "d");
    drop(store);
    let killed = sim.world().process_death();
    let opened = open(&killed);
    assert_eq!(opened.recovery_report().adopted, ["d"], "it was removed, and no more");
    drop(opened);
    for world in killed.world().power_cut(&STRICT, 64, 1).worlds {
        assert_eq!(read(&world, "d/below").as_deref(), Some("first"), "{}", world.dump());
    }
}

#[test]
fn one_transaction_cannot_put_a_document_below_another() {
    for paths in [["d", "d/below"], ["d/below", "d"]] {
        let sim = prepared();
        let store = open(&sim);
        let put = store.transact(|tx| paths.iter().try_for_each(|path| tx.write_bytes(path, "x")));
        assert!(put.is_err());
        assert!(store.status().expect("it can be read").unpublished.is_none(), "{put:?}");
    }
}

#[test]
fn what_was_recovered_is_not_recovered_again() {
    for edited in [false, true] {
        let sim = prepared();
        put(&open(&sim), "a.json", b"v1");
        if edited {
            sim.write("a.json", b"edited");
        }
        for world in sim.world().remount(&STRICT, 4, 1).worlds.iter().chain([&sim]) {
            drop(open(world));
            let report = open(world).recovery_report().clone();
            assert!(
                report.trusted && report.is_clean() && report.documents.is_empty(),
                "{report:?}"
            );
        }
    }
}

#[test]
fn an_edit_between_the_look_and_the_swap_of_a_recovery_is_rescued() {
    let sim = prepared();
    let store = open(&sim);
    sim.record();
    put(&store, "a.json", b"ours");
    drop(store);
    let died = moment(&sim, "rename .filepact/stage").world.process_death();
    let outside = died.clone();
    let fs = Meanwhile::before_rename(died.actor(), "a.json", move || {
        outside.write("a.json", b"theirs");
    });
    let store = options().open_with(fs.clone()).expect("it opens");
    assert!(fs.has_happened());
    let rescued = &store.recovery_report().rescued;
    assert_eq!(rescued.len(), 1);
    assert_eq!(read(&died, &rescued[0].at).as_deref(), Some("theirs"));
    assert_eq!(read(&died, "a.json").as_deref(), Some("ours"));
}

#[test]
fn an_edit_that_was_adopted_is_known_and_not_rescued_later() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    sim.write("a.json", b"edited");
    let store = open(&sim);
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    assert_eq!(tx.commit().expect("it commits").rescued, []);
}

#[test]
fn no_version_that_a_power_cut_brings_back_is_an_edit() {
    let sim = prepared();
    sim.write("notes.json", b"the user's own");
    sim.write_back_all();
    sim.advance(Duration::from_secs(3_600));
    let store = open(&sim);
    put(&store, "notes.json", b"ours");
    for version in ["v1", "v2", "v3"] {
        put(&store, "a.json", version.as_bytes());
    }
    drop(store);
    let mut seen = std::collections::BTreeSet::new();
    for world in sim.world().power_cut(&STRICT, 1024, 1).worlds {
        seen.extend(read(&world, "a.json"));
        let report = open(&world).recovery_report().clone();
        assert_eq!(report.rescued, [], "{report:?}");
    }
    assert!(seen.len() >= 4, "{seen:?}: the test proves nothing");
}

#[test]
fn a_large_body_that_does_not_verify_is_never_published() {
    let sim = prepared();
    let store = open(&sim);
    sim.record();
    put(&store, "a.json", &body("large", 1, 9_000));
    drop(store);
    let died = moment(&sim, "rename .filepact/stage").world.process_death();
    let name = staged(&died).into_iter().find(|path| path.ends_with(".body")).expect("it is named");
    died.damage(&name, filepact_simfs::Damage::FlipBit { offset: 5_000, bit: 0 });
    let found = documents(&died);
    let refused = options().open_with(died.actor());
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(documents(&died), found, "nothing is changed");
}

#[test]
fn a_commit_that_panicked_is_finished_by_the_next_opening() {
    let sim = prepared();
    let fs = Meanwhile::before_rename(sim.actor(), "a.json", || panic!("in mid-publication"));
    let store = options().open_with(fs).expect("it opens");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        put(&store, "a.json", b"v1");
    }));
    assert!(panicked.is_err());
    let refused = store.write("b.json", &1).expect_err("its steps are half done");
    assert!(matches!(refused, Error::Poisoned), "{refused:?}");
    drop(store);
    drop(open(&sim));
    assert_eq!(read(&sim, "a.json").as_deref(), Some("v1"));
}

#[test]
fn a_recovery_that_dies_publishes_a_transaction_whole_or_not_at_all() {
    // Died before the commit point, with the group in memory, and between two swaps.
    for call in ["sync .filepact/journal", "rename .filepact/stage"] {
        let sim = prepared();
        let store = open(&sim);
        sim.record();
        store
            .transact(|tx| {
                tx.write_bytes("a.json", "v1")?;
                tx.write_bytes("b.json", "v1")
            })
            .expect("nothing stands in the way");
        drop(store);
        let died = moment(&sim, call).world.process_death();
        died.record();
        drop(open(&died));
        for moment in died.recorded() {
            let killed = [moment.world.process_death()];
            let cut = moment.world.power_cut(&STRICT, 64, 1).worlds;
            for world in killed.iter().chain(&cut) {
                let store = open(world);
                let a = read(world, "a.json").expect("it is there") == "v1";
                let b = read(world, "b.json").expect("it is there") == "v1";
                assert_eq!(a, b, "{call}, then {}", moment.call);
                let report = store.recovery_report();
                assert!(report.adopted.is_empty() && report.rescued.is_empty(), "{report:?}");
            }
        }
    }
}

#[test]
fn a_new_store_is_durable_with_its_first_transaction() {
    let sim = SimFs::new();
    let store = open(&sim);
    for world in sim.world().power_cut(&STRICT, 256, 1).worlds {
        assert_eq!(read(&world, ".filepact/.gitignore").as_deref(), Some("*\n"));
        // What it says was never synced; but it is there, to be locked.
        assert!(read(&world, ".filepact/checkpoint.lock").is_some());
    }
    put(&store, "a.json", b"v1");
    drop(store);
    after_power_cuts(&sim, 256, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("v1"));
    });
}

#[test]
fn a_mark_that_is_missing_is_not_taken_for_a_clear_no() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    sim.remove(".filepact/checkpoint.lock");
    assert!(open(&sim).recovery_report().failed);
}

#[test]
fn a_recovery_keeps_large_bodies_until_its_checkpoint_is_recorded() {
    let sim = prepared();
    put(&open(&sim), "a.json", &body("large", 1, 9_000));
    fail(&sim, "write", ".filepact/journal", errno::NOSPC, true);
    options().open_with(sim.actor()).expect_err("there is no room for its record");
    sim.clear_faults();
    sim.write("a.json", b"edited in place");
    sim.write_back_all();
    after_power_cuts(&sim, 16, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("edited in place"));
    });
}

#[test]
fn a_trusted_recovery_whose_sync_failed_is_not_believed_by_the_next() {
    for (op, on) in [("sync", "a.json"), ("sync_dir", "")] {
        let sim = prepared();
        let store = open(&sim);
        put(&store, "a.json", b"v2");
        put(&store, "new.json", b"v2");
        drop(store);
        fail(&sim, op, on, errno::IO, false);
        options().open_with(sim.actor()).expect_err("a sync fails");
        let store = open(&sim);
        assert!(store.recovery_report().failed, "{op}");
        drop(store);
        sim.evict_all();
        after_power_cuts(&sim, 500, |world, _| {
            assert_eq!(read(world, "a.json").as_deref(), Some("v2"), "{op}");
            assert_eq!(read(world, "new.json").as_deref(), Some("v2"), "{op}");
        });
    }
}

/// Root wrote into somebody's store: a new segment, the counters and what got an inode of its own were root's
/// alone, and the store's owner could not open it any more.
#[test]
fn what_root_makes_belongs_to_whom_the_store_belongs() {
    let sim = prepared();
    for dir in [".filepact", ".filepact/journal"] {
        sim.set_owner(dir, 33, 44);
    }
    if sim.stat(".filepact/counters").is_some() {
        sim.remove(".filepact/counters");
    }
    let state = sim.actor().open(".filepact/state", Access::Read).expect("it is there");
    state.link("a copy of it").expect("it can be linked");
    let before = sim.names_in(".filepact/journal");
    let store = options().inline_max(1 << 20).open_with(sim.actor()).expect("it opens");
    let mut number = 0;
    // A segment that was made ready.
    while sim.names_in(".filepact/journal").iter().all(|name| before.contains(name)) {
        number += 1;
        put(&store, "a.json", format!("{number:0900}").as_bytes());
    }
    // And one that was not.
    let ready = sim.names_in(".filepact/journal").len();
    put(&store, "a.json", &[b'x'; 500_000]);
    assert_eq!(sim.names_in(".filepact/journal").len(), ready + 1);
    store.close().expect("nothing stands in the way");
    let segments = sim.names_in(".filepact/journal").into_iter();
    let new = segments.filter(|name| !before.contains(name));
    let made = new.map(|name| format!("journal/{name}")).chain(["state".into(), "counters".into()]);
    for name in made {
        let stat = sim.stat(&format!(".filepact/{name}")).expect("it is there");
        assert_eq!((stat.uid, stat.gid, stat.mode), (33, 44, 0o600), "{name}");
    }
}
