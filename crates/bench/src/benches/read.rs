//! Reading: one document, ten of one moment, at a snapshot; and commits while a snapshot is held.
//!
//! Documents are read as a program would hold them: parsed. The floor is a plain file, read and
//! parsed alike; ten plain files are of no one moment.

use std::time::Duration;

use filepact::Store;

use super::writer::{Documents, Writer};
use crate::Outcome;
use crate::bench::Bench;
use crate::document::{Document, path};
use crate::measure::{Lane, in_turns, repeat, timed};
use crate::report::Case;
use crate::systems::{Kind, Sharing};

const BYTES: usize = 1024;

pub(super) fn run(bench: &mut Bench) -> Outcome {
    documents(bench, "one", 1, Content::Again)?;
    documents(bench, "one, for the first time", 1, Content::Anew)?;
    documents(bench, "ten of one moment", 10, Content::Again)?;
    if bench.systems(|kind| kind == Kind::Filepact).is_empty() {
        return Ok(());
    }
    let folder = bench.scratch.fresh("snapshots")?;
    let store = Store::open(folder)?;
    let there = bench.sized(100, 1000, 1000);
    Kind::client_of(&store).commit(&Documents::new(there, BYTES).distinct_puts(1))?;
    snapshots(bench, &store, there)?;
    pinned(bench, &store, there)?;
    store.close()?;
    bench.scratch.clear("snapshots")
}

fn case(case: &'static str, docs: u64) -> Case {
    let bytes = BYTES as u64;
    Case { bench: "read", case: Some(case), docs, bytes, threads: 1, ..Case::default() }
}

/// Whether what is read was read before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Again,
    /// Each document is replaced, untimed, before it is read again.
    Anew,
}

fn documents(bench: &mut Bench, name: &'static str, docs: u64, content: Content) -> Outcome {
    let there = Documents::new(100, BYTES);
    // How a commit is made durable is nothing to a reader.
    let reads =
        |kind: Kind| kind == Kind::Floor || (kind.is_store() && kind != Kind::FilepactFiles);
    let mut systems = Vec::new();
    for kind in bench.systems(reads) {
        let folder = bench.scratch.fresh(kind.name())?;
        let keeps = if kind == Kind::Floor { Kind::Naive } else { kind };
        let system = keeps.open(&folder, Sharing::Alone)?;
        let mut client = system.client()?;
        client.commit(&there.distinct_puts(0))?;
        systems.push((kind, client, system));
    }
    let lanes = systems.iter_mut().map(|(kind, client, _)| {
        let (mut first, mut number) = (0, 0);
        Lane::new(*kind, move |budget| {
            repeat(budget, || {
                first = (first + docs) % there.docs;
                if first == 0 && content == Content::Anew {
                    number += 1;
                    client.commit(&there.distinct_puts(number))?;
                }
                let paths = Documents { first, ..Documents::new(docs, BYTES) }.paths();
                let mut documents = Vec::new();
                let took = timed(|| {
                    documents = client.documents(&paths)?;
                    Ok(())
                })?;
                match documents.len() == paths.len() {
                    true => Ok(took),
                    false => Err("documents are missing".into()),
                }
            })
        })
    });
    let lanes = lanes.collect();
    bench.measure(&case(name, docs), bench.pace, lanes)?;
    for (kind, client, system) in systems {
        drop(client);
        system.close()?;
        bench.scratch.clear(kind.name())?;
    }
    Ok(())
}

/// Taking a snapshot; and reading from it a document that has been replaced since.
fn snapshots(bench: &mut Bench, store: &Store, there: u64) -> Outcome {
    let take = |budget| {
        repeat(budget, || {
            timed(|| {
                drop(store.snapshot()?);
                Ok(())
            })
        })
    };
    bench.measure(
        &case("take a snapshot", 0),
        bench.pace,
        vec![Lane::new(Kind::Filepact, take)],
    )?;
    let mut number = 1;
    let mut one = move |later| -> Outcome<Duration> {
        number += 1;
        let changed = Documents { first: number % there, ..Documents::new(1, BYTES) };
        let snapshot = store.snapshot()?;
        let put = changed.puts(number).remove(0);
        store.transact(|tx| tx.write_bytes(&put.path, put.body.as_slice()))?;
        let read = || -> Outcome<Duration> { timed(|| Ok(snapshot.read::<Document>(&put.path)?)) };
        let first = read()?;
        if later { read() } else { Ok(first) }
    };
    for (name, later) in [("replaced, at a snapshot, first", false), ("again", true)] {
        let lane = Lane::new(Kind::Filepact, |budget| repeat(budget, || one(later)));
        bench.measure(&case(name, 1), bench.pace, vec![lane])?;
    }
    let snapshot = store.snapshot()?;
    let mut index = 0;
    let lane = Lane::new(Kind::Filepact, |budget| {
        repeat(budget, || {
            index = (index + 1) % there;
            let path = path(index);
            timed(|| Ok(snapshot.read::<Document>(&path)?))
        })
    });
    bench.measure(&case("unchanged, at a snapshot", 1), bench.pace, vec![lane])?;
    Ok(())
}

/// Commits of ten documents among a thousand. A snapshot that is held for a turn costs most in the
/// first commits, in which each document is replaced for the first time since.
fn pinned(bench: &mut Bench, store: &Store, there: u64) -> Outcome {
    let writer = || -> Outcome<Writer> {
        let documents = Documents { among: Some(there), ..Documents::new(10, BYTES) };
        Ok(Writer::new(Kind::client_of(store), documents))
    };
    let (mut free, mut beside) = (writer()?, writer()?);
    let lanes = vec![
        Lane::new(Kind::Filepact, |budget| repeat(budget, || free.commit())),
        Lane::new(Kind::Filepact, |budget| {
            let _snapshot = store.snapshot()?;
            repeat(budget, || beside.commit())
        }),
    ];
    let (without, with) = (case("commit", 10), case("commit beside a snapshot", 10));
    bench.report.begins(&without);
    let measured = in_turns(bench.pace, &bench.scratch, lanes)?;
    bench.report.add(&without, &measured[..1])?;
    bench.report.add(&with, &measured[1..])
}
