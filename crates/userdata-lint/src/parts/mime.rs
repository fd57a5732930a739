//! Splits MIME multi-part documents like Python's `email`.

use super::{MAX_PARTS, RawPart, ignored, kind_of_type, text, unrendered};
use crate::Options;
use crate::header::{self, Kind};
use crate::modules;
use crate::places::Places;
use crate::places::finding;
use crate::rules;
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, quoted};

/// How deep multi-part documents may nest.
const MAX_MIME_DEPTH: usize = 8;
/// cloud-init searches this many bytes for `MIME-Version:`.
const HEADER_BYTES: usize = 4096;

/// Headers and body of a message or of a part.
struct Entity {
    /// Lowercase names and unfolded values.
    headers: Vec<(String, String)>,
    body: Span,
    /// The headers.
    head: Span,
}

impl Entity {
    fn new(text: &str, span: Span) -> Self {
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut at = span.start;
        for line in text[span.start..span.end].split_inclusive('\n') {
            let bare = line.trim_end_matches(['\n', '\r']);
            if bare.is_empty() {
                at += line.len();
                break;
            }
            if bare.starts_with([' ', '\t']) {
                if let Some((_, value)) = headers.last_mut() {
                    value.push(' ');
                    value.push_str(bare.trim());
                }
            } else if let Some((name, value)) = bare.split_once(':').filter(|(name, _)| !name.contains(' ')) {
                headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
            } else {
                // Not a header: the body begins here, without an empty line.
                break;
            }
            at += line.len();
        }
        Self { headers, head: Span::new(span.start, at), body: Span::new(at, span.end) }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The line of a header; all headers if it is missing.
    fn place_of(&self, name: &str, text: &str) -> Span {
        let mut lines = crate::places::lines(&text[self.head.start..self.head.end]);
        let found = lines.find(|(_, line)| line.to_ascii_lowercase().starts_with(name));
        found.map_or(self.head, |(at, line)| Span::new(self.head.start + at, self.head.start + at + line.len()))
    }

    /// The type in lowercase, without parameters.
    fn kind(&self) -> String {
        let written = self.header("content-type").unwrap_or("text/plain");
        let kind = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind.split('/').count() == 2 { kind } else { "text/plain".into() }
    }

    /// A parameter of the type, such as the boundary.
    fn parameter(&self, name: &str) -> Option<String> {
        let mut rest = self.header("content-type")?.split_once(';')?.1;
        loop {
            let (key, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let (value, next) = if let Some(quoted) = after.strip_prefix('"') {
                let (value, next) = quoted.split_once('"').unwrap_or((quoted, ""));
                (value, next.split_once(';').map_or("", |(_, next)| next))
            } else {
                let (value, next) = after.split_once(';').unwrap_or((after, ""));
                (value.trim(), next)
            };
            if key.trim().trim_start_matches(';').trim().eq_ignore_ascii_case(name) {
                return Some(value.to_string());
            }
            rest = next;
        }
    }
}

pub(super) fn split(source: &Source, options: &Options, diagnostics: &mut Vec<Diagnostic>) -> Vec<RawPart> {
    let text = source.text();
    let mut pieces = Vec::new();
    let beginning = text.as_bytes()[..text.len().min(HEADER_BYTES)].to_ascii_lowercase();
    if !beginning.windows(13).any(|window| window == b"mime-version:") {
        let span = Span::new(0, text.lines().next().unwrap_or_default().len());
        let message = "expected the header `MIME-Version: 1.0` near the beginning: without it cloud-init takes the \
                       document for a text of an unknown kind";
        diagnostics.push(malformed(span, message.into()));
        return pieces;
    }
    let start = text.len() - text.trim_start_matches(header::is_blank).len();
    walk(text, &Entity::new(text, Span::new(start, text.len())), 0, options, &mut pieces, diagnostics);
    pieces
}

fn malformed(span: Span, message: String) -> Diagnostic {
    let help = Some("use `Content-Type: multipart/mixed; boundary=\"part\"`, with `--part` before each part and `--part--` at the end".into());
    finding(&rules::MALFORMED_MULTIPART, String::new(), span, message, help)
}

fn walk(
    text: &str,
    entity: &Entity,
    depth: usize,
    options: &Options,
    pieces: &mut Vec<RawPart>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let kind = entity.kind();
    if !kind.starts_with("multipart/") {
        pieces.extend(leaf(text, entity, &kind, options, diagnostics));
        return;
    }
    let Some(boundary) = entity.parameter("boundary").filter(|boundary| !boundary.is_empty()) else {
        diagnostics
            .push(malformed(entity.head, "expected a `boundary` in the header `Content-Type`, found none".into()));
        return;
    };
    if depth >= MAX_MIME_DEPTH {
        diagnostics
            .push(malformed(entity.head, format!("expected multi-part documents no deeper than {MAX_MIME_DEPTH}")));
        return;
    }
    let mut open: Option<usize> = None;
    let mut parts = Vec::new();
    let mut at = entity.body.start;
    let mut closed = false;
    for line in text[entity.body.start..entity.body.end].split_inclusive('\n') {
        // The first part over the limit is reported.
        if parts.len() + pieces.len() > MAX_PARTS {
            closed = true;
            open = None;
            break;
        }
        let after = line.trim_end().strip_prefix("--").and_then(|line| line.strip_prefix(boundary.as_str()));
        if let Some(after @ ("" | "--")) = after {
            if let Some(start) = open.take() {
                // The line end before a boundary belongs to the boundary.
                let part = &text[start..at];
                let part = part.strip_suffix('\n').map_or(part, |part| part.strip_suffix('\r').unwrap_or(part));
                parts.push(Span::new(start, start + part.len()));
            }
            if after == "--" {
                closed = true;
                break;
            }
            open = Some(at + line.len());
        }
        at += line.len();
    }
    if let Some(start) = open {
        parts.push(Span::new(start, entity.body.end));
    }
    if parts.is_empty() {
        let message =
            format!("expected a line {}, found none: the document has no parts", quoted(&format!("--{boundary}")));
        diagnostics.push(malformed(entity.head, message));
    } else if !closed {
        // The form `--part--//` is in AWS's documentation: it begins an empty part.
        let is_blank = |part: &Span| text[part.start..part.end].trim_matches(['-', '/', ' ', '\r', '\n']).is_empty();
        if parts.last().is_some_and(is_blank) {
            parts.pop();
        } else {
            let last = format!("--{boundary}--");
            let message =
                format!("the last line {} is missing; cloud-init reads the parts all the same", quoted(&last));
            let mut found = malformed(Span::at(entity.body.end), message);
            found.help = Some(format!("add it, in case the end of the document is missing: {}", quoted(&last)));
            found.severity = diagnostics::Severity::Info;
            diagnostics.push(found);
        }
    }
    for part in parts {
        walk(text, &Entity::new(text, part), depth + 1, options, pieces, diagnostics);
    }
}

/// Reports a cloud-config key among the headers of a part, where the empty line is missing.
fn swallowed(text: &str, entity: &Entity) -> Option<Diagnostic> {
    let (name, _) = entity.headers.iter().find(|(name, _)| modules::top_level(name).is_some())?;
    let lines = text[entity.head.start..entity.head.end].split_inclusive('\n').scan(entity.head.start, |at, line| {
        *at += line.len();
        Some((*at - line.len(), line))
    });
    let (at, _) = lines.into_iter().find(|(_, line)| line.to_ascii_lowercase().starts_with(name.as_str()))?;
    let message = format!("{} is read as a header of the part, not as its content", quoted(name));
    let help = Some("put an empty line between the headers and the content".into());
    let mut found = finding(&rules::MALFORMED_MULTIPART, String::new(), Span::new(at, at + name.len()), message, help);
    found.severity = diagnostics::Severity::Warning;
    Some(found)
}

fn leaf(
    text: &str,
    entity: &Entity,
    kind: &str,
    options: &Options,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<RawPart> {
    let written = &text[entity.body.start..entity.body.end];
    let encoding = entity.header("content-transfer-encoding").unwrap_or("7bit").to_ascii_lowercase();
    let decoded = match encoding.as_str() {
        "base64" => text::base64(written).map(Some),
        "quoted-printable" => Ok(Some(text::quoted_printable(written))),
        _ => Ok(None),
    };
    let content = decoded.and_then(|bytes| bytes.map(text::unpacked).transpose());
    let content = match content {
        Ok(content) => content,
        Err(problem) => {
            let message = format!("the part is not valid {}: {problem}", quoted(&encoding));
            diagnostics.push(finding(&rules::UNREADABLE_DOCUMENT, String::new(), entity.body, message, None));
            return None;
        }
    };
    let content = content.unwrap_or_else(|| written.to_string());
    diagnostics.extend(swallowed(text, entity));
    // For these types, cloud-init looks at the content.
    let kind_of_text = || Some(header::kind(&content, options.cloud_init)).filter(|kind| *kind != Kind::Unknown);
    let says_nothing = ["text/plain", "text/x-not-multipart", "application/octet-stream", "text/x-shellscript"];
    let packed = kind.starts_with("application/") && kind.contains("gzip");
    let known = if says_nothing.contains(&kind) || packed {
        kind_of_text().or_else(|| kind_of_type(kind))
    } else {
        kind_of_type(kind)
    };
    if known.is_none() {
        diagnostics.push(ignored(kind, entity.head));
    }
    diagnostics.extend(unrendered(kind, &content, options, String::new(), entity.place_of("content-type", text)));
    let places = Places::of_one_span(content.len(), entity.body);
    let has = |names: &[&str]| names.iter().any(|name| entity.header(name).is_some());
    Some(RawPart {
        places,
        text: content,
        kind: known,
        span: entity.body,
        has_merge_type: has(&["merge-type", "x-merge-type"]),
        is_conditional: has(&["launch-index"]),
    })
}
