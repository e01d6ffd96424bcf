//! Another process, to be killed at a known step.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{self, Child, ChildStdout, Command, Stdio};

/// This program again. It is killed when this is dropped.
pub(crate) struct Other {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Other {
    pub(crate) fn start(pattern: &str, step: &str, folder: &Path) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["other", pattern, step]).arg(folder);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        Ok(Self { child, said })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it says next; empty when it has ended.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// As `kill -9`: nothing of it runs any more.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Starts another process, and kills it as soon as it says that it has come to `step`.
pub(crate) fn killed_at(pattern: &str, step: &str, folder: &Path) -> io::Result<()> {
    let mut other = Other::start(pattern, step, folder)?;
    match other.line()?.as_str() {
        "here" => other.kill(),
        said => Err(io::Error::other(format!("the other process said {said:?}"))),
    }
}

/// In the other process: says so, and goes no further.
pub(crate) fn stop_here() -> ! {
    println!("here");
    // Ends when the first process does.
    let _ = io::stdin().read_line(&mut String::new());
    process::exit(1)
}
