//! Includes, patches, part handlers; and texts in base64 or quoted-printable.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::header::{self, Kind};
use crate::message::finding;
use crate::rules;
use crate::{Options, document, value};
use diagnostics::source::{Source, Span, floor_char_boundary};
use diagnostics::{Diagnostic, quoted};
use yaml11::{Node, Scalar};

/// The lines of a text with their places, without line ends.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line.trim_end_matches(['\n', '\r'])))
    })
}

pub(crate) fn include(source: &Source, diagnostics: &mut Vec<Diagnostic>) {
    /// Who reads a thousand findings has seen enough, and millions would not fit into memory.
    const MOST_LINES: usize = 1000;
    let mut found = false;
    let mut wrong = 0;
    for (start, line) in lines(source.text()) {
        let lower = line.to_ascii_lowercase();
        let header = ["#include-once", "#include"].into_iter().find(|header| lower.starts_with(header));
        let rest = &line[header.map_or(0, str::len)..];
        let url = rest.trim();
        if url.is_empty() || url.starts_with('#') {
            continue;
        }
        found = true;
        let scheme = url.split_once("://").map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
        let readable = match scheme {
            Some((scheme, rest)) => ["http", "https", "ftp", "file"].contains(&scheme.as_str()) && !rest.is_empty(),
            // cloud-init reads a path as a file.
            None => url.starts_with('/'),
        };
        if !readable || url.contains(char::is_whitespace) {
            let start = start + (line.len() - rest.len()) + (rest.len() - rest.trim_start().len());
            let message = format!("expected a URL, found {}", quoted(url));
            let help = Some("write one URL in a line, with https:// in front".into());
            let span = Span::new(start, start + url.len());
            diagnostics.push(finding(&rules::MALFORMED_INCLUDE, String::new(), span, message, help));
            wrong += 1;
            if wrong == MOST_LINES {
                let message = format!("{MOST_LINES} lines are no URLs: the others are not looked at");
                diagnostics.push(finding(&rules::MALFORMED_INCLUDE, String::new(), span, message, None));
                break;
            }
        }
    }
    if !found {
        let message = "expected a URL after the header, found none".to_string();
        let span = document::beginning(source);
        diagnostics.push(finding(&rules::MALFORMED_INCLUDE, String::new(), span, message, None));
    }
}

pub(crate) fn part_handler(source: &Source, diagnostics: &mut Vec<Diagnostic>) {
    for name in ["list_types", "handle_part"] {
        let defines = |line: &str| {
            let mut words = line.trim_start().splitn(2, char::is_whitespace);
            let defined = match words.next() {
                Some("def" | "async") => words.next().unwrap_or_default().contains(name),
                _ => line.trim_start().starts_with(name) || line.contains("import"),
            };
            defined && line.contains(name)
        };
        if !source.text().lines().any(defines) {
            let message = format!("expected a function {}, found none", quoted(&format!("{name}()")));
            let help = Some(format!("define it: cloud-init calls `{name}()` of every part handler"));
            let span = document::beginning(source);
            diagnostics.push(finding(&rules::INCOMPLETE_PART_HANDLER, String::new(), span, message, help));
        }
    }
}

/// A JSON patch. JSON is read as YAML, for the places; whether it is JSON, serde_json says.
pub(crate) fn patch(source: &Source, diagnostics: &mut Vec<Diagnostic>) {
    let malformed = |path: String, span: Span, message: String| {
        let help = Some("write `{\"op\": \"add\", \"path\": \"/runcmd/-\", \"value\": …}` in a list".into());
        finding(&rules::MALFORMED_PATCH, path, span, message, help)
    };
    let text = source.text();
    let start = text.len() - text.trim_start_matches(header::is_blank).len();
    let start = text.len().min(start + "#cloud-config-jsonp".len());
    let json = text.get(start..).unwrap_or_default();
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(json) {
        let line: usize = json.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let at = floor_char_boundary(text, start + line + error.column().saturating_sub(1));
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        diagnostics.push(malformed(String::new(), Span::at(at), format!("expected a JSON patch: {said}")));
        return;
    }
    // The header is a comment of YAML's.
    let Ok(tree) = yaml11::parse(source.text()) else { return };
    let Some(items) = tree.root().and_then(Node::items) else {
        let (span, found) = document::root_place(source, &tree);
        diagnostics.push(malformed(String::new(), span, format!("expected a list of operations, found {found}")));
        return;
    };
    for (index, item) in items.enumerate() {
        let path = |key: &str| format!("{index}.{key}");
        let Some(op) = value::get(&tree, item, "op") else {
            let found = value::describe(source, item);
            let message = format!("expected an operation with `op`, found {found}");
            diagnostics.push(malformed(index.to_string(), item.used_at(), message));
            continue;
        };
        let needs: &[&str] = match op.as_str() {
            Some("add" | "replace" | "test") => &["path", "value"],
            Some("move" | "copy") => &["path", "from"],
            Some("remove") => &["path"],
            _ => {
                let found = value::describe(source, op);
                let message = format!("expected add, remove, replace, move, copy or test, found {found}");
                diagnostics.push(malformed(path("op"), op.used_at(), message));
                continue;
            }
        };
        for key in needs {
            match value::get(&tree, item, key) {
                None => {
                    let message = format!("the operation needs {}", quoted(key));
                    diagnostics.push(malformed(index.to_string(), item.used_at(), message));
                }
                Some(_) if *key == "value" => {}
                Some(node) => {
                    let is_pointer =
                        matches!(node.scalar(), Some(Scalar::Str(text)) if text.is_empty() || text.starts_with('/'));
                    if !is_pointer {
                        let found = value::describe(source, node);
                        let message = format!("expected a path such as `/runcmd/-`, found {found}");
                        diagnostics.push(malformed(path(key), node.used_at(), message));
                    }
                }
            }
        }
    }
}

/// A whole document in base64: its text, if it is user-data of a known kind. cloud-init does not decode it.
pub(crate) fn decoded(text: &str, options: &Options) -> Option<(String, Kind)> {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(&byte);
    let text = text.trim();
    if text.len() < 8 || !text.bytes().all(is_base64) {
        return None;
    }
    let decoded = unpacked(base64(text).ok()?).ok()?;
    let kind = header::kind(&decoded, options.cloud_init);
    (!matches!(kind, Kind::Unknown | Kind::Empty)).then_some((decoded, kind))
}

/// Decodes base64, white space aside.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, String> {
    let text: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).map_err(|error| format!("expected base64: {error}"))
}

/// Bytes as text; gzip is unpacked first.
pub(super) fn unpacked(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return document::unpack(&bytes);
    }
    String::from_utf8(bytes).map_err(|_| "expected UTF-8 text, found other bytes".into())
}

pub(super) fn quoted_printable(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        let content = bare.trim_end_matches([' ', '\t']);
        let (content, soft) = content.strip_suffix('=').map_or((content, false), |content| (content, true));
        let mut rest = content.as_bytes();
        while let Some((byte, after)) = rest.split_first() {
            let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
            let code = digits.filter(|_| *byte == b'=').and_then(|digits| u8::from_str_radix(digits, 16).ok());
            out.push(code.unwrap_or(*byte));
            rest = &after[if code.is_some() { 2 } else { 0 }..];
        }
        if !soft {
            out.extend_from_slice(&line.as_bytes()[bare.len()..]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_printable_is_decoded() {
        assert_eq!(quoted_printable("a=3Db=\nc=C3=A9 \nd=zz\n"), "a=bcé\nd=zz\n".as_bytes());
    }
}
