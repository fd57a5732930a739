//! What the integration tests share: running the program, an emulator in a process of its own, projects, and a web server.
//!
//! Each test binary includes this folder with one line. `mkimg(folder).args([..]).run()` is where most tests begin.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod command;
mod emulator;
mod home;
mod web;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use command::{ChildGuard, MKIMG, Mkimg, Process, Run, mkimg, python, run_python};
pub(crate) use emulator::{Emulator, TOKEN};
pub(crate) use home::{Home, create_project};
pub(crate) use web::{Answer, Request, Server};

/// How long anything may take before a test fails. A busy machine may stop a process, or delay its disk, for many seconds.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(180);

/// The root of this repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file or folder below `tests/`.
pub(crate) fn tests(path: &str) -> PathBuf {
    repository().join("tests").join(path)
}

/// Whether expected outputs are to be rewritten: `MKIMG_BLESS=1`, which `make bless` sets.
pub(crate) fn bless() -> bool {
    std::env::var_os("MKIMG_BLESS").is_some_and(|value| !value.is_empty() && value != "0")
}

/// Compares a text with the file that holds what is expected, or rewrites the file (see [`bless`]).
/// Returns a description of the difference.
pub(crate) fn compare_with_file(file: &Path, found: &str) -> Option<String> {
    if bless() {
        std::fs::write(file, found).unwrap();
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    (expected != found).then(|| {
        let help = "`make bless` rewrites it";
        format!("{}: expected ({help})\n{expected}\nfound\n{found}", file.display())
    })
}

/// Writes the files of a document below a folder, as cloud-init does.
#[track_caller]
pub(crate) fn write_files_below(root: &Path, document: &Path) {
    run_python(include_str!("write_files.py"), [document, root]);
}

/// Calls `look` until it returns something, often enough to see each entry of a journal.
#[track_caller]
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_every(Duration::from_millis(2), what, look)
}

/// Calls `look` until it returns something.
#[track_caller]
pub(crate) fn until_every<T>(interval: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < MAX_WAIT, "{what}: not within {MAX_WAIT:?}");
        std::thread::sleep(interval);
    }
}

/// Whether a long run of this kind is asked for: `MKIMG_SWEEP` names one or more kinds, or `all`.
pub(crate) fn sweep_includes(kind: &str) -> bool {
    std::env::var("MKIMG_SWEEP").is_ok_and(|asked| asked == "all" || asked.split(',').any(|name| name == kind))
}

/// Runs all cases, some at the same time, and fails with every case that failed.
pub(crate) fn run_cases<C: Send + std::fmt::Debug + Clone>(cases: Vec<C>, case: impl Fn(&C) + Sync) {
    const AT_ONCE: usize = 10;
    let total = cases.len();
    let (cases, wrong) = (std::sync::Mutex::new(cases), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(next) = cases.lock().unwrap().pop() else { return };
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&next))).is_err() {
                        wrong.lock().unwrap().push(format!("{next:?}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(total > 0 && wrong.is_empty(), "{} of {total}: {wrong:#?}", wrong.len());
}

/// The SHA-256 of these bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
