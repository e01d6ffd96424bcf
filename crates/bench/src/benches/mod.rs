//! What is measured.

mod checkpoint;
mod commit;
mod counter;
mod open;
mod processes;
mod read;
mod recover;
mod scale;
mod threads;
pub(crate) mod writer;

use crate::Outcome;
use crate::args::Name;
use crate::bench::Bench;

/// Runs one bench.
pub(crate) fn run(name: Name, bench: &mut Bench) -> Outcome {
    match name {
        Name::Commit => commit::run(bench),
        Name::Threads => threads::run(bench),
        Name::Processes => processes::run(bench),
        Name::Read => read::run(bench),
        Name::Counter => counter::run(bench),
        Name::Checkpoint => checkpoint::run(bench),
        Name::Recover => recover::run(bench),
        Name::Open => open::run(bench),
        Name::Scale => scale::run(bench),
        Name::All => name.each().try_for_each(|name| run(name, bench)),
    }
}
