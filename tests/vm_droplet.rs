//! A droplet that is a real virtual machine: made from a base image, off by its own doing, snapshotted, and its snapshot
//! booted as a new instance. Minutes, not seconds: only with `MKIMG_VM_TESTS=1`. The base image is taken from
//! `MKIMG_BASE_CACHE` or the user's cache, and built there if it is missing.

#![allow(clippy::disallowed_methods, reason = "edge: a test of files, processes and time")]
#![cfg(feature = "qemu")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mkimg::emulator::{Config, Running, base, start};
use reqwest::Method;
use serde_json::{Value, json};

const SLUG: &str = "debian-12-x64";

/// Says who it is on the serial console, frees what it can, and turns itself off once cloud-init is done.
const USER_DATA: &str = r#"#cloud-config
write_files:
  - {path: /etc/written-by-first, content: "kept\n"}
runcmd:
  - [systemd-run, --no-block, -p, After=cloud-final.service, sh, -c, "echo droplet-says $(cat /var/lib/cloud/data/instance-id) $(hostname) $(cat /etc/written-by-first) > /dev/console; fstrim /; poweroff"]
"#;

struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    async fn send(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth("secret").json(&body);
        let response = request.send().await.expect("the emulator answers");
        assert!(response.status().is_success(), "{path}: {}", response.text().await.unwrap_or_default());
        let text = response.text().await.expect("a body");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    /// Creates a droplet and waits until it has turned itself off; says how long that took.
    async fn run(&self, name: &str, image: Value, user_data: &str) -> (u64, Duration) {
        let begun = Instant::now();
        let body =
            json!({"name": name, "region": "nyc3", "size": "s-1vcpu-1gb", "image": image, "user_data": user_data});
        let made = self.send(Method::POST, "/v2/droplets", body).await;
        let id = made["droplet"]["id"].as_u64().expect("an id");
        while begun.elapsed() < Duration::from_secs(300) {
            let droplet = self.send(Method::GET, &format!("/v2/droplets/{id}"), json!({})).await;
            if droplet["droplet"]["status"] == "off" && droplet["droplet"]["locked"] == false {
                return (id, begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("droplet {id} did not turn itself off within 300 s");
    }

    async fn snapshot(&self, droplet: u64) -> u64 {
        let path = format!("/v2/droplets/{droplet}/actions");
        let made = self.send(Method::POST, &path, json!({"type": "snapshot", "name": "first"})).await;
        for _ in 0..600 {
            let path = format!("/v2/actions/{}", made["action"]["id"]);
            let action = self.send(Method::GET, &path, json!({})).await;
            match action["action"]["status"].as_str() {
                Some("completed") => break,
                Some("errored") => panic!("the snapshot errored"),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        let listed = self.send(Method::GET, &format!("/v2/droplets/{droplet}/snapshots"), json!({})).await;
        listed["snapshots"][0]["id"].as_u64().expect("a snapshot")
    }
}

fn console(running: &Running, droplet: u64) -> String {
    let log = running.console_log(droplet).expect("a console");
    String::from_utf8_lossy(&std::fs::read(log).expect("a log")).into_owned()
}

/// Processes whose current directory is under this folder: the virtual machines of this test.
fn machines_in(folder: &Path) -> Vec<PathBuf> {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let places = processes.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok());
    places.filter(|place| place.starts_with(folder)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_boots_as_a_new_instance_and_nothing_is_left_running() {
    if std::env::var_os("MKIMG_VM_TESTS").is_none_or(|value| value != "1") {
        eprintln!("SKIPPED: virtual machines run with MKIMG_VM_TESTS=1 only");
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cache = std::env::var_os("MKIMG_BASE_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| base::default_cache().expect("a cache"));
    if !base::list(&cache).expect("the cache").iter().any(|listed| listed.base.slug == SLUG) {
        let request = base::build::Request { slug: SLUG, cache: &cache, mirror: None, security_mirror: None };
        base::build::build(&request, &|line| eprintln!("{line}")).expect("a base image");
    }
    // Made where there is room: a temporary folder may be in memory.
    let folder = tempfile::Builder::new().prefix("mkimg-vm-").tempdir_in("/var/tmp").expect("a folder");
    let config = Config::new("secret".to_owned().into(), folder.path().join("state"), cache);
    let running = start(config).await.expect("an emulator");
    let client = Client { http: reqwest::Client::new(), url: running.url() };

    let (first, took) = client.run("first", json!(SLUG), USER_DATA).await;
    let said = console(&running, first);
    assert!(said.contains(&format!("droplet-says {first} first kept")), "{said}");
    let begun = Instant::now();
    let snapshot = client.snapshot(first).await;
    let folder_of_snapshot = running.snapshot_dir(snapshot).expect("a folder");
    let bytes = std::fs::metadata(folder_of_snapshot.join("disk.qcow2")).expect("a disk").len();
    eprintln!("off after {took:?}, snapshot of {} MiB after {:?}", bytes >> 20, begun.elapsed());
    for name in ["vmlinuz", "initrd", "snapshot.json"] {
        assert!(folder_of_snapshot.join(name).is_file(), "{name}");
    }
    client.send(Method::DELETE, &format!("/v2/droplets/{first}"), json!({})).await;
    let before = std::fs::read(folder_of_snapshot.join("snapshot.json")).expect("a description");

    let second = USER_DATA
        .replace("  - {path: /etc/written-by-first, content: \"kept\\n\"}\n", "  - {path: /etc/second, content: x}\n");
    assert_ne!(second, USER_DATA);
    let (id, took) = client.run("second", json!(snapshot), &second).await;
    eprintln!("the snapshot was off after {took:?}");
    let said = console(&running, id);
    assert!(said.contains(&format!("droplet-says {id} second kept")), "{said}");
    assert_eq!(std::fs::read(folder_of_snapshot.join("snapshot.json")).expect("a description"), before);

    // One that is on when the emulator ends goes with it.
    let body = json!({"name": "third", "region": "nyc3", "size": "s-1vcpu-1gb", "image": snapshot});
    client.send(Method::POST, "/v2/droplets", body).await;
    let mut seen = false;
    for _ in 0..100 {
        seen |= !machines_in(folder.path()).is_empty();
        if seen {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(seen, "the third droplet runs");
    running.stop().await.expect("a stop");
    assert_eq!(machines_in(folder.path()), Vec::<PathBuf>::new());
}
