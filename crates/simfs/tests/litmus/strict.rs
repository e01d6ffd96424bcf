//! Rule 5, *strict*: any subset of the changes of names that can be replayed.

use crate::support::*;

#[test]
fn rule_5_strict_keeps_any_subset_that_can_be_replayed() {
    let (sim, actor) = durable(&[]);
    for path in ["a", "b"] {
        drop(actor.create(path).unwrap());
    }
    actor.rename("a", "c", Rename::NoReplace).unwrap();
    assert_eq!(names(&sim), texts(&["", "a", "b", "a b", "c", "b c"]));
}

#[test]
fn rule_5_strict_keeps_a_rename_whole_or_not_at_all() {
    let (sim, actor) = durable(&[("a", b"new"), ("b", b"old")]);
    actor.rename("a", "b", Rename::Replace).unwrap();
    assert_eq!(names(&sim), texts(&["a b", "b"]));
    let (sim, actor) = durable(&[("a", b"1"), ("b", b"2")]);
    actor.rename("a", "b", Rename::Exchange).unwrap();
    let seen: BTreeSet<_> = all(&sim.world(), PAGES).iter().map(|world| world.tree()).collect();
    assert_eq!(seen.len(), 2, "exchanged or not");
    assert_eq!(names(&sim), texts(&["a b"]));
}

#[test]
fn rule_5_a_name_may_persist_without_the_data_of_its_file() {
    let (sim, actor) = durable(&[]);
    drop(put(&actor, "f", b"x"));
    let seen = after(&sim, "f");
    assert_eq!(seen, set([None, Some(vec![]), Some(vec![0]), Some(b"x".to_vec())]));
}

#[test]
fn rule_5_a_directory_that_is_lost_takes_along_what_is_in_it() {
    let (sim, actor) = durable(&[]);
    actor.make_dir("d", 0o755).unwrap();
    drop(actor.create("d/f").unwrap());
    assert_eq!(names(&sim), texts(&["", "d/f"]));
    actor.sync_dir("d").unwrap();
    assert_eq!(names(&sim), texts(&["", "d/f"]), "its own name is not durable yet");
    actor.sync_dir("").unwrap();
    assert_eq!(names(&sim), texts(&["d/f"]));
}

#[test]
fn rule_5_strict_may_lose_an_exchange_and_keep_the_unlink_after_it() {
    let (sim, actor) = durable(&[("doc", b"old"), ("staged", b"new")]);
    actor.rename("staged", "doc", Rename::Exchange).unwrap();
    actor.unlink("staged").unwrap();
    let bodies: BTreeSet<_> = all(&sim.world(), PAGES)
        .iter()
        .map(|world| (world.read("doc").unwrap(), world.read("staged")))
        .collect();
    assert!(bodies.contains(&(b"old".to_vec(), None)), "the new body is lost");
    assert_eq!(bodies.len(), 4);
}
