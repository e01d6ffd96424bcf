//! What a transaction saw, so that C4 can ask whether it is still so.

use std::collections::BTreeMap;

use filepact_fs::{DocPath, Stamp, Time};
use filepact_journal::Hash;

/// Everything that a transaction's outcome may depend on.
#[derive(Clone, Debug, Default)]
pub struct ReadSet {
    /// Documents that were read, or found absent.
    pub documents: BTreeMap<DocPath, Observation>,
    /// Directories that were listed, with the documents found below each.
    pub lists: BTreeMap<String, Listed>,
    /// Versions that the caller expects at commit; `None` is absence.
    pub expected: BTreeMap<DocPath, Option<Hash>>,
}

/// A directory that a transaction listed.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Every transaction up to this seq is taken into account.
    pub at: u64,
    /// The documents below it, sorted.
    pub names: Vec<DocPath>,
}

/// One look at one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Every transaction up to this seq was published or known when it was made.
    pub at: u64,
    /// What was there.
    pub seen: Seen,
}

/// What stood at a document's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// No document.
    Absent,
    /// A document with this content.
    Document {
        /// Of its content.
        hash: Hash,
        /// Its stamp, where the content came from the live file and not from the journal.
        stamp: Option<Stamped>,
    },
}

/// A stamp and the time just before it was taken, without which it proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// What `stat` said.
    pub stamp: Stamp,
    /// When, at the latest, it had not been asked yet.
    pub taken: Time,
}

impl Stamped {
    /// Whether `now` proves that the content is still the one that this stamp was taken of.
    ///
    /// `false` proves nothing: compare hashes.
    pub fn proves(&self, now: &Stamp) -> bool {
        self.stamp == *now && self.stamp.is_settled(self.taken)
    }
}

impl Seen {
    /// The hash of the content; `None` if absent.
    pub fn hash(&self) -> Option<Hash> {
        match self {
            Self::Absent => None,
            Self::Document { hash, .. } => Some(*hash),
        }
    }
}
