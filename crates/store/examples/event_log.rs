//! An event log and its index: each event is added to the one and entered in the other, or neither.
//!
//! ```text
//! cargo run -p filepact --example event_log
//! cargo run -p filepact --example event_log -- 8 200     # writers, events of each
//! ```
//!
//! The index says at which byte of the log each event of a kind begins. A reader takes both from one
//! snapshot, meanwhile and at the end, and finds each event where the index says.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use filepact::Store;
use serde::{Deserialize, Serialize};

const LOG: &str = "events.jsonl";
const INDEX: &str = "index.json";
const KINDS: [&str; 3] = ["order", "payment", "refund"];

#[derive(Serialize, Deserialize)]
struct Event {
    kind: String,
    writer: u32,
    number: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct Index {
    /// Bytes in the log.
    len: usize,
    /// Where the events of each kind begin.
    offsets: BTreeMap<String, Vec<usize>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let number =
        |at: usize, default: u32| std::env::args().nth(at).map_or(Ok(default), |n| n.parse());
    let (writers, events) = (number(1, 4)?, number(2, 50)?);
    let folder = tempfile::tempdir_in(".")?;
    let store = Store::open(folder.path())?;
    store.write(INDEX, &Index::default())?;

    let write = |writer: u32| {
        (0..events).try_for_each(|number| {
            let kind = KINDS[(writer + number) as usize % KINDS.len()].to_owned();
            add(&store, &Event { kind, writer, number })
        })
    };
    let done = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        let reader = scope.spawn(|| -> Result<_, filepact::Error> {
            let mut looks = 0;
            while !done.load(Relaxed) {
                verify(&store)?;
                looks += 1;
            }
            Ok(looks)
        });
        let writers: Vec<_> =
            (0..writers).map(|writer| scope.spawn(move || write(writer))).collect();
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Relaxed);
        let looks = reader.join().expect("the index is right")?;
        written.into_iter().try_for_each(|writer| writer.expect("no writer panics"))?;
        Ok::<_, filepact::Error>(looks)
    })?;
    let total = verify(&store)?;
    assert_eq!(total, (writers * events) as usize, "an event is lost");
    store.close()?;
    println!("{total} events of {writers} writers, each where the index says");
    println!("{looks} looks meanwhile, each of one moment");
    Ok(())
}

fn add(store: &Store, event: &Event) -> Result<(), filepact::Error> {
    let line = serde_json::to_string(event).expect("an event is JSON") + "\n";
    store.transact(|tx| {
        // It was read, so that no other event can come between: the offset is right, or all of this
        // is done again.
        let mut index: Index = tx.read(INDEX)?;
        index.offsets.entry(event.kind.clone()).or_default().push(index.len);
        index.len += line.len();
        tx.append(LOG, &line)?;
        tx.write(INDEX, &index)
    })
}

/// Holds the log against the index, both of one moment; the number of events.
fn verify(store: &Store) -> Result<usize, filepact::Error> {
    let snapshot = store.snapshot()?;
    let index: Index = snapshot.read(INDEX)?;
    let log = snapshot.read_bytes(LOG)?.unwrap_or_default();
    assert_eq!(log.len(), index.len, "the log and the index are of two moments");
    let mut events = 0;
    for (kind, offsets) in &index.offsets {
        for &offset in offsets {
            let line = log[offset..].split(|byte| *byte == b'\n').next().expect("there is a first");
            let event: Event = serde_json::from_slice(line).expect("an event begins here");
            assert_eq!(event.kind, *kind);
            events += 1;
        }
    }
    assert_eq!(events, log.iter().filter(|byte| **byte == b'\n').count());
    Ok(events)
}
