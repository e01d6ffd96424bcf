//! Several processes, two documents of their own in a transaction.

use super::writer::Documents;
use crate::Outcome;
use crate::bench::Bench;
use crate::measure::Lane;
use crate::report::Case;
use crate::systems::{Kind, Sharing};
use crate::worker::{Task, Worker, together};

const DOCS: u64 = 2;
const BYTES: usize = 1024;
/// Long turns: a process may wait for long until it gets through.
const TURNS: u32 = 5;

pub(super) fn run(bench: &mut Bench) -> Outcome {
    for processes in bench.sized(&[1, 2][..], &[1, 2, 4], &[1, 2, 4]) {
        let opened = bench.open(Sharing::Shared, Kind::shares)?;
        let mut crews = Vec::new();
        for system in &opened {
            let start = |place| {
                Worker::start(&Task::Commit {
                    system: system.kind,
                    sharing: Sharing::Shared,
                    folder: system.folder.clone(),
                    documents: Documents { first: place * DOCS, ..Documents::new(DOCS, BYTES) },
                })
            };
            let workers: Outcome<Vec<Worker>> = (0..*processes).map(start).collect();
            crews.push((system.kind, workers?));
        }
        let lanes = crews
            .iter_mut()
            .map(|(kind, workers)| Lane::new(*kind, move |budget| together(workers, budget)))
            .collect();
        let case = Case {
            bench: "processes",
            docs: DOCS,
            bytes: BYTES as u64,
            threads: 1,
            processes: Some(*processes),
            rate: true,
            ..Case::default()
        };
        bench.measure(&case, bench.pace.at_most(TURNS), lanes)?;
        for (_, workers) in crews {
            workers.into_iter().try_for_each(Worker::finish)?;
        }
        bench.close(opened)?;
    }
    Ok(())
}
