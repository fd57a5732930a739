//! Checks of the whole document: header, YAML, size, keys.

use std::collections::HashSet;
use std::fmt::Write;

use super::cloud_config::CloudConfig;
use super::decode::gunzip;
use super::messages::{self, Context};
use super::modules;
use super::places::finding;
use super::value::{self, key_text};
use super::{MAX_DOCUMENT_BYTES, Options, content, header};
use crate::rules::{self, Rule};
use diagnostics::source::{Source, Span, floor_char_boundary};
use diagnostics::{Diagnostic, Origin, Severity, quoted};
use yaml11::{Node, NodeId, NodeKind, Tree};

/// How many duplicate keys are reported.
const MAX_DUPLICATES: usize = 1_000;

/// A finding about the document, without a place.
fn about_document(rule: &'static Rule, message: String, help: Option<String>) -> Diagnostic {
    let mut finding = finding(rule, String::new(), Span::default(), message, help);
    finding.span = None;
    finding
}

/// The place of the first line that is not blank.
pub(super) fn beginning(source: &Source) -> Span {
    let text = source.text();
    let start = text.len() - text.trim_start_matches(header::is_blank).len();
    let line = text[start..].lines().next().unwrap_or_default();
    // The first line of a binary file may be long.
    let end = line.char_indices().nth(80).map_or(line.len(), |(end, _)| end);
    Span::new(start, start + end)
}

pub(super) fn unknown_header(source: &Source, decodes_to_user_data: bool) -> Diagnostic {
    let text = source.text();
    let help = if decodes_to_user_data {
        "decode it first: cloud-init does not recognize base64 user-data"
    } else if text.starts_with('\u{feff}') {
        "save the file without a byte order mark; nothing may come before the header"
    } else if text.to_ascii_lowercase().starts_with("## template:jinja") {
        "write `## template: jinja`, with a space before `jinja`"
    } else if text.trim_start().to_ascii_lowercase().starts_with("# cloud-config") {
        "write `#cloud-config` without the space"
    } else if is_misspelt_header(text) {
        "write `#cloud-config` in the first line"
    } else if text.to_ascii_lowercase().contains("#cloud-config") {
        "move the line `#cloud-config` to the top; only blank lines may come before it"
    } else {
        "add the line `#cloud-config` at the top"
    };
    let message = format!(
        "expected a header such as `#cloud-config` in the first line, found {}",
        quoted(source.text().lines().next().unwrap_or_default())
    );
    // From the very start, where cloud-init expects the header.
    let span = Span::new(0, beginning(source).end);
    finding(&rules::MISSING_HEADER, String::new(), span, message, Some(help.into()))
}

/// Whether the first line is `#cloud-config` with another sign or spelling.
fn is_misspelt_header(text: &str) -> bool {
    let line = text.trim_start().lines().next().unwrap_or_default().trim().to_ascii_lowercase();
    let name = line.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).trim_end_matches(':');
    line.starts_with(['#', '/', '-', '%', '!'])
        && ["cloudconfig", "cloud_config", "cloud config", "cloud-init", "cloudinit", "cloud-config", "could-config"]
            .contains(&name)
}

/// A header that was written after `#!`, so that cloud-init runs the document as a script.
pub(super) fn header_after_shebang(source: &Source) -> Option<Diagnostic> {
    let place = beginning(source);
    let line = source.slice(place).strip_prefix("#!")?.trim();
    let line = line.strip_prefix("/usr/bin/env ").unwrap_or(line).trim_start_matches('#').trim();
    let name = line.rsplit('/').next().unwrap_or_default().to_ascii_lowercase().replace(['_', ' '], "-");
    let name = name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let header = match name {
        "cloud-config" | "cloudconfig" | "cloud-init" | "cloudinit" | "cloud-config.yaml" => "#cloud-config",
        "cloud-config-archive" => "#cloud-config-archive",
        "cloud-config-jsonp" => "#cloud-config-jsonp",
        "cloud-boothook" => "#cloud-boothook",
        "part-handler" => "#part-handler",
        "include" => "#include",
        "include-once" => "#include-once",
        "template:-jinja" | "template:jinja" => "## template: jinja",
        _ => return None,
    };
    let message = "with `#!`, cloud-init runs the document as a script, and that fails".to_owned();
    let help = Some(format!("write `{header}` in the first line"));
    let mut found = finding(&rules::MISSING_HEADER, String::new(), place, message, help);
    found.origin = Origin::Mkimg;
    Some(found)
}

pub(super) fn not_checked(source: &Source, message: &str) -> Diagnostic {
    finding(&rules::NOT_CHECKED, String::new(), beginning(source), message.into(), None)
}

pub(super) fn unreadable(message: String) -> Diagnostic {
    about_document(&rules::UNREADABLE_DOCUMENT, message, Some("save the document as UTF-8 text".into()))
}

/// Reports a compressed document for a provider that takes user-data as text.
pub(super) fn compressed(options: &Options, diagnostics: &mut Vec<Diagnostic>) {
    for provider in options.providers.iter().filter(|provider| !provider.takes_bytes) {
        let message = format!("{} takes user-data as text: a gzip file cannot be sent", provider.title);
        let help = "send the document itself; compress only large files in it (`encoding: gz+b64`)";
        diagnostics.push(about_document(&rules::COMPRESSED_USER_DATA, message, Some(help.into())));
    }
}

/// The findings about a document that is too large to be checked.
pub(super) fn too_large(limit: Option<usize>) -> Vec<Diagnostic> {
    let message = format!("expected at most {MAX_DOCUMENT_BYTES} bytes, found more; the document was not checked");
    let help = "download large files at boot instead of embedding them in the document";
    let mut findings = vec![about_document(&rules::UNREADABLE_DOCUMENT, message, Some(help.into()))];
    findings.extend(limit.map(|limit| {
        let message =
            format!("the document has more than {MAX_DOCUMENT_BYTES} bytes; the provider accepts at most {limit}");
        about_document(&rules::OVER_PROVIDER_LIMIT, message, None)
    }));
    findings
}

pub(super) fn invalid_yaml(source: &Source, error: &yaml11::Error) -> Diagnostic {
    let help = likely_mistake(source.text(), error).map(Into::into);
    let mut finding = finding(&rules::INVALID_YAML, String::new(), error.reported_span(), error.message.clone(), help);
    if error.context.is_some() && error.span != error.reported_span() {
        finding.related.push((error.span, "the error was detected here".into()));
    }
    finding
}

/// Suggestions for common YAML errors.
fn likely_mistake(text: &str, error: &yaml11::Error) -> Option<&'static str> {
    let line_at = |at: usize| {
        let start = text.get(..at).unwrap_or_default().rfind('\n').map_or(0, |end| end + 1);
        (start, text[start..].lines().next().unwrap_or_default())
    };
    // The error may be placed at the collection around the actual problem.
    for at in [error.span.start, error.reported_span().start] {
        let (start, line) = line_at(at);
        let indent = line.len() - line.trim_start_matches(' ').len();
        let bare = line.trim_start_matches([' ', '-']);
        let value = bare.split_once(": ").map_or(bare, |(_, value)| value).trim_start();
        if value.starts_with("{{") {
            return Some(
                "quote a value that begins with `{{`; if cloud-init should expand it, the first line must be `## template: jinja`; \
                 if another program expands it, check its output instead",
            );
        }
        if bare.starts_with("{%") || bare.starts_with("%{") {
            return Some("this is a template directive; check the rendered document instead");
        }
        // The first line of a script is a comment in YAML.
        let is_text = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let before = text[..start].lines().rev().find(is_text).unwrap_or_default();
        let opens = before.trim_end().trim_end_matches(['-', '+']);
        let key = before.len() - before.trim_start_matches([' ', '-']).len();
        if (opens.ends_with(": |") || opens.ends_with(": >")) && indent <= key {
            return Some("indent the text below `|` or `>` deeper than its key");
        }
    }
    let here = text.get(error.span.start..).unwrap_or_default();
    if here.starts_with('*') || text.get(..error.span.start).is_some_and(|before| before.ends_with('*')) {
        return Some("quote a text that begins with `*`");
    }
    None
}

/// cloud-init reads a lone surrogate, but fails when it writes the text.
pub(super) fn lone_surrogate(error: &yaml11::Error) -> Diagnostic {
    let help = "write the character itself, or its number in one piece: `\\U0001f600`; a writer of JSON has an option for it \
                (`ensure_ascii=False`)";
    finding(&rules::LONE_SURROGATE, String::new(), error.span, error.message.clone(), Some(help.into()))
}

/// The place and description of a root that has the wrong type.
pub(super) fn root_place(source: &Source, tree: &Tree) -> (Span, String) {
    match tree.root() {
        Some(root) => (root.used_at(), value::describe(source, root)),
        None => (beginning(source), "nothing after the header".into()),
    }
}

pub(super) fn not_a_mapping(source: &Source, tree: &Tree) -> Diagnostic {
    let (span, found) = root_place(source, tree);
    let help = Some("write keys and values, such as `packages: [nginx]`".into());
    finding(&rules::NOT_A_MAPPING, String::new(), span, format!("expected a mapping, found {found}"), help)
}

pub(super) fn too_complex(key: Node<'_>) -> Diagnostic {
    let message = format!("the value of `{}` is too complex to check", key_text(key));
    let help = Some("use fewer aliases, or split the document".into());
    finding(&rules::TOO_COMPLEX, key_text(key), key.used_at(), message, help)
}

/// Compares the size of a document with the limits. `largest` names its largest files, for the
/// help.
pub(super) fn size(bytes: usize, largest: &[String], options: &Options, diagnostics: &mut Vec<Diagnostic>) {
    let own = options.limit.filter(|limit| bytes > *limit).map(|limit| {
        let over = bytes - limit;
        format!("the document has {bytes} bytes, {over} more than the limit of {limit}")
    });
    let theirs =
        options.providers.iter().filter(|provider| provider.counted_bytes(bytes) > provider.limit).map(|provider| {
            let (counts, title, limit) = (provider.counted_bytes(bytes), provider.title, provider.limit);
            let over = bytes - provider.max_bytes();
            let counted =
                if provider.encoded { format!(" ({counts} in base64, which is what counts)") } else { String::new() };
            format!("the document has {bytes} bytes{counted}, {over} more than fit: {title} accepts at most {limit}")
        });
    for message in own.into_iter().chain(theirs) {
        let mut help = "compress the largest files (`encoding: gz+b64`), or download them at boot".to_string();
        if !largest.is_empty() {
            let _ = write!(help, "; the largest are {}", largest.join(", "));
        }
        diagnostics.push(about_document(&rules::OVER_PROVIDER_LIMIT, message, Some(help)));
    }
}

/// Unknown top-level keys. cloud-init's path is the key if there is exactly one, else empty.
pub(super) fn unknown_keys(context: &Context<'_>, unknown: &[Node<'_>], diagnostics: &mut Vec<Diagnostic>) {
    if context.version < modules::CLOSED_TOP_LEVEL || unknown.is_empty() {
        return;
    }
    let known = modules::current_keys(context.version);
    let path = match unknown {
        // cloud-init extracts the name from a message, if it is between apostrophes.
        [key] => key.as_str().and_then(python_quoted).unwrap_or_default(),
        _ => String::new(),
    };
    diagnostics.extend(messages::unknown_keys(context, unknown, &known, &[], &path));
}

/// Python's `repr` without the apostrophes; `None` if it would use double quotes.
fn python_quoted(text: &str) -> Option<String> {
    if text.contains('\'') && !text.contains('"') {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' ' => out.push(' '),
            _ if (character as u32) < 0x100 && (character.is_control() || matches!(character, '\u{a0}' | '\u{ad}')) => {
                let _ = write!(out, "\\x{:02x}", character as u32);
            }
            _ if character.is_whitespace()
                || ('\u{200b}'..='\u{200f}').contains(&character)
                || character == '\u{feff}' =>
            {
                let _ = write!(out, "\\u{:04x}", character as u32);
            }
            _ => out.push(character),
        }
    }
    Some(out)
}

/// Duplicate keys and joined list items, anywhere in the document.
pub(super) fn collections(document: &CloudConfig<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: HashSet<NodeId> = HashSet::new();
    // An explicit stack, because documents may nest deeply and aliases may form cycles.
    let mut waiting: Vec<(Node<'_>, String)> = vec![(document.root, String::new())];
    let before = diagnostics.len();
    while let Some((node, path)) = waiting.pop() {
        if diagnostics.len() - before > MAX_DUPLICATES {
            return;
        }
        let inside = |step: &str| if path.is_empty() { step.to_string() } else { format!("{path}.{step}") };
        let is_container = |node: Node<'_>| !matches!(node.kind(), NodeKind::Scalar(_));
        match node.kind() {
            NodeKind::Scalar(_) | NodeKind::Set(_) | NodeKind::Pairs(_) => {}
            NodeKind::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    let item = document.tree.node(*item);
                    if let Some(place) = joined(document.source, item) {
                        let message = "this line continues the item above it; both are one text".to_string();
                        let help = Some("align its `- ` with the `- ` of the item above".into());
                        let path = inside(&index.to_string());
                        let mut finding = finding(&rules::JOINED_ITEMS, path, place, message, help);
                        finding.related.push((item.used_at(), "the whole item".into()));
                        diagnostics.push(finding);
                    }
                    if is_container(item) && seen.insert(item.id()) {
                        waiting.push((item, inside(&index.to_string())));
                    }
                }
            }
            NodeKind::Mapping(entries) => {
                let left = (MAX_DUPLICATES + 1).saturating_sub(diagnostics.len() - before);
                for (later, earlier) in value::duplicates(document.tree, node).into_iter().take(left) {
                    let name = key_text(later);
                    let message = format!("the key {} occurs twice; only the last value is used", quoted(&name));
                    let help = Some("remove one of them, or merge their values".into());
                    let mut finding = finding(&rules::DUPLICATE_KEY, inside(&name), later.used_at(), message, help);
                    finding.related.push((earlier.used_at(), "this value is ignored".into()));
                    diagnostics.push(finding);
                }
                for entry in entries {
                    let value = document.tree.node(entry.value);
                    if is_container(value) && seen.insert(value.id()) {
                        let key = document.tree.node(entry.key);
                        waiting.push((value, inside(&key_text(key))));
                    }
                }
            }
        }
    }
}

/// The line of an unquoted text that looks like a list item, but continues the text above.
fn joined(source: &Source, item: Node<'_>) -> Option<Span> {
    let text = source.slice(item.span());
    item.as_str()?;
    if item.used_at() != item.span() || text.starts_with(['|', '>', '\'', '"', '&', '!', '*']) {
        return None;
    }
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if at > 0 && trimmed.starts_with("- ") {
            let start = item.span().start + at + (line.len() - trimmed.len());
            return Some(Span::new(start, start + trimmed.trim_end().len()));
        }
        at += line.len();
    }
    None
}

/// Reports a script whose first bytes are not `#!`: cloud-init writes it unchanged and cannot start it.
fn interpreter(source: &Source) -> Option<Diagnostic> {
    let text = source.text();
    if text.starts_with("#!") {
        return None;
    }
    let (message, help) = if text.trim_start().starts_with("#!") {
        let blank = if text.starts_with(['\r', '\n']) { "an empty line" } else { "blanks" };
        (
            format!("`#!` must be the first two bytes of a script, after {blank} the script cannot be executed"),
            "remove what is before `#!`; in Terraform, write `<<-EOF` or use `chomp` and `trimspace`",
        )
    } else if text.trim().is_empty() {
        return None;
    } else {
        (
            "a script without `#!` cannot be executed".to_owned(),
            "write `#!/bin/sh`, or another interpreter, in the first line",
        )
    };
    Some(finding(&crate::rules::INTERPRETER_NOT_FIRST, String::new(), beginning(source), message, Some(help.into())))
}

/// Checks a script that is user-data.
pub(super) fn script(source: &Source, diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.extend(interpreter(source));
    diagnostics.extend(content::check_user_data_script(source.text()).into_iter().map(content::to_diagnostic));
    diagnostics.push(not_checked(source, "`cloud-init schema` does not check scripts"));
}

/// Checks a boothook: a script after its header. A part with the MIME type needs no header.
pub(super) fn boothook(source: &Source, diagnostics: &mut Vec<Diagnostic>) {
    const HEADER: &str = "#cloud-boothook";
    let text = source.text();
    let body = text.trim_start_matches(header::is_blank);
    let has_header = body.get(..HEADER.len()).is_some_and(|start| start.eq_ignore_ascii_case(HEADER));
    let body = if has_header { &body[HEADER.len()..] } else { body }.trim_start_matches(header::is_blank);
    let start = text.len() - body.len();
    let first = body.lines().next().unwrap_or_default();
    let span = if first.is_empty() { beginning(source) } else { Span::new(start, start + first.len().min(80)) };
    let span = Span::new(span.start, floor_char_boundary(text, span.end));
    if !first.starts_with("#!") {
        let message = "a boothook without `#!` cannot be executed".to_string();
        let place = if has_header { "in the line after the header" } else { "in the first line" };
        let help = Some(format!("write `#!/bin/sh`, or another interpreter, {place}"));
        diagnostics.push(finding(&crate::rules::MISSING_INTERPRETER, String::new(), span, message, help));
    }
    for mut fault in content::check_user_data_script(body) {
        for place in std::iter::once(&mut fault.span).chain(fault.related.iter_mut().map(|(place, _)| place)) {
            *place = Span::new(place.start + start, place.end + start);
        }
        diagnostics.push(content::to_diagnostic(fault));
    }
}

/// Decompresses gzip, up to the size limit.
pub(super) fn unpack(bytes: &[u8]) -> Result<String, String> {
    let out = gunzip(bytes, MAX_DOCUMENT_BYTES as u64)?;
    if out.len() > MAX_DOCUMENT_BYTES {
        return Err(format!("expected at most {MAX_DOCUMENT_BYTES} bytes when decompressed, found more"));
    }
    String::from_utf8(out).map_err(|_| "expected UTF-8 in the gzip stream, found other bytes".into())
}

/// How cloud-init begins the comment for an ignored part.
const IGNORED_PART: &str = "# Cloud-config part ignored SCHEMA_ERROR: ";

/// Reports comments about ignored parts. They are errors only if cloud-init reports something else:
/// without schema errors, the command does not get to them.
pub(super) fn ignored_parts(source: &Source, options: &Options, diagnostics: &mut Vec<Diagnostic>) {
    // Searching for the short end of the text first is fast.
    let (_, end) = IGNORED_PART.split_at(IGNORED_PART.len() - 20);
    if options.cloud_init < header::LENIENT || !source.text().contains(end) {
        return;
    }
    let counts = diagnostics.iter().any(|found| found.origin == Origin::CloudInit);
    let mut start = 0;
    for line in source.text().split_inclusive(is_line_end) {
        let text = line.trim_end_matches(is_line_end);
        if let Some(reason) = text.strip_prefix(IGNORED_PART) {
            let message = format!("cloud-init ignored a part of the user-data: {}", reason.trim());
            let span = Span::new(start, start + text.len());
            let mut found = finding(&rules::IGNORED_PART_NOTICE, String::new(), span, message, None);
            if !counts {
                (found.origin, found.severity) = (Origin::Mkimg, Severity::Warning);
            }
            diagnostics.push(found);
        }
        start += line.len();
    }
}

/// The line ends of Python's `str.splitlines`.
fn is_line_end(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}
