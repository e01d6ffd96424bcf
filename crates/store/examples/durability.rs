//! What a commit costs in each durability, beside writing the same files with temp, sync and rename.
//!
//! ```text
//! cargo run --release -p filepact --example durability
//! cargo run --release -p filepact --example durability -- 200     # commits of each kind
//! ```
//!
//! All kinds take turns in one run, on the file system of the current folder, with bodies of 1 KiB that
//! differ each time. Medians; on a shared machine only the ratios count.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it is compared with writing files by hand"
)]

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use filepact::{Durability, Store};

const BODY: usize = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let commits: usize = std::env::args().nth(1).map_or(Ok(100), |count| count.parse())?;
    println!("median of {commits} commits, in microseconds");
    println!("documents   Journal     Files  Buffered   temp, sync, rename each");
    for documents in [1, 10, 100] {
        let mut kinds = Vec::new();
        for durability in [Durability::Journal, Durability::Files, Durability::Buffered] {
            let folder = tempfile::tempdir_in(".")?;
            let store = Store::options().durability(durability).open(folder.path())?;
            kinds.push((folder, Some(store), Vec::new()));
        }
        kinds.push((tempfile::tempdir_in(".")?, None, Vec::new()));
        // The first rounds make the documents, and warm up.
        for round in 0..commits + 3 {
            for (folder, store, times) in &mut kinds {
                let began = Instant::now();
                match store {
                    Some(store) => commit(store, documents, round)?,
                    None => by_hand(folder.path(), documents, round)?,
                }
                if round >= 3 {
                    times.push(began.elapsed());
                }
            }
        }
        let [journal, files, buffered, by_hand] =
            [0, 1, 2, 3].map(|kind| median(&mut kinds[kind].2));
        println!("{documents:9} {journal:9.0} {files:9.0} {buffered:9.0}   {by_hand:9.0}");
        for (_, store, _) in kinds {
            store.map_or(Ok(()), Store::close)?;
        }
    }
    Ok(())
}

fn body(document: usize, round: usize) -> Vec<u8> {
    let text = format!("{document} {round} ");
    text.bytes().cycle().take(BODY).collect()
}

fn commit(store: &Store, documents: usize, round: usize) -> Result<(), filepact::Error> {
    store.transact(|tx| {
        (0..documents).try_for_each(|at| tx.write_bytes(format!("{at}.bin"), body(at, round)))
    })
}

fn by_hand(folder: &Path, documents: usize, round: usize) -> std::io::Result<()> {
    for at in 0..documents {
        let (temp, path) = (folder.join("temp"), folder.join(format!("{at}.bin")));
        let mut file = File::create(&temp)?;
        file.write_all(&body(at, round))?;
        file.sync_all()?;
        fs::rename(temp, path)?;
    }
    File::open(folder)?.sync_all()
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
