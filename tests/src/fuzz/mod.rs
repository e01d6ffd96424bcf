//! What the fuzzer feeds: one function a target, from any bytes to nothing, or to a panic.
//!
//! `fuzz/fuzz_targets` holds one line a target, which calls the function here; `cargo test` runs the
//! same functions on every input that is stored in `fuzz/seeds`, and on generated ones. `fuzz/README.md`
//! says how to run them, how to keep a finding, and how to add a target.
//!
//! Bytes become something to work on in two ways. Where a format is text, the input is that text
//! ([`forge`]), with checksums put right where the target is asked to, so that a change reaches what
//! lies behind them. Where it is a list of steps, `arbitrary` reads them from the bytes; quickcheck
//! draws bytes for the same generators.

use std::sync::OnceLock;

use filepact_journal::Hash;
use filepact_simfs::SimFs;

pub mod batch_input;
pub mod doc_path;
pub mod forge;
pub mod journal_scan;
pub mod record_line;
pub mod recovery_tree;
pub mod transaction_crash;

/// Something that the fuzzer feeds.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, that of its folder in `fuzz/seeds` and of its file in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Takes any input; panics if a promise is broken.
    pub run: fn(&[u8]),
    /// What the input says, for a person.
    pub explain: fn(&[u8]) -> String,
    /// Inputs to begin with, by name.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    batch_input::TARGET,
    doc_path::TARGET,
    journal_scan::TARGET,
    record_line::TARGET,
    recovery_tree::TARGET,
    transaction_crash::TARGET,
];

/// A store with two documents, closed and durable; a world of its own each time.
fn prepared() -> SimFs {
    static PREPARED: OnceLock<SimFs> = OnceLock::new();
    PREPARED.get_or_init(crate::crash::prepared).fork()
}

/// An input that is text, as text.
fn as_text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

/// Bytes for an input that `arbitrary` reads; the same for the same seed in every run.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let block = |at: u32| Hash::of(&[seed.to_be_bytes(), at.to_be_bytes()].concat()).0;
    (0..).flat_map(block).take(len).collect()
}
