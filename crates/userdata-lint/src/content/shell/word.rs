//! Words: quotes and expansions.

use super::{Parser, Step, Stop, unclosed};
use diagnostics::source::Span;

/// Whether a byte outside quotes ends a word.
pub(super) fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')')
}

pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl Parser<'_> {
    /// `<(` or `>(` of bash's.
    pub(super) fn process_substitution_here(&self) -> bool {
        self.is_bash() && (self.looking_at("<(") || self.looking_at(">("))
    }

    /// A word. `assigns`: it may be an assignment, and bash's arrays are read.
    pub(super) fn word(&mut self, assigns: bool) -> Step {
        let start = self.at;
        while let Some(byte) = self.peek() {
            self.spend()?;
            if self.is_bash() {
                if self.process_substitution_here() {
                    let opened = Span::new(self.at, self.at + 2);
                    self.at += 2;
                    self.substitution(opened)?;
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
            self.piece(false)?;
        }
        Ok(())
    }

    /// `name[…]=`: blanks may stand in the subscript. Takes it if an assignment follows.
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

    /// An array's words, up to `)`.
    fn array(&mut self, opened: Span) -> Step {
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
                    return self.fault("a word, or `)`", Some((opened, "the array")));
                }
                // `[key]=value` may have blanks in the key.
                Some(b'[') => {
                    self.unsure |= self.key_with_blanks();
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

    /// The inside of `@(…)` and its like, up to `)`.
    fn pattern(&mut self) -> Step {
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
                _ => self.piece(false)?,
            }
        }
        unclosed(opened, "this pattern", "`)`")
    }

    /// One quoted piece, one expansion or one plain character. `quoted`: between double quotes, where `'` is plain.
    pub(super) fn piece(&mut self, quoted: bool) -> Step {
        match self.bytes.get(self.at..).unwrap_or_default() {
            [] => {}
            // A backslash at the very end stands for itself.
            [b'\\', _, ..] => self.at += 2,
            [b'\'', ..] if !quoted => self.single()?,
            [b'"', ..] => self.nested(Self::double)?,
            [b'`', ..] => self.backquotes()?,
            [b'$', ..] => self.dollar(quoted)?,
            _ => self.at += 1,
        }
        Ok(())
    }

    fn single(&mut self) -> Step {
        let opened = Span::new(self.at, self.at + 1);
        self.at += 1;
        match self.bytes[self.at..].iter().position(|byte| *byte == b'\'') {
            Some(length) => {
                self.at += length + 1;
                Ok(())
            }
            None => unclosed(opened, "this quote", "another `'`"),
        }
    }

    /// `$'…'`: as `'…'`, with backslashes.
    fn escaped(&mut self) -> Step {
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

    fn double(&mut self) -> Step {
        let opened = Span::new(self.at, self.at + 1);
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.spend()?;
            if byte == b'"' {
                self.at += 1;
                return Ok(());
            }
            self.piece(true)?;
        }
        unclosed(opened, "this quote", "another `\"`")
    }

    /// Only their end is looked for: what stands between them is read when the script runs.
    fn backquotes(&mut self) -> Step {
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

    fn dollar(&mut self, quoted: bool) -> Step {
        let start = self.at;
        match self.bytes.get(start + 1) {
            Some(b'\'') if !quoted && self.is_bash() => self.escaped(),
            Some(b'(') => {
                if self.looking_at("$((") {
                    self.at += 1;
                    if self.arithmetic()? {
                        return Ok(());
                    }
                    // dash takes it for arithmetic whatever follows; the others read on.
                    self.unsure |= !self.is_bash();
                    self.at = start;
                }
                self.at += 2;
                self.substitution(Span::new(start, self.at))
            }
            Some(b'{') => {
                self.at += 2;
                self.nested(|parser| parser.parameter(Span::new(start, start + 2), quoted))
            }
            // `$#` is no comment, `$$` no second expansion.
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

    /// Commands up to `)`.
    fn substitution(&mut self, opened: Span) -> Step {
        // Here-documents of the line around it are not those of the commands inside.
        let outer = std::mem::take(&mut self.pending);
        self.substitutions += 1;
        let inside = self.nested(Self::list);
        self.substitutions -= 1;
        // A here-document whose line ends outside: shells differ on where its text is.
        if !self.pending.is_empty() || (!outer.is_empty() && self.bytes[opened.end..self.at].contains(&b'\n')) {
            return Err(Stop::Unknown);
        }
        self.pending = outer;
        inside?;
        if self.take(")") {
            return Ok(());
        }
        let name = self.text.get(opened.start..opened.end).unwrap_or("$(");
        if self.peek().is_none() {
            return unclosed(opened, &format!("this `{name}`"), "`)`");
        }
        self.fault("`)`", Some((opened, "the substitution")))
    }

    /// `${…}`. Between double quotes `'` is plain, but for the operators that cut and replace.
    fn parameter(&mut self, opened: Span, quoted: bool) -> Step {
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
            // A single special parameter. `${$` is `$$`'s name.
            _ => 1,
        };
        self.at += name;
        if self.peek() == Some(b'[') {
            // A subscript is arithmetic or a key; quotes in it are quotes.
            while self.peek().is_some_and(|byte| byte != b']' && byte != b'}') {
                self.spend()?;
                self.piece(quoted)?;
            }
            self.take("]");
        }
        let cuts = matches!(self.peek(), Some(b'#' | b'%' | b'/' | b'^' | b','));
        let plain = quoted && !cuts;
        while let Some(byte) = self.peek() {
            self.spend()?;
            if byte == b'}' {
                self.at += 1;
                return Ok(());
            }
            // A quote in quotes in braces: shells differ, and so do their versions.
            self.unsure |= quoted && byte == b'\'';
            self.piece(plain)?;
        }
        unclosed(opened, "this `${`", "`}`")
    }
}

/// `name=`, `name+=`, `name[…]=`
fn is_assignment(word: &[u8]) -> bool {
    let Some(name) = word.strip_suffix(b"=") else { return false };
    let name = name.strip_suffix(b"+").unwrap_or(name);
    let name = name.iter().position(|byte| *byte == b'[').map_or(name, |at| &name[..at]);
    name.is_empty() || name.iter().all(|byte| is_name(*byte))
}
