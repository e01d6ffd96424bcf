//! What recovery found and did.

use filepact_commit::Rescued;

use crate::Planned;

/// What an opening found, and what it did about it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The store was made by this opening.
    pub created: bool,
    /// Others had the store open, and had recovered it: nothing was looked for.
    pub joined: bool,
    /// Another process may have died here, but the machine and the mount went on.
    pub trusted: bool,
    /// An earlier sync had failed, or a checkpoint was unfinished.
    pub failed: bool,
    /// The transactions found whole in the journal since the last checkpoint.
    pub kept: Vec<u64>,
    /// Those of them of which at least one document had to be published again.
    pub replayed: Vec<u64>,
    /// What the journal holds of a group that never became whole; it does not count.
    pub torn: Option<TornTail>,
    /// Every document since the last checkpoint, what was found there, and what was done.
    pub documents: Vec<Planned>,
    /// Edits that were recorded as transactions of their own.
    pub adopted: Vec<String>,
    /// Edits that the journal's word displaced.
    pub rescued: Vec<Rescued>,
    /// Documents left as they are although the journal says otherwise.
    pub left: Vec<String>,
    /// Bodies in `stage/` that nothing needed any more.
    pub swept: u64,
}

/// The rest of a group that a crash cut short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment, by the name of its file.
    pub segment: String,
    /// Where, in bytes.
    pub offset: u64,
    /// What does not verify.
    pub reason: String,
}

impl Report {
    /// Nothing had to be done.
    pub fn is_clean(&self) -> bool {
        self.kept.is_empty() && self.torn.is_none() && self.swept == 0
    }
}
