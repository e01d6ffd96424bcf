//! Rule 7, and the cache of rule 8: what the kernel does of itself.

use crate::support::*;

#[test]
fn rule_7_anything_may_become_durable_at_any_time() {
    let (sim, actor) = durable(&[("f", b"0"), ("g", b"0")]);
    for path in ["f", "g"] {
        actor.open(path, Access::Write).unwrap().write_at(b"1", 0).unwrap();
    }
    drop(actor.create("new").unwrap());
    sim.write_back("f");
    assert_eq!(after(&sim, "f"), set([Some(b"1".to_vec())]));
    assert_eq!(after(&sim, "g").len(), 2);
    sim.write_back("new");
    assert_eq!(names(&sim), texts(&["f g new"]));
    sim.write_back_all();
    assert_eq!(all(&sim.world(), PAGES).len(), 1);
}

#[test]
fn rule_8_a_read_past_the_cache_sees_the_durable_bytes() {
    let (sim, actor) = durable(&[("f", b"old")]);
    actor.open("f", Access::Write).unwrap().write_at(b"newer", 0).unwrap();
    let device = actor.open("f", Access::ReadDevice).unwrap();
    let mut buffer = [9; 8];
    assert_eq!(device.read_at(&mut buffer, 0).unwrap(), 5);
    assert_eq!(&buffer[..5], b"old\0\0");
    sim.set_read_device(false);
    assert!(actor.open("f", Access::ReadDevice).unwrap_err().is_unsupported());
}

#[test]
fn rule_7_each_page_each_size_and_each_name_may_become_durable_by_itself() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let (sim, actor) = durable(&[("f", &[0; 2 * PAGE])]);
        actor.open("f", Access::Write).unwrap().write_at(&[1; 2 * PAGE], 0).unwrap();
        drop(actor.create("g").unwrap());
        sim.write_back_some(seed, 50);
        // What is durable by now is what a power cut leaves in every outcome.
        let worlds = all(&sim.world(), PAGES);
        let sure = |is: &dyn Fn(&SimFs) -> bool| worlds.iter().all(is);
        let page = |nth: usize| sure(&|world| world.read("f").unwrap()[nth * PAGE] == 1);
        seen.insert((page(0), page(1), sure(&|world| world.stat("g").is_some())));
        assert_eq!(sim.read("f").unwrap(), [1; 2 * PAGE], "nobody sees it");
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn rule_7_what_was_written_back_is_there_whatever_was_written_over_it() {
    let (sim, actor) = durable(&[("f", b"old")]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(b"mid", 0).unwrap();
    sim.write_back("f");
    file.write_at(b"new", 0).unwrap();
    assert_eq!(after(&sim, "f"), set([Some(b"mid".to_vec()), Some(b"new".to_vec())]));
}

#[test]
fn rule_7_write_back_of_a_name_carries_what_its_kind_of_file_system_carries() {
    let (sim, actor) = durable(&[("a", b""), ("d/x", b"")]);
    actor.unlink("a").unwrap();
    drop(actor.create("d/y").unwrap());
    drop(actor.create("late").unwrap());
    sim.write_back("d/y");
    assert_eq!(names_under(&sim, ORDERED), texts(&["d/x d/y", "d/x d/y late"]));
    assert_eq!(names_under(&sim, PER_INODE), texts(&["a d/x d/y", "d/x d/y", "d/x d/y late"]));
    assert_eq!(names_under(&sim, PAGES).len(), 4);
}

#[test]
fn rule_8_the_cache_may_drop_clean_pages_one_by_one() {
    let mut seen = BTreeSet::new();
    for seed in 0..50 {
        let (sim, actor) = durable(&[("f", &[0; 2 * PAGE])]);
        let file = actor.open("f", Access::Write).unwrap();
        file.write_at(&[1; 2 * PAGE], 0).unwrap();
        fault(&sim, "sync", FaultKind::Error(errno::IO), 1, false);
        file.sync(SyncKind::Data).unwrap_err();
        sim.evict_some(seed, 50);
        let bytes = sim.read("f").unwrap();
        seen.insert((bytes[0], bytes[PAGE]));
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn rule_8_the_cache_keeps_what_is_dirty() {
    let (sim, actor) = durable(&[("f", &[0; 2 * PAGE])]);
    let file = actor.open("f", Access::Write).unwrap();
    file.write_at(&[1; PAGE], 0).unwrap();
    fault(&sim, "sync", FaultKind::Error(errno::IO), 1, false);
    file.sync(SyncKind::Data).unwrap_err();
    file.write_at(&[2; PAGE], PAGE as u64).unwrap();
    sim.evict_all();
    assert_eq!(sim.read("f").unwrap(), [[0; PAGE], [2; PAGE]].concat());
}
