//! The copy of the tree that is mutated, and its build.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::run::Binary;
use super::{Mutation, weave};

/// The packages whose tests are run, beside those that cross crates.
const PACKAGES: [&str; 6] = [
    "filepact-fs",
    "filepact-journal",
    "filepact-commit",
    "filepact-recovery",
    "filepact",
    "filepact-tests",
];

/// Makes the copy of `root` in `folder` with all mutations woven in, or brings it up to date: what
/// has not changed is not written again, so that it is not built again.
///
/// # Errors
/// What cannot be read or written, or which mutation does not fit.
pub fn copy(root: &Path, folder: &Path, mutations: &[Mutation]) -> Result<(), String> {
    let mut wanted = BTreeSet::new();
    for path in files_in(root, Path::new(""))? {
        let name = path.to_string_lossy().into_owned();
        let bytes = read(&root.join(&path))?;
        let of_file = (1..).zip(mutations).filter(|(_, mutation)| mutation.file == name);
        let mut of_file = of_file.peekable();
        let bytes = if of_file.peek().is_some() || name == weave::QUESTION_PARENT {
            let text = String::from_utf8(bytes).map_err(|error| format!("{name}: {error}"))?;
            let mut woven = weave::weave(&name, &text, of_file)?;
            if name == weave::QUESTION_PARENT {
                woven.push_str(weave::QUESTION_MODULE);
            }
            woven.into_bytes()
        } else {
            bytes
        };
        put(&folder.join(&path), &bytes)?;
        wanted.insert(path);
    }
    put(&folder.join(weave::QUESTION_FILE), weave::question_source().as_bytes())?;
    wanted.insert(weave::QUESTION_FILE.into());
    for path in files_in(folder, Path::new(""))? {
        if !wanted.contains(&path) {
            fs::remove_file(folder.join(&path)).map_err(|error| format!("{path:?}: {error}"))?;
        }
    }
    for mutation in mutations {
        if !wanted.contains(Path::new(&mutation.file)) {
            return Err(format!("`{}`: there is no {}", mutation.name, mutation.file));
        }
    }
    Ok(())
}

/// All files below `dir` that belong to the tree.
fn files_in(root: &Path, dir: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("{dir:?}: {error}");
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(dir)).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        // At the root alone: a stored store has its own folder, whose name begins with a dot.
        let is_aside = dir.as_os_str().is_empty() && name.to_string_lossy().starts_with('.');
        if name == "target" || is_aside {
            continue;
        }
        let path = dir.join(name);
        match entry.file_type().map_err(unreadable)?.is_dir() {
            true => files.extend(files_in(root, &path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{path:?}: {error}"))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, bytes)).map_err(|error| format!("{path:?}: {error}"))
}

/// What cargo says of a test binary that it has built.
#[derive(Deserialize)]
struct Artifact {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    executable: Option<PathBuf>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds the tests of the copy, and returns their binaries.
///
/// # Errors
/// What cargo says, if the mutated tree does not compile.
pub fn build(folder: &Path, target: &Path) -> Result<Vec<Binary>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(folder).args(["test", "--no-run", "--tests", "--quiet"]);
    command.arg("--message-format=json-render-diagnostics").arg("--target-dir").arg(target);
    command.args(PACKAGES.iter().flat_map(|package| ["-p", package]));
    // A mutation leaves things unused.
    command.env("RUSTFLAGS", "--cap-lints=allow").stderr(Stdio::inherit());
    // What a build that was interrupted leaves of its increments, no later one can link.
    command.env("CARGO_INCREMENTAL", "0");
    let output = command.output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err("the mutated tree does not compile".to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut binaries = Vec::new();
    for line in text.lines() {
        let Ok(artifact) = serde_json::from_str::<Artifact>(line) else { continue };
        let Artifact { reason, executable, profile, .. } = artifact;
        let (Some(manifest), Some(target)) = (artifact.manifest_path, artifact.target) else {
            continue;
        };
        let is_test = reason == "compiler-artifact" && profile.is_some_and(|profile| profile.test);
        let (Some(path), true) = (executable, is_test) else { continue };
        let package = manifest.parent().unwrap_or(folder).to_owned();
        binaries.extend(Binary::new(package, &target.name, &target.kind, path));
    }
    // Unit tests first, the lowest layer that can tell; at the end what real processes do by chance.
    let rank = |binary: &Binary| match binary.name.as_str() {
        "" => 1,
        "fork" | "on_disk" => 2,
        _ => 0,
    };
    binaries.sort_by_key(|binary| (rank(binary), binary.name.clone()));
    Ok(binaries)
}
