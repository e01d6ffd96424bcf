//! What a storm must leave whole: the sum of all accounts, and every transfer that was acknowledged.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use filepact::{Error, Store, Transaction};

use super::Dice;

/// How many accounts there are.
pub const ACCOUNTS: u64 = 8;

/// What they sum to, always.
pub const SUM: i64 = 8_000;

/// The store, and beside it what each thread has begun and what was acknowledged.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The folder of the store.
    pub store: PathBuf,
    /// The folder of the numbers.
    pub numbers: PathBuf,
}

/// One thread of one worker, through all its deaths.
#[derive(Debug)]
pub struct Teller {
    name: String,
    numbers: File,
    begun: u64,
}

impl Ledger {
    /// In this folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self { store: folder.join("store"), numbers: folder.join("numbers") }
    }

    /// Makes the folders and the accounts.
    pub fn found(&self, store: impl FnOnce(&Path) -> Result<Store, Error>) -> Result<Store, Error> {
        std::fs::create_dir_all(&self.store).expect("the folder is ours");
        std::fs::create_dir_all(&self.numbers).expect("the folder is ours");
        let store = store(&self.store)?;
        store.transact::<_, Error>(|tx| {
            (0..ACCOUNTS).try_for_each(|at| tx.write(account(at), &(SUM / ACCOUNTS as i64)))
        })?;
        Ok(store)
    }

    /// The teller of this name, as its last life left it.
    pub fn teller(&self, name: &str) -> io::Result<Teller> {
        let path = self.numbers.join(name);
        let numbers =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let begun = number(&numbers, 0)?;
        Ok(Teller { name: name.to_owned(), numbers, begun })
    }

    /// The sum is as on the first day, and no acknowledged transfer is missing.
    ///
    /// # Errors
    /// What is wrong.
    pub fn audit(&self, store: &Store) -> Result<(), String> {
        // Before the look at the store: what is acknowledged by now must be in it.
        let tellers = std::fs::read_dir(&self.numbers).map_err(|error| error.to_string())?;
        let mut acknowledged = Vec::new();
        for teller in tellers {
            let teller = teller.map_err(|error| error.to_string())?;
            let numbers = File::open(teller.path()).map_err(|error| error.to_string())?;
            let name = teller.file_name().to_string_lossy().into_owned();
            acknowledged.push((
                name,
                number(&numbers, 8).map_err(|error| error.to_string())?,
                numbers,
            ));
        }
        let names: Vec<String> = acknowledged.iter().map(|(name, ..)| done(name)).collect();
        let (sum, done) = store
            .transact::<_, Error>(|tx| {
                let done = names.iter().map(|name| tx.get::<u64>(name));
                let done = done.collect::<Result<Vec<_>, _>>()?;
                Ok((sum(tx)?, done))
            })
            .map_err(|error| format!("the accounts cannot be read: {error:?}"))?;
        if sum != SUM {
            return Err(format!("the accounts sum to {sum}, not to {SUM}"));
        }
        for ((name, acknowledged, numbers), done) in acknowledged.into_iter().zip(done) {
            let done = done.unwrap_or(0);
            // After the look: what was done had been begun.
            let begun = number(&numbers, 0).map_err(|error| error.to_string())?;
            if done < acknowledged || begun < done {
                return Err(format!(
                    "{name} has begun {begun} transfers, {acknowledged} were acknowledged, and {done} \
                     are there"
                ));
            }
        }
        Ok(())
    }
}

impl Teller {
    /// Moves money between two accounts and counts it, in one transaction.
    pub fn transfer(&mut self, store: &Store, dice: &mut Dice) -> Result<(), Error> {
        let (from, to) = (dice.roll(ACCOUNTS), dice.roll(ACCOUNTS));
        let cents = dice.roll(20) as i64;
        self.begun += 1;
        write(&self.numbers, 0, self.begun);
        let count = store.transact::<_, Error>(|tx| {
            let debit: i64 = tx.read(account(from))?;
            tx.write(account(from), &(debit - cents))?;
            let credit: i64 = tx.read(account(to))?;
            tx.write(account(to), &(credit + cents))?;
            let count = tx.get::<u64>(done(&self.name))?.unwrap_or(0) + 1;
            tx.write(done(&self.name), &count)?;
            Ok(count)
        });
        match count {
            Ok(count) => {
                write(&self.numbers, 8, count);
                Ok(())
            }
            // Nothing has changed.
            Err(error @ Error::Locked { .. }) => {
                self.begun -= 1;
                write(&self.numbers, 0, self.begun);
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

/// The sum of all accounts, of one moment.
pub fn sum(tx: &mut Transaction) -> Result<i64, Error> {
    (0..ACCOUNTS).map(|at| tx.read::<i64>(account(at))).sum()
}

fn account(at: u64) -> String {
    format!("accounts/{at}.json")
}

fn done(teller: &str) -> String {
    format!("done/{teller}.json")
}

fn number(file: &File, offset: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    match file.read_exact_at(&mut bytes, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        read => read.map(|()| u64::from_le_bytes(bytes)),
    }
}

/// One write of eight bytes: a kill leaves it done or not done.
fn write(file: &File, offset: u64, number: u64) {
    file.write_all_at(&number.to_le_bytes(), offset).expect("the file is ours");
}
