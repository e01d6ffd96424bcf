//! Updates many ordinary files as one.
//!
//! All of the files change or none does; once [`Transaction::commit`] returns they survive a power
//! cut; whatever a crash left half done is finished or undone by the next [`Store::open`]. The files
//! stay ordinary: `cat`, `jq`, `git` and an editor work on them, at their own paths, at any time.
//!
//! ```
//! use filepact::{Error, Store};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Account {
//!     cents: i64,
//! }
//!
//! fn transfer(store: &Store, from: &str, to: &str, cents: i64) -> Result<(), Error> {
//!     store.transact(|tx| {
//!         let mut a: Account = tx.read(format!("accounts/{from}.json"))?;
//!         let mut b: Account = tx.read(format!("accounts/{to}.json"))?;
//!         a.cents -= cents;
//!         b.cents += cents;
//!         tx.write(format!("accounts/{from}.json"), &a)?;
//!         tx.write(format!("accounts/{to}.json"), &b) // both files, or neither
//!     })
//! }
//!
//! # fn main() -> Result<(), Error> {
//! # let folder = tempfile::tempdir().expect("a temporary folder");
//! let store = Store::open(folder.path())?;
//! store.transact(|tx| {
//!     tx.write("accounts/ann.json", &Account { cents: 500 })?;
//!     tx.write("accounts/bob.json", &Account { cents: 0 })
//! })?;
//! transfer(&store, "ann", "bob", 125)?;
//! let bob: Account = store.read("accounts/bob.json")?;
//! assert_eq!(bob.cents, 125);
//! store.close()
//! # }
//! ```
//!
//! # What is promised
//!
//! - **All or nothing**, for any number of files, whatever dies: the process or the power.
//! - **Durable**: `Ok` from a commit means that a power cut does not take it back (with
//!   [`Durability::Buffered`], once a checkpoint has covered it).
//! - **Strictly serializable**, across threads and processes: whatever a transaction read, listed or
//!   found absent is still so when it commits, or it is an [`Error::Conflict`], which
//!   [`Store::transact`] answers by trying again, and with the writer lock in the end.
//! - **Readers never wait**, not even for a writer that is stopped half way, and see one moment.
//! - **One moment for as long as it is wanted**: [`Store::snapshot`] reads all documents as they were,
//!   whatever is committed since.
//! - **A process may die at any step**: the others go on, and the next commit finishes what it left.
//! - **Recovered on open**: [`Store::recovery_report`] says what was found and done.
//! - **Nothing of anybody's is lost**: an edit that did not come through filepact is a conflict if
//!   the transaction depends on it, and else is kept in `.filepact/rescued/` when it is displaced. (One
//!   that is made later, through a file that was open before it was replaced, is kept as well, until the
//!   next checkpoint. The cases in which an edit is lost are in `docs/protocol.md`, "What is left out".)
//!
//! # What can be watched
//!
//! [`Store::status`] counts commits, groups, conflicts, retries, waits, healing and rescued edits, of
//! all processes. The same things are `tracing` events of the target `filepact`: what needs a look
//! (a rescued edit, a lock that did not come) as warnings, openings and healing as information, the
//! rest for debugging.
//!
//! # What is not
//!
//! After a power cut, and until the next open, a program that reads the files without filepact may
//! find a recently changed file old, empty or torn: recovery repairs it. A plain reader of several files may
//! see some of them new and some old, for microseconds; a [`Transaction`] never does.

mod background;
mod content;
mod copy;
mod error;
mod inspect;
mod json;
mod open;
mod options;
mod past;
mod read;
mod rescued;
mod shared;
mod snapshot;
mod store;
mod transaction;
mod version;
mod watch;

pub use content::Reader;
pub use copy::Copied;
pub use error::Error;
pub use filepact_commit::{Committed, Counts, Durability, HeldPin, Rescued};
pub use filepact_fs::{DocPath, InvalidPath, Kind, Time};
pub use filepact_recovery::{Action, Planned, RecoveryProgress, RecoveryStep, Report, TornTail};
pub use inspect::{Check, LoggedChange, LoggedKind, LoggedTransaction, Status};
pub use json::{Json, check as check_json};
pub use options::Options;
pub use rescued::Compared;
pub use snapshot::Snapshot;
pub use store::Store;
pub use transaction::Transaction;
pub use version::{InvalidVersion, Version};
pub use watch::{Watch, Watched};

/// The example of the README, so that it compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
