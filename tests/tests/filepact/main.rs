//! The tests that cross crates, in one binary.

/// Each trace that broke an earlier draft of the protocol, by its number.
mod attacks;
/// How many calls a commit costs, counted at the seam.
mod calls;
/// Pairs of transactions, crashed at every call.
mod crash;
/// Edits by other programs beside an open store.
mod edits;
/// What happens is told and counted.
mod events;
/// Full disks, failed syncs, short writes, interrupted calls.
mod faults;
/// Threads that commit at once.
mod groups;
/// What goes wrong without one of the syncs, checks and orders of the protocol.
mod guards;
/// The machine that lets processes take turns at every call.
mod interleave;
/// Any sequence of transactions equals a map.
mod model;
/// What goes wrong between processes without one of the checks.
mod peers;
/// Several processes on one store.
mod processes;
/// What the documentation promises, and what bad input gets.
mod promises;
/// Strict serializability, at every call and in random orders.
mod serial;
/// Every call is counted, and something is done just before it.
mod steps;
/// What the tests on the simulated file system share.
mod support;
