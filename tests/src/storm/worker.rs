//! A process of the storm: works until it is killed.

use std::path::Path;
use std::thread;
use std::time::Duration;

use filepact::{Error, Options, Store};

use super::Dice;
use super::ledger::{Ledger, SUM, Teller, sum};

/// Small, so that checkpoints and new segments come often.
const JOURNAL_MAX: u64 = 128 * 1024;

/// How every process opens the store.
pub fn options() -> Options {
    Store::options().journal_max(JOURNAL_MAX).lock_timeout(Duration::from_millis(200))
}

/// Runs `threads` threads as the worker number `number`; returns only if something is wrong.
pub fn work(folder: &Path, number: u64, threads: u64, seed: u64) -> Error {
    let ledger = Ledger::in_folder(folder);
    let failed = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|at| {
                let ledger = &ledger;
                scope.spawn(move || {
                    let mut teller = ledger.teller(&format!("{number}-{at}")).expect("it is ours");
                    let mut dice = Dice::new(seed + at);
                    lives(ledger, &mut teller, number, &mut dice)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).next()
    });
    failed.expect("there are threads")
}

/// Opens the store, works for a while, closes it or not; again and again. Each thread has a handle
/// of its own, as a process would.
fn lives(ledger: &Ledger, teller: &mut Teller, number: u64, dice: &mut Dice) -> Error {
    loop {
        let store = match options().open(&ledger.store) {
            Ok(store) => store,
            Err(Error::Locked { .. }) => continue,
            Err(error) => return error,
        };
        // Every second worker opens and closes all the time.
        let transfers = if number.is_multiple_of(2) { 10_000 } else { 1 + dice.roll(20) };
        for _ in 0..transfers {
            let outcome = match dice.roll(50) {
                0 => store.checkpoint(),
                1..6 => {
                    store.transact(sum).map(|sum| assert_eq!(sum, SUM, "half a transfer was seen"))
                }
                _ => teller.transfer(&store, dice),
            };
            match outcome {
                Ok(()) | Err(Error::Locked { .. }) => {}
                Err(error) => return error,
            }
        }
        if dice.roll(2) == 0 {
            match store.close() {
                Ok(()) | Err(Error::Locked { .. }) => {}
                Err(error) => return error,
            }
        }
    }
}
