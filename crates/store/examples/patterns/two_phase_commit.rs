//! Two-phase commit of related files: without a record of the decision, no rule for the restart is right.

use std::path::Path;
use std::time::Duration;
use std::{fs, io, thread};

use filepact::Store;

use crate::process::{Other, killed_at, stop_here};
use crate::{Case, Outcome, Pattern, Result};

pub(crate) const PATTERN: Pattern = Pattern {
    name: "two-phase-commit",
    cases: &[
        Case::Naive("killed between the renames; the restart drops what is prepared", naive_drops),
        Case::Naive(
            "killed while preparing; the restart finishes what is prepared",
            naive_finishes,
        ),
        Case::Filepact("killed anywhere, opened again", with_filepact),
    ],
    other,
};

/// The order takes one from the stock: 1 and 9, or 0 and 10.
const FILES: [(&str, &str, &str); 2] = [("order", "0", "1"), ("stock", "10", "9")];
const KILLS: u32 = 20;
const STOCK: u32 = 1_000_000;

fn begin(folder: &Path) -> io::Result<()> {
    FILES.iter().try_for_each(|(name, before, _)| fs::write(folder.join(name), before))
}

fn commit(folder: &Path, step: &str) -> io::Result<()> {
    for (name, _, after) in FILES {
        fs::write(folder.join(name).with_extension("new"), after)?; // prepare
        if step == "preparing" {
            stop_here();
        }
    }
    for (name, ..) in FILES {
        fs::rename(folder.join(name).with_extension("new"), folder.join(name))?; // commit
        if step == "renaming" {
            stop_here();
        }
    }
    Ok(())
}

fn naive_drops(folder: &Path) -> Result<Outcome> {
    begin(folder)?;
    killed_at(PATTERN.name, "renaming", folder)?;
    for (name, ..) in FILES {
        let prepared = folder.join(name).with_extension("new");
        if prepared.exists() {
            fs::remove_file(prepared)?;
        }
    }
    judge(folder)
}

fn naive_finishes(folder: &Path) -> Result<Outcome> {
    begin(folder)?;
    killed_at(PATTERN.name, "preparing", folder)?;
    for (name, ..) in FILES {
        let prepared = folder.join(name).with_extension("new");
        if prepared.exists() {
            fs::rename(prepared, folder.join(name))?;
        }
    }
    judge(folder)
}

fn judge(folder: &Path) -> Result<Outcome> {
    let read = |name| fs::read_to_string(folder.join(name));
    let (order, stock) = (read("order")?, read("stock")?);
    let words = format!("after the restart {order} is ordered, and {stock} of 10 are in stock");
    let whole = order.parse::<u32>()? + stock.parse::<u32>()? == 10;
    Ok(if whole { Outcome::Held(words) } else { Outcome::Lost(words) })
}

fn other(step: &str, folder: &Path) -> Result<()> {
    if !["between", "orders"].contains(&step) {
        return Ok(commit(folder, step)?);
    }
    let store = Store::open(folder)?;
    loop {
        let order = store.transact::<_, filepact::Error>(|tx| {
            let (order, stock): (u32, u32) = (tx.read("order")?, tx.read("stock")?);
            tx.write("order", &(order + 1))?;
            if step == "between" {
                stop_here();
            }
            tx.write("stock", &(stock - 1))?;
            Ok(order + 1)
        })?;
        println!("{order}"); // acknowledged
    }
}

fn with_filepact(folder: &Path) -> Result<Outcome> {
    let store = Store::open(folder)?;
    store.write("order", &0)?;
    store.write("stock", &STOCK)?;
    store.close()?;
    let (mut finished, mut bad, mut acknowledged) = (0, 0, 0);
    let mut open_again = |acknowledged: u32| -> Result<u32> {
        let store = Store::open(folder)?; // recovers
        finished += store.recovery_report().replayed.len();
        let (order, stock): (u32, u32) = (store.read("order")?, store.read("stock")?);
        bad += u32::from(order + stock != STOCK || order < acknowledged);
        store.close()?;
        Ok(order)
    };

    killed_at(PATTERN.name, "between", folder)?; // where the naive code is killed: between the two
    let first = open_again(0)?;
    for kill in 0..KILLS {
        let mut other = Other::start(PATTERN.name, "orders", folder)?;
        for _ in 0..3 + kill {
            acknowledged = other.line()?.parse()?;
        }
        thread::sleep(Duration::from_micros(u64::from(kill) * 37)); // anywhere in a commit
        other.kill()?;
        while let Ok(order) = other.line()?.parse() {
            acknowledged = order; // it could still say so
        }
        open_again(acknowledged)?;
    }
    let words = format!(
        "killed {KILLS} times among {acknowledged} orders; {bad} times one was half there, or lost; \
         {finished} were finished by the next opening"
    );
    Ok(if bad == 0 && first == 0 { Outcome::Held(words) } else { Outcome::Lost(words) })
}
