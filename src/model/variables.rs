//! The template's variables: what it declares, what is given from outside, and which wins.
//!
//! Later wins: the template's own value, `MKIMG_VAR_NAME` (sensitive variables only), `--var-file` in order, `--var` in
//! order. Only the template's own values are expressions; what comes from outside is taken as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use indexmap::IndexMap;
use minijinja::Value;

use super::expression::{Scope, TIMESTAMP, Text};
use super::reader::{describe, scalar_text};
use crate::diag::Diagnostic;
use crate::source::{Source, Span};
use crate::yaml::{Node, Scalar};
use diagnostics::closest;
use lint_rules as rules;

/// Where a value from outside comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    CommandLine,
    /// Name of a `--var-file`, line and column in it.
    File(String, usize, usize),
}

impl fmt::Display for Given {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => formatter.write_str("--var"),
            Self::File(name, line, column) => write!(formatter, "{name}:{line}:{column}"),
        }
    }
}

/// A value from outside. It has no `Debug` that shows the value: it may be a secret.
#[derive(Clone)]
pub struct Assignment {
    pub name: String,
    pub value: String,
    pub given: Given,
}

impl fmt::Debug for Assignment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.name, self.given)
    }
}

/// Why a value from outside is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAssignment {
    #[error("--var expects NAME=VALUE, found `{0}`")]
    NotAnAssignment(String),
    #[error("{given}: the template has no variable `{name}`")]
    Unknown { name: String, given: Given, meant: Option<String> },
    #[error(
        "the variable `{0}` is sensitive: it is not taken from the command line, which every user of the machine can read"
    )]
    SensitiveOnCommandLine(String),
    #[error("{0}: expected a mapping of variable names to values")]
    NotAMapping(String),
    #[error("{given}: expected a text, a number or true or false for `{name}`, found {found}")]
    NotAScalar { given: Given, name: String, found: &'static str },
}

impl BadAssignment {
    /// What to do next.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NotAnAssignment(_) => "for example --var region=fra1".to_owned(),
            Self::Unknown { meant: Some(meant), .. } => format!("did you mean `{meant}`?"),
            Self::Unknown { name, .. } => format!("add `{name}:` to `variables:` of the template"),
            Self::SensitiveOnCommandLine(name) => {
                format!("put it into the environment as {}, or into a --var-file", environment_name(name))
            }
            Self::NotAMapping(_) | Self::NotAScalar { .. } => "write one `name: value` a line".to_owned(),
        }
    }
}

/// The environment variable that gives a sensitive variable its value.
#[must_use]
pub fn environment_name(variable: &str) -> String {
    format!("MKIMG_VAR_{}", variable.to_uppercase())
}

/// Reads `--var NAME=VALUE`.
pub fn assignment(argument: &str) -> Result<Assignment, BadAssignment> {
    match argument.split_once('=') {
        Some((name, value)) if is_variable_name(name) => {
            Ok(Assignment { name: name.to_owned(), value: value.to_owned(), given: Given::CommandLine })
        }
        // Only the name is shown: what follows may be a secret.
        Some((name, _)) => Err(BadAssignment::NotAnAssignment(format!("{name}=…"))),
        None => Err(BadAssignment::NotAnAssignment(argument.to_owned())),
    }
}

/// Reads a `--var-file`: one mapping of names to scalars.
pub fn assignments(source: &Source, root: Option<Node<'_>>) -> Result<Vec<Assignment>, BadAssignment> {
    let Some(root) = root else { return Ok(Vec::new()) };
    let entries = root.entries().ok_or_else(|| BadAssignment::NotAMapping(source.name().to_owned()))?;
    let mut assignments = Vec::new();
    for (key, value) in entries {
        let at = |node: Node<'_>| {
            let place = source.position(node.span().start);
            Given::File(source.name().to_owned(), place.line, place.column)
        };
        let name = scalar_text(source, key).unwrap_or_default();
        let value = scalar_text(source, value).ok_or_else(|| BadAssignment::NotAScalar {
            given: at(value),
            name: name.clone(),
            found: describe(value),
        })?;
        assignments.push(Assignment { name, value, given: at(key) });
    }
    Ok(assignments)
}

pub(super) fn is_variable_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// One line of `variables:`.
#[derive(Debug, Clone)]
struct Variable {
    name_span: Span,
    value: Option<Text>,
    /// YAML read the value as a boolean: expressions see one too.
    flag: Option<bool>,
    sensitive: bool,
}

/// What a template declares.
#[derive(Debug, Default)]
pub(super) struct Declarations {
    variables: IndexMap<String, Variable>,
}

impl Declarations {
    /// Reads `variables:`.
    pub(super) fn read(source: &Source, node: Node<'_>, findings: &mut Vec<Diagnostic>) -> Self {
        let mut declarations = Self::default();
        let Some(entries) = node.entries() else {
            let message = format!("expected a mapping of names to values, found {}", describe(node));
            findings.push(Diagnostic::new(&rules::TEMPLATE_WRONG_TYPE, "variables", node.used_at(), message));
            return declarations;
        };
        for (key, value) in entries {
            let name = scalar_text(source, key).unwrap_or_default();
            let path = format!("variables.{name}");
            if !is_variable_name(&name) || name == TIMESTAMP {
                let message = if name == TIMESTAMP {
                    "`timestamp` is a name that mkimg sets itself".to_owned()
                } else {
                    format!("`{name}` is no variable name: letters, digits and `_`, not beginning with a digit")
                };
                findings.push(Diagnostic::new(&rules::TEMPLATE_BAD_NAME, &path, key.used_at(), message));
                continue;
            }
            let mut variable = Variable { name_span: key.used_at(), value: None, flag: None, sensitive: false };
            let mut plain = Some(value);
            if let Some(fields) = value.entries() {
                plain = None;
                for (field, value) in fields {
                    match field.as_str() {
                        Some("value") => plain = Some(value),
                        Some("sensitive") => match value.scalar() {
                            Some(Scalar::Bool(sensitive)) => variable.sensitive = *sensitive,
                            _ => findings.push(Diagnostic::new(
                                &rules::TEMPLATE_WRONG_TYPE,
                                format!("{path}.sensitive"),
                                value.used_at(),
                                format!("expected true or false, found {}", describe(value)),
                            )),
                        },
                        Some("description") => {}
                        _ => {
                            let written = scalar_text(source, field).unwrap_or_default();
                            let known = ["value", "sensitive", "description"];
                            let help = closest(&written, known).map(|meant| format!("did you mean `{meant}`?"));
                            findings.push(
                                Diagnostic::new(
                                    &rules::TEMPLATE_UNKNOWN_KEY,
                                    &path,
                                    field.used_at(),
                                    format!("unknown key `{written}`"),
                                )
                                .with_help("a variable has `value`, `sensitive` and `description`")
                                .with_help(help),
                            );
                        }
                    }
                }
            }
            if let Some(node) = plain {
                match scalar_text(source, node) {
                    Some(raw) => variable.value = Some(Text { raw, span: node.used_at(), path: path.clone() }),
                    None if matches!(node.scalar(), Some(Scalar::Null)) => {}
                    None => {
                        let message = format!("expected a text, a number or true or false, found {}", describe(node));
                        findings.push(Diagnostic::new(&rules::TEMPLATE_WRONG_TYPE, &path, node.used_at(), message));
                    }
                }
                if let Some(Scalar::Bool(flag)) = node.scalar() {
                    variable.flag = Some(*flag);
                }
            }
            let name_span = variable.name_span;
            if let Some(earlier) = declarations.variables.insert(name.clone(), variable) {
                let mut fault = Diagnostic::new(
                    &rules::TEMPLATE_DUPLICATE_KEY,
                    &path,
                    name_span,
                    format!("the variable `{name}` is there twice"),
                );
                fault.related.push((earlier.name_span, "first here".to_owned()));
                findings.push(fault);
            }
        }
        declarations
    }

    /// The sensitive variables: their values may come from the environment.
    pub(super) fn sensitive(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().filter(|(_, variable)| variable.sensitive).map(|(name, _)| name.as_str())
    }

    /// The others: the environment says nothing of them.
    pub(super) fn plain(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().filter(|(_, variable)| !variable.sensitive).map(|(name, _)| name.as_str())
    }

    /// The variables without a value of their own: they must be given.
    pub(super) fn required(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().filter(|(_, variable)| variable.value.is_none()).map(|(name, _)| name.as_str())
    }

    /// Refuses what is given but not declared, and secrets on the command line.
    pub(super) fn check(&self, given: &[Assignment]) -> Result<(), BadAssignment> {
        for assignment in given {
            let Some(variable) = self.variables.get(&assignment.name) else {
                return Err(BadAssignment::Unknown {
                    name: assignment.name.clone(),
                    given: assignment.given.clone(),
                    meant: closest(&assignment.name, self.variables.keys().map(String::as_str)).map(str::to_owned),
                });
            };
            if variable.sensitive && assignment.given == Given::CommandLine {
                return Err(BadAssignment::SensitiveOnCommandLine(assignment.name.clone()));
            }
        }
        Ok(())
    }

    /// Gives every variable its value, in the order in which they need each other.
    pub(super) fn resolve(
        &self,
        source: &Source,
        environment: &BTreeMap<String, String>,
        given: &[Assignment],
        scope: &mut Scope,
        findings: &mut Vec<Diagnostic>,
    ) {
        let mut waiting: IndexMap<&str, (&Text, BTreeSet<String>)> = IndexMap::new();
        for (name, variable) in &self.variables {
            let outside = given.iter().rev().find(|assignment| assignment.name == *name).map(|given| &given.value);
            let outside = outside.or_else(|| environment.get(name).filter(|_| variable.sensitive));
            match (outside, &variable.value) {
                (Some(value), _) => scope.set(name, typed(value, None), variable.sensitive),
                (None, Some(text)) => {
                    let names = scope.names(&text.raw);
                    waiting.insert(name, (text, names));
                }
                (None, None) => {
                    scope.set_broken(name);
                    let help = if variable.sensitive {
                        format!("put it into the environment as {}, or into a --var-file", environment_name(name))
                    } else {
                        format!("give it with --var {name}=VALUE, or in a --var-file")
                    };
                    let message = format!("the variable `{name}` has no value");
                    let path = format!("variables.{name}");
                    findings.push(
                        Diagnostic::new(&rules::TEMPLATE_VARIABLE_WITHOUT_VALUE, &path, variable.name_span, message)
                            .with_help(help),
                    );
                }
            }
        }
        while let Some(ready) = waiting
            .iter()
            .find(|(_, (_, names))| names.iter().all(|name| !waiting.contains_key(name.as_str())))
            .map(|(name, _)| *name)
        {
            let Some((text, names)) = waiting.shift_remove(ready) else { break };
            let variable = &self.variables[ready];
            match scope.evaluate(source, text, true) {
                Ok(Some(value)) => {
                    scope.note_expression(ready, &names);
                    let flag = variable.flag.filter(|_| names.is_empty());
                    scope.set(ready, typed(&value.text, flag), variable.sensitive || value.secret);
                }
                Ok(None) => scope.set_broken(ready),
                Err(fault) => {
                    findings.push(*fault);
                    scope.set_broken(ready);
                }
            }
        }
        for name in waiting.keys() {
            scope.set_broken(name);
        }
        findings.extend(self.cycles(&waiting));
    }

    /// What is left waits for itself: each circle is reported once.
    fn cycles(&self, waiting: &IndexMap<&str, (&Text, BTreeSet<String>)>) -> Vec<Diagnostic> {
        let mut seen = BTreeSet::new();
        let mut findings = Vec::new();
        for start in waiting.keys() {
            let mut path: Vec<&str> = Vec::new();
            let mut name = *start;
            while !path.contains(&name) && !seen.contains(name) {
                path.push(name);
                let next = waiting.get(name).and_then(|(_, names)| {
                    names.iter().find_map(|next| waiting.get_key_value(next.as_str()).map(|(next, _)| *next))
                });
                match next {
                    Some(next) => name = next,
                    None => break,
                }
            }
            let circle = path.iter().position(|step| *step == name).map(|at| path[at..].to_vec());
            let closes = !seen.contains(name);
            seen.extend(path);
            if let (Some(circle), true) = (circle, closes) {
                let way: Vec<String> = circle.iter().chain(circle.first()).map(|name| format!("`{name}`")).collect();
                let first = circle[0];
                let mut fault = Diagnostic::new(
                    &rules::TEMPLATE_VARIABLE_CYCLE,
                    format!("variables.{first}"),
                    self.variables[first].name_span,
                    format!("the variable needs its own value: {}", way.join(" → ")),
                )
                .with_help("give one of them a value that does not refer to the others");
                for name in &circle[1..] {
                    fault.related.push((self.variables[*name].name_span, "in the circle".to_owned()));
                }
                findings.push(fault);
            }
        }
        findings
    }
}

/// A value as expressions see it. It always prints as the text that was given: `3.40` stays `3.40`.
fn typed(text: &str, flag: Option<bool>) -> Value {
    match (flag, text) {
        (Some(flag), _) => Value::from(flag),
        (None, "true") => Value::from(true),
        (None, "false") => Value::from(false),
        _ => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Value::from(number),
            _ => Value::from(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_they_were_given() {
        for text in ["3.40", "007", "1e3", "12", "-4", "true", " x ", "9223372036854775808"] {
            let mut scope = Scope::new("");
            scope.set("x", typed(text, None), false);
            let expression = Text { raw: "{{ x }}".to_owned(), span: Span::at(0), path: String::new() };
            let value = scope.evaluate(&Source::new("t", ""), &expression, false).unwrap().unwrap();
            assert_eq!(value.text, text);
        }
    }

    #[test]
    fn an_argument_that_is_no_assignment_shows_no_value() {
        let fault = assignment("my-token=hunter2").unwrap_err().to_string();
        assert_eq!(fault, "--var expects NAME=VALUE, found `my-token=…`");
        assert_eq!(assignment("a=b=c").unwrap().value, "b=c");
    }
}
