//! Documents with the header `## template: jinja`: rendered as cloud-init does on the machine, then judged.
//!
//! What is known only on the machine is not known here: the variables under `v1` get stand-ins, since every platform sets
//! them; any other that is missing is a warning, as for cloud-init, and its text becomes `CI_MISSING_JINJA_VAR/…`. Findings
//! are shown in the template: minijinja says which expression a piece of the output came from. What minijinja does not do as Python's
//! Jinja does is in `python.rs` (values, methods, filters) and `tuples.rs` (syntax): another difference goes there.

mod python;
#[cfg(test)]
mod tests;
mod tuples;

use std::collections::BTreeMap;

use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use super::message::finding;
use super::places::Places;
use crate::rules;
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};

/// What cloud-init writes in front of the name of a variable that is missing.
const MISSING: &str = "CI_MISSING_JINJA_VAR/";
/// A loop in a template ends after so many steps: no document of 64 KiB needs them.
const FUEL: u64 = 2_000_000;
/// The most that a template is rendered to, in bytes.
const LARGEST: usize = 16 * 1024 * 1024;

/// Larger templates are not rendered: in memory, one takes thirty times its bytes.
const LARGEST_TEMPLATE: usize = 2 * 1024 * 1024;

/// The variables that cloud-init sets on every platform, with a value such as one finds there.
const STANDARD: &[(&str, &str)] = &[
    ("availability_zone", "nyc3"),
    ("cloud_id", "digitalocean"),
    ("cloud_name", "digitalocean"),
    ("distro", "ubuntu"),
    ("distro_release", "noble"),
    ("distro_version", "24.04"),
    ("instance_id", "123456789"),
    ("kernel_release", "6.8.0-31-generic"),
    ("local_hostname", "machine"),
    ("machine", "x86_64"),
    ("platform", "digitalocean"),
    ("python_version", "3.12.3"),
    ("region", "nyc3"),
    ("subplatform", "metadata"),
    ("system_platform", "Linux-6.8.0-31-generic-x86_64"),
    ("variant", "ubuntu"),
];

/// Filters and functions of Jinja that minijinja does not have: a template that uses them is right, but not rendered here.
const JINJA_ONLY: &[&str] =
    &["do", "forceescape", "lipsum", "truncate", "urlize", "wordwrap", "xmlattr", "callable", "sameas"];

/// What a template becomes.
pub(super) enum Rendered {
    Text {
        text: String,
        places: Places,
        warnings: Vec<Diagnostic>,
    },
    /// cloud-init could not render it either.
    Broken(Diagnostic),
    /// It needs something that only cloud-init's own Jinja has: why.
    Unknown(String),
}

/// Renders a template. `text` is the whole document, with its header.
pub(super) fn render(text: &str) -> Rendered {
    let (header, body) = text.split_once('\n').unwrap_or((text, ""));
    let offset = text.len() - body.len();
    if header.trim_start_matches('#').trim().to_ascii_lowercase().trim_start_matches("template:").trim() != "jinja" {
        let message = "expected `## template: jinja`, and nothing else, in the first line".to_string();
        let help = Some("put the header into the very first line".into());
        let span = Span::new(0, header.trim_end().len());
        return Rendered::Broken(finding(&rules::INVALID_JINJA, String::new(), span, message, help));
    }
    if body.len() > LARGEST_TEMPLATE {
        return Rendered::Unknown(format!("a template of more than {LARGEST_TEMPLATE} bytes is not rendered here"));
    }
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(64);
    environment.set_debug(true);
    let syntax = minijinja::syntax::SyntaxConfig::builder().keep_trailing_newline(true).trim_blocks(true).build();
    if let Ok(syntax) = syntax {
        environment.set_syntax(syntax);
    }
    python::set_up(&mut environment);
    let prepared = match tuples::prepare(body) {
        Ok(prepared) => prepared,
        Err(place) => {
            let message = "expected a name between `for` and `in`".to_string();
            let span = Span::new(offset + place.start, offset + place.end);
            return Rendered::Broken(finding(&rules::INVALID_JINJA, String::new(), span, message, None));
        }
    };
    let rendered =
        environment.template_from_str(&prepared.text).and_then(|template| template.render_with_spans(variables()));
    let (output, spans) = match rendered {
        Ok(rendered) => rendered,
        Err(error) => return failed(&error, &prepared, body, offset),
    };
    if output.len() > LARGEST {
        return Rendered::Unknown(format!("rendered, the document has more than {LARGEST} bytes"));
    }
    let mut text = String::with_capacity(output.len());
    let mut places = Places::default();
    let mut warnings = Vec::new();
    let mut missing = std::collections::BTreeSet::new();
    let mut done = 0;
    for span in spans {
        let (range, source) = (span.output_range(), span.source_range());
        let source = prepared.original(source.start)..prepared.original(source.end);
        let piece = output.get(done.max(range.start)..range.end).unwrap_or_default();
        done = range.end;
        let written = body.get(source.clone()).unwrap_or_default();
        let from = Span::new(offset + source.start.min(body.len()), offset + source.end.min(body.len()));
        // A filter may have changed its letters.
        if piece.eq_ignore_ascii_case(MISSING) {
            let name = written.split('|').next().unwrap_or_default().trim();
            if !on_every_machine(name) && missing.insert((name, from)) {
                warnings.push(unknown_variable(name, from));
            }
            let last = name.rsplit('.').next().unwrap_or_default();
            let before = text.len();
            text.push_str(MISSING);
            text.push_str(last);
            places.push(text.len() - before, from);
            continue;
        }
        text.push_str(piece);
        // Of the text around a block, minijinja may have cut white space.
        match written.find(piece).filter(|_| piece.len() <= written.len()) {
            Some(cut) => places.push(piece.len(), Span::new(from.start + cut, from.start + cut + piece.len())),
            None => places.push(piece.len(), from),
        }
    }
    Rendered::Text { text, places, warnings }
}

/// The variables that a template finds, by name; those under `v1` also without it, as in cloud-init.
fn variables() -> Value {
    let mut standard: BTreeMap<String, Value> = BTreeMap::new();
    for (name, value) in STANDARD {
        standard.insert((*name).to_string(), Value::from(*value));
        if name.contains('_') && ["availability_zone", "cloud_name", "instance_id", "local_hostname"].contains(name) {
            standard.insert(name.replace('_', "-"), Value::from(*value));
        }
    }
    standard.insert("public_ssh_keys".into(), Value::from(vec!["ssh-ed25519 AAAA example"]));
    let mut all = standard.clone();
    all.insert("v1".into(), Value::from(standard));
    Value::from(all)
}

/// What every machine has and nobody knows before: cloud-init's own settings, and facts about the system.
fn on_every_machine(name: &str) -> bool {
    let first = name.split(['.', '[']).next().unwrap_or_default();
    matches!(first, "merged_system_cfg" | "merged_cfg" | "sys_info")
}

fn unknown_variable(name: &str, span: Span) -> Diagnostic {
    let message = format!("the value of {} is not known here", quoted(name));
    let help = "where the machine does not have it either, cloud-init writes `CI_MISSING_JINJA_VAR/…` in its place; give \
                a default (`| default('…')`), or use a variable under `v1`, which every platform has";
    finding(&rules::MISSING_TEMPLATE_VARIABLE, String::new(), span, message, Some(help.into()))
}

fn failed(error: &minijinja::Error, prepared: &tuples::Prepared, body: &str, offset: usize) -> Rendered {
    let range = error.range().unwrap_or_else(|| {
        let line = error.line().unwrap_or(1).max(1);
        let text = &prepared.text;
        let start = text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
        start..start + text[start..].lines().next().unwrap_or_default().len()
    });
    let floor = |at: usize| {
        let mut at = prepared.original(at).min(body.len());
        while !body.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let span = Span::new(offset + floor(range.start), offset + floor(range.end).max(floor(range.start)));
    let detail = error.detail().unwrap_or("it is not Jinja").trim_end_matches('.').to_string();
    let shown = body.get(floor(range.start)..floor(range.end)).unwrap_or_default();
    let jinja_has_it = || {
        JINJA_ONLY.iter().any(|name| {
            shown.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == *name)
                || detail.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == *name)
        })
    };
    // `{% do x %}`: minijinja wants a call there, Jinja takes whatever it is.
    let in_do =
        body[..floor(range.start)].rsplit("{%").next().is_some_and(|tag| tag.trim_matches(['-', '+', ' ']) == "do");
    match error.kind() {
        ErrorKind::SyntaxError | ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::BadEscape
            if !in_do && !jinja_has_it() =>
        {
            let message = format!("expected a template that Jinja can read: {detail}");
            let help = Some(
                "correct it, or write text that is meant as it stands between `{% raw %}` and `{% endraw %}`".into(),
            );
            Rendered::Broken(finding(&rules::INVALID_JINJA, String::new(), span, message, help))
        }
        // A method of Python's, a value that only the machine has, a loop without an end.
        _ => Rendered::Unknown(format!("the template cannot be rendered here: {error}")),
    }
}
