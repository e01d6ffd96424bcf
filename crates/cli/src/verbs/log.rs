//! `log` and `watch`: what the journal still holds, and what comes.

use std::time::{Duration, Instant};

use filepact::Store;

use crate::args::WatchArgs;
use crate::event::{Entry, Event};
use crate::failure::{DONE, Failure, NO};
use crate::output::Output;

pub(super) fn log(store: &Store, output: Output) -> Result<u8, Failure> {
    let transactions = store.log()?;
    let entries = transactions.into_iter().map(Entry::from);
    output.all(entries, |out, entry| entry.write(out))?;
    Ok(DONE)
}

/// Shows each transaction when it is committed, until there were enough or the time is over.
pub(super) fn watch(store: &Store, args: &WatchArgs, output: Output) -> Result<u8, Failure> {
    let mut watch = store.watch()?;
    // What was there before is shown, however short the time is.
    let begins = watch.told();
    if let Some(txn) = args.since {
        watch = store.watch_since(txn)?;
    }
    let end = args.seconds.and_then(|time| Instant::now().checked_add(time));
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let patience =
            end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        let is_over = patience.is_zero() && watch.told() >= begins;
        let watched = if is_over { None } else { watch.wait(patience)? };
        let Some(watched) = watched else {
            // Who asked for a number of them has not got it.
            return Ok(if args.count.is_some() { NO } else { DONE });
        };
        output.data(&Event::from(watched), |out, event| event.write(out))?;
        left -= 1;
    }
    Ok(DONE)
}
