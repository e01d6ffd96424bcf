//! What the journal says: records, without the bytes that carry them.

use std::sync::Arc;

use filepact_fs::Time;

use crate::Hash;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts up by one, across segments; the first is 1.
    pub seq: u64,
    /// The highest seq whose sync had returned when this line was written.
    pub synced: u64,
    /// What it says.
    pub kind: RecordKind,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A document gets this body.
    Put(Put),
    /// A document gets longer.
    Append(Append),
    /// A document goes.
    Remove(Remove),
    /// The changes since the last commit are one transaction; its number is this record's seq.
    Commit(Commit),
    /// Everything up to this seq is durable without the journal.
    Checkpoint {
        /// The last seq that needs no journal.
        upto: u64,
    },
}

impl RecordKind {
    /// The path of the document that it changes.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Put(put) => Some(&put.path),
            Self::Append(append) => Some(&append.path),
            Self::Remove(remove) => Some(&remove.path),
            Self::Commit(_) | Self::Checkpoint { .. } => None,
        }
    }
}

/// A document gets a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The document.
    pub path: String,
    /// Length of the body in bytes.
    pub len: u64,
    /// Hash of the body.
    pub hash: Hash,
    /// Permission bits of the document.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// What validation saw at the path; `None` if nothing.
    pub was: Option<Was>,
    /// Where the body is.
    pub body: Body,
    /// Mode, owner and group are the put's own, whatever the document had; else they were copied from
    /// it, and what it has got since then goes before.
    pub own: bool,
}

/// Bytes are added at the end of a document that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The document.
    pub path: String,
    /// Where the document ended, and the bytes begin.
    pub offset: u64,
    /// How many bytes are added.
    pub len: u64,
    /// Hash of these bytes.
    pub hash: Hash,
    /// What validation saw at the path.
    pub was: Was,
    /// Where the bytes are; never [`Body::InPlace`].
    pub body: Body,
}

/// A document goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remove {
    /// The document.
    pub path: String,
    /// What validation saw at the path; `None` if nothing.
    pub was: Option<Was>,
}

/// The end of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// When; published files get it as their mtime.
    pub time: Time,
    /// Who and why, in the caller's words.
    pub note: Option<String>,
    /// An outside edit that was adopted, not a caller's change.
    pub outside: bool,
}

/// Where the body of a put is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// In the journal itself.
    Inline(Arc<[u8]>),
    /// In a synced file of this name in `stage/`.
    Staged(String),
    /// At the document's own path only: a large outside edit, known by its hash alone.
    InPlace,
}

/// What validation saw of a document that a transaction replaces or removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Was {
    /// Size in bytes.
    pub size: u64,
    /// Time of last modification.
    pub mtime: Time,
    /// Inode number.
    pub ino: u64,
    /// Hash of the content, where it is known.
    pub hash: Option<Hash>,
}
