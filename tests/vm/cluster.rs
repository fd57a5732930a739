//! Three droplets of this repository's own image become one cluster, with the user-data of docs/image.md and nothing else; one
//! loses its power and comes back.
//!
//! It takes minutes: `make test-long` runs it. `MKIMG_VM_IMAGE=DIR` takes the snapshot of a local bake that
//! is there already (its state directory, `$XDG_STATE_HOME/mkimg/local`).

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::droplets::{Api, TOKEN, baked};
use digitalocean_emulator::{Config, Emulator, base, start};
use reqwest::Method;
use serde_json::{Value, json};

/// How long the cluster may take to become healthy. It is long, since processors are emulated and shared.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// Makes a node print a report on its serial console again and again, also after a reboot. It has
/// the status, a digest of the secrets that all nodes share, and whether the token was removed.
const REPORT: &str = r#"  - path: /etc/systemd/system/report.service
    content: |
      [Service]
      ExecStart=/bin/sh -c 'while sleep 3; do echo "node-says $(nakama-setup status --json) $(nakama-setup secrets --all | sha256sum | cut -c 1-64) token=$(grep -c token= /etc/nakama/cluster.conf)" >/dev/console; done'
      [Install]
      WantedBy=multi-user.target
runcmd:
  - [systemctl, enable, --now, --no-block, report.service]
"#;

/// Destroys the nodes of an earlier failed run on the same state, which have the first addresses.
async fn destroy_nodes(api: &Api) {
    let listed = api.send(Method::GET, "/v2/droplets", json!({})).await;
    for droplet in listed["droplets"].as_array().expect("droplets") {
        if droplet["name"].as_str().is_some_and(|name| name.starts_with("cluster-node-")) {
            api.send(Method::DELETE, &format!("/v2/droplets/{}", droplet["id"]), json!({})).await;
        }
    }
}

/// A node: its droplet, and how far its console has been read.
struct Node {
    droplet: u64,
    read: usize,
}

impl Node {
    fn console(&self, running: &Emulator) -> String {
        let log = running.console_log(self.droplet).expect("a console");
        String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
    }

    /// Ignores everything that the node has printed so far.
    fn forget(&mut self, running: &Emulator) {
        self.read = self.console(running).len();
    }

    /// Waits until the node reports this text about its cluster, and whether all is well. Returns
    /// what must be the same on all nodes.
    async fn says(&self, running: &Emulator, cluster: &str, well: bool) -> String {
        let begun = Instant::now();
        while begun.elapsed() < MAX_WAIT {
            let console = self.console(running);
            let lines = console.get(self.read..).unwrap_or_default().lines();
            for line in lines.filter_map(|line| line.trim_end().strip_prefix("node-says ")) {
                let Some((status, same)) = line.rsplit_once("} ") else { continue };
                let Ok(status) = serde_json::from_str::<Value>(&format!("{status}}}")) else { continue };
                let checks = status["checks"].as_array().cloned().unwrap_or_default();
                let printed = checks.iter().any(|check| check["name"] == "cluster" && check["text"] == cluster);
                if printed && status["well"] == well {
                    return same.to_owned();
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("droplet {}: no \"{cluster}\" within {MAX_WAIT:?}\n{}", self.droplet, self.console(running));
    }
}

/// Runs the page's own commands for the token. Returns its own user-data with that token.
fn user_data(folder: &Path) -> String {
    let page = std::fs::read_to_string("docs/image.md").expect("the page");
    let from = page.find("    umask 077\n").expect("the commands");
    let commands: Vec<&str> = page[from..].lines().take_while(|line| line.starts_with("    ")).collect();
    let made = Command::new("sh").args(["-euc", &commands.join("\n")]).current_dir(folder).output().expect("a shell");
    assert!(made.status.success(), "{made:?}");
    let token = std::fs::read_to_string(folder.join("token")).expect("a token");
    let from = page.find("```yaml\n#cloud-config\n").expect("the user-data") + "```yaml\n".len();
    let text = page[from..].split("```").next().expect("an end");
    assert!(text.contains("token=TOKEN\n") && text.contains("join=10.108.0.2,10.108.0.3,10.108.0.4\n"), "{text}");
    text.replace("TOKEN", token.trim()) + REPORT
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "boots virtual machines: make test-long"]
async fn three_droplets_become_one_cluster_and_one_comes_back() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // The default temporary folder may be in memory, which is too small.
    let folder = tempfile::Builder::new().prefix("mkimg-vm-cluster-").tempdir_in("/var/tmp").expect("a folder");
    let (state, snapshot) = baked(folder.path());
    let user_data = user_data(folder.path());
    let cache = base::default_cache("mkimg").expect("a cache");
    let running = start(Config::new(TOKEN.to_owned().into(), state, cache)).await.expect("an emulator");
    let api = Api::new(running.url());

    destroy_nodes(&api).await;
    let begun = Instant::now();
    let mut nodes = Vec::new();
    for number in 0..3 {
        let body = json!({"name": format!("cluster-node-{number}"), "region": "nyc3", "size": "s-1vcpu-2gb",
            "image": snapshot, "user_data": user_data});
        let made = api.send(Method::POST, "/v2/droplets", body).await;
        nodes.push(Node { droplet: made["droplet"]["id"].as_u64().expect("an id"), read: 0 });
    }
    let mut same = Vec::new();
    for node in &nodes {
        same.push(node.says(&running, "3 of 3 nodes live", true).await);
    }
    eprintln!("a cluster of three after {:.0} s", begun.elapsed().as_secs_f32());
    assert!(same[0].ends_with(" token=0"), "{same:?}");
    assert!(same.iter().all(|one| *one == same[0]), "{same:?}");

    let begun = Instant::now();
    api.act(nodes[2].droplet, json!({"type": "power_off"})).await;
    for node in &mut nodes {
        node.forget(&running);
    }
    for node in &nodes[..2] {
        node.says(&running, "2 of 3 nodes live", false).await;
    }
    eprintln!("one without power is missed after {:.0} s", begun.elapsed().as_secs_f32());
    let begun = Instant::now();
    api.act(nodes[2].droplet, json!({"type": "power_on"})).await;
    for node in &mut nodes {
        node.forget(&running);
    }
    for node in &nodes {
        assert_eq!(node.says(&running, "3 of 3 nodes live", true).await, same[0]);
    }
    eprintln!("it is back after {:.0} s", begun.elapsed().as_secs_f32());
    destroy_nodes(&api).await;
    running.stop().await.expect("a stop");
}
