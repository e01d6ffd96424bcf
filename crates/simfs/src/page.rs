//! Pages: what the cache holds and the disk writes in one piece, unless a sector tears it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::random::hash_of;

/// Bytes in a page.
pub(crate) const PAGE: usize = 4096;
/// Bytes that a disk writes whole whatever happens.
pub(crate) const SECTOR: usize = 512;

static ZEROS: [u8; PAGE] = [0; PAGE];

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

    /// This page with other bytes from `at` on.
    pub(crate) fn with(&self, at: usize, bytes: &[u8]) -> Self {
        let mut copy = *self.bytes();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        Self(Some(Arc::new(Sheet { bytes: copy, hash: OnceLock::new() })))
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
            *sheet.hash.get_or_init(|| if sheet.bytes == ZEROS { 0 } else { hash_of(&sheet.bytes) })
        })
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page({:016x})", self.hash())
    }
}
