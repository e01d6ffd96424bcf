//! Names for content: BLAKE3, cut to 16 bytes, written as 32 lowercase hex digits.
//!
//! [`Hash`](struct@Hash) names the content of a document. [`Chain`] names a whole history: each group's chain is
//! hashed over the one before it, so equal chains mean equal journals up to there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The hash of some content: BLAKE3, cut to 16 bytes.
///
/// Nobody can make two contents of one hash by accident; with 2^64 trials somebody can on purpose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 16]);

impl Hash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(cut(&blake3::hash(bytes)))
    }
}

/// The hash of content that arrives in pieces.
#[derive(Clone, Debug, Default)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next piece; how the content is cut into pieces does not matter.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all pieces so far.
    pub fn finish(&self) -> Hash {
        Hash(cut(&self.0.finalize()))
    }
}

/// What every group up to a place in the journal said, as one value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain(pub [u8; 16]);

impl Chain {
    /// Before the first group.
    pub const ZERO: Self = Self([0; 16]);
}

/// A text that is no hash: 32 lowercase hex digits are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a hash: 32 lowercase hex digits are expected")]
pub struct InvalidHash;

fn cut(hash: &blake3::Hash) -> [u8; 16] {
    let mut cut = [0; 16];
    cut.copy_from_slice(&hash.as_bytes()[..16]);
    cut
}

/// Shows the digits to `take`.
fn with_hex<T>(bytes: [u8; 16], take: impl FnOnce(&str) -> T) -> T {
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        let digits = b"0123456789abcdef";
        pair[0] = digits[usize::from(byte >> 4)];
        pair[1] = digits[usize::from(byte & 15)];
    }
    take(str::from_utf8(&text).expect("hex digits are ASCII"))
}

/// One spelling only: uppercase is refused, so that a flipped bit cannot pass for another spelling.
fn parse_hex(text: &str) -> Result<[u8; 16], InvalidHash> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(InvalidHash),
    };
    let text: &[u8; 32] = text.as_bytes().try_into().map_err(|_| InvalidHash)?;
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

/// Takes a text without keeping it.
struct HexText;

impl de::Visitor<'_> for HexText {
    type Value = [u8; 16];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("32 lowercase hex digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<[u8; 16], E> {
        parse_hex(text).map_err(E::custom)
    }
}

macro_rules! as_hex_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                with_hex(self.0, |digits| f.write_str(digits))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                with_hex(self.0, |digits| f.write_str(digits))
            }
        }

        impl FromStr for $name {
            type Err = InvalidHash;

            fn from_str(text: &str) -> Result<Self, InvalidHash> {
                parse_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                with_hex(self.0, |digits| serializer.serialize_str(digits))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(HexText).map(Self)
            }
        }
    };
}

as_hex_text!(Hash);
as_hex_text!(Chain);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_first_16_bytes_of_blake3() {
        // From the specification of BLAKE3: the hash of nothing.
        assert_eq!(Hash::of(b"").to_string(), "af1349b9f5f9a1a6a0404dea36dcc949");
    }

    #[test]
    fn pieces_hash_as_the_whole() {
        let mut hasher = Hasher::new();
        hasher.update(b"some ");
        hasher.update(b"");
        hasher.update(b"bytes");
        assert_eq!(hasher.finish(), Hash::of(b"some bytes"));
    }

    #[test]
    fn a_hash_reads_back_in_one_spelling_only() {
        let text = Hash::of(b"x").to_string();
        assert_eq!(text.parse(), Ok(Hash::of(b"x")));
        for bad in ["", "0", &text[1..], &text.to_uppercase(), &format!("{text}0"), &"é".repeat(16)]
        {
            assert_eq!(bad.parse::<Hash>(), Err(InvalidHash), "{bad}");
        }
        assert_eq!(Chain::ZERO.to_string(), "0".repeat(32));
    }
}
