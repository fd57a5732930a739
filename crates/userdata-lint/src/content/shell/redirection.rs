//! Redirections and the beginnings of here-documents.

use super::word::{ends_word, is_name};
use super::{Heredoc, Parser, Step, stop};
use diagnostics::source::Span;

/// Longer operators first.
const OPERATORS: [&str; 11] = ["<<-", "<<<", "<<", "<&", "<>", "<", ">>", ">&", ">|", ">", "&>"];

impl Parser<'_> {
    /// Takes the redirection that stands here, if one does.
    pub(super) fn redirection(&mut self) -> Step<bool> {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
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
            return Ok(false);
        }
        self.at += prefix;
        if prefix == 0 && self.process_substitution_here() {
            return Ok(false);
        }
        let Some(operator) = OPERATORS.into_iter().find(|operator| self.looking_at(operator)) else {
            self.at = start;
            return Ok(false);
        };
        let bash_only = matches!(operator, "<<<" | "&>");
        if bash_only && !self.is_bash() {
            if operator == "&>" {
                // `&` and `>`: two things, and legal.
                return Ok(false);
            }
            let span = Span::new(self.at, self.at + operator.len());
            return Err(stop(span, "expected `<<` and a here-document, found `<<<`".to_owned(), None, None));
        }
        self.at += operator.len();
        if operator == "&>" {
            self.take(">");
        }
        let here = Span::new(start, self.at);
        self.blanks();
        let is_word = self.peek().is_some_and(|byte| !ends_word(byte)) || self.process_substitution_here();
        if !is_word {
            let what = if operator.starts_with("<<") { "a word" } else { "the name of a file" };
            return self.fault(&format!("{what} after `{operator}`"), Some((here, "the redirection")));
        }
        let from = self.at;
        self.word(false)?;
        if matches!(operator, "<<" | "<<-") {
            let (delimiter, quoted) = unquoted(&self.bytes[from..self.at]);
            let span = Span::new(here.start, self.at);
            self.pending.push(Heredoc { delimiter, tabs: operator == "<<-", quoted, span });
        }
        Ok(true)
    }
}

/// A delimiter without its quotes, and whether it had any.
fn unquoted(word: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(word.len());
    let mut quote = None;
    let mut bytes = word.iter().copied().peekable();
    let mut quoted = false;
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b'\'' | b'"', None) => {
                quote = Some(byte);
                quoted = true;
            }
            (_, Some(open)) if byte == open => quote = None,
            (b'\\', None) => {
                quoted = true;
                out.extend(bytes.next().filter(|next| *next != b'\n'));
            }
            (b'\\', Some(b'"')) if matches!(bytes.peek(), Some(b'"' | b'\\' | b'$' | b'`')) => out.extend(bytes.next()),
            _ => out.push(byte),
        }
    }
    (out, quoted)
}
