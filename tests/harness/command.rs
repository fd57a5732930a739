//! Running the program: a builder, what a run printed, and processes that a test talks to while they run.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Home, until};

/// The program under test.
pub(crate) const MKIMG: &str = env!("CARGO_BIN_EXE_mkimg");

/// The program, to run in a folder. Its environment holds nothing but a `PATH`, its standard input is empty.
pub(crate) fn mkimg(folder: impl AsRef<Path>) -> Mkimg {
    let mut command = Command::new(MKIMG);
    command.current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin");
    Mkimg { command, input: Vec::new() }
}

/// One call of the program.
pub(crate) struct Mkimg {
    command: Command,
    input: Vec<u8>,
}

impl Mkimg {
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn envs(mut self, variables: &[(&str, &str)]) -> Self {
        self.command.envs(variables.iter().copied());
        self
    }

    /// What the program reads from standard input.
    pub(crate) fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// The command itself, for tests that connect its streams to something else.
    pub(crate) fn into_command(mut self) -> Command {
        self.command.stdin(Stdio::null());
        self.command
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(crate) fn run(mut self) -> Run {
        Run::with_input(&mut self.command, &self.input)
    }
}

/// What a run of the program printed, and its exit status. The checks return the run, so that they can be chained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    arguments: String,
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Runs a command to its end, with empty input.
    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::with_input(command, b"")
    }

    #[track_caller]
    fn with_input(command: &mut Command, input: &[u8]) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command runs");
        // A program that does not read its input closes the pipe.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        let output = child.wait_with_output().expect("the command ends");
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
        Self {
            arguments: arguments.join(" "),
            exit: output.status.code().expect("an exit status"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    #[track_caller]
    fn check(self, holds: bool, expected: &str) -> Self {
        let Self { arguments, exit, stdout, stderr } = &self;
        assert!(
            holds,
            "mkimg {arguments}: expected {expected}; exit status {exit}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        );
        self
    }

    #[track_caller]
    pub(crate) fn success(self) -> Self {
        self.exits(0)
    }

    #[track_caller]
    pub(crate) fn exits(self, status: i32) -> Self {
        let holds = self.exit == status;
        self.check(holds, &format!("exit status {status}"))
    }

    /// Exit status 2 and nothing on standard output: the program refused what it was asked for. Returns standard error.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        self.exits(2).stdout_is("").stderr
    }

    #[track_caller]
    pub(crate) fn stdout_is(self, text: &str) -> Self {
        let holds = self.stdout == text;
        self.check(holds, &format!("exactly this on standard output:\n{text}"))
    }

    #[track_caller]
    pub(crate) fn stdout_has(self, text: &str) -> Self {
        let holds = self.stdout.contains(text);
        self.check(holds, &format!("`{text}` on standard output"))
    }

    #[track_caller]
    pub(crate) fn stdout_starts(self, text: &str) -> Self {
        let holds = self.stdout.starts_with(text);
        self.check(holds, &format!("`{text}` at the start of standard output"))
    }

    #[track_caller]
    pub(crate) fn stderr_is(self, text: &str) -> Self {
        let holds = self.stderr == text;
        self.check(holds, &format!("exactly this on standard error:\n{text}"))
    }

    #[track_caller]
    pub(crate) fn stderr_has(self, text: &str) -> Self {
        let holds = self.stderr.contains(text);
        self.check(holds, &format!("`{text}` on standard error"))
    }

    #[track_caller]
    pub(crate) fn stderr_starts(self, text: &str) -> Self {
        let holds = self.stderr.starts_with(text);
        self.check(holds, &format!("`{text}` at the start of standard error"))
    }

    /// Neither stream holds this text.
    #[track_caller]
    pub(crate) fn never_prints(self, text: &str) -> Self {
        let holds = !self.stdout.contains(text) && !self.stderr.contains(text);
        self.check(holds, &format!("no `{text}`"))
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Exit status, standard output, standard error.
    pub(crate) fn into_parts(self) -> (i32, String, String) {
        (self.exit, self.stdout, self.stderr)
    }
}

/// A child process that ends with the test.
pub(crate) struct ChildGuard(pub(crate) Child);

impl Deref for ChildGuard {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for ChildGuard {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command under way, whose output goes to a file, so that it never waits for a reader.
pub(crate) struct Process {
    child: ChildGuard,
    output: tempfile::NamedTempFile,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let output = tempfile::NamedTempFile::new().unwrap();
        let stream = || File::options().append(true).open(output.path()).unwrap();
        let child = command.stdin(Stdio::null()).stdout(stream()).stderr(stream()).spawn().expect("the command runs");
        Self { child: ChildGuard(child), output }
    }

    /// What it has printed so far, on both streams.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.output.path()).unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has printed this; fails when it ends first.
    #[track_caller]
    pub(crate) fn until_printed(&mut self, text: &str) {
        until(&format!("`{text}` being printed"), || {
            let ended = self.child.try_wait().unwrap();
            let output = self.output();
            assert!(output.contains(text) || ended.is_none(), "`{text}` was never printed: {ended:?}\n{output}");
            output.contains(text).then_some(())
        });
    }

    /// Waits until the journal has this many entries, or the process has ended. Returns whether it has them.
    #[track_caller]
    pub(crate) fn until_entry(&mut self, home: &Home, number: usize) -> bool {
        until("an entry in the journal", || {
            let ended = self.child.try_wait().unwrap().is_some();
            if home.entries().len() >= number { Some(true) } else { ended.then_some(false) }
        })
    }

    /// Sends a signal; a process that has ended by itself cannot get it any more.
    pub(crate) fn signal(&self, name: &str) {
        let _ = Command::new("kill").args(["-s", name, &self.id().to_string()]).stderr(Stdio::null()).status();
    }

    /// SIGKILL. Returns what it had printed.
    pub(crate) fn kill(mut self) -> String {
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.output()
    }

    /// Waits at most this long for the process to end. Returns the exit status and what it printed,
    /// or why it has no exit status.
    pub(crate) fn end_within(mut self, limit: Duration) -> Result<(i32, String), String> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().map(|code| (code, self.output())).ok_or_else(|| "it was killed".to_owned());
            }
            if start.elapsed() > limit {
                return Err(format!("it hangs: {}", self.kill()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end. Returns the exit status (-1 after a signal) and what it printed.
    #[track_caller]
    pub(crate) fn end(mut self) -> (i32, String) {
        let status = until("the end of the command", || self.child.try_wait().unwrap());
        (status.code().unwrap_or(-1), self.output())
    }
}

/// Debian's Python, which has the packages that `make packages-test` installs, or the first one on the path. A version manager's
/// `python3` is a script that takes ten times as long to start.
pub(crate) fn python() -> Command {
    let installed = Path::new("/usr/bin/python3");
    Command::new(if installed.exists() { installed } else { Path::new("python3") })
}

/// Runs a Python script to its end.
#[track_caller]
pub(crate) fn run_python<A: AsRef<OsStr>>(script: &str, arguments: impl IntoIterator<Item = A>) -> String {
    let output = python().arg("-c").arg(script).args(arguments).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
