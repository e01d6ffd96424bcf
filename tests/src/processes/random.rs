//! Numbers that look random: SplitMix64, with a seed from the system's own randomness.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// Chooses.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Another sequence every time: the moments at which processes are killed do not repeat anyway.
    pub(crate) fn new() -> Self {
        Self::seeded(RandomState::new().hash_one(std::process::id()))
    }

    /// The same sequence for the same seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True in one of `cases`.
    pub(crate) fn one_in(&mut self, cases: usize) -> bool {
        self.below(cases) == 0
    }

    /// Some of the items, each once, in any order.
    pub(crate) fn some<T: Copy>(&mut self, items: &[T], how_many: usize) -> Vec<T> {
        let mut left = items.to_vec();
        let how_many = how_many.min(left.len());
        (0..how_many).map(|_| left.swap_remove(self.below(left.len()))).collect()
    }

    /// A time below `most`.
    pub(crate) fn time(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.next() % (most.as_nanos() as u64).max(1))
    }
}

/// The last step of SplitMix64: near numbers become far ones.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
