//! The stories that there are, by name: a family and a number, such as `pair:400`.

use crate::crash::story::{self, Story};
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
            make: |name, _| story::making(name),
        },
        Family {
            name: "alone",
            about: "one transaction over two documents, and a close",
            count: txns,
            make: |name, number| story::transactions(name, &[transactions()[number]], 0),
        },
        Family {
            name: "pair",
            about: "two transactions over two documents, from the end of the first, and a close",
            count: txns * txns,
            make: |name, number| story::transactions(name, &pair(number), 1),
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
