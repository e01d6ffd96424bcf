//! The file system as one process sees it: it dies at the call that a step names, and may be lied to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use filepact_fs::{Fs, Result};
use filepact_simfs::{Actor, Fault, FaultKind, SimFs, When};

use crate::steps::{Call, Steps, Watch};

/// A file system that does not do what it says, to show that the judge notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// A sync of a segment returns and has done nothing.
    JournalSync,
    /// So does a sync of the directory of the segments.
    JournalDirSync,
    /// So does a sync of a document's directory, or of any file in `stage/`.
    StageSync,
    /// An exchange of two files returns and has done nothing.
    Exchange,
    /// A removal of a staged name returns and has done nothing.
    Unlink,
}

impl Lie {
    fn covers(self, call: &Call<'_>) -> bool {
        let journal = ".filepact/journal";
        match self {
            Self::JournalSync => call.op == "sync" && call.path.starts_with(journal),
            Self::JournalDirSync => call.op == "sync_dir" && call.path == journal,
            Self::StageSync => call.op == "sync" && !call.path.starts_with(journal),
            Self::Exchange => {
                call.op == "rename"
                    && call.path.starts_with(".filepact/stage/")
                    && !call.to.starts_with(".filepact/")
            }
            Self::Unlink => call.op == "unlink" && call.path.starts_with(".filepact/stage/"),
        }
    }
}

/// A process and what is to become of it.
pub struct Hand {
    sim: SimFs,
    actor: Arc<Actor>,
    lie: Option<Lie>,
    /// Calls until it dies; 0 for never.
    left: AtomicUsize,
    mid: AtomicBool,
    dead: AtomicBool,
    failed_sync: Mutex<Option<String>>,
    lost_names: AtomicBool,
}

impl Hand {
    /// A new process on `sim`.
    pub fn new(sim: &SimFs, lie: Option<Lie>) -> Arc<Steps<Self>> {
        let actor = sim.actor();
        let hand = Self {
            sim: sim.clone(),
            actor: Arc::clone(&actor),
            lie,
            left: AtomicUsize::new(0),
            mid: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            failed_sync: Mutex::new(None),
            lost_names: AtomicBool::new(false),
        };
        Steps::watched(actor as Arc<dyn Fs>, hand)
    }

    /// Which process it is.
    pub fn actor(&self) -> &Arc<Actor> {
        &self.actor
    }

    /// It dies before its call number `at` from now on; `mid`: in the middle, if that is a write.
    pub fn dies(&self, at: usize, mid: bool) {
        self.left.store(at, Ordering::SeqCst);
        self.mid.store(mid, Ordering::SeqCst);
    }

    /// It lives on.
    pub fn lives(&self) {
        self.left.store(0, Ordering::SeqCst);
    }

    /// It dies now.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.sim.kill(&self.actor);
    }

    /// Whether it is dead.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Whether a sync has failed since [`take_failed_sync`](Self::take_failed_sync).
    pub fn has_failed_sync(&self) -> bool {
        self.failed_sync.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether a sync of a directory has failed, ever.
    pub fn has_lost_names(&self) -> bool {
        self.lost_names.load(Ordering::SeqCst)
    }

    /// The path of the last sync that has failed since this was last asked.
    pub fn take_failed_sync(&self) -> Option<String> {
        self.failed_sync.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Watch for Hand {
    fn before(&self, call: &Call<'_>) {
        match self.left.load(Ordering::SeqCst) {
            0 => {}
            1 if call.op == "write" && self.mid.swap(false, Ordering::SeqCst) => {
                // Half of it is written, and nothing more is done.
                let at = When::Call(self.sim.calls() + 1);
                self.sim.fault(Fault { at, kind: FaultKind::ShortWrite, sticky: false });
            }
            1 => {
                self.lives();
                self.kill();
            }
            left => self.left.store(left - 1, Ordering::SeqCst),
        }
    }

    fn after(&self, call: &Call<'_>, succeeded: bool) {
        if !succeeded && call.op.starts_with("sync") && !self.is_dead() {
            let mut last = self.failed_sync.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(call.path.to_owned());
            self.lost_names.fetch_or(call.op == "sync_dir", Ordering::SeqCst);
        }
    }

    fn perform(&self, call: &Call<'_>, work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        if self.lie.is_some_and(|lie| lie.covers(call)) && !self.is_dead() {
            return Ok(());
        }
        work()
    }
}
