//! What the command line may say.

use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use filepact::Version;

const AFTER_HELP: &str = "\
Examples:
  mkdir my-data && filepact -C my-data init
  echo '{\"cents\": 500}' | filepact -C my-data put accounts/ann.json
  filepact -C my-data get accounts/ann.json
  filepact demo                     # kill it 50 times and count the money

Paths of documents are relative to the store, whatever the current folder is.

Exit codes:
  0  done
  1  negative answer: no such document or edit; differs
  2  usage, invalid path
  3  conflict, or a precondition does not hold
  4  another process committed, or opened the store, for longer than the timeout
  5  damaged (also: an unclean `check`)
  6  the outcome of a commit is unknown until the store is opened again
  7  I/O, bad JSON, no store, newer format
  8  committed and durable, not yet at its path: do not repeat it";

/// Updates many ordinary files as one: all of them change or none does, durably.
#[derive(Debug, Parser)]
#[command(name = "filepact", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// The folder of the store
    #[arg(short = 'C', long = "directory", value_name = "DIR", env = "FILEPACT_DIR")]
    #[arg(default_value = ".", hide_default_value = true, global = true)]
    pub(crate) folder: PathBuf,

    /// Answers and errors for machines: JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// How long to wait for the commits of other processes; reading never waits for them
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    #[arg(global = true)]
    pub(crate) timeout: Duration,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make the folder a store; the files in it become documents as they are
    #[command(after_help = "\
Examples:
  mkdir my-data && filepact -C my-data init
  cd my-data && filepact init       # again: says that it is a store already, exit code 0")]
    Init,

    /// Write a document's bytes to stdout, exactly as they are
    #[command(after_help = "\
Examples:
  filepact get accounts/ann.json
  filepact get photo.jpg > copy.jpg
  filepact --json get accounts/ann.json   # {\"ok\":true,\"path\":...,\"version\":...,\"json\":{...}}

An absent document is exit code 1.")]
    Get(GetArgs),

    /// Write a document from a file or stdin, durably
    #[command(after_help = "\
Examples:
  echo '{\"cents\": 500}' | filepact put accounts/ann.json
  filepact put photo.jpg ~/photo.jpg --note 'the new one'
  filepact put config.json new.json --expect absent
  filepact put config.json new.json --expect h1:9f86d081884c7d659a2feaa0c55ad015

The bytes are kept exactly. `*.json` is checked first, for syntax and for duplicate keys. With
`--expect`, another content is exit code 3 and nothing has changed.")]
    Put(PutArgs),

    /// Add to the end of a document from a file or stdin, durably; make it if it is absent
    #[command(after_help = "\
Examples:
  echo '{\"paid\": 125}' | filepact append events.jsonl
  filepact append notes.txt more.txt --note 'what was said today'

The bytes are kept exactly; mind the newline at their end. Others may add to the document at the same
time, through filepact and without it. Nothing is no change.")]
    Append(AppendArgs),

    /// Remove documents: all of them or, if one is absent, none
    #[command(after_help = "\
Examples:
  filepact rm old.json
  filepact rm accounts/ann.json accounts/bob.json --note 'closed'")]
    Rm(RmArgs),

    /// Move a document to another path, where there must be none
    #[command(after_help = "\
Examples:
  filepact mv draft.json pages/first.json
  filepact mv photo.jpg photos/2026.jpg --note 'sorted'

The document keeps its mode and owner. A large one is linked, not copied. A document at the new path
is exit code 3 and nothing has changed.")]
    Mv(MvArgs),

    /// List the documents below a folder, with everything below it
    #[command(after_help = "\
Examples:
  filepact ls
  filepact ls accounts
  filepact --json ls | jq -r .path")]
    Ls(LsArgs),

    /// Run transactions from JSON lines on stdin: every line is answered by one line
    #[command(after_help = "\
Examples:
  filepact batch <<'.'
  {\"op\":\"put\",\"path\":\"a.json\",\"json\":{\"n\":1}}
  {\"op\":\"put\",\"path\":\"b.json\",\"json\":{\"n\":2}}
  .

  filepact batch <<'.'
  {\"op\":\"begin\"}
  {\"op\":\"get\",\"path\":\"a.json\"}
  {\"op\":\"expect\",\"path\":\"b.json\",\"version\":null}
  {\"op\":\"put\",\"path\":\"b.json\",\"text\":\"hello\\n\"}
  {\"op\":\"remove\",\"path\":\"a.json\"}
  {\"op\":\"commit\",\"note\":\"why\"}
  .

Operations: begin, get, expect, put and append (json, text or base64), remove, rename (path, to),
commit, rollback, watch. `json` is written with its keys in order and its numbers as they are: indented by
put, as one line by append; `text` and `base64` are written as they are, unchecked.

Without `begin` the whole input is one transaction, committed at its end and answered by one more
line; one that was begun and not committed is dropped at the end. A failed line aborts its
transaction: later lines answer `aborted` until `rollback` or a new `begin`. The exit code is that
of the first failure.

`watch` waits for the next transaction of anybody and answers it as `log` does, or `gap`; the next
`watch` goes on from there. `since` (a transaction) begins elsewhere; after `seconds` without one the
answer is `\"txn\":null`.")]
    Batch(BatchArgs),

    /// Show the transactions that the journal still holds, oldest first
    #[command(after_help = "\
Examples:
  filepact log
  filepact --json log | jq -r 'select(.outside) | .changes[].path'")]
    Log,

    /// Show every transaction when it is committed, by whatever process
    #[command(after_help = "\
Examples:
  filepact watch
  filepact --json watch | while read -r txn; do ./rebuild; done
  filepact watch --count 1 --seconds 60 && echo changed
  filepact --json watch --since 17               # what came after transaction 17, and what comes

Transactions come whole, in order, none twice. Where the journal does not reach back to where the watch
was, it says `gap`: look at all documents anew. With `--count`, exit code 1 if the time is over first.
After a backup was restored, or a power cut took `Buffered` transactions, others get the same numbers:
begin anew then, since `--since` cannot tell.")]
    Watch(WatchArgs),

    /// Make a consistent copy of all documents while others go on: a folder, or an archive
    #[command(after_help = "\
Examples:
  filepact snapshot ../backup/monday
  filepact snapshot /backup/monday.tar.gz
  filepact -C ../backup/monday check         # the copy is a store of its own, clean

OUT must not exist and may not lie in the store; it appears when it is whole and durable. Documents keep
mode, time and, where the system allows it, owner; a folder shares blocks with the store where the file
system can. A document that another program changes meanwhile is exit code 3: try again.")]
    Snapshot(SnapshotArgs),

    /// Show the store at a glance
    #[command(after_help = "\
Examples:
  filepact status
  filepact --json status | jq .journal_bytes

`txn` of a snapshot is the number of the last record that it sees, often that of a checkpoint.")]
    Status,

    /// Edits by other programs that a commit had to displace: list, show, compare, restore, drop
    #[command(after_help = "\
Examples:
  filepact rescued                               # all of them, the oldest first
  filepact rescued diff 12.1a2b3c4d              # what restoring it would change
  filepact rescued restore 12.1a2b3c4d
  filepact rescued drop accounts/ann.json --all

An edit is displaced, and kept in `.filepact/rescued/`, where a transaction that had not read it
replaced its document. EDIT is the number that the list shows, the path where the edit lies, or the
path of its document, if that has one only.")]
    #[command(args_conflicts_with_subcommands = true)]
    Rescued(RescuedArgs),

    /// Verify the journal, and hold the documents against it
    #[command(after_help = "\
Examples:
  filepact check && echo clean

Edits by other programs are shown and are no fault. Exit code 5 if anything is wrong.")]
    Check,

    /// Recover the store, and show what was found and done
    #[command(after_help = "\
Examples:
  filepact recover --dry-run        # what would be done; changes nothing
  filepact recover

Every verb recovers the store when it opens it; this one shows the report.")]
    Recover(RecoverArgs),

    /// Make all documents durable by themselves, so that older journal can go
    #[command(after_help = "\
Examples:
  filepact checkpoint

It also happens by itself, when the journal, or what it keeps of large documents, has grown, and when a
store is closed.")]
    Checkpoint,

    /// Kill a bank in the middle of its commits, many times, and count the money
    #[command(after_help = "\
Examples:
  filepact demo
  filepact demo --kills 200 --seed 7
  filepact -C /tmp/bank demo        # keeps the folder, to look at")]
    Demo(DemoArgs),

    /// The process that `demo` kills
    #[command(hide = true)]
    DemoWorker(WorkerArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RescuedArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<RescuedVerb>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RescuedVerb {
    /// List them: number, time of the edit, size in bytes, document
    #[command(after_help = "\
Examples:
  filepact rescued ls
  filepact rescued ls accounts
  filepact --json rescued ls | jq -r .at")]
    Ls(RescuedLsArgs),

    /// Write an edit's bytes to stdout, exactly as they are
    #[command(after_help = "\
Examples:
  filepact rescued show 12.1a2b3c4d
  filepact rescued show accounts/ann.json > mine.json")]
    Show(ShowArgs),

    /// Show what restoring an edit would change in the document
    #[command(after_help = "\
Examples:
  filepact rescued diff 12.1a2b3c4d
  filepact rescued diff 12.1a2b3c4d --to accounts/bob.json && echo same

Text as a unified diff, anything else by size and version. Exit code 0 if the document holds what the
edit holds, 1 if it differs or is absent.")]
    Diff(DiffArgs),

    /// Make an edit the content of its document, durably, or of another one
    #[command(after_help = "\
Examples:
  filepact rescued restore 12.1a2b3c4d --to accounts/ann.mine.json
  filepact rescued restore 12.1a2b3c4d --expect h1:9f86d081884c7d659a2feaa0c55ad015

Nothing is replaced that you have not named: a document that holds something else is exit code 3, and
the message says its version, for `--expect`. The document gets the edit's mode and owner. The edit
leaves `.filepact/rescued/` when it is durable as a document.")]
    Restore(RestoreArgs),

    /// Remove edits for good
    #[command(after_help = "\
Examples:
  filepact rescued drop 12.1a2b3c4d
  filepact rescued drop accounts/ann.json --all")]
    Drop(DropArgs),
}

#[derive(Debug, Default, Args)]
pub(crate) struct RescuedLsArgs {
    /// A document, or a folder of the store; all of it by default
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) path: String,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its number, the path where it lies, or its document
    pub(crate) edit: String,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Its number, the path where it lies, or its document
    pub(crate) edit: String,

    /// Another document to hold it against
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Its number, the path where it lies, or its document
    pub(crate) edit: String,

    /// Another document that gets its content
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<String>,

    /// The version of the document that is replaced, or `absent`
    #[arg(long, value_name = "VERSION|absent", value_parser = expectation)]
    pub(crate) expect: Option<Expectation>,

    #[command(flatten)]
    pub(crate) note: NoteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DropArgs {
    /// Their numbers, the paths where they lie, or their documents
    #[arg(required = true, value_name = "EDIT")]
    pub(crate) edits: Vec<String>,

    /// All edits that a name stands for, where there are several
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The document
    pub(crate) path: String,
}

#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    /// What a commit makes durable: the journal, with one sync; the files too, for readers that do not
    /// use filepact; or nothing until the end, or until the journal has grown
    #[arg(long, value_name = "WHAT", default_value = "journal")]
    pub(crate) durability: Durability,

    #[command(flatten)]
    pub(crate) note: NoteArgs,
}

/// The library's, as it is spelled on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Durability {
    Journal,
    Files,
    Buffered,
}

impl From<Durability> for filepact::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Journal => Self::Journal,
            Durability::Files => Self::Files,
            Durability::Buffered => Self::Buffered,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct AppendArgs {
    /// The document
    pub(crate) path: String,

    /// Where the bytes come from; `-` is stdin
    #[arg(default_value = "-", hide_default_value = true)]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) note: NoteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// The document
    pub(crate) path: String,

    /// Where its bytes come from; `-` is stdin
    #[arg(default_value = "-", hide_default_value = true)]
    pub(crate) file: PathBuf,

    /// The version that the document must have, or `absent`
    #[arg(long, value_name = "VERSION|absent", value_parser = expectation)]
    pub(crate) expect: Option<Expectation>,

    #[command(flatten)]
    pub(crate) note: NoteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// The documents
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<String>,

    #[command(flatten)]
    pub(crate) note: NoteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MvArgs {
    /// The document
    pub(crate) from: String,

    /// Its new path
    pub(crate) to: String,

    #[command(flatten)]
    pub(crate) note: NoteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Begin with what was committed after this transaction; with what comes from now on by default
    #[arg(long, value_name = "TXN")]
    pub(crate) since: Option<u64>,

    /// End after so many
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,

    /// End after this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) seconds: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// The folder to make, or an archive: `*.tar.gz`, `*.tgz`
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// A folder of the store; all of it by default
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) dir: String,
}

#[derive(Debug, Args)]
pub(crate) struct NoteArgs {
    /// Who and why, for the log
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// Show what would be done, and change nothing
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How often to kill
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) kills: u32,

    /// The same transfers and the same delays again
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Keep the temporary folder, to look at
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[arg(long)]
    pub(crate) seed: u64,
}

/// What `--expect` says of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectation(pub(crate) Option<Version>);

/// The command line, and whether it names the folder itself.
pub(crate) fn parse() -> Result<(Cli, bool), clap::Error> {
    let matches = Cli::command().try_get_matches()?;
    // A global argument is copied into the matches of every verb, with its source.
    let source = matches.value_source("folder");
    let cli = Cli::from_arg_matches(&matches)?;
    Ok((cli, source == Some(ValueSource::CommandLine)))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn expectation(text: &str) -> Result<Expectation, String> {
    if text == "absent" {
        return Ok(Expectation(None));
    }
    let version = text.parse().map_err(|error: filepact::InvalidVersion| error.to_string())?;
    Ok(Expectation(Some(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// All verbs, and the verbs of verbs.
    fn verbs() -> Vec<clap::Command> {
        let (mut verbs, mut open) = (Vec::new(), vec![Cli::command()]);
        while let Some(command) = open.pop() {
            for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
                open.push(verb.clone());
                verbs.push(verb.clone());
            }
        }
        verbs
    }

    #[test]
    fn no_verb_uses_the_name_of_a_global_argument_for_something_else() {
        let command = Cli::command();
        let global: Vec<_> = command.get_arguments().map(|arg| arg.get_id().clone()).collect();
        for verb in verbs() {
            for arg in verb.get_arguments() {
                assert!(!global.contains(arg.get_id()), "{}: {}", verb.get_name(), arg.get_id());
            }
        }
    }

    #[test]
    fn every_verb_shows_an_example() {
        for verb in verbs() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n  "), "{}", verb.get_name());
        }
    }

    #[test]
    fn seconds_may_be_fractions_and_never_negative() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["", "x", "-1", "1e99", "NaN"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
