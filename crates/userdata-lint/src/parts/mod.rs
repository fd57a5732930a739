//! Splits documents that hold other documents: archives, multi-part documents, base64.
//!
//! To add a kind that holds parts, add a function that returns [`RawPart`]s, and a line in
//! [`split`].

mod merge;
mod mime;
mod text;

use super::header::{self, Kind};
use super::places::{Places, finding};
use super::{Options, document, rules, value};
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, quoted};
use yaml11::{Node, Scalar};

pub(super) use merge::check as check_merging;
pub(super) use text::{decoded, include, part_handler, patch};

/// How deep parts of parts are checked.
pub(super) const MAX_DEPTH: usize = 4;
/// How many parts of one document are checked.
pub(super) const MAX_PARTS: usize = 1_000;

/// A part before it is checked.
pub(super) struct RawPart {
    pub text: String,
    pub places: Places,
    /// `None` for a part that cloud-init ignores.
    pub kind: Option<Kind>,
    /// Its place in the document.
    pub span: Span,
    /// Whether a header says how to merge it with the other parts.
    pub has_merge_type: bool,
    /// Whether only some machines read it (`Launch-Index`).
    pub is_conditional: bool,
}

/// The kind of a part by its MIME type.
fn kind_of_type(name: &str) -> Option<Kind> {
    Some(match name {
        "text/cloud-config" => Kind::CloudConfig,
        "text/cloud-config-archive" => Kind::CloudConfigArchive,
        "text/cloud-config-jsonp" => Kind::Jsonp,
        "text/jinja2" => Kind::JinjaTemplate,
        "text/x-include-url" | "text/x-include-once-url" => Kind::Include,
        "text/cloud-boothook" => Kind::Boothook,
        "text/part-handler" => Kind::PartHandler,
        "text/x-shellscript"
        | "text/x-shellscript-per-boot"
        | "text/x-shellscript-per-instance"
        | "text/x-shellscript-per-once" => Kind::Script,
        _ => return None,
    })
}

/// Reports a template in a part whose type keeps cloud-init from rendering it.
fn unrendered(name: &str, text: &str, options: &Options, path: String, span: Span) -> Option<Diagnostic> {
    let is_known = kind_of_type(name).is_some_and(|kind| !matches!(kind, Kind::JinjaTemplate | Kind::Script));
    let has_expressions = text.contains("{{") || text.contains("{%");
    if !is_known || !has_expressions || header::kind(text, options.cloud_init) != Kind::JinjaTemplate {
        return None;
    }
    let message = format!("cloud-init does not render a template in a part of type {}", quoted(name));
    let help = Some("use the type `text/jinja2`".into());
    Some(finding(&rules::UNRENDERED_PART, path, span, message, help))
}

fn ignored(name: &str, span: Span) -> Diagnostic {
    let message = format!("cloud-init ignores parts of type {}", quoted(name));
    let known = [
        "text/cloud-config", "text/cloud-config-archive", "text/cloud-config-jsonp", "text/jinja2",
        "text/x-include-url", "text/cloud-boothook", "text/part-handler", "text/x-shellscript",
    ];
    let help = diagnostics::did_you_mean(name, known).unwrap_or_else(|| {
        "use a type such as `text/cloud-config` or `text/x-shellscript`, or a part handler for this one".into()
    });
    finding(&rules::IGNORED_PART, String::new(), span, message, Some(help))
}

/// The parts of a document of this kind.
pub(super) fn split(source: &Source, kind: Kind, options: &Options, diagnostics: &mut Vec<Diagnostic>) -> Vec<RawPart> {
    match kind {
        Kind::CloudConfigArchive => split_archive(source, options, diagnostics),
        Kind::Mime => mime::split(source, options, diagnostics),
        _ => Vec::new(),
    }
}

/// The parts of `#cloud-config-archive`, a YAML list.
fn split_archive(source: &Source, options: &Options, diagnostics: &mut Vec<Diagnostic>) -> Vec<RawPart> {
    let malformed = |path: String, span: Span, expected: &str, found: String| {
        let help = Some("write each part as `- content: |` with its text below, and its `type` where needed".into());
        finding(&rules::MALFORMED_ARCHIVE, path, span, format!("expected {expected}, found {found}"), help)
    };
    let tree = match yaml11::parse(source.text()) {
        Ok(tree) => tree,
        Err(error) => {
            diagnostics.push(document::invalid_yaml(source, &error));
            return Vec::new();
        }
    };
    let Some(items) = tree.root().and_then(Node::items) else {
        let (span, found) = document::root_place(source, &tree);
        diagnostics.push(malformed(String::new(), span, "a list of parts", found));
        return Vec::new();
    };
    let mut parts = Vec::new();
    for (index, item) in items.enumerate() {
        // The first part over the limit is reported.
        if parts.len() > MAX_PARTS {
            break;
        }
        if item.as_str().is_some() {
            parts.extend(archive_part(source, index.to_string(), item, None, options, diagnostics));
            continue;
        }
        if item.entries().is_none() {
            let found = value::describe(source, item);
            let expected = "a part: a string, or a mapping with `content`";
            diagnostics.push(malformed(index.to_string(), item.used_at(), expected, found));
            continue;
        }
        let kind = value::get(&tree, item, "type").filter(|kind| !matches!(kind.scalar(), Some(Scalar::Null)));
        if let Some(kind) = kind.filter(|kind| !kind.as_str().is_some_and(|kind| kind.contains('/'))) {
            let found = value::describe(source, kind);
            let expected = "a type such as `text/cloud-config`";
            diagnostics.push(malformed(format!("{index}.type"), kind.used_at(), expected, found));
            continue;
        }
        match value::get(&tree, item, "content") {
            Some(content) if content.as_str().is_some() => {
                let part = archive_part(source, format!("{index}.content"), content, kind, options, diagnostics);
                let has = |names: &[&str]| {
                    let mut keys = item.entries().into_iter().flatten().filter_map(|(key, _)| key.as_str());
                    keys.any(|key| names.iter().any(|name| key.eq_ignore_ascii_case(name)))
                };
                parts.extend(part.map(|part| RawPart {
                    has_merge_type: has(&["Merge-Type", "X-Merge-Type"]),
                    is_conditional: has(&["Launch-Index"]),
                    ..part
                }));
            }
            // A binary part is not checked.
            Some(content) if matches!(content.scalar(), Some(Scalar::Binary(_))) => {}
            Some(content) => {
                let found = value::describe(source, content);
                diagnostics.push(malformed(format!("{index}.content"), content.used_at(), "a text", found));
            }
            None => {
                let message = "a mapping without it".to_string();
                diagnostics.push(malformed(index.to_string(), item.used_at(), "a part with `content`", message));
            }
        }
    }
    parts
}

fn archive_part(
    source: &Source,
    path: String,
    content: Node<'_>,
    declared: Option<Node<'_>>,
    options: &Options,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<RawPart> {
    let text = content.as_str()?;
    let kind = match declared.and_then(|declared| Some((declared, declared.as_str()?))) {
        Some((node, name)) => {
            let kind = kind_of_type(name);
            diagnostics.extend(unrendered(name, text, options, path.clone(), node.used_at()));
            if kind.is_none() {
                let mut found = ignored(name, node.used_at());
                found.path = path;
                diagnostics.push(found);
            }
            kind
        }
        // Without a type and a known header, cloud-init assumes a cloud-config.
        None => match header::kind(text, options.cloud_init) {
            Kind::Unknown | Kind::Empty | Kind::Mime => Some(Kind::CloudConfig),
            kind => Some(kind),
        },
    };
    Some(RawPart {
        text: text.to_string(),
        places: Places::of_scalar(source, content, text),
        kind,
        span: content.used_at(),
        has_merge_type: false,
        is_conditional: false,
    })
}

#[cfg(test)]
mod tests;
