//! A record reads back as it was written; a line that was changed is noticed, unless it still says
//! the same; and what is read from a line is what its JSON says.
//!
//! The first byte says what the rest is. `t` and `h`: the text of a `rec`, around which a sound line
//! is put; with `h`, length and hash of its body are put right. Anything else: a group read from the
//! bytes, and changes to its bytes.

use std::fmt::Write as _;

use arbitrary::{Arbitrary as _, Unstructured};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use filepact_fs::Time;
use filepact_journal::arbitrary::Kinds;
use filepact_journal::{
    Append, Body, Chain, Hash, Header, Put, Record, RecordKind, Remove, Scan, ScanError, Was,
    encode_group, scan,
};
use serde_json::{Map, Value};

use super::Target;
use super::forge;

/// See the module.
pub const TARGET: Target = Target { name: "record_line", run, explain, seeds };

fn run(input: &[u8]) {
    match input.split_first() {
        Some((b't', rec)) => text(rec),
        Some((b'h', rec)) => text(&forge::repair_body(rec).unwrap_or_else(|| rec.to_vec())),
        Some((_, bytes)) => drop(structured(&mut Unstructured::new(bytes))),
        None => {}
    }
}

/// Before the group: a header and a first group, so that what does not verify is torn, not damaged.
fn begin() -> (Vec<u8>, Chain) {
    let (store, time) = ("5eed".to_owned(), Time(0));
    let mut bytes = Header { store, first: 1, checkpoint: 0, chain: Chain::ZERO, time }.encode();
    let kind = RecordKind::Checkpoint { upto: 0 };
    let (lines, chain) = encode_group(&[Record { seq: 1, synced: 0, kind }], Chain::ZERO);
    bytes.extend_from_slice(&lines);
    (bytes, chain)
}

fn read(group: &[u8]) -> Result<Scan, ScanError> {
    let (mut bytes, _) = begin();
    bytes.extend_from_slice(group);
    bytes.extend_from_slice(b"\n\n");
    scan(&[(1, &bytes)], None)
}

/// One change of bytes.
#[derive(Debug, arbitrary::Arbitrary)]
enum Edit {
    Change {
        at: u16,
        by: u8,
    },
    Insert {
        at: u16,
        byte: u8,
    },
    Delete {
        at: u16,
    },
    Copy {
        from: u16,
        len: u8,
        to: u16,
    },
    /// Of bits, so that a letter changes its case.
    Flip {
        at: u16,
        bit: u8,
    },
}

fn structured(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let records = Kinds::arbitrary(u)?.number(2);
    let edits: Vec<Edit> = u.arbitrary()?;
    let (_, before) = begin();
    let (bytes, after) = encode_group(&records, before);
    let scan = read(&bytes).expect("it is as it was written");
    assert_eq!(*scan.groups[1].records, *records);
    assert_eq!(scan.end.chain(), after);
    let mut changed = bytes.clone();
    for edit in &edits {
        apply(edit, &mut changed);
    }
    // Accepted, it says the same: nothing but a hash that somebody has made says something else.
    if let Ok(scan) = read(&changed)
        && scan.groups.len() > 1
    {
        assert_eq!(*scan.groups[1].records, *records, "{edits:?}");
        assert_eq!(scan.end.chain(), after, "{edits:?}");
        let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.map(<[u8]>::to_vec).collect()
        };
        let read = &changed[..changed.len().min(scan.end.offset() as usize - begin().0.len())];
        assert_eq!(lines(read), lines(&bytes), "only padding may have come: {edits:?}");
    }
    Ok(())
}

fn apply(edit: &Edit, bytes: &mut Vec<u8>) {
    let len = bytes.len();
    let at = |at: u16| usize::from(at) % len.max(1);
    if len == 0 {
        return;
    }
    match *edit {
        Edit::Change { at: to, by } => bytes[at(to)] = by,
        Edit::Insert { at: to, byte } => bytes.insert(at(to), byte),
        Edit::Delete { at: to } => drop(bytes.remove(at(to))),
        Edit::Flip { at: to, bit } => bytes[at(to)] ^= 1 << (bit % 8),
        Edit::Copy { from, len: count, to } => {
            let from = at(from);
            let copy = bytes[from..(from + usize::from(count)).min(len)].to_vec();
            let to = at(to);
            bytes.splice(to..to, copy);
        }
    }
}

/// The group that a text makes: itself, and a commit behind it if it does not end a group.
fn group_of(rec: &str) -> (Vec<u8>, Value) {
    let (_, before) = begin();
    let value: Value = serde_json::from_str(rec).unwrap_or(Value::Null);
    let ends = matches!(value.get("kind").and_then(Value::as_str), Some("commit" | "checkpoint"));
    let commit = r#"{"seq":3,"synced":1,"kind":"commit","time":"0.000000000"}"#;
    let recs: &[&str] = if ends { &[rec] } else { &[rec, commit] };
    (forge::group(&before.to_string(), recs).0, value)
}

fn text(rec: &[u8]) {
    // A line that is not UTF-8 is none, and one with a newline is two.
    let Ok(rec) = str::from_utf8(rec) else { return };
    let (bytes, value) = group_of(rec);
    let Ok(scan) = read(&bytes) else { return };
    let Some(group) = scan.groups.get(1) else { return };
    let record = &group.records[0];
    let fields = value.as_object().expect("what was read is an object");
    assert_eq!(fields.get("seq").and_then(Value::as_u64), Some(record.seq));
    assert_eq!(fields.get("synced").and_then(Value::as_u64), Some(record.synced));
    says(fields, &record.kind);
    // And it can be written: what was read is what is read then.
    let (again, _) = encode_group(&group.records, begin().1);
    let again = read(&again).expect("it was written by the rules");
    assert_eq!(*again.groups[1].records, *group.records);
}

/// Every field of a record is what its JSON says.
fn says(fields: &Map<String, Value>, kind: &RecordKind) {
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    let number = |field: &str| fields.get(field).and_then(Value::as_u64);
    match kind {
        RecordKind::Put(Put { path, len, hash, mode, uid, gid, was, body, own }) => {
            assert_eq!(text("kind"), Some("put"));
            assert_eq!(text("path"), Some(&**path));
            assert_eq!(text("hash"), Some(&*hash.to_string()));
            assert_eq!(number("len"), Some(*len));
            for (field, found) in [("mode", mode), ("uid", uid), ("gid", gid)] {
                assert_eq!(number(field), Some(u64::from(*found)));
            }
            was_says(&fields["was"], was.as_ref());
            body_says(fields, body, (*len, *hash));
            assert_eq!(fields.get("own").and_then(Value::as_bool).unwrap_or_default(), *own);
        }
        RecordKind::Append(Append { path, offset, len, hash, was, body }) => {
            assert_eq!(text("kind"), Some("append"));
            assert_eq!(text("path"), Some(&**path));
            assert_eq!(text("hash"), Some(&*hash.to_string()));
            assert_eq!((number("offset"), number("len")), (Some(*offset), Some(*len)));
            assert!(offset.checked_add(*len).is_some() && *body != Body::InPlace);
            was_says(&fields["was"], Some(was));
            body_says(fields, body, (*len, *hash));
        }
        RecordKind::Remove(Remove { path, was }) => {
            assert_eq!(text("kind"), Some("remove"));
            assert_eq!(text("path"), Some(&**path));
            was_says(&fields["was"], was.as_ref());
        }
        RecordKind::Commit(commit) => {
            assert_eq!(text("kind"), Some("commit"));
            assert_eq!(text("time").and_then(|time| time.parse().ok()), Some(commit.time));
            assert_eq!(text("note"), commit.note.as_deref());
            assert_eq!(text("by"), commit.outside.then_some("outside"));
        }
        RecordKind::Checkpoint { upto } => {
            assert_eq!(text("kind"), Some("checkpoint"));
            assert_eq!(number("upto"), Some(*upto));
        }
    }
}

fn was_says(value: &Value, was: Option<&Was>) {
    let Some(was) = was else { return assert!(value.is_null()) };
    let number = |field: &str| value[field].as_u64();
    assert_eq!((number("size"), number("ino")), (Some(was.size), Some(was.ino)), "{value}");
    assert_eq!(value["mtime"].as_str().and_then(|time| time.parse().ok()), Some(was.mtime));
    assert_eq!(value["hash"].as_str(), was.hash.map(|hash| hash.to_string()).as_deref());
}

fn body_says(fields: &Map<String, Value>, body: &Body, (len, hash): (u64, Hash)) {
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    match body {
        Body::Inline(bytes) => {
            assert_eq!((bytes.len() as u64, Hash::of(bytes)), (len, hash));
            let said = match (text("text"), text("base64")) {
                (Some(text), None) => text.as_bytes().to_vec(),
                (None, Some(base64)) => BASE64.decode(base64).expect("it was decoded before"),
                both => panic!("{both:?}"),
            };
            assert_eq!(*said, **bytes);
        }
        Body::Staged(name) => assert_eq!(text("staged"), Some(&**name)),
        Body::InPlace => {
            assert!(["text", "base64", "staged"].iter().all(|field| text(field).is_none()));
        }
    }
}

fn explain(input: &[u8]) -> String {
    match input.split_first() {
        Some((mode @ (b't' | b'h'), rec)) => {
            let repaired = forge::repair_body(rec).filter(|_| *mode == b'h');
            let rec = super::as_text(&repaired.unwrap_or_else(|| rec.to_vec()));
            let (bytes, _) = group_of(&rec);
            format!("{}{:#?}", super::as_text(&bytes), read(&bytes).map(|scan| scan.groups))
        }
        Some((_, bytes)) => {
            let mut u = Unstructured::new(bytes);
            let (Ok(kinds), Ok(edits)) = (Kinds::arbitrary(&mut u), Vec::<Edit>::arbitrary(&mut u))
            else {
                return String::new();
            };
            let mut text = format!("{edits:?}\n");
            let (bytes, _) = encode_group(&kinds.number(2), begin().1);
            let _ = write!(text, "{}", super::as_text(&bytes));
            text
        }
        None => String::new(),
    }
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let was =
        r#"{"size":3,"mtime":"1.500000001","ino":9,"hash":"96a4257289f9ebcbc94bfc49276f89ed"}"#;
    let put = |rest: &str| {
        let head = r#""path":"a.json","len":3,"hash":"","mode":420,"uid":1000,"gid":100"#;
        format!(r#"{{"seq":2,"synced":1,"kind":"put",{head},"was":{rest}}}"#)
    };
    let append = format!(r#""path":"log","offset":512,"len":2,"hash":"","was":{was},"text":"1\n""#);
    let recs = [
        ("put-text", put(r#"null,"text":"{}\n""#)),
        ("put-base64", put(&format!(r#"{was},"base64":"/wA=""#))),
        ("put-staged", put(r#"null,"staged":"2.0.body""#)),
        ("put-in-place", put("null")),
        ("append", format!(r#"{{"seq":2,"synced":1,"kind":"append",{append}}}"#)),
        ("remove", format!(r#"{{"seq":2,"synced":1,"kind":"remove","path":"a","was":{was}}}"#)),
        (
            "commit",
            r#"{"seq":2,"synced":1,"kind":"commit","time":"2.000000000","note":"why","by":"outside"}"#
                .to_owned(),
        ),
        ("checkpoint", r#"{"seq":2,"synced":1,"kind":"checkpoint","upto":1}"#.to_owned()),
    ];
    let mut seeds = Vec::new();
    for (name, rec) in recs {
        // The hash of another body: put right with `h`, refused with `t`.
        let rec = rec.replace(r#""hash":"""#, &format!(r#""hash":"{}""#, Hash::of(b"x")));
        seeds.push((name.to_owned(), format!("h{rec}").into_bytes()));
        seeds.push((format!("{name}-as-it-is"), format!("t{rec}").into_bytes()));
    }
    for seed in 0..4 {
        seeds.push((format!("generated-{seed}"), super::noise(100 + seed, 300)));
    }
    seeds
}
