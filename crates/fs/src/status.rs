//! `stat`, by way of `statx`: the only call that tells mounts apart.

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Statx, StatxAttributes, StatxFlags, StatxTimestamp};
use rustix::fs::{makedev, statx};

use rustix::system::uname;

use crate::{Kind, Stamp, Stat, Time};

/// `STATX_MNT_ID_UNIQUE`, Linux 6.8: an id that is never used again in this boot.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// Whether the system gives a file that was looked at a finer time stamp with its next change: since
/// Linux 6.13, on ext4, xfs, btrfs and tmpfs.
///
/// By the type that the file is mounted as: ext2 and ext3 have ext4's number in `statfs`, and coarse times.
pub(crate) fn has_exact_times(dir: impl AsFd) -> bool {
    let Ok(stat) = statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS) else {
        return false;
    };
    let device = format!("{}:{}", stat.stx_dev_major, stat.stx_dev_minor);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let kind = mounts.lines().find_map(|mount| kind_of_mount(mount, &device));
    matches!(kind, Some("ext4" | "xfs" | "btrfs" | "tmpfs"))
        && is_at_least(&uname().release().to_string_lossy(), (6, 13))
}

/// The type of a file system, if this line of `mountinfo` is of the device (`proc_pid_mountinfo(5)`).
fn kind_of_mount<'a>(mount: &'a str, device: &str) -> Option<&'a str> {
    let (place, source) = mount.split_once(" - ")?;
    let is_it = place.split(' ').nth(2) == Some(device);
    source.split(' ').next().filter(|_| is_it)
}

/// Whether this is the name of such a release, or of a later one.
fn is_at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= wanted)
}

/// What stands at `name` in `dir`; a link is not followed.
pub(crate) fn of_entry(dir: impl AsFd, name: &str, exact: bool) -> rustix::io::Result<Stat> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    statx(dir, name, flags, wanted()).map(|stat| convert(&stat, exact))
}

/// What a descriptor refers to.
pub(crate) fn of_handle(fd: impl AsFd, exact: bool) -> rustix::io::Result<Stat> {
    statx(fd, "", AtFlags::EMPTY_PATH, wanted()).map(|stat| convert(&stat, exact))
}

/// The mount's id, if it is one that never comes back.
pub(crate) fn unique_mount(fd: impl AsFd) -> rustix::io::Result<Option<u64>> {
    let stat = statx(fd, "", AtFlags::EMPTY_PATH, MNT_ID_UNIQUE)?;
    Ok(answers(&stat, MNT_ID_UNIQUE).then_some(stat.stx_mnt_id))
}

fn wanted() -> StatxFlags {
    // A kernel that knows both ids gives the unique one.
    StatxFlags::BASIC_STATS | StatxFlags::MNT_ID | MNT_ID_UNIQUE
}

fn answers(stat: &Statx, what: StatxFlags) -> bool {
    stat.stx_mask & what.bits() != 0
}

fn convert(stat: &Statx, exact: bool) -> Stat {
    let dev = makedev(stat.stx_dev_major, stat.stx_dev_minor);
    let stamp = Stamp {
        dev,
        ino: stat.stx_ino,
        size: stat.stx_size,
        mtime: time(stat.stx_mtime),
        ctime: time(stat.stx_ctime),
        // Also there an ext4 with small inodes keeps whole seconds.
        exact: exact && stat.stx_ctime.tv_nsec != 0,
    };
    let has_mount = answers(stat, StatxFlags::MNT_ID) || answers(stat, MNT_ID_UNIQUE);
    Stat {
        kind: kind(FileType::from_raw_mode(stat.stx_mode.into())),
        stamp,
        nlink: stat.stx_nlink.into(),
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        room: stat.stx_blocks * 512,
        // Before Linux 5.8 nothing tells mounts apart; the device at least tells file systems apart.
        mount: if has_mount { stat.stx_mnt_id } else { dev },
        frozen: stat
            .stx_attributes
            .intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND),
    }
}

pub(crate) fn kind(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

fn time(stamp: StatxTimestamp) -> Time {
    Time(stamp.tv_sec.saturating_mul(1_000_000_000).saturating_add(stamp.tv_nsec.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_known_by_its_device() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(kind_of_mount(line, "98:0"), Some("ext3"));
        assert_eq!(kind_of_mount(line, "98:1"), None);
        assert_eq!(kind_of_mount("", "98:0"), None);
    }

    #[test]
    fn releases_are_compared_by_their_numbers() {
        for (release, is) in [
            ("6.13.0", true),
            ("6.13-rc1", true),
            ("6.18.44-fc", true),
            ("7.0", true),
            ("6.12.99", false),
            ("5.15.0-generic", false),
            ("4.4.0", false),
            ("", false),
            ("six", false),
        ] {
            assert_eq!(is_at_least(release, (6, 13)), is, "{release}");
        }
    }
}
