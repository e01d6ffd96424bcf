//! What the crash suite, the histories, fuzzing and readings have found, each by its story.

/// Large bodies: on their way, renamed, edited in place, damaged.
mod bodies;

use std::sync::Arc;
use std::time::Duration;

use filepact::{Durability, Error};
use filepact_fs::{Access, Fs, Rename, Time};
use filepact_simfs::{Damage, Fault, FaultKind, SimFs, When, errno};
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::history::{INLINE_MAX, body};
use filepact_tests::steps::Steps;

use crate::support::{
    HOSTILE, STRICT, after_power_cuts, after_power_cuts_of, commit, dies, dies_before_swap,
    distrust, fail, mtime, put, read, set_mtime, text,
};

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

/// What lies in `rescued/`.
fn rescued(sim: &SimFs) -> Vec<Vec<u8>> {
    let tree = sim.tree().into_iter();
    tree.filter(|(path, _)| path.starts_with(".filepact/rescued/")).map(|(_, body)| body).collect()
}

/// A document was edited, and a transaction that had not read the edit added to it. From then on the
/// document counted as ours, so that a put that had not read it either dropped the edit.
#[test]
fn an_edit_that_was_added_to_unread_and_replaced_unread_is_rescued() {
    for (by_another, edits) in [(false, 1), (true, 1), (false, 2)] {
        let sim = prepared();
        let store = open(&sim);
        let other = open(&sim);
        put(&store, "log", b"v1");
        edit(&sim, "log", "theirs");
        store.append("log", " and ours").expect("it commits");
        if edits == 2 {
            store.append("log", ", twice").expect("it commits");
        }
        put(if by_another { &other } else { &store }, "log", b"v2");
        assert_eq!(read(&sim, "log").as_deref(), Some("v2"));
        let kept = rescued(&sim);
        assert!(kept.iter().any(|body| body.starts_with(b"theirs and ours")), "{}", sim.dump());
    }
    // What was read, or is ours alone, is no edit.
    let sim = prepared();
    let store = open(&sim);
    put(&store, "log", b"v1");
    store.append("log", " and ours").expect("it commits");
    put(&store, "log", b"v2");
    edit(&sim, "log", "theirs");
    store.append("log", " and ours").expect("it commits");
    let mut tx = store.begin().expect("it is open");
    assert!(tx.read_bytes("log").expect("it reads").is_some());
    tx.write_bytes("log", "v3").expect("a valid path");
    tx.commit().expect("it has read all of it");
    assert_eq!(store.status().expect("it answers").counts.adopted, 1);
    assert_eq!(rescued(&sim), Vec::<Vec<u8>>::new());
    assert_eq!(read(&sim, "log").as_deref(), Some("v3"));
}

/// A document was edited in place, its time was put back, and another process than the one that had
/// published it checkpointed. It took the edit for a write that the disk had lost, and the recovery that
/// followed dropped it.
#[test]
fn an_edit_with_its_time_put_back_that_looks_like_a_lost_write_is_rescued() {
    let sim = prepared();
    let (other, store) = (open(&sim), open(&sim));
    put(&store, "a.json", b"ours!!");
    let time = mtime(&sim, "a.json");
    edit(&sim, "a.json", "theirs");
    set_mtime(&sim, "a.json", time);
    sim.write_back_all();
    let error = other.checkpoint().expect_err("nobody can tell the two apart");
    assert!(error.to_string().contains("a.json"), "{error}");
    drop((other, store));
    for world in sim.world().power_cut(&STRICT, 64, 1).worlds.iter().chain([&sim]) {
        let next = open(world);
        assert_eq!(text(&next, "a.json").as_deref(), Some("ours!!"));
        assert_eq!(rescued(world), [b"theirs"], "{}", world.dump());
        next.checkpoint().expect("nothing is lost any more");
    }
}

/// Another process removed a document, and somebody made it again. A list of a handle that heard of the
/// removal only with that list took the two for a change in the middle of it: `Conflict`, and nobody was
/// there.
#[test]
fn a_list_that_hears_of_a_removal_is_no_conflict_with_it() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a", b"v1");
    open(&sim).remove("a").expect("it is there");
    edit(&sim, "a", "theirs");
    let mut tx = store.begin().expect("it is open");
    let listed = tx.list("").expect("nobody is beside it");
    assert!(listed.iter().any(|path| path.as_str() == "a"), "{listed:?}");
    tx.write_bytes("of-the-list", "v1").expect("a valid path");
    tx.commit().expect("nothing has changed since");
}

/// Somebody wrote a document, and before that was durable, a transaction added to it. After a power cut
/// the addition stood alone.
#[test]
fn what_is_added_to_is_as_durable_as_the_addition() {
    for is_known in [false, true] {
        let sim = prepared();
        let store = open(&sim);
        if is_known {
            put(&store, "log", b"v1");
            sim.advance(Duration::from_secs(61));
        }
        sim.replace("log", b"theirs");
        store.append("log", " and ours").expect("it commits");
        after_power_cuts(&sim, 256, |world, _| {
            assert_eq!(read(world, "log").as_deref(), Some("theirs and ours"), "{}", world.dump());
        });
    }
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
    // A full disk may also lose what a sync of the folder was to keep; the next one does not bring it back.
    let (never_began, full) = (Some(errno::MFILE), Some(errno::NOSPC));
    for (fails, alone) in [(never_began, false), (full, false), (None, false), (None, true)] {
        let dies_there = fails.is_none();
        let sim = prepared();
        let beside = (!alone).then(|| open(&sim));
        let store = match dies_there {
            true => dies(&sim, options(), is_sync),
            false => open(&sim),
        };
        put(&store, "a.json", b"v1");
        sim.write("a.json", b"an edit by hand");
        sim.write_back_all();
        if let Some(errno) = fails {
            fail(&sim, "sync_dir", ".filepact/rescued/", errno, false);
        }
        commit(&store, &[("a.json", "v2")]).expect_err("the move is not synced");
        drop(store);
        let next = beside.unwrap_or_else(|| open(&sim));
        put(&next, "b.json", b"v3");
        next.close().expect("nothing fails any more");
        // Under two names where a move whose sync died may leave both.
        for (profile, most) in [(&STRICT, 1), (&HOSTILE, 2)] {
            after_power_cuts_of(profile, &sim, 50, |world, store| {
                let edits = store.rescued().expect("they can be listed");
                assert!((1..=most).contains(&edits.len()), "{dies_there} {alone} {}", world.dump());
                let body = |edit| store.read_rescued(edit).expect("it is there");
                assert!(edits.iter().all(|edit| body(edit) == b"an edit by hand"));
            });
        }
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

/// The same as above, of a version that a checkpoint covers, by a process that died before its swap: recovery
/// took the edit and what was added to it for an earlier version.
#[test]
fn an_edit_that_was_added_to_unread_is_rescued_by_recovery_too() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "log", b"v1");
    store.checkpoint().expect("nothing fails here");
    let dead = dies_before_swap(&sim, "log");
    edit(&sim, "log", "theirs");
    store.append("log", " and ours").expect("it commits");
    let mut tx = dead.begin().expect("it is open");
    tx.write_bytes("log", "v2").expect("a valid path");
    tx.commit().expect_err("it dies");
    drop((dead, store));
    for world in sim.world().power_cut(&STRICT, 64, 1).worlds.iter().chain([&sim]) {
        drop(open(world));
        assert_eq!(read(world, "log").as_deref(), Some("v2"));
        let kept = rescued(world);
        assert!(kept.iter().any(|body| body.starts_with(b"theirs")), "{}", world.dump());
    }
}

/// A document can be added to by whoever may write it; only its owner may give it a time. The append was
/// committed and never published: nobody could commit or open again.
#[test]
fn a_document_that_may_be_given_no_time_is_added_to() {
    let sim = prepared();
    let store = open(&sim);
    sim.write("log", b"theirs");
    sim.advance(Duration::from_secs(61));
    fail(&sim, "set_mtime", "log", errno::PERM, true);
    store.append("log", ", ours").expect("it commits");
    store.append("log", ", again").expect("it commits");
    store.close().expect("nothing stands in the way");
    let store = open(&sim);
    assert_eq!(text(&store, "log").as_deref(), Some("theirs, ours, again"));
    put(&store, "log", b"v2");
    assert_eq!(rescued(&sim), Vec::<Vec<u8>>::new());
}

/// A large document keeps its time when it is renamed. An append by another process took it for an edit that
/// nobody had read, and the next put moved it to `rescued/`.
#[test]
fn what_is_ours_and_bears_another_time_is_no_edit() {
    let sim = prepared();
    let (store, other) = (open(&sim), open(&sim));
    put(&store, "a", &[b'x'; 3 * INLINE_MAX]);
    sim.advance(Duration::from_secs(1));
    store.rename("a", "log").expect("it is there");
    other.append("log", "ours").expect("it commits");
    put(&store, "log", b"v2");
    assert_eq!(rescued(&sim), Vec::<Vec<u8>>::new());
    // Nor is what somebody has touched.
    put(&store, "log", b"v3");
    store.append("log", "ours").expect("it commits");
    let time = mtime(&sim, "log");
    set_mtime(&sim, "log", Time(time.0 + 1_000_000_000));
    store.append("log", "ours").expect("it commits");
    put(&store, "log", b"v4");
    assert_eq!(rescued(&sim), Vec::<Vec<u8>>::new());
}

/// A large document was edited in place, the edit was adopted and replaced, and the power cut took the
/// buffered records that said so: the body that the earlier ones name was the edited one, without a name of
/// its own. The store did not open any more.
#[test]
fn an_edit_that_a_buffered_commit_replaces_is_durable_first() {
    let sim = prepared();
    let store = options().durability(Durability::Buffered).open_with(sim.actor());
    let store = store.expect("it opens");
    put(&store, "large", &[b'x'; 3 * INLINE_MAX]);
    edit(&sim, "large", "theirs");
    sim.write_back_all();
    sim.record();
    let mut tx = store.begin().expect("it is open");
    assert_eq!(tx.read_bytes("large").expect("it can be read").as_deref(), Some(&b"theirs"[..]));
    tx.write_bytes("large", b"v2").expect("a valid path");
    tx.commit().expect("nobody touches it");
    let (mut before, mut after) = (0, 0);
    for moment in sim.recorded() {
        for world in moment.world.power_cut(&STRICT, 64, 1).worlds {
            let told = || format!("cut before {}:\n{}", moment.call, world.dump());
            let store = options().open_with(world.actor());
            drop(store.unwrap_or_else(|error| panic!("{error:?}\n{}", told())));
            match read(&world, "large").as_deref() {
                Some("v2") => after += 1,
                _ => before += 1,
            }
        }
    }
    assert!(before > 10 && after > 10, "{before} {after}");
}

/// An edit was added to unread, and the store closed. To the next handle the journal said what had been there
/// before the edit, so that its checkpoint took the document for a write that the disk had lost.
#[test]
fn an_edit_that_was_added_to_unread_is_no_lost_write_for_who_opens_next() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "log", b"first\n");
    edit(&sim, "log", "other\n");
    store.append("log", "second\n").expect("it commits");
    store.close().expect("all is well");
    let store = open(&sim);
    store.append("log", "third\n").expect("it commits");
    store.checkpoint().expect("no write is lost");
    store.close().expect("all is well");
    assert_eq!(read(&sim, "log").as_deref(), Some("other\nsecond\nthird\n"));
}

/// An edit that was added to unread stays unread for who opens the store next: replaced unread, it is rescued.
#[test]
fn an_edit_that_was_added_to_unread_is_rescued_also_after_a_reopening() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "log", b"first\n");
    edit(&sim, "log", "other\n");
    store.append("log", "second\n").expect("it commits");
    store.close().expect("all is well");
    put(&open(&sim), "log", b"anew\n");
    assert_eq!(rescued(&sim), vec![b"other\nsecond\n".to_vec()]);
}

/// A recovery had swapped an edit out, and died before it was in `rescued/`. The next one, which trusts no sync
/// any more, wrote the document to another inode; the power cut kept that swap alone, and with it the edit in
/// the place of what the next recovery drops.
#[test]
fn a_swap_of_a_recovery_that_died_is_durable_before_the_next_one() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"ours");
    sim.replace("a.json", b"an edit");
    sim.write_back_all();
    distrust(&sim);
    sim.write_back_all();
    let sim = sim.world().process_death();
    let (victim, world) = (sim.actor(), sim.clone());
    let dies = Arc::clone(&victim);
    let steps = Steps::new(victim, move |_, op, path| {
        if (op, path) == ("sync_dir", ".filepact/rescued") {
            world.kill(&dies);
        }
    });
    assert!(options().open_with(steps).is_err(), "it has died");
    assert_eq!(sim.read("a.json").as_deref(), Some(&b"ours"[..]));

    sim.record();
    drop(open(&sim));
    let mut worlds = 0;
    for moment in sim.recorded() {
        for world in moment.world.power_cut(&STRICT, 64, 1).worlds {
            drop(open(&world));
            let kept = world.tree().into_values().any(|bytes| bytes == b"an edit");
            assert!(kept, "cut in `{}`\n{}", moment.call, world.dump());
            worlds += 1;
        }
    }
    assert!(worlds > 500, "{worlds} worlds prove little");
}
