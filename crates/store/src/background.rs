//! Checkpoints without being asked: some time after the last commit, or when `journal_max` is passed.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::shared::Shared;

/// How long after the last commit: whoever works in bursts pays once for each.
const IDLE: Duration = Duration::from_secs(5);

/// The thread that makes checkpoints, from the first commit of a handle on.
pub(crate) struct Background {
    bell: Arc<Bell>,
    pid: u32,
}

/// What the thread waits for.
#[derive(Default)]
struct Bell {
    plan: Mutex<Plan>,
    rung: Condvar,
}

#[derive(Default)]
struct Plan {
    /// When the next checkpoint is due.
    due: Option<Instant>,
    has_thread: bool,
    ended: bool,
}

impl Background {
    pub(crate) fn new() -> Self {
        Self { bell: Arc::default(), pid: std::process::id() }
    }

    /// Something was committed; `at_once` says that a checkpoint is due.
    pub(crate) fn committed(&self, store: &Arc<Shared>, at_once: bool) {
        let now = Instant::now();
        let mut plan = self.bell.plan();
        if !plan.has_thread {
            let (bell, weak) = (Arc::clone(&self.bell), Arc::downgrade(store));
            let thread = std::thread::Builder::new().name("filepact-checkpoint".to_owned());
            match thread.spawn(move || bell.wait_and_checkpoint(&weak)) {
                // It ends with the handle; nobody waits for it.
                Ok(_detached) => plan.has_thread = true,
                // The next commit tries again; `close` makes the checkpoint in any case.
                Err(error) => store.writer.defer_checkpoint(error.to_string()),
            }
        }
        // Who waits for a later moment looks again then, and finds that it has moved.
        let wakes = at_once || plan.due.is_none();
        plan.due = Some(if at_once { now } else { now + IDLE });
        if wakes {
            self.bell.rung.notify_all();
        }
    }
}

impl Bell {
    /// No thread panics while it holds this.
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: it keeps the store open only while it makes a checkpoint.
    fn wait_and_checkpoint(&self, store: &Weak<Shared>) {
        while self.wait() {
            let Some(store) = store.upgrade() else { return };
            store.checkpoint_unasked();
        }
    }

    /// Until a checkpoint is due; `false` when the handle has ended.
    fn wait(&self) -> bool {
        let mut plan = self.plan();
        while !plan.ended {
            plan = match plan.due.map(|due| due.saturating_duration_since(Instant::now())) {
                None => self.rung.wait(plan).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    plan.due = None;
                    return true;
                }
                Some(left) => {
                    self.rung.wait_timeout(plan, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        false
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // A child of fork has no such thread, and the plan may be locked there for good.
        if std::process::id() == self.pid {
            self.bell.plan().ended = true;
            self.bell.rung.notify_all();
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").finish_non_exhaustive()
    }
}
