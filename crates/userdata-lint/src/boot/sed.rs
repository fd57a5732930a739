//! Reads the expressions of `sed` as GNU sed does, to find those that it rejects.
//!
//! Only the form is read, not the regular expressions. Where the result depends on anything else, the
//! expression counts as correct.

use std::iter::Peekable;
use std::str::Chars;

use super::steps::BootStep;
use crate::places::finding;
use crate::rules;
use crate::shell::SimpleCommand;
use diagnostics::source::Source;
use diagnostics::{Diagnostic, quoted};

pub(super) fn check(source: &Source, step: &BootStep<'_>, out: &mut Vec<Diagnostic>) {
    for command in step.commands.iter().filter(|command| command.program() == "sed") {
        for expression in expressions(command) {
            let Some(fault) = rejected(expression) else { continue };
            let written = if command.written.contains(expression) { expression } else { command.written };
            let (message, help) = match fault {
                SedFault::UnknownOption(option, delimiter) => (
                    format!("`sed` rejects this expression: {} is not an option of `s`", quoted(&option.to_string())),
                    Some(format!(
                        "each `{delimiter}` ends a part of `s{delimiter}…{delimiter}…{delimiter}`: write `\\{delimiter}` inside, \
                         or use another separator, such as `s{0}…{0}…{0}`",
                        if delimiter == '|' { ',' } else { '|' }
                    )),
                ),
                SedFault::UnknownCommand => (
                    "`sed` rejects this expression: no command follows the address between slashes".to_owned(),
                    Some(
                        "write `\\/` for each slash of the address, or use another separator, as in `\\|…|d`"
                            .to_owned(),
                    ),
                ),
                SedFault::Unterminated(command, delimiter) => (
                    format!(
                        "`sed` rejects this expression: `{command}` needs three {}",
                        quoted(&delimiter.to_string())
                    ),
                    Some(format!("write `{command}{delimiter}…{delimiter}…{delimiter}`")),
                ),
            };
            let place = step.place(source, written);
            out.push(finding(&rules::INVALID_SED_EXPRESSION, step.path.clone(), place, message, help));
        }
    }
}

/// The expressions that a command gives to sed, if they are known.
fn expressions<'c>(command: &'c SimpleCommand<'_>) -> Vec<&'c str> {
    let mut out = Vec::new();
    let mut first = None;
    let mut words = command.arguments().iter().map(AsRef::as_ref);
    while let Some(word) = words.next() {
        if let Some(expression) = word.strip_prefix("--expression=") {
            out.push(expression);
        } else if word.starts_with("--") {
            match word {
                "--expression" => out.extend(words.next()),
                "--quiet" | "--silent" | "--in-place" | "--regexp-extended" | "--separate" | "--null-data"
                | "--follow-symlinks" | "--unbuffered" => {}
                _ if word.starts_with("--in-place=") => {}
                _ => return Vec::new(),
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            // The rest of the word after `i` is a suffix, after `e` an expression.
            let Some(at) = letters.find(|letter| !"nErsuz".contains(letter)) else { continue };
            match (&letters[at..=at], &letters[at + 1..]) {
                ("i", _) => {}
                ("e", "") => out.extend(words.next()),
                ("e", expression) => out.push(expression),
                _ => return Vec::new(),
            }
        } else if first.is_none() {
            first = Some(word);
        }
    }
    if out.is_empty() {
        out.extend(first);
    }
    // The value of a variable may be anything. A text may continue in the next expression.
    let is_known = |text: &&str| {
        let expands = text.split('$').skip(1).any(|rest| {
            rest.starts_with(|c: char| {
                c.is_ascii_alphanumeric() || matches!(c, '_' | '{' | '(' | '@' | '*' | '#' | '\'')
            })
        });
        !expands && !text.contains(['`', '\r']) && !text.contains("{{") && !text.contains("<%") && !text.ends_with('\\')
    };
    out.retain(is_known);
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SedFault {
    /// An option of `s`, and the delimiter.
    UnknownOption(char, char),
    /// A command and its delimiter.
    Unterminated(char, char),
    /// After an address such as `/etc/`.
    UnknownCommand,
}

type Text<'t> = Peekable<Chars<'t>>;

/// Why sed rejects an expression; `None` if it does not, or if this is not certain.
fn rejected(expression: &str) -> Option<SedFault> {
    let mut text = expression.chars().peekable();
    loop {
        while text.next_if(|c| c.is_ascii_whitespace() || matches!(c, ';' | '{' | '}')).is_some() {}
        text.peek()?;
        let has_pattern = address(&mut text)?;
        while text.next_if(|c| matches!(c, ' ' | '\t' | '!')).is_some() {}
        match text.next()? {
            '{' => {}
            '=' | 'd' | 'D' | 'g' | 'G' | 'h' | 'H' | 'n' | 'N' | 'p' | 'P' | 'x' | 'z' => {
                while text.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
                let next = *text.peek()?;
                if !matches!(next, ';' | '}' | '\n' | '#') {
                    return has_pattern.then_some(SedFault::UnknownCommand);
                }
            }
            'a' | 'i' | 'c' => text_argument(&mut text),
            'r' | 'w' | '#' => while text.next_if(|c| *c != '\n').is_some() {},
            'q' | 'Q' => while text.next_if(|c| c.is_ascii_digit() || *c == ' ').is_some() {},
            ':' | 'b' | 't' => {
                while let Some(character) = text.next_if(|c| !matches!(c, '\n' | ';')) {
                    if matches!(character, '}' | '#') {
                        return None;
                    }
                }
            }
            command @ ('s' | 'y') => {
                let delimiter = text.next()?;
                if delimiter == '\n' || delimiter == '\\' || delimiter.is_alphanumeric() || delimiter == ' ' {
                    return None;
                }
                if !pattern(&mut text, delimiter)? || !replacement(&mut text, delimiter) {
                    return Some(SedFault::Unterminated(command, delimiter));
                }
                if command == 'y' {
                    continue;
                }
                loop {
                    match text.next()? {
                        ';' | '\n' | '}' => break,
                        '#' => {
                            while text.next_if(|c| *c != '\n').is_some() {}
                            break;
                        }
                        'w' => {
                            while text.next_if(|c| *c != '\n').is_some() {}
                            break;
                        }
                        'g' | 'p' | 'i' | 'I' | 'm' | 'M' | 'e' | '0'..='9' | ' ' | '\t' => {}
                        option => return Some(SedFault::UnknownOption(option, delimiter)),
                    }
                }
            }
            'e' | 'F' | 'l' | 'L' | 'R' | 'T' | 'v' | 'W' => return None,
            _ => return has_pattern.then_some(SedFault::UnknownCommand),
        }
    }
}

/// Skips an address or a range; `None` if it is not understood.
/// Returns whether it ends with a regular expression between slashes.
fn address(text: &mut Text<'_>) -> Option<bool> {
    let mut has_pattern = false;
    loop {
        let first = *text.peek()?;
        has_pattern |= first == '/';
        match first {
            '$' => {
                text.next();
            }
            '0'..='9' | '+' | '~' => while text.next_if(|c| c.is_ascii_digit() || matches!(c, '+' | '~')).is_some() {},
            '/' => {
                text.next();
                pattern(text, '/')?.then_some(())?;
                while text.next_if(|c| matches!(c, 'I' | 'M' | ' ' | '\t')).is_some() {}
            }
            '\\' => {
                text.next();
                let delimiter = text.next()?;
                pattern(text, delimiter)?.then_some(())?;
                while text.next_if(|c| matches!(c, 'I' | 'M' | ' ' | '\t')).is_some() {}
            }
            _ => return Some(has_pattern),
        }
        while text.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        if text.next_if_eq(&',').is_none() {
            return Some(has_pattern);
        }
        while text.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
    }
}

/// Skips a replacement and its delimiter. Returns whether the delimiter was found.
fn replacement(text: &mut Text<'_>, delimiter: char) -> bool {
    while let Some(character) = text.next() {
        match character {
            '\n' => return false,
            '\\' => {
                text.next();
            }
            _ if character == delimiter => return true,
            _ => {}
        }
    }
    false
}

/// Skips a regular expression and its delimiter. Returns whether the delimiter was found; `None` if
/// versions of sed differ: newer ones take a delimiter in brackets as text.
fn pattern(text: &mut Text<'_>, delimiter: char) -> Option<bool> {
    while let Some(character) = text.next() {
        match character {
            '\n' => return Some(false),
            '\\' => {
                text.next();
            }
            _ if character == delimiter => return Some(true),
            '[' => skip_brackets(text, delimiter)?,
            _ => {}
        }
    }
    Some(false)
}

/// Skips the rest of `[…]`; `None` if it contains the delimiter, or has no end.
fn skip_brackets(text: &mut Text<'_>, delimiter: char) -> Option<()> {
    text.next_if_eq(&'^');
    text.next_if_eq(&']');
    loop {
        let character = text.next().filter(|character| *character != delimiter && *character != '\n')?;
        match character {
            ']' => return Some(()),
            // `[:alpha:]`
            '[' if text.next_if(|c| matches!(c, ':' | '.' | '=')).is_some() => {
                while text.next().filter(|character| *character != delimiter)? != ']' {}
            }
            '\\' => return None,
            _ => {}
        }
    }
}

/// Skips the text of `a`, `i` or `c`, which may continue on the next line.
fn text_argument(text: &mut Text<'_>) {
    while let Some(character) = text.next() {
        match character {
            '\n' => return,
            '\\' => {
                text.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_sed_does() {
        for text in [
            "s/^#X/s/^.*$/X .ssh/keys/",
            "/^#AuthorizedKeysFile/s/^.*$/AuthorizedKeysFile .ssh/authorized_keys/",
            "s/a/http://example.org/g",
            "s/a/b",
            "s/a",
            "s|a|b|c|",
            "s,a,b,c,",
            "s/a/b/;s/c/d/e/f/",
            "s/[[:space:]]*$/a/b/",
            "/etc/foo/d",
            "/home/user/d",
            "y/a/b",
            "s/a/b/k",
            "1s/a/b/c",
        ] {
            assert!(rejected(text).is_some(), "{text}");
        }
        for text in [
            "s/a/b/", "s|/a|/b|g", "s/a\\/b/c/", "s/[/]/x/", "s/[^/]*$/x/", "s/[[:space:]/]*x/y/", "s/a/b/gI",
            "s/a/b/2p", "s/a/b/w /dev/null", "/x/d", "/a/,/b/s/x/y/", "$a text/with/slash", "/x/i\\foo/bar/",
            "1i #!/bin/sh", ":a;N;$!ba;s/\\n/ /g", "/re/{s/a/b/;p}", "s/a/b/ # note", "s/a/b\\\nc/", "0,/a/s//b/",
            "/a/I p", "\\,/a/b,d", "s/a/&/;s#c#d/e#", "5q", "s/a/b/\ns/c/d/", "y/abc/xyz/", "s/a/[/", "s:a:b:",
            "/a/!s/b/c/", "r /etc/a/b", "s/[]/]/x/",
        ] {
            assert_eq!(rejected(text), None, "{text}");
        }
    }
}
