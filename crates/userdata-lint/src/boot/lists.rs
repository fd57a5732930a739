//! Items of `runcmd` and `bootcmd` as they are written: lists whose words mean something to a shell only, here-documents in folded text.

use crate::Document;
use crate::places::finding;
use crate::rules;
use crate::shell::{Interpreter, read};
use diagnostics::{Diagnostic, quoted};
use yaml11::Node;

/// Words that only a shell takes for more than text.
const OPERATORS: &[&str] = &["&&", "||", "|", ";", ">", ">>", "<", "&", "2>", "2>>", "&>", "2>&1", "1>&2", ">&2"];
/// Programs to which such words are arguments.
const TAKES_THEM: &[&str] = &[
    "[", "test", "expr", "find", "xargs", "sh", "bash", "dash", "zsh", "su", "ssh", "dpkg", "parallel", "awk", "rpm",
    "let", "runuser", "eval",
];
/// Programs that read `$NAME` themselves.
const EXPANDS: &[&str] =
    &["systemd-run", "envsubst", "make", "perl", "python3", "python", "php", "awk", "sed", "expect", "docker"];

pub(super) fn check(document: &Document<'_>, key: &str, index: usize, item: Node<'_>, out: &mut Vec<Diagnostic>) {
    match item.items() {
        Some(words) => list(key, index, &words.collect::<Vec<_>>(), out),
        None => {
            folded(document, key, index, item, out);
            expanded(document, key, index, item, out);
        }
    }
}

fn list(key: &str, index: usize, words: &[Node<'_>], out: &mut Vec<Diagnostic>) {
    let program = words.iter().filter_map(|word| word.as_str()).map(|word| word.rsplit('/').next().unwrap_or_default());
    let program =
        program.into_iter().find(|word| !matches!(*word, "sudo" | "env" | "nohup" | "timeout")).unwrap_or_default();
    if words.len() < 2 || TAKES_THEM.contains(&program) {
        return;
    }
    for (at, word) in words.iter().enumerate().skip(1) {
        let Some(text) = word.as_str() else { continue };
        let is_redirection = [">", "2>", "&>"].iter().any(|operator| {
            text.strip_prefix(operator).is_some_and(|rest| rest.trim_start_matches('>').trim_start().starts_with('/'))
        });
        let name = text.strip_prefix('$').map(|name| name.trim_start_matches('{').trim_end_matches('}'));
        let is_variable = name.is_some_and(|name| {
            name.len() > 1
                && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit())
        }) && !EXPANDS.contains(&program);
        let is_substitution = text.starts_with("$(") && text.ends_with(')') && !EXPANDS.contains(&program);
        if !(OPERATORS.contains(&text) || is_redirection || is_variable || is_substitution) {
            continue;
        }
        let message = format!("no shell reads a list: {} is handed to {} as it stands", quoted(text), quoted(program));
        let help = Some("write the command as one string, or as `[sh, -c, '…']`".into());
        out.push(finding(&rules::SHELL_OPERATOR_IN_LIST, format!("{key}.{index}.{at}"), word.used_at(), message, help));
        return;
    }
}

/// A folded text (`>`) joins its lines: a here-document in it never ends.
fn folded(document: &Document<'_>, key: &str, index: usize, item: Node<'_>, out: &mut Vec<Diagnostic>) {
    let Some(text) = item.as_str().filter(|_| crate::value::written(document.source, item).starts_with('>')) else {
        return;
    };
    let script = read(text, Interpreter::Sh).script;
    let Some(open) = script.here_documents.iter().find(|document| !document.is_closed) else { return };
    let message = format!(
        "a here-document in folded text: its lines are joined, and no line {} ends it",
        quoted(&open.delimiter)
    );
    let help = Some("write `|` instead of `>`; or write the file with `write_files`".into());
    out.push(finding(&rules::HERE_DOCUMENT_IN_FOLDED_TEXT, format!("{key}.{index}"), item.used_at(), message, help));
}

/// A script in a here-document whose word has no quotes: its arguments (`$1`) are those of the commands around it, which have none.
fn expanded(document: &Document<'_>, key: &str, index: usize, item: Node<'_>, out: &mut Vec<Diagnostic>) {
    let Some(text) = item.as_str().filter(|text| text.contains("<<")) else { return };
    // Commands that do have arguments: those of a function, or what `set --` gives.
    if text.contains("()") || text.contains("function ") || text.contains("set --") {
        return;
    }
    for here in read(text, Interpreter::Sh).script.here_documents.iter().filter(|here| !here.quoted) {
        let body = text.get(here.body.start..here.body.end).unwrap_or_default();
        let Some(line) = body.lines().find(|line| argument(line).is_some()) else { continue };
        if !body.trim_start_matches([' ', '\t']).starts_with("#!") {
            continue;
        }
        let place = super::place_in(document.source, item, line.trim());
        let message = format!(
            "the shell puts {} in while it writes the script, and has nothing for it: the script has an empty text there",
            quoted(argument(line).unwrap_or_default())
        );
        let help = Some(format!(
            "put the word that ends it into quotes: `<<'{}'`; or write the file with `write_files`",
            diagnostics::escape_control(&here.delimiter)
        ));
        out.push(finding(&rules::UNQUOTED_HERE_DOCUMENT, format!("{key}.{index}"), place, message, help));
        return;
    }
}

/// The first `$1`, `$@` … of a line, not behind a backslash.
fn argument(line: &str) -> Option<&str> {
    let mut found = line.match_indices('$').map(|(at, _)| at).filter(|at| !line[..*at].ends_with('\\'));
    let at = found.find(|at| {
        line[at + 1..].starts_with(|c: char| c.is_ascii_digit() && c != '0' || matches!(c, '@' | '*' | '#'))
    })?;
    Some(&line[at..at + 2])
}
