//! Which tests reach which mutation: the others cannot go red by it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::run::{Binary, Outcome, SLOW};

/// All tests, each run once with no mutation in force.
#[derive(Debug)]
pub struct Trace(Vec<Traced>);

#[derive(Debug)]
struct Traced {
    /// By its place among the binaries.
    binary: usize,
    test: String,
    took: Duration,
    /// The numbers of the mutations.
    reached: BTreeSet<usize>,
}

/// Tests that take no longer are asked before all others.
const SHORT: Duration = Duration::from_millis(300);

impl Trace {
    /// Runs all tests; those that take minutes too if `slow` says so.
    ///
    /// # Errors
    /// Which test is red without any mutation, or what cannot be run.
    pub fn of(
        binaries: &[Binary],
        folder: &Path,
        slow: bool,
        jobs: usize,
        limit: Duration,
    ) -> Result<Self, String> {
        let mut tests = Vec::new();
        for (binary, of) in binaries.iter().enumerate() {
            let mut names = of.tests()?;
            names.retain(|test| slow || !SLOW.iter().any(|slow| test.starts_with(slow)));
            tests.extend(names.into_iter().map(|test| (binary, test)));
        }
        fs::create_dir_all(folder).map_err(|error| format!("{folder:?}: {error}"))?;
        let next = AtomicUsize::new(0);
        let traced = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some((binary, test)) = tests.get(at) else { return };
                        let file = folder.join(at.to_string());
                        let one = trace(binaries, (*binary, test), &file, limit);
                        traced.lock().expect("no thread panics").push(one);
                    }
                });
            }
        });
        let traced = traced.into_inner().expect("no thread panics");
        traced.into_iter().collect::<Result<_, _>>().map(Self)
    }

    /// The number of tests.
    pub fn tests(&self) -> usize {
        self.0.len()
    }

    /// Runs all tests that reach this mutation until one goes red, the short ones first.
    ///
    /// # Errors
    /// If a test binary cannot be run.
    pub fn try_reaching(
        &self,
        binaries: &[Binary],
        number: usize,
        limit: Duration,
    ) -> Result<Outcome, String> {
        let mut green = 0;
        for short in [true, false] {
            for (at, binary) in binaries.iter().enumerate() {
                let of = self.0.iter().filter(|traced| {
                    traced.binary == at
                        && (traced.took <= SHORT) == short
                        && traced.reached.contains(&number)
                });
                let tests: Vec<&str> = of.map(|traced| traced.test.as_str()).collect();
                if tests.is_empty() {
                    continue;
                }
                match binary.run(number, &tests, true, limit, None)? {
                    Outcome::Green(more) => green += more,
                    red => return Ok(red),
                }
            }
        }
        Ok(Outcome::Green(green))
    }
}

fn trace(
    binaries: &[Binary],
    (binary, test): (usize, &str),
    file: &Path,
    limit: Duration,
) -> Result<Traced, String> {
    let began = Instant::now();
    let _ = fs::remove_file(file);
    match binaries[binary].run(0, &[test], true, limit, Some(file))? {
        Outcome::Green(_) => {}
        Outcome::Red(tests) => return Err(format!("without any mutation: {}", tests.join(", "))),
    }
    let took = began.elapsed();
    // What reaches none leaves no file.
    let text = fs::read_to_string(file).unwrap_or_default();
    let reached = text.lines().filter_map(|line| line.parse().ok()).collect();
    Ok(Traced { binary, test: test.to_owned(), took, reached })
}
