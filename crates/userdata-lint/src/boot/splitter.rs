//! Shell text taken apart into simple commands, for `shell.rs`: words, quotes, redirections, here-documents.

use std::borrow::Cow;

use super::shell::{Simple, strip};

/// So many commands of one text are looked at.
const MOST: usize = 2_000;

/// The simple commands of a text, in their order.
pub(super) fn split<'t>(text: &'t str, out: &mut Vec<Simple<'t>>) {
    Splitter { text, at: 0, depth: 0, brackets: 0, chained: false, fed: false, heredocs: Vec::new() }.run(out);
}

struct Splitter<'t> {
    text: &'t str,
    at: usize,
    /// In so many ifs, loops and functions.
    depth: usize,
    /// In so many parentheses.
    brackets: usize,
    /// After `&&` or `||`.
    chained: bool,
    /// After `|`.
    fed: bool,
    /// Words that end the texts which begin at the next line.
    heredocs: Vec<(&'t str, bool)>,
}

impl<'t> Splitter<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn run(mut self, out: &mut Vec<Simple<'t>>) {
        while self.at < self.text.len() && out.len() < MOST {
            self.command(out);
        }
    }

    /// One simple command up to what ends it.
    fn command(&mut self, out: &mut Vec<Simple<'t>>) {
        let mut words: Vec<Cow<'t, str>> = Vec::new();
        let (mut start, mut end) = (None, self.at);
        let (chained, fed) = (std::mem::take(&mut self.chained), std::mem::take(&mut self.fed));
        let (mut background, mut feeds, mut redirected) = (false, false, false);
        let mut keyword_first = true;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\\' if self.text[self.at + 1..].starts_with('\n') => self.at += 2,
                b'#' => self.at = self.text[self.at..].find('\n').map_or(self.text.len(), |length| self.at + length),
                b'\n' => {
                    self.at += 1;
                    self.skip_heredocs();
                    break;
                }
                b';' => {
                    self.at += 1;
                    // `;;` ends a branch of `case`.
                    break;
                }
                b'&' | b'|' => {
                    let double = self.text.as_bytes().get(self.at + 1) == Some(&byte);
                    self.at += if double { 2 } else { 1 };
                    self.chained = double;
                    background = byte == b'&' && !double;
                    feeds = byte == b'|' && !double;
                    self.fed = feeds;
                    break;
                }
                b'(' => {
                    self.at += 1;
                    self.brackets += 1;
                    break;
                }
                b')' => {
                    self.at += 1;
                    self.brackets = self.brackets.saturating_sub(1);
                    break;
                }
                b'<' | b'>' => {
                    redirected |= byte == b'<';
                    self.redirection();
                }
                _ => {
                    let from = self.at;
                    let Some(word) = self.word() else { break };
                    if keyword_first && self.keyword(&word) {
                        continue;
                    }
                    keyword_first = false;
                    // `2>file`: the number belongs to the redirection.
                    if matches!(self.peek(), Some(b'<' | b'>')) && word.bytes().all(|byte| byte.is_ascii_digit()) {
                        continue;
                    }
                    start.get_or_insert(from);
                    end = self.at;
                    words.push(word);
                }
            }
        }
        let Some(start) = start else { return };
        let closes = self.text[end..].trim_start().starts_with(')');
        let conditional =
            chained || self.depth > 0 || self.brackets > 0 || self.text[end..].trim_start().starts_with(['(', ')']);
        let written = self.text[start..end].trim_end();
        let mut command =
            Simple { words, written, conditional, background, fed, redirected, feeds, limited: false, subshell: false };
        command.subshell = self.brackets > 0 || closes;
        strip(&mut command);
        if !command.words.is_empty() {
            out.push(command);
        }
    }

    /// Whether a word at the beginning of a command is one of the shell's own, which is passed over.
    fn keyword(&mut self, word: &str) -> bool {
        match word {
            "if" | "while" | "until" | "for" | "case" | "{" => self.depth += 1,
            "fi" | "done" | "esac" | "}" => self.depth = self.depth.saturating_sub(1),
            "then" | "do" | "else" | "elif" | "!" => {}
            _ => return false,
        }
        true
    }

    fn redirection(&mut self) {
        let rest = &self.text[self.at..];
        let operator = ["<<<", "<<-", "<<", ">>", "<&", ">&", ">|", "<>", "<", ">"]
            .into_iter()
            .find(|operator| rest.starts_with(operator));
        let operator = operator.unwrap_or("<");
        self.at += operator.len();
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        let from = self.at;
        if matches!(self.peek(), None | Some(b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>')) {
            // A process substitution, or nothing.
            return;
        }
        let _ = self.word();
        if operator == "<<" || operator == "<<-" {
            let word = self.text[from..self.at].trim_matches(['"', '\'']).trim_start_matches('\\');
            self.heredocs.push((word, operator == "<<-"));
        }
    }

    fn skip_heredocs(&mut self) {
        for (word, tabs) in std::mem::take(&mut self.heredocs) {
            while self.at < self.text.len() {
                let rest = &self.text[self.at..];
                let line = rest.split('\n').next().unwrap_or_default();
                self.at += (line.len() + 1).min(rest.len());
                if (if tabs { line.trim_start_matches('\t') } else { line }) == word {
                    break;
                }
            }
        }
    }

    /// One word; `None` where its quotes do not end.
    fn word(&mut self) -> Option<Cow<'t, str>> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut built: Option<String> = None;
        // The word is a piece of the text as long as it is written without quotes, or in one pair of them.
        let take = |built: &mut Option<String>, upto: usize, piece: &str| {
            built.get_or_insert_with(|| self_text(self.text, start, upto)).push_str(piece);
        };
        while let Some(byte) = bytes.get(self.at).copied() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' => break,
                b'\'' | b'"' => {
                    let open = self.at;
                    let close = self.closing(open)?;
                    let inner = &self.text[open + 1..close];
                    self.at = close + 1;
                    let ends = bytes.get(self.at).is_none_or(|byte| b" \t\r\n;&|()<>".contains(byte));
                    if open == start && ends && !(byte == b'"' && inner.contains('\\')) {
                        return Some(Cow::Borrowed(inner));
                    }
                    take(&mut built, open, inner);
                }
                b'\\' => {
                    let next = self.text[self.at + 1..].chars().next();
                    let length = next.map_or(0, char::len_utf8);
                    let piece = &self.text[self.at + 1..self.at + 1 + length];
                    take(&mut built, self.at, if piece == "\n" { "" } else { piece });
                    self.at += 1 + length;
                }
                b'$' | b'`' if byte == b'`' || bytes.get(self.at + 1) == Some(&b'(') => {
                    let from = self.at;
                    self.at = self.substitution(from)?;
                    if let Some(built) = &mut built {
                        built.push_str(&self.text[from..self.at]);
                    }
                }
                _ => {
                    let length = self.text[self.at..].chars().next().map_or(1, char::len_utf8);
                    if let Some(built) = &mut built {
                        built.push_str(&self.text[self.at..self.at + length]);
                    }
                    self.at += length;
                }
            }
        }
        Some(built.map_or_else(|| Cow::Borrowed(&self.text[start..self.at]), Cow::Owned))
    }

    /// Where a quote ends.
    fn closing(&mut self, open: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let quote = bytes[open];
        let mut at = open + 1;
        while let Some(byte) = bytes.get(at) {
            if *byte == quote {
                return Some(at);
            }
            at += if *byte == b'\\' && quote == b'"' { 2 } else { 1 };
        }
        self.at = self.text.len();
        None
    }

    /// Where `$(…)` or a pair of backticks ends.
    fn substitution(&mut self, from: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = from + if bytes[from] == b'`' { 1 } else { 2 };
        let mut open = 1_usize;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'`' if bytes[from] == b'`' => return Some(at + 1),
                b'(' if bytes[from] == b'$' => open += 1,
                b')' if bytes[from] == b'$' => {
                    open -= 1;
                    if open == 0 {
                        return Some(at + 1);
                    }
                }
                b'\\' => at += 1,
                _ => {}
            }
            at += 1;
        }
        self.at = self.text.len();
        None
    }
}

fn self_text(text: &str, start: usize, end: usize) -> String {
    text[start..end].to_string()
}
