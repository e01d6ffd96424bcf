//! filepact and its peers side by side, in one process, round by round.
//!
//! ```text
//! args -> benches (what is measured) -> measure (in turns, warm) -> report (table or JSON lines), plot
//!              systems (who is measured)        worker (where that takes a process of its own)
//! ```
//!
//! A bench makes *lanes*: one for each system that takes part in a case. A lane runs for as long as it
//! is told to and answers how long each of its operations took; it knows nothing of the others. Lanes
//! take turns, so that a disk that is slower for a while is slower for all. `docs/benchmarks.md` has
//! the method, and each system's settings with the reasons.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "plain files are what is measured against, and the peers' own"
)]

mod args;
mod bench;
mod benches;
mod document;
mod machine;
mod measure;
mod plot;
mod report;
mod scratch;
mod systems;
mod worker;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::bench::Bench;

/// What can fail; the message says what, for a person.
type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let outcome = match &arguments[..] {
        [_, word, task] if word == worker::WORD => worker::work(task),
        _ => run(&Args::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("filepact-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome {
    if let Some(folder) = &args.plot {
        plot::prepare(folder, args)?;
    }
    let mut bench = Bench::new(args)?;
    bench.report.machine(&machine::look(bench.folder())?)?;
    for name in args.bench.each() {
        benches::run(name, &mut bench)?;
        bench.report.finish(name.name())?;
    }
    match &args.plot {
        Some(folder) => plot::write(folder, bench.report.rows()),
        None => Ok(()),
    }
}
