//! `mkimg emulate` as a process, and what is in its account.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{ChildGuard, MAX_WAIT, MKIMG, until_every};

/// The token of all emulators. It has characters that encodings write differently.
pub(crate) const TOKEN: &str = "secret-token/0123456789+abcdef";
/// How long the events of a quick emulator take.
const QUICK: &str = "create=100ms,power=50ms,snapshot=300ms,transfer=200ms";

/// An emulator that ends with the test.
pub(crate) struct Emulator {
    process: ChildGuard,
    pub(crate) url: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    /// Its temporary files: the test kills it, so it cannot remove them itself.
    _temporary: tempfile::TempDir,
}

impl Emulator {
    /// An emulator without machines, whose droplets stay on.
    pub(crate) fn without_machines(arguments: &[&str]) -> Self {
        Self::start(&[&["--backend", "none"], arguments].concat())
    }

    /// An emulator without machines, whose droplets turn themselves off after 200 ms.
    pub(crate) fn quick(faults: &[&str]) -> Self {
        let faults: Vec<&str> = faults.iter().flat_map(|fault| ["--fault", fault]).collect();
        Self::without_machines(&[&["--off-after", "200ms", "--latency", QUICK], &faults[..]].concat())
    }

    /// As quick, but the droplets stay on until [`Self::turn_off`]. No bake gets past its build droplet until then, however
    /// slow the machine is.
    pub(crate) fn that_waits() -> Self {
        Self::without_machines(&["--latency", QUICK])
    }

    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with_log(arguments, Stdio::null())
    }

    /// `log` gets its standard error.
    pub(crate) fn start_with_log(arguments: &[&str], log: Stdio) -> Self {
        let mut command = Command::new(MKIMG);
        command.args(["emulate", "--token", TOKEN]).args(arguments);
        Self::start_command(&mut command, log)
    }

    /// Starts a command that becomes an emulator.
    pub(crate) fn start_command(command: &mut Command, log: Stdio) -> Self {
        let temporary = tempfile::tempdir().expect("a folder");
        command.env("TMPDIR", temporary.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut process = ChildGuard(command.spawn().expect("the emulator starts"));
        let mut url = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut url).expect("a line");
        assert!(url.starts_with("http://"), "the emulator did not start: {command:?}");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(MAX_WAIT).build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { process, url: url.trim().to_owned(), client, runtime, _temporary: temporary }
    }

    /// A file of its process in `/proc`.
    pub(crate) fn process_file(&self, name: &str) -> String {
        let bytes = std::fs::read(format!("/proc/{}/{name}", self.process.id())).expect("a process");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Turns all droplets off, as if each had done so by itself.
    pub(crate) fn turn_off(&self) {
        for droplet in self.account().0 {
            self.post(&format!("/v2/droplets/{}/actions", droplet["id"]), json!({"type": "power_off"}));
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Sends a request. Returns the status and the body, null if there is none.
    pub(crate) fn send(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        self.runtime.block_on(async {
            let mut request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(TOKEN);
            if let Some(body) = body {
                request = request.json(&body);
            }
            let response = request.send().await.expect("the emulator answers");
            let status = response.status().as_u16();
            let text = response.text().await.expect("a body");
            (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") })
        })
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.send(reqwest::Method::GET, path, None).1
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Value {
        self.send(reqwest::Method::POST, path, Some(body)).1
    }

    /// Droplets and snapshots, once no event is under way any more.
    pub(crate) fn account(&self) -> (Vec<Value>, Vec<Value>) {
        let list = |path: &str, field: &str| self.get(path)[field].as_array().expect("a list").clone();
        until_every(Duration::from_millis(20), "the account coming to rest", || {
            let droplets = list("/v2/droplets?per_page=200", "droplets");
            let busy = droplets.iter().any(|droplet| droplet["locked"] == true);
            (!busy).then(|| (droplets, list("/v2/snapshots", "snapshots")))
        })
    }

    /// The account holds this many droplets and snapshots.
    #[track_caller]
    pub(crate) fn holds(&self, droplets: usize, snapshots: usize, case: &str) {
        let (d, s) = self.account();
        assert_eq!((d.len(), s.len()), (droplets, snapshots), "{case}: {d:?} {s:?}");
    }

    /// The account holds one snapshot, with its own tags and in its regions, and nothing else.
    #[track_caller]
    pub(crate) fn holds_the_product(&self, case: &str) {
        self.holds(0, 1, case);
        let snapshot = self.get("/v2/snapshots")["snapshots"][0].clone();
        assert_eq!(snapshot["tags"], json!(["release"]), "{case}");
        assert_eq!(snapshot["regions"].as_array().map(Vec::len), Some(2), "{case}: {snapshot}");
    }
}
