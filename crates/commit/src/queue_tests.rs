//! The line, with locks and threads whose every order `shuttle` tries.

use shuttle::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use shuttle::{check_pct, check_random, thread};

use self::queue::{Lead, Queue, Waited};
use self::sync::{Arc, Instant};

#[path = "queue.rs"]
#[expect(dead_code, reason = "what only the writer asks for")]
#[expect(clippy::duplicate_mod, reason = "the same source with other locks is the point")]
mod queue;

/// As [`crate::sync`]; time goes on by one tick each time it is asked for.
mod sync {
    use std::ops::{Deref, DerefMut};
    use std::sync::LockResult;
    use std::time::Duration;

    use shuttle::sync::atomic::{AtomicU64, Ordering};

    pub(super) use shuttle::sync::Arc;
    pub(super) use std::sync::PoisonError;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(super) struct Instant(u64);

    shuttle::lazy_static! {
        static ref TICKS: AtomicU64 = AtomicU64::new(0);
    }

    impl Instant {
        pub(super) fn now() -> Self {
            Self(TICKS.fetch_add(1, Ordering::SeqCst))
        }

        pub(super) fn after(self, ticks: u64) -> Self {
            Self(self.0 + ticks)
        }

        pub(super) fn saturating_duration_since(self, earlier: Self) -> Duration {
            Duration::from_nanos(self.0.saturating_sub(earlier.0))
        }
    }

    #[derive(Debug)]
    pub(super) struct Mutex<T>(shuttle::sync::Mutex<T>);

    #[derive(Debug)]
    pub(super) struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        guard: shuttle::sync::MutexGuard<'a, T>,
    }

    impl<T> Mutex<T> {
        pub(super) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(super) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(MutexGuard { mutex: self, guard })
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    /// Whoever waits with a time limit looks again whenever it is scheduled.
    #[derive(Debug)]
    pub(super) struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        pub(super) fn new() -> Self {
            Self(shuttle::sync::Condvar::new())
        }

        pub(super) fn wait<'a, T>(
            &self,
            MutexGuard { mutex, guard }: MutexGuard<'a, T>,
        ) -> LockResult<MutexGuard<'a, T>> {
            let guard = self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
            Ok(MutexGuard { mutex, guard })
        }

        pub(super) fn wait_timeout<'a, T>(
            &self,
            MutexGuard { mutex, guard }: MutexGuard<'a, T>,
            _: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, ())> {
            drop(guard);
            shuttle::thread::yield_now();
            Ok((mutex.lock().unwrap_or_else(PoisonError::into_inner), ()))
        }

        pub(super) fn notify_one(&self) {
            self.0.notify_one();
        }
    }
}

type Line = Arc<Queue<u32, u32>>;

/// What becomes of a job that a leader does for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Left,
    Forsaken,
}

/// Jobs are done by being counted, under a lock of the store's that one leader has at a time.
#[derive(Default)]
struct Work {
    leading: AtomicBool,
    done: [AtomicU32; 4],
}

impl Work {
    /// As a commit does it: wait, lead perhaps, answer for all.
    fn commit(&self, queue: &Line, job: u32, deadline: Option<Instant>) -> Outcome {
        match queue.wait(Some(job), deadline) {
            Waited::Answered(Some(answer)) => {
                assert_eq!(answer, job * 10);
                Outcome::Done
            }
            Waited::Answered(None) => Outcome::Forsaken,
            Waited::Left => Outcome::Left,
            Waited::Leads(mut lead) => {
                self.lead(|| {
                    let jobs = lead.take();
                    for (_, job) in &jobs {
                        self.done[*job as usize].fetch_add(1, Ordering::SeqCst);
                    }
                    lead.answer(jobs.into_iter().map(|(ticket, job)| (ticket, job * 10)));
                });
                assert_eq!(lead.own_answer(), Some(job * 10), "a leader takes itself along");
                Outcome::Done
            }
        }
    }

    fn lead(&self, work: impl FnOnce()) {
        assert!(!self.leading.swap(true, Ordering::SeqCst), "two leaders");
        work();
        self.leading.store(false, Ordering::SeqCst);
    }

    fn times(&self, job: u32) -> u32 {
        self.done[job as usize].load(Ordering::SeqCst)
    }
}

/// In a thousand random orders, and in those that three well placed preemptions make.
fn check(test: impl Fn() + Send + Sync + Clone + 'static) {
    check_random(test.clone(), 1000);
    check_pct(test, 1000, 3);
}

#[test]
fn every_job_is_done_once_and_answered() {
    check(|| {
        let (queue, work) = (Line::default(), Arc::new(Work::default()));
        let threads: Vec<_> = (0..4)
            .map(|job| {
                let (queue, work) = (queue.clone(), work.clone());
                thread::spawn(move || work.commit(&queue, job, None))
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Outcome::Done);
        }
        assert!((0..4).all(|job| work.times(job) == 1));
    });
}

/// Attack 20: told "nothing changed", yet committed.
#[test]
fn who_leaves_was_never_taken_and_who_was_taken_does_not_leave() {
    check(|| {
        let (queue, work) = (Line::default(), Arc::new(Work::default()));
        let threads: Vec<_> = (0..4_u32)
            .map(|job| {
                let (queue, work) = (queue.clone(), work.clone());
                let patience = (job % 2 == 1).then(|| Instant::now().after(u64::from(job)));
                thread::spawn(move || work.commit(&queue, job, patience))
            })
            .collect();
        for (job, thread) in (0..).zip(threads) {
            match thread.join().unwrap() {
                Outcome::Done => assert_eq!(work.times(job), 1),
                Outcome::Left => assert_eq!((job % 2, work.times(job)), (1, 0)),
                Outcome::Forsaken => panic!("nobody panicked"),
            }
        }
    });
}

#[test]
fn who_wants_the_lead_alone_gets_it_and_nobody_else_leads_meanwhile() {
    check(|| {
        let (queue, work) = (Line::default(), Arc::new(Work::default()));
        let alone = {
            let (queue, work) = (queue.clone(), work.clone());
            thread::spawn(move || match queue.wait(None, None) {
                Waited::Leads(mut lead) => work.lead(|| {
                    assert!(lead.take().is_empty());
                    thread::yield_now();
                }),
                other => panic!("{other:?}"),
            })
        };
        let others: Vec<_> = (0..3)
            .map(|job| {
                let (queue, work) = (queue.clone(), work.clone());
                thread::spawn(move || work.commit(&queue, job, None))
            })
            .collect();
        alone.join().unwrap();
        for other in others {
            assert_eq!(other.join().unwrap(), Outcome::Done);
        }
    });
}

#[test]
fn a_leader_that_gives_up_or_dies_keeps_nobody_waiting() {
    check(|| {
        let (queue, work) = (Line::default(), Arc::new(Work::default()));
        let gives_up = {
            let queue = queue.clone();
            thread::spawn(move || drop::<Option<Lead<u32, u32>>>(lead(&queue)))
        };
        let dies = {
            let queue = queue.clone();
            thread::spawn(move || {
                // As a panic unwinds: the lead is dropped after it has taken, and before it answers.
                if let Some(mut lead) = lead(&queue) {
                    lead.take();
                }
            })
        };
        let others: Vec<_> = (0..2)
            .map(|job| {
                let (queue, work) = (queue.clone(), work.clone());
                thread::spawn(move || work.commit(&queue, job, None))
            })
            .collect();
        gives_up.join().unwrap();
        dies.join().unwrap();
        for (job, other) in (0..).zip(others) {
            match other.join().unwrap() {
                Outcome::Done => assert_eq!(work.times(job), 1),
                Outcome::Forsaken => assert_eq!(work.times(job), 0),
                Outcome::Left => panic!("it waits for ever"),
            }
        }
        assert!(matches!(queue.wait(Some(3), None), Waited::Leads(_)), "the line goes on");
    });
}

/// The lead, with a job that may be taken along by somebody else.
fn lead(queue: &Line) -> Option<Lead<u32, u32>> {
    match queue.wait(Some(3), None) {
        Waited::Leads(lead) => Some(lead),
        Waited::Answered(_) | Waited::Left => None,
    }
}
