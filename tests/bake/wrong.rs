//! Bakes that fail: `mkimg bake` against `mkimg emulate --backend none`. The build droplet is a process (`tests/bake/droplet.py`)
//! that runs the first-boot runner of the document. Only the machine is replaced.
//!
//! With `-q` a bake prints only what went wrong. The tests compare all of it, after [`Cloud::plain`] has removed what differs
//! from run to run.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{ChildGuard, Emulator, MKIMG, Run, Server, TOKEN, python, sha256, tests};

/// An emulator without machines, a project, and a home for the bake's journal.
struct Cloud {
    home: tempfile::TempDir,
    emulator: Emulator,
}

/// What a bake left behind.
struct Baked {
    exit: i32,
    stdout: String,
    stderr: String,
    report: Value,
}

impl Cloud {
    /// A project with these lines in its template, and with these scripts.
    fn new(template: &str, scripts: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let project = home.path().join("project");
        for folder in ["templates", "scripts"] {
            fs::create_dir_all(project.join(folder)).unwrap();
        }
        let template = format!(
            "droplet: {{image: debian-12-x64, region: nyc3, size: s-1vcpu-1gb}}\nsnapshot: {{name: tested}}\n\
             allow: [{{code: MK383, reason: this base is upgraded by nobody}}]\n{template}"
        );
        fs::write(project.join("templates/image.yaml"), template).unwrap();
        for (name, text) in scripts {
            fs::write(project.join("scripts").join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        }
        let emulator = Emulator::without_machines(&["--state", home.path().join("cloud").to_str().unwrap()]);
        Self { home, emulator }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// Pins an artifact in the project's lock.
    fn pin(&self, url: &str, sha256: &str, size: usize) {
        let lock = format!("version: 1\nartifacts:\n  - url: \"{url}\"\n    sha256: \"{sha256}\"\n    size: {size}\n");
        fs::write(self.path("project/mkimg.lock"), lock).unwrap();
    }

    /// Starts a droplet that runs the document.
    fn start_droplet(&self) -> ChildGuard {
        let mut droplet = python();
        droplet.arg("-B").arg(tests("bake/droplet.py"));
        droplet
            .arg(self.path("cloud"))
            .arg(&self.emulator.url)
            .arg(self.path("machine"))
            .env("MKIMG_TEST_TOKEN", TOKEN);
        ChildGuard(droplet.stdin(Stdio::null()).spawn().expect("these tests need python3 and python3-yaml"))
    }

    fn bake_command(&self) -> Command {
        let mut bake = command(self.home.path());
        bake.arg("-C").arg(self.path("project")).args(["-q", "bake", "--api-url", &self.emulator.url]);
        bake.args(["--poll-interval", "50ms", "--report", "../report.json"]).env("DIGITALOCEAN_API_TOKEN", TOKEN);
        bake
    }

    /// Bakes, with a droplet that runs the document.
    fn bake(&self, more: &[&str]) -> Baked {
        let _droplet = self.start_droplet();
        let (exit, stdout, stderr) = Run::of(self.bake_command().args(more)).into_parts();
        let report = serde_json::from_str(&fs::read_to_string(self.path("report.json")).unwrap()).unwrap();
        Baked { exit, stdout: self.plain(stdout), stderr: self.plain(stderr), report }
    }

    /// Replaces what differs from run to run: the id of the bake, the folder, loopback addresses.
    fn plain(&self, mut text: String) -> String {
        for bake in fs::read_dir(self.path("state/mkimg/bakes")).into_iter().flatten() {
            text = text.replace(bake.unwrap().file_name().to_str().unwrap(), "BAKE");
        }
        text = text.replace(self.home.path().to_str().unwrap(), "HOME");
        while let Some(at) = text.find("127.") {
            let end =
                text[at..].find(|c: char| !c.is_ascii_digit() && !".:".contains(c)).map_or(text.len(), |n| at + n);
            text.replace_range(at..end, "ADDRESS");
        }
        text
    }

    /// The names of what the account holds, as the API lists it.
    fn account(&self, kind: &str) -> Vec<String> {
        let listed = self.emulator.get(&format!("/v2/{kind}"));
        listed[kind].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!(self.account("droplets"), Vec::<String>::new());
        assert_eq!(self.account("snapshots"), Vec::<String>::new());
    }

    /// The droplet's whole log, which the bake keeps beside its journal.
    fn log(&self) -> String {
        let bake = fs::read_dir(self.path("state/mkimg/bakes")).unwrap().next().unwrap().unwrap().path();
        fs::read_to_string(bake.join("build.log")).unwrap()
    }
}

impl Baked {
    /// The state of each step in the report.
    fn steps(&self) -> Vec<(&str, &str)> {
        let steps = self.report["steps"].as_array().unwrap();
        steps.iter().map(|step| (step["name"].as_str().unwrap(), step["state"].as_str().unwrap())).collect()
    }
}

fn command(home: &Path) -> Command {
    let mut command = Command::new(MKIMG);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    command.env("XDG_STATE_HOME", home.join("state")).env("XDG_CACHE_HOME", home.join("cache")).stdin(Stdio::null());
    // Other tests may have left files of killed emulators in the usual folder.
    command.env("TMPDIR", home);
    command
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// A project with files that have no room in a document.
fn cloud_with_uploads(files: &[(&str, Vec<u8>)]) -> Cloud {
    let who = Command::new("id").arg("-u").output().unwrap();
    let owner = format!("{}:{}", String::from_utf8(who.stdout).unwrap().trim(), group());
    let template = format!("files: [{{source: files, to: /opt/game, owner: '{owner}'}}]\nscripts: [scripts/01-a.sh]\n");
    let cloud = Cloud::new(&template, &[("01-a.sh", "echo working")]);
    fs::create_dir_all(cloud.path("project/files")).unwrap();
    for (name, content) in files {
        fs::write(cloud.path("project/files").join(name), content).unwrap();
    }
    cloud
}

#[test]
fn what_has_no_room_is_uploaded() {
    // More than is loaded, more than has room, and what has room.
    let files = [("huge", noise(13 << 20)), ("large", noise(70_000)), ("small", b"small\n".to_vec())];
    let cloud = cloud_with_uploads(&files);
    let plan = Run::of(cloud.bake_command().arg("--dry-run")).exits(0);
    plan.stdout_has(", and 2 files of 13701488 bytes to upload\n");
    let baked = cloud.bake(&[]);
    assert_eq!((baked.exit, baked.stderr.as_str()), (0, ""), "{}", baked.stdout);
    let passed = ["cloud-init", "upload", "script 01-a.sh", "clean", "trim"].map(|name| (name, "passed"));
    assert_eq!(baked.steps(), passed);
    for (name, content) in &files[..2] {
        assert!(fs::read(cloud.path("machine/opt/game").join(name)).unwrap() == *content, "{name} differs");
    }
    // The small file is in the document, which this droplet writes only below /run/mkimg.
    assert!(!cloud.path("machine/opt/game/small").exists());
    let bake = fs::read_dir(cloud.path("state/mkimg/bakes")).unwrap().next().unwrap().unwrap().path();
    assert!(!bake.join("upload").exists() && !bake.join("secrets.json").exists());

    // Without a channel or a bake there is no way to upload.
    let huge = "no document has room for the largest files:";
    let mut bake = cloud.bake_command();
    let run = Run::of(bake.args(["--marker", "poweroff"]));
    run.exits(1).stderr_has(huge).stderr_has("  upload      /opt/game/huge\n").stderr_has("`mkimg bake` uploads");
    let mut render = command(cloud.home.path());
    Run::of(render.arg("-C").arg(cloud.path("project")).arg("render")).exits(1).stdout_is("").stderr_has(huge);
    let mut validate = command(cloud.home.path());
    let run = Run::of(validate.arg("-C").arg(cloud.path("project")).arg("validate"));
    run.exits(0).stderr_has("has no room for 2 of the files (13701488 bytes): `mkimg bake` uploads them");
}

#[test]
fn a_killed_upload_is_resumed() {
    let files = [("huge", noise(96 << 20))];
    let cloud = cloud_with_uploads(&files);
    let _droplet = cloud.start_droplet();
    let mut killed = ChildGuard(cloud.bake_command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let arriving = || {
        let found = fs::read_dir(cloud.path("machine/opt/game")).into_iter().flatten();
        found.filter_map(|entry| entry.ok()?.metadata().ok()).any(|found| (1 << 20..90 << 20).contains(&found.len()))
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !arriving() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    killed.0.kill().unwrap();
    killed.0.wait().unwrap();
    assert!(!cloud.path("machine/opt/game/huge").exists(), "it was killed too late");
    // What is in the project now does not matter.
    fs::write(cloud.path("project/files/huge"), b"another").unwrap();
    let bake = fs::read_dir(cloud.path("state/mkimg/bakes")).unwrap().next().unwrap().unwrap().path();
    let mut resume = command(cloud.home.path());
    resume.args(["-q", "resume", "--api-url", &cloud.emulator.url]).arg(bake.file_name().unwrap());
    Run::of(resume.env("DIGITALOCEAN_API_TOKEN", TOKEN)).exits(0);
    assert!(fs::read(cloud.path("machine/opt/game/huge")).unwrap() == files[0].1, "it differs");
    assert_eq!(cloud.account("snapshots"), ["tested"]);
}

#[test]
fn all_the_way_to_the_snapshot() {
    let server = Server::with_files(&[("/tool", b"a tool\n")]);
    // The droplet unpacks as the user who runs the tests.
    let who = Command::new("id").arg("-u").output().unwrap();
    let who = String::from_utf8(who.stdout).unwrap();
    let template = format!(
        "scripts: [scripts/01-a.sh]\ncheck: scripts/99-check.sh\nartifacts: [{{url: '{}', to: /usr/local/bin/tool, owner: '{}:0'}}]\n",
        server.url("/tool"),
        who.trim()
    );
    let template = if who.trim() == "0" { template } else { template.replace(":0'", &format!(":{}'", group())) };
    let cloud = Cloud::new(&template, &[("01-a.sh", "echo working"), ("99-check.sh", "echo '[PASS] all is well'")]);
    cloud.pin(&server.url("/tool"), &sha256(b"a tool\n"), 7);
    let baked = cloud.bake(&[]);
    assert_eq!((baked.exit, baked.stderr.as_str()), (0, ""), "{}", baked.stdout);
    assert!(baked.stdout.starts_with("snapshot tested ("), "{}", baked.stdout);
    assert!(baked.stdout.contains("\n  image check: 1 passed, 0 warnings, 0 failed\n"), "{}", baked.stdout);
    assert_eq!(
        baked.steps(),
        ["cloud-init", "artifact tool", "script 01-a.sh", "clean", "trim", "check 99-check.sh"]
            .map(|name| (name, "passed"))
    );
    assert_eq!(fs::read_to_string(cloud.path("machine/usr/local/bin/tool")).unwrap(), "a tool\n");
    assert_eq!(server.paths(), ["/tool"]);
    assert_eq!(cloud.account("droplets"), Vec::<String>::new());
    assert_eq!(cloud.account("snapshots"), ["tested"]);
}

fn group() -> String {
    let output = Command::new("id").arg("-g").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_file_that_cloud_init_cannot_write() {
    let template = "cloud_config:\n  write_files:\n    - {path: /etc/secret, content: x, owner: 'ghost:ghost'}\n";
    let cloud = Cloud::new(template, &[("01-a.sh", "echo never")]);
    let baked = cloud.bake(&[]);
    let expected = concat!(
        "error: provision: on the droplet, step `cloud-init` failed: cloud-init could not do all that the document says: write-files: OSError('Unknown user or group: ghost')\n",
        "help: look at `write_files`, which comes from templates/image.yaml:6:5\n",
    );
    assert!(baked.exit == 3 && baked.stderr.contains(expected), "{} {}", baked.exit, baked.stderr);
    assert_eq!(baked.steps(), [("cloud-init", "failed"), ("clean", "skipped"), ("trim", "skipped")]);
    cloud.assert_nothing_is_left();
}

#[test]
fn a_script_that_fails_at_step_3_of_5() {
    let scripts = [
        ("01-a.sh", "echo one"),
        ("02-b.sh", "echo two"),
        ("03-c.sh", "echo looking for the disk\necho it is not there >&2\nexit 1"),
        ("04-d.sh", "echo four"),
        ("05-e.sh", "echo five"),
    ];
    let cloud = Cloud::new("scripts: [scripts/*.sh]\n", &scripts);
    let baked = cloud.bake(&[]);
    assert_eq!(baked.exit, 3);
    assert_eq!(
        baked.stderr,
        concat!(
            "error: provision: on the droplet, step `script 03-c.sh` failed: exit status 1\n",
            "  | looking for the disk\n",
            "  | it is not there\n",
            "help: the droplet's whole log: HOME/state/mkimg/bakes/BAKE/build.log; `--on-error keep` keeps the droplet to look inside\n",
        )
    );
    assert_eq!(
        baked.steps(),
        [
            ("cloud-init", "passed"),
            ("script 01-a.sh", "passed"),
            ("script 02-b.sh", "passed"),
            ("script 03-c.sh", "failed"),
            ("script 04-d.sh", "skipped"),
            ("script 05-e.sh", "skipped"),
            ("clean", "skipped"),
            ("trim", "skipped"),
        ]
    );
    let log = cloud.log();
    assert!(log.contains("script 01-a.sh: one\n") && log.contains("script 03-c.sh: it is not there\n"), "{log}");
    assert!(!log.contains("four"), "{log}");
    cloud.assert_nothing_is_left();
}

#[test]
fn an_artifact_that_is_not_there() {
    let server = Server::with_files(&[]);
    let url = server.url("/tool-1.0.tar.gz");
    let cloud = Cloud::new(&format!("artifacts: [{{url: '{url}', unpack: {{tool: /usr/local/bin/tool}}}}]\n"), &[]);
    cloud.pin(&url, &"a".repeat(64), 7);
    let baked = cloud.bake(&[]);
    assert_eq!(baked.exit, 3);
    assert_eq!(
        baked.stderr,
        concat!(
            "error: provision: on the droplet, step `artifact tool-1.0.tar.gz` failed: http://ADDRESS/tool-1.0.tar.gz: HTTP Error 404: Not Found; check its URL in the template\n",
            "help: the droplet's whole log: HOME/state/mkimg/bakes/BAKE/build.log; `--on-error keep` keeps the droplet to look inside\n",
        )
    );
    assert_eq!(baked.steps()[1], ("artifact tool-1.0.tar.gz", "failed"));
    assert_eq!(server.paths(), ["/tool-1.0.tar.gz"], "what is not there is not asked for again");
    cloud.assert_nothing_is_left();
}

#[test]
fn an_artifact_with_the_wrong_sha256() {
    let server = Server::with_files(&[("/tool", b"another tool\n")]);
    let url = server.url("/tool");
    let cloud = Cloud::new(&format!("artifacts: [{{url: '{url}', to: /usr/local/bin/tool}}]\n"), &[]);
    cloud.pin(&url, &"a".repeat(64), 13);
    let baked = cloud.bake(&[]);
    assert_eq!(baked.exit, 3);
    assert_eq!(
        baked.stderr,
        concat!(
            "error: provision: on the droplet, step `artifact tool` failed: http://ADDRESS/tool has sha256 98e73c314cb899189674605a72618153beb16f94cb039aae9aa5b27296f3048d; expected aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa. Nothing was unpacked. If the publisher replaced it: mkimg lock --update\n",
            "help: the droplet's whole log: HOME/state/mkimg/bakes/BAKE/build.log; `--on-error keep` keeps the droplet to look inside\n",
        )
    );
    assert!(!cloud.path("machine/usr/local/bin/tool").exists());
    cloud.assert_nothing_is_left();
}

#[test]
fn a_check_script_that_fails() {
    let check = "echo '[PASS] the service runs'\necho '[WARN] no swap'\necho '[FAIL] root has a key'\nexit 1";
    let cloud = Cloud::new("check: scripts/99-check.sh\n", &[("99-check.sh", check)]);
    let baked = cloud.bake(&[]);
    assert_eq!(baked.exit, 3);
    assert_eq!(
        baked.stderr,
        concat!(
            "error: provision: on the droplet, step `check 99-check.sh` failed: 1 of the check's tests failed: root has a key\n",
            "  | [PASS] the service runs\n",
            "  | [WARN] no swap\n",
            "  | [FAIL] root has a key\n",
            "  image check: 1 passed, 1 warnings, 1 failed\n",
            "    warn: no swap\n",
            "    fail: root has a key\n",
            "help: the droplet's whole log: HOME/state/mkimg/bakes/BAKE/build.log; `--on-error keep` keeps the droplet to look inside\n",
        )
    );
    assert_eq!(
        baked.steps(),
        [("cloud-init", "passed"), ("clean", "passed"), ("trim", "passed"), ("check 99-check.sh", "failed")]
    );
    cloud.assert_nothing_is_left();
}

#[test]
fn a_script_that_never_ends() {
    // It ends with the droplet, so that no process is left on this machine.
    let cloud = Cloud::new(
        "scripts: [scripts/*.sh]\n",
        &[("01-wait.sh", "echo waiting\nwhile kill -0 $PPID; do sleep 0.1; done")],
    );
    // The limit is long enough to start Python and reach the script on a busy machine.
    let baked = cloud.bake(&["--timeout-provision", "12s"]);
    assert_eq!(baked.exit, 3);
    assert_eq!(
        baked.stderr,
        concat!(
            "error: provision: the build droplet's marker took longer than 12s; last: step `script 01-wait.sh` is still running\n",
            "help: the droplet's log so far: HOME/state/mkimg/bakes/BAKE/build.log; a longer limit: --timeout-provision\n",
        )
    );
    assert!(cloud.log().contains("script 01-wait.sh: waiting\n"));
    cloud.assert_nothing_is_left();
}

#[test]
fn a_port_that_is_taken() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let stderr = Run::of(command(home.path()).args(["emulate", "--backend", "none", "--listen", &address])).refused();
    assert_eq!(
        stderr.replace(&address, "ADDRESS"),
        "error: the emulator can't listen on ADDRESS: Address already in use (os error 98); choose another with --listen, or \
         127.0.0.1:0 for any free port\n"
    );
}

/// `bake --local` needs the port of the status channel on each droplet address in the same way.
#[test]
#[cfg(feature = "qemu")]
fn a_port_of_droplets_that_is_taken() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let arguments = ["emulate", "--listen", "127.0.0.1:0", "--forward", &port];
    let stderr = Run::of(command(home.path()).args(arguments)).refused();
    let (before, after) = stderr.split_once(" 127.").unwrap_or_else(|| panic!("{stderr}"));
    assert_eq!(before.replace(&port, "PORT"), "error: port PORT can't be forwarded from the droplet's address");
    assert_eq!(
        after.split_once(": ").unwrap().1.replace(&port, "PORT"),
        "Address already in use (os error 98); stop the program that listens on it (ss -ltnp 'sport = :PORT')\n"
    );
}

#[test]
#[cfg(feature = "qemu")]
fn no_qemu() {
    let cloud = Cloud::new("", &[]);
    for arguments in [&["emulate"][..], &["-C", "project", "bake", "--local"]] {
        let mut command = command(cloud.home.path());
        command.args(arguments).current_dir(cloud.home.path()).env("MKIMG_PROGRAMS", cloud.path("project"));
        Run::of(&mut command).exits(2).stdout_is("").stderr_is(
            "error: qemu-system-x86_64 is not installed; install qemu-system-x86 (on Debian: apt-get install qemu-system-x86)\n",
        );
    }
    cloud.assert_nothing_is_left();
    assert!(!cloud.path("state/mkimg/bakes").exists(), "no bake was begun");
}
