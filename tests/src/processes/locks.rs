//! Who holds the writer lock, as the kernel says it.
#![allow(clippy::disallowed_methods, reason = "looks at a lock file from outside")]

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Outcome;
use super::crew::{Crew, read_text};

/// The process that holds the writer lock of the store in `folder` now.
pub(crate) fn holder(folder: &Path) -> Outcome<Option<u32>> {
    let inode = std::fs::metadata(folder.join(".filepact/lock"))?.ino();
    Ok(holder_in(&read_text("/proc/locks")?, inode))
}

/// The place of the worker that holds it now, if a few looks find one.
pub(crate) fn holding_place(folder: &Path, crew: &Crew) -> Outcome<Option<usize>> {
    for _ in 0..50 {
        if let Some(place) = holder(folder)?.and_then(|pid| crew.place_of(pid)) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// `1: FLOCK  ADVISORY  WRITE 28812 fe:00:10092561 0 EOF`; with `->` somebody waits for it.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = words[..] else { return None };
        let (_, number) = file.rsplit_once(':')?;
        if number.parse() == Ok(inode) { pid.parse().ok() } else { None }
    };
    locks.lines().find_map(of_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_not_the_holder() {
        let locks = "1: FLOCK  ADVISORY  READ 28813 fe:00:77 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 28812 fe:00:78 0 EOF\n\
                     4: -> FLOCK  ADVISORY  WRITE 28810 fe:00:79 0 EOF\n";
        assert_eq!(holder_in(locks, 77), None);
        assert_eq!(holder_in(locks, 78), Some(28812));
        assert_eq!(holder_in(locks, 79), None);
    }
}
