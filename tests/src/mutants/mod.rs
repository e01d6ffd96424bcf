//! The tests tested: each sync, check and order of the protocol is taken out, one at a time.
//!
//! `tests/mutants/*.txt` lists the mutations ([`Mutation`]). All of them are woven into one copy of
//! the tree ([`weave`](mod@weave)), each behind a question for its own number, so that one build serves
//! all; then the tests run once for each, with the number in the environment ([`run`]). What stays
//! green is a missing test, or a line that nothing needs, and has to say why ([`Mutation::green`]).
//! `cargo run -p filepact-tests --bin mutants` does it, and writes `docs/mutations.md` ([`table`]).

#![allow(clippy::disallowed_methods, reason = "it copies and reads sources, and no store")]

use std::fs;
use std::path::{Path, PathBuf};

pub mod parse;
pub mod run;
pub mod table;
pub mod trace;
pub mod tree;
pub mod weave;

/// The variable that names the mutation in force, by its number.
pub const VARIABLE: &str = "FILEPACT_MUTANT";

/// The variable that names a file for the numbers of all mutations whose place is reached.
pub const TRACE: &str = "FILEPACT_MUTANT_TRACE";

/// One thing that is taken out, or turned round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// What the command calls it.
    pub name: String,
    /// The list that it stands in: `journal`, `commit`...
    pub area: String,
    /// The file that is changed, beneath the root of the tree.
    pub file: String,
    /// The step of the protocol.
    pub step: String,
    /// What is done to it.
    pub what: String,
    /// What goes wrong then.
    pub lost: String,
    /// A bug that was there once, and that this brings back.
    pub past: Option<String>,
    /// The tests that go red. `guards::x` is one of the tests that cross crates; a unit test stands
    /// behind its package.
    pub red: Vec<String>,
    /// Why no test can go red.
    pub green: Option<String>,
    /// Text that the file has exactly once.
    pub find: Find,
    /// What takes the place of its marked part.
    pub with: String,
}

/// Where a mutation changes its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    /// What stands before the part that is replaced.
    pub before: String,
    /// The part that is replaced.
    pub part: String,
    /// What stands behind it.
    pub after: String,
}

/// The root of the tree that this was built from.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("it lies in the workspace").to_owned()
}

/// All mutations, in the order of the lists. The number of each is its place, from 1.
///
/// # Errors
/// Which line of which list cannot be read.
pub fn all(root: &Path) -> Result<Vec<Mutation>, String> {
    let folder = root.join("tests/mutants");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{folder:?}: {error}"))?;
    let mut lists: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    lists.retain(|list| list.extension().is_some_and(|extension| extension == "txt"));
    lists.sort();
    let mut mutations: Vec<Mutation> = Vec::new();
    for list in lists {
        let area = list.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&list).map_err(|error| format!("{list:?}: {error}"))?;
        let read = parse::parse(&area, &text).map_err(|error| format!("{area}.txt, {error}"))?;
        for mutation in read {
            if mutations.iter().any(|other| other.name == mutation.name) {
                return Err(format!("there are two mutations `{}`", mutation.name));
            }
            mutations.push(mutation);
        }
    }
    Ok(mutations)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Product code and tests change; a mutation that does not fit any more would prove nothing.
    #[test]
    fn every_mutation_fits_its_file() {
        let mutations = all(&root()).expect("the lists can be read");
        assert!(mutations.len() > 100, "the lists were found");
        let files: BTreeSet<&str> = mutations.iter().map(|m| m.file.as_str()).collect();
        for file in files {
            let text = fs::read_to_string(root().join(file)).expect("it is there");
            let numbered = (1..).zip(&mutations).filter(|(_, mutation)| mutation.file == file);
            weave::weave(file, &text, numbered).expect("each text is there exactly once");
        }
    }

    #[test]
    fn every_test_that_is_said_to_go_red_is_there() {
        for mutation in all(&root()).expect("the lists can be read") {
            for test in &mutation.red {
                let (folder, name) = run::source_of(test);
                let function = format!("fn {}(", name.rsplit("::").next().unwrap_or(name));
                let is_there = sources(&root().join(folder)).any(|text| text.contains(&function));
                assert!(is_there, "{}: there is no test `{test}`", mutation.name);
            }
        }
    }

    fn sources(folder: &Path) -> Box<dyn Iterator<Item = String>> {
        let entries = fs::read_dir(folder).expect("it is there");
        Box::new(entries.flat_map(|entry| {
            let path = entry.expect("it can be listed").path();
            match path.is_dir() {
                true => sources(&path),
                false => Box::new(fs::read_to_string(path).into_iter()),
            }
        }))
    }
}
