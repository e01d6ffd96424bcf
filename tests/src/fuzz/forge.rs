//! The journal's format, written a second time: to read what the library wrote, and to write what it
//! must not believe.
//!
//! A journal is a text here. `@7` on a line of its own begins the segment that is named by seq 7;
//! what stands before the first such line belongs to segment 1.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use filepact_journal::{Hash, Hasher};
use serde_json::Value;

const BEFORE_CRC: &[u8] = b"{\"crc\":\"";
const BEFORE_REC: &[u8] = b"\",\"rec\":";
const CHAIN: &[u8] = b"\"chain\":\"";
/// The chain before the first group.
pub const ZERO: &str = "00000000000000000000000000000000";

/// Segments by their first seq.
pub type Segments = BTreeMap<u64, Vec<u8>>;

/// What is put right after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    Nothing,
    /// The CRC of each line, and the length and hash of a body beside it.
    Lines,
    /// That, and the chain of each group and header.
    Chains,
}

/// The segments of a text; of two with one name the last counts.
pub fn parse(text: &[u8]) -> Segments {
    let mut segments = Segments::new();
    let mut first = 1;
    let mut bytes = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let name = line.strip_prefix(b"@").and_then(|rest| {
            let digits = rest.strip_suffix(b"\n").unwrap_or(rest);
            str::from_utf8(digits).ok()?.parse().ok()
        });
        let Some(name) = name else {
            bytes.extend_from_slice(line);
            continue;
        };
        if !bytes.is_empty() {
            segments.insert(first, std::mem::take(&mut bytes));
        }
        first = name;
        segments.insert(first, Vec::new());
    }
    if !bytes.is_empty() {
        segments.insert(first, bytes);
    }
    segments
}

/// The text of some segments; padding at their ends is left out.
pub fn print(segments: &Segments) -> Vec<u8> {
    let mut text = Vec::new();
    for (first, bytes) in segments {
        text.extend_from_slice(format!("@{first}\n").as_bytes());
        text.extend_from_slice(bytes.trim_ascii_end());
        text.push(b'\n');
    }
    text
}

/// The line around `rec`, with its newline.
pub fn line(rec: &[u8]) -> Vec<u8> {
    let crc = format!("{:08x}", crc32fast::hash(rec));
    [BEFORE_CRC, crc.as_bytes(), BEFORE_REC, rec, b"}\n"].concat()
}

/// What a line without its newline holds, whatever its CRC says; `None` if it is no line.
pub fn unframe(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (crc, rest) = line.strip_prefix(BEFORE_CRC)?.split_at_checked(8)?;
    Some((crc, rest.strip_prefix(BEFORE_REC)?.strip_suffix(b"}")?))
}

/// Where the digits of the chain stand in the last record of a group.
fn chain_at(rec: &[u8]) -> Option<usize> {
    let at = rec.len().checked_sub(CHAIN.len() + 1 + 32 + 2)?;
    let begins = rec[at] == b',' && rec[at + 1..].starts_with(CHAIN);
    (begins && rec.ends_with(b"\"}")).then_some(at + 1 + CHAIN.len())
}

/// The chain after a group of these records, the last of which may have its chain or not.
fn chain(before: &str, group: &[Vec<u8>]) -> String {
    let mut hasher = Hasher::new();
    hasher.update(before.as_bytes());
    for rec in group {
        match chain_at(rec) {
            Some(at) => {
                hasher.update(&rec[..at - CHAIN.len() - 1]);
                hasher.update(b"}");
            }
            None => hasher.update(rec),
        }
        hasher.update(b"\n");
    }
    hasher.finish().to_string()
}

/// Ends a group: the records as lines, the last one with its chain, and the chain.
pub fn group(before: &str, recs: &[&str]) -> (Vec<u8>, String) {
    let recs: Vec<Vec<u8>> = recs.iter().map(|rec| rec.as_bytes().to_vec()).collect();
    let after = chain(before, &recs);
    let mut bytes = Vec::new();
    for (at, mut rec) in recs.iter().cloned().enumerate() {
        if at + 1 == recs.len() {
            rec.pop();
            rec.extend_from_slice(format!(",\"chain\":\"{after}\"}}").as_bytes());
        }
        bytes.extend_from_slice(&line(&rec));
    }
    (bytes, after)
}

/// Puts checksums right in all lines that are framed as lines.
pub fn repair(segments: &mut Segments, how: Repair) {
    if how == Repair::Nothing {
        return;
    }
    // The chain after each seq that ends a group.
    let mut chains = HashMap::from([(0, ZERO.to_owned())]);
    for (first, bytes) in segments {
        let mut running = first.checked_sub(1).and_then(|last| chains.get(&last).cloned());
        let mut group: Vec<Vec<u8>> = Vec::new();
        let mut repaired = Vec::with_capacity(bytes.len());
        for (at, whole) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let Some((_, rec)) = whole.strip_suffix(b"\n").and_then(unframe) else {
                repaired.extend_from_slice(whole);
                continue;
            };
            let mut rec = repair_body(rec).unwrap_or_else(|| rec.to_vec());
            if at == 0 {
                running = repair_header(&mut rec, how, running);
            } else {
                group.push(rec.clone());
                if let Some(digits) = chain_at(&rec) {
                    let after = chain(running.as_deref().unwrap_or(ZERO), &group);
                    if how == Repair::Chains {
                        rec[digits..digits + 32].copy_from_slice(after.as_bytes());
                    }
                    if let Some(seq) = number(&rec, "seq") {
                        chains.insert(seq, after.clone());
                    }
                    running = Some(after);
                    group.clear();
                }
            }
            repaired.extend_from_slice(&line(&rec));
        }
        *bytes = repaired;
    }
}

/// The header's chain follows from what stands before it, where that is here. Answers what it says.
fn repair_header(rec: &mut [u8], how: Repair, running: Option<String>) -> Option<String> {
    let at = find(rec, CHAIN)? + CHAIN.len();
    let digits = rec.get_mut(at..at + 32)?;
    if let Some(running) = running.filter(|_| how == Repair::Chains) {
        digits.copy_from_slice(running.as_bytes());
    }
    Some(String::from_utf8_lossy(digits).into_owned())
}

/// A record with the length and the hash of the body that it holds.
pub fn repair_body(rec: &[u8]) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_slice(rec).ok()?;
    let body = match (value.get("text"), value.get("base64")) {
        (Some(Value::String(text)), None) => text.clone().into_bytes(),
        (None, Some(Value::String(base64))) => BASE64.decode(base64).ok()?,
        _ => return None,
    };
    let rec = replace(rec, b"\"len\":", u8::is_ascii_digit, &body.len().to_string())?;
    replace(&rec, b"\"hash\":\"", |byte| *byte != b'"', &Hash::of(&body).to_string())
}

/// `rec` with what stands behind `key`, as far as `part` says, replaced.
fn replace(rec: &[u8], key: &[u8], part: impl Fn(&u8) -> bool, by: &str) -> Option<Vec<u8>> {
    let at = find(rec, key)? + key.len();
    let len = rec[at..].iter().take_while(|byte| part(byte)).count();
    Some([&rec[..at], by.as_bytes(), &rec[at + len..]].concat())
}

/// A number among the fields of a record.
pub fn number(rec: &[u8], field: &str) -> Option<u64> {
    serde_json::from_slice::<Value>(rec).ok()?.get(field)?.as_u64()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Checks the bytes of a group by the format's own words: every line framed, its CRC right, numbered
/// by one from `first`, the chain over all of them. Answers the last seq and the chain after it.
///
/// # Errors
/// What is not as the format says.
pub fn verify_group(bytes: &[u8], before: &str, first: u64) -> Result<(u64, String), String> {
    let mut group = Vec::new();
    let mut seq = first;
    for text in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (crc, rec) = unframe(text).ok_or("not framed")?;
        if crc != format!("{:08x}", crc32fast::hash(rec)).as_bytes() {
            return Err(format!("the CRC of record {seq}"));
        }
        if number(rec, "seq") != Some(seq) {
            return Err(format!("record {seq} is not in its place"));
        }
        group.push(rec.to_vec());
        if let Some(at) = chain_at(rec) {
            let after = chain(before, &group);
            if rec[at..at + 32] != *after.as_bytes() {
                return Err(format!("the chain after record {seq}"));
            }
            let length: usize = group.iter().map(|rec| line(rec).len()).sum();
            let lines = bytes.iter().filter(|byte| **byte != b'\n').count();
            if length - group.len() != lines {
                return Err(format!("more than a group up to record {seq}"));
            }
            return Ok((seq, after));
        }
        seq += 1;
    }
    Err(format!("no end before record {seq}"))
}

#[cfg(test)]
mod tests {
    use filepact_journal::{Chain, RecordKind, encode_group};

    use super::*;

    const FIXTURE: &[u8] = include_bytes!("../../../crates/journal/fixtures/group.jsonl");

    #[test]
    fn the_format_is_the_same_both_times() {
        let (last, after) = verify_group(FIXTURE, ZERO, 2).unwrap();
        assert_eq!(last, 6);
        let lines: Vec<&str> = str::from_utf8(FIXTURE).unwrap().lines().collect();
        let mut recs: Vec<&str> = lines
            .iter()
            .map(|line| str::from_utf8(unframe(line.as_bytes()).unwrap().1).unwrap())
            .collect();
        let end = format!("{}}}", recs.pop().unwrap().split_once(",\"chain\"").unwrap().0);
        recs.push(&end);
        assert_eq!(group(ZERO, &recs), (FIXTURE.to_vec(), after));
    }

    #[test]
    fn a_changed_journal_is_repaired_into_a_sound_one() {
        let header = filepact_journal::Header {
            store: "5eed".into(),
            first: 1,
            checkpoint: 0,
            chain: Chain::ZERO,
            time: filepact_fs::Time(0),
        };
        let kinds = filepact_journal::arbitrary::transaction("a", b"body");
        let record =
            |(seq, kind): (u64, RecordKind)| filepact_journal::Record { seq, synced: 0, kind };
        let records: Vec<_> = (1..).zip(kinds).map(record).collect();
        let bytes = [header.encode(), encode_group(&records, Chain::ZERO).0].concat();
        let text = String::from_utf8(bytes).unwrap().replace("\"text\":\"body\"", "\"text\":\"!\"");
        let mut segments = parse(text.as_bytes());
        repair(&mut segments, Repair::Chains);
        let scan = filepact_journal::scan(&[(1, &segments[&1])], Some(2)).unwrap();
        assert_eq!(scan.groups[0].records[0].kind, filepact_journal::arbitrary::put("a", b"!"));
        assert_eq!(parse(&print(&segments)), segments);
    }
}
