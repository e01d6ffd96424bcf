//! The programs that make, mount and shut down file systems, and whether they are here.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::{env, io};

use super::arguments::Kind;
use crate::processes::Outcome;

/// Runs a program to its end; what it wrote to standard output, or what it says is wrong.
pub(super) fn run<I: AsRef<OsStr>>(program: &str, arguments: &[I]) -> Outcome<String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| {
        let package = package_of(program);
        format!("cannot run {program} (package {package}): {error}")
    })?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => {
            let says = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program} ended with {}: {}", output.status, says.trim()).into())
        }
    }
}

/// What this machine lacks for such a run, in words for the person who started it.
pub(super) fn lacks(kinds: &[Kind]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root may mount and shut down file systems: run it with sudo".to_owned());
    }
    let mut programs = vec!["losetup", "mount", "umount", "cp", "xfs_io"];
    programs.extend(kinds.iter().map(|kind| mkfs(*kind)));
    let path = env::var_os("PATH").unwrap_or_default();
    let is_missing =
        |program: &&str| !env::split_paths(&path).any(|dir| is_file(&dir.join(program)));
    let missing: Vec<String> = programs
        .into_iter()
        .filter(is_missing)
        .map(|program| format!("{program} is missing: install the package {}", package_of(program)))
        .collect();
    if !missing.is_empty() {
        return Some(missing.join("\n"));
    }
    let known = crate::processes::crew::read_text("/proc/filesystems").unwrap_or_default();
    let knows = |kind: &&Kind| known.split_whitespace().any(|word| word == kind.file_system());
    // A module is loaded by the first mount; what /proc does not list may still be there.
    let unknown = kinds.iter().find(|kind| !knows(kind) && !has_module(**kind));
    unknown.map(|kind| format!("this kernel does not know {kind}"))
}

pub(super) fn mkfs(kind: Kind) -> &'static str {
    match kind {
        Kind::Ext4 | Kind::Ext4Writeback => "mkfs.ext4",
        Kind::Xfs => "mkfs.xfs",
    }
}

fn package_of(program: &str) -> &'static str {
    match program {
        "mkfs.ext4" => "e2fsprogs",
        "mkfs.xfs" | "xfs_io" => "xfsprogs",
        "cp" => "coreutils",
        _ => "mount (util-linux)",
    }
}

fn has_module(kind: Kind) -> bool {
    run("modprobe", &["--dry-run", kind.file_system()]).is_ok()
}

#[allow(clippy::disallowed_methods, reason = "a program of the system")]
fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file())
}

/// Whether the error is what a file system says that was shut down.
pub(super) fn is_shut_down(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        let nothing: [&str; 0] = [];
        let error = run("mkfs.xfs-that-nobody-has", &nothing).unwrap_err().to_string();
        assert!(error.contains("cannot run mkfs.xfs-that-nobody-has"), "{error}");
        assert_eq!(package_of("xfs_io"), "xfsprogs");
        assert_eq!(package_of("mkfs.ext4"), "e2fsprogs");
    }

    #[test]
    fn a_program_that_fails_says_why() {
        let error = run("cp", &["/nothing/here", "/nothing/there"]).unwrap_err().to_string();
        assert!(error.contains("/nothing/here"), "{error}");
    }
}
