//! `init`, `status`, `check`, `checkpoint`.

use filepact::{Check, Counts, HeldPin, Rescued, Status, Store};
use serde::Serialize;

use super::{Done, close, opened, options};
use crate::args::Cli;
use crate::failure::{DAMAGED, DONE, Failure};
use crate::output::{Output, count};
use crate::utc;

#[derive(Serialize)]
struct Made {
    ok: bool,
    created: bool,
    store: String,
}

pub(super) fn init(cli: &Cli, output: Output) -> Result<u8, Failure> {
    let store = opened(cli, options(cli).create(true))?;
    let created = store.recovery_report().created;
    let made = Made { ok: true, created, store: store.status()?.store };
    close(store, true, output);
    let folder = cli.folder.display();
    output.message(&if created {
        format!("`{folder}` is a store now; the files in it are its documents")
    } else {
        format!("`{folder}` is a store already")
    });
    output.data(&made, |_, _| Ok(()))?;
    Ok(DONE)
}

#[derive(Serialize)]
struct Glance<'a> {
    ok: bool,
    store: &'a str,
    committed: u64,
    checkpoint: u64,
    journal_bytes: u64,
    unpublished: Option<u64>,
    deferred_checkpoint: Option<&'a str>,
    failed: bool,
    rescued: Vec<Edit<'a>>,
    pins: Vec<Pin>,
    counts: Counts,
}

/// A snapshot that a process holds.
#[derive(Serialize)]
struct Pin {
    txn: Option<u64>,
    since: String,
    #[serde(skip)]
    when: String,
    process: Option<u32>,
    bytes: u64,
}

impl From<&HeldPin> for Pin {
    fn from(pin: &HeldPin) -> Self {
        Self {
            txn: pin.txn,
            since: utc::nanoseconds(pin.since),
            when: utc::seconds(pin.since),
            process: pin.process,
            bytes: pin.bytes,
        }
    }
}

/// An edit of another program, and where it lies now.
#[derive(Serialize)]
pub(super) struct Edit<'a> {
    pub(super) path: &'a str,
    pub(super) at: &'a str,
}

impl<'a> From<&'a Rescued> for Edit<'a> {
    fn from(rescued: &'a Rescued) -> Self {
        Self { path: &rescued.path, at: &rescued.at }
    }
}

pub(super) fn status(store: &Store, output: Output) -> Result<u8, Failure> {
    let Status {
        store,
        committed,
        checkpoint,
        journal_bytes,
        unpublished,
        deferred_checkpoint,
        failed,
        rescued,
        pins,
        counts,
    } = store.status()?;
    let glance = Glance {
        ok: true,
        store: &store,
        committed,
        checkpoint,
        journal_bytes,
        unpublished,
        deferred_checkpoint: deferred_checkpoint.as_deref(),
        failed,
        rescued: rescued.iter().map(Edit::from).collect(),
        pins: pins.iter().map(Pin::from).collect(),
        counts,
    };
    output.data(&glance, |out, glance| {
        writeln!(out, "store       {}", glance.store)?;
        writeln!(out, "committed   up to record {}", glance.committed)?;
        writeln!(out, "checkpoint  up to record {}", glance.checkpoint)?;
        writeln!(out, "journal     {} since then", count(bytes(glance.journal_bytes), "byte"))?;
        if let Some(txn) = glance.unpublished {
            writeln!(out, "unpublished transaction {txn}: committed, not all at its paths yet")?;
        }
        if let Some(why) = glance.deferred_checkpoint {
            writeln!(out, "deferred    the last checkpoint: {why}")?;
        }
        if glance.failed {
            writeln!(out, "failed      an earlier failure stopped this store; open it again")?;
        }
        writeln!(out, "rescued     {}", count(glance.rescued.len(), "edit"))?;
        for edit in &glance.rescued {
            writeln!(out, "            {} is kept at {}", edit.path, edit.at)?;
        }
        if !glance.rescued.is_empty() {
            writeln!(out, "            `filepact rescued` compares, restores and drops them")?;
        }
        if !glance.pins.is_empty() {
            writeln!(out, "snapshots   {}", count(glance.pins.len(), "pin"))?;
        }
        for Pin { txn, when, process, bytes: cost, .. } in &glance.pins {
            let up_to = txn.map_or("in the making".to_owned(), |txn| format!("up to record {txn}"));
            let holder = process.map_or(String::new(), |pid| format!(", of process {pid}"));
            let cost = count(bytes(*cost), "byte");
            writeln!(out, "            {up_to}, since {when}{holder}: {cost} kept")?;
        }
        let Counts { commits, groups, conflicts, retries, waits, timeouts, heals, .. } = counts;
        let (commits, groups) = (count(bytes(commits), "commit"), count(bytes(groups), "group"));
        writeln!(
            out,
            "so far      {commits} in {groups}, at most {} at once",
            counts.largest_group
        )?;
        writeln!(out, "            {conflicts} refused by a conflict, {retries} tried again")?;
        writeln!(out, "            {waits} waited for another, {timeouts} in vain")?;
        writeln!(out, "            {heals} times published what another had left")?;
        writeln!(
            out,
            "            {} outside edits recorded, {} rescued",
            counts.adopted, counts.rescued
        )
    })?;
    Ok(DONE)
}

#[derive(Serialize)]
struct Checked<'a> {
    ok: bool,
    clean: bool,
    segments: usize,
    transactions: usize,
    documents: usize,
    outside_edits: &'a [String],
    skipped: &'a [String],
    problems: &'a [String],
}

pub(super) fn check(store: &Store, output: Output) -> Result<u8, Failure> {
    let Check { segments, transactions, documents, outside_edits, skipped, problems } =
        store.check()?;
    let clean = problems.is_empty();
    let checked = Checked {
        ok: true,
        clean,
        segments,
        transactions,
        documents,
        outside_edits: &outside_edits,
        skipped: &skipped,
        problems: &problems,
    };
    output.data(&checked, |out, checked| {
        writeln!(
            out,
            "journal     {} whole in {}",
            count(transactions, "transaction"),
            count(segments, "segment")
        )?;
        writeln!(out, "documents   {} held against it", documents)?;
        for path in checked.outside_edits {
            writeln!(out, "edited      {path}, by another program: no fault")?;
        }
        for path in checked.skipped {
            writeln!(out, "skipped     {path}: its name can be no document's")?;
        }
        for problem in checked.problems {
            writeln!(out, "PROBLEM     {problem}")?;
        }
        writeln!(out, "{}", if clean { "clean" } else { "NOT clean" })
    })?;
    Ok(if clean { DONE } else { DAMAGED })
}

pub(super) fn checkpoint(store: &Store, output: Output) -> Result<u8, Failure> {
    store.checkpoint()?;
    Done::new().say(output)
}

pub(super) fn bytes(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
