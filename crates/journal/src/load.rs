//! Segments, read into memory.

use filepact_fs::{Access, Fs, FsError, read_to_end};

use crate::segment::JOURNAL_DIR;
use crate::{parse_segment_name, segment_path};

/// One segment as it reads now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The seq of its first record, as its name says.
    pub first: u64,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Reads every segment, in order; other names are ignored. Without the directory there is none. What is
/// removed meanwhile, as elder segments are, is not among them: whether the rest is whole, a scan tells.
///
/// What is read may exist in memory only; what was synced is not lost, but a group may parse and
/// still go with the power.
pub fn load(fs: &dyn Fs) -> Result<Vec<Segment>, FsError> {
    let mut segments = Vec::new();
    for first in segments_in(fs)? {
        segments.extend(load_one(fs, first)?.map(|bytes| Segment { first, bytes }));
    }
    Ok(segments)
}

/// All of one segment; `None` if it is not there.
pub(crate) fn load_one(fs: &dyn Fs, first: u64) -> Result<Option<Vec<u8>>, FsError> {
    match fs.open(&segment_path(first), Access::Read) {
        Err(error) if error.is_not_found() => Ok(None),
        file => read_to_end(&*file?).map(Some),
    }
}

/// The first seqs of all segments, in order.
pub(crate) fn segments_in(fs: &dyn Fs) -> Result<Vec<u64>, FsError> {
    let entries = match fs.list(JOURNAL_DIR) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.iter().filter_map(|entry| entry.name.to_str());
    let mut segments: Vec<u64> = names.filter_map(parse_segment_name).collect();
    segments.sort_unstable();
    Ok(segments)
}
