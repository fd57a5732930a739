//! Checks includes, patches and part handlers; decodes base64 and quoted-printable.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::header::{self, Kind};
use crate::places::{finding, json_error, lines};
use crate::rules;
use crate::{Options, document, value};
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, quoted};
use yaml11::{Node, Scalar};

pub(crate) fn include(source: &Source, diagnostics: &mut Vec<Diagnostic>) {
    /// How many invalid lines are reported.
    const MAX_LINES: usize = 1000;
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
            // cloud-init also accepts a path.
            None => url.starts_with('/'),
        };
        if !readable || url.contains(char::is_whitespace) {
            let start = start + (line.len() - rest.len()) + (rest.len() - rest.trim_start().len());
            let message = format!("expected a URL, found {}", quoted(url));
            let help = Some("write one URL per line, beginning with https://".into());
            let span = Span::new(start, start + url.len());
            diagnostics.push(finding(&rules::MALFORMED_INCLUDE, String::new(), span, message, help));
            wrong += 1;
            if wrong == MAX_LINES {
                let message = format!("{MAX_LINES} lines are not URLs; the rest is not checked");
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
            let help = Some(format!("define it; cloud-init calls `{name}()` in every part handler"));
            let span = document::beginning(source);
            diagnostics.push(finding(&rules::INCOMPLETE_PART_HANDLER, String::new(), span, message, help));
        }
    }
}

/// Checks a JSON patch. serde_json validates it, and the YAML tree gives the places.
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
        let (message, at) = json_error(json, &error);
        diagnostics.push(malformed(String::new(), Span::at(start + at), format!("expected a JSON patch: {message}")));
        return;
    }
    // The header is a comment in YAML.
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

/// The text of a base64 document, if it is user-data of a known kind. cloud-init does not decode
/// it.
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

/// Decodes base64, ignoring white space.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, String> {
    let text: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).map_err(|error| format!("expected base64: {error}"))
}

/// Decodes UTF-8, after decompressing gzip.
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
