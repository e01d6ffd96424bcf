//! In turns, warm, and the statistics of it.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::scratch::Scratch;
use crate::systems::Kind;

/// How long each lane runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Turns of each lane.
    pub(crate) rounds: u32,
    /// Of all turns of a lane together.
    pub(crate) seconds: f64,
    /// What a lane left in the page cache goes to the disk before the next one's turn, untimed: else
    /// the first sync of whoever comes next would pay for it.
    pub(crate) settles: bool,
}

impl Pace {
    /// The same, with fewer turns: where a single operation is long.
    pub(crate) fn at_most(self, rounds: u32) -> Self {
        Self { rounds: self.rounds.min(rounds), ..self }
    }

    fn turn(self) -> Duration {
        Duration::from_secs_f64(self.seconds / f64::from(self.rounds))
    }

    /// Long enough for a log to have been filled and begun anew: overwriting one costs less than
    /// making it grow.
    fn warm(self) -> Duration {
        Duration::from_secs_f64(self.seconds / 4.0)
    }
}

/// What a lane did in one turn.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// How long each operation took, in nanoseconds.
    pub(crate) nanos: Vec<u64>,
    /// So many of them ended within `seconds`: what a rate is made of.
    pub(crate) ended: u64,
    /// How long the turn was, with what lies between operations.
    pub(crate) seconds: f64,
    /// The most memory that the lane's own process ever had, in KiB.
    pub(crate) peak_kib: Option<u64>,
}

impl Turn {
    /// Of several that worked at the same time.
    pub(crate) fn together(turns: Vec<Self>) -> Self {
        let seconds = turns.iter().map(|turn| turn.seconds).fold(0.0, f64::max);
        let ended = turns.iter().map(|turn| turn.ended).sum();
        let peak_kib = turns.iter().filter_map(|turn| turn.peak_kib).max();
        let nanos = turns.into_iter().flat_map(|turn| turn.nanos).collect();
        Self { nanos, ended, seconds, peak_kib }
    }
}

/// One system in one case.
pub(crate) struct Lane<'a> {
    /// Whose figures these are.
    pub(crate) system: Kind,
    /// Runs for so long.
    pub(crate) turn: Box<dyn FnMut(Duration) -> Outcome<Turn> + 'a>,
}

impl<'a> Lane<'a> {
    pub(crate) fn new(system: Kind, turn: impl FnMut(Duration) -> Outcome<Turn> + 'a) -> Self {
        Self { system, turn: Box::new(turn) }
    }
}

/// All turns of a lane.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Whose figures these are.
    pub(crate) system: Kind,
    /// Sorted.
    nanos: Vec<u64>,
    ended: u64,
    seconds: f64,
    /// The most memory that its own process ever had, in KiB.
    pub(crate) peak_kib: Option<u64>,
}

impl Measured {
    fn new(system: Kind, turns: Vec<Turn>) -> Self {
        let seconds = turns.iter().map(|turn| turn.seconds).sum();
        let ended = turns.iter().map(|turn| turn.ended).sum();
        let peak_kib = turns.iter().filter_map(|turn| turn.peak_kib).max();
        let mut nanos: Vec<u64> = turns.into_iter().flat_map(|turn| turn.nanos).collect();
        nanos.sort_unstable();
        Self { system, nanos, ended, seconds, peak_kib }
    }

    /// How many operations were measured.
    pub(crate) fn count(&self) -> usize {
        self.nanos.len()
    }

    /// The middle one, in microseconds.
    pub(crate) fn median_us(&self) -> f64 {
        self.quantile_us(0.5)
    }

    /// 99 of 100 took at most so long, in microseconds.
    pub(crate) fn p99_us(&self) -> f64 {
        self.quantile_us(0.99)
    }

    /// The slowest one, in microseconds.
    pub(crate) fn max_us(&self) -> f64 {
        self.quantile_us(1.0)
    }

    /// Operations a second, of all threads and processes together.
    pub(crate) fn per_second(&self) -> f64 {
        self.ended as f64 / self.seconds
    }

    /// The smallest value that at least this share of all values does not exceed.
    fn quantile_us(&self, share: f64) -> f64 {
        let rank = (self.nanos.len() as f64 * share).ceil() as usize;
        let at = rank.clamp(1, self.nanos.len().max(1)) - 1;
        self.nanos.get(at).map_or(f64::NAN, |nanos| *nanos as f64 / 1e3)
    }
}

/// Runs all lanes warm, and then in turns, each round beginning with another one.
pub(crate) fn in_turns(
    pace: Pace,
    scratch: &Scratch,
    mut lanes: Vec<Lane<'_>>,
) -> Outcome<Vec<Measured>> {
    let settle = || if pace.settles { scratch.settle() } else { Ok(()) };
    let named = |lane: &Lane<'_>, error| format!("{}: {error}", lane.system.name());
    for lane in &mut lanes {
        settle()?;
        (lane.turn)(pace.warm()).map_err(|error| named(lane, error))?;
    }
    let mut turns: Vec<Vec<Turn>> = lanes.iter().map(|_| Vec::new()).collect();
    for round in 0..pace.rounds as usize {
        for step in 0..lanes.len() {
            let at = (step + round) % lanes.len();
            settle()?;
            let lane = &mut lanes[at];
            turns[at].push((lane.turn)(pace.turn()).map_err(|error| named(lane, error))?);
        }
    }
    let all = lanes.iter().zip(turns);
    Ok(all.map(|(lane, turns)| Measured::new(lane.system, turns)).collect())
}

/// Repeats an operation, which says how long it took, for so long and at least once.
///
/// The first one is not counted: it finds the caches as others have left them.
pub(crate) fn repeat(
    budget: Duration,
    mut operation: impl FnMut() -> Outcome<Duration>,
) -> Outcome<Turn> {
    operation()?;
    let mut turn = Turn::default();
    let began = Instant::now();
    while turn.nanos.is_empty() || began.elapsed() < budget {
        turn.nanos.push(operation()?.as_nanos() as u64);
    }
    turn.ended = turn.nanos.len() as u64;
    turn.seconds = began.elapsed().as_secs_f64();
    Ok(turn)
}

/// The same beside others, which began at the same moment.
///
/// Everything is counted from then on. Who does not get through until late, because others are always
/// faster, has not ended much in the time of all: a clock of its own would hide that.
pub(crate) fn repeat_beside(
    began: Instant,
    budget: Duration,
    mut operation: impl FnMut() -> Outcome<Duration>,
) -> Outcome<Turn> {
    let mut turn = Turn { seconds: budget.as_secs_f64(), ..Turn::default() };
    while turn.nanos.is_empty() || began.elapsed() < budget {
        turn.nanos.push(operation()?.as_nanos() as u64);
        turn.ended += u64::from(began.elapsed() <= budget);
    }
    Ok(turn)
}

/// A single operation, with no other before it: where one is a turn's work.
pub(crate) fn once(mut operation: impl FnMut() -> Outcome<Duration>) -> Outcome<Turn> {
    let took = operation()?;
    let nanos = vec![took.as_nanos() as u64];
    Ok(Turn { nanos, ended: 1, seconds: took.as_secs_f64(), peak_kib: None })
}

/// How long this takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<Duration> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(nanos: &[u64]) -> Measured {
        let ended = nanos.len() as u64;
        let turn = Turn { nanos: nanos.to_vec(), ended, seconds: 2.0, peak_kib: None };
        Measured::new(Kind::Floor, vec![turn])
    }

    #[test]
    fn the_median_is_the_middle_and_p99_leaves_one_of_a_hundred_above() {
        assert_eq!(measured(&[3000, 1000, 2000]).median_us(), 2.0);
        let hundred: Vec<u64> = (1..=100).map(|n| n * 1000).collect();
        assert_eq!(measured(&hundred).p99_us(), 99.0);
        assert_eq!(measured(&hundred).per_second(), 50.0);
        assert_eq!(measured(&[7000]).p99_us(), 7.0);
    }

    #[test]
    fn a_turn_measures_at_least_one_operation_and_not_the_first() {
        let mut runs = 0;
        let turn = repeat(Duration::ZERO, || {
            runs += 1;
            Ok(Duration::from_nanos(runs))
        });
        assert_eq!(turn.unwrap().nanos, [2]);
    }

    #[test]
    fn who_works_beside_others_is_measured_by_the_clock_of_all() {
        let began = Instant::now() - Duration::from_secs(2);
        let turn = repeat_beside(began, Duration::from_secs(1), || Ok(Duration::from_secs(2)));
        let turn = turn.unwrap();
        assert_eq!((turn.nanos.len(), turn.ended, turn.seconds), (1, 0, 1.0));
    }

    #[test]
    fn in_each_round_every_lane_has_one_turn_and_another_begins() {
        let scratch = Scratch::new_in(&std::env::temp_dir()).unwrap();
        let order = std::cell::RefCell::new(String::new());
        let lane = |system, letter| {
            let order = &order;
            Lane::new(system, move |_| {
                order.borrow_mut().push(letter);
                Ok(Turn::default())
            })
        };
        let lanes = vec![lane(Kind::Floor, 'a'), lane(Kind::Naive, 'b'), lane(Kind::Fjall, 'c')];
        in_turns(Pace { rounds: 3, seconds: 0.0, settles: true }, &scratch, lanes).unwrap();
        assert_eq!(*order.borrow(), "abcabcbcacab");
    }
}
