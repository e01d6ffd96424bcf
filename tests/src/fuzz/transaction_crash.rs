//! Any transactions, checkpoints and openings of one process or two do to the documents what they do
//! to a map; and whatever is crashed on the way, each transaction is there whole or not at all, and
//! there if it was acknowledged.
//!
//! Steps, a fault and a crash are read from the bytes. The crash is at any call: the power goes, the
//! device is pulled, or the process dies; then again in the recovery, and in the recovery of that.

use std::fmt::Write as _;

use arbitrary::{Arbitrary, Unstructured};
use filepact::{Durability, Error, Store};
use filepact_simfs::{Fault, FaultKind, Grain, Moment, Profile, SimFs, When, errno};

use super::{Target, prepared};
use crate::crash::judge::judge;
use crate::crash::story::Expect;
use crate::crash::{documents, options};
use crate::history::{self, INLINE_MAX, Tree};

/// See the module.
pub const TARGET: Target = Target { name: "transaction_crash", run, explain, seeds };

const STEPS: usize = 12;
const CHANGES: usize = 5;

/// What an input says.
#[derive(Debug)]
struct Input {
    /// The last to be read, so that a change to one leaves the crash as it is.
    steps: Vec<Step>,
    fault: Option<Faulty>,
    crashes: Vec<Crash>,
    seed: u64,
}

/// What a step does to the store.
#[derive(Clone, Debug, Arbitrary)]
enum Step {
    Commit {
        by: Who,
        changes: Vec<Change>,
    },
    Rollback {
        by: Who,
        changes: Vec<Change>,
    },
    Checkpoint {
        by: Who,
    },
    /// The process ends, with a `close` or without, and another one opens the store.
    Reopen {
        by: Who,
        close: bool,
        files: bool,
        small_journal: bool,
    },
    Wait {
        millis: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary)]
enum Who {
    One,
    Other,
}

#[derive(Clone, Debug, Arbitrary)]
struct Change {
    document: Document,
    what: What,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum What {
    Put { len: Length },
    Append { len: Length },
    Remove,
    Rename { to: Document },
    Read,
}

/// A length about which something happens: nothing, inline, over `inline_max`, over a page.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Length {
    Any(u8),
    Inline,
    Large,
    Pages(u8),
}

/// A few documents, in directories of which one is another's name.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Document {
    A,
    B,
    New,
    InDir,
    Deep,
    Dir,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
struct Faulty {
    call: u16,
    kind: Kind,
    sticky: bool,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Kind {
    Io,
    NoSpace,
    ReadOnly,
    Descriptors,
    Interrupted,
    ShortWrite,
    ShortRead,
}

/// One crash: at which call, of all that were made, and which of its outcomes.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Crash {
    call: u16,
    how: How,
    outcome: u8,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum How {
    PowerCut,
    PowerCutInSectors,
    Remount,
    Death,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let seed = u.arbitrary::<u16>()?.into();
        let crashes =
            (0..u.int_in_range(1..=3)?).map(|_| u.arbitrary()).collect::<Result<_, _>>()?;
        let fault = if u.ratio(1, 4)? { Some(u.arbitrary()?) } else { None };
        let steps = u.arbitrary_iter()?.take(STEPS).collect::<Result<_, _>>()?;
        Ok(Self { steps, fault, crashes, seed })
    }
}

impl Document {
    fn path(self) -> &'static str {
        match self {
            Self::A => "a.json",
            Self::B => "b.json",
            Self::New => "new.json",
            Self::InDir => "dir/in.json",
            Self::Deep => "dir/deep/er.json",
            // Where there is a directory there can be no document, and the other way round.
            Self::Dir => "dir",
        }
    }
}

impl What {
    /// The other path that it touches.
    fn target(self) -> &'static str {
        if let Self::Rename { to } = self { to.path() } else { "" }
    }
}

impl Length {
    fn bytes(self) -> usize {
        match self {
            Self::Any(len) => len.into(),
            Self::Inline => INLINE_MAX,
            Self::Large => INLINE_MAX + 1,
            Self::Pages(over) => 4096 + usize::from(over % 3) * 4096 + usize::from(over) / 3,
        }
    }
}

/// The store as the processes of one machine see it, and what a map says of it.
struct Run {
    sim: SimFs,
    stores: [Option<Store>; 2],
    model: Tree,
    /// How many moments there were when a step had ended, and what may be found after it. Until the
    /// next one ends that, and what may be found after that.
    stages: Vec<(usize, Vec<Tree>)>,
    /// The number of the change, so that no two bodies are alike.
    number: usize,
    /// There may be a directory where a document would be, or the other way round.
    crowded: bool,
}

/// What a step has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// As the map says.
    Done,
    /// A fault struck, and the history ends; the documents are as the map says.
    Failed,
    /// It ends, and an opening alone settles whether the last transaction counts.
    Unknown,
}

impl Run {
    fn new(fault: Option<Faulty>) -> Self {
        let sim = prepared();
        sim.record();
        if let Some(Faulty { call, kind, sticky }) = fault {
            let kind = match kind {
                Kind::Io => FaultKind::Error(errno::IO),
                Kind::NoSpace => FaultKind::Error(errno::NOSPC),
                Kind::ReadOnly => FaultKind::Error(errno::ROFS),
                Kind::Descriptors => FaultKind::Error(errno::MFILE),
                Kind::Interrupted => FaultKind::Interrupted,
                Kind::ShortWrite => FaultKind::ShortWrite,
                Kind::ShortRead => FaultKind::ShortRead,
            };
            let at = When::Call(sim.calls() + 1 + u64::from(call));
            // A call that is interrupted for ever never ends.
            let sticky = sticky && kind != FaultKind::Interrupted;
            sim.fault(Fault { at, kind, sticky });
        }
        let model = history::before();
        let stages = vec![(0, vec![model.clone()])];
        Self { sim, stores: [None, None], model, stages, number: 0, crowded: false }
    }

    fn step(&mut self, step: &Step) -> End {
        let before = self.model.clone();
        let end = match step {
            Step::Commit { by, changes } => self.transact(*by, changes, true),
            Step::Rollback { by, changes } => self.transact(*by, changes, false),
            // It changes no document, whatever becomes of it.
            Step::Checkpoint { by } => match self.store(*by) {
                Some(store) if store.checkpoint().is_ok() => End::Done,
                _ => End::Failed,
            },
            Step::Reopen { by, close, files, small_journal } => {
                let closed = match self.stores[*by as usize].take() {
                    Some(store) if *close => store.close().is_ok(),
                    _ => true,
                };
                let open = closed && self.open(*by, *files, *small_journal);
                if open { End::Done } else { End::Failed }
            }
            Step::Wait { millis } => {
                self.sim.advance(std::time::Duration::from_millis(u64::from(*millis)));
                End::Done
            }
        };
        let mut allowed = vec![self.model.clone()];
        allowed.extend((end == End::Unknown).then_some(before));
        self.stages.push((self.sim.recorded().len() - 1, allowed));
        end
    }

    fn store(&mut self, by: Who) -> Option<Store> {
        if self.stores[by as usize].is_none() && !self.open(by, false, false) {
            return None;
        }
        self.stores[by as usize].clone()
    }

    fn open(&mut self, by: Who, files: bool, small_journal: bool) -> bool {
        let durability = if files { Durability::Files } else { Durability::Journal };
        let options = options().durability(durability);
        let options = if small_journal { options.journal_max(6_000) } else { options };
        match options.open_with(self.sim.actor()) {
            Ok(store) => self.stores[by as usize] = Some(store),
            Err(Error::Io { .. } | Error::Poisoned) => return false,
            Err(error) => panic!("it does not open: {error:?}\n{}", self.sim.dump()),
        }
        true
    }

    fn transact(&mut self, by: Who, changes: &[Change], commit: bool) -> End {
        let Some(store) = self.store(by) else { return End::Failed };
        let mut after = self.model.clone();
        let Ok(mut tx) = store.begin() else { return End::Failed };
        for Change { document, what } in changes.iter().take(CHANGES) {
            self.number += 1;
            let path = document.path();
            self.crowded |= [path, what.target()].iter().any(|path| path.starts_with("dir"));
            let body = |len: Length| history::body(path, self.number, len.bytes());
            let done = match *what {
                What::Put { len } => {
                    after.insert(path.to_owned(), body(len));
                    tx.write_bytes(path, body(len))
                }
                What::Append { len } => {
                    let more = body(len);
                    if !more.is_empty() {
                        after.entry(path.to_owned()).or_default().extend_from_slice(&more);
                    }
                    tx.append(path, more)
                }
                What::Remove => {
                    let expected = after.remove(path).is_some();
                    match tx.remove(path) {
                        Err(Error::NotFound { .. }) if !expected => Ok(()),
                        Ok(()) if !expected => panic!("{path} was not there"),
                        other => other,
                    }
                }
                What::Rename { to } => {
                    let free = !after.contains_key(to.path());
                    match (tx.rename(path, to.path()), after.contains_key(path)) {
                        (Err(Error::NotFound { .. }), false) => Ok(()),
                        (Err(Error::Exists { .. }), true) if !free => Ok(()),
                        (Ok(()), true) if free => {
                            let body = after.remove(path).expect("it is there");
                            after.insert(to.path().to_owned(), body);
                            Ok(())
                        }
                        (Ok(()), _) => panic!("{path} was renamed to {}", to.path()),
                        (other, _) => other,
                    }
                }
                What::Read => tx.read_bytes(path).map(|seen| {
                    assert_eq!(seen.as_ref(), after.get(path), "a transaction sees its changes");
                }),
            };
            match done {
                Ok(()) => {}
                Err(Error::Io { .. } | Error::Poisoned) => return End::Failed,
                Err(error) => panic!("{what:?} of {path}: {error:?}"),
            }
        }
        if !commit {
            tx.rollback();
            return End::Done;
        }
        match tx.commit() {
            Ok(committed) => {
                assert!(committed.rescued.is_empty(), "nobody else has written");
                self.model = after;
                End::Done
            }
            // Nothing has changed: a document would stand where a directory is, or below another.
            Err(Error::Refused { .. }) if self.crowded => End::Done,
            Err(Error::Io { .. } | Error::Poisoned) => End::Failed,
            Err(Error::Unpublished { .. }) => {
                self.model = after;
                End::Failed
            }
            Err(Error::CommitUnknown { .. }) => {
                self.model = after;
                End::Unknown
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    /// The documents are those of the map, and everybody sees them.
    fn look(&self) {
        assert_eq!(summary(&documents(&self.sim)), summary(&self.model));
        for store in self.stores.iter().flatten() {
            for (path, body) in &self.model {
                let seen = store.read_bytes(path).expect("it can be read");
                assert!(seen.as_ref() == Some(body), "{path}");
            }
            let names = store.list("").expect("it can be listed");
            let names: Vec<&str> = names.iter().map(|path| path.as_str()).collect();
            assert_eq!(names, self.model.keys().collect::<Vec<_>>());
        }
    }
}

fn summary(tree: &Tree) -> Vec<(&str, usize, u64)> {
    let hash = |bytes: &[u8]| {
        bytes.iter().fold(0_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add((*byte).into()))
    };
    tree.iter().map(|(path, body)| (&**path, body.len(), hash(body))).collect()
}

fn run(input: &[u8]) {
    if let Ok(input) = Input::arbitrary(&mut Unstructured::new(input)) {
        play(&input);
    }
}

fn play(input: &Input) {
    let mut run = Run::new(input.fault);
    for step in &input.steps {
        if run.step(step) != End::Done {
            break;
        }
        if input.fault.is_none() {
            run.look();
        }
    }
    let Run { sim, stores, stages, .. } = run;
    drop(stores);
    sim.clear_faults();
    let Some((crash, rest)) = input.crashes.split_first() else { return };
    let moments = sim.recorded();
    let index = usize::from(crash.call) % moments.len();
    // What had ended by then, and what was under way.
    let ended = stages.iter().rposition(|(moments, _)| *moments <= index).unwrap_or(0);
    let allowed: Vec<Tree> =
        stages[ended..].iter().take(2).flat_map(|(_, trees)| trees.clone()).collect();
    let story = || format!("{input:#?}\ncrashed at call {index}: {}", moments[index].call);
    let world = crash.strike(&moments[index], input.seed);
    recover(&world, &allowed, rest, input.seed, &story);
}

/// Recovers, judges, and crashes that recovery.
fn recover(
    sim: &SimFs,
    allowed: &[Tree],
    crashes: &[Crash],
    seed: u64,
    story: &dyn Fn() -> String,
) {
    let found = sim.fork();
    sim.record();
    let store = options().open_with(sim.actor()).unwrap_or_else(|error| {
        panic!("{}\nit does not open: {error:?}\nfound:\n{}", story(), found.dump())
    });
    let moments = sim.recorded();
    let profile = Profile::Strict(Grain::Page);
    if let Err(wrong) = judge(sim, store, &Expect::one_of(allowed), profile, false) {
        panic!("{}\n{wrong}\nfound:\n{}\nnow:\n{}", story(), found.dump(), sim.dump());
    }
    let Some((crash, rest)) = crashes.split_first() else { return };
    let index = usize::from(crash.call) % moments.len();
    let world = crash.strike(&moments[index], seed);
    let story = || format!("{}\nthen at call {index}: {}", story(), moments[index].call);
    recover(&world, allowed, rest, seed, &story);
}

impl Crash {
    fn strike(self, moment: &Moment, seed: u64) -> SimFs {
        let outcome = usize::from(self.outcome);
        let mut worlds = match self.how {
            How::Death => moment.world.process_death_variants(),
            How::PowerCut => cut(moment, Grain::Page, seed ^ outcome as u64),
            How::PowerCutInSectors => cut(moment, Grain::Sector, seed ^ outcome as u64),
            How::Remount => {
                let profile = Profile::Strict(Grain::Page);
                moment.world.remount(&profile, OUTCOMES, seed ^ outcome as u64).worlds
            }
        };
        let at = outcome % worlds.len();
        worlds.swap_remove(at)
    }
}

/// How many outcomes are made, of which one is taken.
const OUTCOMES: usize = 8;

fn cut(moment: &Moment, grain: Grain, seed: u64) -> Vec<SimFs> {
    moment.world.power_cut(&Profile::Strict(grain), OUTCOMES, seed).worlds
}

fn explain(input: &[u8]) -> String {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(input)) else { return String::new() };
    let mut text = format!("{input:#?}\n");
    let mut run = Run::new(input.fault);
    let _ = input.steps.iter().all(|step| run.step(step) == End::Done);
    for (moments, allowed) in &run.stages {
        let allowed: Vec<_> = allowed.iter().map(summary).collect();
        let _ = writeln!(text, "after call {moments}: {allowed:?}");
    }
    for (at, moment) in run.sim.recorded().iter().enumerate() {
        let _ = writeln!(text, "{at}: {}", moment.call);
    }
    text
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    (0..12).map(|seed| (format!("generated-{seed}"), super::noise(300 + seed, 160))).collect()
}
