//! Processes on a real disk: killed, stopped, read beside, counted.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "looks at the store from outside, as any program would"
)]

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fs};

use filepact_tests::storm::supervisor::{Weather, storm};
use filepact_tests::storm::{four, readers, worker};

const USAGE: &str = "\
usage:
  storm kills [N]     N processes are killed (2,000), others stopped; audits what they leave
  storm readers [N]   N opens and reads (5,000,000) by threads without filepact, beside commits
  storm four [N]      commits a second of four processes against one, N times in turns (5)";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|number| number.parse::<u64>().ok());
    let folder = || Path::new(&arguments[1]);
    let said = match (arguments.first().map_or("", String::as_str), arguments.len()) {
        ("worker", 5) => {
            let numbers = (number(2), number(3), number(4));
            let (Some(of), Some(threads), Some(seed)) = numbers else { return usage() };
            Err(format!("{:?}", worker::work(folder(), of, threads, seed)))
        }
        ("writer", 3) => Err(format!("{:?}", readers::write(folder(), number(2).unwrap_or(0)))),
        ("committer", 4) => {
            let time = Duration::from_millis(number(3).unwrap_or(1_000));
            let committed = four::commit(folder(), number(2).unwrap_or(0), time);
            committed.map(|()| String::new()).map_err(|error| format!("{error:?}"))
        }
        ("kills", 1 | 2) => {
            let kills = number(1).unwrap_or(2_000);
            let weather = Weather { processes: 4, threads: 2, kills, seed: seed() };
            println!("seed {}", weather.seed);
            let spawn = |folder: &Path, numbers: [u64; 3]| {
                this("worker", folder, &numbers.map(|number| number.to_string()))
            };
            in_folder(|folder| storm(folder, weather, &spawn).map(|damage| damage.to_string()))
        }
        ("readers", 1 | 2) => {
            let reads = number(1).unwrap_or(5_000_000);
            let spawn = |folder: &Path, seed: u64| this("writer", folder, &[seed.to_string()]);
            in_folder(|folder| {
                let seen = readers::read(folder, reads, &spawn)?;
                Ok(format!("{} reads, {} new versions seen", seen.reads, seen.changes))
            })
        }
        ("four", 1 | 2) => in_folder(|folder| {
            compare(folder, number(1).unwrap_or(5));
            Ok(String::new())
        }),
        _ => return usage(),
    };
    match said {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("WRONG: {wrong}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// One process and four, in turns, so that a busy machine is equally unfair to both.
fn compare(folder: &Path, rounds: u64) {
    let spawn = |folder: &Path, number: u64| {
        this("committer", folder, &[number.to_string(), "1000".to_owned()])
    };
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let one = four::rate(folder, 1, &spawn);
        let four = four::rate(folder, 4, &spawn);
        ratios.push(four.total / one.total);
        let (fewest, most) = four.spread;
        println!(
            "{round}: one {:.0} a second, four {:.0} together, each from {fewest:.0} to {most:.0}",
            one.total, four.total
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("four against one: {:.2} (median)", ratios[ratios.len() / 2]);
}

/// This program again.
fn this(role: &str, folder: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program has a file"));
    command.arg(role).arg(folder).args(arguments);
    command
}

/// On the disk of the current folder: the system's folder for temporary files may be no disk.
fn in_folder(work: impl FnOnce(&Path) -> Result<String, String>) -> Result<String, String> {
    let folder = tempfile::tempdir_in(".").expect("the current folder can be written to");
    let outcome = work(folder.path());
    if outcome.is_err() {
        // Kept, to be looked at.
        println!("left at {}", folder.keep().display());
        return outcome;
    }
    fs::remove_dir_all(folder.path()).expect("it is ours");
    outcome
}

fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |time| time.as_micros() as u64)
}
