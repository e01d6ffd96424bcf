//! What `stat` says of a file, and when that can be trusted.

use std::fmt;

/// A moment: nanoseconds since 1970-01-01 UTC, as the kernel's real-time clock tells it.
///
/// It serves for `mtime`, `ctime` and the time of a commit. Nothing about order rests on it: the
/// clock may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl fmt::Display for Time {
    /// Seconds with nine decimals: exact in every JSON tool, which a nanosecond count is not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
    }
}

impl std::str::FromStr for Time {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (seconds, nanos) = digits.split_once('.').ok_or(InvalidTime)?;
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if nanos.len() != 9 || !all_digits(seconds) || !all_digits(nanos) {
            return Err(InvalidTime);
        }
        let seconds: i64 = seconds.parse().map_err(|_| InvalidTime)?;
        let nanos: i64 = nanos.parse().map_err(|_| InvalidTime)?;
        // With the sign before the sum: the earliest time of all has no counterpart.
        let signed = |part: i64| if negative { -part } else { part };
        let all = signed(seconds).checked_mul(1_000_000_000);
        all.and_then(|all| all.checked_add(signed(nanos))).map(Self).ok_or(InvalidTime)
    }
}

/// A text that is not a [`Time`]: seconds, a point and nine digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time: seconds with nine decimals are expected")]
pub struct InvalidTime;

/// What stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An ordinary file: the only thing that can be a document.
    File,
    /// A directory.
    Dir,
    /// A symbolic link, which the seam never follows.
    Link,
    /// A device, a pipe, a socket.
    Other,
}

/// All that `stat` says of what stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// File, directory, link or other.
    pub kind: Kind,
    /// Device, inode, size, mtime, ctime.
    pub stamp: Stamp,
    /// Number of names of the inode.
    pub nlink: u64,
    /// Permission bits, without the file type: `0o644`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// How many bytes the blocks hold that it has on the disk.
    pub room: u64,
    /// The mount that it lies on. A bind mount has the same device and another mount.
    pub mount: u64,
    /// Marked immutable or append-only, so that no rename can replace it.
    pub frozen: bool,
}

/// One file's identity and state, as far as `stat` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Device.
    pub dev: u64,
    /// Inode number; numbers come back after the inode is freed.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of content; anybody can set it.
    pub mtime: Time,
    /// Time of the last change of content or attributes, links and renames included.
    pub ctime: Time,
    /// Every change that comes after this look at the file shows in a later stamp, however soon it comes:
    /// once a file was looked at, its next change gets the time of the fine clock (Linux 6.13).
    pub exact: bool,
}

impl Stamp {
    /// Whether a change made after the stamp was taken must show in a later stamp, as far as the clock tells:
    /// of an [exact](Self::exact) stamp it always must.
    ///
    /// `taken` is the time read *before* the stamp was. Git's racy rule: time stamps come from a
    /// coarse clock, so a file that was changed within the tick in which it was looked at can be
    /// changed again without a trace. Such a stamp proves nothing; its holder compares content.
    pub fn is_settled(&self, taken: Time) -> bool {
        // The kernel's tick is at most 10 ms; a file system that keeps whole seconds (or two, FAT)
        // shows no fraction.
        let tick = if self.ctime.0 % 1_000_000_000 == 0 { 2_000_000_000 } else { 20_000_000 };
        self.ctime.0.saturating_add(tick) < taken.0
    }

    /// The same file with the same content as far as a rename leaves proof: device, inode, size
    /// and mtime. A rename or an exchange changes ctime itself.
    pub fn same_body(&self, other: &Self) -> bool {
        (self.dev, self.ino, self.size, self.mtime)
            == (other.dev, other.ino, other.size, other.mtime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_as_it_was_written() {
        for nanos in [0, 1, -1, 999_999_999, 1_763_868_499_123_456_789, i64::MAX, i64::MIN] {
            assert_eq!(Time(nanos).to_string().parse(), Ok(Time(nanos)));
        }
        for bad in
            ["", "1", "1.5", "1.0000000000", "x.000000000", "+1.000000000", "99999999999.000000000"]
        {
            assert_eq!(bad.parse::<Time>(), Err(InvalidTime), "{bad}");
        }
    }

    #[test]
    fn a_stamp_taken_within_the_tick_of_a_change_is_not_settled() {
        let stamp = |ctime| Stamp {
            dev: 1,
            ino: 2,
            size: 3,
            mtime: Time(0),
            ctime: Time(ctime),
            exact: false,
        };
        assert!(!stamp(1_500_000_000).is_settled(Time(1_500_000_001)));
        assert!(!stamp(1_500_000_000).is_settled(Time(1_400_000_000)), "the clock went back");
        assert!(stamp(1_500_000_000).is_settled(Time(1_600_000_000)));
        assert!(!stamp(1_000_000_000).is_settled(Time(2_600_000_000)), "whole seconds");
    }
}
