//! A simulated file system that crashes, for the tests of filepact.
//!
//! A [`SimFs`] is a world in memory: one kernel with its page cache, one disk. Processes are
//! [actors](SimFs::actor) and see it through the seam, [`filepact_fs::Fs`]. Of every page, size,
//! attribute and name the world knows what is *live*, what is *durable*, and all that lies between
//! and may or may not have reached the disk. A crash takes such a world and makes new ones of it,
//! which share nothing with it and with each other.
//!
//! # What a power cut leaves
//!
//! Each rule has tests of its own, named by its number (`tests/litmus/`).
//!
//! 1. *Data.* Each 4 KiB page has any version that it had since the last sync of its file, whatever
//!    other pages and files have. [Torn](Grain::Sector): each 512 bytes do. [Trash](Grain::Trash): a
//!    sector with more than one version may also be garbage, behind the leading bytes on which all
//!    its versions agree.
//! 2. *Size.* Any that the file had since then. Size without data reads as zeros; data without size
//!    is invisible.
//! 3. *Preallocated space* reads as zeros, and so may an unsynced write into it.
//! 4. *Truncation* happened or not.
//! 5. *Names.* As the [`Profile`] says; whatever the data that they name.
//! 6. *Syncs.* `sync` covers content and size, of [`All`](filepact_fs::SyncKind::All) attributes and
//!    times too, never the name, but for what a log carries along; `sync_dir` the entries of that
//!    directory; `sync_everything` all. A `sync` of a file that has no name yet [may promise
//!    nothing](SimFs::set_nameless_syncs), also once it has one. A crash during a sync is as if it had not
//!    been called; during another call, as if that were pending.
//! 7. Anything pending may [become durable](SimFs::write_back_some) at any time.
//! 8. A process that dies leaves the live state, and at most its last write in part. The cache may
//!    [drop clean pages](SimFs::evict_some); a read past it sees the durable bytes. A device can be
//!    [pulled and mounted again](World::remount). Inode numbers come back, the clock is
//!    [coarse](SimFs::set_tick) and [jumps](SimFs::set_clock).
//! 9. Every call can [fail](Fault), once or for ever; a sync that fails says so once, its pages
//!    count as clean and the disk holds the old bytes.
//! 10. What is at rest [decays](Damage).
//!
//! # The four kinds of file system
//!
//! A change of names is a step: create, link, unlink, make or remove a directory, rename, exchange.
//!
//! | [`Profile`] | what syncs have made sure | and of the other steps |
//! | --- | --- | --- |
//! | *ordered* (ext4, xfs) | all steps before the last change of the synced inode that needs the log | a prefix |
//! | *per-inode* (btrfs) | of these the inode's own, a directory's entries, and what they rest on | a prefix |
//! | *strict* | the steps in a synced directory, and the earlier ones on the same names | any that can be replayed by name |
//! | *hostile* | what stands at each name of a synced directory | any, and of a rename or an exchange of files either side alone |
//!
//! Which changes of an inode need the log: for `fsync` its names, attributes, times, size and blocks;
//! for `fdatasync` its size and blocks alone, so that a journal whose blocks are overwritten in place
//! drags nothing along. An append, or the first write into a hole, does.
//!
//! A step that is *replayed by name* needs its names to be there or to be free, and takes what
//! stands there by then. A step *rests on* the earlier ones on the same names, the removal of a
//! directory on those that emptied it, and in *per-inode* a name on those of the directories above.
//!
//! Each kind allows what those above it in the table do (*ordered* within *per-inode* as long as no
//! sync of names has failed), and each grain what the coarser one does; `src/crash_tests.rs` tries
//! that, and each definition, way by way on random systems.
//!
//! # What is assumed
//!
//! - *Powersafe overwrite*: rewriting a sector with the same leading bytes does not harm those, and
//!   writing a page does not harm a sector of it that stays as it is.
//! - What a successful sync has covered stays, until it [decays](Damage).
//! - A step is atomic in all kinds but *hostile*; and even there a name that is replaced is never
//!   missing in between, and directories are renamed whole.
//! - Space beyond what a file ever held reads as zeros, never as somebody else's old blocks.
//!
//! Wider than the real ones: in all kinds sizes and attributes are free of the order of names,
//! though a log would keep them in order; and a log carries no more than what was before the last
//! change of the synced inode, though real ones carry what was before the sync.
//!
//! # What is not modelled
//!
//! Writes that only reach the disk's own cache (every sync flushes it); errors of single pages (a
//! failed sync loses all of the file's); a device that lies about syncs; write-back that fails before
//! a sync and is told at the next one, but for the fault itself; writable mappings; reservations and
//! quotas other than by [`Fault`] and [`SimFs::set_free_space`]; directories that may not be read,
//! permission checks, ACLs that a new file inherits. A lock that is taken is never waited for: its
//! patience passes at once.
//!
//! # Determinism
//!
//! The same calls give the same world, times, inode numbers and boot ids included; the same seed
//! gives the same outcomes in the same order, garbage included. Nothing is read from the machine.
//! Which actor calls next is the test's to say, so that a scheduler with a seed replays.
//!
//! # Example
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
mod decay;
pub mod errno;
mod fault;
mod fs;
mod inode;
mod kernel;
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
pub use decay::Damage;
pub use fault::{Fault, FaultKind, When};
pub use fs::SimFs;
pub use profile::{Grain, Profile};
pub use record::{Moment, World};
