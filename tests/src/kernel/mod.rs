//! A real kernel loses what a power cut would take from its memory, and filepact recovers.
//!
//! On an image with a real file system in it processes commit, and are cut off by the file system's
//! own shutdown, which writes neither its log nor its pages any more. Mounted again, the same disk
//! holds what the kernel had sent to it: this kernel's order of data, sizes and names, not a model's.
//! What a device would lose of its own cache stays: the image is a file of a system that runs on.
//!
//! - [`arguments`]: what was asked for.
//! - `tools`: the programs that make, mount and shut down file systems, and whether they are here.
//! - `disk`: one image: made, mounted, shut down, mounted again, gone. `leftovers`: those of runs
//!   that were killed.
//! - `plan`: what each transaction does, and what the documents hold after it: both follow from
//!   numbers, so that the judge knows them without being told.
//! - `round`: who works until a cut, and how. `worker`: works. `notes`: what it was told.
//! - `cut`: one of them from beginning to end. `found`: what is on the disk afterwards.
//! - `judge`: a pure function: may that be? `counts`: so that nobody takes trivial cuts for proof.

pub mod arguments;
mod counts;
mod cut;
mod disk;
mod found;
mod judge;
mod leftovers;
mod notes;
mod plan;
mod round;
mod supervisor;
mod tools;
mod worker;

pub use supervisor::{Failure, run, supervise};
pub use worker::work;
