//! Runs long random histories, and prints what was tried, or the short history that fails.
//!
//! `cargo run --release -p filepact-tests --bin histories -- --seeds 100000 --from 0 --steps 40`
//! runs the histories of these seeds; `--history 'open 0 journal; ...'` runs the one that is written.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use filepact_tests::random::{Counts, run, run_seed, shrunk, step};

fn main() -> ExitCode {
    let (mut seeds, mut from, mut steps) = (10_000, 0, 40);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let number = || value.parse::<u64>().unwrap_or_else(|_| panic!("{name} wants a number"));
        match name.as_str() {
            "--seeds" => seeds = number(),
            "--from" => from = number(),
            "--steps" => steps = number() as usize,
            "--history" => return one(&value),
            other => panic!("no such option: {other}"),
        }
    }
    many(from, seeds, steps)
}

fn one(text: &str) -> ExitCode {
    let steps = step::parse(text).unwrap_or_else(|why| panic!("{why}"));
    match run(&steps, None) {
        Ok(counts) => {
            println!("{counts}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("{}", shrunk(steps, violation, None));
            ExitCode::FAILURE
        }
    }
}

fn many(from: u64, seeds: u64, steps: usize) -> ExitCode {
    let next = AtomicU64::new(from);
    let (total, has_failed) = (Mutex::new(Counts::default()), AtomicBool::new(false));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + seeds || has_failed.load(Ordering::Relaxed) {
                return;
            }
            match run_seed(seed, steps, None) {
                Ok(counts) => *total.lock().expect("no thread has failed") += counts,
                Err(failure) => {
                    if !has_failed.swap(true, Ordering::Relaxed) {
                        println!("{failure}");
                    }
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    println!("{}", total.into_inner().expect("no thread has failed"));
    if has_failed.into_inner() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
