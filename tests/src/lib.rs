//! What the tests of filepact share: short histories, and the machine that crashes them.
//!
//! - [`history`]: transactions over a few documents, and what the documents hold after each.
//! - [`crash`]: runs a history on the simulated file system, crashes it at every call, recovers
//!   every distinct outcome, and judges what is found.
//! - [`fuzz`]: what the fuzzer feeds, from any bytes to nothing or a panic.
//! - [`steps`]: counts every call, and does something just before it.
//! - [`meanwhile`]: somebody else does something at an exact moment of a commit.
//! - [`serial`]: are transactions of several processes strictly serializable?
//! - [`processes`]: several real processes share a store on a real disk, and are killed.
//! - [`kernel`]: a real kernel's file systems are shut down in the middle of commits.
//! - [`random`]: long random histories: faults, deaths, edits and power cuts, judged and shrunk.
//! - [`interleave`]: several processes take turns at every call, as a seed or a script says.
//! - [`mutants`]: the tests tested: what goes red when a sync, a check or an order is taken out?

pub mod crash;
pub mod fuzz;
pub mod history;
pub mod interleave;
pub mod kernel;
pub mod meanwhile;
pub mod mutants;
pub mod processes;
pub mod random;
pub mod serial;
pub mod steps;
