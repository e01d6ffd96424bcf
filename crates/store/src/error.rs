//! Every error says what happened, to which path, and whether anything has changed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use filepact_commit::{CommitError, PrepareError, Refusal};
use filepact_fs::{FsError, InvalidPath};
use filepact_recovery::RecoveryError;

/// What went wrong, by what is true afterwards.
///
/// Unless a variant says otherwise nothing has changed, and the call can be made again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not the path of a document.
    #[error(transparent)]
    InvalidPath(#[from] InvalidPath),
    /// The document is not JSON, has a duplicate key, or does not fit the type.
    #[error("`{path}` line {line}, column {column}: not as expected")]
    Json {
        /// The document.
        path: String,
        /// From 1; 0 if the value could not be written.
        line: usize,
        /// From 1; 0 if the value could not be written.
        column: usize,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// There is no such document, or no such rescued edit any more.
    #[error("`{path}` does not exist")]
    NotFound {
        /// The document, or where the edit lay.
        path: String,
    },
    /// The document is there already.
    #[error("`{path}` exists already")]
    Exists {
        /// The document.
        path: String,
    },
    /// The path cannot be a document: a directory, a link, another mount. Or a rescued edit is no file.
    #[error("`{path}` cannot be changed: {refusal}")]
    Refused {
        /// The document, or where the edit lies.
        path: String,
        /// Why.
        refusal: Refusal,
    },
    /// What the transaction saw, or expected, has changed. Begin again; [`transact`] does. Or a rescued
    /// edit was saved again since it was listed: list them once more.
    ///
    /// [`transact`]: crate::Store::transact
    #[error("changed since the transaction saw it: {}", paths.join(", "))]
    Conflict {
        /// The documents concerned; a directory that was listed ends with `/`.
        paths: Vec<String>,
    },
    /// Another program has changed the document since the snapshot was taken, and what it held then is
    /// not there any more. The rest of the snapshot can be read; a new one sees the edit.
    #[error("`{path}` was changed by another program since the snapshot was taken")]
    Edited {
        /// The document.
        path: String,
    },
    /// Somebody else committed, or opened the store, for longer than the timeout. A holder that is
    /// stopped keeps the lock: it is never taken from it, and ends with its process.
    #[error("the store is in use{}; waited {waited:?}", holder.map(|pid| format!(" by process {pid}")).unwrap_or_default())]
    Locked {
        /// How long this call waited.
        waited: Duration,
        /// The process that had the writer lock last, for a person to look at.
        holder: Option<u32>,
    },
    /// A call to the file system failed before anything was committed.
    #[error("cannot {op} `{path}`")]
    Io {
        /// What was tried.
        op: &'static str,
        /// On what, relative to the store.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// **Committed and durable**, but this document is not at its path yet. Do not repeat the
    /// transaction: readers through filepact see it, and the next commit or opening finishes it.
    #[error("transaction {txn} is committed, but `{path}` is not published yet")]
    Unpublished {
        /// The transaction.
        txn: u64,
        /// The first document that is not at its path.
        path: String,
        /// What stood in the way.
        source: io::Error,
    },
    /// Bytes that had been synced do not verify. The store does not open, and is as it was.
    #[error("the journal is damaged: {segment}, byte {offset}: {reason}")]
    Corrupt {
        /// The segment's file.
        segment: String,
        /// Where, in bytes.
        offset: u64,
        /// What does not verify.
        reason: String,
    },
    /// A document cannot be recovered. The store does not open, and is as it was.
    #[error("`{path}` cannot be recovered: {reason}")]
    Unrecoverable {
        /// The document.
        path: String,
        /// What stands in the way, and what to do.
        reason: String,
    },
    /// **Perhaps committed**, as a whole or not at all: the journal's sync failed, or what it did cannot
    /// be told to others. The handle takes no more commits; opening the store again settles it.
    #[error("the outcome of the commit is unknown until the store is opened again")]
    CommitUnknown {
        /// What failed.
        source: io::Error,
    },
    /// An earlier failure stopped the store, for this handle or for all, or the handle is closed.
    /// This call was not tried. Close the store everywhere and open it again.
    #[error("an earlier failure stopped the store; close it everywhere and open it again")]
    Poisoned,
    /// The handle was opened by another process, before a fork.
    #[error("this handle belongs to the process that opened it; open the store again after a fork")]
    Forked,
    /// A newer filepact wrote this store, or it is no store.
    #[error("{reason}")]
    Format {
        /// What was found.
        reason: String,
    },
    /// The folder is no store, and none was to be made.
    #[error("`{}` is not a store: it has no .filepact folder", root.display())]
    NoStore {
        /// The folder.
        root: PathBuf,
    },
    /// Locks and syncs may not hold here; [`Options::allow_network`] overrides.
    ///
    /// [`Options::allow_network`]: crate::Options::allow_network
    #[error("the store lies on a {kind} file system, where locks and syncs may not hold")]
    Network {
        /// The kind of file system.
        kind: &'static str,
    },
    /// A call on the store inside the closure of its own `transact`: use the transaction.
    #[error("the store was called inside its own transaction; use the transaction instead")]
    Nested,
}

impl Error {
    pub(crate) fn json(path: &str, source: serde_json::Error) -> Self {
        let (line, column) = (source.line(), source.column());
        Self::Json { path: path.to_owned(), line, column, source }
    }

    pub(crate) fn not_found(path: &str) -> Self {
        Self::NotFound { path: path.to_owned() }
    }
}

impl From<FsError> for Error {
    fn from(error: FsError) -> Self {
        if error.is_latched() {
            return Self::Poisoned;
        }
        let FsError { op, path, source } = error;
        Self::Io { op, path, source }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused { path, refusal } => Self::Refused { path, refusal },
            CommitError::Conflict { paths } => Self::Conflict { paths },
            CommitError::Locked { waited, holder } => Self::Locked { waited, holder },
            CommitError::Journal(error) => RecoveryError::from(error).into(),
            CommitError::Io(error) => error.into(),
            CommitError::Unpublished { txn, path, source } => {
                Self::Unpublished { txn, path, source: source.source }
            }
            CommitError::Unknown { source } => Self::CommitUnknown { source: source.source },
            CommitError::Lost { path } => Self::Io {
                op: "read back what was written to",
                path,
                source: io::Error::other("the disk lost a write"),
            },
            CommitError::Poisoned => Self::Poisoned,
            CommitError::Forked => Self::Forked,
            other => {
                Self::Io { op: "commit", path: String::new(), source: io::Error::other(other) }
            }
        }
    }
}

impl From<RecoveryError> for Error {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Damaged(damage) => Self::Corrupt {
                segment: damage.segment,
                offset: damage.offset,
                reason: damage.reason,
            },
            RecoveryError::Newer(reason) => {
                Self::Format { reason: format!("the store has a newer format: {reason}") }
            }
            RecoveryError::Refused { path, reason } => Self::Unrecoverable { path, reason },
            RecoveryError::Failed => Self::Poisoned,
            RecoveryError::NoStore => Self::NoStore { root: PathBuf::new() },
            RecoveryError::Io(error) => error.into(),
            other => {
                Self::Io { op: "recover", path: String::new(), source: io::Error::other(other) }
            }
        }
    }
}

/// A body that could not be prepared.
pub(crate) fn prepare_error(path: &str, error: PrepareError) -> Error {
    match error {
        PrepareError::Io(error) => error.into(),
        PrepareError::Source(source) => {
            Error::Io { op: "read the body of", path: path.to_owned(), source }
        }
    }
}
