//! The name of a document.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

/// The longest component that Linux file systems take, in bytes.
const COMPONENT_MAX_BYTES: usize = 255;

/// The longest path of a document in bytes. Linux takes 4095 in one call; the rest is left for the
/// folders in which a document can come to lie, such as that of a rescued edit.
const PATH_MAX_BYTES: usize = 4000;

/// The name of a document: UTF-8, relative to the root of its store, never in `.filepact`.
///
/// Who holds one need not check it again: it has no `.`, `..` or empty component, and each part is
/// short enough for the kernel. It says nothing of what stands there. Cloning is cheap. The order
/// is that of the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocPath(Arc<str>);

/// A text that cannot name a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} cannot name a document: {reason}")]
pub struct InvalidPath {
    /// The text.
    pub path: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl DocPath {
    /// Takes a path as it is; nothing is normalised, since `a//b` and `a/b` would be one file under
    /// two names.
    ///
    /// # Errors
    /// [`InvalidPath`] says which rule the text breaks.
    pub fn new(path: impl AsRef<str>) -> Result<Self, InvalidPath> {
        let path = path.as_ref();
        match fault(path) {
            None => Ok(Self(path.into())),
            Some(reason) => Err(InvalidPath { path: path.into(), reason }),
        }
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the directory it lies in; `""` is the root.
    pub fn parent(&self) -> &str {
        parent_of(&self.0)
    }

    /// The last component.
    pub fn name(&self) -> &str {
        name_of(&self.0)
    }
}

/// The path of the directory that `path` lies in; `""` is the root.
pub fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The last component of `path`.
pub(crate) fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Whether a component is the name of a store's own folder, which no document may pass through.
///
/// In every spelling that a case-folding directory takes for it: in any case of letters, with `fi`
/// as one letter, with characters in between that nobody sees.
pub fn is_reserved(component: &str) -> bool {
    if component.is_ascii() {
        return component.eq_ignore_ascii_case(".filepact");
    }
    let visible = component.chars().filter(|char| !is_ignorable(*char));
    let folded = visible.flat_map(|char| match char {
        '\u{fb01}' => ['f', 'i'].into_iter().take(2),
        other => [other.to_ascii_lowercase(), '\0'].into_iter().take(1),
    });
    folded.eq(".filepact".chars())
}

/// Unicode's `Default_Ignorable_Code_Point`: a directory that folds case compares names without them.
fn is_ignorable(char: char) -> bool {
    matches!(
        u32::from(char),
        0xad | 0x34f
            | 0x61c
            | 0x115f..=0x1160
            | 0x17b4..=0x17b5
            | 0x180b..=0x180f
            | 0x200b..=0x200f
            | 0x202a..=0x202e
            | 0x2060..=0x206f
            | 0x3164
            | 0xfe00..=0xfe0f
            | 0xfeff
            | 0xffa0
            | 0xfff0..=0xfff8
            | 0x1_bca0..=0x1_bca3
            | 0x1_d173..=0x1_d17a
            | 0xe_0000..=0xe_0fff
    )
}

/// The first rule that `path` breaks.
fn fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.starts_with('/') {
        return Some("it is absolute");
    }
    if path.contains('\0') {
        return Some("it contains a NUL byte");
    }
    if path.len() > PATH_MAX_BYTES {
        return Some("it is longer than 4000 bytes");
    }
    path.split('/').enumerate().find_map(|(depth, component)| match component {
        "" => Some("it ends with a slash or contains two in a row"),
        "." | ".." => Some("it contains `.` or `..`"),
        _ if component.len() > COMPONENT_MAX_BYTES => {
            Some("a component of it is longer than 255 bytes")
        }
        _ if is_reserved(component) && depth == 0 => Some("`.filepact` is the store's own folder"),
        _ if is_reserved(component) => Some("it lies in a nested store"),
        _ => None,
    })
}

impl FromStr for DocPath {
    type Err = InvalidPath;

    fn from_str(path: &str) -> Result<Self, InvalidPath> {
        Self::new(path)
    }
}

impl TryFrom<&str> for DocPath {
    type Error = InvalidPath;

    fn try_from(path: &str) -> Result<Self, InvalidPath> {
        Self::new(path)
    }
}

impl TryFrom<String> for DocPath {
    type Error = InvalidPath;

    fn try_from(path: String) -> Result<Self, InvalidPath> {
        Self::new(path)
    }
}

impl Deref for DocPath {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for DocPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for DocPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DocPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_taken_as_they_are() {
        let longest = format!("{}/x", "d".repeat(255));
        for path in ["a", "a/b.json", "...", "a/..b", ".hidden", "ä ö/ü\n", ".filepact2", &longest]
        {
            assert_eq!(DocPath::new(path).unwrap().as_str(), path);
        }
        let deepest = format!("{}aa", "a/".repeat(1999));
        assert_eq!(deepest.len(), 4000);
        assert!(DocPath::new(&deepest).is_ok());
    }

    #[test]
    fn every_broken_rule_is_named() {
        let too_long = "a".repeat(256);
        let too_deep = format!("{}a", "a/".repeat(2000));
        for (path, reason) in [
            ("", "empty"),
            ("/etc/passwd", "absolute"),
            ("a\0b", "NUL"),
            (".", "`.` or `..`"),
            ("a/../b", "`.` or `..`"),
            ("a/./b", "`.` or `..`"),
            ("..", "`.` or `..`"),
            ("a//b", "slash"),
            ("a/", "slash"),
            (too_long.as_str(), "255"),
            (too_deep.as_str(), "4000"),
            (".filepact", "own folder"),
            (".filepact/lock", "own folder"),
            (".FilePact/lock", "own folder"),
            ("a/.filepact/lock", "nested"),
            ("a/.filepact", "nested"),
        ] {
            let error = DocPath::new(path).unwrap_err();
            assert!(error.reason.contains(reason), "{path:?}: {error}");
            assert_eq!(error.path, path);
        }
    }

    #[test]
    fn no_spelling_of_a_case_folding_directory_leads_into_the_own_folder() {
        // ext4 and f2fs fold by Unicode, and leave out what is invisible.
        for name in [".FILEPACT", ".\u{fb01}lepact", ".file\u{200c}pact", "\u{feff}.Filepac\u{ad}t"]
        {
            assert!(is_reserved(name), "{name:?}");
            assert!(DocPath::new(format!("{name}/state")).is_err(), "{name:?}");
            assert!(DocPath::new(format!("a/{name}")).is_err(), "{name:?}");
        }
        for name in
            ["filepact", ".filepact2", ".\u{fb02}epact", ".f\u{131}lepact", ".filepact\u{308}"]
        {
            assert!(!is_reserved(name), "{name:?}");
        }
    }

    #[test]
    fn a_path_knows_its_parent_and_its_name() {
        let path: DocPath = "a/b/c".parse().unwrap();
        assert_eq!((path.parent(), path.name()), ("a/b", "c"));
        let path = DocPath::new("c").unwrap();
        assert_eq!((path.parent(), path.name()), ("", "c"));
        assert_eq!(parent_of(""), "");
    }

    #[test]
    fn maps_keyed_by_document_are_asked_with_plain_text() {
        let map = std::collections::HashMap::from([(DocPath::new("a/b").unwrap(), 1)]);
        assert_eq!(map.get("a/b"), Some(&1));
    }
}
