//! Optimistic versioning by hash: the check is one step, the write another.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Barrier;
use std::{fs, io, thread};

use filepact::{Store, Version};

use crate::{Case, Outcome, Pattern, Result, nobody};

pub(crate) const PATTERN: Pattern = Pattern {
    name: "optimistic-hash",
    cases: &[
        Case::Naive("compare the hash, then write", naive),
        Case::Naive("each compares its own file only", naive_skew),
        Case::Filepact("expect the version, at commit", with_filepact),
        Case::Filepact("what was only read is checked as well", with_filepact_skew),
    ],
    other: nobody,
};

const NAMES: [&str; 2] = ["Ann", "Bob"];

fn hash(content: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

/// Both read the same page; both save what they made of it.
fn naive(folder: &Path) -> Result<Outcome> {
    let page = folder.join("page.txt");
    fs::write(&page, "signed:")?;
    let checked = Barrier::new(2);
    let save = |name: &str| -> io::Result<bool> {
        let read = fs::read_to_string(&page)?;
        let version = hash(&read);
        let mine = format!("{read} {name}");

        let unchanged = hash(&fs::read_to_string(&page)?) == version;
        checked.wait(); // both have checked, nobody has written
        if unchanged {
            // To a temporary file of each, so that not even the bytes mix.
            let temp = page.with_extension(name);
            fs::write(&temp, mine)?;
            fs::rename(temp, &page)?;
        }
        Ok(unchanged)
    };
    let saved = both(|at| save(NAMES[at]))?.into_iter().filter(|saved| *saved).count();
    let page = fs::read_to_string(page)?;
    Ok(judge(saved, &page))
}

fn with_filepact(folder: &Path) -> Result<Outcome> {
    let store = Store::open(folder)?;
    store.transact::<_, filepact::Error>(|tx| tx.write_bytes("page.txt", "signed:"))?;
    let checked = Barrier::new(2);
    let save = |name: &str, meet: bool| -> Result<bool, filepact::Error> {
        let read = store.read_bytes("page.txt")?.unwrap_or_default();
        let version = Version::of(&read); // may go to a browser, and come back with the form
        let mine = [&read[..], b" ", name.as_bytes()].concat();
        let mut tx = store.begin()?;
        tx.expect("page.txt", Some(version))?;
        tx.write_bytes("page.txt", mine)?;
        if meet {
            checked.wait();
        }
        match tx.commit() {
            Ok(_) => Ok(true),
            Err(filepact::Error::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    };
    let first = both(|at| save(NAMES[at], true))?;
    let refused = first.iter().filter(|saved| !**saved).count();
    let mut saved = first.len() - refused;
    for (at, _) in first.iter().enumerate().filter(|(_, saved)| !**saved) {
        saved += usize::from(save(NAMES[at], false)?); // reads again what the other has made of it
    }
    let page = store.read_bytes("page.txt")?.unwrap_or_default();
    store.close()?;
    Ok(match judge(saved, &String::from_utf8_lossy(&page)) {
        Outcome::Held(words) if refused == 1 => {
            Outcome::Held(format!("one was told of a conflict, and read again; {words}"))
        }
        Outcome::Held(words) | Outcome::Lost(words) => Outcome::Lost(words),
    })
}

fn judge(saved: usize, page: &str) -> Outcome {
    let words = format!("{saved} of 2 were told that they have saved; the page is {page:?}");
    let both = NAMES.iter().all(|name| page.contains(name));
    if both && saved == 2 { Outcome::Held(words) } else { Outcome::Lost(words) }
}

/// One of two must stay on call. Each looks at both, and signs off in a file of his own.
fn naive_skew(folder: &Path) -> Result<Outcome> {
    let path = |name: &str| folder.join(name);
    NAMES.iter().try_for_each(|name| fs::write(path(name), "on call"))?;
    let checked = Barrier::new(2);
    both(|at| {
        let (me, other) = (NAMES[at], NAMES[1 - at]);
        let version = hash(&fs::read_to_string(path(me))?);
        let other_stays = fs::read_to_string(path(other))? == "on call";
        checked.wait();
        // Even if this were one step.
        if other_stays && hash(&fs::read_to_string(path(me))?) == version {
            fs::write(path(me), "off")?;
        }
        io::Result::Ok(())
    })?;
    let states = [fs::read_to_string(path("Ann"))?, fs::read_to_string(path("Bob"))?];
    let words = format!("Ann is {}, Bob is {}", states[0], states[1]);
    let somebody = states.iter().any(|state| state == "on call");
    Ok(if somebody { Outcome::Held(words) } else { Outcome::Lost(words) })
}

fn with_filepact_skew(folder: &Path) -> Result<Outcome> {
    let store = Store::open(folder)?;
    NAMES.iter().try_for_each(|name| store.write(name, "on call").map(drop))?;
    let checked = Barrier::new(2);
    both(|at| {
        let mut first = true;
        store.transact::<_, filepact::Error>(|tx| {
            let other: String = tx.read(NAMES[1 - at])?; // only read, and checked at commit
            if std::mem::take(&mut first) {
                checked.wait();
            }
            if other == "on call" { tx.write(NAMES[at], "off") } else { Ok(()) }
        })
    })?;
    let states: [String; 2] = [store.read("Ann")?, store.read("Bob")?];
    store.close()?;
    let words = format!("Ann is {}, Bob is {}", states[0], states[1]);
    let on_call = states.iter().filter(|state| *state == "on call").count();
    Ok(if on_call == 1 { Outcome::Held(words) } else { Outcome::Lost(words) })
}

/// Runs `work` for both at once.
fn both<T: Send, E: Send>(work: impl Fn(usize) -> Result<T, E> + Sync) -> Result<Vec<T>, E> {
    thread::scope(|scope| {
        let work = &work;
        let threads = [0, 1].map(|at| scope.spawn(move || work(at)));
        threads.into_iter().map(|thread| thread.join().expect("nobody panics")).collect()
    })
}
