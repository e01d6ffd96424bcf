//! Another program saves a document, and a transaction meets that.

use filepact::{Error, Store};
use filepact_simfs::SimFs;

use crate::crash::story::{Edit, Promise, Recorded, Story};
use crate::crash::{open, prepared};
use crate::history::{self, Op, Tree, Txn, body};

/// How the document is saved.
#[derive(Clone, Copy, Debug)]
enum Save {
    /// At its inode.
    InPlace,
    /// By a new one, as most editors do.
    Replaced,
}

/// What the transaction does.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// It reads the document, and writes another one: the edit is adopted.
    Derive,
    /// It reads the document, and writes it with something before it.
    BuildUpon,
    /// It writes the document without having read it: the edit is rescued.
    Replace,
    /// It adds to the document.
    Append,
    /// It removes the document, knowing that it is there.
    Remove,
}

/// What the document was before.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// Durable by a checkpoint.
    Checkpointed,
    /// Published by this process a moment ago.
    Published,
}

/// How many stories there are.
pub const COUNT: usize = 2 * 5 * 2 * 2;

const PATH: &str = "a.json";

/// The story of this number; the document is small or large.
pub fn edit(name: String, number: usize) -> Story {
    let save = [Save::InPlace, Save::Replaced][number % 2];
    let before = [Before::Checkpointed, Before::Published][number / 2 % 2];
    let large = number / 4 % 2 == 1;
    let then = [Then::Derive, Then::BuildUpon, Then::Replace, Then::Append, Then::Remove];
    let then = then[number / 8 % 5];

    let sim = prepared();
    let store = open(&sim);
    let mut tree = history::before();
    if matches!(before, Before::Published) {
        let txn = Txn(Op::Replace, Op::Replace);
        history::run(&store, txn, 1, &mut tree).expect("nothing fails here");
    }
    let unedited = tree.clone();
    let edited = body("edit", 0, if large { 3 * history::INLINE_MAX } else { 333 });
    save_as(&sim, save, &edited);
    tree.insert(PATH.to_owned(), edited.clone());

    let mut run = Recorded::begin(sim.clone(), tree);
    let mut tree = run.tree().clone();
    transact(&store, then, &mut tree).expect("nothing fails here");
    run.acknowledge(tree);
    store.close().expect("nothing fails here");

    // Where the journal has a word on the document, and no record of the edit, a power cut brings that
    // word back, with what was added to it since; the edit is rescued.
    let mut reverted = unedited.clone();
    if matches!(then, Then::Append) {
        reverted.entry(PATH.to_owned()).or_default().extend(body("derived", 1, 200));
    }
    let mut scenes = run.scenes(0, Promise::Journal);
    for scene in &mut scenes {
        let expect = &mut scene.expect;
        if matches!(before, Before::Published) {
            if scene.call < run.end_of(0) {
                expect.trees.push(unedited.clone());
            }
            if matches!(then, Then::Append) {
                // The record says an offset behind the end of that version: a crash in the recovery
                // that brings it back can leave what was added twice, or the first time in part.
                let parts = [&unedited, &reverted].map(Clone::clone);
                expect.history = expect.history.iter().cloned().chain(parts).collect();
                expect.torn = Some(reverted.clone());
            }
        }
        let removed = matches!(then, Then::Remove);
        expect.edit = Some(Edit { path: PATH.to_owned(), body: edited.clone(), removed });
    }
    let text = format!("{before:?}, saved {save:?} ({} bytes), then {then:?}", edited.len());
    Story { name, text, scenes, share: 1 }
}

/// Saves, some time after everything before and some time before everything after it.
fn save_as(sim: &SimFs, save: Save, body: &[u8]) {
    let minute = std::time::Duration::from_secs(61);
    sim.advance(minute);
    match save {
        Save::InPlace => sim.write(PATH, body),
        Save::Replaced => sim.replace(PATH, body),
    }
    sim.write_back(PATH);
    // The name under which it was written goes as well.
    sim.write_back("");
    sim.advance(minute);
}

fn transact(store: &Store, then: Then, tree: &mut Tree) -> Result<(), Error> {
    let mut after = tree.clone();
    let outcome: Result<(), Error> = store.transact(|tx| {
        after.clone_from(tree);
        let mut derived = body("derived", 1, 200);
        if matches!(then, Then::Derive | Then::BuildUpon) {
            derived.extend(tx.read_bytes(PATH)?.unwrap_or_default());
        }
        match then {
            Then::Derive => {
                tx.write_bytes("b.json", derived.clone())?;
                after.insert("b.json".to_owned(), derived);
            }
            Then::BuildUpon | Then::Replace => {
                tx.write_bytes(PATH, derived.clone())?;
                after.insert(PATH.to_owned(), derived);
            }
            Then::Append => {
                tx.append(PATH, &derived)?;
                after.entry(PATH.to_owned()).or_default().extend(derived);
            }
            Then::Remove => {
                tx.remove(PATH)?;
                after.remove(PATH);
            }
        }
        Ok(())
    });
    *tree = after;
    outcome
}
