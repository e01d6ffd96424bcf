//! Any sequence of transactions equals a map.

use std::collections::BTreeMap;

use filepact::Store;
use filepact_simfs::SimFs;
use filepact_tests::crash::{documents, open};
use quickcheck::{Arbitrary, Gen, QuickCheck};

/// What a step does to the store.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(u8, Change)>),
    Rollback(Vec<(u8, Change)>),
    Checkpoint,
    /// The process exits without closing the store, or with.
    Reopen {
        close: bool,
    },
}

#[derive(Clone, Debug)]
enum Change {
    Put { len: u16, seed: u8 },
    Remove,
}

impl Arbitrary for Change {
    fn arbitrary(g: &mut Gen) -> Self {
        if u8::arbitrary(g) % 4 == 0 {
            Self::Remove
        } else {
            // Beyond `inline_max` of the tests now and then.
            Self::Put { len: u16::arbitrary(g) % 3_000, seed: u8::arbitrary(g) }
        }
    }
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 10 {
            0 => Self::Checkpoint,
            1 => Self::Reopen { close: true },
            2 => Self::Reopen { close: false },
            3 => Self::Rollback(Vec::arbitrary(g)),
            _ => Self::Commit(Vec::arbitrary(g)),
        }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match self {
            Self::Commit(changes) => {
                let changes = changes.clone();
                let fewer = (0..changes.len()).map(move |at| {
                    let mut fewer = changes.clone();
                    fewer.remove(at);
                    Self::Commit(fewer)
                });
                Box::new(fewer)
            }
            _ => quickcheck::empty_shrinker(),
        }
    }
}

/// A few documents, in three directories.
fn path(number: u8) -> String {
    match number % 12 {
        n @ 0..=3 => format!("{n}.json"),
        n @ 4..=7 => format!("dir/{n}.json"),
        n => format!("dir/deep/er/{n}.json"),
    }
}

fn apply(
    store: &Store,
    changes: &[(u8, Change)],
    model: &mut BTreeMap<String, Vec<u8>>,
    commit: bool,
) {
    let mut after = model.clone();
    let mut tx = store.begin().expect("the store is open");
    for (number, change) in changes {
        let path = path(*number);
        match change {
            Change::Put { len, seed } => {
                let body = vec![*seed; usize::from(*len)];
                tx.write_bytes(&path, body.clone()).expect("a valid path");
                after.insert(path.clone(), body);
            }
            Change::Remove => {
                let removed = tx.remove(&path);
                assert_eq!(removed.is_ok(), after.remove(&path).is_some(), "{removed:?}");
            }
        }
        // A transaction sees its own changes.
        let seen = tx.read_bytes(&path).expect("it can be read");
        assert_eq!(seen.as_ref(), after.get(&path));
    }
    let names: Vec<String> =
        tx.list("dir").expect("it can be listed").iter().map(ToString::to_string).collect();
    let expected: Vec<&String> = after.keys().filter(|path| path.starts_with("dir/")).collect();
    assert_eq!(names.iter().collect::<Vec<_>>(), expected);
    if commit {
        tx.commit().expect("nobody else writes");
        *model = after;
    } else {
        tx.rollback();
    }
}

#[test]
fn any_sequence_of_transactions_equals_a_map() {
    #[expect(clippy::needless_pass_by_value, reason = "quickcheck passes values")]
    fn equals(steps: Vec<Step>) -> bool {
        let sim = SimFs::new();
        let mut store = open(&sim);
        let mut model = BTreeMap::new();
        for step in &steps {
            match step {
                Step::Commit(changes) => apply(&store, changes, &mut model, true),
                Step::Rollback(changes) => apply(&store, changes, &mut model, false),
                Step::Checkpoint => store.checkpoint().expect("nothing fails here"),
                Step::Reopen { close } => {
                    if *close {
                        store.close().expect("nothing fails here");
                    } else {
                        drop(store);
                    }
                    store = open(&sim);
                    assert!(store.recovery_report().rescued.is_empty());
                }
            }
            assert_eq!(documents(&sim), model);
            let check = store.check().expect("it can be checked");
            assert!(check.problems.is_empty() && check.outside_edits.is_empty(), "{check:?}");
        }
        drop(store);
        for world in sim
            .world()
            .power_cut(
                &filepact_simfs::Profile::Strict(filepact_simfs::Grain::Page),
                3,
                steps.len() as u64,
            )
            .worlds
        {
            drop(open(&world));
            assert_eq!(documents(&world), model);
        }
        true
    }
    QuickCheck::new().tests(150).quickcheck(equals as fn(Vec<Step>) -> bool);
}
