//! An emulator without machines, and a client that checks the answers.

use std::path::Path;
use std::time::{Duration, Instant};

use digitalocean_emulator::{BackendKind, Config, Emulator, Error, Timing, start};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::MAX_WAIT;

pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: &'static str,
}

impl Client {
    pub(crate) fn new(running: &Emulator) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { http: reqwest::Client::new(), url: running.url(), token: "secret" }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the emulator answers");
        let status = response.status().as_u16();
        for header in ["x-request-id", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"] {
            assert!(response.headers().contains_key(header), "{header} at {path}");
        }
        let text = response.text().await.expect("a body");
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") })
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn refused(&self, path: &str, body: Value) -> String {
        let (status, answer) = self.post(path, body).await;
        assert_eq!((status, &answer["id"]), (422, &json!("unprocessable_entity")), "{answer}");
        assert!(answer["request_id"].is_string());
        answer["message"].as_str().expect("a message").to_owned()
    }

    pub(crate) async fn droplet(&self, changes: Value) -> u64 {
        let (status, body) = self.post("/v2/droplets", droplet(changes)).await;
        assert_eq!(status, 202, "{body}");
        assert_eq!(body["droplet"]["status"], "new");
        assert_eq!(body["droplet"]["locked"], true);
        assert_eq!(body["links"]["actions"][0]["rel"], "create");
        body["droplet"]["id"].as_u64().expect("an id")
    }

    pub(crate) async fn until(&self, droplet: u64, status: &str) -> Value {
        let begun = Instant::now();
        while begun.elapsed() < MAX_WAIT {
            let body = self.get(&format!("/v2/droplets/{droplet}")).await;
            if body["droplet"]["status"] == status && body["droplet"]["locked"] == false {
                return body["droplet"].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("droplet {droplet} did not become {status}");
    }

    pub(crate) async fn act(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post(path, body).await;
        assert_eq!(status, 201, "{answer}");
        let id = answer["action"]["id"].as_u64().expect("an action");
        let begun = Instant::now();
        while begun.elapsed() < MAX_WAIT {
            let action = self.get(&format!("/v2/actions/{id}")).await["action"].clone();
            if action["status"] != "in-progress" {
                return action;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("action {id} did not end");
    }
}

pub(crate) fn droplet(changes: Value) -> Value {
    let mut body = json!({"name": "build", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64"});
    for (key, value) in changes.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

pub(crate) fn config(state: &Path) -> Config {
    Config {
        backend: BackendKind::NONE,
        timing: Timing::none(),
        ..Config::new("secret".to_owned().into(), state.to_path_buf(), state.join("cache"))
    }
}

pub(crate) async fn emulator(folder: &tempfile::TempDir) -> (Emulator, Client) {
    let running = start(config(folder.path())).await.expect("an emulator");
    let client = Client::new(&running);
    (running, client)
}

/// An emulator on the state of one that was just dropped, as if that had been killed. The last tasks of the old one release the
/// folder a moment later.
pub(crate) async fn next_emulator(folder: &tempfile::TempDir) -> (Emulator, Client) {
    let begun = Instant::now();
    loop {
        match start(config(folder.path())).await {
            Ok(running) => {
                let client = Client::new(&running);
                return (running, client);
            }
            Err(Error::InUse { .. }) if begun.elapsed() < MAX_WAIT => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}
