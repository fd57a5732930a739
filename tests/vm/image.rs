//! Machines of this repository's own image, as customers get them: baked once with the stubs, then started from the
//! snapshot, looked after with `nakama-setup`, killed, rebooted, and cut off from power during their first boot.
//!
//! It takes tens of minutes: `make test-long` runs it. `MKIMG_VM_IMAGE=DIR` takes the snapshot of a local bake
//! that is there already (its state directory, `$XDG_STATE_HOME/mkimg/local`), with this tree's `nakama-setup` on the first
//! machine; `MKIMG_VM_CUTS=N` cuts other than ten times.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::droplets::{Api, TOKEN, baked};
use digitalocean_emulator::{Config, base, start};
use reqwest::Method;
use serde_json::json;

/// How long a machine may take to become healthy. It is long, since processors are emulated and shared.
const MAX_WAIT: Duration = Duration::from_secs(400);

/// What must be the same on every machine of the image once it is well: files, owners and modes, units, firewall.
const END: &str = "find /etc/cockroach /etc/nakama /var/lib/nakama -printf '%p %m %u %g\\n' | sort; \
    systemctl is-enabled nakama cockroachdb nakama-backup.timer; ufw status";
/// What no two machines may have in common, one a line.
const OWN: &str = "nakama-setup secrets --all | awk '{print $2}'; cat /etc/machine-id; \
    sha256sum /etc/cockroach/pki/*/*.key /etc/ssh/ssh_host_*_key | cut -d ' ' -f 1";

struct Client {
    api: Api,
    key: PathBuf,
    public: String,
    snapshot: u64,
}

/// A droplet of the image: its number and address.
struct Machine {
    id: u64,
    address: String,
}

impl Client {
    async fn create(&self, name: &str) -> Machine {
        let user_data = format!("#cloud-config\nssh_authorized_keys:\n  - {}\ndisable_root: false\n", self.public);
        let body = json!({"name": name, "region": "nyc3", "size": "s-1vcpu-2gb", "image": self.snapshot,
            "user_data": user_data});
        let made = self.api.send(Method::POST, "/v2/droplets", body).await;
        let id = made["droplet"]["id"].as_u64().expect("an id");
        loop {
            let droplet = self.api.send(Method::GET, &format!("/v2/droplets/{id}"), json!({})).await;
            let networks = droplet["droplet"]["networks"]["v4"].as_array().cloned().unwrap_or_default();
            let public = networks.iter().find(|network| network["type"] == "public");
            if let (Some(network), true) = (public, droplet["droplet"]["status"] == "active") {
                return Machine { id, address: network["ip_address"].as_str().expect("an address").to_owned() };
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn act(&self, machine: &Machine, kind: &str) {
        self.api.act(machine.id, json!({"type": kind})).await;
    }

    fn socket(&self, machine: &Machine) -> PathBuf {
        self.key.with_file_name(format!("ssh-{}", machine.id))
    }

    /// What `ssh` itself printed.
    fn log(&self, machine: &Machine) -> PathBuf {
        self.key.with_file_name(format!("ssh-{}.log", machine.id))
    }

    async fn destroy(&self, machine: Machine) {
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-O", "exit", "-S"]).arg(self.socket(&machine)).arg(&machine.address);
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        self.api.send(Method::DELETE, &format!("/v2/droplets/{}", machine.id), json!({})).await;
    }

    /// Runs a line of shell as root. Returns its exit status and output; -1 if SSH itself fails.
    async fn shell(&self, machine: &Machine, line: &str) -> (i32, String) {
        let mut command = tokio::process::Command::new("ssh");
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=90", "-o", "ServerAliveInterval=10"]);
        // Standard error would be the shared connection's too, which outlives the command and would keep a pipe open.
        command.arg("-E").arg(self.log(machine));
        // The image's firewall takes six connections in 30 seconds: commands that follow each other share one.
        command.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=20", "-S"]).arg(self.socket(machine));
        command.arg("-i").arg(&self.key).arg(format!("root@{}", machine.address)).arg(format!("exec 2>&1; {line}"));
        let run = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let run = run.spawn().expect("ssh can be started").wait_with_output();
        match tokio::time::timeout(Duration::from_secs(400), run).await {
            Ok(output) => {
                let output = output.expect("ssh ends");
                let printed = String::from_utf8_lossy(&output.stdout).into_owned();
                let status = output.status.code().unwrap_or(-1);
                (if status == 255 { -1 } else { status }, printed)
            }
            Err(_) => (-1, "no end within 400 s".to_owned()),
        }
    }

    /// Copies a file of this tree to a machine whose snapshot is older.
    async fn install(&self, machine: &Machine, source: &str) {
        let text = std::fs::read_to_string(source).expect("a file of the tree");
        let target = source.strip_prefix("files").expect("a file of the image");
        self.must(machine, &format!("cat >{target} <<'END-OF-FILE'\n{text}END-OF-FILE\n")).await;
    }

    /// Like `shell`, for commands that must succeed.
    async fn must(&self, machine: &Machine, line: &str) -> String {
        let (status, printed) = self.shell(machine, line).await;
        assert_eq!(status, 0, "{line}\n{printed}");
        printed
    }

    /// Waits until `nakama-setup status` reports no problem. Returns how long that took.
    async fn well(&self, machine: &Machine, what: &str) -> Duration {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < MAX_WAIT {
            let (status, printed) = self.shell(machine, "nakama-setup status").await;
            if status == 0 {
                eprintln!("{what}: well after {:.0} s", begun.elapsed().as_secs_f32());
                return begun.elapsed();
            }
            last = printed;
            // Fewer than six in 30 seconds, those that the virtual network repeats counted: the firewall drops more.
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        let (_, log) = self.shell(machine, "journalctl -b --no-pager | tail -60").await;
        let ssh = std::fs::read_to_string(self.log(machine)).unwrap_or_default();
        panic!("{what}: not well within {MAX_WAIT:?}\n{last}\n{log}\n{ssh}");
    }

    /// Starts a new machine, cuts its power after `cut`, and starts it again at once. It must end
    /// like any other.
    async fn first_boot_cut(&self, number: usize, cut: Duration) -> Ended {
        let machine = self.create(&format!("cut-{number}")).await;
        tokio::time::sleep(cut).await;
        self.act(&machine, "power_cycle").await;
        self.well(&machine, &format!("cut {number}, after {:.1} s", cut.as_secs_f32())).await;
        let ended = self.ended(&machine).await;
        self.destroy(machine).await;
        ended
    }

    async fn ended(&self, machine: &Machine) -> Ended {
        let own = self.must(machine, OWN).await.lines().map(str::to_owned).collect::<Vec<_>>();
        assert!(own.len() >= 8 + 1 + 5, "{own:?}");
        Ended { end: self.must(machine, END).await, own }
    }
}

/// How a machine ended up.
struct Ended {
    end: String,
    own: Vec<String>,
}

/// A sequence of fractions that is the same in every run (SplitMix64).
fn fractions(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f64::from(u32::try_from((mixed ^ (mixed >> 31)) >> 32).expect("32 bits")) / f64::from(u32::MAX)
    })
}

/// Every command of an operator, on one machine.
async fn operate(client: &Client, machine: &Machine) {
    let secrets = client.must(machine, "nakama-setup secrets --all").await;
    let values: Vec<&str> = secrets.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(values.len(), 8, "{secrets}");
    let journal = client.must(machine, "journalctl --no-pager; cat /var/log/cloud-init*.log").await;
    for value in &values {
        assert!(!journal.contains(value), "a secret is in a log");
    }
    assert!(journal.contains("nakama first boot: done"), "the first boot is in the log");

    assert!(client.must(machine, "nakama-setup console open; ufw status").await.contains("Nakama Console: open"));
    assert!(client.must(machine, "nakama-setup console close").await.contains("closed"));
    assert!(client.must(machine, "nakama-setup status --json").await.contains("\"well\": true"));
    assert!(client.must(machine, "/etc/update-motd.d/99-nakama").await.contains("Nakama: active"));

    // The timer's own unit with all its restrictions, then the restore.
    client.must(machine, "systemctl start nakama-backup.service").await;
    let (status, printed) = client.shell(machine, "nakama-setup restore latest").await;
    assert_eq!(status, 4, "{printed}");
    assert!(client.must(machine, "nakama-setup restore latest --yes").await.contains("Nakama is running"));
    client.must(machine, "nakama-setup restore --forget").await;
    let refused = "nakama-setup upgrade nakama 3.40.0 --url http://127.0.0.1/x.tgz --sha256 x";
    assert!(client.shell(machine, refused).await.1.contains("only https:// and file:/// are allowed"));
    let archive = "tar -czf /root/new.tgz -C /usr/local/bin nakama && sha256sum /root/new.tgz | cut -d ' ' -f 1";
    let sum = client.must(machine, archive).await;
    let upgrade = format!("nakama-setup upgrade nakama 3.40.0 --url file:///root/new.tgz --sha256 {}", sum.trim());
    assert!(client.must(machine, &upgrade).await.contains("3.40.0 replaces 3.40.0\nwell."));
    client
        .must(machine, "nakama-setup upgrade nakama --back --no-backup && test ! -e /usr/local/bin/.nakama.new")
        .await;
    // A version that does not start.
    let broken = "mkdir -p /root/b && \
        printf '#!/bin/sh\\n[ \"$1\" = --version ] && echo 3.40.1 || exit 1\\n' >/root/b/nakama && \
        tar -czf /root/b.tgz -C /root/b nakama && sha256sum /root/b.tgz | cut -d ' ' -f 1";
    let sum = client.must(machine, broken).await;
    let upgrade =
        format!("nakama-setup upgrade nakama 3.40.1 --url file:///root/b.tgz --no-backup --sha256 {}", sum.trim());
    let (status, printed) = client.shell(machine, &upgrade).await;
    assert!(status == 1 && printed.contains("3.40.0 is back, and well"), "{status} {printed}");
    client.well(machine, "after backup, restore and upgrades").await;

    for unit in ["cockroachdb", "nakama"] {
        let before = client.must(machine, &format!("systemctl show -p MainPID --value {unit}")).await;
        client.must(machine, &format!("kill -9 {}", before.trim())).await;
        client.well(machine, &format!("{unit} after kill -9")).await;
        assert_ne!(client.must(machine, &format!("systemctl show -p MainPID --value {unit}")).await, before);
    }
}

/// The state after a power cut while cloud-init sets up SSH: the step is noted but not done, or a
/// file of its notes is empty.
async fn lose_the_first_boot(client: &Client, machine: &Machine) {
    let lose = "test -e /var/lib/cloud/instance/sem/config_ssh && rm /var/lib/cloud/instance/boot-finished && \
        : >/var/lib/cloud/data/set-hostname && rm /etc/ssh/ssh_host_* && : >/root/.ssh/authorized_keys && sync";
    client.must(machine, lose).await;
    client.act(machine, "power_cycle").await;
    client.well(machine, "after a first boot without keys").await;
    client.must(machine, "test -e /var/lib/cloud/instance/boot-finished").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "boots virtual machines: make test-long"]
async fn machines_of_the_image_come_up_and_come_back() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::Builder::new().prefix("mkimg-vm-image-").tempdir_in("/var/tmp").expect("a folder");
    let (state, snapshot) = baked(folder.path());
    let key = folder.path().join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.expect("ssh-keygen").success());
    let public = std::fs::read_to_string(key.with_extension("pub")).expect("a key").trim().to_owned();
    let cache = base::default_cache("mkimg").expect("a cache");
    let running = start(Config::new(TOKEN.to_owned().into(), state, cache)).await.expect("an emulator");
    let client = Client { api: Api::new(running.url()), key, public, snapshot };

    let begun = Instant::now();
    let first = client.create("first").await;
    client.well(&first, "first boot").await;
    let whole = begun.elapsed();
    let mut all = vec![client.ended(&first).await];
    if std::env::var_os("MKIMG_VM_IMAGE").is_some() {
        for entry in std::fs::read_dir("files/usr/local/lib/nakama-setup").expect("the modules") {
            client.install(&first, &entry.expect("a module").path().display().to_string()).await;
        }
        client.install(&first, "files/usr/local/sbin/nakama-setup").await;
    }
    operate(&client, &first).await;
    let boot = client.must(&first, "cat /proc/sys/kernel/random/boot_id").await;
    client.act(&first, "reboot").await;
    client.well(&first, "reboot").await;
    assert_ne!(client.must(&first, "cat /proc/sys/kernel/random/boot_id").await, boot);
    let again = client.ended(&first).await;
    assert_eq!((again.end.as_str(), &again.own), (all[0].end.as_str(), &all[0].own));
    lose_the_first_boot(&client, &first).await;
    client.destroy(first).await;

    // Two at a time: a machine has one processor.
    let cuts = std::env::var("MKIMG_VM_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let moments: Vec<Duration> = fractions(4).map(|part| whole.mul_f64(part)).take(cuts).collect();
    for (number, pair) in moments.chunks(2).enumerate() {
        match *pair {
            [one, other] => {
                let (number, next) = (2 * number, 2 * number + 1);
                let both = tokio::join!(client.first_boot_cut(number, one), client.first_boot_cut(next, other));
                all.extend([both.0, both.1]);
            }
            [one] => all.push(client.first_boot_cut(2 * number, one).await),
            _ => unreachable!("chunks of two"),
        }
    }
    let mut seen = HashSet::new();
    for ended in &all {
        assert_eq!(ended.end, all[0].end);
        for own in &ended.own {
            assert!(seen.insert(own.clone()), "two machines have a secret in common");
        }
    }
    running.stop().await.expect("a stop");
}
