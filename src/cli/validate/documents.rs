//! Finds, reads and checks the documents that a command line names.
//!
//! The report follows the order of the command line, and of names within a directory.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use diagnostics::{LintedDocument, escape_control};
use userdata_lint::{MAX_DOCUMENT_BYTES, Options, lint_bytes};

use crate::workspace::{FilePath, ReadError, is_temporary, open_regular};

/// Maximum number of threads.
const MAX_THREADS: usize = 8;
/// Threads are used for more documents than this.
const MIN_FOR_THREADS: usize = 16;
/// Directories that are not searched.
const VERSION_CONTROL: &[&str] = &[".git", ".hg", ".svn"];
/// Extensions of files that are not documents, unless they begin with a known header.
const BESIDE: &[&str] = &[
    "adoc", "avif", "bmp", "css", "csv", "gif", "htm", "html", "ico", "jpeg", "jpg", "lock", "log", "markdown", "md",
    "pdf", "png", "rst", "svg", "toml", "webp", "xml",
];
const BESIDE_BY_NAME: &[&str] =
    &["AUTHORS", "CHANGELOG", "CODEOWNERS", "CONTRIBUTING", "COPYING", "LICENSE", "Makefile", "NOTICE", "README"];

/// The checked documents, and messages about files that could not be read.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub documents: Vec<LintedDocument>,
    pub unreadable: Vec<String>,
}

/// One document to check.
enum Job {
    File { name: String, path: FilePath, named: bool },
    StandardInput(Result<Vec<u8>, String>),
    Unreadable(String),
}

/// Checks what the paths of a command line name. `place` resolves such a path; `stdin` is the name
/// of standard input.
pub(super) fn check(paths: &[PathBuf], place: impl Fn(&Path) -> PathBuf, stdin: &str, options: &Options) -> Checked {
    let mut jobs = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().take(MAX_READ_BYTES).read_to_end(&mut bytes);
            jobs.push(Job::StandardInput(read.map(|_| bytes).map_err(|error| error.to_string())));
            continue;
        }
        let place = place(path);
        if place.is_dir() {
            directory(path, &place, &mut jobs);
        } else {
            jobs.push(Job::File { name: path.display().to_string(), path: FilePath::typed(place), named: true });
        }
    }
    let mut checked = Checked::default();
    for result in run_all(jobs, stdin, options) {
        match result {
            Ok(documents) => checked.documents.extend(documents),
            Err(problem) => checked.unreadable.push(problem),
        }
    }
    checked
}

/// Every file in a directory and below it.
fn directory(path: &Path, place: &Path, jobs: &mut Vec<Job>) {
    let before = jobs.len();
    let is_wanted = |entry: &walkdir::DirEntry| {
        let is_version_control =
            || entry.file_type().is_dir() && VERSION_CONTROL.iter().any(|name| entry.file_name() == *name);
        entry.depth() == 0 || !(is_temporary(entry.file_name()) || is_version_control())
    };
    for entry in walkdir::WalkDir::new(place).sort_by_file_name().into_iter().filter_entry(is_wanted) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => {
                let below = entry.path().strip_prefix(place).unwrap_or(entry.path());
                let name = path.join(below).display().to_string();
                jobs.push(Job::File { name, path: FilePath::inside(place, below), named: false });
            }
            Ok(_) => {}
            Err(error) => {
                let error = io::Error::from(error).into();
                jobs.push(Job::Unreadable(unreadable(&path.display().to_string(), &error)));
            }
        }
    }
    if jobs.len() == before {
        let none = ReadError::Unreadable("the directory contains no files".to_owned());
        jobs.push(Job::Unreadable(unreadable(&path.display().to_string(), &none)));
    }
}

type Outcome = Result<Vec<LintedDocument>, String>;

/// Runs all jobs; the results are in the order of the jobs.
fn run_all(jobs: Vec<Job>, stdin: &str, options: &Options) -> Vec<Outcome> {
    // Finding the number of processors reads several files, which is slow for a few documents.
    let threads =
        if jobs.len() <= MIN_FOR_THREADS { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    if threads == 1 {
        return jobs.into_iter().map(|job| run_job(job, stdin, options)).collect();
    }
    let threads = threads.min(MAX_THREADS);
    let results: Mutex<Vec<(usize, Outcome)>> = Mutex::new(Vec::with_capacity(jobs.len()));
    let jobs = Mutex::new(jobs.into_iter().enumerate());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, job)) = next else { return };
                    let outcome = run_job(job, stdin, options);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, outcome)| outcome).collect()
}

fn run_job(job: Job, stdin: &str, options: &Options) -> Outcome {
    let (name, path, named) = match job {
        Job::Unreadable(problem) => return Err(problem),
        Job::StandardInput(Err(problem)) => return Err(format!("cannot read standard input: {problem}")),
        Job::StandardInput(Ok(bytes)) => return Ok(checked(stdin, &bytes, options)),
        Job::File { name, path, named } => (name, path, named),
    };
    let bytes = read(&path).map_err(|error| unreadable(&name, &error))?;
    let skip_unmarked = !named && is_beside(path.as_path(), &bytes);
    Ok(checked(&name, &bytes, &Options { skip_unmarked, ..options.clone() }))
}

fn checked(name: &str, bytes: &[u8], options: &Options) -> Vec<LintedDocument> {
    lint_bytes(name, bytes, options).documents
}

/// One byte more than is checked: enough to know that a document is too large.
const MAX_READ_BYTES: u64 = MAX_DOCUMENT_BYTES as u64 + 1;

fn read(path: &FilePath) -> Result<Vec<u8>, ReadError> {
    let (file, metadata) = open_regular(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(MAX_READ_BYTES)).unwrap_or_default() + 1);
    file.take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a file in a directory is probably not meant to be a document.
fn is_beside(path: &Path, bytes: &[u8]) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let stem = path.file_stem().unwrap_or_default();
    match ending.as_deref() {
        Some("yaml" | "yml") => false,
        Some(ending) if BESIDE.contains(&ending) => true,
        _ => BESIDE_BY_NAME.iter().any(|name| stem == *name) || bytes.iter().take(8192).any(|byte| *byte == 0),
    }
}

fn unreadable(name: &str, error: &ReadError) -> String {
    format!("cannot read {}: {error}", escape_control(name))
}
