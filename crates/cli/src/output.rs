//! Data to stdout, messages to stderr.

use std::io::{self, Write};

use filepact::{Committed, Rescued};
use serde::Serialize;

use crate::failure::Failure;

/// How this run speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// For machines.
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Writes a piece of data: as a JSON line, or as `text` shows it to a person.
    pub(crate) fn data<T: Serialize>(
        self,
        value: &T,
        text: impl Fn(&mut dyn Write, &T) -> io::Result<()>,
    ) -> Result<(), Failure> {
        self.all(std::iter::once(value), |out, value| text(out, value))
    }

    /// Writes many pieces of data, likewise.
    pub(crate) fn all<T: Serialize>(
        self,
        values: impl IntoIterator<Item = T>,
        text: impl Fn(&mut dyn Write, T) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let write = || {
            for value in values {
                if self.json {
                    json_line(&mut out, &value)?;
                } else {
                    text(&mut out, value)?;
                }
            }
            out.flush()
        };
        write().map_err(|error| Failure::output(&error))
    }

    /// Says something to a person. Who cannot be told does not stop the work.
    pub(crate) fn message(self, text: &str) {
        if !self.json {
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    /// Says something that a machine's log should show too.
    pub(crate) fn warning(self, text: &str) {
        let _ = if self.json {
            json_line(&mut io::stderr().lock(), &Warning { warning: text })
        } else {
            writeln!(anstream::stderr(), "{YELLOW}warning:{RESET} {text}")
        };
    }

    /// Edits of other programs that a commit has displaced are never passed over in silence.
    pub(crate) fn rescued(self, committed: &Committed) {
        for Rescued { path, at, .. } in &committed.rescued {
            self.warning(&format!(
                "`{path}` had been edited by another program; that edit is kept at `{at}`: see \
                 `filepact rescued`"
            ));
        }
    }

    /// Says what went wrong.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            let _ = json_line(&mut io::stderr().lock(), failure);
            return;
        }
        let mut err = anstream::stderr();
        let _ = writeln!(err, "{RED}filepact:{RESET} {}", failure.message);
        if let Some(note) = failure.note {
            let _ = writeln!(err, "  {note}");
        }
    }
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const RESET: &str = "\x1b[0m";

#[derive(Serialize)]
struct Warning<'a> {
    warning: &'a str,
}

/// One object, one line, one write.
pub(crate) fn json_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// "3 documents", "1 document".
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
