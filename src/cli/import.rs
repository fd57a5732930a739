//! `mkimg import FILE`: converts a Packer template into a project.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diagnostics::source::Source;
use diagnostics::{Diagnostic, Findings, LintedDocument, Report, Severity, Verdict};
use packer_import::Folder;

use super::error::{CannotWrite, ErrorKind, ExitStatus, ExpectedError, Failure, FileError};
use super::init::NOTHING_WRITTEN;
use super::{Format, Global, project};
use crate::import::{self, FileContent, Found, Imported, PackerFiles, PackerPath, PathKind};
use crate::model::{Assignment, Given, Lock};
use crate::render::Target;
use crate::workspace::{
    FilePath, LINK_HELP, MAX_FILE_BYTES, ReadError, StagedProject, describe_kind, read_regular, read_text,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The Packer template, or a directory with *.pkr.hcl files
    file: PathBuf,
    /// The directory of the new project; created if it does not exist
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// The directory in which you run Packer: relative paths begin there [default: the current directory]
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
    let Inputs { sources, values, folder, name, ignored } = read(&input, args, global)?;
    let allowed = Allowed::new(args, global, folder)?;
    let (imported, notes) = import::import(&sources, &values, &name, &allowed);
    let missing = notes.iter().flatten().filter(|found| found.severity == Severity::Error).count();
    let documents: Vec<&Source> = sources.iter().chain(&values).collect();
    report(&documents, notes, args.format, global)?;
    for file in ignored {
        global
            .terminal
            .warning(&format!("{file} was not read: Packer reads it only with the directory; name it with --var-file"));
    }
    let Some(imported) = imported else { return Err(Failure::Reported(ExitStatus::Error)) };
    let root = global.path(&args.output);
    let files = collect_files(&imported, &allowed, &root)?;
    write(&root, &files)?;
    for script in &imported.scripts {
        for change in &script.changes {
            global.terminal.note(&format!("{}: {change}", script.to));
        }
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

/// Files of values that Packer reads with a directory.
const AUTO_HCL: &str = ".auto.pkrvars.hcl";
const AUTO_JSON: &str = ".auto.pkrvars.json";

struct Inputs {
    sources: Vec<Source>,
    /// Files with values of variables.
    values: Vec<Source>,
    /// The directory of the template.
    folder: PathBuf,
    /// A name for the image.
    name: String,
    /// Files of values that Packer does not read either.
    ignored: Vec<String>,
}

fn read(input: &Path, args: &Args, global: &Global) -> Result<Inputs, Failure> {
    let shown = &args.file;
    let mut paths = vec![(FilePath::typed(input), shown.display().to_string())];
    let mut values = Vec::new();
    let mut ignored = Vec::new();
    let mut folder = input.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let mut named = input.to_path_buf();
    let is_auto = |name: &String| name.ends_with(AUTO_HCL) || name.ends_with(AUTO_JSON);
    if input.is_dir() {
        folder = input.to_path_buf();
        named = input.canonicalize().unwrap_or_else(|_| input.to_path_buf());
        let entries = |ending: &dyn Fn(&String) -> bool| -> Vec<(FilePath, String)> {
            let found = names(input).into_iter().filter(ending);
            found.map(|name| (FilePath::inside(input, &name), shown.join(&name).display().to_string())).collect()
        };
        std::fs::read_dir(input).map_err(|error| FileError::new("read", shown, &error).with_help(TEMPLATE_HELP))?;
        paths = entries(&|name| name.ends_with(".pkr.hcl"));
        // Packer reads all HCL files before all JSON files.
        values = entries(&|name| name.ends_with(AUTO_HCL));
        values.extend(entries(&|name| name.ends_with(AUTO_JSON)));
    } else if input.to_string_lossy().ends_with(".hcl") {
        let beside = |name: &String| shown.with_file_name(name).display().to_string();
        ignored = names(&folder).iter().filter(|name| is_auto(name)).map(beside).collect();
    }
    if paths.is_empty() {
        return Err(ImportError::NoTemplate(shown.display().to_string()).into());
    }
    let given = global.variable_files.iter();
    values.extend(given.clone().map(|path| (FilePath::typed(path), path.display().to_string())));
    let is_given = |file: &String| given.clone().any(|given| given.file_name() == Path::new(file).file_name());
    ignored.retain(|file| !is_given(file));
    let source = |(path, name): (FilePath, String), help: &'static str| {
        let text =
            read_text(&path).map_err(|reason| FileError::unreadable(Path::new(&name), &reason).with_help(help))?;
        // Some editors put a byte order mark first.
        let text = text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned);
        Ok(Source::new(name, text))
    };
    let sources = paths.into_iter().map(|path| source(path, TEMPLATE_HELP)).collect::<Result<_, Failure>>()?;
    let values_help = "name a file with values of the template's variables";
    let mut values: Vec<Source> =
        values.into_iter().map(|path| source(path, values_help)).collect::<Result<_, Failure>>()?;
    for text in &global.variables {
        let Assignment { name, value, .. } = project::assignment(text)?;
        values.push(Source::new("--var", serde_json::json!({ name: value }).to_string()));
    }
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
    Ok(Inputs { sources, values, folder, name, ignored })
}

/// The names in a directory, in order; none if it cannot be read.
fn names(directory: &Path) -> Vec<String> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Prints the findings: for people on standard error, for programs on standard output.
fn report(sources: &[&Source], notes: Vec<Vec<Diagnostic>>, format: Format, global: &Global) -> Result<(), Failure> {
    let document = |(source, diagnostics): (&&Source, Vec<Diagnostic>)| LintedDocument {
        kind: "packer-template",
        verdict: Verdict::Skipped,
        findings: Findings { source: Source::clone(source), diagnostics },
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

/// What a template may name. A template can be a stranger's: files of the user that have nothing to
/// do with it must not get into an image.
struct Allowed {
    /// Where relative paths begin.
    current: PathBuf,
    /// The template's directory.
    template: PathBuf,
    /// Without links: directories with everything below them, and files.
    places: Vec<PathBuf>,
}

impl Allowed {
    fn new(args: &Args, global: &Global, template: PathBuf) -> Result<Self, Failure> {
        let given = |path: &PathBuf| global.path(path);
        let current = args.base.as_ref().map_or_else(|| global.path(Path::new("")), given);
        let real = |path: PathBuf| {
            // `.` because an empty path cannot be resolved.
            let found = if path.as_os_str().is_empty() { Path::new(".").canonicalize() } else { path.canonicalize() };
            found.map_err(|error| {
                FileError::new("read", &path, &error).with_help("name a directory or file that exists")
            })
        };
        let places = [current.clone(), template.clone()].into_iter().chain(args.allow.iter().map(given));
        let places = places.map(real).collect::<Result<_, _>>()?;
        Ok(Self { current, template, places })
    }

    /// Resolves a path of the template, with the links in it. `None` if nothing is there. The second value says
    /// whether it is only beside the template.
    fn resolve(&self, path: &PackerPath) -> Option<(PathBuf, bool)> {
        let in_folder = |folder: &Path| folder.join(&path.path).canonicalize().ok();
        match path.folder {
            Folder::Template => Some((in_folder(&self.template)?, false)),
            Folder::Current => match in_folder(&self.current) {
                Some(found) => Some((found, false)),
                None => Some((in_folder(&self.template)?, true)),
            },
        }
    }

    fn kind(&self, real: &Path) -> PathKind {
        if !self.places.iter().any(|place| real.starts_with(place)) {
            return PathKind::Outside;
        }
        match std::fs::metadata(real) {
            Ok(found) if found.is_dir() => PathKind::Directory,
            Ok(found) => match describe_kind(&found) {
                Some(kind) => PathKind::Unusable(format!("is {kind}, not a regular file")),
                None if found.len() > MAX_FILE_BYTES => {
                    PathKind::Unusable(format!("is larger than {} MiB", MAX_FILE_BYTES >> 20))
                }
                None => PathKind::File { mode: mode(&found), bytes: found.len() },
            },
            Err(_) => PathKind::Missing,
        }
    }

    /// A path for which `kind` has found a file. No link in it is followed from now on.
    fn file(&self, path: &PackerPath) -> FilePath {
        let real = self.resolve(path).map_or_else(|| PathBuf::from(&path.path), |(real, _)| real);
        let inside = |place: &PathBuf| Some((place.clone(), real.strip_prefix(place).ok()?.to_path_buf()));
        match self.places.iter().find_map(inside) {
            Some((place, inside)) if !inside.as_os_str().is_empty() => FilePath::inside(&place, inside),
            // The place itself is the file.
            _ => FilePath::inside(real.parent().unwrap_or(&real), real.file_name().unwrap_or_default()),
        }
    }
}

impl PackerFiles for Allowed {
    fn find(&self, path: &PackerPath) -> Found {
        match self.resolve(path) {
            Some((real, is_beside_template)) => Found { kind: self.kind(&real), is_beside_template },
            None => Found { kind: PathKind::Missing, is_beside_template: false },
        }
    }

    fn list(&self, path: &PackerPath) -> Vec<(String, PathKind)> {
        let Some((top, _)) = self.resolve(path) else { return Vec::new() };
        let mut found = Vec::new();
        // Packer follows links, so a link in the directory is what it leads to.
        let mut waiting = vec![(String::new(), top)];
        while let Some((inside, directory)) = waiting.pop() {
            let names = names(&directory);
            if names.is_empty() && !inside.is_empty() {
                found.push((inside.clone(), PathKind::Directory));
            }
            for name in names {
                let path = directory.join(&name);
                let inside = if inside.is_empty() { name } else { format!("{inside}/{name}") };
                let kind = match path.canonicalize() {
                    Ok(real) if path.is_dir() && path.is_symlink() && directory.starts_with(&real) => {
                        PathKind::Unusable("is a link to a directory above it".to_owned())
                    }
                    Ok(real) => self.kind(&real),
                    Err(_) => PathKind::Unusable("is a link that leads nowhere".to_owned()),
                };
                if kind == PathKind::Directory {
                    waiting.push((inside, path));
                } else {
                    found.push((inside, kind));
                }
                // The limit is reported where the files are added.
                if found.len() + waiting.len() > MAX_ENTRIES {
                    return found;
                }
            }
        }
        found.sort_by(|left, right| left.0.cmp(&right.0));
        found
    }

    fn read(&self, path: &PackerPath) -> Result<Vec<u8>, String> {
        let read = read_regular(&self.file(path), MAX_FILE_BYTES);
        read.map(|(content, _)| content).map_err(|reason| format!("cannot be read: {reason}"))
    }
}

/// Most entries of a directory that are looked at: more than a project may have.
const MAX_ENTRIES: usize = 20_000;

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> u32 {
    0o644
}

fn collect_files(imported: &Imported, allowed: &Allowed, root: &Path) -> Result<Files, Failure> {
    let mut files = Files::new();
    for (to, file) in &imported.files {
        let content = match &file.content {
            FileContent::Text(text) => text.clone().into_bytes(),
            FileContent::Copy(from) => {
                read_regular(&allowed.file(from), MAX_FILE_BYTES)
                    .map_err(|reason| FileError::unreadable(Path::new(&from.path), &reason))?
                    .0
            }
        };
        files.insert(format!("files{to}"), NewFile { content, executable: file.mode & 0o100 != 0 });
    }
    for script in &imported.scripts {
        files.insert(script.to.clone(), NewFile { content: script.content.clone(), executable: true });
    }
    let has_more = |directory: &str| {
        let entries = walkdir::WalkDir::new(root.join(directory)).into_iter().flatten();
        let mut others = entries.filter(|entry| !entry.file_type().is_dir());
        others.any(|entry| {
            let inside = entry.path().strip_prefix(root).unwrap_or(entry.path());
            !files.contains_key(&*inside.to_string_lossy())
        })
    };
    let template = imported.template(&has_more);
    let path = format!("templates/{}.yaml", imported.name);
    files.insert(path, NewFile { content: template.into_bytes(), executable: false });
    Ok(files)
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
        assert_error(ImportError::NotConverted(1), 1, "`mkimg explain MK961`");
    }
}
