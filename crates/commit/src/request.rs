//! What a transaction asks for, and what it gets.

use std::collections::BTreeMap;

use filepact_fs::{Attrs, DocPath};

use crate::{CommitError, Content, ReadSet, Rescued};

/// One change of a transaction.
#[derive(Debug)]
pub enum Change {
    /// The document gets this body.
    Put {
        /// The body.
        content: Content,
        /// Mode, owner and extended attributes.
        attributes: Attributes,
    },
    /// The document gets longer by these bytes, or is made of them if it is absent.
    Append {
        /// The bytes; never [`Content::Existing`].
        content: Content,
    },
    /// The document goes.
    Remove,
}

/// Mode, owner and extended attributes of a document that gets a body.
#[derive(Clone, Debug, Default)]
pub enum Attributes {
    /// Those that it has; if it is new, those of a new file.
    #[default]
    Kept,
    /// Those that it has; if it is new, this mode and the rest of a new file.
    New {
        /// The permission bits.
        mode: u32,
    },
    /// Those that it has; if it is new, those of this document, which was renamed.
    Like(DocPath),
    /// These, whatever it had: it is restored.
    Own(Attrs),
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
    /// Its number; of a transaction that changes nothing, the last seq that it was checked against.
    pub txn: u64,
    /// Outside edits that it displaced unseen; they lie in `rescued/`.
    pub rescued: Vec<Rescued>,
}
