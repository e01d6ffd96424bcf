//! A lock file with a timeout: nobody can tell a dead holder from a slow one.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{io, thread};

use filepact::Store;

use crate::process::{Other, killed_at, stop_here};
use crate::{Case, Outcome, Pattern, Result};

pub(crate) const PATTERN: Pattern = Pattern {
    name: "file-lock",
    cases: &[
        Case::Naive("a lock file, and its holder is killed", naive_left),
        Case::Naive("old lock files are broken, and the holder was only slow", naive_broken),
        Case::Filepact("a kernel lock, which ends with its process", with_filepact),
    ],
    other,
};

const PATIENCE: Duration = Duration::from_millis(300);

/// Takes the lock by making the file; with `stale`, breaks one that is older than that.
fn lock(path: &Path, stale: Option<Duration>) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match File::create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            taken => return taken.map(drop),
        }
        let age = fs::metadata(path)?.modified()?.elapsed().unwrap_or_default();
        if stale.is_some_and(|stale| age > stale) {
            fs::remove_file(path)?;
        } else if Instant::now() > end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn other(step: &str, folder: &Path) -> Result<()> {
    match step {
        "lock-file" => lock(&folder.join("lock"), None)?,
        "exclusive" => {
            let store = Store::open(folder)?;
            let mut tx = store.begin_exclusive(PATIENCE)?;
            tx.write("count.json", &1_000)?;
            stop_here(); // with the lock, and a change that is not committed
        }
        _ => return Err("no such step".into()),
    }
    stop_here();
}

fn naive_left(folder: &Path) -> Result<Outcome> {
    killed_at(PATTERN.name, "lock-file", folder)?;
    let outcome = lock(&folder.join("lock"), None);
    Ok(match outcome {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Outcome::Lost(format!(
            "the holder is dead, and after {PATIENCE:?} its lock is still there; it will always be"
        )),
        Err(error) => return Err(error.into()),
        Ok(()) => Outcome::Held("the lock of a dead holder was free".into()),
    })
}

/// The first holder is slow for longer than anybody thought: a stopped process, a laptop that slept.
fn naive_broken(folder: &Path) -> Result<Outcome> {
    let (file, count) = (folder.join("lock"), folder.join("count"));
    let stale = Some(Duration::from_secs(60));
    let read = || -> Result<u32> { Ok(fs::read_to_string(&count)?.parse()?) };
    fs::write(&count, "0")?;

    lock(&file, stale)?; // the first one
    let first = read()?;
    let past = Duration::from_secs(61); // which sleeps here for so long: its lock file gets that old
    let taken = fs::metadata(&file)?.modified()?;
    File::options().write(true).open(&file)?.set_modified(taken - past)?;

    lock(&file, stale)?; // the second one
    let second = read()?;
    fs::write(&count, (second + 1).to_string())?;
    fs::remove_file(&file)?;

    fs::write(&count, (first + 1).to_string())?; // the first one wakes up

    let total = read()?;
    let words = format!("two have added 1 under the lock, and the count is {total}");
    Ok(if total == 2 { Outcome::Held(words) } else { Outcome::Lost(words) })
}

fn with_filepact(folder: &Path) -> Result<Outcome> {
    let store = Store::open(folder)?;
    store.write("count.json", &0)?;
    let mut slow = Other::start(PATTERN.name, "exclusive", folder)?;
    if slow.line()? != "here" {
        return Err("the other process did not take the lock".into());
    }

    // However slow it is, it is never robbed of the lock; readers do not wait for it.
    let robbed = match store.begin_exclusive(PATIENCE) {
        Err(filepact::Error::Locked { holder, .. }) => holder != Some(slow.id()),
        Err(error) => return Err(error.into()),
        Ok(_) => true,
    };
    let seen: u32 = store.read("count.json")?;

    slow.kill()?;
    let killed = Instant::now();
    let mut tx = store.begin_exclusive(Duration::from_secs(10))?; // a kernel lock ends with its process
    let waited = killed.elapsed();
    tx.update("count.json", |count: &mut u32| *count += 1)?;
    tx.commit()?;
    let total: u32 = store.read("count.json")?;
    store.close()?;

    let words = format!(
        "told who holds the lock after {PATIENCE:?}; had it {} ms after that one was killed; \
         the count is {total}",
        waited.as_millis(),
    );
    let held = !robbed && seen == 0 && total == 1;
    Ok(if held { Outcome::Held(words) } else { Outcome::Lost(words) })
}
