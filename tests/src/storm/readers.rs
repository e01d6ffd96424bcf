//! Readers that do not use filepact, beside commits: a file is never absent, never torn, never older
//! than before.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use filepact::{Error, Store};

use super::Dice;

/// Three small documents and one whose body does not travel in the journal.
const LENGTHS: [usize; 4] = [300, 1_000, 4_000, 80_000];

/// What was read.
#[derive(Debug, Default)]
pub struct Seen {
    /// Opens and reads.
    pub reads: u64,
    /// How often a reader found another version than the time before.
    pub changes: u64,
}

/// Commits to the documents until it is killed.
pub fn write(folder: &Path, seed: u64) -> Error {
    let store = match Store::open(folder) {
        Ok(store) => store,
        Err(error) => return error,
    };
    let mut dice = Dice::new(seed);
    loop {
        let at = dice.roll(LENGTHS.len() as u64) as usize;
        let written = store.transact::<_, Error>(|tx| {
            let body = tx.read_bytes(path(at))?.unwrap_or_default();
            let version = version(&body).map_or(0, |version| version + 1);
            tx.write_bytes(path(at), body_of(version, LENGTHS[at]))
        });
        if let Err(error) = written {
            return error;
        }
    }
}

/// Reads `reads` times by two threads while two processes write.
///
/// # Errors
/// What a reader found that it must not find.
pub fn read(
    folder: &Path,
    reads: u64,
    spawn: &dyn Fn(&Path, u64) -> Command,
) -> Result<Seen, String> {
    let store = Store::open(folder).map_err(|error| format!("{error:?}"))?;
    for (at, len) in LENGTHS.into_iter().enumerate() {
        let mut tx = store.begin().map_err(|error| format!("{error:?}"))?;
        tx.write_bytes(path(at), body_of(0, len)).map_err(|error| format!("{error:?}"))?;
        tx.commit().map_err(|error| format!("{error:?}"))?;
    }
    let mut writers: Vec<_> =
        (0..2).map(|seed| spawn(folder, seed).spawn().expect("it starts")).collect();
    let changes = AtomicU64::new(0);
    let outcome = thread::scope(|scope| {
        let readers: Vec<_> = (0..2_u64)
            .map(|reader| {
                let changes = &changes;
                scope.spawn(move || read_many(folder, reads / 2, reader, changes))
            })
            .collect();
        readers.into_iter().try_for_each(|reader| reader.join().expect("no reader panics"))
    });
    for writer in &mut writers {
        if let Some(status) = writer.try_wait().expect("it is our child") {
            return Err(format!("a writer gave up: {status}"));
        }
        writer.kill().expect("it is our child");
        writer.wait().expect("it is our child");
    }
    outcome?;
    Ok(Seen { reads: reads / 2 * 2, changes: changes.into_inner() })
}

fn read_many(folder: &Path, reads: u64, seed: u64, changes: &AtomicU64) -> Result<(), String> {
    let mut dice = Dice::new(seed + 100);
    let mut newest = [0; LENGTHS.len()];
    let mut body = Vec::new();
    for _ in 0..reads {
        // The large one seldom: it takes as long as twenty others.
        let at = [0, 1, 2, 0, 1, 2, 0, 1, 2, 3][dice.roll(10) as usize];
        let path = folder.join(path(at));
        let mut file = fs::File::open(&path).map_err(|error| format!("{path:?}: {error}"))?;
        body.clear();
        file.read_to_end(&mut body).map_err(|error| format!("{path:?}: {error}"))?;
        let version = version(&body).ok_or_else(|| format!("{path:?} is torn"))?;
        if version < newest[at] || body != body_of(version, LENGTHS[at]) {
            return Err(format!("{path:?} has version {version} after {}", newest[at]));
        }
        changes.fetch_add(u64::from(version > newest[at]), Ordering::Relaxed);
        newest[at] = version;
    }
    Ok(())
}

fn path(at: usize) -> String {
    format!("documents/{at}")
}

/// Every line says the version, so that no two versions agree anywhere.
fn body_of(version: u64, len: usize) -> Vec<u8> {
    let line = format!("version {version}\n");
    let mut body = line.repeat(len / line.len());
    body.push_str("end\n");
    body.into_bytes()
}

fn version(body: &[u8]) -> Option<u64> {
    let line = body.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.strip_prefix("version ")?.parse().ok()
}
