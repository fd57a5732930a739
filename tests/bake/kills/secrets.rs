//! A bake never leaks a secret: not in its output or files, not in a request that does not need it, and not to another process.
//! The bakes run against a separate emulator, with both backends that need no virtual machine. They succeed, fail, are
//! interrupted, kept, killed, resumed and collected. `vm/bake.rs` checks what the programs of a local bake get.
//!
//! To add an outcome, write a test that plays it and calls [`Played::tells_nothing`]. To add a place to search, add a line there.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use diagnostics::source::Source;
use serde_json::Value;

use crate::harness::{Emulator, Home, Process, TOKEN, until};

const PASSWORD: &str = "pass/word+of<the>\"database&";

/// The forms of a secret to search for: as it is, escaped, and in base64 at each offset.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    forms.extend(secret.lines().filter(|line| line.len() > 20 && !line.starts_with("---")).map(str::to_owned));
    let json = Value::from(secret).to_string();
    forms.push(json[1..json.len() - 1].to_owned());
    let percent =
        |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    forms.push(secret.bytes().map(percent).collect());
    forms.push(secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"));
    for before in 0..3 {
        let bytes = [&b"xy"[..before], secret.as_bytes()].concat();
        for text in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            forms.push(text[(before * 8).div_ceil(6)..bytes.len() * 8 / 6].to_owned());
        }
    }
    forms
}

fn clean(text: &str, secrets: &[(String, String)], place: &str) {
    for (name, secret) in secrets {
        for form in forms(secret) {
            assert!(!text.contains(&form), "the {name} is in {place}, as {form}:\n{text}");
        }
    }
}

/// Every file in this folder and below it.
fn clean_folder(folder: &Path, secrets: &[(String, String)]) {
    for_each_file(folder, &mut |path| {
        clean(&String::from_utf8_lossy(&std::fs::read(path).unwrap()), secrets, &path.display().to_string());
    });
}

fn for_each_file(folder: &Path, look: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            for_each_file(&path, look);
        } else {
            look(&path);
        }
    }
}

/// Only the owner can read or change these. A bake may be running: a temporary file that has gone since the folder was listed is
/// ignored.
fn private(folder: &Path) {
    let mode = |path: &Path| std::fs::metadata(path).ok().map(|found| found.permissions().mode() & 0o777);
    assert_eq!(mode(folder), Some(0o700), "{}", folder.display());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            private(&path);
        } else if let Some(mode) = mode(&path) {
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
}

/// The user-data of a bake, read from the emulator's state while the droplets exist.
struct UserData {
    seen: Arc<Mutex<BTreeSet<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UserData {
    fn watch(cloud: &Path) -> Self {
        let (seen, over) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
        let (into, until, path) = (Arc::clone(&seen), Arc::clone(&over), cloud.join("state.json"));
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                // It is replaced atomically, and does not exist at first.
                if let Ok(text) = std::fs::read_to_string(&path) {
                    let state: Value = serde_json::from_str(&text).unwrap();
                    for droplet in state["droplets"].as_object().unwrap().values() {
                        into.lock().unwrap().extend(droplet["user_data"].as_str().map(str::to_owned));
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        Self { seen, over, thread: Some(thread) }
    }

    fn all(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().cloned().collect()
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "the emulator's state was read");
    }
}

/// A project, an emulator that knows only what the API needs, and all output so far.
struct Played {
    home: Home,
    emulator: Emulator,
    cloud: tempfile::TempDir,
    user_data: UserData,
    /// `-v` or `-vv`.
    verbose: &'static str,
    printed: Vec<(String, String)>,
}

impl Played {
    /// `scenario` is what the droplets play. Without one, they have a state and nothing else.
    fn new(verbose: &'static str, scenario: Option<&str>) -> Self {
        let (home, cloud) = (Home::new(), tempfile::tempdir().unwrap());
        std::fs::create_dir(home.path().join("temporary")).unwrap();
        let mut words = vec!["-vv".to_owned(), "--state".to_owned(), cloud.path().to_str().unwrap().to_owned()];
        if let Some(scenario) = scenario {
            let path = home.path().join("scenario.yaml");
            std::fs::write(&path, scenario).unwrap();
            words.extend(["--backend", "scripted", "--scenario", path.to_str().unwrap()].map(str::to_owned));
        } else {
            words.extend(["--backend", "none", "--off-after", "300ms"].map(str::to_owned));
            // A transfer takes its default second, so that a late kill on a busy machine still comes before the end.
            words.extend(["--latency", "create=100ms,power=50ms,snapshot=300ms"].map(str::to_owned));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let log = File::create(home.path().join("emulator.log")).unwrap();
        let emulator = Emulator::start_with_log(&words, log.into());
        let user_data = UserData::watch(cloud.path());
        Self { home, emulator, cloud, user_data, verbose, printed: Vec::new() }
    }

    fn spawn(&self, words: &[&str]) -> Process {
        let mut command = self.home.command(&[&[self.verbose], words].concat());
        command.env("MKIMG_VAR_PASSWORD", PASSWORD).env("TMPDIR", self.home.path().join("temporary"));
        Process::spawn(&mut command)
    }

    /// A running bake, and its secrets, which it has written to its folder.
    fn bake(&self, more: &[&str]) -> (Process, Vec<(String, String)>) {
        let baking =
            self.spawn(&[&["bake", "--api-url", &self.emulator.url, "--poll-interval", "50ms"], more].concat());
        let mut secrets = self.own_secrets(!more.contains(&"poweroff"));
        secrets.extend([("API token".into(), TOKEN.into()), ("sensitive variable".into(), PASSWORD.into())]);
        let arguments = std::fs::read(format!("/proc/{}/cmdline", baking.id())).unwrap();
        clean(&String::from_utf8_lossy(&arguments), &secrets, "its arguments");
        for thread in std::fs::read_dir(format!("/proc/{}/task", baking.id())).unwrap() {
            // A thread that has ended has no file.
            let children = std::fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default();
            assert_eq!(children.trim(), "", "a bake at an API starts no programs");
        }
        (baking, secrets)
    }

    /// The secrets of this bake alone: token and key of its status channel.
    fn own_secrets(&self, channel: bool) -> Vec<(String, String)> {
        let text = until("secrets.json", || {
            let path = self.home.folder()?.join("secrets.json");
            let text = std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('}'))?;
            private(&self.home.path().join("state"));
            Some(text)
        });
        assert!(!text.contains(TOKEN), "the API token is in secrets.json");
        let disk: Value = serde_json::from_str(&text).unwrap();
        let Some(made) = disk["build"]["credentials"].as_str() else {
            assert!(!channel, "a bake without credentials: {disk}");
            return Vec::new();
        };
        let made: Value = serde_json::from_str(made).unwrap();
        let named = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        assert!(named("key").len() > 40 && named("token").len() > 20);
        vec![("channel's token".into(), named("token")), ("channel's key".into(), named("key"))]
    }

    /// Waits for a command, which must end with this exit status. Its output is searched at the end.
    fn ends(&mut self, what: &str, process: Process, expected: i32) -> String {
        let (exit, printed) = process.end();
        assert_eq!(exit, expected, "{what}: {printed}");
        self.printed.push((what.to_owned(), printed.clone()));
        printed
    }

    /// Kills the process as soon as its journal has this entry.
    fn killed(&mut self, process: Process, entry: &str) {
        until(entry, || self.home.entries().iter().any(|name| name == entry).then_some(()));
        let printed = process.kill();
        self.printed.push(("the output of a bake that was killed".to_owned(), printed));
    }

    /// Searches everything, at the end.
    fn tells_nothing(self, secrets: &[(String, String)]) {
        for (what, printed) in &self.printed {
            clean(printed, secrets, what);
        }
        let home = self.home.path();
        private(&home.join("state"));
        for folder in ["state", "temporary"] {
            clean_folder(&home.join(folder), secrets);
        }
        for file in ["bake.html", "bake.json", "emulator.log"] {
            if let Ok(text) = std::fs::read_to_string(home.join(file)) {
                clean(&text, secrets, file);
            }
        }
        assert!(!self.home.folder().unwrap().join("secrets.json").exists());
        // The document needs the secrets of its channel and its variables, but never the token of the API.
        let token = &[("API token".to_owned(), TOKEN.to_owned())];
        let documents = self.user_data.all();
        assert!(!documents.is_empty(), "no user-data was seen");
        for document in &documents {
            clean(document, token, "user-data");
            let parts = mkimg::diff::parts(&Source::new("user-data.yaml", document.clone()));
            let texts =
                parts.values().map(|part| String::from_utf8_lossy(&part.bytes).into_owned()).collect::<Vec<_>>();
            for text in &texts {
                clean(text, token, "a file of user-data");
            }
            for (name, own) in secrets.iter().filter(|(name, _)| name.starts_with("channel")) {
                let escaped = Value::from(own.as_str()).to_string();
                let there = texts.iter().any(|text| text.contains(own) || text.contains(escaped.trim_matches('"')));
                assert!(there, "the search finds the {name}, which belongs there");
            }
        }
        clean_folder(self.cloud.path(), token);
    }
}

/// A scenario that prints the password in the log, in a message and in the check: as it is, and in base64.
fn telltale(end: &str) -> String {
    let told =
        Value::from(format!("connecting with {PASSWORD} ({})\n", STANDARD_NO_PAD.encode(format!("app:{PASSWORD}"))));
    let finding = Value::from(format!("the password is {PASSWORD}"));
    format!(
        "boot: 50ms\nsteps:\n  - {{name: one, takes: 300ms, log: {told}}}\n  - {{name: two, takes: 100ms, log: {told}{end}}}\ncheck: {{passed: 1, warnings: [{finding}]}}\n"
    )
}

/// Two formats of the report and of the output, two levels of verbosity.
const FORMS: [(&str, &[&str]); 2] =
    [("-v", &["--report", "bake.html"]), ("-vv", &["--report", "bake.json", "--format", "json"])];

/// Arguments of a bake whose marker is that the droplet powers off.
const POWEROFF: [&str; 2] = ["--marker", "poweroff"];

#[test]
fn a_bake_that_is_done_tells_no_secret() {
    for (verbose, form) in FORMS {
        let mut played = Played::new(verbose, Some(&telltale("")));
        let (baking, secrets) = played.bake(form);
        let printed = played.ends("the output", baking, 0);
        assert!(printed.contains("[redacted]"), "the droplet did tell it: {printed}");
        played.tells_nothing(&secrets);

        let mut played = Played::new(verbose, None);
        let (baking, secrets) = played.bake(&[&POWEROFF, form].concat());
        let printed = played.ends("the output", baking, 0);
        assert!(verbose == "-v" || printed.contains("/v2/droplets"), "the requests are printed: {printed}");
        played.tells_nothing(&secrets);
    }
}

#[test]
fn a_bake_that_fails_tells_no_secret() {
    let message = Value::from(format!("no access with {PASSWORD}"));
    for (verbose, form) in FORMS {
        let mut played = Played::new(verbose, Some(&telltale(&format!(", fails: {message}, exit: 3"))));
        let (baking, secrets) = played.bake(form);
        let printed = played.ends("the output", baking, 3);
        assert!(printed.contains("no access with [redacted]"), "{printed}");
        let mut logs = 0;
        for_each_file(&played.home.folder().unwrap(), &mut |path| {
            logs += usize::from(path.extension().is_some_and(|ending| ending == "log"));
        });
        assert_eq!(logs, 1, "the droplet's log is saved");
        played.tells_nothing(&secrets);
    }
}

#[test]
fn a_bake_that_is_interrupted_tells_no_secret() {
    let mut played = Played::new("-vv", Some(&telltale("").replace("300ms", "60s")));
    let (mut baking, secrets) = played.bake(&["--report", "bake.html"]);
    baking.until_printed("provision: following");
    baking.signal("INT");
    played.ends("the output", baking, 130);
    played.tells_nothing(&secrets);
}

#[test]
fn a_bake_that_is_kept_and_collected_tells_no_secret() {
    for (verbose, form) in FORMS {
        let mut played = Played::new(verbose, Some(&telltale(", fails: broken")));
        let (baking, secrets) = played.bake(&[&["--on-error", "keep"], form].concat());
        played.ends("the output", baking, 4);
        let (url, bake) = (played.emulator.url.clone(), played.home.bake());
        for words in [&["bakes", "--api-url", &url][..], &["gc", "--api-url", &url, &bake]] {
            let process = played.spawn(words);
            played.ends(words[0], process, 0);
        }
        played.emulator.holds(0, 0, "collected");
        played.tells_nothing(&secrets);
    }
}

#[test]
fn a_bake_that_is_killed_tells_no_secret_when_it_is_resumed_and_when_it_is_collected() {
    let scenario = telltale("");
    for (verbose, form, scenario, entry) in [
        ("-v", FORMS[0].1, Some(&*scenario), "active"),
        ("-vv", FORMS[1].1, Some(&*scenario), "passed"),
        ("-vv", FORMS[0].1, None, "active"),
        ("-v", FORMS[1].1, None, "snapshot-started"),
    ] {
        let marker: &[&str] = if scenario.is_some() { &[] } else { &POWEROFF };
        let killed = || {
            let mut played = Played::new(verbose, scenario);
            let (baking, secrets) = played.bake(marker);
            played.killed(baking, entry);
            // Until it is resumed, its secrets are in their private place only.
            private(&played.home.path().join("state"));
            (played, secrets)
        };
        let (mut played, secrets) = killed();
        let resumed = played.spawn(&[&["resume", &played.home.bake()], form].concat());
        played.ends("the output of resume", resumed, 0);
        played.tells_nothing(&secrets);

        let (mut played, secrets) = killed();
        let collected = played.spawn(&["gc", "--api-url", &played.emulator.url, &played.home.bake()]);
        played.ends("the output of gc", collected, 0);
        played.emulator.holds(0, 0, "collected");
        played.tells_nothing(&secrets);
    }
}
