//! What the crash suite has found, each by its story.

use std::time::Duration;

use filepact::{Durability, Error};
use filepact_simfs::{Damage, Fault, FaultKind, SimFs, When, errno};
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::history::INLINE_MAX;
use filepact_tests::steps::Steps;

use crate::support::{STRICT, after_power_cuts, commit, dies, fail, put, read, text};

/// A process died in the making of a store when all names were there and none was durable. The next
/// one found them all, made the journal and acknowledged a transaction; a power cut took the journal's
/// directory, and kept `state`.
#[test]
fn a_store_is_durable_also_if_somebody_else_began_to_make_it() {
    let sim = SimFs::new();
    let actor = sim.actor();
    let (world, victim) = (sim.clone(), actor.clone());
    let steps = Steps::new(actor, move |_, op, _| {
        if op == "sync_dir" {
            world.kill(&victim);
        }
    });
    assert!(options().open_with(steps).is_err(), "it dies before anything of it is durable");
    put(&open(&sim), "a.json", b"v1");
    after_power_cuts(&sim, 1024, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("v1"));
    });
}

/// Somebody saves the document, and the edit is durable.
fn edit(sim: &SimFs, path: &str, body: &str) {
    sim.advance(Duration::from_secs(61));
    sim.write(path, body.as_bytes());
    sim.write_back(path);
    sim.advance(Duration::from_secs(61));
}

/// A document was edited between its publication and an append. The checkpoint took what it then held
/// for a write that the disk had lost, and failed, each time.
#[test]
fn an_append_to_a_document_that_was_edited_unseen_is_no_lost_write() {
    for edited in ["another content", "as long"] {
        let sim = prepared();
        let store = open(&sim);
        put(&store, "log", b"v1 text");
        edit(&sim, "log", edited);
        store.append("log", " and more").expect("it commits");
        store.checkpoint().expect("nothing is lost");
        assert_eq!(text(&store, "log"), Some(format!("{edited} and more")));
        let check = store.check().expect("it can be checked");
        assert!(check.problems.is_empty(), "{check:?}");
    }
}

/// A document was edited, durably, and an append went behind the edit, with its time. The process died,
/// and the next opening took the edit for a write of ours that the disk had lost: it put the body before
/// the edit back, and dropped the edit.
#[test]
fn an_append_behind_an_edit_does_not_make_it_ours() {
    for len in [400, 3 * INLINE_MAX] {
        let sim = prepared();
        let store = open(&sim);
        put(&store, "log", b"v1");
        let edited: String = "theirs ".chars().cycle().take(len).collect();
        edit(&sim, "log", &edited);
        store.append("log", "more").expect("it commits");
        drop(store);
        let found = sim.fork();
        let next = open(&found);
        assert_eq!(text(&next, "log"), Some(format!("{edited}more")));
        assert!(next.recovery_report().rescued.is_empty());
        // After a power cut what is behind a large edit is not to be told from it; it is never lost.
        after_power_cuts(&sim, 64, |world, _| {
            let keeps = |body: &Vec<u8>| body.starts_with(edited.as_bytes());
            assert!(world.tree().values().any(keeps), "{}", world.dump());
            let log = read(world, "log").expect("it is there");
            assert!(log.starts_with(&edited) || log.starts_with("v1"), "{}", world.dump());
            assert!(log.ends_with("more") && log.matches("more").count() == 1, "{}", world.dump());
        });
    }
}

/// An edit was displaced and moved to `rescued/`. The move was durable before the name of the folder
/// that it went to, so that a power cut took both.
#[test]
fn an_edit_that_is_rescued_is_never_without_a_durable_name() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    edit(&sim, "a.json", "theirs");
    sim.record();
    put(&store, "a.json", b"v2");
    let mut rescued = 0;
    for moment in sim.recorded().iter().filter(|moment| moment.call.starts_with("sync")) {
        for world in moment.world.power_cut(&STRICT, 256, 1).worlds {
            let holds = |(path, body): (String, Vec<u8>)| (body == b"theirs").then_some(path);
            let at = world.tree().into_iter().find_map(holds);
            let at = at.unwrap_or_else(|| panic!("gone before {}:\n{}", moment.call, world.dump()));
            rescued += usize::from(at.starts_with(".filepact/rescued/"));
            // Nothing of ours is taken for an edit.
            let ours = world
                .tree()
                .into_iter()
                .find(|(path, body)| path.starts_with(".filepact/rescued/") && body != b"theirs");
            assert_eq!(ours, None, "before {}", moment.call);
        }
    }
    assert!(rescued > 0, "no outcome shows it in its folder: the test proves nothing");
}

#[test]
fn a_checkpoint_that_a_commit_makes_waits_for_what_is_not_published() {
    let sim = prepared();
    // One is due after every commit.
    let store = options().journal_max(1).open_with(sim.actor()).expect("it opens");
    fail(&sim, "rename", "a.json", errno::NOSPC, false);
    let said = commit(&store, &[("a.json", "v1"), ("new.json", "v1")]);
    assert!(matches!(said, Err(Error::Unpublished { .. })), "{said:?}");
    assert_eq!(text(&store, "a.json").as_deref(), Some("v1"), "readers through filepact see it");
    drop(store);
    drop(open(&sim));
    assert_eq!(read(&sim, "a.json").as_deref(), Some("v1"));
    assert_eq!(read(&sim, "new.json").as_deref(), Some("v1"));
}

#[test]
fn a_full_disk_at_the_sync_of_a_segment_that_is_left_stops_the_store() {
    let sim = prepared();
    let buffered = options().durability(Durability::Buffered);
    let (store, other) = (buffered.open_with(sim.actor()).expect("it opens"), open(&sim));
    put(&store, "a.json", b"buffered");
    // A write that falls short: the next group goes to a segment of its own.
    for (kind, nth) in [(FaultKind::ShortWrite, 1), (FaultKind::Error(errno::NOSPC), 2)] {
        let at = When::Matching { op: "write", path_contains: "journal".into(), nth };
        sim.fault(Fault { at, kind, sticky: false });
    }
    commit(&store, &[("a.json", "v1")]).expect_err("the disk is full");
    fail(&sim, "sync", ".filepact/journal", errno::NOSPC, false);
    commit(&store, &[("a.json", "v2")]).expect_err("the segment cannot be left");
    // The pages are lost. A segment behind them would say that they are not.
    for handle in [&store, &other] {
        let said = commit(handle, &[("b.json", "v3")]);
        assert!(matches!(said, Err(Error::Poisoned)), "{said:?}");
    }
    after_power_cuts(&sim, 50, |_, store| {
        assert!(store.check().expect("it can be checked").problems.is_empty());
    });
}

#[test]
fn what_was_staged_for_a_member_that_failed_is_nobodys_edit() {
    let sim = prepared();
    let patient = options().lock_timeout(Duration::from_secs(60));
    let store = patient.open_with(sim.actor()).expect("it opens");
    let turn = store.begin_exclusive(Duration::ZERO).expect("nobody else has it");
    std::thread::scope(|scope| {
        // What a power cut leaves of a large body has not the commit's time.
        for (path, body) in [("a.json", "v1 ".repeat(INLINE_MAX)), ("b.json", "v1".to_owned())] {
            let store = store.clone();
            scope.spawn(move || commit(&store, &[(path, &body)]));
            std::thread::sleep(Duration::from_millis(50));
        }
        // The name is there; the member, whose number the next one gets, is not.
        fail(&sim, "stat", ".filepact/stage", errno::IO, false);
        turn.rollback();
    });
    assert_ne!(read(&sim, "a.json"), Some("v1 ".repeat(INLINE_MAX)), "it has failed");
    assert_eq!(read(&sim, "b.json").as_deref(), Some("v1"));
    after_power_cuts(&sim, 50, |world, store| {
        let rescued = store.status().expect("it answers").rescued;
        assert!(rescued.is_empty(), "{rescued:?}\n{}", world.dump());
    });
}

/// The move of an edit to `rescued/` was not synced, by one that failed or died: nothing in `stage/`
/// says any more that there was one.
#[test]
fn an_edit_whose_move_was_not_synced_stays_with_what_heals_or_recovers() {
    let is_sync = |op: &str, path: &str| op == "sync_dir" && path.starts_with(".filepact/rescued/");
    for (dies_there, alone) in [(false, false), (true, false), (true, true)] {
        let sim = prepared();
        let beside = (!alone).then(|| open(&sim));
        let store = match dies_there {
            true => dies(&sim, options(), is_sync),
            false => open(&sim),
        };
        put(&store, "a.json", b"v1");
        sim.write("a.json", b"an edit by hand");
        sim.write_back_all();
        if !dies_there {
            fail(&sim, "sync_dir", ".filepact/rescued/", errno::MFILE, false);
        }
        commit(&store, &[("a.json", "v2")]).expect_err("the move is not synced");
        drop(store);
        let next = beside.unwrap_or_else(|| open(&sim));
        put(&next, "b.json", b"v3");
        next.close().expect("nothing fails any more");
        after_power_cuts(&sim, 50, |world, store| {
            let edits = store.rescued().expect("they can be listed");
            assert_eq!(edits.len(), 1, "{dies_there} {alone} {}", world.dump());
        });
    }
}

/// A sync of `stage/` says nothing of a swap of before that it has lost, and neither does the next one
/// of the document's directory.
#[test]
fn a_full_disk_at_the_sync_of_the_stage_does_not_lose_what_was_published() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"v1");
    fail(&sim, "sync_dir", ".filepact/stage", errno::NOSPC, false);
    let large = "large ".repeat(1_000);
    let said = commit(&store, &[("b.json", &large)]);
    assert!(matches!(said, Err(Error::Io { .. })), "{said:?}");
    store.checkpoint().expect("nothing fails any more");
    after_power_cuts(&sim, 50, |world, _| {
        assert_eq!(read(world, "a.json").as_deref(), Some("v1"));
    });
}

#[test]
fn what_is_to_be_added_to_a_document_and_has_decayed_is_not_added() {
    let sim = prepared();
    let large = "added ".repeat(INLINE_MAX);
    let before = |op: &str, path: &str| op == "write" && path == "a.json";
    let dead = dies(&sim, options(), before);
    dead.append("a.json", &large).expect_err("it dies before it adds");
    let staged = sim.tree().into_iter().find(|(_, body)| *body == large.as_bytes());
    let (staged, _) = staged.expect("the body has a name of its own");
    for damage in [Damage::FlipBit { offset: 700, bit: 3 }, Damage::Truncate(700), Damage::Delete] {
        let hurt = sim.fork();
        hurt.damage(&staged, damage);
        let before = hurt.fingerprint();
        match options().open_with(hurt.actor()) {
            Err(Error::Unrecoverable { path, reason }) => {
                assert!(path == "a.json" && reason.contains(&staged), "{path}: {reason}");
            }
            other => panic!("{damage:?}: {other:?}"),
        }
        assert_eq!(hurt.fingerprint(), before, "nothing is changed");
    }
}
