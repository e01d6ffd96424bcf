//! Opening a clean store, by the number of documents in it.

use std::path::Path;

use super::writer::Documents;
use crate::Outcome;
use crate::bench::{Bench, SMALL};
use crate::measure::{Lane, repeat, timed};
use crate::report::Case;
use crate::systems::{Kind, Sharing};

/// Documents in a transaction that fills a store.
const AT_ONCE: u64 = 1000;

pub(super) fn run(bench: &mut Bench) -> Outcome {
    let sizes: &[u64] =
        bench.sized(&[10, 100], &[1000, 10_000, 100_000], &[1000, 10_000, 100_000, 1_000_000]);
    for documents in sizes {
        let takes_part = |kind: Kind| kind.is_store() && kind != Kind::FilepactFiles;
        let mut stores = Vec::new();
        for kind in bench.systems(takes_part) {
            let folder = bench.scratch.fresh(kind.name())?;
            fill(kind, &folder, *documents)?;
            stores.push((kind, folder));
        }
        let lanes = stores.iter().map(|(kind, folder)| {
            Lane::new(*kind, move |budget| {
                repeat(budget, || {
                    let mut opened = None;
                    let took = timed(|| {
                        let system = kind.open(folder, Sharing::Alone)?;
                        let client = system.client()?;
                        opened = Some((system, client));
                        Ok(())
                    })?;
                    if let Some((system, client)) = opened {
                        drop(client);
                        system.close()?;
                    }
                    Ok(took)
                })
            })
        });
        let case = Case {
            bench: "open",
            docs: 0,
            bytes: SMALL as u64,
            threads: 1,
            store_docs: Some(*documents),
            ..Case::default()
        };
        let lanes = lanes.collect();
        bench.measure(&case, bench.pace, lanes)?;
        for (kind, _) in stores {
            bench.scratch.clear(kind.name())?;
        }
    }
    Ok(())
}

/// Makes a store of so many documents, and closes it.
pub(super) fn fill(kind: Kind, folder: &Path, documents: u64) -> Outcome {
    let named = |error| format!("{}: {error}", kind.name());
    let system = kind.open(folder, Sharing::Alone).map_err(named)?;
    let mut client = system.client()?;
    let mut first = 0;
    while first < documents {
        let docs = AT_ONCE.min(documents - first);
        client
            .commit(&Documents { first, ..Documents::new(docs, SMALL) }.puts(1))
            .map_err(named)?;
        first += docs;
    }
    drop(client);
    system.close()
}
