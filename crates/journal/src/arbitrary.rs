//! Records for tests: arbitrary ones, and the plainest.

use filepact_fs::Time;
use quickcheck::{Arbitrary, Gen};

use crate::{
    Append, Body, Chain, Commit, Hash, Put, Record, RecordKind, Remove, Was, encode_group,
};

/// A put of a small body.
pub(crate) fn put(path: &str, body: &[u8]) -> RecordKind {
    RecordKind::Put(Put {
        path: path.into(),
        len: body.len() as u64,
        hash: Hash::of(body),
        mode: 0o644,
        uid: 0,
        gid: 0,
        was: None,
        body: Body::Inline(body.into()),
    })
}

/// An append of a few bytes.
pub(crate) fn append(path: &str, offset: u64, bytes: &[u8]) -> RecordKind {
    RecordKind::Append(Append {
        path: path.into(),
        offset,
        len: bytes.len() as u64,
        hash: Hash::of(bytes),
        was: Was { size: offset, mtime: Time::default(), ino: 0, hash: None },
        body: Body::Inline(bytes.into()),
    })
}

/// A transaction of one put.
pub(crate) fn transaction(path: &str, body: &[u8]) -> Vec<RecordKind> {
    vec![put(path, body), RecordKind::Commit(Commit::default())]
}

/// The records of one group: whole transactions, and sometimes a checkpoint at the end.
#[derive(Clone, Debug)]
pub(crate) struct Kinds(pub(crate) Vec<RecordKind>);

/// Several groups.
#[derive(Clone, Debug)]
pub(crate) struct Groups(pub(crate) Vec<Kinds>);

impl Kinds {
    /// The records, numbered from `first`, as one writer writes them who syncs every group.
    pub(crate) fn number(self, first: u64) -> Vec<Record> {
        let mut records = Vec::new();
        for (seq, mut kind) in (first..).zip(self.0) {
            if let RecordKind::Checkpoint { upto } = &mut kind {
                *upto = seq - 1;
            }
            records.push(Record { seq, synced: first - 1, kind });
        }
        records
    }
}

impl Groups {
    /// The bytes of each group, one after the other, and the chain after the last.
    pub(crate) fn encode(self, mut first: u64, mut chain: Chain) -> (Vec<Vec<u8>>, Chain) {
        let mut groups = Vec::new();
        for kinds in self.0 {
            let records = kinds.number(first);
            first += records.len() as u64;
            let (bytes, after) = encode_group(&records, chain);
            chain = after;
            groups.push(bytes);
        }
        (groups, chain)
    }
}

impl Arbitrary for Kinds {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut kinds = Vec::new();
        for _ in 0..below(g, 3) {
            for _ in 0..below(g, 4) {
                kinds.push(change(g));
            }
            kinds.push(RecordKind::Commit(Commit {
                time: time(g),
                note: Option::arbitrary(g),
                outside: bool::arbitrary(g),
            }));
        }
        if kinds.is_empty() || below(g, 4) == 0 {
            kinds.push(RecordKind::Checkpoint { upto: 0 });
        }
        Self(kinds)
    }
}

impl Arbitrary for Groups {
    fn arbitrary(g: &mut Gen) -> Self {
        Self((0..=below(g, 6)).map(|_| Kinds::arbitrary(g)).collect())
    }
}

fn below(g: &mut Gen, end: u64) -> u64 {
    u64::arbitrary(g) % end
}

fn time(g: &mut Gen) -> Time {
    Time(i64::arbitrary(g).max(-i64::MAX))
}

fn change(g: &mut Gen) -> RecordKind {
    // Few paths, so that words meet.
    let path = ["a", "b/c", "ü \"quoted\"\\\n", ""][below(g, 4) as usize].to_owned();
    let replaced = bool::arbitrary(g).then(|| was(g));
    match below(g, 5) {
        0 => RecordKind::Remove(Remove { path, was: replaced }),
        1 => {
            let (len, hash, body) = match body(g) {
                (_, hash, Body::InPlace) => (0, hash, Body::Staged(String::arbitrary(g))),
                body => body,
            };
            let offset = u64::arbitrary(g) >> 1;
            let len = len.min(u64::MAX >> 1);
            RecordKind::Append(Append { path, offset, len, hash, was: was(g), body })
        }
        _ => {
            let (len, hash, body) = body(g);
            let (mode, uid, gid) = (u32::arbitrary(g), u32::arbitrary(g), u32::arbitrary(g));
            RecordKind::Put(Put { path, len, hash, mode, uid, gid, was: replaced, body })
        }
    }
}

fn was(g: &mut Gen) -> Was {
    Was {
        size: u64::arbitrary(g),
        mtime: time(g),
        ino: u64::arbitrary(g),
        hash: bool::arbitrary(g).then(|| hash(g)),
    }
}

fn body(g: &mut Gen) -> (u64, Hash, Body) {
    let inline: Option<Vec<u8>> = match below(g, 4) {
        0 => Some(String::arbitrary(g).into_bytes()),
        1 => Some(Vec::arbitrary(g)),
        _ => None,
    };
    match inline {
        Some(bytes) => (bytes.len() as u64, Hash::of(&bytes), Body::Inline(bytes.into())),
        None if bool::arbitrary(g) => {
            (u64::arbitrary(g), hash(g), Body::Staged(String::arbitrary(g)))
        }
        None => (u64::arbitrary(g), hash(g), Body::InPlace),
    }
}

fn hash(g: &mut Gen) -> Hash {
    Hash(u128::arbitrary(g).to_be_bytes())
}
