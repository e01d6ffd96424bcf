//! The verbs: each opens the store, does one thing and closes it.

mod absent;
mod documents;
mod log;
mod recover;
mod rescued;
mod snapshot;
mod store;

use std::io;

use filepact::{Error, Options, RecoveryProgress, RecoveryStep, Store};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::args::{Cli, Verb};
use crate::failure::{DONE, Failure, chain};
use crate::output::Output;
use crate::{batch, demo};

/// What fewer documents, or segments, take is over before a bar is read.
const WORTH_A_BAR: usize = 100;

/// Does what the command line asks for; the exit code.
pub(crate) fn run(cli: &Cli, dir_is_given: bool, output: &Output) -> Result<u8, Failure> {
    let output = *output;
    match &cli.verb {
        Verb::Init => store::init(cli, output),
        Verb::Get(args) => open(cli, output, |store| documents::get(cli, store, args, output)),
        Verb::Put(args) => open(cli, output, |store| documents::put(store, args, output)),
        Verb::Append(args) => open(cli, output, |store| documents::append(store, args, output)),
        Verb::Mv(args) => open(cli, output, |store| documents::rename(cli, store, args, output)),
        Verb::Rm(args) => open(cli, output, |store| documents::remove(cli, store, args, output)),
        Verb::Ls(args) => open(cli, output, |store| documents::list(store, args, output)),
        Verb::Batch(args) => open(cli, output, |store| {
            batch::run(store, io::stdin().lock(), io::stdout().lock(), &args.note)
        }),
        Verb::Log => open(cli, output, |store| log::log(store, output)),
        Verb::Watch(args) => open(cli, output, |store| log::watch(store, args, output)),
        Verb::Status => open(cli, output, |store| store::status(store, output)),
        Verb::Rescued(args) => {
            open(cli, output, |store| rescued::rescued(store, args.verb.as_ref(), output))
        }
        Verb::Snapshot(args) => open(cli, output, |store| snapshot::snapshot(store, args, output)),
        Verb::Check => open(cli, output, |store| store::check(store, output)),
        Verb::Recover(args) if args.dry_run => recover::examine(cli, output),
        Verb::Recover(_) => open(cli, output, |store| recover::recover(store, output)),
        Verb::Checkpoint => open(cli, output, |store| store::checkpoint(store, output)),
        Verb::Demo(args) => demo::run(dir_is_given.then_some(&cli.folder), args, output),
        Verb::DemoWorker(args) => demo::work(options(cli).open(&cli.folder)?, args),
    }
}

/// Opens the store, and shows how far its recovery is where that takes a while and somebody watches.
fn opened(cli: &Cli, options: Options) -> Result<Store, Error> {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    bar.set_style(style.expect("the template is sound"));
    let shown = bar.clone();
    let store = options.on_recovery(move |now| show_recovery(&shown, now)).open(&cli.folder);
    bar.finish_and_clear();
    store
}

fn show_recovery(bar: &ProgressBar, RecoveryProgress { step, done, of }: RecoveryProgress) {
    // What is over in a moment needs no bar.
    if of < WORTH_A_BAR {
        return;
    }
    bar.set_length(of as u64);
    bar.set_position(done as u64);
    if done == 0 {
        bar.set_message(match step {
            RecoveryStep::Journal => "segments of the journal read",
            RecoveryStep::Look => "documents looked at",
            RecoveryStep::Publish => "documents published",
            RecoveryStep::Sync => "documents being synced",
            RecoveryStep::Verify => "documents read back",
            _ => "documents recovered",
        });
    }
}

fn options(cli: &Cli) -> Options {
    let options = Store::options().create(false).lock_timeout(cli.timeout);
    match &cli.verb {
        Verb::Batch(args) => options.durability(args.durability.into()),
        _ => options,
    }
}

/// Opens the store, does `work` and closes the store.
fn open(
    cli: &Cli,
    output: Output,
    work: impl FnOnce(&Store) -> Result<u8, Failure>,
) -> Result<u8, Failure> {
    let store = opened(cli, options(cli))?;
    let done = work(&store);
    close(store, done.is_ok(), output);
    done
}

/// A close that fails takes nothing back: everything committed is in the journal.
fn close(store: Store, done: bool, output: Output) {
    match store.close() {
        Err(error) if done => output.warning(&format!(
            "the store was not closed cleanly, which takes nothing back; the next opening settles \
             it: {}",
            chain(&error)
        )),
        // Who has heard of the failure that stopped the handle need not hear of it twice.
        Ok(()) | Err(Error::Poisoned | _) => {}
    }
}

/// Done, and nothing else to say.
#[derive(Serialize)]
struct Done {
    ok: bool,
    /// The transaction, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    txn: Option<u64>,
    /// The version that the document has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<filepact::Version>,
}

impl Done {
    fn new() -> Self {
        Self { ok: true, txn: None, version: None }
    }

    /// Machines get an answer; for a person silence is one.
    fn say(&self, output: Output) -> Result<u8, Failure> {
        output.data(self, |_, _| Ok(()))?;
        Ok(DONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_of_a_hundred_documents_or_segments_has_a_bar() {
        let bar = ProgressBar::hidden();
        let tell = |step, done, of| {
            show_recovery(&bar, RecoveryProgress { step, done, of });
            (bar.position(), bar.length(), bar.message())
        };
        assert_eq!(tell(RecoveryStep::Journal, 1, 99), (0, None, String::new()));
        let journal = "segments of the journal read".to_owned();
        assert_eq!(tell(RecoveryStep::Journal, 0, 256), (0, Some(256), journal.clone()));
        assert_eq!(tell(RecoveryStep::Journal, 17, 256), (17, Some(256), journal));
        let looked = "documents looked at".to_owned();
        assert_eq!(tell(RecoveryStep::Look, 0, 1000), (0, Some(1000), looked));
    }
}
