//! Four processes that commit to documents of their own, against one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use filepact::{Error, Store};

/// Commits per second, in all and by each process.
#[derive(Clone, Debug)]
pub struct Rate {
    /// In all.
    pub total: f64,
    /// The process that came to the fewest, and the one that came to the most.
    pub spread: (f64, f64),
}

/// A process: commits to its own document for a while, and prints how often.
pub fn commit(folder: &Path, number: u64, time: Duration) -> Result<(), Error> {
    let store = Store::open(folder)?;
    let (path, began, mut commits) = (format!("own/{number}.json"), Instant::now(), 0_u64);
    while began.elapsed() < time {
        store.write(&path, &commits)?;
        commits += 1;
    }
    println!("{}", commits as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

/// Runs this many processes at once.
///
/// # Panics
/// If one of them fails.
pub fn rate(folder: &Path, processes: u64, spawn: &dyn Fn(&Path, u64) -> Command) -> Rate {
    // Somebody has it open, so that each of them joins.
    let store = Store::open(folder).expect("it opens");
    let children: Vec<_> = (0..processes)
        .map(|number| spawn(folder, number).stdout(Stdio::piped()).spawn().expect("it starts"))
        .collect();
    let rates: Vec<f64> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().expect("it is our child");
            assert!(output.status.success(), "a process failed");
            String::from_utf8_lossy(&output.stdout).trim().parse().expect("it prints its rate")
        })
        .collect();
    drop(store);
    let fewest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rates.iter().copied().fold(0.0, f64::max);
    Rate { total: rates.iter().sum(), spread: (fewest, most) }
}
