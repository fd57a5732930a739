//! Shell scripts: as files, as user-data, and as the commands of `runcmd` and `bootcmd`.

use super::shell::{self, Dialect};
use super::{Content, Fault};
use crate::Document;
use crate::rules;
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};
use yaml11::Node;

/// Which shell reads a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    /// `sh`: dash on Debian and Ubuntu, bash on others.
    Sh,
    Dash,
    Bash,
}

impl Shell {
    /// By the name of a program, with or without its folder.
    fn of_program(name: &str) -> Option<Self> {
        match name.rsplit('/').next().unwrap_or_default() {
            "sh" => Some(Self::Sh),
            "dash" => Some(Self::Dash),
            "bash" => Some(Self::Bash),
            _ => None,
        }
    }

    /// By the first line of a script. Other interpreters are not known here.
    fn of_script(text: &str) -> Option<Self> {
        let line = text.strip_prefix("#!")?.lines().next()?;
        let mut words = line.split_ascii_whitespace();
        let program = words.next()?;
        if program.ends_with("/env") {
            let program = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
            return Self::of_program(program);
        }
        Self::of_program(program)
    }
}

/// Files that a shell reads: by their first line, or sourced by their place.
pub(super) fn check(content: &Content<'_>, out: &mut Vec<Fault>) {
    // What is added to a script may begin in the middle of it.
    if content.appends {
        return;
    }
    let sourced = || content.path.starts_with("/etc/profile.d/") && super::has_ending(content.path, "sh");
    let shell = Shell::of_script(content.text).or_else(|| sourced().then_some(Shell::Sh));
    if let Some(shell) = shell {
        judge(content.text, shell, out);
    }
}

/// A user-data script, or the script of a boothook: what is wrong in it.
pub(crate) fn script(text: &str) -> Vec<Fault> {
    let mut out = Vec::new();
    let Some(shell) = Shell::of_script(text) else { return out };
    // cloud-init takes Windows line ends away where the first line has one.
    if !text.split('\n').next().is_some_and(|line| line.ends_with('\r')) {
        judge(text, shell, &mut out);
        return out;
    }
    judge(&text.replace("\r\n", "\n"), shell, &mut out);
    let ends: Vec<usize> = text.match_indices("\r\n").enumerate().map(|(before, (at, _))| at - before).collect();
    let original = |at: usize| at + ends.partition_point(|end| *end < at);
    for fault in &mut out {
        for span in std::iter::once(&mut fault.span).chain(fault.related.iter_mut().map(|(span, _)| span)) {
            *span = Span::new(original(span.start), original(span.end));
        }
    }
    out
}

/// What stops the shell.
fn judge(text: &str, shell: Shell, out: &mut Vec<Fault>) {
    // Windows line ends have a finding of their own; what follows from them would only hide it.
    if text.lines().next().is_some_and(|line| line.starts_with("#!")) && text.contains("\r\n") {
        return;
    }
    let first = if shell == Shell::Bash { Dialect::Bash } else { Dialect::Posix };
    let mut outcome = shell::parse(text, first);
    let mut rule = &rules::SHELL_SYNTAX_ERROR;
    if let (Shell::Sh, Some(fault)) = (shell, &outcome.fault) {
        let bash = shell::parse(text, Dialect::Bash);
        if bash.fault.is_some() {
            outcome = bash;
        } else {
            rule = &rules::BASH_SYNTAX_IN_SH;
            let line = text[..fault.span.start.min(text.len())].rfind('\n').map_or(0, |end| end + 1);
            let span = if fault.span.end > fault.span.start { fault.span } else { Span::new(line, fault.span.start) };
            let message = format!("only bash reads this; for the `sh` of Debian and Ubuntu: {}", fault.message);
            let help = "begin the script with `#!/bin/bash`, or write it without what only bash has".to_string();
            out.push(Fault::new(rule, span, message, Some(help)));
            return;
        }
    }
    if let Some(fault) = outcome.fault {
        let mut found = Fault::new(rule, fault.span, fault.message, fault.help);
        found.related.extend(fault.opened);
        out.push(found);
    }
    for (span, delimiter) in outcome.unfinished {
        let message =
            format!("the here-document has no line {}: it goes on to the end of the script", quoted(&delimiter));
        let help = if text.lines().any(|line| line.trim() == delimiter) {
            "the line that ends it must hold nothing else, not even blanks in front of it"
        } else {
            "end it with a line that holds only that word"
        };
        out.push(Fault::new(&rules::UNTERMINATED_HERE_DOCUMENT, span, message, Some(help.to_string())));
    }
}

/// `runcmd` and `bootcmd`: cloud-init makes one script for `sh` of all items, so a construct may reach over several of them.
/// `[sh, -c, text]` holds a script of its own.
fn commands(document: &Document<'_>, key: &str, out: &mut Vec<Diagnostic>) {
    let Some(items) = document.get(key).and_then(Node::items) else { return };
    let mut script = String::new();
    // Each item's place in the script.
    let mut starts: Vec<(usize, usize, Node<'_>)> = Vec::new();
    for (index, item) in items.enumerate() {
        if let Some(text) = item.as_str() {
            if script.len() + text.len() <= shell::MOST_BYTES {
                starts.push((script.len(), index, item));
                script.push_str(text);
                script.push('\n');
            }
            continue;
        }
        let Some(mut words) = item.items() else { continue };
        let shell = words.next().and_then(Node::as_str).and_then(Shell::of_program);
        let Some(shell) = shell else { continue };
        let (Some(option), Some(node)) = (words.next().and_then(Node::as_str), words.next()) else { continue };
        let Some(text) = node.as_str() else { continue };
        if option.starts_with('-') && option.ends_with('c') && !option.starts_with("--") {
            let mut faults = Vec::new();
            judge(text, shell, &mut faults);
            super::in_scalar(document.source, node, false, &format!("{key}.{index}.2"), text, faults, out);
        }
    }
    let mut faults = Vec::new();
    judge(&script, Shell::Sh, &mut faults);
    if faults.is_empty() && !is_for_another_sh(document.source.text()) {
        faults = missing_in_dash(&script);
    }
    for mut fault in faults {
        if fault.rule.code == rules::BASH_SYNTAX_IN_SH.code {
            fault.help = Some("write `[bash, -c, '…']`, or the same without what only bash has".into());
        }
        let before = starts.partition_point(|(start, ..)| *start <= fault.span.start);
        let Some((start, index, item)) = before.checked_sub(1).and_then(|before| starts.get(before)) else { continue };
        let Some(text) = item.as_str() else { continue };
        fault.span = Span::new(fault.span.start - start, fault.span.end.saturating_sub(*start).min(text.len()));
        let related = std::mem::take(&mut fault.related);
        super::in_scalar(document.source, *item, false, &format!("{key}.{index}"), text, vec![fault], out);
        // What is open since an earlier item.
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

/// Distributions whose `sh` knows what bash knows, as far as their package managers tell.
fn is_for_another_sh(document: &str) -> bool {
    ["yum", "dnf", "zypper", "pacman", "apk "].iter().any(|manager| document.contains(manager))
}

/// Commands that dash reads, and then does not find.
fn missing_in_dash(script: &str) -> Vec<Fault> {
    // A script that asks which shell reads it knows what it does.
    if script.contains("BASH") || script.contains("source()") {
        return Vec::new();
    }
    let mut out = Vec::new();
    for (span, name) in shell::parse(script, Dialect::Posix).bash_only {
        let instead = if name == "source" { "`.` does the same" } else { "`[` compares, with `=` for texts" };
        let message =
            format!("only bash has {}: the `sh` of Debian and Ubuntu does not find it; {instead}", quoted(name));
        out.push(Fault::new(&rules::BASH_SYNTAX_IN_SH, span, message, None));
    }
    out
}

/// The check of `runcmd`.
pub(crate) fn runcmd(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    commands(document, "runcmd", out);
}

/// The check of `bootcmd`.
pub(crate) fn bootcmd(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    commands(document, "bootcmd", out);
}
