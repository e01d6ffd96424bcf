//! The rules of the simulated file system (docs/testing.md), a few lines each, named by the rule.
//!
//! What each profile leaves of names is compared with its definition on random systems in
//! `src/crash_tests.rs`; here each rule is shown by the smallest example.

mod support;

// What a power cut leaves
mod data; // rules 1 to 4
mod hostile; // rule 5
mod ordered;
mod per_inode;
mod strict;
mod syncs; // rule 6

// What happens meanwhile
mod kernel; // rules 7 and 8
mod processes; // rule 8

// What goes wrong
mod damage; // rule 10
mod faults; // rule 9

// What a test can rely on
mod paths;
mod worlds;
