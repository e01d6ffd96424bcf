//! Ten workers count together, as threads and as processes, optimistic and exclusive.
//!
//! ```text
//! cargo run --release -p filepact --example counter
//! cargo run --release -p filepact --example counter -- 4 1000     # workers, increments of each
//! ```
//!
//! The total is exact each time. The *optimistic* workers read, add and commit, and try again when
//! another one was faster. The *exclusive* ones take the writer lock first: nothing is ever tried
//! again, but nobody else commits meanwhile. Where most transactions meet in one document, as here,
//! the lock is the better pattern; where they seldom meet, trying again costs nothing.

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{env, thread};

use filepact::Store;

const COUNTER: &str = "counter.json";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [worker, folder, pattern, increments] = &arguments[..]
        && worker == "worker"
    {
        let store = Store::open(folder)?;
        count(&store, pattern == "exclusive", increments.parse()?)?;
        return Ok(store.close()?);
    }
    let number = |at: usize, default: u32| arguments.get(at).map_or(Ok(default), |n| n.parse());
    let (workers, increments) = (number(0, 10)?, number(1, 100)?);
    println!("{workers} workers, {increments} increments of each");
    for (kind, pattern) in [
        ("threads", "optimistic"),
        ("threads", "exclusive"),
        ("processes", "optimistic"),
        ("processes", "exclusive"),
    ] {
        let folder = tempfile::tempdir_in(".")?;
        let store = Store::open(folder.path())?;
        store.write(COUNTER, &0_u64)?;
        let began = Instant::now();
        match kind {
            "threads" => in_threads(&store, pattern, workers, increments),
            _ => in_processes(folder.path(), pattern, workers, increments),
        }?;
        let took = began.elapsed();
        let total: u64 = store.read(COUNTER)?;
        assert_eq!(total, u64::from(workers) * u64::from(increments), "an increment is lost");
        let retries = store.status()?.counts.retries;
        println!(
            "{kind:9} {pattern:10}  total {total}  {:6.0} a second  {:.2} retries each",
            total as f64 / took.as_secs_f64(),
            retries as f64 / total as f64,
        );
    }
    Ok(())
}

fn count(store: &Store, exclusive: bool, increments: u32) -> Result<(), Box<dyn Error>> {
    for _ in 0..increments {
        if exclusive {
            let mut tx = store.begin_exclusive(Duration::from_secs(60))?;
            tx.update(COUNTER, |count: &mut u64| *count += 1)?;
            tx.commit()?;
        } else {
            store.update(COUNTER, |count: &mut u64| *count += 1)?;
        }
    }
    Ok(())
}

fn in_threads(store: &Store, pattern: &str, workers: u32, increments: u32) -> Result<(), String> {
    thread::scope(|scope| {
        let work =
            || count(store, pattern == "exclusive", increments).map_err(|error| error.to_string());
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })
}

/// Each worker is this program again, with the store opened for itself.
fn in_processes(folder: &Path, pattern: &str, workers: u32, increments: u32) -> Result<(), String> {
    let spawn = |_| {
        let mut worker = Command::new(env::current_exe()?);
        worker.arg("worker").arg(folder).args([pattern, &increments.to_string()]).spawn()
    };
    let workers: Result<Vec<Child>, _> = (0..workers).map(spawn).collect();
    for mut worker in workers.map_err(|error| error.to_string())? {
        let status = worker.wait().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("a worker ended with {status}"));
        }
    }
    Ok(())
}
