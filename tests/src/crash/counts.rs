//! What was tried, by kind, so that nobody mistakes trivial states for proof.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use filepact::Report;
use filepact_simfs::Profile;

use crate::crash::case::How;

/// What one kind of crash came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// States that were recovered and judged, each another one within its story.
    pub recoveries: u64,
    /// Of these: the opening found nothing to do.
    pub trivial: u64,
    /// It made the store.
    pub made: u64,
    /// It found every document right, and made that sure.
    pub confirmed: u64,
    /// It published something again.
    pub replayed: u64,
    /// It found a torn tail.
    pub torn: u64,
    /// It swept bodies that nothing needed.
    pub swept: u64,
    /// States that had been recovered in the same story already, and were not again.
    pub repeated: u64,
    /// Crashes that had more outcomes than were tried.
    pub sampled: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, report: &Report) {
        self.recoveries += 1;
        self.trivial += u64::from(report.is_clean() && !report.created);
        self.made += u64::from(report.created);
        let replayed = !report.replayed.is_empty();
        self.replayed += u64::from(replayed);
        self.confirmed += u64::from(!report.kept.is_empty() && !replayed);
        self.torn += u64::from(report.torn.is_some());
        self.swept += u64::from(report.swept > 0);
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.recoveries += other.recoveries;
        self.trivial += other.trivial;
        self.made += other.made;
        self.confirmed += other.confirmed;
        self.replayed += other.replayed;
        self.torn += other.torn;
        self.swept += other.swept;
        self.repeated += other.repeated;
        self.sampled += other.sampled;
    }
}

/// What was crashed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// What the file system may do: its place in [`Profile::ALL`].
    pub profile: usize,
    /// How many recoveries were crashed before this one.
    pub depth: usize,
    /// The last crash.
    pub how: How,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = ["", " in a recovery", " in the recovery of that"];
        let how = match self.how {
            How::Cut => "power cut",
            How::Pulled => "device pulled",
            How::Died => "process died",
        };
        write!(f, "{}: {how}{}", Profile::ALL[self.profile], what[self.depth.min(2)])
    }
}

/// What was tried, by kind.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Stories.
    pub stories: u64,
    /// Moments of stories and of recoveries at which something was crashed.
    pub moments: u64,
    /// What came of it.
    pub kinds: BTreeMap<Kind, Tally>,
}

impl Counts {
    /// All kinds together.
    pub fn total(&self) -> Tally {
        self.of(|_| true)
    }

    /// Those kinds together.
    pub fn of(&self, which: impl Fn(&Kind) -> bool) -> Tally {
        let mut total = Tally::default();
        self.kinds.iter().filter(|(kind, _)| which(kind)).for_each(|(_, tally)| total += *tally);
        total
    }

    /// All recoveries.
    pub fn recoveries(&self) -> u64 {
        self.total().recoveries
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.stories += other.stories;
        self.moments += other.moments;
        for (kind, tally) in other.kinds {
            *self.kinds.entry(kind).or_default() += tally;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<48}{:>12}{:>10}{:>8}{:>10}{:>10}{:>9}{:>9}{:>10}{:>9}",
            format!("{} stories, {} moments", self.stories, self.moments),
            "recoveries",
            "trivial",
            "made",
            "confirmed",
            "replayed",
            "torn",
            "swept",
            "repeated",
            "sampled"
        )?;
        let kinds = self.kinds.iter().map(|(kind, tally)| (kind.to_string(), *tally));
        for (kind, tally) in kinds.chain([("all".to_owned(), self.total())]) {
            let Tally { recoveries, trivial, made, confirmed, .. } = tally;
            let Tally { replayed, torn, swept, repeated, sampled, .. } = tally;
            write!(f, "{kind:<48}{recoveries:>12}{trivial:>10}{made:>8}{confirmed:>10}")?;
            writeln!(f, "{replayed:>10}{torn:>9}{swept:>9}{repeated:>10}{sampled:>9}")?;
        }
        Ok(())
    }
}
