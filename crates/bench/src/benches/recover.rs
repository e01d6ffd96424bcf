//! Opening a store after a power cut: all that the journal holds has to be found, held against the
//! documents and made durable.
//!
//! A process writes the journal and is killed before any checkpoint. A real power cut is not at hand;
//! what it would leave is made by hand: `state` is gone, so that nothing in the page cache is
//! believed, and nothing is cached. In the case `standing` the documents had reached the disk; in
//! `lost` none had, and each stands as it was before.
//!
//! The floor reads, hashes (BLAKE3) and overwrites the same documents in place, with one `syncfs`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use filepact::Store;
use rustix::fs::{Advice, fadvise};

use super::writer::Documents;
use crate::Outcome;
use crate::bench::Bench;
use crate::document::path;
use crate::measure::{Lane, once, timed};
use crate::report::Case;
use crate::scratch::Scratch;
use crate::systems::Kind;
use crate::worker::{Task, Worker, write_all};

/// Small enough to travel in the journal.
const BYTES: usize = 16 * 1024;
/// Documents in a transaction.
const AT_ONCE: u64 = 16;

pub(super) fn run(bench: &mut Bench) -> Outcome {
    let mib: u64 = bench.sized(1, 64, 1024);
    let docs = (mib << 20) / BYTES as u64;
    for lost in [false, true] {
        let scratch = &bench.scratch;
        let lanes = bench.systems(|kind| matches!(kind, Kind::Floor | Kind::Filepact));
        let lanes = lanes.into_iter().map(|kind| {
            Lane::new(kind, move |_| {
                once(|| match kind {
                    Kind::Floor => rewrite(scratch, docs),
                    _ => recover(scratch, docs, lost),
                })
            })
        });
        let lanes: Vec<Lane<'_>> = lanes.collect();
        let case = Case {
            bench: "recover",
            case: Some(if lost { "lost" } else { "standing" }),
            docs,
            bytes: BYTES as u64,
            threads: 1,
            moves: Some(docs * BYTES as u64),
            ..Case::default()
        };
        if lanes.is_empty() {
            return Ok(());
        }
        bench.report.begins(&case);
        let measured = crate::measure::in_turns(bench.pace.at_most(3), scratch, lanes)?;
        bench.report.add(&case, &measured)?;
    }
    Ok(())
}

fn recover(scratch: &Scratch, docs: u64, lost: bool) -> Outcome<Duration> {
    let folder = scratch.fresh("recover")?;
    let documents = Documents::new(AT_ONCE, BYTES);
    let store = Store::open(&folder)?;
    write_all(&store, documents, docs, 1)?;
    store.close()?;
    let before = match lost {
        true => Some(set_aside(scratch, &folder, docs)?),
        false => None,
    };
    let task = Task::Journal { folder: folder.clone(), documents, all: docs, number: 2 };
    let mut worker = Worker::start(&task)?;
    worker.turn(Duration::ZERO)?;
    worker.kill()?;
    if let Some(before) = before {
        (0..docs).try_for_each(|at| fs::rename(before.join(path(at)), folder.join(path(at))))?;
    }
    fs::remove_file(folder.join(".filepact/state"))?;
    scratch.settle()?;
    forget(&folder)?;
    let mut opened = None;
    let took = timed(|| {
        opened = Some(Store::open(&folder)?);
        Ok(())
    })?;
    if let Some(store) = opened {
        check(&store, documents, docs)?;
        store.close()?;
    }
    scratch.clear("recover")?;
    Ok(took)
}

/// A further name for all documents as they are: a power cut that loses what came after them leaves them, and
/// no copies, which would be somebody's edits.
fn set_aside(scratch: &Scratch, folder: &Path, docs: u64) -> Outcome<PathBuf> {
    let aside = scratch.fresh("aside")?;
    for path in (0..docs).map(path) {
        let (from, to) = (folder.join(&path), aside.join(&path));
        fs::create_dir_all(to.parent().ok_or("a document lies in a folder")?)?;
        fs::hard_link(&from, &to)?;
    }
    Ok(aside)
}

/// An error unless all of it was believed to be in doubt, and reads as it was committed.
fn check(store: &Store, documents: Documents, docs: u64) -> Outcome {
    let report = store.recovery_report();
    if report.trusted || report.documents.len() as u64 != docs {
        return Err("the recovery was not the one that was to be measured".into());
    }
    let wanted = Documents { first: 0, docs: 1, ..documents }.puts(2).remove(0).body;
    for at in [0, docs / 2, docs - 1] {
        if store.read_bytes(path(at))?.as_deref() != Some(&wanted) {
            return Err(format!("{} was not recovered", path(at)).into());
        }
    }
    Ok(())
}

fn rewrite(scratch: &Scratch, docs: u64) -> Outcome<Duration> {
    let folder = scratch.fresh("rewrite")?;
    for put in Documents::new(docs, BYTES).puts(1) {
        let path = folder.join(put.path);
        fs::create_dir_all(path.parent().ok_or("a document lies in a folder")?)?;
        fs::write(path, put.body)?;
    }
    scratch.settle()?;
    forget(&folder)?;
    let took = timed(|| {
        for path in (0..docs).map(|at| folder.join(path(at))) {
            let body = fs::read(&path)?;
            std::hint::black_box(blake3::hash(&body));
            // In place: no blocks are freed or given.
            File::options().write(true).open(path)?.write_all(&body)?;
        }
        scratch.settle()
    })?;
    scratch.clear("rewrite")?;
    Ok(took)
}

/// Drops what is cached of all files below a folder; it has to be on the disk.
fn forget(folder: &Path) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => forget(&entry.path())?,
            kind if kind.is_file() => {
                fadvise(File::open(entry.path())?, 0, None, Advice::DontNeed)?;
            }
            _ => {}
        }
    }
    Ok(())
}
