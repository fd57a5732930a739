//! `mkimg diff [TEMPLATE]` and `mkimg diff A B`.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::project::{self, Opened};
use super::redaction::Redaction;
use super::{Failure, Global, Status};
use crate::diff::{Difference, differences};
use crate::model::Assignment;
use crate::render::DOCUMENT_LIMIT;
use crate::source::Source;
use crate::workspace::{TextError, read_standard_input, read_text, write_atomically};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An image template; or two documents to compare, one of which may be `-`, standard input
    #[arg(num_args = 0..=2, value_name = "TEMPLATE | A B")]
    paths: Vec<PathBuf>,
    /// Rewrite the fixtures with what is rendered now
    #[arg(long)]
    update: bool,
    /// Refuse artifacts that mkimg.lock does not pin
    #[arg(long)]
    locked: bool,
    /// The lock to read instead of the project's
    #[arg(long, value_name = "FILE", hide = true)]
    lock: Option<PathBuf>,
}

const VARIABLES: &str = "variables.yaml";
const DOCUMENT: &str = "user-data.yaml";
const LOCK: &str = "mkimg.lock";

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    match args.paths.as_slice() {
        [old, new] if args.update => Err(Failure::usage("--update rewrites fixtures, and two documents were given")
            .with_help(format!("to copy one over the other: cp {} {}", new.display(), old.display()))),
        [old, new] if old == Path::new("-") && new == Path::new("-") => {
            Err(Failure::usage("standard input can be one of the two documents only").with_help("name the other one"))
        }
        [old, new] => {
            let (old, new) = (read(global, old)?, read(global, new)?);
            let found = differences(&old, &new);
            global.terminal.print(shown(&old, &new, &found))?;
            if found.is_empty() { Ok(()) } else { Err(Failure::said(Status::Finding)) }
        }
        paths => fixtures(args, global, paths.first().map(PathBuf::as_path)),
    }
}

fn read(global: &Global, path: &Path) -> Result<Source, Failure> {
    let text = if path == Path::new("-") { read_standard_input() } else { read_text(&global.path(path)) };
    let text = text.map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", path.display())).with_help("name two user-data documents")
    })?;
    Ok(Source::new(path.display().to_string(), text))
}

fn fixtures(args: &Args, global: &Global, template: Option<&Path>) -> Result<(), Failure> {
    let opened = project::open(global, template)?;
    let directory = opened.project.root.join("fixtures");
    let cases = cases(&directory)?;
    if cases.is_empty() {
        return Err(Failure::usage(format!("{} holds no case", directory.display())).with_help(
            "make a directory fixtures/default/ with a variables.yaml (it may be empty), then run `mkimg diff --update`",
        ));
    }
    let mut different = 0;
    // What is not locked is said once, not for every case.
    let mut said = BTreeSet::new();
    for case in &cases {
        different += usize::from(compare(args, global, &opened, case, &mut said)?);
    }
    if different == 0 {
        let count = cases.len();
        global.terminal.note(&format!("{count} case{} as expected", if count == 1 { " is" } else { "s are" }));
        return Ok(());
    }
    if args.update {
        return Ok(());
    }
    global.terminal.help("`mkimg diff --update` takes what is rendered now for what is expected");
    Err(Failure::said(Status::Finding))
}

/// The directories that are cases, by name. Others (stand-ins, for example) are not.
fn cases(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::usage(format!("cannot read {}: {error}", directory.display()))),
    };
    let mut cases = Vec::new();
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        let holds = |name: &str| path.join(name).metadata().map(|found| found.is_file());
        match (holds(VARIABLES), holds(DOCUMENT)) {
            (Ok(true), _) | (_, Ok(true)) => cases.push(path),
            // A case that cannot be looked into must not be passed over.
            (Err(error), Err(_)) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(Failure::usage(format!("cannot read {}: permission denied", path.display()))
                    .with_help("make it readable for yourself"));
            }
            _ => {}
        }
    }
    cases.sort();
    Ok(cases)
}

/// Compares one case; whether it differed.
fn compare(
    args: &Args,
    global: &Global,
    opened: &Opened,
    case: &Path,
    said: &mut BTreeSet<Vec<String>>,
) -> Result<bool, Failure> {
    let (variables, expected_path) = (case.join(VARIABLES), case.join(DOCUMENT));
    // The case's values first, so that the command line can still try others.
    let mut assignments = if variables.is_file() { project::file_assignments(&variables)? } else { Vec::new() };
    let given = project::assignments(global)?;
    let secrets = real_secrets(opened, &assignments, &given);
    assignments.extend(given);
    let own_lock = case.join(LOCK);
    let has_own_lock = args.lock.is_none() && own_lock.is_file();
    let lock_path = if has_own_lock { own_lock } else { opened.lock_path(global, args.lock.as_deref()) };
    let plan = opened.plan(global, assignments, &project::lock(&lock_path)?)?;
    // A case with a lock of its own shows on purpose what is pinned in it, and what is not.
    if !has_own_lock && said.insert(plan.unlocked().map(str::to_owned).collect()) {
        project::judge_locks(global, &plan, &lock_path, args.locked)?;
    }
    let document = project::document(&plan, Some(DOCUMENT_LIMIT))?;
    let name = expected_path.display().to_string();
    let expected = match read_text(&expected_path) {
        Ok(text) => Some(text),
        Err(TextError::Missing) => None,
        // What was there is not text: all of it differs, and an update replaces it.
        Err(TextError::NotUtf8 { .. }) => Some(String::new()),
        Err(error) => return Err(Failure::usage(format!("cannot read {name}: {error}"))),
    };
    if expected.as_deref() == Some(document.text.as_str()) {
        return Ok(false);
    }
    if args.update {
        if let Some((name, _)) = secrets.first() {
            let message =
                format!("{} would hold the value of the sensitive variable `{name}`", expected_path.display());
            let help = format!("fixtures are committed: write a made-up value into {}", variables.display());
            return Err(Failure::usage(message).with_help(help));
        }
        write_atomically(&expected_path, document.text.as_bytes()).map_err(|error| {
            Failure::usage(error).with_help("see to it that you may write there, and that there is room")
        })?;
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
    global.terminal.print(hidden.clean(&shown(&old, &new, &differences(&old, &new))).as_bytes())?;
    Ok(true)
}

/// The sensitive variables whose values do not come from the case's own file, where they are made up.
fn real_secrets<'o>(opened: &'o Opened, case: &[Assignment], given: &[Assignment]) -> Vec<(&'o str, SecretString)> {
    let names = |assignments: &[Assignment], name: &str| assignments.iter().any(|one| one.name == name);
    let mut secrets = opened.named_secrets(given.to_vec());
    secrets.retain(|(name, _)| names(given, name) || !names(case, name));
    secrets
}

/// Differences as a unified diff, one header for each path.
fn shown(old: &Source, new: &Source, found: &[Difference]) -> String {
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
