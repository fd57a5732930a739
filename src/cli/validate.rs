//! `mkimg validate [PATH…|-]`.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::limit::Limit;
use super::{Failure, Format, Global, Status, contents, project};
use crate::diag::{Diagnostic, Document, Findings, Report, Severity, Verdict};
use crate::model::{Plan, ResolveError};
use crate::render;
use crate::source::Source;
use crate::validate::{self, DIGITALOCEAN_LIMIT, Options, Version, rules};
use crate::workspace::{self, Project};
use crate::yaml;

/// Judges user-data documents offline, as `cloud-init schema` would, and more
///
/// Without a PATH, the project is judged: its template, files and scripts, and the document that they become.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Documents; `-` is standard input; of a directory, every file in it
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How findings are written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
    /// Let the exit status be 1 for warnings and deprecations too
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
    /// The version of cloud-init whose verdict is asked for: 22.4, 26.2, or debian-12
    #[arg(long, value_name = "VERSION", default_value_t = Version::LATEST)]
    cloud_init: Version,
    /// Bytes that the provider takes; `none` for no limit
    #[arg(long, value_name = "N|none", default_value_t = Limit(Some(DIGITALOCEAN_LIMIT)))]
    limit: Limit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Deny {
    Warnings,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let options = Options { cloud_init: args.cloud_init, limit: args.limit.0 };
    let mut report = Report::default();
    let mut unreadable = Vec::new();
    if args.paths.is_empty() {
        report = judge_project(global, &options)?;
    }
    for path in &args.paths {
        judge_path(path, global, &options, &mut report, &mut unreadable);
    }
    let describe = |code: &str| rules::find(code).map(|rule| rule.summary.to_string());
    global.terminal.print(report.render(args.format.into(), global.terminal.stdout_color(), &describe))?;
    for problem in &unreadable {
        global.terminal.error(problem);
    }
    let counts = report.counts();
    global.terminal.note(&summary(&report));
    if !unreadable.is_empty() {
        return Err(Failure::said(Status::Usage));
    }
    let denied = args.deny == Some(Deny::Warnings) && counts.warnings + counts.deprecated > 0;
    let invalid = report.documents.iter().any(|document| document.verdict == Verdict::Invalid);
    if invalid || counts.errors > 0 || denied { Err(Failure::said(Status::Finding)) } else { Ok(()) }
}

/// "3 documents: 2 valid, 1 invalid; 1 error, 2 warnings"
fn summary(report: &Report) -> String {
    let verdicts = [Verdict::Valid, Verdict::Deprecated, Verdict::Invalid, Verdict::Skipped].map(|verdict| {
        let count = report.documents.iter().filter(|document| document.verdict == verdict).count();
        (count > 0).then(|| format!("{count} {}", verdict.name()))
    });
    let counts = report.counts();
    let severities = [
        (counts.errors, "error", "errors"),
        (counts.warnings, "warning", "warnings"),
        (counts.deprecated, "deprecation", "deprecations"),
    ]
    .map(|(count, one, many)| (count > 0).then(|| format!("{count} {}", if count == 1 { one } else { many })));
    let join = |parts: &[Option<String>]| parts.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    let documents = report.documents.len();
    let mut text = format!("{documents} document{}", if documents == 1 { "" } else { "s" });
    for (separator, part) in [(": ", join(&verdicts)), ("; ", join(&severities))] {
        if !part.is_empty() {
            text.push_str(separator);
            text.push_str(&part);
        }
    }
    text
}

fn judge_path(path: &Path, global: &Global, options: &Options, report: &mut Report, unreadable: &mut Vec<String>) {
    let mut judge = |name: &str, bytes: std::io::Result<Vec<u8>>| match bytes {
        Ok(bytes) => report.documents.extend(validate::validate_bytes(name, &bytes, options).documents),
        Err(error) => unreadable.push(format!("cannot read {}: {error}", crate::diag::harmless(name))),
    };
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        judge("-", read.map(|_| bytes));
        return;
    }
    let place = global.path(path);
    if !place.is_dir() {
        judge(&path.display().to_string(), std::fs::read(&place));
        return;
    }
    let mut found = false;
    for entry in walkdir::WalkDir::new(&place).sort_by_file_name() {
        match entry {
            Ok(entry) if entry.file_type().is_file() => {
                found = true;
                let name = entry
                    .path()
                    .strip_prefix(&place)
                    .map_or_else(|_| entry.path().to_path_buf(), |below| path.join(below));
                judge(&name.display().to_string(), std::fs::read(entry.path()));
            }
            Ok(_) => {}
            Err(error) => judge(&path.display().to_string(), Err(error.into())),
        }
    }
    if !found {
        let none = std::io::Error::new(std::io::ErrorKind::NotFound, "the directory holds no files");
        judge(&path.display().to_string(), Err(none));
    }
}

/// The project: the template with what it names, then the document that it becomes. Where a part is wrong, the next one
/// cannot be made, and the report ends there.
fn judge_project(global: &Global, options: &Options) -> Result<Report, Failure> {
    let project = Project::open(global.directory.as_deref(), None).map_err(|error| {
        let help = format!("{}; or name the documents to judge", error.help());
        Failure::usage(error).with_help(help)
    })?;
    let source = project.template.clone();
    let mut diagnostics = Vec::new();
    let plan = match yaml::parse(&source) {
        Ok(tree) => {
            let opened = project::Opened { template: crate::model::Template::new(source.clone(), tree), project };
            plan(global, &opened, &mut diagnostics)?
        }
        Err(error) => {
            diagnostics.push(project::yaml_fault(&error));
            None
        }
    };
    let wrong = diagnostics.iter().any(|found| found.severity == Severity::Error);
    let verdict = if wrong { Verdict::Invalid } else { Verdict::Valid };
    let name = source.name().to_string();
    let mut report = Report {
        documents: vec![Document {
            kind: "template",
            verdict,
            findings: Findings { source, diagnostics },
            parts: Vec::new(),
        }],
    };
    if let Some(plan) = plan {
        let document = render::render(&plan, options.limit).map_err(|error| {
            let help = error.help();
            Failure::finding(error).with_help(help)
        })?;
        let rendered = Source::new(format!("{name} (rendered)"), document.text);
        report.documents.extend(contents::judge(&plan));
        let mut judged = validate::validate(&rendered, options).documents;
        contents::remove_repeated(&plan, &rendered, &mut judged);
        report.documents.extend(judged);
    }
    Ok(report)
}

/// The plan of a project, if nothing is wrong with it; what is wrong becomes findings.
fn plan(global: &Global, opened: &project::Opened, diagnostics: &mut Vec<Diagnostic>) -> Result<Option<Plan>, Failure> {
    let lock = project::lock(&opened.lock_path(global, None))?;
    let resolved = match opened.template.resolve(&opened.inputs(project::assignments(global)?)) {
        Ok(resolved) => resolved,
        Err(ResolveError::Assignment(error)) => {
            let help = error.help();
            return Err(Failure::usage(error).with_help(help));
        }
        Err(ResolveError::Template(faults)) => {
            diagnostics.extend(faults);
            return Ok(None);
        }
    };
    diagnostics.extend(resolved.warnings.clone());
    let collected = match workspace::collect(&opened.project.root, &resolved.spec) {
        Ok(collected) => collected,
        Err(faults) => {
            diagnostics.extend(faults.iter().map(|fault| fault.diagnostic(&resolved.places, Severity::Error)));
            return Ok(None);
        }
    };
    let warnings = collected.warnings.iter().map(|fault| fault.diagnostic(&resolved.places, Severity::Warning));
    diagnostics.extend(warnings);
    let plan = Plan::new(&opened.project.origin, resolved.spec, collected.tree, &lock).map_err(|error| {
        let help = error.help();
        Failure::usage(error).with_help(help)
    })?;
    Ok(Some(plan))
}
