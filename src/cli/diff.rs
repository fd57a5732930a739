//! `mkimg diff [TEMPLATE]` and `mkimg diff A B`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use diagnostics::source::Source;
use secrecy::{ExposeSecret, SecretString};

use super::Global;
use super::error::{CannotWrite, ErrorKind, ExitStatus, ExpectedError, Failure, FileError};
use super::project::{self, Opened};
use super::redaction::Redaction;
use super::show;
use crate::diff::{Difference, differences};
use crate::model::Assignment;
use crate::render::Target;
use crate::workspace::{FilePath, LINK_HELP, ReadError, Readers, read_lock, read_text, write_for};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An image template, or two documents to compare; one of them may be `-` for standard input
    #[arg(num_args = 0..=2, value_name = "TEMPLATE | A B")]
    paths: Vec<PathBuf>,
    /// Rewrite the fixtures with the documents rendered now
    #[arg(long)]
    update: bool,
    /// Fail if mkimg.lock does not pin an artifact
    #[arg(long)]
    locked: bool,
    /// The lock to read instead of the project's
    #[arg(long, value_name = "FILE", hide = true)]
    lock: Option<PathBuf>,
}

const FIXTURES: &str = "fixtures";
const VARIABLES: &str = "variables.yaml";
const DOCUMENT: &str = "user-data.yaml";
const LOCK: &str = "mkimg.lock";

#[derive(Debug, thiserror::Error)]
enum DiffError {
    #[error("--update rewrites fixtures, and two documents were given")]
    UpdateOfDocuments { old: PathBuf, new: PathBuf },
    #[error("only one of the two documents can be standard input")]
    StandardInputTwice,
    #[error("{} has no case", .0.display())]
    NoCases(PathBuf),
    #[error("{} would contain the value of the sensitive variable `{variable}`", .fixture.display())]
    SecretInFixture { fixture: PathBuf, variable: String, variables: PathBuf },
}

impl ExpectedError for DiffError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::UpdateOfDocuments { .. } | Self::StandardInputTwice => ErrorKind::Usage,
            Self::NoCases(_) | Self::SecretInFixture { .. } => ErrorKind::Input,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::UpdateOfDocuments { old, new } => {
                format!("to copy one over the other: cp {} {}", new.display(), old.display()).into()
            }
            Self::StandardInputTwice => "name the other one".into(),
            Self::NoCases(_) => {
                "create a directory fixtures/default/ with a variables.yaml (which may be empty), then run `mkimg diff --update`".into()
            }
            Self::SecretInFixture { variables, .. } => {
                format!("fixtures are committed: write a made-up value into {}", variables.display()).into()
            }
        })
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    match args.paths.as_slice() {
        [old, new] if args.update => Err(DiffError::UpdateOfDocuments { old: old.clone(), new: new.clone() }.into()),
        [old, new] if old == Path::new("-") && new == Path::new("-") => Err(DiffError::StandardInputTwice.into()),
        [old, new] => {
            let help = "name two user-data documents";
            let (old, new) = (show::read(global, old, help)?, show::read(global, new, help)?);
            let found = differences(&old, &new);
            global.terminal.print_styled(&unified_diff(&old, &new, &found))?;
            if found.is_empty() { Ok(()) } else { Err(Failure::Reported(ExitStatus::Finding)) }
        }
        paths => fixtures(args, global, paths.first().map(PathBuf::as_path)),
    }
}

fn fixtures(args: &Args, global: &Global, template: Option<&Path>) -> Result<(), Failure> {
    let opened = project::open(global, template)?;
    let directory = opened.project.root.join(FIXTURES);
    let cases = cases(&directory)?;
    if cases.is_empty() {
        return Err(DiffError::NoCases(directory).into());
    }
    let mut different = 0;
    // Unpinned artifacts are reported once, not for every case.
    let mut reported = BTreeSet::new();
    for case in &cases {
        different += usize::from(compare(args, global, &opened, case, &mut reported)?);
    }
    if different == 0 {
        let count = cases.len();
        global.terminal.note(&format!("{count} case{} as expected", if count == 1 { " is" } else { "s are" }));
        return Ok(());
    }
    if args.update {
        return Ok(());
    }
    global.terminal.help("`mkimg diff --update` accepts the documents rendered now as expected");
    Err(Failure::Reported(ExitStatus::Finding))
}

/// The names of the directories that are cases. Others (stubs, for example) are not.
fn cases(directory: &Path) -> Result<Vec<OsString>, Failure> {
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

/// Compares one case; returns whether it differs.
fn compare(
    args: &Args,
    global: &Global,
    opened: &Opened,
    case: &OsStr,
    reported: &mut BTreeSet<Vec<String>>,
) -> Result<bool, Failure> {
    let case = Path::new(FIXTURES).join(case);
    let file = |name: &str| FilePath::inside(&opened.project.root, case.join(name));
    let (variables, expected_path) = (file(VARIABLES), file(DOCUMENT));
    // The case's values come first, so that the command line overrides them.
    let mut assignments = if variables.exists() { project::file_assignments(&variables)? } else { Vec::new() };
    let given = project::assignments(global)?;
    let secrets = real_secrets(opened, &assignments, &given);
    assignments.extend(given);
    let own_lock = file(LOCK);
    let has_own_lock = args.lock.is_none() && own_lock.exists();
    let lock_path = if has_own_lock { own_lock } else { opened.lock_path(global, args.lock.as_deref()) };
    let plan = opened.plan(global, assignments, &read_lock(&lock_path)?)?;
    // In a case with its own lock, unpinned artifacts are intended.
    if !has_own_lock && reported.insert(plan.unlocked().map(str::to_owned).collect()) {
        project::check_locked(global, &plan, &lock_path, args.locked)?;
    }
    let document = project::document(&plan, Target::BAKE)?;
    let name = expected_path.display().to_string();
    let expected = match read_text(&expected_path) {
        Ok(text) => Some(text),
        Err(ReadError::Missing) => None,
        // Not text: all of it differs, and an update replaces it.
        Err(ReadError::NotUtf8 { .. }) => Some(String::new()),
        Err(reason @ ReadError::Link(_)) => {
            return Err(FileError::unreadable(expected_path.as_path(), &reason).with_help(LINK_HELP).into());
        }
        Err(reason) => return Err(FileError::unreadable(expected_path.as_path(), &reason).into()),
    };
    if expected.as_deref() == Some(document.text.as_str()) {
        return Ok(false);
    }
    if args.update {
        if let Some((name, _)) = secrets.first() {
            let variable = (*name).to_owned();
            let (fixture, variables) = (expected_path.as_path().to_path_buf(), variables.as_path().to_path_buf());
            return Err(DiffError::SecretInFixture { fixture, variable, variables }.into());
        }
        write_for(Readers::Usual, &expected_path, document.text.as_bytes())
            .map_err(CannotWrite::new("check that you may write there, and that the disk has free space"))?;
        global.terminal.note(&format!("{} {name}", if expected.is_some() { "rewrote" } else { "wrote" }));
        return Ok(true);
    }
    let Some(expected) = expected else {
        global.terminal.error(&format!("{name} does not exist"));
        return Ok(true);
    };
    let old = Source::new(name, expected);
    let new = Source::new("rendered", document.text);
    let hidden = Redaction::default();
    for (_, secret) in &secrets {
        hidden.hide(secret.expose_secret());
    }
    global.terminal.print_styled(&hidden.clean(&unified_diff(&old, &new, &differences(&old, &new))))?;
    Ok(true)
}

/// The sensitive variables with real values: those that do not come from the case's own file, where
/// values are made up.
fn real_secrets<'o>(opened: &'o Opened, case: &[Assignment], given: &[Assignment]) -> Vec<(&'o str, SecretString)> {
    let names = |assignments: &[Assignment], name: &str| assignments.iter().any(|one| one.name == name);
    let mut secrets = opened.named_secrets(given.to_vec());
    secrets.retain(|(name, _)| names(given, name) || !names(case, name));
    secrets
}

/// Differences as a unified diff, one header for each path.
fn unified_diff(old: &Source, new: &Source, found: &[Difference]) -> String {
    use clap::builder::styling::{AnsiColor, Style};
    const HEAD: Style = Style::new().bold();
    const OLD: Style = AnsiColor::Red.on_default();
    const NEW: Style = AnsiColor::Green.on_default();
    const PLACE: Style = AnsiColor::Cyan.on_default();
    if found.is_empty() {
        return String::new();
    }
    let mut text = format!("{HEAD}--- {}{HEAD:#}\n{HEAD}+++ {}{HEAD:#}\n", old.name(), new.name());
    for difference in found {
        text.push_str(&format!("{HEAD}{}: {}{HEAD:#}\n", difference.name, difference.summary));
        for line in difference.lines.split_inclusive('\n') {
            // A document's own control characters must not reach the terminal.
            let line: String = line.trim_end_matches('\n').chars().map(visible).collect();
            let style = match line.chars().next() {
                Some('-') => OLD,
                Some('+') => NEW,
                Some('@') => PLACE,
                _ => Style::new(),
            };
            text.push_str(&format!("{style}{line}{style:#}\n"));
        }
    }
    text
}

fn visible(c: char) -> char {
    match c {
        '\t' => c,
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or(' '),
        '\x7f' => '\u{2421}',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        let path = |name: &str| PathBuf::from(name);
        assert_error(
            DiffError::UpdateOfDocuments { old: path("a"), new: path("b") },
            2,
            "to copy one over the other: cp b a",
        );
        assert_error(DiffError::StandardInputTwice, 2, "name the other one");
        assert_error(DiffError::NoCases(path("fixtures")), 2, "create a directory fixtures/default/");
        let secret = DiffError::SecretInFixture { fixture: path("f"), variable: "v".into(), variables: path("v.yaml") };
        assert_error(secret, 2, "fixtures are committed: write a made-up value into v.yaml");
    }
}
