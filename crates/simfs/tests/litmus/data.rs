//! Rules 1 to 4: what a power cut leaves of the content of a file.

use crate::support::*;

#[test]
fn rule_1_each_page_has_any_version_it_had_while_dirty() {
    let (sim, actor) = durable(&[("f", &[0; 2 * PAGE])]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(&[1; 2 * PAGE], 0).unwrap();
    file.write_at(&[2; PAGE], 0).unwrap();
    let seen: BTreeSet<(u8, u8)> = after(&sim, "f")
        .into_iter()
        .map(|bytes| {
            let bytes = bytes.unwrap();
            let whole = |page: &[u8]| page.iter().all(|byte| *byte == page[0]);
            assert!(bytes.chunks(PAGE).all(whole), "a page is torn");
            (bytes[0], bytes[PAGE])
        })
        .collect();
    assert_eq!(seen, set([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]));
}

#[test]
fn rule_1_pages_of_different_files_are_independent() {
    let (sim, actor) = durable(&[("a", b"0"), ("b", b"0")]);
    for path in ["a", "b"] {
        actor.open(path, Access::Write).unwrap().write_at(b"1", 0).unwrap();
    }
    let seen = all(&sim.world(), PAGES)
        .iter()
        .map(|world| (world.read("a").unwrap()[0], world.read("b").unwrap()[0]))
        .collect();
    assert_eq!(set([(b'0', b'0'), (b'0', b'1'), (b'1', b'0'), (b'1', b'1')]), seen);
}

#[test]
fn rule_1_a_torn_page_is_a_mix_of_its_sectors() {
    let (sim, actor) = durable(&[("f", &[0; PAGE])]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(&[1; 600], 1000).unwrap();
    assert_eq!(all(&sim.world(), PAGES).len(), 2);
    let torn = all(&sim.world(), SECTORS);
    assert_eq!(torn.len(), 8, "bytes 1000 to 1600 lie in three sectors");
    for world in torn {
        let bytes = world.read("f").unwrap();
        assert_eq!(bytes[1000..1024], [bytes[1000]; 24]);
        assert_eq!(bytes[1024..1536], [bytes[1024]; 512]);
        assert_eq!(bytes[1536..1600], [bytes[1536]; 64]);
    }
}

#[test]
fn rule_2_size_without_data_reads_as_zeros_and_data_without_size_is_invisible() {
    let (sim, actor) = durable(&[("f", b"ab")]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(b"cd", 2).unwrap();
    let expected = [&b"ab"[..], b"ab\0\0", b"abcd"].map(|bytes| Some(bytes.to_vec()));
    assert_eq!(after(&sim, "f"), set(expected));
}

#[test]
fn rule_2_the_size_is_any_it_had_while_dirty() {
    let (sim, actor) = durable(&[("f", b"")]);
    let file = actor.open("f", Access::Write).unwrap();
    for size in [3, 9000, 5] {
        file.set_len(size).unwrap();
    }
    let sizes = after(&sim, "f").into_iter().map(|bytes| bytes.unwrap().len()).collect();
    assert_eq!(set([0, 3, 5, 9000]), sizes);
}

#[test]
fn rule_3_an_unsynced_write_into_preallocated_space_may_read_as_zeros() {
    let (sim, actor) = durable(&[("f", b"")]);
    let file = actor.open("f", Access::Write).unwrap();
    file.set_len(4).unwrap();
    file.sync(SyncKind::Data).unwrap();
    file.write_at(b"data", 0).unwrap();
    assert_eq!(after(&sim, "f"), set([Some(b"data".to_vec()), Some(vec![0; 4])]));
}

#[test]
fn rule_4_a_truncation_happened_or_not() {
    let (sim, actor) = durable(&[("f", &[7; 5000])]);
    let file = actor.open("f", Access::Write).unwrap();
    file.set_len(0).unwrap();
    let seen = after(&sim, "f");
    assert!(seen.contains(&Some(vec![])) && seen.contains(&Some(vec![7; 5000])));
    file.set_len(5000).unwrap();
    assert_eq!(sim.read("f").unwrap(), vec![0; 5000], "what was cut does not come back");
    file.sync(SyncKind::Data).unwrap();
    assert_eq!(after(&sim, "f"), set([Some(vec![0; 5000])]));
}

#[test]
fn rule_4_what_was_cut_reads_as_zeros_when_the_file_grows_again() {
    let (sim, actor) = durable(&[("f", &[7; 5000])]);
    actor.open("f", Access::Write).unwrap().set_len(10).unwrap();
    for world in all(&sim.world(), PAGES).into_iter().chain([sim]) {
        let len = world.read("f").unwrap().len();
        let file = world.actor().open("f", Access::Write).unwrap();
        file.set_len(6000).unwrap();
        assert_eq!(world.read("f").unwrap()[len..], vec![0; 6000 - len]);
    }
}

#[test]
fn rule_1_trash_is_garbage_behind_the_leading_bytes_that_all_versions_share() {
    let (sim, actor) = durable(&[("f", b"kept,old,old")]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(b"new", 5).unwrap();
    let bodies: Vec<_> =
        all(&sim.world(), TRASH).iter().map(|world| world.read("f").unwrap()).collect();
    assert_eq!(bodies[..2], [b"kept,old,old", b"kept,new,old"]);
    assert_eq!(bodies.len(), 3);
    let garbage = &bodies[2];
    assert_eq!(&garbage[..5], b"kept,", "powersafe overwrite");
    assert!(garbage[5..] != *b"old,old" && garbage[5..] != *b"new,old", "also what is behind");
}

#[test]
fn rule_1_trash_spares_sectors_that_were_not_written() {
    let (sim, actor) = durable(&[("f", &[7; PAGE])]);
    actor.open("f", Access::Write).unwrap().write_at(&[8; 600], 1024).unwrap();
    for world in all(&sim.world(), TRASH) {
        let bytes = world.read("f").unwrap();
        assert_eq!(bytes[..1024], [7; 1024]);
        assert_eq!(bytes[2048..], [7; 2048]);
    }
}

#[test]
fn rule_1_trash_cannot_touch_what_is_synced() {
    let (sim, actor) = durable(&[("f", &[7; 1024])]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(&[8; 1024], 0).unwrap();
    file.sync(SyncKind::Data).unwrap();
    file.write_at(b"tail", 1000).unwrap();
    for world in all(&sim.world(), TRASH) {
        assert_eq!(world.read("f").unwrap()[..1000], [8; 1000]);
    }
}

#[test]
fn rule_1_the_garbage_is_another_one_for_another_seed() {
    let (sim, actor) = durable(&[("f", &[7; 512])]);
    actor.open("f", Access::Write).unwrap().write_at(&[8; 512], 0).unwrap();
    let garbage = |seed| sim.world().power_cut(&TRASH, 10, seed).worlds[2].read("f").unwrap();
    assert_eq!(garbage(1), garbage(1));
    assert_ne!(garbage(1), garbage(2));
}
