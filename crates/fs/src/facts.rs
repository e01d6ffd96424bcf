//! Where the root lies: which boot, which mount, whose disk.

use crate::beneath::Root;
use crate::error::At;
use crate::{Facts, Result, lease, status};

pub(crate) fn of(root: &Root) -> Result<Facts> {
    let dir = root.as_dir();
    let magic = root.magic().at("inspect", "")?;
    Ok(Facts {
        boot: boot_id(),
        mount: status::unique_mount(dir).at("inspect", "")?,
        network: network_name(magic),
        leases: lease::are_kept_on(magic),
    })
}

/// Empty where it cannot be read; an empty id is nobody's.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// The file systems whose locks and syncs concern other machines too, by their magic numbers.
fn network_name(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x0000_6969 => "NFS",
        0x0000_517B | 0xFE53_4D42 | 0xFF53_4D42 => "SMB",
        0x6573_5546 => "FUSE or virtiofs",
        0x0102_1997 => "9p",
        0x00C3_6400 => "Ceph",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0000_564C => "NCP",
        0x0BD0_0BD0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x0116_1970 => "GFS2",
        0x7461_636F => "OCFS2",
        0x1983_0326 => "BeeGFS",
        0x2003_0528 => "OrangeFS",
        0x786F_4256 => "a VirtualBox shared folder",
        0x7C7C_6673 => "a Parallels shared folder",
        0xBACB_ACBC => "a VMware shared folder",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        assert_eq!(network_name(rustix::fs::NFS_SUPER_MAGIC as u32), Some("NFS"));
        assert_eq!(network_name(0xFF53_4D42), Some("SMB"));
        for local in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630] {
            assert_eq!(network_name(local), None, "ext4, xfs, btrfs, tmpfs, overlayfs");
        }
    }

    #[test]
    fn the_boot_has_an_id_and_keeps_it() {
        assert_eq!(boot_id().len(), 36);
        assert_eq!(boot_id(), boot_id());
    }
}
