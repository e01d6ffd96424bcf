//! What is recorded: attempts, what each saw, and the order of those that count.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// An attempt at an operation, by its process, thread and number. A transaction that is tried again
/// is another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Op {
    pub(super) process: u32,
    pub(super) thread: u32,
    pub(super) number: u32,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.process, self.thread, self.number)
    }
}

impl FromStr for Op {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = text.splitn(3, '.').map(str::parse);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(process)), Some(Ok(thread)), Some(Ok(number))) => {
                Ok(Self { process, thread, number })
            }
            _ => Err(format!("`{text}` names no attempt")),
        }
    }
}

/// The path of a document.
pub(super) type Path = Arc<str>;

/// What was seen of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saw {
    /// What this attempt has written.
    Value(Op),
    /// That it is there: it was listed, or asked for.
    Something,
    /// That it is absent, or not in the list of its directory.
    Nothing,
}

/// A document, and what was seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) path: Path,
    pub(super) saw: Saw,
}

/// A change of a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wrote {
    pub(super) path: Path,
    pub(super) removed: bool,
}

/// What the caller was told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Committed, and the number of the transaction where the call says it.
    Committed(Option<u64>),
    /// Conflict, timeout, given up: nothing has changed.
    Nothing,
    /// Nothing: the process was killed, or the call does not know.
    Unknown,
}

/// One attempt: a single read, a transaction that only reads, or one that writes.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) op: Op,
    /// Before its first call, in nanoseconds of the monotonic clock.
    pub(super) from: u64,
    /// After its last call; `None` if that never returned.
    pub(super) to: Option<u64>,
    pub(super) saw: Vec<Sighting>,
    /// What it demanded to be so at its commit.
    pub(super) expected: Vec<Sighting>,
    pub(super) wrote: Vec<Wrote>,
    pub(super) end: End,
    /// What it saw is of this moment: that of a snapshot, by the last number that it covers. It was taken
    /// from `from` to `to`, and read at any time since.
    pub(super) moment: Option<u64>,
}

impl Attempt {
    pub(super) fn new(op: Op, from: u64) -> Self {
        let (saw, expected, wrote) = Default::default();
        Self { op, from, to: None, saw, expected, wrote, end: End::Unknown, moment: None }
    }
}

/// A transaction that counts, as the store's log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) txn: u64,
    pub(super) op: Op,
    pub(super) wrote: Vec<Wrote>,
}

/// What a watch has told one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// When the watch was asked for, and had begun.
    pub(super) begun: (u64, u64),
    /// The transactions, as they came.
    pub(super) told: Vec<Told>,
    /// Then it had nothing more to tell; `None` if the process died before.
    pub(super) until: Option<u64>,
}

/// One thing that a watch has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A transaction.
    Transaction { txn: u64, op: Op },
    /// Some are missing here.
    Gap,
}

/// All that is judged.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) attempts: Vec<Attempt>,
    /// All transactions that count, in their order.
    pub(super) order: Vec<Logged>,
    /// The documents at the end.
    pub(super) last: Vec<Sighting>,
    /// What every process was told by its watch.
    pub(super) heard: Vec<Heard>,
}
