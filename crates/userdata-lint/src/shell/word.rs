//! Words: quotes, expansions, redirections and the start of here-documents.

use std::borrow::Cow;

use super::{HereDocument, Parse, Parser, Stop, stop, unclosed};
use diagnostics::source::Span;

/// Whether a byte outside quotes ends a word.
pub(super) fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')')
}

/// Whether a byte never has a special meaning in a word.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':' | b',') || !byte.is_ascii()
}

pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl Parser<'_> {
    /// Whether bash's `<(` or `>(` is next.
    pub(super) fn process_substitution_here(&self) -> bool {
        self.is_bash() && (self.is_next("<(") || self.is_next(">("))
    }

    /// Parses a word. With `assigns`, it may be an assignment, including bash's arrays.
    pub(super) fn word(&mut self, assigns: bool) -> Parse {
        let start = self.at;
        while let Some(byte) = self.peek() {
            self.spend()?;
            if self.is_bash() {
                if self.process_substitution_here() {
                    let opened = Span::new(self.at, self.at + 2);
                    self.expansion(|parser| {
                        parser.at += 2;
                        parser.substitution(opened)
                    })?;
                    continue;
                }
                if byte == b'(' {
                    let before = self.at.checked_sub(1).filter(|_| self.at > start).map(|at| self.bytes[at]);
                    if matches!(before, Some(b'?' | b'*' | b'+' | b'@' | b'!')) {
                        self.at += 1;
                        self.nested(Self::pattern)?;
                        continue;
                    }
                    if assigns && before == Some(b'=') && is_assignment(&self.bytes[start..self.at]) {
                        let opened = Span::new(self.at, self.at + 1);
                        self.at += 1;
                        self.nested(|parser| parser.array(opened))?;
                        continue;
                    }
                }
                if byte == b'[' && assigns && self.subscript(start) {
                    continue;
                }
            }
            if ends_word(byte) {
                break;
            }
            self.word_part(false)?;
        }
        Ok(())
    }

    /// Consumes `name[…]` if an assignment follows; the subscript may contain spaces.
    fn subscript(&mut self, start: usize) -> bool {
        let name = &self.bytes[start..self.at];
        if name.is_empty() || !name.iter().all(|byte| is_name(*byte)) {
            return false;
        }
        let line = &self.bytes[self.at..];
        let line = &line[..line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len()).min(200)];
        let close = line.windows(2).position(|pair| pair == b"]=" || pair == b"]+");
        let plain = |inside: &[u8]| inside.iter().all(|byte| is_name(*byte) || b" +-*/$".contains(byte));
        match close {
            Some(close) if plain(&line[1..close]) => {
                self.at += close + 1;
                true
            }
            _ => false,
        }
    }

    /// Parses the words of an array, up to `)`.
    fn array(&mut self, opened: Span) -> Parse {
        loop {
            self.line_ends();
            self.spend()?;
            match self.peek() {
                None => return unclosed(opened, "this `(`", "`)`"),
                Some(b')') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'<' | b'>') if self.process_substitution_here() => self.word(true)?,
                Some(b';' | b'&' | b'|' | b'<' | b'>' | b'(') => {
                    return self.error("a word, or `)`", Some((opened, "the array")));
                }
                // The key of `[key]=value` may contain spaces.
                Some(b'[') => {
                    self.is_ambiguous |= self.key_with_blanks();
                    self.word(true)?;
                }
                Some(_) => self.word(true)?,
            }
        }
    }

    fn key_with_blanks(&self) -> bool {
        let rest = &self.bytes[self.at..];
        let key = rest.iter().take(200).take_while(|byte| **byte != b']' && **byte != b'\n');
        key.into_iter().any(|byte| ends_word(*byte))
    }

    /// Parses the inside of `@(…)` and similar patterns, up to `)`.
    fn pattern(&mut self) -> Parse {
        let opened = Span::new(self.at - 2, self.at);
        while let Some(byte) = self.peek() {
            self.spend()?;
            match byte {
                b')' => {
                    self.at += 1;
                    return Ok(());
                }
                b'(' => {
                    self.at += 1;
                    self.nested(Self::pattern)?;
                }
                _ if ends_word(byte) => self.at += 1,
                _ => self.word_part(false)?,
            }
        }
        unclosed(opened, "this pattern", "`)`")
    }

    /// Parses one quoted part, one expansion, or plain characters. `quoted`: between double quotes,
    /// where `'` is plain.
    pub(super) fn word_part(&mut self, quoted: bool) -> Parse {
        match self.bytes.get(self.at..).unwrap_or_default() {
            [] => {}
            // A backslash at the very end is plain.
            [b'\\', _, ..] => self.at += 2,
            [b'\'', ..] if !quoted => self.single_quotes()?,
            [b'"', ..] => self.nested(Self::double_quotes)?,
            [b'`', ..] => self.expansion(Self::backquotes)?,
            [b'$', ..] => self.expansion(|parser| parser.dollar(quoted))?,
            rest => self.at += rest.iter().take_while(|byte| is_plain(**byte)).count().max(1),
        }
        Ok(())
    }

    /// Parses an expansion and records its span in the word.
    fn expansion(&mut self, inside: impl FnOnce(&mut Self) -> Parse) -> Parse {
        let start = self.at;
        self.expansion_depth += 1;
        inside(self)?;
        self.expansion_depth -= 1;
        if self.expansion_depth == 0 {
            self.expansions.push(Span::new(start, self.at));
        }
        Ok(())
    }

    fn single_quotes(&mut self) -> Parse {
        let opened = Span::new(self.at, self.at + 1);
        self.at += 1;
        match self.bytes[self.at..].iter().position(|byte| *byte == b'\'') {
            Some(length) => {
                self.at += length + 1;
                Ok(())
            }
            None => {
                self.at = self.bytes.len();
                unclosed(opened, "this quote", "another `'`")
            }
        }
    }

    /// Parses `$'…'`, in which backslashes escape.
    fn ansi_c_quotes(&mut self) -> Parse {
        let opened = Span::new(self.at, self.at + 2);
        self.at += 2;
        while let Some(byte) = self.peek() {
            self.at += 1 + usize::from(byte == b'\\');
            if byte == b'\'' {
                return Ok(());
            }
        }
        self.at = self.bytes.len();
        unclosed(opened, "this quote", "another `'`")
    }

    fn double_quotes(&mut self) -> Parse {
        let opened = Span::new(self.at, self.at + 1);
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.spend()?;
            if byte == b'"' {
                self.at += 1;
                return Ok(());
            }
            self.word_part(true)?;
        }
        unclosed(opened, "this quote", "another `\"`")
    }

    /// Finds the end of backquotes. The shell parses the text between them at run time.
    fn backquotes(&mut self) -> Parse {
        let opened = Span::new(self.at, self.at + 1);
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1 + usize::from(byte == b'\\');
            if byte == b'`' {
                return Ok(());
            }
        }
        self.at = self.bytes.len();
        unclosed(opened, "this backquote", "another one")
    }

    fn dollar(&mut self, quoted: bool) -> Parse {
        let start = self.at;
        match self.bytes.get(start + 1) {
            Some(b'\'') if !quoted && self.is_bash() => self.ansi_c_quotes(),
            Some(b'(') => {
                if self.is_next("$((") {
                    self.at += 1;
                    if self.arithmetic()? {
                        return Ok(());
                    }
                    self.at = start + 2;
                    match self.substitution(Span::new(start, self.at)) {
                        Err(Stop::Error(_)) => return unclosed(Span::new(start, start + 3), "this `$((`", "`))`"),
                        other => other?,
                    }
                    // dash always parses this as arithmetic; other shells do not.
                    self.is_ambiguous |= !self.is_bash();
                    return Ok(());
                }
                self.at += 2;
                self.substitution(Span::new(start, self.at))
            }
            Some(b'{') => {
                self.at += 2;
                self.nested(|parser| parser.parameter(Span::new(start, start + 2), quoted))
            }
            // `$#` does not begin a comment, nor `$$` a second expansion.
            Some(b'#' | b'$') => {
                self.at += 2;
                Ok(())
            }
            _ => {
                self.at += 1;
                Ok(())
            }
        }
    }

    /// Parses commands up to `)`.
    fn substitution(&mut self, opened: Span) -> Parse {
        // Here-documents of the outer line do not belong to the inner commands.
        let outer = std::mem::take(&mut self.pending);
        self.substitutions += 1;
        let inside = self.nested(Self::list);
        self.substitutions -= 1;
        // Shells differ on where the text of such a here-document is.
        if !self.pending.is_empty() || (!outer.is_empty() && self.bytes[opened.end..self.at].contains(&b'\n')) {
            return Err(Stop::Unknown);
        }
        self.pending = outer;
        inside?;
        if self.eat(")") {
            return Ok(());
        }
        let name = self.text.get(opened.start..opened.end).unwrap_or("$(");
        if self.peek().is_none() {
            return unclosed(opened, &format!("this `{name}`"), "`)`");
        }
        self.error("`)`", Some((opened, "the substitution")))
    }

    /// Parses `${…}`. Between double quotes, `'` is plain except for the operators that remove or
    /// replace text.
    fn parameter(&mut self, opened: Span, quoted: bool) -> Parse {
        // bash 5.3: `${ commands; }`
        if matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'|')) {
            return Err(Stop::Unknown);
        }
        // `${#name}`, `${!name}`, `${#}`, `${#%x}`
        let rest = &self.bytes[self.at..];
        let name = match rest {
            [b'#' | b'!', next, ..] if is_name(*next) => {
                1 + rest[1..].iter().take_while(|byte| is_name(**byte)).count()
            }
            [b'}', ..] | [] => 0,
            [first, ..] if is_name(*first) => rest.iter().take_while(|byte| is_name(**byte)).count(),
            [b'\'' | b'"' | b'\\' | b'`', ..] => 0,
            // A single special parameter. `${$` is the name of `$$`.
            _ => 1,
        };
        self.at += name;
        if self.peek() == Some(b'[') {
            // A subscript is arithmetic or a key, in which quotes are special.
            while self.peek().is_some_and(|byte| byte != b']' && byte != b'}') {
                self.spend()?;
                self.word_part(quoted)?;
            }
            self.eat("]");
        }
        let cuts = matches!(self.peek(), Some(b'#' | b'%' | b'/' | b'^' | b','));
        let plain = quoted && !cuts;
        while let Some(byte) = self.peek() {
            self.spend()?;
            if byte == b'}' {
                self.at += 1;
                return Ok(());
            }
            // Shells and their versions differ on a quote in a quoted `${…}`.
            self.is_ambiguous |= quoted && byte == b'\'';
            self.word_part(plain)?;
        }
        unclosed(opened, "this `${`", "`}`")
    }

    /// Parses the redirection at this position, if there is one.
    pub(super) fn redirection(&mut self) -> Parse<Option<Redirection>> {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        if !matches!(rest, [b'<' | b'>' | b'&' | b'{' | b'0'..=b'9', ..]) {
            return Ok(None);
        }
        let number = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut prefix = number;
        // bash: `{name}>`
        if number == 0 && self.is_bash() && rest.first() == Some(&b'{') {
            let name = rest[1..].iter().take_while(|byte| is_name(**byte)).count();
            if name > 0 && rest.get(name + 1) == Some(&b'}') {
                prefix = name + 2;
            }
        }
        if !(matches!(rest.get(prefix), Some(b'<' | b'>')) || prefix == 0 && rest.starts_with(b"&>")) {
            return Ok(None);
        }
        self.at += prefix;
        if prefix == 0 && self.process_substitution_here() {
            return Ok(None);
        }
        let Some(operator) = OPERATORS.into_iter().find(|operator| self.is_next(operator)) else {
            self.at = start;
            return Ok(None);
        };
        let bash_only = matches!(operator, "<<<" | "&>");
        if bash_only && !self.is_bash() {
            if operator == "&>" {
                // Two operators, `&` and `>`, which are valid.
                return Ok(None);
            }
            let span = Span::new(self.at, self.at + operator.len());
            return Err(stop(span, "expected `<<` and a here-document, found `<<<`".to_owned(), None, None));
        }
        self.at += operator.len();
        if operator == "&>" {
            self.eat(">");
        }
        let here = Span::new(start, self.at);
        self.blanks();
        let is_word = self.peek().is_some_and(|byte| !ends_word(byte)) || self.process_substitution_here();
        if !is_word {
            let what = if operator.starts_with("<<") { "a word" } else { "the name of a file" };
            return self.error(&format!("{what} after `{operator}`"), Some((here, "the redirection")));
        }
        let from = self.at;
        self.word(false)?;
        if matches!(operator, "<<" | "<<-") {
            let written = self.text.get(from..self.at).unwrap_or_default();
            self.pending.push(HereDocument {
                span: Span::new(here.start, self.at),
                delimiter: unquote(written, from, &[]).into_owned(),
                quoted: written.contains(['\'', '"', '\\']),
                strips_tabs: operator == "<<-",
                body: Span::at(self.at),
                is_closed: false,
            });
        }
        Ok(Some(if operator.starts_with('<') { Redirection::Input } else { Redirection::Output }))
    }
}

/// Longer operators first.
const OPERATORS: [&str; 11] = ["<<-", "<<<", "<<", "<&", "<>", "<", ">>", ">&", ">|", ">", "&>"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Redirection {
    Input,
    Output,
}

/// Removes the quotes of a word that begins at `start`. The expansions, given by their spans in the
/// script, are not changed. The result is borrowed if it is part of the script.
pub(super) fn unquote<'t>(word: &'t str, start: usize, expansions: &[Span]) -> Cow<'t, str> {
    if !word.contains(['\'', '"', '\\']) {
        return Cow::Borrowed(word);
    }
    let inside = |quote: char| word.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(inner) = inside('\'').filter(|inner| !inner.contains('\'')) {
        return Cow::Borrowed(inner);
    }
    if let Some(inner) = inside('"').filter(|inner| !inner.contains(['"', '\\'])) {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(word.len());
    let mut quote = None;
    let mut expansions = expansions;
    let mut characters = word.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let here = start + at;
        while expansions.first().is_some_and(|expansion| expansion.start < here) {
            expansions = &expansions[1..];
        }
        if let Some(expansion) = expansions.first().filter(|expansion| expansion.start == here) {
            let end = expansion.end - start;
            out.push_str(&word[at..end]);
            while characters.next_if(|(next, _)| *next < end).is_some() {}
            continue;
        }
        match (character, quote) {
            ('\'' | '"', None) => quote = Some(character),
            (_, Some(open)) if character == open => quote = None,
            ('\\', None) => out.extend(characters.next().map(|(_, next)| next).filter(|next| *next != '\n')),
            ('\\', Some('"')) => match characters.next_if(|(_, next)| matches!(next, '"' | '\\' | '$' | '`' | '\n')) {
                Some((_, '\n')) => {}
                Some((_, next)) => out.push(next),
                None => out.push('\\'),
            },
            _ => out.push(character),
        }
    }
    Cow::Owned(out)
}

/// `name=`, `name+=`, `name[…]=`
fn is_assignment(word: &[u8]) -> bool {
    let Some(name) = word.strip_suffix(b"=") else { return false };
    let name = name.strip_suffix(b"+").unwrap_or(name);
    let name = name.iter().position(|byte| *byte == b'[').map_or(name, |at| &name[..at]);
    name.is_empty() || name.iter().all(|byte| is_name(*byte))
}
