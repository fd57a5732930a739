//! `mkimg validate [PATH…|-]`.

mod documents;

use std::borrow::Cow;
use std::path::PathBuf;

use diagnostics::source::Source;
use diagnostics::{Diagnostic, Report, Rule, Suppressed, Verdict, escape_control};
use lint_rules as rules;
use userdata_lint::image::{ArtifactFacts, TemplateFacts};
use userdata_lint::{DIGITALOCEAN, Options, Version, image, provider};

use super::error::{ErrorKind, ExitStatus, ExpectedError, Failure};
use super::options::Limit;
use super::{Format, Global, project, project_lint};
use crate::model::{self, Places, Plan, PlanError, ResolveError};
use crate::render::{self, EntryStat, RenderError, Target};
use crate::workspace::{self, Project, ProjectError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Documents to check: files, directories with all files below them, or `-` for standard input.
    /// In a directory, files that are clearly not documents (READMEs, images) are skipped
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Output format of the findings
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
    /// Also exit with status 1 on warnings and deprecations
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
    /// Check for this version of cloud-init: 22.4, 25.1 or 26.2, or a release that ships it, such
    /// as debian-13 or noble
    #[arg(long, value_name = "VERSION", default_value_t = Version::LATEST)]
    cloud_init: Version,
    /// The name of standard input in findings
    #[arg(long, value_name = "NAME", default_value = "-")]
    stdin_name: String,
    /// A provider that must accept the document: azure, digitalocean, ec2, gcp, hetzner, openstack,
    /// oxide or vsphere; may be repeated [default: digitalocean]
    #[arg(long, value_name = "NAME")]
    provider: Vec<provider::ProviderArgument>,
    /// Maximum size of a document in bytes, for a provider that is not listed; `none` for no limit
    #[arg(long, value_name = "N|none")]
    limit: Option<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Deny {
    Warnings,
}

#[derive(Debug, thiserror::Error)]
enum ValidateError {
    #[error("`-` is given twice, but there is only one standard input")]
    StandardInputTwice,
    #[error(transparent)]
    NoProject(ProjectError),
}

impl ExpectedError for ValidateError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::StandardInputTwice => ErrorKind::Usage,
            Self::NoProject(_) => ErrorKind::Input,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::StandardInputTwice => "name it once".into(),
            Self::NoProject(error) => format!("{}; or name the documents to check", error.help()).into(),
        })
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let providers = match args.provider.as_slice() {
        [] if args.limit.is_none() => vec![DIGITALOCEAN],
        named => named.iter().map(|named| named.0).collect(),
    };
    let limit = args.limit.and_then(|limit| limit.0);
    let options = Options { cloud_init: args.cloud_init, limit, providers, ..Options::default() };
    if args.paths.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(ValidateError::StandardInputTwice.into());
    }
    let (report, unreadable) = if args.paths.is_empty() {
        // Leave room for what a bake adds, as `render` does.
        let room = |most: usize| most.min(render::DOCUMENT_LIMIT);
        let most = options.max_bytes();
        let limit = if args.limit.is_some() { most } else { Some(most.map_or(render::DOCUMENT_LIMIT, room)) };
        // What a bake would do.
        let can_upload = args.limit.is_none() && args.provider.is_empty();
        (check_project(global, &options, Target { limit, can_upload, ..Target::BAKE })?, Vec::new())
    } else {
        let checked = documents::check(&args.paths, |path| global.path(path), &args.stdin_name, &options);
        (Report { documents: checked.documents }, checked.unreadable)
    };
    let text = report.render(args.format.into(), global.terminal.stdout_color());
    global.terminal.print_report(&text, args.format)?;
    for problem in &unreadable {
        global.terminal.error(problem);
    }
    let counts = report.counts();
    for document in &report.documents {
        let source = &document.findings.source;
        for allowed in &document.suppressed {
            global.terminal.detail(&allowed_line(source, allowed));
        }
    }
    if !report.documents.is_empty() {
        global.terminal.note(&summary(&report));
    }
    if !unreadable.is_empty() {
        return Err(Failure::Reported(ExitStatus::Error));
    }
    let denied = args.deny == Some(Deny::Warnings) && counts.warnings + counts.deprecated > 0;
    // Every invalid document has an error, unless it is MK008, which can be allowed.
    if counts.errors > 0 || denied { Err(Failure::Reported(ExitStatus::Finding)) } else { Ok(()) }
}

/// "allowed: a.yaml:3:5: MK201 duplicate-key: the reason"
fn allowed_line(source: &Source, allowed: &Suppressed) -> String {
    let found = &allowed.diagnostic;
    let place = source.position(found.span.unwrap_or_default().start);
    let (name, reason) = (escape_control(source.name()), escape_control(&allowed.reason));
    format!("allowed: {name}:{}:{}: {} {}: {reason}", place.line, place.column, found.rule.code, found.rule.name)
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
        (counts.suppressed, "finding allowed", "findings allowed"),
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

/// Checks the template and what it names, then the document that it renders to. The report ends
/// with the first of these that has errors.
fn check_project(global: &Global, options: &Options, target: Target) -> Result<Report, Failure> {
    let project = Project::open(global.directory.as_deref(), None).map_err(ValidateError::NoProject)?;
    let source = project.template.clone();
    let mut diagnostics = Vec::new();
    let mut documents = Vec::new();
    let mut options = options.clone();
    match yaml11::parse(source.text()) {
        Ok(tree) => {
            let opened = project::Opened::new(global, project, tree);
            let assignments = project::assignments(global)?;
            opened.redact_secrets(global, &assignments);
            options.secrets = project_lint::secrets(&opened, &assignments);
            if let Some((plan, places)) = plan(global, &opened, assignments, &mut diagnostics)? {
                options = project_lint::options(&plan, &options.secrets, &options);
                // The template's own finding has the exact place.
                let twins = [
                    (&rules::COCKROACHDB_LICENCE, &rules::COCKROACHDB_LICENCE),
                    (&rules::TEMPLATE_UNKNOWN_OWNER, &rules::UNKNOWN_OWNER),
                ];
                let is_reported = |rule: &Rule| diagnostics.iter().any(|found| found.rule.code == rule.code);
                let reported = twins.iter().filter(|(of_template, _)| is_reported(of_template));
                options.reported_rules = reported.map(|(_, of_document)| of_document.code).collect();
                documents = project_lint::check_files(&plan, &options);
                match render::render(&plan, target) {
                    Ok(document) => {
                        if let uploads @ [_, ..] = document.uploads.as_slice() {
                            let bytes: u64 = uploads.iter().map(|file| file.content.size()).sum();
                            global.terminal.note(&format!(
                                "the document has no room for {} of the files ({bytes} bytes): `mkimg bake` uploads them",
                                uploads.len()
                            ));
                        }
                        let name = format!("{} (rendered)", source.name());
                        let (document, mut allow) =
                            project_lint::check_rendered(&name, &document, &plan, &places, &options);
                        documents.push(document);
                        diagnostics.append(&mut allow);
                    }
                    Err(error) => diagnostics.push(not_rendered(error, &places)?),
                }
            }
        }
        Err(error) => diagnostics.push(project::yaml_finding(&source, &error)),
    }
    documents.insert(0, userdata_lint::finish_template(&source, diagnostics, &options));
    Ok(Report { documents })
}

/// Makes the plan of a project; if that fails, adds the findings and returns `None`.
fn plan(
    global: &Global,
    opened: &project::Opened,
    assignments: Vec<model::Assignment>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<(Plan, Places)>, Failure> {
    let lock = workspace::read_lock(&opened.lock_path(global, None))?;
    let resolved = match opened.evaluate(assignments) {
        Ok(resolved) => resolved,
        Err(ResolveError::Assignment(error)) => return Err(error.into()),
        Err(ResolveError::Template(faults)) => {
            diagnostics.extend(faults);
            return Ok(None);
        }
    };
    diagnostics.extend(resolved.warnings.clone());
    let collected = match workspace::collect(&opened.project.root, &resolved.spec) {
        Ok(collected) => collected,
        Err(faults) => {
            diagnostics.extend(faults.iter().map(|fault| fault.diagnostic(&resolved.places)));
            return Ok(None);
        }
    };
    let warnings = collected.warnings.iter().map(|fault| fault.diagnostic(&resolved.places));
    diagnostics.extend(warnings);
    let places = resolved.places;
    let plan = match Plan::new(&opened.project.origin, resolved.spec, collected.tree, &lock) {
        Ok(plan) => plan,
        Err(error) => {
            let (rule, path) = match error {
                PlanError::FileAndArtifact { .. } => (&rules::TEMPLATE_DUPLICATE_DESTINATION, "artifacts"),
                PlanError::Glob { .. } | PlanError::NotLocked { .. } => (&rules::GLOB_WITHOUT_MATCH, "attributes"),
            };
            diagnostics.push(finding(rule, path, &places, error.to_string(), error.help()));
            return Ok(None);
        }
    };
    diagnostics.extend(image::template(&facts(&plan, &places)));
    Ok(Some((plan, places)))
}

/// The three largest files, with their sizes.
fn largest(entries: &[EntryStat]) -> String {
    let mut largest: Vec<_> = entries.iter().collect();
    largest.sort_by(|left, right| (right.stored_bytes, &left.path).cmp(&(left.stored_bytes, &right.path)));
    let shown = largest.iter().take(3).map(|entry| format!("{} ({})", entry.path, entry.stored_bytes));
    shown.collect::<Vec<_>>().join(", ")
}

/// The finding that a plan cannot be rendered. An internal error is a failure instead.
fn not_rendered(error: RenderError, places: &Places) -> Result<Diagnostic, Failure> {
    let help = error.help();
    let (rule, path, message) = match &error {
        RenderError::OverLimit { bytes, is_estimate, limit, entries } => {
            let about = if *is_estimate { "about " } else { "" };
            let over = bytes - limit;
            let message = format!(
                "the document has {about}{bytes} bytes, {over} more than the limit of {limit}, with everything compressed; largest: {}",
                largest(entries)
            );
            (&rules::OVER_PROVIDER_LIMIT, "files".to_owned(), message)
        }
        RenderError::BundleOverLimit { characters, limit, entries } => {
            let message = format!(
                "the document's bundle has {characters} characters, and Linux passes at most {limit} to a program; largest: {}",
                largest(entries)
            );
            (&rules::OVER_PROVIDER_LIMIT, "files".to_owned(), message)
        }
        RenderError::OnlyUpload { entries } => {
            let mut largest: Vec<_> = entries.iter().map(|entry| (entry.raw_bytes, &entry.path)).collect();
            largest.sort_unstable_by(|left, right| right.cmp(left));
            let shown = largest.iter().take(3).map(|(bytes, path)| format!("{path} ({bytes})"));
            let message =
                format!("no document has room for the largest files: {}", shown.collect::<Vec<_>>().join(", "));
            (&rules::OVER_PROVIDER_LIMIT, "files".to_owned(), message)
        }
        RenderError::Conflict { key } => {
            (&rules::TEMPLATE_CLOUD_CONFIG_CONFLICT, format!("cloud_config.{key}"), error.to_string())
        }
        RenderError::TwoSources { .. } => {
            (&rules::TEMPLATE_DUPLICATE_DESTINATION, "cloud_config".to_owned(), error.to_string())
        }
        RenderError::LooksLikeMime => {
            (&rules::TEMPLATE_CLOUD_CONFIG_CONFLICT, "cloud_config".to_owned(), error.to_string())
        }
        RenderError::ReadBack { .. } => return Err(error.into()),
    };
    Ok(finding(rule, &path, places, message, help))
}

/// A finding at a key of the template.
fn finding(rule: &'static Rule, path: &str, places: &Places, message: String, help: &str) -> Diagnostic {
    Diagnostic::new(rule, path, places.get(path).copied(), message).with_help(help)
}

/// The facts of a template that the linter checks.
fn facts<'p>(plan: &'p Plan, places: &Places) -> TemplateFacts<'p> {
    let at = |path: &str| places.get(path).copied().unwrap_or_default();
    let artifacts = plan.artifacts.iter().enumerate().map(|(index, artifact)| ArtifactFacts {
        url: &artifact.url,
        place: at(&format!("artifacts.{index}.url")),
        locked: artifact.sha256.is_some(),
        checksum: artifact.checksum_url.as_deref(),
    });
    TemplateFacts {
        base: plan.droplet.as_ref().map(|droplet| (droplet.image.as_str(), at("droplet.image"))),
        monitoring: plan.droplet.as_ref().filter(|droplet| droplet.monitoring).map(|_| at("droplet.monitoring")),
        artifacts: artifacts.collect(),
    }
}
