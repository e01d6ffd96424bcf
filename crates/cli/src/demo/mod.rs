//! `demo`: a bank that is killed in the middle of its commits, many times, and never loses a cent.
//!
//! A child process makes transfers and acknowledges each on a pipe; SIGKILL ends it at a random
//! moment. Then this process opens the store, which recovers it, and audits the books: the money
//! adds up, every acknowledged transfer is there, and at most the one that was in flight beside it;
//! no document is torn, and plain files read as the store does.

mod bank;
mod folder;
mod random;
mod worker;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use filepact::Store;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use self::bank::{grouped, money};
use self::folder::Folder;
use self::random::Random;
use crate::args::{DemoArgs, WorkerArgs};
use crate::failure::{DAMAGED, DONE, Failure};
use crate::output::{Output, count};

/// Long enough to be anywhere in some commit, short enough not to bore.
const DELAY_MICROS: (u64, u64) = (1_000, 40_000);

/// The process that is killed.
pub(crate) fn work(store: Store, args: &WorkerArgs) -> Result<u8, Failure> {
    let done = worker::work(&store, args);
    drop(store);
    done
}

/// What was found, over all kills.
#[derive(Debug, Default, Serialize)]
struct Findings {
    ok: bool,
    kills: u32,
    /// Transactions whose commit had returned.
    acknowledged: u64,
    /// Transactions that the openings found whole in the journal.
    kept: u64,
    /// Those of them of which a document was not in place yet.
    replayed: u64,
    /// Those of them whose commit had not returned, or not been heard of.
    unanswered: u64,
    /// Groups that had never become whole, so that they do not count.
    voided: u64,
    accounts: usize,
    sum_cents: i64,
    seconds: f64,
    folder: Option<PathBuf>,
    problems: Vec<String>,
}

pub(crate) fn run(named: Option<&PathBuf>, args: &DemoArgs, output: Output) -> Result<u8, Failure> {
    let mut folder = Folder::find(named)?;
    output.message(&format!(
        "a bank of {} accounts in {}; it will be killed {}",
        bank::OWNERS.len(),
        folder.path().display(),
        count(args.kills as usize, "time")
    ));
    let played = play(folder.path(), args, output);
    // A bank that lost something is evidence.
    if args.keep || !matches!(&played, Ok(findings) if findings.ok) {
        folder = folder.keep();
    }
    let mut findings = played.map_err(|mut failure| {
        let kept = folder.path().display();
        failure.message = format!("{}; the bank is kept in {kept}", failure.message);
        failure
    })?;
    findings.folder = folder.is_kept().then(|| folder.path().to_owned());
    output.data(&findings, text)?;
    Ok(if findings.ok { DONE } else { DAMAGED })
}

fn play(folder: &Path, args: &DemoArgs, output: Output) -> Result<Findings, Failure> {
    let began = Instant::now();
    let mut findings = Findings { accounts: bank::OWNERS.len(), ..Findings::default() };
    let store = Store::open(folder)?;
    if !folder::has_bank(folder) {
        bank::create(&store)?;
    }
    let audit = bank::audit(&store, folder)?;
    findings.sum_cents = audit.sum_cents;
    findings.problems = audit.problems.iter().map(|p| format!("before any kill: {p}")).collect();
    store.close()?;

    let progress = Progress::new(args.kills, output);
    let mut random = Random::new(args.seed);
    while findings.kills < args.kills && findings.problems.is_empty() {
        let (low, high) = DELAY_MICROS;
        let delay = Duration::from_micros(random.between(low, high));
        let acknowledged = worker::run_and_kill(folder, random.next(), delay)?;

        let store = Store::open(folder)?;
        let report = store.recovery_report();
        let audit = bank::audit(&store, folder)?;
        findings.kills += 1;
        findings.acknowledged += acknowledged.count;
        findings.kept += report.kept.len() as u64;
        findings.replayed += report.replayed.len() as u64;
        findings.unanswered += u64::from(audit.transfers > acknowledged.last);
        findings.voided += u64::from(report.torn.is_some());
        findings.sum_cents = audit.sum_cents;
        findings.problems = audit.problems;
        if audit.transfers < acknowledged.last {
            findings.problems.push(format!(
                "transfer {} was acknowledged, and the ledger ends at {}",
                acknowledged.last, audit.transfers
            ));
        }
        if audit.transfers > acknowledged.last + 1 {
            findings.problems.push(format!(
                "the ledger has {} transfers, and one at most can be beyond the {} acknowledged",
                audit.transfers, acknowledged.last
            ));
        }
        progress.step(&format!(
            "kill {:>3}: {:>4} acknowledged, {:>4} kept, {} replayed, {} void; {}",
            findings.kills,
            acknowledged.count,
            report.kept.len(),
            report.replayed.len(),
            u64::from(report.torn.is_some()),
            if findings.problems.is_empty() { "all adds up" } else { "WRONG" },
        ));
        if findings.kills.is_multiple_of(2) {
            store.close()?;
        } // else dropped, as by a program that forgets to
    }
    progress.finish();
    findings.seconds = began.elapsed().as_secs_f64();
    findings.ok = findings.problems.is_empty();
    Ok(findings)
}

/// A bar on a terminal, plain lines otherwise, nothing for machines.
struct Progress {
    bar: Option<ProgressBar>,
    output: Output,
}

impl Progress {
    fn new(kills: u32, output: Output) -> Self {
        let bar = (!output.json && io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{bar:32} {pos}/{len}  {msg}");
            let bar = ProgressBar::new(kills.into());
            if let Ok(style) = style { bar.with_style(style) } else { bar }
        });
        Self { bar, output }
    }

    fn step(&self, line: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(line.to_owned());
                bar.inc(1);
            }
            None => self.output.message(line),
        }
    }

    fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn text(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    let Findings { kills, accounts, seconds, .. } = findings;
    let sum = money(findings.sum_cents);
    writeln!(out)?;
    writeln!(
        out,
        "killed        {} in {seconds:.1} s, in the middle of commits",
        count(*kills as usize, "time")
    )?;
    for (word, number, meaning) in [
        ("acknowledged", findings.acknowledged, "transactions, of 3 to 5 files each"),
        ("kept", findings.kept, "transactions were whole in the journal"),
        ("unanswered", findings.unanswered, "of them: durable before the program could say so"),
        ("replayed", findings.replayed, "of them: files not in place yet; recovery put them there"),
        ("void", findings.voided, "cut short before they counted; no file of theirs changed"),
    ] {
        writeln!(out, "{word:<12}  {:<6} {meaning}", grouped(number))?;
    }
    if findings.ok {
        writeln!(out, "the money     all {accounts} accounts sum to {sum}, as on the first day")?;
        writeln!(out, "\nNo acknowledged transaction was lost, and no file was ever torn.")?;
    } else {
        writeln!(out, "\nSOMETHING IS WRONG:")?;
        for problem in &findings.problems {
            writeln!(out, "  {problem}")?;
        }
    }
    if let Some(folder) = &findings.folder {
        let folder = folder.display();
        writeln!(out, "\nThe bank is ordinary files; look at them:")?;
        writeln!(out, "  cat {folder}/ledger.json {folder}/accounts/*.json")?;
        writeln!(out, "  filepact -C {folder} log")?;
    }
    Ok(())
}
