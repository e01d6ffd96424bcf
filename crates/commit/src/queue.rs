//! C2, among the threads of a handle: one leads, the others' commits go with it.
//!
//! Who comes gets a place at the end of the line. Who stands at its head while nobody leads becomes
//! the leader; once it has the writer lock it takes everybody who waits in the line, and answers for
//! them. Work that cannot be shared waits in the same line, and is led alone.

use std::collections::{HashMap, VecDeque};

use super::sync::{Arc, Condvar, Instant, Mutex, MutexGuard, PoisonError};

/// Where threads wait: with a job that any leader can do for them, or for the lead itself.
#[derive(Debug)]
pub(crate) struct Queue<J, A> {
    line: Mutex<Line<J, A>>,
}

#[derive(Debug)]
struct Line<J, A> {
    led: bool,
    tickets: u64,
    waiting: VecDeque<Waiting<J>>,
    /// Answers that are not fetched yet; `None` where the leader went without one.
    answers: HashMap<Ticket, Option<A>>,
}

/// A thread in the line.
#[derive(Debug)]
struct Waiting<J> {
    ticket: Ticket,
    job: Option<J>,
    /// Its own, so that nobody is woken for nothing.
    woken: Arc<Condvar>,
}

/// A place in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

/// How waiting ended.
#[derive(Debug)]
pub(crate) enum Waited<J, A> {
    /// It is for this thread to lead.
    Leads(Lead<J, A>),
    /// A leader has answered; with `None` it panicked after it had taken the job.
    Answered(Option<A>),
    /// The time is over, and no leader has taken the job or ever will.
    Left,
}

impl<J, A> Default for Queue<J, A> {
    fn default() -> Self {
        let line =
            Line { led: false, tickets: 0, waiting: VecDeque::new(), answers: HashMap::new() };
        Self { line: Mutex::new(line) }
    }
}

impl<J, A> Line<J, A> {
    /// Whoever stands at the head leads next, if nobody does.
    fn wake_head(&self) {
        if let Some(head) = self.waiting.front().filter(|_| !self.led) {
            head.woken.notify_one();
        }
    }
}

impl<J, A> Queue<J, A> {
    /// Waits in the line until `deadline` (`None` is for ever). Without a job the thread leads, or
    /// leaves.
    pub(crate) fn wait(
        self: &Arc<Self>,
        job: Option<J>,
        deadline: Option<Instant>,
    ) -> Waited<J, A> {
        let mut line = self.line();
        let ticket = Ticket(line.tickets);
        line.tickets += 1;
        let woken = Arc::new(Condvar::new());
        line.waiting.push_back(Waiting { ticket, job, woken: Arc::clone(&woken) });
        let mut waited = false;
        loop {
            if let Some(answer) = line.answers.remove(&ticket) {
                return Waited::Answered(answer);
            }
            let place = line.waiting.iter().position(|waiting| waiting.ticket == ticket);
            if place == Some(0) && !line.led {
                line.led = true;
                let queue = Arc::clone(self);
                let pid = std::process::id();
                return Waited::Leads(Lead { queue, ticket, taken: HashMap::new(), waited, pid });
            }
            waited = true;
            // Who was taken waits for the answer, however long it takes: the job may be done.
            let left = deadline
                .filter(|_| place.is_some())
                .map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match (left, place) {
                (Some(left), Some(place)) if left.is_zero() => {
                    // Leaving is one step, under the same lock as being taken.
                    line.waiting.remove(place);
                    line.wake_head();
                    return Waited::Left;
                }
                (Some(left), _) => {
                    line = woken.wait_timeout(line, left).unwrap_or_else(PoisonError::into_inner).0;
                }
                (None, _) => {
                    line = woken.wait(line).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// No thread panics while it holds this.
    fn line(&self) -> MutexGuard<'_, Line<J, A>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lead of the line. It ends on drop, also by a panic: then nobody waits for an answer that
/// never comes.
#[derive(Debug)]
#[must_use]
pub(crate) struct Lead<J, A> {
    queue: Arc<Queue<J, A>>,
    ticket: Ticket,
    /// Whom this leader has taken and not answered yet.
    taken: HashMap<Ticket, Arc<Condvar>>,
    waited: bool,
    pid: u32,
}

impl<J, A> Lead<J, A> {
    /// The leader's own ticket.
    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Whether the lead did not come at once.
    pub(crate) fn has_waited(&self) -> bool {
        self.waited
    }

    /// Takes everybody from the head of the line to the first who wants the lead alone. A leader
    /// who does takes only itself.
    pub(crate) fn take(&mut self) -> Vec<(Ticket, J)> {
        let mut line = self.queue.line();
        let mut jobs = Vec::new();
        if line.waiting.front().is_some_and(|head| head.ticket == self.ticket && head.job.is_none())
        {
            line.waiting.pop_front();
            return jobs;
        }
        while line.waiting.front().is_some_and(|head| head.job.is_some()) {
            if let Some(Waiting { ticket, job: Some(job), woken }) = line.waiting.pop_front() {
                self.taken.insert(ticket, woken);
                jobs.push((ticket, job));
            }
        }
        jobs
    }

    /// Answers whom it has taken.
    pub(crate) fn answer(&mut self, answers: impl IntoIterator<Item = (Ticket, A)>) {
        let mut answered = Vec::new();
        let mut line = self.queue.line();
        for (ticket, answer) in answers {
            line.answers.insert(ticket, Some(answer));
            answered.extend(self.taken.remove(&ticket));
        }
        // Or they would wake only to wait for the line's own lock.
        drop(line);
        answered.iter().for_each(|woken| woken.notify_one());
    }

    /// The answer to the leader's own job.
    pub(crate) fn own_answer(&mut self) -> Option<A> {
        self.queue.line().answers.remove(&self.ticket).flatten()
    }
}

impl<J, A> Drop for Lead<J, A> {
    fn drop(&mut self) {
        // In a child of fork nobody waits, and the line's own lock may be held for good.
        if std::process::id() != self.pid {
            return;
        }
        let mut line = self.queue.line();
        line.led = false;
        // A leader who never took itself leaves the line; nobody else could have taken it.
        line.waiting.retain(|waiting| waiting.ticket != self.ticket);
        for (ticket, woken) in self.taken.drain() {
            line.answers.insert(ticket, None);
            woken.notify_one();
        }
        line.answers.remove(&self.ticket);
        line.wake_head();
    }
}
