//! A thread that notes what a watch tells it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filepact::{Store, Watched};

use super::notes::{Notes, now};
use super::record::Told;
use crate::processes::Outcome;

/// Listens until it is told to stop, and then to what has not been told yet.
pub(super) fn listen(store: &Store, notes: &mut Notes, stop: &AtomicBool) -> Outcome {
    let from = now();
    let mut watch = store.watch()?;
    notes.watch((from, now()))?;
    let mut is_quiet = false;
    loop {
        let is_last = stop.load(Ordering::Relaxed);
        let patience = if is_last { Duration::ZERO } else { Duration::from_millis(20) };
        let time = now();
        match watch.wait(patience)? {
            Some(heard) => {
                notes.told(told(heard)?)?;
                is_quiet = false;
            }
            None => {
                if !is_quiet {
                    notes.quiet(time)?;
                    is_quiet = true;
                }
                if is_last {
                    return Ok(());
                }
            }
        }
    }
}

fn told(heard: Watched) -> Outcome<Told> {
    Ok(match heard {
        Watched::Gap { .. } => Told::Gap,
        Watched::Transaction(logged) => {
            let op = logged.note.unwrap_or_default().parse()?;
            Told::Transaction { txn: logged.txn, op }
        }
    })
}
