//! A verified place in the journal.

use crate::Chain;

/// A place between two groups, up to which everything was verified or written by ourselves.
///
/// Only a scan or an append makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    segment: u64,
    offset: u64,
    seq: u64,
    chain: Chain,
}

impl Position {
    pub(crate) fn new(segment: u64, offset: u64, seq: u64, chain: Chain) -> Self {
        Self { segment, offset, seq, chain }
    }

    /// The same place, seen from a later line of the same segment.
    pub(crate) fn after(self, offset: u64, seq: u64, chain: Chain) -> Self {
        Self { offset, seq, chain, ..self }
    }

    /// The segment, by its first seq.
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// The offset in the segment, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The last seq before this place; 0 at the beginning.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The chain of everything before this place.
    pub fn chain(&self) -> Chain {
        self.chain
    }
}
