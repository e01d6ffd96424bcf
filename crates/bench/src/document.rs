//! What is written: JSON documents of a given size, another content in each commit.

use serde::{Deserialize, Serialize};

/// A document as a program would hold it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Document {
    rows: Vec<Entry>,
    pad: String,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    name: String,
    cents: u64,
    open: bool,
}

const HEAD: &str = "{\n  \"rows\": [\n";
const NAME: &str = "    {\"name\": \"";
const REST: &str = "\", \"cents\": 1234567, \"open\": true}";
const PAD: &str = "\n  ],\n  \"pad\": \"";
const TAIL: &str = "\"\n}\n";
/// The hexadecimal digits of a name; the first ones hold the number of the content.
const DIGITS: usize = 16;

/// A body that can be changed all over in little time.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    /// Where the names begin.
    names: Vec<usize>,
}

impl Body {
    /// The smallest one, in bytes.
    pub(crate) const MIN: usize =
        HEAD.len() + NAME.len() + DIGITS + REST.len() + PAD.len() + TAIL.len();

    /// A document of exactly so many bytes, which are at least [`MIN`](Self::MIN).
    pub(crate) fn new(len: usize) -> Self {
        assert!(len >= Self::MIN, "a document has at least one row");
        let (mut bytes, mut names) = (HEAD.as_bytes().to_vec(), Vec::new());
        let end = PAD.len() + TAIL.len();
        let row = NAME.len() + DIGITS + REST.len() + ",\n".len();
        while names.is_empty() || bytes.len() + row + end <= len {
            if !names.is_empty() {
                bytes.extend(b",\n");
            }
            bytes.extend(NAME.as_bytes());
            names.push(bytes.len());
            bytes.extend([b'0'; DIGITS]);
            bytes.extend(REST.as_bytes());
        }
        bytes.extend(PAD.as_bytes());
        bytes.resize(len - TAIL.len(), b'x');
        bytes.extend(TAIL.as_bytes());
        Self { bytes, names }
    }

    /// Makes it content `number`: every row has another name than before, so that no page of a file
    /// and no row of a table stays what it was.
    pub(crate) fn set(&mut self, number: u64) {
        let mut random = number;
        for (index, at) in self.names.iter().enumerate() {
            let name = match index {
                0 => number,
                _ => next(&mut random),
            };
            for (digit, byte) in self.bytes[*at..*at + DIGITS].iter_mut().enumerate() {
                *byte = b"0123456789abcdef"[(name >> (60 - 4 * digit) & 15) as usize];
            }
        }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The number of the content that these bytes of a document are.
pub(crate) fn number_of(bytes: &[u8]) -> Option<u64> {
    let at = HEAD.len() + NAME.len();
    u64::from_str_radix(std::str::from_utf8(bytes.get(at..at + DIGITS)?).ok()?, 16).ok()
}

/// SplitMix64: another number for every call, the same ones in every run.
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The path of document `index` of many: a thousand to a folder.
pub(crate) fn path(index: u64) -> String {
    format!("documents/{:04}/{:03}.json", index / 1000, index % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_size_that_was_asked_for_and_is_a_document() {
        for len in [Body::MIN, Body::MIN + 1, 256, 1024, 65536] {
            let mut body = Body::new(len);
            body.set(len as u64);
            assert_eq!(body.bytes().len(), len);
            assert_eq!(number_of(body.bytes()), Some(len as u64));
            let document: Document = serde_json::from_slice(body.bytes()).unwrap();
            assert_eq!(document.rows.len(), body.names.len());
        }
    }

    #[test]
    fn another_number_changes_every_page() {
        let mut body = Body::new(65536);
        body.set(1);
        let before = body.clone();
        body.set(2);
        let changed = before.bytes().chunks(4096).zip(body.bytes().chunks(4096));
        assert!(changed.into_iter().all(|(before, after)| before != after));
    }
}
