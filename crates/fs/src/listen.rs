//! Hearing of writes to a file: inotify.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::io::{Errno, read};

use crate::beneath::Root;
use crate::error::At;
use crate::traits::Listening;
use crate::{Result, open};

/// Room for many events: each that is read in one go need not wake us again.
const BUFFER_BYTES: usize = 4096;

#[derive(Debug)]
struct Inotify(OwnedFd);

/// `None` where none can be had: the system is out of them, or `/proc` is not there to name the file by.
pub(crate) fn on(root: &Root, path: &str) -> Result<Option<Box<dyn Listening>>> {
    let (file, _) = open::ordinary(root, path, OFlags::RDONLY).at("listen to", path)?;
    // By its descriptor: the path is beneath the root, wherever that has gone since.
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    let listening = || {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        add_watch(&inotify, &*name, WatchFlags::MODIFY)?;
        Ok::<_, Errno>(inotify)
    };
    Ok(listening().ok().map(|inotify| Box::new(Inotify(inotify)) as Box<dyn Listening>))
}

impl Listening for Inotify {
    fn wait(&self, patience: Duration) -> Result<()> {
        let timeout = Timespec::try_from(patience).ok();
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            // The caller looks, and comes again.
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            ready => ready.map_err(io::Error::from).at("listen", "")?,
        };
        let mut events = [0; BUFFER_BYTES];
        loop {
            match read(&self.0, &mut events) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(io::Error::from(error)).at("listen", ""),
            }
        }
    }
}
