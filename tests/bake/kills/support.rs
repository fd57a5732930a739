//! A project, an emulator in a process of its own, bakes under way, and what is in the account.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) const MKIMG: &str = env!("CARGO_BIN_EXE_mkimg");
pub(crate) const TOKEN: &str = "secret-token/0123456789+abcdef";
/// How long the emulator's events take.
const QUICK: &str = "create=100ms,power=50ms,snapshot=300ms,transfer=200ms";
/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(180);

/// Whether everything is to be played.
pub(crate) fn swept() -> bool {
    std::env::var("MKIMG_SWEEP").is_ok_and(|what| what == "kills" || what == "all")
}

/// Looks until there is something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Plays all cases, some at once; fails with everything that was wrong.
pub(crate) fn play<C: Send + std::fmt::Debug + Clone>(cases: Vec<C>, case: impl Fn(&C) + Sync) {
    let total = cases.len();
    let (cases, wrong) = (Mutex::new(cases), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                loop {
                    let Some(one) = cases.lock().unwrap().pop() else { return };
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&one))).is_err() {
                        wrong.lock().unwrap().push(format!("{one:?}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(total > 0 && wrong.is_empty(), "{} of {total}: {wrong:#?}", wrong.len());
}

/// An emulator that ends with the test.
pub(crate) struct Emulator {
    process: Child,
    pub(crate) url: String,
    /// What it makes for itself; one that is killed cannot take it away.
    _temporary: tempfile::TempDir,
}

impl Emulator {
    /// One whose droplets turn themselves off soon.
    pub(crate) fn quick(faults: &[&str]) -> Self {
        let mut more = vec!["--backend", "none", "--off-after", "200ms", "--latency", QUICK];
        more.extend(faults.iter().flat_map(|fault| ["--fault", fault]));
        Self::start(&more)
    }

    /// One as quick whose droplets stay on until [`Self::turn_off`]: until then no bake goes past its build droplet, however
    /// long a busy machine keeps the test from looking.
    pub(crate) fn that_waits() -> Self {
        Self::start(&["--backend", "none", "--latency", QUICK])
    }

    /// Turns all droplets off, as if each had done so by itself.
    pub(crate) fn turn_off(&self) {
        for droplet in self.account().0 {
            self.post(&format!("/v2/droplets/{}/actions", droplet["id"]), serde_json::json!({"type": "power_off"}));
        }
    }

    pub(crate) fn start(more: &[&str]) -> Self {
        Self::start_with_log(more, Stdio::null())
    }

    /// `log`: where its standard error goes.
    pub(crate) fn start_with_log(more: &[&str], log: Stdio) -> Self {
        let mut command = Command::new(MKIMG);
        let temporary = tempfile::tempdir().expect("a folder");
        command.args(["emulate", "--token", TOKEN]).args(more).env("TMPDIR", temporary.path());
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the emulator starts");
        let mut url = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut url).expect("a line");
        assert!(url.starts_with("http://"), "the emulator did not start: {more:?}");
        Self { process, url: url.trim().to_owned(), _temporary: temporary }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn send(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
            let mut request = client.request(method, format!("{}{path}", self.url)).bearer_auth(TOKEN);
            if let Some(body) = body {
                request = request.json(&body);
            }
            let answer = request.send().await.unwrap().text().await.unwrap();
            if answer.is_empty() { Value::Null } else { serde_json::from_str(&answer).expect("JSON") }
        })
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.send(reqwest::Method::GET, path, None)
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Value {
        self.send(reqwest::Method::POST, path, Some(body))
    }

    /// Droplets and snapshots, when no event is under way any more.
    pub(crate) fn account(&self) -> (Vec<Value>, Vec<Value>) {
        let list = |path: &str, field: &str| self.get(path)[field].as_array().expect("a list").clone();
        until("the account coming to rest", || {
            let droplets = list("/v2/droplets", "droplets");
            let busy = droplets.iter().any(|droplet| droplet["locked"] == true);
            (!busy).then(|| (droplets, list("/v2/snapshots", "snapshots")))
        })
    }

    pub(crate) fn holds(&self, droplets: usize, snapshots: usize, case: &str) {
        let (d, s) = self.account();
        assert_eq!((d.len(), s.len()), (droplets, snapshots), "{case}: {d:?} {s:?}");
    }

    /// One snapshot, with its own tags and in its regions, and nothing else.
    pub(crate) fn holds_the_product(&self, case: &str) {
        self.holds(0, 1, case);
        let snapshot = self.get("/v2/snapshots")["snapshots"][0].clone();
        assert_eq!(snapshot["tags"], serde_json::json!(["release"]), "{case}");
        assert_eq!(snapshot["regions"].as_array().map(Vec::len), Some(2), "{case}: {snapshot}");
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A project in a home of its own.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for folder in ["templates", "scripts"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
        }
        let template = "variables:\n  password: {sensitive: true, value: none}\n  name: tested\n\
                        droplet: {image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}\n\
                        scripts: [scripts/*.sh]\nenvironment: {PASSWORD: \"{{ password }}\"}\n\
                        snapshot: {name: \"{{ name }}\", tags: [release], regions: [fra1]}\n";
        std::fs::write(home.path().join("templates/image.yaml"), template).unwrap();
        std::fs::write(home.path().join("scripts/01-nothing.sh"), "#!/bin/sh\ntrue\n").unwrap();
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn bakes(&self) -> PathBuf {
        self.path().join("state/mkimg/bakes")
    }

    /// Where the one bake keeps its things; `None` before it has begun.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        Some(std::fs::read_dir(self.bakes()).ok()?.next()?.unwrap().path())
    }

    pub(crate) fn bake(&self) -> String {
        self.folder().expect("a bake").file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// The journal's entries by name; whole lines only.
    pub(crate) fn entries(&self) -> Vec<String> {
        let Some(folder) = self.folder() else { return Vec::new() };
        let text = std::fs::read_to_string(folder.join("journal.jsonl")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(MKIMG);
        self.dress(&mut command);
        command.args(["-C", self.path().to_str().unwrap()]).args(arguments);
        command
    }

    /// The environment of a user with a token.
    pub(crate) fn dress(&self, command: &mut Command) {
        for name in ["DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN", "DIGITALOCEAN_API_URL"] {
            command.env_remove(name);
        }
        let home = self.path();
        command.env("HOME", home).env("XDG_STATE_HOME", home.join("state")).env("XDG_CONFIG_HOME", home.join("config"));
        command.env("DIGITALOCEAN_API_TOKEN", TOKEN);
    }

    /// Runs to the end: exit status, standard output, standard error.
    pub(crate) fn mkimg(&self, arguments: &[&str]) -> (i32, String, String) {
        let [output, said] = [(); 2].map(|()| tempfile::NamedTempFile::new_in(self.path()).unwrap());
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(output.reopen().unwrap()).stderr(said.reopen().unwrap());
        let child = command.spawn().expect("mkimg runs");
        let (exit, said) = Process { child, said }.end();
        (exit, std::fs::read_to_string(output.path()).expect("UTF-8"), said)
    }

    /// A bake whose marker is that it powers off.
    pub(crate) fn arguments<'a>(emulator: &'a Emulator, more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["bake", "--api-url", &emulator.url, "--marker", "poweroff", "--poll-interval", "50ms"];
        arguments.extend(more);
        arguments
    }

    pub(crate) fn start(&self, emulator: &Emulator, more: &[&str]) -> Process {
        self.spawn(&mut self.command(&Self::arguments(emulator, more)))
    }

    pub(crate) fn resume(&self) -> Process {
        self.spawn(&mut self.command(&["resume", &self.bake()]))
    }

    /// Its output goes to a file, so that it never waits for a reader.
    pub(crate) fn spawn(&self, command: &mut Command) -> Process {
        let said = tempfile::NamedTempFile::new_in(self.path()).unwrap();
        let output = || File::options().append(true).open(said.path()).unwrap();
        let child = command.stdin(Stdio::null()).stdout(output()).stderr(output()).spawn().expect("mkimg runs");
        Process { child, said }
    }
}

/// A command under way.
pub(crate) struct Process {
    child: Child,
    said: tempfile::NamedTempFile,
}

impl Process {
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.said.path()).unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has said this; fails when it ends first.
    pub(crate) fn until_said(&mut self, text: &str) {
        until(&format!("`{text}` being said"), || {
            let ended = self.child.try_wait().unwrap();
            let said = self.said();
            assert!(said.contains(text) || ended.is_none(), "`{text}` was never said: {ended:?}\n{said}");
            said.contains(text).then_some(())
        });
    }

    /// Waits until the journal has this many entries, or it has ended.
    pub(crate) fn until_entry(&mut self, home: &Home, number: usize) -> bool {
        until("an entry in the journal", || {
            let ended = self.child.try_wait().unwrap().is_some();
            if home.entries().len() >= number { Some(true) } else { ended.then_some(false) }
        })
    }

    pub(crate) fn signal(&self, name: &str) {
        // It may have ended by itself: then there is nobody to tell.
        let _ = Command::new("kill").args(["-s", name, &self.id().to_string()]).stderr(Stdio::null()).status();
    }

    pub(crate) fn kill(mut self) -> String {
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.said()
    }

    pub(crate) fn end(mut self) -> (i32, String) {
        let status = until("the end of the command", || self.child.try_wait().unwrap());
        (status.code().unwrap_or(-1), self.said())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
