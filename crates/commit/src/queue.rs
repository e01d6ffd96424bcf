//! C2: one commit at a time among the threads of a handle, with a timeout.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where threads wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    taken: Mutex<bool>,
    free: Condvar,
}

/// A thread's turn; it ends on drop, also when the holder panics.
#[derive(Debug)]
#[must_use]
pub(crate) struct Turn<'a>(&'a Queue);

impl Queue {
    /// Waits for the turn at most `patience`; `None` says that it did not come.
    ///
    /// Leaving is atomic: whoever gets `None` never had the turn and never will.
    pub(crate) fn enter(&self, patience: Duration) -> Option<Turn<'_>> {
        let deadline = Instant::now().checked_add(patience);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            taken = match deadline.map(|d| d.saturating_duration_since(Instant::now())) {
                None => self.free.wait(taken).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return None,
                Some(left) => {
                    self.free.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *taken = true;
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_out_of_patience_never_gets_the_turn() {
        let queue = Queue::default();
        let turn = queue.enter(Duration::ZERO).expect("the queue is empty");
        assert!(queue.enter(Duration::ZERO).is_none());
        assert!(queue.enter(Duration::from_millis(5)).is_none());
        drop(turn);
        assert!(queue.enter(Duration::ZERO).is_some());
    }

    #[test]
    fn a_waiting_thread_gets_the_turn_when_it_is_free() {
        let queue = Queue::default();
        std::thread::scope(|scope| {
            let turn = queue.enter(Duration::ZERO).expect("the queue is empty");
            let waiting = scope.spawn(|| queue.enter(Duration::from_secs(60)).is_some());
            drop(turn);
            assert!(waiting.join().expect("no panic"));
        });
    }
}
