//! Who works until a cut, and how: all of it follows from the seed and the number of the cut.

use std::time::Duration;

use filepact::{Durability, Options, Store};

use crate::processes::Outcome;
use crate::processes::random::{Random, mixed};

/// What goes on before, at and after a cut.
#[derive(Clone, Debug)]
pub(super) struct Round {
    /// The transactions follow from it.
    pub(super) seed: u64,
    pub(super) processes: Vec<Process>,
    pub(super) inline_max: usize,
    pub(super) journal_max: u64,
    pub(super) has_background: bool,
    /// From the moment when all have opened the store.
    pub(super) delay: Duration,
    /// Another program opens and syncs documents meanwhile, so that more than our own syncs decides
    /// what the kernel has sent to the disk.
    pub(super) is_nudged: bool,
    /// As a share of the time that a recovery takes, for each recovery that is cut off as well.
    pub(super) recoveries: Vec<f64>,
    /// The disk is cut off once more, right after the recovery: it must not lose anything.
    pub(super) is_cut_again: bool,
}

/// A process, and its threads.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) durability: Durability,
    pub(super) actors: Vec<u32>,
}

/// All there are in a store.
pub(super) const ACTORS: [u32; 2] = [0, 1];

impl Round {
    pub(super) fn new(seed: u64, cut: u64) -> Self {
        let seed = mixed(seed ^ mixed(cut));
        let mut random = Random::seeded(seed);
        let any = |random: &mut Random| {
            [Durability::Journal, Durability::Files, Durability::Buffered][random.below(3)]
        };
        let durability = match random.below(8) {
            0..4 => Durability::Journal,
            4..6 => Durability::Files,
            _ => Durability::Buffered,
        };
        let processes = match random.below(6) {
            0..3 => vec![Process { durability, actors: vec![random.below(2) as u32] }],
            3 => vec![Process { durability, actors: ACTORS.to_vec() }],
            4 => ACTORS.map(|actor| Process { durability, actors: vec![actor] }).to_vec(),
            _ => ACTORS
                .map(|actor| Process { durability: any(&mut random), actors: vec![actor] })
                .to_vec(),
        };
        Self {
            seed,
            processes,
            inline_max: [1_000, 16_000][random.below(2)],
            journal_max: [40_000, 200_000, 16 << 20][random.below(3)],
            has_background: random.one_in(2),
            delay: random.time(Duration::from_millis(400)),
            is_nudged: random.one_in(2),
            recoveries: (0..[0, 0, 0, 1, 1, 2][random.below(6)])
                .map(|_| random.below(1_000) as f64 / 1_000.0)
                .collect(),
            is_cut_again: random.one_in(4),
        }
    }

    pub(super) fn actors(&self) -> impl Iterator<Item = (u32, Durability)> {
        let of = |process: &Process| {
            let durability = process.durability;
            process.actors.iter().map(move |actor| (*actor, durability)).collect::<Vec<_>>()
        };
        self.processes.iter().flat_map(of)
    }

    /// The words for a worker that is this process.
    pub(super) fn words(&self, process: &Process, folder: &str) -> Vec<String> {
        let actors: Vec<String> = process.actors.iter().map(u32::to_string).collect();
        vec![
            folder.to_owned(),
            self.seed.to_string(),
            name(process.durability).to_owned(),
            self.inline_max.to_string(),
            self.journal_max.to_string(),
            self.has_background.to_string(),
            actors.join(","),
        ]
    }
}

pub(super) fn name(durability: Durability) -> &'static str {
    match durability {
        Durability::Journal => "journal",
        Durability::Files => "files",
        Durability::Buffered => "buffered",
    }
}

/// What a worker is told.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) folder: String,
    pub(super) seed: u64,
    pub(super) options: Options,
    pub(super) actors: Vec<u32>,
}

impl Order {
    pub(super) fn parse(words: &[String]) -> Outcome<Self> {
        let [folder, seed, durability, inline_max, journal_max, background, actors] = words else {
            return Err("a worker needs seven words".into());
        };
        let durability = match durability.as_str() {
            "journal" => Durability::Journal,
            "files" => Durability::Files,
            "buffered" => Durability::Buffered,
            other => return Err(format!("no durability has the name {other}").into()),
        };
        let options = Store::options()
            .durability(durability)
            .inline_max(inline_max.parse()?)
            .journal_max(journal_max.parse()?)
            .background_checkpoints(background.parse()?);
        let actors: Result<Vec<u32>, _> = actors.split(',').map(str::parse).collect();
        Ok(Self { folder: folder.clone(), seed: seed.parse()?, options, actors: actors? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_repeats_itself_and_its_workers_understand_it() {
        for cut in 0..100 {
            let round = Round::new(3, cut);
            assert_eq!(format!("{round:?}"), format!("{:?}", Round::new(3, cut)));
            for process in &round.processes {
                let order = Order::parse(&round.words(process, "/a store")).unwrap();
                assert_eq!((order.seed, &order.actors), (round.seed, &process.actors));
            }
        }
    }

    #[test]
    fn a_worker_that_is_told_nonsense_says_so() {
        assert!(Order::parse(&["alone".to_owned()]).is_err());
        let words = ["/x", "1", "eternal", "1", "1", "true", "0"].map(str::to_owned);
        assert!(Order::parse(&words).unwrap_err().to_string().contains("eternal"));
    }
}
