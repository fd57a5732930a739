//! Checks a project: its files and scripts where they are on disk, and the document that it renders
//! to.
//!
//! A finding in a file points into that file, not into the document that embeds it.

use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, LintedDocument};
use userdata_lint::{Allowance, Machine, Options, lint_file, lint_rendered};

use super::project::Opened;
use crate::model::{Assignment, Places, Plan, Script, Value, base_names};
use crate::render;

/// Scripts and deferred files are staged here; the document's copies of them are not reported.
const STAGED: &str = "/run/mkimg/";

/// The options for the files and the rendered document of a project. `secrets` are never shown.
pub(super) fn options(plan: &Plan, secrets: &[String], options: &Options) -> Options {
    let allow = plan.allow.iter().map(|allowed| Allowance {
        rule: allowed.code.clone(),
        path: allowed.path.clone(),
        reason: allowed.reason.clone(),
    });
    let files = plan.files.iter().map(|file| file.path.clone());
    let of_files = plan.files.iter().filter_map(|file| file.content.loaded());
    let mut contents = of_files.chain(plan.all_scripts().map(|script| &script.content[..]));
    let sets_apt = |content: &[u8]| std::str::from_utf8(content).is_ok_and(|text| text.contains("Assume-Yes"));
    Options {
        assumes_yes: contents.any(sets_apt),
        machine: Some(machine(plan)),
        base_image: plan.droplet.as_ref().map(|droplet| droplet.image.clone()),
        allow: allow.collect(),
        separate_files: files.chain([STAGED.to_owned()]).collect(),
        secrets: secrets.to_vec(),
        ..options.clone()
    }
}

/// What the project puts on its machine.
fn machine(plan: &Plan) -> Machine {
    let unpacked = || plan.artifacts.iter().flat_map(|artifact| &artifact.unpack);
    let files = plan.files.iter().map(|file| (file.path.clone(), file.mode));
    let of_artifacts = unpacked().filter_map(|entry| Some((entry.to.clone(), entry.mode?)));
    let directories = unpacked().filter(|entry| entry.is_directory()).map(|entry| entry.to.clone());
    let more: Vec<&Value> = plan.cloud_config.values().collect();
    let users = plan.users.iter().flat_map(|user| std::iter::once(&user.name).chain(&user.groups));
    let scripts = plan.all_scripts().map(|script| String::from_utf8_lossy(&script.content).into_owned());
    Machine {
        files: files.chain(of_artifacts).map(|(path, mode)| (path, mode.0 & 0o111 != 0)).collect(),
        directories: directories.collect(),
        users: users.cloned().chain(base_names().map(str::to_owned)).collect(),
        packages: plan.packages.clone(),
        // `cloud_config` may create anything, too.
        scripts: scripts.chain(more.iter().map(|value| format!("{value:?}"))).collect(),
        environment: plan.environment.keys().cloned().collect(),
    }
}

/// The files and scripts that have findings, each as a document.
pub(super) fn check_files(plan: &Plan, options: &Options) -> Vec<LintedDocument> {
    let files = plan.files.iter().filter_map(|file| {
        let content = file.content.loaded()?;
        Some((&file.source, file.path.clone(), file.mode.0, content))
    });
    let scripts = plan.all_scripts();
    let staged = |script: &Script| format!("{STAGED}scripts/{}", script.name);
    let scripts = scripts.map(|script| (&script.source, staged(script), 0o755, &script.content[..]));
    let check = |(name, destination, mode, content): (&String, String, u32, &[u8])| {
        let text = std::str::from_utf8(content).ok()?;
        Some(lint_file(&Source::new(name.as_str(), text), &destination, mode, options))
    };
    let is_reported =
        |document: &LintedDocument| !document.findings.diagnostics.is_empty() || !document.suppressed.is_empty();
    files.chain(scripts).filter_map(check).filter(is_reported).collect()
}

/// Checks the rendered document. Also returns findings about the template's `allow:`.
///
/// If files are in the bundle, the document is checked as it would be without a limit, where each
/// file has an entry.
pub(super) fn check_rendered(
    name: &str,
    document: &render::RenderedDocument,
    plan: &Plan,
    places: &Places,
    options: &Options,
) -> (LintedDocument, Vec<Diagnostic>) {
    let is_readable = document.bundled().next().is_none();
    let unlimited = if is_readable { None } else { render::render_readable(plan, document).ok() };
    let (document, mut allow) = match unlimited {
        Some(unlimited) => {
            let options = Options { providers: Vec::new(), limit: None, ..options.clone() };
            lint_rendered(&Source::new(name, unlimited.text), &options)
        }
        None => lint_rendered(&Source::new(name, document.text.as_str()), options),
    };
    for found in &mut allow {
        found.span = Some(places.get(&found.path).copied().unwrap_or_else(|| Span::at(0)));
    }
    (document, allow)
}

/// The values of sensitive variables, from the command line and the environment.
pub(super) fn secrets(opened: &Opened, assignments: &[Assignment]) -> Vec<String> {
    let names: Vec<&str> = opened.template.sensitive().collect();
    let given =
        assignments.iter().filter(|given| names.contains(&given.name.as_str())).map(|given| given.value.clone());
    let environment = names.iter().filter_map(|name| std::env::var(crate::model::environment_name(name)).ok());
    given.chain(environment).collect()
}
