//! A transaction that finds no room in the segment, and bears another one.

use std::sync::OnceLock;

use filepact::Store;
use filepact_simfs::SimFs;

use crate::crash::story::{Promise, Recorded, Story};
use crate::crash::{open, options, prepared};
use crate::history::{self, Txn, body};

/// A transaction over two documents that bears a segment, one that follows it there, and a close.
///
/// The process that does it has made a blank for it before (`ready`), or has only just come.
pub fn birth(name: String, txns: [Txn; 2], ready: bool) -> Story {
    static ROOM: OnceLock<usize> = OnceLock::new();
    let count = *ROOM.get_or_init(room);
    let (sim, [filler, other]) = filled(count);
    let store = if ready { filler } else { other };
    let mut before = history::before();
    before.insert(LARGE.to_owned(), body("large", 0, LARGE_LEN));
    before.insert(SMALL.to_owned(), body("small", count - 1, SMALL_LEN));
    let mut run = Recorded::begin(sim.clone(), before);
    for (number, txn) in txns.iter().enumerate() {
        let mut tree = run.tree().clone();
        history::run(&store, *txn, number + 1, &mut tree).expect("nothing fails here");
        run.acknowledge(tree);
    }
    store.close().expect("nothing fails here");
    assert!(is_birth(&sim), "the first transaction bears a segment");
    assert_eq!(is_of_blank(&sim), ready, "whoever writes much makes a blank before it is needed");
    let text = format!("{txns:?} in a full segment, {}", if ready { "made ready" } else { "new" });
    Story { name, text, scenes: run.scenes(0, Promise::Journal), share: 8 }
}

const LARGE: &str = "large.txt";
const LARGE_LEN: usize = 50_000;
const SMALL: &str = "small.txt";
const SMALL_LEN: usize = 10;

/// A store whose first segment holds one large body, made durable by a checkpoint, and so many small
/// ones; and the processes that have it open: who has written them, and one that has written nothing.
fn filled(count: usize) -> (SimFs, [Store; 2]) {
    let sim = prepared();
    let store = options().inline_max(LARGE_LEN).open_with(sim.actor()).expect("it opens");
    put(&store, LARGE, &body("large", 0, LARGE_LEN));
    store.close().expect("nothing fails here");
    let stores = [open(&sim), open(&sim)];
    (0..count).for_each(|number| put(&stores[0], SMALL, &body("small", number, SMALL_LEN)));
    (sim, stores)
}

/// How many small ones find room.
fn room() -> usize {
    let (sim, [store, _]) = filled(0);
    sim.record();
    for number in 0.. {
        put(&store, SMALL, &body("small", number, SMALL_LEN));
        if is_birth(&sim) {
            return number;
        }
    }
    unreachable!("a segment has an end")
}

fn put(store: &Store, path: &str, body: &[u8]) {
    store.transact(|tx| tx.write_bytes(path, body)).expect("nothing fails here");
}

fn is_birth(sim: &SimFs) -> bool {
    sim.call_log().iter().any(|call| call.starts_with("rename .filepact/journal/new"))
}

fn is_of_blank(sim: &SimFs) -> bool {
    sim.call_log()
        .iter()
        .any(|call| call.contains("link") && call.contains(".filepact/journal/new"))
}
