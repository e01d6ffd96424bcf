//! Rule 5, *ordered*: a prefix of all changes of names, as ext4 and xfs keep.

use crate::support::*;

#[test]
fn rule_5_ordered_keeps_a_prefix() {
    let (sim, actor) = durable(&[]);
    for path in ["a", "b"] {
        drop(actor.create(path).unwrap());
    }
    actor.rename("a", "c", Rename::NoReplace).unwrap();
    assert_eq!(names_under(&sim, ORDERED), texts(&["", "a", "a b", "b c"]));
}

#[test]
fn rule_5_ordered_never_keeps_an_unlink_without_the_exchange_before_it() {
    let (sim, actor) = durable(&[("doc", b"old"), ("staged", b"new")]);
    actor.rename("staged", "doc", Rename::Exchange).unwrap();
    actor.unlink("staged").unwrap();
    let expected = texts(&["doc=old staged=new", "doc=new staged=old", "doc=new"]);
    assert_eq!(bodies_under(&sim, ORDERED), expected);
}

#[test]
fn rule_5_ordered_a_synced_new_file_carries_every_earlier_change_with_it() {
    let (sim, actor) = durable(&[("d/x", b"")]);
    actor.rename("d/x", "d/y", Rename::NoReplace).unwrap();
    let file = put(&actor, "f", b"1");
    drop(actor.create("later").unwrap());
    file.sync(SyncKind::Data).unwrap();
    assert_eq!(names_under(&sim, ORDERED), texts(&["d/y f", "d/y f later"]));
}

#[test]
fn rule_5_ordered_a_synced_append_carries_what_was_before_it_and_a_synced_overwrite_carries_nothing()
 {
    let (sim, actor) = durable(&[("journal", b"....")]);
    let journal = actor.open("journal", Access::Write).unwrap();
    drop(actor.create("f").unwrap());
    journal.write_at(b"line", 0).unwrap();
    journal.sync(SyncKind::Data).unwrap();
    assert_eq!(names_under(&sim, ORDERED), texts(&["journal", "f journal"]));
    journal.write_at(b"more", 4).unwrap();
    drop(actor.create("later").unwrap());
    journal.sync(SyncKind::Data).unwrap();
    assert_eq!(names_under(&sim, ORDERED), texts(&["f journal", "f journal later"]));
}

#[test]
fn rule_5_ordered_the_times_that_an_overwrite_changes_are_carried_by_a_full_sync() {
    let (sim, actor) = durable(&[("journal", b"....")]);
    let journal = actor.open("journal", Access::Write).unwrap();
    drop(actor.create("f").unwrap());
    journal.write_at(b"line", 0).unwrap();
    journal.sync(SyncKind::All).unwrap();
    assert_eq!(names_under(&sim, ORDERED), texts(&["f journal"]));
}

#[test]
fn rule_5_ordered_a_write_into_preallocated_space_needs_the_log() {
    let (sim, actor) = durable(&[("journal", b"")]);
    let journal = actor.open("journal", Access::Write).unwrap();
    journal.set_len(PAGE as u64).unwrap();
    journal.sync(SyncKind::All).unwrap();
    drop(actor.create("f").unwrap());
    journal.write_at(b"line", 0).unwrap();
    journal.sync(SyncKind::Data).unwrap();
    assert_eq!(names_under(&sim, ORDERED), texts(&["f journal"]));
}

#[test]
fn rule_5_ordered_a_synced_directory_carries_the_changes_of_others_before_its_own() {
    let (sim, actor) = durable(&[("d/x", b""), ("e/x", b"")]);
    actor.unlink("e/x").unwrap();
    drop(actor.create("d/y").unwrap());
    drop(actor.create("e/later").unwrap());
    actor.sync_dir("d").unwrap();
    assert_eq!(names_under(&sim, ORDERED), texts(&["d/x d/y", "d/x d/y e/later"]));
    // Nothing of it is new: what came later is not carried.
    actor.sync_dir("d").unwrap();
    assert_eq!(names_under(&sim, ORDERED).len(), 2);
}

#[test]
fn rule_5_ordered_data_lags_behind_names() {
    let (sim, actor) = durable(&[("doc", b"old")]);
    let file = put(&actor, "staged", b"new");
    actor.rename("staged", "doc", Rename::Replace).unwrap();
    actor.sync_dir("").unwrap();
    let expected = texts(&["doc=", "doc=\0\0\0", "doc=new"]);
    assert_eq!(bodies_under(&sim, ORDERED), expected, "empty on xfs, zeros on ext4");
    file.sync(SyncKind::Data).unwrap();
    assert_eq!(bodies_under(&sim, ORDERED), texts(&["doc=new"]));
}
