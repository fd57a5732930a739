//! Parses shell scripts: reports syntax errors and lists the simple commands. Nothing is executed.
//!
//! The parser follows the POSIX grammar and bash's extensions. Where the result depends on the
//! state of the shell (aliases, `extglob`) or on its version, the parser is unsure and reports no
//! error after that point: it accepts too much rather than too little. Here-documents and
//! backquotes are parsed by the shell at run time, so they are not checked.
//!
//! After an error, parsing continues on the next line, to find the remaining commands.
//!
//! To support a construct, add it to `grammar.rs` (lists, simple commands), `compound.rs` (`if`,
//! loops, functions) or `word.rs` (quotes, expansions, redirections), with a line in the tables of
//! `tests.rs`.

mod command;
mod compound;
mod grammar;
mod word;

use diagnostics::source::Span;

pub(crate) use command::{FileOutput, Input, SimpleCommand, commands, commands_of_list};

/// Larger scripts are not parsed. The limit is 16 times what a provider accepts.
pub(crate) const MAX_SCRIPT_BYTES: usize = 1024 * 1024;
/// Scripts with deeper nesting are not parsed.
const MAX_DEPTH: usize = 100;
/// Maximum number of commands that are collected.
const MAX_COMMANDS: usize = 2_000;

/// The program that runs a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interpreter {
    /// dash on Debian and Ubuntu, bash elsewhere.
    Sh,
    Dash,
    /// BusyBox's shell, which supports a part of bash's syntax.
    Ash,
    Bash,
}

impl Interpreter {
    /// The interpreter by the name or path of a program.
    pub(crate) fn from_program(name: &str) -> Option<Self> {
        match name.rsplit('/').next().unwrap_or_default() {
            "sh" => Some(Self::Sh),
            "dash" => Some(Self::Dash),
            "ash" => Some(Self::Ash),
            "bash" => Some(Self::Bash),
            _ => None,
        }
    }

    /// The interpreter by the first line of a script; `None` for others.
    pub(crate) fn from_script(text: &str) -> Option<Self> {
        let line = text.strip_prefix("#!")?.lines().next()?;
        let mut words = line.split_ascii_whitespace();
        let program = words.next()?;
        if program.ends_with("/env") {
            let program = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
            return Self::from_program(program);
        }
        Self::from_program(program)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// dash, and other POSIX shells.
    Posix,
    Bash,
}

/// The first syntax error of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShellError {
    pub span: Span,
    pub message: String,
    pub help: Option<String>,
    /// The open construct, and where it begins.
    pub opened: Option<(Span, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HereDocument {
    /// The operator and the delimiter.
    pub span: Span,
    pub delimiter: String,
    /// Whether the delimiter is quoted, so that nothing is expanded.
    pub quoted: bool,
    /// Whether leading tabs are removed (`<<-`).
    strips_tabs: bool,
    pub body: Span,
    /// Whether the script contains the final delimiter.
    pub is_closed: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Script<'t> {
    pub error: Option<ShellError>,
    /// Commands, operators and options that only bash has; other shells fail at them at run time.
    /// Empty if the script is not understood.
    pub bash_only: Vec<(Span, &'t str)>,
    pub here_documents: Vec<HereDocument>,
    /// Whether the whole script was understood.
    pub is_understood: bool,
    /// The commands in order, without those in `$(…)`.
    pub commands: Vec<SimpleCommand<'t>>,
}

#[derive(Debug, Default)]
pub(crate) struct ParsedScript<'t> {
    pub script: Script<'t>,
    /// The error of a POSIX shell, if bash accepts the script and `sh` may be either.
    pub posix_error: Option<ShellError>,
}

/// Parses a script for its interpreter. For `sh`, it is enough if dash or bash accepts it.
pub(crate) fn read(text: &str, interpreter: Interpreter) -> ParsedScript<'_> {
    if interpreter == Interpreter::Bash {
        return ParsedScript { script: parse(text, Dialect::Bash), posix_error: None };
    }
    let script = parse(text, Dialect::Posix);
    if script.error.is_none() || interpreter == Interpreter::Dash {
        return ParsedScript { script, posix_error: None };
    }
    let bash = parse(text, Dialect::Bash);
    let posix_error = if bash.error.is_none() { script.error } else { None };
    ParsedScript { script: bash, posix_error }
}

/// Parses a script in one dialect.
pub(crate) fn parse(text: &str, dialect: Dialect) -> Script<'_> {
    if text.len() > MAX_SCRIPT_BYTES {
        return Script::default();
    }
    let parser = Parser {
        text,
        bytes: text.as_bytes(),
        at: 0,
        dialect,
        depth: 0,
        // Only `((` is parsed twice; the budget limits repeated attempts.
        fuel: text.len().saturating_mul(16) + 4096,
        is_ambiguous: false,
        pending: Vec::new(),
        substitutions: 0,
        expansion_depth: 0,
        expansions: Vec::new(),
        context: Context::default(),
        chained: false,
        echoes: Vec::new(),
        script: Script::default(),
    };
    parser.parse_script()
}

/// Why the parser stops.
#[derive(Debug)]
enum Stop {
    Error(Box<ShellError>),
    /// Too deeply nested, or read differently by different shells.
    Unknown,
}

type Parse<T = ()> = Result<T, Stop>;

/// The constructs around a command.
#[derive(Debug, Clone, Copy, Default)]
struct Context {
    /// Whether the command may not run, because it is in a compound command or a function.
    conditional: bool,
    subshell: bool,
    /// Whether the command is in a loop.
    looped: bool,
}

struct Parser<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    dialect: Dialect,
    depth: usize,
    fuel: usize,
    is_ambiguous: bool,
    /// Here-documents whose text begins on the next line.
    pending: Vec<HereDocument>,
    /// The number of open `$(`.
    substitutions: usize,
    expansion_depth: usize,
    expansions: Vec<Span>,
    context: Context,
    /// Whether the command follows `&&` or `||`.
    chained: bool,
    /// The index of a command `echo -e`, and its option.
    echoes: Vec<(usize, Span, &'t str)>,
    script: Script<'t>,
}

impl<'t> Parser<'t> {
    fn parse_script(mut self) -> Script<'t> {
        let mut stopped = false;
        loop {
            let (stop, is_closer) = match self.list() {
                Ok(_) if self.at >= self.bytes.len() => break,
                Ok(_) => (self.unexpected_closer(), true),
                Err(stop) => (stop, false),
            };
            if let (Stop::Error(error), false, false) = (stop, stopped, self.is_ambiguous) {
                self.script.error = Some(*error);
            }
            stopped = true;
            if self.fuel == 0 {
                break;
            }
            self.skip_past_error(is_closer);
        }
        self.here_documents();
        self.script.is_understood = !stopped && !self.is_ambiguous;
        if !self.script.is_understood {
            self.script.bash_only.clear();
        }
        self.script
    }

    /// Continues after the unexpected closing word, or on the next line.
    fn skip_past_error(&mut self, is_closer: bool) {
        (self.depth, self.substitutions, self.expansion_depth, self.chained) = (0, 0, 0, false);
        if is_closer {
            self.context = Context::default();
            self.at = self.found().0.end;
            while matches!(self.peek(), Some(b' ' | b'\t' | b';' | b'&' | b'|')) {
                self.at += 1;
            }
            return;
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |length| length + 1);
        self.here_documents();
    }

    fn is_bash(&self) -> bool {
        self.dialect == Dialect::Bash
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn is_next(&self, text: &str) -> bool {
        self.bytes[self.at.min(self.bytes.len())..].starts_with(text.as_bytes())
    }

    /// Consumes the text if it is next.
    fn eat(&mut self, text: &str) -> bool {
        let found = self.is_next(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Consumes `(`, or the `)` of an open one. Counts the open ones.
    fn skip_parenthesis(&mut self, open: &mut usize) -> bool {
        match self.peek() {
            Some(b'(') => *open += 1,
            Some(b')') if *open > 0 => *open -= 1,
            _ => return false,
        }
        self.at += 1;
        true
    }

    /// Limits the work for texts that are parsed more than once.
    fn spend(&mut self) -> Parse {
        self.fuel = self.fuel.checked_sub(1).ok_or(Stop::Unknown)?;
        Ok(())
    }

    /// Limits the nesting.
    fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.depth >= MAX_DEPTH {
            return Err(Stop::Unknown);
        }
        self.depth += 1;
        let out = inside(self);
        self.depth -= 1;
        out
    }

    /// The next token for a message, and its span.
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

    fn error<T>(&self, expected: &str, opened: Option<(Span, &str)>) -> Parse<T> {
        let (span, found) = self.found();
        Err(stop(span, format!("expected {expected}, found {found}"), None, opened))
    }
}

/// The error for a construct that is not closed.
fn unclosed<T>(opened: Span, what: &str, close: &str) -> Parse<T> {
    let message = format!("{what} is not closed: the script ends without {close}");
    Err(stop(opened, message, None, None))
}

fn stop(span: Span, message: String, help: Option<&str>, opened: Option<(Span, &str)>) -> Stop {
    let opened = opened.map(|(span, what)| (span, format!("{what} begins here")));
    Stop::Error(Box::new(ShellError { span, message, help: help.map(str::to_owned), opened }))
}

#[cfg(test)]
mod tests;
