//! One answer of a batch.

use filepact::Committed;
use serde::Serialize;

use crate::body::Document;

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
