//! Processes are killed and stopped at every moment, and what is left is counted.
//!
//! Workers transfer money between accounts; some open and close the store all the time, some make
//! checkpoints all the time, and the journal is kept short, so that all of filepact's work is under
//! way somewhere when the signal comes. With each transfer a thread counts its own transfers in a
//! document of its own, and a receipt comes or goes. Outside the store it notes how many transfers
//! it has begun and how many were acknowledged (`tally`). After each blow, in one transaction that
//! reads: the money adds up, each counter lies between what was acknowledged and what was begun, and
//! each receipt is there exactly where its counter is odd.

mod audit;
mod supervisor;
mod tally;
mod worker;

pub use supervisor::run;

pub(super) use worker::work;
