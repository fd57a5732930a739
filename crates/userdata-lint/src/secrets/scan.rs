//! Finds secrets in a text: every prefix of `patterns.rs` and what follows it, except placeholders.

use super::patterns::{Alphabet, Form, PasswordOption, PrefixMatch, SecretKind, find_prefixes};
use diagnostics::source::{Span, floor_char_boundary};

/// Maximum number of secrets that are reported for one text.
const MAX_SECRETS: usize = 200;
const MAX_PRIVATE_KEY_BYTES: usize = 20_000;
const MAX_WEB_TOKEN_BYTES: usize = 8_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FoundSecret {
    pub kind: &'static SecretKind,
    /// The whole secret.
    pub span: Span,
    /// The number of bytes at its start that only identify the kind and may be shown.
    pub shown: usize,
}

/// The secrets in a text, in order.
pub(super) fn scan(text: &str) -> Vec<FoundSecret> {
    let mut out: Vec<FoundSecret> = Vec::new();
    for PrefixMatch { kind, start, end } in find_prefixes(text) {
        let Some((span, shown)) = match_form(text, start, end, kind.form) else { continue };
        // A part of the previous secret: a token in an assignment, a URL in a token.
        if let Some(last) = out.last_mut().filter(|last| last.span.end > span.start) {
            if matches!(last.kind.form, Form::Assignment(_) | Form::UserInfo) && matches!(kind.form, Form::Token(..)) {
                *last = FoundSecret { kind, span, shown };
            }
            continue;
        }
        if out.len() == MAX_SECRETS {
            break;
        }
        out.push(FoundSecret { kind, span, shown });
    }
    out
}

/// The span of the secret at a prefix, and how many bytes of it may be shown.
fn match_form(text: &str, start: usize, end: usize, form: Form) -> Option<(Span, usize)> {
    let bytes = text.as_bytes();
    match form {
        Form::Token(alphabet, least, most) => {
            // Inside a longer word, this is not a secret.
            let previous = start.checked_sub(1).map(|at| bytes[at]);
            let is_word = bytes[start].is_ascii_alphanumeric();
            if is_word && previous.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return None;
            }
            let stop = end_of_run(&bytes[..bytes.len().min(end + most + 1)], end, alphabet);
            let (body, length) = (&text[end..stop], stop - end);
            if length < least || length > most || is_placeholder(body) {
                return None;
            }
            if is_word && &text[start..end] == "AKIA" && !has_secret_near(text, stop) {
                return None;
            }
            if text[..end].ends_with("User-Key-File-") {
                return Some((Span::new(start, line_end(text, start)), end - start));
            }
            Some((Span::new(start, stop), end - start))
        }
        Form::Pem => pem(text, start),
        Form::Jwt => jwt(text, start),
        Form::UserInfo => user_info(text, end),
        Form::Assignment(least) => assignment(text, start, end, least),
        Form::Chpasswd => chpasswd(text, start),
        Form::Option(form) => option(text, start, end, form),
        Form::Quoted => quoted(text, end),
    }
}

/// The end of a run of characters of the alphabet.
fn end_of_run(bytes: &[u8], start: usize, alphabet: Alphabet) -> usize {
    bytes[start..].iter().position(|byte| !alphabet.has(*byte)).map_or(bytes.len(), |length| start + length)
}

fn line_end(text: &str, start: usize) -> usize {
    text[start..].find(['\n', '\r']).map_or(text.len(), |length| start + length)
}

/// Whether an AWS secret key (40 characters) is near the id of the access key, which is harmless
/// alone.
fn has_secret_near(text: &str, from: usize) -> bool {
    let to = floor_char_boundary(text, from + 240);
    let words = text[from..to].split(|c: char| !c.is_ascii() || !Alphabet::Base64.has(c as u8));
    words.into_iter().any(|word| {
        let word = word.trim_start_matches('=');
        word.len() == 40
            && word.bytes().any(|byte| byte.is_ascii_lowercase())
            && word.bytes().any(|byte| byte.is_ascii_uppercase())
            && !is_placeholder(word)
    })
}

/// An unencrypted PEM block whose label ends in `PRIVATE KEY` (or PGP's), with a plausible body.
fn pem(text: &str, start: usize) -> Option<(Span, usize)> {
    let label = text.get(start + "-----BEGIN ".len()..)?;
    let label = label.get(..label.find("-----").filter(|length| *length < 40)?)?;
    if !(label.ends_with("PRIVATE KEY") || label == "PGP PRIVATE KEY BLOCK") || label.starts_with("ENCRYPTED") {
        return None;
    }
    let body_start = start + "-----BEGIN ".len() + label.len() + 5;
    let limit = floor_char_boundary(text, body_start + MAX_PRIVATE_KEY_BYTES);
    // The next key begins, so this one has no end.
    let limit = text[body_start..limit].find("-----BEGIN ").map_or(limit, |length| body_start + length);
    let ending = text[body_start..limit].find("-----END ");
    let body_end = ending.map_or_else(|| line_end(&text[..limit], body_start), |length| body_start + length);
    let body = &text[body_start..body_end];
    if body.contains(",ENCRYPTED") {
        return None;
    }
    let key = body.bytes().filter(|byte| Alphabet::Base64.has(*byte)).count();
    let strange = body.bytes().filter(|byte| matches!(byte, b'<' | b'{' | b'$' | b'.' | b'*')).count();
    if key < 40 || strange > 0 || is_placeholder(body) {
        return None;
    }
    let end = ending.map_or(body_end, |_| {
        let rest = &text[body_end + 9..];
        body_end + 9 + rest.find("-----").filter(|length| *length < 40).map_or(0, |length| length + 5)
    });
    Some((Span::new(start, end), body_start - start))
}

fn jwt(text: &str, start: usize) -> Option<(Span, usize)> {
    let bytes = text.as_bytes();
    if start > 0 && Alphabet::Dotted.has(bytes[start - 1]) {
        return None;
    }
    let end = end_of_run(&bytes[..bytes.len().min(start + MAX_WEB_TOKEN_BYTES)], start, Alphabet::Dotted);
    let parts: Vec<&str> = text[start..end].split('.').collect();
    let fits = matches!(parts[..], [head, body, sign] if head.len() > 15 && body.starts_with("eyJ") && body.len() > 15 && sign.len() > 20);
    fits.then_some((Span::new(start, end), 3))
}

/// `user:password@` after `://`.
fn user_info(text: &str, start: usize) -> Option<(Span, usize)> {
    let stops = |c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '`' | '<' | '>' | '\\' | '|' | ';' | ',');
    let rest = &text[start..];
    let authority = &rest[..rest.find(stops).unwrap_or(rest.len())];
    let info = &authority[..authority.rfind('@')?];
    let (user, password) = info.split_once(':')?;
    if authority.len() > 500
        || is_placeholder(password)
        || password.contains(['[', ']', '<', '>', '*'])
        || ["pass", "password", "passwd", "pwd", "secret", "token"].contains(&password)
    {
        return None;
    }
    let at = start + user.len() + 1;
    Some((Span::new(at, at + password.len()), 0))
}

/// The literal value of `NAME=value` or `NAME: value`, with a minimum length.
fn assignment(text: &str, start: usize, end: usize, least: usize) -> Option<(Span, usize)> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    let mut at = end;
    if is_name(bytes[end - 1]) {
        // The prefix is the whole name, so the separator follows.
        let rest = &text[end..];
        let separator = rest.trim_start_matches([' ', '"', '\'']).strip_prefix(['=', ':'])?;
        at = text.len() - separator.trim_start_matches(' ').len();
        if rest.len() - separator.len() > 4 {
            return None;
        }
    }
    // `PASSWORD=` may be the end of a name; `--password=` is an option of its own.
    if bytes[start] == b'-' && start.checked_sub(1).is_some_and(|before| !bytes[before].is_ascii_whitespace()) {
        return None;
    }
    // `DB_PASSWORD: x` is a setting; `PASSWORD: x` may be a sentence.
    if bytes[end - 1] == b' ' && start.checked_sub(1).is_none_or(|before| bytes[before] != b'_') {
        return None;
    }
    let value = &text[at..floor_char_boundary(text, at + 1_001)];
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let (at, value) = match quote {
        Some(quote) => {
            let inner = &value[1..];
            (at + 1, &inner[..inner.find([quote, '\n'])?])
        }
        None => {
            let stops =
                |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '&' | '|' | ')' | ',' | '\\' | '`');
            (at, &value[..value.find(stops).unwrap_or(value.len())])
        }
    };
    let is_literal = !value.starts_with(['$', '/', '<', '{', '(', '%', '@', '-', '*', '!']) && !value.contains("$(");
    let long_enough = match least {
        0 => value.len() >= 4,
        40 => value.len() == 40,
        least => value.len() >= least && value.bytes().any(|byte| byte.is_ascii_digit()) && !value.contains(' '),
    };
    if !is_literal || !long_enough || value.len() > 1_000 || is_placeholder(value) {
        return None;
    }
    Some((Span::new(at, at + value.len()), 0))
}

/// The password of `echo user:password | chpasswd`, before the program's name.
fn chpasswd(text: &str, start: usize) -> Option<(Span, usize)> {
    let from = floor_char_boundary(text, start.saturating_sub(300));
    let line = text[from..start].rfind(['\n', '\r']).map_or(from, |at| from + at + 1);
    let (echo, program) = text[line..start].rsplit_once('|')?;
    let program = program.trim_start();
    let program = program.strip_prefix("sudo ").unwrap_or(program).trim_start();
    if !program.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'/') {
        return None;
    }
    let word = echo.trim_end().trim_end_matches(['"', '\'']);
    let word_start = word.rfind([' ', '"', '\'', '\t']).map_or(0, |at| at + 1);
    let (user, password) = word[word_start..].split_once(':')?;
    let is_echo = word[..word_start].contains("echo") || word[..word_start].contains("printf");
    // `chpasswd -e` reads hashes.
    let hashed = text[start..floor_char_boundary(text, start + 100)]
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .any(|word| word == "-e" || word == "--encrypted");
    let password = password.trim_end_matches("\\n");
    if !is_echo || user.is_empty() || hashed || password.starts_with('$') || is_placeholder(password) {
        return None;
    }
    let at = line + word_start + user.len() + 1;
    Some((Span::new(at, at + password.len()), 0))
}

/// How many bytes of a command are searched for an option.
const MAX_COMMAND_BYTES: usize = 2_000;

/// The password in an option of a command.
fn option(text: &str, start: usize, end: usize, form: PasswordOption) -> Option<(Span, usize)> {
    let before = text[..start].chars().next_back();
    if before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return None;
    }
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    if text[line..start].trim_start().starts_with('#') {
        return None;
    }
    let rest = &text[end..floor_char_boundary(text, end + MAX_COMMAND_BYTES)];
    let mut words = words(rest);
    while let Some((at, word)) = words.next() {
        let option = |names: &[&str]| names.contains(&word);
        let value = match form {
            PasswordOption::User if option(&["-u", "--user", "--proxy-user", "-U"]) => words.next(),
            PasswordOption::User => word
                .strip_prefix("--user=")
                .or_else(|| word.strip_prefix("-u").filter(|rest| rest.contains(':')))
                .map(|value| (at + word.len() - value.len(), value)),
            PasswordOption::Any if option(&["-p", "--password"]) => words.next(),
            PasswordOption::Attached | PasswordOption::Any => {
                word.strip_prefix("-p").filter(|value| value.len() >= 3).map(|value| (at + 2, value))
            }
        };
        let Some((at, value)) = value else { continue };
        let (at, value) = match form {
            PasswordOption::User => {
                let Some((user, password)) = value.split_once(':') else { continue };
                (at + user.len() + 1, password)
            }
            _ => (at, value),
        };
        let is_name = ["pass", "password", "passwd", "pwd", "secret", "token", "-"].contains(&value);
        if is_name || is_placeholder(value) || value.starts_with(['$', '<', '@', '-', '%']) {
            return None;
        }
        return Some((Span::new(end + at, end + at + value.len()), 0));
    }
    None
}

/// The words of a command until it ends, without quotes, and their places.
fn words(command: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    let mut is_over = false;
    std::iter::from_fn(move || {
        let rest = command.get(at..).filter(|_| !is_over)?;
        let skipped = rest.len() - rest.trim_start_matches([' ', '\t', ',', '\\']).len();
        // A backslash at the end of the line continues the command.
        let is_continued = rest[..skipped].ends_with('\\') && rest[skipped..].starts_with('\n');
        let mut start = at + skipped;
        if is_continued {
            start += command[start..].len() - command[start..].trim_start().len();
        }
        let rest = &command[start..];
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (from, length) = match quote {
            Some(quote) => (start + 1, rest[1..].find([quote, '\n'])?),
            None => (start, rest.find([' ', '\t', '\n', ',', '|', ';', '"', '\'', ')']).unwrap_or(rest.len())),
        };
        let word = &command[from..from + length];
        at = from + length + usize::from(quote.is_some());
        is_over = command[at..].starts_with(['\n', '|', ';']) || word == "&&" || word.is_empty() && quote.is_none();
        (!word.is_empty()).then_some((from, word)).or_else(|| (!is_over).then_some((from, word)))
    })
}

/// A text in quotes, as SQL writes it.
fn quoted(text: &str, end: usize) -> Option<(Span, usize)> {
    let rest = text[end..].trim_start_matches('\\');
    let at = text.len() - rest.len();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let length = rest[1..].find([quote, '\n', '\\'])?;
    let value = &rest[1..=length];
    if value.len() < 3 || is_placeholder(value) || value.contains(' ') {
        return None;
    }
    Some((Span::new(at + 1, at + 1 + length), 0))
}

/// Words that no real secret contains.
const PLACEHOLDER_WORDS: &[&str] = &[
    "changeme", "change_me", "change-me", "replace", "example", "placeholder", "yourpassword", "your_", "your-",
    "insert", "redacted", "dummy", "notreal", "todo", "fixme", "xxxx", "secret_here", "...", "****",
];

/// Whether a text is a placeholder: a variable, a template expression, `CHANGEME`, `<token>`,
/// `xxxx`.
pub(super) fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty()
        || text.starts_with('$') && !text.starts_with("$1$")
        || text.starts_with('%') && text.ends_with('%')
    {
        return true;
    }
    if ["${", "{{", "{%", "$(", "%(", "<%", "`"].iter().any(|mark| text.contains(mark)) {
        return true;
    }
    if text.starts_with(['<', '[', '{']) && text.ends_with(['>', ']', '}']) {
        return true;
    }
    let lower = text.to_ascii_lowercase();
    if PLACEHOLDER_WORDS.iter().any(|word| lower.contains(word))
        || matches!(lower.as_str(), "none" | "null" | "true" | "false" | "yes" | "no")
    {
        return true;
    }
    // A long text with few different characters, such as `0000…` or `abababab…`.
    let mut seen = [false; 256];
    text.bytes().for_each(|byte| seen[usize::from(byte)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    different == 1 && text.len() > 1 || text.len() >= 16 && different < 6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_recognized() {
        for text in [
            "CHANGEME", "${DB_PASSWORD}", "{{ token }}", "<token>", "xxxxxxxx", "$PASSWORD", "", "0000000000000000",
            "AKIAIOSFODNN7EXAMPLE", "your-token", "%DB%", "null", "change_me", "change-me", "replace-it", "example1",
            "placeholder", "yourpassword", "your_x1", "insert-it", "redacted1", "dummy1", "notreal", "todo1", "fixme1",
            "axxxx1", "secret_here", "a...b", "a****b", "None", "TRUE", "false", "yes", "no", "[token]", "{token}",
            "<%= a %>", "a`b`c", "a$(b)", "%(a)s", "{%a%}", " ", "aa", "abcdeabcdeabcdea", " ${a} ",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in [
            "hunter2", "passw0rd", "S3cret!", "$1$abc$def", "4f1d0c9a7be25368", "[abc", "abc]", "<abc", "%abc", "abc%",
            "a", "abcdeabcdeabcde", "abcdefabcdefabcd", "none1", "nope",
        ] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
