//! What the command line may say.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::systems::Kind;

const AFTER_HELP: &str = "\
Examples:
  cargo run --release -p filepact-bench -- commit
  cargo run --release -p filepact-bench -- threads --systems filepact,sqlite,floor
  cargo run --release -p filepact-bench -- all --json > results.jsonl
  cargo run --release -p filepact-bench -- commit --dir /mnt/xfs --plot docs/plots
  cargo run --release -p filepact-bench -- recover --full    # a journal of 1 GiB

A run that is killed leaves its folder behind: `filepact-bench-*`.

Exit codes: 0 done; 1 something failed, or a count was wrong; 2 usage.";

/// Measures filepact and its peers side by side: each system has its turn in every round.
#[derive(Debug, Parser)]
#[command(name = "filepact-bench", version, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// What to measure
    pub(crate) bench: Name,

    /// The folder, and so the file system, in which everything happens, in a temporary folder that is
    /// removed at the end [default: `target`, or else the current folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// JSON lines, one for each system and case, in place of tables
    #[arg(long)]
    pub(crate) json: bool,

    /// Only these systems; ratios need `floor` among them
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) systems: Vec<Kind>,

    /// How many turns each system has in a case
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// How long each system is measured in a case, all its turns together
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Also write bar charts of the ratios to the floor into this folder, as SVG (`commit`)
    #[arg(long, value_name = "DIR")]
    pub(crate) plot: Option<PathBuf>,

    /// The largest sizes too: a million documents, 1 GiB of journal, a body of 1 GiB
    #[arg(long, conflicts_with = "quick")]
    pub(crate) full: bool,

    /// Tiny sizes, to see that everything runs; the figures mean nothing
    #[arg(long)]
    pub(crate) quick: bool,
}

/// A bench, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// One thread replaces documents, from 1 of 1 KiB to 1 of 16 MiB
    Commit,
    /// 1, 4 and 16 threads, 2 documents each: their own, and all the same two
    Threads,
    /// 1, 2 and 4 processes, 2 documents each, their own
    Processes,
    /// Reading: one document, ten of one moment, at a snapshot; commits beside a snapshot
    Read,
    /// 16 processes add 128 times to each of 4 files; the sums must be exact
    Counter,
    /// Commits beside a checkpoint, and without one
    Checkpoint,
    /// Opening a store after a power cut
    Recover,
    /// Opening a clean store of many documents
    Open,
    /// Many documents, one large transaction, one large body; with the memory they take
    Scale,
    /// Everything above, in this order
    All,
}

impl Name {
    /// The benches that it stands for.
    pub(crate) fn each(self) -> impl Iterator<Item = Self> {
        let all = Self::value_variants().iter().copied().filter(|name| *name != Self::All);
        all.filter(move |name| self == Self::All || *name == self)
    }

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Threads => "threads",
            Self::Processes => "processes",
            Self::Read => "read",
            Self::Counter => "counter",
            Self::Checkpoint => "checkpoint",
            Self::Recover => "recover",
            Self::Open => "open",
            Self::Scale => "scale",
            Self::All => "all",
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("not a number of seconds from 0.001 to 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn benches_have_one_name_on_the_command_line_and_in_the_output() {
        for name in Name::value_variants() {
            assert_eq!(name.to_possible_value().unwrap().get_name(), name.name());
        }
    }

    #[test]
    fn all_stands_for_every_other_bench() {
        assert_eq!(Name::All.each().count(), Name::value_variants().len() - 1);
        assert_eq!(Name::Open.each().collect::<Vec<_>>(), [Name::Open]);
    }
}
