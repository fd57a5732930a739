//! Shell text as far as the checks of order need it: which simple commands there are, in which order, and whether each
//! always runs. What is not sure is left out; whether the text parses is another room's question.

use std::borrow::Cow;

/// So many commands of one text are looked at.
const MOST: usize = 2_000;
/// `sh -c` in `sh -c` in …
const DEEPEST: usize = 3;

/// A simple command: a program and its arguments, without redirections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Simple<'t> {
    /// The program's name without its folder comes first; quotes are taken away.
    pub words: Vec<Cow<'t, str>>,
    /// As it is written.
    pub written: &'t str,
    /// Behind `if`, `&&`, `||`, in a loop, a function or a subshell: it may not run, or not as it seems.
    pub conditional: bool,
    /// `&` follows.
    pub background: bool,
    /// What it reads comes from another command.
    pub fed: bool,
    /// What it reads is named: `< file`, a here-document.
    pub redirected: bool,
    /// What it writes goes to another command.
    pub feeds: bool,
    /// `timeout` ends it.
    pub limited: bool,
    /// In parentheses, which as a whole may run in the background.
    pub subshell: bool,
}

impl Simple<'_> {
    pub(super) fn program(&self) -> &str {
        self.words.first().map_or("", |word| word.rsplit('/').next().unwrap_or_default())
    }

    pub(super) fn arguments(&self) -> &[Cow<'_, str>] {
        self.words.get(1..).unwrap_or_default()
    }

    /// Arguments that are no options.
    pub(super) fn operands(&self) -> impl Iterator<Item = &str> {
        self.arguments().iter().map(AsRef::as_ref).filter(|word: &&str| !word.starts_with('-'))
    }

    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.arguments().iter().any(|word| names.contains(&word.as_ref()))
    }
}

/// The simple commands of a shell text.
pub(super) fn commands(text: &str) -> Vec<Simple<'_>> {
    let mut out = Vec::new();
    Splitter { text, at: 0, depth: 0, brackets: 0, chained: false, fed: false, heredocs: Vec::new() }.run(&mut out);
    let nested: Vec<Simple<'_>> = out.iter().flat_map(|command| nested(command, DEEPEST)).collect();
    out.extend(nested);
    out
}

/// The one command of a list of words, and those in its `sh -c`.
pub(super) fn list<'t>(words: &[&'t str], written: &'t str) -> Vec<Simple<'t>> {
    let words = words.iter().map(|word| Cow::Borrowed(*word)).collect();
    let mut command = Simple {
        words,
        written,
        conditional: false,
        background: false,
        fed: false,
        redirected: false,
        feeds: false,
        limited: false,
        subshell: false,
    };
    strip(&mut command);
    let mut out = vec![command];
    let inner = nested(&out[0], DEEPEST);
    out.extend(inner);
    out
}

/// The commands in `sh -c '…'`.
fn nested<'t>(command: &Simple<'t>, depth: usize) -> Vec<Simple<'t>> {
    if depth == 0 || !matches!(command.program(), "sh" | "bash" | "dash") {
        return Vec::new();
    }
    let Some(at) =
        command.words.iter().position(|word| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'))
    else {
        return Vec::new();
    };
    // Only what was written without escapes is text of the document.
    let Some(Cow::Borrowed(text)) = command.words.get(at + 1) else { return Vec::new() };
    let mut out = Vec::new();
    Splitter { text, at: 0, depth: 0, brackets: 0, chained: false, fed: false, heredocs: Vec::new() }.run(&mut out);
    let deeper: Vec<Simple<'t>> = out.iter().flat_map(|command| nested(command, depth - 1)).collect();
    out.extend(deeper);
    for inner in &mut out {
        inner.conditional |= command.conditional;
        inner.background |= command.background;
        inner.limited |= command.limited;
        inner.subshell |= command.subshell;
    }
    out
}

/// Takes away what stands in front of the program: assignments, `sudo`, `env`, `timeout 5` …
fn strip(command: &mut Simple<'_>) {
    loop {
        let Some(first) = command.words.first() else { return };
        let is_assignment = first.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        let mut skip = 1;
        match first.rsplit('/').next().unwrap_or_default() {
            _ if is_assignment => {}
            "sudo" | "env" | "nohup" | "exec" | "time" | "setsid" | "builtin" => {
                while command.words.get(skip).is_some_and(|word| word.starts_with('-')) {
                    // `sudo -u ada`, `env -u NAME`
                    skip += if matches!(command.words[skip].as_ref(), "-u" | "-g" | "--user") { 2 } else { 1 };
                }
            }
            "nice" | "ionice" => {
                while command.words.get(skip).is_some_and(|word| word.starts_with('-')) {
                    skip += if matches!(command.words[skip].as_ref(), "-n" | "-c") { 2 } else { 1 };
                }
            }
            "timeout" => {
                command.limited = true;
                while command.words.get(skip).is_some_and(|word| word.starts_with('-')) {
                    skip += if matches!(command.words[skip].as_ref(), "-k" | "-s") { 2 } else { 1 };
                }
                skip += 1;
            }
            "cloud-init-per" => {
                command.conditional = true;
                skip = 3;
            }
            _ => return,
        }
        command.words.drain(..skip.min(command.words.len()));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let marks = |command: &Simple<'_>| {
            let marks =
                [(command.conditional, "?"), (command.background, "&"), (command.feeds, "|"), (command.limited, "<")];
            marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect::<String>()
        };
        commands(text).iter().map(|command| format!("{}{}", marks(command), command.words.join(","))).collect()
    }

    #[test]
    fn commands_are_split_as_the_shell_does() {
        assert_eq!(shown("a b; c 'd e' \"f\" # x\ng\\ h"), ["a,b", "c,d e,f", "g h"]);
        assert_eq!(shown("a && b || c & d | e"), ["a", "?b", "?&c", "|d", "e"]);
        assert_eq!(shown("if a; then b; fi; c"), ["?a", "?b", "c"]);
        assert_eq!(shown("for x in 1 2; do a $x; done\n(b; c) & d"), ["?x,in,1,2", "?a,$x", "?b", "?c", "d"]);
        assert_eq!(shown("cat > /x <<'EOF'\nreboot\nEOF\nls 2>/dev/null >&2"), ["cat", "ls"]);
        assert_eq!(shown("A=b sudo -u ada -E env X=1 /usr/bin/apt-get install x"), ["/usr/bin/apt-get,install,x"]);
        assert_eq!(shown("timeout -k 1 5 a; cloud-init-per once x b"), ["<a", "?b"]);
        assert_eq!(shown("echo $(reboot; x) `y z` \"$(a)\""), ["echo,$(reboot; x),`y z`,$(a)"]);
        assert_eq!(shown("sh -ec 'a; b' && c"), ["sh,-ec,a; b", "?c", "a", "b"]);
        assert_eq!(shown("é 'unended"), ["é"]);
        assert!(shown("'").is_empty() && shown("$(").is_empty() && shown("\\").len() < 2);
    }

    #[test]
    fn lists_are_one_command() {
        let found = list(&["bash", "-c", "a; b"], "x");
        assert_eq!(found.iter().map(Simple::program).collect::<Vec<_>>(), ["bash", "a", "b"]);
    }
}
