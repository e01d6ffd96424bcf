//! One line of the journal, and the lines of one group.
//!
//! ```text
//! {"crc":"<8 hex>","rec":{...}}
//! ```
//!
//! and a newline. `crc` is the CRC-32 of the exact bytes of the value of `rec`, in lowercase hex;
//! what is checked is the text as it stands, never a value written out again. Around `rec` every
//! byte is fixed. A newline cannot occur inside a line (JSON escapes it), so empty lines are
//! padding, and `jq` reads any segment.
//!
//! Every `rec` but a segment's header begins with `seq`, `synced` and `kind`. Then, in this order:
//!
//! | kind | fields |
//! | --- | --- |
//! | `put` | `path`, `len`, `hash`, `mode` (a number), `uid`, `gid`, `was`, and the body: `text` (UTF-8), `base64` (anything else), `staged` (a name in `stage/`), or none of them (known by its hash alone); `own` if mode and owner are its own: `true` |
//! | `append` | `path`, `offset` (where the document ended), `len`, `hash`, `was`, and the body as above, never by its hash alone: bytes added at the end |
//! | `remove` | `path`, `was` |
//! | `commit` | `time`, `note` if there is one, `by`: `"outside"` for an adopted outside edit |
//! | `checkpoint` | `upto` |
//!
//! `was` is `null` or `size`, `mtime`, `ino` and, where it is known, `hash`. Times are strings,
//! seconds with nine decimals: as a number, no JSON tool would keep them exact. Fields that a reader
//! does not know mean nothing to it, yet CRC and chain cover them; a kind that it does not know
//! makes it refuse the journal as newer.
//!
//! **A group counts only whole.** Its last line, a `commit` or a `checkpoint`, has one more field,
//! the last: `chain`, the first 32 hex digits of BLAKE3 over the previous chain (its 32 characters;
//! zeros at first), then each record of the group as the raw bytes of `rec` and a newline, the last
//! one with `,"chain":"..."` cut out. The CRC finds a line that a crash tore; the chain finds
//! lines that are whole and not the ones that were written here.

use std::borrow::Cow;
use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::fields::{AppendFields, CheckpointFields, CommitFields, PutFields, RemoveFields};
use crate::{Chain, Hasher, Record, RecordKind};

const BEFORE_CRC: &[u8] = b"{\"crc\":\"";
const BEFORE_REC: &[u8] = b"\",\"rec\":";
const AFTER_REC: &[u8] = b"}";
const CRC_DIGITS: usize = 8;
const CHAIN_DIGITS: usize = 32;
const BEFORE_CHAIN: &str = ",\"chain\":\"";
const AFTER_CHAIN: &str = "\"}";
/// How many bytes of records are hashed at once: of many kilobytes BLAKE3 takes several at a time.
const AT_ONCE: usize = 64 * 1024;

/// Why some bytes are not the line that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The bytes do not begin, go on and end as every line does.
    #[error("it is not a line of a journal")]
    NotALine,
    /// The file ends before the line does.
    #[error("the line has no end")]
    NoEnd,
    /// The bytes are not those that were written.
    #[error("its CRC is {found:08x}, not {written:08x} as written")]
    Crc {
        /// What the line says.
        written: u32,
        /// What its bytes give.
        found: u32,
    },
    /// The CRC is right, but it is not a record.
    #[error("it is not a record: {0}")]
    Malformed(String),
    /// A record, but not the next one.
    #[error("it is the record {found}, where {expected} belongs")]
    Seq {
        /// What belongs here.
        expected: u64,
        /// What stands here.
        found: u64,
    },
    /// The group, or what came before it, is not what was written.
    #[error("its group does not follow from what stands before it")]
    Chain,
    /// The last group has no last record.
    #[error("the group has no end")]
    Unfinished,
    /// The line is sound, and beyond this version of filepact.
    #[error("it needs a newer version of filepact: {0}")]
    Newer(String),
}

/// The bytes of one group, and the chain after it.
///
/// # Panics
/// If the records are not whole transactions and checkpoints, numbered by one.
pub fn encode_group(records: &[Record], before: Chain) -> (Vec<u8>, Chain) {
    assert_group(records);
    let (mut bytes, mut chain, mut recs) = (Vec::new(), ChainHasher::new(before), Recs::default());
    let (last, others) = records.split_last().expect("a group is not empty");
    for record in others {
        recs.add(record);
        if recs.bytes.len() >= AT_ONCE {
            chain.add(&recs);
            recs.move_to(&mut bytes);
        }
    }
    recs.add(last);
    chain.add(&recs);
    let chain = chain.finish();
    recs.end_with(chain);
    recs.move_to(&mut bytes);
    (bytes, chain)
}

/// Records as the chain counts them: each as its raw `rec` and a newline.
#[derive(Default)]
struct Recs {
    bytes: Vec<u8>,
    /// Where each ends, before its newline.
    ends: Vec<usize>,
}

impl Recs {
    fn add(&mut self, record: &Record) {
        encode_rec(&mut self.bytes, record);
        self.end();
    }

    fn end(&mut self) {
        self.ends.push(self.bytes.len());
        self.bytes.push(b'\n');
    }

    /// Puts the chain into the last one, as its last field.
    fn end_with(&mut self, chain: Chain) {
        let end = self.ends.pop().expect("there is a last one");
        self.bytes.truncate(end - 1);
        self.bytes.extend_from_slice(format!("{BEFORE_CHAIN}{chain}{AFTER_CHAIN}").as_bytes());
        self.end();
    }

    /// Moves them to the end of `out`, as lines.
    fn move_to(&mut self, out: &mut Vec<u8>) {
        let mut begin = 0;
        for end in self.ends.drain(..) {
            push_line(out, &self.bytes[begin..end]);
            begin = end + 1;
        }
        self.bytes.clear();
    }
}

fn assert_group(records: &[Record]) {
    assert!(!records.is_empty(), "a group is not empty");
    let first = records[0].seq;
    let mut structure = Structure::default();
    for (record, seq) in records.iter().zip(first..) {
        assert_eq!(record.seq, seq, "records are numbered by one");
        assert!(record.synced < first, "nothing of a group is synced before the group is");
        assert!(structure.admits(record), "a checkpoint is not part of a transaction");
    }
    assert!(structure.is_whole(), "a group is made of whole transactions");
}

/// Whether records make up whole transactions; the same rule for writing and for reading.
#[derive(Debug, Default)]
pub(crate) struct Structure {
    open: bool,
}

impl Structure {
    /// Takes the next record; `false` if it cannot stand here.
    pub(crate) fn admits(&mut self, record: &Record) -> bool {
        match record.kind {
            RecordKind::Put(_) | RecordKind::Append(_) | RecordKind::Remove(_) => self.open = true,
            RecordKind::Commit(_) => self.open = false,
            RecordKind::Checkpoint { upto } => return !self.open && upto < record.seq,
        }
        true
    }

    /// Whether a group can end here.
    pub(crate) fn is_whole(&self) -> bool {
        !self.open
    }
}

/// The chain of a group, while its records come by.
#[derive(Debug)]
pub(crate) struct ChainHasher(Hasher);

impl ChainHasher {
    pub(crate) fn new(before: Chain) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(before.to_string().as_bytes());
        Self(hasher)
    }

    /// The next records, without a chain in them.
    fn add(&mut self, recs: &Recs) {
        self.0.update(&recs.bytes);
    }

    /// The raw `rec` of the next record; of the last one, without its chain.
    fn update(&mut self, rec: &[u8]) {
        self.0.update(rec);
        self.0.update(b"\n");
    }

    /// The next record as it was read: what its own chain must be, if it has one.
    pub(crate) fn follow(&mut self, line: &Line<'_>) -> Chain {
        if line.chain.is_some() {
            let end = line.rec.len() - BEFORE_CHAIN.len() - CHAIN_DIGITS - AFTER_CHAIN.len();
            self.0.update(&line.rec[..end]);
            self.update(b"}");
        } else {
            self.update(line.rec);
        }
        self.finish()
    }

    fn finish(&self) -> Chain {
        Chain(self.0.finish().0)
    }
}

/// Adds the line around `rec` to `bytes`.
pub(crate) fn push_line(bytes: &mut Vec<u8>, rec: &[u8]) {
    bytes.extend_from_slice(BEFORE_CRC);
    write!(bytes, "{:08x}", crc32fast::hash(rec)).expect("memory takes everything");
    bytes.extend_from_slice(BEFORE_REC);
    bytes.extend_from_slice(rec);
    bytes.extend_from_slice(AFTER_REC);
    bytes.push(b'\n');
}

/// The raw text of `rec` in a line without its newline, if the CRC is right.
pub(crate) fn unwrap_line(line: &[u8]) -> Result<&str, LineError> {
    let after_crc = line.strip_prefix(BEFORE_CRC).ok_or(LineError::NotALine)?;
    let (digits, rest) = after_crc.split_at_checked(CRC_DIGITS).ok_or(LineError::NotALine)?;
    let rec = rest
        .strip_prefix(BEFORE_REC)
        .and_then(|rest| rest.strip_suffix(AFTER_REC))
        .ok_or(LineError::NotALine)?;
    let written = parse_crc(digits).ok_or(LineError::NotALine)?;
    let found = crc32fast::hash(rec);
    if found != written {
        return Err(LineError::Crc { written, found });
    }
    let rec = str::from_utf8(rec).map_err(|_| malformed("it is not UTF-8"))?;
    // serde would take an array of the fields as well.
    if rec.starts_with('{') { Ok(rec) } else { Err(malformed("it is not an object")) }
}

/// One spelling only, as everywhere: a flipped bit must not pass for another spelling.
fn parse_crc(digits: &[u8]) -> Option<u32> {
    let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !digits.iter().all(lower) {
        return None;
    }
    u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

pub(crate) fn malformed(reason: &str) -> LineError {
    LineError::Malformed(reason.to_owned())
}

/// A record as it stands in a journal.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) record: Record,
    /// Set in the last record of a group.
    pub(crate) chain: Option<Chain>,
    rec: &'a [u8],
}

/// The record with number `expected` from a line without its newline.
pub(crate) fn parse_line(line: &[u8], expected: u64) -> Result<Line<'_>, LineError> {
    let rec = unwrap_line(line)?;
    let head: Head<'_> = from_json(rec)?;
    // Before the kind is looked at: what does not belong here says nothing about its version.
    if head.seq != expected {
        return Err(LineError::Seq { expected, found: head.seq });
    }
    let kind = match &*head.kind {
        "put" => from_json::<PutFields<'_>>(rec)?.decode()?,
        "append" => from_json::<AppendFields<'_>>(rec)?.decode()?,
        "remove" => from_json::<RemoveFields<'_>>(rec)?.decode(),
        "commit" => from_json::<CommitFields<'_>>(rec)?.decode()?,
        "checkpoint" => from_json::<CheckpointFields>(rec)?.decode(),
        other => return Err(LineError::Newer(format!("a record of kind `{other}`"))),
    };
    if let Some(chain) = head.chain {
        let tail = format!("{BEFORE_CHAIN}{chain}{AFTER_CHAIN}");
        if !rec.ends_with(&tail) {
            return Err(malformed("`chain` is not its last field"));
        }
        if !matches!(kind, RecordKind::Commit(_) | RecordKind::Checkpoint { .. }) {
            return Err(malformed("a change cannot end a group"));
        }
    }
    let record = Record { seq: head.seq, synced: head.synced, kind };
    Ok(Line { record, chain: head.chain, rec: rec.as_bytes() })
}

/// The highest `synced` of any line in `bytes` that verifies, wherever it begins.
///
/// It is looked for at every place where a line could begin and not only after newlines: damage can
/// swallow the newline before a line. What begins a line cannot occur within one, since JSON
/// escapes its quotes.
pub(crate) fn highest_synced(bytes: &[u8]) -> Option<u64> {
    // What stands behind the last newline has no end.
    let ended = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let synced = bytes[..ended].split(|byte| *byte == b'\n').flat_map(|line| {
        let starts = line.windows(BEFORE_CRC.len()).enumerate();
        let starts = starts.filter(|(_, window)| *window == BEFORE_CRC);
        starts.filter_map(|(start, _)| {
            let head: Head<'_> = from_json(unwrap_line(&line[start..]).ok()?).ok()?;
            (head.synced < head.seq).then_some(head.synced)
        })
    });
    synced.max()
}

/// Adds the raw `rec` to `out`.
fn encode_rec(out: &mut Vec<u8>, record: &Record) {
    let kind = match &record.kind {
        RecordKind::Put(_) => "put",
        RecordKind::Append(_) => "append",
        RecordKind::Remove(_) => "remove",
        RecordKind::Commit(_) => "commit",
        RecordKind::Checkpoint { .. } => "checkpoint",
    };
    let head = Head { seq: record.seq, synced: record.synced, kind: kind.into(), chain: None };
    match &record.kind {
        RecordKind::Put(put) => join(out, &head, &PutFields::of(put)),
        RecordKind::Append(append) => join(out, &head, &AppendFields::of(append)),
        RecordKind::Remove(remove) => join(out, &head, &RemoveFields::of(remove)),
        RecordKind::Commit(commit) => join(out, &head, &CommitFields::of(commit)),
        RecordKind::Checkpoint { upto } => join(out, &head, &CheckpointFields::of(*upto)),
    }
}

/// Adds one JSON object with the fields of two to `out`.
pub(crate) fn join(out: &mut Vec<u8>, head: &impl Serialize, rest: &impl Serialize) {
    push_json(out, head);
    out.pop();
    let joint = out.len();
    push_json(out, rest);
    out[joint] = b',';
}

fn push_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("these fields are always JSON");
}

pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these fields are always JSON")
}

pub(crate) fn from_json<'a, T: Deserialize<'a>>(rec: &'a str) -> Result<T, LineError> {
    serde_json::from_str(rec).map_err(|error| LineError::Malformed(error.to_string()))
}

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    seq: u64,
    synced: u64,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain: Option<Chain>,
}

#[cfg(test)]
mod tests;
