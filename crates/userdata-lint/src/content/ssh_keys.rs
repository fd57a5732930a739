//! Checks public SSH keys, in cloud-config and in files named `authorized_keys`. sshd ignores a line
//! that it cannot read, and the login fails.

use super::file::{Content, ContentFault};
use crate::cloud_config::CloudConfig;
use crate::rules;
use crate::secrets::holds_private_key;
use crate::value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Severity, did_you_mean, quoted};
use yaml11::Node;

/// The types of keys, and the number of fields after the type; certificates are not parsed further.
const TYPES: &[(&str, Option<usize>)] = &[
    ("ssh-ed25519", Some(1)),
    ("ssh-rsa", Some(2)),
    ("ssh-dss", Some(4)),
    ("ecdsa-sha2-nistp256", Some(2)),
    ("ecdsa-sha2-nistp384", Some(2)),
    ("ecdsa-sha2-nistp521", Some(2)),
    ("sk-ssh-ed25519@openssh.com", Some(2)),
    ("sk-ecdsa-sha2-nistp256@openssh.com", Some(3)),
    ("ssh-xmss@openssh.com", None),
    ("ssh-ed25519-cert-v01@openssh.com", None),
    ("ssh-rsa-cert-v01@openssh.com", None),
    ("ssh-dss-cert-v01@openssh.com", None),
    ("ecdsa-sha2-nistp256-cert-v01@openssh.com", None),
    ("ecdsa-sha2-nistp384-cert-v01@openssh.com", None),
    ("ecdsa-sha2-nistp521-cert-v01@openssh.com", None),
    ("sk-ssh-ed25519-cert-v01@openssh.com", None),
    ("sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", None),
    ("ssh-xmss-cert-v01@openssh.com", None),
];
/// The keys of a user, or of the document, with public SSH keys.
const KEYS: &[&str] = &["ssh_authorized_keys", "ssh-authorized-keys"];
/// How many users and keys are checked.
const MAX_KEYS: usize = 300;

enum Problem {
    /// What the text is, and what to do.
    Wrong(String, String),
    /// Another program may replace the text.
    Variable,
}

#[allow(clippy::unnecessary_wraps, reason = "every caller returns an option")]
fn wrong(message: impl Into<String>, help: impl Into<String>) -> Option<Problem> {
    Some(Problem::Wrong(message.into(), help.into()))
}

const USE_PUBLIC: &str = "write the line of the file that ends in `.pub`: a type such as `ssh-ed25519`, and the key";

/// The problem of one line of `authorized_keys`.
fn problem(line: &str) -> Option<Problem> {
    let line = line.trim();
    // A missing variable is a finding of its own.
    if line.is_empty() || line.starts_with('#') || line.contains("CI_MISSING_JINJA_VAR") {
        return None;
    }
    if ["${", "{{", "{%", "%{", "<%"].iter().any(|mark| line.contains(mark)) || is_variable(line) {
        return Some(Problem::Variable);
    }
    if line.contains("$(") || line.starts_with('`') {
        return wrong("no shell reads this: the command is not replaced by its output", USE_PUBLIC);
    }
    if let Some(found) = other_form(line) {
        return Some(found);
    }
    let mut words = line.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    if type_of(first).is_some() {
        return problem_of_key(first, words.next(), words.next());
    }
    // Options come before the type.
    let mut words = after_options(line).split_ascii_whitespace();
    if let Some(kind) = words.next().filter(|word| type_of(word).is_some()) {
        return problem_of_key(kind, words.next(), words.next());
    }
    if words.next().is_some_and(|word| word.starts_with("AAAA")) {
        return None;
    }
    if first.starts_with("AAAA") && first.len() > 16 {
        let kind = decode(first).and_then(|bytes| Some(String::from_utf8_lossy(field(&bytes)?.0).into_owned()));
        let kind = kind.filter(|kind| type_of(kind).is_some());
        let message = "the key has no type: sshd ignores the line";
        return wrong(message, format!("write `{} ` before it", kind.as_deref().unwrap_or("ssh-ed25519")));
    }
    if after_options(line).starts_with("AAAA") {
        let help = did_you_mean(first, TYPES.iter().map(|(name, _)| *name));
        // A type that is not in the list, perhaps a new one.
        if help.is_none() && first.contains('@') {
            return None;
        }
        let message = format!("sshd does not know the key type {}", quoted(first));
        return wrong(message, help.unwrap_or_else(|| USE_PUBLIC.into()));
    }
    wrong("this is not a public SSH key: sshd ignores the line", USE_PUBLIC)
}

/// Names that another program replaces: `$KEY`, `@KEY@`, `%KEY%`, `__KEY__`.
fn is_variable(line: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let wrapped = ["@@", "@", "%%", "%", "__"].iter().any(|mark| {
        line.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark)).is_some_and(|name| is_name(name.trim()))
    });
    wrapped || line.strip_prefix('$').is_some_and(is_name)
}

/// A text that is something else than a public key: a private key, an address, a path.
fn other_form(line: &str) -> Option<Problem> {
    let lower = line.to_ascii_lowercase();
    if line.contains("PRIVATE KEY-----") || line.starts_with("PuTTY-User-Key-File") {
        return wrong("this is a private key: sshd ignores it, and the key must be kept secret", USE_PUBLIC);
    }
    if line.starts_with("-----BEGIN ") || line.starts_with("---- BEGIN ") {
        let help = "convert it with `ssh-keygen -i -f FILE`, and write the resulting line";
        return wrong("sshd does not read public keys in this format", help);
    }
    if let Some((service, name)) = lower.split_once(':').filter(|(_, name)| !name.starts_with("//")) {
        let service = match service.trim() {
            "gh" | "github" => "gh",
            "lp" | "launchpad" => "lp",
            "gl" | "gitlab" => "gl",
            "sha256" | "md5" => {
                return wrong("this is the fingerprint of a key, not the key", USE_PUBLIC);
            }
            _ => "",
        };
        if !service.is_empty() && !name.contains(char::is_whitespace) {
            let message = format!("{} is not a key; only `ssh_import_id` imports keys by name", quoted(line));
            let name = line.split_once(':').map_or(name, |(_, name)| name).trim();
            let help = match service {
                "gl" => USE_PUBLIC.to_owned(),
                _ => format!("write `ssh_import_id: [{service}:{}]`", diagnostics::escape_control(name)),
            };
            return wrong(message, help);
        }
    }
    if lower.starts_with("http://") || lower.starts_with("https://") {
        let name = lower.strip_prefix("https://github.com/").and_then(|path| path.strip_suffix(".keys"));
        let help = name.map_or_else(
            || USE_PUBLIC.to_owned(),
            |name| format!("write `ssh_import_id: [gh:{}]`", diagnostics::escape_control(name)),
        );
        return wrong("this is an address: cloud-init does not download keys", help);
    }
    let is_one_word = !line.contains(char::is_whitespace);
    if is_one_word
        && (line.starts_with(['/', '~', '.']) || lower.starts_with("file:") || super::file::has_ending(&lower, "pub"))
    {
        return wrong("this is a path: cloud-init does not read keys from files", USE_PUBLIC);
    }
    let bare = line.trim_start_matches(['"', '\'', '“', '”', '‘', '’']);
    if bare.len() < line.len() && type_of(bare.split_ascii_whitespace().next().unwrap_or_default()).is_some() {
        return wrong("the quotes are part of the key: sshd ignores the line", "remove the inner quotes");
    }
    None
}

fn type_of(word: &str) -> Option<&'static (&'static str, Option<usize>)> {
    TYPES.iter().find(|(name, _)| *name == word)
}

/// The rest of a line after its options, which end at a blank outside of quotes.
fn after_options(line: &str) -> &str {
    let mut is_quoted = false;
    let mut before = ' ';
    let end = line.find(|character: char| {
        is_quoted ^= character == '"' && before != '\\';
        before = character;
        !is_quoted && matches!(character, ' ' | '\t')
    });
    end.map_or("", |end| line[end..].trim_start())
}

fn problem_of_key(kind: &str, key: Option<&str>, next: Option<&str>) -> Option<Problem> {
    let Some(key) = key else {
        return wrong(format!("nothing follows the type {}: the key is missing", quoted(kind)), USE_PUBLIC);
    };
    // The invented key of a documentation.
    if key.to_ascii_lowercase().contains("example") {
        return None;
    }
    let cut = |more: &str| {
        let joined = next.is_some_and(|word| word.len() > 20 && !word.contains(['@', '.', '-', '_']));
        let help = if joined {
            "write the key without blanks, in one line"
        } else {
            "copy the whole line of the file that ends in `.pub`"
        };
        wrong(format!("the key is incomplete{more}: sshd ignores the line"), help)
    };
    if key.contains(['<', '>', '[', '…', '*']) || key.contains("...") || key.contains("XXXXX") || key.contains("xxxxx")
    {
        return wrong("this is a placeholder, not a key: sshd ignores the line", USE_PUBLIC);
    }
    let strange = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='));
    if let Some(strange) = key.chars().find(strange) {
        let message =
            format!("the key contains {}, which is not base64: sshd ignores the line", quoted(&strange.to_string()));
        return wrong(message, USE_PUBLIC);
    }
    let Some(bytes) = decode(key) else { return cut("") };
    // sshd wants the exact padding.
    if STANDARD.decode(key).is_err() {
        return cut(" (its length does not fit base64)");
    }
    let Some((inner, mut rest)) = field(&bytes) else { return cut("") };
    if inner != kind.as_bytes() {
        let inner = String::from_utf8_lossy(inner);
        if type_of(&inner).is_some() {
            let message = format!("the key is of the type {}, not {}", quoted(&inner), quoted(kind));
            return wrong(message, format!("write `{inner}` before it"));
        }
        return wrong("this is not a public SSH key: sshd ignores the line", USE_PUBLIC);
    }
    let (_, Some(fields)) = type_of(kind)? else { return None };
    for _ in 0..*fields {
        let Some((_, after)) = field(rest) else { return cut("") };
        rest = after;
    }
    if !rest.is_empty() {
        return wrong("something follows the end of the key: sshd ignores the line", USE_PUBLIC);
    }
    None
}

/// Decodes base64, if need be without its end.
fn decode(key: &str) -> Option<Vec<u8>> {
    let key = key.trim_end_matches('=');
    let whole = key.len() / 4 * 4;
    STANDARD.decode(key.get(..whole)?).ok().map(|mut bytes| {
        let mut rest = key[whole..].to_owned();
        rest.push_str(&"A".repeat((4 - rest.len() % 4) % 4));
        let missing = rest.len() - (key.len() - whole);
        bytes.extend(STANDARD.decode(rest).unwrap_or_default());
        bytes.truncate(bytes.len() - missing.min(bytes.len()));
        bytes
    })
}

/// A field of a key, and what follows it.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The faults of a text with one key per line.
fn faults(text: &str) -> Vec<(ContentFault, Severity)> {
    let mut out = Vec::new();
    if holds_private_key(text) {
        return out;
    }
    for (start, line) in crate::places::lines(text).take(MAX_KEYS) {
        let Some(found) = problem(line) else { continue };
        let start = start + (line.len() - line.trim_start().len());
        let span = Span::new(start, start + line.trim().len());
        let (message, help, severity) = match found {
            Problem::Wrong(message, help) => (message, help, rules::INVALID_SSH_KEY.severity),
            Problem::Variable => {
                let message = "cloud-init does not replace this: unless another program does, no key is added";
                (message.to_owned(), USE_PUBLIC.to_owned(), Severity::Info)
            }
        };
        out.push((ContentFault::new(&rules::INVALID_SSH_KEY, span, message, Some(help)), severity));
        // The lines below belong to the same block.
        if line.trim_start().starts_with("----") {
            break;
        }
    }
    out
}

/// Checks a file with the keys of a user.
pub(super) fn check(content: &Content<'_>, out: &mut Vec<ContentFault>) {
    if content.path.ends_with("/.ssh/authorized_keys") || content.path.starts_with("/etc/ssh/authorized_keys") {
        let found = faults(content.text).into_iter().filter(|(_, severity)| *severity != Severity::Info);
        out.extend(found.map(|(fault, _)| fault));
    }
}

/// Checks the keys of the document and of its users, and what `ssh_import_id` imports.
pub(crate) fn check_ssh_keys(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    let tree = document.tree;
    let users = document.get("users").and_then(Node::items).into_iter().flatten().take(MAX_KEYS);
    let users = users.enumerate().map(|(index, user)| (format!("users.{index}."), user));
    let user = document.get("user").map(|user| ("user.".to_owned(), user));
    let mut is_template = None;
    for (path, holder) in users.chain(user).chain([(String::new(), document.root)]) {
        for key in KEYS {
            let Some(keys) = value::get(tree, holder, key) else { continue };
            for (path, node) in items(format!("{path}{key}"), keys) {
                let Some(text) = node.as_str() else { continue };
                for (fault, severity) in faults(text) {
                    if severity == Severity::Info && *is_template.get_or_insert_with(|| is_template_text(document)) {
                        continue;
                    }
                    let before = out.len();
                    super::report_in_scalar(document.source, node, false, &path, text, vec![fault], out);
                    out[before..].iter_mut().for_each(|found| found.severity = severity);
                }
            }
        }
        let Some(names) = value::get(tree, holder, "ssh_import_id") else { continue };
        for (path, node) in items(format!("{path}ssh_import_id"), names) {
            let Some(text) = node.as_str() else { continue };
            let first = text.split_ascii_whitespace().next().unwrap_or_default();
            if type_of(first).is_some() || text.starts_with("http://") || text.starts_with("https://") {
                let message = format!("`ssh_import_id` takes names such as `gh:NAME`, found {}", quoted(first));
                let help = if type_of(first).is_some() {
                    "write keys under `ssh_authorized_keys`"
                } else {
                    "write `gh:NAME` or `lp:NAME`"
                };
                let finding =
                    crate::places::finding(&rules::INVALID_SSH_KEY, path, node.used_at(), message, Some(help.into()));
                out.push(finding);
            }
        }
    }
}

/// The items of a list, or a single string.
fn items(path: String, node: Node<'_>) -> Vec<(String, Node<'_>)> {
    match node.items() {
        Some(items) => {
            items.take(MAX_KEYS).enumerate().map(|(index, node)| (format!("{path}.{index}"), node)).collect()
        }
        None => vec![(path, node)],
    }
}

/// Whether the document is plainly a template of another program: by its name, by directives, or
/// by variables where no shell can replace them.
fn is_template_text(document: &CloudConfig<'_>) -> bool {
    const ENDINGS: &[&str] =
        &["tftpl", "tpl", "tmpl", "j2", "jinja", "jinja2", "erb", "template", "in", "hbs", "mustache"];
    let source: &Source = document.source;
    let text = source.text();
    if ENDINGS.iter().any(|ending| super::file::has_ending(source.name(), ending)) {
        return true;
    }
    let calls = |at: usize| text[at..].split('}').next().is_some_and(|name| name.contains(['(', '.', '[']));
    if ["%{ ", "%{if", "%{for", "{% ", "<%"].iter().any(|mark| text.contains(mark))
        || text.match_indices("${").any(|(at, _)| calls(at))
    {
        return true;
    }
    let other = document.root.entries().into_iter().flatten().filter(|(key, _)| {
        key.as_str().is_some_and(|key| !["runcmd", "bootcmd", "write_files"].contains(&key) && !KEYS.contains(&key))
    });
    let marks = |text: &str| text.matches("${").count() + text.matches("{{").count();
    let mut users = 0;
    for (key, node) in other {
        let found = marks(source.slice(node.used_at()));
        if key.as_str() != Some("users") && found > 0 {
            return true;
        }
        users += found;
    }
    let of_files = document.files().iter().any(|file| {
        let content = file.content.as_ref().and_then(|content| content.node.as_str());
        content.is_some_and(|content| content.trim().starts_with("${") || content.trim().starts_with("{{"))
    });
    users > 1 || of_files
}
