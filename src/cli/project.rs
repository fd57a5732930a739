//! From the command line to a plan and its document: what `render`, `diff`, `bake`, `lock` and
//! `validate` begin with.

use std::borrow::Cow;
use std::path::Path;
use std::time::SystemTime;

use diagnostics::source::Source;
use diagnostics::{Diagnostic, Findings};
use lint_rules as rules;
use secrecy::{ExposeSecret, SecretString};

use super::Global;
use super::error::{ErrorKind, ExitStatus, ExpectedError, Failure};
use crate::model::{self, Assignment, Given, Inputs, Lock, Plan, ResolveError, Resolved, Secrets, Template};
use crate::render::{self, RenderedDocument, Target};
use crate::workspace::{self, FilePath, Project, ReadError};

/// A project with its parsed template.
#[derive(Debug)]
pub(super) struct Opened {
    pub project: Project,
    pub template: Template,
    /// The value of `timestamp`.
    timestamp: String,
}

/// Finds the project without parsing its template; `template` as on the command line.
pub(super) fn find(global: &Global, template: Option<&Path>) -> Result<Project, Failure> {
    let template = template.map(|path| global.path(path));
    Ok(Project::open(global.directory.as_deref(), template.as_deref())?)
}

/// Finds the project and parses its template; `template` as on the command line.
pub(super) fn open(global: &Global, template: Option<&Path>) -> Result<Opened, Failure> {
    open_project(global, find(global, template)?)
}

/// Parses the template of a project.
pub(super) fn open_project(global: &Global, project: Project) -> Result<Opened, Failure> {
    let source = project.template.clone();
    match yaml11::parse(source.text()) {
        Ok(tree) => Ok(Opened::new(global, project, tree)),
        Err(error) => Err(invalid(global, &source, vec![yaml_finding(&source, &error)])),
    }
}

/// The finding for a template that is not YAML.
pub(super) fn yaml_finding(source: &Source, error: &yaml11::Error) -> Diagnostic {
    let mut found = Diagnostic::new(&rules::TEMPLATE_NOT_YAML, "", error.span, error.message.clone())
        .with_help(likely_mistake(source.text(), error).map(str::to_owned));
    found.related.extend(error.context.map(|context| (context, "in the value that begins here".to_owned())));
    found
}

/// How to write what people usually mean at such a place.
fn likely_mistake(text: &str, error: &yaml11::Error) -> Option<&'static str> {
    let (before, after) = (text.get(..error.span.start)?, text.get(error.span.start..)?);
    let line = before.rsplit('\n').next().unwrap_or_default();
    if after.starts_with('\t') {
        return Some("indent with spaces");
    }
    // `image: {{ image }}`: to YAML, a mapping in a mapping.
    if after.starts_with("{{") || after.starts_with('{') && before.ends_with('{') {
        return Some("put quotes around it: \"{{ … }}\"");
    }
    let opens_a_line = line.trim().is_empty() && error.context.is_some();
    (opens_a_line && error.message.starts_with("expected `:`"))
        .then_some("write `key: value`, with a space after the colon")
}

/// Prints findings about the template; the failure that follows from them.
fn invalid(global: &Global, source: &Source, diagnostics: Vec<Diagnostic>) -> Failure {
    print_findings(global, source, diagnostics);
    Failure::Reported(ExitStatus::Error)
}

fn print_findings(global: &Global, source: &Source, diagnostics: Vec<Diagnostic>) {
    let findings = Findings { source: source.clone(), diagnostics };
    global.terminal.eprint_styled(&diagnostics::human(&findings, global.terminal.stderr_color()));
}

/// A `--var-file` that cannot be used.
#[derive(Debug, thiserror::Error)]
enum VariableFileError {
    #[error("cannot read {file}: {reason}")]
    Unreadable { file: String, reason: ReadError },
    /// The text itself is not shown: it may hold secrets.
    #[error("{place}: {message}")]
    NotYaml { place: String, message: String },
}

impl ExpectedError for VariableFileError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        let help = match self {
            Self::Unreadable { reason: ReadError::Link(_), .. } => workspace::LINK_HELP,
            Self::Unreadable { .. } => "a --var-file is YAML or JSON, in UTF-8",
            Self::NotYaml { .. } => "write one `name: value` a line",
        };
        Some(help.into())
    }
}

/// The values of --var and --var-file.
pub(super) fn assignments(global: &Global) -> Result<Vec<Assignment>, Failure> {
    let mut all = Vec::new();
    for file in &global.variable_files {
        all.extend(file_assignments(&FilePath::typed(file))?);
    }
    for argument in &global.variables {
        all.push(assignment(argument)?);
    }
    Ok(all)
}

/// `--var` without NAME=VALUE.
#[derive(Debug, thiserror::Error)]
#[error("--var expects NAME=VALUE, found `{0}`")]
pub(super) struct NotAnAssignment(String);

impl ExpectedError for NotAnAssignment {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("for example --var region=fra1".into())
    }
}

/// Reads `--var NAME=VALUE`.
pub(super) fn assignment(argument: &str) -> Result<Assignment, NotAnAssignment> {
    match argument.split_once('=') {
        Some((name, value)) if model::is_variable_name(name) => {
            Ok(Assignment { name: name.to_owned(), value: value.to_owned(), given: Given::Argument("--var") })
        }
        // The value may be a secret, so only the name is shown.
        Some((name, _)) => Err(NotAnAssignment(format!("{name}=…"))),
        None => Err(NotAnAssignment(argument.to_owned())),
    }
}

/// How to give a sensitive variable a value.
pub(super) fn how_to_set_sensitive(name: &str) -> String {
    format!("put it into the environment as {}, or into a --var-file", model::environment_name(name))
}

/// The values of one file.
pub(super) fn file_assignments(file: &FilePath) -> Result<Vec<Assignment>, Failure> {
    let name = file.display().to_string();
    let text =
        workspace::read_text(file).map_err(|reason| VariableFileError::Unreadable { file: name.clone(), reason })?;
    let source = Source::new(name, text);
    let tree = yaml11::parse(source.text()).map_err(|error| {
        let position = source.position(error.span.start);
        let place = format!("{}:{}:{}", source.name(), position.line, position.column);
        VariableFileError::NotYaml { place, message: error.message }
    })?;
    Ok(model::assignments(&source, tree.root())?)
}

impl Opened {
    pub(super) fn new(global: &Global, project: Project, tree: yaml11::Tree) -> Self {
        let template = Template::new(project.template.clone(), tree);
        for name in template.plain() {
            let variable = model::environment_name(name);
            if std::env::var_os(&variable).is_some() {
                global.terminal.warning(&format!("{variable} has no effect: the variable `{name}` is not sensitive"));
                global.terminal.help(&format!("use --var {name}=VALUE, or write `sensitive: true` in the template"));
            }
        }
        Self { project, template, timestamp: timestamp() }
    }

    /// Evaluates the template at another time: `20261122-153000`, UTC.
    #[must_use]
    pub(super) fn at(self, timestamp: &str) -> Self {
        Self { timestamp: timestamp.to_owned(), ..self }
    }

    /// The inputs for evaluating the template.
    pub(super) fn inputs(&self, assignments: Vec<Assignment>) -> Inputs {
        let sensitive = self.template.sensitive().filter_map(|name| {
            let value = std::env::var(model::environment_name(name)).ok()?;
            Some((name.to_owned(), value))
        });
        Inputs { assignments, sensitive: Secrets(sensitive.collect()), timestamp: self.timestamp.clone() }
    }

    /// The values of sensitive variables, from files and the environment.
    pub(super) fn secrets(&self, assignments: Vec<Assignment>) -> Vec<SecretString> {
        self.named_secrets(assignments).into_iter().map(|(_, value)| value).collect()
    }

    /// The same, with the variables' names.
    pub(super) fn named_secrets(&self, assignments: Vec<Assignment>) -> Vec<(&str, SecretString)> {
        let inputs = self.inputs(assignments);
        let value = |name: &str| {
            let given = inputs.assignments.iter().rev().find(|assignment| assignment.name == name);
            let given = given.map(|assignment| assignment.value.clone());
            given.or_else(|| inputs.sensitive.0.get(name).cloned()).map(SecretString::from)
        };
        self.template.sensitive().filter_map(|name| Some((name, value(name)?))).collect()
    }

    /// Redacts the values of sensitive variables on standard error.
    pub(super) fn redact_secrets(&self, global: &Global, assignments: &[Assignment]) {
        for secret in self.secrets(assignments.to_vec()) {
            global.terminal.redaction().hide(secret.expose_secret());
        }
    }

    /// Evaluates the template; errors name the options that give a variable a value.
    pub(super) fn evaluate(&self, assignments: Vec<Assignment>) -> Result<Resolved, ResolveError> {
        self.template.resolve(&self.inputs(assignments)).map_err(|mut error| {
            if let ResolveError::Template(faults) = &mut error {
                let without_value = rules::TEMPLATE_VARIABLE_WITHOUT_VALUE.code;
                for fault in faults.iter_mut().filter(|fault| fault.rule.code == without_value) {
                    let name = fault.path.trim_start_matches("variables.");
                    fault.help = Some(if self.template.sensitive().any(|sensitive| sensitive == name) {
                        how_to_set_sensitive(name)
                    } else {
                        format!("give it with --var {name}=VALUE, or in a --var-file")
                    });
                }
            }
            error
        })
    }

    /// Evaluates the template, and prints its findings.
    pub(super) fn resolve(&self, global: &Global, assignments: Vec<Assignment>) -> Result<Resolved, Failure> {
        self.redact_secrets(global, &assignments);
        match self.evaluate(assignments) {
            Ok(resolved) => {
                if !resolved.warnings.is_empty() {
                    print_findings(global, self.template.source(), resolved.warnings.clone());
                }
                Ok(resolved)
            }
            Err(ResolveError::Assignment(error)) => Err(error.into()),
            Err(ResolveError::Template(faults)) => Err(invalid(global, self.template.source(), faults)),
        }
    }

    /// Reads the files that the template names.
    pub(super) fn collect(&self, global: &Global, resolved: &Resolved) -> Result<model::FileTree, Failure> {
        match workspace::collect(&self.project.root, &resolved.spec) {
            Ok(collected) => {
                let warnings = collected.warnings.iter();
                let warnings: Vec<_> = warnings.map(|fault| fault.diagnostic(&resolved.places)).collect();
                if !warnings.is_empty() {
                    print_findings(global, self.template.source(), warnings);
                }
                Ok(collected.tree)
            }
            Err(faults) => {
                let faults = faults.iter().map(|fault| fault.diagnostic(&resolved.places)).collect();
                Err(invalid(global, self.template.source(), faults))
            }
        }
    }

    /// The lock to use: `--lock FILE`, or the project's.
    pub(super) fn lock_path(&self, global: &Global, lock: Option<&Path>) -> FilePath {
        lock.map_or_else(|| self.project.lock_path(), |path| FilePath::typed(global.path(path)))
    }

    /// Evaluates the template and reads its files.
    pub(super) fn plan(&self, global: &Global, assignments: Vec<Assignment>, lock: &Lock) -> Result<Plan, Failure> {
        let resolved = self.resolve(global, assignments)?;
        let tree = self.collect(global, &resolved)?;
        Ok(Plan::new(&self.project.origin, resolved.spec, tree, lock)?)
    }
}

/// Refuses unpinned artifacts with `--locked`, and warns about them without it.
pub(super) fn check_locked(global: &Global, plan: &Plan, lock: &FilePath, required: bool) -> Result<(), Failure> {
    let shown = lock.display().to_string();
    if let Err(error) = plan.require_locked(&shown) {
        if required {
            return Err(error.into());
        }
        global
            .terminal
            .warning(&format!("{error}; the droplet will trust the publisher's checksum file, or TLS alone"));
        global.terminal.help(error.help());
    }
    Ok(())
}

/// The current time for names: `20261122-153000`, UTC.
fn timestamp() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let digits: String = now.chars().filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at(8.min(digits.len()));
    format!("{day}-{time}")
}

/// Renders a plan.
pub(super) fn document(plan: &Plan, target: Target) -> Result<RenderedDocument, Failure> {
    Ok(render::render(plan, target)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        let unreadable = VariableFileError::Unreadable { file: "x".into(), reason: ReadError::Missing };
        assert_error(unreadable, 2, "a --var-file is YAML or JSON, in UTF-8");
        let malformed = VariableFileError::NotYaml { place: "x:1:1".into(), message: "m".into() };
        assert_error(malformed, 2, "write one `name: value` a line");
    }
}
