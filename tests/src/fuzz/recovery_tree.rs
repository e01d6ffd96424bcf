//! Whatever state the meta folder is in: an opening never panics, loses no document, and either
//! opens the store or says what is wrong and changes nothing.
//!
//! The bytes choose a moment in the life of a store, what a crash makes of it, and what somebody or
//! something then does to the files in `.filepact`: damage, mix-ups, other files, and records that
//! say something else under sound checksums.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use arbitrary::{Arbitrary, Unstructured};
use filepact::{Error, Store};
use filepact_simfs::{Grain, Moment, Profile, SimFs};

use super::Target;
use super::forge::{self, Repair, Segments};
use crate::crash::{documents, options};
use crate::history::{INLINE_MAX, Tree, body};

/// See the module.
pub const TARGET: Target = Target { name: "recovery_tree", run, explain, seeds };

const META: &str = ".filepact/";
const STATE: &str = ".filepact/state";
const SLOTS: [usize; 2] = [0, 4096];

/// What an input says.
#[derive(Debug)]
struct Input {
    moment: u16,
    before: Before,
    repair: Fixed,
    edits: Vec<Edit>,
}

/// What has ended the last process.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Before {
    Death,
    PowerCut { outcome: u8 },
    Remount { outcome: u8 },
}

/// What is put right in the journal and in `state` after the edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary)]
enum Fixed {
    Nothing,
    Lines,
    Chains,
}

/// Something that is done to one file of the meta folder; of how many there are, it is the so-manieth.
#[derive(Clone, Debug, Arbitrary)]
enum Edit {
    Flip {
        file: u8,
        at: u16,
        bit: u8,
    },
    Truncate {
        file: u8,
        at: u16,
    },
    Fill {
        file: u8,
        at: u16,
        len: u16,
        byte: u8,
    },
    Splice {
        file: u8,
        at: u16,
        len: u8,
        bytes: Vec<u8>,
    },
    /// Another number at the n-th place where one stands.
    Number {
        file: u8,
        nth: u8,
        by: Number,
    },
    /// Another text at the n-th place where one stands.
    Text {
        file: u8,
        nth: u8,
        by: Text,
    },
    /// A line goes, or comes again at another place.
    Line {
        file: u8,
        from: u8,
        to: Option<u8>,
    },
    Delete {
        file: u8,
    },
    /// The content of another file, or of its own under another inode.
    Copy {
        file: u8,
        to: u8,
    },
    Name {
        file: u8,
        name: Name,
    },
    MakeDir {
        file: u8,
    },
    Link {
        file: u8,
    },
    Pipe {
        file: u8,
    },
    New {
        name: Name,
        bytes: Vec<u8>,
    },
    /// Everything.
    DeleteAll,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Number {
    Zero,
    One,
    More,
    Less,
    Far,
    Beyond,
    Any(u64),
}

#[derive(Clone, Debug, Arbitrary)]
enum Text {
    /// A document of the store.
    Document(u8),
    /// What is no document.
    Outside(u8),
    /// A time, a hash, a kind of record.
    Word(u8),
    Any(String),
}

/// A name in the meta folder.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Name {
    Segment(u8),
    Stage(u8),
    Rescued(u8),
    Fixed(u8),
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let (moment, before, repair) = u.arbitrary()?;
        let edits = u.arbitrary_iter()?.take(8).collect::<Result<_, _>>()?;
        Ok(Self { moment, before, repair, edits })
    }
}

/// A store's life, recorded, and all that its documents have held.
struct Life {
    moments: Vec<Moment>,
    /// Of each document, oldest first; `None` for absent.
    versions: BTreeMap<String, Vec<Option<Vec<u8>>>>,
    /// Documents that filepact never wrote, and those that were edited after it did.
    foreign: Tree,
}

/// Commits of every kind, a checkpoint, edits by others, one that is rescued and restored, and a close.
fn life() -> &'static Life {
    static LIFE: OnceLock<Life> = OnceLock::new();
    LIFE.get_or_init(|| {
        let sim = SimFs::new();
        let mut life =
            Life { moments: Vec::new(), versions: BTreeMap::new(), foreign: Tree::new() };
        for path in ["user.txt", "notes.md"] {
            sim.write(path, path.as_bytes());
            life.foreign.insert(path.to_owned(), path.as_bytes().to_vec());
        }
        sim.write_back_all();
        let store = open(&sim);
        store.checkpoint().expect("nothing fails here");
        sim.record();
        life.commit(
            &store,
            &[("a.json", Some(body("a", 1, 300))), ("b.json", Some(body("b", 1, 200)))],
        );
        life.commit(
            &store,
            &[("large", Some(body("l", 2, 3 * INLINE_MAX))), ("dir/c", Some(body("c", 2, 10)))],
        );
        life.commit(&store, &[("a.json", Some(body("a", 3, 5_000))), ("b.json", None)]);
        let mut tx = store.begin().expect("it is open");
        tx.append("dir/c", "more\n").expect("a valid path");
        tx.commit().expect("nothing fails here");
        life.add("dir/c", Some([body("c", 2, 10), b"more\n".to_vec()].concat()));
        // An edit that nobody has read is replaced, and rescued.
        sim.write("dir/c", b"an edit");
        life.add("dir/c", Some(b"an edit".to_vec()));
        life.commit(&store, &[("dir/c", Some(body("c", 5, 40)))]);
        store.checkpoint().expect("nothing fails here");
        life.commit(
            &store,
            &[("large", Some(body("l", 6, 2 * INLINE_MAX))), ("new/d", Some(body("d", 6, 4)))],
        );
        life.commit(&store, &[("a.json", Some(body("a", 7, 100))), ("large", None)]);
        // And restored, by a put whose mode is its own.
        let edit = store.rescued().expect("it can be listed").remove(0);
        let seen = store.compare_rescued(&edit, "dir/c").expect("it can be read");
        store.restore_rescued(&edit, "dir/c", seen.document).expect("nothing stands in the way");
        life.add("dir/c", Some(b"an edit".to_vec()));
        store.close().expect("nothing fails here");
        life.moments = sim.recorded();
        life
    })
}

impl Life {
    fn commit(&mut self, store: &Store, changes: &[(&str, Option<Vec<u8>>)]) {
        let mut tx = store.begin().expect("it is open");
        for (path, change) in changes {
            match change {
                Some(body) => tx.write_bytes(path, body.clone()).expect("a valid path"),
                None => tx.remove(path).expect("it is there"),
            }
            self.add(path, change.clone());
        }
        tx.commit().expect("nothing fails here");
    }

    fn add(&mut self, path: &str, version: Option<Vec<u8>>) {
        self.versions.entry(path.to_owned()).or_insert_with(|| vec![None]).push(version);
    }
}

fn open(sim: &SimFs) -> Store {
    options().open_with(sim.actor()).expect("nothing stands in the way")
}

fn run(input: &[u8]) {
    if let Ok(input) = Input::arbitrary(&mut Unstructured::new(input)) {
        let (sim, forged) = input.world();
        judge(&input, &sim, forged);
    }
}

impl Input {
    /// The world that is opened, and whether somebody has made up records.
    fn world(&self) -> (SimFs, bool) {
        let moments = &life().moments;
        let moment = &moments[usize::from(self.moment) % moments.len()];
        let profile = Profile::Strict(Grain::Page);
        let one = |mut worlds: Vec<SimFs>, outcome: u8| {
            let at = usize::from(outcome) % worlds.len();
            worlds.swap_remove(at)
        };
        let sim = match self.before {
            Before::Death => moment.world.process_death(),
            Before::PowerCut { outcome } => {
                one(moment.world.power_cut(&profile, 8, outcome.into()).worlds, outcome)
            }
            Before::Remount { outcome } => {
                one(moment.world.remount(&profile, 8, outcome.into()).worlds, outcome)
            }
        };
        self.edits.iter().for_each(|edit| edit.apply(&sim));
        if self.repair != Fixed::Nothing {
            repair(&sim, if self.repair == Fixed::Lines { Repair::Lines } else { Repair::Chains });
        }
        sim.write_back_all();
        (sim, self.repair != Fixed::Nothing)
    }
}

/// Checksums of the journal and of `state`.
fn repair(sim: &SimFs, how: Repair) {
    let mut segments = Segments::new();
    for (path, bytes) in sim.tree() {
        if let Some(first) =
            path.strip_prefix(".filepact/journal/").and_then(filepact_journal::parse_segment_name)
        {
            segments.insert(first, bytes);
        }
    }
    let before = segments.clone();
    forge::repair(&mut segments, how);
    for (first, bytes) in segments.iter().filter(|(first, bytes)| before[first] != **bytes) {
        write_over(sim, &filepact_journal::segment_path(*first), bytes);
    }
    let Some(mut state) = sim.read(STATE) else { return };
    let len = state.len();
    for slot in SLOTS.into_iter().filter(|slot| *slot < len) {
        let end = state[slot..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(state.len(), |end| slot + end);
        if let Some((_, rec)) = forge::unframe(&state[slot..end]) {
            let line = forge::line(rec);
            state[slot..end].copy_from_slice(&line[..end - slot]);
        }
    }
    write_over(sim, STATE, &state);
}

/// In place, whatever is written.
fn write_over(sim: &SimFs, path: &str, bytes: &[u8]) {
    if sim.read(path).is_some_and(|old| old != bytes) {
        sim.write(path, bytes);
    }
}

impl Edit {
    fn makes_no_file(&self) -> bool {
        matches!(self, Self::MakeDir { .. } | Self::Link { .. } | Self::Pipe { .. })
    }

    fn apply(&self, sim: &SimFs) {
        let files: Vec<String> =
            sim.tree().into_keys().filter(|path| path.starts_with(META)).collect();
        if files.is_empty() {
            return;
        }
        let file = |nth: &u8| files[usize::from(*nth) % files.len()].clone();
        let change = |nth: &u8, change: &dyn Fn(&mut Vec<u8>)| {
            let path = file(nth);
            let mut bytes = sim.read(&path).expect("it is listed");
            change(&mut bytes);
            write_over(sim, &path, &bytes);
        };
        let at = |at: u16, len: usize| usize::from(at) % len.max(1);
        let gone = |path: &str| sim.remove(path);
        match self {
            Self::Flip { file, at: to, bit } => change(file, &|bytes| {
                let to = at(*to, text_len(bytes));
                if let Some(byte) = bytes.get_mut(to) {
                    *byte ^= 1 << (bit % 8);
                }
            }),
            Self::Truncate { file, at: to } => {
                change(file, &|bytes| bytes.truncate(at(*to, bytes.len())));
            }
            Self::Fill { file, at: from, len, byte } => change(file, &|bytes| {
                let from = at(*from, text_len(bytes)).min(bytes.len());
                let to = (from + usize::from(*len)).min(bytes.len());
                bytes[from..to].fill(*byte);
            }),
            Self::Splice { file, at: from, len, bytes: by } => change(file, &|bytes| {
                let from = at(*from, text_len(bytes)).min(bytes.len());
                let to = (from + usize::from(*len)).min(bytes.len());
                bytes.splice(from..to, by.iter().copied());
            }),
            Self::Number { file, nth, by } => change(file, &|bytes| {
                let place = places(bytes, *nth, |byte| byte.is_ascii_digit());
                if let Some((from, to)) = place {
                    let old = str::from_utf8(&bytes[from..to]).expect("digits");
                    let new = by.instead_of(old.parse().unwrap_or(u64::MAX));
                    bytes.splice(from..to, new.bytes());
                }
            }),
            Self::Text { file, nth, by } => change(file, &|bytes| {
                let place = places(bytes, *nth, |byte| !matches!(byte, b'"' | b'\n'));
                if let Some((from, to)) = place {
                    bytes.splice(from..to, by.text().bytes());
                }
            }),
            Self::Line { file, from, to } => change(file, &|bytes| {
                let mut lines: Vec<Vec<u8>> =
                    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                let count = lines.iter().filter(|line| line.len() > 1).count().max(1);
                let from = usize::from(*from) % count;
                match to {
                    _ if lines.is_empty() => {}
                    Some(to) => lines.insert(usize::from(*to) % count, lines[from].clone()),
                    None => drop(lines.remove(from)),
                }
                *bytes = lines.concat();
            }),
            Self::Delete { file: nth } => gone(&file(nth)),
            Self::Copy { file: nth, to } => {
                let bytes = sim.read(&file(nth)).expect("it is listed");
                sim.replace(&file(to), &bytes);
            }
            Self::Name { file: nth, name } => {
                let to = name.path();
                if sim.stat(&to).is_none_or(|stat| stat.kind == filepact_fs::Kind::File)
                    && is_dir_of(sim, &to)
                {
                    sim.rename(&file(nth), &to);
                }
            }
            Self::MakeDir { file: nth } => {
                gone(&file(nth));
                sim.mkdir(&file(nth));
            }
            Self::Link { file: nth } => {
                gone(&file(nth));
                sim.symlink(&file(nth), "/etc/passwd");
            }
            Self::Pipe { file: nth } => {
                gone(&file(nth));
                sim.make_other(&file(nth));
            }
            Self::New { name, bytes } => {
                let path = name.path();
                if sim.stat(&path).is_none_or(|stat| stat.kind == filepact_fs::Kind::File)
                    && is_dir_of(sim, &path)
                {
                    sim.replace(&path, bytes);
                }
            }
            Self::DeleteAll => files.iter().for_each(|path| gone(path)),
        }
    }
}

/// Where the text of a file ends, and padding begins.
fn text_len(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 2)
}

/// The n-th run of such bytes.
fn places(bytes: &[u8], nth: u8, is: impl Fn(u8) -> bool) -> Option<(usize, usize)> {
    let mut runs = Vec::new();
    let mut begin = None;
    for (at, byte) in bytes.iter().enumerate().take(text_len(bytes)) {
        match (is(*byte), begin) {
            (true, None) => begin = Some(at),
            (false, Some(from)) => {
                runs.push((from, at));
                begin = None;
            }
            _ => {}
        }
    }
    (!runs.is_empty()).then(|| runs[usize::from(nth) % runs.len()])
}

fn is_dir_of(sim: &SimFs, path: &str) -> bool {
    let dir = filepact_fs::parent_of(path);
    sim.stat(dir).is_some_and(|stat| stat.kind == filepact_fs::Kind::Dir)
}

impl Number {
    fn instead_of(self, old: u64) -> String {
        let number = match self {
            Self::Zero => 0,
            Self::One => 1,
            Self::More => old.saturating_add(1),
            Self::Less => old.saturating_sub(1),
            Self::Far => u64::MAX / 2,
            Self::Beyond => u64::MAX,
            Self::Any(number) => number,
        };
        number.to_string()
    }
}

impl Text {
    fn text(&self) -> String {
        let of = |words: &[&str], nth: &u8| words[usize::from(*nth) % words.len()].to_owned();
        match self {
            Self::Document(nth) => {
                of(&["user.txt", "notes.md", "a.json", "dir/c", "large", "dir"], nth)
            }
            Self::Outside(nth) => {
                of(&["../x", "/etc/x", ".filepact/state", "", "a//b", "a\\u0000"], nth)
            }
            Self::Word(nth) => {
                let hash = filepact_journal::Hash::of(b"user.txt").to_string();
                let hashes = [forge::ZERO, &hash];
                let words = [
                    "put",
                    "append",
                    "remove",
                    "commit",
                    "checkpoint",
                    "outside",
                    "base64",
                    "staged",
                    "text",
                    "0.000000000",
                ];
                of(&[&words[..], &hashes].concat(), nth)
            }
            Self::Any(text) => {
                let json = serde_json::to_string(text).expect("a text is JSON");
                json[1..json.len() - 1].to_owned()
            }
        }
    }
}

impl Name {
    fn path(self) -> String {
        match self {
            Self::Segment(first) => filepact_journal::segment_path(u64::from(first % 40)),
            Self::Stage(nth) => format!(".filepact/stage/{}.body", nth % 4),
            Self::Rescued(nth) => format!(".filepact/rescued/{}", nth % 4),
            Self::Fixed(nth) => {
                let names = [
                    "state",
                    "lock",
                    "turn",
                    "open",
                    "opening",
                    "checkpoint.lock",
                    "counters",
                    ".gitignore",
                    "journal/new.1",
                    "journal/x",
                ];
                format!("{META}{}", names[usize::from(nth) % names.len()])
            }
        }
    }
}

/// Opens the world, and judges what has become of it.
fn judge(input: &Input, sim: &SimFs, forged: bool) {
    let found = sim.fork();
    let story = || format!("{input:#?}\nfound:\n{}\nnow:\n{}", found.dump(), sim.dump());
    let before = documents(sim);
    match options().open_with(sim.actor()) {
        Err(error) => {
            let says = error.to_string();
            assert!(says.len() > 10, "{says}\n{}", story());
            match error {
                // What was done so far is done again by the next opening.
                Error::Io { .. } => kept(sim, &before, input, forged, &story),
                Error::Corrupt { .. } | Error::Unrecoverable { .. } | Error::Format { .. } => {
                    assert_eq!(documents(sim), before, "{says}: changed\n{}", story());
                    // The folder's own names may be made, and the one that has a content gets it.
                    let now = sim.tree();
                    for (path, bytes) in found.tree() {
                        assert!(
                            now.get(&path) == Some(&bytes) || path == ".filepact/.gitignore",
                            "{says}: {path} changed\n{}",
                            story()
                        );
                    }
                    let again = options().open_with(sim.actor()).map(drop);
                    let again = again.expect_err("nothing has changed").to_string();
                    assert_eq!(again, says, "{}", story());
                }
                error => panic!("{error:?}\n{}", story()),
            }
        }
        Ok(store) => {
            kept(sim, &before, input, forged, &story);
            works(sim, store, input, &story);
        }
    }
}

/// No document is lost: what stood at a path stands there, or among the rescued, or it is a version
/// before the one that stands there now.
fn kept(sim: &SimFs, before: &Tree, input: &Input, forged: bool, story: &dyn Fn() -> String) {
    let life = life();
    let now = documents(sim);
    let rescued: Vec<Vec<u8>> = sim
        .tree()
        .into_iter()
        .filter(|(path, _)| path.starts_with(".filepact/rescued/"))
        .map(|(_, bytes)| bytes)
        .collect();
    for (path, content) in before {
        if now.get(path) == Some(content) || rescued.contains(content) {
            continue;
        }
        let is_foreign = life.foreign.contains_key(path);
        assert!(!is_foreign, "{path} is lost, which filepact never wrote\n{}", story());
        // A made-up record may say anything of a document that filepact wrote; and a power cut may
        // leave anything of it.
        if forged || !matches!(input.before, Before::Death) {
            continue;
        }
        // With nothing but zeros it looks as a lost write does, and nothing goes with it.
        if content.iter().all(|byte| *byte == 0) {
            continue;
        }
        let versions = life.versions.get(path).map_or(&[][..], Vec::as_slice);
        let at = |content: Option<&Vec<u8>>| {
            versions.iter().rposition(|version| version.as_ref() == content)
        };
        let (was, is) = (at(Some(content)), at(now.get(path)));
        assert!(
            was.is_some() && was < is,
            "{path}: version {was:?} is lost, {is:?} is there\n{}",
            story()
        );
    }
    for (path, content) in &now {
        if !forged && before.get(path) != Some(content) && matches!(input.before, Before::Death) {
            let versions = life.versions.get(path).map_or(&[][..], Vec::as_slice);
            assert!(
                versions.contains(&Some(content.clone())),
                "{path} was never that\n{}",
                story()
            );
        }
    }
}

/// A store that has opened can be used, and opens again as it is.
fn works(sim: &SimFs, store: Store, input: &Input, story: &dyn Fn() -> String) {
    let before = documents(sim);
    let use_it = || {
        let check = store.check()?;
        assert!(check.problems.is_empty(), "{check:?}\n{}", story());
        store.log()?;
        store.status()?;
        let mut tx = store.begin()?;
        tx.write_bytes("works", "it does")?;
        tx.commit()
    };
    match use_it() {
        // Something else stands where a file of the store must be: that is said, and no more done.
        Err(Error::Io { .. }) if input.edits.iter().any(Edit::makes_no_file) => {
            return assert_eq!(documents(sim), before, "{}", story());
        }
        used => drop(used.unwrap_or_else(|error| panic!("{error:?}\n{}", story()))),
    }
    let after = documents(sim);
    assert_eq!(after.get("works").map(Vec::as_slice), Some(&b"it does"[..]));
    drop(store);
    let store = options().open_with(sim.actor());
    let store = store.unwrap_or_else(|error| panic!("again: {error:?}\n{}", story()));
    assert_eq!(documents(sim), after, "{}", story());
    // What an edit has put into `stage/` is somebody's, and rescued when it is found.
    let rescued = &store.recovery_report().rescued;
    assert!(rescued.is_empty() || !input.edits.is_empty(), "{}", story());
}

fn explain(input: &[u8]) -> String {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(input)) else { return String::new() };
    let moments = &life().moments;
    let moment = &moments[usize::from(input.moment) % moments.len()];
    let (sim, _) = input.world();
    let mut text = format!("{input:#?}\nat {}\n{}\n", moment.call, sim.dump());
    for (path, bytes) in
        sim.tree().into_iter().filter(|(path, _)| path.contains("/journal/0") || path == STATE)
    {
        let _ = writeln!(text, "{path}\n{}", super::as_text(bytes.trim_ascii_end()));
    }
    let _ = write!(
        text,
        "{:#?}",
        options().open_with(sim.actor()).map(|store| store.recovery_report().clone())
    );
    text
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    (0..16).map(|seed| (format!("generated-{seed}"), super::noise(400 + seed, 40))).collect()
}
