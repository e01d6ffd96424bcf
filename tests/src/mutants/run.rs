//! The tests, run with a mutation in force.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Mutation, VARIABLE};

/// A test binary.
#[derive(Clone, Debug)]
pub struct Binary {
    /// What stands before the names of its tests; `""` for those that cross crates.
    pub name: String,
    /// Where its tests run.
    folder: PathBuf,
    /// The file.
    path: PathBuf,
}

/// The tests that hold one sync, check or order each: they are the first to be asked.
const GUARDS: [&str; 3] = ["guards::", "heal::", "failed::"];

/// The tests that take longer than all others together. They are begun when all others are green.
const SLOW: [&str; 5] =
    ["crash::", "serial::", "model::", "attacks::attack_5_", "attacks::attacks_10_and_28_"];

/// What becomes of the tests with a mutation in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// These failed, or did not end.
    Red(Vec<String>),
    /// None did, of so many.
    Green(usize),
}

impl Binary {
    /// A binary that cargo has built in a package's folder; `None` if it is no test of the product.
    pub fn new(folder: PathBuf, target: &str, kind: &[String], path: PathBuf) -> Option<Self> {
        let package = folder.file_name()?.to_string_lossy().into_owned();
        let is_of_tests = package == "tests";
        let name = match kind.first()?.as_str() {
            "lib" if !is_of_tests => package,
            "test" if is_of_tests && target == "filepact" => String::new(),
            "test" => target.to_owned(),
            _ => return None,
        };
        Some(Self { name, folder, path })
    }

    /// Its place in the order in which binaries are tried.
    pub fn rank(&self) -> u8 {
        match self.name.as_str() {
            "fs" | "journal" | "commit" | "recovery" | "store" => 0,
            "" => 1,
            _ => 2,
        }
    }

    fn full_name(&self, test: &str) -> String {
        if self.name.is_empty() { test.to_owned() } else { format!("{} {test}", self.name) }
    }

    /// Runs the tests that these arguments choose. Ends with the first failure if `first` says so, and
    /// with what runs when the limit is over.
    fn run(
        &self,
        number: usize,
        arguments: &[&str],
        first: bool,
        limit: Duration,
    ) -> Result<Outcome, String> {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).args(arguments).args(["--test-threads", "1"]);
        command.env(VARIABLE, number.to_string()).env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Tests start processes of their own, which end with their group.
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| format!("{:?}: {error}", self.path))?;
        let outcome = self.watch(&mut child, first, limit);
        // Also what a test that has ended has left behind.
        if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        child.wait().map_err(|error| format!("{:?}: {error}", self.path))?;
        Ok(outcome)
    }

    fn watch(&self, child: &mut Child, first: bool, limit: Duration) -> Outcome {
        let deadline = Instant::now() + limit;
        let (to_here, lines) = channel();
        let stdout = child.stdout.take().expect("it is piped");
        // It ends with the output.
        std::thread::spawn(move || {
            // A line per test; of one that did not end, its beginning.
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if to_here.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let (mut red, mut green, mut whole) = (Vec::new(), 0, false);
        let mut hangs = false;
        loop {
            let left = match hangs {
                false => deadline.saturating_duration_since(Instant::now()),
                true => Duration::from_secs(10),
            };
            match lines.recv_timeout(left) {
                Ok(line) => {
                    let test = line.strip_prefix("test ").unwrap_or_default();
                    if let Some(name) = test.strip_suffix(" ... FAILED") {
                        red.push(self.full_name(name));
                        if first {
                            return Outcome::Red(red);
                        }
                    } else if test.ends_with(" ... ok") {
                        green += 1;
                    } else if let Some((name, _)) = test.split_once(" ... ") {
                        let how = if hangs { "does not end" } else { "dies" };
                        red.push(format!("{} ({how})", self.full_name(name)));
                    }
                    whole |= line.starts_with("test result:");
                }
                Err(RecvTimeoutError::Timeout) if !hangs => {
                    hangs = true;
                    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
                        let _ = kill_process_group(group, Signal::KILL);
                    }
                }
                Err(_) => break,
            }
        }
        if red.is_empty() && !whole {
            red.push(self.full_name(if hangs { "(does not end)" } else { "(dies)" }));
        }
        if red.is_empty() { Outcome::Green(green) } else { Outcome::Red(red) }
    }
}

/// The binary of a test, and its name there.
fn split(test: &str) -> (&str, &str) {
    test.split_once(' ').unwrap_or(("", test))
}

/// The folder in whose sources a test is, beneath the root, and its name.
pub fn source_of(test: &str) -> (String, &str) {
    let (binary, name) = split(test);
    let folder = match binary {
        "" => "tests/tests/filepact".to_owned(),
        "fork" | "on_disk" => "tests/tests".to_owned(),
        package => format!("crates/{package}/src"),
    };
    (folder, name)
}

/// How much is tried where what is expected to go red stays green.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// All tests but those that take minutes.
    Quick,
    /// All tests.
    Whole,
}

/// Runs the tests that are expected to go red, and if none does, all others until one does.
///
/// # Errors
/// If a test binary cannot be run.
pub fn try_mutation(
    binaries: &[Binary],
    (number, mutation): (usize, &Mutation),
    effort: Effort,
    limit: Duration,
) -> Result<Outcome, String> {
    let mut red = Vec::new();
    for binary in binaries {
        let names = mutation.red.iter().map(|test| split(test));
        let mut arguments: Vec<&str> =
            names.filter(|(of, _)| *of == binary.name).map(|(_, name)| name).collect();
        if arguments.is_empty() {
            continue;
        }
        arguments.push("--exact");
        if let Outcome::Red(found) = binary.run(number, &arguments, false, limit)? {
            red.extend(found);
        }
    }
    if !red.is_empty() {
        return Ok(Outcome::Red(red));
    }
    try_all(binaries, number, effort, limit)
}

/// Runs all tests until one goes red; those that take long at the end.
///
/// # Errors
/// If a test binary cannot be run.
pub fn try_all(
    binaries: &[Binary],
    number: usize,
    effort: Effort,
    limit: Duration,
) -> Result<Outcome, String> {
    let skipped = GUARDS.iter().chain(&SLOW).flat_map(|part| ["--skip", part]);
    let others: Vec<&str> = skipped.collect();
    let mut runs: Vec<(&Binary, &[&str], Duration)> = Vec::new();
    for binary in binaries {
        match binary.name.is_empty() {
            true => runs.extend([(binary, &GUARDS[..], limit), (binary, &others[..], limit)]),
            false => runs.push((binary, &[], limit)),
        }
    }
    if effort == Effort::Whole {
        let across = binaries.iter().filter(|binary| binary.name.is_empty());
        runs.extend(across.map(|binary| (binary, &SLOW[..], 8 * limit)));
    }
    let mut green = 0;
    for (binary, arguments, limit) in runs {
        match binary.run(number, arguments, true, limit)? {
            Outcome::Green(more) => green += more,
            red => return Ok(red),
        }
    }
    Ok(Outcome::Green(green))
}
