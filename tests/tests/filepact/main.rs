//! The tests that cross crates, in one binary.

/// Each trace that broke an earlier draft of the protocol, by its number.
mod attacks;
/// How many calls a commit costs, counted at the seam.
mod calls;
/// Pairs of transactions, crashed at every call.
mod crash;
/// Full disks, failed syncs, short writes, interrupted calls.
mod faults;
/// What goes wrong without one of the syncs, checks and orders of the protocol.
mod guards;
/// Any sequence of transactions equals a map.
mod model;
/// What the documentation promises, and what bad input gets.
mod promises;
/// What the tests on the simulated file system share.
mod support;
