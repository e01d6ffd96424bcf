//! One input of the fuzzer, without the fuzzer.
//!
//! `fuzz-input run TARGET FILE...` runs stored inputs, `fuzz-input explain TARGET FILE` shows what one
//! says, `fuzz-input seeds` writes the seeds of all targets anew.

#![allow(clippy::disallowed_methods, reason = "inputs are files beside the tests")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use filepact_tests::fuzz::{TARGETS, Target};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words {
        ["seeds"] => TARGETS.iter().for_each(write_seeds),
        ["explain", name, file] => println!("{}", (target(name).explain)(&read(file))),
        ["run", name, ref files @ ..] if !files.is_empty() => {
            for file in files {
                println!("{file}");
                (target(name).run)(&read(file));
            }
        }
        _ => {
            eprintln!("usage: fuzz-input run TARGET FILE... | explain TARGET FILE | seeds");
            eprintln!("targets: {}", TARGETS.map(|target| target.name).join(" "));
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn target(name: &str) -> Target {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("no target `{name}`"))
}

fn read(file: &str) -> Vec<u8> {
    std::fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn write_seeds(target: &Target) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target.name);
    std::fs::create_dir_all(&folder).expect("a folder of the repository");
    for (name, bytes) in (target.seeds)() {
        std::fs::write(Path::new(&folder).join(name), bytes).expect("a file of the repository");
    }
}
