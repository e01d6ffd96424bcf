//! Short histories: transactions over a few documents, and what must be found after each.

use std::collections::BTreeMap;
use std::fmt;

use filepact::{Error, Store, Transaction};

/// Bodies over this many bytes are large; small here, so that the simulation is quick.
pub const INLINE_MAX: usize = 2_000;

/// What one transaction does to one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// A document that is not there yet.
    New,
    /// The same length, other content.
    Replace,
    /// Longer.
    Grow,
    /// Shorter: the beginning of what it held.
    Shrink,
    /// Beyond `inline_max`.
    Large,
    /// Gone.
    Remove,
    /// A document in a directory that is not there yet.
    NewDir,
    /// Longer, at its own inode.
    Append,
    /// The same, by more than `inline_max`.
    AppendLarge,
    /// Under another name, and back again.
    Rename,
}

/// Every kind of change.
pub const OPS: [Op; 10] = [
    Op::New,
    Op::Replace,
    Op::Grow,
    Op::Shrink,
    Op::Large,
    Op::Remove,
    Op::NewDir,
    Op::Append,
    Op::AppendLarge,
    Op::Rename,
];

/// What a transaction does to the first and to the second document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Txn(pub Op, pub Op);

impl fmt::Debug for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}+{:?}", self.0, self.1)
    }
}

/// Document contents by path.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// Every transaction over two documents; of two that differ only in which document is which, one.
pub fn transactions() -> Vec<Txn> {
    let mut all = Vec::new();
    for first in OPS {
        for second in OPS.into_iter().filter(|second| *second >= first) {
            all.push(Txn(first, second));
        }
    }
    all
}

/// The documents before the first transaction.
pub fn before() -> Tree {
    ["a", "b"].into_iter().map(|slot| (format!("{slot}.json"), body(slot, 0, 300))).collect()
}

/// Runs transaction number `number` (from 1) on the store, and on the tree that models it.
pub fn run(store: &Store, txn: Txn, number: usize, tree: &mut Tree) -> Result<(), Error> {
    run_ops(store, &[("a", txn.0), ("b", txn.1)], number, tree)
}

/// As [`run`], with any operations, each on a document of its own.
pub fn run_ops(
    store: &Store,
    ops: &[(&str, Op)],
    number: usize,
    tree: &mut Tree,
) -> Result<(), Error> {
    let changes = changes(ops, number, tree);
    // What an error leaves, the caller says; the model follows what was asked for.
    apply(&changes, tree);
    store.transact(|tx| stage(tx, &changes))
}

/// What one transaction does to one document, byte for byte.
#[derive(Clone, Debug)]
pub enum Change {
    /// It gets this body.
    Put(Vec<u8>),
    /// These bytes are added to it.
    Append(Vec<u8>),
    /// It goes.
    Remove,
    /// It goes to this path.
    Rename(String),
}

/// What these operations, each on a document of its own, do to documents that are as in `tree`.
pub fn changes(ops: &[(&str, Op)], number: usize, tree: &Tree) -> Vec<(String, Change)> {
    ops.iter().map(|&(slot, op)| change(slot, op, number, tree)).collect()
}

/// Makes these changes in a transaction.
pub fn stage(tx: &mut Transaction, changes: &[(String, Change)]) -> Result<(), Error> {
    for (path, change) in changes {
        match change {
            Change::Put(content) => tx.write_bytes(path, content.clone())?,
            Change::Append(bytes) => tx.append(path, bytes)?,
            Change::Remove => tx.remove(path)?,
            Change::Rename(to) => tx.rename(path, to)?,
        }
    }
    Ok(())
}

/// Makes these changes in a model.
pub fn apply(changes: &[(String, Change)], tree: &mut Tree) {
    for (path, change) in changes {
        match change {
            Change::Put(content) => drop(tree.insert(path.clone(), content.clone())),
            Change::Append(bytes) => tree.entry(path.clone()).or_default().extend(bytes),
            Change::Remove => drop(tree.remove(path)),
            Change::Rename(to) => {
                let content = tree.remove(path).expect("only what is there is renamed");
                tree.insert(to.clone(), content);
            }
        }
    }
}

/// The path that an operation touches, and what it does there.
fn change(slot: &str, op: Op, number: usize, tree: &Tree) -> (String, Change) {
    let present = format!("{slot}.json");
    let len = tree.get(&present).map_or(300, Vec::len);
    let put = |len| Change::Put(body(slot, number, len));
    match op {
        Op::New => (format!("{slot}-new.json"), put(200)),
        Op::Replace => (present, put(len)),
        Op::Grow => (present, put(len + 700)),
        Op::Shrink => match tree.get(&present) {
            Some(held) => (present, Change::Put(held[..len / 2].to_vec())),
            None => (present, put(len / 2)),
        },
        Op::Large => (present, put(3 * INLINE_MAX)),
        Op::NewDir => (format!("new-{slot}/deep/{slot}.json"), put(250)),
        Op::Append => (present, Change::Append(body(slot, number, 80))),
        // Over the boundary of a page.
        Op::AppendLarge => (present, Change::Append(body(slot, number, 3 * INLINE_MAX))),
        // What is gone already cannot be removed again: it comes back.
        Op::Remove if !tree.contains_key(&present) => (present, put(100)),
        Op::Remove => (present, Change::Remove),
        Op::Rename => {
            let moved = format!("{slot}-moved.json");
            match (tree.contains_key(&present), tree.contains_key(&moved)) {
                (true, false) => (present, Change::Rename(moved)),
                (false, true) => (moved, Change::Rename(present)),
                _ => (present, put(100)),
            }
        }
    }
}

/// A body that no other document and no other transaction makes, and no part of it is like another.
pub fn body(slot: &str, number: usize, len: usize) -> Vec<u8> {
    let words = (0..).flat_map(|nth| format!("{slot} {number} {nth} ").into_bytes());
    words.take(len).collect()
}
