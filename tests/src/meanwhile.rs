//! Somebody else does something at an exact moment of a commit.

use std::sync::{Arc, Mutex};

use filepact_fs::Fs;

use crate::steps::{Call, Steps, Watch};

type Action = Box<dyn FnOnce() + Send>;

/// A file system that runs an action once, just before or after the first rename onto or from a path.
///
/// The swap of C8 is a rename, so this is the last moment at which an outside edit can slip in
/// between validation and publication.
pub type Meanwhile = Steps<AtRename>;

/// Waits for the rename, with the action.
pub struct AtRename {
    path: String,
    action: Mutex<Option<Action>>,
    after: bool,
}

impl Meanwhile {
    /// Runs `action` before the first rename that names `path`.
    pub fn before_rename(
        inner: Arc<dyn Fs>,
        path: &str,
        action: impl FnOnce() + Send + 'static,
    ) -> Arc<Self> {
        Self::watched(inner, AtRename::new(path, Box::new(action), false))
    }

    /// Runs `action` after the first rename that names `path` and succeeds.
    pub fn after_rename(
        inner: Arc<dyn Fs>,
        path: &str,
        action: impl FnOnce() + Send + 'static,
    ) -> Arc<Self> {
        Self::watched(inner, AtRename::new(path, Box::new(action), true))
    }

    /// Whether the moment has come.
    pub fn has_happened(&self) -> bool {
        self.watch().action.lock().expect("no test has failed").is_none()
    }
}

impl AtRename {
    fn new(path: &str, action: Action, after: bool) -> Self {
        Self { path: path.to_owned(), action: Mutex::new(Some(action)), after }
    }

    fn look(&self, call: &Call<'_>) {
        if call.op == "rename" && (call.path == self.path || call.to == self.path) {
            let action = self.action.lock().expect("no test has failed").take();
            action.into_iter().for_each(|action| action());
        }
    }
}

impl Watch for AtRename {
    fn before(&self, call: &Call<'_>) {
        if !self.after {
            self.look(call);
        }
    }

    fn after(&self, call: &Call<'_>, succeeded: bool) {
        if self.after && succeeded {
            self.look(call);
        }
    }
}
