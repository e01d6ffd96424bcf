//! The segments, read into memory.

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
    load_telling(fs, |_, _| ())
}

/// As [`load`], and tells before each segment how many are read, and how many there are; and once more at the end.
///
/// # Errors
/// As of [`load`].
pub fn load_telling(fs: &dyn Fs, tell: impl Fn(usize, usize)) -> Result<Vec<Segment>, FsError> {
    let firsts = segments_in(fs)?;
    let of = firsts.len();
    let mut segments = Vec::new();
    for (done, first) in firsts.into_iter().enumerate() {
        tell(done, of);
        let file = match fs.open(&segment_path(first), Access::Read) {
            Err(error) if error.is_not_found() => continue,
            file => file?,
        };
        segments.push(Segment { first, bytes: read_to_end(&*file)? });
    }
    tell(of, of);
    Ok(segments)
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
