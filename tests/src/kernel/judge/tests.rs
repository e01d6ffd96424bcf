//! The judge is judged: right histories made by hand, and each of the ways in which they can be wrong.

use super::*;
use crate::kernel::plan::{apply, first, ops};

const SEED: u64 = 4;

/// Two actors have each made so many transactions, in turns; all documents.
fn tree_after(counts: [u64; 2]) -> Tree {
    let mut tree = first(&[0, 1]);
    let [mut log, mut last] = [Vec::new(), b"\n".to_vec()];
    for number in 1..=counts[0].max(counts[1]) {
        for actor in [0, 1] {
            if number <= counts[actor as usize] {
                for op in ops(SEED, actor, number, &own(&tree, actor)) {
                    apply(&op, &mut tree);
                }
                last = line(actor, number).into_bytes();
                log.extend(&last);
            }
        }
    }
    tree.insert(LOG.to_owned(), log);
    tree.insert(LAST.to_owned(), last);
    tree
}

/// Both actors were told of 6, and have begun the seventh.
fn evidence(durability: Durability, found: Tree) -> Evidence {
    let account =
        |actor| Account { actor, durability, acknowledged: 6, committed: 6, begun: 7, kept: 4 };
    Evidence {
        seed: SEED,
        base: first(&[0, 1]),
        accounts: [0, 1].map(account).to_vec(),
        plain: found.clone(),
        named: found.keys().cloned().collect(),
        found,
        logged: BTreeMap::new(),
        rescued: Vec::new(),
        inline_max: 1_000,
    }
}

fn refusal(evidence: &Evidence) -> String {
    judge(evidence).expect_err("this is wrong")
}

#[test]
fn what_was_in_flight_may_be_there_or_not() {
    for (counts, there) in [([6, 6], 0), ([7, 6], 1), ([6, 7], 1), ([7, 7], 2)] {
        for durability in [Durability::Journal, Durability::Files] {
            let verdict = judge(&evidence(durability, tree_after(counts))).unwrap();
            assert_eq!((verdict.unanswered_there, verdict.unanswered_absent), (there, 2 - there));
        }
    }
}

#[test]
fn what_was_acknowledged_must_be_there() {
    let says = refusal(&evidence(Durability::Journal, tree_after([5, 6])));
    assert!(says.contains("6 was acknowledged, and 5"), "{says}");
    let mut evidence = evidence(Durability::Journal, tree_after([6, 6]));
    evidence.accounts[1].committed = 7;
    let says = refusal(&evidence);
    assert!(says.contains("actor 1: 7 was acknowledged"), "{says}");
}

#[test]
fn what_was_never_begun_must_not_be_there() {
    let says = refusal(&evidence(Durability::Journal, tree_after([6, 8])));
    assert!(says.contains("only 7 was begun"), "{says}");
}

#[test]
fn each_document_by_itself_must_be_of_the_same_transaction() {
    let (before, after) = (tree_after([6, 6]), tree_after([7, 6]));
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut differing = 0;
    for path in paths.into_iter().filter(|path| before.get(*path) != after.get(*path)) {
        let mut half = after.clone();
        match before.get(path) {
            Some(body) => drop(half.insert(path.clone(), body.clone())),
            None => drop(half.remove(path)),
        }
        refusal(&evidence(Durability::Journal, half));
        differing += 1;
    }
    assert!(differing >= 4, "the counter, the two that are shared, and another one: {differing}");
}

#[test]
fn a_single_byte_matters() {
    let tree = tree_after([6, 6]);
    for path in tree.keys() {
        let mut torn = tree.clone();
        if let Some(byte) = torn.get_mut(path).and_then(|body| body.last_mut()) {
            *byte ^= 1;
            refusal(&evidence(Durability::Journal, torn));
        }
    }
}

#[test]
fn a_document_of_nobody_is_wrong() {
    for path in ["afterwards", "a0/afterwards", "shared/another", "a2/counter"] {
        let mut tree = tree_after([6, 6]);
        tree.insert(path.to_owned(), b"never".to_vec());
        refusal(&evidence(Durability::Journal, tree));
    }
}

#[test]
fn the_log_must_have_each_transaction_once_and_in_order() {
    let logs = |edit: fn(&mut Vec<String>)| {
        let mut tree = tree_after([6, 6]);
        let text = String::from_utf8(tree[LOG].clone()).unwrap();
        let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
        edit(&mut lines);
        tree.insert(LOG.to_owned(), lines.concat().into_bytes());
        refusal(&evidence(Durability::Journal, tree))
    };
    assert!(logs(|lines| drop(lines.remove(3))).contains("comes next"));
    assert!(logs(|lines| lines.swap(0, 2)).contains("comes next"));
    assert!(logs(|lines| lines.insert(4, lines[4].clone())).contains("comes next"));
    assert!(logs(|lines| drop(lines.pop())).contains("the log ends with 5"));
    assert!(logs(|lines| lines[11].truncate(2)).contains("within a line"));
    assert!(logs(|lines| lines.swap(10, 11)).contains("the log ends with \"0 6"));
}

#[test]
fn who_does_nothing_keeps_what_he_has() {
    let mut evidence = evidence(Durability::Journal, tree_after([6, 6]));
    evidence.accounts.pop();
    assert!(refusal(&evidence).contains("who did nothing"));
}

#[test]
fn before_the_recovery_only_files_promises_whole_documents() {
    let whole = tree_after([6, 6]);
    let acknowledged = tree_after([6, 6]);
    let in_flight = tree_after([7, 7]);
    // One that is being added to may be torn, and one that is being removed gone.
    let is_settled = |path: &&String| {
        !acknowledged[*path].is_empty() && acknowledged.get(*path) == in_flight.get(*path)
            || **path == counter(0)
            || **path == LOG
    };
    for path in whole.keys().filter(is_settled) {
        for torn in [None, Some(Vec::new()), Some(vec![0; whole[path].len()])] {
            let mut plain = whole.clone();
            match torn.clone() {
                Some(torn) => drop(plain.insert(path.clone(), torn)),
                None => drop(plain.remove(path)),
            }
            let journal =
                Evidence { plain: plain.clone(), ..evidence(Durability::Journal, whole.clone()) };
            judge(&journal).unwrap();
            // The one that every transaction of everybody replaces is judged after the recovery only.
            if path != LAST {
                let files = Evidence { plain, ..evidence(Durability::Files, whole.clone()) };
                assert!(refusal(&files).contains("is not whole"), "{path}, {torn:?}");
            }
        }
    }
}

#[test]
fn what_the_kernel_has_lost_is_counted() {
    let found = tree_after([6, 6]);
    let evidence = Evidence { plain: tree_after([3, 6]), ..evidence(Durability::Journal, found) };
    let verdict = judge(&evidence).unwrap();
    assert!(verdict.lost_documents >= 2 && verdict.lost_bytes > 0, "{verdict:?}");
}

#[test]
fn buffered_keeps_a_prefix_that_a_checkpoint_covers() {
    for counts in [[4, 4], [5, 6], [7, 4]] {
        judge(&evidence(Durability::Buffered, tree_after(counts))).unwrap();
    }
    let says = refusal(&evidence(Durability::Buffered, tree_after([3, 6])));
    assert!(says.contains("not one of 4 to 7"), "{says}");
}

#[test]
fn of_buffered_what_the_journal_names_must_be_exact() {
    let mut tree = tree_after([6, 6]);
    // The counter of 6, and something else of 5.
    let earlier = tree_after([5, 6]);
    let path = tree.keys().find(|path| {
        path.starts_with("a0/") && **path != counter(0) && tree.get(*path) != earlier.get(*path)
    });
    let path = path.expect("6 has done something").clone();
    tree.insert(path.clone(), b"somebody else".to_vec());
    let mut evidence = evidence(Durability::Buffered, tree);
    assert!(refusal(&evidence).contains(&path));
    // Not named, it may be anything.
    evidence.named.remove(&path);
    judge(&evidence).unwrap();
}

#[test]
fn only_torn_copies_of_long_documents_that_were_added_to_may_be_rescued() {
    let mut evidence = evidence(Durability::Journal, tree_after([6, 6]));
    evidence.rescued = vec![("a0/doc-1".to_owned(), b"somebody's edit".to_vec())];
    assert!(refusal(&evidence).contains("was rescued"));

    // The longest version of any document that an addition has made.
    evidence.inline_max = 10;
    let base = own(&evidence.base, 0);
    let paths = touched(SEED, 0, base.clone(), 0, 7);
    let longest = paths.iter().flat_map(|path| {
        lengthened(SEED, 0, base.clone(), (0, 7), path, 10)
            .into_iter()
            .map(move |body| (path, body))
    });
    let (path, whole) = longest.max_by_key(|(_, body)| body.len()).expect("something was added");
    let mut zeros = whole.clone();
    zeros[11..].fill(0);
    for torn in [whole.clone(), whole[..11].to_vec(), zeros] {
        evidence.rescued = vec![(path.clone(), torn)];
        assert_eq!(judge(&evidence).unwrap().rescued, 1);
    }
    let mut edited = whole;
    edited[5] = edited[5].wrapping_add(1).max(1);
    evidence.rescued = vec![(path.clone(), edited)];
    assert!(refusal(&evidence).contains("was rescued"));
}
