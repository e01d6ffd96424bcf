//! Taking in what others have appended, while they go on.
//!
//! What counts is what `state` says is *committed*: whatever lies beyond is a group in flight, or
//! what a dead writer has left, and is not looked at.

use std::sync::Arc;

use filepact_fs::{Access, File, Fs, FsError, read_full};

use crate::load::segments_in;
use crate::scan::{Next, next_group};
use crate::{Group, Header, Mark, Position, Progress, Scan, segment_path};

/// Follows the journal of a store that others write.
#[derive(Debug)]
pub struct Follower {
    fs: Arc<dyn Fs>,
    progress: Progress,
    /// The segment in which the progress ends, once it was needed.
    segment: Option<(u64, Box<dyn File>)>,
}

/// Why the journal could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// What follows was removed after a checkpoint, or is not what was expected to follow: read the
    /// journal [anew](crate::read_to).
    #[error("the journal does not reach back to where it was left")]
    Gone,
    /// A call failed.
    #[error(transparent)]
    Io(#[from] FsError),
}

impl Follower {
    /// Goes on where `progress` ends.
    pub fn new(fs: Arc<dyn Fs>, progress: Progress) -> Self {
        Self { fs, progress, segment: None }
    }

    /// What was taken in so far.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Everything from here to `committed`, which `state` says now, or said a moment ago.
    ///
    /// # Errors
    /// After an error nothing was taken in.
    pub fn follow(&mut self, committed: &Mark) -> Result<Vec<Group>, FollowError> {
        let mut at = *self.progress.end();
        if committed.seq <= at.seq() {
            return Ok(Vec::new());
        }
        let mut groups = Vec::new();
        // A segment ends where the next one begins, and none up to the committed one is void: the
        // group that voids it has replaced it, under the same name.
        let mut later = Vec::new();
        if committed.segment != at.segment() {
            later = segments_in(&*self.fs)?;
            later.retain(|first| (at.segment() + 1..=committed.segment).contains(first));
        }
        for next in later {
            let rest = read_from(self.open(at.segment())?, at.offset())?;
            at = take(&rest, at, next - 1, &mut groups)?;
            at = enter(self.open(next)?, at, next)?;
        }
        let len = committed.offset.checked_sub(at.offset()).ok_or(FollowError::Gone)?;
        let rest = read_piece(self.open(at.segment())?, at.offset(), len)?;
        at = take(&rest, at, committed.seq, &mut groups)?;
        if Mark::from(&at) != *committed {
            return Err(FollowError::Gone);
        }
        groups.iter().for_each(|group| self.progress.take(group));
        Ok(groups)
    }

    /// Takes in a group that this process has appended itself. `false` says that it was followed
    /// already.
    pub fn advance(&mut self, group: &Group) -> bool {
        let is_next = group.first == self.progress.end().seq() + 1;
        if is_next {
            self.progress.take(group);
        }
        is_next
    }

    /// Takes in a whole journal that was read anew.
    pub fn restart(&mut self, scan: &Scan) {
        self.progress = Progress::of(scan);
        self.segment = None;
    }

    fn open(&mut self, first: u64) -> Result<&dyn File, FollowError> {
        if self.segment.as_ref().is_none_or(|(open, _)| *open != first) {
            let file = match self.fs.open(&segment_path(first), Access::Read) {
                Err(error) if error.is_not_found() => return Err(FollowError::Gone),
                file => file?,
            };
            self.segment = Some((first, file));
        }
        let (_, file) = self.segment.as_ref().expect("opened above");
        Ok(&**file)
    }
}

/// Everything from `offset` on.
pub(crate) fn read_from(file: &dyn File, offset: u64) -> Result<Vec<u8>, FsError> {
    let len = file.stat()?.stamp.size.saturating_sub(offset);
    read_piece(file, offset, len)
}

/// This many bytes from `offset` on, or fewer where the file ends.
fn read_piece(file: &dyn File, offset: u64, len: u64) -> Result<Vec<u8>, FsError> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let read = read_full(file, &mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The groups from `at`, where `bytes` begins, to the one that ends with `last`.
fn take(
    bytes: &[u8],
    mut at: Position,
    last: u64,
    groups: &mut Vec<Group>,
) -> Result<Position, FollowError> {
    let base = at.offset();
    while at.seq() < last {
        let Next::Group(group) = next_group(bytes, base, at, false) else {
            return Err(FollowError::Gone);
        };
        at = group.ends;
        groups.push(group);
    }
    if at.seq() == last { Ok(at) } else { Err(FollowError::Gone) }
}

/// The beginning of a segment that follows from what stands before it.
fn enter(file: &dyn File, at: Position, first: u64) -> Result<Position, FollowError> {
    let bytes = read_piece(file, 0, HEADER_BYTES)?;
    let (header, len) = Header::parse(&bytes).map_err(|_| FollowError::Gone)?;
    if (header.first, header.chain) != (first, at.chain()) {
        return Err(FollowError::Gone);
    }
    Ok(Position::new(first, len as u64, at.seq(), at.chain()))
}

/// More than any header.
const HEADER_BYTES: u64 = 4096;

#[cfg(test)]
mod tests;
