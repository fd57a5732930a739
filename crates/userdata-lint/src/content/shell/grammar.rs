//! Lists, pipelines, simple commands: the grammar above words and below compound commands.

use super::compound::Compound;
use super::word::ends_word;
use super::{Parser, Step, Stop, stop, unclosed};
use diagnostics::source::Span;

/// Words that end a list where a command could begin.
const CLOSERS: [&str; 8] = ["then", "else", "elif", "fi", "do", "done", "esac", "}"];

impl Parser<'_> {
    /// The whole text.
    pub(super) fn script(&mut self) -> Step {
        self.list()?;
        // What is left cannot begin a command: a closing word without its beginning, most often.
        match self.peek() {
            None => {}
            Some(_) => {
                let (span, found) = self.found();
                let opener = match self.text.get(span.start..span.end).unwrap_or_default() {
                    "fi" | "then" | "else" | "elif" => "`if`",
                    "done" | "do" => "`for`, `while` or `until`",
                    "esac" | ";;" => "`case`",
                    "}" => "`{`",
                    ")" => "`(`",
                    _ => return self.fault("a command", None),
                };
                return Err(stop(span, format!("found {found} without {opener} before it"), None, None));
            }
        }
        self.heredocs();
        Ok(())
    }

    /// Blanks, joined lines and a comment.
    pub(super) fn blanks(&mut self) {
        loop {
            match self.bytes.get(self.at..).unwrap_or_default() {
                [b' ' | b'\t', ..] => self.at += 1,
                [b'\\', b'\n', ..] => self.at += 2,
                [b'#', rest @ ..] => {
                    self.at += 1 + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                    return;
                }
                _ => return,
            }
        }
    }

    /// Blanks and line ends.
    pub(super) fn line_ends(&mut self) {
        self.blanks();
        while self.peek() == Some(b'\n') {
            self.at += 1;
            self.heredocs();
            self.blanks();
        }
    }

    /// The reserved word that stands here, if one does: bare, and ended like a word.
    pub(super) fn reserved(&self, words: &[&'static str]) -> Option<&'static str> {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        words
            .iter()
            .copied()
            .find(|word| rest.starts_with(word.as_bytes()) && rest.get(word.len()).is_none_or(|byte| ends_word(*byte)))
    }

    /// Whether a list ends here.
    fn list_ends(&self) -> bool {
        match self.peek() {
            None | Some(b')') => true,
            Some(b';') => self.looking_at(";;") || self.looking_at(";&"),
            Some(byte) if byte.is_ascii_lowercase() || byte == b'}' => self.reserved(&CLOSERS).is_some(),
            Some(_) => false,
        }
    }

    /// Commands up to something that ends the list, which is left for the caller. Gives whether there was one.
    pub(super) fn list(&mut self) -> Step<bool> {
        let mut any = false;
        loop {
            self.line_ends();
            if self.list_ends() {
                return Ok(any);
            }
            self.spend()?;
            self.and_or()?;
            any = true;
            self.blanks();
            match self.peek() {
                Some(b';') if !self.looking_at(";;") && !self.looking_at(";&") => self.at += 1,
                Some(b'&') => self.at += 1,
                Some(b'\n') => {}
                _ if self.list_ends() => return Ok(any),
                _ => return self.fault("the end of the command", None),
            }
        }
    }

    fn and_or(&mut self) -> Step {
        loop {
            self.pipeline()?;
            self.blanks();
            if !(self.take("&&") || self.take("||")) {
                return Ok(());
            }
            self.line_ends();
        }
    }

    fn pipeline(&mut self) -> Step {
        let mut prefixed = false;
        loop {
            self.blanks();
            if self.is_bash() && self.reserved(&["time"]).is_some() {
                self.at += "time".len();
                self.blanks();
                if self.reserved(&["-p", "--"]).is_some() {
                    self.at += 2;
                }
            } else if self.reserved(&["!"]).is_some() {
                self.at += 1;
            } else {
                break;
            }
            prefixed = true;
        }
        // bash takes `!` and `time` alone.
        if prefixed && self.is_bash() && matches!(self.peek(), None | Some(b'\n' | b';')) {
            return Ok(());
        }
        loop {
            self.command()?;
            self.blanks();
            if self.looking_at("||") || !self.take("|") {
                return Ok(());
            }
            if self.is_bash() {
                self.take("&");
            }
            self.line_ends();
        }
    }

    fn command(&mut self) -> Step {
        self.blanks();
        self.spend()?;
        if let Some(compound) = self.compound_here() {
            return self.nested(|parser| parser.compound(compound));
        }
        self.simple()
    }

    /// The compound command that begins here, if one does.
    pub(super) fn compound_here(&self) -> Option<Compound> {
        let first = self.peek()?;
        if first == b'(' {
            return Some(Compound::Subshell);
        }
        if !first.is_ascii_lowercase() && !matches!(first, b'{' | b'[') {
            return None;
        }
        let word = self.reserved(&["if", "while", "until", "for", "case", "{"]);
        let word = word.or_else(|| {
            let more: &[&'static str] = if self.is_bash() { &["[[", "select", "function", "coproc"] } else { &[] };
            self.reserved(more)
        })?;
        Some(match word {
            "if" => Compound::If,
            "while" | "until" => Compound::Loop,
            "for" | "select" => Compound::For,
            "case" => Compound::Case,
            "{" => Compound::Group,
            "[[" => Compound::Condition,
            "function" => Compound::Function,
            _ => Compound::Coprocess,
        })
    }

    fn simple(&mut self) -> Step {
        let mut first: Option<Span> = None;
        // Assignments in front of the command: after them, arrays may still follow.
        let mut count = 0;
        loop {
            self.blanks();
            self.spend()?;
            let start = self.at;
            if self.redirection()? {
                count += 1;
                continue;
            }
            match self.peek() {
                None | Some(b'\n' | b';' | b'&' | b'|' | b')') => break,
                Some(b'(') => match first {
                    Some(name) if count == 1 => return self.function_after(name),
                    _ => return self.unexpected_parenthesis(),
                },
                Some(_) => {
                    self.word(true)?;
                    if count == 0 {
                        first = Some(Span::new(start, self.at));
                        self.notice(start);
                    }
                    count += 1;
                }
            }
        }
        if count == 0 { self.fault("a command", None) } else { Ok(()) }
    }

    /// The name of a command has been read that begins at `start`.
    fn notice(&mut self, start: usize) {
        if !self.is_bash() {
            let name = self.text.get(start..self.at);
            let name = ["[[", "source"].into_iter().find(|known| name == Some(*known));
            self.bash_only.extend(name.map(|name| (Span::new(start, self.at), name)));
        }
    }

    fn unexpected_parenthesis(&self) -> Step {
        let (span, _) = self.found();
        let help = "put the text with parentheses in quotes, or write `\\(`";
        Err(stop(span, "found `(` where an argument may stand".into(), Some(help), None))
    }

    /// `name ()` and the body.
    fn function_after(&mut self, name: Span) -> Step {
        let bracket = self.at;
        self.at += 1;
        self.blanks();
        if !self.take(")") {
            self.at = bracket;
            return self.unexpected_parenthesis();
        }
        self.line_ends();
        match self.compound_here() {
            Some(compound) => self.nested(|parser| parser.compound(compound)),
            // dash takes any command as a function's body.
            None if !self.is_bash() => self.nested(Self::command),
            None => self.fault("`{` and the function's commands", Some((name, "the function"))),
        }
    }

    /// The texts of here-documents that wait for the end of the line.
    pub(super) fn heredocs(&mut self) {
        for heredoc in std::mem::take(&mut self.pending) {
            let mut joined = false;
            loop {
                if self.at >= self.bytes.len() {
                    let delimiter = String::from_utf8_lossy(&heredoc.delimiter).into_owned();
                    self.unfinished.push((heredoc.span, delimiter));
                    break;
                }
                let rest = &self.bytes[self.at..];
                let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                let whole = &rest[..length];
                self.at += (length + 1).min(rest.len());
                let tabs = if heredoc.tabs { whole.iter().take_while(|byte| **byte == b'\t').count() } else { 0 };
                let line = &whole[tabs..];
                if !joined && line == heredoc.delimiter {
                    break;
                }
                // `$(cat <<EOF … EOF)`: bash ends the text there, other shells do not.
                if self.substitutions > 0
                    && line.strip_prefix(heredoc.delimiter.as_slice()).is_some_and(|rest| rest.starts_with(b")"))
                {
                    self.unsure = true;
                }
                joined = !heredoc.quoted && whole.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
            }
        }
    }

    /// A list that must not be empty, up to one of the words, which is taken.
    pub(super) fn body(
        &mut self,
        opened: Span,
        what: &'static str,
        after: &str,
        closers: &[&'static str],
    ) -> Step<&'static str> {
        let any = self.list()?;
        let Some(closer) = self.reserved(closers) else {
            let last = closers.last().copied().unwrap_or_default();
            if self.peek().is_none() {
                return unclosed(opened, what, &format!("`{last}`"));
            }
            return self.fault(&format!("`{last}`"), Some((opened, what)));
        };
        if !any {
            return self.fault(&format!("a command after {after}"), Some((opened, what)));
        }
        self.at += closer.len();
        Ok(closer)
    }

    /// `((`: whether it is arithmetic up to `))`. Stays in front of it when it is not.
    pub(super) fn arithmetic(&mut self) -> Step<bool> {
        let (start, waiting, unsure) = (self.at, self.pending.len(), self.unsure);
        self.at += 2;
        match self.nested(Self::arithmetic_inside) {
            Ok(true) => return Ok(true),
            Ok(false) | Err(Stop::Fault(_)) => {}
            Err(Stop::Unknown) => return Err(Stop::Unknown),
        }
        self.at = start;
        self.pending.truncate(waiting);
        self.unsure = unsure;
        Ok(false)
    }

    fn arithmetic_inside(&mut self) -> Step<bool> {
        let mut open = 0_usize;
        while let Some(byte) = self.peek() {
            self.spend()?;
            match byte {
                b'(' => {
                    open += 1;
                    self.at += 1;
                }
                b')' if open > 0 => {
                    open -= 1;
                    self.at += 1;
                }
                b')' => return Ok(self.take("))")),
                // Shells differ on quotes in arithmetic.
                b'\'' => {
                    self.unsure = true;
                    self.at += 1;
                }
                _ => self.piece(true)?,
            }
        }
        Ok(false)
    }
}
