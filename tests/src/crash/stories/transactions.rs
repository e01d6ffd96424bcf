//! Transactions one after another in one process, checkpoints between them, and a close.

use filepact::Durability;
use filepact_simfs::SimFs;

use crate::crash::case::mix;
use crate::crash::story::{Promise, Recorded, Story};
use crate::crash::{open, options, prepared, prepared_with};
use crate::history::{self, OPS, Op, Tree, Txn, body};

/// The making of a store.
pub fn making(name: String) -> Story {
    let sim = SimFs::new();
    let run = Recorded::begin(sim.clone(), Tree::new());
    drop(open(&sim));
    Story {
        name,
        text: "a store is made".to_owned(),
        scenes: run.scenes(0, Promise::Journal),
        share: 1,
    }
}

/// Transactions over two documents, from where number `from` (from 0) was begun, and a close.
pub fn transactions(name: String, txns: &[Txn], from: usize) -> Story {
    with(name, txns, from, Durability::Journal, Promise::Journal)
}

/// As [`transactions`], with bodies and directories synced before they are acknowledged.
pub fn files(name: String, txns: &[Txn], from: usize) -> Story {
    with(name, txns, from, Durability::Files, Promise::Files)
}

/// As [`transactions`], with no syncs.
pub fn buffered(name: String, txns: &[Txn], from: usize) -> Story {
    with(name, txns, from, Durability::Buffered, Promise::Buffered)
}

fn with(
    name: String,
    txns: &[Txn],
    from: usize,
    durability: Durability,
    promise: Promise,
) -> Story {
    let sim = prepared();
    let mut run = Recorded::begin(sim.clone(), history::before());
    let store = options().durability(durability).open_with(sim.actor()).expect("it opens");
    for (number, txn) in txns.iter().enumerate() {
        let mut tree = run.tree().clone();
        history::run(&store, *txn, number + 1, &mut tree).expect("nothing fails here");
        run.acknowledge(tree);
    }
    // A close makes a checkpoint, before which nothing that was buffered is promised.
    match durability {
        Durability::Buffered => drop(store),
        _ => store.close().expect("nothing fails here"),
    }
    let from = from.checked_sub(1).map_or(0, |last| run.end_of(last));
    Story {
        name,
        text: format!("{txns:?}, {durability:?}"),
        scenes: run.scenes(from, promise),
        share: 1,
    }
}

/// One transaction, a checkpoint, another one, and a close; from the end of the first on.
pub fn checkpoint(name: String, txns: [Txn; 2]) -> Story {
    let sim = prepared();
    let mut run = Recorded::begin(sim.clone(), history::before());
    let store = open(&sim);
    for (number, txn) in txns.iter().enumerate() {
        if number == 1 {
            store.checkpoint().expect("nothing fails here");
        }
        let mut tree = run.tree().clone();
        history::run(&store, *txn, number + 1, &mut tree).expect("nothing fails here");
        run.acknowledge(tree);
    }
    store.close().expect("nothing fails here");
    let text = format!("{:?}, a checkpoint, {:?}", txns[0], txns[1]);
    Story { name, text, scenes: run.scenes(run.end_of(0), Promise::Journal), share: 1 }
}

/// Three transactions over three documents that the number picks, and a close.
pub fn triple(name: String, number: usize) -> Story {
    let slots = ["a", "b", "c"];
    let documents = slots.map(|slot| (format!("{slot}.json"), body(slot, 0, 300)));
    let before = Tree::from(documents);
    let sim = prepared_with(&before);
    let mut run = Recorded::begin(sim.clone(), before);
    let store = open(&sim);
    let mut chance = number as u64;
    let mut text = String::new();
    for number in 1..=slots.len() {
        let ops = slots.map(|slot| {
            chance = mix(chance, 3);
            // One in five leaves its document alone.
            let op = OPS.get(chance as usize % (OPS.len() * 5 / 4)).copied();
            (slot, op)
        });
        let ops: Vec<(&str, Op)> =
            ops.into_iter().filter_map(|(slot, op)| Some((slot, op?))).collect();
        text += &format!("{ops:?} ");
        let mut tree = run.tree().clone();
        history::run_ops(&store, &ops, number, &mut tree).expect("nothing fails here");
        run.acknowledge(tree);
    }
    store.close().expect("nothing fails here");
    Story { name, text, scenes: run.scenes(0, Promise::Journal), share: 4 }
}
