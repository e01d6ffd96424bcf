//! One thread replaces documents: from one of 1 KiB to a hundred, and large ones.

use super::writer::{Documents, Writer};
use crate::Outcome;
use crate::bench::Bench;
use crate::measure::{Lane, repeat};
use crate::report::Case;
use crate::systems::Sharing;

const KIB: usize = 1024;
const CASES: &[(u64, usize)] =
    &[(1, KIB), (3, KIB), (10, KIB), (30, KIB), (100, KIB), (1, 64 * KIB), (1, 16 * KIB * KIB)];
const QUICK: &[(u64, usize)] = &[(1, KIB), (3, KIB), (1, 80 * KIB)];
/// A commit of this size is long; fewer turns will do.
const LARGE: usize = KIB * KIB;

pub(super) fn run(bench: &mut Bench) -> Outcome {
    for (docs, bytes) in bench.sized(QUICK, CASES, CASES) {
        let opened = bench.open(Sharing::Alone, |_| true)?;
        let mut writers = Vec::new();
        for system in &opened {
            let documents = Documents::new(*docs, *bytes);
            let mut writer = Writer::new(system.system.client()?, documents);
            writer.write_missing()?;
            writers.push((system.kind, writer));
        }
        let lanes = writers.iter_mut().map(|(kind, writer)| {
            Lane::new(*kind, move |budget| repeat(budget, || writer.commit()))
        });
        let lanes = lanes.collect();
        let case = Case {
            bench: "commit",
            docs: *docs,
            bytes: *bytes as u64,
            threads: 1,
            ..Case::default()
        };
        let pace = if *bytes >= LARGE { bench.pace.at_most(5) } else { bench.pace };
        bench.measure(&case, pace, lanes)?;
        for (kind, mut writer) in writers {
            if kind.keeps() {
                writer.check().map_err(|error| format!("{}: {error}", kind.name()))?;
            }
        }
        bench.close(opened)?;
    }
    Ok(())
}
