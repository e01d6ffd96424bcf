//! The command `filepact`: updates many ordinary files as one.
//!
//! Data goes to stdout, messages to stderr, and the exit code says which promise holds
//! (`failure.rs`). With `--json` both are for machines: one JSON object, or one a line. Every verb
//! opens the store, which recovers it, does one thing through the public face of the library, and
//! closes it again.
//!
//! This library is the command, for its own binary and for the fuzzer of `batch`; programs use the
//! crate `filepact`.

mod args;
mod batch;
mod body;
mod demo;
mod event;
mod failure;
mod output;
mod pretty;
mod utc;
mod verbs;

use std::io::{BufRead, Write};
use std::process::ExitCode;

use filepact::Store;

use crate::failure::Failure;
use crate::output::Output;

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    let (cli, dir_is_given) = match args::parse() {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    let output = Output::new(cli.json);
    match verbs::run(&cli, dir_is_given, &output) {
        Ok(code) => ExitCode::from(code),
        // Whoever reads the data has seen enough: `filepact log | head`.
        Err(failure) if failure.is_closed_pipe() => ExitCode::from(failure.exit),
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit)
        }
    }
}

/// What `filepact batch` makes of its input, with the answers on `output`; the exit code.
pub fn batch(store: &Store, input: impl BufRead, output: impl Write) -> u8 {
    let note = args::NoteArgs { note: None };
    batch::run(store, input, output, &note).unwrap_or_else(|failure| failure.exit)
}

/// Help and version as clap shows them; a mistake as one JSON line where that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default();
        let failure = Failure::usage(message.strip_prefix("error: ").unwrap_or(message));
        Output::new(true).failure(&failure);
    } else {
        // A closed pipe is no reason to panic.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::USAGE))
}
