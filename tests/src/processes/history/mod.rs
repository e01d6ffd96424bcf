//! A recorded history of several processes and threads, judged afterwards.
//!
//! Every thread notes what it does and sees (`notes`), outside the store, with the time of a clock
//! that all processes share. Every written value names the attempt that wrote it, so that whoever
//! reads it names the write. The supervisor kills workers and follows the store's log: the order of
//! all transactions that count is known, also of those whose process died before it could say so,
//! since each transaction carries its own name as its note (`order`, `linked`). Threads also hold
//! snapshots for a while (`pinned`), and every process has a watch (`listener`). The `check` is a pure
//! function over all that.

mod check;
mod linked;
mod listener;
mod notes;
mod order;
mod pinned;
mod record;
mod supervisor;
mod worker;

pub use supervisor::run;

pub(super) use worker::work;
