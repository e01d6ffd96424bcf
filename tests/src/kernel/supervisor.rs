//! The run: two processes, so that everything is cleaned up however it ends.
//!
//! The one in front only waits. The other, in a process group of its own, does the work, and ends
//! when its standard input does: Ctrl-C and every other signal end the first alone, and the second
//! cleans up. What even that one leaves, if it is killed itself, the next run finds (`leftovers`).
#![allow(clippy::disallowed_methods, reason = "the tests' own files, outside the store")]

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use std::{env, fmt, fs, io, thread};

use super::arguments::{Kind, Settings};
use super::cut::Bench;
use super::disk::Disk;
use super::round::Round;
use super::{leftovers, tools};
use crate::processes::Outcome;
use crate::processes::crew::read_text;
use crate::processes::random::Random;

/// Why a run ends early.
#[derive(Debug)]
pub enum Failure {
    /// It cannot be done here, or not like that.
    Unfit(String),
    /// Something is wrong with filepact, with the judge or with the machine.
    Wrong(String),
    /// The one who does the work has said why.
    Told(u8),
    /// Somebody has had enough.
    Interrupted,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(words) | Self::Wrong(words) => f.write_str(words),
            Self::Told(_) => Ok(()),
            Self::Interrupted => f.write_str("interrupted; nothing is left over"),
        }
    }
}

impl Failure {
    fn unfit(error: impl fmt::Display) -> Self {
        Self::Unfit(error.to_string())
    }

    fn wrong(error: impl fmt::Display) -> Self {
        Self::Wrong(error.to_string())
    }
}

/// The process in front.
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let settings = Settings::parse(arguments, Random::new().next()).map_err(Failure::unfit)?;
    if let Some(lacks) = tools::lacks(&settings.file_systems) {
        return Err(Failure::Unfit(lacks));
    }
    for folder in leftovers::clean(&settings.dir).map_err(Failure::unfit)? {
        println!("{} was left over by a run that was killed; it is gone now", folder.display());
    }
    let mut command = Command::new(env::current_exe().map_err(Failure::unfit)?);
    command.arg("supervise").args(arguments).args(["--seed", &settings.seed.to_string()]);
    // Its input ends when this process ends.
    let mut child =
        command.stdin(Stdio::piped()).process_group(0).spawn().map_err(Failure::wrong)?;
    let input = child.stdin.take();
    let status = child.wait().map_err(Failure::wrong)?;
    drop(input);
    match status.code() {
        Some(0) => Ok(()),
        code => Err(Failure::Told(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
    }
}

/// The process that does the work.
pub fn supervise(arguments: &[String]) -> Result<(), Failure> {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        IS_OVER.store(true, Ordering::Relaxed);
    });
    let settings = Settings::parse(arguments, 0).map_err(Failure::unfit)?;
    let kernel = read_text("/proc/sys/kernel/osrelease").map_err(Failure::wrong)?;
    println!("Linux {}, seed {}", kernel.trim(), settings.seed);
    for kind in &settings.file_systems {
        cut_all(*kind, &settings, &IS_OVER)?;
    }
    println!("ok");
    Ok(())
}

fn cut_all(kind: Kind, settings: &Settings, is_over: &AtomicBool) -> Result<(), Failure> {
    let began = Instant::now();
    let mut disk = Disk::new(kind, settings).map_err(Failure::wrong)?;
    let mut bench = Bench::new(&mut disk, settings.seed);
    for number in settings.first..settings.first + settings.cuts {
        if is_over.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        let Err(error) = bench.cut(number) else { continue };
        let round = format!("{:?}\n{}", Round::new(settings.seed, number), bench.notes.lines);
        // An interruption takes workers and programs with it.
        if is_over.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        let kept = kept(disk, &round);
        let words = settings.words(kind, settings.first, number - settings.first + 1);
        return Err(Failure::Wrong(format!(
            "{kind}, seed {}, cut {number}: {error}\n{kept}\nthe same again, but for the timing, on \
             which it may depend:\n  cargo run --release -p filepact-tests --bin kernel -- {words}",
            settings.seed
        )));
    }
    println!("{kind}, {:.0} s:\n{}", began.elapsed().as_secs_f64(), bench.counts);
    Ok(())
}

/// Says where what is left of a failure lies.
fn kept(disk: Disk, notes: &str) -> String {
    let keep = || -> Outcome<String> {
        fs::write(disk.beside("notes"), notes)?;
        let kept = disk.keep()?;
        Ok(kept.display().to_string())
    };
    match keep() {
        Ok(kept) => format!(
            "kept in {kept}: `image`, `before-recovery` (the store after the cut, before anybody \
             opened it), `notes` (what was begun and acknowledged)"
        ),
        Err(error) => format!("nothing could be kept: {error}"),
    }
}
