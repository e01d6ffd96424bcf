//! Seven patterns for files that belong together: how the naive code fails, and what filepact does.
//!
//! ```text
//! cargo run -p filepact --example patterns                  # the names
//! cargo run -p filepact --example patterns -- all
//! cargo run -p filepact --example patterns -- file-lock     # one of them
//! ```
//!
//! Each pattern is a file here, and a section of `docs/patterns.md`. The naive code must lose something
//! and filepact must not, else this ends with an error: so it is a test of both.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the naive code, and other programs, work on the files by hand"
)]

mod append_log;
mod compare_and_swap_mtime;
mod file_lock;
mod hard_link_snapshot;
mod optimistic_hash;
mod process;
mod temp_and_rename;
mod two_phase_commit;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

/// What a run has shown, in plain words.
enum Outcome {
    Held(String),
    Lost(String),
}

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;
type Run = fn(&Path) -> Result<Outcome>;

enum Case {
    /// Must lose something.
    Naive(&'static str, Run),
    /// Must hold.
    Filepact(&'static str, Run),
}

struct Pattern {
    name: &'static str,
    cases: &'static [Case],
    /// What another process does: the step that it is given, in the folder.
    other: fn(&str, &Path) -> Result<()>,
}

const PATTERNS: [Pattern; 7] = [
    temp_and_rename::PATTERN,
    optimistic_hash::PATTERN,
    compare_and_swap_mtime::PATTERN,
    file_lock::PATTERN,
    two_phase_commit::PATTERN,
    append_log::PATTERN,
    hard_link_snapshot::PATTERN,
];

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let named = |name: &str| PATTERNS.iter().find(|pattern| pattern.name == name);
    let chosen: Vec<&Pattern> = match arguments[..] {
        ["other", name, step, folder] => {
            let pattern = named(name).ok_or("no such pattern")?;
            (pattern.other)(step, Path::new(folder))?;
            return Ok(ExitCode::SUCCESS);
        }
        ["all"] => PATTERNS.iter().collect(),
        [name] => vec![named(name).ok_or("no such pattern")?],
        _ => {
            PATTERNS.iter().for_each(|pattern| println!("{}", pattern.name));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let mut surprises = 0;
    for pattern in chosen {
        println!("{}", pattern.name);
        for case in pattern.cases {
            let (how, run, must_hold) = match case {
                Case::Naive(how, run) => (format!("naive: {how}"), run, false),
                Case::Filepact(how, run) => (format!("filepact: {how}"), run, true),
            };
            let folder = tempfile::tempdir_in(".")?;
            let (holds, words) = match run(folder.path())? {
                Outcome::Held(words) => (true, words),
                Outcome::Lost(words) => (false, words),
            };
            println!("  {how}\n    {}: {words}", if holds { "held" } else { "LOST" });
            surprises += u32::from(holds != must_hold);
        }
    }
    if surprises == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{surprises} of these should have been the other way round");
    Ok(ExitCode::FAILURE)
}

/// The naive replacement of one file: whole for everybody who reads it, if the power stays.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let temp = path.with_extension("tmp");
    fs::write(&temp, content)?;
    fs::rename(temp, path)
}

/// For patterns that need one process only.
fn nobody(_: &str, _: &Path) -> Result<()> {
    Err("this pattern needs no other process".into())
}
