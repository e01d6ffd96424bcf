//! The seam between filepact and the file system.
//!
//! [`Fs`] and [`File`] are all that the crates above know of a disk. Their documentation is the
//! durability contract: what is true after a call returns, what is true after a power cut.
//! [`OsFs`] is Linux; the simulated twin lives in `filepact-simfs`. Whoever writes goes through
//! [`Latched`], which stops everything after the first failed sync.
//!
//! This is the only crate that names `std::fs`, `rustix` or `fs4`; Clippy's `disallowed-methods`
//! and `disallowed-types` keep it so.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod error;
mod stamp;
mod traits;

pub use error::{FsError, LatchTripped, Result};
pub use stamp::{InvalidTime, Kind, Stamp, Stat, Time};
pub use traits::{Access, Attrs, Entry, Facts, File, Fs, Lock, LockKind, Rename, SyncKind};
