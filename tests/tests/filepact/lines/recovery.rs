//! Openings, and what they find.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use filepact::Error;
use filepact_fs::{Access, Fs, Time};
use filepact_journal::{Commit, Journal, RecordKind, Remove, Resume, load, scan};
use filepact_simfs::Damage;
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::history::body;
use filepact_tests::meanwhile::Meanwhile;
use filepact_tests::steps::Steps;

use crate::support::{
    STRICT, dies_before_swap, dies_of_a_sync, distrust, mtime, put, read, set_mtime, staged, text,
};

#[test]
fn a_directory_in_stage_is_rescued_by_whoever_sweeps() {
    let sim = prepared();
    drop(open(&sim));
    sim.mkdir(".filepact/stage/99.1.left");
    sim.write(".filepact/stage/99.1.left/theirs", b"theirs");
    let store = open(&sim);
    let rescued = &store.recovery_report().rescued;
    assert_eq!(rescued.len(), 1);
    assert_eq!(read(&sim, &format!("{}/theirs", rescued[0].at)).as_deref(), Some("theirs"));
    assert_eq!(staged(&sim), Vec::<String>::new());
}

#[test]
fn an_edit_as_long_as_our_body_or_longer_is_not_taken_for_a_torn_one() {
    let large = body("ours", 1, 9_000);
    let longer = b"ours and theirs".to_vec();
    for (ours, edit) in [(large, body("theirs", 2, 9_000)), (b"ours".to_vec(), longer)] {
        let sim = prepared();
        put(&open(&sim), "a.json", &ours);
        sim.replace("a.json", &edit);
        distrust(&sim);
        let store = open(&sim);
        let rescued = &store.recovery_report().rescued;
        assert_eq!(rescued.len(), 1, "{:?}", store.recovery_report());
        assert_eq!(sim.read(&rescued[0].at), Some(edit));
    }
}

#[test]
fn a_network_file_system_is_refused_unless_asked_for() {
    let sim = prepared();
    sim.set_network(Some("nfs"));
    let refused = options().open_with(sim.actor());
    assert!(matches!(refused, Err(Error::Network { .. })), "{refused:?}");
    options().allow_network(true).open_with(sim.actor()).expect("it was asked for");
}

/// Attack 1.
#[test]
fn where_mounts_have_no_ids_the_cache_is_not_trusted() {
    let sim = prepared();
    sim.set_mount_ids(false);
    put(&open(&sim), "a.json", b"v1");
    for world in sim.world().remount(&STRICT, 64, 1).worlds {
        let store = open(&world);
        assert!(!store.recovery_report().trusted);
        assert_eq!(text(&store, "a.json").as_deref(), Some("v1"));
    }
}

#[test]
fn a_journal_that_names_what_is_no_document_is_refused() {
    // Also where a checkpoint covers it, and nothing is left to do for it.
    let paths = ["../outside", ".filepact/state", "a//b", "\0"];
    for (path, covered) in paths.into_iter().flat_map(|path| [(path, false), (path, true)]) {
        let sim = prepared();
        drop(open(&sim));
        let fs: Arc<dyn Fs> = sim.actor();
        let segments = load(&*fs).expect("it can be read");
        let bytes: Vec<_> = segments.iter().map(|s| (s.first, &*s.bytes)).collect();
        let found = scan(&bytes, None).expect("it is sound");
        let mut journal = Journal::resume(fs, &found, Resume::Tail).expect("it goes on");
        let forged = vec![
            RecordKind::Remove(Remove { path: path.to_owned(), was: None }),
            RecordKind::Commit(Commit::default()),
        ];
        let group = journal.append(forged, Time(0)).expect("nothing fails here");
        if covered {
            let checkpoint = vec![RecordKind::Checkpoint { upto: group.last }];
            let _ = journal.append(checkpoint, Time(0)).expect("nothing fails here");
        }
        let refused = options().open_with(sim.actor());
        let is = matches!(&refused, Err(Error::Unrecoverable { path: of, .. }) if of == path);
        assert!(is, "{path}: {refused:?}");
    }
}

/// Found by the fuzzer: a second name of a document, moved over a file that is written in place.
#[test]
fn a_document_that_goes_by_the_name_of_a_file_of_ours_is_not_written_over() {
    for name in [".filepact/checkpoint.lock", ".filepact/state", ".filepact/counters"] {
        let sim = prepared();
        put(&open(&sim), "a.json", b"v1");
        let fs = sim.actor();
        fs.open("a.json", Access::Read).and_then(|file| file.link("second")).expect("it is free");
        sim.rename("second", name);
        for body in [b"v2", b"v3"] {
            let store = open(&sim);
            put(&store, "b.json", body);
            store.close().expect("nothing fails here");
            assert_eq!(sim.read("a.json").as_deref(), Some(&b"v1"[..]), "{name}");
        }
    }
}

#[test]
fn another_content_under_the_commits_time_is_a_lost_write_also_where_the_cache_is_trusted() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    sim.damage("a.json", Damage::FlipBit { offset: 0, bit: 0 });
    let store = open(&sim);
    assert!(store.recovery_report().trusted);
    assert_eq!(text(&store, "a.json").as_deref(), Some("v1"));
    assert_eq!(store.recovery_report().adopted, Vec::<String>::new());
}

#[test]
fn zeros_that_a_power_cut_left_of_the_users_file_are_no_edit() {
    let sim = prepared();
    let store = open(&sim);
    sim.write("notes.json", &[b'x'; 100]);
    put(&store, "notes.json", b"v1");
    drop(store);
    let mut zeros = 0;
    for world in sim.world().power_cut(&STRICT, 256, 1).worlds {
        zeros += usize::from(world.read("notes.json") == Some(vec![0; 100]));
        let store = open(&world);
        assert_eq!(store.recovery_report().rescued, []);
        assert_eq!(text(&store, "notes.json").as_deref(), Some("v1"));
    }
    assert!(zeros > 0, "no power cut left zeros: the test proves nothing");
}

/// Attacks 15 and 36.
#[test]
fn a_recovery_that_dies_with_the_error_of_the_journals_sync_leaves_word_of_it() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    distrust(&sim);
    let dies = dies_of_a_sync(&sim, ".filepact/journal/");
    options().open_with(dies).expect_err("it is dead");
    assert!(open(&sim).recovery_report().failed);
}

#[test]
fn an_edit_that_changes_while_a_recovery_adopts_it_is_adopted_by_the_next() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    sim.write("a.json", b"an edit");
    let (world, opened) = (sim.clone(), AtomicUsize::new(0));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if op == "open" && on == "a.json" && opened.fetch_add(1, Ordering::SeqCst) == 1 {
            world.write("a.json", b"another");
        }
    });
    let refused = options().open_with(steps);
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    let store = open(&sim);
    assert_eq!(store.recovery_report().adopted, ["a.json"]);
    assert_eq!(text(&open(&sim), "a.json").as_deref(), Some("another"));
}

/// Attack 23.
#[test]
fn nobody_opens_between_a_recovery_and_its_handle() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    let (world, locks) = (sim.clone(), AtomicUsize::new(0));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        // First it asks whether it is alone; it has recovered when it comes for the second.
        let second = op == "lock" && on == ".filepact/open";
        if second && locks.fetch_add(1, Ordering::SeqCst) == 1 {
            let said = options().open_with(world.actor());
            assert!(matches!(said, Err(Error::Locked { .. })), "{said:?}");
        }
    });
    options().open_with(steps).expect("it opens");
}

#[test]
fn a_file_of_the_same_size_and_time_that_comes_before_the_swap_of_a_recovery_is_rescued() {
    let sim = prepared();
    let dead = dies_before_swap(&sim, "a.json");
    put(&open(&sim), "b.json", b"v1");
    dead.write("a.json", &2).expect_err("it dies");
    let outside = sim.clone();
    let fs = Meanwhile::before_rename(sim.actor(), "a.json", move || {
        let before = (mtime(&outside, "a.json"), outside.read("a.json").expect("it is there"));
        outside.replace("a.json", &vec![b't'; before.1.len()]);
        set_mtime(&outside, "a.json", before.0);
    });
    let store = options().open_with(fs.clone()).expect("it opens");
    assert!(fs.has_happened());
    assert_eq!(store.recovery_report().rescued.len(), 1);
    assert_eq!(text(&store, "a.json").as_deref(), Some("2\n"));
}
