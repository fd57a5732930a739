//! `--format human`: each finding with its source lines underlined, and what to do next.

use std::borrow::Cow;

use annotate_snippets::renderer::DEFAULT_TERM_WIDTH;
use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet, Title};

use super::escape::is_control;
use super::{Diagnostic, Findings, Severity, escape_control};
use crate::source::{Source, Span};

/// A finding with more lines is shown by its first line only.
const MAX_LINES: usize = 6;
/// Of a longer line, only the part around the finding is shown.
const MAX_LINE_BYTES: usize = 20_000;
/// How much of a long line is shown before and after the finding.
const CONTEXT_BYTES: usize = 40;

/// Renders all findings of a source, each followed by a blank line.
#[must_use]
pub fn human(findings: &Findings, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(DEFAULT_TERM_WIDTH);
    let mut out = String::new();
    for diagnostic in &findings.diagnostics {
        out.push_str(&render_finding(&findings.source, diagnostic, &renderer));
        out.push_str("\n\n");
    }
    out
}

fn render_finding(source: &Source, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Deprecated => Level::WARNING.with_name("deprecated"),
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(escape_control(&diagnostic.message)).id(diagnostic.rule.code);
    let name = escape_control(source.name());
    let mut elements: Vec<Element<'_>> = Vec::new();
    let Some(span) = diagnostic.span else {
        elements.push(Origin::path(name).into());
        return finish(diagnostic, title, elements, renderer);
    };
    let label = if diagnostic.path.is_empty() { String::new() } else { escape_control(&diagnostic.path).into_owned() };
    let primary = Excerpt::new(source, span);
    if primary.cut {
        // A snippet of a partial line would show the wrong column.
        let place = source.position(span.start);
        elements.push(Origin::path(name).line(place.line).char_column(place.column).into());
    }
    let mut excerpts = vec![(primary, AnnotationKind::Primary, label)];
    for (span, label) in &diagnostic.related {
        excerpts.push((Excerpt::new(source, *span), AnnotationKind::Context, escape_control(label).into_owned()));
    }
    elements.extend(snippets(source, excerpts));
    finish(diagnostic, title, elements, renderer)
}

fn finish<'a>(
    diagnostic: &'a Diagnostic,
    title: Title<'a>,
    mut elements: Vec<Element<'a>>,
    renderer: &Renderer,
) -> String {
    if let Some(help) = &diagnostic.help {
        elements.push(Level::HELP.message(escape_control(help)).into());
    }
    elements.push(Level::NOTE.message(format!("`mkimg explain {}` says more", diagnostic.rule.code)).into());
    let group: Group<'_> = title.elements(elements);
    renderer.render(&[group])
}

/// The lines around a span that are shown.
struct Excerpt {
    window: Span,
    marked: Span,
    line: usize,
    /// Whether the window starts in the middle of a line.
    cut: bool,
}

impl Excerpt {
    fn new(source: &Source, span: Span) -> Self {
        let text = source.text();
        let bytes = text.as_bytes();
        // Bounds the work on very long lines.
        let boundary = |mut at: usize| {
            while !text.is_char_boundary(at) {
                at += 1;
            }
            at
        };
        let first = span.start.saturating_sub(MAX_LINE_BYTES + 1);
        let line_start = bytes[first..span.start].iter().rposition(|byte| *byte == b'\n').map(|at| first + at + 1);
        let start = line_start.unwrap_or(if first == 0 { 0 } else { boundary(first) });
        let is_long = line_start.is_none() && first > 0;
        let mut marked = span;
        let end_of = |from: usize| {
            let last = boundary((from + MAX_LINE_BYTES + 1).min(text.len()));
            bytes[from..last].iter().position(|byte| *byte == b'\n').map_or(last, |at| from + at)
        };
        let examined = &bytes[span.start..span.end.min(span.start + MAX_LINE_BYTES)];
        let mut lines = examined.split(|byte| *byte == b'\n').count() - 1;
        if examined.len() < span.end - span.start {
            lines = MAX_LINES + 1;
        }
        // Do not include the line after a block that ends with a line break.
        while marked.end > marked.start && matches!(text.as_bytes()[marked.end - 1], b'\n' | b'\r') {
            marked.end -= 1;
        }
        if lines > MAX_LINES {
            marked.end = end_of(marked.start);
        }
        let mut window = Span::new(start, end_of(marked.end));
        if window.end - window.start > MAX_LINE_BYTES {
            let mut from = marked.start.saturating_sub(CONTEXT_BYTES).max(window.start);
            let mut to = (marked.start + 2 * CONTEXT_BYTES).min(window.end);
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

/// Merges excerpts that share or touch lines into one snippet.
fn snippets<'s>(source: &'s Source, mut excerpts: Vec<(Excerpt, AnnotationKind, String)>) -> Vec<Element<'s>> {
    let mut out: Vec<Element<'s>> = Vec::new();
    let mut group: Vec<(Excerpt, AnnotationKind, String)> = Vec::new();
    // The finding itself comes first; related spans follow in text order.
    let mut rest = excerpts.split_off(1);
    rest.sort_by_key(|(excerpt, ..)| excerpt.window.start);
    for excerpt in excerpts.into_iter().chain(rest) {
        let window = group.iter().map(|(excerpt, ..)| excerpt.window).reduce(Span::to);
        let touches = window
            .is_some_and(|window| excerpt.0.window.start <= window.end + 1 && window.start <= excerpt.0.window.end + 1);
        if !touches && !group.is_empty() {
            out.push(snippet(source, std::mem::take(&mut group)));
        }
        group.push(excerpt);
    }
    if !group.is_empty() {
        out.push(snippet(source, group));
    }
    out
}

fn snippet(source: &Source, group: Vec<(Excerpt, AnnotationKind, String)>) -> Element<'_> {
    let window = group.iter().map(|(excerpt, ..)| excerpt.window).reduce(Span::to).unwrap_or_default();
    let line = group.iter().map(|(excerpt, ..)| excerpt.line).min().unwrap_or(1);
    let cut = group.iter().any(|(excerpt, ..)| excerpt.cut);
    let text = match source.shown(window) {
        Cow::Borrowed(text) => visible(text),
        Cow::Owned(text) => Cow::Owned(visible(&text).into_owned()),
    };
    let mut snippet = Snippet::source(text).line_start(line).fold(false);
    if !cut {
        snippet = snippet.path(escape_control(source.name()));
    }
    for (excerpt, kind, label) in group {
        let marked = excerpt.marked.start - window.start..excerpt.marked.end - window.start;
        let annotation = kind.span(marked);
        snippet = snippet.annotation(if label.is_empty() { annotation } else { annotation.label(label) });
    }
    snippet.into()
}

/// Replaces control characters by others of the same length in bytes, so that spans stay valid. The
/// renderer replaces those of one byte.
fn visible(text: &str) -> Cow<'_, str> {
    let replaced = |character: char| match character.len_utf8() {
        2 if is_control(character) => '\u{b7}',
        3 if is_control(character) => '\u{fffd}',
        _ => character,
    };
    if text.chars().all(|character| replaced(character) == character) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(replaced).collect())
}
