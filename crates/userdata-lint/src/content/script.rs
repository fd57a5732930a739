//! Checks shell scripts: files, user-data, and the commands of `runcmd` and `bootcmd`.

use super::file::{Content, ContentFault};
use crate::boot;
use crate::cloud_config::CloudConfig;
use crate::rules;
use crate::shell::{self, Dialect, Interpreter, ParsedScript};
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};
use yaml11::Node;

const USE_BASH: &str = "begin the script with `#!/bin/bash`, or use POSIX syntax only";

/// Checks a file that a shell reads, by its first line or its directory.
pub(super) fn check(content: &Content<'_>, out: &mut Vec<ContentFault>) {
    // An appended text may begin in the middle of a script.
    if content.appends {
        return;
    }
    if let Some(interpreter) = Interpreter::from_script(content.text) {
        check_script(content.text, interpreter, content.text, out);
    } else if content.path.starts_with("/etc/profile.d/") && super::file::has_ending(content.path, "sh") {
        check_syntax(content.text, Interpreter::Sh, out);
    }
}

/// Checks a user-data script or the script of a boothook.
pub(crate) fn check_user_data_script(text: &str) -> Vec<ContentFault> {
    let mut out = Vec::new();
    let Some(interpreter) = Interpreter::from_script(text) else { return out };
    // cloud-init converts Windows line ends if the first line has one.
    if !text.split('\n').next().is_some_and(|line| line.ends_with('\r')) {
        check_script(text, interpreter, text, &mut out);
        return out;
    }
    let unix = text.replace("\r\n", "\n");
    check_script(&unix, interpreter, &unix, &mut out);
    let ends: Vec<usize> = text.match_indices("\r\n").enumerate().map(|(before, (at, _))| at - before).collect();
    let original = |at: usize| at + ends.partition_point(|end| *end < at);
    for fault in &mut out {
        for span in std::iter::once(&mut fault.span).chain(fault.related.iter_mut().map(|(span, _)| span)) {
            *span = Span::new(original(span.start), original(span.end));
        }
    }
    out
}

/// Whether a script exits before this point unless bash runs it, such as `[ -n "$BASH_VERSION" ] ||
/// return 0`. Other shells never read the rest.
fn exits_unless_bash(before: &str) -> bool {
    let leaves = |line: &str| {
        line.split_ascii_whitespace().any(|word| ["return", "exit", "exec"].contains(&word.trim_end_matches(';')))
    };
    before.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("BASH_VERSION") && leaves(line))
}

/// Checks a whole script: what its shell cannot parse, or else the first thing that it does not have.
/// `around` is the text that tells for which distribution the script is.
fn check_script(text: &str, interpreter: Interpreter, around: &str, out: &mut Vec<ContentFault>) {
    let before = out.len();
    check_syntax(text, interpreter, out);
    let is_posix = matches!(interpreter, Interpreter::Sh | Interpreter::Dash);
    if is_posix && out.len() == before && !text.contains("\r\n") && !uses_bash_as_sh(around) {
        out.extend(missing_in_dash(text).into_iter().next());
    }
}

/// Reports syntax errors and unterminated here-documents.
fn check_syntax(text: &str, interpreter: Interpreter, out: &mut Vec<ContentFault>) {
    // Windows line ends are reported separately, and would cause misleading errors.
    let has_windows_line_ends = text.starts_with("#!") && text.contains("\r\n");
    if has_windows_line_ends || interpreter == Interpreter::Ash {
        return;
    }
    let ParsedScript { script, posix_error } = shell::read(text, interpreter);
    let line_of =
        |error: &shell::ShellError| text[..error.span.start.min(text.len())].rfind('\n').map_or(0, |end| end + 1);
    if let Some(error) = posix_error.filter(|error| !exits_unless_bash(&text[..line_of(error)])) {
        let line = line_of(&error);
        let span = if error.span.end > error.span.start { error.span } else { Span::new(line, error.span.start) };
        let message = format!("only bash accepts this; for the `sh` of Debian and Ubuntu: {}", error.message);
        out.push(ContentFault::new(&rules::BASH_SYNTAX_IN_SH, span, message, Some(USE_BASH.into())));
        return;
    }
    if let Some(error) = script.error {
        let mut found = ContentFault::new(&rules::SHELL_SYNTAX_ERROR, error.span, error.message, error.help);
        found.related.extend(error.opened);
        out.push(found);
    }
    for document in script.here_documents.iter().filter(|document| script.is_understood && !document.is_closed) {
        let message = format!(
            "the here-document has no final line {}: it continues to the end of the script",
            quoted(&document.delimiter)
        );
        let help = if text.lines().any(|line| line.trim() == document.delimiter) {
            "the final line must contain nothing else, not even spaces"
        } else {
            "end it with a line that contains only the delimiter"
        };
        out.push(ContentFault::new(&rules::UNTERMINATED_HERE_DOCUMENT, document.span, message, Some(help.to_string())));
    }
}

/// Checks `runcmd` and `bootcmd`. cloud-init joins all items into one script for `sh`, so a
/// construct may span several items. `[sh, -c, text]` contains a script of its own.
fn check_commands(document: &CloudConfig<'_>, key: &str, out: &mut Vec<Diagnostic>) {
    let Some(items) = document.get(key).and_then(Node::items) else { return };
    let mut script = String::new();
    // The position of each item in the script.
    let mut starts: Vec<(usize, usize, Node<'_>)> = Vec::new();
    for (index, item) in items.enumerate() {
        if let Some(text) = item.as_str() {
            // A here-document that YAML joins is reported once, as that.
            if boot::folded_here_document(document.source, item).is_some() {
                continue;
            }
            if script.len() + text.len() <= shell::MAX_SCRIPT_BYTES {
                starts.push((script.len(), index, item));
                script.push_str(text);
                script.push('\n');
            }
            continue;
        }
        let Some(mut words) = item.items() else { continue };
        let interpreter = words.next().and_then(Node::as_str).and_then(Interpreter::from_program);
        let Some(interpreter) = interpreter else { continue };
        let (Some(option), Some(node)) = (words.next().and_then(Node::as_str), words.next()) else { continue };
        let Some(text) = node.as_str() else { continue };
        if boot::folded_here_document(document.source, node).is_some() {
            continue;
        }
        if option.starts_with('-') && option.ends_with('c') && !option.starts_with("--") {
            let mut faults = Vec::new();
            check_script(text, interpreter, document.source.text(), &mut faults);
            faults.iter_mut().for_each(use_bash_in_list);
            super::report_in_scalar(document.source, node, false, &format!("{key}.{index}.2"), text, faults, out);
        }
    }
    let mut faults = Vec::new();
    check_syntax(&script, Interpreter::Sh, &mut faults);
    if faults.is_empty() && !uses_bash_as_sh(document.source.text()) {
        faults = missing_in_dash(&script);
    }
    for mut fault in faults {
        use_bash_in_list(&mut fault);
        let before = starts.partition_point(|(start, ..)| *start <= fault.span.start);
        let Some((start, index, item)) = before.checked_sub(1).and_then(|before| starts.get(before)) else { continue };
        let Some(text) = item.as_str() else { continue };
        fault.span = Span::new(fault.span.start - start, fault.span.end.saturating_sub(*start).min(text.len()));
        let related = std::mem::take(&mut fault.related);
        super::report_in_scalar(document.source, *item, false, &format!("{key}.{index}"), text, vec![fault], out);
        // The construct may have been opened by an earlier item.
        for (span, label) in related {
            let before = starts.partition_point(|(start, ..)| *start <= span.start);
            let Some((start, _, item)) = before.checked_sub(1).and_then(|before| starts.get(before)) else { continue };
            let Some(text) = item.as_str() else { continue };
            let places = crate::places::Places::of_scalar(document.source, *item, text);
            let place = places.span(Span::new(span.start - start, span.end.saturating_sub(*start).min(text.len())));
            if let Some(found) = out.last_mut() {
                found.related.push((place, label));
            }
        }
    }
}

/// The help for an item of `runcmd` or `bootcmd`, which has no first line of its own.
fn use_bash_in_list(fault: &mut ContentFault) {
    if fault.rule.code == rules::BASH_SYNTAX_IN_SH.code && fault.help.as_deref() == Some(USE_BASH) {
        fault.help = Some("use `[bash, -c, '…']`, or POSIX syntax only".into());
    }
}

/// Whether a text is for a distribution whose `sh` is bash, judging by its package manager.
fn uses_bash_as_sh(text: &str) -> bool {
    ["yum", "dnf", "zypper", "pacman", "apk "].iter().any(|manager| text.contains(manager))
}

/// Reports what dash parses but does not have.
fn missing_in_dash(script: &str) -> Vec<ContentFault> {
    // A script that tests which shell runs it handles both.
    if script.contains("BASH") || script.contains("source()") {
        return Vec::new();
    }
    let mut out = Vec::new();
    for (span, name) in shell::parse(script, Dialect::Posix).bash_only {
        let sh = "the `sh` of Debian and Ubuntu, dash,";
        let mut help = USE_BASH;
        let message = match name {
            option if option.starts_with('-') => {
                help = "use `printf`";
                format!("only bash's `echo` has {}; {sh} writes it as a part of the text", quoted(option))
            }
            "source" => format!("only bash has `source`; {sh} does not find it: use `.` instead"),
            "[[" => format!("only bash has `[[`; {sh} does not find it: use `[`, with `=` to compare strings"),
            "==" => format!("only bash has `==` in `[`; for {sh} the condition is an error, and false: use `=`"),
            option => format!("only bash has the option {}; {sh} ends the script here", quoted(option)),
        };
        out.push(ContentFault::new(&rules::BASH_SYNTAX_IN_SH, span, message, Some(help.into())));
    }
    out
}

pub(crate) fn check_runcmd(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    check_commands(document, "runcmd", out);
}

pub(crate) fn check_bootcmd(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    check_commands(document, "bootcmd", out);
}
