//! Who goes on: as a seed says, or a script.

use super::schedule::Schedule;

pub(super) enum Choice {
    Seeded { random: Random, one_in: u64 },
    Scripted(Box<dyn Iterator<Item = usize> + Send>),
}

impl Choice {
    /// How often a process hands over is drawn as well: what needs many hand-overs close together
    /// and what needs a long undisturbed run are both found by some seed.
    pub(super) fn seeded(seed: u64, one_in: Option<u64>) -> Self {
        let mut random = Random(seed);
        let drawn = 2 << random.below(4);
        Self::Seeded { random, one_in: one_in.unwrap_or(drawn).max(1) }
    }

    pub(super) fn scripted(schedule: Schedule) -> Self {
        Self::Scripted(Box::new(schedule.into_turns()))
    }

    /// One of `able`, which is not empty. A script that names nobody or one that is not able leaves
    /// the turn to the current process, or else to the first.
    pub(super) fn pick(&mut self, current: Option<usize>, able: &[usize]) -> usize {
        let current = current.filter(|current| able.contains(current));
        match self {
            Self::Seeded { random, one_in } => match current {
                Some(current) if able.len() == 1 || random.below(*one_in) != 0 => current,
                Some(current) => {
                    let mut others = able.iter().filter(|process| **process != current);
                    let nth = random.below(able.len() as u64 - 1);
                    *others.nth(nth as usize).expect("there is another")
                }
                None => able[random.below(able.len() as u64) as usize],
            },
            Self::Scripted(turns) => {
                let told = turns.next().filter(|process| able.contains(process));
                told.or(current).unwrap_or(able[0])
            }
        }
    }
}

/// SplitMix64: numbers that look random and are the same in every run.
pub(super) struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
