//! What is done while a call fails.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filepact::{Durability, Error, Kind, Options, Rescued, Store};
use filepact_simfs::{Fault, FaultKind, SimFs, When, errno};
use filepact_tests::crash::story::{Edit, Promise};
use filepact_tests::crash::{documents, open, options, prepared, prepared_with};
use filepact_tests::history::{self, Change, INLINE_MAX, Op, Tree, body};
use filepact_tests::steps::Steps;

use crate::faults::play::{Play, Said};
use crate::support::{STRICT, dies, dies_before_swap};

/// A few calls, each of which is struck by each fault that it can have.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// The file system, and the documents that a recovery finds in it.
    pub(crate) before: fn() -> (SimFs, Tree),
    /// What happens before anything fails.
    pub(crate) begin: fn(&mut Play),
    /// The calls.
    pub(crate) run: fn(&mut Play),
}

/// All of them.
pub(crate) const ALL: &[Workload] = &[
    // Openings.
    Workload { name: "the making of a store", before: nothing, begin: idle, run: make },
    Workload { name: "an opening after a close", before: closed, begin: idle, run: open_and_look },
    Workload {
        name: "an opening after a death in C8",
        before: dead_in_publication,
        begin: idle,
        run: open_and_look,
    },
    Workload {
        name: "an opening after a power cut",
        before: power_cut,
        begin: idle,
        run: open_and_look,
    },
    Workload {
        name: "an opening after a failed sync",
        before: failed,
        begin: idle,
        run: open_and_look,
    },
    Workload { name: "an opening with a torn tail", before: torn, begin: idle, run: open_and_look },
    Workload { name: "an opening of a copy", before: copied, begin: idle, run: open_and_look },
    Workload {
        name: "an opening beside another",
        before: closed,
        begin: one,
        run: open_and_commit,
    },
    // Commits of the whole vocabulary.
    Workload { name: "replace, new", before: closed, begin: two, run: replace_new },
    Workload { name: "large, shrink", before: closed, begin: two, run: large_shrink },
    Workload { name: "remove, new directory", before: closed, begin: two, run: remove_new_dir },
    Workload { name: "grow, large", before: closed, begin: two, run: grow_large },
    Workload { name: "append, large append", before: pages, begin: two, run: appends },
    Workload { name: "rename, large rename", before: large, begin: two, run: renames },
    Workload { name: "files: replace, new", before: closed, begin: files, run: replace_new },
    Workload {
        name: "files: remove, new directory",
        before: closed,
        begin: files,
        run: remove_new_dir,
    },
    Workload { name: "files: grow, large", before: closed, begin: files, run: grow_large },
    Workload { name: "files: append, large append", before: pages, begin: files, run: appends },
    Workload { name: "files: rename, large rename", before: large, begin: files, run: renames },
    Workload { name: "buffered: small", before: closed, begin: buffered, run: buffer },
    Workload { name: "buffered: large", before: pages, begin: buffered, run: buffer_large },
    Workload {
        name: "buffered, then a segment",
        before: closed,
        begin: buffered_torn,
        run: buffer,
    },
    Workload {
        name: "buffered, then durable",
        before: closed,
        begin: buffered,
        run: buffer_and_sync,
    },
    // What else a handle does.
    Workload { name: "looks, expectations, a rollback", before: closed, begin: two, run: look },
    Workload { name: "a checkpoint and a close", before: closed, begin: committed, run: close },
    Workload {
        name: "a checkpoint that a commit makes",
        before: closed,
        begin: greedy,
        run: replace_new,
    },
    Workload { name: "a checkpoint beside a commit", before: closed, begin: beside, run: close },
    Workload { name: "a segment is born", before: closed, begin: full, run: replace_new },
    Workload { name: "a segment is made ready", before: closed, begin: wide, run: fills },
    Workload { name: "two processes in turns", before: closed, begin: two, run: in_turns },
    // What a dead process has left.
    Workload { name: "healing of a swap", before: closed, begin: dead_before_swap, run: go_on },
    Workload { name: "healing of appends", before: pages, begin: dead_before_append, run: go_on },
    Workload {
        name: "healing of a void group",
        before: closed,
        begin: dead_before_state,
        run: go_on,
    },
    Workload {
        name: "files: healing of a swap",
        before: closed,
        begin: dead_and_files,
        run: go_on,
    },
    Workload {
        name: "a checkpoint after a dead one",
        before: closed,
        begin: dead_in_checkpoint,
        run: close,
    },
    // Edits by others.
    Workload {
        name: "an edit that is rescued",
        before: edited,
        begin: edit_met,
        run: replace_edit,
    },
    Workload { name: "an edit that is adopted", before: edited, begin: edit_met, run: adopt_edit },
    Workload {
        name: "an edit that is added to",
        before: edited,
        begin: edit_met,
        run: add_to_edit,
    },
    Workload {
        name: "a rescued edit is restored",
        before: displaced,
        begin: rescued,
        run: restore,
    },
    Workload {
        name: "a large rescued edit is restored",
        before: displaced_large,
        begin: rescued,
        run: restore,
    },
    Workload {
        name: "a rescued edit is dropped",
        before: displaced,
        begin: dropping,
        run: drop_edit,
    },
];

/// Those that take a while, since threads have to wait.
pub(crate) const SLOW: &[Workload] =
    &[Workload { name: "a group of threads", before: closed, begin: turn_taken, run: group }];

// Before

fn nothing() -> (SimFs, Tree) {
    (SimFs::new(), Tree::new())
}

/// More than half of the smallest segment, and not all of it.
const HALF: usize = 36_000;

fn closed() -> (SimFs, Tree) {
    (prepared(), history::before())
}

/// With a document that nearly fills a page, so that what is added goes over its end.
fn pages() -> (SimFs, Tree) {
    let tree = Tree::from([
        ("a.json".to_owned(), body("a", 0, 4_050)),
        ("b.json".to_owned(), body("b", 0, 300)),
    ]);
    (prepared_with(&tree), tree)
}

fn large() -> (SimFs, Tree) {
    let mut tree = history::before();
    tree.insert("b.json".to_owned(), body("b", 0, 3 * INLINE_MAX));
    (prepared_with(&tree), tree)
}

const SOME: &[(&str, Op)] = &[("a", Op::Grow), ("b", Op::Large), ("c", Op::NewDir)];

/// A process has died in the middle of a publication.
fn dead_in_publication() -> (SimFs, Tree) {
    let sim = prepared();
    let mut tree = history::before();
    let store = dies_before_swap(&sim, "b.json");
    history::run_ops(&store, SOME, 1, &mut tree).expect_err("it dies");
    drop(store);
    (sim, tree)
}

/// Everything was acknowledged, and no document has reached the disk.
fn power_cut() -> (SimFs, Tree) {
    let sim = prepared();
    let (before, mut tree) = (history::before(), history::before());
    let store = open(&sim);
    history::run_ops(&store, SOME, 1, &mut tree).expect("nothing fails here");
    drop(store);
    let worlds = sim.world().power_cut(&STRICT, 500, 1).worlds;
    let old = worlds.into_iter().find(|world| documents(world) == before);
    (old.expect("nothing makes them durable"), tree)
}

/// A sync of a document has failed, in a checkpoint.
fn failed() -> (SimFs, Tree) {
    let sim = prepared();
    let mut tree = history::before();
    let store = open(&sim);
    history::run_ops(&store, SOME, 1, &mut tree).expect("nothing fails here");
    crate::support::fail(&sim, "sync", "a.json", errno::IO, false);
    store.checkpoint().expect_err("a sync fails");
    drop(store);
    (sim, tree)
}

/// A write has fallen short.
fn torn() -> (SimFs, Tree) {
    let sim = prepared();
    let mut tree = history::before();
    let store = open(&sim);
    history::run_ops(&store, SOME, 1, &mut tree).expect("nothing fails here");
    falls_short(&sim, &store);
    drop(store);
    (sim, tree)
}

/// Nothing that `state` says of the page cache holds.
fn copied() -> (SimFs, Tree) {
    let (sim, tree) = dead_in_publication();
    crate::support::distrust(&sim);
    (sim, tree)
}

const EDITED: &str = "a.json";

fn edited() -> (SimFs, Tree) {
    let (sim, mut tree) = closed();
    let minute = Duration::from_secs(61);
    sim.advance(minute);
    let edit = body("edit", 0, 333);
    sim.replace(EDITED, &edit);
    sim.write_back_all();
    sim.advance(minute);
    tree.insert(EDITED.to_owned(), edit);
    (sim, tree)
}

fn displaced() -> (SimFs, Tree) {
    displaced_by(333)
}

fn displaced_large() -> (SimFs, Tree) {
    displaced_by(3 * INLINE_MAX)
}

/// An edit lies in `rescued/`.
fn displaced_by(len: usize) -> (SimFs, Tree) {
    let (sim, mut tree) = closed();
    let store = open(&sim);
    history::run_ops(&store, &[("a", Op::Grow)], 1, &mut tree).expect("nothing fails here");
    sim.replace(EDITED, &body("edit", 0, len));
    history::run_ops(&store, &[("a", Op::Grow)], 2, &mut tree).expect("nothing fails here");
    store.close().expect("nothing fails here");
    sim.write_back_all();
    (sim, tree)
}

// Begins

fn idle(_: &mut Play) {}

fn one(play: &mut Play) {
    play.open();
}

/// The first one acts; the other one shows what a failure means for those beside it.
fn two(play: &mut Play) {
    play.open();
    play.open();
}

fn files(play: &mut Play) {
    play.promise = Promise::Files;
    play.open_with(options().durability(Durability::Files));
    play.open_with(options().durability(Durability::Files));
}

fn buffered(play: &mut Play) {
    play.promise = Promise::Buffered;
    play.open_with(options().durability(Durability::Buffered));
    play.open_durable();
}

/// As [`buffered`]; the next commit bears a segment.
fn buffered_torn(play: &mut Play) {
    buffered(play);
    play.commit(0, &[("a", Op::Grow)], 1);
    falls_short(&play.sim.clone(), &play.store(0));
}

fn committed(play: &mut Play) {
    two(play);
    play.commit(0, SOME, 1);
    play.commit(1, &[("d", Op::New)], 2);
}

/// Every commit makes a checkpoint.
fn greedy(play: &mut Play) {
    play.open_with(options().journal_max(1));
    play.open();
}

/// While the first one syncs for its checkpoint the other one commits.
fn beside(play: &mut Play) {
    let sim = play.sim.clone();
    let other = play.open().expect("nothing fails yet");
    let store = play.store(other);
    let done = Arc::new(AtomicBool::new(false));
    let changes = beside_changes();
    let steps = Steps::new(sim.actor(), move |_, op, path| {
        if op == "sync" && path == "a.json" && !done.swap(true, Ordering::SeqCst) {
            let said = store.transact(|tx| history::stage(tx, &changes));
            BESIDE.with_borrow_mut(|beside| *beside = Some(said));
        }
    });
    play.open_on(steps, options());
    play.commit(1, SOME, 1);
}

thread_local! {
    /// What was said to the one beside a checkpoint.
    static BESIDE: std::cell::RefCell<Option<Result<(), Error>>> = const { std::cell::RefCell::new(None) };
}

fn beside_changes() -> Vec<(String, Change)> {
    vec![("a.json".to_owned(), Change::Put(body("a", 7, 500)))]
}

fn full(play: &mut Play) {
    two(play);
    falls_short(&play.sim.clone(), &play.store(0));
}

/// What fills half of a segment travels in the journal.
fn wide(play: &mut Play) {
    play.open_with(options().inline_max(HALF));
    play.open_with(options().inline_max(HALF));
}

fn dead_before_swap(play: &mut Play) {
    die(play, SOME, |sim| dies_before_swap(sim, "b.json"), Said::Unpublished);
}

fn dead_and_files(play: &mut Play) {
    play.promise = Promise::Files;
    play.open_with(options().durability(Durability::Files));
    play.open_with(options().durability(Durability::Files));
    let changes = history::changes(SOME, 1, &play.tree());
    let dead = dies_before_swap(&play.sim, "b.json");
    dead.transact(|tx| history::stage(tx, &changes)).expect_err("it dies");
    // The dead one has promised less than files.
    play.promise = Promise::Journal;
    play.apply(Said::Unpublished, &changes);
}

fn dead_before_append(play: &mut Play) {
    let ops = &[("a", Op::Append), ("b", Op::AppendLarge)];
    let before = |op: &'static str, path: &str| op == "write" && path == "b.json";
    die(play, ops, move |sim| dies(sim, options(), before), Said::Unpublished);
}

/// It had synced its group, and nobody was told.
fn dead_before_state(play: &mut Play) {
    let synced = AtomicBool::new(false);
    let before = move |op: &'static str, path: &str| {
        let is_synced = synced.load(Ordering::SeqCst);
        if op == "sync" && path.starts_with(".filepact/journal") {
            synced.store(true, Ordering::SeqCst);
        }
        is_synced && op == "write" && path == ".filepact/state"
    };
    die(play, SOME, move |sim| dies(sim, options(), before), Said::Unknown);
    // To those who live it is void. A power cut may bring it back, until its voiding is durable.
    play.trees.reverse();
}

/// Two processes have the store open; a third one dies in its commit.
fn die(play: &mut Play, ops: &[(&str, Op)], victim: impl FnOnce(&SimFs) -> Store, said: Said) {
    two(play);
    let changes = history::changes(ops, 1, &play.tree());
    let dead = victim(&play.sim);
    dead.transact(|tx| history::stage(tx, &changes)).expect_err("it dies");
    play.apply(said, &changes);
}

fn dead_in_checkpoint(play: &mut Play) {
    committed(play);
    let dead = crate::support::dies_before(&play.sim, options(), "sync", "b.json", 1);
    dead.checkpoint().expect_err("it dies");
}

fn edit_met(play: &mut Play) {
    two(play);
    let edit = play.tree()[EDITED].clone();
    play.edit = Some(Edit { path: EDITED.to_owned(), body: edit, removed: false });
}

fn rescued(play: &mut Play) {
    two(play);
    let store = play.store(0);
    let edit = store.rescued().expect("nothing fails yet").remove(0);
    let edit = store.read_rescued(&edit).expect("nothing fails yet");
    play.edit = Some(Edit { path: EDITED.to_owned(), body: edit, removed: false });
}

/// Where the edit is dropped it may be gone, and no document tells of it.
fn dropping(play: &mut Play) {
    rescued(play);
    let edit = play.edit.as_mut().expect("set above");
    (edit.path, edit.removed) = ("nowhere".to_owned(), true);
}

/// The writer's turn is taken, so that others wait in line.
fn turn_taken(play: &mut Play) {
    play.open_with(patient());
    play.open();
    let turn = play.store(0).begin_exclusive(Duration::ZERO).expect("nobody else has it");
    play.turn = Some(turn);
}

fn patient() -> Options {
    options().lock_timeout(Duration::from_secs(60))
}

/// A write to the journal that falls short: the next group goes to a segment of its own.
fn falls_short(sim: &SimFs, store: &Store) {
    for (kind, nth) in [(FaultKind::ShortWrite, 1), (FaultKind::Error(errno::NOSPC), 2)] {
        let at = When::Matching { op: "write", path_contains: "journal".into(), nth };
        sim.fault(Fault { at, kind, sticky: false });
    }
    store.write("a.json", &1).expect_err("the disk is full");
    sim.clear_faults();
}

// Runs

fn make(play: &mut Play) {
    let Some(first) = play.open() else { return };
    play.commit(first, &[("a", Op::Grow), ("b", Op::NewDir)], 1);
    play.close(first);
}

fn open_and_look(play: &mut Play) {
    let Some(first) = play.open() else { return };
    let tree = play.tree();
    for (path, body) in &tree {
        let read = play.call(first, "a read", |store| store.read_bytes(path));
        assert!(read.is_none_or(|read| read.as_ref() == Some(body)), "`{path}`");
    }
    play.commit(first, &[("a", Op::Replace)], 2);
}

fn open_and_commit(play: &mut Play) {
    let Some(second) = play.open() else { return };
    play.commit(second, &[("a", Op::Grow), ("b", Op::Remove)], 1);
    play.commit(0, &[("a", Op::Append)], 2);
}

fn commits(play: &mut Play, first: &[(&str, Op)]) {
    play.commit(0, first, 1);
    play.commit(0, &[("a", Op::Replace), ("c", Op::New)], 2);
    play.checkpoint(0);
}

fn replace_new(play: &mut Play) {
    commits(play, &[("a", Op::Replace), ("b", Op::New)]);
}

fn large_shrink(play: &mut Play) {
    commits(play, &[("a", Op::Large), ("b", Op::Shrink)]);
}

fn remove_new_dir(play: &mut Play) {
    commits(play, &[("b", Op::Remove), ("a", Op::NewDir)]);
}

fn grow_large(play: &mut Play) {
    commits(play, &[("a", Op::Grow), ("b", Op::Large)]);
}

fn appends(play: &mut Play) {
    play.commit(0, &[("a", Op::Append), ("b", Op::AppendLarge)], 1);
    play.commit(0, &[("b", Op::Append)], 2);
    play.checkpoint(0);
}

fn renames(play: &mut Play) {
    commits(play, &[("c", Op::New), ("b", Op::Rename)]);
}

fn buffer(play: &mut Play) {
    play.commit(0, &[("a", Op::Replace), ("b", Op::Remove)], 3);
    play.commit(0, &[("a", Op::Grow), ("c", Op::NewDir)], 4);
}

fn buffer_large(play: &mut Play) {
    play.commit(0, &[("a", Op::Append), ("b", Op::Large)], 1);
    play.commit(0, &[("a", Op::Append)], 2);
}

/// What others have buffered is durable with a commit that is.
fn buffer_and_sync(play: &mut Play) {
    play.commit(0, &[("a", Op::Grow)], 1);
    play.commit(0, &[("b", Op::Grow)], 2);
    if play.commit(1, &[("c", Op::New)], 3) == Said::Done {
        play.promise = Promise::Journal;
    }
}

fn look(play: &mut Play) {
    let tree = play.tree();
    let paths: BTreeSet<&String> = tree.keys().collect();
    let listed = play.call(0, "a list", |store| store.list(""));
    assert!(listed.is_none_or(|found| found.iter().map(|path| path.as_str()).eq(paths)));
    let version = play.call(0, "a version", |store| store.version("a.json")).flatten();
    play.call(0, "a reader", |store| {
        let mut tx = store.begin()?;
        let reader = tx.reader("b.json")?;
        let mut body = Vec::new();
        if let Some(mut reader) = reader {
            match reader.read_to_end(&mut body) {
                Ok(_) => assert_eq!(body, tree["b.json"]),
                Err(source) => {
                    return Err(Error::Io { op: "read", path: "b.json".to_owned(), source });
                }
            }
        }
        Ok(())
    });
    let exists = play.call(0, "a look", |store| store.exists("none.json"));
    assert_ne!(exists, Some(true));
    play.call(0, "a rollback", |store| {
        let mut tx = store.begin()?;
        tx.read_bytes("a.json")?;
        tx.write_bytes("a.json", body("rolled", 0, 3 * INLINE_MAX))?;
        tx.remove("b.json")?;
        tx.rollback();
        Ok(())
    });
    if let Some(version) = version {
        let changes = vec![("a.json".to_owned(), Change::Put(body("a", 1, 400)))];
        play.change(0, &changes, |store| {
            let mut tx = store.begin()?;
            tx.expect("a.json", Some(version))?;
            tx.expect("none.json", None)?;
            tx.list("")?;
            history::stage(&mut tx, &changes)?;
            tx.commit().map(drop)
        });
    }
    play.call(0, "status", Store::status);
    let check = play.call(0, "check", Store::check);
    // It says what is not published, too.
    let published = play.said.iter().all(|(said, _)| *said < Said::Unknown);
    assert!(!published || check.is_none_or(|check| check.problems.is_empty()));
    play.call(0, "the log", Store::log);
}

fn close(play: &mut Play) {
    let who = *play.processes().last().expect("one has it open");
    play.checkpoint(who);
    committed_beside(play);
    play.commit(who, &[("b", Op::Append)], 8);
    play.close(who);
    committed_beside(play);
}

fn committed_beside(play: &mut Play) {
    if let Some(said) = BESIDE.with_borrow_mut(Option::take) {
        let changes = beside_changes();
        play.change(0, &changes, |_| said);
    }
}

fn in_turns(play: &mut Play) {
    play.commit(0, &[("a", Op::Grow), ("b", Op::Large)], 1);
    play.commit(1, &[("a", Op::Append), ("b", Op::Replace)], 2);
    play.commit(0, &[("a", Op::Replace)], 3);
    play.checkpoint(1);
}

/// The first one makes a blank, and the next is born of it; but for a fault.
fn fills(play: &mut Play) {
    play.put(0, &[("a.json", &body("a", 1, HALF)), ("b.json", b"half")]);
    play.put(0, &[("b.json", &body("b", 2, HALF)), ("a.json", b"all")]);
    play.put(1, &[("a.json", b"behind it")]);
}

/// Those who live go on, with what does not depend on whether the dead one counts.
fn go_on(play: &mut Play) {
    play.put(0, &[("a.json", b"goes on"), ("other.json", b"goes on")]);
    play.put(1, &[("b.json", b"goes on")]);
}

fn replace_edit(play: &mut Play) {
    play.commit(0, &[("a", Op::Grow), ("b", Op::Grow)], 1);
    play.checkpoint(0);
}

fn adopt_edit(play: &mut Play) {
    let changes = vec![("b.json".to_owned(), Change::Put(body("derived", 1, 200)))];
    play.change(0, &changes, |store| {
        store.transact(|tx| {
            tx.read_bytes(EDITED)?;
            history::stage(tx, &changes)
        })
    });
    play.checkpoint(0);
}

fn add_to_edit(play: &mut Play) {
    play.commit(0, &[("a", Op::Append), ("b", Op::Grow)], 1);
    play.checkpoint(0);
}

/// The edit; a folder that cannot be looked into stands for what is in it.
fn file(edits: Vec<Rescued>) -> Option<Rescued> {
    edits.into_iter().find(|edit| edit.kind == Kind::File)
}

fn restore(play: &mut Play) {
    let edits = play.call(0, "a list of edits", Store::rescued);
    let Some(edit) = edits.and_then(file) else { return };
    let compared = play.call(0, "a comparison", |store| store.compare_rescued(&edit, EDITED));
    let Some(compared) = compared else { return };
    let content = play.edit.as_ref().expect("there is one").body.clone();
    let changes = vec![(EDITED.to_owned(), Change::Put(content))];
    play.change(0, &changes, |store| {
        store.restore_rescued(&edit, EDITED, compared.document).map(drop)
    });
}

fn drop_edit(play: &mut Play) {
    let edits = play.call(0, "a list of edits", Store::rescued);
    let Some(edit) = edits.and_then(file) else { return };
    play.call(0, "a drop", |store| store.drop_rescued(&edit));
}

/// Threads wait in line; who leads takes them all as one group.
fn group(play: &mut Play) {
    let store = play.store(0);
    let tree = play.tree();
    let members: Vec<Vec<(String, Change)>> =
        [("a", Op::Grow), ("b", Op::Large), ("c", Op::NewDir)]
            .map(|op| history::changes(&[op], 1, &tree))
            .to_vec();
    // On a busy machine one may come too late, and its group fail behind that of the others.
    let stopped = play.is_stopped(0);
    let turn = play.turn.take().expect("it was taken");
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let commits: Vec<_> = members
            .iter()
            .map(|changes| {
                let store = store.clone();
                scope.spawn(move || store.transact(|tx| history::stage(tx, changes)))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(4));
        turn.rollback();
        commits.into_iter().map(|commit| commit.join().expect("no thread panics")).collect()
    });
    for (changes, outcome) in members.iter().zip(outcomes) {
        play.changed(0, changes, stopped, outcome);
    }
}
