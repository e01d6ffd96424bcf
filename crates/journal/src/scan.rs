//! From the bytes of all segments to what they say: a pure function.
//!
//! - **Where it starts:** at the newest segment whose first seq is at most the checkpoint in the
//!   newest segment's header, plus one. Only segments before that one are ever removed, and after a
//!   power cut any of them may be back: they are ignored.
//! - **How segments follow:** a segment ends where the next one begins. Its whole groups reach
//!   exactly the next one's first seq, with the chain in the next one's header; what it holds from
//!   there on is void. A segment was synced before the next one got its name, so everything else is
//!   damage: a line that does not verify, a group too few, a segment that is missing in between.
//! - **What was synced before it had a name:** the header and the first group of every segment.
//! - **Torn or damaged:** the lines of the newest segment end with padding, or with a line that
//!   does not verify. One group is in flight at a time, and each line says up to which seq all was
//!   synced when it was written. So if any later line says so of the bad one, it had been synced:
//!   damage. Otherwise it is a torn tail, what a crash leaves of a group that nobody was told of.
//! - **And `state`:** a journal that ends before the last seq that was known to be synced is
//!   damaged.
//!
//! What this cannot tell from a torn tail: damage to the last group, when `state` is lost too.

use crate::line::{ChainHasher, LineError, Structure, highest_synced, parse_line};
use crate::segment::{JOURNAL_DIR, PADDING};
use crate::{Group, Header, Mark, Position, Record, RecordKind, segment_path};

/// What a sound journal says.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The store's id.
    pub store: String,
    /// The groups from the start on; the first ones may lie before the checkpoint.
    pub groups: Vec<Group>,
    /// Everything up to this seq is durable without the journal, as headers and records say.
    pub checkpoint: u64,
    /// After the last group.
    pub end: Position,
    /// What stands behind it.
    pub tail: Tail,
    /// The length of the newest segment in bytes.
    pub(crate) newest_bytes: u64,
}

/// What stands behind the last group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Padding to the end.
    Clean,
    /// Something that never counted: what a crash left of a group. Nothing is written over it.
    Torn {
        /// Where it begins not to verify, in the newest segment.
        offset: u64,
        /// Why it does not.
        reason: String,
    },
}

/// A journal that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Something is gone, or changed, that had been synced.
    #[error("the journal is damaged at {0}")]
    Damaged(Damage),
    /// It is sound, and beyond this version of filepact.
    #[error("`{segment}`, byte {offset}: {reason}")]
    Newer {
        /// The segment's path beneath the root.
        segment: String,
        /// Where the line begins.
        offset: u64,
        /// What is beyond us.
        reason: String,
    },
}

/// Where a journal is damaged, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{segment}`, byte {offset}: {reason}")]
pub struct Damage {
    /// The segment's path beneath the root.
    pub segment: String,
    /// Where it shows.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
}

const PADDING_BLOCK: [u8; 1024] = [PADDING; 1024];

/// Reads the journal from its segments: each with the first seq that its name says.
///
/// `synced` is the last seq that a valid `state` knows to be synced, even one of an earlier boot.
///
/// # Errors
/// [`ScanError::Damaged`] if anything is missing or changed that had been synced, or if there is no
/// segment at all; [`ScanError::Newer`] if it was written by a newer version.
pub fn scan(segments: &[(u64, &[u8])], synced: Option<u64>) -> Result<Scan, ScanError> {
    let mut segments = segments.to_vec();
    segments.sort_by_key(|(first, _)| *first);
    let Some(newest) = segments.last().copied() else {
        return Err(ScanError::Damaged(Damage {
            segment: JOURNAL_DIR.to_owned(),
            offset: 0,
            reason: "there is no segment".to_owned(),
        }));
    };
    let (newest_header, _) = parse_header(newest)?;
    let start = start_of(segments.iter().map(|(first, _)| *first), newest_header.checkpoint);
    let Some(start) = start else { return Err(without_beginning(segments[0].0, &newest_header)) };
    let mut run = Run::new(&newest_header.store);
    for (at, segment) in segments.iter().enumerate().skip(start) {
        run.enter(*segment)?;
        match segments.get(at + 1) {
            Some((next, _)) => run.read_to(*segment, *next)?,
            None => run.read_newest(*segment)?,
        }
    }
    let end = run.end();
    let Run { groups, checkpoint, tail, .. } = run;
    if let Some(synced) = synced.filter(|synced| *synced > end.seq()) {
        let reason =
            format!("the journal ends with record {}, and {synced} had been synced", end.seq());
        return Err(damaged(end.segment(), end.offset(), reason));
    }
    Ok(Scan {
        store: newest_header.store,
        groups,
        checkpoint,
        end,
        tail,
        newest_bytes: newest.1.len() as u64,
    })
}

/// Reads the journal up to `committed`, which others have said a moment ago: what lies beyond is
/// not looked at.
///
/// # Errors
/// As in [`scan`]; also where others have gone on since, and removed what `committed` rests on.
pub(crate) fn scan_to(segments: &[(u64, &[u8])], committed: &Mark) -> Result<Scan, ScanError> {
    let mut segments: Vec<_> =
        segments.iter().filter(|(first, _)| *first <= committed.segment).copied().collect();
    segments.sort_by_key(|(first, _)| *first);
    let newest = segments.last().copied().filter(|(first, _)| *first == committed.segment);
    let Some(newest) = newest else {
        return Err(damaged(committed.segment, 0, "it is missing".to_owned()));
    };
    let (header, _) = parse_header(newest)?;
    let start = start_of(segments.iter().map(|(first, _)| *first), header.checkpoint);
    let Some(start) = start else { return Err(without_beginning(segments[0].0, &header)) };
    let mut run = Run::new(&header.store);
    for (at, segment) in segments.iter().enumerate().skip(start) {
        run.enter(*segment)?;
        let next = segments.get(at + 1).map_or(committed.seq + 1, |(next, _)| *next);
        run.read_to(*segment, next)?;
    }
    let (end, newest_bytes) = (run.end(), newest.1.len() as u64);
    if Mark::from(&end) != *committed {
        let reason = "it is not what `state` says of it".to_owned();
        return Err(damaged(end.segment(), end.offset(), reason));
    }
    Ok(Scan {
        store: header.store.clone(),
        groups: run.groups,
        checkpoint: run.checkpoint,
        end,
        tail: Tail::Clean,
        newest_bytes,
    })
}

fn without_beginning(oldest: u64, newest: &Header) -> ScanError {
    let seq = newest.checkpoint + 1;
    damaged(oldest, 0, format!("the segment with record {seq} is missing"))
}

/// The index of the segment that a journal begins with, of segments in order.
pub(crate) fn start_of(
    segments: impl DoubleEndedIterator<Item = u64> + ExactSizeIterator,
    checkpoint: u64,
) -> Option<usize> {
    segments.enumerate().rev().find(|(_, first)| *first <= checkpoint + 1).map(|(index, _)| index)
}

fn parse_header((first, bytes): (u64, &[u8])) -> Result<(Header, usize), ScanError> {
    let (header, len) = Header::parse(bytes).map_err(|error| refuse(first, 0, error))?;
    if header.first != first {
        let reason = format!("its header says that it begins with record {}", header.first);
        return Err(damaged(first, 0, reason));
    }
    Ok((header, len))
}

fn refuse(segment: u64, offset: u64, error: LineError) -> ScanError {
    match error {
        LineError::Newer(reason) => {
            ScanError::Newer { segment: segment_path(segment), offset, reason }
        }
        error => damaged(segment, offset, error.to_string()),
    }
}

fn damaged(segment: u64, offset: u64, reason: String) -> ScanError {
    ScanError::Damaged(Damage { segment: segment_path(segment), offset, reason })
}

/// A scan under way.
struct Run<'a> {
    store: &'a str,
    groups: Vec<Group>,
    checkpoint: u64,
    at: Option<Position>,
    tail: Tail,
}

impl<'a> Run<'a> {
    fn new(store: &'a str) -> Self {
        Self { store, groups: Vec::new(), checkpoint: 0, at: None, tail: Tail::Clean }
    }

    /// Where the segment that was entered last is read to.
    fn end(&self) -> Position {
        self.at.expect("a segment was entered")
    }

    /// The header: it follows from what stands before it.
    fn enter(&mut self, segment: (u64, &[u8])) -> Result<(), ScanError> {
        let (header, len) = parse_header(segment)?;
        let wrong = |reason: &str| Err(damaged(header.first, 0, reason.to_owned()));
        if header.store != self.store {
            return wrong("it belongs to another store than the newest segment");
        }
        // Where the scan starts the header is taken at its word, but for a journal's beginning.
        let before = self.at.map(|at| at.chain());
        let before = before.or((header.first == 1).then_some(crate::Chain::ZERO));
        if before.is_some_and(|chain| chain != header.chain) {
            return wrong("it does not follow from what stands before it");
        }
        self.checkpoint = self.checkpoint.max(header.checkpoint);
        self.at = Some(Position::new(header.first, len as u64, header.first - 1, header.chain));
        Ok(())
    }

    /// A segment that another one follows: whole groups, exactly to the next one's first seq.
    fn read_to(&mut self, (first, bytes): (u64, &[u8]), next: u64) -> Result<(), ScanError> {
        let mut born = true;
        loop {
            let at = self.end();
            if at.seq() + 1 == next {
                return Ok(());
            }
            if at.seq() + 1 > next {
                let reason = format!("a group runs past {next}, where the next segment begins");
                return Err(damaged(first, at.offset(), reason));
            }
            match next_group(bytes, 0, at, born) {
                // A later segment says that the sync of this one had returned.
                Next::Group(group) => self.take(Group { covered: true, ..group }),
                Next::End => {
                    let reason = format!(
                        "it ends with record {}, and the next segment begins with {next}: what \
                         lies between is missing",
                        at.seq()
                    );
                    return Err(damaged(first, at.offset(), reason));
                }
                Next::Bad { offset, error, .. } => return Err(refuse(first, offset, error)),
            }
            born = false;
        }
    }

    /// The segment that no other follows: its tail may be torn.
    fn read_newest(&mut self, (first, bytes): (u64, &[u8])) -> Result<(), ScanError> {
        let begin = self.groups.len();
        // What the lines behind the last group say, whole or not.
        let mut synced = None;
        loop {
            let at = self.end();
            let born = self.groups.len() == begin;
            match next_group(bytes, 0, at, born) {
                Next::Group(group) => self.take(group),
                Next::End if born => {
                    return Err(damaged(first, at.offset(), "it has no group".to_owned()));
                }
                Next::End => break,
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
                    self.tail = Tail::Torn { offset, reason: error.to_string() };
                    break;
                }
            }
        }
        for group in self.groups[begin..].iter_mut().rev() {
            group.covered = synced.is_some_and(|synced| synced >= group.last);
            synced = synced.max(group.records.iter().map(|record| record.synced).max());
        }
        Ok(())
    }

    fn take(&mut self, group: Group) {
        self.at = Some(group.ends);
        for record in &*group.records {
            if let RecordKind::Checkpoint { upto } = record.kind {
                self.checkpoint = self.checkpoint.max(upto);
            }
        }
        self.groups.push(group);
    }
}

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
fn to_index(offset: u64) -> usize {
    usize::try_from(offset).expect("the segment is in memory")
}

#[cfg(test)]
mod tests;
