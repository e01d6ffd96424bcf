use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A store in a temporary folder.
pub(crate) struct Sandbox(pub(crate) TempDir);

/// What a run of the command said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// Succeeded, and said this.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        assert_eq!((self.code, self.text(), &*self.err), (0, text, ""));
    }

    /// Failed with this exit code, printed no data, and said why.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, why: &str) {
        assert_eq!(self.code, code, "{}", self.err);
        assert_eq!(self.text(), "");
        assert!(self.err.contains(why), "{:?} does not say {why:?}", self.err);
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_slice(&self.out).unwrap()
    }
}

impl Sandbox {
    /// A folder that is no store yet.
    pub(crate) fn bare() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn new() -> Self {
        let sandbox = Self::bare();
        assert_eq!(sandbox.run(&["init"]).code, 0);
        sandbox
    }

    /// With two documents: `a.json` and `dir/b.txt`.
    pub(crate) fn with_documents() -> Self {
        let sandbox = Self::new();
        sandbox.put("a.json", "{\"n\": 1}\n").says("");
        sandbox.put("dir/b.txt", "hello\n").says("");
        sandbox
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_filepact"));
        command.env_remove("FILEPACT_DIR").arg("-C").arg(self.0.path()).args(args);
        command
    }

    /// The command under a limit of the shell's `ulimit`.
    pub(crate) fn limited(&self, limit: &str, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_filepact"), "-C"]);
        command.env_remove("FILEPACT_DIR").arg(self.0.path()).args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.feed(args, "")
    }

    pub(crate) fn feed(&self, args: &[&str], input: impl AsRef<[u8]>) -> Ran {
        feed(self.command(args), input.as_ref())
    }

    pub(crate) fn put(&self, path: &str, content: &str) -> Ran {
        self.feed(&["put", path], content)
    }

    /// Starts a `batch`, commits these lines, and kills it before it can close the store.
    pub(crate) fn commit_and_kill(&self, lines: &[&str]) {
        let mut batch = Talk::start(self);
        assert_eq!(batch.say(r#"{"op":"begin"}"#)["ok"], true);
        for line in lines {
            assert_eq!(batch.say(line)["ok"], true);
        }
        assert!(batch.say(r#"{"op":"commit"}"#)["txn"].is_u64());
        batch.child.kill().unwrap();
        batch.child.wait().unwrap();
    }

    /// Every file of the folder, the journal and all, with its content.
    pub(crate) fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut pending = vec![self.0.path().to_owned()];
        while let Some(dir) = pending.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let kind = path.symlink_metadata().unwrap().file_type();
                if kind.is_dir() {
                    pending.push(path);
                } else {
                    let bytes = if kind.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
                    files.insert(path, bytes);
                }
            }
        }
        files
    }

    /// Every file outside `.filepact`.
    pub(crate) fn documents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let own = self.path(".filepact");
        self.everything().into_iter().filter(|(path, _)| !path.starts_with(&own)).collect()
    }
}

pub(crate) fn feed(mut command: Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Apart, so that neither side waits for the other. Who does not read it is no failure here.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!err.contains("panicked"), "{err}");
    Ran { code: output.status.code().unwrap(), out: output.stdout, err }
}

/// A `batch` that is spoken to line by line.
pub(crate) struct Talk {
    pub(crate) child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Talk {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.command(&["batch"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    pub(crate) fn say(&mut self, line: &str) -> Value {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
