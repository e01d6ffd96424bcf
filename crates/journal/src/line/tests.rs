use filepact_fs::Time;
use quickcheck::quickcheck;

use super::*;
use crate::arbitrary::{Kinds, append};
use crate::{Append, Body, Commit, Hash, Put, Remove, Was};

fn line_of(rec: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_line(&mut bytes, rec.as_bytes());
    bytes.pop();
    bytes
}

fn parse(rec: &str) -> Result<RecordKind, LineError> {
    parse_line(&line_of(rec), 2).map(|line| line.record.kind)
}

fn put(fields: &str) -> String {
    let hash = Hash::of(b"body");
    format!(
        "{{\"seq\":2,\"synced\":1,\"kind\":\"put\",\"path\":\"a\",\"len\":4,\"hash\":\"{hash}\",\
         \"mode\":420,\"uid\":0,\"gid\":0,\"was\":null{fields}}}"
    )
}

/// Whether all lines verify, and give the same records.
fn reads_back(records: &[Record], before: Chain) -> bool {
    let (bytes, after) = encode_group(records, before);
    let mut hasher = ChainHasher::new(before);
    let mut read = Vec::new();
    let first = records[0].seq;
    for (seq, line) in (first..).zip(bytes[..bytes.len() - 1].split(|byte| *byte == b'\n')) {
        let line = parse_line(line, seq).unwrap();
        let follows = hasher.follow(&line);
        assert_eq!(line.chain.is_some(), seq == records.last().unwrap().seq);
        assert!(line.chain.is_none_or(|chain| chain == follows && chain == after));
        read.push(line.record);
    }
    read == records
}

quickcheck! {
    fn any_group_reads_back_as_it_was_written(kinds: Kinds, before: u128) -> bool {
        reads_back(&kinds.number(7), Chain(before.to_be_bytes()))
    }

    fn any_bytes_are_a_line_or_an_error(bytes: Vec<u8>) -> bool {
        let mut line = BEFORE_CRC.to_vec();
        line.extend_from_slice(&bytes);
        parse_line(&bytes, 1).is_err() && parse_line(&line, 1).is_err()
    }

    fn any_json_is_a_record_or_an_error(rec: String) -> bool {
        parse(&rec).is_err() && parse(&format!("{{{rec}}}")).is_err()
    }
}

#[test]
fn the_bytes_of_a_group_are_these() {
    let was = Was { size: 3, mtime: Time(1_500_000_001), ino: 9, hash: Some(Hash::of(b"old")) };
    let put = |path: &str, bytes: &[u8], was| {
        RecordKind::Put(Put {
            path: path.into(),
            len: bytes.len() as u64,
            hash: Hash::of(bytes),
            mode: 0o644,
            uid: 1000,
            gid: 100,
            was,
            body: Body::Inline(bytes.into()),
            own: false,
        })
    };
    let commit = Commit { time: Time(2_000_000_000), note: Some("why".into()), outside: true };
    let kinds = [
        put("a.json", b"{\"n\": 1}\n", None),
        put("b", &[0xff, 0], Some(was)),
        RecordKind::Remove(Remove { path: "c".into(), was: None }),
        append("log.jsonl", 512, b"{\"n\":2}\n"),
        RecordKind::Commit(commit),
    ];
    let records: Vec<Record> =
        (2..).zip(kinds).map(|(seq, kind)| Record { seq, synced: 1, kind }).collect();
    let (bytes, _) = encode_group(&records, Chain::ZERO);
    let expected = include_str!("../../fixtures/group.jsonl");
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn a_group_that_is_hashed_in_several_goes_reads_back() {
    // Many; two of which the first is hashed with the second, or alone; and one that is longer.
    for lens in [vec![300; 1000], vec![AT_ONCE - 200, 1], vec![AT_ONCE, 1], vec![3 * AT_ONCE]] {
        let remove = |len| RecordKind::Remove(Remove { path: "a".repeat(len), was: None });
        let kinds = lens.into_iter().map(remove).chain([RecordKind::Commit(Commit::default())]);
        let records: Vec<_> =
            (7..).zip(kinds).map(|(seq, kind)| Record { seq, synced: 6, kind }).collect();
        assert!(encode_group(&records, Chain::ZERO).0.len() > AT_ONCE);
        assert!(reads_back(&records, Chain::ZERO));
    }
}

#[test]
fn a_put_has_one_body_of_its_length_and_hash() {
    assert!(parse(&put(",\"text\":\"body\"")).is_ok());
    assert!(parse(&put(",\"base64\":\"Ym9keQ==\"")).is_ok());
    assert!(parse(&put(",\"staged\":\"name\"")).is_ok());
    assert!(parse(&put("")).is_ok());
    for bad in [
        ",\"text\":\"bodY\"",
        ",\"text\":\"body \"",
        ",\"base64\":\"Ym9keQ\"",
        ",\"base64\":\"Ym9keR==\"",
        ",\"text\":\"body\",\"base64\":\"Ym9keQ==\"",
        ",\"text\":\"body\",\"staged\":\"name\"",
        ",\"base64\":\"Ym9keQ==\",\"staged\":\"name\"",
        ",\"text\":\"body\",\"text\":\"body\"",
        ",\"text\":\"body\",\"was\":null",
        ",\"text\":\"body\",\"seq\":2",
    ] {
        assert!(matches!(parse(&put(bad)), Err(LineError::Malformed(_))), "{bad}");
    }
}

#[test]
fn a_field_that_must_be_there_must_be_there() {
    for bad in [
        "{}",
        "[2,1,\"remove\",\"a\",null]",
        "{\"seq\":2,\"synced\":1,\"kind\":\"remove\",\"path\":\"a\"}",
        "{\"seq\":2,\"synced\":1,\"kind\":\"remove\",\"was\":null}",
        "{\"seq\":2,\"synced\":1,\"kind\":\"commit\"}",
        "{\"seq\":2,\"synced\":1,\"kind\":\"commit\",\"time\":\"1\"}",
        "{\"seq\":2,\"synced\":1,\"kind\":\"checkpoint\"}",
        "{\"seq\":2,\"synced\":1,\"kind\":\"checkpoint\",\"upto\":-1}",
    ] {
        assert!(matches!(parse(bad), Err(LineError::Malformed(_))), "{bad}");
    }
}

#[test]
fn what_is_newer_is_refused_and_what_is_only_more_is_ignored() {
    let newer = "{\"seq\":2,\"synced\":1,\"kind\":\"merge\",\"path\":\"a\"}";
    assert!(matches!(parse(newer), Err(LineError::Newer(_))));
    let by = "{\"seq\":2,\"synced\":1,\"kind\":\"commit\",\"time\":\"0.000000000\",\"by\":\"x\"}";
    assert!(matches!(parse(by), Err(LineError::Newer(_))));
    let more = "{\"seq\":2,\"synced\":1,\"kind\":\"checkpoint\",\"upto\":1,\"x\":[{\"seq\":9}]}";
    assert_eq!(parse(more), Ok(RecordKind::Checkpoint { upto: 1 }));
}

#[test]
fn what_does_not_belong_here_says_nothing_of_its_version() {
    for kind in ["checkpoint\",\"upto\":1", "merge\""] {
        let line = line_of(&format!("{{\"seq\":3,\"synced\":1,\"kind\":\"{kind}}}"));
        let error = parse_line(&line, 2).expect_err("it is the third, not the second");
        assert_eq!(error, LineError::Seq { expected: 2, found: 3 });
    }
}

#[test]
fn a_chain_is_the_last_field_of_a_last_record() {
    let chain = Chain::ZERO;
    let ends = |rec: String| parse_line(&line_of(&rec), 2).map(|line| line.chain);
    let head = "{\"seq\":2,\"synced\":1,\"kind\":";
    let last = format!("{head}\"checkpoint\",\"upto\":1,\"chain\":\"{chain}\"}}");
    assert_eq!(ends(last), Ok(Some(chain)));
    for bad in [
        format!("{head}\"checkpoint\",\"chain\":\"{chain}\",\"upto\":1}}"),
        format!("{head}\"checkpoint\",\"upto\":1,\"chain\":\"{chain}\" }}"),
        format!("{head}\"remove\",\"path\":\"a\",\"was\":null,\"chain\":\"{chain}\"}}"),
    ] {
        assert!(matches!(ends(bad.clone()), Err(LineError::Malformed(_))), "{bad}");
    }
}

#[test]
fn a_swallowed_newline_hides_no_line() {
    let mut bytes = b"\0\0\0\0 rubbish".to_vec();
    push_line(&mut bytes, b"{\"seq\":9,\"synced\":8,\"kind\":\"to come\"}");
    push_line(&mut bytes, b"{\"seq\":9,\"synced\":9,\"kind\":\"nonsense\"}");
    bytes.extend_from_slice(&line_of("{\"seq\":12,\"synced\":11,\"kind\":\"no end\"}"));
    assert_eq!(highest_synced(&bytes), Some(8));
    assert_eq!(highest_synced(b"\n\n\n"), None);
}

#[test]
#[should_panic(expected = "whole transactions")]
fn a_change_without_its_commit_is_not_a_group() {
    let kind = RecordKind::Remove(Remove { path: "a".into(), was: None });
    encode_group(&[Record { seq: 1, synced: 0, kind }], Chain::ZERO);
}

#[test]
fn an_append_has_a_body_of_its_own_and_a_document_to_be_added_to() {
    let hash = Hash::of(b"more");
    let rec = |offset: &str, was: &str, body: &str| {
        format!(
            "{{\"seq\":2,\"synced\":1,\"kind\":\"append\",\"path\":\"a\",\"offset\":{offset},\"len\":4,\
             \"hash\":\"{hash}\",\"was\":{was}{body}}}"
        )
    };
    let was = "{\"size\":7,\"mtime\":\"0.000000000\",\"ino\":0}";
    let body = ",\"text\":\"more\"";
    assert_eq!(parse(&rec("7", was, body)), Ok(append("a", 7, b"more")));
    let staged = parse(&rec("7", was, ",\"staged\":\"x.body\""));
    assert!(matches!(staged, Ok(RecordKind::Append(Append { body: Body::Staged(_), .. }))));
    for (offset, was, body) in [
        ("7", "null", body),
        ("7", was, ""),
        ("18446744073709551613", was, body),
        ("-1", was, body),
    ] {
        assert!(matches!(parse(&rec(offset, was, body)), Err(LineError::Malformed(_))), "{offset}");
    }
}

#[test]
fn a_document_from_before_the_earliest_time_leaves_the_journal_readable() {
    // What a file system says of the year 1500 is cut to the earliest time that a record can name.
    let was = Was { size: 1, mtime: Time(i64::MIN), ino: 2, hash: None };
    let remove = RecordKind::Remove(Remove { path: "a".into(), was: Some(was) });
    let commit = RecordKind::Commit(Commit { time: Time(i64::MIN), ..Commit::default() });
    let records = Kinds(vec![remove, commit]).number(1);
    let (bytes, _) = encode_group(&records, Chain::ZERO);
    let lines = bytes[..bytes.len() - 1].split(|byte| *byte == b'\n');
    let read: Vec<_> = (1..).zip(lines).map(|(seq, line)| parse_line(line, seq)).collect();
    for (record, line) in records.iter().zip(read) {
        assert_eq!(line.map(|line| line.record).as_ref(), Ok(record));
    }
}
