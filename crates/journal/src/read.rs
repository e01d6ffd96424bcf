//! The journal, read from the disk: its segments several at a time, and none of them held for longer than
//! it is read.
//!
//! What is read may exist in memory only; what was synced is not lost, but a group may parse and still go
//! with the power.

use std::borrow::Cow;

use filepact_fs::{Fs, FsError};

use crate::load::{load_one, segments_in};
use crate::scan::{Bytes, Segments, Tell, scan_all, scan_to};
use crate::{Mark, Scan, ScanError};

/// Why a journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be used.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A call failed.
    #[error(transparent)]
    Io(#[from] FsError),
}

/// Whether there is no segment at all.
pub fn is_empty(fs: &dyn Fs) -> Result<bool, FsError> {
    Ok(segments_in(fs)?.is_empty())
}

/// Reads the whole journal, which nobody else writes, as [`scan`](crate::scan) does; `tell` hears how many of
/// its segments are done, of how many.
///
/// # Errors
/// As of [`scan`](crate::scan), or of the first call that fails.
pub fn read_all(fs: &dyn Fs, synced: Option<u64>, tell: &Tell<'_>) -> Result<Scan, ReadError> {
    scan_all(segments(fs, &segments_in(fs)?, tell), synced)
}

/// Reads the journal up to `committed`, from the segment at which every scan starts.
///
/// # Errors
/// Others may go on meanwhile, so that `committed` is not the newest any more and what it rests on
/// is gone: after a [`ReadError::Scan`] read `state` again. Only if it still says the same is that damage.
pub fn read_to(fs: &dyn Fs, committed: &Mark) -> Result<Scan, ReadError> {
    scan_to(segments(fs, &segments_in(fs)?, &|_, _| ()), committed)
}

fn segments<'s>(
    fs: &'s dyn Fs,
    firsts: &'s [u64],
    tell: &'s Tell<'s>,
) -> Segments<'s, impl Fn(usize) -> Result<Bytes<'s>, ReadError>> {
    let read = |at: usize| Ok(load_one(fs, firsts[at])?.map(Cow::Owned));
    Segments { firsts, threads: fs.threads(), read, tell }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use filepact_fs::{OsFs, Time};

    use super::*;
    use crate::arbitrary::transaction;
    use crate::{Journal, load, scan};

    #[test]
    fn what_several_threads_have_read_is_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(OsFs::open(dir.path()).unwrap());
        fs.make_dir(".filepact", 0o700).unwrap();
        fs.make_dir(crate::JOURNAL_DIR, 0o700).unwrap();
        assert!(is_empty(&*fs).unwrap());
        let mut journal = Journal::create(Arc::clone(&fs), &fs.unique()).unwrap();
        while segments_in(&*fs).unwrap().len() < 8 {
            let body = vec![b'x'; 100_000];
            for path in ["a", "b", "c"] {
                let _ = journal.append(transaction(path, &body), Time(0)).unwrap();
            }
        }
        assert!(!is_empty(&*fs).unwrap());
        let told = Mutex::new(Vec::new());
        let tell = |done, of| told.lock().unwrap().push((done, of));
        let read = read_all(&*fs, Some(journal.end().seq()), &tell).unwrap();

        let segments = load(&*fs).unwrap();
        let segments: Vec<_> = segments.iter().map(|s| (s.first, s.bytes.as_slice())).collect();
        let scan = scan(&segments, None).unwrap();
        assert_eq!((&read.groups, read.end, &read.tail), (&scan.groups, scan.end, &scan.tail));
        assert_eq!((read.end, &*read.store), (*journal.end(), journal.store()));
        // But for the first one, which holds no more than the journal's beginning.
        let mut told = told.into_inner().unwrap();
        assert_eq!((told[0], told[told.len() - 1]), ((0, 7), (7, 7)));
        told.sort_unstable();
        assert_eq!(told, (0..=7).map(|done| (done, 7)).collect::<Vec<_>>());

        // The first one that is wrong is the one that is told of, whoever meets it first.
        for first in [segments[2].0, segments[5].0] {
            fs.unlink(&crate::segment_path(first)).unwrap();
        }
        let error = read_all(&*fs, None, &|_, _| ()).unwrap_err();
        let wanted = format!("{}", segments[1].0);
        assert!(error.to_string().contains(&wanted), "{error}");
    }
}
