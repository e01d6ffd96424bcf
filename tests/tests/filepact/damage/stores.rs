//! Stores of all shapes, small, so that each byte can be hurt.

use std::collections::BTreeMap;

use filepact::{Durability, Options, Store};
use filepact_journal::{StateFile, load, scan};
use filepact_simfs::{Fault, FaultKind, SimFs, When, errno};
use filepact_tests::crash::{documents, open, options};
use filepact_tests::history::{self, INLINE_MAX, Op, Tree, body};

use crate::support::{STRICT, dies_before_swap, put};

/// A store at rest.
pub(crate) struct Resting {
    pub(crate) name: &'static str,
    pub(crate) sim: SimFs,
    /// What its files held earlier.
    pub(crate) earlier: Vec<SimFs>,
    /// The documents as they should be.
    pub(crate) tree: Tree,
    /// What they were after each transaction.
    pub(crate) history: Vec<Tree>,
    /// Nothing was synced since the last checkpoint: so far the hole reaches.
    pub(crate) buffered: bool,
    /// Every group whose loss `state` does not show: where its lines begin, by segment.
    pub(crate) unvouched: BTreeMap<String, u64>,
}

/// A store in the making, with all that it went through.
struct Maker {
    sim: SimFs,
    store: Store,
    earlier: Vec<SimFs>,
    history: Vec<Tree>,
}

const SMALL: usize = 60;

impl Maker {
    fn new() -> Self {
        Self::with(options())
    }

    fn with(options: Options) -> Self {
        let sim = SimFs::new();
        drop(open(&sim));
        let store = options.open_with(sim.actor()).expect("it opens");
        Self { sim, store, earlier: Vec::new(), history: vec![Tree::new()] }
    }

    fn tree(&self) -> Tree {
        self.history.last().expect("never empty").clone()
    }

    fn commit(&mut self, ops: &[(&str, Op)]) {
        self.earlier.push(self.sim.fork());
        let (number, mut tree) = (self.history.len(), self.tree());
        history::run_ops(&self.store, ops, number, &mut tree).expect("nothing fails here");
        self.history.push(tree);
    }

    fn put(&mut self, path: &str, bytes: &[u8]) {
        self.earlier.push(self.sim.fork());
        put(&self.store, path, bytes);
        let mut tree = self.tree();
        tree.insert(path.to_owned(), bytes.to_vec());
        self.history.push(tree);
    }

    /// The next group goes to a segment of its own.
    fn tear(&mut self) {
        for (kind, nth) in [(FaultKind::ShortWrite, 1), (FaultKind::Error(errno::NOSPC), 2)] {
            let at = When::Matching { op: "write", path_contains: "journal".into(), nth };
            self.sim.fault(Fault { at, kind, sticky: false });
        }
        self.store.write("a.json", &1).expect_err("the disk is full");
        self.sim.clear_faults();
    }

    fn checkpoint(&mut self) {
        self.earlier.push(self.sim.fork());
        self.store.checkpoint().expect("nothing fails here");
    }

    /// Small transactions of the whole vocabulary.
    fn some(&mut self) {
        self.put("a.json", &body("a", 0, SMALL));
        self.put("b.json", &[0xff; 20]);
        self.commit(&[("a", Op::Replace), ("c", Op::NewDir)]);
        self.commit(&[("a", Op::Append)]);
        self.commit(&[("b", Op::Rename)]);
        self.put("d.json", b"{}");
    }

    fn close(self, name: &'static str) -> Resting {
        self.earlier_of_close(name, true)
    }

    /// The process dies.
    fn die(self, name: &'static str) -> Resting {
        self.earlier_of_close(name, false)
    }

    fn earlier_of_close(mut self, name: &'static str, close: bool) -> Resting {
        self.earlier.push(self.sim.fork());
        if close {
            self.store.close().expect("nothing fails here");
        } else {
            drop(self.store);
        }
        rest(name, &self.sim, self.earlier, self.history)
    }
}

fn rest(name: &'static str, sim: &SimFs, earlier: Vec<SimFs>, history: Vec<Tree>) -> Resting {
    // The same inode in every world, and nothing pending.
    let sim = sim.fork();
    sim.write_back_all();
    let unvouched = unvouched(&sim);
    let tree = history.last().expect("never empty").clone();
    Resting { name, sim, earlier, tree, history, buffered: false, unvouched }
}

/// Of each segment: where what `state` does not vouch for begins.
fn unvouched(sim: &SimFs) -> BTreeMap<String, u64> {
    let fs = sim.actor();
    let state = StateFile::open(&*fs).expect("it can be read");
    let reading = state.and_then(|state| state.read().expect("it can be read"));
    let synced = reading.map_or(0, |reading| reading.synced);
    let segments = load(&*fs).expect("they can be read");
    let bytes: Vec<(u64, &[u8])> =
        segments.iter().map(|segment| (segment.first, segment.bytes.as_slice())).collect();
    let scan = scan(&bytes, None).expect("the journal is sound");
    let mut begins = BTreeMap::new();
    for group in scan.groups.iter().filter(|group| group.last > synced) {
        let path = format!(".filepact/journal/{:020}.jsonl", group.begins.segment());
        begins.entry(path).or_insert(group.begins.offset());
    }
    begins
}

/// All of them.
pub(crate) fn stores() -> Vec<Resting> {
    let mut all = Vec::new();

    let mut maker = Maker::new();
    maker.some();
    all.push(maker.close("closed"));

    let mut maker = Maker::new();
    maker.some();
    maker.checkpoint();
    maker.put("e.json", b"{}");
    all.push(maker.die("dead in the same boot"));

    let mut maker = Maker::new();
    maker.put("a.json", &body("a", 0, SMALL));
    maker.tear();
    maker.put("b.json", &body("b", 0, SMALL));
    maker.tear();
    maker.commit(&[("a", Op::Append)]);
    maker.put("c.json", b"{}");
    all.push(maker.die("of several segments"));

    let mut maker = Maker::new();
    maker.put("a.json", &body("a", 0, SMALL));
    maker.tear();
    maker.checkpoint();
    maker.put("b.json", b"{}");
    all.push(maker.close("of several segments, closed"));

    all.push(unpublished());
    all.extend(cut());
    all.push(adopted());

    let mut maker = Maker::with(options().durability(Durability::Buffered));
    maker.put("a.json", &body("a", 0, SMALL));
    maker.put("b.json", b"{}");
    maker.put("a.json", b"{}");
    all.push(Resting { buffered: true, ..maker.die("buffered") });

    let mut maker = Maker::new();
    maker.some();
    let mut lost = maker.close("closed, and `state` is lost");
    lost.sim.damage(".filepact/state", filepact_simfs::Damage::Delete);
    lost.unvouched = unvouched(&lost.sim);
    all.push(lost);
    all
}

/// A process has died before it had swapped a large body, and one that is added.
fn unpublished() -> Resting {
    let mut maker = Maker::new();
    maker.put("a.json", &body("a", 0, SMALL));
    maker.put("b.json", b"{}");
    maker.earlier.push(maker.sim.fork());
    let dead = dies_before_swap(&maker.sim, "a.json");
    let mut tree = maker.tree();
    let ops = [("a", Op::Large), ("b", Op::AppendLarge)];
    history::run_ops(&dead, &ops, 7, &mut tree).expect_err("it dies");
    drop(dead);
    maker.history.push(tree);
    maker.die("dead in C8, with large bodies")
}

/// A power cut that has left no document of the last transactions, with `state` as it may be then.
fn cut() -> [Resting; 2] {
    const STATE: &str = ".filepact/state";
    let mut maker = Maker::new();
    maker.put("a.json", &body("a", 0, SMALL));
    maker.checkpoint();
    maker.sim.write_back_all();
    let before = maker.history[1].clone();
    maker.put("c.json", &body("c", 0, INLINE_MAX + 100));
    maker.commit(&[("a", Op::Replace), ("b", Op::New)]);
    let older = maker.sim.read(STATE).expect("it is there");
    maker.commit(&[("a", Op::Append)]);
    let Maker { sim, store, earlier, history } = maker;
    drop(store);
    let worlds = sim.world().power_cut(&STRICT, 500, 1).worlds;
    let world = worlds.into_iter().find(|world| documents(world) == before);
    let world = world.expect("nothing makes them durable");
    let [lost, old] = [world.fork(), world];
    lost.remove(STATE);
    old.write(STATE, &older);
    let rest = |name, sim: &SimFs| rest(name, sim, earlier.clone(), history.clone());
    [rest("cut, and `state` is lost", &lost), rest("cut, and `state` is older", &old)]
}

/// A group of two transactions: an edit that was read, and what was derived from it.
fn adopted() -> Resting {
    let mut maker = Maker::new();
    maker.put("a.json", &body("a", 0, SMALL));
    maker.sim.advance(std::time::Duration::from_secs(61));
    maker.sim.write("a.json", b"by hand");
    maker.sim.advance(std::time::Duration::from_secs(61));
    maker.earlier.push(maker.sim.fork());
    let derive = |tx: &mut filepact::Transaction| {
        tx.read_bytes("a.json")?;
        tx.write_bytes("b.json", "derived")
    };
    maker.store.transact(derive).expect("nothing fails here");
    let mut tree = maker.tree();
    tree.insert("a.json".to_owned(), b"by hand".to_vec());
    // Recorded before it is derived from: both are one group.
    tree.insert("b.json".to_owned(), b"derived".to_vec());
    maker.history.push(tree);
    maker.die("with an edit that was adopted")
}
