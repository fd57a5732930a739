//! Lists, pipelines and simple commands.

use super::compound::Compound;
use super::word::{Redirection, ends_word, unquote};
use super::{FileOutput, Input, MAX_COMMANDS, Parse, Parser, SimpleCommand, Stop, stop, unclosed};
use diagnostics::source::Span;

/// Words that end a list at the start of a command.
const CLOSERS: [&str; 8] = ["then", "else", "elif", "fi", "do", "done", "esac", "}"];

impl<'t> Parser<'t> {
    /// The error for a token that cannot begin a command, such as a closing word without its
    /// opening word.
    pub(super) fn unexpected_closer(&self) -> Stop {
        let (span, found) = self.found();
        let opener = match self.text.get(span.start..span.end).unwrap_or_default() {
            "fi" | "then" | "else" | "elif" => "`if`",
            "done" | "do" => "`for`, `while` or `until`",
            "esac" | ";;" => "`case`",
            "}" => "`{`",
            ")" => "`(`",
            _ => return stop(span, format!("expected a command, found {found}"), None, None),
        };
        stop(span, format!("found {found} without {opener} before it"), None, None)
    }

    /// Skips spaces, joined lines and a comment.
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

    /// Skips spaces and line ends.
    pub(super) fn line_ends(&mut self) {
        self.blanks();
        while self.peek() == Some(b'\n') {
            self.at += 1;
            self.here_documents();
            self.blanks();
        }
    }

    /// The reserved word at this position, if there is one.
    pub(super) fn reserved(&self, words: &[&'static str]) -> Option<&'static str> {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        words
            .iter()
            .copied()
            .find(|word| rest.starts_with(word.as_bytes()) && rest.get(word.len()).is_none_or(|byte| ends_word(*byte)))
    }

    fn list_ends(&self) -> bool {
        match self.peek() {
            None | Some(b')') => true,
            Some(b';') => self.is_next(";;") || self.is_next(";&"),
            Some(byte) if byte.is_ascii_lowercase() || byte == b'}' => self.reserved(&CLOSERS).is_some(),
            Some(_) => false,
        }
    }

    /// Parses commands up to a token that ends the list, without consuming it. Returns whether
    /// there was a command.
    pub(super) fn list(&mut self) -> Parse<bool> {
        let mut any = false;
        loop {
            self.line_ends();
            if self.list_ends() {
                return Ok(any);
            }
            self.spend()?;
            let first = self.script.commands.len();
            self.and_or()?;
            any = true;
            self.blanks();
            match self.peek() {
                Some(b';') if !self.is_next(";;") && !self.is_next(";&") => self.at += 1,
                Some(b'&') => {
                    self.at += 1;
                    for command in &mut self.script.commands[first..] {
                        command.background = true;
                    }
                }
                Some(b'\n') => {}
                _ if self.list_ends() => return Ok(any),
                _ => return self.error("the end of the command", None),
            }
        }
    }

    fn and_or(&mut self) -> Parse {
        let outer = self.chained;
        loop {
            self.pipeline()?;
            self.blanks();
            if !(self.eat("&&") || self.eat("||")) {
                self.chained = outer;
                return Ok(());
            }
            self.chained = true;
            self.line_ends();
        }
    }

    fn pipeline(&mut self) -> Parse {
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
        // bash accepts `!` and `time` alone.
        if prefixed && self.is_bash() && matches!(self.peek(), None | Some(b'\n' | b';')) {
            return Ok(());
        }
        let mut is_fed = false;
        loop {
            let first = self.script.commands.len();
            self.command()?;
            self.blanks();
            let feeds = !self.is_next("||") && self.eat("|");
            for command in &mut self.script.commands[first..] {
                command.feeds_pipe |= feeds;
                if is_fed && command.input == Input::Inherited {
                    command.input = Input::Pipe;
                }
            }
            self.note_options_of_echo(first, feeds);
            if !feeds {
                return Ok(());
            }
            is_fed = true;
            if self.is_bash() {
                self.eat("&");
            }
            self.line_ends();
        }
    }

    fn command(&mut self) -> Parse {
        self.blanks();
        self.spend()?;
        if let Some(compound) = self.compound_here() {
            return self.nested(|parser| parser.compound(compound));
        }
        self.simple()
    }

    /// The compound command at this position, if there is one.
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

    fn simple(&mut self) -> Parse {
        let mut first: Option<Span> = None;
        let mut end = self.at;
        // The number of words; arrays may follow assignments.
        let mut count = 0;
        let mut input = Input::Inherited;
        let mut words = Vec::new();
        let mut outputs = Vec::new();
        loop {
            self.blanks();
            self.spend()?;
            let start = self.at;
            if let Some(redirection) = self.redirection()? {
                count += 1;
                match redirection {
                    Redirection::Input => input = Input::File,
                    Redirection::Output => outputs.extend(self.text.get(start..self.at).and_then(FileOutput::read)),
                }
                continue;
            }
            match self.peek() {
                None | Some(b'\n' | b';' | b'&' | b'|' | b')') => break,
                Some(b'(') => match first {
                    Some(name) if count == 1 => return self.function_after(name),
                    _ => {
                        self.collect(words, first, end, (input, outputs));
                        return self.unexpected_parenthesis();
                    }
                },
                Some(_) => {
                    if self.substitutions == 0 {
                        self.expansions.clear();
                    }
                    self.word(true)?;
                    if count == 0 {
                        self.note_bash_only(start);
                    }
                    count += 1;
                    first.get_or_insert(Span::new(start, self.at));
                    if self.substitutions == 0 {
                        let written = &self.text[start..self.at];
                        // Windows line ends are reported separately.
                        let is_last = matches!(self.peek(), None | Some(b'\n'));
                        let word = if is_last { written.trim_end_matches('\r') } else { written };
                        if !word.is_empty() {
                            end = start + word.len();
                            words.push(unquote(word, start, &self.expansions));
                        }
                    }
                }
            }
        }
        self.collect(words, first, end, (input, outputs));
        if count == 0 { self.error("a command", None) } else { Ok(()) }
    }

    fn collect(
        &mut self,
        words: Vec<std::borrow::Cow<'t, str>>,
        first: Option<Span>,
        end: usize,
        (input, outputs): (Input, Vec<FileOutput<'t>>),
    ) {
        let Some(first) = first.filter(|first| end > first.start && self.script.commands.len() < MAX_COMMANDS) else {
            return;
        };
        let mut command = SimpleCommand::new(words);
        command.written = self.text.get(first.start..end).unwrap_or_default();
        command.conditional |= self.context.conditional || self.chained;
        command.in_subshell = self.context.subshell;
        command.in_loop = self.context.looped;
        (command.input, command.outputs) = (input, outputs);
        if let Some(name) = command.bash_only_argument().filter(|_| !self.is_bash()) {
            let at = first.start + command.written.find(name).unwrap_or_default();
            self.script.bash_only.push((Span::new(at, at + name.len()), name));
        }
        if let Some(name) = command.option_of_echo().filter(|_| !self.is_bash() && command.outputs.is_empty()) {
            let at = first.start + command.written.find(name).unwrap_or_default();
            self.echoes.push((self.script.commands.len(), Span::new(at, at + name.len()), name));
        }
        if !command.words.is_empty() {
            self.script.commands.push(command);
        }
    }

    /// Records `echo -e` in commands whose output goes to a pipe, which is only known after them.
    fn note_options_of_echo(&mut self, from: usize, feeds: bool) {
        let start = self.echoes.iter().position(|(index, ..)| *index >= from).unwrap_or(self.echoes.len());
        let echoes = self.echoes.drain(start..).map(|(_, span, name)| (span, name));
        self.script.bash_only.extend(echoes.filter(|_| feeds));
    }

    /// Records a command name that only bash has.
    fn note_bash_only(&mut self, start: usize) {
        if !self.is_bash() {
            let name = self.text.get(start..self.at).filter(|name| matches!(*name, "[[" | "source"));
            self.script.bash_only.extend(name.map(|name| (Span::new(start, self.at), name)));
        }
    }

    fn unexpected_parenthesis(&self) -> Parse {
        let (span, _) = self.found();
        let help = "put the text with parentheses in quotes, or write `\\(`";
        Err(stop(span, "expected an argument, found `(`".into(), Some(help), None))
    }

    /// Parses the rest of `name ()` and the body.
    fn function_after(&mut self, name: Span) -> Parse {
        let bracket = self.at;
        self.at += 1;
        self.blanks();
        if !self.eat(")") {
            self.at = bracket;
            return self.unexpected_parenthesis();
        }
        self.line_ends();
        match self.compound_here() {
            Some(compound) => self.nested(|parser| parser.compound(compound)),
            // dash accepts any command as the body of a function.
            None if !self.is_bash() => {
                let context = self.context;
                self.context.conditional = true;
                self.nested(Self::command)?;
                self.context = context;
                Ok(())
            }
            None => self.error("`{` and the function's commands", Some((name, "the function"))),
        }
    }

    /// Reads the texts of the pending here-documents.
    pub(super) fn here_documents(&mut self) {
        for mut document in std::mem::take(&mut self.pending) {
            let start = self.at.min(self.bytes.len());
            let mut joined = false;
            document.body = Span::new(start, self.bytes.len());
            while self.at < self.bytes.len() {
                let line_start = self.at;
                let rest = &self.bytes[line_start..];
                let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                let full_line = &rest[..length];
                self.at += (length + 1).min(rest.len());
                let tabs =
                    if document.strips_tabs { full_line.iter().take_while(|byte| **byte == b'\t').count() } else { 0 };
                let line = &full_line[tabs..];
                if !joined && line == document.delimiter.as_bytes() {
                    document.body = Span::new(start, line_start);
                    document.is_closed = true;
                    break;
                }
                // `$(cat <<EOF … EOF)`: bash ends the text here, other shells do not.
                if self.substitutions > 0
                    && line.strip_prefix(document.delimiter.as_bytes()).is_some_and(|rest| rest.starts_with(b")"))
                {
                    self.is_ambiguous = true;
                }
                joined = !document.quoted && full_line.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
            }
            self.script.here_documents.push(document);
        }
    }

    /// Parses a list that must not be empty, and consumes the closing word.
    pub(super) fn body(
        &mut self,
        opened: Span,
        what: &'static str,
        after: &str,
        closers: &[&'static str],
    ) -> Parse<&'static str> {
        let any = self.list()?;
        let Some(closer) = self.reserved(closers) else {
            let last = closers.last().copied().unwrap_or_default();
            if self.peek().is_none() {
                return unclosed(opened, what, &format!("`{last}`"));
            }
            return self.error(&format!("`{last}`"), Some((opened, what)));
        };
        if !any {
            return self.error(&format!("a command after {after}"), Some((opened, what)));
        }
        self.at += closer.len();
        Ok(closer)
    }

    /// Whether `((` is arithmetic, which is then consumed up to `))`. Otherwise the position does
    /// not change.
    pub(super) fn arithmetic(&mut self) -> Parse<bool> {
        let (start, waiting, is_ambiguous) = (self.at, self.pending.len(), self.is_ambiguous);
        let (context, chained, expansion_depth) = (self.context, self.chained, self.expansion_depth);
        let documents = self.script.here_documents.len();
        self.at += 2;
        match self.nested(Self::arithmetic_inside) {
            Ok(true) => return Ok(true),
            Ok(false) | Err(Stop::Error(_)) => {}
            Err(Stop::Unknown) => return Err(Stop::Unknown),
        }
        self.at = start;
        self.pending.truncate(waiting);
        self.script.here_documents.truncate(documents);
        self.is_ambiguous = is_ambiguous;
        (self.context, self.chained, self.expansion_depth) = (context, chained, expansion_depth);
        Ok(false)
    }

    fn arithmetic_inside(&mut self) -> Parse<bool> {
        let mut open = 0_usize;
        while let Some(byte) = self.peek() {
            self.spend()?;
            if self.skip_parenthesis(&mut open) {
                continue;
            }
            match byte {
                b')' => return Ok(self.eat("))")),
                // Shells differ on quotes in arithmetic.
                b'\'' => {
                    self.is_ambiguous = true;
                    self.at += 1;
                }
                _ => self.word_part(true)?,
            }
        }
        Ok(false)
    }
}
