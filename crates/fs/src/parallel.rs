//! Calls that wait for the disk, several at a time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::Fs;

/// How many items a thread takes at a time.
const AT_A_TIME: usize = 8;

/// Does the same with each item, in as many threads as the file system has [use](Fs::threads) for. The answers
/// are in the order of the items.
///
/// # Errors
/// The first error that there was; then it was not done with all of them.
///
/// # Panics
/// If `each` does.
pub fn with_each<T: Sync, R: Send, E: Send>(
    fs: &dyn Fs,
    items: &[T],
    each: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = fs.threads().min(items.len().div_ceil(AT_A_TIME));
    if threads < 2 {
        return items.iter().map(each).collect();
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let begin = next.fetch_add(AT_A_TIME, Ordering::Relaxed);
            let Some(rest) = items.get(begin..).filter(|rest| !rest.is_empty()) else { break };
            let answers: Result<Vec<R>, E> = rest.iter().take(AT_A_TIME).map(&each).collect();
            match answers {
                Ok(answers) => done.push((begin, answers)),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(done)
    };
    let mut done = thread::scope(|scope| {
        // With fewer threads than were wanted it takes longer.
        let helper =
            || thread::Builder::new().name("filepact-help".into()).spawn_scoped(scope, work);
        let helpers: Vec<_> = (1..threads).map_while(|_| helper().ok()).collect();
        let own = work();
        helpers.into_iter().fold(own, |done, helper| {
            let more = helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let (mut done, more) = (done?, more?);
            done.extend(more);
            Ok(done)
        })
    })?;
    done.sort_unstable_by_key(|(begin, _)| *begin);
    Ok(done.into_iter().flat_map(|(_, answers)| answers).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OsFs;

    #[test]
    fn the_answers_are_in_order_whoever_has_given_them() {
        let fs = OsFs::open(&std::env::temp_dir()).unwrap();
        assert!(fs.threads() > 1);
        for count in [0, 1, AT_A_TIME, AT_A_TIME + 1, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = with_each(&fs, &items, |item| Ok::<_, ()>(2 * item)).unwrap();
            assert_eq!(doubled, items.iter().map(|item| 2 * item).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_it() {
        let fs = OsFs::open(&std::env::temp_dir()).unwrap();
        let items: Vec<usize> = (0..100_000).collect();
        let done = AtomicUsize::new(0);
        let answer = with_each(&fs, &items, |item| {
            done.fetch_add(1, Ordering::Relaxed);
            if *item == 20 { Err("no") } else { Ok(()) }
        });
        assert_eq!(answer, Err("no"));
        assert!(done.into_inner() < items.len());
    }
}
