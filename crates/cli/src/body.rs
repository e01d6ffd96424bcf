//! A document for a machine: as JSON if it is that, else as text, else as base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use filepact::Version;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::pretty;

/// The answer to a `get`.
#[derive(Debug, Serialize)]
pub(crate) struct Document {
    ok: bool,
    path: String,
    /// Null if there is no such document.
    version: Option<Version>,
    #[serde(flatten)]
    body: Option<Body>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Body {
    /// The document's own text, on one line.
    Json(Box<RawValue>),
    Text(String),
    Base64(String),
}

impl Document {
    pub(crate) fn new(path: String, bytes: Option<Vec<u8>>) -> Self {
        let version = bytes.as_deref().map(Version::of);
        Self { ok: true, path, version, body: bytes.map(Body::of) }
    }
}

impl Body {
    fn of(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Err(error) => Self::Base64(STANDARD.encode(error.as_bytes())),
            // A duplicate key would not survive the reader's parser: such a document is text.
            Ok(text) => match filepact::check_json("", text.as_bytes()) {
                Ok(()) => RawValue::from_string(pretty::compact(&text))
                    .map_or_else(|_| Self::Text(text), Self::Json),
                Err(_) => Self::Text(text),
            },
        }
    }
}

/// The bytes of a base64 text.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("`base64`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        serde_json::to_string(&Body::of(bytes.to_vec())).unwrap()
    }

    #[test]
    fn a_document_is_shown_in_the_plainest_way_that_loses_nothing() {
        assert_eq!(shown(b"{\n  \"z\": 1.10,\n  \"a\": []\n}\n"), r#"{"json":{"z":1.10,"a":[]}}"#);
        assert_eq!(shown(b"hello\n"), r#"{"text":"hello\n"}"#);
        assert_eq!(shown(b""), r#"{"text":""}"#);
        assert_eq!(shown(b"{\"a\":1,\"a\":2}"), r#"{"text":"{\"a\":1,\"a\":2}"}"#);
        assert_eq!(shown(b"\xff\x00"), r#"{"base64":"/wA="}"#);
    }

    #[test]
    fn an_absent_document_has_no_version_and_no_body() {
        let answer = serde_json::to_string(&Document::new("a".into(), None)).unwrap();
        assert_eq!(answer, r#"{"ok":true,"path":"a","version":null}"#);
    }
}
