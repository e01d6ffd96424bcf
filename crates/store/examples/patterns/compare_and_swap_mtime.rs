//! Compare-and-swap by mtime: two edits within one tick of the clock have the same.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use filepact::Store;

use crate::{Case, Outcome, Pattern, Result, nobody, replace};

pub(crate) const PATTERN: Pattern = Pattern {
    name: "compare-and-swap-mtime",
    cases: &[
        Case::Naive("unchanged while mtime and size are the same", naive),
        Case::Filepact("the same edit, within the same tick", with_filepact),
    ],
    other: nobody,
};

const BEFORE: &str = "port 8080\n";
const EDIT: &str = "port 9090\n";

/// Another program saves the file within the tick of the clock in which it was read. Set here, so that
/// it happens every time; `cp -p`, `rsync -t` and `tar` do the same.
fn edit_within_the_tick(path: &Path, tick: SystemTime) -> std::io::Result<()> {
    fs::write(path, EDIT)?;
    File::options().write(true).open(path)?.set_modified(tick)
}

fn naive(folder: &Path) -> Result<Outcome> {
    let path = folder.join("server.conf");
    fs::write(&path, BEFORE)?;
    let stamp = |path: &Path| fs::metadata(path).and_then(|now| Ok((now.modified()?, now.len())));
    let seen = stamp(&path)?;
    let mine = fs::read_to_string(&path)? + "threads 4\n";

    edit_within_the_tick(&path, seen.0)?;

    if stamp(&path)? == seen {
        replace(&path, &mine)?; // "nobody has changed it"
    }
    let now = fs::read_to_string(&path)?;
    let words = format!("the edit was {EDIT:?}; the file is {now:?}");
    Ok(if now.contains(EDIT) { Outcome::Held(words) } else { Outcome::Lost(words) })
}

fn with_filepact(folder: &Path) -> Result<Outcome> {
    let path = folder.join("server.conf");
    fs::write(&path, BEFORE)?;
    let store = Store::open(folder)?;
    let tick = fs::metadata(&path)?.modified()?;
    let mut runs = 0;
    store.transact::<_, Box<dyn Error>>(|tx| {
        runs += 1;
        let mut mine = tx.read_bytes("server.conf")?.unwrap_or_default();
        if runs == 1 {
            edit_within_the_tick(&path, tick)?;
        }
        mine.extend_from_slice(b"threads 4\n");
        Ok(tx.write_bytes("server.conf", mine)?)
    })?;
    store.close()?;
    let now = fs::read_to_string(&path)?;
    let words = format!("the transaction ran {runs} times, on top of the edit at last: {now:?}");
    let kept = now == format!("{EDIT}threads 4\n") && runs == 2;
    Ok(if kept { Outcome::Held(words) } else { Outcome::Lost(words) })
}
