//! The tests, run with a mutation in force.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Mutation, TRACE, VARIABLE};

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

/// The tests that take longer than all others together.
pub(super) const SLOW: [&str; 5] =
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

    /// The names of its tests.
    pub(super) fn tests(&self) -> Result<Vec<String>, String> {
        let output = Command::new(&self.path).arg("--list").output();
        let output = output.map_err(|error| format!("{:?}: {error}", self.path))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().filter_map(|line| Some(line.strip_suffix(": test")?.to_owned())).collect())
    }

    pub(super) fn full_name(&self, test: &str) -> String {
        if self.name.is_empty() { test.to_owned() } else { format!("{} {test}", self.name) }
    }

    /// Runs these tests. Ends with the first failure if `first` says so, and with a test that takes
    /// longer than the limit.
    pub(super) fn run(
        &self,
        number: usize,
        tests: &[&str],
        first: bool,
        limit: Duration,
        trace: Option<&Path>,
    ) -> Result<Outcome, String> {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).args(tests).args(["--exact", "--test-threads", "1"]);
        command.env(VARIABLE, number.to_string()).env("RUST_BACKTRACE", "0");
        if let Some(trace) = trace {
            command.env(TRACE, trace);
        }
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
        // For each test anew.
        let mut deadline = Instant::now() + limit;
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
                    deadline = Instant::now() + limit;
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

/// Runs the tests that are expected to go red.
///
/// # Errors
/// If a test binary cannot be run.
pub fn try_expected(
    binaries: &[Binary],
    (number, mutation): (usize, &Mutation),
    limit: Duration,
) -> Result<Outcome, String> {
    let (mut red, mut green) = (Vec::new(), 0);
    for binary in binaries {
        let names = mutation.red.iter().map(|test| split(test));
        let tests: Vec<&str> =
            names.filter(|(of, _)| *of == binary.name).map(|(_, name)| name).collect();
        if !tests.is_empty() {
            match binary.run(number, &tests, false, limit, None)? {
                Outcome::Red(more) => red.extend(more),
                Outcome::Green(more) => green += more,
            }
        }
    }
    Ok(if red.is_empty() { Outcome::Green(green) } else { Outcome::Red(red) })
}
