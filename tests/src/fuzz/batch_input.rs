//! Any input of `filepact batch` gets an answer a line, a transaction that failed changes nothing,
//! and a well-formed input does to the documents what it does to a map.
//!
//! If the first byte is `g`, requests are read from the bytes, and judged by the map. Else the whole
//! input is what the command reads.

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use filepact::Version;
use serde_json::{Value, json};

use super::{Target, prepared};
use crate::crash::{documents, open};
use crate::history::Tree;

/// See the module.
pub const TARGET: Target = Target { name: "batch_input", run, explain, seeds };

fn run(input: &[u8]) {
    match input.split_first() {
        Some((b'g', bytes)) => drop(structured(&mut Unstructured::new(bytes))),
        // Nobody else commits.
        _ if input.split(|byte| *byte == b'\n').any(waits) => {}
        _ => drop(feed(input)),
    }
}

/// Whether a line waits for what others commit.
fn waits(line: &[u8]) -> bool {
    let request: Value = serde_json::from_slice(line).unwrap_or_default();
    request["op"] == "watch" && request["seconds"] != 0
}

/// What came of an input.
struct Fed {
    answers: Vec<Value>,
    exit: u8,
    after: Tree,
}

/// Runs the command on an input, and checks what holds for every one.
fn feed(input: &[u8]) -> Fed {
    let sim = prepared();
    let store = open(&sim);
    let before = documents(&sim);
    let meta = |path: &String| path.starts_with(".filepact/");
    let mut output = Vec::new();
    let exit = filepact_cli::batch(&store, input, &mut output);
    let after = documents(&sim);
    let text = String::from_utf8(output).expect("answers are JSON");
    let answers: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    // The last line needs no newline.
    let lines = input.split_inclusive(|byte| *byte == b'\n').count();
    let beyond = answers.len().checked_sub(lines).expect("every line is answered");
    assert!(beyond <= 1, "{} answers to {lines} lines", answers.len());
    for (at, answer) in answers.iter().enumerate() {
        let is_fine = match &answer["ok"] {
            Value::Bool(true) => answer.get("error").is_none(),
            Value::Bool(false) => {
                answer["line"] == json!(at + 1)
                    && answer["error"].is_string()
                    && answer["message"].as_str().is_some_and(|message| !message.is_empty())
            }
            _ => false,
        };
        assert!(is_fine, "{answer}");
    }
    let failed = answers.iter().any(|answer| answer["ok"] == false);
    assert_eq!(failed, exit != 0, "the exit code is that of the first failure");
    // What a watch tells has a number too, and says what was changed.
    let is_commit = |answer: &&Value| answer["txn"].is_u64() && answer["changes"].is_null();
    let commits = answers.iter().filter(is_commit).count();
    if commits == 0 {
        assert_eq!(after, before, "nothing was committed");
    }
    // Aborted lines are answered so until something ends it.
    for pair in answers.windows(2) {
        let goes_on = pair[1]["ok"] == false && pair[1]["error"] != "aborted";
        assert!(pair[0]["error"] != "aborted" || !goes_on, "{} {}", pair[0], pair[1]);
    }
    let check = store.check().expect("it can be checked");
    assert!(check.problems.is_empty() && check.outside_edits.is_empty(), "{check:?}");
    let left: Vec<_> =
        sim.tree().into_keys().filter(meta).filter(|path| path.contains("/stage/")).collect();
    let left: Vec<_> = left.into_iter().filter(|path| !path.contains("/spare-")).collect();
    assert!(left.is_empty(), "{left:?}");
    Fed { answers, exit, after }
}

/// One line, and whether it is to be the last of its transaction.
#[derive(Clone, Debug, arbitrary::Arbitrary)]
enum Request {
    Get { path: Path },
    Expect { path: Path, right: bool },
    Put { path: Path, body: Body },
    Append { path: Path, body: Body },
    Remove { path: Path },
    Rename { path: Path, to: Path },
    Begin,
    Commit,
    Rollback,
}

#[derive(Clone, Debug, arbitrary::Arbitrary)]
enum Body {
    Json(Json),
    Text(Text),
    Base64(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Text(String);

#[derive(Clone, Debug)]
struct Json(Value);

#[derive(Clone, Copy, Debug)]
struct Path(&'static str);

/// Few, so that requests meet.
const PATHS: [&str; 5] = ["a.json", "b.json", "log", "new/x y.json", "ü\"\\"];

impl<'a> arbitrary::Arbitrary<'a> for Path {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        u.choose(&PATHS).map(|path| Self(path))
    }
}

impl<'a> arbitrary::Arbitrary<'a> for Text {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        filepact_journal::arbitrary::text(u).map(Self)
    }
}

impl<'a> arbitrary::Arbitrary<'a> for Json {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let text = filepact_journal::arbitrary::text;
        Ok(Self(match u.int_in_range(0..=5)? {
            0 => Value::Null,
            1 => json!(u.arbitrary::<i64>()?),
            2 => json!(u.arbitrary::<f64>()?),
            3 => json!(text(u)?),
            4 => json!({ text(u)?: u.arbitrary::<bool>()?, "k": [text(u)?, {}] }),
            _ => json!([u.arbitrary::<u8>()?, []]),
        }))
    }
}

impl Body {
    fn field(&self) -> (&'static str, Value) {
        match self {
            Self::Json(Json(value)) => ("json", value.clone()),
            Self::Text(Text(text)) => ("text", json!(text)),
            Self::Base64(bytes) => ("base64", json!(BASE64.encode(bytes))),
        }
    }

    /// What a document of it holds; JSON in lines of its own, or on one.
    fn bytes(&self, on_one_line: bool) -> Vec<u8> {
        match self {
            Self::Json(Json(value)) if on_one_line => format!("{value}\n").into_bytes(),
            Self::Json(Json(value)) => format!("{value:#}\n").into_bytes(),
            Self::Text(Text(text)) => text.clone().into_bytes(),
            Self::Base64(bytes) => bytes.clone(),
        }
    }
}

impl Request {
    /// The line; `model` is what an expectation is right or wrong about.
    fn line(&self, model: &Model) -> Value {
        let with = |op: &str, path: &Path, body: &Body| {
            let (field, value) = body.field();
            json!({ "op": op, "path": path.0, field: value })
        };
        match self {
            Self::Begin => json!({ "op": "begin" }),
            Self::Commit => json!({ "op": "commit", "note": "why" }),
            Self::Rollback => json!({ "op": "rollback" }),
            Self::Get { path } => json!({ "op": "get", "path": path.0 }),
            Self::Remove { path } => json!({ "op": "remove", "path": path.0 }),
            Self::Rename { path, to } => json!({ "op": "rename", "path": path.0, "to": to.0 }),
            Self::Put { path, body } => with("put", path, body),
            Self::Append { path, body } => with("append", path, body),
            Self::Expect { path, right } => {
                let version = expectation(&model.committed, *path, *right);
                json!({ "op": "expect", "path": path.0, "version": version })
            }
        }
    }
}

/// The version that a document has, or one that it has not.
fn expectation(committed: &Tree, path: Path, right: bool) -> Value {
    if right { version(committed.get(path.0)) } else { json!(Version::of(b"other than any")) }
}

fn version(bytes: Option<&Vec<u8>>) -> Value {
    json!(bytes.map(|bytes| Version::of(bytes)))
}

/// The command's transactions, as a map sees them.
#[derive(Default)]
struct Model {
    committed: Tree,
    open: Option<Open>,
    aborted: bool,
    /// A `begin` was seen.
    explicit: bool,
}

/// What the open transaction sees, and which versions it expects.
struct Open {
    tree: Tree,
    expected: BTreeMap<&'static str, Value>,
}

impl Model {
    /// Whether the request succeeds.
    fn take(&mut self, request: &Request) -> bool {
        let done = match request {
            Request::Begin if self.open.is_some() => false,
            Request::Begin => {
                (self.explicit, self.aborted) = (true, false);
                self.open = Some(self.begin());
                true
            }
            Request::Rollback => self.open.take().is_some() | std::mem::take(&mut self.aborted),
            Request::Commit => self.explicit && self.commit(),
            _ => self.change(request).is_some(),
        };
        if !done {
            (self.open, self.aborted) = (None, true);
        }
        done
    }

    fn begin(&self) -> Open {
        Open { tree: self.committed.clone(), expected: BTreeMap::new() }
    }

    fn commit(&mut self) -> bool {
        let committed = &self.committed;
        let is_so = |(path, expected): (&&str, &Value)| *expected == version(committed.get(*path));
        let open = self.open.take().filter(|open| open.expected.iter().all(is_so));
        let done = open.is_some();
        self.committed = open.map_or_else(|| std::mem::take(&mut self.committed), |open| open.tree);
        done
    }

    fn change(&mut self, request: &Request) -> Option<()> {
        if self.aborted || self.open.is_none() && self.explicit {
            return None;
        }
        let begun = self.open.take().unwrap_or_else(|| self.begin());
        let Open { tree, expected } = self.open.insert(begun);
        match request {
            Request::Expect { path, right } => {
                let version = expectation(&self.committed, *path, *right);
                let before = expected.insert(path.0, version.clone());
                before.is_none_or(|before| before == version).then_some(())?;
            }
            Request::Put { path, body } => drop(tree.insert(path.0.to_owned(), body.bytes(false))),
            Request::Append { path, body } => {
                let more = body.bytes(true);
                if !more.is_empty() {
                    tree.entry(path.0.to_owned()).or_default().extend_from_slice(&more);
                }
            }
            Request::Remove { path } => drop(tree.remove(path.0)?),
            Request::Rename { to, .. } if tree.contains_key(to.0) => return None,
            Request::Rename { path, to } => {
                let body = tree.remove(path.0)?;
                tree.insert(to.0.to_owned(), body);
            }
            Request::Get { .. } | Request::Begin | Request::Commit | Request::Rollback => {}
        }
        Some(())
    }

    /// The end of the input; whether it commits, and how that went.
    fn end(&mut self) -> Option<bool> {
        (!self.explicit && self.open.is_some()).then(|| self.commit())
    }
}

/// The lines of some requests, what each is answered, and what the documents are in the end.
struct Story {
    input: Vec<u8>,
    answers: Vec<(bool, Option<Value>)>,
    model: Model,
}

fn story(u: &mut Unstructured<'_>) -> arbitrary::Result<Story> {
    let committed = crate::history::before();
    let mut model = Model { committed, ..Model::default() };
    let (mut input, mut answers) = (Vec::new(), Vec::new());
    for request in u.arbitrary_iter::<Request>()?.take(40) {
        let request = request?;
        input.extend_from_slice(format!("{}\n", request.line(&model)).as_bytes());
        let done = model.take(&request);
        let seen = match &request {
            Request::Get { path } if done => {
                let open = model.open.as_ref().expect("it was read in one");
                Some(version(open.tree.get(path.0)))
            }
            _ => None,
        };
        answers.push((done, seen));
    }
    answers.extend(model.end().map(|done| (done, None)));
    Ok(Story { input, answers, model })
}

fn structured(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let story = story(u)?;
    let fed = feed(&story.input);
    let found: Vec<_> = fed
        .answers
        .iter()
        .map(|answer| (answer["ok"] == true, answer.get("version").cloned()))
        .collect();
    assert_eq!(found, story.answers, "{}", super::as_text(&story.input));
    assert_eq!(fed.after, story.model.committed, "{}", super::as_text(&story.input));
    Ok(())
}

fn explain(input: &[u8]) -> String {
    let lines = match input.split_first() {
        Some((b'g', bytes)) => story(&mut Unstructured::new(bytes)).map(|story| story.input),
        _ => Ok(input.to_vec()),
    };
    let lines = lines.unwrap_or_default();
    let Fed { answers, exit, .. } = feed(&lines);
    let answers: String = answers.iter().map(|answer| format!("{answer}\n")).collect();
    format!("{}\n{answers}exit code {exit}", super::as_text(&lines))
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let begin = r#"{"op":"begin"}"#;
    let put = r#"{"op":"put","path":"a.json","json":{"n":1,"f":1.50}}"#;
    let absent = r#"{"op":"expect","path":"new.json","version":null}"#;
    let commit = r#"{"op":"commit","note":"why"}"#;
    let inputs = [
        ("one-transaction", vec![put, r#"{"op":"append","path":"log","text":"1\n"}"#]),
        ("explicit", vec![begin, r#"{"op":"get","path":"a.json"}"#, absent, put, commit]),
        (
            "moves",
            vec![
                r#"{"op":"rename","path":"a.json","to":"c/d"}"#,
                r#"{"op":"remove","path":"b.json"}"#,
                r#"{"op":"put","path":"x","base64":"/wA="}"#,
            ],
        ),
        ("failed", vec![begin, r#"{"op":"get","path":"../a"}"#, commit, begin, put, commit]),
        ("rolled-back", vec![begin, put, r#"{"op":"rollback"}"#, "", "[]", "{\"op\":"]),
        ("duplicate-key", vec![r#"{"op":"put","path":"a.json","json":{"k":1,"k":2}}"#, put]),
    ];
    let mut seeds: Vec<_> = inputs
        .into_iter()
        .map(|(name, lines)| (name.to_owned(), (lines.join("\n") + "\n").into_bytes()))
        .collect();
    for seed in 0..4 {
        let bytes = super::noise(200 + seed, 300);
        seeds.push((format!("generated-{seed}"), [&b"g"[..], &bytes].concat()));
    }
    seeds
}
