//! The journal of filepact: checksummed JSON lines in segments.
//!
//! The journal is a write-ahead log. Whoever changes documents appends a [group](Group) of
//! [records](Record) first; once [`Journal::append`] has returned, the group survives a power cut,
//! and whatever happens to the documents can be finished from it. The journal knows documents only
//! as strings, and never touches one.
//!
//! ```text
//! bytes:    hash   line (crc, chain)   fields (of each kind)   segment (header, names)
//! reading:  read (load -> scan, pure) -> Scan { groups, end, tail } -> words (last say on each path)
//! writing:  append, birth -> Appended { group }
//! beside others:  follow (what they have appended), progress (how far), Journal::catch_up
//! beside:   state (what was known last; a hint, never synced)
//! ```
//!
//! The formats are specified in the modules that write them: the lines in `line.rs`, the segments
//! in `segment.rs`, `state` in `state.rs`; what a reader must refuse, in `scan.rs`.
//!
//! What it does not promise: that damage to the last group is noticed when `state` is lost too, and
//! anything at all on a disk that harms bytes while it rewrites their sector unchanged.
//!
//! ```
//! use std::sync::Arc;
//! use filepact_fs::{Fs, OsFs, Time};
//! use filepact_journal::{Commit, Journal, RecordKind, Words, load, scan};
//!
//! # let dir = tempfile::tempdir()?;
//! # let root = dir.path();
//! let fs: Arc<dyn Fs> = Arc::new(OsFs::open(root)?);
//! fs.make_dir(".filepact", 0o700)?;
//! fs.make_dir(".filepact/journal", 0o700)?;
//!
//! let mut journal = Journal::create(Arc::clone(&fs), &fs.unique())?;
//! let time = fs.now();
//! let commit = Commit { time, note: Some("an empty transaction".into()), outside: false };
//! let appended = journal.append(vec![RecordKind::Commit(commit)], time)?;
//!
//! let segments = load(&*fs)?;
//! let segments: Vec<_> = segments.iter().map(|s| (s.first, &*s.bytes)).collect();
//! let read = scan(&segments, Some(appended.last))?;
//! assert_eq!(read.end, *journal.end());
//! let mut words = Words::default();
//! read.groups.iter().for_each(|group| words.apply(group));
//! assert!(words.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod append;
#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;
mod birth;
mod error;
#[cfg(test)]
mod faulty;
mod fields;
mod follow;
mod group;
mod hash;
mod line;
mod load;
mod position;
mod progress;
mod read;
mod record;
mod scan;
mod segment;
mod state;
mod words;

pub use append::{Appended, Journal, Names, Resume};
pub use birth::Blank;
pub use error::AppendError;
pub use follow::{FollowError, Follower};
pub use group::Group;
pub use hash::{Chain, Hash, Hasher, InvalidHash};
pub use line::{LineError, encode_group};
pub use load::{Segment, load};
pub use position::Position;
pub use progress::Progress;
pub use read::{ReadError, is_empty, read_all, read_to};
pub use record::{Append, Body, Commit, Put, Record, RecordKind, Remove, Was};
pub use scan::{Damage, Scan, ScanError, Tail, scan};
pub use segment::{Header, JOURNAL_DIR, parse_segment_name, segment_name, segment_path};
pub use state::{Mark, Reading, STATE, State, StateFile};
pub use words::{Added, Base, Change, Said, Word, Words};
