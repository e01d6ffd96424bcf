//! Rule 10: damage at rest.

use crate::support::*;

#[test]
fn rule_10_damage_at_rest_is_live_and_durable() {
    let (sim, _) = durable(&[("f", &[0xff; 2000]), ("gone", b"")]);
    sim.damage("f", Damage::FlipBit { offset: 3, bit: 7 });
    sim.damage("f", Damage::ZeroSector(1));
    sim.damage("f", Damage::Truncate(1100));
    sim.damage("gone", Damage::Delete);
    let mut expected = vec![0xff; 1100];
    expected[3] = 0x7f;
    expected[512..1024].fill(0);
    assert_eq!(after(&sim, "f"), set([Some(expected.clone())]));
    assert_eq!(sim.tree().into_iter().collect::<Vec<_>>(), [("f".to_owned(), expected)]);
}

#[test]
fn rule_10_a_sector_may_be_stale() {
    let (sim, _) = durable(&[("f", &[1; 1024])]);
    let earlier = sim.fork();
    sim.write("f", &[2; 1024]);
    sim.write_back_all();
    let times = sim.stat("f").unwrap();
    sim.damage_stale("f", 1, &earlier);
    let expected = [[2; 512], [1; 512]].concat();
    assert_eq!(after(&sim, "f"), set([Some(expected.clone())]));
    assert_eq!((sim.read("f").unwrap(), sim.stat("f").unwrap()), (expected, times));
}

#[test]
fn rule_10_a_sector_may_stand_where_another_belongs() {
    let (sim, _) = durable(&[("f", &[[1; 512], [2; 512]].concat())]);
    sim.damage("f", Damage::MisplacedSector { from: 0, to: 1 });
    assert_eq!(after(&sim, "f"), set([Some(vec![1; 1024])]));
}

#[test]
fn rule_10_two_files_may_have_each_others_names() {
    let (sim, _) = durable(&[("a", b"1"), ("d/b", b"2")]);
    sim.damage_swap("a", "d/b");
    for profile in Profile::ALL {
        assert_eq!(bodies_under(&sim, profile), texts(&["a=2 d/b=1"]));
    }
}

#[test]
fn rule_10_damage_leaves_other_files_alone() {
    let (sim, actor) = durable(&[("f", &[1; 600]), ("g", b"old")]);
    actor.open("g", Access::Write).unwrap().write_at(b"new", 0).unwrap();
    sim.damage("f", Damage::ZeroSector(1));
    assert_eq!(after(&sim, "g").len(), 2, "still pending");
    assert_eq!(sim.read("f").unwrap(), [&[1; 512][..], &[0; 88]].concat());
}
