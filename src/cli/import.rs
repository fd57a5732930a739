//! `mkimg import FILE`: converts a Packer template into a project.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diagnostics::source::Source;
use diagnostics::{Diagnostic, Findings, LintedDocument, Report, Severity, Verdict};

use super::error::{CannotWrite, ErrorKind, ExitStatus, ExpectedError, Failure, FileError};
use super::init::NOTHING_WRITTEN;
use super::{Format, Global, project};
use crate::import::{self, FileCopy, Imported, PathKind, ScriptText};
use crate::model::{Assignment, Given, Lock};
use crate::render::Target;
use crate::workspace::{
    FilePath, LINK_HELP, MAX_FILE_BYTES, MAX_TREE_BYTES, ReadError, StagedProject, describe_kind, is_executable,
    read_regular, read_text,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The Packer template, or a directory with *.pkr.hcl files
    file: PathBuf,
    /// The directory of the new project; created if it does not exist
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// A directory that contains the template, and whose files the template may name, too. Paths
    /// that do not exist beside the template are looked up there
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// A file or directory elsewhere that the template may name; repeat for several
    #[arg(long, value_name = "PATH")]
    allow: Vec<PathBuf>,
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
    let allowed = Allowed::new(args, global, base)?;
    let (imported, notes) = import::import(&sources, &name, &|path| allowed.kind(path));
    let missing = notes.iter().flatten().filter(|found| found.severity == Severity::Error).count();
    report(&sources, notes, args.format, global)?;
    let Some(imported) = imported else { return Err(Failure::Reported(ExitStatus::Error)) };
    let root = global.path(&args.output);
    let ProjectFiles { files, changes, not_copied } = collect_files(&imported, &allowed, global)?;
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
    #[error(
        "the files have more than {} MiB in all, or are more than {MAX_FILES}; nothing was written",
        MAX_TREE_BYTES >> 20
    )]
    TooLarge,
    #[error("{}: see above", if *.0 == 1 { "1 thing was not converted".to_owned() } else { format!("{0} things were not converted", .0) })]
    NotConverted(usize),
}

const TEMPLATE_HELP: &str = "name a Packer template: a .json or .pkr.hcl file, or a directory with .pkr.hcl files";

impl ExpectedError for ImportError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoTemplate(_) | Self::TooLarge => ErrorKind::Input,
            Self::AlreadyExists(_) => ErrorKind::Usage,
            Self::NotConverted(_) => ErrorKind::Finding,
        }
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        let help = match self {
            Self::NoTemplate(_) => TEMPLATE_HELP,
            Self::AlreadyExists(_) => "name an empty directory with -o DIR",
            Self::TooLarge => {
                "an image document has 64 KiB: remove large directories from the template, and let the droplet download them"
            }
            Self::NotConverted(_) => "`mkimg explain MK961` says what this means",
        };
        Some(help.into())
    }
}

/// The sources, the directory that their paths are relative to, and a name for the image.
fn read(input: &Path, shown: &Path) -> Result<(Vec<Source>, PathBuf, String), Failure> {
    let mut paths = vec![(FilePath::typed(input), shown.display().to_string())];
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
        paths =
            found.iter().map(|name| (FilePath::inside(input, name), shown.join(name).display().to_string())).collect();
    }
    if paths.is_empty() {
        return Err(ImportError::NoTemplate(shown.display().to_string()).into());
    }
    let source = |(path, name): (FilePath, String)| {
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
    let document = |(source, diagnostics): (&Source, Vec<Diagnostic>)| LintedDocument {
        kind: "packer-template",
        verdict: Verdict::Skipped,
        findings: Findings { source: source.clone(), diagnostics },
        parts: Vec::new(),
        suppressed: Vec::new(),
    };
    let report = Report { documents: sources.iter().zip(notes).map(document).collect() };
    match format {
        Format::Human => {
            global.terminal.eprint_styled(&report.render(format.into(), global.terminal.stderr_color()));
            Ok(())
        }
        _ => {
            let text = report.render(format.into(), false);
            global.terminal.print_report(&text, format)
        }
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

/// Most files of a new project.
const MAX_FILES: usize = 10_000;

/// What a template may name. A template can be a stranger's: files of the user that have nothing to
/// do with it must not get into an image.
struct Allowed {
    /// Where relative paths are looked up, in this order.
    bases: Vec<PathBuf>,
    /// Without links: directories with everything below them, and files.
    places: Vec<PathBuf>,
}

impl Allowed {
    fn new(args: &Args, global: &Global, beside: PathBuf) -> Result<Self, Failure> {
        let given = |path: &PathBuf| global.path(path);
        let bases: Vec<PathBuf> = std::iter::once(beside).chain(args.base.iter().map(given)).collect();
        let real = |path: PathBuf| {
            // `.` because an empty path cannot be resolved.
            let found = if path.as_os_str().is_empty() { Path::new(".").canonicalize() } else { path.canonicalize() };
            found.map_err(|error| {
                FileError::new("read", &path, &error).with_help("name a directory or file that exists")
            })
        };
        let places = bases.iter().cloned().chain(args.allow.iter().map(given));
        let places = places.map(real).collect::<Result<_, _>>()?;
        Ok(Self { bases, places })
    }

    /// Resolves a path of the template, with the links in it. `None` if nothing is there.
    fn find(&self, path: &str) -> Option<PathBuf> {
        self.bases.iter().find_map(|base| base.join(path).canonicalize().ok())
    }

    fn kind(&self, path: &str) -> PathKind {
        let Some(real) = self.find(path) else { return PathKind::Missing };
        if !self.places.iter().any(|place| real.starts_with(place)) {
            return PathKind::Outside;
        }
        match std::fs::metadata(&real) {
            Ok(found) if found.is_dir() => PathKind::Directory,
            Ok(found) => match describe_kind(&found) {
                Some(kind) => PathKind::Unusable(format!("is {kind}, not a regular file")),
                None if found.len() > MAX_FILE_BYTES => PathKind::Unusable(too_large()),
                None => PathKind::File,
            },
            Err(_) => PathKind::Missing,
        }
    }

    /// A path for which `kind` has found a file. No link in it is followed from now on.
    fn file(&self, path: &str) -> FilePath {
        let real = self.directory(path);
        let inside = |place: &PathBuf| Some((place.clone(), real.strip_prefix(place).ok()?.to_path_buf()));
        match self.places.iter().find_map(inside) {
            Some((place, inside)) if !inside.as_os_str().is_empty() => FilePath::inside(&place, inside),
            // The place itself is the file.
            _ => FilePath::inside(real.parent().unwrap_or(&real), real.file_name().unwrap_or_default()),
        }
    }

    /// A path for which `kind` has found a directory.
    fn directory(&self, path: &str) -> PathBuf {
        self.find(path).unwrap_or_else(|| PathBuf::from(path))
    }
}

fn too_large() -> String {
    format!("is larger than {} MiB", MAX_FILE_BYTES >> 20)
}

fn collect_files(imported: &Imported, allowed: &Allowed, global: &Global) -> Result<ProjectFiles, Failure> {
    let mut files = Files::new();
    let mut changes = Vec::new();
    let mut not_copied = 0;
    let mut budget = MAX_TREE_BYTES;
    let mut load = |place: &FilePath, shown: &Path| load(place, shown, &mut budget);
    let template = format!("templates/{}.yaml", imported.name);
    files.insert(template, NewFile { content: imported.template.clone().into_bytes(), executable: false });
    for copy in &imported.files {
        match copy {
            FileCopy::Text { text, to } => {
                files.insert(to.clone(), NewFile { content: text.clone().into_bytes(), executable: false });
            }
            FileCopy::File { from, to } => {
                files.insert(to.clone(), load(&allowed.file(from), Path::new(from))?);
            }
            FileCopy::Directory { from, to } => {
                let top = allowed.directory(from);
                for entry in walkdir::WalkDir::new(&top).sort_by_file_name() {
                    let entry = entry.map_err(|error| FileError::unreadable(Path::new(from), &error))?;
                    let inside = entry.path().strip_prefix(&top).unwrap_or(entry.path());
                    let path = Path::new(from).join(inside);
                    if files.len() > MAX_FILES {
                        return Err(ImportError::TooLarge.into());
                    }
                    let problem = match entry.metadata() {
                        Ok(found) if found.is_dir() => continue,
                        Ok(found) if !found.is_file() => Some("is not a regular file".to_owned()),
                        Ok(found) if found.len() > MAX_FILE_BYTES => Some(too_large()),
                        _ => None,
                    };
                    if let Some(problem) = problem {
                        not_copied += 1;
                        global.terminal.error(&format!("{} {problem} and was not copied", path.display()));
                    } else {
                        files.insert(
                            format!("{to}/{}", inside.display()),
                            load(&FilePath::inside(&top, inside), &path)?,
                        );
                    }
                }
            }
        }
    }
    for script in &imported.scripts {
        let text = match &script.text {
            ScriptText::Inline(text) => text.clone().into_bytes(),
            ScriptText::File(from) => load(&allowed.file(from), Path::new(from))?.content,
        };
        let (content, adaptations) = import::adapt_script(&text, &script.exports);
        changes.extend(adaptations.iter().map(|change| format!("{}: {change}", script.to)));
        files.insert(script.to.clone(), NewFile { content, executable: true });
    }
    Ok(ProjectFiles { files, changes, not_copied })
}

/// Reads a file of the template.
fn load(place: &FilePath, shown: &Path, budget: &mut u64) -> Result<NewFile, Failure> {
    let (content, metadata) =
        read_regular(place, MAX_FILE_BYTES).map_err(|reason| FileError::unreadable(shown, &reason))?;
    *budget = budget.checked_sub(content.len() as u64).ok_or(ImportError::TooLarge)?;
    Ok(NewFile { content, executable: is_executable(&metadata) })
}

/// Writes all files, or none if one exists with other content. A file with the same content is
/// fine: the project may be created beside its Packer template.
fn write(root: &Path, files: &Files) -> Result<(), Failure> {
    let cannot_write = CannotWrite::new(NOTHING_WRITTEN);
    let project = StagedProject::new(root).map_err(&cannot_write)?;
    for (path, new) in files {
        match read_regular(&FilePath::inside(root, path), MAX_FILE_BYTES) {
            Ok((content, _)) if content == new.content => {}
            Err(ReadError::Missing) => {
                project.write(path, &new.content, new.executable).map_err(&cannot_write)?;
            }
            Err(reason @ ReadError::Link(_)) => {
                return Err(FileError::unreadable(&root.join(path), &reason).with_help(LINK_HELP).into());
            }
            _ => return Err(ImportError::AlreadyExists(path.clone()).into()),
        }
    }
    Ok(project.commit().map_err(&cannot_write)?)
}

/// Renders the new project, with placeholders for required variables.
fn check_render(root: &Path) -> Result<(), Failure> {
    let global = Global::for_project(root);
    let opened = project::open(&global, None)?;
    let given = Given::File("import".to_owned(), 1, 1);
    let value = |name: &str| Assignment { name: name.to_owned(), value: "x".to_owned(), given: given.clone() };
    let required = opened.template.required().map(value).collect();
    let plan = opened.plan(&global, required, &Lock::default())?;
    project::document(&plan, Target::UNLIMITED).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::tests::assert_error;

    #[test]
    fn errors_have_a_status_and_a_next_step() {
        assert_error(ImportError::NoTemplate("x".into()), 2, "name a Packer template");
        assert_error(ImportError::AlreadyExists("x".into()), 2, "name an empty directory with -o DIR");
        assert_error(ImportError::TooLarge, 2, "an image document has 64 KiB");
        assert_error(ImportError::NotConverted(1), 1, "`mkimg explain MK961`");
    }
}
