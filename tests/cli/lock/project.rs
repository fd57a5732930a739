//! A project with artifacts, what `mkimg lock` makes of it, and the file that is downloaded.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

pub(crate) const BODY: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz\n";
pub(crate) const HALF: usize = 17;
pub(crate) const TAG: &str = "\"one\"";

/// Exit status, standard output, standard error.
pub(crate) type Ended = (i32, String, String);

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

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mkimg"));
        command.arg("lock").args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("XDG_CACHE_HOME", self.0.path().join("cache"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).args(["--retry-wait", "1ms"]).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Runs to success; standard error.
    pub(crate) fn pins(&self, arguments: &[&str]) -> String {
        let (exit, stdout, stderr) = self.run(arguments);
        assert_eq!((exit, stdout.as_str()), (0, ""), "{stderr}");
        stderr
    }

    /// Runs to a failure that says this first.
    pub(crate) fn fails(&self, arguments: &[&str], said: &str) -> String {
        let (exit, stdout, stderr) = self.run(arguments);
        assert_eq!((exit, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.starts_with(said) && stderr.contains("\nhelp: "), "expected {said}, found {stderr}");
        stderr
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

pub(crate) fn sha256(bytes: &[u8]) -> String {
    mkimg::model::hexadecimal(&Sha256::digest(bytes))
}

pub(crate) fn bytes_from(offset: usize) -> String {
    format!("bytes={offset}-")
}
