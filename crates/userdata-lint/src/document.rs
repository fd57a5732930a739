//! Checks of the document as a whole: its header, its YAML, its size, its keys.

use super::decode::gunzip;
use super::message::{self, Context, finding};
use super::value::{self, key_text};
use super::{Document, Options, content, first_line, header, modules};
use crate::rules::{self, Rule};
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, quoted};
use std::collections::HashSet;
use std::fmt::Write;
use yaml11::{Node, NodeId, NodeKind, Tree};

/// The most that a packed document is unpacked to, in bytes.
const MOST_UNPACKED: u64 = 16 * 1024 * 1024;
/// So many findings about one kind of fault are given.
const MOST_DUPLICATES: usize = 1_000;

/// A finding about the document, without a place.
fn about_document(rule: &Rule, message: String, help: Option<String>) -> Diagnostic {
    let mut finding = finding(rule, String::new(), Span::default(), message, help);
    finding.span = None;
    finding
}

/// Where the first line with something on it is.
pub(super) fn beginning(source: &Source) -> Span {
    let text = source.text();
    let start = text.len() - text.trim_start_matches(header::is_blank).len();
    let line = text[start..].lines().next().unwrap_or_default();
    // A long first line, of a binary file say, is not worth showing whole.
    let end = line.char_indices().nth(80).map_or(line.len(), |(end, _)| end);
    Span::new(start, start + end)
}

pub(super) fn unknown_header(source: &Source, decodes_to_user_data: bool) -> Diagnostic {
    let text = source.text();
    let help = if decodes_to_user_data {
        "hand it over decoded: cloud-init takes base64 for a text of an unknown kind"
    } else if text.starts_with('\u{feff}') {
        "save the file without a byte order mark: nothing may come before the header"
    } else if text.to_ascii_lowercase().starts_with("## template:jinja") {
        "write `## template: jinja`, with a blank before `jinja`"
    } else if text.trim_start().to_ascii_lowercase().starts_with("# cloud-config") {
        "write `#cloud-config` without the blank"
    } else if text.to_ascii_lowercase().contains("#cloud-config") {
        "move the line `#cloud-config` to the top: nothing but blank lines may come before it"
    } else {
        "put the line `#cloud-config` at the top"
    };
    let message = format!("expected a header such as `#cloud-config` in the first line, found {}", first_line(source));
    // From the very start, as cloud-init has it, up to what stands there.
    let span = Span::new(0, beginning(source).end);
    finding(&rules::MISSING_HEADER, String::new(), span, message, Some(help.into()))
}

pub(super) fn not_judged(source: &Source, message: &str) -> Diagnostic {
    finding(&rules::NOT_CHECKED, String::new(), beginning(source), message.into(), None)
}

pub(super) fn unreadable(message: String) -> Diagnostic {
    about_document(&rules::UNREADABLE_DOCUMENT, message, Some("save the document as UTF-8 text".into()))
}

/// A document that is so large that nobody looks into it.
pub(super) fn unreadable_size(most: usize, limit: Option<usize>) -> Vec<Diagnostic> {
    let message = format!("expected at most {most} bytes, found more: the document is not read");
    let help = "download large files when the machine boots, instead of carrying them in the document";
    let mut findings = vec![about_document(&rules::UNREADABLE_DOCUMENT, message, Some(help.into()))];
    findings.extend(limit.map(|limit| {
        let message = format!("the document has more than {most} bytes; the provider takes at most {limit}");
        about_document(&rules::OVER_PROVIDER_LIMIT, message, None)
    }));
    findings
}

pub(super) fn invalid_yaml(source: &Source, error: &yaml11::Error) -> Diagnostic {
    let help = likely_mistake(source.text(), error).map(Into::into);
    let mut finding = finding(&rules::INVALID_YAML, String::new(), error.reported_span(), error.message.clone(), help);
    if error.context.is_some() && error.span != error.reported_span() {
        finding.related.push((error.span, "noticed here".into()));
    }
    finding
}

/// What people usually meant where YAML stops.
fn likely_mistake(text: &str, error: &yaml11::Error) -> Option<&'static str> {
    let line_at = |at: usize| {
        let start = text.get(..at).unwrap_or_default().rfind('\n').map_or(0, |end| end + 1);
        (start, text[start..].lines().next().unwrap_or_default())
    };
    // The place may be that of the collection around it: what was met is nearer.
    for at in [error.span.start, error.reported_span().start] {
        let (start, line) = line_at(at);
        let indent = line.len() - line.trim_start_matches(' ').len();
        let bare = line.trim_start_matches([' ', '-']);
        let value = bare.split_once(": ").map_or(bare, |(_, value)| value).trim_start();
        if value.starts_with("{{") {
            return Some(
                "a value that begins with `{{` must be in quotes; if cloud-init is to fill it in, the first line must be \
                 `## template: jinja`, and if another program does, judge what it writes",
            );
        }
        if bare.starts_with("{%") || bare.starts_with("%{") {
            return Some("this is a line of a template: judge what the template is rendered to");
        }
        // A script's first line is a comment to YAML.
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
        return Some("a text that begins with `*` must be in quotes");
    }
    None
}

/// Half of a surrogate pair: cloud-init reads it, and dies of it where the text is written.
pub(super) fn half_a_character(error: &yaml11::Error) -> Diagnostic {
    let help = "write the character itself, or its number in one piece: `\\U0001f600`; a writer of JSON has an option for it \
                (`ensure_ascii=False`)";
    finding(&rules::LONE_SURROGATE, String::new(), error.span, error.message.clone(), Some(help.into()))
}

/// What stands where something else was expected, and its place.
pub(super) fn root_place(source: &Source, tree: &Tree) -> (Span, String) {
    match tree.root() {
        Some(root) => (root.used_at(), value::describe(source, root)),
        None => (beginning(source), "nothing after the header".into()),
    }
}

pub(super) fn not_a_mapping(source: &Source, tree: &Tree) -> Diagnostic {
    let (span, found) = root_place(source, tree);
    let help = Some("write keys and values, such as `packages: [nginx]`".into());
    finding(
        &rules::NOT_A_MAPPING,
        String::new(),
        span,
        format!("expected a mapping of keys to values, found {found}"),
        help,
    )
}

pub(super) fn too_complex(key: Node<'_>) -> Diagnostic {
    let message = format!("the value of `{}` is too entangled to be judged", key_text(key));
    let help = Some("write it with fewer aliases, or in several documents".into());
    finding(&rules::TOO_COMPLEX, key_text(key), key.used_at(), message, help)
}

/// The limits of the providers, for a document of so many bytes; its largest entries are looked for in the text.
pub(super) fn size(bytes: usize, source: Option<&Source>, options: &Options, diagnostics: &mut Vec<Diagnostic>) {
    let passed = |limit: &usize| bytes > *limit;
    let own = options.limit.filter(passed).map(|limit| {
        let over = bytes - limit;
        format!("the document has {bytes} bytes, {over} more than the limit of {limit}")
    });
    let theirs = options.providers.iter().filter(|provider| provider.counts(bytes) > provider.limit).map(|provider| {
        let (counts, title, limit) = (provider.counts(bytes), provider.title, provider.limit);
        let over = bytes - provider.most();
        let counted =
            if provider.encoded { format!(", {counts} in base64, which is what counts") } else { String::new() };
        format!("the document has {bytes} bytes{counted}: {over} more than fit, since {title} takes at most {limit}")
    });
    let messages: Vec<String> = own.into_iter().chain(theirs).collect();
    if messages.is_empty() {
        return;
    }
    let largest = source.map(largest).unwrap_or_default();
    for message in messages {
        let mut help = "pack the largest contents (`encoding: gz+b64`), or download them at boot".to_string();
        if !largest.is_empty() {
            let _ = write!(help, "; the largest are {}", largest.join(", "));
        }
        diagnostics.push(about_document(&rules::OVER_PROVIDER_LIMIT, message, Some(help)));
    }
}

/// The three entries of `write_files` that take the most bytes of the document.
fn largest(source: &Source) -> Vec<String> {
    let Ok(tree) = yaml11::parse(source.text()) else { return Vec::new() };
    let items = tree.root().and_then(|root| value::get(&tree, root, "write_files")).and_then(Node::items);
    let mut entries: Vec<(usize, String)> = items
        .into_iter()
        .flatten()
        .filter_map(|item| {
            let path = value::get(&tree, item, "path")?.as_str()?;
            Some((item.span().end - item.span().start, quoted(path)))
        })
        .collect();
    entries.sort_unstable_by(|one, two| two.cmp(one));
    entries.into_iter().take(3).map(|(bytes, path)| format!("{path} ({bytes} bytes)")).collect()
}

/// Unknown top-level keys: cloud-init gives the key as the path when there is exactly one, else none.
pub(super) fn unknown_keys(context: &Context<'_>, unknown: &[Node<'_>], diagnostics: &mut Vec<Diagnostic>) {
    if context.version < modules::CLOSED_TOP_LEVEL || unknown.is_empty() {
        return;
    }
    let known = modules::current_keys(context.version);
    let path = match unknown {
        // cloud-init takes the name out of its own message, which it finds between apostrophes only.
        [key] => key.as_str().and_then(python_quoted).unwrap_or_default(),
        _ => String::new(),
    };
    diagnostics.extend(message::unknown_keys(context, unknown, &known, &[], &path));
}

/// A text as Python's `repr` shows it between apostrophes; `None` where it would take double quotes.
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

/// Keys that stand twice in a mapping, and items of a list that have become one, anywhere in the document.
pub(super) fn collections(document: &Document<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: HashSet<NodeId> = HashSet::new();
    // A stack of our own: documents may nest deeply, and aliases may make circles.
    let mut waiting: Vec<(Node<'_>, String)> = vec![(document.root, String::new())];
    let before = diagnostics.len();
    while let Some((node, path)) = waiting.pop() {
        if diagnostics.len() - before > MOST_DUPLICATES {
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
                        let message = "this line belongs to the item above it: the two are one text".to_string();
                        let help = Some("put its `- ` below the `- ` of the item above".into());
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
                let left = (MOST_DUPLICATES + 1).saturating_sub(diagnostics.len() - before);
                for (later, earlier) in value::duplicates(document.tree, node).into_iter().take(left) {
                    let name = key_text(later);
                    let message = format!("the key {} stands here twice: only the last value counts", quoted(&name));
                    let help = Some("remove one of the two, or join their values".into());
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

/// The line of a text without quotes that looks like an item of its own: what is indented deeper goes on with the text above.
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

/// A user-data document that is a script: what would keep it from running.
pub(super) fn script(source: &Source, diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.extend(content::script(source.text()).into_iter().map(content::in_source));
    diagnostics.push(not_judged(source, "a script is not judged by cloud-init"));
}

/// A boothook: a script after its header, started as it is. A part whose type says what it is needs no header.
pub(super) fn boothook(source: &Source, diagnostics: &mut Vec<Diagnostic>) {
    const HEADER: &str = "#cloud-boothook";
    let text = source.text();
    let body = text.trim_start_matches(header::is_blank);
    let has_header = body.get(..HEADER.len()).is_some_and(|start| start.eq_ignore_ascii_case(HEADER));
    let body = if has_header { &body[HEADER.len()..] } else { body }.trim_start_matches(header::is_blank);
    let start = text.len() - body.len();
    let first = body.lines().next().unwrap_or_default();
    let span = if first.is_empty() { beginning(source) } else { Span::new(start, start + first.len().min(80)) };
    let span = Span::new(
        span.start,
        (span.start..=span.end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(span.start),
    );
    if !first.starts_with("#!") {
        let message = "a boothook without `#!` cannot be started".to_string();
        let place = if has_header { "in the line after the header" } else { "in the first line" };
        let help = Some(format!("write `#!/bin/sh`, or another interpreter, {place}"));
        diagnostics.push(finding(&crate::rules::MISSING_INTERPRETER, String::new(), span, message, help));
    }
    for mut fault in content::script(body) {
        for place in std::iter::once(&mut fault.span).chain(fault.related.iter_mut().map(|(place, _)| place)) {
            *place = Span::new(place.start + start, place.end + start);
        }
        diagnostics.push(content::in_source(fault));
    }
}

/// Unpacks gzip, to a sensible size.
pub(super) fn unpack(bytes: &[u8]) -> Result<String, String> {
    let out = gunzip(bytes, MOST_UNPACKED)?;
    if out.len() as u64 > MOST_UNPACKED {
        return Err(format!("unpacked, the document has more than {MOST_UNPACKED} bytes"));
    }
    String::from_utf8(out).map_err(|_| "expected UTF-8 in the gzip stream, found other bytes".into())
}
