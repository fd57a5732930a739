//! What a bake decides before it asks the API anything: the plan, its artifacts, both documents, and that they are valid.

use secrecy::{ExposeSecret as _, SecretString};

use super::super::{contents, judgement, project};
use super::artifacts::Folder;
use super::variants::Variant;
use super::{Args, Failure, Global};
use crate::diag::{Report, Verdict};
use crate::model::{self, Assignment, Lock, Places, Plan};
use crate::render::{self, DOCUMENT_LIMIT, Document};
use crate::workspace::Wanted;

/// Everything that is decided before the API is asked anything.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) document: Document,
    pub(super) verification: Document,
    pub(super) folder: Option<Folder>,
    pub(super) stand_ins: bool,
    /// Values of sensitive variables.
    pub(super) sensitive: Vec<SecretString>,
}

/// Completes the project's lock; where the downloads cannot be reached from here, the droplet may reach them all the
/// same, so that is a warning (`judge_locks` says what it means).
fn complete_lock(global: &Global, plan: &Plan, lock: &Lock, path: &std::path::Path) -> Option<Lock> {
    let wanted: Vec<Wanted> =
        plan.artifacts.iter().map(|a| Wanted { url: a.url.clone(), checksum: a.checksum_url.clone() }).collect();
    let completed = super::super::lock::complete(global, lock, &wanted)
        .and_then(|lock| crate::workspace::write_lock(path, &lock).map(|()| lock).map_err(Failure::usage));
    match completed {
        Ok(lock) => {
            global.terminal.note(&format!("{} was completed: commit it", path.display()));
            Some(lock)
        }
        Err(failure) => {
            global.terminal.warning("the lock could not be completed:");
            failure.show(&global.terminal);
            None
        }
    }
}

/// The values of the command line, of its files, and of one combination of `--matrix`.
fn assignments(global: &Global, variant: &Variant) -> Result<Vec<Assignment>, Failure> {
    let mut all = project::assignments(global)?;
    for argument in &variant.variables {
        all.push(model::assignment(argument).map_err(|error| Failure::usage(error.clone()).with_help(error.help()))?);
    }
    Ok(all)
}

pub(super) fn prepare(args: &Args, global: &Global, variant: &Variant, local: bool) -> Result<Prepared, Failure> {
    let opened = project::open(global, variant.template.as_deref())?;
    let assignments = assignments(global, variant)?;
    // Before anything is said of the document.
    let sensitive = opened.secrets(assignments.clone());
    for secret in &sensitive {
        global.terminal.redaction().hide(secret.expose_secret());
    }
    let stand_ins = opened.project.root.join("target").join("stand-ins");
    let directory =
        if args.stand_ins { Some(stand_ins.clone()) } else { args.artifacts.as_ref().map(|path| global.path(path)) };
    if directory.is_some() && !local {
        return Err(Failure::usage("--artifacts and --stand-ins work with local droplets only: a droplet at DigitalOcean cannot reach a folder of this machine")
            .with_help("use --local; or put the files on a web server and their URLs into the template"));
    }
    if args.stand_ins && !stand_ins.join("mkimg.lock").is_file() {
        return Err(Failure::usage(format!("there are no stand-ins in {}", stand_ins.display()))
            .with_help(if opened.project.root.join("fixtures/stand-ins/build").is_file() {
                "make them, in the project's folder: fixtures/stand-ins/build target/stand-ins"
            } else {
                "this project has no fixtures/stand-ins/build, a program that writes test programs and their mkimg.lock there; --artifacts DIR takes real downloads from a folder"
            }));
    }
    let lock_path = if args.stand_ins { stand_ins.join("mkimg.lock") } else { opened.project.lock_path() };
    let mut lock: Lock = project::lock(&lock_path)?;
    let folder = directory.as_deref().map(Folder::read).transpose()?;
    let plan = opened.plan(global, assignments.clone(), &lock)?;
    let plan = match &folder {
        Some(folder) if !args.locked => {
            let unlocked: Vec<String> = plan.unlocked().map(str::to_owned).collect();
            let pinned = folder.pin(&unlocked, &mut lock);
            if pinned.is_empty() {
                plan
            } else {
                global
                    .terminal
                    .warning(&format!("mkimg.lock does not pin {}: taken as the folder has it", pinned.join(", ")));
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
    project::judge_locks(global, &plan, &lock_path, args.locked)?;
    let document = project::document(&plan, Some(DOCUMENT_LIMIT))?;
    let secrets = judgement::secrets(&opened, &assignments);
    judge(global, &plan, &document, &secrets)?;
    let verification = render::verification_document(&plan).map_err(Failure::usage)?;
    Ok(Prepared { plan, document, verification, folder, stand_ins: args.stand_ins, sensitive })
}

/// A document that cloud-init would refuse is not sent.
fn judge(global: &Global, plan: &Plan, document: &Document, secrets: &[String]) -> Result<(), Failure> {
    // What is wrong with the template's `allow:` is said by `mkimg validate`.
    let options = crate::validate::Options::default();
    let judged = judgement::rendered("rendered document", document, plan, &Places::new(), secrets, &options);
    let mut documents = contents::judge(plan);
    documents.extend(judged.map(|judged| judged.document));
    let report = Report { documents };
    let counts = report.counts();
    if counts.errors + counts.warnings > 0 {
        global.terminal.eprint(&report.render(crate::diag::Format::Human, global.terminal.stderr_color(), &|_| None));
    }
    // Files and scripts stand before it, and have no verdict of their own.
    let refused =
        report.documents.last().is_none_or(|judged| !matches!(judged.verdict, Verdict::Valid | Verdict::Deprecated));
    if refused || counts.errors > 0 {
        return Err(Failure::finding("the rendered document is not valid: nothing was created")
            .with_help("`mkimg validate` shows where each finding comes from"));
    }
    Ok(())
}
