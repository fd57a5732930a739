//! An emulator whose disk is full: what it says, and that destroying makes room again.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    async fn send(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth("secret").json(&body);
        let response = request.send().await.expect("the emulator answers");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn create(&self) -> (u16, Value) {
        let body = json!({"name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64",
            "user_data": "x".repeat(60_000), "tags": ["a"]});
        self.send(Method::POST, "/v2/droplets", body).await
    }
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_made_and_destroying_still_works() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mounted = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no file system of its own can be mounted here");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = "mount -t tmpfs -o size=3m none \"$0\"; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", script]).arg(folder.path());
    command.args([env!("CARGO_BIN_EXE_mkimg"), "emulate", "--backend", "none", "--token", "secret", "--state"]);
    let mut process = command.arg(folder.path().join("cloud")).stdout(Stdio::piped()).spawn().expect("unshare runs");
    let mut url = String::new();
    BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut url).expect("a line");
    let client = Client { http: reqwest::Client::new(), url: url.trim().to_owned() };

    let mut made = 0;
    let refused = loop {
        match client.create().await {
            (202, _) => made += 1,
            refused => break refused,
        }
        assert!(made < 25, "the disk is never full");
    };
    assert_eq!((refused.0, &refused.1["id"]), (500, &json!("server_error")));
    let message = refused.1["message"].as_str().expect("a message");
    assert!(message.contains("No space left on device") && message.contains("destroy"), "{message}");
    // Those that were accepted come to their end, good or bad: what is under way holds its droplet, however slow the machine is.
    let begun = Instant::now();
    loop {
        let (_, listed) = client.send(Method::GET, "/v2/droplets?per_page=200", json!({})).await;
        let droplets = listed["droplets"].as_array().expect("a list");
        if droplets.iter().all(|droplet| droplet["locked"] == false) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "they are never done: {listed}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let (status, answer) = client.send(Method::DELETE, "/v2/droplets?tag_name=a", json!({})).await;
    assert_eq!(status, 204, "{answer}");
    assert_eq!(client.send(Method::GET, "/v2/droplets", json!({})).await.1["meta"]["total"], 0);
    assert_eq!(client.create().await.0, 202);
    process.kill().expect("a signal");
    process.wait().expect("an end");
}
