//! Sixteen processes count in four files, each file in every transaction; the sums must be exact.
//!
//! fstx could take part: one transaction at a time, of a few milliseconds each, so that a count would
//! take minutes. It is left out.

use std::time::Instant;

use super::writer::{Documents, Writer};
use crate::Outcome;
use crate::bench::{Bench, Opened};
use crate::measure::{Lane, Turn};
use crate::report::Case;
use crate::systems::Sharing;
use crate::worker::{Task, Worker};

const FILES: u64 = 4;
const BYTES: usize = 256;

pub(super) fn run(bench: &mut Bench) -> Outcome {
    let (processes, times) = bench.sized((2, 4), (16, 128), (16, 128));
    let opened = bench.open(Sharing::Shared, |kind| kind.shares() && kind.is_store())?;
    let counters = Documents::new(FILES, BYTES);
    for system in &opened {
        system.system.client()?.commit(&counters.puts(0))?;
    }
    let lanes = opened
        .iter()
        .map(|opened| Lane::new(opened.kind, move |_| count(opened, counters, processes, times)));
    let case = Case {
        bench: "counter",
        docs: FILES,
        bytes: BYTES as u64,
        threads: 1,
        processes: Some(processes),
        rate: true,
        ..Case::default()
    };
    let lanes = lanes.collect();
    bench.measure(&case, bench.pace.at_most(2), lanes)?;
    bench.close(opened)
}

/// One count to its end. The time is that of all processes together; starting them is not in it.
fn count(opened: &Opened, counters: Documents, processes: u64, times: u64) -> Outcome<Turn> {
    let Opened { kind, folder, .. } = opened;
    let sums = || Writer::new(opened.system.client()?, counters).numbers();
    let before = sums()?;
    let start =
        |_| Worker::start(&Task::Count { system: *kind, folder: folder.clone(), counters, times });
    let mut workers = (0..processes).map(start).collect::<Outcome<Vec<_>>>()?;
    let began = Instant::now();
    workers.iter_mut().try_for_each(|worker| worker.begin(Default::default()))?;
    let mut nanos = Vec::new();
    for worker in &mut workers {
        nanos.extend(worker.end()?.nanos);
    }
    let seconds = began.elapsed().as_secs_f64();
    workers.into_iter().try_for_each(Worker::finish)?;
    let wanted: Vec<u64> = before.iter().map(|sum| sum + processes * times).collect();
    match sums()? {
        sums if sums == wanted => {
            Ok(Turn { nanos, ended: processes * times, seconds, peak_kib: None })
        }
        sums => Err(format!("the sums should be {wanted:?} and are {sums:?}").into()),
    }
}
