//! Small parts of a commit and of an opening: `cargo bench -p filepact-bench`.
//!
//! Encoding a group, scanning a journal, hashing a body, checking a path: what a commit computes
//! beside its calls to the system. They are for whoever changes these parts; what a user feels is
//! measured by the command.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use filepact_fs::{DocPath, Fs, OsFs};
use filepact_journal::{
    Body, Chain, Commit, Hash, JOURNAL_DIR, Journal, Put, Record, RecordKind, encode_group, load,
    scan,
};

criterion_group!(micro, encoding, scanning, hashing, paths);
criterion_main!(micro);

/// A body of so many bytes, as JSON has them: short lines, quotes.
fn body(len: usize) -> Vec<u8> {
    b"  {\"name\": \"ann\", \"cents\": 500},\n".iter().copied().cycle().take(len).collect()
}

/// One transaction of so many documents of 1 KiB.
fn transaction(documents: u64) -> Vec<RecordKind> {
    let put = |document| {
        let body = body(1024);
        RecordKind::Put(Put {
            path: format!("documents/{document:04}.json"),
            len: body.len() as u64,
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

fn encoding(criterion: &mut Criterion) {
    let mut benches = criterion.benchmark_group("encode_group");
    for documents in [1, 10, 100] {
        let kinds = transaction(documents).into_iter().zip(1..);
        let records: Vec<Record> =
            kinds.map(|(kind, seq)| Record { seq, synced: 0, kind }).collect();
        benches.throughput(Throughput::Elements(documents));
        benches.bench_with_input(
            BenchmarkId::from_parameter(documents),
            &records,
            |bench, records| {
                bench.iter(|| encode_group(black_box(records), Chain::ZERO));
            },
        );
    }
}

fn scanning(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fs: Arc<dyn Fs> = Arc::new(OsFs::open(folder.path()).expect("the folder is there"));
    fs.make_dir(".filepact", 0o700).expect("a folder of its own");
    fs.make_dir(JOURNAL_DIR, 0o700).expect("a folder of its own");
    let mut journal = Journal::create(fs.clone(), &fs.unique()).expect("a new journal");
    for _ in 0..100 {
        let _ = journal.append(transaction(10), fs.now()).expect("a group is appended");
    }
    let segments = load(&*fs).expect("the journal is there");
    let segments: Vec<_> = segments.iter().map(|s| (s.first, &*s.bytes)).collect();
    let bytes: usize = segments.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut benches = criterion.benchmark_group("scan");
    benches.throughput(Throughput::Bytes(bytes as u64));
    benches.bench_function("100 groups of 10", |bench| {
        bench.iter(|| scan(black_box(&segments), None).expect("the journal is sound"));
    });
}

fn hashing(criterion: &mut Criterion) {
    let mut benches = criterion.benchmark_group("hash");
    for len in [1024, 64 * 1024] {
        let body = body(len);
        benches.throughput(Throughput::Bytes(len as u64));
        benches.bench_with_input(BenchmarkId::from_parameter(len), &body, |bench, body| {
            bench.iter(|| Hash::of(black_box(body)));
        });
    }
}

fn paths(criterion: &mut Criterion) {
    let mut benches = criterion.benchmark_group("path");
    for path in ["accounts/ann.json", "a/rather/long/one/with/ünïcode/in/its/names.json"] {
        benches.bench_with_input(BenchmarkId::from_parameter(path), path, |bench, path| {
            bench.iter(|| DocPath::new(black_box(path)));
        });
    }
}
