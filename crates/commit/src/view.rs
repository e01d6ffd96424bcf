//! What the threads of one handle know of committed documents.
//!
//! Readers never wait for a commit: a document that is committed but not at its path yet is read
//! from its word here, everything else from its file.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use filepact_journal::{Change, Hash, Word, Words};

use crate::{Seen, Stamped};

/// What this handle last knew of one document.
#[derive(Clone, Debug)]
pub struct Known {
    /// The record that made it so.
    pub seq: u64,
    /// Hash and length of its content; `None` if removed.
    pub content: Option<(Hash, u64)>,
    /// Its stamp once it was published; an outside edit shows as a difference.
    pub stamp: Option<Stamped>,
}

/// Where to read a document.
#[derive(Clone, Debug)]
pub struct Found {
    /// Everything up to this seq is committed.
    pub at: u64,
    /// The last record on this path that the handle knows of; 0 if none.
    pub seq: u64,
    /// The word to read, while the document is committed and not yet at its path.
    pub in_flight: Option<Word>,
}

/// The committed state that all threads of a handle share.
#[derive(Debug, Default)]
pub struct View(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    committed: u64,
    published: u64,
    known: HashMap<String, Known>,
    in_flight: Arc<Words>,
}

/// How many documents keep their stamps through a checkpoint. It bounds memory: beyond it, outside
/// edits made before a document's next read are taken as they are.
const KEPT_STAMPS: usize = 65_536;

impl View {
    /// The view of a handle that has just recovered: all is published up to `seq`.
    pub fn new(seq: u64, known: HashMap<String, Known>) -> Self {
        Self(RwLock::new(Inner { committed: seq, published: seq, known, ..Inner::default() }))
    }

    /// Where to read `path` now. After reading its file, ask again: only if the answer has the same
    /// `seq` and nothing in flight was that file the committed one.
    pub fn find(&self, path: &str) -> Found {
        let inner = self.read();
        Found {
            at: inner.committed,
            seq: inner.known.get(path).map_or(0, |known| known.seq),
            in_flight: inner.in_flight.get(path).cloned(),
        }
    }

    /// The last committed seq.
    pub fn committed(&self) -> u64 {
        self.read().committed
    }

    /// The last seq whose documents are all at their paths.
    pub fn published(&self) -> u64 {
        self.read().published
    }

    /// What is known of `path`.
    pub fn known(&self, path: &str) -> Option<Known> {
        self.read().known.get(path).cloned()
    }

    /// The seq of the last record on `path` that the handle knows of; 0 if none.
    pub fn seq_of(&self, path: &str) -> u64 {
        self.read().known.get(path).map_or(0, |known| known.seq)
    }

    /// The paths that are committed and not yet published, with whether they are removed.
    pub fn in_flight(&self) -> Arc<Words> {
        Arc::clone(&self.read().in_flight)
    }

    /// Every document changed after `seq`, with what is known of it.
    pub fn changed_since(&self, seq: u64) -> Vec<(String, Known)> {
        let inner = self.read();
        let changed = inner.known.iter().filter(|(_, known)| known.seq > seq);
        changed.map(|(path, known)| (path.clone(), known.clone())).collect()
    }

    /// The commit point has passed: these words are what readers see from now on.
    pub(crate) fn commit(&self, words: Words, upto: u64) {
        let mut inner = self.write();
        for (path, word) in words.iter() {
            let content = match &word.change {
                Change::Put(put) => Some((put.hash, put.len)),
                Change::Remove(_) => None,
            };
            inner.known.insert(path.to_owned(), Known { seq: word.seq, content, stamp: None });
        }
        inner.committed = upto;
        inner.in_flight = Arc::new(words);
    }

    /// Notes the stamp of a document that is at its path, or was seen there.
    pub(crate) fn stamp(&self, path: &str, seen: Stamped) {
        if let Some(known) = self.write().known.get_mut(path) {
            known.stamp = Some(seen);
        }
    }

    /// All documents up to the last commit are at their paths.
    pub(crate) fn publish(&self) {
        let mut inner = self.write();
        inner.published = inner.committed;
        inner.in_flight = Arc::default();
    }

    /// A checkpoint covers everything up to `seq`.
    pub(crate) fn checkpoint(&self, seq: u64) {
        let mut inner = self.write();
        inner.committed = inner.committed.max(seq);
        inner.published = inner.committed;
        if inner.known.len() > KEPT_STAMPS {
            inner.known.clear();
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Whether what was seen is the content that filepact knows.
    pub(crate) fn is(&self, seen: &Seen) -> bool {
        self.content.map(|(hash, _)| hash) == seen.hash()
    }
}
