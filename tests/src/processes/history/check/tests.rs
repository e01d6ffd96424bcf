//! Hand-made histories: right ones, and one for each kind of wrong.

use super::super::record::{Heard, Logged, Told};
use super::*;

/// Attempt `number` of process 1, of the thread of the same number.
fn op(number: u32) -> Op {
    Op { process: 1, thread: number, number }
}

/// `x=3` is the value of attempt 3; `x=some`, `x=none`.
fn sightings(words: &str) -> Vec<Sighting> {
    let sighting = |word: &str| {
        let (path, saw) = word.split_once('=').unwrap();
        let saw = match saw {
            "some" => Saw::Something,
            "none" => Saw::Nothing,
            number => Saw::Value(op(number.parse().unwrap())),
        };
        Sighting { path: path.into(), saw }
    };
    words.split_whitespace().map(sighting).collect()
}

/// `x` is a put, `-x` a removal.
fn wrote(words: &str) -> Vec<Wrote> {
    let wrote = |word: &str| {
        let path = word.strip_prefix('-');
        Wrote { path: path.unwrap_or(word).into(), removed: path.is_some() }
    };
    words.split_whitespace().map(wrote).collect()
}

/// Attempts are added in the order in which their commits count.
#[derive(Default)]
struct Story(History);

impl Story {
    fn attempt(&mut self, number: u32, times: (u64, u64), saw: &str, writes: &str, end: End) {
        self.0.attempts.push(Attempt {
            op: op(number),
            from: times.0,
            to: (end != End::Unknown).then_some(times.1),
            saw: sightings(saw),
            expected: Vec::new(),
            wrote: wrote(writes),
            end,
            moment: None,
        });
    }

    fn logged(&mut self, number: u32, writes: &str) {
        let txn = 10 * (self.0.order.len() as u64 + 1);
        self.0.order.push(Logged { txn, op: op(number), wrote: wrote(writes) });
    }

    fn commits(mut self, number: u32, times: (u64, u64), saw: &str, writes: &str) -> Self {
        self.attempt(number, times, saw, writes, End::Committed(None));
        self.logged(number, writes);
        self
    }

    fn reads(mut self, number: u32, times: (u64, u64), saw: &str) -> Self {
        self.attempt(number, times, saw, "", End::Committed(None));
        self
    }

    /// A snapshot of transaction `txn`.
    fn looks_back(mut self, number: u32, times: (u64, u64), txn: u64, saw: &str) -> Self {
        self.attempt(number, times, saw, "", End::Committed(None));
        self.0.attempts.last_mut().unwrap().moment = Some(txn);
        self
    }

    /// A watch that is begun at these times tells these attempts, or a gap (0); then it is quiet.
    fn hears(mut self, begun: (u64, u64), told: &[u32], until: Option<u64>) -> Self {
        let told = told.iter().map(|number| match number {
            0 => Told::Gap,
            number => {
                let at = self.0.order.iter().find(|logged| logged.op == op(*number));
                Told::Transaction { txn: at.map_or(5, |logged| logged.txn), op: op(*number) }
            }
        });
        self.0.heard.push(Heard { begun, told: told.collect(), until });
        self
    }

    fn refused(mut self, number: u32, times: (u64, u64), saw: &str, writes: &str) -> Self {
        self.attempt(number, times, saw, writes, End::Nothing);
        self
    }

    fn killed(mut self, number: u32, from: u64, saw: &str, writes: &str, kept: bool) -> Self {
        self.attempt(number, (from, 0), saw, writes, End::Unknown);
        if kept {
            self.logged(number, writes);
        }
        self
    }

    fn expecting(mut self, words: &str) -> Self {
        self.0.attempts.last_mut().unwrap().expected = sightings(words);
        self
    }

    fn ends_with(mut self, words: &str) -> Self {
        self.0.last = sightings(words);
        self
    }

    #[track_caller]
    fn must_pass(self) {
        check(&self.0).unwrap();
    }

    #[track_caller]
    fn must_fail(self, why: &str) {
        let told = check(&self.0).unwrap_err();
        assert!(told.contains(why), "{told}");
    }
}

/// Both documents, by attempt 1.
fn story() -> Story {
    Story::default().commits(1, (0, 1), "", "x y")
}

#[test]
fn a_right_history_passes() {
    let story = story()
        .commits(2, (2, 6), "x=1 y=1", "x")
        .commits(3, (3, 9), "x=2 z=none", "-y z")
        .reads(4, (4, 5), "x=1 y=1")
        .reads(5, (4, 8), "x=2 y=1")
        .reads(6, (7, 8), "x=2 y=none z=3")
        .refused(7, (4, 9), "x=1", "x")
        .killed(8, 10, "x=2", "x", true)
        .killed(9, 10, "x=2", "x", false)
        .reads(10, (11, 12), "x=2")
        .reads(11, (13, 14), "x=8")
        .commits(12, (15, 16), "y=none", "y")
        .expecting("z=3")
        .ends_with("x=8 y=12 z=3");
    let counts = check(&story.0).unwrap();
    let (reads, acknowledged, refused, kept, absent) = (5, 4, 1, 1, 1);
    let sightings = story.0.attempts.iter().map(|attempt| attempt.saw.len()).sum();
    let all = Counts { reads, sightings, acknowledged, refused, kept, absent, ..Counts::default() };
    assert_eq!(counts, all);
}

#[test]
fn a_lost_update_is_refused() {
    let story = story().commits(2, (2, 5), "x=1", "x").commits(3, (3, 6), "x=1", "x");
    story.must_fail("just before transaction 30");
}

#[test]
fn write_skew_is_refused() {
    let story = story().commits(2, (2, 5), "x=1 y=1", "x").commits(3, (3, 6), "x=1 y=1", "y");
    story.must_fail(
        "x was Some(Op { process: 1, thread: 2, number: 2 }) just before transaction 30",
    );
}

#[test]
fn a_dirty_read_of_what_was_given_up_is_refused() {
    let story = story().refused(2, (2, 5), "", "x").reads(3, (3, 4), "x=2");
    story.must_fail("(so never)");
}

#[test]
fn what_a_refused_transaction_saw_must_be_of_one_moment_too() {
    let story = story().commits(2, (2, 5), "", "x y").refused(3, (2, 5), "x=1 y=2", "x");
    story.must_fail("no position");
}

#[test]
fn a_torn_read_of_two_documents_is_refused() {
    let torn = |saw| story().commits(2, (2, 5), "", "x y").reads(3, (2, 5), saw);
    torn("x=1 y=1").must_pass();
    torn("x=2 y=2").must_pass();
    torn("x=1 y=2").must_fail("no position");
    torn("x=2 y=1").must_fail("no position");
}

#[test]
fn a_stale_read_is_refused() {
    let read = |times| story().commits(2, (2, 5), "", "x").reads(3, times, "x=1");
    read((5, 6)).must_pass();
    read((6, 7)).must_fail("from transaction 20 to 20");
}

#[test]
fn a_read_of_what_begins_later_is_refused() {
    let read = |times| story().commits(2, (4, 5), "", "x").reads(3, times, "x=2");
    read((2, 4)).must_pass();
    read((2, 3)).must_fail("from transaction 10 to 10");
}

#[test]
fn reads_that_go_back_in_time_are_refused() {
    let story = story().commits(2, (2, 9), "", "x").reads(3, (3, 4), "x=2");
    story.reads(4, (5, 6), "x=1").must_fail("from transaction 20 to 20");
}

#[test]
fn a_phantom_in_a_list_is_refused() {
    // Two lists of one directory in a transaction, and a document that comes between.
    let story = story().commits(2, (2, 5), "x=1 z=none", "z");
    story.reads(3, (3, 4), "x=some y=some z=none x=1 z=2").must_fail("no position");
}

#[test]
fn a_writer_that_overlooks_a_new_document_is_refused() {
    let story = story().commits(2, (2, 5), "", "z").commits(3, (3, 6), "z=none", "y");
    story.must_fail("z was Some");
}

#[test]
fn an_acknowledged_write_that_is_lost_is_refused() {
    let mut story = story();
    story.attempt(2, (2, 3), "", "x", End::Committed(None));
    story.must_fail("an acknowledged write is lost");
}

#[test]
fn an_acknowledged_write_that_is_not_there_in_the_end_is_refused() {
    story().commits(2, (2, 3), "", "x").ends_with("x=1").must_fail("in the end x");
}

#[test]
fn a_refused_write_that_counts_is_refused() {
    let mut story = story().refused(2, (2, 3), "", "x");
    story.logged(2, "x");
    story.must_fail("refused, but transaction 20");
}

#[test]
fn half_of_an_unanswered_transaction_is_refused() {
    let mut story = story().killed(2, 2, "", "x y", false);
    story.logged(2, "x");
    story.must_fail("instead");
}

#[test]
fn a_broken_expectation_is_refused() {
    let story = story().commits(2, (2, 5), "", "x").commits(3, (3, 6), "", "y");
    story.expecting("x=1").must_fail("just before transaction 30");
}

#[test]
fn commits_in_the_wrong_order_are_refused() {
    let story = story().commits(2, (6, 7), "", "x").commits(3, (2, 5), "", "y");
    story.must_fail("ended before the other began");
}

#[test]
fn what_was_never_begun_or_counts_twice_is_refused() {
    let mut never = story();
    never.logged(2, "x");
    never.must_fail("was never begun");
    let mut twice = story();
    twice.logged(1, "x y");
    twice.must_fail("committed twice");
}

#[test]
fn another_number_than_was_told_is_refused() {
    let mut story = story();
    story.attempt(2, (2, 3), "", "x", End::Committed(Some(21)));
    story.logged(2, "x");
    story.must_fail("told another number");
}

#[test]
fn a_snapshot_is_of_the_moment_that_it_says_and_of_no_other() {
    let looks = |times, txn, saw| {
        let story = story().commits(2, (2, 3), "", "x").commits(3, (8, 9), "", "y");
        story.looks_back(4, times, txn, saw)
    };
    looks((4, 5), 20, "x=2 y=1").must_pass();
    // Nothing but a checkpoint was committed since.
    looks((4, 5), 25, "x=2 y=1").must_pass();
    looks((4, 5), 20, "x=2 y=3").must_fail("no position");
    looks((4, 5), 10, "x=1 y=1").must_fail("no position");
    looks((4, 5), 30, "x=2 y=3").must_fail("no position");
    looks((2, 9), 10, "x=2 y=1").must_fail("no position");
}

#[test]
fn a_watch_tells_all_in_order_or_is_refused() {
    let hears = |begun, told: &[u32], until| {
        let story = story().commits(2, (3, 4), "", "x").commits(3, (5, 6), "", "y");
        story.commits(4, (7, 8), "", "x").hears(begun, told, until)
    };
    hears((2, 2), &[2, 3, 4], Some(9)).must_pass();
    hears((2, 2), &[2, 3, 4], None).must_pass();
    hears((2, 2), &[2, 3], Some(7)).must_pass();
    hears((2, 2), &[], Some(3)).must_pass();
    // What is committed while it begins may be told.
    hears((3, 4), &[2, 3, 4], Some(9)).must_pass();
    hears((3, 4), &[3, 4], Some(9)).must_pass();
    hears((5, 5), &[2, 3, 4], Some(9)).must_fail("is next");
    hears((2, 2), &[3, 4], Some(9)).must_fail("is next");
    hears((2, 2), &[2, 4], Some(9)).must_fail("is next");
    hears((2, 2), &[2, 0, 4], Some(9)).must_pass();
    hears((2, 2), &[2, 2, 3, 4], Some(9)).must_fail("is next");
    hears((2, 2), &[2, 4, 3], Some(9)).must_fail("is next");
    hears((2, 2), &[2, 3], Some(9)).must_fail("has not told 40");
    hears((2, 2), &[], Some(5)).must_fail("has not told 20");
    hears((2, 2), &[2, 9], None).must_fail("which is none");
}
