//! The only way out: data to stdout, everything said about it to stderr.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::args::Global;
use crate::exit::Failure;
use crate::screen::{sanitize_json, sanitize_line};

const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Where output goes and how much of it there is.
#[derive(Debug, Clone)]
pub(crate) struct Out {
    /// For machines: JSON.
    pub(crate) json: bool,
    /// Nothing on stderr but errors.
    pub(crate) quiet: bool,
    /// Whether somebody looks at stdout.
    pub(crate) is_screen: bool,
}

impl Out {
    /// As the command line says.
    pub(crate) fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet, is_screen: io::stdout().is_terminal() }
    }

    /// Bytes to stdout, as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Text of ours to stdout; its colours go where colours are wanted. Remote parts of it are harmless already.
    pub(crate) fn text(&self, text: &str) -> io::Result<()> {
        let mut stdout = anstream::stdout().lock();
        writeln!(stdout, "{text}")?;
        stdout.flush()
    }

    /// One JSON document to stdout, laid out for reading.
    pub(crate) fn document<T: Serialize>(&self, document: &T) -> io::Result<()> {
        let text = serde_json::to_string_pretty(document)?;
        self.bytes(format!("{}\n", sanitize_json(&text)).as_bytes())
    }

    /// One JSON document to stdout, on one line.
    pub(crate) fn json_line<T: Serialize>(&self, document: &T) -> io::Result<()> {
        let text = serde_json::to_string(document)?;
        self.bytes(format!("{}\n", sanitize_json(&text)).as_bytes())
    }

    /// A line to stderr for people, unless they asked for quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            // Nobody is left to be told that stderr is gone.
            drop(writeln!(anstream::stderr().lock(), "{}", sanitize_line(text)));
        }
    }

    /// A line to stderr about something that went wrong, always.
    pub(crate) fn complain(&self, text: &str) {
        drop(writeln!(anstream::stderr().lock(), "{ERROR}error:{ERROR:#} {}", sanitize_line(text)));
    }

    /// Says why the program ends, and how.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        if !failure.text.is_empty() {
            self.complain(&failure.text);
        }
        failure.exit.into()
    }
}
