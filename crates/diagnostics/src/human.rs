//! For people: each finding with the lines it is about, underlined, what to do next, and where to read more.

use std::borrow::Cow;

use annotate_snippets::renderer::DEFAULT_TERM_WIDTH;
use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet, Title};

use super::harmless::is_harmful;
use super::{Diagnostic, Findings, Severity, harmless};
use crate::source::{Source, Span};

/// A finding that spans more lines is shown by its first line.
const MOST_LINES: usize = 6;
/// Of a line that is longer (in bytes), only what is around the place is looked at.
const LONGEST_LINE: usize = 20_000;
/// How much of a long line is shown before and after the place, in bytes.
const AROUND: usize = 40;

/// All findings of a source, a blank line after each; nothing where there are none.
#[must_use]
pub fn human(findings: &Findings, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(DEFAULT_TERM_WIDTH);
    let mut out = String::new();
    for diagnostic in &findings.diagnostics {
        out.push_str(&one(&findings.source, diagnostic, &renderer));
        out.push_str("\n\n");
    }
    out
}

fn one(source: &Source, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Deprecated => Level::WARNING.with_name("deprecated"),
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(harmless(&diagnostic.message)).id(diagnostic.code);
    let name = harmless(source.name());
    let mut elements: Vec<Element<'_>> = Vec::new();
    let Some(span) = diagnostic.span else {
        elements.push(Origin::path(name).into());
        return finish(diagnostic, title, elements, renderer);
    };
    let label = if diagnostic.path.is_empty() { String::new() } else { harmless(&diagnostic.path).into_owned() };
    let primary = Piece::new(source, span);
    if primary.cut {
        // A snippet of half a line would show the wrong column.
        let place = source.position(span.start);
        elements.push(Origin::path(name).line(place.line).char_column(place.column).into());
    }
    let mut pieces = vec![(primary, AnnotationKind::Primary, label)];
    for (span, label) in &diagnostic.related {
        pieces.push((Piece::new(source, *span), AnnotationKind::Context, harmless(label).into_owned()));
    }
    elements.extend(snippets(source, pieces));
    finish(diagnostic, title, elements, renderer)
}

fn finish<'a>(
    diagnostic: &'a Diagnostic,
    title: Title<'a>,
    mut elements: Vec<Element<'a>>,
    renderer: &Renderer,
) -> String {
    if let Some(help) = &diagnostic.help {
        elements.push(Level::HELP.message(harmless(help)).into());
    }
    elements.push(Level::NOTE.message(format!("`mkimg explain {}` says more", diagnostic.code)).into());
    let group: Group<'_> = title.elements(elements);
    renderer.render(&[group])
}

/// A place and the whole lines around it, as much as is shown of them.
struct Piece {
    window: Span,
    marked: Span,
    line: usize,
    /// The window does not start where its line does.
    cut: bool,
}

impl Piece {
    fn new(source: &Source, span: Span) -> Self {
        let text = source.text();
        let bytes = text.as_bytes();
        // Of a line of any length, no more is looked at than could be shown.
        let boundary = |mut at: usize| {
            while !text.is_char_boundary(at) {
                at += 1;
            }
            at
        };
        let first = span.start.saturating_sub(LONGEST_LINE + 1);
        let line_start = bytes[first..span.start].iter().rposition(|byte| *byte == b'\n').map(|at| first + at + 1);
        let start = line_start.unwrap_or(if first == 0 { 0 } else { boundary(first) });
        let is_long = line_start.is_none() && first > 0;
        let mut marked = span;
        let end_of = |from: usize| {
            let last = boundary((from + LONGEST_LINE + 1).min(text.len()));
            bytes[from..last].iter().position(|byte| *byte == b'\n').map_or(last, |at| from + at)
        };
        let looked_at = &bytes[span.start..span.end.min(span.start + LONGEST_LINE)];
        let mut lines = looked_at.split(|byte| *byte == b'\n').count() - 1;
        if looked_at.len() < span.end - span.start {
            lines = MOST_LINES + 1;
        }
        // A block that ends with its line end is shown up to there, not with the next line.
        while marked.end > marked.start && matches!(text.as_bytes()[marked.end - 1], b'\n' | b'\r') {
            marked.end -= 1;
        }
        if lines > MOST_LINES {
            marked.end = end_of(marked.start);
        }
        let mut window = Span::new(start, end_of(marked.end));
        if window.end - window.start > LONGEST_LINE {
            let mut from = marked.start.saturating_sub(AROUND).max(window.start);
            let mut to = (marked.start + 2 * AROUND).min(window.end);
            while !text.is_char_boundary(from) {
                from -= 1;
            }
            while !text.is_char_boundary(to) {
                to += 1;
            }
            window = Span::new(from, to);
            marked.end = marked.end.min(to);
        }
        Self { window, marked, line: source.position(window.start).line, cut: is_long || window.start != start }
    }
}

/// Pieces that share or touch lines become one snippet.
fn snippets<'s>(source: &'s Source, mut pieces: Vec<(Piece, AnnotationKind, String)>) -> Vec<Element<'s>> {
    let mut out: Vec<Element<'s>> = Vec::new();
    let mut group: Vec<(Piece, AnnotationKind, String)> = Vec::new();
    // The place itself comes first, whatever the order in the text; the others follow by line.
    let mut rest = pieces.split_off(1);
    rest.sort_by_key(|(piece, ..)| piece.window.start);
    for piece in pieces.into_iter().chain(rest) {
        let window = group.iter().map(|(piece, ..)| piece.window).reduce(Span::to);
        let touches = window
            .is_some_and(|window| piece.0.window.start <= window.end + 1 && window.start <= piece.0.window.end + 1);
        if !touches && !group.is_empty() {
            out.push(snippet(source, std::mem::take(&mut group)));
        }
        group.push(piece);
    }
    if !group.is_empty() {
        out.push(snippet(source, group));
    }
    out
}

fn snippet(source: &Source, group: Vec<(Piece, AnnotationKind, String)>) -> Element<'_> {
    let window = group.iter().map(|(piece, ..)| piece.window).reduce(Span::to).unwrap_or_default();
    let line = group.iter().map(|(piece, ..)| piece.line).min().unwrap_or(1);
    let cut = group.iter().any(|(piece, ..)| piece.cut);
    let text = match source.shown(window) {
        Cow::Borrowed(text) => visible(text),
        Cow::Owned(text) => Cow::Owned(visible(&text).into_owned()),
    };
    let mut snippet = Snippet::source(text).line_start(line).fold(false);
    if !cut {
        snippet = snippet.path(harmless(source.name()));
    }
    for (piece, kind, label) in group {
        let marked = piece.marked.start - window.start..piece.marked.end - window.start;
        let annotation = kind.span(marked);
        snippet = snippet.annotation(if label.is_empty() { annotation } else { annotation.label(label) });
    }
    snippet.into()
}

/// The text with harmful characters replaced by others of the same length in bytes, so that places stay where they are.
/// (One-byte control characters are the renderer's business.)
fn visible(text: &str) -> Cow<'_, str> {
    let replaced = |character: char| match character.len_utf8() {
        2 if is_harmful(character) => '\u{b7}',
        3 if is_harmful(character) => '\u{fffd}',
        _ => character,
    };
    if text.chars().all(|character| replaced(character) == character) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(replaced).collect())
}
