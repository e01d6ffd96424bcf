//! Calls to a file system, several at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// Does the same with each item, in at most so many threads, each with `worth_a_thread` items or more. The
/// answers are in the order of the items.
///
/// # Errors
/// The first error that there was; then it was not done with all of them.
///
/// # Panics
/// If `each` does.
pub fn with_each<T: Send, R: Send, E: Send>(
    most_threads: usize,
    worth_a_thread: usize,
    items: Vec<T>,
    each: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = most_threads.min(items.len() / worth_a_thread.max(1));
    if threads < 2 {
        return items.into_iter().map(each).collect();
    }
    let (rest, failed) = (Mutex::new(items.into_iter().enumerate()), AtomicBool::new(false));
    let next = || lock(&rest).next();
    let first_error = Mutex::new(None);
    let work = || {
        let mut done = Vec::new();
        while let Some((at, item)) = next().filter(|_| !failed.load(Ordering::Relaxed)) {
            match each(item) {
                Ok(answer) => done.push((at, answer)),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    // What others meet after it may be of its making.
                    lock(&first_error).get_or_insert(error);
                }
            }
        }
        done
    };
    let mut done = thread::scope(|scope| {
        // With fewer threads than were wanted it takes longer.
        let helper =
            || thread::Builder::new().name("filepact-help".into()).spawn_scoped(scope, work);
        let helpers: Vec<_> = (1..threads).map_while(|_| helper().ok()).collect();
        let own = work();
        helpers.into_iter().fold(own, |mut done, helper| {
            let more = helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            done.extend(more);
            done
        })
    });
    if let Some(error) = lock(&first_error).take() {
        return Err(error);
    }
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, answer)| answer).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::{Fs, OsFs};

    #[test]
    fn the_answers_are_in_order_whoever_has_given_them() {
        let fs = OsFs::open(&std::env::temp_dir()).unwrap();
        assert!(fs.threads() > 1);
        for count in [0, 1, 7, 8, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled =
                with_each(fs.threads(), 4, items.clone(), |item| Ok::<_, ()>(2 * item)).unwrap();
            assert_eq!(doubled, items.iter().map(|item| 2 * item).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_it() {
        let fs = OsFs::open(&std::env::temp_dir()).unwrap();
        let done = AtomicUsize::new(0);
        let answer = with_each(fs.threads(), 1, (0..100_000).collect(), |item| {
            done.fetch_add(1, Ordering::Relaxed);
            if item == 20 { Err("no") } else { Ok(()) }
        });
        assert_eq!(answer, Err("no"));
        assert!(done.into_inner() < 100_000);
    }
}
