//! JSON and YAML: files whose names say so, and that do not parse. Programs differ in what they add (comments, templates, several
//! documents, tags); a text with any of that is let pass.

use super::{Content, Fault};
use crate::places::json_error;
use crate::rules;
use diagnostics::source::Span;

/// Longer files are not parsed.
const MAX_FILE_BYTES: usize = 1024 * 1024;

pub(super) fn check(content: &Content<'_>, out: &mut Vec<Fault>) {
    let ending = content.path.rsplit_once('.').map(|(_, ending)| ending);
    let is_json = ending == Some("json");
    if !(is_json || matches!(ending, Some("yaml" | "yml"))) || content.appends || content.text.len() > MAX_FILE_BYTES {
        return;
    }
    let text = content.text;
    if text.trim().is_empty() || ["{{", "{%", "<%", "${"].iter().any(|mark| text.contains(mark)) {
        return;
    }
    out.extend(if is_json { json(text) } else { yaml(text) });
}

fn json(text: &str) -> Option<Fault> {
    let error = serde_json::from_str::<serde::de::IgnoredAny>(text).err()?;
    let has_comments =
        text.lines().any(|line| ["//", "/*", "#"].iter().any(|mark| line.trim_start().starts_with(mark)));
    let (said, at) = json_error(text, &error);
    // Several documents one after the other, or nested more deeply than we read.
    if has_comments || said.contains("recursion") || text.starts_with('\u{feff}') {
        return None;
    }
    if said.starts_with("trailing characters") && text[at..].starts_with(['{', '[']) {
        return None;
    }
    let end = text[at..].chars().next().map_or(at, |c| at + if c == '\n' { 0 } else { c.len_utf8() });
    let message = format!("this file is no JSON: {said}");
    Some(Fault::new(&rules::INVALID_JSON, Span::new(at, end), message, None))
}

fn yaml(text: &str) -> Option<Fault> {
    // What other readers of YAML know: tags of their own, several documents, directives.
    let foreign = |line: &str| {
        line.starts_with("---")
            || line.starts_with('%')
            || line.contains(" !")
            || line.starts_with('!')
            || line.contains("\\/")
    };
    let start = text.strip_prefix("---").unwrap_or(text);
    if start.lines().any(foreign) {
        return None;
    }
    let error = yaml11::parse(text).err()?;
    let ours = ["tag", "anchor", "alias", "levels", "values", "document", "escape", "merge", "character"];
    if ours.iter().any(|word| error.message.contains(word)) {
        return None;
    }
    Some(Fault::new(
        &rules::INVALID_YAML_FILE,
        error.reported_span(),
        format!("this file is no YAML: {}", error.message),
        None,
    ))
}
