//! Who had which turn: written down, to be read and to be played again.

use std::fmt;
use std::str::FromStr;

/// The processes by turn, such as `0*3 1 0*12`: three turns of the first, one of the second, and so
/// on. A turn is the start of a process, one call, or another attempt at a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Schedule {
    runs: Vec<(usize, usize)>,
}

impl Schedule {
    /// How many turns there are.
    pub fn turns(&self) -> usize {
        self.runs.iter().map(|(_, times)| times).sum()
    }

    /// How often another process went on.
    pub fn hand_overs(&self) -> usize {
        self.runs.len().saturating_sub(1)
    }

    pub(super) fn push(&mut self, process: usize) {
        match self.runs.last_mut() {
            Some((last, times)) if *last == process => *times += 1,
            _ => self.runs.push((process, 1)),
        }
    }

    /// The process of each turn.
    pub fn into_turns(self) -> impl Iterator<Item = usize> + Send {
        self.runs.into_iter().flat_map(|(process, times)| std::iter::repeat_n(process, times))
    }
}

impl FromIterator<usize> for Schedule {
    fn from_iter<I: IntoIterator<Item = usize>>(turns: I) -> Self {
        let mut schedule = Self::default();
        turns.into_iter().for_each(|process| schedule.push(process));
        schedule
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (process, times)) in self.runs.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            match times {
                1 => write!(f, "{space}{process}")?,
                _ => write!(f, "{space}{process}*{times}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Schedule {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let run = |word: &str| {
            let (process, times) = word.split_once('*').unwrap_or((word, "1"));
            Ok((process.parse()?, times.parse()?))
        };
        Ok(Self { runs: text.split_whitespace().map(run).collect::<Result<_, _>>()? })
    }
}
