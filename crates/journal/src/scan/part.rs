//! One segment, by itself: where it follows from, nobody has looked yet.

use super::next::{Next, next_group, to_index};
use super::{ScanError, Tail, damaged, parse_header, refuse};
use crate::line::{LineError, highest_synced};
use crate::{Group, Header, Position};

/// How far a segment is to be read.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// Another one follows, and begins with this seq.
    Seq(u64),
    /// No other one follows: its tail may be torn.
    End,
}

/// What a segment holds.
pub(super) struct Part {
    pub(super) header: Header,
    /// What stands behind the header, if that is sound.
    pub(super) sound: Result<Sound, ScanError>,
}

/// Sound as far as it goes.
pub(super) struct Sound {
    pub(super) groups: Vec<Group>,
    /// After the last of them.
    pub(super) end: Position,
    /// What stands there.
    pub(super) tail: Tail,
}

impl Part {
    /// An error if it has no header.
    pub(super) fn read(segment: (u64, &[u8]), until: Until) -> Result<Self, ScanError> {
        let (header, len) = parse_header(segment)?;
        let begin = Position::new(header.first, len as u64, header.first - 1, header.chain);
        let sound = match until {
            Until::Seq(next) => whole(segment, begin, next),
            Until::End => newest(segment, begin),
        };
        Ok(Self { header, sound })
    }
}

/// Whole groups, exactly to the next segment's first seq.
fn whole((first, bytes): (u64, &[u8]), begin: Position, next: u64) -> Result<Sound, ScanError> {
    let (mut groups, mut at): (Vec<Group>, _) = (Vec::new(), begin);
    loop {
        if at.seq() + 1 == next {
            return Ok(Sound { groups, end: at, tail: Tail::Clean });
        }
        if at.seq() + 1 > next {
            let reason = format!("a group runs past {next}, where the next segment begins");
            return Err(damaged(first, at.offset(), reason));
        }
        match next_group(bytes, 0, at, groups.is_empty()) {
            // A later segment says that the sync of this one had returned.
            Next::Group(group) => {
                at = group.ends;
                groups.push(Group { covered: true, ..group });
            }
            Next::End => {
                let reason = format!(
                    "it ends with record {}, and the next segment begins with {next}: what lies \
                     between is missing",
                    at.seq()
                );
                return Err(damaged(first, at.offset(), reason));
            }
            Next::Bad { offset, error, .. } => return Err(refuse(first, offset, error)),
        }
    }
}

/// All groups to the end, or to a torn tail.
fn newest((first, bytes): (u64, &[u8]), begin: Position) -> Result<Sound, ScanError> {
    let (mut groups, mut at): (Vec<Group>, _) = (Vec::new(), begin);
    // What the lines behind the last group say, whole or not.
    let mut synced = None;
    let tail = loop {
        let born = groups.is_empty();
        match next_group(bytes, 0, at, born) {
            Next::Group(group) => {
                at = group.ends;
                groups.push(group);
            }
            Next::End if born => {
                return Err(damaged(first, at.offset(), "it has no group".to_owned()));
            }
            Next::End => break Tail::Clean,
            Next::Bad { offset, error, .. } if born => {
                return Err(refuse(first, offset, error));
            }
            Next::Bad { offset, error: error @ LineError::Newer(_), .. } => {
                return Err(refuse(first, offset, error));
            }
            Next::Bad { offset, seq, error } => {
                synced = highest_synced(&bytes[to_index(at.offset())..]);
                if synced.is_some_and(|synced| synced >= seq) {
                    let reason = format!("{error}; a later line says that it had been synced");
                    return Err(damaged(first, offset, reason));
                }
                break Tail::Torn { offset, reason: error.to_string() };
            }
        }
    };
    for group in groups.iter_mut().rev() {
        group.covered = synced.is_some_and(|synced| synced >= group.last);
        synced = synced.max(group.records.iter().map(|record| record.synced).max());
    }
    Ok(Sound { groups, end: at, tail })
}
