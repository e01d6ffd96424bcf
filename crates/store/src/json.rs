//! JSON documents: strict on the way in, plain on the way out.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use filepact_journal::Hash;
use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Error;

/// How JSON documents are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Json {
    /// Two spaces of indentation and a newline at the end: good for `git diff` and editors.
    #[default]
    Pretty,
    /// One line, and a newline at the end.
    Compact,
}

impl Json {
    pub(crate) fn encode<T: Serialize + ?Sized>(
        self,
        path: &str,
        value: &T,
    ) -> Result<Vec<u8>, Error> {
        let encoded = match self {
            Self::Pretty => serde_json::to_vec_pretty(value),
            Self::Compact => serde_json::to_vec(value),
        };
        let mut bytes = encoded.map_err(|source| Error::json(path, source))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// The bytes of a document, and their hash where it is known.
pub(crate) struct DocBytes {
    pub(crate) bytes: Vec<u8>,
    pub(crate) hash: Option<Hash>,
}

/// Parses documents, after [checking](check) them. Of the last contents it knows that they were checked, so that
/// who reads the same again does not wait for it.
#[derive(Default)]
pub(crate) struct Parser {
    checked: RwLock<Checked>,
}

/// Contents that were checked, by their hashes, in two generations: the older one is forgotten when the
/// newer one is full.
#[derive(Default)]
struct Checked {
    newer: HashSet<Hash>,
    older: HashSet<Hash>,
}

impl Checked {
    /// Of at most so many contents in each generation it is known: less than 1 MiB in both.
    const MOST: usize = 16 * 1024;

    fn has(&self, hash: &Hash) -> bool {
        self.newer.contains(hash) || self.older.contains(hash)
    }

    fn add(&mut self, hash: Hash) {
        if self.newer.len() >= Self::MOST {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(hash);
    }
}

impl Parser {
    pub(crate) fn parse<T: DeserializeOwned>(
        &self,
        path: &str,
        found: &DocBytes,
    ) -> Result<T, Error> {
        let DocBytes { bytes, hash } = found;
        if !hash.is_some_and(|hash| self.checked().has(&hash)) {
            check(path, bytes)?;
            if let Some(hash) = hash {
                self.checked.write().unwrap_or_else(PoisonError::into_inner).add(*hash);
            }
        }
        serde_json::from_slice(bytes).map_err(|source| Error::json(path, source))
    }

    fn checked(&self) -> RwLockReadGuard<'_, Checked> {
        self.checked.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the bytes are one JSON value without a duplicate key anywhere; `path` is for the error.
///
/// A parser that keeps the last of two equal keys loses the first silently; whoever wrote both
/// meant something by it.
///
/// # Errors
/// [`Error::Json`] with line and column.
pub fn check(path: &str, bytes: &[u8]) -> Result<(), Error> {
    serde_json::from_slice::<Strict>(bytes).map(drop).map_err(|source| Error::json(path, source))
}

/// Any JSON value; deserialising it checks for duplicate keys and keeps nothing.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Strict, A::Error> {
        while seq.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
        let mut keys = Keys::default();
        while let Some(Key(key)) = map.next_key()? {
            if let Some(key) = keys.add(key) {
                return Err(A::Error::custom(format_args!("duplicate key `{key}`")));
            }
            map.next_value::<Strict>()?;
        }
        Ok(Strict)
    }
}

/// A key, not copied where it stands in the text as it is.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

/// The keys of an object: a few are compared one by one, which is faster than to hash them.
#[derive(Default)]
struct Keys<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    const FEW: usize = 16;

    /// Gives the key back if it was there.
    fn add(&mut self, key: Cow<'de, str>) -> Option<Cow<'de, str>> {
        if self.few.contains(&key) || self.many.contains(&key) {
            return Some(key);
        }
        match self.few.len() < Self::FEW {
            true => self.few.push(key),
            false => drop(self.many.insert(key)),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_key_is_an_error_at_its_line_and_column() {
        let text = b"{\n  \"a\": 1,\n  \"b\": [{\"c\": 1, \"c\": 2}]\n}";
        match check("a.json", text) {
            Err(Error::Json { line: 3, source, .. }) => {
                assert!(source.to_string().contains("duplicate key `c`"), "{source}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_duplicate_key_is_found_among_few_and_among_many_and_however_it_is_spelled() {
        let object = |last: &str| {
            let keys: String = (0..40).map(|n| format!("\"k{n}\":{n},")).collect();
            format!("{{{keys}\"{last}\":0}}")
        };
        assert!(check("a.json", object("k40").as_bytes()).is_ok());
        for last in ["k0", "k15", "k16", "k39", "\\u006b3"] {
            assert!(check("a.json", object(last).as_bytes()).is_err(), "{last}");
        }
    }

    #[test]
    fn what_was_checked_is_known_by_its_hash_among_a_bounded_number() {
        let parser = Parser::default();
        let parse = |bytes: &[u8], hash| {
            let found = DocBytes { bytes: bytes.to_vec(), hash };
            parser.parse::<serde_json::Value>("a.json", &found).is_ok()
        };
        let (twice, hash) = (b"{\"a\": 1, \"a\": 2}", |n: u32| Some(Hash::of(&n.to_le_bytes())));
        assert!(!parse(twice, None) && !parse(twice, hash(0)));
        assert!(!parse(twice, hash(0)), "what fails is checked each time");
        let most = u32::try_from(Checked::MOST).unwrap();
        for n in 0..most {
            assert!(parse(b"1", hash(n)));
        }
        // Only a hash that lies shows that it was believed.
        assert!(parse(twice, hash(0)) && parse(twice, hash(most - 1)));
        assert!(!parse(twice, hash(most)) && !parse(twice, None));
        for n in most..2 * most + 1 {
            assert!(parse(b"1", hash(n)));
        }
        assert!(!parse(twice, hash(0)) && parse(twice, hash(2 * most)));
        let checked = parser.checked();
        assert!(checked.newer.len().max(checked.older.len()) <= Checked::MOST);
    }

    #[test]
    fn every_json_value_passes() {
        for text in [
            "null",
            "1",
            "-1.5e300",
            "\"\\u00e9\"",
            "[]",
            "{\"a\":{\"a\":{}}}",
            " 18446744073709551615 ",
        ] {
            assert!(check("a.json", text.as_bytes()).is_ok(), "{text}");
        }
        for text in ["", "{", "{} {}", "NaN", "'a'", "{\"a\":1,}"] {
            assert!(check("a.json", text.as_bytes()).is_err(), "{text}");
        }
    }
}
