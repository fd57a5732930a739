//! The template's variables: their declarations, the values given by the user, and which value
//! wins.
//!
//! Later values win: the template's own, `MKIMG_VAR_NAME` (sensitive variables only), then the given
//! ones in order. Only the template's own values are expressions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, closest, did_you_mean};
use indexmap::IndexMap;
use lint_rules as rules;
use minijinja::Value;
use yaml11::{Node, Scalar};

use super::expression::{Scope, TIMESTAMP, Text};
use super::value::{describe, is_null, is_variable_name, scalar_text};

/// The source of a value that the user gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// An argument, which every user of the machine can read; with the name of its option.
    Argument(&'static str),
    /// A file with line and column.
    File(String, usize, usize),
}

impl fmt::Display for Given {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(option) => formatter.write_str(option),
            Self::File(name, line, column) => write!(formatter, "{name}:{line}:{column}"),
        }
    }
}

/// A value that the user gives. `Debug` does not show it, because it may be a secret.
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

/// Why a value of the user is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAssignment {
    #[error("{given}: the template has no variable `{name}`")]
    Unknown { name: String, given: Given, meant: Option<String> },
    #[error(
        "the variable `{0}` is sensitive: it cannot be set on the command line, which every user of this machine can read"
    )]
    SensitiveOnCommandLine(String),
    #[error("{0}: expected a mapping of variable names to values")]
    NotAMapping(String),
    #[error("{given}: expected a text, a number or true or false for `{name}`, found {found}")]
    NotAScalar { given: Given, name: String, found: &'static str },
}

/// Returns the environment variable with the value of a sensitive variable.
#[must_use]
pub fn environment_name(variable: &str) -> String {
    format!("MKIMG_VAR_{}", variable.to_uppercase())
}

/// Reads a file of values, a mapping of names to scalars.
///
/// # Errors
///
/// Fails if the file is not such a mapping.
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

/// A variable of the template.
#[derive(Debug, Clone)]
struct Variable {
    name_span: Span,
    value: Option<Text>,
    /// The value, if it is a boolean in YAML; expressions then get a boolean too.
    flag: Option<bool>,
    is_sensitive: bool,
}

impl Variable {
    /// Reads a variable: a value, or a mapping of `value`, `sensitive` and `description`.
    fn read(source: &Source, node: Node<'_>, name_span: Span, path: &str, findings: &mut Vec<Diagnostic>) -> Self {
        const KEYS: [&str; 3] = ["value", "sensitive", "description"];
        let mut variable = Self { name_span, value: None, flag: None, is_sensitive: false };
        let mut value = Some(node);
        if let Some(fields) = node.entries() {
            value = None;
            for (key, field) in fields {
                match key.as_str() {
                    Some("value") => value = Some(field),
                    Some("sensitive") => match field.scalar() {
                        Some(Scalar::Bool(flag)) => variable.is_sensitive = *flag,
                        _ => findings.push(wrong_type(field, &format!("{path}.sensitive"), "true or false")),
                    },
                    Some("description") => {}
                    _ => {
                        let written = scalar_text(source, key).unwrap_or_default();
                        let message = format!("unknown key `{written}`");
                        let meant = did_you_mean(&written, KEYS);
                        findings.push(
                            Diagnostic::new(&rules::TEMPLATE_UNKNOWN_KEY, path, key.used_at(), message)
                                .with_help("a variable has `value`, `sensitive` and `description`")
                                .with_help(meant),
                        );
                    }
                }
            }
        }
        let Some(node) = value else { return variable };
        match scalar_text(source, node) {
            Some(raw) => variable.value = Some(Text { raw, span: node.used_at(), path: path.to_owned() }),
            None if is_null(node) => {}
            None => findings.push(wrong_type(node, path, "a text, a number or true or false")),
        }
        if let Some(Scalar::Bool(flag)) = node.scalar() {
            variable.flag = Some(*flag);
        }
        variable
    }
}

fn wrong_type(node: Node<'_>, path: &str, expected: &str) -> Diagnostic {
    let message = format!("expected {expected}, found {}", describe(node));
    Diagnostic::new(&rules::TEMPLATE_WRONG_TYPE, path, node.used_at(), message)
}

/// The variables of a template.
#[derive(Debug, Default)]
pub(super) struct Declarations {
    variables: IndexMap<String, Variable>,
}

impl Declarations {
    pub(super) fn read(source: &Source, node: Node<'_>, findings: &mut Vec<Diagnostic>) -> Self {
        let mut declarations = Self::default();
        let Some(entries) = node.entries() else {
            findings.push(wrong_type(node, "variables", "a mapping of names to values"));
            return declarations;
        };
        for (key, value) in entries {
            let name = scalar_text(source, key).unwrap_or_default();
            let (path, name_span) = (format!("variables.{name}"), key.used_at());
            if !is_variable_name(&name) || name == TIMESTAMP {
                let message = if name == TIMESTAMP {
                    "`timestamp` is a reserved name: mkimg sets it itself".to_owned()
                } else {
                    format!("`{name}` is not a variable name: letters, digits and `_`, not beginning with a digit")
                };
                findings.push(Diagnostic::new(&rules::TEMPLATE_BAD_NAME, &*path, name_span, message));
                continue;
            }
            let variable = Variable::read(source, value, name_span, &path, findings);
            if let Some(earlier) = declarations.variables.insert(name.clone(), variable) {
                let message = format!("the variable `{name}` is listed twice");
                let mut fault = Diagnostic::new(&rules::TEMPLATE_DUPLICATE_KEY, path, name_span, message);
                fault.related.push((earlier.name_span, "first here".to_owned()));
                findings.push(fault);
            }
        }
        declarations
    }

    /// Returns the sensitive variables, whose values may come from the environment.
    pub(super) fn sensitive(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().filter(|(_, variable)| variable.is_sensitive).map(|(name, _)| name.as_str())
    }

    /// Returns the other variables.
    pub(super) fn plain(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().filter(|(_, variable)| !variable.is_sensitive).map(|(name, _)| name.as_str())
    }

    /// Returns the variables without a value in the template.
    pub(super) fn required(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().filter(|(_, variable)| variable.value.is_none()).map(|(name, _)| name.as_str())
    }

    /// Refuses values of undeclared variables, and secrets on the command line.
    pub(super) fn check(&self, given: &[Assignment]) -> Result<(), BadAssignment> {
        for assignment in given {
            let Some(variable) = self.variables.get(&assignment.name) else {
                return Err(BadAssignment::Unknown {
                    name: assignment.name.clone(),
                    given: assignment.given.clone(),
                    meant: closest(&assignment.name, self.variables.keys().map(String::as_str)).map(str::to_owned),
                });
            };
            if variable.is_sensitive && matches!(assignment.given, Given::Argument(_)) {
                return Err(BadAssignment::SensitiveOnCommandLine(assignment.name.clone()));
            }
        }
        Ok(())
    }

    /// Sets all variables in the order of their dependencies.
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
            let given = given.iter().rev().find(|assignment| assignment.name == *name).map(|given| &given.value);
            let given = given.or_else(|| environment.get(name).filter(|_| variable.is_sensitive));
            match (given, &variable.value) {
                (Some(value), _) => scope.set(name, to_expression_value(value, None), variable.is_sensitive),
                (None, Some(text)) => {
                    let names = scope.used_names(&text.raw);
                    waiting.insert(name, (text, names));
                }
                (None, None) => {
                    scope.set_broken(name);
                    let message = format!("the variable `{name}` has no value");
                    let path = format!("variables.{name}");
                    // The caller knows how values are given, and adds the help.
                    let rule = &rules::TEMPLATE_VARIABLE_WITHOUT_VALUE;
                    findings.push(Diagnostic::new(rule, path, variable.name_span, message));
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
                    scope.add_uses(ready, &names);
                    let flag = variable.flag.filter(|_| names.is_empty());
                    scope.set(ready, to_expression_value(&value.text, flag), variable.is_sensitive || value.is_secret);
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

    /// Reports each cycle among the remaining variables once.
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
            let cycle = path.iter().position(|step| *step == name).map(|at| path[at..].to_vec());
            let closes = !seen.contains(name);
            seen.extend(path);
            if let (Some(cycle), true) = (cycle, closes) {
                let steps: Vec<String> = cycle.iter().chain(cycle.first()).map(|name| format!("`{name}`")).collect();
                let first = cycle[0];
                let mut fault = Diagnostic::new(
                    &rules::TEMPLATE_VARIABLE_CYCLE,
                    format!("variables.{first}"),
                    self.variables[first].name_span,
                    format!("the variable depends on itself: {}", steps.join(" → ")),
                )
                .with_help("give one of them a value that does not refer to the others");
                for name in &cycle[1..] {
                    fault.related.push((self.variables[*name].name_span, "in the cycle".to_owned()));
                }
                findings.push(fault);
            }
        }
        findings
    }
}

/// Converts a value for expressions. It always prints as the given text: `3.40` stays `3.40`.
fn to_expression_value(text: &str, flag: Option<bool>) -> Value {
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
            scope.set("x", to_expression_value(text, None), false);
            let expression = Text { raw: "{{ x }}".to_owned(), span: Span::at(0), path: String::new() };
            let value = scope.evaluate(&Source::new("t", ""), &expression, false).unwrap().unwrap();
            assert_eq!(value.text, text);
        }
    }
}
