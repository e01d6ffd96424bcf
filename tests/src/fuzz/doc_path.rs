//! A text is the path of a document, or it is refused with a reason; a path that is taken is taken
//! as it is, stays beneath the root, and leads into no `.filepact` on any file system.
//!
//! The input is the text.

use std::path::{Component, Path};

use filepact::DocPath;
use filepact_fs::parent_of;

use super::{Target, prepared};
use crate::crash::{documents, open};

/// See the module.
pub const TARGET: Target = Target { name: "doc_path", run, explain, seeds };

fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let path = match DocPath::new(text) {
        Err(error) => {
            assert_eq!(error.path, text);
            assert!(!error.reason.is_empty() && error.to_string().contains(error.reason));
            assert!(text.parse::<DocPath>().is_err() && DocPath::try_from(text).is_err());
            return assert!(is_refused(text), "{text:?} is refused: {error}");
        }
        Ok(path) => path,
    };
    assert!(!is_refused(text), "{text:?} is taken");
    assert_eq!(path.as_str(), text);
    assert_eq!(path.to_string().parse(), Ok(path.clone()));
    assert_eq!(DocPath::try_from(text.to_owned()), Ok(path.clone()));
    // As the system sees it.
    let components: Vec<_> = Path::new(text).components().collect();
    assert!(components.iter().all(|part| matches!(part, Component::Normal(_))), "{text:?}");
    assert_eq!(components.len(), text.split('/').count(), "{text:?}: nothing is skipped");
    // Parent and name are the path again, and every directory on the way could be a document's.
    assert_eq!(path.name().find('/'), None);
    let mut dir = path.parent();
    let whole = if dir.is_empty() { String::new() } else { format!("{dir}/") } + path.name();
    assert_eq!(whole, text);
    // A few of them: a path may have two thousand.
    for _ in 0..4 {
        assert!(dir.is_empty() || DocPath::new(dir).is_ok(), "{dir:?}");
        dir = parent_of(dir);
    }
    lands_where_it_says(&path);
}

/// The rules, written a second time.
fn is_refused(text: &str) -> bool {
    let bad = |part: &str| {
        part.is_empty()
            || part.len() > 255
            || part.chars().all(|char| char == '.') && part.len() <= 2
            || folded(part) == ".filepact"
    };
    text.len() > 4000 || text.contains('\0') || text.split('/').any(bad)
}

/// A component as a case-folding directory compares it: letters in one case, `ﬁ` as its two letters,
/// what is invisible left out.
fn folded(part: &str) -> String {
    let visible = part.chars().filter(|char| !is_invisible(*char));
    visible.flat_map(char::to_lowercase).collect::<String>().replace('ﬁ', "fi")
}

/// Unicode's Default_Ignorable_Code_Point.
fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A store puts the document there and nowhere else.
fn lands_where_it_says(path: &DocPath) {
    // Long and deep paths take long, and are made of shorter ones.
    if path.len() > 100 {
        return;
    }
    let sim = prepared();
    let store = open(&sim);
    let mut expected = documents(&sim);
    let mut tx = store.begin().expect("the store is open");
    tx.write_bytes(path, "body").expect("a valid path");
    // Below a document there is none.
    if let Err(error) = tx.commit() {
        let blocked = expected.keys().any(|other| path.starts_with(&format!("{other}/")));
        return assert!(blocked, "{path:?}: {error}");
    }
    expected.insert(path.to_string(), b"body".to_vec());
    assert_eq!(documents(&sim), expected);
    assert!(store.list("").expect("it can be listed").contains(path));
    assert_eq!(store.read_bytes(path).expect("it can be read"), Some(b"body".to_vec()));
}

fn explain(input: &[u8]) -> String {
    format!("{:?}", str::from_utf8(input).map(DocPath::new))
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let long = "d".repeat(255);
    let deep = "a/".repeat(1999) + "aa";
    [
        ("plain", "accounts/ann.json"),
        ("dots", "a/../b"),
        ("dot", "./a"),
        ("hidden", ".hidden/..."),
        ("own", ".filepact/state"),
        ("nested", "a/.FilePact"),
        ("ligature", ".ﬁlepact/state"),
        ("invisible", "a/.file\u{200c}pact"),
        ("absolute", "/etc/passwd"),
        ("slashes", "a//b/"),
        ("nul", "a\0b"),
        ("letters", "ä ö/ü\n\u{1f4c1}"),
        ("long", &long),
        ("deep", &deep),
        ("below", "a.json/b"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .to_vec()
}
