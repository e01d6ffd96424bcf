//! What all clones of a handle share.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use filepact_commit::Writer;
use filepact_fs::{Fs, Lock};

use crate::background::Background;
use crate::json::Parser;
use crate::{Error, Options, Report};

/// An open store.
pub(crate) struct Shared {
    pub(crate) writer: Writer,
    pub(crate) report: Report,
    pub(crate) options: Options,
    /// `open`, held for the life of the handle; `None` once it is closed.
    open: RwLock<Option<Box<dyn Lock>>>,
    pub(crate) parser: Parser,
    background: Background,
    /// Makes the journal's next segment ready.
    preparing: Mutex<Option<JoinHandle<()>>>,
}

impl Shared {
    pub(crate) fn new(
        writer: Writer,
        open: Box<dyn Lock>,
        report: Report,
        options: Options,
    ) -> Self {
        Self {
            writer,
            report,
            options,
            open: RwLock::new(Some(open)),
            parser: Parser::default(),
            background: Background::new(),
            preparing: Mutex::default(),
        }
    }

    pub(crate) fn fs(&self) -> &dyn Fs {
        self.writer.fs()
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.options.lock_timeout
    }

    /// A closed handle does not hold the store any more, and neither does a child of fork: nothing
    /// may rest on what they read.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        self.writer.check_process()?;
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if open.is_some() { Ok(()) } else { Err(Error::Poisoned) }
    }

    /// After every commit: its checkpoint comes by itself, and so does what the journal needs next.
    pub(crate) fn committed(self: &Arc<Self>) {
        if !self.options.background {
            return;
        }
        self.background.committed(self, self.writer.is_checkpoint_due());
        if let Some(wanted) = self.writer.wanted_blank() {
            // A thread of its own, once for a whole segment: a checkpoint may be under way in the other one.
            // It does not keep the store open.
            let store = Arc::downgrade(self);
            let make = move || {
                if let Some((blank, store)) = wanted.make().zip(store.upgrade()) {
                    store.writer.take_blank(blank);
                }
            };
            // Without it the next segment is made by the commit that needs it.
            let thread = thread::Builder::new().name("filepact-journal".to_owned()).spawn(make);
            *self.preparing.lock().unwrap_or_else(PoisonError::into_inner) = thread.ok();
        }
    }

    /// A checkpoint that nobody waits for. One that did not happen is tried again after the next
    /// commit, and `status` says why.
    pub(crate) fn checkpoint_unasked(&self) {
        if self.check_open().is_err() {
            return;
        }
        if let Err(error) = self.writer.checkpoint(self.timeout()) {
            tracing::warn!(target: "filepact", %error, "no checkpoint");
            self.writer.defer_checkpoint(error.to_string());
        }
    }

    /// Lets others have the store; this handle answers no more, and nothing is written for it any more.
    pub(crate) fn let_go(&self) {
        let preparing = self.preparing.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It ends by itself; if it panicked there is nothing that it leaves.
        let _ = preparing.map(JoinHandle::join);
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        // While it is still ours: what was read with them by now is not answered.
        self.writer.let_pins_go();
        drop(open);
    }
}
