//! What a bake decides before it asks the API anything: the plan, its artifacts, both documents,
//! and whether they are valid.

use std::borrow::Cow;
use std::path::PathBuf;

use diagnostics::{Report, Verdict};
use secrecy::{ExposeSecret as _, SecretString};

use super::args::{Args, MarkerArg};
use super::artifacts::ArtifactDirectory;
use crate::cli::error::{ErrorKind, ExpectedError, Failure};
use crate::cli::options::Variant;
use crate::cli::project::Opened;
use crate::cli::{Global, lock, project, project_lint};
use crate::model::{Assignment, Lock, Places, Plan};
use crate::render::{self, RenderedDocument, Target};
use crate::workspace::{ArtifactRequest, FilePath, read_lock, write_lock};

/// Everything that is decided before the first request.
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) document: RenderedDocument,
    pub(crate) verification: RenderedDocument,
    pub(crate) folder: Option<ArtifactDirectory>,
    pub(crate) stubs: bool,
    /// The project's directory.
    pub(crate) root: PathBuf,
    /// Values of sensitive variables.
    pub(crate) sensitive: Vec<SecretString>,
    /// Where the template says what cloud-init does.
    pub(crate) places: TemplatePlaces,
}

/// Keys of cloud-config, each with the place in the template that it comes from.
pub(crate) type TemplatePlaces = Vec<(String, String)>;

#[derive(Debug, thiserror::Error)]
enum PrepareError {
    #[error(
        "--artifacts and --stand-ins work with local droplets only: a remote droplet cannot reach a directory \
         on this machine"
    )]
    NotLocal,
    #[error("there are no stubs in {}", .directory.display())]
    NoStubs { directory: PathBuf, can_be_built: bool },
    #[error("the rendered document is not valid; nothing was created")]
    InvalidDocument,
}

impl ExpectedError for PrepareError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotLocal | Self::NoStubs { .. } => ErrorKind::Usage,
            Self::InvalidDocument => ErrorKind::Finding,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        let help = match self {
            Self::NotLocal => "use --local, or put the files on a web server and their URLs into the template",
            Self::NoStubs { can_be_built: true, .. } => {
                "build them in the project's directory: fixtures/stand-ins/build target/stand-ins"
            }
            Self::NoStubs { can_be_built: false, .. } => {
                "this project has no fixtures/stand-ins/build, a program that writes the stubs and their mkimg.lock; \
                 --artifacts DIR takes real downloads from a directory"
            }
            Self::InvalidDocument => "`mkimg validate` shows where each finding comes from",
        };
        Some(help.into())
    }
}

/// Completes the project's lock. A failed download is only a warning, since the droplet may still
/// reach the server (`check_locked` says what this means).
fn complete_lock(global: &Global, plan: &Plan, lock: &Lock, path: &FilePath) -> Option<Lock> {
    let wanted: Vec<ArtifactRequest> = plan
        .artifacts
        .iter()
        .map(|a| ArtifactRequest { url: a.url.clone(), checksum: a.checksum_url.clone() })
        .collect();
    let completed = lock::complete(global, lock, &wanted).and_then(|lock| {
        write_lock(path, &lock)?;
        Ok(lock)
    });
    match completed {
        Ok(lock) => {
            global.terminal.note(&format!("{} was completed; commit it", path.display()));
            Some(lock)
        }
        Err(failure) => {
            global.terminal.warning("the lock could not be completed:");
            failure.print(&global.terminal);
            None
        }
    }
}

/// The values of the command line, of its files, and of one combination of `--matrix`.
fn assignments(global: &Global, variant: &Variant) -> Result<Vec<Assignment>, Failure> {
    let mut all = project::assignments(global)?;
    for argument in &variant.variables {
        all.push(project::assignment(argument)?);
    }
    Ok(all)
}

pub(crate) fn prepare(args: &Args, global: &Global, variant: &Variant, local: bool) -> Result<Prepared, Failure> {
    let opened = project::open(global, variant.template.as_deref())?;
    let assignments = assignments(global, variant)?;
    // Before anything is printed about the document.
    let sensitive = opened.secrets(assignments.clone());
    for secret in &sensitive {
        global.terminal.redaction().hide(secret.expose_secret());
    }
    let stubs = opened.project.root.join("target").join("stand-ins");
    let directory =
        if args.stand_ins { Some(stubs.clone()) } else { args.artifacts.as_ref().map(|path| global.path(path)) };
    if directory.is_some() && !local {
        return Err(PrepareError::NotLocal.into());
    }
    if args.stand_ins && !stubs.join("mkimg.lock").is_file() {
        let can_be_built = opened.project.root.join("fixtures/stand-ins/build").is_file();
        return Err(PrepareError::NoStubs { directory: stubs, can_be_built }.into());
    }
    let lock_path = if args.stand_ins {
        FilePath::inside(&opened.project.root, "target/stand-ins/mkimg.lock")
    } else {
        opened.project.lock_path()
    };
    let mut lock: Lock = read_lock(&lock_path)?;
    let folder = directory.as_deref().map(ArtifactDirectory::read).transpose()?;
    let plan = opened.plan(global, assignments.clone(), &lock)?;
    let plan = match &folder {
        Some(folder) if !args.locked => {
            let unlocked: Vec<String> = plan.unlocked().map(str::to_owned).collect();
            let pinned = folder.pin(&unlocked, &mut lock);
            if pinned.is_empty() {
                plan
            } else {
                global.terminal.warning(&format!(
                    "mkimg.lock does not pin {}: using the file in the directory",
                    pinned.join(", ")
                ));
                opened.plan(global, assignments.clone(), &lock)?
            }
        }
        None if !args.locked && plan.unlocked().next().is_some() => {
            match complete_lock(global, &plan, &lock, &lock_path) {
                Some(lock) => opened.plan(global, assignments.clone(), &lock)?,
                None => plan,
            }
        }
        _ => plan,
    };
    if let Some(folder) = &folder {
        folder.check(&plan.artifacts)?;
    }
    project::check_locked(global, &plan, &lock_path, args.locked)?;
    let can_upload = args.marker == MarkerArg::Https;
    let document = project::document(&plan, Target { can_upload, ..Target::BAKE })?;
    let secrets = project_lint::secrets(&opened, &assignments);
    check_documents(global, &plan, &document, &secrets)?;
    let verification = render::verification_document(&plan)?;
    let places = template_places(&opened, &plan, assignments);
    let (stubs, root) = (args.stand_ins, opened.project.root);
    Ok(Prepared { plan, document, verification, folder, stubs, root, sensitive, places })
}

/// The places of what `cloud_config` contains, then of what mkimg writes itself.
fn template_places(opened: &Opened, plan: &Plan, assignments: Vec<Assignment>) -> TemplatePlaces {
    let Ok(resolved) = opened.evaluate(assignments) else { return Vec::new() };
    let source = opened.template.source();
    let place = |key: &str| {
        let position = source.position(resolved.places.get(key)?.start);
        Some(format!("{}:{}:{}", source.name(), position.line, position.column))
    };
    let passed = plan.cloud_config.keys().filter_map(|key| key.as_str());
    let passed = passed.filter_map(|key| Some((key.to_owned(), place(&format!("cloud_config.{key}"))?)));
    let own = [("write_files", "files"), ("users", "users"), ("user", "users"), ("group", "users")];
    let own = own.into_iter().filter_map(|(key, of_template)| Some((key.to_owned(), place(of_template)?)));
    passed.chain(own).collect()
}

/// Refuses a document that cloud-init would refuse.
fn check_documents(
    global: &Global,
    plan: &Plan,
    document: &RenderedDocument,
    secrets: &[String],
) -> Result<(), Failure> {
    // `mkimg validate` reports problems with the template's `allow:`.
    let options = project_lint::options(plan, secrets, &userdata_lint::Options::default());
    let mut documents = project_lint::check_files(plan, &options);
    documents.push(project_lint::check_rendered("rendered document", document, plan, &Places::new(), &options).0);
    let report = Report { documents };
    let counts = report.counts();
    if counts.errors + counts.warnings > 0 {
        global.terminal.eprint_styled(&report.render(diagnostics::Format::Human, global.terminal.stderr_color()));
    }
    // The rendered document comes last; files and scripts before it have no verdict.
    let refused = report
        .documents
        .last()
        .is_none_or(|document| !matches!(document.verdict, Verdict::Valid | Verdict::Deprecated));
    if refused || counts.errors > 0 {
        return Err(PrepareError::InvalidDocument.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        assert_error(PrepareError::NotLocal, 2, "use --local, or put the files on a web server");
        let stubs = |can_be_built| PrepareError::NoStubs { directory: "x".into(), can_be_built };
        assert_error(stubs(true), 2, "build them in the project's directory");
        assert_error(stubs(false), 2, "this project has no fixtures/stand-ins/build");
        assert_error(PrepareError::InvalidDocument, 1, "`mkimg validate` shows");
    }
}
