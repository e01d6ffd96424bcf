//! One image with a file system in it: made, mounted, shut down, mounted again, gone.
#![allow(clippy::disallowed_methods, reason = "the tests' own files, outside the store")]
#![allow(clippy::disallowed_types, reason = "the tests' own files, outside the store")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{process, thread};

use super::arguments::{Kind, Settings};
use super::tools::{is_shut_down, mkfs, run};
use crate::processes::Outcome;

/// How the folders of all runs begin; the number of the process and the file system follow.
pub(super) const PREFIX: &str = "filepact-kernel-";

/// The names in such a folder.
pub(super) const OWNER: &str = "owner";
pub(super) const IMAGE: &str = "image";
pub(super) const MOUNT: &str = "mounted";

/// An image, its loop device and its mount; all go when this is dropped.
#[derive(Debug)]
pub(super) struct Disk {
    kind: Kind,
    folder: PathBuf,
    /// Locked as long as somebody uses the folder: the lock goes with the process, however it ends.
    _owner: File,
    device: String,
    is_mounted: bool,
    fuse: Option<Fuse>,
}

impl Disk {
    /// A new file system, mounted.
    pub(super) fn new(kind: Kind, settings: &Settings) -> Outcome<Self> {
        let folder = settings.dir.join(format!("{PREFIX}{}-{kind}", process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let owner = File::create(folder.join(OWNER))?;
        owner.try_lock()?;
        let device = String::new();
        let mut disk = Self { kind, folder, _owner: owner, device, is_mounted: false, fuse: None };
        fs::create_dir(disk.mount_point())?;
        File::create(disk.image())?.set_len(settings.megabytes << 20)?;
        let image = disk.image();
        let options = kind.mkfs_options().iter().map(Path::new).chain([image.as_path()]);
        run(mkfs(kind), &options.collect::<Vec<_>>())?;
        disk.device = run("losetup", &[Path::new("--find"), Path::new("--show"), &disk.image()])?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.join(IMAGE)
    }

    pub(super) fn mount_point(&self) -> PathBuf {
        self.folder.join(MOUNT)
    }

    /// A folder beside the image, on another disk than the store.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Mounts the same device again: the kernel recovers its log.
    pub(super) fn mount(&mut self) -> Outcome {
        let (kind, mount_point) = (self.kind, self.mount_point());
        let words = ["-t", kind.file_system(), "-o", kind.mount_options(), &self.device];
        let words: Vec<&Path> =
            words.iter().map(Path::new).chain([mount_point.as_path()]).collect();
        run("mount", &words)?;
        self.is_mounted = true;
        self.fuse = Some(Fuse::light(&mount_point)?);
        Ok(())
    }

    /// From now on nothing is written any more, neither pages nor the log; every call fails.
    pub(super) fn shut_down(&mut self) -> Outcome {
        self.fuse.take().ok_or("the file system is shut down already")?.burn()?;
        match File::create(self.mount_point().join("probe")) {
            Err(error) if is_shut_down(&error) => Ok(()),
            other => Err(format!("the file system was not shut down: {other:?}").into()),
        }
    }

    /// Nobody may have anything open there.
    pub(super) fn unmount(&mut self) -> Outcome {
        self.fuse = None;
        let mut last = Ok(String::new());
        for _ in 0..100 {
            last = run("umount", &[self.mount_point()]);
            if last.is_ok() {
                self.is_mounted = false;
                return Ok(());
            }
            // Somebody who has just ended may not be gone yet.
            thread::sleep(Duration::from_millis(20));
        }
        last.map(drop)
    }

    /// Lets go of the mount and of the device, and leaves the folder for a person to look at.
    pub(super) fn keep(mut self) -> Outcome<PathBuf> {
        self.let_go()?;
        let kept =
            self.folder.with_file_name(format!("{PREFIX}kept-{}-{}", process::id(), self.kind));
        fs::rename(&self.folder, &kept)?;
        Ok(kept)
    }

    fn let_go(&mut self) -> Outcome {
        self.fuse = None;
        if self.is_mounted {
            // Whoever still has something open keeps the device until he ends, and nobody sees it.
            self.unmount()
                .or_else(|_| run("umount", &[Path::new("-l"), &self.mount_point()]).map(drop))?;
            self.is_mounted = false;
        }
        if !self.device.is_empty() {
            run("losetup", &["--detach", &self.device])?;
            self.device.clear();
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The folder goes only if nothing is mounted in it any more.
        let gone = self.let_go().and_then(|()| match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        });
        if let Err(error) = gone {
            eprintln!("{} is left over: {error}", self.folder.display());
        }
    }
}

/// A program that holds the file system open and waits for the word to shut it down, so that the
/// moment is not that of a program's start.
#[derive(Debug)]
struct Fuse(Child);

impl Fuse {
    fn light(mount_point: &Path) -> Outcome<Self> {
        // `-x` for the commands of experts, among them `shutdown`; without `-f` it flushes no log.
        let mut command = Command::new("xfs_io");
        command.arg("-x").arg(mount_point).stdin(Stdio::piped()).stdout(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    /// Returns when the file system is shut down.
    fn burn(mut self) -> Outcome {
        let mut input = self.0.stdin.take().ok_or("xfs_io does not listen")?;
        input.write_all(b"shutdown\n")?;
        drop(input);
        let status = self.0.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("xfs_io could not shut the file system down: {status}").into()),
        }
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends with its input; one that is gone already has been waited for.
        let _ = self.0.wait();
    }
}
