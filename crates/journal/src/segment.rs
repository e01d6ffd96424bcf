//! A segment: one file of the journal.
//!
//! Segments lie in [`JOURNAL_DIR`] and are named by the seq of their first record, 20 digits and
//! `.jsonl`. The first line is the header, framed like every line:
//!
//! | field | |
//! | --- | --- |
//! | `kind` | `"segment"` |
//! | `format` | 1 |
//! | `needs` | `[]`: names of features that a reader must know |
//! | `store` | the store's id |
//! | `first` | seq of the first record, as in the file's name |
//! | `checkpoint` | everything to this seq is durable without the journal |
//! | `chain` | the chain before the first record |
//! | `time` | when it was born |
//!
//! Then groups, then newlines to the end. A segment is born at its full size with a header and
//! whole groups in it, and never grows: an append overwrites blocks that are already written, so
//! that its sync needs no commit of the file system's own journal.

use filepact_fs::Time;
use serde::{Deserialize, Serialize};

use crate::fields::as_text;
use crate::line::{from_json, join, push_line, unwrap_line};
use crate::{Chain, LineError};

/// The directory of the segments, beneath the root.
pub const JOURNAL_DIR: &str = ".filepact/journal";

/// What fills the rest of a segment.
pub(crate) const PADDING: u8 = b'\n';

const FORMAT: u64 = 1;
const KIND: &str = "segment";
const SUFFIX: &str = ".jsonl";
const NAME_DIGITS: usize = 20;
pub(crate) const SMALLEST_BYTES: u64 = 64 * 1024;
/// What is read in a moment, and good to look back at.
pub(crate) const LONG_BYTES: u64 = 1024 * 1024;
/// Only a larger group makes a larger segment.
pub(crate) const LARGEST_BYTES: u64 = 4 * 1024 * 1024;
/// No store gets this far, and no sum that begins below it overflows.
const LAST_SEQ: u64 = u64::MAX / 2;

/// The first line of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The store's id.
    pub store: String,
    /// The seq of the segment's first record, at least 1.
    pub first: u64,
    /// Everything to this seq is durable without the journal; below `first`.
    pub checkpoint: u64,
    /// The chain before the first record.
    pub chain: Chain,
    /// When the segment was born.
    pub time: Time,
}

impl Header {
    /// The header's line.
    pub fn encode(&self) -> Vec<u8> {
        let format = FormatFields { kind: KIND.to_owned(), format: FORMAT, needs: Vec::new() };
        let rest = HeaderFields {
            store: self.store.clone(),
            first: self.first,
            checkpoint: self.checkpoint,
            chain: self.chain,
            time: self.time,
        };
        let (mut header, mut line) = (Vec::new(), Vec::new());
        join(&mut header, &format, &rest);
        push_line(&mut line, &header);
        line
    }

    /// The header at the start of a segment, and its length in bytes with its newline.
    ///
    /// # Errors
    /// [`LineError::Newer`] if it is sound, but of another format or in need of a feature.
    pub fn parse(segment: &[u8]) -> Result<(Self, usize), LineError> {
        let end = segment.iter().position(|byte| *byte == PADDING).ok_or(LineError::NoEnd)?;
        let rec = unwrap_line(&segment[..end])?;
        let FormatFields { kind, format, needs } = from_json(rec)?;
        if kind != KIND {
            return Err(LineError::Malformed(format!("a segment cannot begin with `{kind}`")));
        }
        if format != FORMAT {
            return Err(LineError::Newer(format!("the journal has format {format}")));
        }
        if let Some(feature) = needs.first() {
            return Err(LineError::Newer(format!("the journal needs `{feature}`")));
        }
        let HeaderFields { store, first, checkpoint, chain, time } = from_json(rec)?;
        if !(1..=LAST_SEQ).contains(&first) || checkpoint >= first {
            return Err(LineError::Malformed("its numbers do not fit together".to_owned()));
        }
        Ok((Self { store, first, checkpoint, chain, time }, end + 1))
    }
}

/// What tells whether the rest can be read.
#[derive(Serialize, Deserialize)]
struct FormatFields {
    kind: String,
    format: u64,
    needs: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct HeaderFields {
    store: String,
    first: u64,
    checkpoint: u64,
    chain: Chain,
    #[serde(with = "as_text")]
    time: Time,
}

/// The file name of the segment that begins with this seq.
pub fn segment_name(first: u64) -> String {
    format!("{first:0width$}{SUFFIX}", width = NAME_DIGITS)
}

/// The path of that segment, beneath the root.
pub fn segment_path(first: u64) -> String {
    format!("{JOURNAL_DIR}/{}", segment_name(first))
}

/// The seq in a segment's file name; `None` for every other name.
pub fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    if digits.len() != NAME_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|first| (1..=LAST_SEQ).contains(first))
}

/// The full size of a segment that is born after one of `previous` bytes (0 if there is none) and
/// with `needed` bytes in it.
pub(crate) fn birth_size(previous: u64, needed: u64) -> u64 {
    let doubled = previous.saturating_mul(2).clamp(SMALLEST_BYTES, LARGEST_BYTES);
    doubled.max(needed).next_multiple_of(SMALLEST_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            store: "5eed".into(),
            first: 7,
            checkpoint: 6,
            chain: Chain([0xab; 16]),
            time: Time(1_500_000_000),
        }
    }

    #[test]
    fn the_bytes_of_a_header_are_these() {
        let line = String::from_utf8(header().encode()).unwrap();
        assert_eq!(
            line.split_once("\"rec\":").unwrap().1,
            "{\"kind\":\"segment\",\"format\":1,\"needs\":[],\"store\":\"5eed\",\"first\":7,\
             \"checkpoint\":6,\"chain\":\"abababababababababababababababab\",\
             \"time\":\"1.500000000\"}}\n"
        );
        assert_eq!(Header::parse(line.as_bytes()), Ok((header(), line.len())));
    }

    #[test]
    fn a_header_that_is_newer_is_told_from_one_that_is_damaged() {
        let with = |from: &str, to: &str| {
            let line = String::from_utf8(header().encode()).unwrap();
            let rec = line.split_once("\"rec\":").unwrap().1.strip_suffix("}\n").unwrap();
            let mut line = Vec::new();
            push_line(&mut line, rec.replace(from, to).as_bytes());
            Header::parse(&line).unwrap_err()
        };
        assert!(matches!(with("\"format\":1", "\"format\":2"), LineError::Newer(_)));
        assert!(matches!(with("\"needs\":[]", "\"needs\":[\"zstd\"]"), LineError::Newer(_)));
        assert!(matches!(with(",\"needs\":[]", ""), LineError::Malformed(_)));
        assert!(matches!(with("\"segment\"", "\"put\""), LineError::Malformed(_)));
        assert!(matches!(with("\"first\":7", "\"first\":0"), LineError::Malformed(_)));
        assert!(matches!(with("\"first\":7", "\"first\":6"), LineError::Malformed(_)));
        let line = header().encode();
        assert_eq!(Header::parse(&line[..line.len() - 1]), Err(LineError::NoEnd));
    }

    #[test]
    fn a_segment_is_named_by_its_first_seq() {
        assert_eq!(segment_name(1), "00000000000000000001.jsonl");
        for first in [1, 7, LAST_SEQ] {
            assert_eq!(parse_segment_name(&segment_name(first)), Some(first));
        }
        for other in [
            "new",
            "1.jsonl",
            "00000000000000000000.jsonl",
            "00000000000000000001.jsonl.gz",
            "+0000000000000000001.jsonl",
            "99999999999999999999.jsonl",
        ] {
            assert_eq!(parse_segment_name(other), None, "{other}");
        }
    }

    #[test]
    fn segments_double_and_fit_their_first_group() {
        const KIB: u64 = 1024;
        assert_eq!(birth_size(0, 300), 64 * KIB);
        assert_eq!(birth_size(64 * KIB, 300), 128 * KIB);
        assert_eq!(birth_size(4096 * KIB, 300), 4096 * KIB);
        assert_eq!(birth_size(64 * KIB, 200 * KIB), 256 * KIB);
        assert_eq!(birth_size(9999 * KIB, 5000 * KIB), 5056 * KIB);
        assert_eq!(birth_size(40_000, 300), 128 * KIB);
    }
}
