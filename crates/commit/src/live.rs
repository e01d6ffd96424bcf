//! The live file at a document's path, looked at once.

use std::thread;
use std::time::Duration;

use filepact_fs::{Access, File, Fs, FsError, Kind, Stat, Time, read_all, read_full};
use filepact_journal::{Hash, Hasher};

use crate::Stamped;

/// What stands at a document's path.
#[derive(Debug)]
pub enum Live {
    /// Nothing.
    Absent,
    /// An ordinary file, and the hash of its content.
    Document {
        /// What `stat` says, the same before and after the content was read.
        stat: Stat,
        /// The time before it.
        taken: Time,
        /// Of the content.
        hash: Hash,
    },
    /// Something that is no document.
    Other(Kind),
}

impl Live {
    /// The hash of the document; `None` if there is none.
    pub fn hash(&self) -> Option<Hash> {
        match self {
            Self::Document { hash, .. } => Some(*hash),
            Self::Absent | Self::Other(_) => None,
        }
    }
}

/// How often to look at a file that somebody has for himself, and how long to wait between.
const LEASE_PATIENCE: u32 = 500;
const LEASE_PAUSE: Duration = Duration::from_millis(1);

/// How much of a file is hashed at once, in bytes.
const PIECE: u64 = 256 * 1024;

/// How often a file may change under a reader before the last reading is taken.
///
/// Whoever writes a file in place at this rate never has a settled content to offer.
const PATIENCE: usize = 16;

/// Looks at `path` and hashes what is there, without keeping it in memory.
pub fn look(fs: &dyn Fs, path: &str) -> Result<Live, FsError> {
    Ok(match open_document(fs, path)? {
        Opened::Absent => Live::Absent,
        Opened::Other(kind) => Live::Other(kind),
        Opened::Document(file) => {
            let hash = |file: &dyn File, size| hash_pieces(file, (0, u64::MAX), size);
            let Steady { content: hash, stat, taken } = read_steady(fs, &*file, hash)?;
            Live::Document { stat, taken, hash }
        }
    })
}

/// As [`look`], where a link on the way means that there is no document.
pub fn look_past_links(fs: &dyn Fs, path: &str) -> Result<Live, FsError> {
    match look(fs, path) {
        Err(error) if error.is_link() => Ok(Live::Other(Kind::Link)),
        live => live,
    }
}

/// Reads the document at `path`; `None` if there is none.
pub fn read_live(fs: &dyn Fs, path: &str) -> Result<Option<(Vec<u8>, Stamped)>, FsError> {
    Ok(match open_document(fs, path)? {
        Opened::Absent | Opened::Other(_) => None,
        Opened::Document(file) => {
            let read = read_steady(fs, &*file, read_all)?;
            let stamped = read.stamped();
            Some((read.content, stamped))
        }
    })
}

/// As [`open_document`], where a link on the way means that there is no document.
pub fn open_past_links(fs: &dyn Fs, path: &str) -> Result<Opened, FsError> {
    let mut tries = 0;
    loop {
        match open_document(fs, path) {
            Err(error) if error.is_link() => return Ok(Opened::Other(Kind::Link)),
            // A publisher was stopped with its lease, or a file server has one.
            Err(error) if error.is_leased() && tries < LEASE_PATIENCE => tries += 1,
            opened => return opened,
        }
        thread::sleep(LEASE_PAUSE);
    }
}

/// What can be opened at a document's path.
#[derive(Debug)]
pub enum Opened {
    /// Nothing.
    Absent,
    /// Something that is no document.
    Other(Kind),
    /// An ordinary file. It stays what it is, whatever is published at the path from now on.
    Document(Box<dyn File>),
}

/// Opens the document at `path`.
pub fn open_document(fs: &dyn Fs, path: &str) -> Result<Opened, FsError> {
    let mut tries = 0;
    loop {
        match fs.stat(path)?.map(|stat| stat.kind) {
            None => return Ok(Opened::Absent),
            Some(Kind::File) => {}
            Some(kind) => return Ok(Opened::Other(kind)),
        }
        match fs.open(path, Access::Read) {
            // Displaced or removed since the look above: look again.
            Err(error) if error.is_not_found() && tries < PATIENCE => tries += 1,
            file => return Ok(Opened::Document(file?)),
        }
    }
}

/// A content, and what the file looked like while it was read.
#[derive(Debug)]
pub struct Steady<T> {
    /// What was read.
    pub content: T,
    /// The same before and after, but for ctime.
    pub stat: Stat,
    /// The time before it.
    pub taken: Time,
}

impl<T> Steady<T> {
    /// The stamp of what was read.
    pub fn stamped(&self) -> Stamped {
        Stamped { stamp: self.stat.stamp, taken: self.taken }
    }
}

/// Reads with a `stat` on both sides, so that a save in place in the middle is seen. `read` is told the size
/// that the first one says.
pub fn read_steady<T>(
    fs: &dyn Fs,
    file: &dyn File,
    read: impl Fn(&dyn File, u64) -> Result<T, FsError>,
) -> Result<Steady<T>, FsError> {
    let mut tries = 0;
    loop {
        let taken = fs.now();
        let stat = file.stat()?;
        let content = read(file, stat.stamp.size)?;
        tries += 1;
        // The exchange that displaces a file changes its ctime alone; its content stays.
        if stat.stamp.same_body(&file.stat()?.stamp) || tries >= PATIENCE {
            return Ok(Steady { content, stat, taken });
        }
    }
}

/// The hash of a whole file, read in pieces.
pub fn hash_file(file: &dyn File) -> Result<Hash, FsError> {
    hash_pieces(file, (0, u64::MAX), 0)
}

/// The hash of `len` bytes of a file from `offset` on, or of as many as there are.
pub fn hash_part(file: &dyn File, offset: u64, len: u64) -> Result<Hash, FsError> {
    hash_pieces(file, (offset, len), len)
}

/// As [`hash_part`], where there are probably so many bytes.
fn hash_pieces(file: &dyn File, (offset, len): (u64, u64), expected: u64) -> Result<Hash, FsError> {
    let mut hasher = Hasher::new();
    let mut buffer = Vec::new();
    let mut done = 0;
    while done < len {
        // Most documents are small: a large buffer is made only for one that is not. With a byte more than is
        // expected the end shows.
        let room = if done == 0 { expected.saturating_add(1).clamp(4096, PIECE) } else { PIECE };
        let rest = usize::try_from((len - done).min(room)).expect("at most a piece");
        buffer.resize(rest, 0);
        let read = read_full(file, &mut buffer, offset + done)?;
        hasher.update(&buffer[..read]);
        done += read as u64;
        if read < rest {
            break;
        }
    }
    Ok(hasher.finish())
}
