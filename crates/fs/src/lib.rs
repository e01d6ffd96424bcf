//! The seam between filepact and the file system.
//!
//! [`Fs`] and [`File`] are all that the crates above know of a disk. Their documentation is the
//! durability contract: what is true after a call returns, what is true after a power cut.
//! [`OsFs`] is Linux; the simulated twin lives in `filepact-simfs`. Whoever writes goes through
//! [`Latched`], which stops everything after the first failed sync.
//!
//! ```
//! use std::sync::Arc;
//!
//! use filepact_fs::{Fs, Latched, OsFs, Rename, SyncKind, write_all};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let fs = Latched::new(Arc::new(OsFs::open(folder.path())?));
//! let file = fs.create("greeting.new")?;
//! write_all(&*file, b"hello", 0)?;
//! file.sync(SyncKind::Data)?; // the bytes are durable, their name is not
//! fs.rename("greeting.new", "greeting", Rename::NoReplace)?;
//! fs.sync_dir("")?; // now it is
//! # Ok(())
//! # }
//! ```
//!
//! This is the only crate of the library that names `std::fs`, `rustix` or `fs4`; Clippy's `disallowed-methods`
//! and `disallowed-types` keep it so.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod attrs;
mod beneath;
mod direct;
mod error;
mod facts;
mod file;
mod folder;
mod io;
mod latch;
mod lease;
mod listen;
mod lock;
mod open;
mod os;
mod parallel;
mod path;
mod stamp;
mod status;
mod traits;
mod unnamed;

pub use error::{FsError, LatchTripped, Result};
pub use folder::NewFolder;
pub use io::{
    PartialWrite, copy, give_to_owner_of, read_all, read_full, read_to_end, share_content,
    write_all,
};
pub use latch::Latched;
pub use os::OsFs;
pub use parallel::with_each;
pub use path::{DocPath, InvalidPath, is_reserved, parent_of};
pub use stamp::{InvalidTime, Kind, Stamp, Stat, Time};
pub use traits::{
    Access, Attrs, Entry, Facts, File, Fs, Leasing, Listening, Lock, LockKind, Rename, SyncKind,
};
pub use unnamed::STAND_IN;
