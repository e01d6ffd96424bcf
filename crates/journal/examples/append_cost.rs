//! What the commit point costs: appending a group and syncing it (C6 and C7), against the floor, one
//! overwrite and `fdatasync` of the same bytes.
//!
//! `cargo run --release -p filepact-journal --example append_cost [-- DIR]` prints medians and their
//! ratio, measured in turns in one run, for groups of 1, 10 and 100 documents of 1 KiB.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use filepact_fs::{Access, File, Fs, OsFs, SyncKind, write_all};
use filepact_journal::{Body, Commit, Hash, JOURNAL_DIR, Journal, Put, RecordKind};

const ROUNDS: u64 = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    println!("{:>9} {:>10} {:>10} {:>6}", "documents", "append us", "floor us", "ratio");
    for documents in [1, 10, 100] {
        let folder = tempfile::tempdir_in(&parent)?;
        let fs: Arc<dyn Fs> = Arc::new(OsFs::open(folder.path())?);
        fs.make_dir(".filepact", 0o700)?;
        fs.make_dir(JOURNAL_DIR, 0o700)?;
        let mut journal = Journal::create(Arc::clone(&fs), &fs.unique())?;
        let floor = floor_file(&*fs)?;
        let (mut appends, mut floors) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let group = group(documents, round);
            let began = Instant::now();
            let appended = journal.append(group, fs.now())?;
            // The birth of a segment is another thing, and rare.
            if !appended.group.born {
                appends.push(began.elapsed());
            }
            let len = appended.group.ends.offset() - appended.group.begins.offset();
            let bytes = vec![b'0' + (round % 10) as u8; usize::try_from(len)?];
            let began = Instant::now();
            write_all(&*floor, &bytes, 0)?;
            floor.sync(SyncKind::Data)?;
            floors.push(began.elapsed());
        }
        let (append, floor) = (median(&mut appends), median(&mut floors));
        println!("{documents:>9} {append:>10.0} {floor:>10.0} {:>6.2}", append / floor);
    }
    Ok(())
}

fn group(documents: u64, round: u64) -> Vec<RecordKind> {
    let put = |document| {
        let line = format!("document {document} round {round} ");
        let body: Vec<u8> = line.bytes().cycle().take(1024).collect();
        RecordKind::Put(Put {
            path: format!("documents/{document}.json"),
            len: 1024,
            hash: Hash::of(&body),
            mode: 0o644,
            uid: 0,
            gid: 0,
            was: None,
            body: Body::Inline(body.into()),
            own: false,
        })
    };
    (0..documents).map(put).chain([RecordKind::Commit(Commit::default())]).collect()
}

/// A file whose blocks are all written, as a segment's are.
fn floor_file(fs: &dyn Fs) -> Result<Box<dyn File>, filepact_fs::FsError> {
    let file = fs.create("floor")?;
    write_all(&*file, &vec![b'\n'; 4 * 1024 * 1024], 0)?;
    file.sync(SyncKind::All)?;
    fs.sync_dir("")?;
    drop(file);
    fs.open("floor", Access::Write)
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
