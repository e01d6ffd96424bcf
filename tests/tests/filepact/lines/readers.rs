//! One moment, without waiting.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use filepact::{Error, Store, Transaction};
use filepact_simfs::{SimFs, errno};
use filepact_tests::crash::{open, options, prepared};
use filepact_tests::history::body;
use filepact_tests::steps::Steps;

use crate::lines::just_before;
use crate::support::{commit, dies, dies_before_swap, fail, put, read};

#[test]
fn what_a_transaction_looks_at_twice_is_the_same() {
    let sim = prepared();
    let store = open(&sim);
    let mut tx = store.begin().expect("the store is open");
    tx.list("").expect("it can be listed");
    sim.write("by-hand", b"1");
    let said = tx.list("");
    assert!(matches!(said, Err(Error::Conflict { .. })), "{said:?}");

    let mut tx = store.begin().expect("the store is open");
    tx.read_bytes("by-hand").expect("it can be read").expect("it is there");
    sim.write("by-hand", b"22");
    let said = tx.read_bytes("by-hand");
    assert!(matches!(said, Err(Error::Conflict { .. })), "{said:?}");
    // It has seen both, and what it makes of them is committed by nobody.
    sim.write("by-hand", b"1");
    tx.write_bytes("derived", "1").expect("a valid path");
    let said = tx.commit();
    assert!(matches!(said, Err(Error::Conflict { .. })), "{said:?}");
}

#[test]
fn a_save_in_place_in_the_middle_of_a_reading_is_read_whole() {
    let bytes = |byte: u8| vec![byte; 700_000];
    let sim = prepared();
    let reads = Arc::new(AtomicUsize::new(usize::MAX));
    let (world, count) = (sim.clone(), Arc::clone(&reads));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        let is = op == "read" && on == "a.json" && count.load(Ordering::SeqCst) < 9;
        if is && count.fetch_add(1, Ordering::SeqCst) == 1 {
            world.write("a.json", &bytes(b'y'));
        }
    });
    let store = options().open_with(steps).expect("it opens");
    let whole = |content: Option<Vec<u8>>| content == Some(bytes(b'y'));
    sim.write("a.json", &bytes(b'x'));
    reads.store(0, Ordering::SeqCst);
    assert!(whole(store.read_bytes("a.json").expect("it can be read")), "by a reader");

    reads.store(usize::MAX, Ordering::SeqCst);
    let version = store.version("a.json").expect("it can be read");
    sim.write("a.json", &bytes(b'x'));
    let mut tx = store.begin().expect("the store is open");
    tx.expect("a.json", version).expect("a valid path");
    tx.write_bytes("b.json", "1").expect("a valid path");
    reads.store(0, Ordering::SeqCst);
    tx.commit().expect("what was expected is there");
    assert!(reads.load(Ordering::SeqCst) > 2, "the moment has come");
}

#[test]
fn a_large_edit_of_an_adopted_edit_is_read_whole_beside_a_dead_publisher() {
    let sim = prepared();
    let alive = open(&sim);
    let dead = dies_before_swap(&sim, "b.json");
    put(&alive, "a.json", b"v1");
    sim.write("a.json", &body("theirs", 1, 9_000));
    let mut tx = dead.begin().expect("the store is open");
    tx.read_bytes("a.json").expect("it can be read").expect("it is there");
    tx.write_bytes("b.json", "derived").expect("a valid path");
    tx.commit().expect_err("it dies");
    let longer = body("theirs", 2, 12_000);
    sim.replace("a.json", &longer);
    assert_eq!(alive.read_bytes("a.json").expect("it can be read"), Some(longer));
}

#[test]
fn a_list_beside_a_publisher_that_dies_is_of_one_moment() {
    let sim = prepared();
    let (store, armed) = just_before(&sim, "list", "", |sim| {
        let dead = dies_before_swap(sim, "y.json");
        let mut tx = dead.begin().expect("the store is open");
        tx.write_bytes("x.json", "1").expect("a valid path");
        tx.write_bytes("y.json", "1").expect("a valid path");
        tx.commit().expect_err("it dies");
    });
    armed.store(true, Ordering::SeqCst);
    let names = store.list("").expect("it can be listed");
    assert!(!armed.load(Ordering::SeqCst), "the moment has come");
    let has = |name: &str| names.iter().any(|path| path.as_str() == name);
    assert_eq!(has("x.json"), has("y.json"), "{names:?}");
}

#[test]
fn two_documents_of_one_commit_are_read_of_one_moment_while_it_is_published() {
    let sim = prepared();
    put(&open(&sim), "a.json", b"v1");
    put(&open(&sim), "b.json", b"v1");
    let (armed, opened) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let (world, flag) = (sim.clone(), Arc::clone(&armed));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        opened.fetch_or(op == "open" && on == "a.json", Ordering::SeqCst);
        let looks_again = op == "read" && on == ".filepact/state";
        if looks_again && opened.load(Ordering::SeqCst) && flag.swap(false, Ordering::SeqCst) {
            commit(&open(&world), &[("a.json", "v2"), ("b.json", "v2")]).expect("it commits");
        }
    });
    let store = options().open_with(steps).expect("it opens");
    armed.store(true, Ordering::SeqCst);
    let mut tx = store.begin().expect("the store is open");
    let a = streamed(&mut tx, "a.json");
    assert!(!armed.load(Ordering::SeqCst), "the moment has come");
    match tx.read_bytes("b.json") {
        Ok(b) => assert_eq!(Some(a.into_bytes()), b),
        Err(error) => assert!(matches!(error, Error::Conflict { .. }), "{error:?}"),
    }
}

/// Elder segments went between the list of the journal and their opening, and that was taken for damage: who needs
/// none of them opens none.
#[test]
fn segments_that_go_while_the_journal_is_read_are_not_missed() {
    let sim = prepared();
    let writer = options().inline_max(1 << 20).open_with(sim.actor()).expect("it opens");
    fail(&sim, "unlink", ".filepact/journal/", errno::IO, true);
    // Each is more than its segment has room for, and all of it too little to be left.
    for len in [70_000, 140_000, 300_000] {
        put(&writer, "a.json", &vec![b'x'; len]);
        writer.checkpoint().expect("nothing fails that it needs");
    }
    sim.clear_faults();
    let segments = segments(&sim);
    assert_eq!(segments.len(), 4, "two that are needed, and two that are to go: {segments:?}");
    let opened = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&opened);
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if op == "open" && on.ends_with(".jsonl") {
            list.lock().expect("nobody panics").push(on.to_owned());
        }
    });
    let reader = options().open_with(steps).expect("it joins");
    assert!(!reader.log().expect("all that counts is there").is_empty());
    let opened = opened.lock().expect("nobody panics");
    assert!(!opened.is_empty() && segments[..2].iter().all(|elder| !opened.contains(elder)));
}

/// Others have left every segment that was there when the journal was listed.
#[test]
fn a_journal_that_others_leave_while_it_is_read_is_read_anew() {
    let sim = prepared();
    let writer = options().inline_max(1 << 20).open_with(sim.actor()).expect("it opens");
    put(&writer, "a.json", b"{}");
    let (listed, world) = (segments(&sim), sim.clone());
    let reader = at_first_segment(&sim, move || {
        for len in [70_000, 140_000, 300_000] {
            put(&writer, "a.json", &vec![b'x'; len]);
            writer.checkpoint().expect("the journal begins anew");
        }
    });
    assert!(!reader.log().expect("it is there, elsewhere").is_empty());
    assert!(listed.iter().all(|segment| world.read(segment).is_none()), "{listed:?}");
}

fn segments(sim: &SimFs) -> Vec<String> {
    let mut segments = sim.names_in(".filepact/journal");
    segments.sort();
    segments.into_iter().map(|name| format!(".filepact/journal/{name}")).collect()
}

/// A store that is open, and what happens just before it opens a segment of the journal the next time.
fn at_first_segment(sim: &SimFs, happens: impl FnOnce() + Send + 'static) -> Store {
    let armed = Arc::new(AtomicBool::new(false));
    let (is_on, happens) = (Arc::clone(&armed), Mutex::new(Some(happens)));
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if op == "open" && on.ends_with(".jsonl") && is_on.swap(false, Ordering::SeqCst) {
            let happens = happens.lock().expect("nobody panics").take();
            happens.into_iter().for_each(|happens| happens());
        }
    });
    let reader = options().open_with(steps).expect("it joins");
    armed.store(true, Ordering::SeqCst);
    reader
}

/// What is not read as a whole is not read by what the handle knows of it.
fn streamed(tx: &mut Transaction, path: &str) -> String {
    let reader = tx.reader(path).expect("it can be read").expect("it is there");
    std::io::read_to_string(reader).expect("it is text")
}

/// A reader had opened the old version; then another was put and published, and something was added to that by
/// a process that died: what was added belongs to the new version.
#[test]
fn what_is_added_is_not_read_behind_the_version_before() {
    let sim = prepared();
    put(&open(&sim), "log", b"a long version");
    let (world, opened) = (sim.clone(), AtomicBool::new(false));
    let now = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&now);
    let steps = Steps::new(sim.actor(), move |_, op, on| {
        if opened.swap(op == "open" && on == "log", Ordering::SeqCst)
            && armed.swap(false, Ordering::SeqCst)
        {
            put(&open(&world), "log", b"short");
            let dead = dies(&world, options(), |op, on| op == "write" && on == "log");
            dead.append("log", ", and more").expect_err("it dies before it adds");
        }
    });
    let store = options().open_with(steps).expect("it opens");
    now.store(true, Ordering::SeqCst);
    assert_eq!(streamed(&mut store.begin().expect("it is open"), "log"), "short, and more");
    assert_eq!(read(&sim, "log").as_deref(), Some("short"), "nobody has healed it");
}
