//! Evaluates the minijinja expressions inside values, and says where in the file one went wrong.
//!
//! Values are evaluated after the template was parsed, so that no value can break the YAML, and strictly: a name that
//! does not exist is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use crate::diag::Diagnostic;
use crate::source::{Source, Span};
use diagnostics::closest;
use lint_rules as rules;

/// The name that stands for the moment of the command, in `snapshot.name` only.
pub(super) const TIMESTAMP: &str = "timestamp";

/// Steps of one evaluation: far more than any value needs, few enough to end at once.
const FUEL: u64 = 200_000;

const SAME_AT_ANY_TIME: &str = "the document must be the same at any time; use a variable, and give it with --var";

/// A scalar of the template: its text, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub raw: String,
    pub span: Span,
    pub path: String,
}

/// What a text evaluates to.
#[derive(Debug, Clone)]
pub(super) struct Evaluated {
    pub text: String,
    /// A sensitive variable is in it: it must not be shown.
    pub secret: bool,
}

/// Bytes of one value: variables that repeat variables would fill the memory.
const LONGEST: usize = 1 << 20;

/// Takes what an expression writes, until it is too much.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.len() > LONGEST { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The variables that are known, and their values.
pub(super) struct Scope {
    environment: Environment<'static>,
    values: BTreeMap<String, Value>,
    secret: BTreeSet<String>,
    /// Declared, but without a usable value: that was reported where they are declared.
    broken: BTreeSet<String>,
    /// `timestamp` is in them.
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
        // `true`, as YAML and shells write it, not Python's `True`.
        environment.set_formatter(|out, state, value| match value.kind() {
            ValueKind::Bool => {
                out.write_str(if value.is_true() { "true" } else { "false" }).map_err(minijinja::Error::from)
            }
            _ => minijinja::escape_formatter(out, state, value),
        });
        environment.set_fuel(Some(FUEL));
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

    pub(super) fn set(&mut self, name: &str, value: Value, secret: bool) {
        self.values.insert(name.to_owned(), value);
        if secret {
            self.secret.insert(name.to_owned());
        }
    }

    /// A variable's value comes from an expression: it may carry the timestamp on.
    pub(super) fn note_expression(&mut self, name: &str, names: &BTreeSet<String>) {
        if names.iter().any(|used| used == TIMESTAMP || self.stamped.contains(used)) {
            self.stamped.insert(name.to_owned());
        }
    }

    pub(super) fn set_broken(&mut self, name: &str) {
        self.broken.insert(name.to_owned());
    }

    /// The names that a text uses; empty where it cannot be read (evaluation says why).
    pub(super) fn names(&self, raw: &str) -> BTreeSet<String> {
        if !has_expression(raw) {
            return BTreeSet::new();
        }
        self.environment
            .template_from_str(raw)
            .map(|template| template.undeclared_variables(false).into_iter().collect())
            .unwrap_or_default()
    }

    /// Evaluates a text. `None`: a variable in it is broken, which was reported already.
    pub(super) fn evaluate(
        &self,
        source: &Source,
        text: &Text,
        with_timestamp: bool,
    ) -> Result<Option<Evaluated>, Box<Diagnostic>> {
        if !has_expression(&text.raw) {
            return Ok(Some(Evaluated { text: text.raw.clone(), secret: false }));
        }
        let names = self.names(&text.raw);
        if names.iter().any(|name| self.broken.contains(name)) {
            return Ok(None);
        }
        if let Some(name) = names.iter().find(|name| !with_timestamp && self.stamped.contains(*name)) {
            let place = word(&text.raw, name).map_or(text.span, |range| locate(source, text, &range));
            let message = format!("`{name}` holds the timestamp, which can be used in `snapshot.name` only");
            return Err(Box::new(
                Diagnostic::new(&rules::TEMPLATE_MISPLACED_TIMESTAMP, &text.path, place, message)
                    .with_help(SAME_AT_ANY_TIME),
            ));
        }
        let secret = names.iter().any(|name| self.secret.contains(name));
        let mut context = self.values.clone();
        if with_timestamp {
            context.insert(TIMESTAMP.to_owned(), Value::from(self.timestamp.as_str()));
        }
        let mut out = Bounded(Vec::new());
        let rendered = self
            .environment
            .template_from_str(&text.raw)
            .and_then(|template| template.render_captured_to(context, &mut out).map(|_| ()));
        if out.0.len() > LONGEST {
            let message = format!("the value would be longer than {LONGEST} bytes");
            return Err(Box::new(Diagnostic::new(&rules::TEMPLATE_BAD_EXPRESSION, &text.path, text.span, message)));
        }
        match rendered {
            Ok(()) => Ok(Some(Evaluated { text: String::from_utf8_lossy(&out.0).into_owned(), secret })),
            Err(error) => Err(Box::new(self.explain(source, text, &error, &names, with_timestamp, secret))),
        }
    }

    fn explain(
        &self,
        source: &Source,
        text: &Text,
        error: &minijinja::Error,
        names: &BTreeSet<String>,
        with_timestamp: bool,
        secret: bool,
    ) -> Diagnostic {
        let unknown = names
            .iter()
            .filter(|name| !self.values.contains_key(*name))
            .filter(|name| !with_timestamp || *name != TIMESTAMP)
            .filter_map(|name| word(&text.raw, name).map(|range| (range, name)))
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
                .with_help("the document must be the same at any time; use a variable, and give it with --var");
            }
            let help = match closest(name, self.values.keys().chain(&self.broken).map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("add `{name}:` to `variables:`, or write {{% raw %}} around text for another program"),
            };
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
            ErrorKind::OutOfFuel => "this expression does not come to an end".to_owned(),
            ErrorKind::SyntaxError => match error.detail() {
                Some(detail) => format!("minijinja cannot read this: {detail}"),
                None => "minijinja cannot read this".to_owned(),
            },
            kind => match error.detail().filter(|_| !secret) {
                Some(detail) => format!("minijinja cannot evaluate this: {kind}: {detail}"),
                None => format!("minijinja cannot evaluate this: {kind}"),
            },
        };
        Diagnostic::new(&rules::TEMPLATE_BAD_EXPRESSION, &text.path, span, what)
            .with_help("text that is meant for another program is written between {% raw %} and {% endraw %}")
    }
}

pub(super) fn has_expression(raw: &str) -> bool {
    raw.contains("{{") || raw.contains("{%") || raw.contains("{#")
}

/// Where a name stands as a whole word in a text, inside an expression if it also stands outside.
fn word(raw: &str, name: &str) -> Option<Range<usize>> {
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

/// Where a range of a scalar's text stands in the file. A scalar that YAML folded or unescaped is searched for the words
/// themselves; where even that fails, the whole scalar is the place.
fn locate(source: &Source, text: &Text, range: &Range<usize>) -> Span {
    let written = source.slice(text.span);
    let found = written.find(text.raw.as_str()).map(|at| at + range.start).or_else(|| {
        let needle = text.raw.get(range.clone())?;
        written.find(needle)
    });
    match found {
        Some(at) if range.end > range.start => {
            // minijinja shows one byte of a character that it does not expect: the place is the character.
            let (mut start, mut end) = (at.min(written.len()), (at + range.len()).min(written.len()));
            while !written.is_char_boundary(start) {
                start -= 1;
            }
            while !written.is_char_boundary(end) {
                end += 1;
            }
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
    fn an_unknown_name_is_shown_where_it_stands() {
        let (fault, place) = fault("\"a-{{ verison }}\"", "a-{{ verison }}");
        assert_eq!(fault.message, "undefined variable `verison`");
        assert_eq!(fault.help.as_deref(), Some("did you mean `version`?"));
        assert_eq!(place, "verison");
    }

    #[test]
    fn a_folded_scalar_still_has_the_place() {
        let (_, place) = fault("a\n   b {{ nope }}", "a b {{ nope }}");
        assert_eq!(place, "nope");
    }

    #[test]
    fn the_name_is_not_found_inside_another() {
        let (_, place) = fault("{{ version }} xversions {{ versions }}", "{{ version }} xversions {{ versions }}");
        assert_eq!(place, "versions");
    }

    #[test]
    fn the_place_of_an_unexpected_character_is_the_whole_of_it() {
        let (fault, place) = fault("{{ i\u{6de}ge }}", "{{ i\u{6de}ge }}");
        assert_eq!((fault.code, place.as_str()), ("MK907", "\u{6de}"));
    }

    #[test]
    fn timestamp_is_for_names() {
        let (fault, place) = fault("{{ timestamp }}", "{{ timestamp }}");
        assert_eq!((fault.code, place.as_str()), ("MK908", "timestamp"));
    }

    #[test]
    fn faults_of_a_secret_do_not_show_it() {
        let (fault, _) = fault("{{ token + 1 }}", "{{ token + 1 }}");
        assert!(!fault.message.contains("hunter2"), "{}", fault.message);
    }

    #[test]
    fn an_endless_expression_ends() {
        let raw = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let (fault, _) = fault(raw, raw);
        assert_eq!(fault.message, "this expression does not come to an end");
    }

    #[test]
    fn other_programs_braces_can_be_kept() {
        let source = Source::new("t", "");
        let text = Text { raw: "{% raw %}{{ v1.x }}{% endraw %}".to_owned(), span: Span::at(0), path: String::new() };
        let value = scope().evaluate(&source, &text, false).unwrap().unwrap();
        assert_eq!(value.text, "{{ v1.x }}");
    }
}
