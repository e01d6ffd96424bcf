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
    moved: Condvar,
}

#[derive(Debug)]
struct Line<J, A> {
    led: bool,
    tickets: u64,
    waiting: VecDeque<(Ticket, Option<J>)>,
    /// Answers that are not fetched yet; `None` where the leader went without one.
    answers: HashMap<Ticket, Option<A>>,
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
        Self { line: Mutex::new(line), moved: Condvar::new() }
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
        line.waiting.push_back((ticket, job));
        let mut waited = false;
        loop {
            if let Some(answer) = line.answers.remove(&ticket) {
                return Waited::Answered(answer);
            }
            let place = line.waiting.iter().position(|(waiting, _)| *waiting == ticket);
            if place == Some(0) && !line.led {
                line.led = true;
                let queue = Arc::clone(self);
                let pid = std::process::id();
                return Waited::Leads(Lead { queue, ticket, taken: Vec::new(), waited, pid });
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
                    drop(line);
                    self.moved.notify_all();
                    return Waited::Left;
                }
                (Some(left), _) => {
                    line = self
                        .moved
                        .wait_timeout(line, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
                (None, _) => {
                    line = self.moved.wait(line).unwrap_or_else(PoisonError::into_inner);
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
    taken: Vec<Ticket>,
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
        if matches!(line.waiting.front(), Some((ticket, None)) if *ticket == self.ticket) {
            line.waiting.pop_front();
            return jobs;
        }
        while matches!(line.waiting.front(), Some((_, Some(_)))) {
            if let Some((ticket, Some(job))) = line.waiting.pop_front() {
                self.taken.push(ticket);
                jobs.push((ticket, job));
            }
        }
        jobs
    }

    /// Answers whom it has taken.
    pub(crate) fn answer(&mut self, answers: impl IntoIterator<Item = (Ticket, A)>) {
        let mut line = self.queue.line();
        for (ticket, answer) in answers {
            self.taken.retain(|taken| *taken != ticket);
            line.answers.insert(ticket, Some(answer));
        }
        drop(line);
        self.queue.moved.notify_all();
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
        line.waiting.retain(|(ticket, _)| *ticket != self.ticket);
        for ticket in self.taken.drain(..).filter(|ticket| *ticket != self.ticket) {
            line.answers.insert(ticket, None);
        }
        line.answers.remove(&self.ticket);
        drop(line);
        self.queue.moved.notify_all();
    }
}
