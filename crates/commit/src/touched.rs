//! What the members of a group have changed so far.
//!
//! Validation looks at documents as they are before the group. So a member that saw, or would
//! change, what an earlier one changes cannot be in the same group: it waits for the next one of the
//! same turn, and is validated after this one is published.

use std::collections::BTreeSet;

use filepact_fs::parent_of;

use crate::Request;

/// The paths that the members of a group change.
#[derive(Debug, Default)]
pub(crate) struct Touched(BTreeSet<String>);

impl Touched {
    /// A member changes these.
    pub(crate) fn add<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        self.0.extend(paths.map(str::to_owned));
    }

    /// Whether the request has to do with any of them.
    pub(crate) fn concerns(&self, request: &Request) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let reads = &request.reads;
        let paths = request.changes.keys().chain(reads.documents.keys());
        paths.chain(reads.expected.keys()).any(|path| self.meets(path))
            || reads.lists.keys().any(|dir| self.is_below(dir) || self.contains_above(dir))
    }

    /// The path itself, something above it or something below it.
    fn meets(&self, path: &str) -> bool {
        self.0.contains(path) || self.contains_above(path) || self.is_below(path)
    }

    fn contains_above(&self, path: &str) -> bool {
        let mut above = parent_of(path);
        while !above.is_empty() {
            if self.0.contains(above) {
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
        self.0.range(prefix.clone()..).next().is_some_and(|path| path.starts_with(&prefix))
    }
}

#[cfg(test)]
mod tests {
    use filepact_fs::DocPath;

    use super::*;
    use crate::{Change, Listed};

    #[test]
    fn what_is_changed_concerns_its_readers_and_what_lies_above_and_below() {
        let mut touched = Touched::default();
        touched.add(["a/b", "c"].into_iter());
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
            request.reads.lists.insert(dir.to_owned(), Listed { names: Vec::new() });
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
}
