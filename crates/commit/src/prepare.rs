//! C1: encode bodies, without the lock.
//!
//! A small body travels in the journal. A large one is streamed into an unnamed file on the file
//! system of its document and synced, before anybody is kept waiting.

use std::io::{self, Read};
use std::sync::Arc;

use filepact_fs::{DocPath, File, Fs, FsError, Kind, SyncKind, parent_of, read_full};
use filepact_journal::Hash;

use crate::stream::stream;

/// The body of a put, ready for the lock.
#[derive(Debug)]
pub enum Content {
    /// A small body.
    Inline {
        /// The bytes.
        bytes: Arc<[u8]>,
        /// Of the bytes.
        hash: Hash,
    },
    /// A large body, synced in a file that has no name yet.
    Large {
        /// Holds the body, from 0.
        file: Arc<dyn File>,
        /// Its length in bytes.
        len: u64,
        /// Of the body.
        hash: Hash,
    },
    /// A large body in the file of another document: linked, never copied. C5 syncs it, since it may
    /// have been written just now.
    Existing {
        /// Holds the body, from 0, unless somebody edits it in place.
        file: Arc<dyn File>,
        /// Its length in bytes.
        len: u64,
        /// Of the body.
        hash: Hash,
    },
}

impl Content {
    /// The hash of the body.
    pub fn hash(&self) -> Hash {
        match self {
            Self::Inline { hash, .. } | Self::Large { hash, .. } | Self::Existing { hash, .. } => {
                *hash
            }
        }
    }

    /// The length of the body in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline { bytes, .. } => bytes.len() as u64,
            Self::Large { len, .. } | Self::Existing { len, .. } => *len,
        }
    }

    /// Whether the body has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A body that could not be prepared. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The store's side failed.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The caller's reader failed.
    #[error("cannot read the body")]
    Source(#[source] io::Error),
}

/// Prepares a body that is in memory.
pub fn prepare_bytes(
    fs: &dyn Fs,
    path: &DocPath,
    bytes: Vec<u8>,
    inline_max: usize,
) -> Result<Content, FsError> {
    if bytes.len() <= inline_max {
        let hash = Hash::of(&bytes);
        return Ok(Content::Inline { bytes: bytes.into(), hash });
    }
    let file = fs.create_unnamed(&nearest_directory(fs, path)?)?;
    let (len, hash) = match stream(&*file, fs.threads() > 1, Vec::new(), &mut &*bytes) {
        Ok(streamed) => streamed,
        Err(PrepareError::Io(error)) => return Err(error),
        // No memory for a piece of it.
        Err(PrepareError::Source(error)) => {
            return Err(FsError::new("copy the body of", path.to_string(), error));
        }
    };
    // Here, where nobody waits; C5 syncs it again once it has a name, which is little work then, and C6 may name
    // it: a record never names bytes that can still be lost.
    file.sync(SyncKind::All)?;
    Ok(Content::Large { file: file.into(), len, hash })
}

/// Prepares a body from a reader, in constant memory.
pub fn prepare_reader(
    fs: &dyn Fs,
    path: &DocPath,
    source: &mut dyn Read,
    inline_max: usize,
) -> Result<Content, PrepareError> {
    let mut head = Vec::new();
    source.take(inline_max as u64 + 1).read_to_end(&mut head).map_err(PrepareError::Source)?;
    if head.len() <= inline_max {
        return Ok(prepare_bytes(fs, path, head, inline_max)?);
    }
    let file = fs.create_unnamed(&nearest_directory(fs, path)?)?;
    let (len, hash) = stream(&*file, fs.threads() > 1, head, source)?;
    // As in `prepare_bytes`.
    file.sync(SyncKind::All)?;
    Ok(Content::Large { file: file.into(), len, hash })
}

/// Prepares the body of a document for another path: the first `len` bytes of its file, whatever is added
/// to it meanwhile; `hash` is what was observed of them.
pub fn prepare_existing(
    file: Arc<dyn File>,
    (len, hash): (u64, Hash),
    inline_max: usize,
) -> Result<Content, FsError> {
    if len > inline_max as u64 {
        return Ok(Content::Existing { file, len, hash });
    }
    let mut bytes = vec![0; usize::try_from(len).expect("at most `inline_max`")];
    let read = read_full(&*file, &mut bytes, 0)?;
    bytes.truncate(read);
    let hash = Hash::of(&bytes);
    Ok(Content::Inline { bytes: bytes.into(), hash })
}

/// The directory that the document lies in, or the nearest one above it that exists.
///
/// A link or a file on the way is C4's to refuse; here it is passed over.
fn nearest_directory(fs: &dyn Fs, path: &DocPath) -> Result<String, FsError> {
    let mut dir = path.parent();
    while !dir.is_empty() {
        match fs.stat(dir) {
            Ok(Some(stat)) if stat.kind == Kind::Dir => break,
            Ok(_) => {}
            Err(error) if error.is_link() => {}
            Err(error) => return Err(error),
        }
        dir = parent_of(dir);
    }
    Ok(dir.to_owned())
}
