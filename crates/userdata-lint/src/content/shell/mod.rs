//! Shell: whether `sh` or `bash` would refuse to read a script. Nothing is run, nothing is kept: the parser walks the text once and
//! says where it stops.
//!
//! It follows the grammar of POSIX and what bash adds. Where a shell's own answer depends on what ran before (aliases, `extglob`), or
//! where shells of different ages differ, the parser is unsure, and a fault after such a place is not reported: it accepts too much
//! rather than too little. What stands in here-documents and between backquotes is read when the script runs, so it is not judged here.
//!
//! To teach it a construct, add it to `compound.rs` (commands) or `word.rs` (quotes and expansions), with a line in the table of `tests.rs`.

mod compound;
mod grammar;
mod redirection;
mod word;

use diagnostics::source::Span;

/// Longer scripts are not parsed, in bytes: sixteen times what a provider takes as user-data.
pub(crate) const MOST_BYTES: usize = 1024 * 1024;
/// Constructs nested deeper than this are not parsed: a script by hand has a tenth of it.
const DEEPEST: usize = 100;

/// Whose grammar is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `dash`, and what else is the `sh` of Debian and Ubuntu.
    Posix,
    Bash,
}

/// The first place where a shell stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub span: Span,
    pub message: String,
    pub help: Option<String>,
    /// What was open there, and since where.
    pub opened: Option<(Span, String)>,
}

/// What is known of a script.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub fault: Option<Fault>,
    /// Here-documents that the script's end ends: their operator and delimiter. Only of scripts without a fault.
    pub unfinished: Vec<(Span, String)>,
    /// Commands that only bash has, and that other shells look for in vain when the script runs. Only of scripts without a fault.
    pub bash_only: Vec<(Span, &'static str)>,
}

/// Reads a script in one dialect.
pub(crate) fn parse(text: &str, dialect: Dialect) -> Outcome {
    if text.len() > MOST_BYTES {
        return Outcome::default();
    }
    let mut parser = Parser {
        text,
        bytes: text.as_bytes(),
        at: 0,
        dialect,
        depth: 0,
        // Only `((` is read twice; a text that makes it happen over and over is left alone.
        fuel: text.len().saturating_mul(16) + 4096,
        unsure: false,
        pending: Vec::new(),
        unfinished: Vec::new(),
        bash_only: Vec::new(),
        substitutions: 0,
    };
    match parser.script() {
        Ok(()) if parser.unsure => Outcome::default(),
        Ok(()) => Outcome { fault: None, unfinished: parser.unfinished, bash_only: parser.bash_only },
        Err(Stop::Fault(fault)) if !parser.unsure => Outcome { fault: Some(*fault), ..Outcome::default() },
        Err(_) => Outcome::default(),
    }
}

/// Why the parser stops before the end.
#[derive(Debug)]
enum Stop {
    Fault(Box<Fault>),
    /// Nothing is known: nested too deeply, or something that no two shells read alike.
    Unknown,
}

type Step<T = ()> = Result<T, Stop>;

/// A here-document whose text begins after the line.
#[derive(Debug, Clone)]
struct Heredoc {
    delimiter: Vec<u8>,
    /// `<<-`: tabs at the beginning of lines do not count.
    tabs: bool,
    quoted: bool,
    span: Span,
}

struct Parser<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    dialect: Dialect,
    depth: usize,
    fuel: usize,
    unsure: bool,
    pending: Vec<Heredoc>,
    unfinished: Vec<(Span, String)>,
    bash_only: Vec<(Span, &'static str)>,
    /// How many `$(` are open.
    substitutions: usize,
}

impl Parser<'_> {
    fn is_bash(&self) -> bool {
        self.dialect == Dialect::Bash
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn looking_at(&self, text: &str) -> bool {
        self.bytes[self.at.min(self.bytes.len())..].starts_with(text.as_bytes())
    }

    /// Takes a text if it stands here.
    fn take(&mut self, text: &str) -> bool {
        let found = self.looking_at(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// One step: bounds the work for texts that are read more than once.
    fn spend(&mut self) -> Step {
        self.fuel = self.fuel.checked_sub(1).ok_or(Stop::Unknown)?;
        Ok(())
    }

    /// Something inside something: bounds the depth.
    fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        if self.depth >= DEEPEST {
            return Err(Stop::Unknown);
        }
        self.depth += 1;
        let out = inside(self);
        self.depth -= 1;
        out
    }

    /// What stands here, for a message, and its place.
    fn found(&self) -> (Span, String) {
        let at = self.at.min(self.bytes.len());
        let rest = &self.bytes[at..];
        let length = match rest {
            [] => return (Span::at(at), "the end of the script".into()),
            [b'\n', ..] => return (Span::at(at), "the end of the line".into()),
            [b';', b';', ..] | [b'&', b'&', ..] | [b'|', b'|', ..] => 2,
            [b'(' | b')' | b';' | b'&' | b'|' | b'<' | b'>', ..] => 1,
            _ => rest.iter().take(40).take_while(|byte| !word::ends_word(**byte)).count().max(1),
        };
        let mut end = at + length;
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        let span = Span::new(at, end);
        (span, diagnostics::quoted(self.text.get(at..end).unwrap_or_default()))
    }

    fn fault<T>(&self, expected: &str, opened: Option<(Span, &str)>) -> Step<T> {
        let (span, found) = self.found();
        Err(stop(span, format!("expected {expected}, found {found}"), None, opened))
    }
}

/// Something was opened, and the script ends before it is closed.
fn unclosed<T>(opened: Span, what: &str, close: &str) -> Step<T> {
    let message = format!("{what} is not closed: the script ends without {close}");
    Err(stop(opened, message, None, None))
}

fn stop(span: Span, message: String, help: Option<&str>, opened: Option<(Span, &str)>) -> Stop {
    let opened = opened.map(|(span, what)| (span, format!("{what} begins here")));
    Stop::Fault(Box::new(Fault { span, message, help: help.map(str::to_owned), opened }))
}

#[cfg(test)]
mod tests;
