//! `recover`: the report of an opening, or of one that would be.

use std::io::{self, Write};

use filepact::{Report, Store};
use serde::Serialize;

use super::store::Edit;
use crate::args::Cli;
use crate::failure::{DONE, Failure};
use crate::output::{Output, count};

/// The report of the opening that this verb is.
pub(super) fn recover(store: &Store, output: Output) -> Result<u8, Failure> {
    // Others have recovered it; what one of them left that died is finished here.
    let unpublished = store.status()?.unpublished.filter(|_| store.recovery_report().joined);
    if unpublished.is_some() {
        store.checkpoint()?;
    }
    show(store.recovery_report(), Run::Done { healed: unpublished }, output)
}

/// Whether this is the report of something that was done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    Dry,
    Done {
        /// The transaction of a process that died, of which documents were not at their paths.
        healed: Option<u64>,
    },
}

/// The report of an opening that does not happen.
pub(super) fn examine(cli: &Cli, output: Output) -> Result<u8, Failure> {
    show(&Store::examine(&cli.folder)?, Run::Dry, output)
}

#[derive(Serialize)]
struct Shown<'a> {
    ok: bool,
    dry_run: bool,
    clean: bool,
    joined: bool,
    healed: Option<u64>,
    trusted: bool,
    failed: bool,
    kept: &'a [u64],
    replayed: &'a [u64],
    torn: Option<Torn<'a>>,
    adopted: &'a [String],
    rescued: Vec<Edit<'a>>,
    left: &'a [String],
    swept: u64,
    documents: Vec<Document<'a>>,
}

#[derive(Serialize)]
struct Torn<'a> {
    segment: &'a str,
    offset: u64,
    reason: &'a str,
}

#[derive(Serialize)]
struct Document<'a> {
    path: &'a str,
    action: String,
    reason: &'static str,
}

fn show(report: &Report, run: Run, output: Output) -> Result<u8, Failure> {
    let torn = report.torn.as_ref();
    let documents = report.documents.iter();
    let shown = Shown {
        ok: true,
        dry_run: run == Run::Dry,
        clean: report.is_clean(),
        joined: report.joined,
        healed: match run {
            Run::Dry => None,
            Run::Done { healed } => healed,
        },
        trusted: report.trusted,
        failed: report.failed,
        kept: &report.kept,
        replayed: &report.replayed,
        torn: torn.map(|torn| Torn {
            segment: &torn.segment,
            offset: torn.offset,
            reason: &torn.reason,
        }),
        adopted: &report.adopted,
        rescued: report.rescued.iter().map(Edit::from).collect(),
        left: &report.left,
        swept: report.swept,
        documents: documents
            .map(|planned| Document {
                path: &planned.path,
                action: planned.row.action.to_string(),
                reason: planned.row.reason,
            })
            .collect(),
    };
    output.data(&shown, text)?;
    Ok(DONE)
}

fn text(out: &mut dyn Write, shown: &Shown<'_>) -> io::Result<()> {
    if shown.joined {
        writeln!(out, "nothing to recover: others have the store open, and have recovered it")?;
        if let Some(txn) = shown.healed {
            writeln!(
                out,
                "healed    transaction {txn}: a process died before all of it was published"
            )?;
        }
        return Ok(());
    }
    if shown.clean {
        return writeln!(out, "nothing to do: whoever had the store open last has closed it");
    }
    writeln!(
        out,
        "{}",
        if shown.failed {
            "found     a failed sync or an unfinished checkpoint: nothing is believed unproved"
        } else if shown.trusted {
            "found     a process that did not close; the machine went on, its memory is trusted"
        } else {
            "found     a power cut, another mount or a copy: every document is proved on the disk"
        }
    )?;
    writeln!(out, "kept      {}{}", count(shown.kept.len(), "transaction"), numbers(shown.kept))?;
    writeln!(
        out,
        "replayed  {}{}",
        count(shown.replayed.len(), "transaction"),
        numbers(shown.replayed)
    )?;
    if let Some(torn) = &shown.torn {
        writeln!(
            out,
            "void      what was never whole: {}, byte {}: {}",
            torn.segment, torn.offset, torn.reason
        )?;
    }
    for path in shown.adopted {
        writeln!(out, "adopted   {path}, edited by another program")?;
    }
    for edit in &shown.rescued {
        writeln!(out, "rescued   {}, now at {}", edit.path, edit.at)?;
    }
    for path in shown.left {
        writeln!(out, "left      {path}, which the journal has otherwise")?;
    }
    if shown.swept > 0 {
        writeln!(out, "swept     {} that nothing needs", count(shown.swept as usize, "body"))?;
    }
    let tense = if shown.dry_run { "would be done" } else { "done" };
    if !shown.documents.is_empty() {
        writeln!(out, "{tense}:")?;
    }
    for document in &shown.documents {
        writeln!(out, "  {:<14} {}  ({})", document.action, document.path, document.reason)?;
    }
    if shown.dry_run {
        writeln!(out, "nothing was changed")?;
    }
    Ok(())
}

/// The first few of them.
fn numbers(txns: &[u64]) -> String {
    const MOST: usize = 12;
    if txns.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = txns.iter().take(MOST).map(u64::to_string).collect();
    let more = if txns.len() > MOST { " ..." } else { "" };
    format!(": {}{more}", shown.join(" "))
}
