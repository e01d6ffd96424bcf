//! One line of a batch.

use std::borrow::Cow;
use std::time::Duration;

use filepact::{Version, check_json};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde_json::value::RawValue;

use crate::body::decode_base64;
use crate::failure::{FAILED, Failure, without_place};
use crate::pretty;

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Begin,
    Get { path: String },
    Expect { path: String, version: Option<Version> },
    Put { path: String, bytes: Vec<u8> },
    Append { path: String, bytes: Vec<u8> },
    Remove { path: String },
    Rename { path: String, to: String },
    Commit { note: Option<String> },
    Rollback,
    Watch { since: Option<u64>, patience: Duration },
}

/// Every line first says what it is; which other fields it may have depends on that.
#[derive(serde::Deserialize)]
struct Op<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Bare {
    #[serde(rename = "op")]
    _op: IgnoredAny,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OnPath {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    path: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    path: String,
    /// Null says absent, so that a forgotten field must not say it too.
    #[serde(deserialize_with = "Option::deserialize")]
    version: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WithBody<'a> {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    path: String,
    #[serde(borrow, default, deserialize_with = "even_null")]
    json: Option<&'a RawValue>,
    text: Option<String>,
    base64: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    path: String,
    to: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Commit {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    note: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Watch {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    since: Option<u64>,
    seconds: Option<f64>,
}

/// `"json":null` is a document that holds `null`.
fn even_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Request {
    /// Reads one line, without its newline.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Failure> {
        if line.trim_ascii().is_empty() {
            return Err(Failure::usage("the line is empty; one JSON object is expected"));
        }
        // The whole line at once: a duplicate key is found wherever it is, at its own column.
        check_json("", line).map_err(not_json)?;
        let Op { op } = parse(line)?;
        Ok(match &*op {
            "begin" => parse::<Bare>(line).map(|_| Self::Begin)?,
            "rollback" => parse::<Bare>(line).map(|_| Self::Rollback)?,
            "get" => parse(line).map(|OnPath { path, .. }| Self::Get { path })?,
            "remove" => parse(line).map(|OnPath { path, .. }| Self::Remove { path })?,
            "commit" => parse(line).map(|Commit { note, .. }| Self::Commit { note })?,
            "expect" => {
                let Expect { path, version, .. } = parse(line)?;
                let version = version.map(|text| text.parse()).transpose();
                let version =
                    version.map_err(|error: filepact::InvalidVersion| usage(&error.to_string()))?;
                Self::Expect { path, version }
            }
            "put" => {
                let body: WithBody<'_> = parse(line)?;
                let (path, bytes) = body.bytes(pretty::indented)?;
                Self::Put { path, bytes }
            }
            "append" => {
                let body: WithBody<'_> = parse(line)?;
                let (path, bytes) = body.bytes(|json| pretty::compact(json) + "\n")?;
                Self::Append { path, bytes }
            }
            "rename" => parse(line).map(|Rename { path, to, .. }| Self::Rename { path, to })?,
            "watch" => {
                let Watch { since, seconds, .. } = parse(line)?;
                let patience = seconds.map(Duration::try_from_secs_f64).transpose();
                let patience = patience.map_err(|error| usage(&format!("`seconds`: {error}")))?;
                Self::Watch { since, patience: patience.unwrap_or(Duration::MAX) }
            }
            other => {
                return Err(usage(&format!(
                    "unknown op `{}`; there are begin, get, expect, put, append, remove, rename, commit, \
                     rollback, watch",
                    other.escape_debug()
                )));
            }
        })
    }
}

impl WithBody<'_> {
    /// The path, and the bytes; `json` is written out by `write`.
    fn bytes(self, write: impl FnOnce(&str) -> String) -> Result<(String, Vec<u8>), Failure> {
        let bytes = match (self.json, self.text, self.base64) {
            (Some(json), None, None) => write(json.get()).into_bytes(),
            (None, Some(text), None) => text.into_bytes(),
            (None, None, Some(base64)) => decode_base64(&base64).map_err(|error| usage(&error))?,
            _ => return Err(usage("one of `json`, `text` and `base64` is expected")),
        };
        Ok((self.path, bytes))
    }
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(line).map_err(|error| usage(without_place(&error.to_string())))
}

fn usage(message: &str) -> Failure {
    Failure::usage(message)
}

/// Line 1 of the line is not what a caller counts; the column is.
fn not_json(error: filepact::Error) -> Failure {
    match error {
        filepact::Error::Json { column, source, .. } => {
            let what = without_place(&source.to_string()).to_owned();
            Failure::new("json", FAILED, format!("not JSON at column {column}: {what}"))
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(line: &str) -> String {
        match Request::parse(line.as_bytes()) {
            Ok(Request::Put { bytes, .. }) => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn refused(line: &str) -> (&'static str, String) {
        let failure = Request::parse(line.as_bytes()).unwrap_err();
        (failure.error, failure.message)
    }

    #[test]
    fn every_operation_is_understood() {
        let path = || "a".to_owned();
        let version = Version::of(b"x");
        let expect = format!(r#"{{"op":"expect","path":"a","version":"{version}"}}"#);
        for (line, request) in [
            (r#"{"op":"begin"}"#, Request::Begin),
            (r#" {"path":"a","op":"get"} "#, Request::Get { path: path() }),
            (&*expect, Request::Expect { path: path(), version: Some(version) }),
            (
                r#"{"op":"expect","path":"a","version":null}"#,
                Request::Expect { path: path(), version: None },
            ),
            (r#"{"op":"remove","path":"a"}"#, Request::Remove { path: path() }),
            (
                r#"{"op":"rename","path":"a","to":"b"}"#,
                Request::Rename { path: path(), to: "b".to_owned() },
            ),
            (
                r#"{"op":"append","path":"a","json":{"n": [1, 2]}}"#,
                Request::Append { path: path(), bytes: b"{\"n\":[1,2]}\n".to_vec() },
            ),
            (
                r#"{"op":"append","path":"a","text":"x"}"#,
                Request::Append { path: path(), bytes: b"x".to_vec() },
            ),
            (r#"{"op":"commit"}"#, Request::Commit { note: None }),
            (r#"{"op":"commit","note":"why"}"#, Request::Commit { note: Some("why".into()) }),
            (r#"{"op":"rollback"}"#, Request::Rollback),
            (r#"{"op":"watch"}"#, Request::Watch { since: None, patience: Duration::MAX }),
            (
                r#"{"op":"watch","since":17,"seconds":0.5}"#,
                Request::Watch { since: Some(17), patience: Duration::from_millis(500) },
            ),
        ] {
            assert_eq!(Request::parse(line.as_bytes()).unwrap(), request, "{line}");
        }
    }

    #[test]
    fn a_body_comes_as_json_as_text_or_as_base64() {
        assert_eq!(
            put(r#"{"op":"put","path":"a","json":{"z":1.10,"a":[]}}"#),
            "{\n  \"z\": 1.10,\n  \"a\": []\n}\n"
        );
        assert_eq!(put(r#"{"op":"put","path":"a","json":null}"#), "null\n");
        assert_eq!(put(r#"{"op":"put","path":"a","text":"x\n"}"#), "x\n");
        assert_eq!(put(r#"{"op":"put","path":"a","base64":"aGk="}"#), "hi");
    }

    #[test]
    fn what_is_no_json_is_told_with_its_column() {
        assert_eq!(refused("{\"op\":").0, "json");
        assert_eq!(
            refused(r#"{"op":"put","path":"a","json":{"k":1,"k":2}}"#),
            ("json", "not JSON at column 40: duplicate key `k`".to_owned())
        );
        assert_eq!(
            Request::parse(b"{\"op\":\"get\",\"path\":\"\xff\"}").unwrap_err().error,
            "json"
        );
    }

    #[test]
    fn what_is_no_request_is_told_by_what_is_missing_or_too_much() {
        for (line, says) in [
            ("", "empty"),
            ("  \r", "empty"),
            ("[]", "expected"),
            ("{}", "missing field `op`"),
            (r#"{"op":"merge","path":"a","json":{}}"#, "unknown op `merge`"),
            (r#"{"op":"append","path":"a"}"#, "one of `json`"),
            (r#"{"op":"rename","path":"a"}"#, "missing field `to`"),
            (r#"{"op":"get"}"#, "missing field `path`"),
            (r#"{"op":"get","path":1}"#, "expected a string"),
            (r#"{"op":"get","path":"a","note":"x"}"#, "unknown field `note`"),
            (r#"{"op":"expect","path":"a"}"#, "missing field `version`"),
            (r#"{"op":"expect","path":"a","version":"h1:x"}"#, "not a version"),
            (r#"{"op":"put","path":"a"}"#, "one of `json`"),
            (r#"{"op":"put","path":"a","json":1,"text":"x"}"#, "one of `json`"),
            (r#"{"op":"put","path":"a","base64":"%"}"#, "`base64`"),
            (r#"{"op":"watch","since":-1}"#, "expected u64"),
            (r#"{"op":"watch","seconds":-1}"#, "`seconds`"),
        ] {
            let (error, message) = refused(line);
            assert_eq!(error, "usage", "{line}");
            assert!(message.contains(says), "{line}: {message}");
        }
    }
}
