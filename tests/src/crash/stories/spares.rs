//! A process that has spares goes on.

use filepact::Store;

use crate::crash::story::{Promise, Recorded, Story};
use crate::crash::{options, prepared_with};
use crate::history::{self, Op, Tree, Txn, body};

/// Two transactions of a process that has a spare of each document, a checkpoint, another transaction, and
/// a close. One document is of several pages, the other one of one.
pub fn spare(name: String, txns: [Txn; 2]) -> Story {
    let documents = [("a", 9_000), ("b", 700)];
    let mut tree =
        Tree::from(documents.map(|(slot, len)| (format!("{slot}.json"), body(slot, 0, len))));
    let sim = prepared_with(&tree);
    // As on a newer kernel, in every second story.
    sim.set_exact_times(txns[0].0 as usize % 2 == 1);
    let store = options().inline_max(20_000).open_with(sim.actor()).expect("it opens");
    make_spares(&store, &mut tree);
    let mut run = Recorded::begin(sim.clone(), tree);
    for (number, txn) in txns.iter().chain([&Txn(Op::Replace, Op::Shrink)]).enumerate() {
        if number == txns.len() {
            store.checkpoint().expect("nothing fails here");
        }
        let mut tree = run.tree().clone();
        history::run(&store, *txn, number + 1, &mut tree).expect("nothing fails here");
        run.acknowledge(tree);
    }
    store.close().expect("nothing fails here");
    Story {
        name,
        text: format!("with spares, {txns:?}, a checkpoint, another one"),
        scenes: run.scenes(0, Promise::Journal),
        share: 8,
    }
}

/// Puts into both documents, so that the handle has a spare of each.
pub fn make_spares(store: &Store, tree: &mut Tree) {
    for number in [90, 91] {
        history::run(store, Txn(Op::Shrink, Op::Replace), number, tree)
            .expect("nothing fails here");
    }
}
