//! On what the figures were measured.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Outcome;

/// The machine, and the file system of the folder.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    bench: &'static str,
    kernel: String,
    cpu: String,
    cores: usize,
    /// What ran in the minute before, on average.
    load: f64,
    filesystem: String,
    /// Of ext4 alone, which is another file system without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<bool>,
    device: String,
    options: String,
    dir: String,
}

/// Looks at the machine from this folder.
pub(crate) fn look(folder: &Path) -> Outcome<Machine> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let folder = folder.canonicalize()?;
    let mount = mount_of(&mounts, &folder).ok_or("the folder is on no mount that is known")?;
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    Ok(Machine {
        bench: "machine",
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        cpu: cpu.unwrap_or("unknown processor").to_owned(),
        cores: std::thread::available_parallelism()?.get(),
        load: load().unwrap_or(0.0),
        filesystem: mount.kind.to_owned(),
        journal: journal_of(&mount),
        device: mount.device.to_owned(),
        options: mount.options.to_owned(),
        dir: folder.parent().unwrap_or(&folder).display().to_string(),
    })
}

impl Machine {
    /// For a person, in one line.
    pub(crate) fn line(&self) -> String {
        let Self { kernel, cpu, cores, filesystem, device, options, dir, .. } = self;
        let without = if self.journal == Some(false) { " without a journal" } else { "" };
        format!(
            "Linux {kernel}, {cores} x {cpu}; {filesystem}{without} on {device} ({options}), in {dir}"
        )
    }

    /// What a person has to know before believing any of it.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if matches!(self.filesystem.as_str(), "tmpfs" | "ramfs") {
            warnings.push(
                "this file system is memory, where a sync costs nothing: choose another --dir"
                    .into(),
            );
        }
        if self.journal == Some(false) {
            warnings.push(
                "this ext4 has no journal, as hardly any other has: new files and renames cost \
                 something else than elsewhere"
                    .into(),
            );
        }
        if self.load >= 1.0 {
            warnings.push(format!(
                "other work runs on this machine (load {:.1}): whoever waits for the disk then waits \
                 for a processor too",
                self.load
            ));
        }
        warnings
    }
}

fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Whether an ext4 has a journal; nothing else is asked.
fn journal_of(mount: &Mount<'_>) -> Option<bool> {
    if mount.kind != "ext4" {
        return None;
    }
    let device = fs::read_link(format!("/sys/dev/block/{}", mount.number)).ok()?;
    let prefix = format!("{}-", device.file_name()?.to_str()?);
    let mut journals = fs::read_dir("/proc/fs/jbd2").ok()?.flatten();
    Some(journals.any(|journal| journal.file_name().to_string_lossy().starts_with(&prefix)))
}

struct Mount<'a> {
    /// Major and minor.
    number: &'a str,
    kind: &'a str,
    device: &'a str,
    options: &'a str,
}

/// The mount that a folder lies on: the longest mount point above it, the last of several.
fn mount_of<'a>(mounts: &'a str, folder: &Path) -> Option<Mount<'a>> {
    let mut best: Option<(usize, Mount<'a>)> = None;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut right = right.split(' ');
        let (Some(kind), Some(device), Some(options)) = (right.next(), right.next(), right.next())
        else {
            continue;
        };
        let mut left = left.split(' ').skip(2);
        let (Some(number), Some(point)) = (left.next(), left.nth(1)) else { continue };
        let point = point.replace("\\040", " ");
        let longest = best.as_ref().is_none_or(|(len, _)| point.len() >= *len);
        if folder.starts_with(&point) && longest {
            best = Some((point.len(), Mount { number, kind, device, options }));
        }
    }
    best.map(|(_, mount)| mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lies_on_the_longest_mount_point_above_it() {
        let mounts = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /tmp rw - tmpfs tmpfs rw,size=1g
24 22 7:0 / /mnt/my\\040disk rw - xfs /dev/loop0 rw,noquota";
        let mount = |folder: &str| mount_of(mounts, Path::new(folder)).unwrap();
        let kind = |folder: &str| mount(folder).kind;
        assert_eq!(kind("/tmp/a"), "tmpfs");
        assert_eq!(kind("/tmpfile"), "ext4");
        assert_eq!(kind("/mnt/my disk/a"), "xfs");
        assert_eq!(mount("/mnt/my disk/a").number, "7:0");
    }
}
