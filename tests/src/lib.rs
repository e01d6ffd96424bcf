//! What the tests of filepact share: short histories, and the machine that crashes them.
//!
//! - [`history`]: transactions over a few documents, and what the documents hold after each.
//! - [`crash`]: runs a history on the simulated file system, crashes it at every call, recovers
//!   every distinct outcome, and judges what is found.
//! - [`meanwhile`]: somebody else does something at an exact moment of a commit.

pub mod crash;
pub mod history;
pub mod meanwhile;
