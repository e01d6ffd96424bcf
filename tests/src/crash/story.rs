//! A run that was recorded, and what may be found after a crash at each of its moments.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use filepact_simfs::{Moment, SimFs};

use crate::history::Tree;

/// What is crashed.
#[derive(Debug)]
pub struct Story {
    /// Its name in the [suite](crate::crash::suite), such as `pair:400`.
    pub name: String,
    /// What happens in it.
    pub text: String,
    /// Every moment that is crashed, with what it leaves open.
    pub scenes: Vec<Scene>,
    /// One in so many outcomes is tried, where each takes longer than others do.
    pub share: usize,
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
    /// Or this, with torn parts of what was added to a document before the whole of it.
    pub torn: Option<Tree>,
    /// All that they were in this story, so that a part that was added can be told.
    pub history: Arc<[Tree]>,
    /// What was promised beyond that.
    pub promise: Promise,
    /// What another program has saved, durably.
    pub edit: Option<Edit>,
}

/// What a durability promises of a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Promise {
    /// What was acknowledged is there after the recovery.
    Journal,
    /// And every document is whole before it, for those who read without filepact.
    Files,
    /// A prefix of the transactions is there, and may be shorter than what was acknowledged; what
    /// the others have left in documents on which that prefix has no word may be there or not.
    Buffered,
}

/// An edit by another program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Edit {
    /// The document.
    pub path: String,
    /// What it holds.
    pub body: Vec<u8>,
    /// A transaction that knows of it removes the document, and the edit with it.
    pub removed: bool,
}

impl Expect {
    /// The documents are one of these, in a story of no others.
    pub fn one_of(trees: &[Tree]) -> Self {
        let (history, promise) = (Arc::from(trees), Promise::Journal);
        Self { trees: trees.to_vec(), torn: None, history, promise, edit: None }
    }

    /// Equal for equal expectations.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.trees, &self.torn, self.promise, &self.edit).hash(&mut hasher);
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
        self.acknowledged.push(self.now());
    }

    /// The present moment.
    pub fn now(&self) -> usize {
        self.sim.recorded().len() - 1
    }

    /// The moment when the transaction of this number (from 0) was acknowledged.
    pub fn end_of(&self, transaction: usize) -> usize {
        self.acknowledged[transaction]
    }

    /// The scenes from moment `from` on: what was acknowledged is there, and of the next one all or
    /// nothing.
    pub fn scenes(&self, from: usize, promise: Promise) -> Vec<Scene> {
        let history: Arc<[Tree]> = Arc::from(&*self.trees);
        let moments = self.sim.recorded().into_iter().enumerate().skip(from);
        let scene = |(call, moment)| {
            let done = self.acknowledged.iter().filter(|at| **at <= call).count();
            let trees = self.trees[done..self.trees.len().min(done + 2)].to_vec();
            let history = Arc::clone(&history);
            Scene {
                call,
                moment,
                expect: Expect { trees, torn: None, history, promise, edit: None },
            }
        };
        moments.map(scene).collect()
    }
}
