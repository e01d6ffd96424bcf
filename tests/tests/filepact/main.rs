//! The tests that cross crates, in one binary.

/// Bytes that are added to a document, and others who add to it.
mod appends;
/// Each trace that broke an earlier draft of the protocol, by its number.
mod attacks;
/// How many calls a commit costs, counted at the seam.
mod calls;
/// A checkpoint beside commits, other checkpoints and deaths.
mod checkpoint;
/// Pairs of transactions, crashed at every call.
mod crash;
/// What decays at rest is detected, or harmless.
mod damage;
/// What each durability keeps through a power cut.
mod durability;
/// Edits by other programs beside an open store.
mod edits;
/// What happens is told and counted.
mod events;
/// Failed syncs, and deaths in checkpoints and recoveries, beside others.
mod failed;
/// Full disks, failed syncs, short writes, interrupted calls.
mod faults;
/// What the pages on the format and on errors say is so, and stays so.
mod format;
/// What the crash suite has found, each by its story.
mod found;
/// What the fuzzer feeds: stored inputs, and generated ones.
mod fuzz;
/// Threads that commit at once.
mod groups;
/// What goes wrong without one of the syncs, checks and orders of the protocol.
mod guards;
/// What one process left, and what the next one makes of it.
mod heal;
/// The machine that lets processes take turns at every call.
mod interleave;
/// What no other test noticed when a single line was taken out.
mod lines;
/// Any sequence of transactions equals a map.
mod model;
/// Directories that other programs move or remove in the middle of a commit.
mod moved;
/// What is kept for those who read an older moment.
mod pins;
/// Several processes share a store.
mod processes;
/// What the documentation promises, and what bad input gets.
mod promises;
/// Long random histories, and what they found.
mod random;
/// Edits that were displaced: restored, dropped, and crashed on the way.
mod rescued;
/// Strict serializability, at every call and in random orders.
mod serial;
/// All documents as of one moment.
mod snapshots;
/// The inodes that documents had before, and who still has them open.
mod spares;
/// Every call is counted, and something is done just before it.
mod steps;
/// What the tests on the simulated file system share.
mod support;
/// Work that one call divides among threads.
mod threads;
/// Whoever watches hears of every transaction.
mod watch;
