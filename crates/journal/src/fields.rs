//! What stands in a record, between `kind` and `chain`: the shape of its JSON.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use filepact_fs::Time;
use serde::{Deserialize, Deserializer, Serialize};

use crate::line::malformed;
use crate::{Append, Body, Commit, Hash, LineError, Put, RecordKind, Remove, Was};

/// `by` of an adopted outside edit.
const OUTSIDE: &str = "outside";

#[derive(Serialize, Deserialize)]
pub(crate) struct PutFields<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    len: u64,
    hash: Hash,
    mode: u32,
    uid: u32,
    gid: u32,
    #[serde(deserialize_with = "present")]
    was: Option<WasFields>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staged: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_false")]
    own: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct AppendFields<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    offset: u64,
    len: u64,
    hash: Hash,
    was: WasFields,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staged: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct RemoveFields<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(deserialize_with = "present")]
    was: Option<WasFields>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct CommitFields<'a> {
    #[serde(with = "as_text")]
    time: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct CheckpointFields {
    upto: u64,
}

#[derive(Serialize, Deserialize)]
struct WasFields {
    size: u64,
    #[serde(with = "as_text")]
    mtime: Time,
    ino: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<Hash>,
}

/// The three spellings of a body, of which one record has at most one.
struct BodyFields<'a> {
    text: Option<Cow<'a, str>>,
    base64: Option<Cow<'a, str>>,
    staged: Option<Cow<'a, str>>,
}

impl<'a> BodyFields<'a> {
    fn of(body: &'a Body) -> Self {
        let mut fields = Self { text: None, base64: None, staged: None };
        match body {
            Body::Inline(bytes) => match str::from_utf8(bytes) {
                Ok(text) => fields.text = Some(Cow::Borrowed(text)),
                Err(_) => fields.base64 = Some(Cow::Owned(BASE64.encode(bytes))),
            },
            Body::Staged(name) => fields.staged = Some(Cow::Borrowed(name)),
            Body::InPlace => {}
        }
        fields
    }

    /// The body, which has this length and hash.
    fn decode(self, len: u64, hash: Hash) -> Result<Body, LineError> {
        let inline = |bytes: &[u8]| {
            if bytes.len() as u64 != len || Hash::of(bytes) != hash {
                return Err(malformed("its body is not of its length and hash"));
            }
            Ok(Body::Inline(Arc::from(bytes)))
        };
        match (self.text, self.base64, self.staged) {
            (Some(text), None, None) => inline(text.as_bytes()),
            (None, Some(base64), None) => {
                let bytes = BASE64.decode(base64.as_bytes());
                inline(&bytes.map_err(|error| LineError::Malformed(error.to_string()))?)
            }
            (None, None, Some(name)) => Ok(Body::Staged(name.into_owned())),
            (None, None, None) => Ok(Body::InPlace),
            _ => Err(malformed("it has two bodies")),
        }
    }
}

impl<'a> PutFields<'a> {
    pub(crate) fn of(put: &'a Put) -> Self {
        let BodyFields { text, base64, staged } = BodyFields::of(&put.body);
        Self {
            path: Cow::Borrowed(&put.path),
            len: put.len,
            hash: put.hash,
            mode: put.mode,
            uid: put.uid,
            gid: put.gid,
            was: put.was.as_ref().map(WasFields::of),
            text,
            base64,
            staged,
            own: put.own,
        }
    }

    pub(crate) fn decode(self) -> Result<RecordKind, LineError> {
        let body = BodyFields { text: self.text, base64: self.base64, staged: self.staged };
        Ok(RecordKind::Put(Put {
            path: self.path.into_owned(),
            len: self.len,
            hash: self.hash,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            was: self.was.map(WasFields::decode),
            body: body.decode(self.len, self.hash)?,
            own: self.own,
        }))
    }
}

impl<'a> AppendFields<'a> {
    pub(crate) fn of(append: &'a Append) -> Self {
        let BodyFields { text, base64, staged } = BodyFields::of(&append.body);
        Self {
            path: Cow::Borrowed(&append.path),
            offset: append.offset,
            len: append.len,
            hash: append.hash,
            was: WasFields::of(&append.was),
            text,
            base64,
            staged,
        }
    }

    pub(crate) fn decode(self) -> Result<RecordKind, LineError> {
        let body = BodyFields { text: self.text, base64: self.base64, staged: self.staged };
        let body = body.decode(self.len, self.hash)?;
        if body == Body::InPlace {
            return Err(malformed("an append has no body"));
        }
        if self.offset.checked_add(self.len).is_none() {
            return Err(malformed("it ends beyond any file"));
        }
        Ok(RecordKind::Append(Append {
            path: self.path.into_owned(),
            offset: self.offset,
            len: self.len,
            hash: self.hash,
            was: self.was.decode(),
            body,
        }))
    }
}

impl<'a> RemoveFields<'a> {
    pub(crate) fn of(remove: &'a Remove) -> Self {
        Self { path: Cow::Borrowed(&remove.path), was: remove.was.as_ref().map(WasFields::of) }
    }

    pub(crate) fn decode(self) -> RecordKind {
        let was = self.was.map(WasFields::decode);
        RecordKind::Remove(Remove { path: self.path.into_owned(), was })
    }
}

impl<'a> CommitFields<'a> {
    pub(crate) fn of(commit: &'a Commit) -> Self {
        let note = commit.note.as_deref().map(Cow::Borrowed);
        Self { time: commit.time, note, by: commit.outside.then_some(Cow::Borrowed(OUTSIDE)) }
    }

    pub(crate) fn decode(self) -> Result<RecordKind, LineError> {
        let outside = match self.by.as_deref() {
            None => false,
            Some(OUTSIDE) => true,
            Some(other) => return Err(LineError::Newer(format!("a commit by `{other}`"))),
        };
        let note = self.note.map(Cow::into_owned);
        Ok(RecordKind::Commit(Commit { time: self.time, note, outside }))
    }
}

impl CheckpointFields {
    pub(crate) fn of(upto: u64) -> Self {
        Self { upto }
    }

    pub(crate) fn decode(self) -> RecordKind {
        RecordKind::Checkpoint { upto: self.upto }
    }
}

impl WasFields {
    pub(crate) fn of(was: &Was) -> Self {
        Self { size: was.size, mtime: was.mtime, ino: was.ino, hash: was.hash }
    }

    pub(crate) fn decode(self) -> Was {
        Was { size: self.size, mtime: self.mtime, ino: self.ino, hash: self.hash }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// An option that is written as `null`: without the field it is not a record.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// A value as the text that it displays as.
pub(crate) mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
