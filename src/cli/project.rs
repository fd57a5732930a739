//! From the command line to a Plan and its Document: what `render`, `diff`, `bake`, `lock` and `validate` begin with.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lint_rules as rules;
use secrecy::{ExposeSecret, SecretString};

use super::{Failure, Global, Status};
use crate::diag::{Diagnostic, Findings};
use crate::model::{self, Assignment, Inputs, Lock, Plan, ResolveError, Resolved, Secrets, Template};
use crate::render::{self, Document, RenderError};
use crate::source::Source;
use crate::workspace::{self, Project};
use crate::yaml;

/// A project whose template was read.
#[derive(Debug)]
pub(super) struct Opened {
    pub project: Project,
    pub template: Template,
}

/// The project of the command line, not looked into; `template` as given there.
pub(super) fn find(global: &Global, template: Option<&Path>) -> Result<Project, Failure> {
    let template = template.map(|path| global.path(path));
    Project::open(global.directory.as_deref(), template.as_deref())
        .map_err(|error| Failure::usage(error.clone()).with_help(error.help()))
}

/// Opens the project of the command line; `template` as given there.
pub(super) fn open(global: &Global, template: Option<&Path>) -> Result<Opened, Failure> {
    let project = find(global, template)?;
    let source = project.template.clone();
    match yaml::parse(source.text()) {
        Ok(tree) => Ok(Opened::new(global, project, tree)),
        Err(error) => Err(findings(global, &source, vec![yaml_fault(&source, &error)])),
    }
}

/// A text that is not YAML, as a finding.
pub(super) fn yaml_fault(source: &Source, error: &yaml::Error) -> Diagnostic {
    let mut found = Diagnostic::new(&rules::TEMPLATE_NOT_YAML, "", error.span, error.message.clone())
        .with_help(likely_mistake(source.text(), error).map(str::to_owned));
    found.related.extend(error.context.map(|context| (context, "in what begins here".to_owned())));
    found
}

/// What people usually meant where a template stops being YAML.
fn likely_mistake(text: &str, error: &yaml::Error) -> Option<&'static str> {
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

/// Says findings on standard error; the failure that follows from them (exit status 2: an input that cannot be read).
fn findings(global: &Global, source: &Source, diagnostics: Vec<Diagnostic>) -> Failure {
    show(global, source, diagnostics);
    Failure::said(Status::Usage)
}

fn show(global: &Global, source: &Source, diagnostics: Vec<Diagnostic>) {
    let findings = Findings { source: source.clone(), diagnostics };
    global.terminal.eprint(&crate::diag::human(&findings, global.terminal.stderr_color()));
}

/// The values of the command line and of its files.
pub(super) fn assignments(global: &Global) -> Result<Vec<Assignment>, Failure> {
    let mut all = Vec::new();
    for file in &global.variable_files {
        all.extend(file_assignments(file)?);
    }
    for argument in &global.variables {
        all.push(model::assignment(argument).map_err(|error| Failure::usage(error.clone()).with_help(error.help()))?);
    }
    Ok(all)
}

/// The values of one file.
pub(super) fn file_assignments(file: &Path) -> Result<Vec<Assignment>, Failure> {
    let text = workspace::read_text(file).map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", file.display()))
            .with_help("a --var-file is YAML or JSON, in UTF-8")
    })?;
    let source = Source::new(file.display().to_string(), text);
    let tree = match yaml::parse(source.text()) {
        Ok(tree) => tree,
        // The text is not shown: a file of values may hold secrets.
        Err(error) => {
            let place = source.position(error.span.start);
            let message = format!("{}:{}:{}: {}", source.name(), place.line, place.column, error.message);
            return Err(Failure::usage(message).with_help("write one `name: value` a line"));
        }
    };
    model::assignments(&source, tree.root()).map_err(|error| Failure::usage(error.clone()).with_help(error.help()))
}

impl Opened {
    pub(super) fn new(global: &Global, project: Project, tree: yaml::Tree) -> Self {
        let template = Template::new(project.template.clone(), tree);
        for name in template.plain() {
            let variable = model::environment_name(name);
            if std::env::var_os(&variable).is_some() {
                global.terminal.warning(&format!("{variable} has no effect: the variable `{name}` is not sensitive"));
                global.terminal.help(&format!("use --var {name}=VALUE, or write `sensitive: true` in the template"));
            }
        }
        Self { project, template }
    }

    /// What the template is evaluated with.
    pub(super) fn inputs(&self, assignments: Vec<Assignment>) -> Inputs {
        let sensitive = self.template.sensitive().filter_map(|name| {
            let value = std::env::var(model::environment_name(name)).ok()?;
            Some((name.to_owned(), value))
        });
        Inputs { assignments, sensitive: Secrets(sensitive.collect()), timestamp: timestamp() }
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

    /// Keeps the values of sensitive variables out of all that is said on standard error.
    pub(super) fn hide_secrets(&self, global: &Global, assignments: &[Assignment]) {
        for secret in self.secrets(assignments.to_vec()) {
            global.terminal.redaction().hide(secret.expose_secret());
        }
    }

    /// Evaluates the template.
    pub(super) fn resolve(&self, global: &Global, assignments: Vec<Assignment>) -> Result<Resolved, Failure> {
        self.hide_secrets(global, &assignments);
        match self.template.resolve(&self.inputs(assignments)) {
            Ok(resolved) => {
                if !resolved.warnings.is_empty() {
                    show(global, self.template.source(), resolved.warnings.clone());
                }
                Ok(resolved)
            }
            Err(ResolveError::Assignment(error)) => Err(Failure::usage(error.clone()).with_help(error.help())),
            Err(ResolveError::Template(faults)) => Err(findings(global, self.template.source(), faults)),
        }
    }

    /// Reads what the template names on disk.
    pub(super) fn collect(&self, global: &Global, resolved: &Resolved) -> Result<model::FileTree, Failure> {
        match workspace::collect(&self.project.root, &resolved.spec) {
            Ok(collected) => {
                let warnings = collected.warnings.iter();
                let warnings: Vec<_> = warnings.map(|fault| fault.diagnostic(&resolved.places)).collect();
                if !warnings.is_empty() {
                    show(global, self.template.source(), warnings);
                }
                Ok(collected.tree)
            }
            Err(faults) => {
                let faults = faults.iter().map(|fault| fault.diagnostic(&resolved.places)).collect();
                Err(findings(global, self.template.source(), faults))
            }
        }
    }

    /// The lock of the command line: `--lock FILE`, or the project's.
    pub(super) fn lock_path(&self, global: &Global, lock: Option<&Path>) -> PathBuf {
        lock.map_or_else(|| self.project.lock_path(), |path| global.path(path))
    }

    /// Everything put together.
    pub(super) fn plan(&self, global: &Global, assignments: Vec<Assignment>, lock: &Lock) -> Result<Plan, Failure> {
        let resolved = self.resolve(global, assignments)?;
        let tree = self.collect(global, &resolved)?;
        Plan::new(&self.project.origin, resolved.spec, tree, lock)
            .map_err(|error| Failure::usage(error.clone()).with_help(error.help()))
    }
}

/// Reads a lock.
pub(super) fn lock(path: &Path) -> Result<Lock, Failure> {
    workspace::read_lock(path).map_err(|error| {
        let help = error.help();
        Failure::usage(error).with_help(help)
    })
}

/// `--locked`, or a warning for what is not locked.
pub(super) fn judge_locks(global: &Global, plan: &Plan, lock: &Path, required: bool) -> Result<(), Failure> {
    let shown = lock.display().to_string();
    if let Err(error) = plan.require_locked(&shown) {
        let help = error.help();
        if required {
            return Err(Failure::finding(error).with_help(help));
        }
        global
            .terminal
            .warning(&format!("{error}; the droplet will trust the publisher's checksum file, or TLS alone"));
        global.terminal.help(help);
    }
    Ok(())
}

/// The moment of the command, for names: `20261122-153000`, UTC.
fn timestamp() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let digits: String = now.chars().filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at(8.min(digits.len()));
    format!("{day}-{time}")
}

/// Renders a plan. A document over its limit is a finding; anything else is a fault of the input.
pub(super) fn document(plan: &Plan, limit: Option<usize>) -> Result<Document, Failure> {
    render::render(plan, limit).map_err(|error| {
        let help = error.help();
        let status = if matches!(error, RenderError::OverLimit { .. }) { Status::Finding } else { Status::Usage };
        Failure::new(status, error).with_help(help)
    })
}
