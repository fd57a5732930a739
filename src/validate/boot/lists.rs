//! Items of `runcmd` and `bootcmd` as they are written: lists whose words mean something to a shell only, here-documents in folded text.

use crate::diag::{Diagnostic, quoted};
use crate::validate::Document;
use crate::validate::message::finding;
use crate::validate::rules::runcmd as rule;
use crate::yaml::Node;

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
        None => folded(document, key, index, item, out),
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
        out.push(finding(&rule::OPERATOR_IN_LIST, format!("{key}.{index}.{at}"), word.used_at(), message, help));
        return;
    }
}

/// A folded text (`>`) joins its lines: a here-document in it never ends.
fn folded(document: &Document<'_>, key: &str, index: usize, item: Node<'_>, out: &mut Vec<Diagnostic>) {
    let Some(text) = item.as_str().filter(|_| crate::validate::value::written(document.source, item).starts_with('>'))
    else {
        return;
    };
    let mut rest = text;
    while let Some(at) = rest.find("<<") {
        let after = rest[at + 2..].trim_start_matches('-').trim_start();
        let word: String = after
            .trim_start_matches(['"', '\'', '\\'])
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        let is_word = word.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if is_word
            && !rest[at + 2..].starts_with('<')
            && !text.lines().any(|line| line.trim_start_matches('\t') == word)
        {
            let message =
                format!("a here-document in folded text: its lines are joined, and no line {} ends it", quoted(&word));
            let help = Some("write `|` instead of `>`; or write the file with `write_files`".into());
            out.push(finding(&rule::HEREDOC_IN_FOLDED_TEXT, format!("{key}.{index}"), item.used_at(), message, help));
            return;
        }
        rest = &rest[at + 2..];
    }
}
