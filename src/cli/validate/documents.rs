//! The documents that a command line names: which files they are, reading them, judging many at once.
//!
//! The order of the report is that of the command line, and of names within a directory, however many are judged at a time.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::diag::{Document, Verdict, escape_control};
use crate::source::Source;
use crate::validate::{self, LARGEST, Options};
use crate::workspace::reason;

/// As many are judged at a time at most: each may take up to 200 MB.
const MOST_AT_ONCE: usize = 8;
/// Fewer are not worth a thread.
const FEW: usize = 16;
/// Directories that hold no documents of anybody's.
const VERSION_CONTROL: &[&str] = &[".git", ".hg", ".svn"];
/// What stands beside documents in directories: without a header that cloud-init knows, such a file is none itself.
const BESIDE: &[&str] = &[
    "adoc", "avif", "bmp", "css", "csv", "gif", "htm", "html", "ico", "jpeg", "jpg", "lock", "log", "markdown", "md",
    "pdf", "png", "rst", "svg", "toml", "webp", "xml",
];
const BESIDE_BY_NAME: &[&str] =
    &["AUTHORS", "CHANGELOG", "CODEOWNERS", "CONTRIBUTING", "COPYING", "LICENSE", "Makefile", "NOTICE", "README"];

/// What was judged, and what could not be read.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub documents: Vec<Document>,
    pub unreadable: Vec<String>,
}

/// One document to judge.
enum Job {
    File { name: String, path: PathBuf, named: bool },
    StandardInput(Result<Vec<u8>, String>),
    Unreadable(String),
}

/// Judges what the paths of a command line name. `place` makes a path of the command line one of the file system; `stdin` is how
/// standard input is called.
pub(super) fn judge(paths: &[PathBuf], place: impl Fn(&Path) -> PathBuf, stdin: &str, options: &Options) -> Judged {
    let mut jobs = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().take(most()).read_to_end(&mut bytes);
            jobs.push(Job::StandardInput(read.map(|_| bytes).map_err(|error| error.to_string())));
            continue;
        }
        let place = place(path);
        if place.is_dir() {
            directory(path, &place, &mut jobs);
        } else {
            jobs.push(Job::File { name: path.display().to_string(), path: place, named: true });
        }
    }
    let mut judged = Judged::default();
    for result in all(jobs, stdin, options) {
        match result {
            Ok(documents) => judged.documents.extend(documents),
            Err(problem) => judged.unreadable.push(problem),
        }
    }
    judged
}

/// Every file in a directory and below it.
fn directory(path: &Path, place: &Path, jobs: &mut Vec<Job>) {
    let before = jobs.len();
    let is_wanted = |entry: &walkdir::DirEntry| {
        entry.depth() == 0
            || !entry.file_type().is_dir()
            || !VERSION_CONTROL.iter().any(|name| entry.file_name() == *name)
    };
    for entry in walkdir::WalkDir::new(place).sort_by_file_name().into_iter().filter_entry(is_wanted) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => {
                let below = entry.path().strip_prefix(place).map(|below| path.join(below));
                let name = below.unwrap_or_else(|_| entry.path().to_path_buf()).display().to_string();
                jobs.push(Job::File { name, path: entry.into_path(), named: false });
            }
            Ok(_) => {}
            Err(error) => jobs.push(Job::Unreadable(unreadable(&path.display().to_string(), &error.into()))),
        }
    }
    if jobs.len() == before {
        let none = io::Error::new(io::ErrorKind::NotFound, "the directory holds no files");
        jobs.push(Job::Unreadable(unreadable(&path.display().to_string(), &none)));
    }
}

type Outcome = Result<Vec<Document>, String>;

/// Judges all jobs; the results are in their order.
fn all(jobs: Vec<Job>, stdin: &str, options: &Options) -> Vec<Outcome> {
    // How many threads there may be is read from several files of the system: not for a few documents.
    let threads = if jobs.len() <= FEW { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    if threads == 1 {
        return jobs.into_iter().map(|job| one(job, stdin, options)).collect();
    }
    let threads = threads.min(MOST_AT_ONCE);
    let results: Mutex<Vec<(usize, Outcome)>> = Mutex::new(Vec::with_capacity(jobs.len()));
    let jobs = Mutex::new(jobs.into_iter().enumerate());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, job)) = next else { return };
                    let outcome = one(job, stdin, options);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, outcome)| outcome).collect()
}

fn one(job: Job, stdin: &str, options: &Options) -> Outcome {
    let (name, path, named) = match job {
        Job::Unreadable(problem) => return Err(problem),
        Job::StandardInput(Err(problem)) => return Err(format!("cannot read standard input: {problem}")),
        Job::StandardInput(Ok(bytes)) => return Ok(judged(stdin, bytes, options)),
        Job::File { name, path, named } => (name, path, named),
    };
    let bytes = read(&path).map_err(|error| unreadable(&name, &error))?;
    let may_be_beside = !named && is_beside(&path, &bytes);
    let mut documents = judged(&name, bytes, options);
    if may_be_beside {
        for document in documents.iter_mut().filter(|document| document.kind == "unknown") {
            document.verdict = Verdict::Skipped;
            document.findings.diagnostics.clear();
            document.suppressed.clear();
            document.parts.clear();
        }
    }
    for document in &mut documents {
        // Nothing will be shown of it: thousands of documents need not be kept.
        if document.findings.diagnostics.is_empty() && document.suppressed.is_empty() && document.parts.is_empty() {
            document.findings.source = Source::new(name.as_str(), "");
        }
    }
    Ok(documents)
}

fn judged(name: &str, bytes: Vec<u8>, options: &Options) -> Vec<Document> {
    validate::validate_bytes(name, bytes, options).documents
}

/// One byte more than is looked at: enough to know that there are too many.
fn most() -> u64 {
    LARGEST as u64 + 1
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len().min(most());
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    file.take(most()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a file without a header stands beside the documents of a directory, and was not meant to be one.
fn is_beside(path: &Path, bytes: &[u8]) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let stem = path.file_stem().unwrap_or_default();
    match ending.as_deref() {
        Some("yaml" | "yml") => false,
        Some(ending) if BESIDE.contains(&ending) => true,
        _ => BESIDE_BY_NAME.iter().any(|name| stem == *name) || bytes.iter().take(8192).any(|byte| *byte == 0),
    }
}

fn unreadable(name: &str, error: &io::Error) -> String {
    format!("cannot read {}: {}", escape_control(name), reason(error))
}
