//! A run that was recorded, and what may be found after a crash at each of its moments.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use filepact_simfs::{Moment, SimFs};

use crate::crash::{open, prepared};
use crate::history::{self, Tree, Txn};

/// What is crashed.
#[derive(Debug)]
pub struct Story {
    /// Its name in the [suite](crate::crash::suite), such as `pair 400`.
    pub name: String,
    /// What happens in it.
    pub text: String,
    /// Every moment that is crashed, with what it leaves open.
    pub scenes: Vec<Scene>,
}

/// A moment, and what may be found after a crash then.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Where it stands in the record.
    pub call: usize,
    /// The moment.
    pub moment: Moment,
    /// What may be found.
    pub expect: Expect,
}

/// What a recovery may find.
#[derive(Clone, Debug)]
pub struct Expect {
    /// The documents are one of these.
    pub trees: Vec<Tree>,
    /// All that they were in this story, so that a part that was added can be told.
    pub history: Arc<[Tree]>,
}

impl Expect {
    /// The documents are one of these, in a story of no others.
    pub fn one_of(trees: &[Tree]) -> Self {
        Self { trees: trees.to_vec(), history: Arc::from(trees) }
    }

    /// Equal for equal expectations.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.trees.hash(&mut hasher);
        hasher.finish()
    }
}

/// A run of transactions, and the trees that it goes through.
#[derive(Debug)]
pub struct Recorded {
    sim: SimFs,
    /// The documents before, and after each transaction.
    trees: Vec<Tree>,
    /// The moment at which each transaction was acknowledged.
    acknowledged: Vec<usize>,
}

impl Recorded {
    /// Begins to record.
    pub fn begin(sim: SimFs, before: Tree) -> Self {
        sim.record();
        Self { sim, trees: vec![before], acknowledged: Vec::new() }
    }

    /// The documents as they should be now.
    pub fn tree(&self) -> &Tree {
        self.trees.last().expect("never empty")
    }

    /// A transaction was acknowledged that has left these documents.
    pub fn acknowledge(&mut self, tree: Tree) {
        self.trees.push(tree);
        self.acknowledged.push(self.sim.recorded().len() - 1);
    }

    /// The scenes from moment `from` on: what was acknowledged is there, and of the next one all or
    /// nothing.
    pub fn scenes(&self, from: usize) -> Vec<Scene> {
        let history: Arc<[Tree]> = Arc::from(&*self.trees);
        let moments = self.sim.recorded().into_iter().enumerate().skip(from);
        let scene = |(call, moment)| {
            let done = self.acknowledged.iter().filter(|at| **at <= call).count();
            let trees = self.trees[done..self.trees.len().min(done + 2)].to_vec();
            let expect = Expect { trees, history: Arc::clone(&history) };
            Scene { call, moment, expect }
        };
        moments.map(scene).collect()
    }
}

/// A story of transactions over two documents, one after another, and then a close.
///
/// It begins where transaction number `from` (from 0) was begun.
pub fn transactions(name: String, txns: &[Txn], from: usize) -> Story {
    let sim = prepared();
    let mut run = Recorded::begin(sim.clone(), history::before());
    let store = open(&sim);
    for (number, txn) in txns.iter().enumerate() {
        let mut tree = run.tree().clone();
        history::run(&store, *txn, number + 1, &mut tree).expect("nothing fails here");
        run.acknowledge(tree);
    }
    store.close().expect("nothing fails here");
    let from = from.checked_sub(1).map_or(0, |last| run.acknowledged[last]);
    Story { name, text: format!("{txns:?}"), scenes: run.scenes(from) }
}

/// The making of a store.
pub fn making(name: String) -> Story {
    let sim = SimFs::new();
    let run = Recorded::begin(sim.clone(), Tree::new());
    drop(open(&sim));
    Story { name, text: "a store is made".to_owned(), scenes: run.scenes(0) }
}
