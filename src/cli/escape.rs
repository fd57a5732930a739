//! Escapes text where it leaves the program. Names, log lines and messages come from documents, droplets and APIs: none of
//! them may control the terminal, reorder its text, or give a command to the CI system that reads the log.

use std::borrow::Cow;
use std::fmt::Write as _;

use diagnostics::is_control;

/// Begin a command to a CI system, wherever they are in a line (GitHub and Azure Pipelines, TeamCity).
const COMMANDS: [&str; 3] = ["##[", "##vso[", "##teamcity["];

/// Escapes text of several lines: line ends and tabs stay.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if is_harmless(text) { Cow::Borrowed(text) } else { Cow::Owned(escape_lines(text, false)) }
}

/// Escapes text to which this program has added colours: these stay, too.
pub(super) fn escape_styled(text: &str) -> Cow<'_, str> {
    if is_harmless(text) { Cow::Borrowed(text) } else { Cow::Owned(escape_lines(text, true)) }
}

/// Escapes text that must stay on its line.
pub(super) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(&mut out, text.trim_end(), false);
    without_commands(&out, false).into_owned()
}

/// Escapes serialized JSON. What is escaped occurs in strings only, so that the value stays the same.
pub(super) fn escape_json(mut json: String) -> String {
    for command in COMMANDS.iter().filter(|_| json.contains("##")).copied().collect::<Vec<_>>() {
        json = json.replace(command, &command.replacen('#', "\\u0023", 1));
    }
    diagnostics::escape_control_in_json(json)
}

fn is_harmless(text: &str) -> bool {
    let is_plain = |character: char| matches!(character, '\n' | '\t') || !is_control(character);
    text.chars().all(is_plain) && !text.contains("::") && !text.contains("##")
}

fn escape_lines(text: &str, styled: bool) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let line = without_commands(line.strip_suffix('\r').unwrap_or(line), styled);
        for (at, cell) in line.split('\t').enumerate() {
            if at > 0 {
                out.push('\t');
            }
            push_escaped(&mut out, cell, styled);
        }
        out.push_str(end);
    }
    out
}

/// The line with its commands to a CI system escaped.
fn without_commands(line: &str, styled: bool) -> Cow<'_, str> {
    let visible = if styled { Cow::Owned(anstream::adapter::strip_str(line).to_string()) } else { Cow::Borrowed(line) };
    // GitHub ignores white space before a command.
    let is_command = visible.trim().strip_prefix("::").is_some_and(|rest| rest.contains("::"));
    let mut line = if is_command { Cow::Owned(line.replacen("::", "\\u{3a}:", 1)) } else { Cow::Borrowed(line) };
    for command in COMMANDS {
        if line.contains(command) {
            line = Cow::Owned(line.replace(command, &command.replacen('#', "\\u{23}", 1)));
        }
    }
    line
}

fn push_escaped(out: &mut String, text: &str, styled: bool) {
    let mut rest = text;
    while let Some(at) = rest.find(is_control) {
        let (before, control) = rest.split_at(at);
        out.push_str(before);
        let style = if styled { style_length(control) } else { 0 };
        let length = if style > 0 { style } else { control.chars().next().map_or(1, char::len_utf8) };
        let (control, after) = control.split_at(length);
        let _ = if style > 0 { out.write_str(control) } else { write!(out, "{}", control.escape_default()) };
        rest = after;
    }
    out.push_str(rest);
}

/// The length of the code for a colour or weight with which the text begins; 0 if there is none.
fn style_length(text: &str) -> usize {
    let Some(code) = text.strip_prefix("\u{1b}[") else { return 0 };
    let parameters = code.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    if code.as_bytes().get(parameters) == Some(&b'm') { 2 + parameters + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an attacker would write: a window title, the clipboard, the cursor, C1, reordering, a line.
    const HOSTILE: &str =
        "a\u{1b}]0;title\u{7}b\u{1b}]52;c;aGk=\u{7}c\u{1b}[2A\u{1b}[2Kd\u{9b}31me\u{202e}f\u{2066}g\rh";
    const ESCAPED: &str =
        "a\\u{1b}]0;title\\u{7}b\\u{1b}]52;c;aGk=\\u{7}c\\u{1b}[2A\\u{1b}[2Kd\\u{9b}31me\\u{202e}f\\u{2066}g\\rh";

    #[test]
    fn control_characters_are_escaped_and_lines_stay() {
        assert_eq!(escape(&format!("{HOSTILE}\n\tnext\r\n")), format!("{ESCAPED}\n\tnext\n"));
        assert_eq!(one_line(&format!("{HOSTILE}\n::error::x\n")), format!("{ESCAPED}\\n::error::x"));
        assert!(matches!(escape("plain\ttext ä\n"), Cow::Borrowed(_)));
        assert_eq!(escape(&escape(HOSTILE)), ESCAPED, "twice is once");
    }

    #[test]
    fn own_colours_stay_and_nothing_else() {
        let text = format!("\u{1b}[1;31merror\u{1b}[0m: {HOSTILE}");
        assert_eq!(escape_styled(&text), format!("\u{1b}[1;31merror\u{1b}[0m: {ESCAPED}"));
        assert_eq!(escape_styled("\u{1b}[31"), "\\u{1b}[31");
        assert_eq!(escape_styled("\u{1b}[38:5m"), "\\u{1b}[38:5m");
    }

    #[test]
    fn no_line_is_a_command_to_a_ci_system() {
        for (text, expected) in [
            ("x\n::error file=a,line=1::forged", "x\n\\u{3a}:error file=a,line=1::forged"),
            (" \u{a0}::stop-commands::t", " \u{a0}\\u{3a}:stop-commands::t"),
            ("a ##[error]b ##vso[task.complete]", "a \\u{23}#[error]b \\u{23}#vso[task.complete]"),
            // Addresses and paths are none.
            ("::1 localhost\nfe80::1::\n::ffff:0:0/96\nstd::fmt", "::1 localhost\nfe80::1::\n::ffff:0:0/96\nstd::fmt"),
        ] {
            assert_eq!(escape(text), expected);
        }
        assert_eq!(escape_styled("\u{1b}[31m::error::x\u{1b}[0m"), "\u{1b}[31m\\u{3a}:error::x\u{1b}[0m");
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({"name": format!("{HOSTILE}\u{7f}##[error]##vso[x]")});
        let text = escape_json(value.to_string());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert!(!text.chars().any(is_control) && !text.contains("##"), "{text}");
        assert_eq!(escape_json(format!("{value:#}")).lines().count(), 3);
    }
}
