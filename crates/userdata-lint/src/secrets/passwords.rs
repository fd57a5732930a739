//! cloud-init's own keys for passwords, and the modes of files that hold secrets.

use super::holds_private_key;
use super::scan::is_placeholder;
use crate::places::finding;
use crate::rules::{self, Rule};
use crate::write_files::file_mode;
use crate::{Document, value};
use diagnostics::Diagnostic;
use diagnostics::source::Span;
use yaml11::Node;

/// What a value that should be a hash is.
#[derive(Debug, PartialEq, Eq)]
enum Hash {
    /// Good enough, or no password at all: `*`, `!`.
    Fine,
    /// Can be searched through: DES and MD5.
    Weak(&'static str),
    /// No hash.
    Text,
}

fn hash(text: &str) -> Hash {
    // A locked password keeps its hash behind the mark.
    let text = text.trim_start_matches('!');
    let is_salted = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    if text.is_empty() || text.starts_with('*') || text == "x" {
        Hash::Fine
    } else if text.starts_with("$1$") {
        Hash::Weak("MD5")
    } else if text.starts_with('$') && text[1..].contains('$') || text.starts_with('_') && text.len() == 20 {
        Hash::Fine
    } else if text.len() == 13
        && text.bytes().all(is_salted)
        && text.bytes().any(|byte| byte.is_ascii_uppercase())
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
    {
        Hash::Weak("DES")
    } else {
        Hash::Text
    }
}

/// Passwords in clear, weak hashes, and what is no hash.
pub(super) fn check(document: &Document<'_>, before: usize, out: &mut Vec<Diagnostic>) {
    let mut checker = Checker { out, before };
    let tree = document.tree;
    if let Some(node) = document.get("password") {
        checker.clear("password", node, node.as_str());
    }
    for key in ["users", "user"] {
        let Some(node) = document.get(key) else { continue };
        if node.entries().is_some() && key == "user" {
            checker.user(document, node, key);
        }
        for (index, user) in node.items().into_iter().flatten().enumerate() {
            checker.user(document, user, &format!("{key}.{index}"));
        }
    }
    let Some(chpasswd) = document.get("chpasswd") else { return };
    let users = value::get(tree, chpasswd, "users").and_then(Node::items);
    for (index, user) in users.into_iter().flatten().enumerate() {
        let Some(password) = value::get(tree, user, "password") else { continue };
        let path = format!("chpasswd.users.{index}.password");
        match value::get(tree, user, "type").and_then(Node::as_str) {
            Some("text") => checker.clear(&path, password, password.as_str()),
            None | Some("hash") => checker.hash(&path, password),
            Some(_) => {}
        }
    }
    let Some(list) = value::get(tree, chpasswd, "list") else { return };
    match list.items() {
        Some(items) => {
            for (index, item) in items.enumerate() {
                let Some(line) = item.as_str() else { continue };
                checker.line(document, &format!("chpasswd.list.{index}"), item, line);
            }
        }
        None => {
            for line in list.as_str().into_iter().flat_map(str::lines) {
                checker.line(document, "chpasswd.list", list, line);
            }
        }
    }
}

struct Checker<'o> {
    out: &'o mut Vec<Diagnostic>,
    /// What was found before the secrets were looked for.
    before: usize,
}

impl Checker<'_> {
    fn push(&mut self, rule: &Rule, path: &str, span: Span, message: String, help: &str) {
        let is_known = self.out[self.before..].iter().any(|known| known.span == Some(span));
        if !is_known {
            self.out.push(finding(rule, path.to_string(), span, message, Some(help.to_string())));
        }
    }

    fn clear(&mut self, path: &str, node: Node<'_>, password: Option<&str>) {
        let Some(password) = password else { return };
        if is_placeholder(password) || ["R", "RANDOM"].contains(&password) {
            return;
        }
        self.clear_at(path, node.used_at());
    }

    fn clear_at(&mut self, path: &str, span: Span) {
        let message = "a password in clear: every process of the machine can read it".to_string();
        self.push(
            &rules::PASSWORD_IN_DOCUMENT,
            path,
            span,
            message,
            "log in with SSH keys; or give a hash (`mkpasswd -m sha-512`)",
        );
    }

    fn user(&mut self, document: &Document<'_>, user: Node<'_>, path: &str) {
        for key in ["plain_text_passwd", "plain-text-passwd"] {
            if let Some(node) = value::get(document.tree, user, key) {
                self.clear(&format!("{path}.{key}"), node, node.as_str());
            }
        }
        for key in ["passwd", "hashed_passwd", "hashed-passwd"] {
            if let Some(node) = value::get(document.tree, user, key) {
                self.hash(&format!("{path}.{key}"), node);
            }
        }
    }

    fn hash(&mut self, path: &str, node: Node<'_>) {
        let Some(text) = node.as_str().filter(|text| !is_placeholder(text) || text.starts_with("$1$")) else { return };
        self.hash_at(path, node.used_at(), text);
    }

    fn hash_at(&mut self, path: &str, span: Span, text: &str) {
        match hash(text) {
            Hash::Fine => {}
            Hash::Weak(name) => {
                let message = format!("a password hashed with {name}: it is found in hours by trying all");
                let help = "hash it with `mkpasswd -m yescrypt` or `-m sha-512`; better, log in with SSH keys";
                self.push(&rules::WEAK_PASSWORD_HASH, path, span, message, help);
            }
            Hash::Text => {
                let message =
                    "expected the hash of a password, found other text: logging in with it is impossible".to_string();
                let help = "write what `mkpasswd -m sha-512` prints, or `'*'` for no password";
                self.push(&rules::UNHASHED_PASSWORD, path, span, message, help);
            }
        }
    }

    /// `user:password`, of the old list: what is no hash is in clear.
    fn line(&mut self, document: &Document<'_>, path: &str, node: Node<'_>, line: &str) {
        let Some((_, password)) = line.trim().split_once(':') else { return };
        if is_placeholder(password) && !password.starts_with("$1$") || ["R", "RANDOM"].contains(&password) {
            return;
        }
        // The line's own place, where the text shows it as it is.
        let place = node.span();
        let at = document.source.slice(place).find(line.trim());
        let span = at.map_or(node.used_at(), |at| {
            let start = place.start + at + line.trim().len() - password.len();
            Span::new(start, start + password.len())
        });
        if password.starts_with('$') {
            self.hash_at(path, span, password);
        } else {
            self.clear_at(path, span);
        }
    }
}

/// Files with secrets that others may read, and files that anybody may write.
pub(super) fn check_modes(document: &Document<'_>, out: &mut Vec<Diagnostic>) {
    for file in document.files() {
        if file.path.is_none() {
            continue;
        }
        let Some(mode) = file_mode(document, file) else { continue };
        let written = value::get(document.tree, file.node, "permissions");
        let place = written.map_or_else(|| file.node.used_at(), Node::used_at);
        let key = "permissions";
        if mode & 0o6000 != 0 && mode & 0o022 != 0 {
            let message = format!("mode {mode:04o}: others may change a program that runs with its owner's rights");
            let help = Some("take the bits of writing away: `'4755'`".into());
            out.push(file.finding(&rules::WRITABLE_SETUID, key, place, message, help));
        } else if mode & 0o002 != 0 {
            let message = format!("mode {mode:04o}: every user of the machine may change this file");
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
            let what = if mode & 0o004 != 0 { "every user of the machine may read it" } else { "it is executable" };
            let message = format!("the file holds a private key and has mode {mode:04o}: {what}");
            let help = Some("give it `permissions: '0600'`".into());
            // Without a mode there is nothing to point at but the path.
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
    fn hashes_are_told_from_text() {
        for text in ["$6$salt$hash", "$y$j9T$a$b", "*", "!", "!!", "!$6$a$b", "$2b$12$abc", ""] {
            assert_eq!(hash(text), Hash::Fine, "{text}");
        }
        assert_eq!(hash("$1$salt$hash"), Hash::Weak("MD5"));
        assert_eq!(hash("abJnggxhB/yWI"), Hash::Weak("DES"));
        assert_eq!(hash("hunter2"), Hash::Text);
        assert_eq!(hash("correcthorse!"), Hash::Text);
    }
}
