//! What the crash suite has found, each by its story.

use std::time::Duration;

use filepact_simfs::SimFs;
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::history::INLINE_MAX;
use filepact_tests::steps::Steps;

use crate::support::{STRICT, after_power_cuts, put, read, text};

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
