//! A droplet that is a real virtual machine: made from a base image, off by its own doing, snapshotted, and its snapshot
//! booted as a new instance. It takes minutes: `make test-long` runs it. The base image is taken from
//! `MKIMG_BASE_CACHE` or the user's cache, and built there if it is missing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::droplets::{Api, SLUG, TOKEN};
use digitalocean_emulator::{Config, Emulator, base, start};
use reqwest::Method;
use serde_json::{Value, json};

/// Prints its identity on the serial console, frees unused blocks, and powers off once cloud-init
/// is done.
const USER_DATA: &str = r#"#cloud-config
write_files:
  - {path: /etc/written-by-first, content: "kept\n"}
runcmd:
  - [systemd-run, --no-block, -p, After=cloud-final.service, sh, -c, "echo droplet-says $(cat /var/lib/cloud/data/instance-id) $(hostname) $(cat /etc/written-by-first) > /dev/console; fstrim /; poweroff"]
"#;

/// How long a machine may take for anything. It is long, since processors are emulated and shared.
const MAX_WAIT: Duration = Duration::from_secs(600);

struct Client {
    api: Api,
}

impl Client {
    /// Creates a droplet and waits until it has powered itself off. Returns how long that took.
    async fn run(&self, name: &str, image: Value, user_data: &str) -> (u64, Duration) {
        let begun = Instant::now();
        let body =
            json!({"name": name, "region": "nyc3", "size": "s-1vcpu-1gb", "image": image, "user_data": user_data});
        let made = self.api.send(Method::POST, "/v2/droplets", body).await;
        let id = made["droplet"]["id"].as_u64().expect("an id");
        while begun.elapsed() < MAX_WAIT {
            let droplet = self.api.send(Method::GET, &format!("/v2/droplets/{id}"), json!({})).await;
            if droplet["droplet"]["status"] == "off" && droplet["droplet"]["locked"] == false {
                return (id, begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("droplet {id} did not turn itself off within {MAX_WAIT:?}");
    }

    async fn snapshot(&self, droplet: u64) -> u64 {
        self.api.act(droplet, json!({"type": "snapshot", "name": "first"})).await;
        let listed = self.api.send(Method::GET, &format!("/v2/droplets/{droplet}/snapshots"), json!({})).await;
        listed["snapshots"][0]["id"].as_u64().expect("a snapshot")
    }
}

/// What the droplet has printed on its serial console; empty before it is started.
fn console(running: &Emulator, droplet: u64) -> String {
    let log = running.console_log(droplet).expect("a console");
    String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
}

/// Waits until the other droplet answers a ping, reports that on the serial console, and stays on.
fn pings(peer: &str) -> String {
    format!(
        r#"#cloud-config
runcmd:
  - [sh, -c, "until ping -c 1 -W 2 {peer} > /dev/null; do sleep 1; done; echo \"droplet-says $(cat /sys/class/net/eth1/address) reached {peer} from $(ip -4 -o address show dev eth1 | awk '{{print $4}}')\" > /dev/console"]
"#
    )
}

/// The virtual machines of this test: processes whose current directory is below this folder.
fn machines_in(folder: &Path) -> Vec<PathBuf> {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let places = processes.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok());
    places.filter(|place| place.starts_with(folder)).collect()
}

/// An emulator with real machines, its folder and a client.
async fn emulator() -> (tempfile::TempDir, Emulator, Client) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cache = std::env::var_os("MKIMG_BASE_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| base::default_cache("mkimg").expect("a cache"));
    if !base::list(&cache).expect("the cache").iter().any(|listed| listed.base.slug == SLUG) {
        let request = base::build::BuildRequest { slug: SLUG, cache: &cache, mirror: None, security_mirror: None };
        base::build::build(&request, &|line| eprintln!("{line}")).expect("a base image");
    }
    // The default temporary folder may be in memory, which is too small.
    let folder = tempfile::Builder::new().prefix("mkimg-vm-").tempdir_in("/var/tmp").expect("a folder");
    let config = Config::new(TOKEN.to_owned().into(), folder.path().join("state"), cache);
    let running = start(config).await.expect("an emulator");
    let client = Client { api: Api::new(running.url()) };
    (folder, running, client)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "boots virtual machines: make test-long"]
async fn a_snapshot_boots_as_a_new_instance_and_nothing_is_left_running() {
    let (folder, running, client) = emulator().await;

    let (first, took) = client.run("first", json!(SLUG), USER_DATA).await;
    let printed = console(&running, first);
    assert!(printed.contains(&format!("droplet-says {first} first kept")), "{printed}");
    let begun = Instant::now();
    let snapshot = client.snapshot(first).await;
    let folder_of_snapshot = running.snapshot_dir(snapshot).expect("a folder");
    let bytes = std::fs::metadata(folder_of_snapshot.join("disk.qcow2")).expect("a disk").len();
    eprintln!("off after {took:?}, snapshot of {} MiB after {:?}", bytes >> 20, begun.elapsed());
    for name in ["vmlinuz", "initrd", "snapshot.json"] {
        assert!(folder_of_snapshot.join(name).is_file(), "{name}");
    }
    client.api.send(Method::DELETE, &format!("/v2/droplets/{first}"), json!({})).await;
    let before = std::fs::read(folder_of_snapshot.join("snapshot.json")).expect("a description");

    let second = USER_DATA
        .replace("  - {path: /etc/written-by-first, content: \"kept\\n\"}\n", "  - {path: /etc/second, content: x}\n");
    assert_ne!(second, USER_DATA);
    let (id, took) = client.run("second", json!(snapshot), &second).await;
    eprintln!("the snapshot was off after {took:?}");
    let printed = console(&running, id);
    assert!(printed.contains(&format!("droplet-says {id} second kept")), "{printed}");
    assert_eq!(std::fs::read(folder_of_snapshot.join("snapshot.json")).expect("a description"), before);

    // A droplet that is on when the emulator ends is stopped with it.
    let body = json!({"name": "third", "region": "nyc3", "size": "s-1vcpu-1gb", "image": snapshot});
    client.api.send(Method::POST, "/v2/droplets", body).await;
    let begun = Instant::now();
    while machines_in(folder.path()).is_empty() {
        assert!(begun.elapsed() < MAX_WAIT, "the third droplet runs");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.stop().await.expect("a stop");
    assert_eq!(machines_in(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "boots virtual machines: make test-long"]
async fn two_droplets_reach_each_other_at_their_private_addresses() {
    let (_folder, running, client) = emulator().await;
    let mut droplets = Vec::new();
    for (name, peer) in [("one", "10.108.0.3"), ("two", "10.108.0.2")] {
        let body = json!({"name": name, "region": "nyc3", "size": "s-1vcpu-1gb", "image": SLUG,
                          "user_data": pings(peer)});
        let made = client.api.send(Method::POST, "/v2/droplets", body).await;
        droplets.push((made["droplet"]["id"].as_u64().expect("an id"), peer));
    }
    let begun = Instant::now();
    for (at, (id, peer)) in droplets.iter().enumerate() {
        let droplet = client.api.send(Method::GET, &format!("/v2/droplets/{id}"), json!({})).await;
        let v4 = droplet["droplet"]["networks"]["v4"].as_array().cloned().unwrap_or_default();
        let own = format!("10.108.0.{}", at + 2);
        assert!(v4.iter().any(|network| network["type"] == "private" && network["ip_address"] == own), "{v4:?}");
        let [.., a, b, c] = id.to_be_bytes();
        let expected = format!("droplet-says 52:54:01:{a:02x}:{b:02x}:{c:02x} reached {peer} from {own}/20");
        while !console(&running, *id).contains(&expected) {
            assert!(begun.elapsed() < MAX_WAIT, "{}", console(&running, *id));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    eprintln!("both reached each other {:?} after they were asked for", begun.elapsed());
    running.stop().await.expect("a stop");
}
