//! The books: what must be true after every blow.
#![allow(clippy::disallowed_methods, reason = "looks at the store's folders from outside")]

use std::path::Path;

use filepact::{Error, Store};
use serde::{Deserialize, Serialize};

use super::tally::Tally;
use crate::processes::Outcome;

pub(super) const ACCOUNTS: usize = 8;
const SUM: i64 = 800_000;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) cents: i64,
    pad: String,
}

impl Account {
    pub(super) fn holding(cents: i64, length: usize) -> Self {
        Self { cents, pad: "x".repeat(length) }
    }
}

pub(super) fn account(number: usize) -> String {
    format!("accounts/{number}.json")
}

pub(super) fn counter(place: usize, thread: u32) -> String {
    format!("counters/{place}-{thread}.json")
}

pub(super) fn receipt(place: usize, thread: u32) -> String {
    format!("receipts/{place}-{thread}.json")
}

/// Opens all accounts.
pub(super) fn found(store: &Store) -> Result<(), Error> {
    store.transact(|tx| {
        (0..ACCOUNTS).try_for_each(|number| {
            tx.write(account(number), &Account::holding(SUM / ACCOUNTS as i64, 0))
        })
    })
}

/// The threads of all places, with their tallies.
#[derive(Debug)]
pub(super) struct Auditor {
    tellers: Vec<(usize, u32, Tally)>,
}

/// All transfers together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transfers {
    pub(super) counted: u64,
    /// Counted, and their process died before it could acknowledge them.
    pub(super) unanswered: u64,
}

impl Auditor {
    pub(super) fn new(notes: &Path, places: usize, threads: u32) -> Outcome<Self> {
        let mut tellers = Vec::new();
        for place in 0..places {
            for thread in 0..threads {
                tellers.push((place, thread, Tally::open(notes, place, thread)?));
            }
        }
        Ok(Self { tellers })
    }

    /// Everything that must be true at any moment.
    pub(super) fn audit(&self, store: &Store) -> Outcome<Transfers> {
        let mut acknowledged = Vec::new();
        for (_, _, tally) in &self.tellers {
            acknowledged.push(tally.acknowledged()?);
        }
        let (sum, counters, receipts) = store.transact::<_, Error>(|tx| {
            let mut sum = 0;
            for number in 0..ACCOUNTS {
                sum += tx.read::<Account>(account(number))?.cents;
            }
            let mut counters = Vec::new();
            for (place, thread, _) in &self.tellers {
                counters.push(tx.get::<u64>(counter(*place, *thread))?.unwrap_or(0));
            }
            Ok((sum, counters, tx.list("receipts")?))
        })?;
        if sum != SUM {
            return Err(format!("the money has become {sum}").into());
        }
        let mut transfers = Transfers::default();
        for (at, (place, thread, tally)) in self.tellers.iter().enumerate() {
            let (acknowledged, counted, begun) = (acknowledged[at], counters[at], tally.begun()?);
            if !(acknowledged..=begun).contains(&counted) {
                return Err(format!(
                    "{}: {counted}, but {acknowledged} were acknowledged and {begun} begun",
                    counter(*place, *thread)
                )
                .into());
            }
            let receipt = receipt(*place, *thread);
            let is_there = receipts.iter().any(|path| **path == *receipt);
            if is_there == counted.is_multiple_of(2) {
                return Err(format!("{receipt} does not go with {counted} transfers").into());
            }
            transfers.counted += counted;
            transfers.unanswered += tally.unanswered()? + (counted - acknowledged);
        }
        Ok(transfers)
    }

    /// The journal verifies, every document is as it says, and nothing of nobody's was found. A
    /// commit comes first: it publishes what the dead have left.
    pub(super) fn check(&self, store: &Store) -> Outcome {
        store.write("audit.json", &std::process::id())?;
        let check = store.check()?;
        let status = store.status()?;
        match check.problems.is_empty()
            && check.outside_edits.is_empty()
            && status.rescued.is_empty()
            && status.counts.adopted == 0
        {
            true => Ok(()),
            false => Err(format!("not clean: {check:?}, {status:?}").into()),
        }
    }
}

/// After a checkpoint and a close nothing is left in `stage/`, and nothing was ever rescued.
pub(super) fn is_swept(folder: &Path) -> Outcome {
    for dir in ["stage", "rescued"] {
        let mut left = std::fs::read_dir(folder.join(".filepact").join(dir))?;
        if let Some(entry) = left.next() {
            return Err(format!("left in {dir}: {:?}", entry?.file_name()).into());
        }
    }
    Ok(())
}
