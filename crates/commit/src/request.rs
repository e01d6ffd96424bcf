//! What a transaction asks for, and what it gets.

use std::collections::BTreeMap;

use filepact_fs::DocPath;

use crate::{CommitError, Content, ReadSet, Rescued};

/// One change of a transaction.
#[derive(Debug)]
pub enum Change {
    /// The document gets this body.
    Put {
        /// The body.
        content: Content,
        /// The mode, if the document is new; 0666 less the umask otherwise.
        mode: Option<u32>,
        /// The document whose attributes it gets, if it is new: it was renamed.
        like: Option<DocPath>,
    },
    /// The document gets longer by these bytes, or is made of them if it is absent.
    Append {
        /// The bytes; never [`Content::Existing`].
        content: Content,
    },
    /// The document goes.
    Remove,
}

/// What a transaction asks for.
#[derive(Debug, Default)]
pub struct Request {
    /// The changes, one a document.
    pub changes: BTreeMap<DocPath, Change>,
    /// What they may depend on.
    pub reads: ReadSet,
    /// Who and why.
    pub note: Option<String>,
}

/// What becomes of a request.
pub(crate) type Answer = Result<Committed, CommitError>;

/// A transaction that is durable and visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub txn: u64,
    /// Outside edits that it displaced unseen; they lie in `rescued/`.
    pub rescued: Vec<Rescued>,
}
