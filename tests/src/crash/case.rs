//! The address of one recovery: which story, which call, which outcome, and so on inwards.

use std::fmt;
use std::str::FromStr;

/// How something was crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// The power was cut, and another boot followed.
    Cut,
    /// The device was pulled, and mounted again in the same boot.
    Pulled,
    /// The process died, and the machine went on.
    Died,
}

/// All of them.
pub const HOWS: [How; 3] = [How::Cut, How::Pulled, How::Died];

impl How {
    /// As it is written in an address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Pulled => "pulled",
            Self::Died => "died",
        }
    }
}

/// One crash: before which call, how, and which of its outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// The number of the moment in the record.
    pub call: usize,
    /// How.
    pub how: How,
    /// Which outcome.
    pub outcome: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.call, self.how.name(), self.outcome)
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let (call, how, outcome) = (parts.next(), parts.next(), parts.next());
        let number = |part: Option<&str>| part.and_then(|digits| digits.parse().ok());
        let how = HOWS.into_iter().find(|known| Some(known.name()) == how);
        match (number(call), how, number(outcome), parts.next()) {
            (Some(call), Some(how), Some(outcome), None) => Ok(Self { call, how, outcome }),
            _ => Err(format!("`{text}` is not CALL:HOW:OUTCOME, such as 17:cut:3")),
        }
    }
}

/// A crash, and those in the recoveries that followed it: `17:cut:3/5:died:0` is outcome 3 of a power
/// cut before call 17, whose recovery died before its call 5.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trail(pub Vec<Point>);

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, point) in self.0.iter().enumerate() {
            write!(f, "{}{point}", if nth == 0 { "" } else { "/" })?;
        }
        Ok(())
    }
}

impl FromStr for Trail {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split('/').map(Point::from_str).collect::<Result<_, _>>().map(Self)
    }
}

/// Numbers that look random, of what they are made of.
pub fn mix(seed: u64, value: u64) -> u64 {
    let mut z =
        (seed ^ value.wrapping_mul(0xff51_afd7_ed55_8ccd)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_reads_back() {
        let text = "17:cut:3/5:died:0/2:pulled:11";
        assert_eq!(text.parse::<Trail>().map(|trail| trail.to_string()), Ok(text.to_owned()));
        for wrong in ["", "17", "17:cut", "17:burnt:3", "17:cut:3:4", "17:cut:3/"] {
            assert!(wrong.parse::<Trail>().is_err(), "{wrong}");
        }
    }
}
