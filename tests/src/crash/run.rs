//! Stories on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use filepact_simfs::Profile;

use crate::crash::counts::Counts;
use crate::crash::explore::{Effort, Failure, explore};
use crate::crash::suite::story;

/// What running stories came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was tried.
    pub counts: Counts,
    /// What was wrong: at most one in a story and profile.
    pub failures: Vec<Failure>,
}

/// Runs these stories, each with its profile, until all are done or there were `enough` recoveries.
///
/// `after` is told of each story that is done, by name, and of what was wrong with it.
pub fn run(
    stories: &[(String, Profile)],
    effort: Effort,
    enough: u64,
    after: impl Fn(&str, &Counts, Option<&Failure>) + Sync,
) -> Outcome {
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Outcome::default());
    let work = || {
        while let Some((name, profile)) = stories.get(next.fetch_add(1, Ordering::Relaxed)) {
            let story = story(name).expect("stories are chosen from those that there are");
            let (counts, result) = explore(&story, *profile, effort);
            after(name, &counts, result.as_ref().err());
            let mut total = total.lock().expect("no other thread has panicked");
            total.counts += counts;
            total.failures.extend(result.err());
            if total.counts.recoveries() >= enough {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    total.into_inner().expect("no thread has panicked")
}
