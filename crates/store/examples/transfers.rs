//! Several processes move money between two accounts, and others look on.
//!
//! ```text
//! cargo run --release -p filepact --example transfers
//! ```
//!
//! A transfer changes two files. Whoever reads both in one transaction finds the same sum, always,
//! and in the end no transfer is lost: each worker counts its own in a file of its own, in the same
//! transaction.

use std::error::Error;
use std::process::Command;
use std::time::Instant;
use std::{env, io};

use filepact::Store;
use serde::{Deserialize, Serialize};

const WORKERS: u32 = 4;
const TRANSFERS: u32 = 250;
const SUM: i64 = 100_000;

#[derive(Serialize, Deserialize)]
struct Account {
    owner: String,
    cents: i64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [worker, folder, number] = &arguments[..]
        && worker == "worker"
    {
        let store = Store::open(folder)?;
        work(&store, number.parse()?)?;
        return Ok(store.close()?);
    }
    let folder = tempfile::tempdir_in(".")?;
    let store = Store::open(folder.path())?;
    store.transact::<_, filepact::Error>(|tx| {
        tx.write("accounts/ann.json", &Account { owner: "Ann".into(), cents: SUM })?;
        tx.write("accounts/bob.json", &Account { owner: "Bob".into(), cents: 0 })
    })?;
    let began = Instant::now();
    let spawn = |number: u32| {
        let mut worker = Command::new(env::current_exe()?);
        worker.arg("worker").arg(folder.path()).arg(number.to_string()).spawn()
    };
    let mut workers = (0..WORKERS).map(spawn).collect::<Result<Vec<_>, io::Error>>()?;
    let mut looks = 0;
    while workers.iter_mut().any(|worker| matches!(worker.try_wait(), Ok(None))) {
        assert_eq!(sum(&store)?, SUM, "half a transfer was seen");
        looks += 1;
    }
    for worker in &mut workers {
        assert!(worker.wait()?.success(), "a worker failed");
    }
    let took = began.elapsed().as_secs_f64();
    let mut done = 0;
    for number in 0..WORKERS {
        done += store.read::<u32>(format!("done/{number}.json"))?;
    }
    assert_eq!((sum(&store)?, done), (SUM, WORKERS * TRANSFERS));
    let counts = store.status()?.counts;
    println!("{done} transfers by {WORKERS} processes: {:.0} a second", f64::from(done) / took);
    println!("{looks} looks meanwhile, each of one moment");
    println!("{:.2} retries a transfer", counts.retries as f64 / f64::from(done));
    Ok(())
}

fn work(store: &Store, worker: u32) -> Result<(), filepact::Error> {
    let (ann, bob) = ("accounts/ann.json", "accounts/bob.json");
    for round in 0..TRANSFERS {
        let (from, to) = if (round + worker).is_multiple_of(2) { (ann, bob) } else { (bob, ann) };
        store.transact::<_, filepact::Error>(|tx| {
            let mut debit: Account = tx.read(from)?;
            let mut credit: Account = tx.read(to)?;
            let cents = i64::from(round % 7) * 10;
            debit.cents -= cents;
            credit.cents += cents;
            tx.write(from, &debit)?;
            tx.write(to, &credit)?;
            let done = format!("done/{worker}.json");
            let before: Option<u32> = tx.get(&done)?;
            tx.write(&done, &(before.unwrap_or(0) + 1))
        })?;
    }
    Ok(())
}

/// Both accounts, of one moment.
fn sum(store: &Store) -> Result<i64, filepact::Error> {
    store.transact(|tx| {
        let ann: Account = tx.read("accounts/ann.json")?;
        let bob: Account = tx.read("accounts/bob.json")?;
        Ok(ann.cents + bob.cents)
    })
}
