//! One process holds a snapshot and watches, another one commits, and then there is a crash.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use filepact::{Snapshot, Store, Watch, Watched};
use filepact_simfs::SimFs;

use crate::crash::story::{Promise, Recorded, Story};
use crate::crash::{open, options, prepared};
use crate::history::{self, Tree, Txn};
use crate::steps::Steps;

/// A snapshot is taken, two transactions and a checkpoint follow, and it is let go. Before each call of
/// the writer it sees what it saw first, and a watch hears what is committed; what the watch has been told
/// survives whatever happens then.
pub fn moment(name: String, txns: [Txn; 2]) -> Story {
    let sim = prepared();
    let reader = open(&sim);
    let beside: Arc<Mutex<Option<Beside>>> = Arc::default();
    let looks = Arc::clone(&beside);
    let steps = Steps::new(sim.actor(), move |_, _, _| {
        let mut beside = looks.lock().unwrap_or_else(PoisonError::into_inner);
        beside.iter_mut().for_each(Beside::look);
    });
    let writer = options().open_with(steps).expect("it opens");
    let mut run = Recorded::begin(sim.clone(), history::before());
    *beside.lock().expect("nobody panics") = Some(Beside::begin(&sim, &reader));
    for (number, txn) in txns.iter().enumerate() {
        let mut tree = run.tree().clone();
        history::run(&writer, *txn, number + 1, &mut tree).expect("nothing fails here");
        run.acknowledge(tree);
    }
    writer.checkpoint().expect("nothing fails here");
    let mut beside = beside.lock().expect("nobody panics").take().expect("it is there");
    beside.look();
    let Beside { told, snapshot, .. } = beside;
    drop(snapshot);
    // Both: the last look comes after the last of them.
    assert_eq!(told.len(), txns.len(), "the watch has heard of both");
    writer.close().expect("nothing fails here");
    reader.close().expect("nothing fails here");

    let mut scenes = run.scenes(0, Promise::Journal);
    for scene in &mut scenes {
        let told = told.iter().filter(|at| **at <= scene.call).count();
        let trees = &scene.expect.history[told..];
        scene.expect.trees.retain(|tree| trees.contains(tree));
    }
    Story { name, text: format!("{txns:?} beside a snapshot and a watch"), scenes, share: 4 }
}

/// Who looks on.
struct Beside {
    sim: SimFs,
    snapshot: Snapshot,
    first: Tree,
    watch: Watch,
    /// The moments at which it was told of a transaction.
    told: Vec<usize>,
}

impl Beside {
    fn begin(sim: &SimFs, reader: &Store) -> Self {
        let watch = reader.watch().expect("it can be watched");
        let snapshot = reader.snapshot().expect("it can be taken");
        let first = seen(&snapshot);
        assert_eq!(first, history::before(), "all that was there");
        Self { sim: sim.clone(), snapshot, first, watch, told: Vec::new() }
    }

    fn look(&mut self) {
        assert_eq!(seen(&self.snapshot), self.first, "one moment");
        while let Some(heard) = self.watch.wait(Duration::ZERO).expect("it can be watched") {
            assert!(matches!(heard, Watched::Transaction(_)), "no gap: {heard:?}");
            self.told.push(self.sim.recorded().len() - 1);
        }
    }
}

fn seen(snapshot: &Snapshot) -> Tree {
    let list = snapshot.list("").expect("nobody edits").into_iter();
    let read = |path: &str| snapshot.read_bytes(path).expect("nobody edits").expect("it is listed");
    list.map(|path| (path.to_string(), read(&path))).collect()
}
