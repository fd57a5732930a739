//! Standard output and standard error: colour, `-q` and `-v`, and readers that go away. Text is escaped here, once: see
//! [`super::escape`].
//!
//! A closed pipe (`mkimg render | head`) is not an error: the remaining output is dropped, and the
//! command's own result decides the exit status. Any other failure to write (a full disk) is an
//! error.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};

use super::error::{ErrorKind, ExpectedError, Failure};
use super::escape::{escape, escape_json, escape_styled};
use super::redaction::Redaction;

/// `--format` of the commands that report findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    #[default]
    Human,
    Json,
    Github,
    Sarif,
}

impl From<Format> for diagnostics::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Human => Self::Human,
            Format::Json => Self::Json,
            Format::Github => Self::Github,
            Format::Sarif => Self::Sarif,
        }
    }
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// The output streams of a command.
#[derive(Debug)]
pub struct Terminal {
    color: Color,
    quiet: bool,
    verbose: u8,
    output_closed: AtomicBool,
    redaction: Redaction,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
struct StandardOutputError(io::Error);

impl ExpectedError for StandardOutputError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::System
    }
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();
const NOTE: Style = AnsiColor::Green.on_default().bold();

impl Terminal {
    #[must_use]
    pub fn new(color: Color, quiet: bool, verbose: u8) -> Self {
        Self { color, quiet, verbose, output_closed: AtomicBool::new(false), redaction: Redaction::default() }
    }

    /// The same terminal for a background task: prints everything, without colour, and redacts the
    /// same secrets.
    #[must_use]
    pub(super) fn for_task(&self) -> Self {
        Self { redaction: self.redaction.clone(), ..Self::new(Color::Never, false, 2) }
    }

    /// The secrets that are redacted on standard error.
    pub(super) const fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    /// Writes the command's result to standard output.
    pub fn print(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.print_raw(escape(text.as_ref()).as_bytes())
    }

    /// Writes text to which the program has added colours to standard output. The colours are
    /// removed if the output has none.
    pub fn print_styled(&self, text: &str) -> Result<(), Failure> {
        let stdout = AutoStream::new(io::stdout().lock(), self.choice(&io::stdout()));
        self.write(stdout, escape_styled(text).as_bytes())
    }

    /// Writes a value as one line of JSON to standard output.
    pub fn print_json(&self, json: impl std::fmt::Display) -> Result<(), Failure> {
        self.print_raw(escape_json(format!("{json}\n")).as_bytes())
    }

    /// Writes a report of findings, whose texts are escaped already.
    pub(super) fn print_report(&self, text: &str, format: Format) -> Result<(), Failure> {
        match format {
            Format::Human => self.print_styled(text),
            // Its lines are commands of the workflow.
            Format::Github => self.print_raw(text.as_bytes()),
            Format::Json | Format::Sarif => self.print_json(text.trim_end()),
        }
    }

    /// Writes a document to standard output, byte for byte.
    pub fn print_raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.write(io::stdout().lock(), bytes)
    }

    fn write(&self, mut output: impl Write, bytes: &[u8]) -> Result<(), Failure> {
        if self.output_closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let result = output.write_all(bytes).and_then(|()| output.flush());
        self.written(result)
    }

    fn written(&self, result: io::Result<()>) -> Result<(), Failure> {
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.output_closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                // Reported once: the remaining output cannot be written either.
                self.output_closed.store(true, Ordering::Relaxed);
                Err(StandardOutputError(error).into())
            }
        }
    }

    /// Flushes standard output.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        if self.output_closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.written(io::stdout().flush())
    }

    /// Prints an error on standard error, even with `-q`.
    pub fn error(&self, text: &str) {
        self.print_labelled(ERROR, "error", text);
    }

    /// Prints a warning on standard error, even with `-q`.
    pub fn warning(&self, text: &str) {
        self.print_labelled(WARNING, "warning", text);
    }

    /// Prints the next step on standard error, even with `-q`: it belongs to an error.
    pub fn help(&self, text: &str) {
        self.print_labelled(HELP, "help", text);
    }

    /// Prints on standard error what was done; not with `-q`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.print_labelled(NOTE, "note", text);
        }
    }

    /// Prints a detail on standard error; only with `-v`.
    pub fn detail(&self, text: &str) {
        if self.verbose > 0 {
            self.eprint(&format!("{}\n", indented(text)));
        }
    }

    /// Writes to standard error without a label; the text has its own line ends. Failures to write
    /// are ignored.
    pub fn eprint(&self, text: &str) {
        self.write_error(&escape(&self.redaction.clean(text)));
    }

    /// Writes text to which the program has added colours to standard error.
    pub fn eprint_styled(&self, text: &str) {
        self.write_error(&escape_styled(&self.redaction.clean(text)));
    }

    fn print_labelled(&self, style: Style, label: &str, text: &str) {
        let text = self.redaction.clean(text);
        self.write_error(&format!("{style}{label}:{style:#} {}\n", escape(&indented(&text))));
    }

    fn write_error(&self, text: &str) {
        let mut stderr = AutoStream::new(io::stderr().lock(), self.choice(&io::stderr()));
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }

    /// `-q`.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// How often `-v` was given.
    #[must_use]
    pub const fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// Whether progress may redraw lines on standard error.
    #[must_use]
    pub fn is_interactive(&self) -> bool {
        !self.quiet && io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Whether standard error gets colour.
    #[must_use]
    pub fn stderr_color(&self) -> bool {
        AutoStream::new(io::stderr(), self.choice(&io::stderr())).current_choice() != ColorChoice::Never
    }

    /// Whether standard output gets colour.
    #[must_use]
    pub fn stdout_color(&self) -> bool {
        AutoStream::new(io::stdout(), self.choice(&io::stdout())).current_choice() != ColorChoice::Never
    }

    /// `auto` also respects CLICOLOR_FORCE and NO_COLOR; the option overrides both.
    fn choice(&self, stream: &impl anstream::stream::RawStream) -> ColorChoice {
        match self.color {
            Color::Auto => AutoStream::choice(stream),
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        }
    }
}

/// A message in which only the first line begins at the margin: the others must not look like messages of their own.
fn indented(text: &str) -> Cow<'_, str> {
    if !text.contains('\n') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
            out.push_str(if line.is_empty() || line.starts_with("  ") { "" } else { "  " });
        }
        out.push_str(line);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::indented;

    #[test]
    fn only_the_first_line_of_a_message_begins_at_the_margin() {
        assert_eq!(indented("one"), "one");
        assert_eq!(indented("one\nerror: two\n  three\n\n"), "one\n  error: two\n  three\n\n");
    }
}
