//! What was tried, so that nobody takes trivial cuts for proof.

use std::collections::BTreeMap;
use std::fmt;

use filepact::{Durability, Report};

use super::judge::Verdict;
use super::notes::Notes;
use super::round::{Round, name};

/// All cuts on one file system.
#[derive(Debug, Default)]
pub(super) struct Counts {
    kinds: BTreeMap<&'static str, Kind>,
    /// First failures of actors.
    failures: BTreeMap<String, u64>,
    several_processes: u64,
    nudged: u64,
    /// Recoveries that were cut off, and how many of them in the middle.
    pub(super) recoveries: u64,
    pub(super) unfinished_recoveries: u64,
    pub(super) cut_again: u64,
}

/// Cuts with one durability, or with several at once.
#[derive(Debug, Default)]
struct Kind {
    cuts: u64,
    acknowledged: u64,
    in_flight: u64,
    torn: u64,
    cuts_with_replay: u64,
    replayed: u64,
    cuts_with_loss: u64,
    verdict: Verdict,
}

impl Counts {
    /// A cut that was judged.
    pub(super) fn add(&mut self, round: &Round, notes: &Notes, verdict: &Verdict, report: &Report) {
        let kind = self.kinds.entry(kind_of(round)).or_default();
        kind.cuts += 1;
        kind.acknowledged +=
            notes.lines.lines().filter(|line| line.contains("acknow")).count() as u64;
        kind.in_flight += u64::from(verdict.unanswered_there + verdict.unanswered_absent > 0);
        kind.torn += u64::from(report.torn.is_some());
        kind.cuts_with_replay += u64::from(!report.replayed.is_empty());
        kind.replayed += report.replayed.len() as u64;
        kind.cuts_with_loss += u64::from(verdict.lost_documents > 0);
        kind.verdict.unanswered_there += verdict.unanswered_there;
        kind.verdict.unanswered_absent += verdict.unanswered_absent;
        kind.verdict.rescued += verdict.rescued;
        kind.verdict.taken_back += verdict.taken_back;
        kind.verdict.lost_documents += verdict.lost_documents;
        kind.verdict.lost_bytes += verdict.lost_bytes;
        self.several_processes += u64::from(round.processes.len() > 1);
        self.nudged += u64::from(round.is_nudged);
        for failed in notes.actors.values().filter_map(|tally| tally.failed.as_ref()) {
            let (kind, _) = failed.split_once(':').unwrap_or((failed, ""));
            *self.failures.entry(kind.to_owned()).or_default() += 1;
        }
    }
}

fn kind_of(round: &Round) -> &'static str {
    let mut durabilities: Vec<Durability> = round.actors().map(|(_, with)| with).collect();
    durabilities.dedup();
    match durabilities[..] {
        [one] => name(one),
        _ => "mixed",
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recoveries, unfinished_recoveries, cut_again, .. } = self;
        let cuts: u64 = self.kinds.values().map(|kind| kind.cuts).sum();
        writeln!(
            f,
            "  {cuts} cuts, {} of several processes at work, {} beside a program that syncs",
            self.several_processes, self.nudged
        )?;
        writeln!(
            f,
            "  {recoveries} recoveries cut off, {unfinished_recoveries} of them unfinished; \
             {cut_again} finished ones cut off afterwards"
        )?;
        for (name, kind) in &self.kinds {
            let Verdict { unanswered_there, unanswered_absent, .. } = kind.verdict;
            let Verdict { taken_back, lost_documents, lost_bytes, rescued, .. } = kind.verdict;
            let Kind { cuts, acknowledged, in_flight, .. } = kind;
            let Kind { torn, cuts_with_replay, replayed, cuts_with_loss, .. } = kind;
            writeln!(
                f,
                "  {name}: {cuts} cuts after {acknowledged} transactions, {in_flight} in the middle \
                 of one ({unanswered_there} there, {unanswered_absent} absent)"
            )?;
            writeln!(
                f,
                "    lost by the kernel: {lost_documents} documents in {cuts_with_loss} cuts, \
                 {lost_bytes} bytes; replayed: {replayed} transactions in {cuts_with_replay} cuts"
            )?;
            writeln!(
                f,
                "    torn tails: {torn}; taken back: {taken_back} transactions; torn copies in \
                 `rescued/`: {rescued}"
            )?;
        }
        let failures: Vec<String> =
            self.failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        write!(f, "  first answers after a cut: {}", failures.join(", "))
    }
}
