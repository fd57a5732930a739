//! Renders documents with the header `## template: jinja` as cloud-init does on the machine.
//!
//! Values of the machine are unknown here. The variables under `v1` get example values, because
//! every platform sets them. Any other missing variable is a warning, and is rendered as
//! `CI_MISSING_JINJA_VAR/…` like in cloud-init. Findings point into the template, because minijinja
//! reports the source of each piece of output.
//!
//! `python.rs` makes values, methods and filters behave like in Python. Syntax that minijinja
//! lacks, such as tuples without parentheses (`{% if a, b %}`), makes the document `skipped`.

mod python;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use super::places::{Places, finding};
use crate::rules;
use diagnostics::source::{Span, floor_char_boundary};
use diagnostics::{Diagnostic, quoted};

/// What cloud-init renders for a missing variable, followed by its name.
const MISSING: &str = "CI_MISSING_JINJA_VAR/";
/// Maximum number of steps. No document of 64 KiB needs as many.
const FUEL: u64 = 2_000_000;
const MAX_RENDERED_BYTES: usize = 16 * 1024 * 1024;

/// Larger templates are not rendered, because rendering takes about 30 times their size in memory.
const MAX_TEMPLATE_BYTES: usize = 2 * 1024 * 1024;

/// The variables that cloud-init sets on every platform, with example values.
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

/// Filters and functions of Jinja that minijinja lacks. Templates that use them are not rendered.
const JINJA_ONLY: &[&str] =
    &["do", "forceescape", "lipsum", "truncate", "urlize", "wordwrap", "xmlattr", "callable", "sameas"];

pub(super) enum Rendered {
    Text {
        text: String,
        places: Places,
        warnings: Vec<Diagnostic>,
    },
    /// cloud-init cannot render it either.
    Invalid(Diagnostic),
    /// cloud-init fails when it renders it, which is not the schema's matter.
    Ignored(Diagnostic),
    /// Only cloud-init's own Jinja can render it; the text says why.
    Unsupported(String),
}

/// Renders a template. `text` is the whole document with its header.
pub(super) fn render(text: &str) -> Rendered {
    let (header, body) = text.split_once('\n').unwrap_or((text, ""));
    let offset = text.len() - body.len();
    if header.trim_start_matches('#').trim().to_ascii_lowercase().trim_start_matches("template:").trim() != "jinja" {
        let message = "expected only `## template: jinja` in the first line".to_string();
        let help = Some("remove everything else from the first line".into());
        let span = Span::new(0, header.trim_end().len());
        return Rendered::Invalid(finding(&rules::INVALID_JINJA, String::new(), span, message, help));
    }
    if body.len() > MAX_TEMPLATE_BYTES {
        return Rendered::Unsupported(format!(
            "a template of more than {MAX_TEMPLATE_BYTES} bytes is not rendered here"
        ));
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
    let rendered = environment.template_from_str(body).and_then(|template| template.render_with_spans(variables()));
    let (output, spans) = match rendered {
        Ok(rendered) => rendered,
        Err(error) => return render_error(&error, body, offset),
    };
    let below_missing = below_missing(&mut environment, body, offset);
    if output.len() > MAX_RENDERED_BYTES {
        return Rendered::Unsupported(format!("rendered, the document has more than {MAX_RENDERED_BYTES} bytes"));
    }
    let mut text = String::with_capacity(output.len());
    let mut places = Places::default();
    let mut warnings = Vec::new();
    let mut missing = std::collections::BTreeSet::new();
    let mut done = 0;
    for span in spans {
        let (range, source) = (span.output_range(), span.source_range());
        let piece = output.get(done.max(range.start)..range.end).unwrap_or_default();
        done = range.end;
        let written = body.get(source.clone()).unwrap_or_default();
        let from = Span::new(offset + source.start.min(body.len()), offset + source.end.min(body.len()));
        // A filter may have changed its case.
        if piece.eq_ignore_ascii_case(MISSING) {
            let name = written.split('|').next().unwrap_or_default().trim();
            let is_reported = below_missing
                .as_ref()
                .and_then(|found| found.span)
                .is_some_and(|span| from.start <= span.start && span.start < from.end);
            if !is_reported && !exists_on_every_machine(name) && missing.insert((name, from)) {
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
        // minijinja may have removed white space around a block.
        match written.find(piece).filter(|_| piece.len() <= written.len()) {
            Some(cut) => places.push(piece.len(), Span::new(from.start + cut, from.start + cut + piece.len())),
            None => places.push(piece.len(), from),
        }
    }
    warnings.extend(below_missing);
    Rendered::Text { text, places, warnings }
}

/// Reports a variable below a missing one, such as `ds.meta_data.a.b` without `ds.meta_data.a`. Then
/// Jinja fails, also if `default` follows, and cloud-init ignores the document.
fn below_missing(environment: &mut Environment<'_>, body: &str, offset: usize) -> Option<Diagnostic> {
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    let template = environment.template_from_str(body).ok()?;
    let error = template.render(variables()).err().filter(|error| error.kind() == ErrorKind::UndefinedError)?;
    let range = error.range()?;
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']' | '\'' | '"' | '-');
    // The error has the place of the last names only.
    let start = body.get(..range.start)?.trim_end_matches(is_name).len();
    let written = body.get(start..range.end)?;
    let (parent, _) = written.rsplit_once(['.', '[']).filter(|_| written.chars().all(is_name))?;
    if exists_on_every_machine(written) {
        return None;
    }
    let message = format!("if {} does not exist on the machine, cloud-init ignores the whole document", quoted(parent));
    let help =
        format!("test it first: `{{% if {parent} is defined %}}`; below a missing variable, `default` does not help");
    let span = Span::new(offset + start, offset + range.end);
    Some(finding(&rules::MISSING_TEMPLATE_VARIABLE, String::new(), span, message, Some(help)))
}

/// A name with `-` in the expression around a place, which Jinja reads as a subtraction.
fn name_with_minus(body: &str, at: usize) -> Option<Span> {
    let start = body.get(..at)?.rfind("{{").max(body.get(..at)?.rfind("{%"))? + 2;
    let rest = &body[start..];
    let end = rest.find("}}").into_iter().chain(rest.find("%}")).min()?;
    let is_standard = |name: &str| STANDARD.iter().any(|(known, _)| *known == name.replace('-', "_"));
    let mut word = start;
    let mut quote = None;
    for (index, character) in rest[..end].char_indices().chain([(end, ' ')]) {
        let at = start + index;
        if quote.is_none() && (character.is_alphanumeric() || matches!(character, '_' | '.' | '-')) {
            continue;
        }
        let name = body.get(word..at).unwrap_or_default();
        let parts: Vec<_> = name.split('-').collect();
        let is_name = |part: &&str| part.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if quote.is_none()
            && parts.len() > 1
            && (parts[0].contains('.') || is_standard(name))
            && parts.iter().all(is_name)
        {
            return Some(Span::new(word, at));
        }
        match quote {
            Some(open) if open == character => quote = None,
            None if matches!(character, '\'' | '"') => quote = Some(character),
            _ => {}
        }
        word = at + character.len_utf8();
    }
    None
}

/// The variables of a template. Those under `v1` are also available without the prefix, as in
/// cloud-init.
fn variables() -> Value {
    let mut standard: BTreeMap<String, Value> = BTreeMap::new();
    for (name, value) in STANDARD {
        standard.insert((*name).to_string(), Value::from(*value));
        if name.contains('_') && ["availability_zone", "cloud_name", "instance_id", "local_hostname"].contains(name) {
            standard.insert(name.replace('_', "-"), Value::from(*value));
        }
    }
    standard.insert(
        "public_ssh_keys".into(),
        Value::from(vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBgtn50swZyYw+ypjbO4KZ25vtUGIm03YZXYMK1zzYZP example"]),
    );
    let mut all = standard.clone();
    all.insert("v1".into(), Value::from(standard));
    let metadata = ["local_hostname", "local-hostname", "instance_id", "instance-id"];
    let metadata: BTreeMap<_, _> =
        metadata.into_iter().filter_map(|name| Some((name, all.get(name)?.clone()))).collect();
    all.insert("ds".into(), Value::from(BTreeMap::from([("meta_data", Value::from(metadata))])));
    Value::from(all)
}

/// Whether every machine has a variable whose value is unknown here: cloud-init's settings and
/// facts about the system.
fn exists_on_every_machine(name: &str) -> bool {
    let first = name.split(['.', '[']).next().unwrap_or_default();
    matches!(first, "merged_system_cfg" | "merged_cfg" | "sys_info")
}

fn unknown_variable(name: &str, span: Span) -> Diagnostic {
    let message = format!("the value of {} is not known here", quoted(name));
    let help = "if it does not exist on the machine, cloud-init writes `CI_MISSING_JINJA_VAR/…` instead; add a default \
                (`| default('…')`), or use a variable under `v1`, which every platform has";
    finding(&rules::MISSING_TEMPLATE_VARIABLE, String::new(), span, message, Some(help.into()))
}

fn render_error(error: &minijinja::Error, body: &str, offset: usize) -> Rendered {
    let range = error.range().unwrap_or_else(|| {
        let line = error.line().unwrap_or(1).max(1);
        let start = body.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
        start..start + body[start..].lines().next().unwrap_or_default().len()
    });
    let start = floor_char_boundary(body, range.start);
    let end = floor_char_boundary(body, range.end).max(start);
    let detail = error.detail().unwrap_or("invalid syntax").trim_end_matches('.').to_string();
    let words =
        |text: &str| text.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_owned).collect::<Vec<_>>();
    let names_jinja_only =
        || words(&body[start..end]).iter().chain(&words(&detail)).any(|word| JINJA_ONLY.contains(&word.as_str()));
    // minijinja requires a call in `{% do x %}`, Jinja accepts any expression.
    let in_do = || body[..start].rsplit("{%").next().is_some_and(|tag| tag.trim_matches(['-', '+', ' ']) == "do");
    // A tuple without parentheses.
    let at_comma = || detail.starts_with("unexpected `,`");
    if let Some(span) = name_with_minus(body, end).filter(|_| error.kind() == ErrorKind::InvalidOperation) {
        let name = &body[span.start..span.end];
        let message =
            format!("Jinja reads the `-` in {} as a minus, and cloud-init ignores the document", quoted(name));
        let help = Some(format!("write `{}`: cloud-init replaces `-` by `_` in all names", name.replace('-', "_")));
        let span = Span::new(offset + span.start, offset + span.end);
        let mut found = finding(&rules::INVALID_JINJA, String::new(), span, message, help);
        found.origin = diagnostics::Origin::Mkimg;
        return Rendered::Ignored(found);
    }
    if let Some(at) =
        open_comment(body).filter(|_| error.kind() == ErrorKind::SyntaxError && detail.contains("comment"))
    {
        let message = "`{#` begins a comment of the template, which never ends".to_owned();
        let help =
            "put a script that contains `{#` between `{% raw %}` and `{% endraw %}`; or end the comment with `#}`";
        let span = Span::new(offset + at, offset + at + 2);
        return Rendered::Invalid(finding(&rules::INVALID_JINJA, String::new(), span, message, Some(help.into())));
    }
    match error.kind() {
        ErrorKind::SyntaxError | ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::BadEscape
            if !in_do() && !names_jinja_only() && !at_comma() =>
        {
            let message = format!("the template is not valid Jinja: {detail}");
            let help = Some("correct it, or put literal text between `{% raw %}` and `{% endraw %}`".into());
            let span = Span::new(offset + start, offset + end);
            Rendered::Invalid(finding(&rules::INVALID_JINJA, String::new(), span, message, help))
        }
        // A method of Python, a value that only the machine has, or an endless loop.
        _ => Rendered::Unsupported(format!("the template cannot be rendered here: {error}")),
    }
}

/// The begin of a comment that does not end.
fn open_comment(body: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + body.get(from..)?.find("{#")?;
        match body[at..].find("#}") {
            Some(length) => from = at + length + 2,
            None => return Some(at),
        }
    }
}
