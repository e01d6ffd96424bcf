//! The stories that there are, by name: a family and a number, such as `pair:400`.

use crate::crash::stories::{self, healing::PLACES};
use crate::crash::story::Story;
use crate::history::{Txn, transactions};

/// Stories of one kind.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What they are.
    pub about: &'static str,
    /// How many there are.
    pub count: usize,
    make: fn(String, usize) -> Story,
}

/// All families.
pub fn families() -> Vec<Family> {
    let txns = transactions().len();
    vec![
        Family {
            name: "making",
            about: "a store is made",
            count: 1,
            make: |name, _| stories::transactions::making(name),
        },
        Family {
            name: "alone",
            about: "one transaction over two documents, and a close",
            count: txns,
            make: |name, number| {
                stories::transactions::transactions(name, &[transactions()[number]], 0)
            },
        },
        Family {
            name: "pair",
            about: "two transactions over two documents, from the end of the first, and a close",
            count: txns * txns,
            make: |name, number| stories::transactions::transactions(name, &pair(number), 1),
        },
        Family {
            name: "triple",
            about: "three transactions over three documents, and a close",
            count: 100_000,
            make: stories::transactions::triple,
        },
        Family {
            name: "files",
            about: "as pair, with the durability of files",
            count: txns * txns,
            make: |name, number| stories::transactions::files(name, &pair(number), 1),
        },
        Family {
            name: "buffered",
            about: "two transactions over two documents that nothing syncs",
            count: txns * txns,
            make: |name, number| stories::transactions::buffered(name, &pair(number), 0),
        },
        Family {
            name: "checkpoint",
            about: "a transaction, a checkpoint, another one, a close; from the end of the first",
            count: txns * txns,
            make: |name, number| stories::transactions::checkpoint(name, pair(number)),
        },
        Family {
            name: "birth",
            about: "a transaction that bears a segment, another one, and a close",
            count: txns * txns * 2,
            make: |name, number| {
                stories::births::birth(name, pair(number / 2), number.is_multiple_of(2))
            },
        },
        Family {
            name: "healing",
            about: "a process dies in its commit, another one goes on",
            count: txns * txns * PLACES,
            make: |name, number| {
                stories::healing::healing(name, pair(number / PLACES), number % PLACES)
            },
        },
        Family {
            name: "moment",
            about: "a snapshot is held over two transactions and a checkpoint, and a watch hears of them",
            count: txns * txns,
            make: |name, number| stories::moment::moment(name, pair(number)),
        },
        Family {
            name: "spare",
            about: "two transactions of a process that has spares, a checkpoint, and a third",
            count: txns * txns,
            make: |name, number| stories::spares::spare(name, pair(number)),
        },
        Family {
            name: "edit",
            about: "another program saves a document, and a transaction meets that",
            count: stories::edits::COUNT,
            make: stories::edits::edit,
        },
    ]
}

/// The pair of transactions of this number.
pub fn pair(number: usize) -> [Txn; 2] {
    let all = transactions();
    [all[number / all.len()], all[number % all.len()]]
}

/// The story of this name.
pub fn story(name: &str) -> Result<Story, String> {
    let (family, number) = name.split_once(':').ok_or("a story is FAMILY:NUMBER")?;
    let family = families().into_iter().find(|known| known.name == family);
    let family = family.ok_or_else(|| format!("there is no family of `{name}`"))?;
    let number = number.parse().ok().filter(|number| *number < family.count);
    let number = number.ok_or_else(|| format!("{} are {}", family.name, family.count))?;
    Ok((family.make)(name.to_owned(), number))
}
