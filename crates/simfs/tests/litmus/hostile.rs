//! Rule 5, *hostile*: a rename or an exchange of files changes each of its names by itself.

use crate::support::*;

#[test]
fn rule_5_hostile_a_rename_may_leave_both_names_or_neither() {
    let (sim, actor) = durable(&[("a", b"1")]);
    actor.rename("a", "b", Rename::NoReplace).unwrap();
    assert_eq!(bodies_under(&sim, HOSTILE), texts(&["a=1", "b=1", "a=1 b=1", ""]));
}

#[test]
fn rule_5_hostile_a_rename_over_a_file_never_leaves_its_name_empty() {
    let (sim, actor) = durable(&[("a", b"new"), ("b", b"old")]);
    actor.rename("a", "b", Rename::Replace).unwrap();
    let expected = texts(&["a=new b=old", "b=new", "a=new b=new", "b=old"]);
    assert_eq!(bodies_under(&sim, HOSTILE), expected);
}

#[test]
fn rule_5_hostile_an_exchange_happens_on_each_side_by_itself() {
    let (sim, actor) = durable(&[("a", b"1"), ("b", b"2")]);
    actor.rename("a", "b", Rename::Exchange).unwrap();
    let expected = texts(&["a=1 b=2", "a=2 b=1", "a=1 b=1", "a=2 b=2"]);
    assert_eq!(bodies_under(&sim, HOSTILE), expected);
    let both = all(&sim.world(), HOSTILE)
        .into_iter()
        .find(|world| world.read("a").unwrap() == world.read("b").unwrap())
        .unwrap();
    assert_eq!(both.stat("a").unwrap().stamp.ino, both.stat("b").unwrap().stamp.ino);
    assert_eq!(both.stat("a").unwrap().nlink, 2, "one file with two names");
}

#[test]
fn rule_5_hostile_a_synced_directory_covers_its_own_side_of_a_rename() {
    let (sim, actor) = durable(&[("from/a", b"1"), ("to/b", b"2")]);
    actor.rename("from/a", "to/b", Rename::Exchange).unwrap();
    actor.sync_dir("to").unwrap();
    assert_eq!(bodies_under(&sim, HOSTILE), texts(&["from/a=1 to/b=1", "from/a=2 to/b=1"]));
    actor.sync_dir("from").unwrap();
    assert_eq!(bodies_under(&sim, HOSTILE), texts(&["from/a=2 to/b=1"]));
}

#[test]
fn rule_5_hostile_a_file_whose_new_name_is_not_synced_may_be_lost_once_its_old_one_is() {
    let (sim, actor) = durable(&[("from/a", b"1"), ("to/b", b"")]);
    actor.rename("from/a", "to/a", Rename::NoReplace).unwrap();
    actor.sync_dir("from").unwrap();
    assert_eq!(names_under(&sim, HOSTILE), texts(&["to/b", "to/a to/b"]));
    assert_eq!(names_under(&sim, PAGES), texts(&["to/a to/b"]), "a whole step, in all others");
}

#[test]
fn rule_5_hostile_directories_are_renamed_whole() {
    let (sim, actor) = durable(&[("d/x", b"")]);
    actor.rename("d", "e", Rename::NoReplace).unwrap();
    assert_eq!(names_under(&sim, HOSTILE), texts(&["d/x", "e/x"]));
}

#[test]
fn rule_5_hostile_loses_nothing_that_is_synced() {
    let (sim, actor) = durable(&[("a", b"1"), ("b", b"2")]);
    actor.rename("a", "b", Rename::Exchange).unwrap();
    let file = put(&actor, "f", b"3");
    file.sync(SyncKind::Data).unwrap();
    actor.sync_dir("").unwrap();
    assert_eq!(bodies_under(&sim, HOSTILE), texts(&["a=2 b=1 f=3"]));
}

#[test]
fn rule_5_hostile_a_file_may_outlive_the_removal_of_the_directory_that_it_left() {
    let (sim, actor) = durable(&[("from/a", b"1"), ("to/b", b"")]);
    actor.rename("from/a", "to/a", Rename::NoReplace).unwrap();
    sim.remove("from");
    actor.sync_dir("").unwrap();
    assert_eq!(names_under(&sim, HOSTILE), texts(&["to/b", "to/a to/b"]));
    assert_eq!(names_under(&sim, PAGES), texts(&["to/a to/b"]));
}
