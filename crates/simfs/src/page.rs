//! Pages: what the cache holds and the disk writes in one piece, unless a sector tears it.

use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

/// Bytes in a page.
pub(crate) const PAGE: usize = 4096;
/// Bytes that a disk writes whole whatever happens.
pub(crate) const SECTOR: usize = 512;

static ZEROS: [u8; PAGE] = [0; PAGE];

/// A page of newlines, of which a journal has many: one for all.
static NEWLINES: LazyLock<Page> = LazyLock::new(|| Page::of([b'\n'; PAGE]));

/// A page's content; one that was never written reads as zeros.
#[derive(Clone, Default)]
pub(crate) struct Page(Option<Arc<Sheet>>);

struct Sheet {
    bytes: [u8; PAGE],
    /// Computed once for all the worlds that share the sheet.
    hash: OnceLock<u64>,
}

impl Page {
    pub(crate) fn bytes(&self) -> &[u8; PAGE] {
        self.0.as_ref().map_or(&ZEROS, |sheet| &sheet.bytes)
    }

    fn of(bytes: [u8; PAGE]) -> Self {
        Self(Some(Arc::new(Sheet { bytes, hash: OnceLock::new() })))
    }

    /// This page with other bytes from `at` on.
    pub(crate) fn with(&self, at: usize, bytes: &[u8]) -> Self {
        if let Ok(whole) = <&[u8; PAGE]>::try_from(bytes) {
            let is_padding = whole == NEWLINES.bytes();
            return if is_padding { NEWLINES.clone() } else { Self::of(*whole) };
        }
        let mut copy = *self.bytes();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        Self::of(copy)
    }

    /// This page with zeros from `at` on.
    pub(crate) fn cut(&self, at: usize) -> Self {
        if self.bytes()[at..].iter().all(|&byte| byte == 0) {
            return self.clone();
        }
        self.with(at, &ZEROS[at..])
    }

    /// Whether both hold the same bytes in this range.
    pub(crate) fn agrees(&self, other: &Self, range: std::ops::Range<usize>) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) => true,
            _ => self.bytes()[range.clone()] == other.bytes()[range],
        }
    }

    /// A hash of the bytes; 0 for zeros, written or not.
    pub(crate) fn hash(&self) -> u64 {
        self.0.as_ref().map_or(0, |sheet| {
            *sheet.hash.get_or_init(|| if sheet.bytes == ZEROS { 0 } else { mix(&sheet.bytes) })
        })
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page({:016x})", self.hash())
    }
}

/// Four running products side by side, so that a page takes a fraction of what SipHash takes. Good
/// for telling pages apart that no adversary has made.
fn mix(bytes: &[u8; PAGE]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut lanes = [ODD, ODD.rotate_left(16), ODD.rotate_left(32), ODD.rotate_left(48)];
    let (words, _) = bytes.as_chunks::<8>();
    for four in words.chunks_exact(lanes.len()) {
        for (lane, word) in lanes.iter_mut().zip(four) {
            *lane = (lane.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
        }
    }
    let fold = |sum: u64, lane: &u64| {
        let sum = (sum ^ lane).wrapping_mul(ODD);
        sum ^ (sum >> 29)
    };
    lanes.iter().fold(0, fold)
}
