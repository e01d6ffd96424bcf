//! Why a commit did not do what it was asked for, by what is true afterwards.

use std::time::Duration;

use filepact_fs::FsError;
use filepact_journal::ScanError;

/// A commit, or a checkpoint, that failed.
///
/// Clones are for the members of a group, who share a failure.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A target cannot be a document of this store. Nothing has changed.
    #[error("`{path}` cannot be changed: {refusal}")]
    Refused {
        /// The document.
        path: String,
        /// Why.
        refusal: Refusal,
    },
    /// What the transaction saw, or expected, is no longer so. Nothing has changed.
    #[error("changed since the transaction saw it: {}", paths.join(", "))]
    Conflict {
        /// The documents and directories concerned.
        paths: Vec<String>,
    },
    /// The turn did not come in time. Nothing has changed.
    #[error("another commit held the store for {waited:?}")]
    Locked {
        /// How long the caller waited.
        waited: Duration,
        /// The process that had the turn last, for a person to look at.
        holder: Option<u32>,
    },
    /// The journal does not say any more what `state` says of it. Nothing has changed.
    #[error(transparent)]
    Journal(#[from] ScanError),
    /// A call failed before the commit point. Nothing has changed.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The transaction is committed and durable; this document is not at its path yet.
    #[error("transaction {txn} is committed, but `{path}` is not published yet")]
    Unpublished {
        /// The transaction.
        txn: u64,
        /// The first document that could not be published.
        path: String,
        /// What stood in the way.
        source: FsError,
    },
    /// The journal could not be made durable, or what it did cannot be told to others: the transaction
    /// counts, or it does not. The handle takes no more commits; opening the store again settles it.
    #[error("the outcome of the commit is unknown until the store is opened again")]
    Unknown {
        /// What failed.
        source: FsError,
    },
    /// A document that was synced reads back as something else: a write was lost. The journal is
    /// kept, and the store takes no more commits until it is opened again.
    #[error("`{path}` does not read back as it was written")]
    Lost {
        /// The document.
        path: String,
    },
    /// An earlier failure stopped this handle, or the store for all. Nothing has changed.
    #[error("an earlier failure stopped the store; close it everywhere and open it again")]
    Poisoned,
    /// The handle was opened by another process, before a fork. Nothing has changed.
    #[error("this handle belongs to the process that opened it")]
    Forked,
}

impl CommitError {
    /// The same failure of a group, for the member with this number.
    pub(crate) fn of(&self, member: u64) -> Self {
        match self.clone() {
            Self::Unpublished { path, source, .. } => {
                Self::Unpublished { txn: member, path, source }
            }
            error => error,
        }
    }
}

/// Why a path cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A directory stands there.
    #[error("it is a directory")]
    Directory,
    /// A link stands there or on the way.
    #[error("a symbolic link stands there or on the way")]
    Link,
    /// A device, pipe or socket stands there.
    #[error("it is not an ordinary file")]
    NotAFile,
    /// A file stands where a directory must be.
    #[error("`{0}` is a file, so nothing can lie below it")]
    BelowFile(String),
    /// It lies on another mount, where no rename can reach.
    #[error("it lies on another mount; mount the directory that holds the whole store instead")]
    OtherMount,
    /// Immutable or append-only.
    #[error("it is marked immutable or append-only")]
    Frozen,
}
