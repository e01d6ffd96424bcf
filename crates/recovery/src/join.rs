//! Opening beside others, who have recovered the store.

use std::sync::Arc;

use filepact_commit::{View, WriterParts};
use filepact_fs::Latched;
use filepact_journal::{Journal, Mark, Reading, Scan, StateFile, read_to};

use crate::{Opened, RecoveryError, Report};

/// Joins a store that others have open. Changes nothing: what a dead one of them has left is healed
/// by the next commit, and readers need not wait for that.
///
/// The caller holds `opening`, and `open` shared.
///
/// # Errors
/// [`RecoveryError::Failed`] if a sync has failed since the store was recovered, or `state` is not
/// theirs.
pub fn join(fs: Arc<Latched>) -> Result<Opened, RecoveryError> {
    // Past the latch: `state` must be able to say that the store has failed.
    let state_file = StateFile::open(&**fs.inner())?.ok_or(RecoveryError::Failed)?;
    let reader = StateFile::open_to_read(&**fs.inner())?.ok_or(RecoveryError::Failed)?;
    let mut last: Option<Mark> = None;
    loop {
        let Reading { state, trusted_inode, .. } = reader.read()?.ok_or(RecoveryError::Failed)?;
        // Who has it open reads another file than one that was copied over it.
        if state.failed || !trusted_inode {
            return Err(RecoveryError::Failed);
        }
        let (scan, journal) = match read(&fs, &state.committed) {
            Ok(read) => read,
            // Twice the same: nobody has gone on meanwhile.
            Err(error) if last.as_ref() == Some(&state.committed) => return Err(error),
            Err(_) => {
                last = Some(state.committed);
                continue;
            }
        };
        let view = View::joined(fs.clone(), reader, &scan, state.published.seq);
        let report = Report { joined: true, trusted: true, ..Report::default() };
        return Ok(Opened { parts: WriterParts { fs, journal, state_file, state, view }, report });
    }
}

fn read(fs: &Arc<Latched>, committed: &Mark) -> Result<(Scan, Journal), RecoveryError> {
    let scan = read_to(&**fs, committed)?;
    let journal = Journal::join(fs.clone(), &scan)?;
    Ok((scan, journal))
}
