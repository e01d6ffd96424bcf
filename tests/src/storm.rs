//! Processes on a real disk that are killed and stopped at random moments.
//!
//! The processes are this program again ([`worker`]). They move money between accounts and count
//! their own transfers, each in a document of its own and in the same transaction. Beside the store
//! each thread keeps two numbers in a file, which a kill leaves as they are: how many transfers it
//! has begun, and how many were acknowledged. So whoever looks can tell whether one is lost, doubled
//! or torn.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "looks at the store from outside, as any program would"
)]

pub mod four;
pub mod ledger;
pub mod readers;
pub mod supervisor;
pub mod worker;

/// Digits that differ from call to call; no more is asked of them.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed, the same digits.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % sides
    }
}
