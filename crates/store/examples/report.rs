//! A report over all orders, which takes its time, while orders come in.
//!
//! ```text
//! cargo run -p filepact --example report
//! cargo run -p filepact --example report -- 8 200     # threads that take orders, orders of each
//! ```
//!
//! The report reads every order from one snapshot ([`Store::snapshot`]): it adds up to what the books
//! of that moment say, whatever is ordered, paid and cancelled meanwhile, and nobody waits for it. A
//! report without a snapshot is made as well, to show what it would say.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use filepact::{Error as StoreError, Snapshot, Store};
use serde::{Deserialize, Serialize};

const BOOKS: &str = "books.json";

#[derive(Serialize, Deserialize)]
struct Order {
    cents: u64,
}

/// What all orders come to; changed in the transaction of each.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Books {
    orders: u64,
    cents: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let number =
        |at: usize, default: u64| std::env::args().nth(at).map_or(Ok(default), |n| n.parse());
    let (clerks, orders) = (number(1, 4)?, number(2, 60)?);
    let folder = tempfile::tempdir_in(".")?;
    let store = Store::open(folder.path())?;
    store.write(BOOKS, &Books::default())?;

    let done = AtomicBool::new(false);
    let (reports, wrong) = thread::scope(|scope| {
        let reporter = scope.spawn(|| -> Result<_, StoreError> {
            let (mut reports, mut wrong) = (0, 0);
            while !done.load(Relaxed) {
                let snapshot = store.snapshot()?;
                let books: Books = snapshot.read(BOOKS)?;
                assert_eq!(report(&snapshot)?, books, "the report does not add up");
                assert_eq!(snapshot.read::<Books>(BOOKS)?, books, "the snapshot has changed");
                reports += 1;
                wrong += u32::from(without_snapshot(&store)? != store.read::<Books>(BOOKS)?);
            }
            Ok((reports, wrong))
        });
        let clerk = |clerk| (0..orders).try_for_each(|number| take(&store, clerk, number));
        let clerks: Vec<_> = (0..clerks).map(|number| scope.spawn(move || clerk(number))).collect();
        let taken: Vec<_> = clerks.into_iter().map(|clerk| clerk.join()).collect();
        done.store(true, Relaxed);
        let reports = reporter.join().expect("every report adds up")?;
        taken.into_iter().try_for_each(|clerk| clerk.expect("no clerk panics"))?;
        Ok::<_, StoreError>(reports)
    })?;

    let books: Books = store.read(BOOKS)?;
    assert_eq!(books.orders, clerks * (orders - orders / 5), "an order is lost");
    assert_eq!(report(&store.snapshot()?)?, books);
    assert!(store.status()?.pins.is_empty(), "nothing is kept for a snapshot that was dropped");
    store.close()?;
    println!("{reports} reports while {} orders came in: each added up", clerks * orders);
    println!("without a snapshot {wrong} of them would not have");
    Ok(())
}

/// Takes an order; every fifth time the one before is cancelled as well.
fn take(store: &Store, clerk: u64, number: u64) -> Result<(), StoreError> {
    let name = |number| format!("orders/{clerk}-{number}.json");
    store.transact(|tx| {
        let mut books: Books = tx.read(BOOKS)?;
        let order = Order { cents: 100 + number };
        books.orders += 1;
        books.cents += order.cents;
        tx.create(name(number), &order)?;
        if number % 5 == 4 {
            let cancelled: Order = tx.read(name(number - 1))?;
            books.orders -= 1;
            books.cents -= cancelled.cents;
            tx.remove(name(number - 1))?;
        }
        tx.write(BOOKS, &books)
    })
}

fn report(snapshot: &Snapshot) -> Result<Books, StoreError> {
    let mut sums = Books::default();
    for path in snapshot.list("orders")? {
        let order: Order = snapshot.read(&path)?;
        sums.orders += 1;
        sums.cents += order.cents;
        thread::sleep(Duration::from_micros(100)); // a report that takes its time
    }
    Ok(sums)
}

/// Each file as it is when its turn comes.
fn without_snapshot(store: &Store) -> Result<Books, StoreError> {
    let mut sums = Books::default();
    for path in store.list("orders")? {
        let Some(order) = store.get::<Order>(&path)? else { continue };
        sums.orders += 1;
        sums.cents += order.cents;
    }
    Ok(sums)
}
