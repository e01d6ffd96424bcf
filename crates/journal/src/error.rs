//! Why an append failed.

use filepact_fs::FsError;

/// An append that failed, by what is true afterwards.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing has changed: the group does not count and never will. The next append may succeed.
    #[error(transparent)]
    Unchanged(FsError),
    /// The group counts, or it does not: only a new scan can tell. This journal takes no more.
    #[error("the journal's last group may be durable or not")]
    Unknown(#[source] FsError),
}
