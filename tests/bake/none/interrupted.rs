//! Bakes that are stopped (Ctrl-C, SIGTERM), killed at some point, and taken up again.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{Emulator, TOKEN, command, mkimg, project};

/// What is in the account: numbers of droplets and of snapshots.
fn account(emulator: &Emulator) -> (usize, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let count = async |path: &str, field: &str| {
        let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{}{path}", emulator.url));
        let body: serde_json::Value = answer.bearer_auth(TOKEN).send().await.unwrap().json().await.unwrap();
        body[field].as_array().expect("a list").len()
    };
    runtime.block_on(async { (count("/v2/droplets", "droplets").await, count("/v2/snapshots", "snapshots").await) })
}

/// A bake under way, its standard error read up to a line.
struct Baking {
    process: Child,
    stderr: BufReader<std::process::ChildStderr>,
    said: String,
}

impl Baking {
    fn start(home: &Path, emulator: &Emulator, more: &[&str]) -> Self {
        let mut arguments = vec!["bake", "--api-url", &emulator.url, "--poll-interval", "50ms"];
        arguments.extend(more);
        let mut command = command(home, true, &arguments);
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("mkimg runs");
        let stderr = BufReader::new(process.stderr.take().expect("a pipe"));
        Self { process, stderr, said: String::new() }
    }

    /// Reads until a line holds this text; fails when standard error ends first.
    fn until(&mut self, text: &str) {
        loop {
            let start = self.said.len();
            let read = self.stderr.read_line(&mut self.said).expect("UTF-8");
            assert!(read > 0, "`{text}` was never said:\n{}", self.said);
            if self.said[start..].contains(text) {
                return;
            }
        }
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(done.expect("kill runs").success());
    }

    fn end(mut self) -> (Option<i32>, String) {
        self.stderr.read_to_string(&mut self.said).expect("UTF-8");
        (self.process.wait().expect("it ends").code(), self.said)
    }

    fn kill(mut self) -> String {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
        self.said
    }
}

/// The one bake of this home.
fn only_bake(home: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(home.join("state/mkimg/bakes"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names.pop().unwrap()
}

#[test]
fn a_signal_cleans_up_and_exits_with_130() {
    for signal in ["INT", "TERM"] {
        let home = tempfile::tempdir().unwrap();
        project(home.path());
        let emulator = Emulator::start(None);
        let mut baking = Baking::start(home.path(), &emulator, &[]);
        baking.until("provision: following build droplet");
        assert_eq!(account(&emulator), (1, 0));
        baking.signal(signal);
        let (exit, said) = baking.end();
        assert_eq!(exit, Some(130), "SIG{signal}: {said}");
        assert!(said.contains("interrupted") && said.contains("no resources remain that cost money"), "{said}");
        assert_eq!(account(&emulator), (0, 0), "SIG{signal}");
        let folder = home.path().join("state/mkimg/bakes").join(only_bake(home.path()));
        assert!(!folder.join("secrets.json").exists(), "the secrets of a bake that has ended stay");
    }
}

#[test]
fn without_a_terminal_ask_destroys() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    let emulator = Emulator::start(None);
    let baking = Baking::start(home.path(), &emulator, &["--on-error", "ask", "--timeout-provision", "1s"]);
    let (exit, said) = baking.end();
    assert_eq!(exit, Some(3), "{said}");
    assert!(said.contains("--on-error ask: there is no terminal to ask on; destroying"), "{said}");
    assert_eq!(account(&emulator), (0, 0));
}

/// Kills a bake when it has said `at`, resumes it, and looks that there is one snapshot and nothing else.
fn killed_and_resumed(at: &str) {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    // Little comes after the commit: there a request hangs until the kill, so that it never comes too late. After the other
    // points a droplet is still to come up and to go off.
    let hangs = ["DELETE /v2/tags/*/resources#1:hang"];
    let emulator = Emulator::with_faults(Some("1s"), if at.starts_with("commit") { &hangs } else { &[] });
    let options = ["--marker", "poweroff", "--verify"];
    let mut baking = Baking::start(home.path(), &emulator, &options);
    baking.until(at);
    baking.kill();
    let bake = only_bake(home.path());
    let folder = home.path().join("state/mkimg/bakes").join(&bake);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("secrets.json"))), (0o700, 0o600));
    let (exit, stdout, stderr) = mkimg(home.path(), true, &["bakes", "--api-url", &emulator.url]);
    assert_eq!(exit, 0, "{stderr}");
    assert!(stdout.contains(&format!("go on: mkimg resume {bake}")), "{stdout}");
    let (exit, stdout, stderr) = mkimg(home.path(), true, &["resume", &bake]);
    assert_eq!(exit, 0, "killed at `{at}`: {stderr}");
    assert!(stdout.contains("snapshot tested"), "{stdout}");
    assert_eq!(account(&emulator), (0, 1), "killed at `{at}`: {stderr}");
    assert!(!folder.join("secrets.json").exists());
    let journal = std::fs::read_to_string(folder.join("journal.jsonl")).unwrap();
    for text in [&stdout, &stderr, &journal] {
        assert!(!text.contains(TOKEN));
    }
    // What is done is not done again, and the list says so.
    let (exit, _, stderr) = mkimg(home.path(), true, &["resume", &bake]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("is done: snapshot"), "{stderr}");
    let (_, stdout, stderr) = mkimg(home.path(), true, &["bakes", "--api-url", &emulator.url]);
    assert!(stdout.contains("done         snapshot tested"), "{stdout}");
    assert!(stderr.contains("no resources of bakes remain"), "{stderr}");
}

#[test]
fn a_bake_that_was_killed_goes_on_to_one_snapshot() {
    let points = [
        "create: build droplet",
        "boot: waiting",
        "provision: waiting",
        "power off: waiting",
        "snapshot: snapshot",
        "destroy: destroying",
        "verify: verification droplet",
        "commit: snapshot",
    ];
    std::thread::scope(|scope| {
        let threads: Vec<_> = points.iter().map(|at| scope.spawn(|| killed_and_resumed(at))).collect();
        for (thread, at) in threads.into_iter().zip(points) {
            thread.join().unwrap_or_else(|_| panic!("killed at `{at}`"));
        }
    });
}

#[test]
fn a_clean_up_that_was_killed_goes_on() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    // The request that it is killed at hangs until then: however late the kill comes, the clean-up is not over.
    let emulator = Emulator::with_faults(None, &["DELETE /v2/droplets/*#1:hang"]);
    let mut baking = Baking::start(home.path(), &emulator, &["--timeout-provision", "1s"]);
    baking.until("clean up: destroying droplet");
    baking.kill();
    let bake = only_bake(home.path());
    let (exit, _, stderr) = mkimg(home.path(), true, &["resume", &bake]);
    assert_eq!(exit, 3, "{stderr}");
    assert!(stderr.contains("marker took longer than 1s") && stderr.contains("no resources remain"), "{stderr}");
    assert_eq!(account(&emulator), (0, 0));
}

#[test]
fn a_bake_at_work_is_not_taken_up_and_one_that_was_removed_has_no_secrets() {
    let home = tempfile::tempdir().unwrap();
    project(home.path());
    let emulator = Emulator::start(None);
    let mut baking = Baking::start(home.path(), &emulator, &[]);
    baking.until("provision: following build droplet");
    let bake = only_bake(home.path());
    let (exit, _, stderr) = mkimg(home.path(), true, &["resume", &bake]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("a process is working on bake"), "{stderr}");
    let (_, stdout, _) = mkimg(home.path(), false, &["bakes"]);
    assert!(stdout.contains("at-work") && stdout.contains("at stage `provision` of snapshot tested"), "{stdout}");
    baking.kill();

    let (exit, stdout, stderr) = mkimg(home.path(), true, &["bakes", "--api-url", &emulator.url, "--format", "json"]);
    assert_eq!(exit, 0, "{stderr}");
    let list: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&list["bakes"][0]["state"], &list["left"][0]["bake"]), (&"interrupted".into(), &bake.clone().into()));

    let secrets = home.path().join("state/mkimg/bakes").join(&bake).join("secrets.json");
    assert!(secrets.exists());
    let (exit, stdout, stderr) = mkimg(home.path(), true, &["gc", "--api-url", &emulator.url, &bake]);
    assert_eq!(exit, 0, "{stderr}");
    assert!(stdout.contains("destroyed droplet"), "{stdout}");
    assert!(!secrets.exists(), "nobody goes on with it");
    let (exit, _, stderr) = mkimg(home.path(), true, &["resume", &bake]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("has ended"), "{stderr}");
    let (exit, _, stderr) = mkimg(home.path(), true, &["resume", "20200101-000000-aaaaaa"]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("no bake 20200101-000000-aaaaaa was started from here"), "{stderr}");
}
