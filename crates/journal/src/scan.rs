//! From the bytes of all segments to what they say: pure, but for reading a segment when it is its turn.
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

mod next;
mod part;

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use filepact_fs::with_each;

use crate::line::LineError;
use crate::segment::JOURNAL_DIR;
use crate::{Chain, Group, Header, Mark, Position, RecordKind, segment_path};

pub(crate) use next::{Next, next_group};
use part::{Part, Sound, Until};

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

/// How many segments to read for each thread.
const WORTH_A_THREAD: usize = 2;

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
    let firsts: Vec<u64> = segments.iter().map(|(first, _)| *first).collect();
    let read = |at: usize| Ok::<_, ScanError>(Some(Cow::Borrowed(segments[at].1)));
    scan_all(Segments { firsts: &firsts, threads: 1, read, tell: &|_, _| () }, synced)
}

/// The segments that a scan asks for.
pub(crate) struct Segments<'s, R> {
    /// What each begins with, as its name says, in order.
    pub(crate) firsts: &'s [u64],
    /// So many are read at once.
    pub(crate) threads: usize,
    /// Reads one of them, by its index.
    pub(crate) read: R,
    pub(crate) tell: &'s Tell<'s>,
}

/// All of a segment, or `None` if it has gone.
pub(crate) type Bytes<'b> = Option<Cow<'b, [u8]>>;

/// Hears how many segments are done, of how many; threads may tell it at once.
pub(crate) type Tell<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// As [`scan`], of segments that are read when it is their turn, and held no longer.
pub(crate) fn scan_all<'b, E: From<ScanError> + Send>(
    segments: Segments<'_, impl Fn(usize) -> Result<Bytes<'b>, E> + Sync>,
    synced: Option<u64>,
) -> Result<Scan, E> {
    let scan = segments.scan(Until::End)?;
    let end = &scan.end;
    if let Some(synced) = synced.filter(|synced| *synced > end.seq()) {
        let reason =
            format!("the journal ends with record {}, and {synced} had been synced", end.seq());
        return Err(damaged(end.segment(), end.offset(), reason).into());
    }
    Ok(scan)
}

/// Reads the journal up to `committed`, which others have said a moment ago: what lies beyond is
/// not looked at.
///
/// # Errors
/// As in [`scan`]; also where others have gone on since, and removed what `committed` rests on.
pub(crate) fn scan_to<'b, E: From<ScanError> + Send>(
    segments: Segments<'_, impl Fn(usize) -> Result<Bytes<'b>, E> + Sync>,
    committed: &Mark,
) -> Result<Scan, E> {
    let until = segments.firsts.partition_point(|first| *first <= committed.segment);
    let firsts = &segments.firsts[..until];
    if firsts.last() != Some(&committed.segment) {
        return Err(missing(committed.segment).into());
    }
    let scan = Segments { firsts, ..segments }.scan(Until::Seq(committed.seq + 1))?;
    if Mark::from(&scan.end) != *committed {
        let reason = "it is not what `state` says of it".to_owned();
        return Err(damaged(scan.end.segment(), scan.end.offset(), reason).into());
    }
    Ok(scan)
}

impl<'b, E, R> Segments<'_, R>
where
    E: From<ScanError> + Send,
    R: Fn(usize) -> Result<Bytes<'b>, E> + Sync,
{
    fn scan(self, until: Until) -> Result<Scan, E> {
        let Self { firsts, threads, read, tell } = self;
        let Some((&newest, elders)) = firsts.split_last() else {
            let reason = "there is no segment".to_owned();
            let (segment, offset) = (JOURNAL_DIR.to_owned(), 0);
            return Err(ScanError::Damaged(Damage { segment, offset, reason }).into());
        };
        let Some(bytes) = read(elders.len())? else { return Err(missing(newest).into()) };
        let (newest_header, _) = parse_header((newest, &bytes))?;
        let start = start_of(firsts.iter().copied(), newest_header.checkpoint);
        let Some(start) = start else {
            return Err(without_beginning(firsts[0], &newest_header).into());
        };
        let (done, of) = (AtomicUsize::new(0), firsts.len() - start);
        tell(0, of);
        let read_part = |at: usize| -> Result<_, E> {
            let (first, next) = (firsts[at], firsts[at + 1]);
            let part = match read(at)? {
                Some(bytes) => Part::read((first, &bytes), Until::Seq(next)),
                None => Err(missing(first)),
            };
            tell(done.fetch_add(1, Ordering::Relaxed) + 1, of);
            Ok(part)
        };
        let mut parts =
            with_each(threads, WORTH_A_THREAD, (start..elders.len()).collect(), read_part)?;
        parts.push(Part::read((newest, &bytes), until));
        tell(of, of);
        Ok(Scan { newest_bytes: bytes.len() as u64, ..join(&newest_header.store, parts)? })
    }
}

/// All parts, each of which has to follow from the one before it.
fn join(store: &str, parts: Vec<Result<Part, ScanError>>) -> Result<Scan, ScanError> {
    let (mut groups, mut checkpoint, mut before) = (Vec::new(), 0, None);
    for part in parts {
        let Part { header, sound } = part?;
        let wrong = |reason: &str| Err(damaged(header.first, 0, reason.to_owned()));
        if header.store != store {
            return wrong("it belongs to another store than the newest segment");
        }
        // Where the scan starts the header is taken at its word, but for a journal's beginning.
        let chain = before.as_ref().map(|(at, _): &(Position, _)| at.chain());
        let chain = chain.or((header.first == 1).then_some(Chain::ZERO));
        if chain.is_some_and(|chain| chain != header.chain) {
            return wrong("it does not follow from what stands before it");
        }
        checkpoint = checkpoint.max(header.checkpoint);
        let Sound { groups: more, end, tail } = sound?;
        for record in more.iter().flat_map(|group: &Group| &*group.records) {
            if let RecordKind::Checkpoint { upto } = record.kind {
                checkpoint = checkpoint.max(upto);
            }
        }
        groups.extend(more);
        before = Some((end, tail));
    }
    let (end, tail) = before.expect("there is a newest segment");
    Ok(Scan { store: store.to_owned(), groups, checkpoint, end, tail, newest_bytes: 0 })
}

fn missing(segment: u64) -> ScanError {
    damaged(segment, 0, "it is missing".to_owned())
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

#[cfg(test)]
mod tests;
