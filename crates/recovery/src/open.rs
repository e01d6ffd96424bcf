//! Opening alone: make the store or recover it, and hand over to the writer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use filepact_commit::{
    Mark, STAGE, StageNames, View, WriterParts, create_layout, ensure_own, secure_rescued,
    sweep_kept_alone,
};
use filepact_fs::{Fs, Latched};
use filepact_journal::{
    Commit, Journal, Names, RecordKind, Resume, State, StateFile, Tail, segment_name,
};

use crate::inspect::inspect;
use crate::progress::Tell;
use crate::run::Run;
use crate::{Action, Inspection, Planned, RecoveryError, Report, TornTail, plan};

/// A store that is recovered, and what that took.
#[derive(Debug)]
pub struct Opened {
    /// What the writer starts from.
    pub parts: WriterParts,
    /// What was found and done.
    pub report: Report,
}

/// Makes the store if there is none and `create` says so, else recovers it.
///
/// The caller holds `opening`, and `open` exclusively, and has [seen](filepact_commit::ensure_layout)
/// that nothing of the folder is missing. After `Ok` every document is at the journal's
/// last word, durably, and `state` says so. After an error nothing was changed that the next opening
/// does not find and finish; if the plan refuses, nothing was changed at all.
/// `tell` hears how far it is.
pub fn open(
    fs: Arc<Latched>,
    create: bool,
    inline_max: usize,
    tell: &Tell<'_>,
) -> Result<Opened, RecoveryError> {
    match inspect(&*fs, tell)? {
        Some(inspection) => recover(fs, &inspection, inline_max, tell),
        None if create => make(fs),
        None => Err(RecoveryError::NoStore),
    }
}

/// What [`open`] would find and do. Changes nothing.
pub fn examine(fs: &dyn Fs) -> Result<Report, RecoveryError> {
    let inspection = inspect(fs, &|_| {})?.ok_or(RecoveryError::NoStore)?;
    Ok(found(&inspection, &planned(&inspection)))
}

fn make(fs: Arc<Latched>) -> Result<Opened, RecoveryError> {
    ensure_own(&*fs)?;
    // Also where all names are there: who made them may have died before they were durable, and the
    // journal would go with the name of its directory.
    create_layout(&*fs)?;
    let journal = Journal::create(fs.clone(), &fs.unique())?;
    let report = Report { created: true, trusted: true, ..Report::default() };
    finish(fs, journal, HashMap::new(), report)
}

fn planned(inspection: &Inspection) -> Vec<Planned> {
    plan(inspection.documents.iter().map(|(path, document)| (path.clone(), document.facts)))
}

fn recover(
    fs: Arc<Latched>,
    inspection: &Inspection,
    inline_max: usize,
    tell: &Tell<'_>,
) -> Result<Opened, RecoveryError> {
    let planned = planned(inspection);
    if let Some(refused) = planned.iter().find(|planned| planned.row.action == Action::Refuse) {
        let (path, reason) = (refused.path.clone(), refused.row.reason.to_owned());
        return Err(RecoveryError::Refused { path, reason });
    }
    // Before the mark, the first of these files that is written.
    ensure_own(&*fs)?;
    let latched = fs.clone();
    carry_out(fs, inspection, &planned, inline_max, tell).or_else(|error| {
        if latched.is_tripped() {
            // A sync has failed, perhaps before the mark was set. Past the latch: the error must not be lost
            // with us.
            Mark::Checkpoint.set(&**latched.inner())?;
        }
        Err(error)
    })
}

/// The journal first, then the documents, then a checkpoint of both.
fn carry_out(
    fs: Arc<Latched>,
    inspection: &Inspection,
    planned: &[Planned],
    inline_max: usize,
    tell: &Tell<'_>,
) -> Result<Opened, RecoveryError> {
    let mut report = found(inspection, planned);
    if !inspection.trusted && !planned.is_empty() {
        // Before the first sync: who dies here with a failed one leaves word of it.
        Mark::Checkpoint.set(&*fs)?;
    }
    // Before anything is published: a tail is not durable because it parses, and a document must
    // never be ahead of the journal.
    let mut journal = secure(&fs, inspection)?;

    let names = StageNames::new(&*fs);
    let run = Run { fs: &*fs, inspection, names, inline_max, tell };
    if !inspection.trusted && !planned.is_empty() {
        // What is found may be the work of a recovery that died: a swap that has displaced somebody's edit is
        // durable before the next swap of that document, or a power cut keeps the second one alone, and what
        // that has displaced is gone.
        run.sync_names(planned)?;
    }
    run.redo(planned, &mut report)?;
    let adopted = run.adopted(planned)?;
    // Adopted edits are recorded by what is synced here, and the checkpoint says that all is.
    let mut rewritten = HashSet::new();
    if !planned.is_empty() {
        // Again where it is set already. A trusted cache is trusted no more if one of these fails.
        Mark::Checkpoint.set(&*fs)?;
        run.sync(planned)?;
        rewritten = run.verify(planned, &mut report)?;
        if !rewritten.is_empty() {
            run.sync(planned)?;
        }
        secure_rescued(&*fs, inspection.scan.checkpoint)?;
    }
    run.sweep_swaps(&mut report)?;
    if !adopted.is_empty() {
        let time = fs.now();
        let commit = Commit { time, note: None, outside: true };
        let records = adopted.into_iter().chain([RecordKind::Commit(commit)]).collect();
        let _ = journal.append(records, time)?;
    }
    let upto = journal.next_seq() - 1;
    if !planned.is_empty() {
        // The spares that are gone stay so, once the journal need not know any more what they held.
        fs.sync_dir(STAGE)?;
        let _ = journal.append(vec![RecordKind::Checkpoint { upto }], fs.now())?;
    }
    let known = run.known(planned, &rewritten, upto)?;
    run.sweep_bodies(&mut report)?;
    // Nobody reads an older moment any more: nobody else has the store open.
    sweep_kept_alone(&*fs)?;
    finish(fs, journal, known, report)
}

/// The journal, with every group that counts durable in it.
fn secure(fs: &Arc<Latched>, inspection: &Inspection) -> Result<Journal, RecoveryError> {
    let covered = match &inspection.state {
        Some(reading) if inspection.trusted => reading.state.synced,
        _ => 0,
    };
    let scan = &inspection.scan;
    let last = scan.groups.last();
    if inspection.trusted
        && matches!(scan.tail, Tail::Clean)
        && last.is_none_or(|group| group.last <= covered)
    {
        return Ok(Journal::resume(fs.clone(), scan, Resume::Tail)?);
    }
    let names = if inspection.failed { Names::Doubted } else { Names::Believed };
    Ok(Journal::repeat(fs.clone(), scan, names)?)
}

/// `state` names this boot and mount only now, when all that they vouch for is done.
fn finish(
    fs: Arc<Latched>,
    mut journal: Journal,
    known: HashMap<String, filepact_commit::Known>,
    report: Report,
) -> Result<Opened, RecoveryError> {
    let facts = fs.facts()?;
    let last = journal.next_seq() - 1;
    let state = State {
        boot: facts.boot,
        mount: facts.mount,
        synced: last,
        committed: journal.end().into(),
        published: journal.end().into(),
        holder: Some(std::process::id()),
        failed: false,
    };
    // Past the latch: `state` must be able to say that the store has failed.
    let mut state_file = match StateFile::open(&**fs.inner())? {
        Some(file) => file,
        None => StateFile::create(&**fs.inner())?,
    };
    state_file.write(&state)?;
    journal.remove_elders();
    Mark::clear_all(&*fs)?;
    let reader = StateFile::open_to_read(&**fs.inner())?.expect("it was written above");
    let view = View::recovered(fs.clone(), reader, *journal.progress(), known);
    Ok(Opened { parts: WriterParts { fs, journal, state_file, state, view }, report })
}

fn found(inspection: &Inspection, planned: &[Planned]) -> Report {
    let scan = &inspection.scan;
    let mut report = Report {
        trusted: inspection.trusted,
        failed: inspection.failed,
        documents: planned.to_vec(),
        torn: match &scan.tail {
            Tail::Clean => None,
            Tail::Torn { offset, reason } => Some(TornTail {
                segment: segment_name(scan.end.segment()),
                offset: *offset,
                reason: reason.to_string(),
            }),
        },
        ..Report::default()
    };
    for planned in planned {
        match planned.row.action {
            Action::Adopt => report.adopted.push(planned.path.clone()),
            Action::Redo(_) | Action::Extend => {
                report.replayed.extend(inspection.words.get(&planned.path).map(|word| word.txn));
            }
            _ => {}
        }
    }
    report.replayed.sort_unstable();
    report.replayed.dedup();
    let groups = scan.groups.iter().filter(|group| group.last > scan.checkpoint);
    report.kept = groups
        .flat_map(|group| group.transactions().map(|(_, _, txn)| txn).collect::<Vec<_>>())
        .filter(|txn| *txn > scan.checkpoint)
        .collect();
    report
}
