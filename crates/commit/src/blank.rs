//! The journal's next segment, made ready before a commit needs it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use filepact_fs::{Fs, Latched};
use filepact_journal::Blank;

use crate::Writer;
use crate::writer::Inner;

/// A blank that the journal wants: to be [made](Self::make) beside commits, and
/// [brought](Writer::take_blank).
#[derive(Debug)]
pub struct WantedBlank {
    fs: Arc<Latched>,
    size: u64,
}

impl WantedBlank {
    /// Makes it. `None` where that cannot be: then the commit that needs a segment makes one from nothing, and
    /// says why it cannot. A sync that fails trips the latch, and nothing is acknowledged here any more;
    /// nothing rests on what it has lost, so that others hear of it only from the next commit.
    pub fn make(self) -> Option<Blank> {
        make(&*self.fs, self.size)
    }
}

impl Writer {
    /// What the caller is to do for the journal since the last commit, where it does such things.
    pub fn wanted_blank(&self) -> Option<WantedBlank> {
        let size = self.blank.swap(0, Ordering::Relaxed);
        (size > 0).then(|| WantedBlank { fs: Arc::clone(&self.fs), size })
    }

    /// Takes what was asked for.
    pub fn take_blank(&self, blank: Blank) {
        let mut inner = self.lock_inner();
        if !inner.stopped {
            inner.journal.take_blank(blank);
        }
    }

    /// After commits, in their turn.
    pub(crate) fn care_for_blank(&self, inner: &mut Inner) {
        let Some(size) = inner.journal.wants_blank() else { return };
        if self.limits.background {
            self.blank.store(size, Ordering::Relaxed);
            return;
        }
        if let Some(blank) = make(&*self.fs, size) {
            inner.journal.take_blank(blank);
        }
        self.tell_of_failure(inner);
    }
}

fn make(fs: &dyn Fs, size: u64) -> Option<Blank> {
    Blank::make(fs, size).ok().flatten()
}
