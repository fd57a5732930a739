//! `#cloud-config-archive`: a YAML list of parts.

use super::{MOST_PARTS, Piece, ignored, kind_of_type};
use crate::header::{self, Kind};
use crate::message::finding;
use crate::places::Places;
use crate::rules;
use crate::{Options, document, value};
use diagnostics::Diagnostic;
use diagnostics::source::{Source, Span};
use yaml11::{Node, Scalar};

pub(super) fn split(source: &Source, options: &Options, diagnostics: &mut Vec<Diagnostic>) -> Vec<Piece> {
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
    let mut pieces = Vec::new();
    for (index, item) in items.enumerate() {
        // More of them are not judged; that is said of the first of them.
        if pieces.len() > MOST_PARTS {
            break;
        }
        if item.as_str().is_some() {
            pieces.extend(part(source, index.to_string(), item, None, options, diagnostics));
            continue;
        }
        if item.entries().is_none() {
            let found = value::describe(source, item);
            let expected = "a part: a text, or a mapping with `content`";
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
                pieces.extend(part(source, format!("{index}.content"), content, kind, options, diagnostics));
            }
            // Bytes: a part of another type than text, which nobody looks into.
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
    pieces
}

fn part(
    source: &Source,
    path: String,
    content: Node<'_>,
    declared: Option<Node<'_>>,
    options: &Options,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Piece> {
    let text = content.as_str()?;
    let kind = match declared.and_then(|declared| Some((declared, declared.as_str()?))) {
        Some((node, name)) => {
            let kind = kind_of_type(name);
            if kind.is_none() {
                let mut found = ignored(name, node.used_at());
                found.path = path;
                diagnostics.push(found);
            }
            kind
        }
        // Without a type, what does not begin like anything else is a cloud-config.
        None => match header::kind(text, options.cloud_init) {
            Kind::Unknown | Kind::Empty | Kind::Mime => Some(Kind::CloudConfig),
            kind => Some(kind),
        },
    };
    Some(Piece {
        text: text.to_string(),
        places: Places::of_scalar(source, content, text),
        kind,
        span: content.used_at(),
    })
}
