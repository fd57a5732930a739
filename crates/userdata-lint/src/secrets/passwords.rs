//! Checks cloud-init's own keys for passwords, and the modes of files with secrets.

use super::holds_private_key;
use super::scan::is_placeholder;
use crate::cloud_config::CloudConfig;
use crate::places::finding;
use crate::rules::{self, Rule};
use crate::value;
use crate::write_files::file_mode;
use diagnostics::Diagnostic;
use diagnostics::source::Span;
use yaml11::Node;

/// The kind of a value where a hash is expected.
#[derive(Debug, PartialEq, Eq)]
enum PasswordHash {
    /// A strong hash, or no password: `*`, `!`.
    Accepted,
    /// A hash that can be cracked: DES or MD5.
    Weak(&'static str),
    /// Not a hash.
    Plain,
}

fn classify(text: &str) -> PasswordHash {
    // A locked password keeps its hash after the `!`.
    let text = text.trim_start_matches('!');
    let is_salted = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    if text.is_empty() || text.starts_with('*') || text == "x" {
        PasswordHash::Accepted
    } else if text.starts_with("$1$") {
        PasswordHash::Weak("MD5")
    } else if text.starts_with('$') && text[1..].contains('$') || text.starts_with('_') && text.len() == 20 {
        PasswordHash::Accepted
    } else if text.len() == 13
        && text.bytes().all(is_salted)
        && text.bytes().any(|byte| byte.is_ascii_uppercase())
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
    {
        PasswordHash::Weak("DES")
    } else {
        PasswordHash::Plain
    }
}

/// Reports plain passwords, weak hashes, and values that are not hashes.
pub(super) fn check(document: &CloudConfig<'_>, before: usize, out: &mut Vec<Diagnostic>) {
    let mut checker = Checker { out, before };
    let tree = document.tree;
    if let Some(node) = document.get("password") {
        checker.check_plain("password", node, node.as_str());
    }
    let subscription = document.get("rh_subscription").and_then(|node| value::get(tree, node, "password"));
    if let Some(node) = subscription {
        checker.check_plain("rh_subscription.password", node, node.as_str());
    }
    for key in ["users", "user"] {
        let Some(node) = document.get(key) else { continue };
        if node.entries().is_some() && key == "user" {
            checker.check_user(document, node, key);
        }
        for (index, user) in node.items().into_iter().flatten().enumerate() {
            checker.check_user(document, user, &format!("{key}.{index}"));
        }
    }
    let Some(chpasswd) = document.get("chpasswd") else { return };
    let users = value::get(tree, chpasswd, "users").and_then(Node::items);
    for (index, user) in users.into_iter().flatten().enumerate() {
        let Some(password) = value::get(tree, user, "password") else { continue };
        let path = format!("chpasswd.users.{index}.password");
        match value::get(tree, user, "type").and_then(Node::as_str) {
            Some("text") => checker.check_plain(&path, password, password.as_str()),
            None | Some("hash") => checker.check_hash(&path, password),
            Some(_) => {}
        }
    }
    let Some(list) = value::get(tree, chpasswd, "list") else { return };
    match list.items() {
        Some(items) => {
            for (index, item) in items.enumerate() {
                let Some(line) = item.as_str() else { continue };
                checker.check_list_line(document, &format!("chpasswd.list.{index}"), item, line);
            }
        }
        None => {
            for line in list.as_str().into_iter().flat_map(str::lines) {
                checker.check_list_line(document, "chpasswd.list", list, line);
            }
        }
    }
}

struct Checker<'o> {
    out: &'o mut Vec<Diagnostic>,
    /// The number of findings before the search for secrets.
    before: usize,
}

impl Checker<'_> {
    fn push(&mut self, rule: &'static Rule, path: &str, span: Span, message: String, help: &str) {
        let is_known = self.out[self.before..].iter().any(|known| known.span == Some(span));
        if !is_known {
            self.out.push(finding(rule, path.to_string(), span, message, Some(help.to_string())));
        }
    }

    fn check_plain(&mut self, path: &str, node: Node<'_>, password: Option<&str>) {
        let Some(password) = password else { return };
        if is_placeholder(password) || ["R", "RANDOM"].contains(&password) {
            return;
        }
        self.report_plain(path, node.used_at());
    }

    fn report_plain(&mut self, path: &str, span: Span) {
        let message = "a password is in the document, which every process on the machine can read".to_string();
        self.push(
            &rules::PASSWORD_IN_DOCUMENT,
            path,
            span,
            message,
            "log in with SSH keys, or set a hash (`mkpasswd -m sha-512`)",
        );
    }

    fn check_user(&mut self, document: &CloudConfig<'_>, user: Node<'_>, path: &str) {
        for key in ["plain_text_passwd", "plain-text-passwd"] {
            if let Some(node) = value::get(document.tree, user, key) {
                self.check_plain(&format!("{path}.{key}"), node, node.as_str());
            }
        }
        for key in ["passwd", "hashed_passwd", "hashed-passwd"] {
            if let Some(node) = value::get(document.tree, user, key) {
                self.check_hash(&format!("{path}.{key}"), node);
            }
        }
    }

    fn check_hash(&mut self, path: &str, node: Node<'_>) {
        let Some(text) = node.as_str().filter(|text| !is_placeholder(text) || text.starts_with("$1$")) else { return };
        self.check_hash_at(path, node.used_at(), text);
    }

    fn check_hash_at(&mut self, path: &str, span: Span, text: &str) {
        match classify(text) {
            PasswordHash::Accepted => {}
            PasswordHash::Weak(name) => {
                let message = format!("the password is hashed with {name}, which can be cracked within hours");
                let help = "log in with SSH keys, or hash it with `mkpasswd -m yescrypt` or `-m sha-512`";
                self.push(&rules::WEAK_PASSWORD_HASH, path, span, message, help);
            }
            PasswordHash::Plain => {
                let message =
                    "expected the hash of a password, found other text: nobody can log in with it".to_string();
                let help = "use the output of `mkpasswd -m sha-512`, or `'*'` for no password";
                self.push(&rules::UNHASHED_PASSWORD, path, span, message, help);
            }
        }
    }

    /// Checks `user:password` of `chpasswd.list`; a password without `$` is plain text.
    fn check_list_line(&mut self, document: &CloudConfig<'_>, path: &str, node: Node<'_>, line: &str) {
        let Some((_, password)) = line.trim().split_once(':') else { return };
        if is_placeholder(password) && !password.starts_with("$1$") || ["R", "RANDOM"].contains(&password) {
            return;
        }
        // The span of the line, if the document contains it unencoded.
        let place = node.span();
        let at = document.source.slice(place).find(line.trim());
        let span = at.map_or(node.used_at(), |at| {
            let start = place.start + at + line.trim().len() - password.len();
            Span::new(start, start + password.len())
        });
        if password.starts_with('$') {
            self.check_hash_at(path, span, password);
        } else {
            self.report_plain(path, span);
        }
    }
}

/// Reports files with secrets that others can read, and files that everyone can write.
pub(super) fn check_modes(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    for file in document.files() {
        if file.path.is_none() {
            continue;
        }
        let Some(mode) = file_mode(document, file) else { continue };
        let written = value::get(document.tree, file.node, "permissions");
        let place = written.map_or_else(|| file.node.used_at(), Node::used_at);
        let key = "permissions";
        if mode & 0o6000 != 0 && mode & 0o022 != 0 {
            let message = format!("mode {mode:04o}: others can change a program that runs with its owner's rights");
            let help = Some("remove the write permission: `'4755'`".into());
            out.push(file.finding(&rules::WRITABLE_SETUID, key, place, message, help));
        } else if mode & 0o002 != 0 {
            let message = format!("mode {mode:04o}: every user on the machine can change this file");
            let help = Some(format!("write `'{:04o}'`", mode & !0o022));
            out.push(file.finding(&rules::WORLD_WRITABLE_FILE, key, place, message, help));
        }
        let path = &*file.destination;
        let key_file = path.starts_with("/etc/ssl/private/")
            || path
                .rsplit_once('/')
                .is_some_and(|(_, name)| ["id_rsa", "id_ed25519", "id_ecdsa", "id_dsa"].contains(&name));
        let text = file.content.as_ref().and_then(|content| content.text());
        let is_secret =
            text.is_some_and(holds_private_key) || key_file && text.is_some_and(|text| text.contains("PRIVATE KEY"));
        if is_secret && mode & 0o115 != 0 {
            let what = if mode & 0o004 != 0 { "every user on the machine can read it" } else { "it is executable" };
            let message = format!("the file contains a private key and has mode {mode:04o}: {what}");
            let help = Some("set `permissions: '0600'`".into());
            // Without `permissions`, the finding is at the path.
            let place = written.or(file.path.map(|(_, node)| node)).map_or(place, Node::used_at);
            out.push(file.finding(
                &rules::INSECURE_PRIVATE_KEY_MODE,
                if written.is_some() { key } else { "path" },
                place,
                message,
                help,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_recognized() {
        for text in ["$6$salt$hash", "$y$j9T$a$b", "*", "!", "!!", "!$6$a$b", "$2b$12$abc", ""] {
            assert_eq!(classify(text), PasswordHash::Accepted, "{text}");
        }
        assert_eq!(classify("$1$salt$hash"), PasswordHash::Weak("MD5"));
        assert_eq!(classify("abJnggxhB/yWI"), PasswordHash::Weak("DES"));
        assert_eq!(classify("hunter2"), PasswordHash::Plain);
        assert_eq!(classify("correcthorse!"), PasswordHash::Plain);
    }
}
