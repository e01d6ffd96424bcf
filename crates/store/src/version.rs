//! Opaque tokens for compare-and-swap.

use std::fmt;
use std::str::FromStr;

use filepact_journal::Hash;

/// An opaque token for the content of a document, for compare-and-swap.
///
/// Two documents have the same version exactly when they have the same content; numbers, which may
/// repeat after a restored backup, play no part in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(pub(crate) Hash);

/// Says how the token was made, so that another way can come beside it.
const PREFIX: &str = "h1:";

impl Version {
    /// The version that a document with this content has.
    pub fn of(content: &[u8]) -> Self {
        Self(Hash::of(content))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version: `{PREFIX}` and 32 hex digits are expected")]
pub struct InvalidVersion;

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let hash = text.strip_prefix(PREFIX).ok_or(InvalidVersion)?;
        hash.parse().map(Self).map_err(|_| InvalidVersion)
    }
}

impl serde::Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
