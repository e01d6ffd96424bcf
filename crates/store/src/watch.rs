//! Hearing of transactions, whole and in order, of all processes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use filepact_commit::{Heard, Listener};

use crate::inspect::transactions;
use crate::{Error, LoggedTransaction, Store};

/// Hears of every transaction from one moment on, whoever commits it, whole and in order, none twice.
///
/// As an iterator it waits without end, and ends after one [`Error::Poisoned`]; [`wait`](Self::wait)
/// takes a time. It holds nobody up, and
/// nothing is kept for it: who looks so seldom that older journal has gone meanwhile is told of a
/// [gap](Watched::Gap). It keeps the store open as a clone of the handle does; once the store is
/// [closed](Store::close) it answers [`Error::Poisoned`].
#[derive(Debug)]
pub struct Watch {
    store: Store,
    listener: Listener,
    pending: VecDeque<Watched>,
    told: u64,
    /// As an iterator: nothing comes any more.
    ended: bool,
}

/// What a [`Watch`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// This was committed, and every reader through filepact sees it. Its documents are at their paths
    /// moments later.
    Transaction(LoggedTransaction),
    /// Transactions are missing: the journal does not reach back to where this watch was. Look at all
    /// documents anew; what comes after the gap is told.
    Gap {
        /// What came after this number
        after: u64,
        /// and up to this one is not in the journal.
        upto: u64,
    },
}

impl Store {
    /// Watches what is committed from now on, by this process or another.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Poisoned`] after [`close`](Self::close).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use filepact::{Error, Store, Watched};
    /// # fn main() -> Result<(), Error> {
    /// # let folder = tempfile::tempdir().expect("a temporary folder");
    /// # let store = Store::open(folder.path())?;
    /// let mut watch = store.watch()?;
    /// store.write("config.json", &1)?;
    /// while let Some(event) = watch.wait(Duration::ZERO)? {
    ///     match event {
    ///         Watched::Transaction(logged) => assert_eq!(logged.changes[0].path, "config.json"),
    ///         Watched::Gap { .. } => { /* read everything again */ }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self) -> Result<Watch, Error> {
        self.enter()?;
        let listener = Listener::new(self.0.writer.view())?;
        let told = listener.heard();
        Ok(Watch::new(self.clone(), listener, told))
    }

    /// Watches what was committed after transaction `txn`, and from now on: for who has been away, and
    /// remembers the number of the last transaction that it was told of.
    ///
    /// Where the journal does not reach back to there, and where it holds that number and no transaction
    /// ends with it, what comes first is a [gap](Watched::Gap).
    ///
    /// A number belongs to one life of the store. After a power cut that took transactions of
    /// [`Durability::Buffered`](crate::Durability), and after a backup was restored, the same numbers are
    /// given to others: once the store has reached yours again nothing tells the two apart, and what came
    /// in between is skipped without a gap. Whoever restores a backup begins all watches anew.
    ///
    /// # Errors
    /// As [`watch`](Self::watch); [`Error::Corrupt`] if the journal is damaged.
    pub fn watch_since(&self, txn: u64) -> Result<Watch, Error> {
        self.enter()?;
        let (listener, heard) = Listener::since(self.0.writer.view(), txn)?;
        let mut watch = Watch::new(self.clone(), listener, txn);
        watch.take_in(heard);
        Ok(watch)
    }
}

impl Watch {
    fn new(store: Store, listener: Listener, told: u64) -> Self {
        Self { store, listener, pending: VecDeque::new(), told, ended: false }
    }

    /// What comes next, if it comes within `patience`; [`Duration::MAX`] waits without end.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`]: the next call tries again, and nothing is skipped.
    /// [`Error::Poisoned`] after [`close`](Store::close), or if `state` cannot be made out.
    pub fn wait(&mut self, patience: Duration) -> Result<Option<Watched>, Error> {
        let end = Instant::now().checked_add(patience);
        loop {
            self.store.enter()?;
            if self.pending.is_empty() {
                let heard = self.listener.hear(self.store.0.writer.view())?;
                self.take_in(heard);
            }
            if let Some(next) = self.pending.pop_front() {
                self.told = match &next {
                    Watched::Transaction(logged) => logged.txn,
                    Watched::Gap { upto, .. } => *upto,
                };
                return Ok(Some(next));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            self.listener.wait(left.unwrap_or(Duration::MAX))?;
        }
    }

    /// Everything up to this number was told: [`watch_since`](Store::watch_since) goes on from here.
    pub fn told(&self) -> u64 {
        self.told
    }

    fn take_in(&mut self, Heard { gap, after, groups }: Heard) {
        let gap = gap.map(|(after, upto)| Watched::Gap { after, upto });
        let new = transactions(&groups).filter(|logged| logged.txn > after);
        self.pending.extend(gap.into_iter().chain(new.map(Watched::Transaction)));
        // Checkpoints are told to nobody.
        if self.pending.is_empty() {
            self.told = self.listener.heard();
        }
    }
}

impl Iterator for Watch {
    type Item = Result<Watched, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.wait(Duration::MAX).transpose();
        self.ended = matches!(next, Some(Err(Error::Poisoned)));
        next
    }
}
