//! What the members of a group have changed so far.
//!
//! Validation looks at documents as they are before the group. So a member that saw, or would
//! change, what an earlier one changes cannot be in the same group: it waits for the next one of the
//! same turn, and is validated after this one is published.

use std::collections::BTreeMap;

use filepact_fs::{DocPath, parent_of};

use crate::{Change, Request};

/// The paths that the members of a group change, and how.
#[derive(Debug, Default)]
pub(crate) struct Touched(BTreeMap<String, How>);

/// How a document is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It gets longer, and nobody cares what it held before: others can add to it as well.
    Added,
    /// In any other way.
    Changed,
}

impl Touched {
    /// A member changes this.
    pub(crate) fn add(&mut self, path: &str, how: How) {
        self.0.insert(path.to_owned(), how);
    }

    /// Whether the request has to do with any of them.
    pub(crate) fn concerns(&self, request: &Request) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let reads = &request.reads;
        let changes = request.changes.iter();
        changes
            .filter(|(path, change)| !self.adds_as_well(path, change))
            .any(|(path, _)| self.meets(path))
            || reads.documents.keys().chain(reads.expected.keys()).any(|path| self.meets(path))
            || reads.lists.keys().any(|dir| self.is_below(dir) || self.contains_above(dir))
    }

    /// Both only add to it: in which order, the records say.
    fn adds_as_well(&self, path: &DocPath, change: &Change) -> bool {
        matches!(change, Change::Append { .. }) && self.0.get(path.as_str()) == Some(&How::Added)
    }

    /// The path itself, something above it or something below it.
    fn meets(&self, path: &str) -> bool {
        self.0.contains_key(path) || self.contains_above(path) || self.is_below(path)
    }

    fn contains_above(&self, path: &str) -> bool {
        let mut above = parent_of(path);
        while !above.is_empty() {
            if self.0.contains_key(above) {
                return true;
            }
            above = parent_of(above);
        }
        false
    }

    /// Something below the directory; everything is below `""`.
    fn is_below(&self, dir: &str) -> bool {
        if dir.is_empty() {
            return !self.0.is_empty();
        }
        let prefix = format!("{dir}/");
        self.0.range(prefix.clone()..).next().is_some_and(|(path, _)| path.starts_with(&prefix))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use filepact_journal::Hash;

    use super::*;
    use crate::{Content, Listed};

    #[test]
    fn what_is_changed_concerns_its_readers_and_what_lies_above_and_below() {
        let mut touched = Touched::default();
        touched.add("a/b", How::Changed);
        touched.add("c", How::Changed);
        let changes = |path| Request {
            changes: [(DocPath::new(path).unwrap(), Change::Remove)].into(),
            ..Request::default()
        };
        for (path, concerned) in [
            ("a/b", true),
            ("a", true),
            ("a/b/x", true),
            ("c", true),
            ("c/d/e", true),
            ("a/bb", false),
            ("a/c", false),
            ("cc", false),
        ] {
            assert_eq!(touched.concerns(&changes(path)), concerned, "{path}");
        }
        let lists = |dir: &str| {
            let mut request = Request::default();
            request.reads.lists.insert(dir.to_owned(), Listed { at: 0, names: Vec::new() });
            request
        };
        for (dir, concerned) in [("", true), ("a", true), ("c", false), ("c/d", true), ("b", false)]
        {
            assert_eq!(touched.concerns(&lists(dir)), concerned, "{dir}/");
        }
        let mut expects = Request::default();
        expects.reads.expected.insert(DocPath::new("a/b").unwrap(), None);
        assert!(touched.concerns(&expects));
        assert!(!Touched::default().concerns(&expects));
    }

    #[test]
    fn who_only_adds_does_not_concern_who_only_adds() {
        let mut touched = Touched::default();
        touched.add("log", How::Added);
        touched.add("new", How::Changed);
        let adds = |path: &str| {
            let content = Content::Inline { bytes: Arc::from(*b"x"), hash: Hash::of(b"x") };
            let path = DocPath::new(path).unwrap();
            Request { changes: [(path, Change::Append { content })].into(), ..Request::default() }
        };
        assert!(!touched.concerns(&adds("log")));
        assert!(touched.concerns(&adds("new")));
        assert!(touched.concerns(&adds("log/below")));
        let mut expects = adds("log");
        expects.reads.expected.insert(DocPath::new("log").unwrap(), None);
        assert!(touched.concerns(&expects));
    }
}
