//! `mkimg diff --git REV [REV]`: compares what two revisions of a project render.
//!
//! Git writes the project's files of a revision into a temporary directory; the repository, its index and its files stay as they
//! are. Each revision is rendered with its own template, lock and cases.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cases::{self, Case, Rendered, redacted, rendered};
use super::review::{Compared, Review};
use super::{Args, finish, print};
use crate::cli::Global;
use crate::cli::error::{ErrorKind, ExpectedError, Failure, FileError};
use crate::cli::project::{self, Opened};
use crate::diff::{Change, Difference, differences};
use crate::workspace::{Project, read_lock};

#[derive(Debug, thiserror::Error)]
enum GitError {
    #[error("cannot run git: {0}")]
    NoGit(String),
    #[error("git: {message}")]
    Failed { message: String },
    #[error("`{0}` is not a revision of this repository")]
    NoRevision(String),
    #[error("the project is not in revision `{0}`")]
    NotInRevision(String),
}

impl ExpectedError for GitError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoGit(_) => ErrorKind::System,
            Self::Failed { .. } | Self::NoRevision(_) | Self::NotInRevision(_) => ErrorKind::Input,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::NoGit(_) => "install git".into(),
            Self::Failed { .. } => "--git takes revisions of the Git repository that contains the project".into(),
            Self::NoRevision(_) => {
                "name a commit, a branch or a tag; a shallow clone lacks older commits (git fetch --unshallow)".into()
            }
            Self::NotInRevision(_) => "name a revision that has the project's directory".into(),
        })
    }
}

/// Compares two revisions; without `newer`, the second is what is on the disk.
pub(super) fn run(
    args: &Args,
    global: &Global,
    template: Option<&Path>,
    older: &str,
    newer: Option<&str>,
) -> Result<(), Failure> {
    let here = project::find(global, template)?;
    let (root, origin) = (absolute(&here.root)?, here.origin.clone());
    let older_side = Side::of_revision(global, &root, &origin, older)?;
    let newer_side = match newer {
        Some(revision) => Side::of_revision(global, &root, &origin, revision)?,
        None => Side::new(global, here, "the files on disk")?,
    };
    let (old_cases, new_cases) = (cases::cases(&older_side.opened)?, cases::cases(&newer_side.opened)?);
    let names: BTreeSet<&OsString> = old_cases.iter().chain(&new_cases).collect();
    let mut review = Review::default();
    if names.is_empty() {
        let (old, new) = (older_side.render(global, None)?, newer_side.render(global, None)?);
        add(&mut review, &old, &new);
    }
    for name in names {
        match (old_cases.contains(name), new_cases.contains(name)) {
            (true, true) => {
                let (old, new) = (older_side.render(global, Some(name))?, newer_side.render(global, Some(name))?);
                add(&mut review, &old, &new);
            }
            (in_old, _) => {
                let name = format!("case {}", name.display());
                let change = if in_old { Change::Removed } else { Change::Added };
                let (old, new) = (older_side.name.clone(), newer_side.name.clone());
                let compared = Compared { old, new, file: None };
                review.add(&compared, vec![Difference { name, change, lines: String::new() }]);
            }
        }
    }
    print(args, global, &review)?;
    if review.is_empty() {
        global.terminal.note(&format!("{} and {} render the same", older_side.name, newer_side.name));
    }
    finish(&review)
}

/// The differences between two documents, and between what their bakes use beside them.
fn add(review: &mut Review, old: &Rendered, new: &Rendered) {
    let compared = Compared::of(&old.document, &new.document);
    let secrets = [old.secrets.as_slice(), new.secrets.as_slice()].concat();
    let settings = redacted(differences(&old.settings, &new.settings), &secrets);
    let mut document = redacted(differences(&old.document, &new.document), &secrets);
    cases::remove_repeated(&mut document, &settings);
    review.add(&compared, settings);
    review.add(&compared, document);
}

/// One of the two states of a project.
struct Side {
    name: String,
    opened: Opened,
    /// The files of a revision, until the comparison ends.
    _files: Option<tempfile::TempDir>,
}

impl Side {
    fn new(global: &Global, project: Project, name: &str) -> Result<Self, Failure> {
        let opened = project::open_project(global, project)?.at(cases::TIMESTAMP);
        Ok(Self { name: name.to_owned(), opened, _files: None })
    }

    fn of_revision(global: &Global, root: &Path, template: &str, revision: &str) -> Result<Self, Failure> {
        let (files, directory) = check_out(root, revision)?;
        let opened = Project::open(Some(&directory), Some(&directory.join(template)))
            .map_err(Failure::from)
            .and_then(|project| Self::new(global, project, revision))
            .inspect_err(|_| global.terminal.error(&format!("revision `{revision}` cannot be rendered")))?;
        Ok(Self { _files: Some(files), ..opened })
    }

    /// Renders a case, or the template with its own values.
    fn render(&self, global: &Global, case: Option<&OsString>) -> Result<Rendered, Failure> {
        let given = project::assignments(global)?;
        let result = match case {
            Some(case) => {
                let name = format!("{} ({})", self.name, case.display());
                Case::new(&self.opened, case, given).and_then(|case| case.render_as(global, &self.opened, &name))
            }
            None => {
                let secrets = self.opened.secrets(given.clone());
                read_lock(&self.opened.project.lock_path())
                    .map_err(Failure::from)
                    .and_then(|lock| self.opened.plan(global, given, &lock))
                    .and_then(|plan| rendered(&self.opened.project.root, &plan, &self.name, secrets))
            }
        };
        result.inspect_err(|_| global.terminal.error(&format!("{} cannot be rendered", self.name)))
    }
}

fn absolute(root: &Path) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(root.join(".")).map_err(|error| FileError::new("read", root, &error).into())
}

/// Writes the project's files of a revision into a temporary directory. Returns it, and the directory of the files in it.
fn check_out(root: &Path, revision: &str) -> Result<(tempfile::TempDir, PathBuf), Failure> {
    let unwritable = |error: std::io::Error| FileError::new("create a file in", &std::env::temp_dir(), &error);
    let folder = tempfile::tempdir().map_err(unwritable)?;
    let (index, files) = (folder.path().join("index"), folder.path().join("files"));
    std::fs::create_dir(&files).map_err(unwritable)?;
    let git_directory = git(root, &["rev-parse", "--absolute-git-dir"])?;
    let prefix = git(root, &["rev-parse", "--show-prefix"])?;
    let tree = git(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{tree}}")])
        .map_err(
            |error| if matches!(error, GitError::NoGit(_)) { error } else { GitError::NoRevision(revision.to_owned()) },
        )?;
    let project = format!("{tree}:{}", prefix.trim_end_matches('/'));
    let tree = git(root, &["rev-parse", "--verify", "--quiet", &project])
        .map_err(|_| GitError::NotInRevision(revision.to_owned()))?;
    for arguments in [&["read-tree", &tree][..], &["checkout-index", "--all"]] {
        let mut command = command(&files);
        command.env("GIT_DIR", &git_directory).env("GIT_WORK_TREE", &files).env("GIT_INDEX_FILE", &index);
        output(command.args(arguments))?;
    }
    Ok((folder, files))
}

fn git(directory: &Path, arguments: &[&str]) -> Result<String, GitError> {
    output(command(directory).args(arguments))
}

/// Git in a directory, with nothing of this environment but what it needs: there may be secrets in it.
fn command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(directory).stdin(Stdio::null()).env_clear();
    for name in ["PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "GIT_CEILING_DIRECTORIES"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.env("LC_ALL", "C.UTF-8").env("GIT_OPTIONAL_LOCKS", "0");
    command
}

/// Runs Git; returns its output without the end of line.
fn output(command: &mut Command) -> Result<String, GitError> {
    let output = command.output().map_err(|error| GitError::NoGit(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let message = message.trim().trim_start_matches("fatal: ");
    Err(GitError::Failed { message: message.lines().next().unwrap_or("it failed").to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        assert_error(GitError::NoGit("x".into()), 2, "install git");
        assert_error(GitError::Failed { message: "x".into() }, 2, "--git takes revisions of the Git repository");
        assert_error(GitError::NoRevision("x".into()), 2, "name a commit, a branch or a tag");
        assert_error(GitError::NotInRevision("x".into()), 2, "name a revision that has the project's directory");
    }
}
