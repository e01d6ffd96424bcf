//! Crashes every pair of transactions over two documents at every call, with every distinct outcome.
//!
//! `cargo run --release -p filepact-tests --bin crash-suite [-- FROM TO]` runs all pairs, or those
//! from number FROM to before number TO, and prints what was tried.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use filepact_tests::crash::{Counts, Effort, crash_history};
use filepact_tests::history::transactions;

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|number| number.parse::<usize>().expect("FROM and TO are numbers of pairs"));
    let all = transactions();
    let pairs: Vec<_> =
        all.iter().flat_map(|first| all.iter().map(|second| [*first, *second])).collect();
    let from = numbers.next().unwrap_or(0);
    let to = numbers.next().unwrap_or(pairs.len()).min(pairs.len());
    let effort =
        Effort { outcomes: 1024, crash_recovery_every: 257, outcomes_in_recovery: 16, close: true };
    let next = AtomicUsize::new(from);
    let total = Mutex::new(Counts::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= to {
                        return;
                    }
                    let counts = crash_history(&pairs[number], effort, number as u64);
                    let mut total = total.lock().expect("no other thread has failed");
                    *total += counts;
                    println!("{number} {:?}: {}", pairs[number], counts.recoveries());
                }
            });
        }
    });
    println!("{}", total.into_inner().expect("no thread has failed"));
}
