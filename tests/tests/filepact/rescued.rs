//! What lies in `rescued/` is somebody's: restoring and dropping it loses nothing, whatever dies.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use filepact::{Durability, Error, Kind, Options, Rescued, Store, Version};
use filepact_fs::{Access, Attrs, Fs};
use filepact_simfs::{Fault, FaultKind, Grain, Profile, SimFs, When, errno};
use filepact_tests::crash::{documents, open, options, prepared};
use filepact_tests::history::INLINE_MAX;
use filepact_tests::meanwhile::Meanwhile;

use crate::support::{STRICT, dies, put, read, staged, text};

const DOC: &str = "dir/doc";

/// What the edit says, in few bytes or in more than travel in the journal.
fn theirs(large: bool) -> Vec<u8> {
    if large { b"theirs ".repeat(INLINE_MAX) } else { b"theirs".to_vec() }
}

/// A store in which `dir/doc` says `ours`, mode 0644, and an edit of it that a commit displaced lies in
/// `rescued/`, mode 0600. Closed, and durable.
fn displaced(edit: &[u8]) -> SimFs {
    let sim = prepared();
    let store = open(&sim);
    put(&store, DOC, b"first");
    sim.replace(DOC, edit);
    sim.set_mode(DOC, 0o600);
    put(&store, DOC, b"ours");
    sim.set_mode(DOC, 0o644);
    store.close().expect("nothing fails here");
    sim.write_back_all();
    sim
}

fn mode(sim: &SimFs, path: &str) -> u32 {
    sim.stat(path).expect("it is there").mode
}

fn edits(store: &Store) -> Vec<Rescued> {
    store.rescued().expect("it can be listed")
}

/// The only one.
fn edit(store: &Store) -> Rescued {
    let mut edits = edits(store);
    assert_eq!(edits.len(), 1, "{edits:?}");
    edits.remove(0)
}

fn version(store: &Store, path: &str) -> Option<Version> {
    store.version(path).expect("it can be read")
}

fn restore(store: &Store, to: &str) -> Result<u64, Error> {
    let edit = edit(store);
    let expected = store.compare_rescued(&edit, to)?.document;
    Ok(store.restore_rescued(&edit, to, expected)?.txn)
}

/// After a crash in a restore: the edit is there, as a document, or where it was, or both; the document
/// is whole; and a second restore does what the first one should have done.
fn assert_kept(sim: &SimFs, store: &Store, to: &str, theirs: &[u8], about: &str) {
    let before = (to == DOC).then_some(&b"ours"[..]);
    let found = sim.read(to);
    let is_restored = found.as_deref() == Some(theirs);
    assert!(is_restored || found.as_deref() == before, "{about}: {found:?}\n{}", sim.dump());
    if is_restored {
        assert_eq!(mode(sim, to), 0o600, "{about}: it is nobody else's to read\n{}", sim.dump());
    }
    let left = edits(store);
    for edit in &left {
        assert_eq!((&*edit.path, edit.size), (DOC, theirs.len() as u64), "{about}");
        assert_eq!(store.read_rescued(edit).expect("it is there"), theirs, "{about}");
        assert_eq!(mode(sim, &edit.at), 0o600, "{about}");
    }
    assert!(is_restored || left.len() == 1, "{about}: it is lost\n{}", sim.dump());
    if !left.is_empty() {
        restore(store, to).unwrap_or_else(|error| panic!("{about}: {error:?}"));
    }
    assert_eq!(edits(store), [], "{about}");
    assert_eq!(sim.read(to).as_deref(), Some(theirs), "{about}");
    assert_eq!(mode(sim, to), 0o600, "{about}");
    store.checkpoint().expect("nothing fails here");
    assert_eq!(staged(sim), Vec::<String>::new(), "{about}");
    let check = store.check().expect("it can be checked");
    assert!(check.problems.is_empty() && check.outside_edits.is_empty(), "{about}: {check:?}");
}

const TARGETS: [&str; 2] = [DOC, "new/deep/doc"];

#[test]
fn a_restore_that_is_killed_at_any_call_loses_nothing() {
    for (large, to) in [false, true].into_iter().flat_map(|large| TARGETS.map(|to| (large, to))) {
        let sim = displaced(&theirs(large));
        let store = open(&sim);
        sim.record();
        restore(&store, to).expect("nothing stands in the way");
        for moment in sim.recorded() {
            for world in moment.world.process_death_variants() {
                let about =
                    format!("{to}, {}, killed before `{}`", theirs(large).len(), moment.call);
                assert_kept(&world, &open(&world), to, &theirs(large), &about);
            }
        }
    }
}

#[test]
fn a_restore_whose_power_is_cut_at_any_call_loses_nothing() {
    let grain = Grain::Page;
    let profiles = [STRICT, Profile::Ordered(grain), Profile::PerInode(grain)];
    for (large, to) in [false, true].into_iter().flat_map(|large| TARGETS.map(|to| (large, to))) {
        let sim = displaced(&theirs(large));
        let store = open(&sim);
        sim.record();
        restore(&store, to).expect("nothing stands in the way");
        for moment in sim.recorded() {
            for profile in profiles {
                let outcomes = [
                    moment.world.power_cut(&profile, 12, 1).worlds,
                    moment.world.remount(&profile, 4, 1).worlds,
                ];
                for world in outcomes.into_iter().flatten() {
                    let about = format!("{to}, {profile:?}, cut in `{}`", moment.call);
                    assert_kept(&world, &open(&world), to, &theirs(large), &about);
                }
            }
        }
    }
}

#[test]
fn a_restore_that_is_killed_at_any_call_is_healed_by_the_others() {
    for (large, to) in [false, true].into_iter().flat_map(|large| TARGETS.map(|to| (large, to))) {
        for nth in 1.. {
            let sim = displaced(&theirs(large));
            let alive = open(&sim);
            let begun = std::sync::atomic::AtomicUsize::new(0);
            let counts = move |_: &str, _: &str| {
                begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == nth
            };
            let on = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            let is_on = std::sync::Arc::clone(&on);
            let victim = dies(&sim, options(), move |op, path| {
                is_on.load(std::sync::atomic::Ordering::SeqCst) && counts(op, path)
            });
            on.store(true, std::sync::atomic::Ordering::SeqCst);
            let done = victim.rescued().map(|edits| edits[0].clone()).and_then(|edit| {
                let expected = victim.compare_rescued(&edit, to)?.document;
                victim.restore_rescued(&edit, to, expected)
            });
            on.store(false, std::sync::atomic::Ordering::SeqCst);
            let is_over = done.is_ok() && edits(&alive).is_empty();
            drop(victim);
            put(&alive, "x", b"heals");
            assert_kept(&sim, &alive, to, &theirs(large), &format!("{to}, call {nth}"));
            if is_over {
                break;
            }
        }
    }
}

#[test]
fn an_error_at_any_call_of_a_restore_loses_nothing() {
    for number in [errno::IO, errno::NOSPC] {
        for large in [false, true] {
            for nth in 1.. {
                let sim = displaced(&theirs(large));
                let store = open(&sim);
                let edit = edit(&store);
                let expected = version(&store, DOC);
                let at = When::Call(sim.calls() + nth);
                sim.fault(Fault { at, kind: FaultKind::Error(number), sticky: false });
                let before = sim.calls();
                let done = store.restore_rescued(&edit, DOC, expected);
                let is_over = sim.calls() - before < nth;
                sim.clear_faults();
                drop(store);
                let store = open(&sim);
                if done.is_ok() {
                    assert_eq!(sim.read(DOC), Some(theirs(large)), "call {nth}");
                }
                assert_kept(
                    &sim,
                    &store,
                    DOC,
                    &theirs(large),
                    &format!("error {number}, call {nth}"),
                );
                if is_over {
                    break;
                }
            }
        }
    }
}

#[test]
fn with_buffered_a_restored_edit_goes_only_when_the_document_is_durable() {
    for large in [false, true] {
        let sim = displaced(&theirs(large));
        let buffered = || options().durability(Durability::Buffered);
        let store = buffered().open_with(sim.actor()).expect("it opens");
        sim.record();
        restore(&store, DOC).expect("nothing stands in the way");
        assert_eq!(edits(&store), []);
        for moment in sim.recorded() {
            for world in moment.world.power_cut(&STRICT, 24, 1).worlds {
                let store = open(&world);
                let restored = world.read(DOC) == Some(theirs(large));
                let kept = edits(&store).iter().any(|edit| {
                    edit.size == theirs(large).len() as u64
                        && store.read_rescued(edit).expect("it is there") == theirs(large)
                });
                assert!(restored || kept, "{}\n{}", moment.call, world.dump());
            }
        }
    }
}

#[test]
fn a_drop_that_dies_at_any_call_leaves_the_edit_whole_or_gone() {
    let sim = displaced(&theirs(false));
    let store = open(&sim);
    let before = documents(&sim);
    sim.record();
    store.drop_rescued(&edit(&store)).expect("nothing stands in the way");
    assert!(sim.stat(".filepact/rescued").is_some(), "nothing makes its name durable anew");
    assert_eq!(sim.names_in(".filepact/rescued"), Vec::<String>::new(), "no folder stays");
    for moment in sim.recorded() {
        let mut worlds = moment.world.process_death_variants();
        for profile in [STRICT, Profile::Hostile(Grain::Page)] {
            worlds.extend(moment.world.power_cut(&profile, 24, 1).worlds);
        }
        for world in worlds {
            let store = open(&world);
            assert_eq!(documents(&world), before, "{}", moment.call);
            for edit in edits(&store) {
                assert_eq!(store.read_rescued(&edit).expect("it is there"), theirs(false));
                store.drop_rescued(&edit).expect("it can be dropped once more");
            }
            assert_eq!(edits(&store), []);
        }
    }
}

#[test]
fn an_edit_is_listed_with_what_is_known_of_it() {
    let sim = displaced(&theirs(false));
    let store = open(&sim);
    let found = edit(&store);
    assert_eq!((&*found.path, found.kind, found.size), (DOC, Kind::File, 6));
    assert_eq!(found.at, format!(".filepact/rescued/{}/{DOC}", found.id()));
    let txn = found.txn.expect("a transaction has displaced it");
    assert!(found.id().starts_with(&format!("{txn}.")), "{found:?}");
    assert_eq!(found.modified, sim.stat(&found.at).expect("it is there").stamp.mtime);
    assert_eq!(store.status().expect("it answers").rescued, std::slice::from_ref(&found));

    let compare = |path| store.compare_rescued(&found, path).expect("it can be read");
    assert_eq!(compare(DOC).document, Some(Version::of(b"ours")));
    assert_eq!(compare(DOC).edit, Version::of(b"theirs"));
    assert!(!compare(DOC).is_same());
    assert_eq!((compare("absent").document, compare("absent").is_same()), (None, false));
    put(&store, "copy", b"theirs");
    assert!(compare("copy").is_same());
}

#[test]
fn nothing_is_replaced_that_was_not_named() {
    let sim = displaced(&theirs(false));
    let store = open(&sim);
    let edit = edit(&store);
    let seen = version(&store, DOC);
    put(&store, DOC, b"changed since");
    for expected in [seen, None, Some(Version::of(b"theirs"))] {
        let refused = store.restore_rescued(&edit, DOC, expected).expect_err("it is not so");
        assert!(matches!(&refused, Error::Conflict { paths } if *paths == [DOC]), "{refused:?}");
    }
    sim.write(DOC, b"edited by another program");
    let changed = Some(Version::of(b"changed since"));
    store.restore_rescued(&edit, DOC, changed).expect_err("somebody has edited it");
    assert_eq!(read(&sim, DOC).as_deref(), Some("edited by another program"));
    assert_eq!(edits(&store), std::slice::from_ref(&edit));

    // A document that holds the same already may be replaced by it.
    put(&store, "copy", b"theirs");
    store.restore_rescued(&edit, "copy", None).expect("nothing is lost");
    assert_eq!((text(&store, "copy").as_deref(), mode(&sim, "copy")), (Some("theirs"), 0o600));
    assert_eq!(edits(&store), []);
    let gone = store.restore_rescued(&edit, "other", None).expect_err("it is not there any more");
    assert!(matches!(&gone, Error::NotFound { path } if *path == edit.at), "{gone:?}");
    assert!(matches!(store.drop_rescued(&edit), Err(Error::NotFound { .. })));
    assert!(matches!(store.read_rescued(&edit), Err(Error::NotFound { .. })));
}

#[test]
fn an_edit_that_comes_in_the_middle_of_a_restore_is_rescued_in_its_turn() {
    let sim = displaced(&theirs(false));
    let outside = sim.clone();
    let fs = Meanwhile::before_rename(sim.actor(), DOC, move || outside.write(DOC, b"newer"));
    let store = options().open_with(fs).expect("it opens");
    restore(&store, DOC).expect("it commits");
    assert_eq!(read(&sim, DOC).as_deref(), Some("theirs"));
    assert_eq!(store.read_rescued(&edit(&store)).expect("it is there"), b"newer");
}

#[test]
fn an_edit_that_is_saved_again_where_it_lies_is_neither_dropped_nor_restored_unseen() {
    let sim = displaced(&theirs(false));
    let store = open(&sim);
    let before = edit(&store);
    sim.advance(Duration::from_secs(60));
    sim.write(&before.at, b"saved again by an editor that had it open");
    let saved = store.drop_rescued(&before).expect_err("it is not what was listed");
    assert!(matches!(&saved, Error::Conflict { paths } if *paths == [&*before.at]), "{saved:?}");
    store.restore_rescued(&before, "x", None).expect_err("nor is it restored");
    let after = edit(&store);
    store.restore_rescued(&after, "x", None).expect("what was listed is restored");
    assert_eq!(text(&store, "x").as_deref(), Some("saved again by an editor that had it open"));

    // Also between the reading and the end of the commit: then the restored document has what was
    // listed, and the save stays.
    let sim = displaced(&theirs(false));
    let listed = edit(&open(&sim));
    let (outside, at) = (sim.clone(), listed.at.clone());
    let fs = Meanwhile::before_rename(sim.actor(), DOC, move || {
        outside.advance(Duration::from_secs(60));
        outside.write(&at, b"saved again");
    });
    let store = options().open_with(fs).expect("it opens");
    restore(&store, DOC).expect("it commits");
    assert_eq!(text(&store, DOC).as_deref(), Some("theirs"));
    assert_eq!(store.read_rescued(&edit(&store)).expect("it is there"), b"saved again");
}

#[test]
fn a_restore_is_part_of_its_transaction() {
    let begun = |options: Options| {
        let sim = displaced(&theirs(false));
        let store = options.open_with(sim.actor()).expect("it opens");
        let edit = edit(&store);
        (sim, store, edit)
    };
    let ours = Some(Version::of(b"ours"));

    let (sim, store, edit) = begun(options());
    let mut tx = store.begin().expect("the store is open");
    tx.restore_rescued(&edit, DOC, ours).expect("it can be read");
    assert_eq!(tx.read_bytes(DOC).expect("it sees its own").as_deref(), Some(&b"theirs"[..]));
    tx.rollback();
    assert_eq!((read(&sim, DOC).as_deref(), edits(&store).len()), (Some("ours"), 1));

    // What is written over in the same transaction was not restored.
    let mut tx = store.begin().expect("the store is open");
    tx.restore_rescued(&edit, DOC, ours).expect("it can be read");
    tx.write_bytes(DOC, "something else").expect("a valid path");
    tx.commit().expect("it commits");
    assert_eq!((read(&sim, DOC).as_deref(), edits(&store).len()), (Some("something else"), 1));

    // What is added to, or renamed, was.
    let (sim, store, edit) = begun(options().durability(Durability::Files));
    let mut tx = store.begin_exclusive(Duration::ZERO).expect("nobody else is here");
    tx.restore_rescued(&edit, "mine", None).expect("it can be read");
    tx.append("mine", " and more").expect("a valid path");
    tx.rename("mine", "moved").expect("there is none");
    tx.write_bytes(DOC, "the other half").expect("a valid path");
    tx.commit().expect("it commits");
    assert_eq!(read(&sim, "moved").as_deref(), Some("theirs and more"));
    assert_eq!((mode(&sim, "moved"), edits(&store)), (0o600, vec![]));
    assert_eq!(read(&sim, DOC).as_deref(), Some("the other half"));

    // And what was renamed and then written over was not.
    let (sim, store, edit) = begun(options().durability(Durability::Buffered));
    let mut tx = store.begin_exclusive(Duration::ZERO).expect("nobody else is here");
    tx.restore_rescued(&edit, "mine", None).expect("it can be read");
    tx.rename("mine", "moved").expect("there is none");
    tx.write_bytes("moved", "something else").expect("a valid path");
    tx.commit().expect("it commits");
    assert_eq!((read(&sim, "moved").as_deref(), edits(&store).len()), (Some("something else"), 1));
}

/// Modes: of what was restored, of what it replaced, and of a document that only kept its own.
#[test]
fn a_restored_document_has_the_mode_of_the_edit_and_any_other_put_that_of_the_document() {
    for large in [false, true] {
        let sim = displaced(&theirs(large));
        let store = open(&sim);
        sim.set_mode(DOC, 0o664);
        restore(&store, DOC).expect("nothing stands in the way");
        assert_eq!(mode(&sim, DOC), 0o600);
        put(&store, DOC, b"later");
        assert_eq!(mode(&sim, DOC), 0o600);
    }
    // A change of the mode between C5 and C8 is of the version that goes.
    let sim = displaced(&theirs(false));
    let outside = sim.clone();
    let fs = Meanwhile::before_rename(sim.actor(), DOC, move || outside.set_mode(DOC, 0o666));
    let store = options().open_with(fs).expect("it opens");
    restore(&store, DOC).expect("it commits");
    assert_eq!(mode(&sim, DOC), 0o600);
}

/// The names of a file's extended attributes.
fn xattrs(sim: &SimFs, path: &str) -> Vec<OsString> {
    let file = sim.actor().open(path, Access::Read).expect("it is there");
    file.attrs().expect("it has some").xattrs.into_iter().map(|(name, _)| name).collect()
}

fn set_xattr(sim: &SimFs, path: &str, name: &str) {
    let file = sim.actor().open(path, Access::Write).expect("it is there");
    let attrs = file.attrs().expect("it has some");
    let xattrs = vec![(OsString::from(name), b"yes".to_vec())];
    file.set_attrs(&Attrs { xattrs, ..attrs }).expect("nothing fails here");
}

/// No record knows extended attributes: who finished a restore after a crash gave the edit those of the
/// document that it replaced, and where both held the same, the mode as well.
#[test]
fn a_restored_document_never_has_extended_attributes_of_the_one_before() {
    for (large, same) in [(false, false), (false, true), (true, false), (true, true)] {
        let theirs = if same { b"ours".to_vec() } else { theirs(large) };
        let about = format!("large: {large}, the same content: {same}");
        let sim = displaced(&theirs);
        let inline_max = if large { 1 } else { INLINE_MAX };
        let alive = options().inline_max(inline_max).open_with(sim.actor()).expect("it opens");
        let edit = edit(&alive);
        set_xattr(&sim, DOC, "user.ours");
        set_xattr(&sim, &edit.at, "user.theirs");
        sim.write_back_all();
        sim.record();
        restore(&alive, DOC).expect("nothing stands in the way");
        assert_eq!(xattrs(&sim, DOC), ["user.theirs"], "{about}");
        let judge = |world: &SimFs, about: &str| {
            if mode(world, DOC) == 0o600 {
                assert!(!xattrs(world, DOC).contains(&OsString::from("user.ours")), "{about}");
            } else {
                assert_eq!(xattrs(world, DOC), ["user.ours"], "{about}");
            }
            let is_restored = mode(world, DOC) == 0o600;
            let is_listed = !edits(&open(world)).is_empty();
            assert!(is_restored || is_listed, "{about}: neither\n{}", world.dump());
        };
        for moment in sim.recorded() {
            let cuts = moment.world.power_cut(&STRICT, 12, 1).worlds;
            for world in moment.world.process_death_variants().into_iter().chain(cuts) {
                drop(open(&world));
                judge(&world, &format!("{about}, at `{}`\n{}", moment.call, world.dump()));
            }
        }
    }
}

/// The same, by who heals: of a large body the file is there, with all that is its own.
#[test]
fn a_restored_document_that_is_healed_has_no_extended_attributes_of_the_one_before() {
    for (large, same) in [(false, false), (false, true), (true, false), (true, true)] {
        let theirs = if same { b"ours".to_vec() } else { theirs(large) };
        let options = options().inline_max(if large { 1 } else { INLINE_MAX });
        let sim = displaced(&theirs);
        let is_swap = |op: &str, on: &str| op == "rename" && on.ends_with(&format!("-> {DOC}"));
        let (alive, dead) = (open(&sim), dies(&sim, options, is_swap));
        set_xattr(&sim, DOC, "user.ours");
        set_xattr(&sim, &edit(&alive).at, "user.theirs");
        restore(&dead, DOC).expect_err("it dies");
        put(&alive, "other", b"1");
        assert_eq!((sim.read(DOC), mode(&sim, DOC)), (Some(theirs), 0o600));
        let expected: &[&str] = if large { &["user.theirs"] } else { &[] };
        assert_eq!(xattrs(&sim, DOC), expected, "large: {large}, the same content: {same}");
    }
}

#[test]
fn only_files_are_restored_and_the_files_of_a_directory_one_by_one() {
    let sim = prepared();
    let store = open(&sim);
    sim.mkdir(".filepact/rescued/7.0123abcd");
    sim.mkdir(".filepact/rescued/7.0123abcd/was-a-dir");
    sim.mkdir(".filepact/rescued/7.0123abcd/was-a-dir/empty");
    sim.write(".filepact/rescued/7.0123abcd/was-a-dir/one", b"1");
    sim.write(".filepact/rescued/7.0123abcd/was-a-dir/two", b"2");
    sim.mkdir(".filepact/rescued/10.0123abcd");
    sim.symlink(".filepact/rescued/10.0123abcd/link", "a.json");
    sim.mkdir(".filepact/rescued/by-hand");
    sim.write(".filepact/rescued/by-hand/x", b"x");
    let found = edits(&store);
    let shown: Vec<_> = found.iter().map(|edit| (edit.txn, &*edit.path, edit.kind)).collect();
    assert_eq!(
        shown,
        [
            (None, "x", Kind::File),
            (Some(7), "was-a-dir/one", Kind::File),
            (Some(7), "was-a-dir/two", Kind::File),
            (Some(10), "link", Kind::Link),
        ]
    );
    let link = store.restore_rescued(&found[3], "link", None).expect_err("it is no document");
    assert!(matches!(&link, Error::Refused { path, .. } if *path == found[3].at), "{link:?}");
    store.read_rescued(&found[3]).expect_err("it has no bytes");
    store.drop_rescued(&found[3]).expect("it can be dropped");
    store.restore_rescued(&found[1], "was-a-dir/one", None).expect("there is none");
    assert_eq!(read(&sim, "was-a-dir/one").as_deref(), Some("1"));
    store.drop_rescued(&found[2]).expect("it can be dropped");
    store.drop_rescued(&found[0]).expect("it can be dropped");
    assert_eq!(edits(&store), []);
    assert_eq!(
        sim.names_in(".filepact/rescued/7.0123abcd/was-a-dir"),
        ["empty"],
        "what was not listed stays"
    );
}

/// A displaced directory is somebody's, with whatever names and modes.
#[test]
fn a_directory_that_cannot_be_shown_whole_is_shown_itself_and_hides_nothing_else() {
    let sim = displaced(&theirs(false));
    let store = open(&sim);
    let other = edit(&store);
    sim.mkdir(".filepact/rescued/9.0123abcd");
    sim.mkdir(".filepact/rescued/9.0123abcd/dir");
    sim.mkdir(".filepact/rescued/9.0123abcd/dir/deep");
    sim.write(".filepact/rescued/9.0123abcd/dir/deep/one", b"1");
    let shown = || -> Vec<_> {
        let found = edits(&store).into_iter().filter(|edit| *edit != other);
        found.map(|edit| (edit.path, edit.kind)).collect()
    };
    let of = |path: &str, kind| (path.to_owned(), kind);
    let whole = [of("dir/deep/one", Kind::File)];
    assert_eq!(shown(), whole);

    // Neither to be listed nor to be looked at, or too deep for a path.
    for number in [errno::PERM, errno::NAMETOOLONG] {
        for (op, path) in [("list", "dir/deep"), ("stat", "dir/deep")] {
            let at = When::Matching { op, path_contains: path.to_owned(), nth: 1 };
            sim.fault(Fault { at, kind: FaultKind::Error(number), sticky: true });
            assert_eq!(shown(), [of("dir/deep", Kind::Dir)], "{op}, {number}");
            sim.clear_faults();
        }
    }
    let at = When::Matching { op: "list", path_contains: "deep".to_owned(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::IO), sticky: true });
    let failed = store.rescued().expect_err("a disk that fails hides what it will");
    assert!(matches!(failed, Error::Io { op: "list", .. }), "{failed:?}");
    sim.clear_faults();

    // A name that is not UTF-8.
    sim.create_named(".filepact/rescued/9.0123abcd/dir/deep", OsStr::from_bytes(b"odd-\xff"));
    assert_eq!(shown(), [of("dir/deep", Kind::Dir), whole[0].clone()]);
    let found = edits(&store);
    let deep = found.iter().find(|edit| edit.kind == Kind::Dir).expect("it is shown");
    assert_eq!(deep.id(), "9.0123abcd");
    for refused in [
        store.drop_rescued(deep),
        store.read_rescued(deep).map(drop),
        store.compare_rescued(deep, DOC).map(drop),
        store.restore_rescued(deep, "x", None).map(drop),
    ] {
        assert!(matches!(&refused, Err(Error::Refused { path, .. }) if *path == deep.at));
    }
    // What can be shown can be dropped, and the rest stays.
    let one = found.iter().find(|edit| edit.path == "dir/deep/one").expect("it is shown");
    store.drop_rescued(one).expect("it can be dropped");
    assert_eq!(shown(), [of("dir/deep", Kind::Dir)]);

    // In the folder itself, where only somebody can have put it.
    sim.create_named(".filepact/rescued/9.0123abcd", OsStr::from_bytes(b"odd-\xff"));
    assert_eq!(shown(), [of("", Kind::Dir), of("dir/deep", Kind::Dir)]);
    assert!(edits(&store).iter().all(|edit| edit == &other || edit.id() == "9.0123abcd"));
}

#[test]
fn an_edit_that_is_dropped_while_others_list_hides_nothing() {
    let sim = displaced(&theirs(false));
    let store = open(&sim);
    let edit = edit(&store);
    sim.mkdir(".filepact/rescued/8.0123abcd");
    sim.mkdir(".filepact/rescued/8.0123abcd/dir");
    sim.write(".filepact/rescued/8.0123abcd/dir/doc", b"dropped");
    for gone in ["8.0123abcd", "8.0123abcd/dir"] {
        let at = When::Matching { op: "list", path_contains: gone.to_owned(), nth: 1 };
        sim.fault(Fault { at, kind: FaultKind::Error(errno::NOENT), sticky: true });
        assert_eq!(edits(&store), std::slice::from_ref(&edit), "{gone}");
        sim.clear_faults();
    }
    assert_eq!(edits(&store).len(), 2);
    // And where somebody has taken all of it away.
    sim.rename(".filepact/rescued", "taken-away");
    assert_eq!(edits(&store), []);
    put(&store, DOC, b"goes on");
    sim.write(DOC, b"an edit");
    put(&store, DOC, b"ours");
    assert_eq!(store.read_rescued(&self::edit(&store)).expect("it is there"), b"an edit");
}

#[test]
fn a_restore_to_where_no_document_can_be_is_refused_and_the_edit_stays() {
    let sim = displaced(&theirs(false));
    let store = open(&sim);
    let edit = edit(&store);
    sim.mkdir("folder");
    sim.symlink("link", "a.json");
    let before = documents(&sim);
    for (to, at) in [("folder", "folder"), ("link", "link"), ("dir/doc/below", "dir/doc/below")] {
        let refused = store.restore_rescued(&edit, to, None).expect_err("it cannot be there");
        assert!(matches!(&refused, Error::Refused { path, .. } if path == at), "{refused:?}");
    }
    let own = store.restore_rescued(&edit, ".filepact/state", None).expect_err("it is ours");
    assert!(matches!(own, Error::InvalidPath(_)), "{own:?}");
    assert_eq!((documents(&sim), edits(&store)), (before, vec![edit]));
}

/// Whose edit it was may have forbidden everybody else to read it.
#[test]
fn an_edit_that_cannot_be_read_is_listed_and_dropped_and_is_not_restored() {
    let sim = displaced(&theirs(false));
    let store = open(&sim);
    let at = When::Matching { op: "open", path_contains: "rescued/".to_owned(), nth: 1 };
    sim.fault(Fault { at, kind: FaultKind::Error(errno::PERM), sticky: true });
    let edit = edit(&store);
    for refused in [
        store.read_rescued(&edit).map(drop),
        store.compare_rescued(&edit, DOC).map(drop),
        store.restore_rescued(&edit, DOC, version(&store, DOC)).map(drop),
    ] {
        assert!(matches!(&refused, Err(Error::Io { op: "open", path, .. }) if *path == edit.at));
    }
    assert_eq!((text(&store, DOC).as_deref(), edits(&store).len()), (Some("ours"), 1));
    store.drop_rescued(&edit).expect("it can be dropped");
    assert_eq!(edits(&store), []);
}

/// `Rescued` says where the edit lies: a program that changes that reaches nothing else.
#[test]
fn what_lies_elsewhere_is_no_rescued_edit() {
    let sim = displaced(&theirs(false));
    let store = open(&sim);
    let mut edit = edit(&store);
    let before = sim.tree();
    for at in ["a.json", DOC, ".filepact/state", ".filepact/rescued/../state", "", "/etc/passwd"] {
        edit.at = at.to_owned();
        assert!(matches!(store.read_rescued(&edit), Err(Error::NotFound { .. })), "{at}");
        assert!(matches!(store.drop_rescued(&edit), Err(Error::NotFound { .. })), "{at}");
        assert!(matches!(store.restore_rescued(&edit, "x", None), Err(Error::NotFound { .. })));
    }
    assert_eq!(sim.tree(), before);
}
