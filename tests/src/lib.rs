//! What the tests of filepact share: short histories, and the machine that crashes them.
//!
//! - [`history`]: transactions over a few documents, and what the documents hold after each.
//! - [`crash`]: runs a history on the simulated file system, crashes it at every call, recovers
//!   every distinct outcome, and judges what is found.
//! - [`steps`]: counts every call, and does something just before it.
//! - [`meanwhile`]: somebody else does something at an exact moment of a commit.
//! - [`serial`]: are transactions of several processes strictly serializable?
//! - [`storm`]: processes on a real disk that are killed and stopped at random moments.
//! - [`interleave`]: several processes take turns at every call, as a seed or a script says.

pub mod crash;
pub mod history;
pub mod interleave;
pub mod meanwhile;
pub mod serial;
pub mod steps;
pub mod storm;
