//! `mkimg import FILE`: a Packer template becomes a project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Failure, Format, Global, Status, project};
use crate::diag::{Document, Findings, Report, Severity, Verdict};
use crate::import::{self, FileCopy, Imported, OnDisk, ScriptText};
use crate::model::{Assignment, Given, Lock};
use crate::source::Source;
use crate::workspace::{NewFiles, read_text};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The Packer template; for a directory, all its *.pkr.hcl files
    file: PathBuf,
    /// Where to write the project; created if it is missing
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// How findings are written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
}

/// What is to be written, by its path in the project.
type Files = BTreeMap<String, New>;

struct New {
    content: Vec<u8>,
    executable: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let input = global.path(&args.file);
    let (sources, base, name) = read(&input, &args.file)?;
    let disk = |path: &str| match std::fs::metadata(base.join(path)) {
        Ok(found) if found.is_dir() => OnDisk::Directory,
        Ok(_) => OnDisk::File,
        Err(_) => OnDisk::Missing,
    };
    let (imported, notes) = import::import(&sources, &name, &disk);
    let missing = notes.iter().flatten().filter(|found| found.severity == Severity::Error).count();
    report(&sources, notes, args.format, global)?;
    let Some(imported) = imported else { return Err(Failure::said(Status::Usage)) };
    let root = global.path(&args.output);
    let Gathered { files, changes, left } = gather(&imported, &base, global)?;
    write(&root, &files)?;
    for change in changes {
        global.terminal.note(&change);
    }
    let shown: PathBuf = args.output.components().collect();
    let place = if shown == Path::new(".") { "this directory".to_owned() } else { shown.display().to_string() };
    let count = if files.len() == 1 { "1 file".to_owned() } else { format!("{} files", files.len()) };
    global
        .terminal
        .note(&format!("wrote a project of {count} to {place}: begin with templates/{}.yaml", imported.name));
    if !imported.scripts.iter().any(|script| script.role == import::Role::Cleanup) {
        global.terminal.note("no script cleans the image: `mkimg init` in an empty directory writes one to start from");
    }
    let renders = renders(&root);
    if let Err(failure) = &renders {
        global.terminal.warning("the project does not render yet:");
        failure.show(&global.terminal);
    }
    let missing = missing + left;
    if missing > 0 {
        let things = if missing == 1 { "1 thing was".to_owned() } else { format!("{missing} things were") };
        let message = format!("{things} not carried over: see above");
        return Err(Failure::finding(message).with_help("`mkimg explain MK961` says what that means"));
    }
    renders.map_err(|_| Failure::said(Status::Finding))?;
    global.terminal.note("next: mkimg render · mkimg validate · mkimg lock · mkimg bake");
    Ok(())
}

/// The sources, the directory that their paths are relative to, and a name for the image.
fn read(input: &Path, shown: &Path) -> Result<(Vec<Source>, PathBuf, String), Failure> {
    let refused = |error: String| {
        Failure::usage(error)
            .with_help("name a Packer template: a .json or .pkr.hcl file, or a directory with .pkr.hcl files")
    };
    let mut paths = vec![(input.to_path_buf(), shown.display().to_string())];
    let mut base = input.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let mut named = input.to_path_buf();
    if input.is_dir() {
        base = input.to_path_buf();
        named = input.canonicalize().unwrap_or_else(|_| input.to_path_buf());
        let entries =
            std::fs::read_dir(input).map_err(|error| refused(format!("cannot read {}: {error}", shown.display())))?;
        let mut found: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.ends_with(".pkr.hcl"))
            .collect();
        found.sort();
        paths = found.iter().map(|name| (input.join(name), shown.join(name).display().to_string())).collect();
    }
    if paths.is_empty() {
        return Err(refused(format!("{} holds no .pkr.hcl file", shown.display())));
    }
    let source = |(path, name): (PathBuf, String)| {
        let text = read_text(&path).map_err(|error| refused(format!("cannot read {name}: {error}")))?;
        // Editors of other systems put a byte order mark first.
        let text = text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned);
        Ok(Source::new(name, text))
    };
    let sources = paths.into_iter().map(source).collect::<Result<_, Failure>>()?;
    let file = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = [".pkr.hcl", ".hcl", ".json"].iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(&file);
    let fit: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' }).collect();
    // Names that say what the file is say nothing of the image.
    let name = if matches!(fit.trim_matches('-'), "" | "template" | "packer" | "main" | "build") {
        "image".to_owned()
    } else {
        fit
    };
    Ok((sources, base, name))
}

/// Shows what the import has to say; results of a format for programs go to standard output.
fn report(
    sources: &[Source],
    notes: Vec<Vec<crate::diag::Diagnostic>>,
    format: Format,
    global: &Global,
) -> Result<(), Failure> {
    let document = |(source, diagnostics): (&Source, Vec<crate::diag::Diagnostic>)| Document {
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

/// Everything that the project consists of.
struct Gathered {
    files: Files,
    /// What is no longer as it was.
    changes: Vec<String>,
    /// How many things had to stay behind.
    left: usize,
}

fn gather(imported: &Imported, base: &Path, global: &Global) -> Result<Gathered, Failure> {
    let mut files = Files::new();
    let mut changes = Vec::new();
    let mut left = 0;
    let template = format!("templates/{}.yaml", imported.name);
    files.insert(template, New { content: imported.template.clone().into_bytes(), executable: false });
    for copy in &imported.files {
        match copy {
            FileCopy::Text { text, to } => {
                files.insert(to.clone(), New { content: text.clone().into_bytes(), executable: false });
            }
            FileCopy::File { from, to } => {
                files.insert(to.clone(), load(&base.join(from))?);
            }
            FileCopy::Directory { from, to } => {
                let top = base.join(from);
                for entry in walkdir::WalkDir::new(&top).sort_by_file_name() {
                    let entry = entry.map_err(|error| Failure::usage(format!("cannot read {from}: {error}")))?;
                    let inside = entry.path().strip_prefix(&top).unwrap_or(entry.path());
                    if entry.file_type().is_file() {
                        files.insert(format!("{to}/{}", inside.display()), load(entry.path())?);
                    } else if !entry.file_type().is_dir() {
                        left += 1;
                        let path = Path::new(from).join(inside);
                        global.terminal.error(&format!("{} is no regular file: it was not copied", path.display()));
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
        let (content, adaptations) = import::adapted(&text, &script.exports);
        changes.extend(adaptations.iter().map(|change| format!("{}: {change}", script.to)));
        files.insert(script.to.clone(), New { content, executable: true });
    }
    Ok(Gathered { files, changes, left })
}

fn load(path: &Path) -> Result<New, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let metadata = std::fs::metadata(path).map_err(failed)?;
    #[cfg(unix)]
    let executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0;
    #[cfg(not(unix))]
    let executable = {
        let _ = metadata;
        false
    };
    Ok(New { content: std::fs::read(path).map_err(failed)?, executable })
}

/// Writes all of it, or nothing where something else stands already. What stands there with the same content is fine: a
/// project can be made beside its Packer template.
fn write(root: &Path, files: &Files) -> Result<(), Failure> {
    let mut fresh = Vec::new();
    for (path, new) in files {
        let place = root.join(path);
        match std::fs::read(&place) {
            Ok(content) if content == new.content => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => fresh.push((place, new)),
            _ => {
                let message = format!("{path} exists already, and is another file; nothing was written");
                return Err(Failure::usage(message).with_help("name an empty directory with -o DIR"));
            }
        }
    }
    let mut written = NewFiles::default();
    for (place, new) in fresh {
        written.write(&place, &new.content, new.executable).map_err(|error| {
            Failure::usage(error)
                .with_help("nothing was written; name a directory that you may write to, on a disk with room")
        })?;
    }
    written.keep();
    Ok(())
}

/// Whether what was written becomes a document. A variable that must be given is no fault of the import.
fn renders(root: &Path) -> Result<(), Failure> {
    let global = Global::of_project(root);
    let opened = project::open(&global, None)?;
    let given = Given::File("import".to_owned(), 1, 1);
    let value = |name: &str| Assignment { name: name.to_owned(), value: "x".to_owned(), given: given.clone() };
    let required = opened.template.required().map(value).collect();
    let plan = opened.plan(&global, required, &Lock::default())?;
    project::document(&plan, None).map(|_| ())
}
