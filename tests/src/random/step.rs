//! One step of a history, and how it is written.
//!
//! A history is steps with `; ` between them, so that one that failed can be pasted into a command
//! or a test: `open 0 journal; do 0 put(a,300) append(d/a,20) !die@17; cut strict 3`.

#![allow(missing_docs)] // of fields that are named as they are written

use std::fmt;
use std::str::FromStr;

use filepact::Durability;
use filepact_simfs::Profile;

/// The documents, some of them in directories that are not there at first.
pub const DOCS: [&str; 5] = ["a", "b", "d/a", "d/e/b", "f/a"];

/// What one transaction asks for, in order. Lengths are in bytes; the content is the step's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Puts a body.
    Put(String, usize),
    /// Puts the bytes that it has read.
    Same(String),
    /// Adds bytes at the end.
    Append(String, usize),
    /// Reads, and removes what is there.
    Remove(String),
    /// Reads both, and renames what is there to what is not.
    Rename(String, String),
    /// Creates what is absent.
    Create(String, usize),
    /// Expects the version that it finds before it begins.
    Expect(String),
    /// Expects a version that no document has.
    ExpectWrong(String),
    /// Reads.
    Read(String),
    /// Lists all.
    List,
}

/// How another program changes a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// At its inode, cut to nothing first.
    Place,
    /// By a new inode, as most editors do.
    Replace,
    /// Unlinks it.
    Remove,
    /// Sets its time and nothing else.
    Touch,
    /// At its inode, the same length, with the time put back.
    Back,
}

/// What goes wrong within a step; calls are counted from 1 within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The process dies before this call; `mid`: in the middle of it, if it is a write.
    Dies { at: usize, mid: bool },
    /// The call fails; `sticky`: so do all later ones of the step.
    Fails { how: Failing, at: u64, sticky: bool },
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// `EIO`, from any call but a sync of a directory.
    Io,
    /// `EIO` from a sync of a file; only those are counted.
    Sync,
    /// `ENOSPC` from any call.
    Full,
    /// `EMFILE` from an opening; only those are counted.
    Open,
    /// `EINTR`.
    Interrupted,
    /// A write falls short; only writes are counted.
    ShortWrite,
}

/// A transaction of a process that opens the store for it, among others at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// What it asks for.
    pub ops: Vec<Op>,
    /// It is killed before this call, if it comes to it.
    pub dies: Option<usize>,
    /// It is stopped before this call until the others are over.
    pub stops: Option<usize>,
}

/// One step. `who` is a process.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Opens the store.
    Open { who: usize, durability: Durability, mishap: Option<Mishap> },
    /// One transaction.
    Do { who: usize, exclusive: bool, ops: Vec<Op>, mishap: Option<Mishap> },
    /// A checkpoint.
    Checkpoint { who: usize, mishap: Option<Mishap> },
    /// Closes the store.
    Close { who: usize, mishap: Option<Mishap> },
    /// Drops the handle without closing.
    Drop { who: usize },
    /// Dies between two calls.
    Kill { who: usize },
    /// Several at once, which take turns at every call as the seed says.
    Together { seed: u64, processes: Vec<Beside> },
    /// An edit; `saved`: durable before the next step.
    Edit { doc: String, how: How, len: usize, saved: bool },
    /// Milliseconds pass; fewer than none where the clock is set back.
    Wait(i64),
    /// Something pending becomes durable of itself; everything, if no path is named.
    Flush(Option<String>),
    /// From now on every change shows in a file's stamp, however soon it comes: as on a newer kernel.
    Exact,
    /// The cache drops its clean pages.
    Evict,
    /// The power is cut, and one of the outcomes is what is left.
    Cut { profile: Profile, nth: u64 },
    /// The device is pulled and mounted again in the same boot.
    Pull { profile: Profile, nth: u64 },
}

/// A history is written as its steps.
pub fn written(steps: &[Step]) -> String {
    steps.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads what [`written`] wrote.
///
/// # Errors
/// The step that is none.
pub fn parse(text: &str) -> Result<Vec<Step>, String> {
    text.split(';').map(str::trim).filter(|step| !step.is_empty()).map(str::parse).collect()
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(doc, len) => write!(f, "put({doc},{len})"),
            Self::Same(doc) => write!(f, "same({doc})"),
            Self::Append(doc, len) => write!(f, "append({doc},{len})"),
            Self::Remove(doc) => write!(f, "remove({doc})"),
            Self::Rename(from, to) => write!(f, "rename({from},{to})"),
            Self::Create(doc, len) => write!(f, "create({doc},{len})"),
            Self::Expect(doc) => write!(f, "expect({doc})"),
            Self::ExpectWrong(doc) => write!(f, "expect-wrong({doc})"),
            Self::Read(doc) => write!(f, "read({doc})"),
            Self::List => f.write_str("list()"),
        }
    }
}

impl FromStr for Op {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("no operation: `{text}`");
        let (name, rest) = text.split_once('(').ok_or_else(bad)?;
        let rest = rest.strip_suffix(')').ok_or_else(bad)?;
        let (first, second) = rest.split_once(',').unwrap_or((rest, ""));
        let (doc, len) = (first.to_owned(), second.parse().map_err(|_| bad()));
        Ok(match name {
            "put" => Self::Put(doc, len?),
            "same" => Self::Same(doc),
            "append" => Self::Append(doc, len?),
            "remove" => Self::Remove(doc),
            "rename" => Self::Rename(doc, second.to_owned()),
            "create" => Self::Create(doc, len?),
            "expect" => Self::Expect(doc),
            "expect-wrong" => Self::ExpectWrong(doc),
            "read" => Self::Read(doc),
            "list" => Self::List,
            _ => return Err(bad()),
        })
    }
}

const FAILING: [(&str, Failing); 6] = [
    ("eio", Failing::Io),
    ("badsync", Failing::Sync),
    ("enospc", Failing::Full),
    ("emfile", Failing::Open),
    ("eintr", Failing::Interrupted),
    ("short", Failing::ShortWrite),
];

const HOW: [(&str, How); 5] = [
    ("place", How::Place),
    ("replace", How::Replace),
    ("remove", How::Remove),
    ("touch", How::Touch),
    ("back", How::Back),
];

const DURABILITIES: [(&str, Durability); 3] = [
    ("journal", Durability::Journal),
    ("files", Durability::Files),
    ("buffered", Durability::Buffered),
];

fn name_of<T: PartialEq + Copy>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, other)| *other == value).map_or("?", |(name, _)| name)
}

fn named<T: Copy>(table: &[(&'static str, T)], name: &str) -> Result<T, String> {
    let found = table.iter().find(|(other, _)| *other == name);
    found.map(|(_, value)| *value).ok_or_else(|| format!("unknown: `{name}`"))
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Dies { at, mid } => write!(f, "!{}@{at}", if mid { "mid" } else { "die" }),
            Self::Fails { how, at, sticky } => {
                write!(f, "!{}@{at}{}", name_of(&FAILING, how), if sticky { "+" } else { "" })
            }
        }
    }
}

impl FromStr for Mishap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("no mishap: `{text}`");
        let (name, at) = text.strip_prefix('!').unwrap_or(text).split_once('@').ok_or_else(bad)?;
        let sticky = at.ends_with('+');
        let at: usize = at.trim_end_matches('+').parse().map_err(|_| bad())?;
        Ok(match name {
            "die" => Self::Dies { at, mid: false },
            "mid" => Self::Dies { at, mid: true },
            name => Self::Fails { how: named(&FAILING, name)?, at: at as u64, sticky },
        })
    }
}

fn joined(ops: &[Op]) -> String {
    ops.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tail = |mishap: &Option<Mishap>| mishap.map(|m| format!(" {m}")).unwrap_or_default();
        match self {
            Self::Open { who, durability, mishap } => {
                write!(f, "open {who} {}{}", name_of(&DURABILITIES, *durability), tail(mishap))
            }
            Self::Do { who, exclusive, ops, mishap } => {
                let verb = if *exclusive { "alone" } else { "do" };
                write!(f, "{verb} {who} {}{}", joined(ops), tail(mishap))
            }
            Self::Checkpoint { who, mishap } => write!(f, "checkpoint {who}{}", tail(mishap)),
            Self::Close { who, mishap } => write!(f, "close {who}{}", tail(mishap)),
            Self::Drop { who } => write!(f, "drop {who}"),
            Self::Kill { who } => write!(f, "kill {who}"),
            Self::Together { seed, processes } => {
                write!(f, "together {seed}")?;
                for Beside { ops, dies, stops } in processes {
                    write!(f, " | {}", joined(ops))?;
                    dies.map_or(Ok(()), |at| write!(f, " !die@{at}"))?;
                    stops.map_or(Ok(()), |at| write!(f, " !stop@{at}"))?;
                }
                Ok(())
            }
            Self::Edit { doc, how, len, saved } => {
                let saved = if *saved { " saved" } else { "" };
                write!(f, "edit {doc} {} {len}{saved}", name_of(&HOW, *how))
            }
            Self::Wait(ms) => write!(f, "wait {ms}"),
            Self::Flush(None) => f.write_str("flush"),
            Self::Flush(Some(path)) => write!(f, "flush {path}"),
            Self::Exact => f.write_str("exact"),
            Self::Evict => f.write_str("evict"),
            Self::Cut { profile, nth } => write!(f, "cut {profile} {nth}"),
            Self::Pull { profile, nth } => write!(f, "pull {profile} {nth}"),
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("no step: `{text}`");
        if let Some(rest) = text.strip_prefix("together ") {
            let mut parts = rest.split('|').map(str::trim);
            let seed = parts.next().and_then(|seed| seed.parse().ok()).ok_or_else(bad)?;
            let processes = parts.map(beside).collect::<Result<_, _>>()?;
            return Ok(Self::Together { seed, processes });
        }
        let mut words: Vec<&str> = text.split_whitespace().collect();
        let is_mishap = words.last().is_some_and(|word| word.starts_with('!'));
        let mishap = if is_mishap { words.pop().map(str::parse).transpose()? } else { None };
        let word = |at: usize| words.get(at).copied().ok_or_else(bad);
        let who = || word(1)?.parse::<usize>().map_err(|_| bad());
        let number = |at: usize| word(at)?.parse::<u64>().map_err(|_| bad());
        Ok(match word(0)? {
            "open" => {
                Self::Open { who: who()?, durability: named(&DURABILITIES, word(2)?)?, mishap }
            }
            verb @ ("do" | "alone") => {
                let ops = words.iter().skip(2).map(|op| op.parse()).collect::<Result<_, _>>()?;
                Self::Do { who: who()?, exclusive: verb == "alone", ops, mishap }
            }
            "checkpoint" => Self::Checkpoint { who: who()?, mishap },
            "close" => Self::Close { who: who()?, mishap },
            "drop" => Self::Drop { who: who()? },
            "kill" => Self::Kill { who: who()? },
            "edit" => Self::Edit {
                doc: word(1)?.to_owned(),
                how: named(&HOW, word(2)?)?,
                len: word(3)?.parse().map_err(|_| bad())?,
                saved: words.get(4) == Some(&"saved"),
            },
            "wait" => Self::Wait(word(1)?.parse().map_err(|_| bad())?),
            "flush" => Self::Flush(words.get(1).map(ToString::to_string)),
            "exact" => Self::Exact,
            "evict" => Self::Evict,
            "cut" => Self::Cut { profile: word(1)?.parse()?, nth: number(2)? },
            "pull" => Self::Pull { profile: word(1)?.parse()?, nth: number(2)? },
            _ => return Err(bad()),
        })
    }
}

fn beside(text: &str) -> Result<Beside, String> {
    let mut beside = Beside { ops: Vec::new(), dies: None, stops: None };
    for word in text.split_whitespace() {
        let at = |text: &str| text.parse().map_err(|_| format!("no call: `{text}`"));
        if let Some(call) = word.strip_prefix("!die@") {
            beside.dies = Some(at(call)?);
        } else if let Some(call) = word.strip_prefix("!stop@") {
            beside.stops = Some(at(call)?);
        } else {
            beside.ops.push(word.parse()?);
        }
    }
    Ok(beside)
}
