//! Reads shell scripts: where `sh` or `bash` would refuse to read one, and which simple commands it holds. Nothing is run.
//!
//! The parser follows the grammar of POSIX and what bash adds. Where a shell's answer depends on what ran before (aliases, `extglob`),
//! or where versions differ, the parser is unsure, and an error after such a place is not reported: it accepts too much rather than
//! too little. The text of here-documents and of backquotes is read when the script runs, so it is not checked here.
//!
//! After an error the parser goes on at the next line, so that the commands behind it are known too.
//!
//! To teach it a construct, add it to `grammar.rs` (lists, simple commands), `compound.rs` (`if`, loops, functions) or `word.rs`
//! (quotes, expansions, redirections), with a line in the tables of `tests.rs`.

mod command;
mod compound;
mod grammar;
mod word;

use diagnostics::source::Span;

pub(crate) use command::{Input, SimpleCommand, commands, commands_of_list};

/// Longer scripts are not parsed: sixteen times what a provider accepts as user-data.
pub(crate) const MAX_SCRIPT_BYTES: usize = 1024 * 1024;
/// Deeper nesting is not parsed. Scripts written by hand have a tenth of it.
const MAX_DEPTH: usize = 100;
/// Commands after these are not collected.
const MAX_COMMANDS: usize = 2_000;

/// Which program reads a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interpreter {
    /// `sh`: dash on Debian and Ubuntu, bash on others.
    Sh,
    Dash,
    /// BusyBox's, which has some of bash's syntax.
    Ash,
    Bash,
}

impl Interpreter {
    /// By the name of a program, with or without its folder.
    pub(crate) fn from_program(name: &str) -> Option<Self> {
        match name.rsplit('/').next().unwrap_or_default() {
            "sh" => Some(Self::Sh),
            "dash" => Some(Self::Dash),
            "ash" => Some(Self::Ash),
            "bash" => Some(Self::Bash),
            _ => None,
        }
    }

    /// By the first line of a script; `None` for other interpreters.
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

/// Whose grammar is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `dash`, and what else is the `sh` of Debian and Ubuntu.
    Posix,
    Bash,
}

/// The first place where a shell stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShellError {
    pub span: Span,
    pub message: String,
    pub help: Option<String>,
    /// The construct that was open there, and where it begins.
    pub opened: Option<(Span, String)>,
}

/// A here-document and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HereDocument {
    /// The operator and the delimiter.
    pub span: Span,
    pub delimiter: String,
    /// Whether the delimiter is quoted: nothing is expanded in the text then.
    pub quoted: bool,
    /// `<<-`: tabs at the beginning of lines do not count.
    strips_tabs: bool,
    pub body: Span,
    /// Whether a line ends it before the end of the script.
    pub is_closed: bool,
}

/// What a script holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Script<'t> {
    pub error: Option<ShellError>,
    /// Commands that only bash has: other shells do not find them when the script runs. Empty for a script that is not understood.
    pub bash_only: Vec<(Span, &'static str)>,
    pub here_documents: Vec<HereDocument>,
    /// Whether the whole script was understood.
    pub is_understood: bool,
    /// In their order, without those of `$(…)`.
    pub commands: Vec<SimpleCommand<'t>>,
}

/// A script as its interpreter reads it.
#[derive(Debug, Default)]
pub(crate) struct Reading<'t> {
    pub script: Script<'t>,
    /// The error of a POSIX shell, where bash reads the script and `sh` may be either.
    pub posix_error: Option<ShellError>,
}

/// Reads a script as its interpreter does. For `sh` it is enough that one of dash and bash reads it.
pub(crate) fn read(text: &str, interpreter: Interpreter) -> Reading<'_> {
    if interpreter == Interpreter::Bash {
        return Reading { script: parse(text, Dialect::Bash), posix_error: None };
    }
    let script = parse(text, Dialect::Posix);
    if script.error.is_none() || interpreter == Interpreter::Dash {
        return Reading { script, posix_error: None };
    }
    let bash = parse(text, Dialect::Bash);
    let posix_error = if bash.error.is_none() { script.error } else { None };
    Reading { script: bash, posix_error }
}

/// Reads a script in one dialect.
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
        // Only `((` is read twice; a text that does so again and again is given up.
        fuel: text.len().saturating_mul(16) + 4096,
        unsure: false,
        pending: Vec::new(),
        substitutions: 0,
        expansion_depth: 0,
        expansions: Vec::new(),
        context: Context::default(),
        chained: false,
        script: Script::default(),
    };
    parser.run()
}

/// Why the parser stops before the end.
#[derive(Debug)]
enum Stop {
    Error(Box<ShellError>),
    /// Nested too deeply, or read differently by every shell.
    Unknown,
}

type Parse<T = ()> = Result<T, Stop>;

/// The constructs around a command.
#[derive(Debug, Clone, Copy, Default)]
struct Context {
    /// In a compound command or a function: the command may not run.
    conditional: bool,
    subshell: bool,
}

struct Parser<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    dialect: Dialect,
    depth: usize,
    fuel: usize,
    unsure: bool,
    /// Here-documents whose text begins after the line.
    pending: Vec<HereDocument>,
    /// Open `$(`.
    substitutions: usize,
    expansion_depth: usize,
    /// The expansions of the current word.
    expansions: Vec<Span>,
    context: Context,
    /// After `&&` or `||`.
    chained: bool,
    script: Script<'t>,
}

impl<'t> Parser<'t> {
    /// Reads the whole text.
    fn run(mut self) -> Script<'t> {
        let mut stopped = false;
        loop {
            let (stop, is_closer) = match self.list() {
                Ok(_) if self.at >= self.bytes.len() => break,
                Ok(_) => (self.unexpected_closer(), true),
                Err(stop) => (stop, false),
            };
            if let (Stop::Error(error), false, false) = (stop, stopped, self.unsure) {
                self.script.error = Some(*error);
            }
            stopped = true;
            if self.fuel == 0 {
                break;
            }
            self.skip_past_error(is_closer);
        }
        self.here_documents();
        self.script.is_understood = !stopped && !self.unsure;
        if !self.script.is_understood {
            self.script.bash_only.clear();
        }
        self.script
    }

    /// Goes on after the word that closes nothing, or else at the next line.
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

    fn looking_at(&self, text: &str) -> bool {
        self.bytes[self.at.min(self.bytes.len())..].starts_with(text.as_bytes())
    }

    /// Consumes a text if it is next.
    fn eat(&mut self, text: &str) -> bool {
        let found = self.looking_at(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Bounds the work for texts that are read more than once.
    fn spend(&mut self) -> Parse {
        self.fuel = self.fuel.checked_sub(1).ok_or(Stop::Unknown)?;
        Ok(())
    }

    /// Bounds the depth.
    fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.depth >= MAX_DEPTH {
            return Err(Stop::Unknown);
        }
        self.depth += 1;
        let out = inside(self);
        self.depth -= 1;
        out
    }

    /// The token here, for a message, and its place.
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

/// A construct was opened, and the script ends before it is closed.
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
