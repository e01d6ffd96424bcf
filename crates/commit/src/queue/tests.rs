use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use super::*;

type Line = Arc<Queue<u32, u32>>;

fn lead(queue: &Line, job: Option<u32>) -> Lead<u32, u32> {
    match queue.wait(job, Some(Instant::now())) {
        Waited::Leads(lead) => lead,
        other => panic!("{other:?}"),
    }
}

fn soon() -> Option<Instant> {
    Instant::now().checked_add(Duration::from_millis(5))
}

fn wait_until_waiting(queue: &Line, count: usize) {
    while queue.line().waiting.len() < count {
        thread::yield_now();
    }
}

#[test]
fn who_waits_goes_with_the_leader() {
    let queue = Line::default();
    let mut leader = lead(&queue, Some(1));
    thread::scope(|scope| {
        let followers: Vec<_> = (2..5)
            .map(|job| {
                let queue = &queue;
                let follower = scope.spawn(move || queue.wait(Some(job), None));
                wait_until_waiting(queue, job as usize);
                follower
            })
            .collect();
        let jobs = leader.take();
        assert_eq!(jobs.iter().map(|(_, job)| *job).collect::<Vec<_>>(), [1, 2, 3, 4]);
        leader.answer(jobs.into_iter().map(|(ticket, job)| (ticket, job * 10)));
        for (follower, answer) in followers.into_iter().zip([20, 30, 40]) {
            let answered = follower.join().unwrap();
            assert!(matches!(answered, Waited::Answered(Some(a)) if a == answer), "{answered:?}");
        }
        assert_eq!(leader.own_answer(), Some(10));
    });
}

#[test]
fn who_leaves_is_never_taken() {
    let queue = Line::default();
    let mut leader = lead(&queue, Some(1));
    assert!(matches!(queue.wait(Some(2), soon()), Waited::Left));
    assert!(matches!(queue.wait(None, soon()), Waited::Left));
    assert_eq!(leader.take().len(), 1);
}

/// Attack 20: told "nothing changed", yet committed.
#[test]
fn who_was_taken_waits_for_the_answer_beyond_its_time() {
    let queue = Line::default();
    let mut leader = lead(&queue, Some(1));
    let soon = Instant::now().checked_add(Duration::from_millis(200));
    thread::scope(|scope| {
        let follower = scope.spawn(|| queue.wait(Some(2), soon));
        wait_until_waiting(&queue, 2);
        let jobs = leader.take();
        assert_eq!(jobs.len(), 2);
        while Some(Instant::now()) < soon {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(10));
        assert!(!follower.is_finished());
        leader.answer(jobs);
        assert!(matches!(follower.join().unwrap(), Waited::Answered(Some(2))));
    });
}

#[test]
fn who_wants_the_lead_alone_gets_it_in_its_place_of_the_line() {
    let queue = Line::default();
    let mut leader = lead(&queue, Some(1));
    thread::scope(|scope| {
        let alone = scope.spawn(|| match queue.wait(None, None) {
            Waited::Leads(mut lead) => lead.take().len(),
            other => panic!("{other:?}"),
        });
        wait_until_waiting(&queue, 2);
        let behind = scope.spawn(|| match queue.wait(Some(3), None) {
            Waited::Leads(mut lead) => lead.take().len(),
            other => panic!("{other:?}"),
        });
        wait_until_waiting(&queue, 3);
        let jobs = leader.take();
        assert_eq!(jobs.len(), 1, "the line behind it waits for it");
        drop(leader);
        assert_eq!(alone.join().unwrap(), 0);
        assert_eq!(behind.join().unwrap(), 1);
    });
}

#[test]
fn a_leader_that_gives_up_hands_the_lead_on() {
    let queue = Line::default();
    let leader = lead(&queue, Some(1));
    thread::scope(|scope| {
        let next = scope.spawn(|| queue.wait(Some(2), None));
        wait_until_waiting(&queue, 2);
        drop(leader);
        let Waited::Leads(mut lead) = next.join().unwrap() else { panic!() };
        assert_eq!(lead.take().iter().map(|(_, job)| *job).collect::<Vec<_>>(), [2]);
    });
}

#[test]
fn nobody_waits_for_a_leader_that_panicked() {
    let queue = Line::default();
    let taken = Barrier::new(2);
    thread::scope(|scope| {
        let mut leader = lead(&queue, Some(1));
        let follower = scope.spawn(|| queue.wait(Some(2), None));
        wait_until_waiting(&queue, 2);
        let dies = scope.spawn(|| {
            assert_eq!(leader.take().len(), 2);
            taken.wait();
            let _gone = leader;
            std::panic::resume_unwind(Box::new("in the middle of a commit"));
        });
        taken.wait();
        assert!(dies.join().is_err());
        assert!(matches!(follower.join().unwrap(), Waited::Answered(None)));
    });
    drop(lead(&queue, Some(3)));
    assert!(queue.line().answers.is_empty() && queue.line().waiting.is_empty());
}
