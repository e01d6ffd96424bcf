//! The inode that a document had before is reused for its next body, and nobody notices.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use filepact::{Error, Store};
use filepact_fs::{Access, Attrs, File, Fs, Rename, write_all};
use filepact_simfs::{Actor, SimFs, errno};
use filepact_tests::crash::{documents, open, options, prepared};
use filepact_tests::history::body;
use filepact_tests::steps::{Call, Steps, Watch};

use crate::support::{STRICT, after_power_cuts, fail, put, read, spares, staged, text};

/// A store whose handle has a spare of `a.json`, which holds "second".
fn with_spare() -> (SimFs, Store) {
    let sim = prepared();
    let store = open(&sim);
    put(&store, "a.json", b"first");
    assert_eq!(spares(&sim).len(), 0, "what was there before is of no use as a spare");
    put(&store, "a.json", b"second");
    assert_eq!(spares(&sim).len(), 1);
    (sim, store)
}

fn inode(sim: &SimFs, path: &str) -> u64 {
    sim.stat(path).expect("it is there").stamp.ino
}

/// An editor that keeps the document open for writing.
fn editor(sim: &SimFs, path: &str) -> (Arc<Actor>, Box<dyn File>) {
    let actor = sim.actor();
    let file = actor.open(path, Access::Write).expect("it is there");
    (actor, file)
}

fn save(file: &dyn File, content: &[u8]) {
    file.set_len(0).expect("nothing fails here");
    write_all(file, content, 0).expect("nothing fails here");
    file.sync(filepact_fs::SyncKind::All).expect("nothing fails here");
}

fn content(file: &dyn File) -> String {
    String::from_utf8(filepact_fs::read_to_end(file).expect("it can be read")).expect("text")
}

/// The contents of what lies in `rescued/`.
fn rescued(sim: &SimFs) -> Vec<String> {
    let tree = sim.tree().into_iter();
    let rescued = tree.filter(|(path, _)| path.starts_with(".filepact/rescued/"));
    rescued.map(|(_, bytes)| String::from_utf8(bytes).expect("text")).collect()
}

#[test]
fn two_inodes_take_turns_at_being_the_document() {
    let (sim, store) = with_spare();
    let mut inodes = [inode(&sim, "a.json"), inode(&sim, &spares(&sim)[0])];
    for round in 0..6 {
        put(&store, "a.json", format!("round {round}").as_bytes());
        inodes.reverse();
        assert_eq!(inode(&sim, "a.json"), inodes[0]);
        assert_eq!(read(&sim, "a.json").as_deref(), Some(&*format!("round {round}")));
    }
    store.close().expect("nothing fails here");
    assert_eq!((spares(&sim), staged(&sim)), (vec![], vec![]), "a close leaves none");
}

#[test]
fn bodies_that_grow_and_shrink_are_whole_each_time() {
    let sim = prepared();
    let store = options().inline_max(20_000).open_with(sim.actor()).expect("it opens");
    let lengths = [10, 5_000, 20, 4_096, 4_097, 0, 1, 511, 512, 513, 0, 9_000, 8_192, 700];
    for (number, len) in lengths.into_iter().cycle().take(50).enumerate() {
        let body = body("a", number, len);
        put(&store, "a.json", &body);
        assert_eq!(sim.read("a.json"), Some(body), "round {number}");
    }
    store.close().expect("nothing fails here");
    assert_eq!(staged(&sim), Vec::<String>::new());
}

/// Attack 17: no lease is had while somebody has the file open, so that a reader keeps what it reads.
#[test]
fn a_reader_keeps_the_version_that_it_has_open() {
    let (sim, store) = with_spare();
    let reader = sim.actor();
    let second = reader.open("a.json", Access::Read).expect("it is there");
    for round in 0..4 {
        put(&store, "a.json", format!("round {round}").as_bytes());
        assert_eq!(content(&*second), "second");
    }
    drop(second);
    // Nobody has it open any more: it goes.
    put(&store, "a.json", b"last");
    put(&store, "b.json", b"last");
    assert!(spares(&sim).len() <= 2, "{:?}", spares(&sim));
    assert_eq!(rescued(&sim), Vec::<String>::new());
}

/// Attack 6: an editor that opened the old inode before the exchange saves into our spare.
#[test]
fn what_an_editor_saves_late_into_a_displaced_inode_is_rescued_by_the_next_put() {
    let (sim, store) = with_spare();
    let (_editor, file) = editor(&sim, "a.json");
    put(&store, "a.json", b"third");
    save(&*file, b"an hour's work");
    drop(file);
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("a.json", b"fourth").expect("a valid path");
    let committed = tx.commit().expect("nothing stands in the way");
    assert_eq!(committed.rescued.len(), 1, "{committed:?}");
    assert_eq!(committed.rescued[0].path, "a.json");
    assert_eq!(rescued(&sim), ["an hour's work"]);
    assert_eq!(read(&sim, "a.json").as_deref(), Some("fourth"));
}

/// The same where the editor still has it open when the spare is wanted, and saves after that.
#[test]
fn what_an_editor_saves_after_its_inode_was_passed_over_is_rescued() {
    let (sim, store) = with_spare();
    let (_editor, file) = editor(&sim, "a.json");
    put(&store, "a.json", b"third");
    put(&store, "a.json", b"fourth");
    save(&*file, b"an hour's work");
    put(&store, "a.json", b"fifth");
    assert_eq!(rescued(&sim), ["an hour's work"]);
    // It goes on in the same file.
    save(&*file, b"another hour's");
    put(&store, "a.json", b"sixth");
    assert_eq!(rescued(&sim), ["another hour's"]);
}

/// What was there before filepact published it first, and what is removed.
#[test]
fn what_is_saved_late_into_any_displaced_document_is_rescued() {
    for removes in [false, true] {
        let sim = prepared();
        let store = open(&sim);
        let (_editor, file) = editor(&sim, "a.json");
        match removes {
            true => store.remove("a.json").expect("it is there"),
            false => put(&store, "a.json", b"first"),
        }
        save(&*file, b"an hour's work");
        drop(file);
        put(&store, "b.json", b"other");
        assert_eq!(rescued(&sim), ["an hour's work"], "removed: {removes}");
    }
}

#[test]
fn what_is_saved_late_is_rescued_by_a_checkpoint_and_by_the_next_opening() {
    for dies in [false, true] {
        let (sim, store) = with_spare();
        let (_editor, file) = editor(&sim, "a.json");
        put(&store, "a.json", b"third");
        save(&*file, b"an hour's work");
        drop(file);
        if dies {
            let world = sim.world().process_death();
            drop(open(&world));
            assert_eq!(rescued(&world), ["an hour's work"]);
            // Its names as well, without which nothing leads to it.
            sim.write_back_all();
            after_power_cuts(&sim, 256, |world, _| {
                assert_eq!(rescued(world), ["an hour's work"]);
            });
        } else {
            store.checkpoint().expect("nothing fails here");
            assert_eq!(rescued(&sim), ["an hour's work"]);
        }
    }
}

/// Another process sweeps what a dead one has left, with its next checkpoint.
#[test]
fn the_spares_of_a_dead_process_go_with_the_next_checkpoint_of_another() {
    let sim = prepared();
    let (victim, other) = (sim.actor(), open(&sim));
    let store = options().open_with(victim.clone()).expect("it opens");
    for round in 0..3 {
        put(&store, "a.json", format!("round {round}").as_bytes());
    }
    sim.kill(&victim);
    assert_eq!(spares(&sim).len(), 1);
    put(&other, "b.json", b"other");
    assert_eq!(spares(&sim).len(), 1, "it may be somebody's who lives");
    other.checkpoint().expect("nothing fails here");
    assert_eq!((spares(&sim), rescued(&sim)), (vec![], vec![]));
}

/// And a live one goes on without those that another's checkpoint has swept.
#[test]
fn a_spare_that_another_process_has_swept_is_not_missed() {
    let (sim, store) = with_spare();
    let other = open(&sim);
    put(&other, "b.json", b"other");
    other.checkpoint().expect("nothing fails here");
    assert_eq!(spares(&sim), Vec::<String>::new());
    for round in 0..4 {
        put(&store, "a.json", format!("round {round}").as_bytes());
        assert_eq!(text(&other, "a.json"), Some(format!("round {round}")));
    }
    assert_eq!(spares(&sim).len(), 1);
}

/// Attack 6: another name of the document keeps the old body, as with any rename.
#[test]
fn an_inode_with_another_name_is_never_a_spare() {
    let (sim, store) = with_spare();
    let linked = sim.actor();
    linked.open("a.json", Access::Read).expect("it is there").link("mine.json").expect("free");
    for round in 0..4 {
        put(&store, "a.json", format!("round {round}").as_bytes());
        assert_eq!(read(&sim, "mine.json").as_deref(), Some("second"));
    }
    // Also one that a spare gets.
    let spare = spares(&sim).pop().expect("there is one");
    // In the tick of the swap, so that no time shows it.
    sim.set_step(Duration::ZERO);
    put(&store, "a.json", b"the same tick");
    linked.open(&spare, Access::Read).expect("it is there").link("too.json").expect("free");
    let held = read(&sim, "too.json");
    for round in 4..8 {
        put(&store, "a.json", format!("round {round}").as_bytes());
        assert_eq!(read(&sim, "too.json"), held);
    }
    assert_eq!(rescued(&sim), Vec::<String>::new());
}

/// Attack 19: an older, readable spare never becomes a document that was made secret since.
#[test]
fn a_spare_has_the_documents_mode_before_it_is_the_document() {
    let (sim, store) = with_spare();
    // Where attributes of a spare can be known.
    sim.set_exact_times(true);
    sim.set_mode("a.json", 0o600);
    let modes: Arc<Mutex<Vec<u32>>> = Arc::default();
    let (looks, world) = (Arc::clone(&modes), sim.clone());
    drop(store);
    let steps = Steps::new(sim.actor(), move |_, op, path| {
        if op == "rename" && path.ends_with("-> a.json") {
            let from = path.split(' ').next().expect("two paths");
            looks.lock().expect("no test has failed").push(world.stat(from).expect("there").mode);
        }
    });
    let store = options().open_with(steps).expect("it opens");
    for round in 0..4 {
        if round == 3 {
            sim.set_mode("a.json", 0o640);
        }
        put(&store, "a.json", format!("round {round}").as_bytes());
    }
    assert_eq!(*modes.lock().expect("no test has failed"), [0o600, 0o600, 0o600, 0o640]);
    assert_eq!(sim.stat("a.json").expect("it is there").mode, 0o640);
}

/// Attack 42: a publisher is stopped after the exchange, before it has let the lease go. Nobody who asks
/// filepact waits for it.
#[test]
fn a_reader_does_not_wait_for_a_publisher_that_is_stopped_with_a_lease() {
    struct Stopped(Mutex<Option<Box<dyn FnOnce() + Send>>>);
    impl Watch for Stopped {
        fn before(&self, _: &Call<'_>) {}
        fn after(&self, call: &Call<'_>, succeeded: bool) {
            if call.op == "rename"
                && call.to == "a.json"
                && call.path.contains("spare")
                && succeeded
            {
                let look = self.0.lock().expect("no test has failed").take();
                look.into_iter().for_each(|look| look());
            }
        }
    }
    let sim = prepared();
    let (reader, world) = (open(&sim), sim.clone());
    let seen: Arc<Mutex<Option<(String, String)>>> = Arc::default();
    let looked = Arc::clone(&seen);
    let look = Box::new(move || {
        let refused = world.actor().open("a.json", Access::Read).expect_err("it is leased");
        assert!(refused.is_leased(), "{refused:?}");
        let snapshot = reader.snapshot().expect("it can be taken");
        let then = snapshot.read_bytes("a.json").expect("it can be read").expect("it is there");
        let now = text(&reader, "a.json").expect("it is there");
        let then = String::from_utf8(then).expect("text");
        *looked.lock().expect("no test has failed") = Some((now, then));
    });
    let steps = Steps::watched(sim.actor(), Stopped(Mutex::new(Some(look))));
    let store = options().open_with(steps).expect("it opens");
    for round in 0..3 {
        put(&store, "a.json", format!("round {round}").as_bytes());
    }
    let seen = seen.lock().expect("no test has failed").take().expect("a spare was used");
    assert_eq!(seen, ("round 2".to_owned(), "round 2".to_owned()));
}

/// Attack 29: an inode that a group displaced is nobody's spare before the group is published.
#[test]
fn a_group_that_dies_half_way_has_overwritten_nothing_that_it_displaced() {
    let sim = prepared();
    let store = open(&sim);
    for round in 0..3 {
        let mut tx = store.begin().expect("the store is open");
        for name in ["a", "b", "c"] {
            tx.write_bytes(format!("{name}.json"), body(name, round, 700)).expect("a valid path");
        }
        tx.commit().expect("nothing stands in the way");
    }
    let before = documents(&sim);
    sim.record();
    let mut tx = store.begin().expect("the store is open");
    for name in ["a", "b", "c"] {
        tx.write_bytes(format!("{name}.json"), body(name, 9, 700)).expect("a valid path");
    }
    tx.commit().expect("nothing stands in the way");
    let after = documents(&sim);
    for moment in sim.recorded() {
        for world in moment.world.process_death_variants() {
            drop(open(&world));
            let found = documents(&world);
            assert!(found == before || found == after, "{}: {}", moment.call, world.dump());
            assert_eq!(rescued(&world), Vec::<String>::new(), "{}", moment.call);
        }
    }
}

/// What a write was cut short in holds two versions, also where they are not as long as each other.
#[test]
fn half_of_a_shorter_or_longer_body_is_nobodys_edit() {
    let lengths = [9_000, 700, 5_000, 300, 4_200, 4_096, 1, 0, 513];
    for (nth, len) in lengths.into_iter().enumerate() {
        let sim = prepared();
        let store = options().inline_max(20_000).open_with(sim.actor()).expect("it opens");
        let before = lengths.into_iter().cycle().skip(nth).take(4).enumerate();
        for (round, len) in before {
            put(&store, "a.json", &body("a", round, len));
        }
        let (before, after) = (sim.read("a.json"), body("b", 9, len));
        sim.record();
        put(&store, "a.json", &after);
        for moment in sim.recorded() {
            for world in moment.world.process_death_variants() {
                drop(open(&world));
                let found = world.read("a.json");
                assert!(found == before || found.as_ref() == Some(&after), "{}", moment.call);
                assert_eq!(rescued(&world), Vec::<String>::new(), "{len}: {}", moment.call);
            }
        }
    }
}

/// A store that has put four versions, and an edit that was saved late, where an older one lies by
/// now: the beginning of this version, and the rest of the second.
fn saved_late(begins: usize) -> (SimFs, Store, String) {
    let sim = prepared();
    let store = open(&sim);
    let version = |round| body("a", round, 700);
    (0..3).for_each(|round| put(&store, "a.json", &version(round)));
    let (_editor, file) = editor(&sim, "a.json");
    put(&store, "a.json", &version(3));
    let edit = [&version(begins)[..300], &version(1)[300..]].concat();
    save(&*file, &edit);
    drop(file);
    (sim, store, String::from_utf8(edit).expect("text"))
}

#[test]
fn what_is_saved_late_is_rescued_although_it_looks_like_half_of_ours() {
    let (sim, store, edit) = saved_late(3);
    let world = sim.world().process_death();
    drop(open(&world));
    assert_eq!(rescued(&world), [&*edit]);
    store.checkpoint().expect("nothing fails here");
    assert_eq!(rescued(&sim), [edit]);
}

/// The same where the one that might have been half written was about to be, and its writer died.
#[test]
fn what_was_saved_before_the_commit_is_not_half_of_its_body() {
    let (sim, store, edit) = saved_late(4);
    sim.advance(Duration::from_secs(1));
    sim.record();
    put(&store, "a.json", &body("a", 4, 700));
    assert_eq!(rescued(&sim), [&*edit]);
    for moment in sim.recorded() {
        let world = moment.world.process_death();
        drop(open(&world));
        assert_eq!(rescued(&world), [&*edit], "died before {}", moment.call);
    }
}

/// A program has saved the document anew, as it was, while it was committed: that file is not filepact's, and
/// has other attributes.
#[test]
fn another_inode_of_the_same_content_is_no_spare() {
    let sim = prepared();
    sim.set_exact_times(true);
    let (world, armed) = (sim.clone(), Arc::new(Mutex::new(false)));
    let now = Arc::clone(&armed);
    let steps = Steps::new(sim.actor(), move |_, op, path| {
        if op == "sync"
            && path.contains("/journal/")
            && std::mem::take(&mut *now.lock().expect("no test has failed"))
        {
            let same = world.read("a.json").expect("it is there");
            world.write("copy", &same);
            world.actor().rename("copy", "a.json", Rename::Replace).expect("nothing fails here");
        }
    });
    let store = options().open_with(steps).expect("it opens");
    (0..3).for_each(|round| put(&store, "a.json", format!("our {round}.").as_bytes()));
    let attrs = || sim.actor().open("a.json", Access::Read).expect("there").attrs().expect("read");
    let colour = vec![("user.colour".into(), b"red".to_vec())];
    let coloured = Attrs { xattrs: colour, ..attrs() };
    let document = sim.actor().open("a.json", Access::Read).expect("it is there");
    document.set_attrs(&coloured).expect("nothing fails here");
    drop(document);
    (3..6).for_each(|round| put(&store, "a.json", format!("our {round}.").as_bytes()));
    *armed.lock().expect("no test has failed") = true;
    for round in 6..10 {
        put(&store, "a.json", format!("our {round}.").as_bytes());
        assert_eq!(attrs(), coloured, "round {round}");
    }
}

#[test]
fn what_a_write_takes_of_a_documents_mode_is_given_back() {
    let (sim, store) = with_spare();
    // Where attributes of a spare can be known.
    sim.set_exact_times(true);
    sim.set_mode("a.json", 0o4755);
    for round in 0..6 {
        put(&store, "a.json", format!("round {round}").as_bytes());
        assert_eq!(sim.stat("a.json").expect("it is there").mode, 0o4755, "round {round}");
    }
}

/// And not that of the inode, which takes its turn again.
#[test]
fn a_mode_that_is_set_at_any_call_of_a_commit_is_the_documents_in_the_end() {
    for nth in 1.. {
        let sim = prepared();
        sim.set_exact_times(true);
        let (world, left) = (sim.clone(), Arc::new(Mutex::new(0_usize)));
        let calls = Arc::clone(&left);
        let steps = Steps::new(sim.actor(), move |_, _, _| {
            let mut left = calls.lock().expect("no test has failed");
            *left = left.saturating_sub(1);
            if *left == 1 {
                world.set_mode("a.json", 0o600);
            }
        });
        let store = options().open_with(steps).expect("it opens");
        (0..3).for_each(|round| put(&store, "a.json", format!("our {round}.").as_bytes()));
        *left.lock().expect("no test has failed") = nth + 1;
        put(&store, "a.json", b"the fourth");
        if *left.lock().expect("no test has failed") > 1 {
            assert!(nth > 20, "there are more calls than {nth}");
            break;
        }
        let mode = || sim.stat("a.json").expect("it is there").mode;
        assert_eq!(mode(), 0o600, "call {nth}");
        sim.set_mode("a.json", 0o644);
        for round in 5..7 {
            put(&store, "a.json", format!("our {round}.").as_bytes());
            assert_eq!(mode(), 0o644, "call {nth}, round {round}");
        }
    }
}

/// A reader knows by one hash what a document holds that was added to. Its inode may be from before the last
/// checkpoint all the same, or anybody's.
#[test]
fn the_inode_of_a_document_that_was_added_to_is_no_spare() {
    let sim = prepared();
    let (a, b) = (open(&sim), open(&sim));
    put(&a, "a.json", b"first");
    a.checkpoint().expect("nothing fails here");
    a.append("a.json", ", and more").expect("it is there");
    let mut tx = b.begin().expect("the store is open");
    tx.read_bytes("a.json").expect("it is there");
    tx.write_bytes("a.json", "second").expect("a valid path");
    tx.commit().expect("nothing stands in the way");
    assert_eq!(spares(&sim), Vec::<String>::new());
    put(&b, "a.json", b"third");
    assert_eq!(spares(&sim).len(), 1);
}

#[test]
fn without_leases_there_are_no_spares() {
    let sim = prepared();
    sim.set_leases(false);
    let store = open(&sim);
    for round in 0..4 {
        put(&store, "a.json", format!("round {round}").as_bytes());
        assert_eq!(sim.names_in(".filepact/stage"), Vec::<String>::new());
    }
}

#[test]
fn a_handle_has_a_bounded_number_of_spares() {
    let sim = prepared();
    let store = open(&sim);
    for round in 0..3 {
        let mut tx = store.begin().expect("the store is open");
        for nth in 0..1_100 {
            tx.write_bytes(format!("{nth}.json"), format!("{nth} {round}")).expect("a valid path");
        }
        tx.commit().expect("nothing stands in the way");
    }
    assert_eq!(spares(&sim).len(), 1024);
    store.close().expect("nothing fails here");
    assert_eq!(staged(&sim), Vec::<String>::new());
}

#[test]
fn the_spares_of_a_handle_have_a_bounded_number_of_bytes() {
    const BODY: usize = 60 * 1024;
    let sim = prepared();
    // No checkpoint may come, which sweeps them.
    let options = options().inline_max(BODY).journal_max(u64::MAX);
    let store = options.open_with(sim.actor()).expect("it opens");
    for round in 0..3 {
        let mut tx = store.begin().expect("the store is open");
        for nth in 0..600 {
            tx.write_bytes(format!("{nth}.bin"), vec![b'a' + round; BODY]).expect("a valid path");
        }
        tx.commit().expect("nothing stands in the way");
    }
    assert_eq!(spares(&sim).len(), 32 * 1024 * 1024 / BODY);
}

/// It is found out before the commit point, as without spares.
#[test]
fn a_directory_that_may_not_be_written_to_refuses_a_put_into_a_spare_before_anything_is_changed() {
    let (sim, store) = with_spare();
    fail(&sim, "check_dir", "", errno::ACCES, false);
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes("a.json", b"third").expect("a valid path");
    let refused = tx.commit().expect_err("no name can be made there");
    assert!(matches!(refused, Error::Io { .. }), "{refused:?}");
    assert_eq!(text(&store, "a.json").as_deref(), Some("second"));
    put(&store, "a.json", b"third");
    assert_eq!(read(&sim, "a.json").as_deref(), Some("third"));
}

/// The journal may not know after a power cut what was in one.
#[test]
fn buffered_commits_have_no_spares() {
    let sim = prepared();
    let buffered = options().durability(filepact::Durability::Buffered);
    let store = buffered.open_with(sim.actor()).expect("it opens");
    for round in 0..4 {
        put(&store, "a.json", format!("round {round}").as_bytes());
    }
    assert_eq!(spares(&sim), Vec::<String>::new());
}

/// What a power cut makes of a document that was written into a spare is nobody's edit.
#[test]
fn a_document_that_a_power_cut_made_of_two_versions_is_nobodys_edit() {
    let sim = prepared();
    let store = options().inline_max(20_000).open_with(sim.actor()).expect("it opens");
    for round in 0..5 {
        put(&store, "a.json", &body("a", round, 9_000 - 1_000 * round));
    }
    let whole = sim.read("a.json");
    let mixed = std::cell::Cell::new(0);
    for world in sim.world().power_cut(&STRICT, 512, 3).worlds {
        let found = sim_versions(&world);
        mixed.set(mixed.get() + usize::from(found));
        let store = open(&world);
        assert_eq!(rescued(&world), Vec::<String>::new(), "{}", world.dump());
        assert_eq!(world.read("a.json"), whole);
        drop(store);
    }
    assert!(mixed.get() > 20, "no outcome is of two versions: the test proves nothing");
}

/// Whether the document holds pages of two versions.
fn sim_versions(world: &SimFs) -> bool {
    let Some(found) = world.read("a.json") else { return false };
    let holds = |round: usize| {
        let whole = body("a", round, 9_000 - 1_000 * round);
        found.chunks(4096).zip(whole.chunks(4096)).any(|(one, other)| one == other)
    };
    (0..5).filter(|round| holds(*round)).count() > 1
}

/// What that covers, and nobody here knows how much it is, may be all that tells what is in a spare.
#[test]
fn while_another_process_makes_a_checkpoint_there_are_no_new_spares() {
    let sim = prepared();
    let store = open(&sim);
    let (world, during) = (sim.clone(), Arc::new(Mutex::new(Some(store))));
    let (kept, seen) = (Arc::clone(&during), Arc::new(Mutex::new(Vec::new())));
    let found = Arc::clone(&seen);
    let steps = Steps::new(sim.actor(), move |_, op, path| {
        if op == "sync" && path == "b.json" {
            let store = kept.lock().expect("no test has failed").take().expect("once");
            for round in 0..3 {
                put(&store, "a.json", format!("round {round}").as_bytes());
            }
            found.lock().expect("no test has failed").extend(spares(&world));
            *kept.lock().expect("no test has failed") = Some(store);
        }
    });
    let other = options().open_with(steps).expect("it opens");
    put(&other, "b.json", b"other");
    other.checkpoint().expect("nothing fails here");
    assert_eq!(*seen.lock().expect("no test has failed"), Vec::<String>::new());
    let store = during.lock().expect("no test has failed").take().expect("it was put back");
    for round in 3..5 {
        put(&store, "a.json", format!("round {round}").as_bytes());
    }
    assert_eq!(spares(&sim).len(), 1, "and afterwards there are");
}

/// At every call of a commit that has read the document, on a newer kernel: between the look that proves the
/// read and the look at what is replaced as well.
#[test]
fn an_edit_at_any_call_of_a_commit_is_a_conflict_or_kept() {
    for rounds in [0, 3] {
        for nth in 1.. {
            let sim = prepared();
            sim.set_exact_times(true);
            let (world, left) = (sim.clone(), Arc::new(Mutex::new(0_usize)));
            let calls = Arc::clone(&left);
            let steps = Steps::new(sim.actor(), move |_, _, _| {
                let mut left = calls.lock().expect("no test has failed");
                *left = left.saturating_sub(1);
                if *left == 1 {
                    world.write("a.json", b"an edit");
                }
            });
            let store = options().open_with(steps).expect("it opens");
            for round in 0..rounds {
                put(&store, "a.json", format!("our {round}.").as_bytes());
            }
            let mut tx = store.begin().expect("the store is open");
            let before = tx.read_bytes("a.json").expect("it can be read").expect("it is there");
            tx.write_bytes("a.json", [&before[..], b"!"].concat()).expect("a valid path");
            *left.lock().expect("no test has failed") = nth + 1;
            let outcome = tx.commit();
            if *left.lock().expect("no test has failed") > 1 {
                assert!(nth > 20, "there are more calls than {nth}");
                break;
            }
            let stands = read(&sim, "a.json").is_some_and(|text| text.starts_with("an edit"));
            assert!(stands || rescued(&sim) == ["an edit"], "call {nth}: {outcome:?}");
        }
    }
}

/// Nobody could open it for writing.
#[test]
fn a_read_only_document_has_no_spare() {
    let (sim, store) = with_spare();
    sim.set_mode("a.json", 0o444);
    for round in 0..4 {
        put(&store, "a.json", format!("round {round}").as_bytes());
        assert!(round == 0 || spares(&sim).is_empty(), "round {round}");
    }
    store.checkpoint().expect("nothing fails here");
}
