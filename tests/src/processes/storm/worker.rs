//! A worker of the storm.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filepact::{Error, Options, Store, Transaction};

use super::audit::{ACCOUNTS, Account, account, counter, receipt};
use super::tally::Tally;
use crate::processes::random::Random;
use crate::processes::{Outcome, crew, recovery};

/// What a worker does beside its transfers.
#[derive(Clone, Copy, Debug)]
enum Habit {
    Nothing,
    /// Each thread opens the store for itself, again and again.
    Opens,
    Checkpoints,
}

/// Bodies of both kinds, short journals, and an answer before anybody is tired of waiting.
pub(super) fn options(lock_timeout: Duration) -> Options {
    Store::options().inline_max(1024).journal_max(96 * 1024).lock_timeout(lock_timeout)
}

const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// One thread.
struct Teller<'a> {
    tally: Tally,
    counter: String,
    receipt: String,
    random: Random,
    stop: &'a AtomicBool,
}

pub(crate) fn work(arguments: &[String]) -> Outcome {
    let [folder, notes, place, threads] = arguments else {
        return Err("a worker needs two folders and two numbers".into());
    };
    let place: usize = place.parse()?;
    let habit = match place % 4 {
        2 => Habit::Opens,
        3 => Habit::Checkpoints,
        _ => Habit::Nothing,
    };
    let shared = match habit {
        Habit::Opens => None,
        Habit::Nothing | Habit::Checkpoints => Some(opened(folder)?),
    };
    crew::until_told(threads.parse()?, |thread, stop| {
        let mut teller = Teller {
            tally: Tally::open(Path::new(notes), place, thread)?,
            counter: counter(place, thread),
            receipt: receipt(place, thread),
            random: Random::new(),
            stop,
        };
        while !stop.load(Ordering::Relaxed) {
            match &shared {
                Some(store) => teller.work(store, habit, usize::MAX)?,
                None => {
                    let store = opened(folder)?;
                    let transfers = teller.random.below(5);
                    teller.work(&store, habit, transfers)?;
                    if teller.random.one_in(3) {
                        drop(store);
                    } else {
                        unless_locked(store.close())?;
                    }
                }
            }
        }
        Ok(())
    })
}

/// Opens the store, however long others keep it; recovery must find nothing that nobody has done.
fn opened(folder: &str) -> Outcome<Store> {
    loop {
        match options(LOCK_TIMEOUT).open(folder) {
            Ok(store) => {
                recovery::found_no_edits(store.recovery_report())?;
                return Ok(store);
            }
            Err(Error::Locked { .. }) => {}
            Err(error) => return Err(format!("opening: {error}: {error:?}").into()),
        }
    }
}

impl Teller<'_> {
    fn work(&mut self, store: &Store, habit: Habit, transfers: usize) -> Outcome {
        let mut count: u64 = store.get(&self.counter)?.unwrap_or(0);
        self.tally.resumes_at(count)?;
        for _ in 0..transfers {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if matches!(habit, Habit::Checkpoints) && self.random.one_in(4) {
                unless_locked(store.checkpoint())?;
            }
            self.tally.begins(count + 1)?;
            let done = match self.random.one_in(8) {
                true => self.exclusively(store, count),
                false => store.transact(|tx| self.transfer(tx, count)),
            };
            match done {
                Ok(()) => {
                    count += 1;
                    self.tally.is_acknowledged(count)?;
                }
                Err(Error::Locked { .. } | Error::Conflict { .. }) => {}
                Err(error) => return Err(format!("a transfer: {error}: {error:?}").into()),
            }
        }
        Ok(())
    }

    fn exclusively(&mut self, store: &Store, count: u64) -> Result<(), Error> {
        let mut tx = store.begin_exclusive(LOCK_TIMEOUT)?;
        self.transfer(&mut tx, count)?;
        tx.commit().map(drop)
    }

    fn transfer(&mut self, tx: &mut Transaction, count: u64) -> Result<(), Error> {
        let from = self.random.below(ACCOUNTS);
        let to = (from + 1 + self.random.below(ACCOUNTS - 1)) % ACCOUNTS;
        let cents = self.random.below(1000) as i64;
        for (number, cents) in [(from, -cents), (to, cents)] {
            let before: Account = tx.read(account(number))?;
            let length = if self.random.one_in(8) { 2000 } else { self.random.below(100) };
            tx.write(account(number), &Account::holding(before.cents + cents, length))?;
        }
        let before: Option<u64> = tx.get(&self.counter)?;
        assert_eq!(before.unwrap_or(0), count, "somebody else counts in {}", self.counter);
        tx.write(&self.counter, &(count + 1))?;
        // An odd count has a receipt.
        if count.is_multiple_of(2) {
            tx.create(&self.receipt, &count)
        } else {
            tx.remove(&self.receipt)
        }
    }
}

fn unless_locked(done: Result<(), Error>) -> Outcome {
    match done {
        Ok(()) | Err(Error::Locked { .. }) => Ok(()),
        Err(error) => Err(format!("a checkpoint: {error}: {error:?}").into()),
    }
}
