//! Why a store could not be opened. Each but `Io` leaves the documents as they were.

use filepact_fs::FsError;
use filepact_journal::{AppendError, Damage, ReadError, ScanError};

/// Recovery refused, or failed on its way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// Bytes that had been synced do not verify any more. Nothing was changed.
    #[error("the journal is damaged at {}, byte {}: {}", .0.segment, .0.offset, .0.reason)]
    Damaged(Damage),
    /// A newer filepact wrote this journal. Nothing was changed.
    #[error("the store has a newer format: {0}")]
    Newer(String),
    /// A document cannot be brought to the journal's word. Nothing was changed.
    #[error("`{path}` cannot be recovered: {reason}")]
    Refused {
        /// The document.
        path: String,
        /// What stands in the way, and what to do.
        reason: String,
    },
    /// Others have the store open, and it has failed: all must close it before it is recovered.
    /// Nothing was changed.
    #[error("the store has failed while others have it open; close it everywhere first")]
    Failed,
    /// There is no store here, and none was to be made.
    #[error("no store here")]
    NoStore,
    /// A call failed. What was done so far is redone by the next opening.
    #[error(transparent)]
    Io(#[from] FsError),
}

impl From<AppendError> for RecoveryError {
    /// Whether the group counts does not matter here: the next opening finds it, or writes it.
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Unchanged(error) | AppendError::Unknown(error) => Self::Io(error),
        }
    }
}

impl From<ScanError> for RecoveryError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Damaged(damage) => Self::Damaged(damage),
            newer => Self::Newer(newer.to_string()),
        }
    }
}

impl From<ReadError> for RecoveryError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Scan(error) => error.into(),
            ReadError::Io(error) => error.into(),
        }
    }
}
