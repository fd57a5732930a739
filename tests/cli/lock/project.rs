//! A project with artifacts, the lock that `mkimg lock` writes for it, and the file that it downloads.

use std::fs;
use std::path::PathBuf;

use crate::harness::{Mkimg, Run, mkimg, sha256};

pub(crate) const BODY: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz\n";
pub(crate) const HALF: usize = 17;
pub(crate) const TAG: &str = "\"one\"";

/// A project with artifacts only, and a cache of its own.
pub(crate) struct Project(pub(crate) tempfile::TempDir);

impl Project {
    pub(crate) fn new(artifacts: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("templates")).unwrap();
        let head = "variables: {version: '1.0', arch: amd64}\nsnapshot: {name: x}\nartifacts:\n";
        fs::write(folder.path().join("templates/image.yaml"), format!("{head}{artifacts}")).unwrap();
        Self(folder)
    }

    /// One artifact.
    pub(crate) fn of(url: &str) -> Self {
        Self::new(&format!("- {{url: '{url}', to: /usr/local/bin/tool}}\n"))
    }

    pub(crate) fn mkimg(&self, arguments: &[&str]) -> Mkimg {
        mkimg(self.0.path()).arg("lock").args(arguments).env("XDG_CACHE_HOME", self.0.path().join("cache"))
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.mkimg(arguments).args(["--retry-wait", "1ms"]).run()
    }

    /// Runs to success. Returns standard error.
    #[track_caller]
    pub(crate) fn pins(&self, arguments: &[&str]) -> String {
        self.run(arguments).success().stdout_is("").stderr
    }

    /// Runs to a failure whose message begins like this. Returns standard error.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str], message: &str) -> String {
        self.run(arguments).stderr_starts(message).stderr_has("\nhelp: ").refused()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("mkimg.lock")
    }

    pub(crate) fn lock(&self) -> Option<String> {
        fs::read_to_string(self.path()).ok()
    }

    /// Whether the lock pins these bytes, and no others.
    pub(crate) fn pins_only(&self, bytes: &[u8]) -> bool {
        let text = self.lock().unwrap();
        let pin = format!("sha256: \"{}\"\n    size: {}\n", sha256(bytes), bytes.len());
        text.contains(&pin) && text.matches("sha256").count() == 1
    }

    /// The number of downloads that are remembered.
    pub(crate) fn remembered(&self) -> usize {
        fs::read_dir(self.0.path().join("cache/mkimg/downloads")).map_or(0, Iterator::count)
    }
}

pub(crate) fn bytes_from(offset: usize) -> String {
    format!("bytes={offset}-")
}
