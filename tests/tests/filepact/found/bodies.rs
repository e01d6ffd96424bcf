//! Large bodies: on their way, renamed, edited in place, damaged.

use super::*;

/// A large document was renamed by a transaction whose process died before it was published, and then
/// somebody edited it in place by its old name, which is the body of the new one too: the store did not
/// open again. The edit goes along, as it does when a file is renamed that an editor has open.
#[test]
fn an_edit_of_a_large_document_that_was_being_renamed_goes_with_it() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a", &[b'x'; 3 * INLINE_MAX]);
    put(&store, "b", b"v1");
    store.close().expect("all is published");
    let store = open(&sim);
    sim.record();
    let mut tx = store.begin().expect("it is open");
    tx.remove("b").expect("it is there");
    tx.rename("a", "b").expect("it is absent by then");
    tx.commit().expect("nothing stands in the way");
    let (mut gone_along, mut stayed) = (0, 0);
    for moment in sim.recorded() {
        let world = moment.world.process_death();
        if world.read("a").is_none() {
            continue;
        }
        edit(&world, "a", "theirs");
        let cuts = world.world().power_cut(&STRICT, 4, 1).worlds;
        for world in cuts.iter().chain([&world]) {
            let told = || format!("killed before {}:\n{}", moment.call, world.dump());
            let store = options().open_with(world.actor());
            let store = store.unwrap_or_else(|error| panic!("{error:?}\n{}", told()));
            match (read(world, "a"), read(world, "b")) {
                (Some(a), b) if a == "theirs" => {
                    assert_eq!(b.as_deref(), Some("v1"), "{}", told());
                    stayed += 1;
                }
                (None, Some(b)) if b == "theirs" => gone_along += 1,
                (a, b) => panic!("{:?} {:?}\n{}", a.map(|a| a.len()), b.map(|b| b.len()), told()),
            }
            let check = store.check().expect("it can be checked");
            assert!(check.problems.is_empty(), "{check:?}\n{}", told());
        }
    }
    assert!(gone_along > 10 && stayed > 10, "{gone_along} {stayed}");
}

/// The same, and the recovery died when it had displaced the old name and not yet rescued the edit: all names
/// of the body were in `stage/` then, and the store did not open any more.
#[test]
fn an_edit_of_a_large_document_that_was_being_renamed_survives_a_recovery_that_dies() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "b", &[b'x'; 3 * INLINE_MAX]);
    let dead = dies_before_swap(&sim, "b");
    dead.rename("b", "d/a").expect_err("it dies");
    drop((store, dead));
    edit(&sim, "b", "theirs");
    sim.record();
    drop(open(&sim));
    for moment in sim.recorded() {
        let world = moment.world.process_death();
        let store = options().open_with(world.actor());
        let store = store.unwrap_or_else(|error| panic!("{error:?}, before {}", moment.call));
        let found = read(&world, "d/a").map(|found| found == "theirs");
        assert_eq!(found, Some(true), "before {}", moment.call);
        let check = store.check().expect("it can be checked");
        assert!(check.problems.is_empty(), "{check:?}");
    }
}

/// The same, and somebody has saved another file under the old name since: all names of the body were in
/// `stage/` then, though nobody had died in a recovery, and the store did not open. Found by the random
/// histories.
#[test]
fn an_edit_of_a_large_document_that_was_being_renamed_goes_along_though_its_name_was_taken() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "b", &[b'x'; 3 * INLINE_MAX]);
    // What keeps the body of the first one goes with a checkpoint.
    store.checkpoint().expect("all is published");
    let dead = dies_before_swap(&sim, "b");
    dead.rename("b", "d/a").expect_err("it dies");
    drop((store, dead));
    edit(&sim, "b", "theirs");
    sim.write("new", b"another file");
    sim.rename("new", "b");
    let cuts = sim.world().power_cut(&STRICT, 256, 1).worlds;
    for (n, world) in [sim.world().process_death()].iter().chain(&cuts).enumerate() {
        let store = options().open_with(world.actor());
        let store = store.unwrap_or_else(|error| panic!("{error:?}, {n}\n{}", world.dump()));
        if n == 0 {
            assert_eq!(read(world, "d/a").as_deref(), Some("theirs"));
            assert_eq!(rescued(world), [b"another file"]);
            assert_eq!(read(world, "b"), None);
        }
        let check = store.check().expect("it can be checked");
        assert!(check.problems.is_empty(), "{check:?}");
    }
}

/// So it is where the old name is put anew by the same transaction, as logs are when they are rotated.
#[test]
fn an_edit_of_a_log_that_was_being_rotated_goes_along_though_its_name_was_taken() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "log", &[b'x'; 3 * INLINE_MAX]);
    store.checkpoint().expect("all is published");
    let dead = dies_before_swap(&sim, "log");
    let rotated = dead.transact(|tx| {
        tx.rename("log", "log.1")?;
        tx.write_bytes("log", "anew")
    });
    rotated.expect_err("it dies");
    drop((store, dead));
    assert_eq!(read(&sim, "log.1"), None);
    edit(&sim, "log", "theirs");
    sim.write("new", b"another file");
    sim.rename("new", "log");
    drop(open(&sim));
    assert_eq!(read(&sim, "log.1").as_deref(), Some("theirs"));
    assert_eq!(read(&sim, "log").as_deref(), Some("anew"));
    assert_eq!(rescued(&sim), [b"another file"]);
}

/// A large document was renamed, then edited under its new name, then replaced there by another file: after a
/// power cut that file stays, and the older edit does not take its place.
#[test]
fn an_edit_of_a_large_document_that_was_renamed_does_not_come_back_over_a_later_one() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "b", &[b'x'; 3 * INLINE_MAX]);
    store.checkpoint().expect("all is published");
    store.rename("b", "d/a").expect("nothing stands in the way");
    drop(store);
    edit(&sim, "d/a", "older");
    sim.write("new", b"later");
    sim.rename("new", "d/a");
    sim.write_back_all();
    let world = &sim.world().power_cut(&STRICT, 1, 1).worlds[0];
    drop(open(world));
    assert_eq!(read(world, "d/a").as_deref(), Some("later"));
}

/// A large body was cut short in `stage/`, where it had two names of ours and no other: that is nobody's edit.
#[test]
fn a_body_that_is_damaged_in_stage_is_not_taken_for_an_edit() {
    let sim = prepared();
    put(&open(&sim), "large", b"v1");
    let dead = dies_before_swap(&sim, "large");
    let mut tx = dead.begin().expect("it is open");
    tx.write_bytes("large", [b'x'; 3 * INLINE_MAX]).expect("a valid path");
    tx.commit().expect_err("it dies");
    drop(dead);
    let body = sim.tree().into_keys().find(|path| path.ends_with(".body")).expect("it is staged");
    sim.advance(Duration::from_secs(1));
    sim.write(&body, b"xxx");
    let error = options().open_with(sim.actor()).expect_err("the body is damaged");
    assert!(matches!(&error, Error::Unrecoverable { path, .. } if path == "large"), "{error:?}");
    assert_eq!(read(&sim, "large").as_deref(), Some("v1"));
}

/// What to do then, as `docs/reference/errors.md` has it: a copy of the body at its path, or, to have it as it
/// was changed, that name for the file in `stage/`.
#[test]
fn a_body_that_is_damaged_in_stage_can_be_put_back_or_taken_as_it_is() {
    let sim = prepared();
    let whole = [b'x'; 3 * INLINE_MAX];
    let dead = dies_before_swap(&sim, "large");
    let mut tx = dead.begin().expect("it is open");
    tx.write_bytes("large", whole).expect("a valid path");
    tx.commit().expect_err("it dies");
    drop(dead);
    let body = sim.tree().into_keys().find(|path| path.ends_with(".body")).expect("it is staged");
    sim.advance(Duration::from_secs(1));
    sim.write(&body, b"changed");
    options().open_with(sim.actor()).expect_err("the body is damaged");

    let put_back = sim.fork();
    put_back.write("large", &whole);
    drop(open(&put_back));
    assert_eq!(put_back.read("large").as_deref(), Some(&whole[..]));

    let staged = sim.actor().open(&body, Access::Read).expect("it is there");
    staged.link("large").expect("nothing stands there");
    let store = open(&sim);
    assert_eq!(store.recovery_report().left, ["large"]);
    assert_eq!(read(&sim, "large").as_deref(), Some("changed"));
}

/// One program edited a large document in place, another replaced it, and the power went: the store did not
/// open, since the body was neither at its path nor in its staged file. What stands there is theirs.
#[test]
fn a_large_document_that_was_edited_and_then_replaced_by_others_is_left() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "large", &[b'x'; 3 * INLINE_MAX]);
    edit(&sim, "large", "edited in place");
    drop(store);
    sim.write("new", b"saved by renaming");
    sim.write_back("new");
    sim.rename("new", "large");
    for world in sim.world().power_cut(&STRICT, 256, 1).worlds {
        let store = options().open_with(world.actor());
        let store = store.unwrap_or_else(|error| panic!("{error:?}\n{}", world.dump()));
        let found = read(&world, "large").expect("somebody's is there");
        assert!(found == "saved by renaming" || found == "edited in place", "{found}");
        let check = store.check().expect("it can be checked");
        assert!(check.problems.is_empty(), "{check:?}");
    }
}

/// A large body decayed in `stage/` before it was published, and somebody saved the document: the transaction
/// is not given up for that.
#[test]
fn a_body_that_decayed_in_stage_is_not_given_up_for_an_edit() {
    let sim = prepared();
    put(&open(&sim), "large", b"v1");
    let dead = dies_before_swap(&sim, "large");
    let mut tx = dead.begin().expect("it is open");
    tx.write_bytes("large", [b'x'; 3 * INLINE_MAX]).expect("a valid path");
    tx.commit().expect_err("it dies");
    drop(dead);
    let body = sim.tree().into_keys().find(|path| path.ends_with(".body")).expect("it is staged");
    sim.damage(&body, Damage::FlipBit { offset: 700, bit: 3 });
    edit(&sim, "large", "theirs");
    let error = options().open_with(sim.actor()).expect_err("the body is damaged");
    assert!(matches!(&error, Error::Unrecoverable { path, .. } if path == "large"), "{error:?}");
    assert_eq!(read(&sim, "large").as_deref(), Some("theirs"));
}

/// A store was copied while its documents were not covered by a checkpoint, and a large one only in part: what
/// was copied is newer than its commit, but nobody has edited it.
#[test]
fn a_large_body_that_was_copied_in_part_is_damaged() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "large", &[b'x'; 3 * INLINE_MAX]);
    drop(store);
    sim.advance(Duration::from_secs(1));
    let body = sim.tree().into_keys().find(|path| path.ends_with(".body")).expect("it is staged");
    for path in ["large", &body] {
        sim.replace(path, &[b'x'; INLINE_MAX]);
    }
    let state = sim.read(".filepact/state").expect("it is there");
    sim.replace(".filepact/state", &state);
    let error = options().open_with(sim.actor()).expect_err("the body is damaged");
    assert!(matches!(&error, Error::Unrecoverable { path, .. } if path == "large"), "{error:?}");
}

/// Large bodies were synced while they had no name, and so was the segment that was made ready; btrfs before
/// Linux 6.16 logs nothing of such a file, and keeps it empty when its name alone is durable. Found by a reading
/// of the kernel.
#[test]
fn what_was_synced_without_a_name_is_synced_again_when_it_has_one() {
    let large = |n: u8| vec![b'a' + n; 3 * INLINE_MAX];
    let sim = prepared();
    sim.set_nameless_syncs(false);
    let store = open(&sim);
    put(&store, "large", &large(0));
    let append = |bytes: &[u8]| store.transact(|tx| tx.append("log", bytes));
    append(b"small").expect("nothing stands in the way");
    append(&large(1)).expect("nothing stands in the way");
    after_power_cuts(&sim, 256, |world, _| {
        assert_eq!(world.read("large"), Some(large(0)));
        assert_eq!(world.read("log"), Some([b"small", &*large(1)].concat()));
    });
    // Enough for a segment that was made ready.
    let segments = || sim.names_in(".filepact/journal").len();
    let before = segments();
    sim.record();
    for n in 0.. {
        put(&store, "small", format!("{n:0900}").as_bytes());
        if segments() > before {
            let calls = sim.call_log();
            assert!(calls.iter().any(|call| call.contains("link") && call.contains("journal/new")));
            after_power_cuts(&sim, 256, |world, _| {
                assert_eq!(text(&open(world), "small"), Some(format!("{n:0900}")));
            });
            return;
        }
    }
}

/// A large document was renamed and added to, and another one put at its old path: a power cut that brought the
/// old name back showed what was added there too, and recovery took that for somebody's edit. Found by fuzzing.
#[test]
fn a_name_that_a_power_cut_brings_back_of_a_document_that_was_added_to_since_is_no_edit() {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "log", &[b'x'; 3 * INLINE_MAX]);
    store.rename("log", "log.1").expect("nothing stands in the way");
    store
        .transact(|tx| {
            tx.append("log.1", "the last line")?;
            tx.write_bytes("log", "anew")
        })
        .expect("nothing stands in the way");
    drop(store);
    let mut brought_back = 0;
    for world in sim.world().power_cut(&STRICT, 512, 1).worlds {
        let ended = |log: String| log.ends_with("the last line");
        brought_back += usize::from(read(&world, "log").is_some_and(ended));
        let store = open(&world);
        assert!(store.recovery_report().rescued.is_empty(), "{:?}", store.recovery_report());
        assert_eq!(read(&world, "log").as_deref(), Some("anew"));
        assert!(read(&world, "log.1").is_some_and(ended));
    }
    assert!(brought_back > 0, "no outcome shows it: the test proves nothing");
}

/// A recovery had added what was missing, wrote the document anew, since the device did not show it, and died
/// before it let go what the copy had displaced. A power cut took the addition from that, or a part of it.
#[test]
fn what_a_recovery_wrote_anew_and_a_power_cut_has_torn_is_nobodys_edit() {
    let line = "and more\n".repeat(200);
    for (left, own_time, is_ours) in [
        (body("log", 1, 6_300), true, true),
        ([&body("log", 1, 6_300)[..], &line.as_bytes()[..700], &[0; 700]].concat(), true, true),
        (body("log", 1, 6_300), false, true),
        ([&body("log", 1, 6_300)[..], b"mine"].concat(), true, false),
    ] {
        let sim = prepared();
        sim.write("log", &body("log", 1, 6_300));
        sim.write_back("log");
        sim.advance(Duration::from_secs(61));
        let store = open(&sim);
        let mut tx = store.begin().expect("the store is open");
        tx.append("log", &line).expect("a valid path");
        let txn = tx.commit().expect("nothing stands in the way").txn;
        let (time, whole) = (mtime(&sim, "log"), sim.read("log").expect("it is there"));
        drop(store);
        let at = format!(".filepact/stage/{}.{}.{}.1", txn - 1, time.0, "0".repeat(32));
        sim.actor().rename("log", &at, Rename::Replace).expect("it is there");
        sim.write(&at, &left);
        set_mtime(&sim, &at, time);
        sim.write("log", &whole);
        set_mtime(&sim, "log", if own_time { time } else { Time(time.0 + 1) });
        // In a boot in which nothing was written anew it is an edit with its time put back.
        let trusted = sim.world().process_death();
        distrust(&sim);
        for (world, is_ours) in [(sim, is_ours), (trusted, false)] {
            let store = open(&world);
            let report = store.recovery_report();
            assert_eq!(report.rescued.is_empty(), is_ours, "{report:?}");
            assert_eq!(world.read("log").as_ref(), Some(&whole));
        }
    }
}

/// A large document had been renamed and added to, another one had its old name, and a power cut brought the file
/// back under that: as the recovery went it was added to first, and passed for an edit at the old name then.
#[test]
fn a_large_document_that_is_at_its_old_name_again_is_added_to_last() {
    let large = "x".repeat(3 * INLINE_MAX);
    for (new, anew) in [("a", "small"), ("z", "small"), ("a", &large), ("z", &large)] {
        let sim = prepared();
        let store = open(&sim);
        put(&store, "m", large.as_bytes());
        store.checkpoint().expect("nothing fails here");
        store.rename("m", new).expect("nothing is there");
        put(&store, "m", anew.as_bytes());
        store.append(new, "added").expect("it is there");
        store.append("m", "more").expect("it is there");
        drop(store);
        for world in sim.world().power_cut(&STRICT, 512, 1).worlds {
            let before = world.dump();
            let status = open(&world).status().expect("it can be read");
            assert!(status.rescued.is_empty(), "{status:?}\n{before}");
            assert_eq!(read(&world, "m"), Some(format!("{anew}more")), "{before}");
            assert_eq!(read(&world, new), Some(format!("{large}added")), "{before}");
        }
    }
}
