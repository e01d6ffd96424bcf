//! Takes out each sync, check and order of the protocol, one at a time, and shows which test goes red.
//!
//! `cargo run -p filepact-tests --bin mutants -- [--list] [--copy] [--only NAME,...] [--slow] [--jobs N]
//! [--limit SECONDS] [--write-table]`
//!
//! `--list` names the mutations, `--copy` only makes the mutated tree (`target/mutants/tree`), `--only`
//! takes names of mutations and of lists. Where nothing goes red, `--slow` also asks the tests that
//! take minutes: for who looks for a test.
//!
//! Ends with 1 if a mutation that should go red stays green, or the other way round, or goes red by
//! other tests than its entry says.
#![allow(clippy::disallowed_methods, reason = "it writes a page of the documentation")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use filepact_tests::mutants::run::{self, Outcome};
use filepact_tests::mutants::trace::Trace;
use filepact_tests::mutants::{Mutation, all, root, table, tree};

struct Arguments {
    list: bool,
    copy: bool,
    only: Vec<String>,
    slow: bool,
    jobs: usize,
    limit: Duration,
    write_table: bool,
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| run_all(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        list: false,
        copy: false,
        only: Vec::new(),
        slow: false,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        limit: Duration::from_secs(60),
        write_table: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        match &*argument {
            "--list" => arguments.list = true,
            "--copy" => arguments.copy = true,
            "--only" => arguments.only.extend(value()?.split(',').map(str::to_owned)),
            "--slow" => arguments.slow = true,
            "--jobs" => arguments.jobs = number(&value()?)?,
            "--limit" => arguments.limit = Duration::from_secs(number(&value()?)? as u64),
            "--write-table" => arguments.write_table = true,
            other => return Err(format!("nobody knows {other}")),
        }
    }
    if arguments.write_table && !arguments.only.is_empty() {
        return Err("the table is written of all mutations".to_owned());
    }
    Ok(arguments)
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn run_all(arguments: &Arguments) -> Result<bool, String> {
    let root = root();
    let mutations = all(&root)?;
    if arguments.list {
        for mutation in &mutations {
            println!("{:<40} {:<12} {}", mutation.name, mutation.step, mutation.what);
        }
        return Ok(true);
    }
    let chosen = chosen(&mutations, &arguments.only)?;
    let folder = root.join("target/mutants");
    let began = Instant::now();
    tree::copy(&root, &folder.join("tree"), &mutations)?;
    if arguments.copy {
        return Ok(true);
    }
    let binaries = tree::build(&folder.join("tree"), &folder.join("target"))?;
    println!("{} mutations woven and built in {} s", mutations.len(), began.elapsed().as_secs());

    let limit = arguments.limit;
    let (seen, rest): (Vec<_>, Vec<_>) =
        each(&chosen, (arguments.jobs, false), |of| run::try_expected(&binaries, of, limit))?
            .into_iter()
            .partition(|(_, outcome)| matches!(outcome, Outcome::Red(_)));
    let mut outcomes = seen;
    if !rest.is_empty() || arguments.only.is_empty() {
        let began = Instant::now();
        let traces = folder.join("traces");
        let trace = Trace::of(&binaries, &traces, arguments.slow, arguments.jobs, limit)?;
        let (tests, seconds) = (trace.tests(), began.elapsed().as_secs());
        println!("with none in force {tests} tests are green in {seconds} s");
        let rest: Vec<_> = rest.into_iter().map(|(n, _)| (n, &mutations[n - 1])).collect();
        let found = each(&rest, (arguments.jobs, true), |(number, _)| {
            trace.try_reaching(&binaries, number, limit)
        })?;
        outcomes.extend(found);
    }
    outcomes.sort_by_key(|(number, _)| *number);
    let (mut rows, mut unexpected) = (Vec::new(), Vec::new());
    for (number, outcome) in &outcomes {
        let mutation = &mutations[number - 1];
        if !is_expected(mutation, outcome) {
            unexpected.push(mutation.name.as_str());
        }
        rows.push((mutation, outcome));
    }
    println!(
        "{} mutations in {} s, {} not as their entries say: {}",
        rows.len(),
        began.elapsed().as_secs(),
        unexpected.len(),
        unexpected.join(",")
    );
    if arguments.write_table && unexpected.is_empty() {
        let path = root.join("docs/mutations.md");
        std::fs::write(&path, table::page(&rows)).map_err(|error| format!("{path:?}: {error}"))?;
    }
    Ok(unexpected.is_empty())
}

/// Tries each of these mutations, and tells what became of it if that is the last word.
fn each(
    mutations: &[(usize, &Mutation)],
    (jobs, last): (usize, bool),
    attempt: impl Fn((usize, &Mutation)) -> Result<Outcome, String> + Sync,
) -> Result<Vec<(usize, Outcome)>, String> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(of) = mutations.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let outcome = attempt(*of);
                    // What stays green is tried again.
                    if last || !matches!(outcome, Ok(Outcome::Green(_))) {
                        tell(of.1, &outcome, began.elapsed());
                    }
                    let outcome = outcome.map(|outcome| (of.0, outcome));
                    outcomes.lock().expect("no thread panics").push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().expect("no thread panics").into_iter().collect()
}

fn chosen<'a>(
    mutations: &'a [Mutation],
    only: &[String],
) -> Result<Vec<(usize, &'a Mutation)>, String> {
    for name in only {
        if !mutations.iter().any(|mutation| is_named(mutation, name)) {
            return Err(format!("there is no mutation `{name}`"));
        }
    }
    let numbered = (1..).zip(mutations);
    Ok(numbered
        .filter(|(_, mutation)| only.is_empty() || only.iter().any(|name| is_named(mutation, name)))
        .collect())
}

/// By its name, or with all others of its list.
fn is_named(mutation: &Mutation, name: &str) -> bool {
    mutation.name == name || mutation.area == name
}

fn is_expected(mutation: &Mutation, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Green(_) => mutation.green.is_some(),
        Outcome::Red(tests) => {
            let known = |test: &String| mutation.red.iter().any(|red| test.starts_with(red));
            tests.iter().any(known)
        }
    }
}

fn tell(mutation: &Mutation, outcome: &Result<Outcome, String>, took: Duration) {
    let said = match outcome {
        Ok(Outcome::Red(tests)) => format!("red: {}", tests.join(", ")),
        Ok(Outcome::Green(tests)) => format!("GREEN in {tests} tests"),
        Err(error) => error.clone(),
    };
    let expected = outcome.as_ref().is_ok_and(|outcome| is_expected(mutation, outcome));
    let mark = if expected { " " } else { "!" };
    println!("{mark} {:<40} {:>4} s  {said}", mutation.name, took.as_secs());
}
