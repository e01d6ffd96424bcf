//! A bank of JSON files: its accounts, its ledger, a transfer, and the audit.

use std::path::Path;

use filepact::{Error, Store};
use serde::{Deserialize, Serialize};

use super::random::Random;

pub(super) const OWNERS: [&str; 8] = ["ann", "bob", "cem", "dia", "eve", "fay", "gus", "hal"];
pub(super) const LEDGER: &str = "ledger.json";

/// What every account begins with.
const BEGIN_CENTS: i64 = 100_000;

/// Marks a folder as one of ours.
const MARK: &str = "filepact demo";

#[derive(Debug, Serialize, Deserialize)]
struct Account {
    owner: String,
    cents: i64,
    /// The last transfer that touched it.
    transfer: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ledger {
    made_by: String,
    /// So many there were.
    transfers: u64,
    /// The accounts of the last one.
    last: Vec<String>,
}

fn account_path(owner: &str) -> String {
    format!("accounts/{owner}.json")
}

/// Opens the bank: the accounts and the ledger come in one transaction.
pub(super) fn create(store: &Store) -> Result<(), Error> {
    store.transact(|tx| {
        for owner in OWNERS {
            let account = Account { owner: owner.to_owned(), cents: BEGIN_CENTS, transfer: 0 };
            tx.create(account_path(owner), &account)?;
        }
        let ledger = Ledger { made_by: MARK.to_owned(), transfers: 0, last: Vec::new() };
        tx.create(LEDGER, &ledger)?;
        tx.note("the bank opens");
        Ok(())
    })
}

/// Whether these bytes are the ledger of such a bank.
pub(super) fn is_ledger(bytes: &[u8]) -> bool {
    serde_json::from_slice(bytes).is_ok_and(|ledger: Ledger| ledger.made_by == MARK)
}

/// One account pays one to three others: all of their files and the ledger change, or none. The
/// number of the transfer.
pub(super) fn transfer(store: &Store, random: &mut Random) -> Result<u64, Error> {
    let mut owners = OWNERS;
    random.shuffle(&mut owners);
    let payees = random.between(1, 3) as usize;
    let percent = random.between(1, 30) as i64;
    store.transact(|tx| {
        let mut ledger: Ledger = tx.read(LEDGER)?;
        ledger.transfers += 1;
        ledger.last = owners[..=payees].iter().map(|owner| (*owner).to_owned()).collect();

        let (payer, payees) = (owners[0], &owners[1..=payees]);
        let mut paying: Account = tx.read(account_path(payer))?;
        let each = paying.cents * percent / 100 / payees.len() as i64;
        for payee in payees {
            let mut paid: Account = tx.read(account_path(payee))?;
            paying.cents -= each;
            paid.cents += each;
            paid.transfer = ledger.transfers;
            tx.write(account_path(payee), &paid)?;
        }
        paying.transfer = ledger.transfers;
        tx.write(account_path(payer), &paying)?;
        tx.write(LEDGER, &ledger)?;
        Ok(ledger.transfers)
    })
}

/// What the books say after a recovery.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Transfers in the ledger.
    pub(super) transfers: u64,
    /// All the money there is.
    pub(super) sum_cents: i64,
    /// What is wrong.
    pub(super) problems: Vec<String>,
}

/// Holds the documents against each other, and the plain files against the documents.
pub(super) fn audit(store: &Store, folder: &Path) -> Result<Audit, Error> {
    let mut audit = Audit::default();
    let mut tx = store.begin()?;
    let ledger = match tx.read::<Ledger>(LEDGER) {
        Ok(ledger) => ledger,
        Err(error @ (Error::Json { .. } | Error::NotFound { .. })) => {
            audit.problems.push(format!("torn: {error}"));
            return Ok(audit);
        }
        Err(error) => return Err(error),
    };
    audit.transfers = ledger.transfers;
    for owner in OWNERS {
        let path = account_path(owner);
        let account = match tx.read::<Account>(&path) {
            Ok(account) => account,
            Err(error @ (Error::Json { .. } | Error::NotFound { .. })) => {
                audit.problems.push(format!("torn: {error}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        audit.sum_cents += account.cents;
        // A document that missed its transaction, or ran ahead of it, shows here even when the
        // money happens to add up.
        let touched = ledger.last.iter().any(|last| last == owner);
        if touched != (account.transfer == ledger.transfers && ledger.transfers > 0)
            || account.transfer > ledger.transfers
        {
            audit.problems.push(format!(
                "`{path}` is of transfer {}, while the ledger is of {}",
                account.transfer, ledger.transfers
            ));
        }
    }
    if audit.sum_cents != begin_sum_cents() {
        audit.problems.push(format!(
            "the accounts sum to {}, not to {}",
            money(audit.sum_cents),
            money(begin_sum_cents())
        ));
    }
    let paths = OWNERS.map(account_path);
    for path in paths.iter().map(String::as_str).chain([LEDGER]) {
        let document = tx.read_bytes(path)?;
        let plain = super::folder::read(&folder.join(path));
        if plain.ok() != document {
            audit.problems.push(format!("`{path}` reads otherwise without filepact"));
        }
    }
    drop(tx);
    let check = store.check()?;
    audit.problems.extend(check.problems);
    audit.problems.extend(check.outside_edits.iter().map(|path| format!("nobody edited `{path}`")));
    Ok(audit)
}

pub(super) fn begin_sum_cents() -> i64 {
    BEGIN_CENTS * OWNERS.len() as i64
}

/// `8,000.00`
pub(super) fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", grouped(cents / 100), cents % 100)
}

/// `7,103`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_shown_as_a_bank_shows_it() {
        for (cents, text) in [
            (0, "0.00"),
            (5, "0.05"),
            (-1234, "-12.34"),
            (800_000, "8,000.00"),
            (123_456_789, "1,234,567.89"),
        ] {
            assert_eq!(money(cents), text);
        }
    }

    #[test]
    fn a_bank_without_kills_passes_the_audit_and_one_with_a_robber_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        create(&store).unwrap();
        let mut random = Random::new(1);
        for number in 1..=50 {
            assert_eq!(transfer(&store, &mut random).unwrap(), number);
        }
        let found = audit(&store, folder.path()).unwrap();
        assert_eq!((found.transfers, found.problems), (50, Vec::<String>::new()));

        store.update("accounts/ann.json", |account: &mut Account| account.cents -= 1).unwrap();
        let found = audit(&store, folder.path()).unwrap();
        assert_eq!(found.problems, ["the accounts sum to 7,999.99, not to 8,000.00"]);

        let ahead = |account: &mut Account| {
            account.cents += 1;
            account.transfer += 100;
        };
        store.update("accounts/ann.json", ahead).unwrap();
        let found = audit(&store, folder.path()).unwrap();
        assert!(found.problems[0].contains("while the ledger is of 50"), "{:?}", found.problems);
    }
}
