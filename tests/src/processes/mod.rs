//! Several real processes share a store on a real disk, and are killed.
//!
//! One process, the supervisor, starts others, the workers: the same program with the word `worker`
//! first. What workers do they note outside the store, so that what was acknowledged is known
//! whoever dies. Each scenario judges something else:
//!
//! - [`history`]: is everything that anybody read and wrote explained by one order of commits?
//! - [`plain`]: what does a program find that opens the documents without filepact?
//! - [`storm`]: is anything lost when processes are killed and stopped at every moment?
//! - [`sums`]: is every snapshot one moment, and every watch complete?
//! - [`held`]: what does a snapshot cost that is held over many commits?
//! - [`four`]: do four processes commit as much as one, and each its share?

mod arguments;
pub mod crew;
pub mod four;
pub mod held;
pub mod history;
mod locks;
pub mod plain;
pub(crate) mod random;
pub(crate) mod recovery;
mod scratch;
pub mod storm;
pub mod sums;

pub use arguments::Arguments;

/// What a scenario or a worker ends with: nothing, or what went wrong in words.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Runs a worker: `arguments` are those after the word `worker`.
pub fn work(arguments: &[String]) -> Outcome {
    let (scenario, rest) = arguments.split_first().ok_or("a worker needs a scenario")?;
    match scenario.as_str() {
        "history" => history::work(rest),
        "plain-readers" => plain::work(rest),
        "storm" => storm::work(rest),
        "sums" => sums::work(rest),
        "four" => four::work(rest),
        other => Err(format!("no scenario has the name {other}").into()),
    }
}
