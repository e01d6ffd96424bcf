//! Commits while a checkpoint is under way, and without one.
//!
//! A thread makes a checkpoint, rests, and makes the next one. A commit counts as beside one if one ran
//! when it began, or when it ended.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filepact::Store;

use super::writer::{Documents, Writer};
use crate::Outcome;
use crate::bench::Bench;
use crate::measure::{Lane, Turn, in_turns, repeat};
use crate::report::Case;
use crate::systems::Kind;
use crate::worker::write_all;

const BYTES: usize = 1024;

/// From the end of a checkpoint to the next one.
const REST: Duration = Duration::from_millis(100);

pub(super) fn run(bench: &mut Bench) -> Outcome {
    if bench.systems(|kind| kind == Kind::Filepact).is_empty() {
        return Ok(());
    }
    same(bench, 2)?;
    same(bench, 10)?;
    scattered(bench)
}

/// All commits replace the same documents.
fn same(bench: &mut Bench, docs: u64) -> Outcome {
    let documents = Documents::new(docs, BYTES);
    of(bench, documents, docs, ["the same documents", "the same, beside a checkpoint"])
}

/// Each commit replaces others, of a thousand.
fn scattered(bench: &mut Bench) -> Outcome {
    let there = bench.sized(100, 1000, 1000);
    let documents = Documents { among: Some(there), ..Documents::new(10, BYTES) };
    of(bench, documents, there, ["ten of a thousand", "of a thousand, beside a checkpoint"])
}

fn of(bench: &mut Bench, documents: Documents, there: u64, names: [&'static str; 2]) -> Outcome {
    let folder = bench.scratch.fresh("checkpoint")?;
    // None comes by itself.
    let store =
        Store::options().background_checkpoints(false).journal_max(u64::MAX).open(folder)?;
    write_all(&store, Documents::new(1, BYTES), there, 1)?;
    let writer = || Writer::new(Kind::client_of(&store), documents);
    let (mut free, mut beside) = (writer(), writer());
    let lanes = vec![
        Lane::new(Kind::Filepact, |budget| repeat(budget, || free.commit())),
        Lane::new(Kind::Filepact, |budget| beside_checkpoints(&store, budget, &mut beside)),
    ];
    let [alone, with] = names.map(|name| {
        let (docs, bytes) = (documents.docs, BYTES as u64);
        Case { bench: "checkpoint", case: Some(name), docs, bytes, threads: 1, ..Case::default() }
    });
    bench.report.begins(&alone);
    let measured = in_turns(bench.pace, &bench.scratch, lanes)?;
    bench.report.add(&alone, &measured[..1])?;
    bench.report.add(&with, &measured[1..])?;
    store.close()?;
    bench.scratch.clear("checkpoint")
}

/// At least one commit beside a checkpoint, and as many as there are in this time.
fn beside_checkpoints(store: &Store, budget: Duration, writer: &mut Writer) -> Outcome<Turn> {
    // Odd while one runs.
    let (count, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let checkpoints = scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                count.fetch_add(1, Ordering::SeqCst);
                let made = store.checkpoint();
                count.fetch_add(1, Ordering::SeqCst);
                made?;
                thread::sleep(REST);
            }
            Ok::<_, filepact::Error>(())
        });
        let mut turn = Turn::default();
        let began = Instant::now();
        let commits = (|| {
            while !checkpoints.is_finished() && (turn.nanos.is_empty() || began.elapsed() < budget)
            {
                let before = count.load(Ordering::SeqCst);
                let took = writer.commit()?;
                if before % 2 == 1 || count.load(Ordering::SeqCst) != before {
                    turn.nanos.push(took.as_nanos() as u64);
                }
            }
            Ok(())
        })();
        ended.store(true, Ordering::Relaxed);
        checkpoints.join().expect("it does not panic")?;
        turn.ended = turn.nanos.len() as u64;
        turn.seconds = turn.nanos.iter().sum::<u64>() as f64 / 1e9;
        commits.map(|()| turn)
    })
}
