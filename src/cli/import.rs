//! `mkimg import FILE`: converts a Packer template into a project.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diagnostics::source::Source;
use diagnostics::{Diagnostic, Document, Findings, Report, Severity, Verdict};

use super::error::{CannotWrite, ErrorKind, ExitStatus, ExpectedError, Failure, FileError};
use super::init::NOTHING_WRITTEN;
use super::{Format, Global, project};
use crate::import::{self, FileCopy, Imported, PathKind, ScriptText};
use crate::model::{Assignment, Given, Lock};
use crate::workspace::{NewFiles, read_text};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The Packer template, or a directory with *.pkr.hcl files
    file: PathBuf,
    /// The directory of the new project; created if it does not exist
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Output format of the findings
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
}

/// The files of the project, by their path in it.
type Files = BTreeMap<String, NewFile>;

struct NewFile {
    content: Vec<u8>,
    executable: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let input = global.path(&args.file);
    let (sources, base, name) = read(&input, &args.file)?;
    let lookup = |path: &str| match std::fs::metadata(base.join(path)) {
        Ok(found) if found.is_dir() => PathKind::Directory,
        Ok(_) => PathKind::File,
        Err(_) => PathKind::Missing,
    };
    let (imported, notes) = import::import(&sources, &name, &lookup);
    let missing = notes.iter().flatten().filter(|found| found.severity == Severity::Error).count();
    report(&sources, notes, args.format, global)?;
    let Some(imported) = imported else { return Err(Failure::Reported(ExitStatus::Error)) };
    let root = global.path(&args.output);
    let ProjectFiles { files, changes, not_copied } = collect_files(&imported, &base, global)?;
    write(&root, &files)?;
    for change in changes {
        global.terminal.note(&change);
    }
    let shown: PathBuf = args.output.components().collect();
    let place = if shown == Path::new(".") { "this directory".to_owned() } else { shown.display().to_string() };
    let count = if files.len() == 1 { "1 file".to_owned() } else { format!("{} files", files.len()) };
    global
        .terminal
        .note(&format!("wrote a project of {count} to {place}; start with templates/{}.yaml", imported.name));
    if !imported.scripts.iter().any(|script| script.role == import::ScriptRole::Cleanup) {
        global.terminal.note("no script cleans the image; `mkimg init` in an empty directory writes an example of one");
    }
    let rendered = check_render(&root);
    if let Err(failure) = &rendered {
        global.terminal.warning("the project does not render yet:");
        failure.print(&global.terminal);
    }
    let missing = missing + not_copied;
    if missing > 0 {
        return Err(ImportError::NotConverted(missing).into());
    }
    rendered.map_err(|_| Failure::Reported(ExitStatus::Finding))?;
    global.terminal.note("next: mkimg render · mkimg validate · mkimg lock · mkimg bake");
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error("{0} has no .pkr.hcl file")]
    NoTemplate(String),
    #[error("{0} already exists with other content; nothing was written")]
    AlreadyExists(String),
    #[error("{}: see above", if *.0 == 1 { "1 thing was not converted".to_owned() } else { format!("{0} things were not converted", .0) })]
    NotConverted(usize),
}

const TEMPLATE_HELP: &str = "name a Packer template: a .json or .pkr.hcl file, or a directory with .pkr.hcl files";

impl ExpectedError for ImportError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoTemplate(_) => ErrorKind::Input,
            Self::AlreadyExists(_) => ErrorKind::Usage,
            Self::NotConverted(_) => ErrorKind::Finding,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        let help = match self {
            Self::NoTemplate(_) => TEMPLATE_HELP,
            Self::AlreadyExists(_) => "name an empty directory with -o DIR",
            Self::NotConverted(_) => "`mkimg explain MK961` says what this means",
        };
        Some(help.into())
    }
}

/// The sources, the directory that their paths are relative to, and a name for the image.
fn read(input: &Path, shown: &Path) -> Result<(Vec<Source>, PathBuf, String), Failure> {
    let mut paths = vec![(input.to_path_buf(), shown.display().to_string())];
    let mut base = input.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let mut named = input.to_path_buf();
    if input.is_dir() {
        base = input.to_path_buf();
        named = input.canonicalize().unwrap_or_else(|_| input.to_path_buf());
        let entries =
            std::fs::read_dir(input).map_err(|error| FileError::new("read", shown, &error).with_help(TEMPLATE_HELP))?;
        let mut found: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.ends_with(".pkr.hcl"))
            .collect();
        found.sort();
        paths = found.iter().map(|name| (input.join(name), shown.join(name).display().to_string())).collect();
    }
    if paths.is_empty() {
        return Err(ImportError::NoTemplate(shown.display().to_string()).into());
    }
    let source = |(path, name): (PathBuf, String)| {
        let text = read_text(&path)
            .map_err(|reason| FileError::unreadable(Path::new(&name), &reason).with_help(TEMPLATE_HELP))?;
        // Some editors put a byte order mark first.
        let text = text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned);
        Ok(Source::new(name, text))
    };
    let sources = paths.into_iter().map(source).collect::<Result<_, Failure>>()?;
    let file = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = [".pkr.hcl", ".hcl", ".json"].iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(&file);
    let fit: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' }).collect();
    // A generic file name is not a name for the image.
    let name = if matches!(fit.trim_matches('-'), "" | "template" | "packer" | "main" | "build") {
        "image".to_owned()
    } else {
        fit
    };
    Ok((sources, base, name))
}

/// Prints the findings: for people on standard error, for programs on standard output.
fn report(sources: &[Source], notes: Vec<Vec<Diagnostic>>, format: Format, global: &Global) -> Result<(), Failure> {
    let document = |(source, diagnostics): (&Source, Vec<Diagnostic>)| Document {
        kind: "packer-template",
        verdict: Verdict::Skipped,
        findings: Findings { source: source.clone(), diagnostics },
        parts: Vec::new(),
        suppressed: Vec::new(),
    };
    let report = Report { documents: sources.iter().zip(notes).map(document).collect() };
    match format {
        Format::Human => {
            global.terminal.eprint(&report.render(
                format.into(),
                global.terminal.stderr_color(),
                &lint_rules::describe,
            ));
            Ok(())
        }
        _ => global.terminal.print(report.render(format.into(), false, &lint_rules::describe)),
    }
}

/// The files of the new project.
struct ProjectFiles {
    files: Files,
    /// What was changed in the scripts.
    changes: Vec<String>,
    /// Number of directory entries that are not regular files.
    not_copied: usize,
}

fn collect_files(imported: &Imported, base: &Path, global: &Global) -> Result<ProjectFiles, Failure> {
    let mut files = Files::new();
    let mut changes = Vec::new();
    let mut not_copied = 0;
    let template = format!("templates/{}.yaml", imported.name);
    files.insert(template, NewFile { content: imported.template.clone().into_bytes(), executable: false });
    for copy in &imported.files {
        match copy {
            FileCopy::Text { text, to } => {
                files.insert(to.clone(), NewFile { content: text.clone().into_bytes(), executable: false });
            }
            FileCopy::File { from, to } => {
                files.insert(to.clone(), load(&base.join(from))?);
            }
            FileCopy::Directory { from, to } => {
                let top = base.join(from);
                for entry in walkdir::WalkDir::new(&top).sort_by_file_name() {
                    let entry = entry.map_err(|error| FileError::unreadable(Path::new(from), &error))?;
                    let inside = entry.path().strip_prefix(&top).unwrap_or(entry.path());
                    if entry.file_type().is_file() {
                        files.insert(format!("{to}/{}", inside.display()), load(entry.path())?);
                    } else if !entry.file_type().is_dir() {
                        not_copied += 1;
                        let path = Path::new(from).join(inside);
                        global.terminal.error(&format!("{} is not a regular file and was not copied", path.display()));
                    }
                }
            }
        }
    }
    for script in &imported.scripts {
        let text = match &script.text {
            ScriptText::Inline(text) => text.clone().into_bytes(),
            ScriptText::File(from) => load(&base.join(from))?.content,
        };
        let (content, adaptations) = import::adapt_script(&text, &script.exports);
        changes.extend(adaptations.iter().map(|change| format!("{}: {change}", script.to)));
        files.insert(script.to.clone(), NewFile { content, executable: true });
    }
    Ok(ProjectFiles { files, changes, not_copied })
}

fn load(path: &Path) -> Result<NewFile, Failure> {
    let failed = |error: std::io::Error| FileError::new("read", path, &error);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    #[cfg(unix)]
    let executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0;
    #[cfg(not(unix))]
    let executable = {
        let _ = metadata;
        false
    };
    Ok(NewFile { content: std::fs::read(path).map_err(failed)?, executable })
}

/// Writes all files, or none if one exists with other content. A file with the same content is
/// fine: the project may be created beside its Packer template.
fn write(root: &Path, files: &Files) -> Result<(), Failure> {
    let mut fresh = Vec::new();
    for (path, new) in files {
        let place = root.join(path);
        match std::fs::read(&place) {
            Ok(content) if content == new.content => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => fresh.push((place, new)),
            _ => {
                return Err(ImportError::AlreadyExists(path.clone()).into());
            }
        }
    }
    let mut written = NewFiles::default();
    for (place, new) in fresh {
        written.write(&place, &new.content, new.executable).map_err(CannotWrite::new(NOTHING_WRITTEN))?;
    }
    written.keep();
    Ok(())
}

/// Renders the new project, with placeholders for required variables.
fn check_render(root: &Path) -> Result<(), Failure> {
    let global = Global::for_project(root);
    let opened = project::open(&global, None)?;
    let given = Given::File("import".to_owned(), 1, 1);
    let value = |name: &str| Assignment { name: name.to_owned(), value: "x".to_owned(), given: given.clone() };
    let required = opened.template.required().map(value).collect();
    let plan = opened.plan(&global, required, &Lock::default())?;
    project::document(&plan, None).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        assert_error(ImportError::NoTemplate("x".into()), 2, "name a Packer template");
        assert_error(ImportError::AlreadyExists("x".into()), 2, "name an empty directory with -o DIR");
        assert_error(ImportError::NotConverted(1), 1, "`mkimg explain MK961`");
    }
}
