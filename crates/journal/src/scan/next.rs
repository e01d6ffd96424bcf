//! The group at a place in a segment.

use crate::line::{ChainHasher, LineError, Structure, parse_line};
use crate::segment::PADDING;
use crate::{Group, Position, Record};

const PADDING_BLOCK: [u8; 1024] = [PADDING; 1024];

/// What stands at a place.
pub(crate) enum Next {
    Group(Group),
    /// Nothing but padding.
    End,
    /// A line that is not the record `seq`.
    Bad {
        offset: u64,
        seq: u64,
        error: LineError,
    },
}

/// The group at `at`; `bytes` are the segment's from `base` on.
pub(crate) fn next_group(bytes: &[u8], base: u64, at: Position, born: bool) -> Next {
    let mut records: Vec<Record> = Vec::new();
    let mut structure = Structure::default();
    let mut chain = ChainHasher::new(at.chain());
    let mut begins = at;
    let mut offset = to_index(at.offset() - base);
    let first = at.seq() + 1;
    for seq in first.. {
        let Some(line_offset) = next_line(bytes, offset) else {
            return if records.is_empty() {
                Next::End
            } else {
                Next::Bad { offset: base + offset as u64, seq, error: LineError::Unfinished }
            };
        };
        let bad = |error| Next::Bad { offset: base + line_offset as u64, seq, error };
        let rest = &bytes[line_offset..];
        let Some(len) = memchr::memchr(PADDING, rest) else {
            return bad(LineError::NoEnd);
        };
        let line = match parse_line(&rest[..len], seq) {
            Ok(line) => line,
            Err(error) => return bad(error),
        };
        let synced = line.record.synced;
        if synced >= first {
            return bad(LineError::Malformed("it says that its own group was synced".to_owned()));
        }
        if !structure.admits(&line.record) {
            return bad(LineError::Malformed("a checkpoint cannot stand here".to_owned()));
        }
        let follows = chain.follow(&line);
        if records.is_empty() {
            begins = at.after(base + line_offset as u64, at.seq(), at.chain());
        }
        offset = line_offset + len + 1;
        if let Some(chain) = line.chain {
            if chain != follows {
                return bad(LineError::Chain);
            }
            if !structure.is_whole() {
                return bad(LineError::Malformed("its transaction is not whole".to_owned()));
            }
            records.push(line.record);
            return Next::Group(Group {
                records: records.into(),
                first,
                last: seq,
                begins,
                ends: at.after(base + offset as u64, seq, chain),
                born,
                covered: false,
            });
        }
        records.push(line.record);
    }
    unreachable!("a file is shorter than the numbers from {first} on")
}

/// Where the next line begins, padding skipped: block by block, since most of a young segment is
/// padding.
fn next_line(bytes: &[u8], offset: usize) -> Option<usize> {
    let blocks = bytes[offset..].chunks_exact(PADDING_BLOCK.len());
    let padding = blocks.take_while(|block| *block == PADDING_BLOCK).count();
    let offset = offset + padding * PADDING_BLOCK.len();
    let padding = bytes[offset..].iter().position(|byte| *byte != PADDING)?;
    Some(offset + padding)
}

/// An offset that was found in a slice.
pub(super) fn to_index(offset: u64) -> usize {
    usize::try_from(offset).expect("the segment is in memory")
}
