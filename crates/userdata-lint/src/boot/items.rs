//! Checks of single items: lists with shell syntax, here-documents in folded text, template
//! expressions without a template header, and package sources without a key.

use super::steps::{Boot, MAX_COMPARED, place_in};
use crate::cloud_config::CloudConfig;
use crate::places::finding;
use crate::rules;
use crate::shell::{Interpreter, read};
use crate::value::{self, path_at};
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, quoted};
use yaml11::Node;

/// Words that only a shell interprets.
const OPERATORS: &[&str] = &["&&", "||", "|", ";", ">", ">>", "<", "&", "2>", "2>>", "&>", "2>&1", "1>&2", ">&2"];
/// Programs that accept such words as arguments.
const ACCEPT_OPERATORS: &[&str] = &[
    "[", "test", "expr", "find", "xargs", "sh", "bash", "dash", "zsh", "su", "ssh", "dpkg", "parallel", "awk", "rpm",
    "let", "runuser", "eval",
];
/// Programs that expand `$NAME` themselves.
const EXPAND_VARIABLES: &[&str] =
    &["systemd-run", "envsubst", "make", "perl", "python3", "python", "php", "awk", "sed", "expect", "docker"];

pub(super) fn check(document: &CloudConfig<'_>, key: &str, index: usize, item: Node<'_>, out: &mut Vec<Diagnostic>) {
    match item.items() {
        Some(words) => {
            let words: Vec<_> = words.collect();
            check_list(key, index, &words, out);
            for (at, word) in words.into_iter().enumerate() {
                check_folded_text(document, format!("{key}.{index}.{at}"), word, out);
            }
        }
        None => {
            check_folded_text(document, format!("{key}.{index}"), item, out);
            check_here_documents(document, key, index, item, out);
        }
    }
}

fn check_list(key: &str, index: usize, words: &[Node<'_>], out: &mut Vec<Diagnostic>) {
    let program = words.iter().filter_map(|word| word.as_str()).map(|word| word.rsplit('/').next().unwrap_or_default());
    let program =
        program.into_iter().find(|word| !matches!(*word, "sudo" | "env" | "nohup" | "timeout")).unwrap_or_default();
    check_program_name(key, index, words, out);
    check_shell_words(key, index, words, out);
    if words.len() < 2 || ACCEPT_OPERATORS.contains(&program) {
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
        }) && !EXPAND_VARIABLES.contains(&program);
        let is_substitution = text.starts_with("$(") && text.ends_with(')') && !EXPAND_VARIABLES.contains(&program);
        if !(OPERATORS.contains(&text) || is_redirection || is_variable || is_substitution) {
            continue;
        }
        let message = format!(
            "a command in list form runs without a shell: {} is passed to {} literally",
            quoted(text),
            quoted(program)
        );
        let help = Some("write the command as one string, or as `[sh, -c, '…']`".into());
        out.push(finding(&rules::SHELL_OPERATOR_IN_LIST, format!("{key}.{index}.{at}"), word.used_at(), message, help));
        return;
    }
}

/// Reports `[sh, -c, apt-get, update]`: only the word after `-c` is the script.
fn check_shell_words(key: &str, index: usize, words: &[Node<'_>], out: &mut Vec<Diagnostic>) {
    let texts: Vec<_> = words.iter().map(|word| word.as_str().unwrap_or_default()).collect();
    let Some(at) = texts.iter().position(|text| *text == "-c") else { return };
    let is_shell = at == 1 && Interpreter::from_program(texts[0].rsplit('/').next().unwrap_or_default()).is_some();
    let (Some(script), Some(more)) = (texts.get(at + 1), texts.get(at + 2)) else { return };
    let is_word = !script.is_empty() && !script.contains(|c: char| c.is_whitespace() || "$;|&<>()'\"".contains(c));
    if !is_shell || !is_word || more.is_empty() {
        return;
    }
    let message =
        format!("only {} is the script: {} and the words after it are not passed to it", quoted(script), quoted(more));
    let help = Some("write the script as one text after `-c`".into());
    let path = format!("{key}.{index}.{}", at + 2);
    out.push(finding(&rules::SHELL_OPERATOR_IN_LIST, path, words[at + 2].used_at(), message, help));
}

/// Programs that run the program after them.
const PREFIXES: &[&str] = &["sudo", "env", "nohup", "exec", "nice", "ionice", "setsid"];
/// Directories whose programs have no blanks in their names.
const PROGRAM_DIRECTORIES: &[&str] =
    &["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/", "/snap/bin/"];

/// Reports a list whose program is a whole command line.
pub(super) fn check_program_name(key: &str, index: usize, words: &[Node<'_>], out: &mut Vec<Diagnostic>) {
    let is_prefix = |word: &Node<'_>| word.as_str().is_some_and(|text| PREFIXES.contains(&text));
    let at = words.iter().position(|word| !is_prefix(word)).unwrap_or_default();
    let Some((word, text)) = words.get(at).and_then(|word| Some((word, word.as_str()?.trim()))) else { return };
    let mut parts = text.split_whitespace();
    let (Some(program), Some(argument)) = (parts.next(), parts.next()) else { return };
    // A variable of another program may be any text; a directory may have a blank in its name.
    let is_sure = !program.starts_with(['$', '{', '%', '<', '-'])
        && (!program.contains('/')
            || PROGRAM_DIRECTORIES.iter().any(|directory| program.starts_with(directory))
            || argument.starts_with(['-', '/']));
    if !is_sure {
        return;
    }
    let message = format!(
        "a command in list form runs without a shell: cloud-init looks for a program with the name {}",
        quoted(text)
    );
    let rest = words.len() > 1;
    let help = if text.contains('\n') {
        "write the command as a string, without the list"
    } else if rest {
        "write each word as an item of the list, or the whole command as one string"
    } else {
        "write each word as an item of the list, or remove the brackets"
    };
    let path = format!("{key}.{index}.{at}");
    out.push(finding(&rules::PROGRAM_NAME_WITH_BLANKS, path, word.used_at(), message, Some(help.into())));
}

/// Reports a here-document whose lines YAML joins, so that it never ends.
fn check_folded_text(document: &CloudConfig<'_>, path: String, node: Node<'_>, out: &mut Vec<Diagnostic>) {
    let Some(delimiter) = folded_here_document(document.source, node) else { return };
    let message =
        format!("YAML joins the lines of the here-document: it has no line {} and never ends", quoted(&delimiter));
    let help = Some("put `|` before the text, on the line of the `-`; or write the file with `write_files`".into());
    out.push(finding(&rules::HERE_DOCUMENT_IN_FOLDED_TEXT, path, node.used_at(), message, help));
}

/// The delimiter of a here-document that YAML joins to one line: in folded text (`>`), and in plain or
/// quoted text of several lines.
pub(crate) fn folded_here_document(source: &Source, node: Node<'_>) -> Option<String> {
    let text = node.as_str().filter(|text| text.contains("<<"))?;
    let written = value::written(source, node);
    if written.starts_with('|') || !written.contains('\n') {
        return None;
    }
    let found = read(text, Interpreter::Sh).script.here_documents;
    let open = match found.into_iter().find(|here| !here.is_closed) {
        Some(open) => open.delimiter,
        None => quoted_delimiter(text)?.to_owned(),
    };
    let mut lines = written.lines().skip(1).map(|line| line.trim().trim_end_matches(['"', '\'']).trim_end());
    lines.any(|line| line == open).then_some(open)
}

/// The delimiter of a here-document in a quoted text, such as `bash -c "cat <<EOF …"`, if no line ends it.
fn quoted_delimiter(text: &str) -> Option<&str> {
    let (before, rest) = text.split_once("<<")?;
    // Not a shift, as in `$((1<<a))`.
    let rest = before.ends_with(char::is_whitespace).then_some(rest)?;
    let rest = rest.trim_start_matches(['-', '\\', '\'', '"', ' ']);
    let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let delimiter = &rest[..length];
    let is_name = delimiter.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_closed = text.lines().any(|line| line.trim_end_matches(['"', '\'']) == delimiter);
    (is_name && !is_closed).then_some(delimiter)
}

/// Reports a script in a here-document with an unquoted delimiter: the shell expands `$1` while it
/// writes the file.
fn check_here_documents(
    document: &CloudConfig<'_>,
    key: &str,
    index: usize,
    item: Node<'_>,
    out: &mut Vec<Diagnostic>,
) {
    let Some(text) = item.as_str().filter(|text| text.contains("<<")) else { return };
    // Here the arguments exist: in a function, or after `set --`.
    if text.contains("()") || text.contains("function ") || text.contains("set --") {
        return;
    }
    for here in read(text, Interpreter::Sh).script.here_documents.iter().filter(|here| !here.quoted) {
        let body = text.get(here.body.start..here.body.end).unwrap_or_default();
        let Some(line) = body.lines().find(|line| find_argument(line).is_some()) else { continue };
        if !body.trim_start_matches([' ', '\t']).starts_with("#!") {
            continue;
        }
        let place = place_in(document.source, item, line.trim());
        let message = format!(
            "the shell expands {} while it writes the script, and the result is empty",
            quoted(find_argument(line).unwrap_or_default())
        );
        let help = Some(format!(
            "quote the delimiter: `<<'{}'`; or write the file with `write_files`",
            diagnostics::escape_control(&here.delimiter)
        ));
        out.push(finding(&rules::UNQUOTED_HERE_DOCUMENT, format!("{key}.{index}"), place, message, help));
        return;
    }
}

/// The first `$1`, `$@` and so on in a line that is not escaped.
fn find_argument(line: &str) -> Option<&str> {
    let mut found = line.match_indices('$').map(|(at, _)| at).filter(|at| !line[..*at].ends_with('\\'));
    let at = found.find(|at| {
        line[at + 1..].starts_with(|c: char| c.is_ascii_digit() && c != '0' || matches!(c, '@' | '*' | '#'))
    })?;
    Some(&line[at..at + 2])
}

/// Reports sources of `apt` whose key is not written. Distributions put nothing into
/// /etc/apt/keyrings.
pub(super) fn check_signing_keys(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    let Some(sources) = document.get("apt").and_then(|apt| value::get(document.tree, apt, "sources")) else { return };
    for (name, source) in sources.entries().into_iter().flatten() {
        check_apt_key(document, name, source, out);
        let Some(node) = value::get(document.tree, source, "source") else { continue };
        let Some(text) = node.as_str() else { continue };
        let path =
            text.split("signed-by=").nth(1).and_then(|rest| rest.split([']', ' ', ',']).next()).unwrap_or_default();
        let is_known = || {
            // The source itself mentions the file once; any other mention may write it.
            boot.source().text().matches(path).count() > text.matches(path).count() || boot.paths.contains_key(path)
        };
        if !path.starts_with("/etc/apt/keyrings/") || path.contains(['$', '{']) || is_known() {
            continue;
        }
        let message =
            format!("nothing in this document writes the key {}: apt does not trust the source", quoted(path));
        let help = if ["key", "keyid"].iter().any(|key| value::get(document.tree, source, key).is_some()) {
            "use `signed-by=$KEY_FILE`: cloud-init replaces it by the path of the key"
        } else {
            "set `key` or `keyid` and use `signed-by=$KEY_FILE`, or write the file with `write_files`"
        };
        let path = format!("apt.sources.{}.source", value::key_text(name));
        out.push(finding(&rules::MISSING_SIGNING_KEY, path, node.used_at(), message, Some(help.into())));
    }
}

/// Reports a key of an apt source that is not the text of a key, and a key ID that is none.
fn check_apt_key(document: &CloudConfig<'_>, name: Node<'_>, source: Node<'_>, out: &mut Vec<Diagnostic>) {
    for field in ["key", "keyid"] {
        let Some(node) = value::get(document.tree, source, field) else { continue };
        let Some(text) = node.as_str().map(str::trim).filter(|text| !text.is_empty()) else { continue };
        let lower = text.to_ascii_lowercase();
        let is_word = !text.contains(char::is_whitespace);
        let digits = text.strip_prefix("0x").unwrap_or(text).replace(' ', "");
        let form = if ["http://", "https://", "ftp://"].iter().any(|scheme| lower.starts_with(scheme)) {
            "a URL, which cloud-init does not download"
        } else if is_word && (text.starts_with(['/', '~']) || lower.starts_with("file:")) {
            "a path, which cloud-init does not read"
        } else if field == "key" && digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            "the ID of a key"
        } else if field == "key" && !is_word && !is_armored(text) {
            "a text that is not an armored key"
        } else if field == "keyid" && text.starts_with("-----BEGIN ") {
            "the text of a key"
        } else {
            continue;
        };
        let message = format!(
            "expected {}, found {form}: adding the source fails",
            match field {
                "key" => "the text of a key (`-----BEGIN PGP PUBLIC KEY BLOCK-----`)",
                _ => "the fingerprint of a key",
            }
        );
        let help = match (field, form) {
            ("key", "the ID of a key") => "write it under `keyid`",
            ("keyid", "the text of a key") => "write it under `key`",
            ("key", _) => "write the text of the key, or set `keyid` to its fingerprint instead",
            _ => "write the fingerprint, as `gpg --show-keys` prints it; or set `key` to the text of the key",
        };
        let path = format!("apt.sources.{}.{field}", value::key_text(name));
        out.push(finding(&rules::INVALID_APT_KEY, path, node.used_at(), message, Some(help.into())));
    }
}

/// Whether a text may be an armored key: its first line, and a body of base64.
fn is_armored(text: &str) -> bool {
    if text.contains(['$', '{', '<', '%']) || !text.contains("BEGIN") {
        return !text.contains("BEGIN PGP") || text.contains(['$', '{', '<', '%']);
    }
    let mut lines = text.lines().map(str::trim);
    let begins = lines.next().is_some_and(|line| line.starts_with("-----BEGIN PGP ") && line.ends_with("-----"));
    let is_base64 =
        |line: &str| line.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
    let body = lines.take_while(|line| !line.starts_with("-----END"));
    begins && body.filter(|line| !line.contains(": ")).all(is_base64)
}

/// Reports expressions with cloud-init's variables in a document that is not a template.
pub(super) fn check_template_header(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let text = boot.source().text();
    // A quick test: nearly all documents have no `{{`. A part with the header has another type.
    if !text.contains("{{") || text.trim_start().starts_with("## template: jinja") {
        return;
    }
    let mut from = 0;
    let mut tries = 0;
    while let Some(at) = text[from..].find("{{").map(|at| from + at).filter(|_| tries < MAX_COMPARED) {
        from = at + 2;
        let name = text[from..].trim_start();
        if !["v1.", "ds.meta_data", "ds['meta_data']"].iter().any(|start| name.starts_with(start)) {
            continue;
        }
        tries += 1;
        let path = path_at(boot.document.tree, boot.document.root, at);
        let end = text[at..].find("}}").map_or(from, |length| at + length + 2);
        if path.is_empty() || end - at > 200 {
            continue;
        }
        let message =
            format!("{} is not a template: {} is not replaced", quoted("#cloud-config"), quoted(&text[at..end]));
        let help = Some("add `## template: jinja` as the first line, above `#cloud-config`".into());
        out.push(finding(&rules::TEMPLATE_WITHOUT_HEADER, path, Span::new(at, end), message, help));
        return;
    }
}
