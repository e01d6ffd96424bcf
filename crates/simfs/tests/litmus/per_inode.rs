//! Rule 5, *per-inode*: a prefix of all changes of names, and what syncs carried ahead of it, as
//! btrfs keeps.

use crate::support::*;

#[test]
fn rule_5_per_inode_keeps_a_prefix_where_nothing_is_synced() {
    let (sim, actor) = durable(&[]);
    for path in ["a", "b"] {
        drop(actor.create(path).unwrap());
    }
    assert_eq!(names_under(&sim, PER_INODE), texts(&["", "a", "a b"]));
}

#[test]
fn rule_5_per_inode_a_synced_file_leaves_an_unlink_and_two_renames_of_others_undone() {
    let (sim, actor) = durable(&[("a", b"1"), ("b", b"2"), ("c", b"3")]);
    actor.unlink("a").unwrap();
    actor.rename("b", "b2", Rename::NoReplace).unwrap();
    actor.rename("c", "c2", Rename::NoReplace).unwrap();
    put(&actor, "f", b"4").sync(SyncKind::All).unwrap();
    let expected = texts(&["a=1 b=2 c=3 f=4", "b=2 c=3 f=4", "b2=2 c=3 f=4", "b2=2 c2=3 f=4"]);
    assert_eq!(bodies_under(&sim, PER_INODE), expected);
    assert_eq!(bodies_under(&sim, ORDERED), texts(&["b2=2 c2=3 f=4"]), "a log has them all");
}

#[test]
fn rule_5_per_inode_a_synced_file_jumps_ahead_with_its_own_names_and_the_directories_above() {
    let (sim, actor) = durable(&[]);
    drop(actor.create("other").unwrap());
    actor.make_dir("d", 0o755).unwrap();
    let file = put(&actor, "d/x", b"1");
    file.link("d/y").unwrap();
    actor.rename("d/x", "d/z", Rename::NoReplace).unwrap();
    file.sync(SyncKind::All).unwrap();
    assert_eq!(names_under(&sim, PER_INODE), texts(&["d/y d/z", "d/y d/z other"]));
}

#[test]
fn rule_5_per_inode_a_synced_directory_jumps_ahead_with_its_entries() {
    let (sim, actor) = durable(&[("d/x", b""), ("e/x", b"")]);
    actor.unlink("e/x").unwrap();
    drop(actor.create("d/y").unwrap());
    actor.sync_dir("d").unwrap();
    assert_eq!(names_under(&sim, PER_INODE), texts(&["d/x d/y e/x", "d/x d/y"]));
}

#[test]
fn rule_5_per_inode_what_jumps_ahead_takes_along_the_earlier_changes_of_the_same_names() {
    let (sim, actor) = durable(&[("a", b"1"), ("b", b"2"), ("c", b"3")]);
    actor.unlink("c").unwrap();
    actor.rename("a", "b", Rename::Replace).unwrap();
    let file = put(&actor, "a", b"4");
    file.sync(SyncKind::All).unwrap();
    assert_eq!(bodies_under(&sim, PER_INODE), texts(&["a=4 b=1 c=3", "a=4 b=1"]));
}

#[test]
fn rule_5_per_inode_a_synced_overwrite_carries_no_names() {
    let (sim, actor) = durable(&[("a", b"1")]);
    let file = actor.open("a", Access::Write).unwrap();
    actor.rename("a", "b", Rename::NoReplace).unwrap();
    file.write_at(b"2", 0).unwrap();
    file.sync(SyncKind::Data).unwrap();
    assert_eq!(bodies_under(&sim, PER_INODE), texts(&["a=2", "b=2"]));
    file.sync(SyncKind::All).unwrap();
    assert_eq!(bodies_under(&sim, PER_INODE), texts(&["b=2"]));
}
