//! The history of a seed.

use filepact::Durability;
use filepact_simfs::Profile;

use super::step::{Beside, DOCS, Failing, How, Mishap, Op, Step};
use crate::history::INLINE_MAX;

/// SplitMix64: numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}

/// What a history is about: it is drawn once, so that some are quiet and some are not.
struct Mood {
    processes: usize,
    /// All commits are buffered.
    buffered: bool,
    deaths: usize,
    faults: usize,
    edits: usize,
    together: usize,
    profile: Profile,
}

/// The steps of a seed: about this many.
pub fn plan(seed: u64, steps: usize) -> Vec<Step> {
    let mut random = Random(seed);
    let mood = Mood {
        processes: 1 + random.below(3),
        buffered: random.percent(10),
        deaths: random.one_of(&[0, 10, 25]),
        faults: random.one_of(&[0, 0, 10, 25]),
        edits: random.one_of(&[0, 0, 8, 20]),
        together: random.one_of(&[0, 0, 0, 15]),
        profile: random.one_of(&Profile::ALL),
    };
    // Half of all histories are on a newer kernel.
    let mut planned = if seed % 2 == 1 { vec![Step::Exact] } else { Vec::new() };
    planned.push(open(&mut random, &mood, 0));
    while planned.len() < steps {
        let step = step(&mut random, &mood);
        planned.push(step);
    }
    planned
}

fn step(random: &mut Random, mood: &Mood) -> Step {
    let who = random.below(mood.processes);
    if random.percent(mood.edits) {
        let how = random.one_of(&[How::Place, How::Replace, How::Remove, How::Touch, How::Back]);
        let saved = random.percent(75);
        return Step::Edit { doc: doc(random), how, len: len(random), saved };
    }
    if random.percent(mood.together) {
        let processes = (0..2 + random.below(2)).map(|_| beside(random, mood)).collect();
        return Step::Together { seed: random.next() % 10_000, processes };
    }
    match random.below(100) {
        0..50 => Step::Do {
            who,
            exclusive: random.percent(10),
            ops: ops(random),
            mishap: mishap(random, mood, 120),
        },
        50..68 => open(random, mood, who),
        68..72 => Step::Checkpoint { who, mishap: mishap(random, mood, 80) },
        72..78 => Step::Close { who, mishap: mishap(random, mood, 80) },
        78..80 => Step::Drop { who },
        80..83 if mood.deaths > 0 => Step::Kill { who },
        83..89 => {
            let profile =
                if random.percent(70) { mood.profile } else { random.one_of(&Profile::ALL) };
            let nth = random.next() % 1_000;
            match random.percent(20) {
                true => Step::Pull { profile, nth },
                false => Step::Cut { profile, nth },
            }
        }
        89..92 => Step::Wait(random.one_of(&[1, 30, 3_000, 100_000, -50, -5_000])),
        92..95 => Step::Flush(None),
        95..97 => Step::Evict,
        _ => Step::Do { who, exclusive: false, ops: vec![Op::List, read(random)], mishap: None },
    }
}

fn open(random: &mut Random, mood: &Mood, who: usize) -> Step {
    let durability = match mood.buffered {
        true => Durability::Buffered,
        false if random.percent(25) => Durability::Files,
        false => Durability::Journal,
    };
    Step::Open { who, durability, mishap: mishap(random, mood, 200) }
}

fn mishap(random: &mut Random, mood: &Mood, calls: usize) -> Option<Mishap> {
    if random.percent(mood.deaths) {
        return Some(Mishap::Dies { at: 1 + random.below(calls), mid: random.percent(30) });
    }
    if !random.percent(mood.faults) {
        return None;
    }
    let how = random.one_of(&[
        Failing::Io,
        Failing::Sync,
        Failing::Sync,
        Failing::Full,
        Failing::Open,
        Failing::Interrupted,
        Failing::ShortWrite,
    ]);
    let few = matches!(how, Failing::Sync | Failing::Open | Failing::ShortWrite);
    let at = 1 + random.below(if few { 5 } else { calls }) as u64;
    Some(Mishap::Fails { how, at, sticky: random.percent(30) && how != Failing::Interrupted })
}

fn beside(random: &mut Random, mood: &Mood) -> Beside {
    let dies = random.percent(mood.deaths).then(|| 1 + random.below(200));
    let stops = random.percent(20).then(|| 1 + random.below(200));
    Beside { ops: ops(random), dies, stops }
}

fn ops(random: &mut Random) -> Vec<Op> {
    (0..1 + random.below(4)).map(|_| op(random)).collect()
}

fn op(random: &mut Random) -> Op {
    let doc = |random: &mut Random| doc(random);
    match random.below(100) {
        0..30 => Op::Put(doc(random), len(random)),
        30..35 => Op::Same(doc(random)),
        35..53 => Op::Append(doc(random), len(random)),
        53..61 => Op::Remove(doc(random)),
        61..69 => Op::Rename(doc(random), doc(random)),
        69..74 => Op::Create(doc(random), len(random)),
        74..79 => Op::Expect(doc(random)),
        79..80 => Op::ExpectWrong(doc(random)),
        80..95 => read(random),
        _ => Op::List,
    }
}

fn read(random: &mut Random) -> Op {
    Op::Read(doc(random))
}

fn doc(random: &mut Random) -> String {
    // Few documents, so that steps meet.
    DOCS[random.below(DOCS.len()).min(random.below(DOCS.len()))].to_owned()
}

fn len(random: &mut Random) -> usize {
    random.one_of(&[8, 40, 300, 300, 5_000, INLINE_MAX + 1, 3 * INLINE_MAX])
}
