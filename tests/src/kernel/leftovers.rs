//! What runs have left that were killed: mounts, loop devices and folders.
//!
//! A folder is left over if it has the name of one of ours and nobody holds the lock of its owner.
//! Nothing else is touched.
#![allow(clippy::disallowed_methods, reason = "the tests' own files, outside the store")]
#![allow(clippy::disallowed_types, reason = "the tests' own files, outside the store")]

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use super::disk::{IMAGE, MOUNT, OWNER, PREFIX};
use super::tools::run;
use crate::processes::Outcome;
use crate::processes::crew::read_text;

/// Unmounts, detaches and removes what is left over, and says what that was.
pub(super) fn clean(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let mounts = mount_points(&read_text("/proc/self/mountinfo")?);
    let devices =
        devices(&run("losetup", &["--list", "--noheadings", "--output", "NAME,BACK-FILE"])?);
    let mut folders: BTreeSet<PathBuf> =
        mounts.iter().filter_map(|mount| folder_of(mount, MOUNT)).collect();
    folders.extend(devices.iter().filter_map(|(_, image)| folder_of(image, IMAGE)));
    for entry in fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))? {
        folders.insert(entry?.path());
    }
    let mut cleaned = Vec::new();
    for folder in folders.into_iter().filter(|folder| is_ours(folder)) {
        let owner = OpenOptions::new().write(true).open(folder.join(OWNER));
        if !owner.is_ok_and(|owner| owner.try_lock().is_ok()) {
            continue;
        }
        if mounts.contains(&folder.join(MOUNT)) {
            run("umount", &[folder.join(MOUNT)])?;
        }
        for (device, image) in &devices {
            if *image == folder.join(IMAGE) {
                run("losetup", &["--detach", device])?;
            }
        }
        fs::remove_dir_all(&folder)?;
        cleaned.push(folder);
    }
    Ok(cleaned)
}

fn folder_of(path: &Path, name: &str) -> Option<PathBuf> {
    if path.ends_with(name) { path.parent().map(Path::to_owned) } else { None }
}

/// `filepact-kernel-`, a number, `-`, and a file system.
fn is_ours(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    let numbered = name.and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
    numbered.is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

/// The fifth word of each line. (Names with blanks in them are written otherwise, and are none of ours.)
fn mount_points(mountinfo: &str) -> Vec<PathBuf> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

fn devices(list: &str) -> Vec<(String, PathBuf)> {
    let device = |line: &str| {
        let (name, image) = line.trim().split_once(char::is_whitespace)?;
        Some((name.to_owned(), PathBuf::from(image.trim())))
    };
    list.lines().filter_map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_with_our_names_are_ours() {
        assert!(is_ours(Path::new("/tmp/filepact-kernel-123-ext4")));
        for other in ["/tmp/filepact-kernel-kept-123-ext4", "/tmp/filepact-kernel-", "/", "/mnt"] {
            assert!(!is_ours(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn mounts_and_devices_are_read_from_what_the_system_says() {
        let mounts = "36 25 7:0 / /tmp/filepact-kernel-9-xfs/mounted rw - xfs /dev/loop0 rw\n";
        let mounts = mount_points(mounts);
        assert_eq!(folder_of(&mounts[0], MOUNT), Some("/tmp/filepact-kernel-9-xfs".into()));
        assert_eq!(folder_of(Path::new("/home"), MOUNT), None);
        let devices = devices("/dev/loop0 /tmp/filepact-kernel-9-xfs/image\n/dev/loop1  /x\n");
        assert_eq!(devices[1], ("/dev/loop1".to_owned(), "/x".into()));
        assert_eq!(folder_of(&devices[0].1, IMAGE), Some("/tmp/filepact-kernel-9-xfs".into()));
    }
}
