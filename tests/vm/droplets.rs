//! Shared by the tests of virtual machines: a client of the emulator, and a baked image to start machines from.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{MKIMG, repository};

/// The base image of all these tests.
pub(crate) const SLUG: &str = "debian-12-x64";
/// The token of their emulators.
pub(crate) const TOKEN: &str = "secret";

/// A client of an emulator.
pub(crate) struct Api {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
}

impl Api {
    pub(crate) fn new(url: String) -> Self {
        Self { http: reqwest::Client::new(), url }
    }

    /// Sends a request that must succeed. Returns the answer, or null.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(TOKEN).json(&body);
        let response = request.send().await.expect("the emulator answers");
        assert!(response.status().is_success(), "{path}: {}", response.text().await.unwrap_or_default());
        let text = response.text().await.expect("a body");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    /// Starts an action of a droplet and waits for it.
    pub(crate) async fn act(&self, droplet: u64, action: Value) {
        let made = self.send(Method::POST, &format!("/v2/droplets/{droplet}/actions"), action.clone()).await;
        let path = format!("/v2/actions/{}", made["action"]["id"]);
        loop {
            match self.send(Method::GET, &path, json!({})).await["action"]["status"].as_str() {
                Some("completed") => return,
                Some("errored") => panic!("{action} errored"),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// The state directory of a local bake of this repository with stubs, and its snapshot's number. `MKIMG_VM_IMAGE=DIR` names
/// one that is there already (`$XDG_STATE_HOME/mkimg/local`), `MKIMG_VM_BAKED=DIR` where `bake.rs` has left its own, if it got
/// that far; otherwise it is baked below `folder`.
pub(crate) fn baked(folder: &Path) -> (PathBuf, u64) {
    if let Some(local) = std::env::var_os("MKIMG_VM_IMAGE").map(PathBuf::from) {
        let snapshot = newest_snapshot(&local).expect("a snapshot");
        return (local, snapshot);
    }
    let left = kept_bake().map(|state| state.join("mkimg/local"));
    if let Some((local, snapshot)) = left.and_then(|local| newest_snapshot(&local).map(|snapshot| (local, snapshot))) {
        return (local, snapshot);
    }
    let state = folder.join("state");
    let built = Command::new("fixtures/stand-ins/build").arg("target/stand-ins").status();
    assert!(built.expect("Python").success());
    let mut command = Command::new(MKIMG);
    command.args(["bake", "--local", "--stand-ins", "--no-verify", "--var", &format!("image={SLUG}")]);
    let run = command.env("XDG_STATE_HOME", &state).current_dir(repository()).status();
    assert!(run.expect("mkimg runs").success());
    let local = state.join("mkimg/local");
    let snapshot = newest_snapshot(&local).expect("a snapshot");
    (local, snapshot)
}

/// The folder in which `bake.rs` leaves its image for the other tests, if `MKIMG_VM_BAKED` names one.
pub(crate) fn kept_bake() -> Option<PathBuf> {
    std::env::var_os("MKIMG_VM_BAKED").map(PathBuf::from)
}

fn newest_snapshot(local: &Path) -> Option<u64> {
    let snapshots = std::fs::read_dir(local.join("snapshots")).ok()?.flatten();
    let names = snapshots.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.split('-').next().and_then(|number| number.parse().ok())).max()
}
