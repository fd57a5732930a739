//! Checks `sudoers` files and the rules in `users`. The parser reports only what every version of
//! sudo rejects.

use super::file::{Content, ContentFault};
use crate::cloud_config::CloudConfig;
use crate::rules;
use crate::value;
use diagnostics::closest;
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};
use yaml11::Node;

const ALIASES: [&str; 5] = ["User_Alias", "Runas_Alias", "Host_Alias", "Cmnd_Alias", "Cmd_Alias"];
const TAGS: [&str; 18] = [
    "NOPASSWD", "PASSWD", "NOEXEC", "EXEC", "SETENV", "NOSETENV", "LOG_INPUT", "NOLOG_INPUT", "LOG_OUTPUT",
    "NOLOG_OUTPUT", "MAIL", "NOMAIL", "FOLLOW", "NOFOLLOW", "FOLLOWLNK", "NOFOLLOWLNK", "INTERCEPT", "NOINTERCEPT",
];
const DIGESTS: [&str; 4] = ["sha224:", "sha256:", "sha384:", "sha512:"];

pub(super) fn check(content: &Content<'_>, out: &mut Vec<ContentFault>) {
    let below = content.path.strip_prefix("/etc/sudoers.d/");
    if below.is_none() && content.path != "/etc/sudoers" {
        return;
    }
    let first = content.text.lines().next().unwrap_or_default().len();
    if let Some(name) = below.filter(|name| name.contains('.') || name.ends_with('~')) {
        let message = format!("sudo ignores a file named {}", quoted(name));
        let help = Some("rename it; sudo treats names with `.` or a final `~` as backups".into());
        out.push(ContentFault::new(&rules::IGNORED_SUDOERS_FILE, Span::new(0, first), message, help));
    }
    if content.mode & 0o002 != 0 {
        let message = format!("sudo rejects a file that everyone can write: its mode is {:04o}", content.mode);
        let help = Some("write `permissions: '0440'`".into());
        out.push(ContentFault::new(&rules::WRITABLE_SUDOERS, Span::new(0, first), message, help));
    }
    // Lines that end with a backslash continue; positions are those of the first line.
    let mut lines = crate::places::lines(content.text);
    while let Some((start, line)) = lines.next() {
        let mut joined = line.to_string();
        while joined.ends_with('\\') {
            joined.pop();
            let Some((_, next)) = lines.next() else { break };
            joined.push_str(next);
        }
        if let Some(problem) = find_problem(&joined) {
            let from = start + (line.len() - line.trim_start().len());
            let to = start + line.trim_end().len();
            // The span of the invalid word.
            let place =
                problem.word.as_ref().and_then(|word| content.text[from..to].find(word.as_str()).map(|at| (at, word)));
            let span = place.map_or(Span::new(from, to), |(at, word)| Span::new(from + at, from + at + word.len()));
            out.push(ContentFault::new(&rules::MALFORMED_SUDOERS, span, problem.message, problem.help));
        }
    }
}

/// Checks `users[].sudo`, which cloud-init writes to `/etc/sudoers.d` after the user's name.
pub(crate) fn check_sudo_of_users(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    let tree = document.tree;
    let Some(items) = document.get("users").and_then(Node::items) else { return };
    for (index, user) in items.enumerate() {
        let Some(sudo) = value::get(tree, user, "sudo") else { continue };
        let all: Vec<(String, Node<'_>)> = match sudo.items() {
            Some(rules) => rules.enumerate().map(|(rule, node)| (format!("users.{index}.sudo.{rule}"), node)).collect(),
            None => vec![(format!("users.{index}.sudo"), sudo)],
        };
        for (path, node) in all {
            let Some(text) = node.as_str().filter(|text| !text.trim().is_empty()) else { continue };
            let Some(problem) = find_problem(&format!("user {text}")) else { continue };
            let place = problem.word.as_ref().and_then(|word| text.find(word.as_str()).map(|at| (at, word.len())));
            let (at, length) = place.unwrap_or((0, text.len()));
            let span = Span::new(at, at + length);
            let fault = ContentFault::new(&rules::MALFORMED_SUDOERS, span, problem.message, problem.help);
            super::report_in_scalar(document.source, node, false, &path, text, vec![fault], out);
        }
    }
}

struct SudoersProblem {
    /// The invalid word, if it is one word.
    word: Option<String>,
    message: String,
    help: Option<String>,
}

#[allow(clippy::unnecessary_wraps, reason = "the return type of every function here")]
fn invalid(word: Option<&str>, message: impl Into<String>, help: impl Into<String>) -> Option<SudoersProblem> {
    Some(SudoersProblem { word: word.map(str::to_owned), message: message.into(), help: Some(help.into()) })
}

/// The positions of a byte that is neither quoted nor escaped.
fn unquoted_positions(text: &str, wanted: u8) -> impl Iterator<Item = usize> {
    let mut quoted = false;
    let mut escaped = false;
    text.bytes().enumerate().filter_map(move |(at, byte)| {
        let plain = !quoted && !escaped;
        if byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = byte == b'\\' && !escaped;
        (plain && byte == wanted).then_some(at)
    })
}

/// The problem for which sudo would reject a line.
fn find_problem(line: &str) -> Option<SudoersProblem> {
    // `#1000` is a user by number, and `#include` an old directive.
    let mut line = line.trim();
    if line.starts_with('#') && !line[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Some(comment) = unquoted_positions(line, b'#').find(|at| {
        *at > 0 && line[..*at].ends_with([' ', '\t']) && !line[at + 1..].starts_with(|c: char| c.is_ascii_digit())
    }) {
        line = line[..comment].trim_end();
    }
    let first = line.split_whitespace().next()?;
    if line.starts_with('@') || line.starts_with("Defaults") {
        return None;
    }
    if ALIASES.contains(&first) {
        return check_alias(line[first.len()..].trim());
    }
    // A regular expression may contain anything.
    if line.contains('^') {
        return None;
    }
    let Some(equals) = unquoted_positions(line, b'=').next() else {
        let help = "write `user host=(runas) commands`, such as `ada ALL=(ALL) NOPASSWD:ALL`";
        return invalid(None, "expected `=` between hosts and commands", help);
    };
    let (before, after) = (line[..equals].trim_end(), line[equals + 1..].trim());
    if before.split_whitespace().count() < 2 && !before.contains([',', '"']) {
        let help = "write `user host=(runas) commands`, such as `ada ALL=(ALL) NOPASSWD:ALL`";
        return invalid(None, "expected a user and a host before `=`", help);
    }
    check_commands(after)
}

/// `NAME = a, b`
fn check_alias(text: &str) -> Option<SudoersProblem> {
    let Some((name, members)) = text.split_once('=') else {
        return invalid(
            None,
            "expected `=` after the name of the alias",
            "write `Cmnd_Alias NAME = /usr/bin/one, /usr/bin/two`",
        );
    };
    let name = name.trim();
    let good = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if !good {
        let message = format!("expected the name of an alias in capital letters, found {}", quoted(name));
        return invalid(Some(name), message, "use capital letters, digits and `_`");
    }
    if members.trim().is_empty() || members.trim_end().ends_with(',') {
        return invalid(
            None,
            "expected another member of the alias, found the end of the line",
            "remove the comma, or add a member",
        );
    }
    None
}

/// The part after `=`: `(user) TAG: command, command`.
fn check_commands(text: &str) -> Option<SudoersProblem> {
    let mut text = text;
    if text.is_empty() {
        return invalid(
            None,
            "expected commands after `=`, found the end of the line",
            "write `ALL`, or the full paths of programs",
        );
    }
    // Further hosts after `:` are not parsed.
    let mut items: Vec<&str> = Vec::new();
    let mut open = false;
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\\' | b'"' => return None,
            b'(' => open = true,
            b')' => open = false,
            b',' if !open => {
                items.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if open {
        return invalid(None, "`(` is not closed", "write `(user)` or `(user:group)`");
    }
    items.push(&text[from..]);
    let count = items.len();
    for (index, item) in items.into_iter().enumerate() {
        text = item.trim();
        if text.is_empty() {
            let found = if index + 1 == count { "the end of the line" } else { "a comma" };
            return invalid(None, format!("expected a command, found {found}"), "remove the comma, or add a command");
        }
        if let Some(rest) = text.strip_prefix('(') {
            text = rest.split_once(')').map_or("", |(_, rest)| rest).trim_start();
            if text.is_empty() {
                return invalid(None, "expected commands after `(…)`", "write `ALL`, or the full paths of programs");
            }
        }
        // Tags, and options such as `CWD=/tmp`.
        loop {
            let length = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
            let (word, rest) = text.split_at(length);
            let rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix(':').filter(|_| !word.is_empty()) {
                if DIGESTS.iter().any(|digest| text.starts_with(digest)) {
                    return None;
                }
                if !TAGS.contains(&word) {
                    let help = match TAGS
                        .iter()
                        .find(|tag| tag.eq_ignore_ascii_case(word))
                        .copied()
                        .or_else(|| closest(word, TAGS))
                    {
                        Some(near) => format!("did you mean `{near}:`?"),
                        None => "use a tag such as `NOPASSWD:` or `SETENV:`".into(),
                    };
                    // `: host = commands` begins a second list.
                    if rest.contains('=') {
                        return None;
                    }
                    return invalid(Some(word), format!("sudo does not know the tag {}", quoted(word)), help);
                }
                text = after.trim_start();
            } else if rest.starts_with('=') {
                return None;
            } else {
                break;
            }
        }
        if let Some(found) = check_command(text) {
            return Some(found);
        }
    }
    None
}

/// One command: `ALL`, an alias, `sudoedit`, or an absolute path.
fn check_command(text: &str) -> Option<SudoersProblem> {
    let text = text.trim_start_matches(['!', ' ']);
    let word = text.split_whitespace().next().unwrap_or_default();
    let is_alias = word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if word.starts_with(['/', '*', '%', '+', '[']) || matches!(word, "sudoedit" | "list") || word.contains(':') {
        return None;
    }
    if is_alias {
        let more = text[word.len()..].trim_start();
        if TAGS.contains(&word) {
            let help = format!("add a colon: `{word}:`");
            return invalid(Some(word), format!("expected a command, found the tag {}", quoted(word)), help);
        }
        if !more.is_empty() && word == "ALL" && !more.starts_with(':') {
            return invalid(
                Some(more),
                format!("expected a comma after `ALL`, found {}", quoted(more)),
                "separate commands with commas",
            );
        }
        return None;
    }
    let message = format!("expected `ALL` or the full path of a program, found {}", quoted(word));
    invalid((!word.is_empty()).then_some(word), message, format!("write the full path, such as `/usr/bin/{word}`"))
}
