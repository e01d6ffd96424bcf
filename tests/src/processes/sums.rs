//! Is every snapshot one moment, and every watch complete, while processes move money and are killed?
//!
//! Readers sum all accounts through snapshots, several times through each: the sum is always the same,
//! and so is every account. A watch hears of every transaction: what it was told last of an account is
//! what the account holds in the end.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filepact::{LoggedKind, Snapshot, Store, Version, Watch, Watched};

use super::crew::{self, Crew};
use super::random::Random;
use super::scratch::Scratch;
use super::{Arguments, Outcome};

const PROCESSES: usize = 4;
const THREADS_OF_A_PROCESS: u32 = 2;
const EACH: i64 = 1_000;
/// How often one snapshot is summed, at most.
const SUMS_OF_ONE: usize = 8;

fn account(number: usize) -> String {
    format!("accounts/{}/{number}.json", number % 16)
}

/// `processes sums`.
pub fn run(arguments: &[String]) -> Outcome {
    let arguments = Arguments::parse(arguments, &["sums", "accounts", "threads", "kills"])?;
    let (sums, accounts) = (arguments.or("sums", 2_000), arguments.or("accounts", 1_000) as usize);
    let (threads, kills) = (arguments.or("threads", 2), arguments.or("kills", 20));
    let scratch = Scratch::new()?;
    let folder = scratch.store();
    let store = Store::open(&folder)?;
    store.transact::<_, filepact::Error>(|tx| {
        (0..accounts).try_for_each(|number| tx.write(account(number), &EACH))
    })?;
    let mut crew = Crew::default();
    (0..PROCESSES).try_for_each(|place| start(&mut crew, place, &folder, accounts))?;
    let began = Instant::now();
    let (done, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let watch = store.watch()?;
    let outcome = thread::scope(|scope| {
        let ends = |outcome| {
            over.store(true, Ordering::Relaxed);
            outcome
        };
        let (store, done, over) = (&store, &done, &over);
        let readers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(move || ends(read(store, accounts, sums, done, over))))
            .collect();
        let listener = scope.spawn(move || listen(watch, over));
        let killed = kill(&mut crew, &folder, accounts, over, || {
            let done = done.load(Ordering::Relaxed).min(sums);
            (u128::from(done) * u128::from(kills) / u128::from(sums)) as u64
        });
        over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().expect("readers return errors")?;
        }
        Ok((killed?, listener.join().expect("it returns errors")?))
    });
    let told: Outcome<(u64, Told)> = outcome;
    let (killed, told) = match told.and_then(|told| crew.finish().map(|()| told)) {
        Ok(told) => told,
        Err(error) => {
            drop(crew);
            let kept = scratch.keep();
            return Err(format!("{error}\nThe store is kept in {}", kept.display()).into());
        }
    };
    // What the last who died has committed is published by the next commit.
    store.write("end.json", &true)?;
    let told = told.finish(&store, accounts)?;
    store.checkpoint()?;
    let pins = store.status()?.pins;
    if !pins.is_empty() {
        return Err(format!("pins are left: {pins:?}").into());
    }
    is_swept(&folder)?;
    let took = began.elapsed().as_secs_f64();
    let done = done.load(Ordering::Relaxed);
    println!("{done} sums of {accounts} accounts through snapshots, every one exact");
    println!("{} transactions were told meanwhile, {} gaps", told.transactions, told.gaps);
    println!("{killed} processes killed; {took:.1} s\nok");
    store.close()?;
    Ok(())
}

fn start(crew: &mut Crew, place: usize, folder: &Path, accounts: usize) -> Outcome {
    crew.start(place, "sums", &[folder.display().to_string(), accounts.to_string()])
}

/// Kills as many as are due, sometimes all.
fn kill(
    crew: &mut Crew,
    folder: &Path,
    accounts: usize,
    over: &AtomicBool,
    due: impl Fn() -> u64,
) -> Outcome<u64> {
    let (mut killed, mut random) = (0, Random::new());
    while !over.load(Ordering::Relaxed) {
        thread::sleep(random.time(Duration::from_millis(20)));
        crew.all_live()?;
        if killed >= due() {
            continue;
        }
        let places = match random.one_in(4) {
            true => 0..PROCESSES,
            false => {
                let place = random.below(PROCESSES);
                place..place + 1
            }
        };
        for place in places {
            crew.kill(place)?;
            killed += 1;
            start(crew, place, folder, accounts)?;
        }
    }
    Ok(killed)
}

/// Takes snapshots and sums them until `sums` are done by all readers together.
fn read(store: &Store, accounts: usize, sums: u64, done: &AtomicU64, over: &AtomicBool) -> Outcome {
    let mut random = Random::new();
    while done.load(Ordering::Relaxed) < sums && !over.load(Ordering::Relaxed) {
        let snapshot = store.snapshot()?;
        let mut before = None;
        for _ in 0..=random.below(SUMS_OF_ONE) {
            let all = sum(&snapshot, accounts)?;
            done.fetch_add(1, Ordering::Relaxed);
            match &before {
                Some(before) if *before != all => {
                    return Err(format!("at {} an account has changed", snapshot.txn()).into());
                }
                _ => before = Some(all),
            }
        }
        let listed = snapshot.list("accounts")?.len();
        if listed != accounts {
            return Err(format!("at {} there are {listed} accounts", snapshot.txn()).into());
        }
    }
    Ok(())
}

/// All accounts, whose sum is right.
fn sum(snapshot: &Snapshot, accounts: usize) -> Outcome<Vec<i64>> {
    let all: Result<Vec<i64>, _> =
        (0..accounts).map(|number| snapshot.read(account(number))).collect();
    let all = all.map_err(|error| format!("at {}: {error}", snapshot.txn()))?;
    let sum: i64 = all.iter().sum();
    match sum == EACH * accounts as i64 {
        true => Ok(all),
        false => Err(format!("at {} the money has become {sum}", snapshot.txn()).into()),
    }
}

/// What a watch has told so far.
struct Told {
    watch: Watch,
    transactions: u64,
    gaps: u64,
    last: u64,
    /// The last version of each document that it was told of, since the last gap.
    versions: HashMap<String, Version>,
}

fn listen(watch: Watch, over: &AtomicBool) -> Outcome<Told> {
    let mut told = Told { watch, transactions: 0, gaps: 0, last: 0, versions: HashMap::new() };
    while !over.load(Ordering::Relaxed) {
        told.hear(Duration::from_millis(50))?;
    }
    Ok(told)
}

impl Told {
    fn hear(&mut self, patience: Duration) -> Outcome<bool> {
        match self.watch.wait(patience)? {
            None => return Ok(false),
            Some(Watched::Gap { .. }) => {
                self.gaps += 1;
                self.versions.clear();
            }
            Some(Watched::Transaction(logged)) => {
                if logged.txn <= self.last {
                    return Err(format!("{} was told after {}", logged.txn, self.last).into());
                }
                self.last = logged.txn;
                self.transactions += 1;
                let put = logged.changes.into_iter().filter_map(|change| match change.kind {
                    LoggedKind::Put { version, .. } => Some((change.path, version)),
                    _ => None,
                });
                self.versions.extend(put);
            }
        }
        Ok(true)
    }

    /// Hears the rest, when nobody commits any more, and holds the accounts against it.
    fn finish(mut self, store: &Store, accounts: usize) -> Outcome<Self> {
        while self.hear(Duration::ZERO)? {}
        for path in (0..accounts).map(account) {
            if let Some(told) = self.versions.get(&path)
                && store.version(&path)? != Some(*told)
            {
                return Err(format!("{path} is not what was told of it last").into());
            }
        }
        Ok(self)
    }
}

/// Nothing is kept for nobody.
#[allow(clippy::disallowed_methods, reason = "looks at the store's folders from outside")]
fn is_swept(folder: &Path) -> Outcome {
    for dir in ["pins", "kept"] {
        let left = std::fs::read_dir(folder.join(".filepact").join(dir))?.count();
        if left > 0 {
            return Err(format!("{left} files are left in {dir}").into());
        }
    }
    Ok(())
}

pub(super) fn work(arguments: &[String]) -> Outcome {
    let [folder, accounts] = arguments else { return Err("a writer needs a folder".into()) };
    let accounts: usize = accounts.parse()?;
    let store = Store::open(folder)?;
    crew::until_told(THREADS_OF_A_PROCESS, |_, stop| {
        let mut random = Random::new();
        while !stop.load(Ordering::Relaxed) {
            let from = random.below(accounts);
            let to = (from + 1 + random.below(accounts - 1)) % accounts;
            let amount = random.below(100) as i64;
            store.transact::<_, filepact::Error>(|tx| {
                let mut left: i64 = tx.read(account(from))?;
                let mut right: i64 = tx.read(account(to))?;
                left -= amount;
                right += amount;
                tx.write(account(from), &left)?;
                tx.write(account(to), &right)
            })?;
        }
        Ok(())
    })
}
