//! What each transaction does, and what the documents hold after it.
//!
//! Several actors (threads of one process or of several) commit to documents of their own, under
//! `a<actor>/`, and to two that they share: each transaction adds its name to one and puts it into
//! the other, so that the documents themselves tell the order. Nobody reads what another writes, so
//! that an actor's documents follow from the seed, the actor and the number of its last transaction.

use std::collections::{BTreeMap, BTreeSet};

use filepact::{Error, Transaction};

use crate::processes::random::{Random, mixed};

/// Document contents by path.
pub(super) type Tree = BTreeMap<String, Vec<u8>>;

/// Every transaction adds a line here.
pub(super) const LOG: &str = "shared/log";
/// Every transaction puts the same line here.
pub(super) const LAST: &str = "shared/last";

/// A change of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Put(String, Vec<u8>),
    Append(String, Vec<u8>),
    Remove(String),
    Rename(String, String),
}

impl Op {
    fn paths(&self) -> Vec<&str> {
        match self {
            Self::Put(path, _) | Self::Append(path, _) | Self::Remove(path) => vec![path],
            Self::Rename(from, to) => vec![from, to],
        }
    }
}

/// What a transaction adds to the shared documents.
pub(super) fn line(actor: u32, number: u64) -> String {
    format!("{actor} {number}\n")
}

/// The actor and the number in such a line, without its end.
pub(super) fn of_line(line: &str) -> Option<(u32, u64)> {
    let (actor, number) = line.split_once(' ')?;
    Some((actor.parse().ok()?, number.parse().ok()?))
}

pub(super) fn folder(actor: u32) -> String {
    format!("a{actor}")
}

/// Holds the number of the actor's last transaction.
pub(super) fn counter(actor: u32) -> String {
    format!("a{actor}/counter")
}

/// The number in the actor's counter.
pub(super) fn counted(tree: &Tree, actor: u32) -> Option<u64> {
    std::str::from_utf8(tree.get(&counter(actor))?).ok()?.trim_end().parse().ok()
}

/// What an actor owns of a tree.
pub(super) fn own(tree: &Tree, actor: u32) -> Tree {
    let folder = folder(actor) + "/";
    let is_own = |(path, _): &(&String, &Vec<u8>)| path.starts_with(&folder);
    tree.iter().filter(is_own).map(|(path, body)| (path.clone(), body.clone())).collect()
}

/// What the actors begin with.
pub(super) fn first(actors: &[u32]) -> Tree {
    let counters = actors.iter().map(|actor| (counter(*actor), b"0\n".to_vec()));
    counters.chain([(LOG.to_owned(), Vec::new()), (LAST.to_owned(), b"\n".to_vec())]).collect()
}

/// What a transaction of an actor does to its own documents, which are these.
pub(super) fn ops(seed: u64, actor: u32, number: u64, own: &Tree) -> Vec<Op> {
    let mut random = Random::seeded(mixed(seed ^ mixed(u64::from(actor) << 48 ^ number)));
    let mut ops = vec![Op::Put(counter(actor), format!("{number}\n").into_bytes())];
    let mut now = own.clone();
    for _ in 0..1 + random.below(4) {
        let op = op(&mut random, actor, number, &now);
        apply(&op, &mut now);
        ops.push(op);
    }
    ops
}

fn op(random: &mut Random, actor: u32, number: u64, now: &Tree) -> Op {
    let folder = folder(actor);
    let present: Vec<&String> = now.keys().filter(|path| **path != counter(actor)).collect();
    let some =
        |random: &mut Random| present.get(random.below(present.len().max(1))).copied().cloned();
    let place = |random: &mut Random| match random.below(8) {
        at @ 0..5 => format!("{folder}/doc-{at}"),
        at => format!("{folder}/deeper/below/doc-{at}"),
    };
    match (random.below(16), some(random)) {
        (0..2, _) => Op::Put(place(random), body(random, 20_000..150_000)),
        (2..5, Some(path)) => Op::Append(path, body(random, 1..700)),
        (5, Some(path)) => Op::Append(path, body(random, 5_000..30_000)),
        (6..8, Some(path)) => Op::Remove(path),
        (8..10, Some(from)) => {
            let to = place(random);
            if now.contains_key(&to) { Op::Remove(from) } else { Op::Rename(from, to) }
        }
        // Directories are never removed: not too many of them.
        (10, _) => Op::Put(format!("{folder}/new-{}/doc", number % 200), body(random, 1..3_000)),
        // The same length, other content.
        (11, Some(path)) if now[&path].len() < 4_000 => {
            let length = now[&path].len();
            Op::Put(path, body(random, length..length + 1))
        }
        _ => Op::Put(place(random), body(random, 0..3_000)),
    }
}

/// Text or bytes that are none, of some length in the range.
fn body(random: &mut Random, lengths: std::ops::Range<usize>) -> Vec<u8> {
    let length = lengths.start + random.below(lengths.len());
    let seed = random.next();
    let words = (0..length.div_ceil(8) as u64).flat_map(|word| mixed(seed ^ word).to_le_bytes());
    let is_text = seed.is_multiple_of(2);
    words.map(|byte| if is_text { b' ' + byte % 64 } else { byte }).take(length).collect()
}

/// The change in a tree.
pub(super) fn apply(op: &Op, tree: &mut Tree) {
    match op {
        Op::Put(path, body) => drop(tree.insert(path.clone(), body.clone())),
        Op::Append(path, bytes) => tree.entry(path.clone()).or_default().extend(bytes),
        Op::Remove(path) => drop(tree.remove(path)),
        Op::Rename(from, to) => {
            if let Some(body) = tree.remove(from) {
                tree.insert(to.clone(), body);
            }
        }
    }
}

/// The change in a transaction.
pub(super) fn carry_out(op: &Op, tx: &mut Transaction) -> Result<(), Error> {
    match op {
        Op::Put(path, body) => tx.write_bytes(path, body.clone()),
        Op::Append(path, bytes) => tx.append(path, bytes),
        Op::Remove(path) => tx.remove(path),
        Op::Rename(from, to) => tx.rename(from, to),
    }
}

/// What an actor owns after its transaction `to`, if it owned `own` after `from`.
pub(super) fn after(seed: u64, actor: u32, mut own: Tree, from: u64, to: u64) -> Tree {
    for number in from + 1..=to {
        for op in ops(seed, actor, number, &own) {
            apply(&op, &mut own);
        }
    }
    own
}

/// The last change of a document by the transactions after `from`, up to `to`.
pub(super) fn last_change(
    seed: u64,
    actor: u32,
    mut own: Tree,
    (from, to): (u64, u64),
    path: &str,
) -> Option<Op> {
    let mut last = None;
    for number in from + 1..=to {
        for op in ops(seed, actor, number, &own) {
            apply(&op, &mut own);
            if op.paths().contains(&path) {
                last = Some(op);
            }
        }
    }
    last
}

/// Each version of a document that an append has made of one that was longer than `inline_max`.
pub(super) fn lengthened(
    seed: u64,
    actor: u32,
    mut own: Tree,
    (from, to): (u64, u64),
    path: &str,
    inline_max: usize,
) -> Vec<Vec<u8>> {
    let mut versions = Vec::new();
    for number in from + 1..=to {
        for op in ops(seed, actor, number, &own) {
            let before = own.get(path).map_or(0, Vec::len);
            apply(&op, &mut own);
            if matches!(&op, Op::Append(at, _) if at == path) && before > inline_max {
                versions.push(own[path].clone());
            }
        }
    }
    versions
}

/// The paths that the transactions after `from`, up to `to`, touch.
pub(super) fn touched(
    seed: u64,
    actor: u32,
    mut own: Tree,
    from: u64,
    to: u64,
) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for number in from + 1..=to {
        for op in ops(seed, actor, number, &own) {
            apply(&op, &mut own);
            paths.extend(op.paths().into_iter().map(str::to_owned));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_vocabulary_comes_up_and_repeats_itself() {
        let mut own = own(&first(&[0]), 0);
        let (mut kinds, mut large) = (BTreeSet::new(), 0);
        for number in 1..200 {
            let ops = ops(5, 0, number, &own);
            assert_eq!(ops, super::ops(5, 0, number, &own));
            for op in ops {
                apply(&op, &mut own);
                kinds.insert(match op {
                    Op::Put(_, body) => {
                        large += usize::from(body.len() > 16_000);
                        "put"
                    }
                    Op::Append(..) => "append",
                    Op::Remove(_) => "remove",
                    Op::Rename(..) => "rename",
                });
            }
        }
        assert_eq!(kinds.len(), 4);
        assert!(large > 10, "{large}");
        assert_eq!(counted(&own, 0), Some(199));
    }
}
