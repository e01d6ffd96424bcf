//! A snapshot by hard links: it changes when somebody adds to a file in place.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use filepact::Store;

use crate::{Case, Outcome, Pattern, Result, nobody, replace};

pub(crate) const PATTERN: Pattern = Pattern {
    name: "hard-link-snapshot",
    cases: &[
        Case::Naive("link every file; then somebody appends", naive_append),
        Case::Naive("link every file; meanwhile two are replaced", naive_moment),
        Case::Filepact("Store::snapshot", with_filepact),
    ],
    other: nobody,
};

fn append(path: &Path, line: &str) -> io::Result<()> {
    File::options().append(true).open(path)?.write_all(line.as_bytes())
}

fn naive_append(folder: &Path) -> Result<Outcome> {
    let (log, snapshot) = (folder.join("log"), folder.join("snapshot"));
    fs::create_dir(&snapshot)?;
    fs::write(&log, "paid 1\n")?;
    fs::hard_link(&log, snapshot.join("log"))?;
    let then = fs::read_to_string(snapshot.join("log"))?;

    append(&log, "paid 2\n")?;

    let now = fs::read_to_string(snapshot.join("log"))?;
    let words = format!("the snapshot said {then:?}, and says {now:?} now");
    Ok(if now == then { Outcome::Held(words) } else { Outcome::Lost(words) })
}

fn naive_moment(folder: &Path) -> Result<Outcome> {
    let (ann, bob, snapshot) = (folder.join("ann"), folder.join("bob"), folder.join("snapshot"));
    fs::create_dir(&snapshot)?;
    fs::write(&ann, "100")?;
    fs::write(&bob, "0")?;

    fs::hard_link(&ann, snapshot.join("ann"))?;
    replace(&ann, "0")?; // Ann pays Bob
    replace(&bob, "100")?;
    fs::hard_link(&bob, snapshot.join("bob"))?;

    let read = |name: &str| fs::read_to_string(snapshot.join(name));
    let total = read("ann")?.parse::<u32>()? + read("bob")?.parse::<u32>()?;
    let words = format!("of 100 there are {total} in the snapshot");
    Ok(if total == 100 { Outcome::Held(words) } else { Outcome::Lost(words) })
}

fn with_filepact(folder: &Path) -> Result<Outcome> {
    let store = Store::open(folder)?;
    store.transact::<_, filepact::Error>(|tx| {
        tx.write("ann.json", &100)?;
        tx.write("bob.json", &0)?;
        tx.append("log", "opened\n")
    })?;
    fs::write(folder.join("notes"), "by hand\n")?;
    let snapshot = store.snapshot()?;

    for paid in 1..=50 {
        store.transact::<_, filepact::Error>(|tx| {
            tx.write("ann.json", &(100 - paid))?;
            tx.write("bob.json", &paid)?;
            tx.append("log", format!("paid {paid}\n"))
        })?;
    }
    store.remove("bob.json")?;
    store.checkpoint()?;

    let total = snapshot.read::<i32>("ann.json")? + snapshot.read::<i32>("bob.json")?;
    let log = snapshot.read_bytes("log")?.unwrap_or_default();
    let held = total == 100 && log == b"opened\n" && !store.exists("bob.json")?;

    // Another program writes into a file in place: no answer rather than a wrong one.
    append(&folder.join("notes"), "changed in place\n")?;
    let notes = snapshot.read_bytes("notes");
    let told = matches!(notes, Err(filepact::Error::Edited { .. }));
    drop(snapshot);
    store.close()?;
    let words = format!(
        "of 100 there are {total} after 50 payments and a removal; an edit in place is {}",
        if told { "an error" } else { "not told" }
    );
    Ok(if held && told { Outcome::Held(words) } else { Outcome::Lost(words) })
}
