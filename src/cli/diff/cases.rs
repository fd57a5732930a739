//! The golden cases of a project: directories below `fixtures/` with `variables.yaml`, and what is expected of them:
//! `user-data.yaml`, the document, and `bake.yaml`, the rest of the bake.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use diagnostics::source::Source;
use secrecy::{ExposeSecret, SecretString};

use super::review::{Compared, Review};
use super::settings::settings;
use super::{Args, print};
use crate::cli::Global;
use crate::cli::error::{CannotWrite, ErrorKind, ExitStatus, ExpectedError, Failure, FileError};
use crate::cli::project::{self, Opened};
use crate::cli::redaction::Redaction;
use crate::diff::{Change, Difference, differences};
use crate::model::{Assignment, Plan};
use crate::render::Target;
use crate::workspace::{FilePath, LINK_HELP, ReadError, Readers, read_lock, read_text, write_for};

const FIXTURES: &str = "fixtures";
const VARIABLES: &str = "variables.yaml";
const DOCUMENT: &str = "user-data.yaml";
const SETTINGS: &str = "bake.yaml";
const LOCK: &str = "mkimg.lock";
/// The value of `timestamp` in all cases, so that a name with it is the same at every time.
pub(in crate::cli) const TIMESTAMP: &str = "20000101-000000";

#[derive(Debug, thiserror::Error)]
enum CaseError {
    #[error("{} has no case", .0.display())]
    NoCases(PathBuf),
    #[error("{} would contain the value of the sensitive variable `{variable}`", .fixture.display())]
    SecretInFixture { fixture: PathBuf, variable: String, variables: PathBuf },
}

impl ExpectedError for CaseError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::NoCases(_) => {
                "create a directory fixtures/default/ with a variables.yaml (which may be empty), then run `mkimg diff --update`".into()
            }
            Self::SecretInFixture { variables, .. } => {
                format!("fixtures are committed: write a made-up value into {}", variables.display()).into()
            }
        })
    }
}

/// Compares the project's cases with what it renders.
pub(super) fn run(args: &Args, global: &Global, template: Option<&Path>) -> Result<(), Failure> {
    let opened = project::open(global, template)?.at(TIMESTAMP);
    let directory = opened.project.root.join(FIXTURES);
    let names = cases(&opened)?;
    if names.is_empty() {
        return Err(CaseError::NoCases(directory).into());
    }
    let mut review = Review::default();
    let mut different = 0;
    let mut without_settings = Vec::new();
    // Unpinned artifacts are reported once, not for every case.
    let mut reported = BTreeSet::new();
    for name in &names {
        let case = Case::new(&opened, name, project::assignments(global)?)?;
        let rendered = case.render(global, &opened, args, &mut reported)?;
        let mut found = [Vec::new(), Vec::new()];
        let mut differs = case.compare(DOCUMENT, &rendered.document, args, global, &mut found[0])?;
        // Without its file, a case expects nothing of the bake.
        if args.update || case.file(SETTINGS).exists() {
            differs |= case.compare(SETTINGS, &rendered.settings, args, global, &mut found[1])?;
        } else if case.file(DOCUMENT).exists() {
            without_settings.push(case.directory.display().to_string());
        }
        let [mut document, settings] = found;
        remove_repeated(&mut document, &settings);
        for (file, differences) in [(DOCUMENT, document), (SETTINGS, settings)] {
            let old = case.file(file).display().to_string();
            let compared = Compared { file: Some(old.clone()), old, new: "rendered".to_owned() };
            review.add(&compared, differences);
        }
        different += usize::from(differs);
    }
    if args.update {
        if different == 0 {
            global.terminal.note(&all_as_expected(names.len()));
        }
        return Ok(());
    }
    print(args, global, &review)?;
    if !without_settings.is_empty() {
        let (first, others) = (&without_settings[0], without_settings.len() - 1);
        let others = if others > 0 { format!(" and {others} more") } else { String::new() };
        global.terminal.note(&format!(
            "no {SETTINGS} in {first}{others}: `mkimg diff` does not notice a new base image, snapshot or verification there; \
             `mkimg diff --update` writes the file"
        ));
    }
    if different == 0 {
        global.terminal.note(&all_as_expected(names.len()));
        return Ok(());
    }
    global.terminal.help("`mkimg diff --update` accepts the documents rendered now as expected");
    Err(Failure::Reported(ExitStatus::Finding))
}

fn all_as_expected(count: usize) -> String {
    format!("{count} case{} as expected", if count == 1 { " is" } else { "s are" })
}

/// The names of the directories that are cases. Others (stubs, for example) are not.
pub(super) fn cases(opened: &Opened) -> Result<Vec<OsString>, Failure> {
    let directory = &opened.project.root.join(FIXTURES);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::new("read", directory, &error).into()),
    };
    let mut cases = Vec::new();
    for name in entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name())) {
        let path = directory.join(&name);
        // Whatever it is: what cannot be read must not be skipped silently.
        let holds = |name: &str| path.join(name).symlink_metadata().map(|found| !found.is_dir());
        match (holds(VARIABLES), holds(DOCUMENT)) {
            (Ok(true), _) | (_, Ok(true)) => cases.push(name),
            (Err(error), Err(_)) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(FileError::unreadable(&path, &"permission denied")
                    .with_help("give yourself read access")
                    .into());
            }
            _ => {}
        }
    }
    cases.sort();
    Ok(cases)
}

/// A case: its files, and the values of its variables.
pub(super) struct Case {
    root: PathBuf,
    /// Relative to the project.
    directory: PathBuf,
    assignments: Vec<Assignment>,
    /// Sensitive variables with real values: those that do not come from the case's own file, where values are made up.
    secrets: Vec<(String, SecretString)>,
}

/// What a case renders now.
pub(super) struct Rendered {
    pub(super) document: Source,
    pub(super) settings: Source,
    /// Real values of sensitive variables, which may be in both.
    pub(super) secrets: Vec<SecretString>,
}

impl Case {
    pub(super) fn new(opened: &Opened, name: &OsStr, given: Vec<Assignment>) -> Result<Self, Failure> {
        let (root, directory) = (opened.project.root.clone(), Path::new(FIXTURES).join(name));
        let variables = FilePath::inside(&root, directory.join(VARIABLES));
        // The case's values come first, so that the command line overrides them.
        let mut assignments = if variables.exists() { project::file_assignments(&variables)? } else { Vec::new() };
        let has = |assignments: &[Assignment], name: &str| assignments.iter().any(|one| one.name == name);
        let mut secrets = opened.named_secrets(given.clone());
        secrets.retain(|(name, _)| has(&given, name) || !has(&assignments, name));
        let secrets = secrets.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assignments.extend(given);
        Ok(Self { root, directory, assignments, secrets })
    }

    fn file(&self, name: &str) -> FilePath {
        FilePath::inside(&self.root, self.directory.join(name))
    }

    /// Renders the case. Unpinned artifacts are intended in a case with its own lock, and otherwise reported.
    fn render(
        &self,
        global: &Global,
        opened: &Opened,
        args: &Args,
        reported: &mut BTreeSet<Vec<String>>,
    ) -> Result<Rendered, Failure> {
        let own_lock = self.file(LOCK);
        let has_own_lock = args.lock.is_none() && own_lock.exists();
        let lock = if has_own_lock { own_lock } else { opened.lock_path(global, args.lock.as_deref()) };
        let plan = opened.plan(global, self.assignments.clone(), &read_lock(&lock)?)?;
        if !has_own_lock && reported.insert(plan.unlocked().map(str::to_owned).collect()) {
            project::check_locked(global, &plan, &lock, args.locked)?;
        }
        rendered(&opened.project.root, &plan, "rendered", self.secrets())
    }

    fn secrets(&self) -> Vec<SecretString> {
        self.secrets.iter().map(|(_, secret)| secret.clone()).collect()
    }

    /// Renders the case of a revision.
    pub(super) fn render_as(&self, global: &Global, opened: &Opened, name: &str) -> Result<Rendered, Failure> {
        let own_lock = self.file(LOCK);
        let lock = if own_lock.exists() { own_lock } else { opened.project.lock_path() };
        let plan = opened.plan(global, self.assignments.clone(), &read_lock(&lock)?)?;
        rendered(&opened.project.root, &plan, name, self.secrets())
    }

    /// Compares one file of the case with what is rendered now, or rewrites it; returns whether it differs.
    fn compare(
        &self,
        file: &str,
        rendered: &Source,
        args: &Args,
        global: &Global,
        found: &mut Vec<Difference>,
    ) -> Result<bool, Failure> {
        let path = self.file(file);
        let name = path.display().to_string();
        let expected = match read_text(&path) {
            Ok(text) => Some(text),
            Err(ReadError::Missing) => None,
            // Not text: all of it differs, and an update replaces it.
            Err(ReadError::NotUtf8 { .. }) => Some(String::new()),
            Err(reason @ ReadError::Link(_)) => {
                return Err(FileError::unreadable(path.as_path(), &reason).with_help(LINK_HELP).into());
            }
            Err(reason) => return Err(FileError::unreadable(path.as_path(), &reason).into()),
        };
        if expected.as_deref() == Some(rendered.text()) {
            return Ok(false);
        }
        if args.update {
            if let Some((variable, _)) = self.secrets.first() {
                let (fixture, variable) = (path.as_path().to_path_buf(), variable.clone());
                let variables = self.file(VARIABLES).as_path().to_path_buf();
                return Err(CaseError::SecretInFixture { fixture, variable, variables }.into());
            }
            write_for(Readers::Usual, &path, rendered.text().as_bytes())
                .map_err(CannotWrite::new("check that you may write there, and that the disk has free space"))?;
            global.terminal.note(&format!("{} {name}", if expected.is_some() { "rewrote" } else { "wrote" }));
            return Ok(true);
        }
        let Some(expected) = expected else {
            global.terminal.error(&format!("{name} does not exist"));
            return Ok(true);
        };
        let old = Source::new(name, expected);
        *found = redacted(differences(&old, rendered), &self.secrets());
        Ok(true)
    }
}

/// The differences without real secrets, since they are printed.
pub(super) fn redacted(mut found: Vec<Difference>, secrets: &[SecretString]) -> Vec<Difference> {
    let hidden = Redaction::default();
    for secret in secrets {
        hidden.hide(secret.expose_secret());
    }
    for difference in &mut found {
        hidden.clean_in_place(&mut difference.lines);
        hidden.clean_in_place(&mut difference.name);
        if let Change::Renamed { from } = &mut difference.change {
            hidden.clean_in_place(from);
        }
    }
    found
}

/// The artifacts are in both files. A change of them is shown once.
pub(super) fn remove_repeated(document: &mut Vec<Difference>, settings: &[Difference]) {
    document
        .retain(|difference| difference.name != "artifacts" || !settings.iter().any(|other| other.name == "artifacts"));
}

/// Renders a plan for a comparison.
pub(super) fn rendered(root: &Path, plan: &Plan, name: &str, secrets: Vec<SecretString>) -> Result<Rendered, Failure> {
    let document = project::document(plan, Target::BAKE)?;
    let settings = settings(root, plan, &document)?;
    Ok(Rendered { document: Source::new(name, document.text), settings: Source::new(name, settings), secrets })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        assert_error(CaseError::NoCases("fixtures".into()), 2, "create a directory fixtures/default/");
        let secret =
            CaseError::SecretInFixture { fixture: "f".into(), variable: "v".into(), variables: "v.yaml".into() };
        assert_error(secret, 2, "fixtures are committed: write a made-up value into v.yaml");
    }
}
