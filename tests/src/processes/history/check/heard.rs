//! Did every watch tell every transaction once, in order, from the moment when it was begun?

use std::collections::HashMap;

use super::super::record::{Heard, History, Op, Told};
use super::{Commits, Violation};

/// How many transactions were told, and how many gaps.
pub(super) fn check(
    history: &History,
    positions: &HashMap<Op, usize>,
    commits: &Commits,
) -> Result<(usize, usize), Violation> {
    let (mut transactions, mut gaps) = (0, 0);
    for Heard { begun: (from, to), told, until } in &history.heard {
        // It tells what comes after a moment of the call that began it.
        let (mut low, mut high) = (commits.ended_before(*from), commits.none_begun_after(*to));
        for told in told {
            match *told {
                Told::Gap => {
                    high = history.order.len();
                    gaps += 1;
                }
                Told::Transaction { txn, op } => {
                    let at = positions.get(&op).filter(|at| history.order[**at - 1].txn == txn);
                    let at =
                        *at.ok_or_else(|| format!("a watch tells {txn}, {op}, which is none"))?;
                    if at <= low || at > high + 1 {
                        let (after, next) = (txn_at(history, low), txn_at(history, high + 1));
                        return Err(format!(
                            "a watch tells {txn} where the one after {after} is next, at most {next}"
                        ));
                    }
                    (low, high) = (at, at);
                    transactions += 1;
                }
            }
        }
        let missed = until.map_or(0, |until| commits.ended_before(until));
        if missed > high {
            let txn = txn_at(history, missed);
            return Err(format!("a watch had no more to tell, and has not told {txn}"));
        }
    }
    Ok((transactions, gaps))
}

fn txn_at(history: &History, position: usize) -> u64 {
    let logged = position.checked_sub(1).and_then(|before| history.order.get(before));
    logged.map_or(0, |logged| logged.txn)
}
