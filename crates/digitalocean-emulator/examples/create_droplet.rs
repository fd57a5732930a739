//! Creates a droplet, powers it off and takes a snapshot, without any machine.
//!
//! Run it with: `cargo run -p digitalocean-emulator --example create_droplet`

use std::error::Error;
use std::time::Duration;

use digitalocean_emulator::{BackendKind, Config, start};
use serde_json::{Value, json};

struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    async fn send(&self, method: &str, path: &str, body: Value) -> Result<Value, Box<dyn Error>> {
        let request = self.http.request(method.parse()?, format!("{}{path}", self.url)).bearer_auth("secret");
        Ok(request.json(&body).send().await?.error_for_status()?.json().await?)
    }

    /// Waits until an action is over.
    async fn wait_for(&self, action: &Value) -> Result<(), Box<dyn Error>> {
        loop {
            let found = self.send("GET", &format!("/v2/actions/{action}"), json!({})).await?;
            if found["action"]["status"] != "in-progress" {
                println!("{} is {}", found["action"]["type"], found["action"]["status"]);
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let state = tempfile::tempdir()?;
    let config = Config {
        backend: BackendKind::NONE,
        ..Config::new("secret".to_owned().into(), state.path().join("state"), state.path().join("cache"))
    };
    let emulator = start(config).await?;
    let client = Client { http: reqwest::Client::new(), url: emulator.url() };

    let droplet = json!({"name": "web", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64"});
    let created = client.send("POST", "/v2/droplets", droplet).await?;
    client.wait_for(&created["links"]["actions"][0]["id"]).await?;

    let actions = format!("/v2/droplets/{}/actions", created["droplet"]["id"]);
    for event in [json!({"type": "power_off"}), json!({"type": "snapshot", "name": "web"})] {
        let started = client.send("POST", &actions, event).await?;
        client.wait_for(&started["action"]["id"]).await?;
    }
    let snapshots = client.send("GET", "/v2/snapshots", json!({})).await?;
    println!("{} in {}", snapshots["snapshots"][0]["name"], snapshots["snapshots"][0]["regions"]);
    emulator.stop().await?;
    Ok(())
}
