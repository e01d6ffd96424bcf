//! A simulated file system that crashes, for the tests of filepact.
//!
//! A [`SimFs`] is a world in memory: one kernel with its page cache, one disk. Processes are
//! [actors](SimFs::actor) and see it through the seam, [`filepact_fs::Fs`]. Of every page, size,
//! attribute and name the world knows what is *live*, what is *durable*, and all that lies between
//! and may or may not have reached the disk. A crash takes such a world and makes new ones of it,
//! which share nothing with it and with each other.
//!
//! The rules of what a power cut may leave are those of the contract in `filepact-fs`, read as
//! strictly as can be; `tests/litmus.rs` has one test for each. Real file systems do less harm.
//!
//! What it does not model: directories that may not be read, permission checks, ACLs that a new file
//! inherits, leases, quotas other than by a [fault](SimFs::fault). A lock that is taken is never
//! waited for: its patience passes at once.
//!
//! ```
//! use filepact_fs::{Fs, SyncKind};
//! use filepact_simfs::{Grain, Profile, SimFs};
//!
//! let sim = SimFs::new();
//! let process = sim.actor();
//! sim.record();
//! let file = process.create("greeting")?;
//! file.write_at(b"hello", 0)?;
//! file.sync(SyncKind::Data)?;
//! process.sync_dir("")?;
//!
//! for moment in sim.recorded() {
//!     let outcomes = moment.world.power_cut(&Profile::Strict(Grain::Page), 1000, 0);
//!     assert!(outcomes.complete);
//!     for after in outcomes.worlds {
//!         // Absent, empty, five zeros, or the greeting; once everything is synced, the greeting.
//!         let greeting = after.read("greeting");
//!         assert!(moment.call != "end" || greeting.as_deref() == Some(b"hello"));
//!     }
//! }
//! # Ok::<(), filepact_fs::FsError>(())
//! ```

mod actor;
mod beside;
mod change;
mod choices;
mod cow;
mod crash;
#[cfg(test)]
mod crash_tests;
pub mod errno;
mod fault;
mod fs;
mod inode;
mod ledger;
mod names;
mod outside;
mod page;
mod profile;
mod random;
mod record;
mod sample;
mod settle;
mod step;
mod system;

pub use actor::Actor;
pub use crash::Outcomes;
pub use fault::{Damage, Fault, FaultKind, When};
pub use fs::SimFs;
pub use profile::{Grain, Profile};
pub use record::{Moment, World};
