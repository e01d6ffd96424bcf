//! Each trace that broke an earlier draft of the protocol, as a test named by its number.

use std::sync::Arc;
use std::time::Duration;

use filepact::{Error, Store, Version};
use filepact_fs::Fs;
use filepact_simfs::{Grain, Profile, SimFs, errno};
use filepact_tests::crash::counts::Counts;
use filepact_tests::crash::explore::{Effort, explore};
use filepact_tests::crash::stories::transactions::transactions;
use filepact_tests::crash::story::{Expect, Scene, Story};
use filepact_tests::crash::{documents, open, options, prepared};
use filepact_tests::history::{Op, Txn, before, body};
use filepact_tests::meanwhile::Meanwhile;

use crate::support::{STRICT, after_power_cuts, fail, moment, mtime, put, read, set_mtime, text};

/// Crashes a story of one of these attacks in every way.
fn crash(story: &Story) -> Counts {
    let effort = Effort { outcomes: [128, 8, 4], deeper: [40, 40], seed: 0 };
    let (counts, result) = explore(story, STRICT, effort);
    result.unwrap_or_else(|failure| panic!("{failure}"));
    counts
}

#[test]
fn attack_1_the_same_boot_is_not_the_same_page_cache() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    sim.write_back(".filepact/state");
    let mut old = 0;
    for world in sim.world().remount(&STRICT, 1024, 1).worlds {
        old += usize::from(read(&world, "a.json").as_deref() != Some("v1"));
        open(&world);
        assert_eq!(read(&world, "a.json").as_deref(), Some("v1"));
    }
    assert!(old > 0, "no outcome shows the old document: the test proves nothing");
}

#[test]
fn attack_2_a_shorter_group_over_a_torn_tail_revives_nothing() {
    let sim = prepared();
    let store = open(&sim);
    sim.record();
    let mut tx = store.begin().expect("the store is open");
    for name in ["x", "y", "z"] {
        tx.write_bytes(format!("{name}.json"), body(name, 1, 900)).expect("a valid path");
    }
    tx.commit().expect("nothing stands in the way");
    let torn = moment(&sim, "write .filepact/journal").world.process_death_variants();
    assert!(torn.len() > 1, "the write can be cut short");
    for sim in torn {
        let store = open(&sim);
        let cut_short = documents(&sim);
        put(&store, "a.json", b"small");
        drop(store);
        after_power_cuts(&sim, 256, |world, _| {
            let mut expected = cut_short.clone();
            expected.insert("a.json".to_owned(), b"small".to_vec());
            assert_eq!(documents(world), expected);
        });
    }
}

#[test]
fn attack_3_nothing_committed_is_taken_back_when_a_publish_fails() {
    let sim = prepared();
    let store = open(&sim);
    fail(&sim, "rename", "b.json", errno::IO, true);
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    tx.write_bytes("b.json", "v2").expect("a valid path");
    let error = tx.commit().expect_err("b cannot be published");
    assert!(matches!(&error, Error::Unpublished { path, .. } if path == "b.json"), "{error:?}");
    // Readers through filepact see the whole of it, also where its file is still the old one.
    assert_eq!(text(&store, "a.json").as_deref(), Some("v2"));
    assert_eq!(text(&store, "b.json").as_deref(), Some("v2"));
    assert_ne!(read(&sim, "b.json").as_deref(), Some("v2"));
    // Nobody builds upon it until it is finished, and that costs them nothing.
    let blocked = store.write("c.json", &1).expect_err("b is still in the way");
    assert!(matches!(blocked, Error::Io { .. }), "{blocked:?}");
    after_power_cuts(&sim, 512, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("v2"));
        assert_eq!(read(world, "b.json").as_deref(), Some("v2"));
        assert_eq!(read(world, "c.json"), None);
    });
    sim.clear_faults();
    store.write("c.json", &1).expect("the next commit finishes it");
    assert_eq!(read(&sim, "b.json").as_deref(), Some("v2"));
}

#[test]
fn attack_4_recovery_does_not_believe_a_cache_after_a_failed_sync() {
    for op in ["sync", "sync_dir"] {
        let sim = prepared();
        let store = open(&sim);
        put(&store, "a.json", b"v1");
        fail(&sim, op, if op == "sync" { "a.json" } else { "" }, errno::IO, false);
        // It dies before it can say so.
        fail(&sim, "write", ".filepact/state", errno::IO, true);
        store.checkpoint().expect_err("the sync fails");
        drop(store);
        sim.clear_faults();
        assert_eq!(read(&sim, "a.json").as_deref(), Some("v1"), "the cache shows the new bytes");
        let store = open(&sim);
        assert!(store.recovery_report().failed);
        drop(store);
        sim.evict_all();
        assert_eq!(read(&sim, "a.json").as_deref(), Some("v1"), "after {op}");
        after_power_cuts(&sim, 64, |world, _| {
            assert_eq!(read(world, "a.json").as_deref(), Some("v1"), "after {op}");
        });
    }
}

#[test]
fn attack_5_a_large_body_is_never_without_a_name() {
    let txns = [Txn(Op::Large, Op::Large), Txn(Op::Large, Op::Shrink)];
    let counts = crash(&transactions("attack 5".to_owned(), &txns, 0));
    assert!(counts.total().replayed > 0 && counts.recoveries() > 1_000, "{counts}");
}

/// An edit that slips in between validation and publication.
fn slip_in(path: &'static str, edit: impl FnOnce(&SimFs) + Send + 'static) -> (SimFs, Store) {
    let sim = prepared();
    let outside = sim.clone();
    let actor: Arc<dyn Fs> = sim.actor();
    let fs = Meanwhile::before_rename(actor, path, move || edit(&outside));
    let store = options().open_with(fs.clone()).expect("it opens");
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes(path, "ours").expect("a valid path");
    let committed = tx.commit().expect("it commits");
    assert!(fs.has_happened());
    assert_eq!(committed.rescued.len(), 1, "{committed:?}");
    assert_eq!(committed.rescued[0].path, path);
    assert_eq!(read(&sim, path).as_deref(), Some("ours"));
    assert_eq!(read(&sim, &committed.rescued[0].at).as_deref(), Some("theirs"));
    (sim, store)
}

#[test]
fn attack_6_an_edit_saved_in_place_between_validation_and_publication_is_rescued() {
    let (sim, store) = slip_in("a.json", |sim| sim.write("a.json", b"theirs"));
    assert_eq!(store.status().expect("it answers").rescued.len(), 1);
    drop(store);
    after_power_cuts(&sim, 256, |world, store| {
        let rescued = store.status().expect("it answers").rescued;
        assert!(rescued.iter().any(|r| read(world, &r.at).as_deref() == Some("theirs")));
    });
}

#[test]
fn attack_6_a_document_removed_and_made_again_is_rescued() {
    slip_in("a.json", |sim| {
        sim.remove("a.json");
        sim.write("a.json", b"theirs");
    });
}

#[test]
fn attack_6_a_file_that_appears_where_a_new_document_goes_is_rescued() {
    slip_in("fresh.json", |sim| sim.write("fresh.json", b"theirs"));
}

#[test]
fn attack_6_removing_a_document_that_was_just_edited_keeps_the_edit() {
    let sim = prepared();
    let outside = sim.clone();
    let fs = Meanwhile::before_rename(sim.actor(), "a.json", move || {
        outside.write("a.json", b"theirs");
    });
    let store = options().open_with(fs).expect("it opens");
    let mut tx = store.begin().expect("the store is open");
    tx.remove("a.json").expect("it is there");
    let committed = tx.commit().expect("it commits");
    assert_eq!(read(&sim, "a.json"), None);
    assert_eq!(read(&sim, &committed.rescued[0].at).as_deref(), Some("theirs"));
}

#[test]
fn attack_6_an_edit_that_a_blind_put_replaces_is_rescued() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    sim.write("a.json", b"theirs");
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    let committed = tx.commit().expect("a put that read nothing conflicts with nothing");
    assert_eq!(read(&sim, &committed.rescued[0].at).as_deref(), Some("theirs"));
    assert_eq!(read(&sim, "a.json").as_deref(), Some("v2"));
}

#[test]
fn attack_6_an_edit_made_between_two_openings_is_rescued_from_a_blind_put() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    store.close().expect("nothing fails here");
    sim.write("a.json", b"theirs");
    let store = open(&sim);
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    let committed = tx.commit().expect("it commits");
    assert_eq!(read(&sim, &committed.rescued[0].at).as_deref(), Some("theirs"));
}

#[test]
fn attack_7_an_edit_that_was_read_is_not_reverted_under_what_derives_from_it() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    sim.write("a.json", b"edited");
    store
        .transact(|tx| {
            let a = tx.read_bytes("a.json")?.expect("it is there");
            tx.write_bytes("b.json", [&a[..], b" and more"].concat())
        })
        .expect("the edit is adopted");
    drop(store);
    after_power_cuts(&sim, 1024, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("edited"));
        assert_eq!(read(world, "b.json").as_deref(), Some("edited and more"));
    });
}

#[test]
fn attack_7_an_edit_of_a_document_that_the_journal_does_not_know_is_synced_first() {
    let sim = prepared();
    let store = open(&sim);
    sim.write("notes.json", b"edited");
    store
        .transact(|tx| {
            let notes = tx.read_bytes("notes.json")?.expect("it is there");
            tx.write_bytes("b.json", notes)
        })
        .expect("nothing stands in the way");
    drop(store);
    after_power_cuts(&sim, 1024, |world, _| {
        assert_eq!(read(world, "notes.json").as_deref(), Some("edited"));
        assert_eq!(read(world, "b.json").as_deref(), Some("edited"));
    });
}

#[test]
fn attack_8_a_group_in_the_sector_of_an_acknowledged_one_does_not_harm_it() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"acknowledged");
    sim.record();
    put(&store, "a.json", b"in flight");
    for moment in sim.recorded() {
        for world in moment.world.power_cut(&Profile::Strict(Grain::Sector), 64, 8).worlds {
            open(&world);
            let a = read(&world, "a.json");
            assert!(matches!(a.as_deref(), Some("acknowledged" | "in flight")), "{a:?}");
        }
    }
}

/// Fills the journal's first segment, so that the next commit is born in a new one.
fn nearly_full() -> (SimFs, Store) {
    let sim = prepared();
    let store = open(&sim);
    for number in 0..200 {
        put(&store, "a.json", &body("a", number, 1_500));
        let segments = sim.tree().keys().filter(|path| path.contains("/journal/")).count();
        if segments > 1 {
            put(&store, "a.json", b"last");
            return (sim, store);
        }
    }
    panic!("the journal never went to another segment");
}

#[test]
fn attacks_10_and_28_a_crash_at_the_birth_of_a_segment_raises_no_alarm() {
    let sim = prepared();
    let store = open(&sim);
    let mut born = None;
    for number in 0..200 {
        sim.record();
        let body = body("a", number, 1_500);
        put(&store, "a.json", &body);
        let calls = sim.call_log();
        if calls.iter().any(|call| call.starts_with("rename .filepact/journal/new")) {
            born = Some((number, sim.recorded()));
            break;
        }
    }
    let (number, moments) = born.expect("the journal goes to another segment");
    let tree = |n| {
        let mut tree = before();
        tree.insert("a.json".to_owned(), body("a", n, 1_500));
        tree
    };
    let expect = Expect::one_of(&[tree(number - 1), tree(number)]);
    let scenes = moments.into_iter().enumerate();
    let scenes = scenes.map(|(call, moment)| Scene { call, moment, expect: expect.clone() });
    let (name, text) = ("attack 10".to_owned(), "a segment is born".to_owned());
    let counts = crash(&Story { name, text, scenes: scenes.collect(), share: 1 });
    assert!(counts.recoveries() > 100, "{counts}");
}

#[test]
fn attack_14_a_group_whose_sync_failed_is_whole_or_absent_for_good() {
    let sim = prepared();
    let store = open(&sim);
    fail(&sim, "sync", ".filepact/journal", errno::IO, false);
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    tx.write_bytes("b.json", "v2").expect("a valid path");
    let error = tx.commit().expect_err("the sync fails");
    assert!(matches!(error, Error::CommitUnknown { .. }), "{error:?}");
    let refused = store.write("c.json", &1).expect_err("nothing is built upon a failed sync");
    assert!(matches!(refused, Error::Poisoned), "{refused:?}");
    drop(store);
    sim.clear_faults();
    // No reboot: the group reads whole from memory, though the disk never got it.
    let store = open(&sim);
    let settled = (text(&store, "a.json"), text(&store, "b.json"));
    assert_eq!(settled.0.as_deref() == Some("v2"), settled.1.as_deref() == Some("v2"));
    drop(store);
    after_power_cuts(&sim, 1024, |world, _| {
        assert_eq!((read(world, "a.json"), read(world, "b.json")), settled);
    });
}

#[test]
fn attack_15_who_finds_an_unfinished_checkpoint_rewrites_what_it_was_about() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    sim.record();
    store.checkpoint().expect("nothing fails here");
    drop(store);
    // Killed between its sync and its record, with an error that nobody else will be told.
    let killed = moment(&sim, "write .filepact/journal").world.process_death();
    let inode = |sim: &SimFs| sim.stat("a.json").expect("it is there").stamp.ino;
    let (before, store) = (inode(&killed), open(&killed));
    assert!(store.recovery_report().failed);
    assert_ne!(before, inode(&killed), "it is rewritten to a new inode");
}

#[test]
fn attack_16_a_directory_that_the_user_made_is_durable_with_what_is_in_it() {
    for documents in [1, 40] {
        let sim = prepared();
        let store = open(&sim);
        sim.mkdir("accounts");
        sim.mkdir("accounts/deep");
        store
            .transact(|tx| {
                (0..documents).try_for_each(|n| tx.write_bytes(format!("accounts/deep/{n}"), "x"))
            })
            .expect("nothing stands in the way");
        store.checkpoint().expect("nothing fails here");
        drop(store);
        for world in sim.world().power_cut(&STRICT, 256, 1).worlds {
            assert_eq!(read(&world, "accounts/deep/0").as_deref(), Some("x"), "before any opening");
        }
    }
}

#[test]
fn attack_18_another_mount_is_refused_before_the_commit_point() {
    let sim = prepared();
    sim.mkdir("bound");
    sim.write("bound/a.json", b"old");
    sim.set_mount_at("bound");
    sim.write("single.json", b"old");
    sim.set_mount_at("single.json");
    let store = open(&sim);
    for path in ["bound/a.json", "bound/new.json", "bound/x/new.json", "single.json"] {
        let mut tx = store.begin().expect("the store is open");
        tx.write_bytes("a.json", "v1").expect("a valid path");
        tx.write_bytes(path, "v1").expect("a valid path");
        let error = tx.commit().expect_err("it lies on another mount");
        assert!(matches!(&error, Error::Refused { path: p, .. } if p == path), "{error:?}");
    }
    assert_ne!(read(&sim, "a.json").as_deref(), Some("v1"));
    put(&store, "a.json", b"v1");
}

#[test]
fn attack_19_mode_and_owner_stay_with_the_document() {
    let sim = prepared();
    let store = open(&sim);
    sim.set_mode("a.json", 0o600);
    put(&store, "a.json", b"secret");
    assert_eq!(sim.stat("a.json").expect("it is there").mode, 0o600);
    drop(store);
    after_power_cuts(&sim, 256, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("secret"));
        assert_eq!(world.stat("a.json").expect("it is there").mode, 0o600);
    });
    for private in [".filepact", ".filepact/journal", ".filepact/stage"] {
        assert_eq!(sim.stat(private).expect("it is there").mode, 0o700, "{private}");
    }
}

#[test]
fn attack_21_a_version_is_the_content_and_no_number() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    let version = store.version("a.json").expect("it answers");
    assert_eq!(version, Some(Version::of(b"v1")));
    put(&store, "a.json", b"v2");
    put(&store, "a.json", b"v1");
    assert_eq!(store.version("a.json").expect("it answers"), version);
}

#[test]
fn attack_24_a_checkpoint_covers_nothing_that_came_after_its_syncs() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    store.checkpoint().expect("nothing fails here");
    put(&store, "b.json", b"v2");
    drop(store);
    after_power_cuts(&sim, 1024, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("v1"));
        assert_eq!(read(world, "b.json").as_deref(), Some("v2"));
    });
}

#[test]
fn attack_25_an_edit_after_a_program_exited_without_close_is_adopted() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    sim.write("a.json", b"edited");
    sim.remove("b.json");
    put(&open(&sim), "other.json", b"unrelated");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("edited"));
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    put(&store, "b.json", b"v1");
    drop(store);
    sim.replace("a.json", b"edited");
    sim.remove("b.json");
    let store = open(&sim);
    assert_eq!(store.recovery_report().adopted, ["a.json", "b.json"]);
    assert_eq!(text(&store, "a.json").as_deref(), Some("edited"));
    assert_eq!(text(&store, "b.json"), None);
    drop(store);
    after_power_cuts(&sim, 1024, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("edited"));
        assert_eq!(read(world, "b.json"), None);
    });
}

#[test]
fn attack_26_a_group_that_lacks_only_its_last_newline_is_settled_once() {
    let sim = prepared();
    let store = open(&sim);
    sim.record();
    put(&store, "a.json", b"v2");
    let variants = moment(&sim, "write .filepact/journal").world.process_death_variants();
    let short = variants.last().expect("all but the last byte");
    let store = open(short);
    let settled = text(&store, "a.json");
    drop(store);
    after_power_cuts(short, 512, |world, _| assert_eq!(read(world, "a.json"), settled));
}

#[test]
fn attack_27_removed_segments_may_come_back_in_any_subset() {
    let (sim, store) = nearly_full();
    let mut seen = 0;
    for round in 0..6 {
        store.checkpoint().expect("nothing fails here");
        for number in 0..45 {
            put(&store, "a.json", &body("a", round * 100 + number, 1_500));
        }
        let last = body("a", round * 100 + 44, 1_500);
        for world in sim.world().power_cut(&STRICT, 24, round as u64).worlds {
            seen = seen.max(world.tree().keys().filter(|p| p.contains("/journal/0")).count());
            open(&world);
            assert_eq!(world.read("a.json"), Some(last.clone()));
        }
    }
    assert!(seen > 2, "no removed segment came back: the test proves nothing");
}

#[test]
fn attack_32_a_slot_of_state_torn_by_a_kill_leaves_the_other() {
    let sim = prepared();
    let store = open(&sim);
    sim.record();
    put(&store, "a.json", b"v2");
    let moments = sim.recorded();
    let writes = moments.iter().filter(|moment| moment.call.starts_with("write .filepact/state"));
    let mut torn = 0;
    for moment in writes {
        for sim in moment.world.process_death_variants() {
            let store = open(&sim);
            assert!(store.recovery_report().trusted, "the other slot counts");
            assert_eq!(text(&store, "a.json").as_deref(), Some("v2"));
            torn += 1;
        }
    }
    assert!(torn >= 4, "two writes, each torn");
}

#[test]
fn attack_33_a_large_body_edited_through_its_document_keeps_the_edit() {
    edited_through_its_document(false);
    edited_through_its_document(true);
}

fn edited_through_its_document(puts_time_back: bool) {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", &body("large", 1, 9_000));
    drop(store);
    let time = mtime(&sim, "a.json");
    sim.write("a.json", b"edited in place");
    if puts_time_back {
        set_mtime(&sim, "a.json", time);
    }
    sim.write_back_all();
    after_power_cuts(&sim, 64, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("edited in place"));
    });
    let store = open(&sim);
    assert_eq!(text(&store, "a.json").as_deref(), Some("edited in place"));
}

#[test]
fn attack_36_a_recovery_that_died_is_not_believed_by_the_next() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    for world in sim.world().power_cut(&STRICT, 64, 3).worlds {
        world.record();
        drop(open(&world));
        for moment in world.recorded() {
            let killed = moment.world.process_death();
            drop(open(&killed));
            killed.evict_all();
            assert_eq!(read(&killed, "a.json").as_deref(), Some("v1"), "{}", moment.call);
            after_power_cuts(&killed, 4, |world, store| {
                assert_eq!(read(world, "a.json").as_deref(), Some("v1"));
                assert!(store.recovery_report().adopted.is_empty());
            });
        }
    }
}

#[test]
fn attack_43_after_a_restart_on_another_mount_an_edit_is_found_in_rescued() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    sim.advance(Duration::from_secs(2));
    sim.write("a.json", b"edited");
    sim.write_back_all();
    for world in sim.world().remount(&STRICT, 8, 1).worlds {
        let store = open(&world);
        assert_eq!(text(&store, "a.json").as_deref(), Some("v1"), "atomicity first");
        let rescued = &store.recovery_report().rescued;
        assert_eq!(rescued.len(), 1);
        assert_eq!(read(&world, &rescued[0].at).as_deref(), Some("edited"));
    }
}

#[test]
fn attack_43_a_torn_file_is_never_taken_for_an_edit() {
    let sim = prepared();
    put(&open(&sim), "a.json", &body("a", 7, 1_900));
    for world in sim.world().remount(&STRICT, 512, 1).worlds {
        let store = open(&world);
        let report = store.recovery_report();
        assert!(report.rescued.is_empty() && report.adopted.is_empty(), "{report:?}");
        assert_eq!(world.read("a.json"), Some(body("a", 7, 1_900)));
    }
}

#[test]
fn attack_6_an_edit_of_the_same_length_is_told_by_time_inode_or_content() {
    let in_place: fn(&SimFs) = |sim| sim.write("notes.json", b"theirs");
    let another_file: fn(&SimFs) = |sim| {
        let before = mtime(sim, "notes.json");
        sim.replace("notes.json", b"theirs");
        set_mtime(sim, "notes.json", before);
    };
    let longer: fn(&SimFs) = |sim| {
        let before = mtime(sim, "notes.json");
        sim.write("notes.json", b"theirs, longer");
        set_mtime(sim, "notes.json", before);
    };
    for (case, (ours, still, edit)) in [
        (true, false, in_place),
        (true, false, another_file),
        (true, false, longer),
        (false, false, in_place),
        (false, false, another_file),
        (false, true, in_place),
    ]
    .into_iter()
    .enumerate()
    {
        let sim = prepared();
        if ours {
            let store = open(&sim);
            put(&store, "notes.json", b"before");
            store.close().expect("nothing fails here");
        }
        let outside = sim.clone();
        let fs = Meanwhile::before_rename(sim.actor(), "notes.json", move || edit(&outside));
        let store = options().open_with(fs.clone()).expect("it opens");
        if still {
            sim.set_step(Duration::ZERO);
        }
        if !ours {
            sim.write("notes.json", b"before");
        }
        if !still {
            sim.advance(Duration::from_secs(3_600));
        }
        let mut tx = store.begin().expect("the store is open");
        tx.write_bytes("notes.json", "ours").expect("a valid path");
        let rescued = tx.commit().expect("it commits").rescued;
        assert!(fs.has_happened());
        assert_eq!(rescued.len(), 1, "case {case}");
        let theirs = read(&sim, &rescued[0].at).expect("it is there");
        assert!(theirs.starts_with("theirs"), "case {case}: {theirs}");
    }
}

#[test]
fn attack_6_a_settled_edit_that_a_blind_put_replaces_is_rescued() {
    for removed in [false, true] {
        let sim = prepared();
        let store = open(&sim);
        put(&store, "a.json", b"v1");
        if removed {
            store.remove("a.json").expect("it is there");
        }
        sim.advance(Duration::from_secs(3_600));
        sim.write("a.json", b"theirs");
        sim.advance(Duration::from_secs(3_600));
        let mut tx = store.begin().expect("the store is open");
        tx.write_bytes("a.json", "v2").expect("a valid path");
        let rescued = tx.commit().expect("it commits").rescued;
        assert_eq!(rescued.len(), 1, "removed before: {removed}");
        assert_eq!(read(&sim, &rescued[0].at).as_deref(), Some("theirs"));
    }
}

#[test]
fn attack_6_an_edit_just_after_the_swap_is_not_taken_for_ours() {
    let sim = prepared();
    let outside = sim.clone();
    let fs = Meanwhile::after_rename(sim.actor(), "a.json", move || {
        outside.write("a.json", b"theirs");
    });
    let store = options().open_with(fs).expect("it opens");
    put(&store, "a.json", b"before");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("theirs"));
    sim.advance(Duration::from_secs(3_600));
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    let rescued = tx.commit().expect("it commits").rescued;
    assert_eq!(rescued.len(), 1);
    assert_eq!(read(&sim, &rescued[0].at).as_deref(), Some("theirs"));
}

#[test]
fn attack_6_without_an_exchange_an_edit_is_rescued_before_the_rename() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    sim.write("a.json", b"theirs");
    fail(&sim, "rename", "a.json", errno::INVAL, false);
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    let rescued = tx.commit().expect("it commits").rescued;
    assert_eq!(read(&sim, "a.json").as_deref(), Some("v2"));
    let status = store.status().expect("it answers");
    assert_eq!(status.rescued.len(), 1);
    assert_eq!(read(&sim, &status.rescued[0].at).as_deref(), Some("theirs"));
    assert_eq!(rescued, status.rescued, "and the caller is told");
}

#[test]
fn attack_6_what_was_rescued_outlives_the_checkpoint_after_it() {
    let (sim, store) = slip_in("a.json", |sim| sim.write("a.json", b"theirs"));
    store.checkpoint().expect("nothing fails here");
    drop(store);
    after_power_cuts(&sim, 256, |world, store| {
        let rescued = store.status().expect("it answers").rescued;
        assert!(rescued.iter().any(|r| read(world, &r.at).as_deref() == Some("theirs")));
    });
}

#[test]
fn attack_6_an_edit_that_the_transaction_has_read_is_not_rescued() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    sim.write("a.json", b"edited");
    sim.advance(Duration::from_secs(3_600));
    let mut tx = store.begin().expect("the store is open");
    tx.read_bytes("a.json").expect("it can be read").expect("it is there");
    tx.write_bytes("a.json", "v2").expect("a valid path");
    assert_eq!(tx.commit().expect("it commits").rescued, []);
}

#[test]
fn attack_4_a_sync_that_found_no_room_is_not_believed_at_the_second_try() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    fail(&sim, "sync", "a.json", errno::NOSPC, false);
    store.checkpoint().expect_err("there is no room");
    let again = store.checkpoint().expect_err("the handle has stopped");
    assert!(matches!(again, Error::Poisoned), "{again:?}");
    drop(store);
    assert!(open(&sim).recovery_report().failed);
    sim.evict_all();
    assert_eq!(read(&sim, "a.json").as_deref(), Some("v1"));
    after_power_cuts(&sim, 64, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("v1"));
    });
}

#[test]
fn attack_43_a_file_torn_within_a_page_is_never_taken_for_an_edit() {
    let sim = prepared();
    put(&open(&sim), "a.json", &body("a", 7, 1_900));
    let ours = mtime(&sim, "a.json");
    let worlds = sim.world().remount(&Profile::Strict(Grain::Sector), 512, 1).worlds;
    let torn = |world: &SimFs| world.stat("a.json").is_some_and(|stat| stat.stamp.mtime == ours);
    assert!(worlds.iter().any(torn), "the test proves nothing");
    for world in worlds.iter().filter(|world| torn(world)) {
        let store = open(world);
        let report = store.recovery_report();
        assert!(report.rescued.is_empty() && report.adopted.is_empty(), "{report:?}");
        assert_eq!(world.read("a.json"), Some(body("a", 7, 1_900)));
    }
}

#[test]
fn attack_14_a_segment_whose_name_could_not_be_synced_is_not_built_upon() {
    let sim = prepared();
    let store = open(&sim);
    fail(&sim, "sync_dir", ".filepact/journal", errno::IO, false);
    let mut number = 0;
    let error = loop {
        let mut tx = store.begin().expect("the store is open");
        tx.write_bytes("a.json", body("a", number, 1_500)).expect("a valid path");
        if let Err(error) = tx.commit() {
            break error;
        }
        number += 1;
    };
    assert!(matches!(error, Error::CommitUnknown { .. }), "{error:?}");
    drop(store);
    let store = open(&sim);
    put(&store, "b.json", b"acknowledged");
    drop(store);
    after_power_cuts(&sim, 256, |world, _| {
        assert_eq!(read(world, "b.json").as_deref(), Some("acknowledged"));
    });
}

#[test]
fn attack_6_an_edit_displaced_by_a_process_that_died_outlives_every_crash_of_the_recovery() {
    let sim = prepared();
    let outside = sim.clone();
    let fs = Meanwhile::before_rename(sim.actor(), "a.json", move || {
        outside.write("a.json", b"theirs");
    });
    let store = options().open_with(fs).expect("it opens");
    sim.record();
    put(&store, "a.json", b"ours");
    let moments = sim.recorded();
    let swap = moments
        .iter()
        .rposition(|moment| moment.call.contains(" a.json") && moment.call.starts_with("rename"));
    let died = moments[swap.expect("it is swapped in") + 1].world.process_death();
    assert_eq!(read(&died, "a.json").as_deref(), Some("ours"));
    died.record();
    drop(open(&died));
    for moment in died.recorded() {
        let killed = moment.world.process_death();
        let store = open(&killed);
        let rescued = store.status().expect("it answers").rescued;
        let theirs = |r: &filepact::Rescued| read(&killed, &r.at).as_deref() == Some("theirs");
        assert!(rescued.iter().any(theirs), "{}", moment.call);
    }
}
