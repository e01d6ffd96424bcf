//! Records for tests: arbitrary ones, and the plainest.
//!
//! The generators read bytes. So one generator serves the fuzzer, which steers the bytes by what the
//! code does with them, and quickcheck, which draws them.

use arbitrary::{Arbitrary, Result, Unstructured};
use filepact_fs::Time;

use crate::{
    Append, Body, Chain, Commit, Hash, Put, Record, RecordKind, Remove, Was, encode_group,
};

/// A put of a small body.
pub fn put(path: &str, body: &[u8]) -> RecordKind {
    RecordKind::Put(Put {
        path: path.into(),
        len: body.len() as u64,
        hash: Hash::of(body),
        mode: 0o644,
        uid: 0,
        gid: 0,
        was: None,
        body: Body::Inline(body.into()),
        own: false,
    })
}

/// An append of a few bytes.
pub fn append(path: &str, offset: u64, bytes: &[u8]) -> RecordKind {
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
pub fn transaction(path: &str, body: &[u8]) -> Vec<RecordKind> {
    vec![put(path, body), RecordKind::Commit(Commit::default())]
}

/// The records of one group: whole transactions, and sometimes a checkpoint at the end.
#[derive(Clone, Debug)]
pub struct Kinds(pub Vec<RecordKind>);

/// Several groups.
#[derive(Clone, Debug)]
pub struct Groups(pub Vec<Kinds>);

impl Kinds {
    /// The records, numbered from `first`, as one writer writes them who syncs every group.
    pub fn number(self, first: u64) -> Vec<Record> {
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
    pub fn encode(self, mut first: u64, mut chain: Chain) -> (Vec<Vec<u8>>, Chain) {
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

impl<'a> Arbitrary<'a> for Kinds {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut kinds = Vec::new();
        for _ in 0..u.int_in_range(0..=2)? {
            for _ in 0..u.int_in_range(0..=3)? {
                kinds.push(change(u)?);
            }
            let note = if u.arbitrary()? { Some(text(u)?) } else { None };
            let commit = Commit { time: Time(u.arbitrary()?), note, outside: u.arbitrary()? };
            kinds.push(RecordKind::Commit(commit));
        }
        if kinds.is_empty() || u.ratio(1, 4)? {
            kinds.push(RecordKind::Checkpoint { upto: 0 });
        }
        Ok(Self(kinds))
    }
}

impl<'a> Arbitrary<'a> for Groups {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let count = u.int_in_range(1..=6)?;
        Ok(Self((0..count).map(|_| Kinds::arbitrary(u)).collect::<Result<_>>()?))
    }
}

fn change(u: &mut Unstructured<'_>) -> Result<RecordKind> {
    // Few paths, so that words meet.
    let path = (*u.choose(&["a", "b/c", "ü \"quoted\"\\\n", ""])?).to_owned();
    Ok(match u.int_in_range(0..=4)? {
        0 => RecordKind::Remove(Remove { path, was: replaced(u)? }),
        1 => {
            let (len, hash, body) = match body(u)? {
                (_, hash, Body::InPlace) => (0, hash, Body::Staged(text(u)?)),
                body => body,
            };
            // No file is longer than an `i64` says.
            let offset = u.arbitrary::<u64>()? >> 1;
            let len = len.min(u64::MAX >> 1);
            RecordKind::Append(Append { path, offset, len, hash, was: was(u)?, body })
        }
        _ => {
            let (len, hash, body) = body(u)?;
            let (mode, uid, gid) = u.arbitrary()?;
            let (was, own) = (replaced(u)?, u.arbitrary()?);
            RecordKind::Put(Put { path, len, hash, mode, uid, gid, was, body, own })
        }
    })
}

fn replaced(u: &mut Unstructured<'_>) -> Result<Option<Was>> {
    if u.arbitrary()? { was(u).map(Some) } else { Ok(None) }
}

fn was(u: &mut Unstructured<'_>) -> Result<Was> {
    Ok(Was {
        size: u.arbitrary()?,
        mtime: Time(u.arbitrary()?),
        ino: u.arbitrary()?,
        hash: if u.arbitrary()? { Some(Hash(u.arbitrary()?)) } else { None },
    })
}

fn body(u: &mut Unstructured<'_>) -> Result<(u64, Hash, Body)> {
    let inline = match u.int_in_range(0..=4)? {
        0 => return Ok((u.arbitrary()?, Hash(u.arbitrary()?), Body::Staged(text(u)?))),
        1 => return Ok((u.arbitrary()?, Hash(u.arbitrary()?), Body::InPlace)),
        2 => Vec::arbitrary(u)?,
        _ => text(u)?.into_bytes(),
    };
    Ok((inline.len() as u64, Hash::of(&inline), Body::Inline(inline.into())))
}

/// A short text; characters that JSON escapes come often.
pub fn text(u: &mut Unstructured<'_>) -> Result<String> {
    let len = u.int_in_range(0..=12)?;
    (0..len)
        .map(|_| match u.int_in_range(0..=7)? {
            0 => u.choose(&['"', '\\', '\n', '\0', '\u{7f}', '\u{2028}', '/']).copied(),
            1 => u.arbitrary(),
            _ => u.int_in_range(b' '..=b'~').map(char::from),
        })
        .collect()
}

/// The same generators, with bytes that quickcheck draws.
#[cfg(test)]
mod drawn {
    use arbitrary::{Arbitrary, Unstructured};
    use quickcheck::Gen;

    fn draw<T: for<'a> Arbitrary<'a>>(g: &mut Gen) -> T {
        let bytes: Vec<u8> = (0..1_024).map(|_| quickcheck::Arbitrary::arbitrary(g)).collect();
        Unstructured::new(&bytes).arbitrary().expect("where bytes run out, zeros are read")
    }

    impl quickcheck::Arbitrary for super::Kinds {
        fn arbitrary(g: &mut Gen) -> Self {
            draw(g)
        }
    }

    impl quickcheck::Arbitrary for super::Groups {
        fn arbitrary(g: &mut Gen) -> Self {
            draw(g)
        }
    }
}
