//! One answer of a batch.

use filepact::{Committed, Watched};
use serde::Serialize;

use crate::body::Document;
use crate::event::Event;

/// What a line that succeeded is answered.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Done {
        ok: bool,
    },
    Document(Document),
    Committed {
        ok: bool,
        /// Null if there was nothing to write.
        txn: Option<u64>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        rescued: Vec<Rescued>,
    },
    Event {
        ok: bool,
        #[serde(flatten)]
        event: Event,
    },
    /// Nothing was committed in time.
    Quiet {
        ok: bool,
        txn: Option<u64>,
    },
}

/// An edit of another program that the commit has displaced, and where it lies now.
#[derive(Debug, Serialize)]
pub(super) struct Rescued {
    path: String,
    at: String,
}

impl Answer {
    pub(super) fn done() -> Self {
        Self::Done { ok: true }
    }

    pub(super) fn watched(watched: Option<Watched>) -> Self {
        match watched {
            Some(watched) => Self::Event { ok: true, event: watched.into() },
            None => Self::Quiet { ok: true, txn: None },
        }
    }

    /// After it is durable. A transaction that changed nothing has no number.
    pub(super) fn committed(committed: Committed, changed: bool) -> Self {
        let rescued = committed.rescued.into_iter();
        Self::Committed {
            ok: true,
            txn: changed.then_some(committed.txn),
            rescued: rescued.map(|edit| Rescued { path: edit.path, at: edit.at }).collect(),
        }
    }
}
