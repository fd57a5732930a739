//! Evaluates the minijinja expressions in values, and finds the position of an error in the file.
//!
//! Values are evaluated after the template is parsed, so no value can break the YAML. Undefined
//! names are errors.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, did_you_mean};
use lint_rules as rules;
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

/// The variable with the time of the command, for `snapshot.name` only.
pub(super) const TIMESTAMP: &str = "timestamp";

/// Steps of one evaluation: far more than any value needs, but few enough to end quickly.
const MAX_STEPS: u64 = 200_000;

/// Limit of a value. Variables that repeat variables could fill the memory otherwise.
const MAX_VALUE_BYTES: usize = 1 << 20;

const TIMESTAMP_HELP: &str = "the document must not depend on the time; use a variable instead";

/// A scalar of the template: its text and its position.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub raw: String,
    pub span: Span,
    pub path: String,
}

#[derive(Debug, Clone)]
pub(super) struct Evaluated {
    pub text: String,
    /// Whether it uses a sensitive variable and must not be shown.
    pub is_secret: bool,
}

/// A writer that fails beyond [`MAX_VALUE_BYTES`].
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.len() > MAX_VALUE_BYTES { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The variables and their values.
pub(super) struct Scope {
    environment: Environment<'static>,
    values: BTreeMap<String, Value>,
    secret: BTreeSet<String>,
    /// Declared variables whose value is missing or wrong, which was reported already.
    broken: BTreeSet<String>,
    /// Variables whose value contains the timestamp.
    stamped: BTreeSet<String>,
    timestamp: String,
}

impl Scope {
    pub(super) fn new(timestamp: &str) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        if let Ok(syntax) = minijinja::syntax::SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        // Booleans are written as in YAML and shells, not as Python's `True`.
        environment.set_formatter(|out, state, value| match value.kind() {
            ValueKind::Bool => {
                out.write_str(if value.is_true() { "true" } else { "false" }).map_err(minijinja::Error::from)
            }
            _ => minijinja::escape_formatter(out, state, value),
        });
        environment.set_fuel(Some(MAX_STEPS));
        environment.set_recursion_limit(64);
        environment.set_debug(true);
        Self {
            environment,
            values: BTreeMap::new(),
            secret: BTreeSet::new(),
            broken: BTreeSet::new(),
            stamped: BTreeSet::new(),
            timestamp: timestamp.to_owned(),
        }
    }

    pub(super) fn set(&mut self, name: &str, value: Value, is_secret: bool) {
        self.values.insert(name.to_owned(), value);
        if is_secret {
            self.secret.insert(name.to_owned());
        }
    }

    /// Records the names that the value of a variable uses, because the timestamp may be one of
    /// them.
    pub(super) fn add_uses(&mut self, name: &str, names: &BTreeSet<String>) {
        if names.iter().any(|used| used == TIMESTAMP || self.stamped.contains(used)) {
            self.stamped.insert(name.to_owned());
        }
    }

    pub(super) fn set_broken(&mut self, name: &str) {
        self.broken.insert(name.to_owned());
    }

    /// Returns the names that a text uses, or none if it cannot be parsed.
    pub(super) fn used_names(&self, raw: &str) -> BTreeSet<String> {
        if !has_expression(raw) {
            return BTreeSet::new();
        }
        self.environment
            .template_from_str(raw)
            .map(|template| template.undeclared_variables(false).into_iter().collect())
            .unwrap_or_default()
    }

    /// Evaluates a text. Returns `None` if it uses a broken variable, which was reported already.
    pub(super) fn evaluate(
        &self,
        source: &Source,
        text: &Text,
        with_timestamp: bool,
    ) -> Result<Option<Evaluated>, Box<Diagnostic>> {
        if !has_expression(&text.raw) {
            return Ok(Some(Evaluated { text: text.raw.clone(), is_secret: false }));
        }
        let names = self.used_names(&text.raw);
        if names.iter().any(|name| self.broken.contains(name)) {
            return Ok(None);
        }
        if let Some(name) = names.iter().find(|name| !with_timestamp && self.stamped.contains(*name)) {
            let place = find_word(&text.raw, name).map_or(text.span, |range| locate(source, text, &range));
            let message = format!("`{name}` contains the timestamp, which can be used in `snapshot.name` only");
            return Err(Box::new(
                Diagnostic::new(&rules::TEMPLATE_MISPLACED_TIMESTAMP, &text.path, place, message)
                    .with_help(TIMESTAMP_HELP),
            ));
        }
        let is_secret = names.iter().any(|name| self.secret.contains(name));
        let mut context = self.values.clone();
        if with_timestamp {
            context.insert(TIMESTAMP.to_owned(), Value::from(self.timestamp.as_str()));
        }
        let mut out = Bounded(Vec::new());
        let rendered = self
            .environment
            .template_from_str(&text.raw)
            .and_then(|template| template.render_captured_to(context, &mut out).map(|_| ()));
        if out.0.len() > MAX_VALUE_BYTES {
            let message = format!("the value would be longer than {MAX_VALUE_BYTES} bytes");
            return Err(Box::new(Diagnostic::new(&rules::TEMPLATE_BAD_EXPRESSION, &text.path, text.span, message)));
        }
        match rendered {
            Ok(()) => Ok(Some(Evaluated { text: String::from_utf8_lossy(&out.0).into_owned(), is_secret })),
            Err(error) => Err(Box::new(self.explain(source, text, &error, &names, with_timestamp, is_secret))),
        }
    }

    fn explain(
        &self,
        source: &Source,
        text: &Text,
        error: &minijinja::Error,
        names: &BTreeSet<String>,
        with_timestamp: bool,
        is_secret: bool,
    ) -> Diagnostic {
        let unknown = names
            .iter()
            .filter(|name| !self.values.contains_key(*name))
            .filter(|name| !with_timestamp || *name != TIMESTAMP)
            .filter_map(|name| find_word(&text.raw, name).map(|range| (range, name)))
            .min_by_key(|(range, _)| range.start);
        if let (ErrorKind::UndefinedError, Some((range, name))) = (error.kind(), unknown) {
            let span = locate(source, text, &range);
            if name == TIMESTAMP {
                return Diagnostic::new(
                    &rules::TEMPLATE_MISPLACED_TIMESTAMP,
                    &text.path,
                    span,
                    "`timestamp` can be used in `snapshot.name` only",
                )
                .with_help(TIMESTAMP_HELP);
            }
            let known = self.values.keys().chain(&self.broken).map(String::as_str);
            let help = did_you_mean(name, known).unwrap_or_else(|| {
                format!("add `{name}:` to `variables:`, or write {{% raw %}} before text for another program")
            });
            return Diagnostic::new(
                &rules::TEMPLATE_UNDEFINED_VARIABLE,
                &text.path,
                span,
                format!("undefined variable `{name}`"),
            )
            .with_help(help);
        }
        let span = error.range().map_or(text.span, |range| locate(source, text, &range));
        let what = match error.kind() {
            ErrorKind::OutOfFuel => "this expression does not end".to_owned(),
            ErrorKind::SyntaxError => match error.detail() {
                Some(detail) => format!("minijinja cannot read this: {detail}"),
                None => "minijinja cannot read this".to_owned(),
            },
            kind => match error.detail().filter(|_| !is_secret) {
                Some(detail) => format!("minijinja cannot evaluate this: {kind}: {detail}"),
                None => format!("minijinja cannot evaluate this: {kind}"),
            },
        };
        Diagnostic::new(&rules::TEMPLATE_BAD_EXPRESSION, &text.path, span, what)
            .with_help("write text for another program between {% raw %} and {% endraw %}")
    }
}

pub(super) fn has_expression(raw: &str) -> bool {
    raw.contains("{{") || raw.contains("{%") || raw.contains("{#")
}

/// Finds a name as a whole word in a text, beginning at the first expression.
fn find_word(raw: &str, name: &str) -> Option<Range<usize>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let first = raw.find("{{").into_iter().chain(raw.find("{%")).min().unwrap_or(0);
    raw[first..]
        .match_indices(name)
        .map(|(at, _)| first + at)
        .find(|at| {
            let before = raw[..*at].chars().next_back();
            let after = raw[*at + name.len()..].chars().next();
            !before.is_some_and(|c| is_word(c) || c == '.') && !after.is_some_and(is_word)
        })
        .map(|at| at..at + name.len())
}

/// Returns the position in the file of a range of a scalar's text. A scalar that YAML folded or
/// unescaped is searched for the words themselves; if that fails, the whole scalar is the position.
fn locate(source: &Source, text: &Text, range: &Range<usize>) -> Span {
    let written = source.slice(text.span);
    let found = written.find(text.raw.as_str()).map(|at| at + range.start).or_else(|| {
        let needle = text.raw.get(range.clone())?;
        written.find(needle)
    });
    match found {
        Some(at) if range.end > range.start => {
            // minijinja may report one byte of a character: the position is the whole character.
            let is_boundary = |at: &usize| written.is_char_boundary(*at);
            let start = (0..=at.min(written.len())).rev().find(is_boundary).unwrap_or(0);
            let end = (at + range.len()..written.len()).find(is_boundary).unwrap_or(written.len());
            Span::new(text.span.start + start, text.span.start + end)
        }
        _ => text.span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        let mut scope = Scope::new("20260101-000000");
        scope.set("version", Value::from("3.40.0"), false);
        scope.set("token", Value::from("hunter2"), true);
        scope
    }

    fn fault(written: &str, raw: &str) -> (Diagnostic, String) {
        let source = Source::new("t", written);
        let text = Text { raw: raw.to_owned(), span: Span::new(0, written.len()), path: "x".to_owned() };
        let fault = *scope().evaluate(&source, &text, false).unwrap_err();
        let place = source.slice(fault.span.unwrap()).to_owned();
        (fault, place)
    }

    #[test]
    fn unknown_names_have_positions() {
        let (fault, place) = fault("\"a-{{ verison }}\"", "a-{{ verison }}");
        assert_eq!(fault.message, "undefined variable `verison`");
        assert_eq!(fault.help.as_deref(), Some("did you mean `version`?"));
        assert_eq!(place, "verison");
    }

    #[test]
    fn names_in_folded_scalars_have_positions() {
        let (_, place) = fault("a\n   b {{ nope }}", "a b {{ nope }}");
        assert_eq!(place, "nope");
    }

    #[test]
    fn names_are_whole_words() {
        let (_, place) = fault("{{ version }} xversions {{ versions }}", "{{ version }} xversions {{ versions }}");
        assert_eq!(place, "versions");
    }

    #[test]
    fn positions_cover_whole_characters() {
        let (fault, place) = fault("{{ i\u{6de}ge }}", "{{ i\u{6de}ge }}");
        assert_eq!((fault.rule.code, place.as_str()), ("MK907", "\u{6de}"));
    }

    #[test]
    fn timestamps_are_for_names_only() {
        let (fault, place) = fault("{{ timestamp }}", "{{ timestamp }}");
        assert_eq!((fault.rule.code, place.as_str()), ("MK908", "timestamp"));
    }

    #[test]
    fn errors_do_not_show_secrets() {
        let (fault, _) = fault("{{ token + 1 }}", "{{ token + 1 }}");
        assert!(!fault.message.contains("hunter2"), "{}", fault.message);
    }

    #[test]
    fn endless_expressions_end() {
        let raw = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let (fault, _) = fault(raw, raw);
        assert_eq!(fault.message, "this expression does not end");
    }

    #[test]
    fn braces_of_other_programs_can_be_escaped() {
        let source = Source::new("t", "");
        let text = Text { raw: "{% raw %}{{ v1.x }}{% endraw %}".to_owned(), span: Span::at(0), path: String::new() };
        let value = scope().evaluate(&source, &text, false).unwrap().unwrap();
        assert_eq!(value.text, "{{ v1.x }}");
    }
}
