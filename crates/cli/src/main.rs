//! The command `filepact`; all of it is in the library beside this file.

use std::process::ExitCode;

fn main() -> ExitCode {
    filepact_cli::main()
}
