//! How far somebody has taken the journal in.

use crate::group::raise_checkpoint;
use crate::{Append, Body, Group, Position, Put, RecordKind, Scan};

/// The end of the last group that was taken in, and what all of them say of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub(crate) end: Position,
    checkpoint: u64,
    bytes_since_checkpoint: u64,
    staged_since_checkpoint: u64,
}

impl Progress {
    /// Everything that a scan has found.
    pub fn of(scan: &Scan) -> Self {
        let mut progress = Self::begin(scan.end, scan.checkpoint);
        for group in &scan.groups {
            progress.take(group);
        }
        progress
    }

    pub(crate) fn begin(end: Position, checkpoint: u64) -> Self {
        Self { end, checkpoint, bytes_since_checkpoint: 0, staged_since_checkpoint: 0 }
    }

    /// Takes in the next group.
    pub(crate) fn take(&mut self, group: &Group) {
        self.end = group.ends;
        self.bytes_since_checkpoint += group.len_bytes();
        for record in &*group.records {
            match &record.kind {
                RecordKind::Put(Put { body: Body::Staged(_), len, .. })
                | RecordKind::Append(Append { body: Body::Staged(_), len, .. }) => {
                    self.staged_since_checkpoint =
                        self.staged_since_checkpoint.saturating_add(*len);
                }
                RecordKind::Checkpoint { upto } => {
                    self.checkpoint = raise_checkpoint(self.checkpoint, record.seq, *upto);
                    (self.bytes_since_checkpoint, self.staged_since_checkpoint) = (0, 0);
                }
                _ => {}
            }
        }
    }

    /// After the last group.
    pub fn end(&self) -> &Position {
        &self.end
    }

    /// Everything up to this seq is durable without the journal. A checkpoint record that directly
    /// follows what it covers counts itself in.
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// The length of all groups after the last checkpoint record, in bytes.
    pub fn bytes_since_checkpoint(&self) -> u64 {
        self.bytes_since_checkpoint
    }

    /// The length of all large bodies that these groups name, in bytes.
    pub fn staged_since_checkpoint(&self) -> u64 {
        self.staged_since_checkpoint
    }
}
