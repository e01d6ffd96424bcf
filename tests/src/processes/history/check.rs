//! The judge: is everything that anybody saw and was told explained by one order of commits?
//!
//! The order is known. Position 0 is the empty store, position *n* what the first *n* transactions
//! leave. Then:
//!
//! - Each transaction saw exactly what its predecessor left, and wrote what it meant to write.
//! - Each attempt that changed nothing saw what *one* position holds, all of it.
//! - What ended before something else began comes before it, for reads and writes alike.
//! - What was acknowledged is in the order; what was refused or given up is not, and nobody saw it.
//! - What was read through a snapshot is of one position, the one that it says.
//! - A watch tells every position after its beginning, in order, unless it says that some are missing.
//! - The last position is what the documents hold in the end.
//!
//! A position for an attempt that changed nothing is chosen as early as it can be, in the order in
//! which they began: this leaves later ones all the freedom that there is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fmt;

use super::record::{Attempt, End, History, Op, Path, Saw, Sighting, Wrote};

/// What was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Single reads and transactions that changed nothing, and were not meant to.
    reads: usize,
    /// Snapshots among them.
    snapshots: usize,
    /// Documents seen by all attempts.
    sightings: usize,
    /// Transactions that watches told.
    told: usize,
    gaps: usize,
    acknowledged: usize,
    /// Conflicts, timeouts, transactions given up.
    refused: usize,
    /// The process died first, and the transaction counts.
    kept: usize,
    /// The process died first, and there is nothing of the transaction.
    absent: usize,
}

impl Counts {
    pub(super) fn attempts(&self) -> usize {
        self.reads + self.acknowledged + self.refused + self.kept + self.absent
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, snapshots, sightings, told, gaps, acknowledged, refused, kept, absent } =
            self;
        writeln!(
            f,
            "{} operations: {reads} only read, {snapshots} of them snapshots,",
            self.attempts()
        )?;
        writeln!(f, "  {acknowledged} were committed, {refused} refused or given up,")?;
        writeln!(f, "  {} unanswered: {kept} kept whole, {absent} absent;", kept + absent)?;
        writeln!(f, "  {sightings} documents were seen, or seen to be absent;")?;
        write!(f, "  watches told {told} transactions, with {gaps} gaps")
    }
}

/// The first thing found that no order explains.
pub(super) type Violation = String;

pub(super) fn check(history: &History) -> Result<Counts, Violation> {
    let (timeline, positions) = lay_out(history)?;
    let mut counts = Counts::default();
    for attempt in &history.attempts {
        counts.sightings += attempt.saw.len();
        counts.snapshots += usize::from(attempt.moment.is_some());
        let position = positions.get(&attempt.op).copied();
        match (attempt.end, position) {
            (End::Committed(_), None) if attempt.wrote.is_empty() => counts.reads += 1,
            (End::Committed(_), Some(_)) => counts.acknowledged += 1,
            (End::Unknown, Some(_)) => counts.kept += 1,
            (End::Unknown, None) => counts.absent += 1,
            (End::Nothing, None) => counts.refused += 1,
            (End::Committed(_), None) => {
                return Err(format!("an acknowledged write is lost: {}", told(attempt)));
            }
            (End::Nothing, Some(at)) => {
                let txn = history.order[at - 1].txn;
                return Err(format!("refused, but transaction {txn}: {}", told(attempt)));
            }
        }
        if let Some(at) = position {
            check_commit(history, &timeline, attempt, at)?;
        }
    }
    let commits = Commits::new(history, &positions)?;
    check_reads(history, &timeline, &positions, &commits)?;
    (counts.told, counts.gaps) = heard::check(history, &positions, &commits)?;
    let end = history.order.len();
    for sighting in &history.last {
        if !timeline.holds(sighting, end) {
            let (saw, was) = (sighting.saw, timeline.at(&sighting.path, end));
            return Err(format!("in the end {} is {saw:?} instead of {was:?}", sighting.path));
        }
    }
    Ok(counts)
}

/// Every document at every position, and the position of every transaction.
fn lay_out(history: &History) -> Result<(Timeline, HashMap<Op, usize>), Violation> {
    let mut timeline = Timeline::default();
    let mut positions = HashMap::new();
    let begun: HashSet<Op> = history.attempts.iter().map(|attempt| attempt.op).collect();
    if begun.len() < history.attempts.len() {
        return Err("two attempts have the same name".into());
    }
    let mut last = 0;
    for (before, logged) in history.order.iter().enumerate() {
        let (txn, op) = (logged.txn, logged.op);
        if txn <= last {
            return Err(format!("transaction {txn} comes after {last}"));
        }
        last = txn;
        if !begun.contains(&op) {
            return Err(format!("transaction {txn}, {op}, was never begun"));
        }
        if positions.insert(op, before + 1).is_some() {
            return Err(format!("{op} was committed twice, the second time as {txn}"));
        }
        timeline.take(before + 1, op, &logged.wrote);
    }
    Ok((timeline, positions))
}

/// A transaction that counts saw what its predecessor left, and wrote what it meant to.
fn check_commit(
    history: &History,
    timeline: &Timeline,
    attempt: &Attempt,
    at: usize,
) -> Result<(), Violation> {
    let logged = &history.order[at - 1];
    let txn = logged.txn;
    if matches!(attempt.end, End::Committed(Some(told)) if told != txn) {
        return Err(format!("transaction {txn} was told another number: {}", told(attempt)));
    }
    let mut meant = attempt.wrote.clone();
    meant.sort();
    if meant != logged.wrote {
        let wrote = &logged.wrote;
        return Err(format!("transaction {txn} wrote {wrote:?} instead: {}", told(attempt)));
    }
    for sighting in attempt.saw.iter().chain(&attempt.expected) {
        if !timeline.holds(sighting, at - 1) {
            let was = timeline.at(&sighting.path, at - 1);
            let what = format!("{} was {was:?} just before transaction {txn}", sighting.path);
            return Err(format!("{what}, but saw {:?}: {}", sighting.saw, told(attempt)));
        }
    }
    Ok(())
}

/// Each attempt that changed nothing saw one position, between what had ended and what had begun.
fn check_reads(
    history: &History,
    timeline: &Timeline,
    positions: &HashMap<Op, usize>,
    commits: &Commits,
) -> Result<(), Violation> {
    let mut reads: Vec<&Attempt> =
        history.attempts.iter().filter(|attempt| !positions.contains_key(&attempt.op)).collect();
    reads.sort_by_key(|read| read.from);
    // Where reads that have ended found themselves: who begins later is not earlier.
    let mut running = BinaryHeap::new();
    let mut reached = 0;
    for read in reads {
        while let Some(Reverse((to, at))) = running.peek().copied()
            && to < read.from
        {
            running.pop();
            reached = reached.max(at);
        }
        let mut low = reached.max(commits.ended_before(read.from));
        let mut high = read.to.map_or(history.order.len(), |to| commits.none_begun_after(to));
        if let Some(moment) = read.moment {
            let at = history.order.partition_point(|logged| logged.txn <= moment);
            (low, high) = (low.max(at), high.min(at));
        }
        let mut wanted = read.saw.clone();
        if matches!(read.end, End::Committed(_)) {
            wanted.extend(read.expected.iter().cloned());
        }
        let Some(at) = timeline.first_that_holds(&wanted, low, high) else {
            let txn = |at: usize| if at == 0 { 0 } else { history.order[at - 1].txn };
            let reads: Vec<String> =
                wanted.iter().map(|sighting| timeline.tell(sighting, low, high, txn)).collect();
            return Err(format!(
                "no position from transaction {} to {} explains what was seen: {}\n{}",
                txn(low),
                txn(high),
                told(read),
                reads.join("\n")
            ));
        };
        if let Some(to) = read.to {
            running.push(Reverse((to, at)));
        }
    }
    Ok(())
}

fn told(attempt: &Attempt) -> String {
    let Attempt { op, from, to, saw, expected, wrote, end, moment } = attempt;
    let list = |sightings: &[Sighting]| {
        let words = sightings.iter().map(|Sighting { path, saw }| match saw {
            Saw::Value(op) => format!("{path}={op}"),
            Saw::Something => format!("{path}=some"),
            Saw::Nothing => format!("{path}=none"),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let writes = wrote.iter().map(|wrote| {
        let what = if wrote.removed { "remove" } else { "put" };
        format!("{what} {}", wrote.path)
    });
    let (saw, expected) = (list(saw), list(expected));
    let wrote = writes.collect::<Vec<_>>().join(", ");
    format!(
        "{op} from {from} to {to:?} ended {end:?}; \
         saw [{saw}] at {moment:?} expected [{expected}] wrote [{wrote}]"
    )
}

/// What every document was, from position to position.
#[derive(Debug, Default)]
struct Timeline(HashMap<Path, Vec<(usize, Option<Op>)>>);

impl Timeline {
    fn take(&mut self, at: usize, op: Op, wrote: &[Wrote]) {
        for Wrote { path, removed } in wrote {
            let changes = self.0.entry(Path::clone(path)).or_default();
            changes.push((at, (!removed).then_some(op)));
        }
    }

    fn changes(&self, path: &str) -> &[(usize, Option<Op>)] {
        self.0.get(path).map_or(&[], Vec::as_slice)
    }

    fn at(&self, path: &str, at: usize) -> Option<Op> {
        let changes = self.changes(path);
        let after = changes.partition_point(|(changed, _)| *changed <= at);
        changes[..after].last().and_then(|(_, op)| *op)
    }

    fn holds(&self, sighting: &Sighting, at: usize) -> bool {
        fits(sighting.saw, self.at(&sighting.path, at))
    }

    /// The first position from `low` to `high` of which all of this is true.
    fn first_that_holds(&self, sightings: &[Sighting], low: usize, high: usize) -> Option<usize> {
        let mut at = low;
        // Whoever is not content goes on to its next change; when all are content it is found.
        'again: while at <= high {
            for sighting in sightings {
                if !self.holds(sighting, at) {
                    let changes = self.changes(&sighting.path);
                    let after = changes.partition_point(|(changed, _)| *changed <= at);
                    let next =
                        changes[after..].iter().find(|(_, value)| fits(sighting.saw, *value))?;
                    at = next.0;
                    continue 'again;
                }
            }
            return Some(at);
        }
        None
    }

    /// For a person: what was seen, and when that was so.
    fn tell(
        &self,
        sighting: &Sighting,
        low: usize,
        high: usize,
        txn: impl Fn(usize) -> u64,
    ) -> String {
        let Sighting { path, saw } = sighting;
        let was = self.at(path, low);
        let changes = self.changes(path).iter().filter(|(at, _)| (low + 1..=high).contains(at));
        let changes: Vec<String> = changes
            .map(|(at, value)| {
                let value = value.map_or("none".into(), |op| op.to_string());
                format!("{value} by {}", txn(*at))
            })
            .collect();
        let was = was.map_or("none".into(), |op| op.to_string());
        let when = match saw {
            Saw::Value(op) => {
                let wrote = self.changes(path).iter().find(|(_, value)| *value == Some(*op));
                wrote.map_or("never".into(), |(at, _)| format!("by {}", txn(*at)))
            }
            Saw::Something | Saw::Nothing => "some time".into(),
        };
        format!("  {path}: saw {saw:?} (so {when}); was {was}, then {changes:?}")
    }
}

fn fits(saw: Saw, value: Option<Op>) -> bool {
    match saw {
        Saw::Value(op) => value == Some(op),
        Saw::Something => value.is_some(),
        Saw::Nothing => value.is_none(),
    }
}

/// The transactions of the order, in time.
#[derive(Debug, Default)]
struct Commits {
    /// When each ended, sorted, with the highest position of those that had ended by then.
    ended: Vec<(u64, usize)>,
    /// When each began, sorted, with the lowest position of those that begin from then on.
    begun: Vec<(u64, usize)>,
    last: usize,
}

impl Commits {
    /// An error if one ended before another began that comes ahead of it.
    fn new(history: &History, positions: &HashMap<Op, usize>) -> Result<Self, Violation> {
        let mut by_position: Vec<&Attempt> =
            history.attempts.iter().filter(|attempt| positions.contains_key(&attempt.op)).collect();
        by_position.sort_by_key(|attempt| positions[&attempt.op]);
        let mut earliest: Option<&Attempt> = None;
        for attempt in by_position.iter().rev() {
            if let Some(later) = earliest
                && later.to.is_some_and(|to| to < attempt.from)
            {
                return Err(format!(
                    "ended before the other began, but comes after it: {}; {}",
                    told(later),
                    told(attempt)
                ));
            }
            let to = |attempt: &Attempt| attempt.to.unwrap_or(u64::MAX);
            if earliest.is_none_or(|earliest| to(attempt) < to(earliest)) {
                earliest = Some(attempt);
            }
        }
        let all = by_position.iter().enumerate().map(|(before, attempt)| (before + 1, *attempt));
        let mut ended: Vec<(u64, usize)> =
            all.clone().filter_map(|(at, attempt)| Some((attempt.to?, at))).collect();
        let mut begun: Vec<(u64, usize)> = all.map(|(at, attempt)| (attempt.from, at)).collect();
        ended.sort_unstable();
        begun.sort_unstable();
        let mut highest = 0;
        for (_, at) in &mut ended {
            highest = highest.max(*at);
            *at = highest;
        }
        let mut lowest = usize::MAX;
        for (_, at) in begun.iter_mut().rev() {
            lowest = lowest.min(*at);
            *at = lowest;
        }
        Ok(Self { ended, begun, last: by_position.len() })
    }

    /// The highest position that had ended before this time.
    fn ended_before(&self, time: u64) -> usize {
        let ended = self.ended.partition_point(|(to, _)| *to < time);
        self.ended[..ended].last().map_or(0, |(_, at)| *at)
    }

    /// The highest position below all that began after this time.
    fn none_begun_after(&self, time: u64) -> usize {
        let begun = self.begun.partition_point(|(from, _)| *from <= time);
        self.begun.get(begun).map_or(self.last, |(_, at)| at - 1)
    }
}

mod heard;
#[cfg(test)]
mod tests;
