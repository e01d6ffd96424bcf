//! What holds after damage at rest.

use std::collections::BTreeMap;
use std::fmt;

use filepact::Error;
use filepact_simfs::SimFs;
use filepact_tests::crash::{documents, options};
use filepact_tests::history::{self, Op, Tree};

use crate::damage::kinds::Kind;
use crate::damage::stores::Resting;
use crate::support::STRICT;

/// What damage has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Came {
    /// The store refuses to open, says where, and nothing is changed.
    Detected,
    /// Every document is as it should be.
    Harmless,
    /// The hole: the last group is gone, and nothing that is left says so.
    Hole,
    /// As the hole, but for more groups than the last.
    Wide,
}

pub(crate) fn judge(store: &Resting, paths: &[String], hurt: &SimFs) -> Result<Came, String> {
    let before = hurt.fingerprint();
    let opened = match options().open_with(hurt.actor()) {
        Ok(opened) => opened,
        Err(error) => {
            is_named(&error, paths, store)?;
            return match hurt.fingerprint() == before {
                true => Ok(Came::Detected),
                false => Err(format!("refused, and something was changed: {error:?}")),
            };
        }
    };
    let now = documents(hurt);
    let came = if now == store.tree {
        Came::Harmless
    } else if is_hole(store, paths) && is_older(store, hurt, &now) {
        let [.., last_but_one, _] = &store.history[..] else { unreachable!("there is a history") };
        if now == *last_but_one { Came::Hole } else { Came::Wide }
    } else {
        let report = opened.recovery_report();
        return Err(format!("something is lost: {:?}\n{report:#?}\n{}", sizes(&now), hurt.dump()));
    };
    let check = opened.check().map_err(|error| format!("it cannot be checked: {error:?}"))?;
    if !check.problems.is_empty() || !check.outside_edits.is_empty() {
        return Err(format!("it is not clean: {check:?}"));
    }
    opened.status().map_err(|error| format!("no status: {error:?}"))?;
    let mut next = now;
    history::run_ops(&opened, &[("a", Op::Grow), ("z", Op::New)], 90, &mut next)
        .map_err(|error| format!("it takes no further transaction: {error:?}"))?;
    drop(opened);
    // The worst that a power cut leaves of that.
    for world in hurt.world().power_cut(&STRICT, 1, 0).worlds {
        drop(options().open_with(world.actor()).map_err(|error| format!("cut: {error:?}"))?);
        if documents(&world) != next {
            return Err(format!("lost after a power cut: {:?}", sizes(&documents(&world))));
        }
    }
    Ok(came)
}

/// The error names the file, and the place where it shows: not behind what was damaged, unless another
/// file shows it.
fn is_named(error: &Error, paths: &[String], store: &Resting) -> Result<(), String> {
    let wrong = || Err(format!("it does not say where: {error:?}"));
    match error {
        Error::Corrupt { segment, reason, .. } => {
            let is_there = paths.iter().any(|path| path == segment);
            // What is missing shows where the rest of the journal ends, or begins.
            let neighbour = segment.starts_with(".filepact/journal");
            if reason.is_empty() || !is_there && !neighbour { wrong() } else { Ok(()) }
        }
        // A large body is at its document's path.
        Error::Unrecoverable { path, reason } => {
            let staged = paths.iter().any(|path| path.starts_with(".filepact/stage/"));
            if staged && store.tree.contains_key(path) && !reason.is_empty() {
                Ok(())
            } else {
                wrong()
            }
        }
        _ => Err(format!("it does not say that it is damaged: {error:?}")),
    }
}

/// Whether the documents are as they were some groups ago. Where they have been newer than what is left of
/// the journal, each is a version of its own, and what it was is in `rescued/`.
fn is_older(store: &Resting, hurt: &SimFs, now: &Tree) -> bool {
    let tree = hurt.tree();
    let rescued: Vec<_> =
        tree.iter().filter(|(path, _)| path.starts_with(".filepact/rescued/")).collect();
    let is_version = |(path, body): (&String, &Vec<u8>)| {
        store.history.iter().any(|tree| tree.get(path) == Some(body))
    };
    let is_kept = |(path, body): (&String, &Vec<u8>)| {
        now.get(path) == Some(body) || rescued.iter().any(|(_, edit)| *edit == body)
    };
    store.history.contains(now) || now.iter().all(is_version) && store.tree.iter().all(is_kept)
}

/// Whether the damage can have taken the end of the journal and all that vouches for it.
fn is_hole(store: &Resting, paths: &[String]) -> bool {
    paths.iter().any(|path| {
        path.starts_with(".filepact/journal/")
            && (store.buffered || store.unvouched.contains_key(path))
    })
}

fn sizes(tree: &Tree) -> BTreeMap<&String, usize> {
    tree.iter().map(|(path, body)| (path, body.len())).collect()
}

/// What was tried, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    by_kind: BTreeMap<(Kind, Came), u64>,
    by_store: BTreeMap<(&'static str, Came), u64>,
}

impl Counts {
    pub(crate) fn add(&mut self, store: &'static str, kind: Kind, came: Came) {
        *self.by_kind.entry((kind, came)).or_default() += 1;
        *self.by_store.entry((store, came)).or_default() += 1;
    }

    pub(crate) fn both(&self, kind: Kind, came: Came) -> u64 {
        self.by_kind.get(&(kind, came)).copied().unwrap_or_default()
    }

    pub(crate) fn of_kind(&self, wanted: Kind) -> u64 {
        self.by_kind.iter().filter(|((kind, _), _)| *kind == wanted).map(|(_, count)| count).sum()
    }

    pub(crate) fn came(&self, wanted: Came) -> u64 {
        self.by_kind.iter().filter(|((_, came), _)| *came == wanted).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cames = [Came::Detected, Came::Harmless, Came::Hole, Came::Wide];
        write!(f, "{:<36}{:>10}{:>10}", "damage at rest", "detected", "harmless")?;
        writeln!(f, "{:>10}{:>10}", "hole", "wide")?;
        let mut lines: BTreeMap<(u8, String), [u64; 4]> = BTreeMap::new();
        let mut add = |key, came, count| {
            let at = cames.iter().position(|known| *known == came).expect("these are all");
            lines.entry(key).or_default()[at] += count;
        };
        for ((kind, came), count) in &self.by_kind {
            add((0, format!("{kind:?}")), *came, *count);
            add((2, "all".to_owned()), *came, *count);
        }
        for ((store, came), count) in &self.by_store {
            add((1, (*store).to_owned()), *came, *count);
        }
        for ((_, name), [detected, harmless, hole, wide]) in lines {
            writeln!(f, "{name:<36}{detected:>10}{harmless:>10}{hole:>10}{wide:>10}")?;
        }
        Ok(())
    }
}
