//! Scale: commits in a large store, one large transaction, one large body; with the memory that the
//! process needed, which does nothing else.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use super::open::fill;
use super::writer::Documents;
use crate::Outcome;
use crate::bench::{Bench, SMALL};
use crate::document::next;
use crate::measure::Lane;
use crate::report::Case;
use crate::systems::{Kind, Sharing};
use crate::worker::{Task, Worker};

pub(super) fn run(bench: &mut Bench) -> Outcome {
    for documents in bench.sized([20, 200], [1000, 100_000], [1000, 1_000_000]) {
        many(bench, documents)?;
    }
    transaction(bench, bench.sized(100, 10_000, 100_000))?;
    body(bench, bench.sized(1, 256, 1024))
}

fn takes_part(kind: Kind) -> bool {
    kind == Kind::Floor || (kind.is_store() && kind != Kind::FilepactFiles)
}

/// Commits of ten documents that lie scattered among very many.
fn many(bench: &mut Bench, store_docs: u64) -> Outcome {
    let mut workers = Vec::new();
    for kind in bench.systems(takes_part) {
        let folder = bench.scratch.fresh(kind.name())?;
        if kind.keeps() {
            fill(kind, &folder, store_docs)?;
        }
        let documents = Documents { among: Some(store_docs), ..Documents::new(10, SMALL) };
        let (system, sharing) = (kind, Sharing::Alone);
        workers.push((kind, Worker::start(&Task::Commit { system, sharing, folder, documents })?));
    }
    let case = Case { store_docs: Some(store_docs), ..case("commit", 10, SMALL as u64) };
    measure(bench, &case, workers, u32::MAX)
}

/// One transaction of very many documents.
fn transaction(bench: &mut Bench, docs: u64) -> Outcome {
    let mut workers = Vec::new();
    for kind in bench.systems(takes_part) {
        let folder = bench.scratch.fresh(kind.name())?;
        if kind.keeps() {
            fill(kind, &folder, docs)?;
        }
        let documents = Documents::new(docs, SMALL);
        let (system, sharing) = (kind, Sharing::Alone);
        workers.push((kind, Worker::start(&Task::Commit { system, sharing, folder, documents })?));
    }
    measure(bench, &case("large transaction", docs, SMALL as u64), workers, 3)
}

/// A large body from a file, against a copy of it and `fsync`.
fn body(bench: &mut Bench, mib: u64) -> Outcome {
    let folder = bench.scratch.fresh("sources")?;
    let sources = [folder.join("a.bin"), folder.join("b.bin")];
    sources.iter().zip(1..).try_for_each(|(path, seed)| random_file(path, mib, seed))?;
    let mut workers = Vec::new();
    for kind in bench.systems(|kind| matches!(kind, Kind::Floor | Kind::Filepact)) {
        let folder = bench.scratch.fresh(kind.name())?;
        let task = Task::Body { system: kind, folder, sources: sources.to_vec() };
        workers.push((kind, Worker::start(&task)?));
    }
    let bytes = mib << 20;
    let case = Case { moves: Some(bytes), ..case("large body", 1, bytes) };
    measure(bench, &case, workers, 5)?;
    bench.scratch.clear("sources")
}

fn case(case: &'static str, docs: u64, bytes: u64) -> Case {
    Case { bench: "scale", case: Some(case), docs, bytes, threads: 1, ..Case::default() }
}

/// Measures processes of one system each, and clears up behind them.
fn measure(
    bench: &mut Bench,
    case: &Case,
    mut workers: Vec<(Kind, Worker)>,
    rounds: u32,
) -> Outcome {
    let lanes = workers
        .iter_mut()
        .map(|(kind, worker)| Lane::new(*kind, move |budget| worker.turn(budget)))
        .collect();
    bench.measure(case, bench.pace.at_most(rounds), lanes)?;
    for (kind, worker) in workers {
        worker.finish()?;
        bench.scratch.clear(kind.name())?;
    }
    Ok(())
}

fn random_file(path: &PathBuf, mib: u64, mut seed: u64) -> Outcome {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for _ in 0..(mib << 20) / 8 {
        file.write_all(&next(&mut seed).to_le_bytes())?;
    }
    Ok(file.into_inner()?.sync_all()?)
}
