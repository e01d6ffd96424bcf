//! What the fuzzer feeds, without the fuzzer: every stored input, and generated ones.

#![allow(clippy::disallowed_methods, reason = "stored inputs lie beside the tests")]

use std::panic::catch_unwind;
use std::path::PathBuf;

use filepact_tests::fuzz::{TARGETS, Target};

/// The stored inputs of a target: seeds, and past findings.
fn stored(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target.name);
    let entries = std::fs::read_dir(&folder).expect("a folder of the repository");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.sort();
    let read = |path: PathBuf| (path.clone(), std::fs::read(path).expect("it can be read"));
    files.into_iter().map(read).collect()
}

/// Runs an input; a panic says how to run it again.
fn run(target: &Target, input: &[u8], name: &str) {
    if let Err(panic) = catch_unwind(|| (target.run)(input)) {
        let file = std::env::temp_dir().join(format!("{}-finding", target.name));
        std::fs::write(&file, input).expect("a temporary file");
        eprintln!(
            "{name}: cargo run -p filepact-tests --bin fuzz-input -- run {} {}",
            target.name,
            file.display()
        );
        std::panic::resume_unwind(panic);
    }
}

fn run_stored(target: &Target, at_least: usize) {
    let inputs = stored(target);
    assert!(inputs.len() >= at_least, "{}: {} stored inputs", target.name, inputs.len());
    for (path, input) in inputs {
        run(target, &input, &path.display().to_string());
    }
}

/// How an input that is stored is changed: where, in which way, by which byte.
type Edits = Vec<(u16, u8, u8)>;

/// Bytes that quickcheck draws, and a stored input that it changes.
fn run_generated(target: &Target, bytes: &[u8], seed: usize, edits: &Edits) {
    run(target, bytes, "generated");
    let seeds = stored(target);
    let mut changed = seeds[seed % seeds.len()].1.clone();
    for (at, how, byte) in edits.iter().copied().take(6) {
        let at = usize::from(at) % (changed.len() + 1);
        match how % 3 {
            0 => changed.insert(at, byte),
            1 if at < changed.len() => changed[at] = byte,
            _ if at < changed.len() => drop(changed.remove(at)),
            _ => changed.push(byte),
        }
    }
    run(target, &changed, "changed");
}

macro_rules! targets {
    ($($name:ident: $at_least:literal stored, $tests:literal generated;)*) => {
        $(mod $name {
            use filepact_tests::fuzz::$name::TARGET;
            use quickcheck::{Gen, QuickCheck};

            #[test]
            fn every_stored_input() {
                super::run_stored(&TARGET, $at_least);
            }

            #[test]
            fn generated_inputs() {
                fn property(bytes: Vec<u8>, seed: usize, edits: super::Edits) -> bool {
                    super::run_generated(&TARGET, &bytes, seed, &edits);
                    true
                }
                let property: fn(Vec<u8>, usize, super::Edits) -> bool = property;
                QuickCheck::new().tests($tests).rng(Gen::new(200)).quickcheck(property);
            }
        })*

        #[test]
        fn every_target_is_run() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($name)),*]);
        }
    };
}

targets! {
    batch_input: 10 stored, 400 generated;
    doc_path: 10 stored, 1_000 generated;
    journal_scan: 10 stored, 1_000 generated;
    record_line: 10 stored, 2_000 generated;
    recovery_tree: 10 stored, 150 generated;
    transaction_crash: 10 stored, 100 generated;
}
