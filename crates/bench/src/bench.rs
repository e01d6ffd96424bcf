//! What all benches work with: the folder, the systems that were asked for, the pace, the report.

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::args::Args;
use crate::document::Body;
use crate::measure::{Lane, Measured, Pace, in_turns};
use crate::report::{Case, Report};
use crate::scratch::Scratch;
use crate::systems::{Kind, Sharing, System};

/// How large the cases are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// To see that all runs.
    Quick,
    /// Minutes.
    Usual,
    /// Hours, and tens of GiB.
    Full,
}

/// A run of the command.
pub(crate) struct Bench {
    /// Where everything happens.
    pub(crate) scratch: Scratch,
    /// Where figures go.
    pub(crate) report: Report,
    /// How long each system is measured.
    pub(crate) pace: Pace,
    size: Size,
    systems: Vec<Kind>,
}

impl Bench {
    /// Takes the command line at its word; an error if nothing can be written in its folder.
    pub(crate) fn new(args: &Args) -> Outcome<Self> {
        use clap::ValueEnum;
        let parent = match &args.dir {
            Some(dir) => dir.clone(),
            None => usual_folder(),
        };
        let mut systems: Vec<Kind> = match args.systems.is_empty() {
            true => Kind::value_variants().to_vec(),
            false => args.systems.clone(),
        };
        systems.sort_unstable();
        systems.dedup();
        let size = match (args.quick, args.full) {
            (true, _) => Size::Quick,
            (_, true) => Size::Full,
            _ => Size::Usual,
        };
        let pace = match size {
            Size::Quick => Pace { rounds: 1, seconds: args.seconds.min(0.002), settles: false },
            _ => Pace { rounds: args.rounds, seconds: args.seconds, settles: true },
        };
        let scratch = Scratch::new_in(&parent)?;
        Ok(Self { scratch, report: Report::new(args.json), pace, size, systems })
    }

    /// The folder in which everything happens.
    pub(crate) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// One of these, by the size that was asked for.
    pub(crate) fn sized<T>(&self, quick: T, usual: T, full: T) -> T {
        match self.size {
            Size::Quick => quick,
            Size::Usual => usual,
            Size::Full => full,
        }
    }

    /// Those of the systems asked for that can take part.
    pub(crate) fn systems(&self, can: impl Fn(Kind) -> bool) -> Vec<Kind> {
        self.systems.iter().copied().filter(|kind| can(*kind)).collect()
    }

    /// Opens systems, each in an empty folder of its own.
    pub(crate) fn open(
        &self,
        sharing: Sharing,
        can: impl Fn(Kind) -> bool,
    ) -> Outcome<Vec<Opened>> {
        let open = |kind: Kind| {
            let folder = self.scratch.fresh(kind.name())?;
            let opened = kind.open(&folder, sharing);
            let system = opened.map_err(|error| format!("{}: {error}", kind.name()))?;
            Ok(Opened { kind, folder, system })
        };
        self.systems(can).into_iter().map(open).collect()
    }

    /// Lets systems go, and removes what they wrote.
    pub(crate) fn close(&self, opened: Vec<Opened>) -> Outcome {
        for Opened { kind, system, .. } in opened {
            system.close().map_err(|error| format!("{}: {error}", kind.name()))?;
            self.scratch.clear(kind.name())?;
        }
        Ok(())
    }

    /// Measures the lanes of a case in turns, and reports them.
    pub(crate) fn measure(
        &mut self,
        case: &Case,
        pace: Pace,
        lanes: Vec<Lane<'_>>,
    ) -> Outcome<Vec<Measured>> {
        if lanes.is_empty() {
            return Ok(Vec::new());
        }
        self.report.begins(case);
        let measured = in_turns(pace, &self.scratch, lanes)?;
        self.report.add(case, &measured)?;
        Ok(measured)
    }
}

/// A system that is open for a case.
pub(crate) struct Opened {
    /// Which one.
    pub(crate) kind: Kind,
    /// Where it keeps everything.
    pub(crate) folder: PathBuf,
    /// It.
    pub(crate) system: Box<dyn System>,
}

/// The build's own folder, which is on a disk as a rule, or else the current one.
fn usual_folder() -> PathBuf {
    let target = PathBuf::from("target");
    if target.is_dir() { target } else { PathBuf::from(".") }
}

/// The smallest documents that the benches use, where there are very many.
pub(crate) const SMALL: usize = 256;
const _: () = assert!(SMALL >= Body::MIN);
