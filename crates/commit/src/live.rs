//! The live file at a document's path, looked at once.

use filepact_fs::{Access, File, Fs, FsError, Kind, Stat, Time, read_full, read_to_end};
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

/// How often a file may change under a reader before the last reading is taken.
///
/// Whoever writes a file in place at this rate never has a settled content to offer.
const PATIENCE: usize = 16;

/// Looks at `path` and hashes what is there, without keeping it in memory.
pub fn look(fs: &dyn Fs, path: &str) -> Result<Live, FsError> {
    Ok(match visit(fs, path, |file| hash_file(file))? {
        Visit::Absent => Live::Absent,
        Visit::Other(kind) => Live::Other(kind),
        Visit::Document { stamped: _, stat, taken, content } => {
            Live::Document { stat, taken, hash: content }
        }
    })
}

/// Reads the document at `path`; `None` if there is none.
pub fn read_live(fs: &dyn Fs, path: &str) -> Result<Option<(Vec<u8>, Stamped)>, FsError> {
    Ok(match visit(fs, path, |file| read_to_end(file))? {
        Visit::Absent | Visit::Other(_) => None,
        Visit::Document { stamped, content, .. } => Some((content, stamped)),
    })
}

enum Visit<T> {
    Absent,
    Other(Kind),
    Document { stamped: Stamped, stat: Stat, taken: Time, content: T },
}

/// Reads with a `stat` on both sides, so that a save in place in the middle is seen.
fn visit<T>(
    fs: &dyn Fs,
    path: &str,
    read: impl Fn(&dyn File) -> Result<T, FsError>,
) -> Result<Visit<T>, FsError> {
    let mut tries = 0;
    loop {
        let taken = fs.now();
        let kind = match fs.stat(path)? {
            None => return Ok(Visit::Absent),
            Some(stat) => stat.kind,
        };
        if kind != Kind::File {
            return Ok(Visit::Other(kind));
        }
        let file = match fs.open(path, Access::Read) {
            // Displaced or removed since the look above: look again.
            Err(error) if error.is_not_found() && tries < PATIENCE => {
                tries += 1;
                continue;
            }
            file => file?,
        };
        let before = file.stat()?;
        let content = read(&*file)?;
        let stat = file.stat()?;
        tries += 1;
        // The exchange that displaces a file changes its ctime alone; its content stays.
        if before.stamp.same_body(&stat.stamp) || tries >= PATIENCE {
            let stamped = Stamped { stamp: before.stamp, taken };
            return Ok(Visit::Document { stamped, stat: before, taken, content });
        }
    }
}

/// The hash of a whole file, read in pieces.
pub fn hash_file(file: &dyn File) -> Result<Hash, FsError> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut offset = 0;
    loop {
        let read = read_full(file, &mut buffer, offset)?;
        hasher.update(&buffer[..read]);
        offset += read as u64;
        if read < buffer.len() {
            return Ok(hasher.finish());
        }
    }
}
