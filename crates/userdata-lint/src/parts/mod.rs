//! Documents that hold other documents: multi-part, archives, base64. Each is taken apart as cloud-init does, and each part
//! is judged like a document of its own; what is found in it is shown where it stands in the whole file.
//!
//! `cloud-init schema` looks into none of them. So findings in a part have the origin `mkimg`, whatever their rule, and leave the
//! verdict of the document as cloud-init gives it; each part has a verdict of its own.
//!
//! To add a kind that holds parts, add a file with a function that gives [`Piece`]s, and a line in [`split`].

mod archive;
mod mime;
mod text;

use super::header::Kind;
use super::judge::{Judged, judge_as};
use super::message::finding;
use super::places::Places;
use super::{Options, boot, suppress};
use crate::rules;
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Origin, Part, Suppressed, Verdict, quoted};

pub(super) use text::{decoded, include, part_handler, patch};

/// So deep parts are taken out of parts.
const DEEPEST: usize = 4;
/// So many parts of one document are judged.
const MOST_PARTS: usize = 1_000;

/// A part before it is judged.
pub(super) struct Piece {
    pub text: String,
    pub places: Places,
    /// What it is; `None` for what cloud-init passes over.
    pub kind: Option<Kind>,
    /// Its place in the document.
    pub span: Span,
}

/// What cloud-init makes of a part with a MIME type.
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

fn ignored(name: &str, span: Span) -> Diagnostic {
    let message = format!("cloud-init passes over a part of the type {}", quoted(name));
    let known = [
        "text/cloud-config",
        "text/cloud-config-archive",
        "text/cloud-config-jsonp",
        "text/jinja2",
        "text/x-include-url",
        "text/cloud-boothook",
        "text/part-handler",
        "text/x-shellscript",
    ];
    let help = match diagnostics::closest(name, known) {
        Some(closest) => format!("did you mean {}?", quoted(closest)),
        None => "use a type such as `text/cloud-config` or `text/x-shellscript`, or a part handler for this one".into(),
    };
    finding(&rules::IGNORED_PART, String::new(), span, message, Some(help))
}

/// The parts of a document of this kind.
pub(super) fn split(source: &Source, kind: Kind, options: &Options, diagnostics: &mut Vec<Diagnostic>) -> Vec<Piece> {
    match kind {
        Kind::CloudConfigArchive => archive::split(source, options, diagnostics),
        Kind::Mime => mime::split(source, options, diagnostics),
        _ => Vec::new(),
    }
}

/// Judges the parts of a document; their findings are added to its own.
pub(super) fn judge(
    source: &Source,
    pieces: Vec<Piece>,
    options: &Options,
    depth: usize,
    diagnostics: &mut Vec<Diagnostic>,
    suppressed: &mut Vec<Suppressed>,
) -> Vec<Part> {
    let mut parts = Vec::new();
    let count = pieces.len();
    for (index, piece) in pieces.into_iter().enumerate() {
        let Some(kind) = piece.kind else {
            parts.push(Part { kind: Kind::Unknown.name(), verdict: Verdict::Skipped, span: piece.span });
            continue;
        };
        if depth >= DEEPEST || index >= MOST_PARTS {
            let message = format!("no more than {MOST_PARTS} parts, {DEEPEST} deep, are looked into");
            diagnostics.push(finding(&rules::NOT_CHECKED, String::new(), piece.span, message, None));
            break;
        }
        let text = Source::new(source.name(), piece.text);
        let Judged { verdict, diagnostics: mut found, parts: inner, suppressed: mut allowed } =
            judge_as(&text, kind, options, depth + 1);
        // Scripts say that they are not judged; what is found in them can be allowed all the same.
        suppress::in_document(&text, options, &inner, &mut found, &mut allowed);
        parts.push(Part { kind: kind.name(), verdict, span: piece.span });
        parts.extend(inner.into_iter().map(|part| Part { span: piece.places.span(part.span), ..part }));
        let name = |message: &mut String| {
            if count > 1 && depth == 0 {
                *message = format!("in part {}: {message}", index + 1);
            }
        };
        for mut allowed in allowed {
            piece.places.translate_suppressed(&mut allowed);
            let finding = &mut allowed.diagnostic;
            (finding.origin, finding.span) = (Origin::Mkimg, finding.span.or(Some(piece.span)));
            name(&mut finding.message);
            suppressed.push(allowed);
        }
        // That scripts are not judged is said of whole documents only.
        let known = matches!(kind, Kind::Script | Kind::Empty);
        let holds = |found: &Diagnostic| {
            !(known && found.code == rules::NOT_CHECKED.code) && (count == 1 || boot::holds_of_a_part(found))
        };
        for mut finding in found.into_iter().filter(holds) {
            piece.places.translate(&mut finding);
            finding.origin = Origin::Mkimg;
            // A finding without a place is about the part.
            finding.span = finding.span.or(Some(piece.span));
            name(&mut finding.message);
            diagnostics.push(finding);
        }
    }
    parts
}

#[cfg(test)]
mod tests;
